"""The worker's journal: one write an append, all or none; full means no; its segments follow each other."""

import errno
import fcntl
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from cmg.config import JournalSettings
from cmg.ledger.journal import Journal
from cmg.ledger.models import JournalFull
from cmg.ledger.spool.folder import LOCK, WorkerFolder
from cmg.ledger.spool.progress import Progress
from cmg.memory.recent import RecentWriters
from cmg.telemetry.instruments import Instruments
from rooms.ledger.spools import SMALL


@pytest.fixture
def journal(tmp_path: Path, instruments: Instruments):
    made = Journal(tmp_path / "spool", SMALL, instruments)
    yield made
    made.close()


def _segments(journal: Journal) -> list[str]:
    return sorted(path.name for path in journal.folder.glob("*.jnl"))


def _read_all(folder: Path) -> list[bytes]:
    reader, found = WorkerFolder(folder), []
    reader.position = 0
    while (chunk := reader.read(1000, dead=True)).end != reader.position:
        found += [taken.payload for taken in chunk.records]
        reader.position = chunk.end
    return found


def test_positions_grow_by_what_is_written(journal: Journal) -> None:
    first = journal.append([("usage", b"a")])
    second = journal.append([("usage", b"b"), ("turns", b"c")])
    assert 0 < first < second == journal.undrained_bytes
    assert _read_all(journal.folder) == [b"a", b"b", b"c"]


def test_segments_follow_each_other_without_a_gap(journal: Journal) -> None:
    payloads = [bytes([65 + n]) * 1500 for n in range(20)]
    for payload in payloads:
        journal.append([("usage", payload)])
    assert len(_segments(journal)) == 10
    assert _read_all(journal.folder) == payloads


def test_records_larger_than_a_segment_get_one_of_their_own(journal: Journal) -> None:
    payloads = [b"a", b"b" * 10_000, b"c"]
    for payload in payloads:
        journal.append([("usage", payload)])
    assert len(_segments(journal)) == 3
    assert _read_all(journal.folder) == payloads


def test_drained_follows_the_drain(journal: Journal) -> None:
    position = journal.append([("usage", b"a")])
    assert not journal.drained(position)
    progress = Progress(journal.folder)
    progress.drained = position
    progress.close()
    assert journal.drained(position)
    assert journal.undrained_bytes == 0


def test_a_full_journal_refuses_new_calls_first_and_then_records(journal: Journal, instruments: Instruments) -> None:
    while not journal.full:
        journal.append([("usage", b"x" * 1000)])
    journal.append([("usage", b"of a call in flight")])
    with pytest.raises(JournalFull) as refused:
        _fill(journal)
    assert refused.value.status == 503
    assert journal.undrained_bytes <= SMALL.max_bytes * 9 / 8
    assert instruments.series("cmg_journal_appends_refused_total", "full")._value.get() == 1


def _fill(journal: Journal) -> None:
    for _ in range(100):
        journal.append([("usage", b"x" * 1000)])


def test_a_drained_journal_takes_records_again(journal: Journal) -> None:
    while not journal.full:
        journal.append([("usage", b"x" * 1000)])
    reader = WorkerFolder(journal.folder)
    reader.move(journal.append([("usage", b"last")]))
    assert not journal.full
    assert len(_segments(journal)) == 1


def test_a_living_owner_holds_its_lock_and_a_closed_one_does_not(journal: Journal) -> None:
    reader = WorkerFolder(journal.folder)
    assert not reader.owner_dead()
    journal.close()
    journal.close()
    assert reader.owner_dead()


def test_a_child_that_is_executed_does_not_inherit_the_lock(journal: Journal) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    journal.close()
    lock = os.open(journal.folder / LOCK, os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(lock)
    child.communicate(b"\n")


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from cmg.config import JournalSettings
from cmg.ledger.journal import Journal
from cmg.ledger.models import JournalFull
from cmg.telemetry.instruments import Instruments

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path(sys.argv[1]), JournalSettings(), Instruments())
journal.append([("usage", b"before")])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    journal.append([("usage", b"torn" * 1000)])
except JournalFull as error:
    assert "try again" in str(error) and journal.full
else:
    raise SystemExit("it was taken")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert not journal.full
journal.append([("usage", b"after")])
print(journal.folder)
"""


def test_a_write_that_does_not_fit_on_the_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """A limit on the file's size stands for the full disk: the write is cut short in the same way."""
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "spool")], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert _read_all(Path(run.stdout.strip())) == [b"before", b"after"]


@pytest.mark.parametrize("what", ["cmg.ledger.journal._claim", "os.posix_fallocate"])
def test_a_journal_that_begins_on_a_full_disk_opens_when_there_is_room(
    tmp_path: Path, instruments: Instruments, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(what, full)
        journal = Journal(tmp_path / "spool", SMALL, instruments)
        assert journal.full
        with pytest.raises(JournalFull, match="no room"):
            journal.append([("usage", b"lost")])
        assert (journal.undrained_bytes, journal.drained(1)) == (0, False)
        assert not journal.folder.exists()
    assert not journal.full
    journal.append([("usage", b"kept")])
    journal.close()
    assert _read_all(journal.folder) == [b"kept"]


def test_a_journal_in_a_folder_that_is_not_ours_is_an_error_at_once(
    tmp_path: Path, instruments: Instruments, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("cmg.ledger.journal._claim", refused)
    with pytest.raises(PermissionError):
        Journal(tmp_path, SMALL, instruments)


def test_what_is_mapped_has_its_room_on_the_disk(journal: Journal) -> None:
    """Writing into a hole of a mapping kills the process when the disk is full."""
    RecentWriters(journal.folder)
    for path in (journal.folder / "progress", journal.folder.parent / "recent-writers"):
        assert path.stat().st_blocks * 512 >= path.stat().st_size > 0, path.name


def test_many_journals_share_a_spool(tmp_path: Path, instruments: Instruments) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(50, soft // 8)
    journals = [Journal(tmp_path, JournalSettings(), instruments) for _ in range(count)]
    assert len({journal.folder for journal in journals}) == count
    for journal in journals:
        journal.close()


def test_what_dead_workers_left_counts_until_it_is_drained(tmp_path: Path, instruments: Instruments) -> None:
    dead = Journal(tmp_path, SMALL, instruments)
    while not dead.full:
        dead.append([("usage", b"x" * 1000)])
    dead.close()
    journal = Journal(tmp_path, SMALL, instruments)
    assert journal.full
    WorkerFolder(dead.folder).remove()
    assert not journal.full
    journal.close()
