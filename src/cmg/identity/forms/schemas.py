"""The control plane's bodies and answers as pydantic models: they make the OpenAPI document, and refuse other shapes.

Bounds and meaning are checked once, in `fields`, for every way in. Pydantic is never imported by the hot path.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Scope = Literal[
    "chat", "embeddings", "models", "memory:read", "memory:write", "metrics", "logs:write", "alerts",
    "admin:read", "admin", "admin:all",
]  # fmt: skip
Setting = Literal["on", "off"]
Redacted = Literal["secrets", "email", "phone", "card", "iban"]
Time = Annotated[str, Field(description="RFC 3339, as 2026-12-31T23:59:59Z", examples=["2026-12-31T23:59:59Z"])]


class Form(BaseModel):
    """A body: unknown fields are refused, nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True)

    def given(self) -> dict[str, Any]:
        """The fields that were sent, null ones too."""
        return self.model_dump(exclude_unset=True)


class LimitsForm(Form):
    """Bounds on how fast a key may be used; null: no bound."""

    rpm: int | None = Field(None, description="requests a minute")
    rph: int | None = Field(None, description="requests an hour")
    tpm: int | None = Field(None, description="tokens a minute")
    burst: int | None = Field(None, description="requests that may come at once")
    concurrency: int | None = Field(None, description="requests in flight")


class BudgetForm(Form):
    """What a key may spend in a period of its workspace's time zone."""

    period: Literal["day", "week", "month", "lifetime"] | None = None
    usd: float | None = Field(None, description="US dollars, more than 0")
    alert_at: list[float] | None = Field(None, description="shares of the budget at which the owner is told")
    auto_suspend: bool | None = Field(None, description="suspend the key when the budget is used up")


class KeyPatch(Form):
    """Settings to change: absent ones stay, null brings back the default; `limits` and `budget` are merged."""

    name: str | None = None
    description: str | None = None
    owner: str | None = None
    tags: list[str] | None = None
    scopes: list[Scope] | None = None
    memory: Setting | None = None
    memory_scope: Literal["user", "key"] | None = None
    user_prefix: str | None = Field(
        None, description="how the ids of its users begin; null: every user of the workspace"
    )
    models_allow: list[str] | None = Field(None, description="globs; null: every model")
    models_block: list[str] | None = Field(None, description="globs; a block beats an allowance")
    ip_allow: list[str] | None = Field(None, description="addresses and CIDRs; null: every address")
    default_model: str | None = None
    response_cache_s: int | None = Field(None, description="seconds that an exact answer may be served again; 0: never")
    limits: LimitsForm | None = None
    budget: BudgetForm | None = None
    expires_at: Time | None = None
    review_at: Time | None = None


class KeyForm(KeyPatch):
    """A key to create; only `name` is needed."""

    name: str
    workspace: str | None = Field(None, description="by default the caller's own")


class RotateForm(Form):
    """How long the old secret goes on working."""

    grace_s: int = Field(86_400, description="seconds; 0: not at all")


class SuspendForm(Form):
    """Why a key is suspended; whoever uses it is told."""

    reason: str | None = None


class MemoryPolicyForm(Form):
    """How a workspace's memory is kept, by the names of the settings `memory.*`; null: as those say."""

    retention_days: int | None = Field(None, description="from when turns were stored; 0: until they are erased")
    item_days: int | None = Field(None, description="since items were last mentioned or used; 0: no bound of their own")
    half_life_days: int | None = Field(None, description="of the salience; 0: no ageing")
    redact: list[Redacted] | None = Field(None, description="taken out of what is stored")
    extraction: Literal["off", "rules"] | None = Field(None, description="less than the service draws, never more")
    extraction_usd_per_day: float | None = Field(None, description="of models that draw facts and write summaries")
    holdout_share: float | None = Field(None, description="of the conversations, which go without memory")
    shared: bool | None = Field(None, description="whether a key reads what users said to another key")
    reason_required: bool | None = Field(None, description="administrators say in `x-cmg-reason` why they read")
    user_token_key: str | None = Field(None, description="public key as PEM; it checks `x-cmg-user-token`")
    user_token_audience: str | None = Field(None, description="what the token's `aud` must hold; null: anything")
    user_token_required: bool | None = Field(None, description="nobody but administrators names a user without a token")


class WorkspacePatch(Form):
    """Settings of a workspace to change: absent ones stay; `memory` is merged."""

    name: str | None = None
    timezone: str | None = Field(None, description="IANA name; budgets' periods begin at its midnight")
    memory: MemoryPolicyForm | None = None


class WorkspaceForm(WorkspacePatch):
    """A workspace to create."""

    id: str | None = Field(None, description="1 to 63 of a-z, 0-9, _ and -; by default one is made")
    name: str


class EmptyForm(Form):
    """No field is known here."""


class KeyQuery(BaseModel):
    """Which keys to list."""

    model_config = ConfigDict(extra="forbid")

    workspace: str | None = None
    state: Literal["active", "suspended", "revoked"] | None = None
    owner: str | None = None
    tag: str | None = None
    cursor: str | None = None
    limit: int = Field(50, ge=1, le=200)


class AuditQuery(BaseModel):
    """Which entries to list."""

    model_config = ConfigDict(extra="forbid")

    workspace: str | None = None
    action: str | None = Field(None, examples=["key.create"])
    target: str | None = Field(None, description="the id of what was changed")
    actor: str | None = Field(None, examples=["key:abc", "cli", "system"])
    cursor: str | None = None
    limit: int = Field(50, ge=1, le=200)

    def filters(self) -> dict[str, str | None]:
        """The words that an entry must have."""
        return {"action": self.action, "target": self.target, "actor": self.actor}


class LimitsView(BaseModel):
    """Bounds on how fast a key may be used; null: no bound."""

    rpm: int | None
    rph: int | None
    tpm: int | None
    burst: int | None
    concurrency: int | None


class BudgetView(BaseModel):
    """What a key may spend."""

    period: Literal["day", "week", "month", "lifetime"]
    usd: float
    alert_at: list[float]
    auto_suspend: bool


class KeyView(BaseModel):
    """A key without its secret."""

    id: str
    workspace: str
    state: Literal["active", "suspended", "revoked", "expired"]
    suspended_reason: str | None
    name: str
    description: str
    owner: str
    tags: list[str]
    scopes: list[str]
    memory: Setting
    memory_scope: Literal["user", "key"]
    user_prefix: str | None
    models_allow: list[str] | None
    models_block: list[str]
    ip_allow: list[str] | None
    default_model: str | None
    response_cache_s: int
    limits: LimitsView
    budget: BudgetView | None
    expires_at: str | None
    review_at: str | None
    old_secret_until: str | None = Field(description="a rotated secret still works until then")
    created_at: str
    updated_at: str


class MadeKeyView(KeyView):
    """A key with its secret, shown this once."""

    key: str = Field(description="`cmg_<id>_<secret>`: keep it now, it is shown this once")


class KeyPageView(BaseModel):
    """A page of keys, newest first."""

    items: list[KeyView]
    next: str | None


class MemoryPolicyView(BaseModel):
    """How a workspace's memory is kept; null: as the service's settings say."""

    retention_days: int | None
    item_days: int | None
    half_life_days: int | None
    redact: list[Redacted] | None
    extraction: Literal["off", "rules"] | None
    extraction_usd_per_day: float | None
    holdout_share: float | None
    shared: bool
    reason_required: bool
    user_token_key: str | None
    user_token_audience: str | None
    user_token_required: bool


class WorkspaceView(BaseModel):
    """A workspace."""

    id: str
    name: str
    timezone: str
    created_at: str | None
    memory: MemoryPolicyView


class WorkspacePageView(BaseModel):
    """A page of workspaces."""

    items: list[WorkspaceView]
    next: str | None


class EntryView(BaseModel):
    """One administrative change."""

    seq: int
    at: str
    actor: str
    workspace: str | None
    action: str
    target: str
    details: dict[str, Any]
    client: str
    hash: str


class EntryPageView(BaseModel):
    """A page of the audit trail, newest first."""

    items: list[EntryView]
    next: str | None


class VerificationView(BaseModel):
    """The verdict on the whole trail."""

    ok: bool
    entries: int
    broken_at: int | None = Field(description="the first entry that does not fit")
    reason: str | None
    head: str = Field(description="hash of the last entry; note it elsewhere to prove later that nothing was replaced")


class ErrorDetail(BaseModel):
    """What went wrong and what to do."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorView(BaseModel):
    """The body of every error."""

    error: ErrorDetail


def _errors(description: str) -> dict[str, Any]:
    """Only named: given the model itself, FastAPI would build it twice for every route."""
    schema = {"$ref": "#/components/schemas/ErrorView"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": _errors("The error body; `param` names the field"),
    "5XX": _errors("Not now; 503 says when to try again"),
}
