"""Links that act: a token says which group, what is done to it and until when, and is signed under the master key."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Literal

import msgspec

from cmg.alerting.models import Notification
from cmg.kit.errors import Unauthenticated

Action = Literal["acknowledge", "resolve", "call", "useful", "noise"]
JUDGING: frozenset[Action] = frozenset({"useful", "noise"})
LIFE_S = 7 * 86_400.0
_LONGEST = 1000
_LINKED = frozenset({"page", "remind", "flapping"})


class Token(msgspec.Struct, frozen=True, array_like=True):
    """`call`: what a key pressed in a call does; `channel` is whose account calls back. `until`: epoch seconds."""

    workspace: str
    group: str
    action: Action
    until: int
    who: str
    channel: str = ""


class BadLink(Unauthenticated):
    """401: the link was not made here, was changed, or is too old."""

    code = "bad_link"


class Links:
    """Makes and reads tokens. `url`: as people outside reach the service; without it messages have no links."""

    def __init__(self, keys: Callable[[], Sequence[str]], url: str | None) -> None:
        self._keys, self._url = keys, None if url is None else url.rstrip("/")

    @cached_property
    def _each(self) -> list[bytes]:
        return [hashlib.sha256(b"cmg link key\x00" + one.encode()).digest() for one in self._keys()]

    def of(self, workspace_id: str, one: Notification, now: float) -> dict[str, str]:
        """Action → URL, for a message that asks for an answer, or tells of the end."""
        over = one.occasion == "resolved"
        if self._url is None or not (over or one.occasion in _LINKED):
            return {}
        until = int(now + LIFE_S)
        who = one.target.partition(":")[2]
        actions: tuple[Action, ...] = ("useful", "noise") if over else ("acknowledge", "resolve", "call")
        made = {
            action: self.token(Token(workspace_id, one.group_id, action, until, who, one.channel)) for action in actions
        }
        return {
            action: self.call_url(token) if action == "call" else f"{self._url}/act/{token}"
            for action, token in made.items()
        }

    def call_url(self, token: str) -> str:
        """What Twilio calls when a key was pressed, as it signs it."""
        return f"{self._url or ''}/hooks/twilio/{token}"

    def token(self, told: Token) -> str:
        """Letters that fit into a path."""
        body = _text(msgspec.json.encode(told))
        return f"{body}.{_text(_mac(self._each[0], body))}"

    def read(self, token: str, now: float) -> Token:
        """What a token says. Raises `BadLink`."""
        body, _, mac = token.partition(".")
        if len(token) > _LONGEST or not any(hmac.compare_digest(_text(_mac(key, body)), mac) for key in self._each):
            raise BadLink("this link was not made here, or not all of it arrived")
        try:
            told = msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=Token)
        except (msgspec.MsgspecError, binascii.Error) as error:
            raise BadLink("this link was not made here, or not all of it arrived") from error
        if told.until <= now:
            raise BadLink("this link is too old; act in the console or by `cmg alerts`")
        return told


def _mac(key: bytes, body: str) -> bytes:
    return hmac.new(key, body.encode(), hashlib.sha256).digest()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
