"""A process loads only what it runs: the control plane stands on libraries that are slow to load, and large."""

import json
import subprocess
import sys

import pytest

HEAVY = {"fastapi", "pydantic", "pgqueuer", "nicegui", "matplotlib", "redis", "mcp"}
_LOADED = "import json, sys; import {}; print(json.dumps(sorted(set(sys.modules) & set({}))))"


def _loaded(module: str, packages: set[str] = HEAVY) -> list[str]:
    command = [sys.executable, "-c", _LOADED.format(module, sorted(packages))]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize(
    "module",
    ["cmg.app.wiring.gateway", "cmg.app.memory.notes", "cmg.app.memory.embedder", "cmg.app.processes.child"],
)
def test_no_hot_process_loads_what_the_control_plane_stands_on(module: str) -> None:
    assert _loaded(module) == []


def test_the_supervisor_loads_no_part_of_the_service() -> None:
    assert _loaded("cmg.cli.serve", HEAVY | {"numpy", "aiohttp", "uvicorn", "cryptography", "tokenizers"}) == []


@pytest.mark.parametrize(
    "module", ["cmg.cli.commands", "cmg.cli.identity", "cmg.cli.records", "cmg.cli.monitoring.traces"]
)
def test_commands_that_need_little_load_little(module: str) -> None:
    assert _loaded(module, HEAVY | {"numpy", "aiohttp", "uvicorn"}) == []


def test_the_check_sees_what_backstage_loads() -> None:
    assert "fastapi" in _loaded("cmg.app.wiring.backstage")


def test_backstage_loads_the_library_of_tools_at_the_first_request() -> None:
    assert "mcp" not in _loaded("cmg.app.wiring.backstage")
    assert "mcp" in _loaded("cmg.memory.tools.endpoint"), "it is another module now"
