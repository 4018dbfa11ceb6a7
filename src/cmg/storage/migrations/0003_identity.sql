-- Workspaces, API keys and the hashes of their secrets.
-- Revoked keys are kept 400 days (as long as usage that names them), old secrets one day after their end (Keys.purge).

CREATE TABLE workspaces (
    id         text PRIMARY KEY,
    name       text NOT NULL,
    timezone   text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE api_keys (
    id                  text PRIMARY KEY,
    workspace_id        text NOT NULL REFERENCES workspaces (id),
    name                text NOT NULL,
    status              text NOT NULL CHECK (status IN ('active', 'suspended', 'revoked')),
    suspended_reason    text,
    description         text NOT NULL,
    owner               text NOT NULL,
    tags                text[] NOT NULL,
    scopes              text[] NOT NULL,
    memory              text NOT NULL CHECK (memory IN ('on', 'off')),
    memory_scope        text NOT NULL CHECK (memory_scope IN ('user', 'key')),
    models_allow        text[],           -- NULL: every model
    models_block        text[] NOT NULL,
    ip_allow            text[],           -- NULL: every address; CIDRs
    default_model       text,
    response_cache_s    integer NOT NULL,
    limits              jsonb NOT NULL,   -- {rpm, rph, tpm, burst, concurrency}; absent: no bound
    budget              jsonb,            -- {period, usd_nano, alert_at, auto_suspend}
    expires_at          timestamptz,
    review_at           timestamptz,
    origin              text NOT NULL DEFAULT 'api' CHECK (origin IN ('api', 'bootstrap', 'first', 'administrator')),
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL
);

CREATE INDEX api_keys_by_creation ON api_keys (workspace_id, created_at DESC, id DESC);
CREATE INDEX api_keys_newest ON api_keys (created_at DESC, id DESC);
CREATE INDEX api_keys_revoked ON api_keys (updated_at) WHERE status = 'revoked';

CREATE TABLE api_key_secrets (
    key_id      text NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    hash        bytea NOT NULL,           -- SHA-256 of the secret
    valid_until timestamptz,              -- NULL: as long as the key
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (key_id, hash)
);

CREATE INDEX api_key_secrets_ended ON api_key_secrets (valid_until) WHERE valid_until IS NOT NULL;

INSERT INTO workspaces (id, name, timezone, created_at, updated_at)
VALUES ('default', 'Default', 'UTC', 'epoch', 'epoch');

-- A key with its secrets' hashes, newest first: what one row of the snapshot is made of.
CREATE VIEW api_keys_whole AS
SELECT k.id, k.workspace_id, k.name, k.status, k.suspended_reason, k.description, k.owner, k.tags, k.scopes, k.memory,
       k.memory_scope, k.models_allow, k.models_block, k.ip_allow, k.default_model, k.response_cache_s,
       k.limits::text AS limits, k.budget::text AS budget, k.expires_at, k.review_at, k.origin, k.created_at,
       k.updated_at, s.hashes, s.ends
FROM api_keys AS k
LEFT JOIN LATERAL (
    SELECT array_agg(hash ORDER BY created_at DESC, hash) AS hashes,
           array_agg(valid_until ORDER BY created_at DESC, hash) AS ends
    FROM api_key_secrets WHERE key_id = k.id
) AS s ON true;
