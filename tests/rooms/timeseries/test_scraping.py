"""Targets that answer, that do not, that lie: what becomes of it in the samples."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from cmg.kit.clock import SystemClock
from cmg.timeseries.exposition import Metadata, Point
from cmg.timeseries.promql.engine import Engine
from cmg.timeseries.promql.vectors import Vector
from cmg.timeseries.scrape.recording import Keeper, Recorder
from cmg.timeseries.scrape.scraping import Scraping
from cmg.timeseries.scrape.targets import HttpTarget, ScrapeFailed
from cmg.timeseries.store.scrape_log import ScrapeLog
from rooms.timeseries.conftest import named


class Scripted:
    """A target that gives one answer after the other: texts of samples, or errors."""

    job, instance = "test", "here:1"

    def __init__(self, *answers: dict[str, float] | Exception) -> None:
        self.metadata: dict[str, Metadata] = {}
        self._answers = list(answers)

    async def fetch(self) -> list[Point]:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return [Point(named(*name.split(" ")[:1], **dict(p.split("=") for p in name.split(" ")[1:])), value, None)
                for name, value in answer.items()]  # fmt: skip


@pytest.fixture
async def page() -> AsyncIterator[dict]:
    """A real HTTP server: what it answers is in the dict, and so is its URL."""
    told: dict = {"status": 200, "body": b"", "type": "text/plain", "delay": 0.0}

    async def answer(request: web.Request) -> web.Response:
        told["accept"] = request.headers["accept"]
        await asyncio.sleep(told["delay"])
        return web.Response(status=told["status"], body=told["body"], headers={"content-type": told["type"]})

    application = web.Application()
    application.router.add_get("/metrics", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    told["url"] = f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
    yield told
    await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as one:
        yield one


async def ran(target: Scripted, head, tmp_path, clock, instruments, times: int) -> None:
    """Let a target be scraped so many times, 15 s apart."""
    task = asyncio.create_task(Scraping(target, 15, 10, clock).run(head, ScrapeLog(tmp_path), instruments))
    await asyncio.sleep(0)
    await clock.run(15 * times, step_s=15)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def values(source, expression: str, at_ms: int) -> dict[tuple[tuple[str, str], ...], float]:
    answer = await Engine(source, source._store._clock).instant(expression, at_ms)
    assert isinstance(answer.value, Vector)
    rows = np.nonzero(answer.value.present[:, 0])[0]
    return {answer.value.frame.labels[row]: float(answer.value.values[row, 0]) for row in rows}


async def test_samples_carry_the_targets_labels(head, source, tmp_path, clock, instruments):
    await ran(Scripted({"a x=1 job=own": 5}), head, tmp_path, clock, instruments, 1)
    now = int(clock.time() * 1000)
    mine = {"job": "test", "instance": "here:1"}
    assert await values(source, "a", now) == {named("a", x="1", exported_job="own", **mine): 5}
    assert await values(source, "up", now) == {named("up", **mine): 1}
    assert await values(source, "scrape_samples_scraped", now) == {named("scrape_samples_scraped", **mine): 1}


async def test_scrapes_stand_a_whole_interval_apart(head, tmp_path, clock, instruments):
    await ran(Scripted({"a": 5}), head, tmp_path, clock, instruments, 6)
    _, times, _ = head.between(np.array([0]), 0, int(clock.time() * 1000))
    assert len(times) >= 5
    assert set(np.diff(times)) == {15_000}


async def test_series_that_is_gone_ends_at_once(head, source, tmp_path, clock, instruments):
    await ran(Scripted({"a": 1, "b": 2}, {"a": 3}), head, tmp_path, clock, instruments, 2)
    now = int(clock.time() * 1000)
    assert list((await values(source, '{__name__=~"a|b"}', now)).values()) == [3]


async def test_target_that_fails_is_down_and_all_its_series_end(head, source, tmp_path, clock, instruments):
    await ran(Scripted({"a": 1}, ScrapeFailed("no")), head, tmp_path, clock, instruments, 2)
    now = int(clock.time() * 1000)
    assert await values(source, "a", now) == {}
    assert list((await values(source, "up", now)).values()) == [0]
    assert instruments.series("cmg_timeseries_scrapes_total", "failed")._value.get() == 1


async def test_a_target_that_breaks_in_any_way_is_asked_again(head, source, tmp_path, clock, instruments):
    await ran(Scripted(RuntimeError("unforeseen"), {"a": 1}), head, tmp_path, clock, instruments, 2)
    assert list((await values(source, "a", int(clock.time() * 1000))).values()) == [1]


async def test_a_clock_that_is_put_back_blinds_nobody(head, source, tmp_path, clock, instruments):
    """An hour back: what was kept of times to come goes, and the present is seen at once."""
    await ran(Scripted({"a": 1}), head, tmp_path, clock, instruments, 8)
    ahead = int(clock.time() * 1000)
    clock.set(clock.now() - timedelta(hours=1))
    await ran(Scripted({"a": 2}), head, tmp_path, clock, instruments, 3)
    now = int(clock.time() * 1000)
    assert list((await values(source, "a", now)).values()) == [2]
    assert await values(source, "a", ahead) == {}
    assert head.lost > 0
    assert head.flushed_ms <= now


async def test_a_clock_that_is_set_right_by_a_moment_costs_no_sample(head, source, tmp_path, clock, instruments):
    await ran(Scripted({"a": 1}), head, tmp_path, clock, instruments, 4)
    clock.set(clock.now() - timedelta(seconds=20))
    await ran(Scripted({"a": 1}), head, tmp_path, clock, instruments, 4)
    assert head.lost == 0
    (counted,) = (await values(source, "count_over_time(a[10m])", int(clock.time() * 1000) + 60_000)).values()
    assert counted >= 5


async def test_a_restart_goes_on_from_the_log(head, tmp_path, clock, instruments):
    await ran(Scripted({"a": 1}, {"a": 2}), head, tmp_path, clock, instruments, 2)
    found = [dict(zip(one.labels, one.values.tolist(), strict=True)) for one in ScrapeLog(tmp_path).read()]
    a = named("a", job="test", instance="here:1")
    assert [one[a] for one in found] == [1, 2]


async def test_series_beyond_the_bound_are_counted_and_the_rest_goes_on(head, tmp_path, instruments):
    recorder = Recorder(Scripted({}), Keeper(head, ScrapeLog(tmp_path), instruments))
    recorder.record(10**13, [Point(named("m", n=str(n)), float(n), None) for n in range(50)], 0.1)
    assert len(head) == 20
    assert instruments.series("cmg_timeseries_samples_refused_total")._value.get() == 50 + 3 - 20


@pytest.mark.parametrize(
    ("body", "type_", "count"),
    [
        (b"a 1\nb 2\n", "text/plain; version=0.0.4", 2),
        (b'a 1\nb 2 # {t="x"} 1\n# EOF\n', "application/openmetrics-text; version=1.0.0", 2),
        ('a{o="höhe"} 1\n'.encode(), "text/plain", 1),
    ],
)  # fmt: skip
async def test_both_formats_are_read(page, session, body: bytes, type_: str, count: int):
    page.update(body=body, type=type_)
    assert len(await HttpTarget("j", page["url"], session, most=10).fetch()) == count
    assert "openmetrics" in page["accept"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"status": 500}, "it answered 500"),
        ({"status": 302}, "it answered 302"),
        ({"body": b"<html>"}, "is no sample"),
        ({"body": b"a 1\n", "type": "application/openmetrics-text"}, "# EOF"),
        ({"body": b"\xff 1"}, "can't decode"),
        ({"body": b"".join(b"m%d 1\n" % n for n in range(11))}, "more than 10 samples"),
        ({"body": b"# " + b"x" * (32 * 2**20) + b"\n"}, "larger than"),
    ],
)
async def test_what_a_target_may_not_answer(page, session, changed: dict, told: str):
    page.update(changed)
    with pytest.raises(ScrapeFailed, match=told):
        await HttpTarget("j", page["url"], session, most=10).fetch()


async def test_a_target_that_is_not_there_has_failed(session):
    with pytest.raises(ScrapeFailed):
        await HttpTarget("j", "http://127.0.0.1:9/metrics", session, most=10).fetch()


async def test_a_silent_target_is_given_up_at_its_deadline(page, session):
    page["delay"] = 30.0
    scraping = Scraping(HttpTarget("j", page["url"], session, most=10), 60, 0.2, SystemClock())
    assert await scraping._fetched() is None
