"""How a process ends: what it cannot close is told, and is no crash."""

import asyncio

import pytest
from structlog.testing import capture_logs

from cmg.app.processes import child
from cmg.app.processes.resources import Resource, Resources
from cmg.storage.errors import DatabaseAway


async def _fail() -> None:
    raise DatabaseAway("the database cannot be reached")


async def test_what_cannot_be_closed_is_named_and_the_rest_is_closed(clock) -> None:
    """As in a process whose supervisor and database were killed together."""
    resources, closed = Resources(clock), list[str]()

    async def close() -> None:
        closed.append("the file")

    resources.add(Resource("file", close))
    resources.add(Resource("jobs", _fail))
    with capture_logs() as lines:
        await child._close(resources)
    assert closed == ["the file"]
    ((level, told),) = [(line["log_level"], line["error"]) for line in lines]
    assert (level, told) == ("warning", "jobs: DatabaseAway('the database cannot be reached')")


async def test_what_hangs_does_not_hold_the_end_up(clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_CLOSE_S", 0.05)
    resources = Resources(clock)
    resources.add(Resource("database", asyncio.Event().wait))  # type: ignore[arg-type]
    with capture_logs() as lines:
        await child._close(resources)
    assert [line["log_level"] for line in lines] == ["warning"]
