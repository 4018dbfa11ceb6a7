"""When the disk fills: logs go first, then traces, then series, and come back one after the other."""

import logging
import time
from pathlib import Path

import pytest

from cmg.telemetry.disk import DiskGuard
from cmg.telemetry.lines.writing import LineWriter
from support.disks import GB, Disk
from support.processes import wait_until

KINDS = ("logs", "traces", "series")


@pytest.mark.parametrize(
    ("free_gb", "shed"),
    [(50, ()), (2.1, ()), (1.9, ("logs",)), (1.3, ("logs", "traces")), (0.9, KINDS), (0, KINDS)],
)
def test_kinds_are_given_up_in_their_order(clock, free_gb: float, shed: tuple[str, ...]) -> None:
    disk = Disk()
    disk.free = int(free_gb * GB)
    guard = DiskGuard(Path(), clock, disk)
    assert tuple(kind for kind in KINDS if guard.sheds(kind)) == shed


def test_a_kind_comes_back_only_with_some_room(clock) -> None:
    disk = Disk()
    guard = DiskGuard(Path(), clock, disk)
    told = []
    for free_gb in (1.9, 2.1, 2.6, 2.1):
        disk.free = int(free_gb * GB)
        clock.advance(2)
        told.append(guard.sheds("logs"))
    assert told == [True, True, False, False]


def test_a_disk_that_does_not_answer_sheds_nothing(clock) -> None:
    def broken(_folder: Path) -> None:
        raise OSError

    assert not DiskGuard(Path(), clock, broken).sheds("logs")


class Kept:
    """A spool that takes everything."""

    def __init__(self) -> None:
        self.lines = b""

    def append(self, lines: bytes) -> bool:
        """Take."""
        self.lines += lines
        return True

    def close(self) -> None:
        """Nothing."""


def test_lines_are_shed_and_counted_while_the_disk_is_full(clock, instruments) -> None:
    disk, spool = Disk(), Kept()
    disk.free = GB
    writer = LineWriter(spool, stream=-1, shedder=DiskGuard(Path(), clock, disk))
    writer.report_to(instruments)
    writer.start()
    writer.emit(logging.LogRecord("cmg.test", logging.INFO, __file__, 1, "shed", (), None))

    def told(name: str, **labels: str) -> float:
        return instruments.registry.get_sample_value(name, labels) or 0

    wait_until(lambda: told("cmg_log_lines_dropped_total", reason="disk") == 1, 5, "the drop is counted")
    assert told("cmg_disk_shedding_ratio", kind="logs") == 1
    disk.free = 50 * GB
    clock.advance(2)
    writer.emit(logging.LogRecord("cmg.test", logging.INFO, __file__, 1, "kept", (), None))
    wait_until(lambda: b"kept" in spool.lines, 5, "lines are kept again")
    writer.close()
    assert b"shed" not in spool.lines


def test_a_line_about_dropped_lines_is_no_reason_for_the_next(
    clock, instruments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes the same way, and may be dropped too."""
    disk = Disk()
    disk.free = GB
    writer = LineWriter(Kept(), stream=-1, shedder=DiskGuard(Path(), clock, disk))
    writer.report_to(instruments)
    logger = logging.getLogger("cmg.telemetry.lines.writing")
    monkeypatch.setattr(logger, "disabled", False)  # whoever set up the logs of this process before
    before = logger.level
    logger.setLevel(logging.WARNING)
    logger.addHandler(writer)
    try:
        writer.start()
        logger.warning("one")

        def dropped() -> float:
            return instruments.registry.get_sample_value("cmg_log_lines_dropped_total", {"reason": "disk"}) or 0

        wait_until(lambda: dropped() >= 2, 30, "the line and what tells of it")
        time.sleep(0.3)  # some thirty rounds of a writer that is woken by its own lines
        assert dropped() == 2
    finally:
        logger.removeHandler(writer)
        logger.setLevel(before)
        writer.close()
