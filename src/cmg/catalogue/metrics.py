"""Every metric of the service, declared once: name, kind, labels, help, and how many series it may have."""

from dataclasses import dataclass
from typing import Literal

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
FAST_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


@dataclass(frozen=True)
class Metric:
    """One metric. `series` bounds its label sets at run time; `merge` says how workers' gauges add up.

    `optional` gives the reason why an ordinary run may not emit it.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram", "info"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = LATENCY_BUCKETS_S
    series: int = 500
    merge: Literal["sum", "max", "min", "latest"] = "sum"
    optional: str | None = None


# Each room's metrics stand in a block of their own, in the order of the floors.
METRICS: tuple[Metric, ...] = (
    # app
    Metric("cmg_http_requests_total", "counter", "HTTP requests answered.", ("route", "method", "status"), series=2000),
    Metric(
        "cmg_http_request_duration_seconds",
        "histogram",
        "Time from the request's first byte to the answer's last.",
        ("route", "method"),
    ),
    # traces
    Metric(
        "cmg_traces_kept_total",
        "counter",
        "Traces that were kept, by reason (error, slow, asked, share).",
        ("reason",),
        series=4,
    ),
    Metric(
        "cmg_traces_dropped_total",
        "counter",
        "Traces that were to be kept and got lost, by place (outbox, receiver, store, export).",
        ("place",),
        series=4,
    ),
    # identity
    Metric("cmg_snapshot_keys", "gauge", "API keys held in memory, in the process that holds most.", merge="max"),
    Metric(
        "cmg_key_lookups_total",
        "counter",
        "Keys that were not in memory and looked up, by outcome (found, unknown, refused).",
        ("outcome",),
        series=3,
    ),
    Metric(
        "cmg_authentication_refused_total",
        "counter",
        "Requests refused at the door, by reason (malformed, unknown, expired, suspended, address).",
        ("reason",),
        series=5,
    ),
    # log lines
    Metric(
        "cmg_disk_shedding_ratio",
        "gauge",
        "1 while a kind of telemetry (logs, traces, series) is given up because the disk fills, else 0.",
        ("kind",),
        series=3,
        merge="max",
    ),
    Metric("cmg_log_lines_written_total", "counter", "Log lines that processes put into the spool."),
    Metric(
        "cmg_log_lines_dropped_total",
        "counter",
        "Log lines that were given up, by reason (queue, spool, disk, stderr, unformatted, refused).",
        ("reason",),
        series=8,
        optional="only when lines are dropped",
    ),
    Metric(
        "cmg_log_lines_stored_total", "counter", "Log lines stored, by origin (spool, otlp).", ("source",), series=2
    ),
    Metric("cmg_log_write_duration_seconds", "histogram", "Time to store a batch of log lines."),
    Metric(
        "cmg_log_patterns_new_total",
        "counter",
        "Patterns of log messages that were never seen before, by the level of their first lines.",
        ("level",),
        series=5,
    ),
    Metric(
        "cmg_log_files_records",
        "gauge",
        "Log lines in files, by tier (cold, archive).",
        ("tier",),
        series=2,
        merge="max",
        optional="only once lines are older than `logs.hot_days`",
    ),
    Metric(
        "cmg_log_files_bytes",
        "gauge",
        "Bytes of these files.",
        ("tier",),
        series=2,
        merge="max",
        optional="only once lines are older than `logs.hot_days`",
    ),
    Metric(
        "cmg_log_lines_shipped_total",
        "counter",
        "Log lines on their way to `OTEL_EXPORTER_OTLP_ENDPOINT`, by outcome (sent, failed, dropped).",
        ("outcome",),
        series=3,
        optional="only with an endpoint",
    ),
    Metric("cmg_log_spool_bytes", "gauge", "Bytes of log lines in the machine's spool.", merge="max"),
    Metric(
        "cmg_log_drain_failures_total",
        "counter",
        "Attempts to store log lines that failed.",
        optional="only while the database is away",
    ),
    # incidents
    Metric(
        "cmg_status_entries_waiting",
        "gauge",
        "Observations of the status page's components that wait for the database.",
        merge="max",
    ),
    # timeseries
    Metric(
        "cmg_timeseries_scrapes_total",
        "counter",
        "Scrapes of targets, by outcome (good, failed).",
        ("outcome",),
        series=2,
    ),
    Metric("cmg_timeseries_samples_total", "counter", "Samples that scrapes and rules brought."),
    Metric("cmg_timeseries_samples_refused_total", "counter", "Samples of series beyond `timeseries.max_series`."),
    Metric(
        "cmg_timeseries_samples_lost_total",
        "counter",
        "Samples that left memory before they were in the database: it was away too long.",
    ),
    Metric("cmg_timeseries_series", "gauge", "Series whose recent samples are in memory.", merge="max"),
    Metric("cmg_timeseries_memory_bytes", "gauge", "Memory of the recent samples.", merge="max"),
    Metric(
        "cmg_timeseries_log_failures_total",
        "counter",
        "Samples of scrapes and rules that could not be logged.",
    ),
    Metric("cmg_timeseries_upkeep_failures_total", "counter", "Flushes and clean-ups of samples that failed."),
    Metric(
        "cmg_timeseries_query_duration_seconds",
        "histogram",
        "How long calls of Prometheus' API took, by endpoint.",
        ("endpoint",),
        series=12,
    ),
    # ledger
    Metric(
        "cmg_journal_appends_refused_total",
        "counter",
        "Appends to a worker's journal that were refused, by reason (full, disk).",
        ("reason",),
        series=2,
        optional="only when the journal is full or the disk takes no more",
    ),
    Metric("cmg_journal_bytes", "gauge", "Bytes of journal segments on disk, drained or not."),
    Metric("cmg_journal_undrained_bytes", "gauge", "Bytes of journal records that are not in the database yet."),
    Metric(
        "cmg_journal_undrained_age_seconds", "gauge", "How long the oldest undrained record has waited.", merge="max"
    ),
    Metric("cmg_journal_batches_total", "counter", "Batches of journal records committed to the database."),
    Metric("cmg_journal_records_total", "counter", "Journal records committed, by kind.", ("kind",), series=20),
    Metric(
        "cmg_journal_records_refused_total",
        "counter",
        "Journal records set aside because their sink cannot store them, by kind.",
        ("kind",),
        series=20,
        optional="only when a record is refused",
    ),
    Metric(
        "cmg_journal_damaged_bytes_total",
        "counter",
        "Bytes of segments that are no whole record: torn tails of killed workers, and damage.",
        optional="only after a crash or a damaged disk",
    ),
    Metric(
        "cmg_journal_drain_failures_total",
        "counter",
        "Batches that were rolled back because the database was away or refused them.",
        optional="only while the database is away",
    ),
    Metric(
        "cmg_journal_drain_lag_seconds",
        "histogram",
        "Time from the drain's first sight of a batch to its commit.",
        buckets=FAST_BUCKETS_S,
    ),
    Metric(
        "cmg_budget_events_total",
        "counter",
        "Budget thresholds passed, by kind of event.",
        ("kind",),
        series=5,
        optional="only when a key's spending passes a threshold",
    ),
    # storage
    Metric("cmg_database_connections_in_use", "gauge", "Pooled database connections in use."),
    Metric(
        "cmg_database_away_total",
        "counter",
        "Database calls that failed because it could not be reached in time.",
        optional="only while the database is away",
    ),
    # ledger/quota
    Metric(
        "cmg_limit_refusals_total",
        "counter",
        "Calls refused by a limit of their key: requests, tokens, concurrency, budget; or table_full.",
        ("reason",),
        series=8,
        optional="only when a key is at its limit",
    ),
    Metric("cmg_quota_keys", "gauge", "Keys that have a row in the machine's shared limits file.", merge="max"),
    Metric(
        "cmg_quota_fallback_workers",
        "gauge",
        "Workers that cannot reach Redis and keep to their machine's own share of every limit.",
        optional="only with Redis",
    ),
    Metric(
        "cmg_quota_fallback_calls_total",
        "counter",
        "Calls that were decided by the machine's own share because Redis could not be reached.",
        optional="only while Redis is away",
    ),
    Metric(
        "cmg_quota_settles_dropped_total",
        "counter",
        "Calls whose use could not be counted against their key's limits; budgets are read from the ledger again.",
        optional="only when Redis is away for long",
    ),
    Metric(
        "cmg_quota_seed_failures_total",
        "counter",
        "Times when the ledger could not be asked what a key has spent.",
        optional="only while the database is away",
    ),
    Metric(
        "cmg_cache_requests_total",
        "counter",
        "Cache look-ups, by outcome (hit, miss, away, refused).",
        ("outcome",),
        series=5,
        optional="only when a response cache is used",
    ),
    # jobs
    Metric(
        "cmg_jobs_total",
        "counter",
        "Attempts of background jobs, by outcome (done, retried, held).",
        ("job", "outcome"),
        series=200,
    ),
    Metric("cmg_job_duration_seconds", "histogram", "Time one attempt of a background job took.", ("job",), series=100),
    Metric(
        "cmg_jobs_waiting",
        "gauge",
        "Background jobs by status (queued, picked, failed).",
        ("status",),
        series=5,
        merge="max",
    ),
    # the gateway's breakers
    Metric(
        "cmg_upstream_breaker_open",
        "gauge",
        "Models of an upstream whose circuit breaker is open or half open, over all workers.",
        ("upstream",),
        series=100,
        optional="only once an upstream failed again and again",
    ),
    Metric(
        "cmg_upstream_breaker_opened_total",
        "counter",
        "Times a circuit breaker opened, failed probes included.",
        ("upstream",),
        series=100,
        optional="only once an upstream failed again and again",
    ),
    # the gateway's catalogue of models
    Metric(
        "cmg_catalogue_age_seconds",
        "gauge",
        "Time since an upstream's list of models was last taken over; since the start when it never was.",
        ("upstream",),
        series=100,
        merge="max",
    ),
    Metric(
        "cmg_catalogue_syncs_total",
        "counter",
        "Times an upstream was asked for its models, by outcome (ok, unreachable, refused, malformed, unstored).",
        ("upstream", "outcome"),
        series=500,
    ),
    # health
    Metric(
        "cmg_health_level",
        "gauge",
        "Level of each component and of the whole (service): 0 HEALTHY, 1 DEGRADED, 2 UNHEALTHY, 3 CRITICAL.",
        ("component",),
        series=120,
        merge="max",
    ),
    Metric(
        "cmg_health_probed_timestamp_seconds",
        "gauge",
        "When a component was last looked at.",
        ("component",),
        series=120,
        merge="max",
    ),
    Metric(
        "cmg_health_probe_duration_seconds",
        "histogram",
        "Time a look at a component took.",
        ("component",),
        buckets=FAST_BUCKETS_S,
        series=120,
    ),
    Metric(
        "cmg_health_transitions_total",
        "counter",
        "Changes of levels, by component and new level.",
        ("component", "level"),
        series=600,
    ),
    Metric(
        "cmg_health_unwritten_entries_waiting",
        "gauge",
        "Changes of levels that are not in the database yet.",
        merge="max",
    ),
    Metric(
        "cmg_health_transitions_lost_total",
        "counter",
        "Changes of levels that were forgotten before they were in the database: too many waited.",
    ),
    Metric(
        "cmg_health_canary_failures_total",
        "counter",
        "Probes that found nothing wrong with what is known to be bad, by probe.",
        ("probe",),
        series=120,
        optional="only when a probe lies",
    ),
    # memory
    Metric(
        "cmg_memory_recall_seconds",
        "histogram",
        "Time a call waited for its recall, also when it came back without memory.",
        buckets=FAST_BUCKETS_S,
    ),
    Metric("cmg_memory_recall_total", "counter", "Recalls for calls, by status (ok, degraded).", ("status",), series=3),
    Metric(
        "cmg_memory_turns_total",
        "counter",
        "Turns taken in, by source (chat, ingest) and outcome (journalled, stored, duplicate).",
        ("source", "outcome"),
        series=8,
    ),
    Metric(
        "cmg_memory_query_embedding_seconds",
        "histogram",
        "Time a recall waited for the vector of a question that was not cached.",
        buckets=FAST_BUCKETS_S,
        optional="only with an embedder",
    ),
    Metric(
        "cmg_memory_query_vectors_total",
        "counter",
        "Vectors of questions, by outcome (cached, embedded, late, away, refused).",
        ("outcome",),
        series=5,
        optional="only with an embedder",
    ),
    Metric(
        "cmg_memory_embedder_texts_total",
        "counter",
        "Texts that the embedder of a machine ran, by kind (query, documents) and outcome (done, failed).",
        ("kind", "outcome"),
        series=4,
        optional="only with an embedder of this machine",
    ),
    Metric(
        "cmg_memory_embedder_refused_total",
        "counter",
        "Requests that the embedder refused because too much waits, by kind (query, documents).",
        ("kind",),
        series=2,
        optional="only under overload",
    ),
    Metric(
        "cmg_memory_notes_refused_total",
        "counter",
        "Calls whose note was refused because too many are wanted at once; they go on without memory.",
    ),
    Metric(
        "cmg_memory_embedder_up",
        "gauge",
        "1 while the embedder answers, by the model that it uses.",
        ("model",),
        series=20,
        merge="min",
        optional="only with an embedder",
    ),
    Metric(
        "cmg_memory_embedding_entries_waiting",
        "gauge",
        "Passages that wait for their vectors, counted up to 100,000.",
        merge="max",
        optional="only with an embedder",
    ),
    Metric(
        "cmg_memory_embedding_age_seconds",
        "gauge",
        "How long the oldest passage without a vector has waited.",
        merge="max",
        optional="only with an embedder",
    ),
    Metric(
        "cmg_memory_passages_embedded_total",
        "counter",
        "Passages by what came of their embedding (done, failed: tried again, set_aside).",
        ("outcome",),
        series=3,
        optional="only with an embedder",
    ),
    Metric("cmg_memory_extraction_seconds", "histogram", "Time to read a thread for facts."),
    Metric(
        "cmg_memory_facts_total",
        "counter",
        "Facts drawn from what was said, by kind and outcome (added, merged, known, superseded, archived, refused).",
        ("kind", "outcome"),
        series=60,
    ),
    Metric(
        "cmg_memory_shortened_calls_total",
        "counter",
        "Calls sent without the older part of their conversation.",
        optional="only with conversations that are too long",
    ),
    Metric(
        "cmg_memory_summaries_total",
        "counter",
        "Summaries of threads that were renewed, by who wrote them (picked, model).",
        ("writer",),
        series=2,
        optional="only with long threads",
    ),
    Metric(
        "cmg_memory_notes_total",
        "counter",
        "Notes of calls, by whether the answer made use of one of their items (used, unused, unjudged).",
        ("outcome",),
        series=3,
    ),
    Metric(
        "cmg_memory_noted_items_total",
        "counter",
        "Items in notes, by what the answer made of them (used, ignored, unjudged).",
        ("outcome",),
        series=3,
    ),
    Metric(
        "cmg_memory_holdout_calls_total",
        "counter",
        "Calls that went without memory, to compare others with them.",
        optional="only with a hold-out share",
    ),
    Metric(
        "cmg_memory_feedback_total",
        "counter",
        "Judgements of items, by type (helpful, not_helpful, outdated, duplicate).",
        ("type",),
        series=4,
        optional="only with feedback",
    ),
    Metric("cmg_memory_extraction_jobs_waiting", "gauge", "Threads that wait to be read for facts.", merge="max"),
    Metric("cmg_memory_extraction_lag_seconds", "gauge", "How long the oldest of them has waited.", merge="max"),
    # the gateway's calls
    Metric("cmg_llm_calls_total", "counter", "Calls by how they ended.", ("route", "upstream", "status"), series=400),
    Metric("cmg_llm_call_duration_seconds", "histogram", "Time of a call.", ("route", "upstream"), series=100),
    Metric("cmg_llm_cost_usd_total", "counter", "Dollars that calls cost.", ("upstream",), series=50),
    Metric("cmg_llm_tokens_total", "counter", "Tokens of calls.", ("upstream", "kind"), series=100),
    Metric(
        "cmg_llm_time_to_first_token_seconds",
        "histogram",
        "Time from a streamed request to its first content.",
        ("upstream",),
        series=50,
    ),
    Metric(
        "cmg_gateway_overhead_seconds",
        "histogram",
        "Time of a call that was not spent waiting for upstreams.",
        buckets=FAST_BUCKETS_S,
    ),
)

BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}
