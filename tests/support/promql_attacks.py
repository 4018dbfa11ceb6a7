"""Expressions that would take a process' memory or its time, run with less memory than they want: for a subprocess.

Prints one line of JSON: expression → [outcome, seconds of a core], and the largest memory under `""`.
"""

import asyncio
import json
import resource
import sys
import time

from cmg.kit.clock import SystemClock
from cmg.timeseries.api.answers import answer_json
from cmg.timeseries.errors import QueryError
from cmg.timeseries.labels import labels_of
from cmg.timeseries.promql.engine import Engine, Limits
from cmg.timeseries.promql.needs import Span
from support.memory_source import MemorySource

SERIES = 2000
END_MS = 1_700_000_000_000
ROOM_BYTES = 3 * 2**30
TIMEOUT_S = 3.0
_DOUBLED = 'label_replace({}, "a", "$1$1", "a", "(.*)")'


def nested(outer: str, inner: str, times: int) -> str:
    """`outer` around itself, around `inner`."""
    for _ in range(times):
        inner = outer.format(inner)
    return inner


INSTANT = (
    "sum_over_time(vector(1)[20d:1ms])",
    "sum_over_time(m[292y:1ms])",
    "max_over_time(m[9d:1s])",
    "max_over_time(max_over_time(vector(1)[9000s:1s])[9000s:1s])",
    "stddev_over_time(vector(1)[9000000s:1s])",
    nested("max_over_time({}[1h:1s])", "m", 20),
    nested(_DOUBLED, "m", 60),
    nested('label_join({}, "a", "", "a", "a", "a")', "m", 60),
    "-" * 900 + "m",
    nested("abs({})", "m", 300),
    nested("{} + 1", "m", 480),
    "m * on () group_left () topk(1, m2)",
)
RANGED = (
    'count_values("v", m + on (n) group_left () m)',
    "m * on () group_left () topk(1, m2)",
    "sum_over_time(m[10m])",
    " + ".join(["m"] * 200),
    nested("({} + m)", "m", 100),
    nested("m or ({})", "m2", 100),
    "quantile_over_time(0.5, vector(1)[9000s:1s])",
)


def _source() -> MemorySource:
    times = [END_MS - ago * 15_000 for ago in range(39, -1, -1)]
    made = {}
    for name in ("m", "m2"):
        for number in range(SERIES):
            labels = labels_of([("__name__", name), ("n", f"{name}{number}"), ("a", "x")])
            made[labels] = (times, [float(number * at % 977) for at in range(40)])
    return MemorySource(made)


async def _tried(engine: Engine, expression: str, *, ranged: bool) -> str:
    limits = Limits(timeout_s=TIMEOUT_S)
    span = Span(END_MS - 590_000, END_MS)
    work = engine.over(expression, span, 500, limits) if ranged else engine.instant(expression, END_MS, limits)
    try:
        answer = await work
        return f"answered {len(answer_json(answer, ranged=ranged, limit=0))} bytes"
    except QueryError as error:
        return f"{error.kind}: {str(error)[:80]}"
    except BaseException as error:  # noqa: BLE001  what breaks is what is looked for
        return f"broke: {error!r}"[:200]


async def _run(expressions: list[tuple[str, bool]]) -> dict[str, list[object]]:
    engine, told = Engine(_source(), SystemClock()), {}
    for expression, ranged in expressions:
        began = time.process_time()
        outcome = await _tried(engine, expression, ranged=ranged)
        told[expression] = [outcome, round(time.process_time() - began, 2)]
        print(expression[:60], told[expression], file=sys.stderr, flush=True)
    return told


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (ROOM_BYTES, ROOM_BYTES))
    every = [(one, False) for one in INSTANT] + [(one, True) for one in RANGED]
    found = asyncio.run(_run(every))
    found[""] = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, 0]
    print(json.dumps(found))
