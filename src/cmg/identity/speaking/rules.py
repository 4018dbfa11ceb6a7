"""The two rules of naming users: a key's prefix, and the token of the user where the workspace wants one."""

import re

from cmg.identity.models import Caller
from cmg.identity.speaking.tokens import UserTokens
from cmg.kit.clock import Clock
from cmg.kit.errors import Forbidden
from cmg.kit.scopes import WORKSPACE, covers
from cmg.telemetry.instruments import Instruments

USER_TOKEN = b"x-cmg-user-token"
_OF_A_KEY = re.compile(r"key:(?P<id>[a-z0-9]{12})")  # what a key that remembers without users calls its own memory


class Speaking:
    """One per process. Administrators need no token: they act for others, and that is audited."""

    def __init__(self, clock: Clock, instruments: Instruments) -> None:
        self._tokens = UserTokens(clock)
        self._refused = instruments.series("cmg_security_events_total", "authz_fail")

    def check(self, caller: Caller, user_id: str, token: str | None, param: str = "user_id") -> None:
        """Raise `Forbidden` unless the caller may speak for this user; a token that is sent must be the user's."""
        prefix = caller.key.user_prefix
        if prefix is not None and not user_id.startswith(prefix):
            raise Forbidden(
                f"this API key speaks only for users whose id begins with `{prefix}`",
                param=param,
                code="user_not_allowed",
            )
        policy = caller.workspace.memory
        if is_staff(caller):
            return
        memory = None if policy.shared else _OF_A_KEY.fullmatch(user_id)
        if memory is not None and memory["id"] != caller.key_id:  # who came first would else own it
            raise Forbidden(
                "this is the name of another API key's own memory; use that key, or let the workspace share its users",
                param=param,
                code="user_of_another_key",
            )
        if policy.user_token_key is None:
            return
        if token is not None or policy.user_token_required:
            try:
                self._tokens.check(policy, token, user_id, param)
            except Forbidden:
                self._refused.inc()
                raise

    def check_everybody(self, caller: Caller) -> None:
        """Raise `Forbidden` unless the caller may speak for every user of its workspace."""
        policy = caller.workspace.memory
        wanted = policy.user_token_key is not None and policy.user_token_required and not is_staff(caller)
        if caller.key.user_prefix is not None or wanted:
            raise Forbidden(
                "this API key speaks only for some users: name one with `user_id`",
                param="user_id",
                code="user_not_allowed",
            )


def is_staff(caller: Caller) -> bool:
    """Whether the caller administers its workspace."""
    return covers(caller.scopes, WORKSPACE)
