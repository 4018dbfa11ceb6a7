-- Erasures that are not through yet: a process that is killed in the middle leaves its row, and another one goes on from it.
-- The row names the person, who would not be found otherwise, and goes in the transaction that ends the erasure.
-- `user_id` is text as bytes, since a caller's id may hold what text cannot; `last_seq` is their newest item then.
CREATE TABLE memory_erasures (
    workspace_id text NOT NULL,
    digest       bytea NOT NULL,
    user_id      bytea NOT NULL,
    pseudonym    text NOT NULL,
    actor        text NOT NULL,
    client       text NOT NULL,
    erased_at    timestamptz NOT NULL,
    last_seq     bigint NOT NULL,
    tried_at     timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, digest)
);
