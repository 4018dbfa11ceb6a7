-- Vectors of what is remembered, and what still has to get one. Kept exactly as long as the turns they belong to.

CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE memory_models (
    model_no   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    dimension  integer NOT NULL,
    used_at    timestamptz NOT NULL,            -- when it last became the current one
    retired_at timestamptz,                     -- nobody is searched by it, and its vectors are deleted
    UNIQUE (name, dimension)
);

-- No type modifier, so that every dimension fits. 384 dimensions make rows of 1.6 KB, which stay in the page by
-- themselves; MAIN keeps larger ones there too, as long as a row fits. Every second turn gets its window anew when its
-- successor comes: a fifth of the page is kept free for that.
CREATE TABLE memory_vectors (
    user_no   bigint NOT NULL,
    model_no  integer NOT NULL,
    seq       bigint NOT NULL,                  -- of memory_turns
    thread_no bigint NOT NULL,
    indexed   boolean NOT NULL,                 -- in the index of neighbours: users with many turns only
    turn      halfvec NOT NULL,
    "window"  halfvec,                          -- with the turns before and after it; null: there are none, or no room
    PRIMARY KEY (user_no, model_no, seq)
) WITH (fillfactor = 80);
ALTER TABLE memory_vectors ALTER COLUMN turn SET STORAGE MAIN, ALTER COLUMN "window" SET STORAGE MAIN;

-- What waits for a vector of the current model; a row goes when its vector comes.
CREATE TABLE memory_unembedded (
    seq       bigint PRIMARY KEY,
    user_no   bigint NOT NULL,
    queued_at timestamptz NOT NULL,
    due_at    timestamptz NOT NULL,             -- claimed until then, or to be tried again then
    attempts  smallint NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);

-- What a model refused three times. It is found by its words alone, and tried again by the next model.
CREATE TABLE memory_unembeddable (
    user_no  bigint NOT NULL,
    model_no integer NOT NULL,
    seq      bigint NOT NULL,
    reason   text NOT NULL,
    since    timestamptz NOT NULL,
    PRIMARY KEY (user_no, model_no, seq)
);

-- vector_model_no: by which model the user is searched, 0: by the current one. vectors_whole: every turn has a vector of
-- it or waits for one. vectors_indexed: 0 no, 1 new ones are and old ones are being moved, 2 all are in the index.
ALTER TABLE memory_users
    ADD COLUMN vector_model_no integer NOT NULL DEFAULT 0,
    ADD COLUMN vectors_whole boolean NOT NULL DEFAULT false,
    ADD COLUMN vectors_indexed smallint NOT NULL DEFAULT 0;

CREATE INDEX memory_users_by_vectors ON memory_users (vectors_whole, vector_model_no);
CREATE INDEX memory_users_being_indexed ON memory_users (user_no) WHERE vectors_indexed = 1;
