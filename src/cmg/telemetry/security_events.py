"""Security events: one line in the log under OWASP's name, and one count. What they mean is for readers to say."""

from typing import Any, Literal, get_args

from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

Event = Literal[
    "authn_impossible_travel",
    "authn_login_fail",
    "authn_login_fail_max",
    "authn_login_lock",
    "authn_login_success",
    "authn_password_change",
    "authn_token_created",
    "authz_change",
    "authz_fail",
    "sensitive_read",
    "session_created",
    "session_expired",
    "session_renewed",
    "session_logout",
    "session_use_after_expire",
    "user_archived",
    "user_created",
    "user_deleted",
    "user_updated",
]
_FAILED = frozenset({"authn_login_fail", "authn_login_fail_max", "authz_fail"})
_log = get_logger("cmg.security")


class SecurityEvents:
    """OWASP's logging vocabulary (cheatsheetseries.owasp.org, Logging Vocabulary)."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        for event in get_args(Event):
            instruments.series("cmg_security_events_total", event)  # from 0 on: else the first one is no increase

    def emit(self, event: Event, message: str, *, client: str = "", user: str = "", **fields: Any) -> None:
        """Say that something happened: `client` is an address, `user` an account's id, never a secret."""
        self._instruments.series("cmg_security_events_total", event).inc()
        named = {"source.ip": client, "user.id": user}
        outcome = "failure" if event in _FAILED else "success"
        told = {name: value for name, value in named.items() if value}
        log = _log.warning if outcome == "failure" else _log.info
        log(message, **{"event.action": event, "event.outcome": outcome, **told, **fields})
