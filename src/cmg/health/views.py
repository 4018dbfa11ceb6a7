"""What is told of health, as `application/health+json` of draft-inadarei-api-health-check-06."""

from collections.abc import Callable, Mapping
from typing import Any

import cmg
from cmg.health.models import Component, Level, Reading, State, Transition, whole
from cmg.health.reading import Standing
from cmg.kit.clock import rfc3339

Body = dict[str, Any]
_ID = "context-memory-gateway"
_CODES = {Level.HEALTHY: 200, Level.DEGRADED: 200, Level.UNHEALTHY: 503, Level.CRITICAL: 503}

VIEWS: Mapping[str, Callable[[Component], bool]] = {
    "detailed": lambda _: True,
    "dependencies": lambda component: component.kind != "component",
    "cache": lambda component: component.family in {"cache", "redis"},
    "database": lambda component: component.family == "database",
}
_OWN = frozenset({"cache", "database"})  # views of one thing, whose level is that thing's


def level_of(view: str, standing: Standing) -> Level:
    """The level that a view tells: of the whole, of what it shows of it, or of the one thing it is about."""
    if view == "detailed":
        return standing.level
    states = [state for state in standing.states if VIEWS[view](state.component)]
    if view in _OWN:
        return max((state.level for state in states), default=Level.HEALTHY)
    return whole(states)


def bare(level: Level) -> tuple[int, Body]:
    """Status code and body for strangers: the level, and nothing else that they could use."""
    return _CODES[level], {"status": level.status, "level": level.name, "serviceId": _ID}


def levels(standing: Standing) -> tuple[int, Body]:
    """The level of the whole and of every component."""
    code, body = bare(standing.level)
    return code, {**body, **_about(), "levels": _levels(standing.states)}


def full(view: str, standing: Standing) -> tuple[int, Body]:
    """A view with everything that was found."""
    code, body = bare(level_of(view, standing))
    states = [state for state in standing.states if VIEWS[view](state.component)]
    checks: dict[str, list[Body]] = {}
    for state in states:
        for reading in state.readings:
            key = f"{state.component.family}:{reading.measurement}"
            checks.setdefault(key, []).append(_entry(state, reading))
    return code, {**body, **_about(), "levels": _levels(states), "checks": checks}


def history(level: Level, transitions: list[Transition], *, more: bool) -> tuple[int, Body]:
    """The level now, and transitions, newest first; `more` says that there are older ones, `next` is their cursor."""
    code, body = bare(level)
    following = transitions[-1].id if more else None
    moved = [_moved(one) for one in transitions]
    return code, {**body, **_about(), "transitions": moved, "more": more, "next": following}


def _about() -> Body:
    return {
        "version": cmg.__version__.partition(".")[0],
        "releaseId": cmg.__version__,
        "description": "health of the gateway and of what it depends on",
    }


def _levels(states: Any) -> Body:
    return {state.component.name: state.level.name for state in states}


def _entry(state: State, reading: Reading) -> Body:
    name = state.component.name.partition("/")[2] or state.component.name
    told: Body = {"componentId": reading.part or name, "componentType": state.component.kind}
    if reading.value is not None:
        told["observedValue"] = reading.value
    if reading.unit is not None:
        told["observedUnit"] = reading.unit
    told |= {"status": reading.level.status, "level": reading.level.name, "time": rfc3339(state.at)}
    return {**told, "output": reading.output} if reading.output else told


def _moved(one: Transition) -> Body:
    return {
        "id": one.id,
        "time": rfc3339(one.at),
        "machine": one.machine,
        "component": one.component,
        "before": one.before,
        "after": one.after,
        "output": one.output,
    }
