"""`cmg drill` of several: one that cannot be now is a miss, and a run that is ended early tells what it measured."""

import asyncio
import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from cmg.app.drills.measuring import Measure
from cmg.app.drills.running import Wanted
from cmg.app.drills.scenarios import SCENARIOS
from cmg.cli.commands import INTERRUPTED, run
from cmg.cli.monitoring import drill
from cmg.config import Settings
from cmg.kit.errors import Conflict

NAMES = list(SCENARIOS)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path) -> dict[str, Any]:
    """What drills do by their names; those that are not in it are measured well. `order` holds the names that ran."""
    does: dict[str, Any] = {"order": []}

    async def run_one(_self: object, wanted: Wanted) -> Sequence[Measure]:
        does["order"].append(wanted.name)
        if (error := does.get(wanted.name)) is not None:
            raise error
        return [Measure("detection", 12.0, 300.0, "Rule")]

    services = SimpleNamespace(settings=Settings(data_dir=tmp_path))
    monkeypatch.setattr(drill.Drills, "__init__", lambda *_: None)
    monkeypatch.setattr(drill.Drills, "run", run_one)
    monkeypatch.setattr(drill, "with_services", lambda use: asyncio.run(use(services)))
    return does


def test_all_run_one_after_the_other(ran: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["drill", "--all", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], [one["drill"] for one in found["measures"]], ran["order"]) == (True, NAMES, NAMES)


def test_one_that_cannot_be_now_is_missed_and_the_others_go_on(
    ran: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    ran[NAMES[1]] = Conflict("Rule: fires already, so it shows nothing")
    assert run(["drill", "--all", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert ran["order"] == NAMES
    (missed,) = [one for one in found["measures"] if not one["met"]]
    assert (found["ok"], missed["drill"], missed["seconds"]) == (False, NAMES[1], None)
    assert "fires already" in missed["note"]


def test_one_alone_that_cannot_be_now_is_a_refusal(ran: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    ran[NAMES[0]] = Conflict("the drill x is on; one at a time")
    assert run(["drill", NAMES[0]]) == 1
    told = capsys.readouterr()
    assert ("one at a time" in told.err, told.out) == (True, "")


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), INTERRUPTED), (OSError("no disk"), 1)])
def test_a_run_that_is_ended_early_tells_what_it_measured(
    ran: dict[str, Any], capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    ran[NAMES[2]] = error
    assert run(["drill", "--all", "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert [one["drill"] for one in found["measures"]] == NAMES[:2]
    assert found["ok"] is False, "what was met is not all"
    assert ran["order"] == NAMES[:3]


def test_an_unknown_name_runs_nothing(ran: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["drill", NAMES[0], "no-such"]) == 2
    assert "there is no drill 'no-such'" in capsys.readouterr().err
    assert ran["order"] == []
