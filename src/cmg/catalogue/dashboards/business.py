"""The dashboards for those who use the service and those who pay: figures of the ledger, by workspace."""

from cmg.catalogue.dashboards.models import Dashboard, Panel, Report, alarm

USAGE = Dashboard(
    slug="usage",
    title="Usage analytics",
    help="Who calls what, how much and when.",
    scope="workspace",
    variables=("workspace",),
    panels=(
        Panel(
            id="calls", title="Calls by how they ended", unit="count", width=12, source=Report("calls_by_status"),
            help="Calls in each step of time.",
        ),
        Panel(
            id="models", title="Calls by model", unit="count", width=12, source=Report("calls_by_model"),
            help="The ten models that answered most.",
        ),
        Panel(
            id="tokens", title="Tokens", unit="tokens", source=Report("tokens_by_kind"),
            help="Prompt tokens without cached ones, cached, completion, and of memory.",
        ),
        Panel(
            id="hours", title="Calls by hour of the day", unit="count", form="bars", source=Report("calls_by_hour"),
            help="When the work is done, in the workspace's time zone (several workspaces: UTC).",
        ),
        Panel(
            id="features", title="Feature adoption", unit="ratio", source=Report("feature_shares"),
            help="Share of calls that stream, got memory, named a thread, were replayed, or went to a fallback.",
        ),
        Panel(
            id="active", title="Active keys, users and threads", unit="count", source=Report("active"),
            help="Different keys, users and threads in each step of time.",
        ),
        Panel(
            id="engagement", title="Engagement", unit="count", form="bars", source=Report("engagement"),
            help="Users by how many days of the period they called on.",
        ),
        Panel(
            id="keys", title="Busiest keys", unit="count", form="table", source=Report("busiest_keys"),
            help="Keys with the most calls of the period.",
        ),
    ),
)  # fmt: skip

MONEY = Dashboard(
    slug="financial",
    title="Financial",
    help="What calls cost, who spends it, and what is left of budgets.",
    scope="workspace",
    variables=("workspace",),
    panels=(
        Panel(
            id="cost", title="Cost by model", unit="usd", width=12, source=Report("cost_by_model"),
            help="Dollars in each step of time, of the ten dearest models.",
        ),
        Panel(
            id="per-call", title="Cost per call", unit="usd", width=12, source=Report("cost_per_call"),
            help="Mean of calls that cost anything, and the dearest 5 % begin at.",
        ),
        Panel(
            id="total", title="Cost of the period", unit="usd", form="number", width=6, source=Report("cost_total"),
            help="Sum of the period, and of the period before of the same length.",
        ),
        Panel(
            id="origin", title="Cost by origin", unit="usd", form="bars", width=6, source=Report("cost_by_origin"),
            help="Whose figure it is: the upstream's own, the catalogue's prices, or an estimate.",
        ),
        Panel(
            id="per-token", title="Dollars per million tokens", unit="usd", width=12, source=Report("cost_per_mtok"),
            help="Of all tokens, cached ones included: what a change of model or of caching saves.",
        ),
        Panel(
            id="budgets", title="Budgets", unit="ratio", form="table", width=12, source=Report("budgets"),
            idle="no key has a budget", thresholds=alarm(0.8, 1.0),
            help="Keys with a budget: what is spent in its present period, and the share of the budget.",
        ),
        Panel(
            id="spenders", title="Who spends", unit="usd", form="table", width=12, source=Report("spenders"),
            help="Keys by their cost in the period, with the period before.",
        ),
        Panel(
            id="cached", title="Prompt tokens from caches", unit="ratio", source=Report("cached_share"),
            help="Share of prompt tokens that upstreams had cached: each costs a fraction of a fresh one.",
        ),
        Panel(
            id="memory", title="Memory's share of prompts", unit="ratio", source=Report("memory_share"),
            help="Share of prompt tokens that are recalled notes: what memory costs, to set against what it is worth.",
        ),
        Panel(
            id="wasted", title="Cost of calls that failed", unit="usd", source=Report("cost_of_failures"),
            help="Dollars of calls that were cut, cancelled or ended in an error.",
        ),
    ),
)  # fmt: skip

CUSTOMERS = Dashboard(
    slug="customers",
    title="Customer experience",
    help="How the service feels to those who use it.",
    scope="workspace",
    variables=("workspace",),
    panels=(
        Panel(
            id="served", title="Calls that were answered", unit="ratio", source=Report("served_share"),
            help="Share of calls without error or cut; calls that the client cancelled are left out.",
        ),
        Panel(
            id="hurt", title="Users who met an error", unit="ratio", source=Report("users_hurt"),
            thresholds=alarm(0.01, 0.05),
            help="Share of the users of a step of time who met at least one error or cut answer.",
        ),
        Panel(
            id="errors", title="What went wrong", unit="count", form="bars", source=Report("errors_by_type"),
            idle="no call failed in the period",
            help="Failed calls of the period by type of error.",
        ),
        Panel(
            id="first-token", title="Time to the first token", unit="s", width=12, source=Report("first_token"),
            help="Of streamed calls: half of them, and 95 in 100, begin within this time.", idle="no call streamed",
        ),
        Panel(
            id="latency", title="Time of a call", unit="s", width=12, source=Report("latency"),
            help="Half of the calls, and 95 in 100, end within this time.",
        ),
        Panel(
            id="worst", title="Worst served keys", unit="count", form="table", width=12, source=Report("worst_served"),
            help="Keys by their share of failed calls, with how long their calls take.",
        ),
        Panel(
            id="memory-use", title="Calls that memory helped", unit="ratio", width=12, source=Report("memory_help"),
            help="Share of calls with a user that got recalled notes, and of those whose memory was late (degraded).",
        ),
    ),
)  # fmt: skip
