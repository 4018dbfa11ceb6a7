"""Measures how fast the console's pages open on a service that was used for a while.

python tests/bench/console_pages.py seed DIR [calls] [lines]   # a million calls, two million log lines by default
python tests/bench/console_pages.py open DIR [rounds]          # each page in Chromium; a table of milliseconds
python tests/bench/console_pages.py drain DIR                  # the ledger: bytes by index, rows a second, lists
"""

import asyncio
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import asyncpg
from playwright.sync_api import Page

from cmg.catalogue.dashboards import DASHBOARDS
from cmg.ledger.usage_sink import UsageSink
from cmg.storage.retention import ensure_partitions
from rooms.ledger.spools import usage_payload
from support.browser import PASSWORD, chromium, invite, tab
from support.service import Service, ServiceOptions

BAR_MS = 1000
CHUNK = 100_000
DAYS = 10  # of log lines
EMAIL = "admin-default@example.org"
KEY = "cmg_benchkey_0123456789abcdef0123456789abcdef"

CALLS = """
INSERT INTO usage_records (at, id, cost_nano, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens,
    reasoning_tokens, latency_ms, ttft_ms, memory_items, memory_tokens, http_status, attempts, stream, replayed,
    workspace_id, key_id, user_id, thread_id, tags, route, upstream, model_asked, model_answered, status,
    error_type, finish_reason, cost_origin, memory_status)
SELECT $1::timestamptz - ((1 - n / $4::float8) * interval '27 days'), gen_random_uuid(), (random() * 4e6)::bigint,
    (random() * 4000)::int, (random() * 900)::int, 0, 0, 0, 200 + random() * 4000, 100 + random() * 900,
    (random() * 5)::int, (random() * 400)::int, CASE WHEN n % 500 = 0 THEN 502 ELSE 200 END, 1, n % 2 = 0, false,
    CASE WHEN n % 5 = 0 THEN 'team' || n % 4 ELSE 'default' END, keys[1 + n % cardinality(keys)],
    'user-' || (power(random(), 2) * 50000)::int, 'thread-' || n / 6, '{}', 'chat', 'sim', model, model,
    CASE WHEN n % 500 = 0 THEN 'error' WHEN n % 4001 = 0 THEN 'cut' ELSE 'ok' END,
    CASE WHEN n % 500 = 0 THEN 'upstream' END, 'stop', 'catalogue', 'ok'
FROM generate_series($2::bigint, $3::bigint - 1) AS n,
    LATERAL (SELECT CASE WHEN n % 9001 = 0 THEN 'sim/rare' ELSE 'sim/model-' || n % 7 END AS model) AS m,
    LATERAL (SELECT $5::text[] AS keys) AS k
"""
LINES = """
INSERT INTO log_lines (at, severity, logger, service, message, fields, workspace_id, request_id)
SELECT $1::timestamptz + (n / $4::float8) * interval '1 day' * $5::int, CASE WHEN n % 200 = 0 THEN 40 ELSE 20 END,
    'cmg.part' || n % 7 || '.module' || n % 40, 'context-memory-gateway',
    (ARRAY['request', 'upstream answered', 'a recall took long', 'the cache missed'])[1 + n % 4] || ' after '
        || n % 1000 || ' ms',
    jsonb_build_object('process.name', 'gateway-' || n % 4, 'cmg.note', 'word' || n % 2000 || ' word' || n % 1999)
        || CASE WHEN n % 1000 = 0 THEN jsonb_build_object('error.message', 'needle' || n / 1000) ELSE '{}' END,
    CASE WHEN n % 5 = 0 THEN 'team' || n % 4 ELSE 'default' END, lpad(to_hex(n), 32, '0')
FROM generate_series($2::bigint, $3::bigint - 1) AS n
"""


def service(folder: Path) -> Service:
    """The service on the kept folder."""
    options = ServiceOptions(data_dir=folder, console=True, environ={"CMG_BOOTSTRAP_KEY": KEY})
    one = Service(options)
    one.key = KEY
    return one


async def seed(one: Service, calls: int, lines: int) -> None:
    """Store calls of 27 days and lines of ten days."""
    for number in range(4):
        one.call("POST", "/admin/v1/workspaces", {"id": f"team{number}", "name": f"Team {number}"})
    budget = {"period": "month", "usd": 50}
    keys = [
        one.new_key_full(name=f"app {number}", budget=budget if number % 2 else None)["id"] for number in range(200)
    ]
    invite(one, "admin")
    connection = await asyncpg.connect(one.database_url())
    now, began = datetime.now(UTC), time.monotonic()
    try:
        await connection.execute("SET maintenance_work_mem = '1GB'; SET synchronous_commit = off")
        await ensure_partitions(connection, "usage_records", period="month", now=now - timedelta(days=27))
        for first in range(0, calls, CHUNK):
            await connection.execute(CALLS, now, first, min(calls, first + CHUNK), calls, keys)
        print(f"{calls} calls in {time.monotonic() - began:.0f} s", flush=True)
        for day in range(DAYS):
            await ensure_partitions(connection, "log_lines", period="day", now=now - timedelta(days=day))
        await connection.execute("DROP INDEX log_lines_by_words")  # built at the end, which is quicker
        start, began = now - timedelta(days=DAYS), time.monotonic()
        for first in range(0, lines, CHUNK):
            await connection.execute(LINES, start, first, min(lines, first + CHUNK), lines, DAYS)
        await connection.execute("CREATE INDEX log_lines_by_words ON log_lines USING gin (search)")
        print(f"{lines} lines in {time.monotonic() - began:.0f} s", flush=True)
        await connection.execute("VACUUM (ANALYZE) usage_records")
        await connection.execute("VACUUM (ANALYZE) log_lines")
    finally:
        await connection.close()


def pages(one: Service) -> dict[str, str]:
    """What is opened: how the table calls it → its address."""
    key = one.call("GET", "/admin/v1/keys?limit=1")[1]["items"][0]["id"]
    call = one.call("GET", f"/admin/v1/requests?limit=1&key={key}")[1]["items"][0]
    found = {
        path: path
        for path in (
            "/", "/requests", "/requests?user=user-17", "/requests?user=nobody", "/requests?status=cut",
            "/requests?status=cancelled", "/requests?model=sim/rare", "/requests?model=none", "/logs",
            "/logs?q=needle77", "/logs?q=upstream", "/logs?level=error", "/logs/patterns", "/playground", "/memory",
            "/memory/effectiveness", "/keys", "/limits", "/workspaces", "/accounts", "/alerts", "/incidents", "/audit",
            "/models", "/settings", "/jobs",
        )
    }  # fmt: skip
    found |= {
        "/requests?key=…": f"/requests?key={call['key']}",
        "/requests/…": f"/requests/{call['id']}",
        "/keys/…": f"/keys/{call['key']}",
    }
    return found | {f"/dashboards/{board.slug}": f"/dashboards/{board.slug}" for board in DASHBOARDS}


def opened(page: Page, address: str) -> tuple[float, float]:
    """Milliseconds until the page stands, and until all of its figures are drawn."""
    began = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("h1#cmg-title")
    stands = time.perf_counter() - began
    page.wait_for_function("!document.querySelector('[data-drawn=waiting]')")
    return stands * 1000, (time.perf_counter() - began) * 1000


def measure(one: Service, rounds: int) -> None:
    """The table, worst of the rounds beside the middle one."""
    print("| page | stands, ms | drawn, ms | slowest, ms |\n| --- | --- | --- | --- |")
    with chromium() as browser, tab(browser, one.console_url) as seat:
        seat.sign_in_well(EMAIL, PASSWORD)
        late = []
        for name, path in pages(one).items():
            took = [opened(seat.page, one.console_url + path) for _ in range(rounds)]
            stands, drawn = (statistics.median(column) for column in zip(*took, strict=True))
            slowest = max(row[1] for row in took)
            late += [name] if drawn > BAR_MS else []
            banner = " refused!" if seat.page.locator(".cmg-banner").count() else ""
            print(f"| `{name}`{banner} | {stands:.0f} | {drawn:.0f} | {slowest:.0f} |", flush=True)
    print(f"later than {BAR_MS} ms: {', '.join(late) or 'none'}")


def lists(one: Service) -> None:
    """How long a page of calls takes to be asked for."""
    for wanted in ("", "user=user-17", "user=nobody", "status=cut", "status=cancelled", "model=none"):
        took = []
        for _ in range(9):
            began = time.perf_counter()
            one.call("GET", f"/admin/v1/requests?limit=50&{wanted}")
            took.append((time.perf_counter() - began) * 1000)
        print(f"{wanted or 'all':40} {statistics.median(took):7.1f} ms, slowest {max(took):.1f}")


async def drain(one: Service) -> None:
    """What the ledger weighs, and how quickly batches of 2,000 records are stored."""
    lists(one)
    connection = await asyncpg.connect(one.database_url())
    try:
        rows = await connection.fetch(
            "SELECT regexp_replace(i.relname, '^usage_records_?[0-9p]*_?[0-9]*_?', '') AS name, "
            "sum(pg_relation_size(i.oid)) AS size FROM pg_class i WHERE i.relname LIKE 'usage_records%' "
            "AND i.relkind IN ('r', 'i') GROUP BY 1 ORDER BY 2 DESC"
        )
        calls = await connection.fetchval("SELECT count(*) FROM usage_records")
        for row in rows:
            if row["size"] > 2**20:
                print(f"{row['name'] or 'rows':40} {row['size'] / calls:7.1f} bytes a call")
        now, took = time.time(), []
        for _ in range(20):
            batch = [usage_payload(at=now, user_id=f"user-{number}") for number in range(2000)]
            began = time.perf_counter()
            async with connection.transaction():
                await UsageSink().write(connection, batch)
            took.append(time.perf_counter() - began)
        print(f"{2000 / statistics.median(took):,.0f} rows a second, in batches of 2,000")
    finally:
        await connection.close()


def main() -> None:
    """See the module."""
    what, folder = sys.argv[1], Path(sys.argv[2]).resolve()
    numbers = [int(word) for word in sys.argv[3:]]
    folder.mkdir(parents=True, exist_ok=True)
    with service(folder) as one:
        if what == "seed":
            asyncio.run(seed(one, *(numbers or [1_000_000, 2_000_000])))
        elif what == "open":
            measure(one, *(numbers or [3]))
        else:
            asyncio.run(drain(one))


if __name__ == "__main__":
    main()
