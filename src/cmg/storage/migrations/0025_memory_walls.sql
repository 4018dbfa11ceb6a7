-- Which API key stored a user first: other keys of the workspace do not read them unless it shares its users (policy
-- `shared`). NULL: everybody's, as all users are who were stored before, or by an administrator.
-- `subject` names a user in the audit trail; it goes with the user's row, and then leads to nobody.
ALTER TABLE memory_users
    ADD COLUMN key_id  text,
    ADD COLUMN subject uuid NOT NULL DEFAULT gen_random_uuid();

-- The same columns as before, and whose the user is.
CREATE OR REPLACE VIEW memory_items AS
SELECT t.id, t.seq, t.user_no, t.thread_no, t.workspace_id, u.user_id, h.thread_id, h.implicit, t.agent_id, t.app_id,
    t.kind, t.role, t.name, t.message_id, t.part, t.content, t.tokens, t.metadata, t.created_at, t.recorded_at,
    t.valid_from, t.valid_to, t.retired_at, t.expires_at, t.salience,
    f.root_id, f.version, f.origin, f.subject, f.relation, f.value, f.quote, f.sources, f.importance, f.mentions,
    coalesce(f.uses + w.uses, f.uses, w.uses) AS uses, greatest(f.used_at, w.used_at) AS used_at, f.feedback, u.key_id
FROM memory_turns t
JOIN memory_users u ON u.user_no = t.user_no
JOIN memory_threads h ON h.thread_no = t.thread_no
LEFT JOIN memory_facts f ON f.item_id = t.id
LEFT JOIN memory_turn_uses w ON w.item_id = t.id;
