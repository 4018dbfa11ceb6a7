"""Erasing a person: a canary in everything they said, and in their id, is nowhere afterwards, and stays away."""

import gzip
import json
import resource
import secrets
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmg.kit.paths import ROOM_BYTES
from support.api import Api
from support.service import CMG, Service, ServiceOptions, eventually


@pytest.fixture(scope="module")
def house() -> Iterator[Service]:
    """A service of its own with two workers: its whole data dir is looked through."""
    with Service(ServiceOptions(workers=2)) as running:
        yield running


@pytest.fixture
def canary() -> str:
    """A word that stands nowhere else."""
    return f"canary{secrets.token_hex(8)}"


@pytest.fixture
def new_data_dir(house: Service) -> Iterator[Path]:
    """An empty data dir beside the service's, which the database's own user may enter."""
    folder = house.data_dir.with_name(f"{house.data_dir.name}-restored")
    folder.mkdir()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def cmg(
    service: Service, *words: str, data_dir: Path | None = None, file_bytes: int = -1
) -> subprocess.CompletedProcess[str]:
    """Run a command on the service's data dir, or on another; `file_bytes`: its files cannot become larger."""
    limits = (resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))
    environ = {**service._environ(), "CMG_DATA_DIR": str(data_dir or service.data_dir)}
    return subprocess.run(
        [str(CMG), *words],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: resource.setrlimit(*limits),
    )


def in_files(folder: Path, word: str) -> list[str]:
    """Files that hold a word, the database's own left out: its tables are dumped instead."""
    ours = [
        path for path in folder.rglob("*") if path.is_file() and "postgres" not in path.relative_to(folder).parts[0]
    ]
    return [str(path.relative_to(folder)) for path in ours if word in _text(path)]


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("latin-1")
    except FileNotFoundError:  # the drain deleted it meanwhile
        return ""


def in_table(archive: Path, table: str, column: str) -> set[str]:
    """The values of a column of a table in a backup, as text."""
    with tarfile.open(archive) as tar:
        tables = json.loads(_member(tar, "manifest.json"))["database"]["tables"]
        dumped = next(one for one in tables if one["name"] == table)
        rows = gzip.decompress(_member(tar, dumped["member"])).decode().splitlines()
    return {row.split("\t")[dumped["columns"].index(column)] for row in rows}


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file is not None
    return file.read()


def in_dump(archive: Path, word: str) -> list[str]:
    """Tables and files of a backup that hold a word."""
    found = []
    with tarfile.open(archive) as tar:
        for member in tar:
            file = tar.extractfile(member)
            data = b"" if file is None else file.read()
            if member.name.endswith(".gz"):
                data = gzip.decompress(data)
            if word.encode() in data:
                found.append(member.name)
    return found


def backup(service: Service, archive: Path) -> Path:
    """A dump of every table and of the journals."""
    done = cmg(service, "backup", str(archive))
    assert done.returncode == 0, done.stderr
    return archive


async def live(api: Api, user: str, canary: str) -> None:
    """Leave traces everywhere: chat, stream, idempotent answers, ingest, a memory with versions, feedback, a cache."""
    key = (await api.post("/admin/v1/keys", {"name": "cached", "memory": "off", "response_cache_s": 600})).json["key"]
    await api.chat("sim/echo", f"I am {canary}", user=user, key=key)
    await api.chat("sim/echo", f"I am {canary}", user=user, thread_id=f"{canary}-thread")
    await api.chat("sim/echo", f"Again {canary}", user=user, headers={"idempotency-key": canary})
    await api.stream("sim/echo", f"Streamed {canary}", user=user, headers={"idempotency-key": f"s-{canary}"})
    message = {"role": "user", "content": f"Ingested {canary}", "id": f"id-{canary}", "name": canary}
    await api.post("/v1/ingest", {"user_id": user, "messages": [message], "metadata": {"m": canary}, "wait": True})
    told = [{"role": "user", "content": f"Chapter {n} of {canary}. " + "The boats wait. " * 50} for n in range(10)]
    await api.post("/v1/ingest", {"user_id": user, "thread_id": f"{canary}-long", "messages": told})
    added = await api.post("/v1/memories", {"user_id": user, "content": f"Likes {canary}"})
    (item,) = added.json["items"]
    await api.request("PUT", f"/v1/memories/{item['id']}", {"content": f"Loves {canary}"})
    judged = {"item_id": item["id"], "feedback_type": "helpful", "comment": f"says {canary}"}
    assert (await api.post("/v1/feedback", judged)).status == 200


async def stored(api: Api, user: str, count: int) -> None:
    """Wait until the journals are in the database."""

    async def there() -> bool:
        return len((await api.get(f"/v1/memories?user_id={user}")).json["items"]) >= count

    await eventually(there, 5, "everything said is stored")


async def summed_up(api: Api, user: str) -> None:
    """Wait until the long thread has its summary."""

    async def there() -> bool:
        return b'"type":"summary"' in (await api.post("/v1/export", {"user_id": user})).body

    await eventually(there, 60, "the long thread is summed up")


async def test_nothing_of_an_erased_person_is_left_anywhere(house: Service, canary: str, tmp_path: Path) -> None:
    user = f"{canary}@example.com"
    refused = house.data_dir / "spool" / "refused"
    refused.mkdir(mode=0o700, exist_ok=True)
    (refused / "0-0-0.turns").write_bytes(f"cannot be read {user}".encode())
    (refused / "0-0-0.turns.why").write_text(f"ValueError({canary!r})")
    async with Api(house.url, house.key) as api:
        await live(api, user, canary)
        await stored(api, user, 17)
        await summed_up(api, user)
        before = backup(house, tmp_path / "before.tar")
        assert len(in_dump(before, canary)) >= 6
        assert in_table(before, "memory_vectors", "seq")
        assert canary in str(in_table(before, "memory_summaries", "lines"))
        assert any(name.endswith(".jnl") for name in in_files(house.data_dir, canary))
        receipt = await api.post("/v1/erase", {"user_id": user})
        assert receipt.status == 200, receipt.body
        erased = receipt.json["erased"]
        assert erased["turns"] >= 7, erased
        assert erased["facts"] >= 1, erased  # the written memory, and what was drawn meanwhile
        assert (erased["operations"], erased["stored_answers"], erased["summaries"]) == (2, 2, 1)
        assert (erased["ledger"], erased["refused_records"], receipt.json["pending"]) == (4, 1, [])
        assert canary not in receipt.body.decode()
        assert (await api.post("/v1/recall", {"user_id": user, "query": canary})).json["items"] == []

        async def gone() -> bool:
            return not in_files(house.data_dir, canary)

        await eventually(gone, 5, "no file of the data dir holds the canary")
        after = backup(house, tmp_path / "after.tar")
        assert in_dump(after, canary) == []
        left = in_table(after, "memory_turns", "seq")
        for table in ("memory_vectors", "memory_unembedded", "memory_unembeddable"):
            assert in_table(after, table, "seq") <= left, table
        usage = await api.get("/admin/v1/usage?group_by=user")
        assert receipt.json["pseudonym"] in usage.body.decode()
        trail = (await api.get("/admin/v1/audit?action=memory.erase")).json["items"]
        assert trail[0]["details"]["erased"] == erased
        assert canary not in _text(house.log)


async def test_somebody_else_keeps_everything(house: Service, canary: str) -> None:
    async with Api(house.url, house.key) as api:
        for user in (f"{canary}-a", f"{canary}-b"):
            await api.chat("sim/echo", f"Hello from {user}", user=user, headers={"idempotency-key": user})
            await stored(api, user, 2)
        assert (await api.post("/v1/erase", {"user_id": f"{canary}-a"})).status == 200
        left = (await api.get(f"/v1/memories?user_id={canary}-b")).json["items"]
        assert len(left) == 2
        again = await api.chat(
            "sim/echo", f"Hello from {canary}-b", user=f"{canary}-b", headers={"idempotency-key": f"{canary}-b"}
        )
        assert again.headers["x-cmg-replayed"] == "true"


async def test_an_erased_person_may_begin_anew(house: Service, canary: str) -> None:
    async with Api(house.url, house.key) as api:
        await api.chat("sim/echo", "Before", user=canary)
        await stored(api, canary, 2)
        await api.post("/v1/erase", {"user_id": canary})
        await api.chat("sim/echo", "After", user=canary)
        await stored(api, canary, 2)
        assert {one["content"] for one in (await api.get(f"/v1/memories?user_id={canary}")).json["items"]} == {"After"}


async def test_a_restored_backup_forgets_the_erased_before_it_serves(
    house: Service, canary: str, tmp_path: Path, new_data_dir: Path
) -> None:
    async with Api(house.url, house.key) as api:
        await live(api, canary, canary)
        await stored(api, canary, 7)
        archive = backup(house, tmp_path / "old.tar")
        assert in_dump(archive, canary)
        await api.post("/v1/erase", {"user_id": canary})
    data_dir = new_data_dir
    (data_dir / "erasures.jsonl").write_bytes((house.data_dir / "erasures.jsonl").read_bytes())
    done = cmg(house, "restore", str(archive), data_dir=data_dir)
    assert done.returncode == 0, done.stderr
    with Service(ServiceOptions(data_dir=data_dir)) as restored:
        async with Api(restored.url, restored.key) as api:
            assert (await api.get(f"/v1/memories?user_id={canary}")).json["items"] == []
        assert in_dump(backup(restored, tmp_path / "again.tar"), canary) == []
        assert in_files(data_dir, canary) == []


async def test_the_command_line_exports_and_erases(house: Service, canary: str, tmp_path: Path) -> None:
    async with Api(house.url, house.key) as api:
        await api.post("/v1/ingest", {"user_id": canary, "content": f"Words of {canary}", "wait": True})
        exported = cmg(house, "memory", "export", "--user", canary)
        lines = [json.loads(line) for line in exported.stdout.splitlines()]
        assert [line["type"] for line in lines] == ["export", "thread", "item", "end"]
        file = tmp_path / "export.jsonl"
        assert cmg(house, "memory", "export", "--user", canary, "--output", str(file)).returncode == 0
        assert file.read_text().count(canary) >= 2
        assert cmg(house, "memory", "erase", "--user", canary).returncode == 2  # asks first, and nobody answers
        erased = cmg(house, "memory", "erase", "--user", canary, "--yes", "--json")
        assert json.loads(erased.stdout)["erased"]["turns"] == 1, erased.stderr
        assert (await api.get(f"/v1/memories?user_id={canary}")).json["items"] == []


async def test_an_export_that_finds_no_room_says_in_which_file(house: Service, canary: str, tmp_path: Path) -> None:
    async with Api(house.url, house.key) as api:
        for part in range(6):
            long = f"{canary} {part}: " + "The boats wait in the harbour. " * 1500
            await api.post("/v1/ingest", {"user_id": canary, "content": long})
    file = tmp_path / "export.jsonl"
    full = cmg(house, "memory", "export", "--user", canary, "--output", str(file), file_bytes=ROOM_BYTES)
    assert (full.returncode, file.exists()) == (1, False)
    assert full.stderr.strip().endswith(f"File too large: '{file}'")
