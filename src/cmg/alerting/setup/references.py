"""Which documents name which others: none is written that names one which is not there, none removed that is named."""

from collections.abc import Iterator
from typing import NamedTuple

from cmg.alerting.setup.compiled import Setup
from cmg.alerting.setup.documents import Channel, Document, EscalationPolicy, Responder, Route, Schedule


class Reference(NamedTuple):
    """Where a document names another one."""

    field: str
    kind: str
    id: str


def references(document: Document) -> Iterator[Reference]:
    """Everything that a document names."""
    if isinstance(document, Route):
        yield Reference("policy", "escalation-policies", document.policy)
    if isinstance(document, Channel) and document.fallback is not None:
        yield Reference("fallback", "channels", document.fallback)
    if isinstance(document, Responder):
        for at, contact in enumerate(document.contacts):
            yield Reference(f"contacts[{at}].channel", "channels", contact.channel)
    if isinstance(document, Schedule):
        for at, layer in enumerate(document.layers):
            yield from (Reference(f"layers[{at}].people", "responders", one) for one in layer.people)
        for at, override in enumerate(document.overrides):
            yield Reference(f"overrides[{at}].person", "responders", override.person)
    if isinstance(document, EscalationPolicy):
        yield from _of_policy(document)


def _of_policy(policy: EscalationPolicy) -> Iterator[Reference]:
    for at, step in enumerate(policy.steps):
        for number, target in enumerate(step.targets):
            where = f"steps[{at}].targets[{number}]"
            if target.schedule is not None:
                yield Reference(f"{where}.schedule", "schedules", target.schedule)
            if target.responder is not None:
                yield Reference(f"{where}.responder", "responders", target.responder)
            if target.channel is not None:
                yield Reference(f"{where}.channel", "channels", target.channel)
    if policy.business_calendar is not None:
        yield Reference("business_calendar", "business-calendars", policy.business_calendar)


def missing(document: Document, setup: Setup) -> Reference | None:
    """The first reference to what is not there."""
    return next((one for one in references(document) if one.id not in setup.documents.get(one.kind, {})), None)


def users(setup: Setup, kind: str, name: str) -> list[str]:
    """`kind/id` of the documents that name one."""
    return [
        f"{other}/{user}"
        for other, documents in setup.documents.items()
        for user, document in documents.items()
        if any((one.kind, one.id) == (kind, name) for one in references(document))
    ]
