-- What upstreams say about their models, and answers kept to be given again.

-- The models that each upstream listed at its last syncs; the same for every workspace. One row of about 300 bytes a
-- model. A model that is no longer listed keeps its price for 30 days, then its row is deleted; so are those of an
-- upstream that nobody has asked for 90 days (CatalogueSync).
CREATE TABLE models (
    upstream       text NOT NULL,
    model          text NOT NULL,               -- the upstream's own name for it
    pricing        jsonb,                       -- as the upstream lists it; NULL: it lists none
    context_length integer,                     -- tokens of prompt and completion together; NULL: not told
    created        bigint,                      -- epoch seconds, as the upstream tells it
    first_seen_at  timestamptz NOT NULL,
    last_seen_at   timestamptz NOT NULL,
    vanished_at    timestamptz,                 -- NULL: the last sync still listed it
    PRIMARY KEY (upstream, model)
) WITH (fillfactor = 70);

-- How the syncs of each upstream went; one row an upstream, deleted when nobody has asked it for 90 days.
CREATE TABLE model_syncs (
    upstream     text PRIMARY KEY,
    synced_at    timestamptz,                   -- the last sync that worked; NULL: none yet
    attempted_at timestamptz NOT NULL,
    error        text                           -- what was wrong with the last attempt; NULL: nothing
) WITH (fillfactor = 50);

-- One row for each `Idempotency-Key` of an API key: a call in flight, then its answer (at most 4 MB).
-- Kept for settings.retention.idempotency_hours; purged hourly in batches (IdempotentCalls.purge).
CREATE TABLE idempotent_calls (
    created_at      timestamptz NOT NULL,
    done_at         timestamptz,
    reservation     uuid NOT NULL,              -- who may finish it: another one after a takeover
    status          smallint,
    stream          boolean,
    workspace_id    text NOT NULL,
    key_id          text NOT NULL,
    idempotency_key text NOT NULL,
    body_hash       bytea NOT NULL,             -- SHA-256 of the request's body
    state           text NOT NULL CHECK (state IN ('pending', 'done')),
    headers         jsonb,                      -- [[name, value]]
    body            bytea,
    PRIMARY KEY (workspace_id, key_id, idempotency_key),
    CHECK (state = 'pending' OR (status IS NOT NULL AND stream IS NOT NULL AND headers IS NOT NULL AND body IS NOT NULL))
) WITH (fillfactor = 80);

CREATE INDEX idempotent_calls_by_created_at ON idempotent_calls (created_at);
