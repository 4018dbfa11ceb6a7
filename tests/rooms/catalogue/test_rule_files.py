"""The catalogue's rules, tried by promtool and by the embedded evaluator on the same files."""

import subprocess
from pathlib import Path

import pytest

from cmg.kit.clock import SystemClock
from cmg.timeseries.rules.trials.running import run

FOLDER = Path(__file__).resolve().parents[2] / "rules"
FILES = sorted(file.name for file in FOLDER.glob("*.test.yml"))


@pytest.mark.parametrize("file", FILES)
async def test_rules_do_here_what_their_tests_say(file: str):
    assert await run(FOLDER / file, SystemClock()) == []


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("file", FILES)
def test_rules_do_in_prometheus_what_their_tests_say(file: str):
    command = ["promtool", "test", "rules", FOLDER / file]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
