-- What people and assistants said, by user and thread, searchable by word.
-- Kept until erased, or `memory.retention_days` from when it was stored; operations for `retention.operations_days`.

CREATE TABLE memory_users (
    user_no      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id text NOT NULL,
    user_id      text NOT NULL,
    turns        bigint NOT NULL DEFAULT 0,     -- rows of memory_turns, for inverse document frequencies
    length       bigint NOT NULL DEFAULT 0,     -- their words together, for the average length
    updated_at   timestamptz NOT NULL,
    UNIQUE (workspace_id, user_id)
) WITH (fillfactor = 80);

CREATE TABLE memory_threads (
    thread_no    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id text NOT NULL,
    user_no      bigint NOT NULL,
    thread_id    text NOT NULL,
    implicit     boolean NOT NULL,              -- the caller named no thread: the id is ours
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    UNIQUE (user_no, thread_id)
) WITH (fillfactor = 80);

-- No foreign keys: writers hold the user's row, and a check per row would cost more than the row.
-- One row a turn; a long turn or a document is several passages (`part`) of one message.
CREATE TABLE memory_turns (
    id           uuid NOT NULL PRIMARY KEY,     -- of workspace, user, thread, message and part: a repetition meets itself
    seq          bigint GENERATED ALWAYS AS IDENTITY,
    user_no      bigint NOT NULL,
    thread_no    bigint NOT NULL,
    created_at   timestamptz NOT NULL,          -- when it was said
    recorded_at  timestamptz NOT NULL,          -- when it was stored
    digest       bigint NOT NULL,               -- of the whole message: another digest under the same id is a conflict
    part         integer NOT NULL,
    length       integer NOT NULL,              -- words
    tokens       integer NOT NULL,              -- o200k, of the content alone
    note_tokens  integer NOT NULL,              -- o200k, of its line in an injected note
    workspace_id text NOT NULL,
    message_id   text NOT NULL,
    kind         text NOT NULL,                 -- message, document, diff, log
    role         text NOT NULL,
    name         text,
    agent_id     text,
    app_id       text,
    terms        bigint[] NOT NULL,             -- hash of user and word stem; repeated as often as the stem, four times at most
    metadata     jsonb,
    content      text NOT NULL
);

-- The hashes hold the user, so one user's words never lead through another's postings.
CREATE INDEX memory_turns_by_term ON memory_turns USING gin (terms) WITH (fastupdate = off);
CREATE UNIQUE INDEX memory_turns_newest ON memory_turns (user_no, seq);
CREATE UNIQUE INDEX memory_turns_by_thread ON memory_turns (thread_no, seq);
CREATE INDEX memory_turns_by_recorded_at ON memory_turns USING brin (recorded_at);

CREATE TABLE memory_operations (
    id           uuid PRIMARY KEY,
    workspace_id text NOT NULL,
    user_id      text NOT NULL,
    status       text NOT NULL CHECK (status IN ('queued', 'done', 'failed')),
    items        jsonb NOT NULL,                -- [{id, message_id}]
    error        text,
    created_at   timestamptz NOT NULL,
    finished_at  timestamptz
);

CREATE INDEX memory_operations_by_created_at ON memory_operations (created_at);
