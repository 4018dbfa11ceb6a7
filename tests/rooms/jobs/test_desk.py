"""The jobs' desk: pages of the queue, schedules, and held jobs that are retried or deleted, each noted."""

from typing import Any

import pytest

from cmg.jobs.desk import JobDesk
from cmg.kit.errors import Conflict, InvalidRequest, NotFound
from cmg.storage.database import Database
from support.manual_clock import ManualClock

_PUT = """INSERT INTO pgqueuer (priority, status, entrypoint, dedupe_key, attempts)
VALUES (0, $1::pgqueuer_status, $2, $3, 5) RETURNING id"""


@pytest.fixture
def desk(database: Database, clock: ManualClock) -> JobDesk:
    return JobDesk(database, clock)


async def _put(database: Database, status: str, name: str, key: str | None = None) -> str:
    return str(await database.fetchval(_PUT, status, name, key))


class Notes(list[tuple[str, str]]):
    """What would be written into the audit trail."""

    async def __call__(self, _connection: Any, action: str, target: str, _details: Any) -> None:
        self.append((action, target))


async def test_pages_are_newest_first_and_filtered(database: Database, desk: JobDesk) -> None:
    ids = [await _put(database, status, "a.b") for status in ("queued", "picked", "failed")]
    first = await desk.page({"limit": "2"})
    second = await desk.page({"limit": "2", "cursor": first["next"]})
    assert [one["id"] for one in first["items"] + second["items"]] == ids[::-1]
    assert second["next"] is None
    held = await desk.page({"state": "held", "name": "a.b"})
    assert [(one["id"], one["state"], one["attempts"]) for one in held["items"]] == [(ids[2], "held", 5)]
    assert (await desk.page({"name": "other"}))["items"] == []


async def test_a_held_job_waits_again_and_only_once(database: Database, desk: JobDesk) -> None:
    job, notes = await _put(database, "failed", "a.b"), Notes()
    await desk.retry(job, notes)
    found = (await desk.page({}))["items"][0]
    assert (found["state"], found["attempts"]) == ("waiting", 0)
    assert notes == [("job.retry", job)]
    with pytest.raises(NotFound):
        await desk.retry(job, notes)
    assert len(notes) == 1


async def test_a_job_is_not_retried_beside_another_of_its_key(database: Database, desk: JobDesk) -> None:
    job, notes = await _put(database, "failed", "a.b", "tick:a.b"), Notes()
    await _put(database, "queued", "a.b", "tick:a.b")
    with pytest.raises(Conflict):
        await desk.retry(job, notes)
    assert notes == []


async def test_only_held_jobs_are_deleted(database: Database, desk: JobDesk) -> None:
    waiting, held, notes = await _put(database, "queued", "a.b"), await _put(database, "failed", "a.b"), Notes()
    await desk.drop(held, notes)
    with pytest.raises(NotFound):
        await desk.drop(waiting, notes)
    assert notes == [("job.delete", held)]
    assert [one["id"] for one in (await desk.page({}))["items"]] == [waiting]


@pytest.mark.parametrize(("name", "value"), [("state", "odd"), ("limit", "0"), ("cursor", "x"), ("name", "a\0")])
async def test_what_is_wrong_names_its_parameter(desk: JobDesk, name: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await desk.page({name: value})
    assert caught.value.param == name
