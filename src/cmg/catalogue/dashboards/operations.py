"""The dashboards for those who keep the service running: PromQL over its own metrics."""

from cmg.catalogue.dashboards.models import Dashboard, Panel, Promql, alarm

_ERRORS = 'sum(rate(cmg_http_requests_total{status=~"5.."}[$interval])) / sum(rate(cmg_http_requests_total[$interval]))'

_CPU_USE = (
    'max(1 - sum by (instance) (rate(cmg_host_cpu_seconds_total{mode=~"idle|iowait"}[$interval]))'
    " / sum by (instance) (rate(cmg_host_cpu_seconds_total[$interval])))"
)
_MEMORY_USE = (
    'max(1 - sum by (instance) (cmg_host_memory_bytes{state="available"})'
    ' / sum by (instance) (cmg_host_memory_bytes{state="total"}))'
)
_DISK_USE = (
    'max by (volume) (1 - sum by (instance, volume) (cmg_disk_space_bytes{state="free"})'
    ' / sum by (instance, volume) (cmg_disk_space_bytes{state="total"}))'
)


def _quantiles(metric: str, match: str = "") -> tuple[Promql, ...]:
    return tuple(
        Promql(f"histogram_quantile({level}, sum by (le) (rate({metric}_bucket{match}[$interval])))", name)
        for level, name in (("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99"))
    )


OVERVIEW = Dashboard(
    slug="overview",
    title="System overview",
    help="Is the service well, and what does it do?",
    scope="service",
    panels=(
        Panel(
            id="rate", title="Requests a second", unit="per_s", width=6, form="number",
            source=(Promql("sum(rate(cmg_http_requests_total[$interval]))", "all routes"),),
            help="Requests answered, on all routes.",
        ),
        Panel(
            id="errors-now", title="Share of server errors", unit="ratio", width=6, form="number",
            thresholds=alarm(0.01, 0.05), source=(Promql(_ERRORS, "5xx"),),
            help="Answers with a status of 500 and above, of all.",
        ),
        Panel(
            id="calls-good", title="Calls that ended well", unit="ratio", width=6, form="number",
            source=(
                Promql(
                    'sum(rate(cmg_llm_calls_total{status="ok"}[$interval]))'
                    " / sum(rate(cmg_llm_calls_total[$interval]))",
                    "calls",
                ),
            ),
            help="Calls of models that were answered whole, of all.",
        ),
        Panel(
            id="cost-hour", title="Dollars an hour", unit="usd", width=6, form="number",
            source=(Promql("sum(rate(cmg_llm_cost_usd_total[$interval])) * 3600", "all upstreams"),),
            help="What calls cost at the present rate.",
        ),
        Panel(
            id="levels", title="Components that are not well", unit="count", width=12, form="bars",
            thresholds=alarm(1, 2), idle="every component is well",
            source=(Promql("max by (component) (cmg_health_level) > 0", "{{component}}"),),
            help="By level: 1 degraded, 2 unhealthy, 3 critical.",
        ),
        Panel(
            id="alerts", title="Alerts that fire", unit="count", width=12, form="bars", idle="no alert fires",
            thresholds=alarm(1, 5),
            source=(Promql('count by (severity) (ALERTS{alertstate="firing"})', "{{severity}}"),),
            help="By severity, from P1 (now) to P4 (next business day).",
        ),
        Panel(
            id="resources", title="Use of the machine", unit="ratio", width=12, thresholds=alarm(0.8, 0.9),
            source=(
                Promql(_CPU_USE, "processors"),
                Promql(_MEMORY_USE, "memory"),
                Promql(_DISK_USE, "disk {{volume}}"),
            ),
            help="Of the busiest instance: processors, memory, and each volume.",
        ),
        Panel(
            id="traffic", title="Requests by status", unit="per_s", width=12,
            source=(Promql("sum by (status) (rate(cmg_http_requests_total[$interval]))", "{{status}}"),),
            help="Requests a second by the status of the answer.",
        ),
        Panel(
            id="latency", title="Time of a request", unit="s", width=12,
            source=_quantiles("cmg_http_request_duration_seconds"),
            help="From a request's first byte to the answer's last, on all routes; models' time is part of it.",
        ),
        Panel(
            id="overhead", title="Time the gateway adds", unit="s", width=12, thresholds=alarm(0.05, 0.25),
            source=_quantiles("cmg_gateway_overhead_seconds"),
            help="Time of a call that was not spent waiting for upstreams.",
        ),
        Panel(
            id="waiting", title="Work that waits", unit="count", width=12,
            source=(
                Promql("sum by (status) (cmg_jobs_waiting)", "jobs {{status}}"),
                Promql("cmg_memory_extraction_jobs_waiting", "threads to read for facts"),
            ),
            help="Background jobs, and threads that have not been read for facts.",
        ),
        Panel(
            id="journal", title="Journal not in the database yet", unit="s", width=12, thresholds=alarm(30, 300),
            source=(Promql("cmg_journal_undrained_age_seconds", "oldest record"),),
            help="How long the oldest record of a call has waited; it grows while the database is away.",
        ),
        Panel(
            id="database-away", title="Database calls that found nobody", unit="per_s", width=12,
            idle="the database was never away", thresholds=alarm(0.01, 1),
            source=(Promql("sum(rate(cmg_database_away_total[$interval]))", "calls"),),
            help="Calls of the database that failed because it could not be reached in time.",
        ),
    ),
)  # fmt: skip

APPLICATION = Dashboard(
    slug="application",
    title="Application performance",
    help="How fast, how much and how well, by route and upstream.",
    scope="service",
    variables=("upstream",),
    panels=(
        Panel(
            id="routes", title="Requests by route", unit="per_s",
            source=(Promql("topk(10, sum by (route) (rate(cmg_http_requests_total[$interval])))", "{{route}}"),),
            help="The ten busiest routes.",
        ),
        Panel(
            id="active", title="Requests at once", unit="count",
            source=(Promql("sum(cmg_http_requests_active)", "being answered"),),
            help="Requests that are being answered, streams included.",
        ),
        Panel(
            id="route-latency", title="95 in 100 requests take at most", unit="s",
            source=(
                Promql(
                    "topk(10, histogram_quantile(0.95, sum by (le, route) "
                    "(rate(cmg_http_request_duration_seconds_bucket[$interval]))))",
                    "{{route}}",
                ),
            ),
            help="By route, the ten slowest.",
        ),
        Panel(
            id="route-errors", title="Errors by status", unit="per_s", idle="no request failed",
            source=(
                Promql(
                    'sum by (route, status) (rate(cmg_http_requests_total{status=~"[45].."}[$interval])) > 0',
                    "{{route}} {{status}}",
                ),
            ),
            help="Answers with a status of 400 and above, by route.",
        ),
        Panel(
            id="models", title="Calls by model", unit="per_s",
            source=(
                Promql(
                    'topk(10, sum by (model) (rate(cmg_llm_calls_total{upstream=~"$upstream"}[$interval])))',
                    "{{model}}",
                ),
            ),
            help="The ten models that are called most.",
        ),
        Panel(
            id="calls", title="Calls of upstreams", unit="per_s",
            source=(
                Promql(
                    'sum by (upstream, status) (rate(cmg_llm_calls_total{upstream=~"$upstream"}[$interval]))',
                    "{{upstream}} {{status}}",
                ),
            ),
            help="Calls of models by upstream and how they ended.",
        ),
        Panel(
            id="call-latency", title="Time of a call", unit="s",
            source=_quantiles("cmg_llm_call_duration_seconds", '{upstream=~"$upstream"}'),
            help="Whole calls of models; a model that thinks for a minute is no incident.",
        ),
        Panel(
            id="first-token", title="Time to the first token", unit="s", idle="no call streamed",
            source=_quantiles("cmg_llm_time_to_first_token_seconds", '{upstream=~"$upstream"}'),
            help="Of streamed calls.",
        ),
        Panel(
            id="tokens", title="Tokens a second", unit="per_s",
            source=(
                Promql(
                    'sum by (kind) (rate(cmg_llm_tokens_total{upstream=~"$upstream"}[$interval]))', "{{kind}}"
                ),
            ),
            help="By kind: prompt, completion and their parts.",
        ),
        Panel(
            id="breakers", title="Models behind an open breaker", unit="count",
            idle="no upstream failed again and again", thresholds=alarm(1, 3),
            source=(Promql('sum by (upstream) (cmg_upstream_breaker_open{upstream=~"$upstream"})', "{{upstream}}"),),
            help="Circuit breakers that are open or probing, by upstream.",
        ),
        Panel(
            id="refusals", title="Calls refused by limits", unit="per_s", idle="no key came to a limit",
            source=(Promql("sum by (reason) (rate(cmg_limit_refusals_total[$interval]))", "{{reason}}"),),
            help="By which limit of their key.",
        ),
        Panel(
            id="queries", title="Time in database statements", unit="s",
            source=(
                Promql("topk(8, sum by (query) (rate(cmg_database_query_seconds_total[$interval])))", "{{query}}"),
            ),
            help="Seconds a second, the eight statements that take most.",
        ),
        Panel(
            id="query-latency", title="Time of a database statement", unit="s", thresholds=alarm(0.1, 0.5),
            source=_quantiles("cmg_database_query_duration_seconds"),
            help="Of all statements, without the wait for a connection.",
        ),
        Panel(
            id="slow", title="Slow statements and failures", unit="per_s", idle="no statement was slow or failed",
            source=(
                Promql("sum by (query) (rate(cmg_database_slow_queries_total[$interval])) > 0", "slow {{query}}"),
                Promql("sum by (query) (rate(cmg_database_query_failures_total[$interval])) > 0", "failed {{query}}"),
            ),
            help="By statement.",
        ),
        Panel(
            id="recall", title="Time of a recall", unit="s", thresholds=alarm(0.1, 0.15),
            source=_quantiles("cmg_memory_recall_seconds"),
            help="How long calls waited for their memory; at its deadline they go on without.",
        ),
        Panel(
            id="recall-status", title="Recalls by status", unit="per_s",
            source=(Promql("sum by (status) (rate(cmg_memory_recall_total[$interval]))", "{{status}}"),),
            help="`degraded` calls went on without memory.",
        ),
        Panel(
            id="facts", title="Facts drawn from conversations", unit="per_s",
            idle="nothing was said that holds a fact",
            source=(Promql("sum by (outcome) (rate(cmg_memory_facts_total[$interval]))", "{{outcome}}"),),
            help="By what became of them.",
        ),
        Panel(
            id="memory-use", title="Notes that answers made use of", unit="ratio",
            idle="no answer with notes could be judged",
            source=(
                Promql(
                    'sum(rate(cmg_memory_notes_total{outcome="used"}[$interval])) / '
                    'sum(rate(cmg_memory_notes_total{outcome=~"used|unused"}[$interval]))',
                    "used",
                ),
            ),
            help="Of the notes that could be judged by the answer's words.",
        ),
        Panel(
            id="jobs", title="Background jobs a second", unit="per_s", idle="no job ran lately",
            source=(Promql("sum by (outcome) (rate(cmg_jobs_total[$interval]))", "{{outcome}}"),),
            help="Attempts by outcome; `held` waits for a person.",
        ),
        Panel(
            id="workers", title="Places for jobs that are taken", unit="ratio", thresholds=alarm(0.8, 0.95),
            source=(Promql("max(cmg_jobs_busy_ratio)", "busiest worker"),),
            help="At 1 every further job waits.",
        ),
        Panel(
            id="job-age", title="Oldest job that waits", unit="s", thresholds=alarm(60, 900),
            source=(Promql("max(cmg_jobs_oldest_age_seconds)", "oldest"),),
            help="How long it could have run and did not.",
        ),
        Panel(
            id="turns", title="Turns taken into memory", unit="per_s",
            source=(
                Promql("sum by (source, outcome) (rate(cmg_memory_turns_total[$interval]))", "{{source}} {{outcome}}"),
            ),
            help="What was said in calls and what was ingested, by what became of it.",
        ),
        Panel(
            id="drain", title="From the journal into the database", unit="per_s",
            source=(Promql("sum by (kind) (rate(cmg_journal_records_total[$interval]))", "{{kind}}"),),
            help="Records of calls and turns that were stored.",
        ),
    ),
)  # fmt: skip

SECURITY = Dashboard(
    slug="security",
    title="Security",
    help="Who was refused, and what else a guard looks at.",
    scope="service",
    panels=(
        Panel(
            id="events", title="Security events", unit="per_s", width=24, idle="nothing of the kind happened",
            source=(Promql("sum by (event) (rate(cmg_security_events_total[$interval]))", "{{event}}"),),
            help="By OWASP's names: logins, refused rights, limits, sensitive reads. Who and from where: the logs.",
        ),
        Panel(
            id="refused", title="Requests refused at the door", unit="per_s", idle="nobody was refused",
            source=(Promql("sum by (reason) (rate(cmg_authentication_refused_total[$interval]))", "{{reason}}"),),
            help="By reason: malformed, unknown, expired, suspended, address.",
        ),
        Panel(
            id="forbidden", title="Answers 401, 403 and 429", unit="per_s", idle="nobody was refused",
            source=(
                Promql(
                    'sum by (status) (rate(cmg_http_requests_total{status=~"401|403|429"}[$interval]))', "{{status}}"
                ),
            ),
            help="Refused for their key, their rights, their limits.",
        ),
        Panel(
            id="lookups", title="Keys that were looked up", unit="per_s", idle="every key was known",
            source=(Promql("sum by (outcome) (rate(cmg_key_lookups_total[$interval]))", "{{outcome}}"),),
            help="Keys that were not in memory: many `unknown` ones are somebody who guesses.",
        ),
        Panel(
            id="keys", title="Keys", unit="count", source=(Promql("max by (status) (cmg_keys)", "{{status}}"),),
            help="API keys by status: active, suspended, and those past their expiry or review.",
        ),
    ),
)  # fmt: skip
