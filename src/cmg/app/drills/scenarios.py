"""The drills there are: the fault or load of each, the rules that should notice it, and how long that may take."""

from dataclasses import dataclass

from cmg.telemetry.faults import Name

NOTIFY_S, ESCALATE_S, RECOVER_S = 60.0, 30.0, 900.0
TAKE_OVER_S = 60.0  # a monitor that died: until another one pages
# Rules see a fault late, by a scrape and an evaluation, wait (`for`), and look some minutes back.
SEEN_LATE_S = 60.0
AFTERMATH_S = 360.0
# What every fault moves: a service logs errors that it never had, and their rule looks a quarter of an hour back.
LASTING = "log_patterns"
LASTS_S = 960.0


@dataclass(frozen=True)
class Scenario:
    """`quantities`: values of the label `quantity` of the rules that should fire; `load`: a model that calls go to.

    `detect_s` is the target, from the fault to the alert. `jobs`: how many are queued that wait for the fault's end.
    `beside`: quantities that the same fault moves; their alerts are practice too, but are not what is measured.
    """

    told: str
    quantities: tuple[str, ...]
    detect_s: float
    fault: Name | None = None
    load: str | None = None
    jobs: int = 0
    beside: tuple[str, ...] = ()
    recover_s: float = RECOVER_S


SCENARIOS: dict[str, Scenario] = {
    "upstream-503": Scenario(
        "an upstream answers 503 to every call",
        ("upstream_errors", "breaker"),
        300,
        load="sim/fail-503",
        beside=("error_rate",),
    ),
    "database-slow": Scenario(
        "every use of the database takes more than a second longer",
        ("database_query_time", "database_pool", "health"),
        900,
        fault="database_slow",
        beside=("database", "rules", "job_age", "job_workers"),
        recover_s=1200,  # its rule counts the slow statements of a quarter of an hour
    ),
    "database-gone": Scenario(
        "the database does not answer backstage",
        ("database",),
        300,
        fault="database_gone",
        beside=("health", "error_rate", "rules"),
    ),
    "cache-down": Scenario("the cache answers nobody", ("cache", "health"), 900, fault="cache_down"),
    "queue-backlog": Scenario(
        "jobs are queued and none is done",
        ("queue_depth", "job_age", "job_workers"),
        600,
        "jobs_stopped",
        jobs=1200,
        beside=("health",),
    ),
    "error-burst": Scenario(
        "calls fail, more than one in twenty",
        ("error_rate",),
        300,
        load="sim/fail-503",
        beside=("upstream_errors", "breaker"),
    ),
    "disk-filling": Scenario(
        "the disk of the data dir seems full", ("disk",), 300, fault="disk_full", beside=("health",)
    ),
    "monitor-death": Scenario(
        "backstage, which pages, is killed by kill -9", ("drill_monitor",), TAKE_OVER_S, fault="monitor_dies"
    ),
}
