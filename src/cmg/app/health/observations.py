"""What `/health/detailed` tells beside the probes: figures that exist anyway, so asking for them costs no call."""

import os
import resource
from collections.abc import Sequence

from cmg.app.health.resources import Check, Source, Status
from cmg.app.processes.metrics import MergedMetrics
from cmg.gateway.routing.catalogue import Catalogue
from cmg.jobs.queue import Jobs
from cmg.kit.clock import Clock
from cmg.ledger.drain import JournalDrain
from cmg.telemetry.merging import Snapshot

_UNDRAINED_S = 10.0  # a journal is drained within a second as long as the database is there
_STALE_S = 3600.0  # models are synced every quarter of an hour
_OPEN_BREAKERS = "cmg_upstream_breaker_open"


def process(clock: Clock) -> Source:
    """This process: how long it runs, and the most memory it ever took."""
    started = clock.monotonic()

    async def look() -> list[Check]:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        me = f"pid {os.getpid()}"
        return [
            Check("process", "uptime", value=round(clock.monotonic() - started, 1), unit="s", component_id=me),
            Check("process", "memoryPeak", value=peak, unit="bytes", component_id=me),
        ]

    return look


def machine(metrics: MergedMetrics, upstreams: Sequence[str]) -> Source:
    """The other processes of this machine, and for how many models of each upstream a circuit breaker is open."""

    async def look() -> list[Check]:
        snapshot = await metrics.collect()
        checks = [
            Check("process", "answers", "pass" if answers else "warn", answers, component_id=name)
            for name, answers in metrics.workers.items()
        ]
        broken = _by_upstream(snapshot)
        for name in upstreams:
            count = broken.get(name, 0)
            told = "circuit breakers of some models are open" if count else ""
            status: Status = "warn" if count else "pass"
            checks.append(Check("upstream", "openBreakers", status, count, "models", told, name, "system"))
        return checks

    return look


def _by_upstream(snapshot: Snapshot) -> dict[str, int]:
    samples = [sample for family in snapshot if family.name == _OPEN_BREAKERS for sample in family.samples]
    return {dict(sample.labels)["upstream"]: int(sample.value) for sample in samples}


def models(catalogue: Catalogue, upstreams: Sequence[str]) -> Source:
    """How old what we know of each upstream's models is, and what was wrong with the last look."""

    async def look() -> list[Check]:
        errors = {one.upstream: one.error for one in catalogue.syncs()}
        return [_age(name, catalogue.age_s(name), errors.get(name)) for name in upstreams]

    return look


def _age(upstream: str, age_s: float | None, error: str | None) -> Check:
    """One that never listed models may be one that lists none: only what was known and grows old is a warning."""
    if age_s is None:
        return Check("catalogue", "age", output=error or "not synced yet", component_id=upstream)
    return Check(
        "catalogue", "age", "warn" if age_s > _STALE_S else "pass", round(age_s, 1), "s", error or "", upstream
    )


def journal(drain: JournalDrain) -> Source:
    """What waits for the database in this machine's journals."""

    async def look() -> list[Check]:
        size, age_s = drain.waiting()
        late = age_s > _UNDRAINED_S
        told = "usage and turns wait for the database" if late else ""
        return [
            Check("journal", "undrained", value=size, unit="bytes"),
            Check("journal", "undrainedAge", "warn" if late else "pass", round(age_s, 1), "s", told),
        ]

    return look


def queue(jobs: Jobs) -> Source:
    """The background jobs, counted within the last quarter of a minute."""

    async def look() -> list[Check]:
        held = jobs.depths.get("failed", 0)
        told = "jobs failed for good and wait for somebody to look at them" if held else ""
        return [
            Check("jobs", "queued", value=jobs.depths.get("queued", 0), unit="jobs"),
            Check("jobs", "held", "warn" if held else "pass", held, "jobs", told),
        ]

    return look
