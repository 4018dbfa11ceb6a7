"""The catalogue of metrics is whole: declared and emitted are the same, and names follow the field's rules."""

import ast
import re

from cmg.catalogue.metrics import BY_NAME, METRICS
from house.tree import SOURCE, modules, strings

UNIT = re.compile(r"_(seconds|bytes|ratio|total|info|timestamp_seconds)$")
# What has no unit is a number of things: the name says which, and in what state they are.
COUNT_OF_THINGS = re.compile(
    r"_(calls|connections|cpus|entries|files|jobs|keys|locks|models|panels|records|replicas|requests|rows|series|streams|threads|tokens"
    r"|workers)"
    r"(_(active|in_use|waiting))?$|_(level|open|up)$"
)
PRIVATE_LABELS = {
    "user",
    "user_id",
    "email",
    "prompt",
    "path",
    "key",
    "key_id",
    "workspace",
    "workspace_id",
    "thread_id",
}


def _emitted() -> dict[str, str]:
    """Metric names in `….series("name", …)` and where they stand."""
    found = {}
    for module in modules(SOURCE):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "series":
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found[first.value] = f"{module.name}:{node.lineno}"
    return found


def test_every_metric_that_is_emitted_is_declared() -> None:
    strange = {name: where for name, where in _emitted().items() if name not in BY_NAME}
    assert not strange, strange


def test_every_metric_that_is_declared_is_emitted() -> None:
    named = {one.value for module in modules(SOURCE) if "catalogue" not in module.path.parts for one in strings(module)}
    silent = [metric.name for metric in METRICS if metric.name not in named]
    assert not silent, silent


def test_a_metric_is_declared_once() -> None:
    assert len(BY_NAME) == len(METRICS)


def test_names_carry_their_unit_and_kind() -> None:
    wrong = [
        metric.name
        for metric in METRICS
        if not (UNIT.search(metric.name) or COUNT_OF_THINGS.search(metric.name))
        or (metric.kind == "counter") != metric.name.endswith("_total")
        or (metric.kind == "info") != metric.name.endswith("_info")
    ]
    assert not wrong, wrong


def test_no_label_can_name_a_person_or_a_tenant() -> None:
    wrong = {metric.name: metric.labels for metric in METRICS if PRIVATE_LABELS & set(metric.labels)}
    assert not wrong, wrong


def test_every_help_is_a_sentence_and_every_gap_has_its_reason() -> None:
    assert not [metric.name for metric in METRICS if not metric.help.endswith(".") or metric.optional == ""]
