"""A rule file: groups of recording and alerting rules, in Prometheus' format, checked before anything is evaluated."""

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from cmg.timeseries.api.parameters import duration_ms
from cmg.timeseries.errors import BadData, QueryError
from cmg.timeseries.labels import NAME
from cmg.timeseries.promql.parsing import parse
from cmg.timeseries.rules.templates import Template

DEFAULT_INTERVAL_MS = 60_000
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class RuleFileError(ValueError):
    """A file that is no rule file; the message names the file, the group and the rule."""


@dataclass(frozen=True)
class RecordingRule:
    """Keeps what `expr` gives as the metric `record`; `labels` are set on every sample."""

    record: str
    expr: str
    labels: Mapping[str, str]

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.record


@dataclass(frozen=True)
class AlertingRule:
    """One alert for each series that `expr` gives, firing once it gave it for `for_ms`."""

    alert: str
    expr: str
    for_ms: int
    keep_firing_for_ms: int
    labels: Mapping[str, Template]
    annotations: Mapping[str, Template]

    @property
    def name(self) -> str:
        """The alert's name."""
        return self.alert


Rule = RecordingRule | AlertingRule


@dataclass(frozen=True)
class Group:
    """Rules that are evaluated one after the other at one moment; `limit` bounds what each may give (0: no limit)."""

    file: str
    name: str
    interval_ms: int | None
    limit: int
    rules: tuple[Rule, ...]

    def due_after(self, now_ms: int, default_ms: int = DEFAULT_INTERVAL_MS) -> int:
        """The next moment of evaluation: whole intervals apart, at a phase of the group's own."""
        interval = self.interval_ms or default_ms
        phase = zlib.crc32(f"{self.file};{self.name}".encode()) % interval
        return (now_ms - phase) // interval * interval + phase + interval


@dataclass(frozen=True)
class RuleFile:
    """What one file holds."""

    name: str
    groups: tuple[Group, ...]

    @classmethod
    def parse(cls, text: str | bytes, name: str) -> "RuleFile":
        """Read a file's text. Raises `RuleFileError`."""
        try:
            written = msgspec.yaml.decode(text, type=_File)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RuleFileError(f"{name}: {error}") from error
        names = [group.name for group in written.groups]
        twice = next((one for one in names if names.count(one) > 1), None)
        if twice is not None:
            raise RuleFileError(f"{name}: there are two groups named {twice!r}")
        return cls(name, tuple(_group(group, name) for group in written.groups))


class _Rule(msgspec.Struct, forbid_unknown_fields=True):
    expr: str | int | float
    record: str = ""
    alert: str = ""
    for_: str = msgspec.field(name="for", default="0s")
    keep_firing_for: str = "0s"
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Group(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    rules: list[_Rule]
    interval: str | None = None
    limit: int = 0


class _File(msgspec.Struct, forbid_unknown_fields=True):
    groups: list[_Group]


def _group(written: _Group, file: str) -> Group:
    where = f"{file}: group {written.name!r}"
    if not written.name:
        raise RuleFileError(f"{file}: a group has no name")
    if written.limit < 0:
        raise RuleFileError(f"{where}: the limit {written.limit} is less than 0")
    rules = tuple(_rule(rule, f"{where}, rule {place}") for place, rule in enumerate(written.rules, 1))
    interval = None if written.interval is None else _duration(written.interval, f"{where}: interval")
    return Group(file, written.name, interval or None, written.limit, rules)


def _rule(written: _Rule, where: str) -> Rule:
    if bool(written.record) is bool(written.alert):
        raise RuleFileError(f"{where}: it needs one of `record` and `alert`")
    where, expr = f"{where} ({written.record or written.alert})", str(written.expr)
    try:
        plan = parse(expr)
    except QueryError as error:
        raise RuleFileError(f"{where}: {error}") from error
    if plan.kind not in {"vector", "scalar"}:
        raise RuleFileError(f"{where}: the expression gives no vector")
    labels = written.labels or {}
    _check_names([*labels, *(written.annotations or {})], where)
    return _recording(written, expr, where) if written.record else _alerting(written, expr, where)


def _recording(written: _Rule, expr: str, where: str) -> RecordingRule:
    if not _METRIC.fullmatch(written.record):
        raise RuleFileError(f"{where}: that is no name of a metric")
    if written.annotations or written.for_ != "0s" or written.keep_firing_for != "0s":
        raise RuleFileError(f"{where}: only an alert has `for`, `keep_firing_for` and annotations")
    return RecordingRule(written.record, expr, written.labels or {})


def _alerting(written: _Rule, expr: str, where: str) -> AlertingRule:
    return AlertingRule(
        written.alert,
        expr,
        _duration(written.for_, f"{where}: for"),
        _duration(written.keep_firing_for, f"{where}: keep_firing_for"),
        _templates(written.labels or {}, where),
        _templates(written.annotations or {}, where),
    )


def _templates(written: Mapping[str, str], where: str) -> dict[str, Template]:
    try:
        return {name: Template.parse(text) for name, text in written.items()}
    except ValueError as error:
        raise RuleFileError(f"{where}: {error}") from error


def _check_names(names: Sequence[str], where: str) -> None:
    for name in names:
        if not _LABEL.fullmatch(name) or name == NAME:
            raise RuleFileError(f"{where}: {name!r} is no name of a label or annotation")


def _duration(text: str, where: str) -> int:
    if text.replace(".", "").isdigit() and text != "0":
        raise RuleFileError(f"{where}: {text!r} is no duration: it has no unit")
    try:
        return duration_ms(text)
    except BadData as error:
        raise RuleFileError(f"{where}: {error}") from error
