"""Who may do what to which key: pure decisions, each an error that says what to do instead."""

from datetime import UTC, datetime, timedelta
from typing import Any

from cmg.identity.forms.text import text, wrong
from cmg.identity.models import Actor, ApiKey, Caller, actor_of
from cmg.kit.errors import Conflict, Forbidden, NotFound
from cmg.kit.scopes import READING, WORKSPACE, covers

# What a key may change of itself; anything else would widen its own rights.
OF_ITSELF = frozenset({"name", "description", "owner", "tags", "review_at"})

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_END = (datetime(9999, 1, 1, tzinfo=UTC), "")


def administrator(by: Actor | Caller) -> Actor:
    """The actor, when it may administer anything at all. Raises `Forbidden`."""
    actor = actor_of(by) if isinstance(by, Caller) else by
    if not covers(actor.scopes, WORKSPACE):
        raise Forbidden("managing keys needs the scope `admin`", code="missing_scope")
    return actor


def reader(by: Actor | Caller) -> Actor:
    """The actor, when it may see what others administer. Raises `Forbidden`."""
    actor = actor_of(by) if isinstance(by, Caller) else by
    if not covers(actor.scopes, READING):
        raise Forbidden("seeing keys needs the scope `admin:read`", code="missing_scope")
    return actor


def workspace_to_create_in(actor: Actor, wanted: Any) -> str:
    """The workspace to create in; to an actor bound to one, others do not exist."""
    if wanted is None:
        return actor.workspace_id
    named = text(wanted, "workspace", least=1, most=64)
    if not actor.everywhere and named != actor.workspace_id:
        raise NotFound(f"there is no workspace `{named}` for this key", param="workspace")
    return named


def workspace_to_list(actor: Actor, wanted: str | None) -> str | None:
    """The workspace to list; None: all of them."""
    return actor.only_workspace if wanted is None else workspace_to_create_in(actor, wanted)


def check_grant(actor: Actor, scopes: tuple[str, ...]) -> None:
    """Nobody grants scopes beyond their own. Raises `Forbidden`."""
    if not actor.may_grant(scopes):
        beyond = ", ".join(scope for scope in scopes if not actor.may_grant([scope]))
        raise Forbidden(f"your key cannot grant what it lacks: {beyond}", param="scopes")


def check_alive(key: ApiKey) -> None:
    """A revoked key stays as it is. Raises `Conflict`."""
    if key.status == "revoked":
        raise Conflict("the key is revoked for good; create a new one")


def check_not_from_settings(key: ApiKey) -> None:
    """The bootstrap key is what the settings say. Raises `Conflict`."""
    if key.origin == "bootstrap":
        raise Conflict("this key is fixed by CMG_BOOTSTRAP_KEY; change the setting and restart")


def readable_id(key_id: str) -> str:
    """The id, when a key could have it at all. Raises `NotFound`."""
    if not (key_id.isascii() and key_id.isalnum()):
        raise no_key(key_id)
    return key_id


def no_key(key_id: str) -> NotFound:
    """The error for a key that does not exist for the actor."""
    shown = key_id.encode("utf-8", "replace").decode()[:64]
    return NotFound(f"there is no API key `{shown}`; list the keys to find its id")


def cursor_after(key: ApiKey) -> str:
    """The cursor of the page that begins after this key."""
    return cursor_at(key.created_at, key.id)


def cursor_at(epoch_s: float, row_id: str) -> str:
    """The cursor of the page that begins after a row made at this time."""
    return f"{round(epoch_s * 1e6)}.{row_id}"


def position_of(cursor: str | None) -> tuple[datetime, str]:
    """(creation, id) after which a page begins. Raises `InvalidRequest`."""
    if cursor is None:
        return _END
    micros, _, key_id = cursor.partition(".")
    if not (cursor.isascii() and micros.isdigit() and len(micros) < 18 and key_id.isalnum()):
        raise wrong("cursor", "is not one that this list gave out; leave it away to begin")
    return _EPOCH + int(micros) * _MICROSECOND, key_id[:64]
