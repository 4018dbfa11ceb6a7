"""Where lines are born: secrets go out by construction, requests are named, writing never waits and losses count."""

import asyncio
import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog

from cmg.telemetry import logs
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.lines import writing
from cmg.telemetry.lines.encoding import LINE_BYTES, encoded, pseudonym
from cmg.telemetry.lines.request import REQUEST
from cmg.telemetry.lines.spool import SEGMENT_BYTES, Spool
from cmg.telemetry.lines.writing import LineWriter
from cmg.telemetry.tracing.trace import Trace, enter
from support.processes import wait_until

SECRETS = {
    "authorization": "Bearer abcdefghijklmnop",
    "note": "the key is cmg_ab12cd34_SECRETsecret42SECRET",
    "upstream": "sk-or-v1-0123456789abcdef0123",
    "dsn": "postgresql://cmg:hunter2hunter2@db/cmg",
    "libpq": "host=db password=hunter2hunter2 user=cmg",
    "body": '{"api_key": "hunter2hunter2", "model": "m"}',
    "password": "hunter2hunter2",
    "nested": {"deep": [{"client_secret": "hunter2hunter2"}], "x-api-key": "hunter2hunter2"},
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.hunter2hunter2",
    "pem": "-----BEGIN PRIVATE KEY-----\nhunter2hunter2\n-----END PRIVATE KEY-----",
    "aws": "AKIAABCDEFGHIJKLMNOP",
    "github": "ghp_0123456789abcdef0123456789abcdef0123",
}
LEAKS = ("hunter2", "SECRETsecret", "abcdefghijklmnop", "0123456789abcdef", "AKIAABCD")


@pytest.fixture
def spooled(tmp_path: Path) -> Iterator[Path]:
    """A folder into which this process logs; everything is as before afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    hooks = logs.sys.excepthook, threading.excepthook
    logs.configure("info", "test-0", tmp_path)
    yield tmp_path
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = before
    root.setLevel(level)
    logs.sys.excepthook, threading.excepthook = hooks
    structlog.reset_defaults()


def lines(folder: Path) -> list[dict[str, object]]:
    """Every whole line in a spool."""
    return [json.loads(one) for file in sorted(folder.glob("*.ndjson")) for one in file.read_bytes().splitlines()]


def test_no_secret_of_any_field_reaches_a_line() -> None:
    line = encoded({"message": "a call", **SECRETS, "cmg.tokens": 12, "cmg.key_id": "ab12cd34"}).decode()
    assert not [leak for leak in LEAKS if leak in line], line
    told = json.loads(line)
    assert (told["cmg.tokens"], told["cmg.key_id"], told["password"]) == (12, "ab12cd34", "***")


def test_a_user_is_named_by_a_pseudonym_only(spooled: Path) -> None:
    structlog.stdlib.get_logger("cmg.test.people").info("seen", **{"user.id": "ada@example.com"})
    wait_until(lambda: bool(lines(spooled)), 5, "the line is written")
    (line,) = lines(spooled)
    assert line["user.hash"] == pseudonym("ada@example.com") != pseudonym("bob@example.com")
    assert "ada@" not in json.dumps(line)


def test_a_line_of_any_size_and_content_is_json_of_a_bounded_size() -> None:
    odd = {"message": "x" * 500_000, "half": "\ud800", "big": 2**80, **{f"f{n}": "y" * 100 for n in range(3000)}}
    line = encoded(odd)
    assert len(line) <= LINE_BYTES
    assert json.loads(line)["message"].startswith("xxx")


async def test_every_line_of_a_request_carries_its_ids(spooled: Path) -> None:
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

    async def handle() -> None:
        scope = {"headers": [(b"traceparent", f"00-{trace}-{span}-01".encode())], "cmg.request_id": "r1"}
        REQUEST.set(scope)
        scope["cmg.caller"] = SimpleNamespace(workspace_id="team", key_id="k1")
        logging.getLogger("cmg.test.stdlib").warning("from %s", "the library")
        await asyncio.create_task(_logs_later())

    await asyncio.create_task(handle())
    logging.getLogger("cmg.test.stdlib").warning("outside")
    wait_until(lambda: len(lines(spooled)) == 3, 5, "the lines are written")
    first, second, outside = lines(spooled)
    for line in (first, second):
        assert (line["cmg.request_id"], line["trace.id"], line["span.id"]) == ("r1", trace, span)
        assert (line["cmg.workspace"], line["cmg.key_id"]) == ("team", "k1")
    assert "cmg.request_id" not in outside


async def _logs_later() -> None:
    structlog.stdlib.get_logger("cmg.test.structlog").info("in a task of the request")


def test_a_crash_of_a_thread_is_a_line(spooled: Path) -> None:
    def crash() -> None:
        raise LookupError("nothing there")

    thread = threading.Thread(target=crash)
    thread.start()
    thread.join()
    wait_until(lambda: bool(lines(spooled)), 5, "the line is written")
    (line,) = lines(spooled)
    assert (line["error.type"], line["error.message"]) == ("LookupError", "nothing there")
    assert "crash" in str(line["error.stack_trace"])


class Stuck:
    """A disk that does not answer until it is told to."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.taken = b""

    def append(self, data: bytes) -> bool:
        """Wait, then take."""
        self.free.wait()
        self.taken += data
        return True

    def close(self) -> None:
        """Nothing."""


def record(text: str) -> logging.LogRecord:
    """One record."""
    return logging.LogRecord("cmg.test", logging.INFO, __file__, 1, text, (), None)


def test_a_stuck_disk_holds_nobody_up_and_what_is_dropped_is_counted(monkeypatch, instruments: Instruments) -> None:
    monkeypatch.setattr(writing, "QUEUED_LINES", 100)
    disk = Stuck()
    writer = LineWriter(disk, stream=-1)
    writer.report_to(instruments)
    writer.start()
    emitting = threading.Thread(target=lambda: [writer.emit(record(f"line {n}")) for n in range(1000)])
    emitting.start()
    emitting.join(5)
    assert not emitting.is_alive()
    disk.free.set()

    def told() -> float:
        return instruments.registry.get_sample_value("cmg_log_lines_dropped_total", {"reason": "queue"}) or 0

    wait_until(lambda: told() >= 800, 10, "the drops are counted")
    writer.close()
    assert disk.taken.count(b"\n") + told() == 1000


def test_a_reader_of_standard_error_who_does_not_read_costs_lines_there_only(tmp_path: Path) -> None:
    read, write = os.pipe()
    writer = LineWriter(Spool(tmp_path), stream=write)
    writer.start()
    for number in range(3000):
        writer.emit(record(f"{number} " + "x" * 100))
    wait_until(lambda: sum(f.read_bytes().count(b"\n") for f in tmp_path.glob("*.ndjson")) == 3000, 20, "all are kept")
    os.close(read)
    writer.close()
    os.close(write)


def test_a_terminal_gets_lines_for_people_and_the_spool_json(tmp_path: Path) -> None:
    master, terminal = os.openpty()
    writer = LineWriter(Spool(tmp_path), stream=terminal)
    told = {
        "@timestamp": "2026-03-01T10:11:12.5Z", "log.level": "error", "process.name": "gateway-0",
        "message": "it \x1b[31m", "log.logger": "cmg.x", "error.message": "no room", "cmg.retry_s": 3,
        "error.stack_trace": "Traceback:\n  here",
    }  # fmt: skip
    writer.emit(record(json.dumps(told)))
    writer.emit(record("no JSON"))
    writer.start()
    writer.close()
    shown = os.read(master, 4096).decode().replace("\r\n", "\n").splitlines()
    os.close(terminal)
    os.close(master)
    first = "10:11:12 ERROR    gateway-0 cmg.x: it \\x1b[31m (no room) retry_s=3"
    assert shown == [first, "Traceback:", "  here", "no JSON"]
    assert (json.loads(next(tmp_path.glob("*.ndjson")).read_bytes().splitlines()[0])) == told


def test_a_spool_takes_no_more_than_its_bound(tmp_path: Path) -> None:
    spool = Spool(tmp_path, most_bytes=3 * SEGMENT_BYTES)
    data = b"x" * (SEGMENT_BYTES // 2 - 1) + b"\n"
    taken = [spool.append(data) for _ in range(20)]
    assert taken == [True] * 6 + [False] * 14
    next(iter(sorted(tmp_path.glob("*.ndjson")))).unlink()
    assert spool.append(data)


async def test_lines_of_a_job_carry_its_trace(spooled: Path) -> None:
    async def job() -> None:
        enter(Trace("01a224eb4a977604a05be746d072c0fc", None, 0.0, 0.0))
        structlog.stdlib.get_logger("cmg.test.job").info("at work")

    await asyncio.create_task(job())
    wait_until(lambda: bool(lines(spooled)), 5, "the line is written")
    (line,) = lines(spooled)
    assert (line["trace.id"], line["span.id"]) == ("01a224eb4a977604a05be746d072c0fc", "a05be746d072c0fc")
