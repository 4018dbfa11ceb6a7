"""What the doctor finds, each check on its own, and what it tells to do next."""

import http.server
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from cmg.cli import findings
from cmg.cli.findings import Finding
from cmg.config import JournalSettings, LimitSettings, Settings, UpstreamSettings
from cmg.memory.embedding.socket_client import SocketEmbedder
from support.models import EmbedderProcess

CLOSED = "127.0.0.1:9"


def _one(found: list[Finding], check: str) -> Finding:
    (finding,) = [one for one in found if one.check == check]
    assert finding.level == "ok" or finding.next, "what is wrong comes with what to do"
    return finding


class _Upstream(http.server.BaseHTTPRequestHandler):
    """Answers `/models` by the key's name: `k401` → 401."""

    def do_GET(self) -> None:
        key = self.headers.get("authorization", "").removeprefix("Bearer k")
        self.send_response(int(key or 200))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def upstream() -> Iterator[str]:
    """The base URL of an upstream that answers by its key."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Upstream) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


@pytest.mark.parametrize(
    ("key", "level", "told"),
    [("k200", "ok", "answers"), ("k401", "fail", "refuses its key"), ("k503", "warn", "503"), (None, "ok", "no key")],
)
async def test_an_upstream_is_judged_by_its_answer(upstream: str, key: str | None, level: str, told: str) -> None:
    settings = Settings(upstreams=[UpstreamSettings(name="local", base_url=upstream, api_key=key)])
    found = _one(await findings.upstreams(settings), "upstream local")
    assert found.level == level
    assert told in found.message


async def test_an_upstream_without_its_key_names_the_variable() -> None:
    settings = Settings(upstreams=[UpstreamSettings(name="local", base_url="http://h/v1", api_key="env:LOCAL_KEY")])
    found = _one(await findings.upstreams(settings), "upstream local")
    assert found.level == "warn"
    assert "LOCAL_KEY" in found.next


async def test_an_upstream_that_cannot_be_reached_fails() -> None:
    settings = Settings(upstreams=[UpstreamSettings(name="local", base_url=f"http://{CLOSED}/v1", api_key="k")])
    assert _one(await findings.upstreams(settings), "upstream local").level == "warn"


async def test_without_upstreams_only_the_simulator_answers() -> None:
    found = _one(await findings.upstreams(Settings()), "upstreams")
    assert (found.level, "OPENROUTER_API_KEY" in found.next) == ("warn", True)


@pytest.mark.needs("redis-server")
async def test_a_redis_that_answers_is_good(redis_url: str) -> None:
    assert _one(await findings.redis_server(Settings(redis_url=redis_url)), "redis").level == "ok"


@pytest.mark.parametrize("url", [f"redis://:secret@{CLOSED}/0", "no url"])
async def test_a_redis_that_does_not_answer_fails_without_telling_its_password(url: str) -> None:
    found = _one(await findings.redis_server(Settings(redis_url=url)), "redis")
    assert found.level == "fail"
    assert "secret" not in found.message


async def test_a_database_with_this_releases_schema_is_good(dsn: str) -> None:
    found = _one(await findings.database(Settings(database_url=dsn)), "database")
    assert (found.level, "schema is this release's" in found.message) == ("ok", True)


async def test_a_database_with_less_room_than_the_machine_may_use_is_warned_of(dsn: str) -> None:
    found = _one(await findings.database(Settings(database_url=dsn, workers=64)), "connections")
    assert (found.level, "max_connections" in found.next) == ("warn", True)
    enough = await findings.database(Settings(database_url=dsn, workers=1))
    assert [one.check for one in enough] == ["database"]


async def test_an_empty_database_will_be_migrated(empty_dsn: str) -> None:
    assert "next start" in _one(await findings.database(Settings(database_url=empty_dsn)), "database").message


@pytest.mark.parametrize("url", [f"postgresql://cmg:secret@{CLOSED}/cmg", "postgresql://%zz"])
async def test_a_database_that_does_not_answer_fails_without_telling_its_password(url: str) -> None:
    found = _one(await findings.database(Settings(database_url=url)), "database")
    assert found.level == "fail"
    assert "secret" not in found.message


async def test_the_embedded_database_is_not_made_by_looking(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    assert _one(await findings.database(settings), "database").level == "ok"
    assert _one(await findings.data_dir(settings), "data dir").level == "ok"
    assert not (tmp_path / "data").exists()


async def test_a_disk_that_is_too_small_for_the_journal_fails(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, journal=JournalSettings(max_bytes=2**60))
    assert _one(await findings.data_dir(settings), "disk").level == "fail"


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder in which a socket's path is as short as it must be; `tmp_path` may be deep."""
    with tempfile.TemporaryDirectory(prefix="cmg-doctor-", dir="/tmp") as folder:
        yield Path(folder)


async def test_the_folder_of_sockets_is_looked_at(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(short))
    settings = Settings(data_dir=short / "data")
    assert _one(await findings.sockets(settings), "sockets").level == "ok"
    monkeypatch.setenv("TEMP", str(short))
    monkeypatch.setenv("TMPDIR", str(short / "missing"))
    assert _one(await findings.sockets(settings), "sockets").level == "warn"
    deep = short / ("x" * 100)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    assert "too long" in _one(await findings.sockets(settings), "sockets").message
    monkeypatch.setattr("os.statvfs", lambda _: SimpleNamespace(f_bavail=1, f_frsize=4096, f_files=0, f_favail=0))
    found = _one(await findings.sockets(settings), "sockets")
    assert (found.level, found.message) == ("fail", f"{deep} is full")


async def test_a_port_of_another_program_fails_and_a_free_one_is_good() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        assert _one(await findings.port(Settings(port=taken)), "port").level == "fail"
    assert _one(await findings.port(Settings(port=taken)), "port").level == "ok"


async def test_an_open_address_and_too_few_files_are_warned_of() -> None:
    found = await findings.machine(Settings(host="0.0.0.0", limits=LimitSettings(connections=10**9)))
    assert {one.check: one.level for one in found}["network"] == "warn"


async def test_the_embedder_that_can_be_used_is_named(tmp_path: Path) -> None:
    found = _one(await findings.embedder(Settings(data_dir=tmp_path)), "embedder")
    assert (found.level, "minilm-l6-v2 can be used" in found.message) == ("ok", True)


async def test_an_embedder_whose_package_is_missing_is_a_warning(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(findings, "source_folder", lambda: tmp_path)
    found = _one(await findings.embedder(Settings(data_dir=tmp_path)), "embedder")
    assert found.level == "warn"
    assert "model.safetensors" in found.message


async def test_the_running_embedder_is_asked() -> None:
    with EmbedderProcess("static") as process:
        client = SocketEmbedder(process.socket)
        await process.ready(client)
        await client.close()
        found = _one(await findings.embedder(process.orders.settings), "embedder")
    assert (found.level, found.message) == ("ok", "wordllama-256 runs")
