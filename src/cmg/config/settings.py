"""What can be set: one structure for each table of the settings file, with defaults."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0, le=1e9)]  # finite: a time without end is no limit
Usd = Annotated[float, Meta(ge=0, le=1e9)]
Share = Annotated[float, Meta(ge=0, le=1)]
FileStoreUrl = Annotated[str, Meta(pattern=r"^(s3|gs|az|abfs|file|memory)://", extra={"shown": "place"})]
BaseUrl = Annotated[str, Meta(pattern=r"^https?://[^/?#@]+/?$")]
# What must not be shown, nor logged: the whole of it, or the user, password and query of a URL (`origins.shown_of`).
Secret = Annotated[str, Meta(extra={"shown": "never"})]
# The URLs that may hold one, by what they lead to.
SecretUrl = Annotated[str, Meta(pattern=r"^https?://[^/?#]+", extra={"shown": "place"})]
UpstreamUrl = Annotated[str, Meta(pattern=r"^https?://[^/?#]+(/[^?#]*)?$", extra={"shown": "place"})]
DatabaseUrl = Annotated[str, Meta(pattern=r"^postgres(ql)?://", extra={"shown": "place"})]
RedisUrl = Annotated[str, Meta(pattern=r"^(rediss?|unix)://", extra={"shown": "place"})]
BootstrapKey = Annotated[str, Meta(pattern=r"^cmg_[A-Za-z0-9]{1,40}_[A-Za-z0-9_-]{16,128}$", extra={"shown": "never"})]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table of the settings file."""


class UpstreamSettings(Part, frozen=True):
    """One OpenAI-compatible API. `models` are globs, matched after the prefix `<name>/`; times in seconds."""

    name: Name
    base_url: UpstreamUrl
    api_key: Secret | None = None
    models: list[str] = []
    kind: Literal["openai", "openrouter"] = "openai"
    timeout_connect_s: Positive = 5
    timeout_first_token_s: Positive = 30
    timeout_idle_s: Positive = 30
    timeout_total_s: Positive = 600
    retries: Count = 2
    prefill: bool = False  # the API goes on from a last assistant message
    stream_usage: Literal["auto", "ask", "never"] = "auto"  # whether streams are asked for their usage


class AccountSettings(Part, frozen=True):
    """Passwords and sessions of people."""

    password_length_min: Annotated[int, Meta(ge=8, le=64)] = 12
    session_idle_s: Annotated[float, Meta(ge=60, le=1e9)] = 28_800
    session_absolute_s: Annotated[float, Meta(ge=60, le=1e9)] = 604_800
    sessions_max: Annotated[int, Meta(ge=1, le=100)] = 10  # of one person


class OidcSettings(Part, frozen=True):
    """An identity provider that people sign in with (OpenID Connect)."""

    issuer: str | None = None  # as it names itself
    client_id: str = "cmg"
    client_secret: Secret | None = None
    scopes: list[str] = msgspec.field(default_factory=lambda: ["openid", "email", "profile"])
    role_claim: str = "groups"
    roles: dict[str, Literal["admin", "owner", "member", "read_only"]] = {}  # value of the claim → role
    workspace: str = "default"  # of new accounts


class RouteSettings(Part, frozen=True):
    """A model name of our own and the candidates that serve it, in order."""

    model: str
    candidates: Annotated[list[str], Meta(min_length=1)]


class PriceSettings(Part, frozen=True):
    """Prices for models whose upstream reports no cost; `model` is a glob, the first match wins."""

    model: str
    prompt_usd_per_mtok: Usd = 0
    completion_usd_per_mtok: Usd = 0
    cache_read_usd_per_mtok: Usd | None = None
    cache_write_usd_per_mtok: Usd | None = None
    request_usd: Usd = 0


RedactedKind = Literal["secrets", "email", "phone", "card", "iban"]


class MemorySettings(Part, frozen=True):
    """Defaults of recall and injection."""

    recall_deadline_ms: Positive = 150
    token_budget: Count = 1200
    inject_role: Literal["user", "system", "developer"] = "user"
    retention_days: Count = 0  # 0: kept until erased
    embedder: Annotated[str, Meta(pattern=r"^(local|static|none|[a-z0-9][a-z0-9_-]{0,40}/.+)$")] = "local"
    item_days: Count = 0  # since items were last mentioned or used; 0: as long as what they were drawn from
    half_life_days: Count = 90  # of the salience; 0: no ageing
    redact: list[RedactedKind] = []  # taken out of what is stored
    extraction: str = "rules"  # of facts: "rules", "off", or the name of a chat model
    extraction_delay_s: Positive = 3  # after a thread's last turn
    extraction_usd_per_day: Usd = 1  # of models that draw facts and write summaries, for each workspace
    context_share: Share = 0.75  # of a model's context window, which a prompt may have before it is shortened; 0: off
    summary_tokens: Count = 400  # of the summary that stands for a conversation's older part
    summary_model: str | None = None  # a chat model that writes summaries; none: picked sentences
    holdout_share: Share = 0  # of the conversations, which go without memory


class TraceSettings(Part, frozen=True):
    """Which requests and jobs leave a trace, beside errors; a call is slow by its first token or by the gateway."""

    enabled: bool = True
    per_second: Positive = 1  # ordinary ones of each process, so that a quiet service keeps all of them
    share: Share = 0.01  # of the other ordinary ones
    asked_per_second: Count = 20  # of each process, for callers whose `traceparent` is sampled
    slow_request_ms: Positive = 1000
    slow_call_ms: Positive = 10_000
    slow_gateway_ms: Positive = 250
    baggage: list[str] = []  # names of callers' W3C baggage that traces hold
    keep_hours: Annotated[int, Meta(ge=1, le=720)] = 48
    keep_most: Annotated[int, Meta(ge=100)] = 100_000


class TargetSettings(Part, frozen=True):
    """One place that is scraped, in the Prometheus text format or OpenMetrics."""

    job: Name
    url: Annotated[str, Meta(pattern=r"^https?://[^/?#@]+(/[^#]*)?$", extra={"shown": "place"})]
    timeout_s: Positive = 10


class TimeseriesSettings(Part, frozen=True):
    """What is scraped, and how long samples are kept; without effect where `prometheus_url` is set."""

    scrape_interval_s: Annotated[float, Meta(ge=1, le=300)] = 15
    max_series: Annotated[int, Meta(ge=1000, le=200_000)] = 20_000
    raw_days: Annotated[int, Meta(ge=1)] = 30
    coarse_days: Annotated[int, Meta(ge=1)] = 365  # at a resolution of five minutes
    targets: list[TargetSettings] = []
    rule_files: list[Path] = []  # evaluated beside the catalogue's


class LogSettings(Part, frozen=True):
    """How long log lines are kept, and where: in the database, then as files, then in the archive."""

    hot_days: Annotated[int, Meta(ge=1, le=400)] = 30  # in PostgreSQL
    cold_days: Annotated[int, Meta(ge=1)] = 365  # since their day: in files that are searched
    archive_days: Annotated[int, Meta(ge=1)] = 2557  # since their day: in files that are searched when one asks for it
    store: FileStoreUrl | None = None  # of files; none: a folder of the data dir
    archive_store: FileStoreUrl | None = None  # none: the same
    spool_bytes: Annotated[int, Meta(ge=2**20)] = 256 * 2**20  # of a machine, while the database is away


class StatusSettings(Part, frozen=True):
    """The public status page."""

    title: Annotated[str, Meta(min_length=1, max_length=100)] = "Context Memory Gateway"
    url: BaseUrl | None = None  # under which people outside reach the service


class HealthSettings(Part, frozen=True):
    """How often each component is looked at, and how long a look may take."""

    interval_s: Annotated[float, Meta(ge=0.5, le=300)] = 30
    deadline_s: Annotated[float, Meta(ge=0.5, le=60)] = 5


class MachineSettings(Part, frozen=True):
    """What the machine cannot say of itself."""

    link_mbit: Count = 0  # speed of the network's link; 0: as the system says


class DrillSettings(Part, frozen=True):
    """Game-days (`cmg drill`)."""

    enabled: bool = False  # whether the processes of this machine may be made to fail


class LimitSettings(Part, frozen=True):
    """Bounds on what one request may hold, and how long a call's estimate may be."""

    body_bytes: Count = 20 * 2**20
    json_depth: Count = 64
    connections: Count = 4096


class JournalSettings(Part, frozen=True):
    """The worker's journal: bytes of one segment, and of all undrained ones before new calls get 503."""

    segment_bytes: Count = 16 * 2**20
    max_bytes: Count = 512 * 2**20


class RetentionSettings(Part, frozen=True):
    """How long rows are kept, in days; every growing table has its line here."""

    usage_days: Count = 400
    idempotency_hours: Count = 24
    operations_days: Count = 7
    events_days: Count = 90
    jobs_log_days: Count = 7
    erasures_days: Count = 400
    alerts_days: Count = 400
    incidents_days: Count = 1100
    health_days: Count = 90


class Settings(Part, frozen=True):
    """Everything that can be set. The upper part comes from `CMG_*` variables or the file's top level."""

    host: str = "127.0.0.1"
    port: Port = 8000
    console: bool = True
    console_port: Port | None = None
    console_url: BaseUrl | None = None  # as browsers reach the console
    data_dir: Path = Path("data")
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    database_url: DatabaseUrl | None = None
    redis_url: RedisUrl | None = None
    backstage_url: BaseUrl | None = None  # where another machine answers the control plane
    openrouter_api_key: Secret | None = None
    bootstrap_key: BootstrapKey | None = None
    master_key: Secret | None = None  # seals channels' secrets; several with commas: the first seals, all open
    admin_email: str | None = None
    admin_password: Secret | None = None
    prometheus_url: SecretUrl | None = None
    otlp_endpoint: SecretUrl | None = None
    capture_content: bool = False  # whether traces hold prompts and answers
    log_level: Annotated[str, Meta(pattern=r"^(?i:debug|info|warning|error)$")] = "info"
    shutdown_grace_s: Positive = 20
    metrics_allow: list[str] = []  # CIDRs that may read /metrics without a key
    trusted_proxies: list[str] = []  # CIDRs whose X-Forwarded-For is believed
    accounts: AccountSettings = AccountSettings()
    oidc: OidcSettings = OidcSettings()
    public_url: BaseUrl | None = None  # as browsers reach the service
    tls_certificate: Path | None = None  # PEM, with the chain; both or none
    tls_key: Path | None = None
    upstreams: list[UpstreamSettings] = []
    routes: list[RouteSettings] = []
    prices: list[PriceSettings] = []
    memory: MemorySettings = MemorySettings()
    traces: TraceSettings = TraceSettings()
    timeseries: TimeseriesSettings = TimeseriesSettings()
    logs: LogSettings = LogSettings()
    status: StatusSettings = StatusSettings()
    health: HealthSettings = HealthSettings()
    machine: MachineSettings = MachineSettings()
    drills: DrillSettings = DrillSettings()
    limits: LimitSettings = LimitSettings()
    journal: JournalSettings = JournalSettings()
    retention: RetentionSettings = RetentionSettings()
