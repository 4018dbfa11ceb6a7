"""What a dashboard is made of. Pure data."""

from dataclasses import dataclass
from typing import Literal

# Prometheus' base units; `per_s` counts events a second, `ratio` goes from 0 to 1.
Unit = Literal["s", "bytes", "ratio", "usd", "per_s", "bytes_per_s", "tokens", "count"]
# lines over time; one number, the newest; bars by name; a table of rows.
Form = Literal["lines", "number", "bars", "table"]
# What the person who looks may choose. A panel that names none of its own shows the whole service.
Variable = Literal["workspace", "upstream", "instance"]
Color = Literal["orange", "red"]


@dataclass(frozen=True)
class Promql:
    """One expression and how its series are called: `{{label}}` stands for a label's value.

    `$interval` stands for the window of rates, `$upstream` and `$instance` for regular expressions.
    """

    expr: str
    name: str


@dataclass(frozen=True)
class Report:
    """A named query of `analytics/queries.sql`: workspace ($1; null: all), from ($2), to ($3), step ($4, seconds).

    Columns of lines: `time`, `metric`, `value`, as Grafana wants them; of bars and numbers the last two; of tables any.
    """

    query: str


@dataclass(frozen=True)
class Threshold:
    """From this value on the panel shows the color."""

    value: float
    color: Color


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture. `width` is in 24ths of the page; `idle` says why it may have nothing to show."""

    id: str
    title: str
    help: str
    unit: Unit
    source: tuple[Promql, ...] | Report
    form: Form = "lines"
    thresholds: tuple[Threshold, ...] = ()
    width: int = 8
    idle: str | None = None

    @property
    def promql(self) -> tuple[Promql, ...]:
        """Its expressions; none when its figures come from SQL."""
        return () if isinstance(self.source, Report) else self.source


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """A kind of event beside the figures: its `id` names a query of `analytics/queries.sql` that takes a span.

    Its columns: `time`, `timeend` (null: a moment, or it goes on), `text`, `tags`, as Grafana wants them. `open`:
    whoever sees a workspace may see it; else it is for those who see the whole service.
    """

    id: str
    title: str
    help: str
    color: Literal["blue", "purple", "gray", "red"]
    open: bool = True


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """A page of panels for one reader.

    `scope`: `service` shows everything that runs, to whoever may see it all; `workspace` the calls of one workspace.
    """

    slug: str
    title: str
    help: str
    scope: Literal["service", "workspace"]
    panels: tuple[Panel, ...]
    variables: tuple[Variable, ...] = ()
    annotations: tuple[Annotation, ...] = ()

    def panel(self, panel_id: str) -> Panel | None:
        """The panel of this id, if there is one."""
        return next((panel for panel in self.panels if panel.id == panel_id), None)


def alarm(orange: float, red: float) -> tuple[Threshold, ...]:
    """The two lines that most panels draw."""
    return (Threshold(orange, "orange"), Threshold(red, "red"))
