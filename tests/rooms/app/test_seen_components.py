"""What the status page makes of health."""

import pytest

from cmg.app.incidents.components import seen
from cmg.health.models import Component, Level, Reading, State, worst

H, D, U, C = Level.HEALTHY, Level.DEGRADED, Level.UNHEALTHY, Level.CRITICAL
WELL = dict.fromkeys(("api", "memory", "upstreams", "administration"), "operational")


def state(name: str, level: Level, measurement: str = "availability") -> State:
    """A state with one reading."""
    readings = (Reading(measurement=measurement, level=level),)
    return State(
        component=Component(name=name), level=worst(readings), readings=readings, at=0, probed_s=0, took_s=0, since=0
    )


@pytest.mark.parametrize(
    ("states", "changed"),
    [
        ([], {}),
        ([state("database", H), state("gateway", H), state("upstream/a", H), state("jobs", U)], {}),
        ([state("database", U)], {"memory": "partial_outage", "administration": "major_outage"}),
        ([state("database", D)], {"memory": "degraded_performance"}),
        ([state("memory", U)], {"memory": "degraded_performance"}),
        ([state("gateway", D, "answers")], {"api": "partial_outage"}),
        ([state("gateway", D, "undrainedAge")], {"api": "degraded_performance"}),
        ([state("gateway", U, "undrained")], {"api": "major_outage"}),
        ([state("gateway", C, "answers")], {"api": "major_outage"}),
        ([state("upstream/a", U), state("upstream/b", H)], {"upstreams": "partial_outage"}),
        ([state("upstream/a", D), state("upstream/b", H)], {"upstreams": "degraded_performance"}),
        ([state("upstream/a", U), state("upstream/b", C)], {"upstreams": "major_outage"}),
    ],
)
def test_components_are_as_health_says(states: list[State], changed: dict[str, str]) -> None:
    assert seen(states) == {**WELL, **changed}
