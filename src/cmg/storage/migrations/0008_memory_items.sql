-- What changes with time: memories that callers wrote and facts drawn from what was said lie in memory_turns beside the
-- turns, with another kind, so that one search finds all of them; memory_facts says where each comes from.
-- A fact goes with the last of its sources; a written memory when it is deleted, expires, or after `memory.item_days`.

ALTER TABLE memory_turns
    ADD COLUMN valid_from timestamptz,              -- since when it is true; null: since it was said
    ADD COLUMN valid_to   timestamptz,              -- since when it is not true any more; null: it still is
    ADD COLUMN retired_at timestamptz,              -- since when we know better: an earlier version; null: the current one
    ADD COLUMN expires_at timestamptz,              -- not found from then on, and purged; null: never
    ADD COLUMN salience   real NOT NULL DEFAULT 0.5; -- 0 to 1: importance, use, feedback and age; moves an item up or down

CREATE INDEX memory_turns_by_expires_at ON memory_turns (expires_at) WHERE expires_at IS NOT NULL;

-- One row an item that is not simply what was said, one a turn that was edited or judged, one an earlier version of each.
CREATE TABLE memory_facts (
    item_id      uuid PRIMARY KEY REFERENCES memory_turns ON DELETE CASCADE, -- a current version keeps the first one's id
    root_id      uuid NOT NULL,                     -- the current version's id: the same for all versions of an item
    version      integer NOT NULL,                  -- in the order in which they became known; the current one's is highest
    user_no      bigint NOT NULL,
    workspace_id text NOT NULL,
    origin       text NOT NULL CHECK (origin IN ('said', 'rules', 'model', 'caller')),
    digest       bigint NOT NULL,                   -- of kind and content without case and blanks: the same said again
    subject      text,                              -- what or whom it is about, case-folded; with relation: what a newer
    relation     text,                              -- value supersedes
    value        text,
    quote        text,                              -- stands verbatim in one of the sources
    sources      uuid[] NOT NULL DEFAULT '{}',      -- memory_turns.id of the passages it was drawn from
    importance   real NOT NULL DEFAULT 0.5,         -- 0 to 1, as the extractor or the caller judged it
    mentions     integer NOT NULL DEFAULT 1,        -- how often it was said: duplicates merge and count
    mentioned_at timestamptz NOT NULL,              -- when it was last said
    uses         integer NOT NULL DEFAULT 0,        -- how often it was given out
    used_at      timestamptz,
    feedback     real NOT NULL DEFAULT 0,           -- the sum of judgements, -10 to 10
    -- Archiving a version numbers the current one anew in the same statement.
    UNIQUE (root_id, version) DEFERRABLE INITIALLY DEFERRED
);

CREATE INDEX memory_facts_by_subject ON memory_facts (user_no, subject, relation) WHERE subject IS NOT NULL;
CREATE INDEX memory_facts_by_digest ON memory_facts (user_no, digest);
CREATE INDEX memory_facts_by_source ON memory_facts USING gin (sources) WITH (fastupdate = off);
CREATE INDEX memory_facts_by_mention ON memory_facts USING brin (mentioned_at);

-- Why an item's salience moved; the newest few of each item.
CREATE TABLE memory_feedback (
    id           uuid PRIMARY KEY,
    item_id      uuid NOT NULL REFERENCES memory_facts ON DELETE CASCADE,
    workspace_id text NOT NULL,
    type         text NOT NULL,                     -- helpful, not_helpful, outdated, duplicate
    value        real NOT NULL,                     -- what it added to memory_facts.feedback
    comment      text,
    at           timestamptz NOT NULL
);

CREATE INDEX memory_feedback_by_item ON memory_feedback (item_id, id);

-- How far a thread was read for facts, and which threads have something new to read: one row a thread with work to do.
ALTER TABLE memory_threads ADD COLUMN extracted_seq bigint NOT NULL DEFAULT 0;

CREATE TABLE memory_extractions (
    thread_no    bigint PRIMARY KEY REFERENCES memory_threads ON DELETE CASCADE,
    workspace_id text NOT NULL,
    wanted       bigint NOT NULL DEFAULT 1,     -- how often new turns asked for it: another number than a worker saw, more to do
    first_at     timestamptz NOT NULL,          -- since when something waits
    due_at       timestamptz NOT NULL,          -- a moment after the last turn, so that a conversation is read in one go
    lease_until  timestamptz,                   -- a worker has it until then; a killed one's is taken over
    attempts     integer NOT NULL DEFAULT 0,    -- begun and not ended
    failed_at    timestamptz,                   -- given up until the thread gets another turn
    error        text
) WITH (fillfactor = 70);

CREATE INDEX memory_extractions_due ON memory_extractions (due_at) WHERE failed_at IS NULL;

-- What models that draw facts cost, so that a ceiling can hold; one row a workspace and day (UTC), kept for 30 days.
CREATE TABLE memory_extraction_costs (
    workspace_id text NOT NULL,
    day          date NOT NULL,
    nano         bigint NOT NULL,               -- nano-USD
    PRIMARY KEY (workspace_id, day)
);

-- An ingest's operation can tell how far its thread's facts are.
ALTER TABLE memory_operations ADD COLUMN thread_no bigint;

-- What was said before is read once, oldest threads first.
INSERT INTO memory_extractions (thread_no, workspace_id, first_at, due_at)
SELECT thread_no, workspace_id, updated_at, updated_at FROM memory_threads;
