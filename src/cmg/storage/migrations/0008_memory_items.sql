-- What changes with time: memories that callers wrote and facts drawn from what was said lie in memory_turns beside the
-- turns, with another kind, so that one search finds all of them; memory_facts says where each comes from.
-- Kept as long as turns; an item goes with the last of its sources.

ALTER TABLE memory_turns
    ADD COLUMN valid_from timestamptz,              -- since when it is true; null: since it was said
    ADD COLUMN valid_to   timestamptz,              -- since when it is not true any more; null: it still is
    ADD COLUMN retired_at timestamptz,              -- since when we know better: an earlier version; null: the current one
    ADD COLUMN expires_at timestamptz,              -- not found from then on, and purged; null: never
    ADD COLUMN salience   real NOT NULL DEFAULT 0.5; -- 0 to 1: importance, use, feedback and age; moves an item up or down

CREATE INDEX memory_turns_by_expires_at ON memory_turns (expires_at) WHERE expires_at IS NOT NULL;

-- One row an item that is not simply what was said, and one an earlier version of any item.
CREATE TABLE memory_facts (
    item_id      uuid PRIMARY KEY,                  -- memory_turns.id; a current version keeps the id it began with
    root_id      uuid NOT NULL,                     -- the current version's id: the same for all versions of an item
    version      integer NOT NULL,                  -- 1 is the oldest
    user_no      bigint NOT NULL,
    workspace_id text NOT NULL,
    origin       text NOT NULL CHECK (origin IN ('rules', 'model', 'caller')),
    subject      text,                              -- what or whom it is about, case-folded; with relation: what a newer
    relation     text,                              -- value supersedes
    value        text,
    quote        text,                              -- stands verbatim in one of the sources
    sources      uuid[] NOT NULL DEFAULT '{}',      -- memory_turns.id of the passages it was drawn from
    importance   real NOT NULL DEFAULT 0.5,         -- 0 to 1, as the extractor or the caller judged it
    mentions     integer NOT NULL DEFAULT 1,        -- how often it was said: duplicates merge and count
    uses         integer NOT NULL DEFAULT 0,        -- how often it was given out
    used_at      timestamptz,
    feedback     integer NOT NULL DEFAULT 0,        -- helpful minus unhelpful, -10 to 10
    UNIQUE (root_id, version)
);

CREATE INDEX memory_facts_by_subject ON memory_facts (user_no, subject, relation) WHERE subject IS NOT NULL;
CREATE INDEX memory_facts_by_source ON memory_facts USING gin (sources) WITH (fastupdate = off);
