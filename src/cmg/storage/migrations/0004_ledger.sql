-- The ledger: what every call cost, what each key has spent, which thresholds were passed.

-- How far each worker's journal is stored; moved in the same transaction as the rows that came from it.
-- One row of 60 bytes a worker's life, deleted with its folder, else after 400 days (JournalDrain).
CREATE TABLE journal_offsets (
    worker   uuid PRIMARY KEY,
    position bigint NOT NULL,
    at       timestamptz NOT NULL
) WITH (fillfactor = 50);

-- One row per call, in partitions of a month, dropped after retention.usage_days (ledger.store.upkeep).
-- Measured: 0.48 MB per 1,000 calls with the indexes (docs/adr/0005-ledger.md).
CREATE TABLE usage_records (
    at                 timestamptz NOT NULL,      -- when the call ended
    id                 uuid NOT NULL,             -- the call's id (version 7)
    cost_nano          bigint NOT NULL,           -- 1e-9 USD
    prompt_tokens      integer NOT NULL,
    completion_tokens  integer NOT NULL,
    cached_tokens      integer NOT NULL,          -- part of prompt_tokens
    cache_write_tokens integer NOT NULL,          -- part of prompt_tokens
    reasoning_tokens   integer NOT NULL,          -- part of completion_tokens
    latency_ms         real NOT NULL,
    ttft_ms            real,                      -- to the first token; NULL: none came
    memory_items       integer NOT NULL,
    memory_tokens      integer NOT NULL,
    http_status        smallint NOT NULL,
    attempts           smallint NOT NULL,
    stream             boolean NOT NULL,
    replayed           boolean NOT NULL,          -- answered from a stored answer
    workspace_id       text NOT NULL,
    key_id             text NOT NULL,
    user_id            text,
    thread_id          text,
    agent_id           text,
    app_id             text,
    tags               text[] NOT NULL,           -- the key's tags at the time
    route              text NOT NULL,
    upstream           text,
    model_asked        text NOT NULL,
    model_answered     text,
    status             text NOT NULL,             -- ok, error, cut, cancelled
    error_type         text,
    finish_reason      text,
    cost_origin        text NOT NULL,             -- upstream, catalogue, estimate
    memory_status      text NOT NULL,
    trace_id           text,
    PRIMARY KEY (id, at)                          -- stores a record twice for nobody, whatever the journal says
) PARTITION BY RANGE (at);

CREATE INDEX usage_records_by_workspace ON usage_records (workspace_id, at);
CREATE INDEX usage_records_by_key ON usage_records (key_id, at);

-- Rows of months without a partition: an insert never fails for the want of one.
CREATE TABLE usage_records_default PARTITION OF usage_records DEFAULT;

-- What each key has spent on each day of its workspace's calendar; written in the same transaction as the usage rows.
-- Budgets sum it. Days older than 400 are folded into one of 1970, so a key has at most 402 rows of 100 bytes.
CREATE TABLE key_spending (
    day          timestamptz NOT NULL,            -- the day's first moment
    spent_nano   bigint NOT NULL,
    key_id       text NOT NULL,
    workspace_id text NOT NULL,
    PRIMARY KEY (key_id, day)
) WITH (fillfactor = 70);

CREATE INDEX key_spending_by_day ON key_spending (day);

-- A threshold of a key's budget was passed, or the key was suspended for it: once for each budget and period.
-- Kept for retention.events_days (ledger.store.upkeep), but never shorter than the period lasts.
CREATE TABLE budget_events (
    id           uuid PRIMARY KEY,
    at           timestamptz NOT NULL,
    workspace_id text NOT NULL,
    key_id       text NOT NULL,
    owner        text NOT NULL,                   -- whom to tell
    kind         text NOT NULL CHECK (kind IN ('threshold', 'suspended')),
    period       text NOT NULL,
    period_start timestamptz NOT NULL,
    budget_nano  bigint NOT NULL,
    threshold    double precision NOT NULL,       -- share of the budget
    spent_nano   bigint NOT NULL,                 -- when it was noticed
    UNIQUE (key_id, kind, period, period_start, budget_nano, threshold)
);

CREATE INDEX budget_events_by_workspace ON budget_events (workspace_id, id);
CREATE INDEX budget_events_by_at ON budget_events (at);
