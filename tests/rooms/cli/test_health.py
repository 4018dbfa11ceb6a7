"""`cmg health` reads the report of a data dir; its exit code is for scripts."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmg.cli import findings
from cmg.cli.commands import run
from cmg.config import Settings
from cmg.health.board import Board
from cmg.health.models import Component, Level, Reading, Report, State
from cmg.kit.clock import SystemClock
from cmg.kit.paths import HEALTH_REPORT, runtime_dir


def _write(data_dir: Path, level: Level, *, worst: Level = Level.UNHEALTHY, age_s: float = 0.0) -> None:
    clock = SystemClock()
    at, now = clock.time() - age_s, clock.monotonic() - age_s
    bad = Reading(measurement="availability", level=level, output="nobody answers" if level else "")
    state = State(
        component=Component(name="upstream/far", kind="system", worst=worst),
        level=level,
        readings=(bad,),
        at=at,
        probed_s=now,
        took_s=0.1,
        since=at,
    )
    folder = runtime_dir(data_dir)
    folder.mkdir(exist_ok=True)
    Board(folder / HEALTH_REPORT).write(
        Report(machine="m", written_s=now, interval_s=30, deadline_s=5, states=(state,))
    )


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CMG_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    shutil.rmtree(runtime_dir(tmp_path), ignore_errors=True)


@pytest.mark.parametrize(
    ("level", "age_s", "code", "told"),
    [
        (Level.HEALTHY, 0, 0, "HEALTHY"),
        (Level.DEGRADED, 0, 0, "DEGRADED"),
        (Level.UNHEALTHY, 0, 1, "UNHEALTHY"),
        (Level.HEALTHY, 20, 1, "DEGRADED"),
    ],
)
def test_the_exit_code_says_whether_calls_are_answered(data_dir: Path, capsys, level, age_s, code, told) -> None:
    _write(data_dir, level, age_s=age_s)
    assert run(["health"]) == code
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == told
    assert ("nobody answers" in printed) == (level > Level.HEALTHY)
    assert run(["health", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["level"] == told


def test_without_a_service_it_says_so(data_dir: Path, capsys) -> None:
    assert run(["health"]) == 1
    assert str(data_dir) in capsys.readouterr().err


async def test_the_doctor_asks_the_running_service(data_dir: Path) -> None:
    settings = Settings(data_dir=data_dir)
    (nobody,) = await findings.health(settings)
    assert nobody.level == "ok"
    for level, worst, expected in (
        (Level.HEALTHY, Level.DEGRADED, "ok"),
        (Level.UNHEALTHY, Level.DEGRADED, "warn"),
        (Level.UNHEALTHY, Level.UNHEALTHY, "fail"),
    ):
        _write(data_dir, level, worst=worst)
        (found,) = await findings.health(settings)
        assert found.level == expected
        assert expected == "ok" or "nobody answers" in found.message
    _write(data_dir, Level.HEALTHY, age_s=20)
    (silent,) = await findings.health(settings)
    assert silent.level == "warn"
