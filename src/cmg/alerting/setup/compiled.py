"""A workspace's documents by kind and id, ready for decisions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from pydantic import ValidationError

from cmg.alerting.setup.documents import (
    KINDS,
    AlertRule,
    BusinessCalendar,
    Channel,
    Document,
    Drill,
    EscalationPolicy,
    Handling,
    HeartbeatCheck,
    Inhibition,
    MaintenanceWindow,
    Responder,
    Route,
    Schedule,
    Silence,
)
from cmg.telemetry.logs import get_logger

_log = get_logger("cmg.alerting.setup")
D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class Setup:
    """Id → document, for each kind."""

    documents: Mapping[str, Mapping[str, Document]] = field(default_factory=dict)

    def _of(self, kind: str, what: type[D]) -> dict[str, D]:
        return {name: one for name, one in self.documents.get(kind, {}).items() if isinstance(one, what)}

    @cached_property
    def silences(self) -> dict[str, Silence]:
        """By id."""
        return self._of("silences", Silence)

    @cached_property
    def windows(self) -> dict[str, MaintenanceWindow]:
        """Maintenance windows by id."""
        return self._of("maintenance-windows", MaintenanceWindow)

    @cached_property
    def inhibitions(self) -> dict[str, Inhibition]:
        """By id."""
        return self._of("inhibitions", Inhibition)

    @cached_property
    def routes(self) -> list[tuple[str, Route]]:
        """In the order they are asked."""
        return sorted(self._of("routes", Route).items(), key=lambda one: (one[1].order, one[0]))

    @cached_property
    def responders(self) -> dict[str, Responder]:
        """By id."""
        return self._of("responders", Responder)

    @cached_property
    def channels(self) -> dict[str, Channel]:
        """By id."""
        return self._of("channels", Channel)

    @cached_property
    def schedules(self) -> dict[str, Schedule]:
        """By id."""
        return self._of("schedules", Schedule)

    @cached_property
    def policies(self) -> dict[str, EscalationPolicy]:
        """Escalation policies by id."""
        return self._of("escalation-policies", EscalationPolicy)

    @cached_property
    def calendars(self) -> dict[str, BusinessCalendar]:
        """By id."""
        return self._of("business-calendars", BusinessCalendar)

    @cached_property
    def handling(self) -> Handling:
        """The one named `default`, else what holds without any."""
        return self._of("handling", Handling).get("default", Handling())

    @cached_property
    def heartbeats(self) -> dict[str, HeartbeatCheck]:
        """By id."""
        return self._of("heartbeats", HeartbeatCheck)

    @cached_property
    def rules(self) -> dict[str, AlertRule]:
        """Rules that the workspace owns, by id."""
        return self._of("alert-rules", AlertRule)

    @cached_property
    def drills(self) -> dict[str, Drill]:
        """By id."""
        return self._of("drills", Drill)


def compiled(rows: Iterable[tuple[str, str, str]]) -> Setup:
    """Out of (kind, id, JSON). One that cannot be read, as of another version, is left out: the others page on."""
    documents: dict[str, dict[str, Document]] = {}
    for kind, name, body in rows:
        try:
            documents.setdefault(kind, {})[name] = KINDS[kind].model_validate_json(body)
        except (KeyError, ValidationError) as error:
            _log.error("a document cannot be read: write it again", kind=kind, name=name, error=type(error).__name__)
    return Setup(documents)
