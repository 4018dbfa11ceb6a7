"""A test file as promtool reads it: rule files, series, and the alerts and values expected at moments."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from cmg.timeseries.api.parameters import duration_ms
from cmg.timeseries.errors import BadData
from cmg.timeseries.rules.files import Group, RuleFile, RuleFileError


class TrialFileError(ValueError):
    """A file that is no test file, or names rule files that are none."""


class Series(msgspec.Struct, forbid_unknown_fields=True):
    """One series and its values, an interval apart from time 0 on."""

    series: str
    values: str


class ExpectedAlert(msgspec.Struct, forbid_unknown_fields=True):
    """One alert that fires; `alertname` goes without saying."""

    exp_labels: dict[str, str] | None = None
    exp_annotations: dict[str, str] | None = None


class AlertCase(msgspec.Struct, forbid_unknown_fields=True):
    """Every alert of one name that fires at a moment."""

    eval_time: str
    alertname: str
    exp_alerts: list[ExpectedAlert] | None = None


class ExpectedSample(msgspec.Struct, forbid_unknown_fields=True):
    """One series that an expression gives."""

    value: float
    labels: str = ""


class ExpressionCase(msgspec.Struct, forbid_unknown_fields=True):
    """What an expression gives at a moment."""

    expr: str
    eval_time: str
    exp_samples: list[ExpectedSample] | None = None


class Trial(msgspec.Struct, forbid_unknown_fields=True):
    """One history and what is expected of it."""

    interval: str | None = None
    name: str = ""
    input_series: list[Series] | None = None
    alert_rule_test: list[AlertCase] | None = None
    promql_expr_test: list[ExpressionCase] | None = None
    external_labels: dict[str, str] | None = None
    external_url: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    rule_files: list[str]
    tests: list[Trial]
    evaluation_interval: str = "1m"
    group_eval_order: list[str] | None = None


@dataclass(frozen=True)
class TrialFile:
    """Groups in the order of their evaluation, and what to try on them."""

    groups: tuple[Group, ...]
    interval_ms: int
    trials: tuple[Trial, ...]

    @classmethod
    def read(cls, file: Path) -> "TrialFile":
        """Read a test file and the rule files that it names, relative to itself. Raises `TrialFileError`, `OSError`."""
        try:
            written = msgspec.yaml.decode(file.read_bytes(), type=_File)
        except msgspec.DecodeError as error:
            raise TrialFileError(f"{file}: {error}") from error
        groups = [group for pattern in written.rule_files for group in _groups(file, pattern)]
        order = written.group_eval_order or []
        names = {group.name for group in groups}
        unknown = [name for name in order if name not in names]
        if unknown:
            raise TrialFileError(f"{file}: group_eval_order names {unknown[0]!r}, which no rule file has")
        groups.sort(key=lambda group: order.index(group.name) if group.name in order else len(order))
        return cls(tuple(groups), milliseconds(written.evaluation_interval), tuple(written.tests))


def _groups(file: Path, pattern: str) -> list[Group]:
    path = file.parent / pattern
    found = sorted(path.parent.glob(path.name))
    if not found:
        raise TrialFileError(f"{file}: no rule file is named {pattern!r}")
    try:
        return [group for one in found for group in RuleFile.parse(one.read_bytes(), str(one)).groups]
    except RuleFileError as error:
        raise TrialFileError(str(error)) from error


def milliseconds(text: str) -> int:
    """A duration of a test file. Raises `TrialFileError`."""
    try:
        return duration_ms(text)
    except BadData as error:
        raise TrialFileError(str(error)) from error
