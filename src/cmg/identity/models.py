"""Workspaces and API keys as the whole service knows them: immutable values, and the decisions on them alone."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from cmg.config import RedactedKind
from cmg.kit.scopes import EVERYTHING, covers

Period = Literal["day", "week", "month", "lifetime"]
KeyStatus = Literal["active", "suspended", "revoked"]
MemorySetting = Literal["on", "off"]
MemoryScope = Literal["user", "key"]
Extraction = Literal["off", "rules"]
Origin = Literal["api", "bootstrap", "first", "administrator"]

SCOPES = (
    *("chat", "embeddings", "models", "memory:read", "memory:write", "metrics", "logs:write", "alerts"),
    *("admin:read", "admin", "admin:all"),
)
DEFAULT_WORKSPACE = "default"
APPLICATION_SCOPES = ("chat", "embeddings", "models", "memory:read", "memory:write")


# gc=False: none of these can be part of a cycle, and the collector need not look at 100,000 keys again and again.
class MemoryPolicy(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """How a workspace's memory is kept, by the names of the settings `memory.*`; None: as those say.

    `extraction`: of facts, less than the service does, never more. `shared`: a key reads what users said to another.
    `reason_required`: administrators say why they read somebody's memory. `user_token_key`: PEM of the public key by
    which signed user tokens are checked; with `user_token_required` nobody names a user without one.
    """

    retention_days: int | None = None
    item_days: int | None = None
    half_life_days: int | None = None
    redact: tuple[RedactedKind, ...] | None = None
    extraction: Extraction | None = None
    extraction_usd_per_day: float | None = None
    holdout_share: float | None = None
    shared: bool = False
    reason_required: bool = False
    user_token_key: str | None = None
    user_token_audience: str | None = None
    user_token_required: bool = False


class Workspace(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A tenant. `timezone` is an IANA name: budgets' days, weeks and months begin at its midnight."""

    id: str
    name: str
    timezone: str = "UTC"
    created_at: float = 0.0
    memory: MemoryPolicy = MemoryPolicy()


class Limits(msgspec.Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """Bounds on how fast a key may be used; None: no bound. `burst`: requests that may come at once."""

    rpm: int | None = None
    rph: int | None = None
    tpm: int | None = None
    burst: int | None = None
    concurrency: int | None = None


class Budget(msgspec.Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """Dollars (as nano-USD) a key may spend in a period; `alert_at` are shares of it that tell the owner."""

    period: Period
    usd_nano: int
    alert_at: tuple[float, ...] = (0.5, 0.8, 1.0)
    auto_suspend: bool = False


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A key without its secret. Times are epoch seconds; allow lists: None means everything.

    `hashes`: SHA-256 of each valid secret with the moment it stops working (None: with the key).
    `memory_scope` `key`: calls without a user share one memory of the key. `user_prefix`: how the ids of those
    users begin for whom it may speak; None: it speaks for every user of its workspace.
    """

    id: str
    workspace_id: str
    name: str
    hashes: tuple[tuple[bytes, float | None], ...] = ()
    status: KeyStatus = "active"
    description: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    scopes: tuple[str, ...] = APPLICATION_SCOPES
    memory: MemorySetting = "on"
    memory_scope: MemoryScope = "user"
    user_prefix: str | None = None
    models_allow: tuple[str, ...] | None = None
    models_block: tuple[str, ...] = ()
    ip_allow: tuple[str, ...] | None = None
    default_model: str | None = None
    response_cache_s: int = 0
    limits: Limits = Limits()
    budget: Budget | None = None
    expires_at: float | None = None
    review_at: float | None = None
    created_at: float = 0.0
    updated_at: float = 0.0
    suspended_reason: str | None = None
    origin: Origin = "api"

    def expired(self, now: float) -> bool:
        """True once its end has come."""
        return self.expires_at is not None and now >= self.expires_at


class SessionMark(msgspec.Struct, frozen=True, kw_only=True):
    """What a request must know of the session it came with.

    `csrf` is what only our own pages can send back; `must_change`: the password has to be changed before anything
    else; `flagged`: it goes on from another client, so the password is asked for again before something is changed.
    """

    id: str
    account_id: str
    csrf: str
    must_change: bool = False
    flagged: bool = False


class Caller(msgspec.Struct, frozen=True):
    """Who makes a request: a key that was checked, and its workspace.

    Where a person signed in there is a `session`, and `key` only carries the account's name and workspace.
    """

    key: ApiKey
    workspace: Workspace
    scopes: frozenset[str]
    client: str
    session: SessionMark | None = None

    @property
    def key_id(self) -> str:
        """The key's public id."""
        return self.key.id

    @property
    def workspace_id(self) -> str:
        """The tenant: it goes into every query."""
        return self.key.workspace_id


class Actor(msgspec.Struct, frozen=True):
    """Who makes an administrative change: a key, a person, the command line or the service itself.

    `name` stands in the audit trail (`key:<id>`, `account:<id>`, `cli`, `system`); `key_id` only where a key acts.
    """

    name: str
    scopes: frozenset[str]
    workspace_id: str = DEFAULT_WORKSPACE
    client: str = ""
    key_id: str | None = None

    @property
    def everywhere(self) -> bool:
        """True when it may act in every workspace."""
        return EVERYTHING in self.scopes

    @property
    def only_workspace(self) -> str | None:
        """The one workspace it may see and change; None: all of them."""
        return None if self.everywhere else self.workspace_id

    def may_grant(self, scopes: Iterable[str]) -> bool:
        """True when its own scopes include all of these: nobody gives what they do not have."""
        return all(covers(self.scopes, scope) for scope in scopes)


SYSTEM = Actor("system", frozenset({EVERYTHING}))
COMMAND_LINE = Actor("cli", frozenset({EVERYTHING}))


def actor_of(caller: Caller) -> Actor:
    """The caller of a request as one who makes changes."""
    if caller.session is not None:
        name = f"account:{caller.session.account_id}"
        return Actor(name, caller.scopes, caller.workspace_id, caller.client)
    return Actor(f"key:{caller.key_id}", caller.scopes, caller.workspace_id, caller.client, caller.key_id)
