-- The audit trail: one chain of entries, each holding the hash of the one before it.
-- Kept for 7 years (AuditTrail.purge); about 700 bytes an administrative change, indexes included.

CREATE TABLE audit_entries (
    seq          bigint PRIMARY KEY,
    at           timestamptz NOT NULL,
    actor        text NOT NULL,
    workspace_id text,                    -- NULL: the service itself
    action       text NOT NULL,           -- noun.verb, e.g. key.create
    target       text NOT NULL,
    details      text NOT NULL,           -- JSON exactly as it was hashed, so text and not jsonb
    client       text NOT NULL,
    previous     bytea NOT NULL,
    hash         bytea NOT NULL
);

CREATE INDEX audit_entries_by_workspace ON audit_entries (workspace_id, seq);
CREATE INDEX audit_entries_by_at ON audit_entries (at);

-- Where the chain begins (moved on by the purge) and where it ends: without the end, a cut tail would not show.
CREATE TABLE audit_head (
    single         boolean PRIMARY KEY DEFAULT true CHECK (single),
    first_seq      bigint NOT NULL,
    first_previous bytea NOT NULL,
    last_seq       bigint NOT NULL,
    last_hash      bytea NOT NULL
);

INSERT INTO audit_head (first_seq, first_previous, last_seq, last_hash)
VALUES (1, decode(repeat('00', 32), 'hex'), 0, decode(repeat('00', 32), 'hex'));

-- Only the purge may delete, and only what it names by its own setting in its own transaction.
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit_entries' THEN
        IF OLD.seq <= coalesce(nullif(current_setting('cmg.audit_purge_through', true), ''), '0')::bigint THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit trail is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_entries_no_truncate BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_head_stays BEFORE DELETE ON audit_head
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_head_no_truncate BEFORE TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
