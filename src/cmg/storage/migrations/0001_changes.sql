-- What changed in tables that processes keep a copy of (keys, workspaces, models): each process reads on from the
-- last version it saw. Rows are kept for a day; the newest always stays, so that a reader can tell whether it lost
-- its place.
CREATE TABLE changes (
    version bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic   text NOT NULL,
    ids     text[] NOT NULL,
    at      timestamptz NOT NULL
);

-- A first row, so that there is a place from the start.
INSERT INTO changes (topic, ids, at) VALUES ('start', '{}', '2026-01-01T00:00:00Z');

CREATE INDEX changes_at ON changes (at);
