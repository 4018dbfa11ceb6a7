"""Words of a path and of a query string as the room's own values; what is wrong names the parameter."""

from uuid import UUID

from cmg.kit.asgi import Request
from cmg.kit.errors import InvalidRequest, NotFound
from cmg.kit.parameters.queries import refuse_unknown
from cmg.kit.parameters.texts import without_nul
from cmg.kit.turns import known_kinds
from cmg.memory.api.schemas import USER_CHARACTERS
from cmg.memory.control.models import Narrow
from cmg.memory.models import Owner, owner_of
from cmg.memory.text.cleaning import bounded_id

PAGE, PAGE_MAX = 50, 500
_PLACE_MAX = 2**63 - 1
_KINDS_MAX = 20
_OF_MEM0 = ("org_id", "project_id")


def speaks_mem0(request: Request) -> bool:
    """Whether the caller is a client of mem0, which expects its own shapes on the paths that we share."""
    return (request.header(b"authorization") or "")[:6].lower() == "token "


def item_id(text: str) -> UUID:
    """The id of an item. Raises `NotFound` for what is none: there can be no such item."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("there is no such item", param="id") from None


def query_of(request: Request, *known: str) -> dict[str, str]:
    """The query string. Raises `InvalidRequest` for a parameter that is not known.

    Clients of mem0 may name the organisation and the project, which are the workspace.
    """
    query = request.query()
    refuse_unknown(query, (*known, *_OF_MEM0) if speaks_mem0(request) else known)
    return query


def user_of(query: dict[str, str], workspace_id: str) -> Owner:
    """Whose memory a query string names. Raises `InvalidRequest` when it names nobody."""
    user_id = query.get("user_id", "")
    if not 1 <= len(user_id) <= USER_CHARACTERS:
        raise InvalidRequest(f"say whose memory it is: `user_id`, 1 to {USER_CHARACTERS} characters", param="user_id")
    without_nul("user_id", user_id)
    return owner_of(workspace_id, user_id)


def optional_id(query: dict[str, str], name: str) -> str | None:
    """An id of a query string, None when it is not there. Raises `InvalidRequest` for an empty one."""
    text = query.get(name)
    if text is None:
        return None
    if not text:
        raise InvalidRequest(f"`{name}` is empty; leave it away, or name one", param=name)
    if len(text) > USER_CHARACTERS:
        raise InvalidRequest(f"`{name}` may have at most {USER_CHARACTERS} characters", param=name)
    without_nul(name, text)
    return bounded_id(text)


def narrow_of(query: dict[str, str]) -> Narrow:
    """What a list is narrowed to: `kinds` (with commas), `thread_id`, `agent_id`, `app_id`."""
    kinds = [kind for kind in query["kinds"].split(",") if kind] if "kinds" in query else None
    if kinds is not None and not 1 <= len(kinds) <= _KINDS_MAX:
        raise InvalidRequest(f"`kinds` are 1 to {_KINDS_MAX} names with commas", param="kinds")
    ids = {name: optional_id(query, name) for name in ("thread_id", "agent_id", "app_id")}
    return Narrow(kinds=None if kinds is None else known_kinds(kinds, "kinds"), **ids)


def limit_of(query: dict[str, str]) -> int:
    """How long a part of a list is, 50 unless told."""
    text = query.get("limit")
    if text is None:
        return PAGE
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= PAGE_MAX):
        raise InvalidRequest(f"`limit` is from 1 to {PAGE_MAX}", param="limit")
    return int(text)


def cursor_of(query: dict[str, str]) -> int | None:
    """The place where a part of a list begins."""
    text = query.get("cursor")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _PLACE_MAX):
        raise InvalidRequest("`cursor` is not one that this list gave out; leave it away to begin", param="cursor")
    return int(text)
