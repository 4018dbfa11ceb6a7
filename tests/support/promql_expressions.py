"""Expressions that a real Prometheus and ours have to answer alike: picked by hand, and grown from a grammar."""

import random
from pathlib import Path

FILE = Path(__file__).parents[1] / "fixtures" / "expressions.promql"
_RANGES = ("90s", "3m", "5m", "11m", "1h")
_COUNTERS = ("requests_total", 'requests_total{job!="web"}', "latency_seconds_count", "latency_seconds_sum")
_GAUGES = ("temperature", 'temperature{room=~"h.*|lab"}', "quota", "sparse", "odd", 'build_info{version="1.2"}')
_OVER_TIME = ("sum", "min", "max", "count", "last", "present", "stddev", "stdvar")
_OF_COUNTERS = ("rate", "increase", "irate", "resets")
_OF_GAUGES = ("delta", "idelta", "deriv", "changes")
_MATHEMATICS = ("abs", "ceil", "floor", "exp", "sqrt", "ln", "sgn", "atan", "deg", "round", "-")
_AGGREGATIONS = ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar")
_LABELS = ("job", "code", "room", "floor", "instance", "nosuch", "kind", "le")
_OPERATORS = ("+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<=", "and", "or", "unless")
_SHARES = ("0.5", "0.95", "-1", "NaN")
_NUMBERS = ("0", "1", "2.5", "-3", "1e3", "NaN", "Inf", "1000")


def picked() -> list[str]:
    """The expressions of the file."""
    return FILE.read_text().splitlines()


def grown(count: int, seed: int) -> list[str]:
    """So many expressions, always the same for a seed."""
    chance = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found[_vector(chance, chance.randrange(1, 4))] = None
    return list(found)


def _vector(chance: random.Random, depth: int) -> str:
    if depth == 0:
        return _leaf(chance)
    inner = _vector(chance, depth - 1)
    return chance.choice([_aggregated, _applied, _with_number, _combined, _ranked, _labelled])(chance, inner, depth)


def _leaf(chance: random.Random) -> str:
    offset = chance.choice(["", "", "", " offset 7m", " offset -2m", " @ 1700004321.5"])
    span = chance.choice(_RANGES)
    return chance.choice(
        [
            f"{chance.choice(_GAUGES + _COUNTERS)}{offset}",
            f"{chance.choice(_OVER_TIME)}_over_time({chance.choice(_GAUGES[:4])}[{span}]{offset})",
            f"quantile_over_time({chance.choice(_SHARES)}, {chance.choice(_GAUGES)}[{span}]{offset})",
            f"{chance.choice(_OF_COUNTERS)}({chance.choice(_COUNTERS)}[{span}]{offset})",
            f"{chance.choice(_OF_GAUGES)}({chance.choice(_GAUGES[:3])}[{span}]{offset})",
            f"predict_linear({chance.choice(_GAUGES[:3])}[{span}], {chance.choice(['60', '-30', '3600'])})",
            "histogram_quantile(0.9, sum by (le, job) (rate(latency_seconds_bucket[5m])))",
        ]
    )


def _aggregated(chance: random.Random, inner: str, _depth: int) -> str:
    how = chance.choice(["by", "without"])
    labels = ", ".join(chance.sample(_LABELS, chance.randrange(3)))
    clause = chance.choice(["", f" {how} ({labels})"])
    if chance.random() < 0.15:
        return f"quantile{clause} ({chance.choice(['0.25', '0.9', '2'])}, {inner})"
    return f"{chance.choice(_AGGREGATIONS)}{clause} ({inner})"


def _applied(chance: random.Random, inner: str, _depth: int) -> str:
    function = chance.choice((*_MATHEMATICS, "clamp", "absent", "scalar", "timestamp", "sort"))
    if function == "clamp":
        return f"clamp({inner}, 1, {chance.choice(_NUMBERS)})"
    return f"vector(scalar({inner}))" if function == "scalar" else f"{function}({inner})"


def _with_number(chance: random.Random, inner: str, _depth: int) -> str:
    operator = chance.choice(_OPERATORS[:12])
    as_bool = " bool" if operator in _OPERATORS[6:12] and chance.random() < 0.5 else ""
    sides = [f"({inner})", chance.choice(_NUMBERS)]
    chance.shuffle(sides)
    return f"{sides[0]} {operator}{as_bool} {sides[1]}"


def _combined(chance: random.Random, inner: str, depth: int) -> str:
    operator = chance.choice(_OPERATORS)
    labels = ", ".join(chance.sample(_LABELS, chance.randrange(1, 3)))
    matching = chance.choice(["", "", f" on ({labels})", f" ignoring ({labels})"])
    if matching and operator in _OPERATORS[:12]:
        matching += chance.choice(["", " group_left", " group_right"])
    other = inner if chance.random() < 0.4 else _vector(chance, depth - 1)
    return f"({inner}) {operator}{matching} ({other})"


def _ranked(chance: random.Random, inner: str, _depth: int) -> str:
    by = chance.choice(["", " by (job)", " without (code)"])
    return f"count{by} (topk{by} ({chance.choice(['1', '3', '0', '2.7'])}, {inner}))"


def _labelled(chance: random.Random, inner: str, _depth: int) -> str:
    if chance.random() < 0.5:
        return f'label_replace({inner}, "new", "<$1>", "{chance.choice(_LABELS)}", "(.).*")'
    return f'label_join({inner}, "new", "/", "{chance.choice(_LABELS)}", "{chance.choice(_LABELS)}")'
