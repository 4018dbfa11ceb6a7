"""alertmanager.yml: groups and inhibits, then hands every severity to the gateway's own alerting.

Whom an alert reaches, by SMS, voice, e-mail or chat, is decided there: schedules and escalation live in one place.
"""

from typing import Any

from cmg.catalogue.routing import INHIBITIONS, SEVERITIES, Inhibition, Severity

_HOOK = "http://monitor:8000/hooks/alertmanager"
_KEY = "/run/secrets/alerts_key"


def configuration() -> dict[str, Any]:
    """The whole file."""
    lowest = SEVERITIES[-1]
    return {
        "global": {"resolve_timeout": "5m"},
        "route": {
            "receiver": lowest.name.lower(),
            "group_by": ["alertname", "job"],
            **_pace(lowest),
            "routes": [_route(one) for one in SEVERITIES],
        },
        "inhibit_rules": [_inhibition(one) for one in INHIBITIONS],
        "receivers": [_receiver(one) for one in SEVERITIES],
    }


def _pace(severity: Severity) -> dict[str, str]:
    return {
        "group_wait": severity.group_wait,
        "group_interval": severity.group_interval,
        "repeat_interval": severity.repeat,
    }


def _route(severity: Severity) -> dict[str, Any]:
    return {"matchers": [f'severity="{severity.name}"'], "receiver": severity.name.lower(), **_pace(severity)}


def _receiver(severity: Severity) -> dict[str, Any]:
    authorization = {"type": "Bearer", "credentials_file": _KEY}
    hook = {"url": _HOOK, "send_resolved": True, "http_config": {"authorization": authorization}}
    return {"name": severity.name.lower(), "webhook_configs": [hook]}


def _inhibition(one: Inhibition) -> dict[str, Any]:
    # Labels that are missing on both sides count as equal: so they have to be there.
    there = [f'{label}=~".+"' for label in one.equal]
    return {
        "source_matchers": [f'alertname="{one.source}"', *there],
        "target_matchers": [f'alertname=~"{"|".join(one.targets)}"', *there],
        "equal": list(one.equal),
    }
