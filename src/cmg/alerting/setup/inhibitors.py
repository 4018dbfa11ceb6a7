"""Which alerts keep others quiet, kept up as alerts come and go: looking one up costs no walk over all of them."""

from collections.abc import Mapping

from cmg.alerting.models import Alert
from cmg.alerting.setup.documents import Inhibition, Matcher
from cmg.alerting.setup.matchers import matches
from cmg.catalogue.routing import INHIBITIONS


def of_catalogue() -> dict[str, Inhibition]:
    """What holds of the service's own rules without any document, as in the rendered Alertmanager's configuration."""
    return {
        f"catalogue-{one.source}-{target}": Inhibition(
            source=[Matcher(label="alertname", value=one.source)],
            target=[Matcher(label="alertname", value=target)],
            equal=list(one.equal),
        )
        for one in INHIBITIONS
        for target in one.targets
    }


OF_CATALOGUE = of_catalogue()


class Inhibitors:
    """Rule → values of its `equal` labels → fingerprints of firing sources."""

    def __init__(self, rules: Mapping[str, Inhibition] | None = None) -> None:
        self._rules = dict(rules or {})
        self._firing: dict[str, dict[tuple[str, ...], set[str]]] = {name: {} for name in self._rules}

    def copy(self) -> "Inhibitors":
        """The same, to change."""
        made = Inhibitors(self._rules)
        made._firing = {
            rule: {values: set(one) for values, one in known.items()} for rule, known in self._firing.items()
        }
        return made

    def take(self, alert: Alert) -> None:
        """Note whether it is a firing source now."""
        for name, rule in self._rules.items():
            values = _equal(rule, alert.labels)
            if values is None or not matches(rule.source, alert.labels):
                continue
            sources = self._firing[name].setdefault(values, set())
            if alert.firing:
                sources.add(alert.fingerprint)
            else:
                sources.discard(alert.fingerprint)

    def of(self, alert: Alert) -> tuple[str, str] | None:
        """The rule that keeps an alert quiet and a source's fingerprint, if any. No alert inhibits itself."""
        for name, rule in self._rules.items():
            values = _equal(rule, alert.labels)
            if values is None or not matches(rule.target, alert.labels):
                continue
            others = self._firing[name].get(values, set()) - {alert.fingerprint}
            if others and not matches(rule.source, alert.labels):
                return name, min(others)
        return None


def _equal(rule: Inhibition, labels: Mapping[str, str]) -> tuple[str, ...] | None:
    """The values that must agree; None when one is missing: two alerts without a label do not agree in it."""
    values = tuple(labels.get(one, "") for one in rule.equal)
    return values if all(values) else None
