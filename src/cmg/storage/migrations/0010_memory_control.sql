-- What it takes to show, correct, export and erase what is remembered.

-- One row for each erasure, so that what was still on its way, or comes back with a backup, is not kept again.
-- It names nobody: the digest is SHA-256 of the salt (one for each workspace) and the user's id.
-- 150 bytes each, kept for `retention.erasures_days`, which must outlive the oldest backup.
CREATE TABLE memory_tombstones (
    workspace_id text NOT NULL,
    salt         bytea NOT NULL,
    digest       bytea NOT NULL,
    erased_at    timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, digest)
);

CREATE INDEX memory_tombstones_by_salt ON memory_tombstones (workspace_id, salt);
CREATE INDEX memory_tombstones_by_erased_at ON memory_tombstones (erased_at);

-- Turns that somebody deleted one by one: a client that sends its whole history again does not bring them back.
-- The id is a hash; 70 bytes each, kept for `retention.erasures_days`, and gone with their user.
CREATE TABLE memory_deleted (
    item_id      uuid PRIMARY KEY,
    workspace_id text NOT NULL,
    user_no      bigint NOT NULL,
    deleted_at   timestamptz NOT NULL
);

CREATE INDEX memory_deleted_by_user ON memory_deleted (user_no);
CREATE INDEX memory_deleted_by_deleted_at ON memory_deleted (deleted_at);

-- Lists of what one agent or application remembers, over all users.
CREATE INDEX memory_turns_by_agent ON memory_turns (workspace_id, agent_id, seq) WHERE agent_id IS NOT NULL;
CREATE INDEX memory_turns_by_app ON memory_turns (workspace_id, app_id, seq) WHERE app_id IS NOT NULL;
CREATE INDEX memory_threads_by_name ON memory_threads (workspace_id, thread_id);
CREATE INDEX memory_operations_by_user ON memory_operations (workspace_id, user_id);

-- Whose answer it is; NULL: the call named no user.
ALTER TABLE idempotent_calls ADD COLUMN user_id text;
CREATE INDEX idempotent_calls_by_user ON idempotent_calls (workspace_id, user_id) WHERE user_id IS NOT NULL;

-- An item with everything that is known of it.
CREATE VIEW memory_items AS
SELECT t.id, t.seq, t.user_no, t.thread_no, t.workspace_id, u.user_id, h.thread_id, h.implicit, t.agent_id, t.app_id,
    t.kind, t.role, t.name, t.message_id, t.part, t.content, t.tokens, t.metadata, t.created_at, t.recorded_at,
    t.valid_from, t.valid_to, t.retired_at, t.expires_at, t.salience,
    f.root_id, f.version, f.origin, f.subject, f.relation, f.value, f.quote, f.sources, f.importance, f.mentions,
    f.uses, f.used_at, f.feedback
FROM memory_turns t
JOIN memory_users u ON u.user_no = t.user_no
JOIN memory_threads h ON h.thread_no = t.thread_no
LEFT JOIN memory_facts f ON f.item_id = t.id;

-- How the ids of the users begin for whom a key may speak; NULL: every user of its workspace.
ALTER TABLE api_keys ADD COLUMN user_prefix text;
CREATE OR REPLACE VIEW api_keys_whole AS
SELECT k.id, k.workspace_id, k.name, k.status, k.suspended_reason, k.description, k.owner, k.tags, k.scopes, k.memory,
       k.memory_scope, k.models_allow, k.models_block, k.ip_allow, k.default_model, k.response_cache_s,
       k.limits::text AS limits, k.budget::text AS budget, k.expires_at, k.review_at, k.origin, k.created_at,
       k.updated_at, s.hashes, s.ends, k.user_prefix
FROM api_keys AS k
LEFT JOIN LATERAL (
    SELECT array_agg(hash ORDER BY created_at DESC, hash) AS hashes,
           array_agg(valid_until ORDER BY created_at DESC, hash) AS ends
    FROM api_key_secrets WHERE key_id = k.id
) AS s ON true;
