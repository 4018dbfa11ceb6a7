"""One alert on its way through the stages."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from cmg.alerting.models import Alert, Report, Verdict
from cmg.alerting.world import Changes


@dataclass
class Case:
    """`report` is None when an alert is looked at again without news of it. Stages set `alert` anew as they decide."""

    changes: Changes
    alert: Alert
    before: Alert | None = None
    report: Report | None = None
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def now(self) -> float:
        """The moment of the decision."""
        return self.changes.now

    def become(self, **fields: object) -> None:
        """The alert with other fields."""
        self.alert = msgspec.structs.replace(self.alert, **fields)


Stage = Callable[[Case], Verdict]


def run(case: Case, stages: tuple[Stage, ...]) -> Verdict:
    """Go through the stages until one does not pass it on; the last verdict. All of them are in `verdicts`."""
    verdict = Verdict("none", "pass", "")
    for stage in stages:
        verdict = stage(case)
        case.verdicts.append(verdict)
        if verdict.outcome != "pass":
            break
    return verdict
