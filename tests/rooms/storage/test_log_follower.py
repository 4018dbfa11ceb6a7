"""The database server's own log becomes lines of the service, each once."""

import logging
from pathlib import Path

import pytest

from cmg.storage.server.log_follower import LogFollower

ENTRIES = """2026-11-24 12:00:00.123 UTC [77] LOG:  database system is ready to accept connections
2026-11-24 12:00:01.000 UTC [78] ERROR:  deadlock detected
\tProcess 78 waits for ShareLock
2026-11-24 12:00:02.000 UTC [79] FATAL:  the database system is shutting down
"""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str, dict[str, object]]]:
    """What was logged: level, message, fields."""
    lines: list[tuple[int, str, dict[str, object]]] = []

    class Log:
        def log(self, level: int, message: str, **fields: object) -> None:
            lines.append((level, message, fields))

        def info(self, message: str, **fields: object) -> None:
            self.log(logging.INFO, message, **fields)

    monkeypatch.setattr("cmg.storage.server.log_follower._log", Log())
    return lines


def test_entries_have_the_servers_time_level_and_process(tmp_path: Path, told) -> None:
    (tmp_path / "postgres.log").write_text(ENTRIES)
    LogFollower(tmp_path / "postgres.log").look()
    assert [(level, message) for level, message, _ in told] == [
        (logging.INFO, "database system is ready to accept connections"),
        (logging.ERROR, "deadlock detected\n\tProcess 78 waits for ShareLock"),
        (logging.CRITICAL, "the database system is shutting down"),
    ]
    assert told[1][2] == {
        "service.name": "postgresql",
        "@timestamp": "2026-11-24T12:00:01+00:00",
        "process.pid": 78,
    }


def test_an_entry_is_told_once_over_restarts_and_an_emptied_file(tmp_path: Path, told) -> None:
    log = tmp_path / "postgres.log"
    log.write_text(ENTRIES)
    LogFollower(log).look()
    again = LogFollower(log)
    again.look()
    assert len(told) == 3
    log.write_text("half a li")
    again.look()
    log.write_text("half a line\n")
    again.look()
    assert [message for _, message, _ in told[3:]] == ["half a line"]
