"""Who may do what with whose memory: the scopes of a key, and the users it may speak for."""

from collections.abc import Callable

from cmg.identity.models import Caller
from cmg.kit.errors import Forbidden, InvalidRequest, NotFound

Require = Callable[[Caller, str], None]


class Access:
    """`require` raises `Forbidden` when a caller lacks a scope."""

    def __init__(self, require: Require) -> None:
        self._require = require

    def read(self, caller: Caller) -> None:
        """The caller may read memories."""
        self._require(caller, "memory:read")

    def write(self, caller: Caller) -> None:
        """The caller may store, change and delete memories."""
        self._require(caller, "memory:write")

    def check(self, caller: Caller, user_id: str) -> None:
        """Raise `Forbidden` unless the key may speak for this user; `InvalidRequest` for a name with a NUL."""
        if "\x00" in user_id:
            raise InvalidRequest("user_id may not hold a NUL character", param="user_id", code="invalid_value")
        if not speaks_for(caller, user_id):
            raise Forbidden(
                f"this API key speaks only for users whose id begins with `{caller.key.user_prefix}`",
                param="user_id",
                code="user_not_allowed",
            )

    def check_item(self, caller: Caller, user_id: str) -> None:
        """Raise `NotFound` unless the key may speak for the user whose item it is: for the key there is none."""
        if not speaks_for(caller, user_id):
            raise NotFound("there is no such item", param="id")

    def everybody(self, caller: Caller) -> None:
        """Raise `Forbidden` unless the key may speak for every user of its workspace."""
        if caller.key.user_prefix is not None:
            raise Forbidden(
                "this API key speaks only for some users: name one with `user_id`",
                param="user_id",
                code="user_not_allowed",
            )


def speaks_for(caller: Caller, user_id: str) -> bool:
    """Whether the caller's key may name this user."""
    prefix = caller.key.user_prefix
    return prefix is None or user_id.startswith(prefix)
