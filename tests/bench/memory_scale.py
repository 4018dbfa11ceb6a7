"""What recall and ingest cost in a large memory, over HTTP, with one worker and the embedded PostgreSQL.

    python tests/bench/memory_scale.py [--turns 1000000] [--keep FOLDER] [--asked 300] [--json FILE]

Seeds a workspace (a user of 100,000 turns, one of 10,000, the rest of 1,000 each; under six minutes for a million),
then asks one question after the other, each another one, and reports: recall by the size of the user, with the local
embedder and by words alone; what memory adds to a chat call of users of 1,000 turns; ingest without an embedder; how
quickly the backlog of embeddings goes down; the sizes of tables and indexes. With `--keep` the data stay in that
folder, and a later run with the same folder measures only: then everything is read for the first time since a start.
"""

import argparse
import asyncio
import http.client
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import memory_rows as made  # noqa: E402
from memory_seed import MANY_TOPICS_FROM, Crowd, fill, sizes, topics_of  # noqa: E402
from sides import mock_upstream, rss_mib  # noqa: E402

from cmg.identity.models import DEFAULT_WORKSPACE  # noqa: E402
from cmg.memory.embedding.minilm import MiniLm  # noqa: E402
from support.models import models_folder  # noqa: E402
from support.processes import wait_until  # noqa: E402
from support.service import Service, ServiceOptions, upstream_toml  # noqa: E402

_LARGE = (100_000, 10_000)
_EACH = 1000
_COME_AGAIN = 20  # users of whom the service knows something already
_BATCH = 100
UNLIMITED = {"limits": {"rpm": 1_000_000, "tpm": 1_000_000_000, "concurrency": 1000}}


class Client:
    """One connection to the service; times its calls."""

    def __init__(self, service: Service, key: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}

    def post(self, path: str, body: dict) -> tuple[float, dict]:
        """Milliseconds and the answer; anything but success ends the run."""
        data = json.dumps(body)
        started = time.perf_counter()
        self._connection.request("POST", path, data, self._headers)
        answer = self._connection.getresponse()
        raw = answer.read()
        took = (time.perf_counter() - started) * 1000
        if answer.status not in {200, 202}:
            raise RuntimeError(f"{path} answered {answer.status}: {raw[:300]!r}")
        return took, json.loads(raw)


def crowd_of(turns: int, workspace_id: str) -> Crowd:
    """The large users as far as they fit beside some of the usual size."""
    large = [size for size in _LARGE if size < turns / 2]
    return Crowd(workspace_id, [*large, *[_EACH] * ((turns - sum(large)) // _EACH)])


def questions(crowd: Crowd, size: int, language: made.Language, seed: int) -> Iterator[tuple[str, str]]:
    """User and question, endlessly, of the users of one size."""
    source, topics = random.Random(seed), topics_of(crowd)
    users = [number for number, turns in enumerate(crowd.turns) if turns == size]
    while True:
        user = source.choice(users)
        topic = source.randrange(made.TOPICS) if size >= MANY_TOPICS_FROM else int(source.choice(topics[user]))
        yield crowd.users[user], made.question(language, topic, source)


def percentiles(times: list[float]) -> str:
    """p50, p95 and p99."""
    cuts = statistics.quantiles(times, n=100)
    return f"p50 {statistics.median(times):6.1f}   p95 {cuts[94]:6.1f}   p99 {cuts[98]:6.1f} ms"


def recall(client: Client, crowd: Crowd, language: made.Language, asked: int, label: str) -> dict[str, list[float]]:
    """Ask users of every size and print a line each."""
    found = {}
    for size in sorted(set(crowd.turns)):
        source = questions(crowd, size, language, seed=time.monotonic_ns())
        times, items = [], []
        for number in range(asked + 20):
            user, text = next(source)
            took, answer = client.post("/v1/recall", {"user_id": user, "query": text})
            if number >= 20:
                times.append(took)
                items.append(len(answer["items"]))
        print(
            f"recall, {label}, user of {size:7,}: {percentiles(times)}   {statistics.mean(items):.0f} items", flush=True
        )
        found[f"recall {label} {size}"] = times
    return found


def chat_path(service: Service, crowd: Crowd, language: made.Language, asked: int, label: str) -> dict[str, float]:
    """Print what memory adds to a chat call, while a mock upstream answers at once.

    Of users who are all met for the first time and of a few who come again, each question asked without memory and with
    it in turns; and of one user whose calls follow each other without a pause.
    """
    keys = [service.new_key(memory=memory, **UNLIMITED) for memory in ("off", "on")]
    sides, added = [Client(service, key) for key in keys], {}
    source = questions(crowd, _EACH, language, seed=time.monotonic_ns())
    few = [next(source)[0] for _ in range(_COME_AGAIN)]
    groups = (
        ("each another", None, True),
        (f"the same {_COME_AGAIN}", few, True),
        ("one at once again", few[:1], False),
    )
    for who, users, by_turns in groups:
        asks = []
        for number in range(asked + 20):
            user, text = next(source)
            user = user if users is None else users[number % len(users)]
            asks.append({"model": "bench", "messages": [{"role": "user", "content": text}], "user": user})
        order = (
            [(side, ask) for ask in asks for side in (0, 1)]
            if by_turns
            else [(side, ask) for side in (0, 1) for ask in asks]
        )
        times: list[list[float]] = [[], []]
        for side, ask in order:
            times[side].append(sides[side].post("/v1/chat/completions", ask)[0])
        without, with_memory = (statistics.median(took[20:]) for took in times)
        added[f"chat {label} {who}"] = with_memory - without
        told = f"p50 {with_memory:5.1f}, without memory {without:4.1f}: {with_memory - without:5.1f} ms added"
        print(f"chat, {label}, users of {_EACH:,}, {who}: {told}", flush=True)
    return added


def ingest(client: Client, language: made.Language, turns: int) -> float:
    """Turns a second through `/v1/ingest`, in batches of 100, a new user for every 1,000."""
    source, taken, run_id = random.Random(time.monotonic_ns()), 0.0, time.monotonic_ns()
    for place in range(0, turns, _BATCH):
        said = [
            {"role": ("user", "assistant")[number % 2], "content": " ".join(source.choices(language.words, k=18))}
            for number in range(_BATCH)
        ]
        user = f"ingest-{run_id}-{source.random() if place % 1000 else place}"
        body = {"user_id": user, "thread_id": "t", "messages": said}
        taken += client.post("/v1/ingest", body)[0] / 1000
    return turns / taken


def backlog(service: Service, client: Client, language: made.Language, turns: int) -> float:
    """Passages embedded a second while nothing else happens."""
    ingest(client, language, turns)
    waiting = _counter(service, "SELECT count(*) FROM memory_unembedded")
    begin, started = waiting(), time.monotonic()
    wait_until(lambda: waiting() == 0, 120, "everything is embedded")
    return begin / (time.monotonic() - started)


def _counter(service: Service, statement: str) -> Callable[[], int]:
    import asyncpg

    async def ask() -> int:
        connection = await asyncpg.connect(service.database_url())
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return lambda: asyncio.run(ask())


def seeded(service: Service, language: made.Language, turns: int) -> Crowd:
    """The crowd, stored by this run or an earlier one."""
    dsn = service.database_url()
    crowd = crowd_of(turns, DEFAULT_WORKSPACE)
    if not _counter(service, "SELECT count(*) FROM memory_users")():
        wait_until(_counter(service, "SELECT count(*) FROM memory_models"), 60, "the embedder has said its model")
        for part, seconds in asyncio.run(fill(dsn, crowd, language)).items():
            print(f"seeding: {part}: {seconds:.0f} s", flush=True)
    return crowd


def report_sizes(service: Service, turns: int) -> dict[str, int]:
    """Print MiB and bytes a turn."""
    found = asyncio.run(sizes(service.database_url()))
    for name, size in sorted(found.items(), key=lambda item: -item[1]):
        print(f"size: {name}: {size / 2**20:.0f} MiB, {size / turns:.0f} bytes a turn of the workspace")
    return found


def run(arguments: argparse.Namespace) -> None:
    """Seed, measure with the local embedder, then without one."""
    language = made.Language(MiniLm(models_folder()))
    folder = Path(arguments.keep) if arguments.keep else None
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, object] = {}
    with mock_upstream() as port, Service(ServiceOptions(data_dir=folder, toml=settings(port, "local"))) as service:
        crowd = seeded(service, language, arguments.turns)
        behind = _counter(
            service,
            "SELECT (SELECT count(*) FROM memory_unembedded) + count(*) FROM memory_users WHERE NOT vectors_whole",
        )
        wait_until(lambda: behind() == 0, 600, "what an earlier run wrote without an embedder has its vectors")
        client = Client(service, service.new_key(**UNLIMITED))
        figures["sizes"] = report_sizes(service, arguments.turns)
        figures |= recall(client, crowd, language, arguments.asked, "local embedder")
        figures |= chat_path(service, crowd, language, arguments.asked, "local embedder")
        figures["embedded a second"] = backlog(service, client, language, 1000)
        print(f"backlog: {figures['embedded a second']:.0f} passages embedded a second")
        assert service.process is not None
        service.terminate()
        service.options.toml = settings(port, "none")
        service.start()
        client = Client(service, service.new_key(**UNLIMITED))
        figures |= recall(client, crowd, language, arguments.asked, "by words alone")
        figures |= chat_path(service, crowd, language, arguments.asked, "by words alone")
        figures["ingested a second"] = ingest(client, language, 5000)
        print(f"ingest without an embedder: {figures['ingested a second']:.0f} turns a second")
        print(f"resident: {resident(service)}")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures))


def settings(port: int, embedder: str) -> str:
    """The settings file: an upstream at that port, and the memory's embedder."""
    return upstream_toml("bench", f"http://127.0.0.1:{port}/v1", '["bench"]') + f'\n[memory]\nembedder = "{embedder}"\n'


def resident(service: Service) -> str:
    """MiB of each process."""
    return ", ".join(
        f"{kind} {rss_mib(pid):.0f} MiB" for kind in ("gateway", "backstage") for pid in service.pids(kind)
    )


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=1_000_000, help="in the workspace")
    parser.add_argument("--asked", type=int, default=300, help="questions for each size of user")
    parser.add_argument("--keep", help="keep the data here, or use those that lie there")
    parser.add_argument("--json", help="write the figures here")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
