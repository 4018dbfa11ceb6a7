-- name: list_items
-- One user's current items before a place, newest first, as JSON.
SELECT coalesce(json_agg(row_to_json(i)), '[]') FROM (
    SELECT * FROM memory_items i
    WHERE i.workspace_id = $1
        AND i.user_no = (SELECT user_no FROM memory_users WHERE workspace_id = $1 AND user_id = $2)
        AND i.retired_at IS NULL AND (i.expires_at IS NULL OR i.expires_at > $3)
        AND ($4::bigint IS NULL OR i.seq < $4)
        AND ($5::text[] IS NULL OR i.kind = ANY($5)) AND ($6::text IS NULL OR i.thread_id = $6)
        AND ($7::text IS NULL OR i.agent_id = $7) AND ($8::text IS NULL OR i.app_id = $8)
        AND ($9::text IS NULL OR to_jsonb(i) @@ $9::text::jsonpath)
    ORDER BY i.seq DESC LIMIT $10 OFFSET $11
) i;

-- name: list_entity_items
-- Current items of any of these users, agents, applications or threads before a place, newest first, as JSON.
SELECT coalesce(json_agg(row_to_json(i)), '[]') FROM (
    SELECT * FROM memory_items i
    WHERE i.workspace_id = $1
        AND (i.user_no = ANY(ARRAY(SELECT user_no FROM memory_users WHERE workspace_id = $1 AND user_id = ANY($2::text[])))
            OR i.agent_id = ANY($3::text[]) OR i.app_id = ANY($4::text[])
            OR i.thread_no = ANY(ARRAY(
                SELECT thread_no FROM memory_threads WHERE workspace_id = $1 AND thread_id = ANY($5::text[]))))
        AND i.retired_at IS NULL AND (i.expires_at IS NULL OR i.expires_at > $6)
        AND ($7::text IS NULL OR to_jsonb(i) @@ $7::text::jsonpath)
        AND ($8::text IS NULL OR i.key_id IS NULL OR i.key_id = $8)
    ORDER BY i.seq DESC LIMIT $9 OFFSET $10
) i;

-- name: count_entity_items
-- How many such items there are.
SELECT count(*) FROM memory_items i
WHERE i.workspace_id = $1
    AND (i.user_no = ANY(ARRAY(SELECT user_no FROM memory_users WHERE workspace_id = $1 AND user_id = ANY($2::text[])))
        OR i.agent_id = ANY($3::text[]) OR i.app_id = ANY($4::text[])
        OR i.thread_no = ANY(ARRAY(
            SELECT thread_no FROM memory_threads WHERE workspace_id = $1 AND thread_id = ANY($5::text[]))))
    AND i.retired_at IS NULL AND (i.expires_at IS NULL OR i.expires_at > $6)
    AND ($7::text IS NULL OR to_jsonb(i) @@ $7::text::jsonpath)
    AND ($8::text IS NULL OR i.key_id IS NULL OR i.key_id = $8);

-- name: entity_users
-- The users who have items of these agents, applications or threads, those that were active last, a bounded number.
SELECT user_id FROM memory_users
WHERE workspace_id = $1 AND user_no = ANY(ARRAY(
    SELECT user_no FROM memory_turns
    WHERE workspace_id = $1 AND (agent_id = ANY($2::text[]) OR app_id = ANY($3::text[])
        OR thread_no = ANY(ARRAY(
            SELECT thread_no FROM memory_threads WHERE workspace_id = $1 AND thread_id = ANY($4::text[]))))))
    AND ($6::text IS NULL OR key_id IS NULL OR key_id = $6)
ORDER BY updated_at DESC LIMIT $5;

-- name: items_by_id
-- Items with these ids, earlier versions included, that fulfil a predicate, as JSON.
SELECT coalesce(json_agg(row_to_json(i)), '[]') FROM memory_items i
WHERE i.workspace_id = $1 AND i.id = ANY($2::uuid[]) AND ($3::text IS NULL OR to_jsonb(i) @@ $3::text::jsonpath);

-- name: items_from
-- Items that were drawn from one of these, as JSON.
SELECT coalesce(json_agg(row_to_json(i)), '[]') FROM (
    SELECT * FROM memory_items i
    WHERE i.workspace_id = $1 AND i.sources && $2::uuid[] AND i.retired_at IS NULL
        AND (i.expires_at IS NULL OR i.expires_at > $4)
    ORDER BY i.seq LIMIT $3
) i;

-- name: versions
-- All versions of an item, oldest first, as JSON; one row for an item that never changed.
SELECT coalesce(json_agg(row_to_json(i) ORDER BY coalesce(i.version, 1)), '[]') FROM memory_items i
WHERE i.workspace_id = $1 AND (i.id = $2 OR i.root_id = $2);

-- name: list_threads
-- One user's threads before a place, newest first, as JSON.
SELECT coalesce(json_agg(row_to_json(h)), '[]') FROM (
    SELECT h.thread_no, h.thread_id, h.implicit, h.created_at, h.updated_at,
        (SELECT count(*) FROM memory_turns t WHERE t.thread_no = h.thread_no AND t.retired_at IS NULL
            AND (t.expires_at IS NULL OR t.expires_at > $6)) AS items
    FROM memory_threads h
    WHERE h.workspace_id = $1
        AND h.user_no = (SELECT user_no FROM memory_users WHERE workspace_id = $1 AND user_id = $2)
        AND ($3::bigint IS NULL OR h.thread_no < $3) AND ($4::text IS NULL OR h.thread_id = $4)
    ORDER BY h.thread_no DESC LIMIT $5
) h;

-- name: thread_items
-- The current items of one user's thread behind a place, in their order, as JSON.
SELECT coalesce(json_agg(row_to_json(i)), '[]') FROM (
    SELECT * FROM memory_items i
    WHERE i.workspace_id = $1 AND i.thread_no = $2 AND i.retired_at IS NULL AND i.seq > $3
        AND (i.expires_at IS NULL OR i.expires_at > $5)
    ORDER BY i.seq LIMIT $4
) i;

-- name: export_items
-- Everything of a user behind a place, earlier versions and expired items too, in the order it was stored, as JSON.
SELECT coalesce(json_agg(row_to_json(i)), '[]') FROM (
    SELECT * FROM memory_items i
    WHERE i.workspace_id = $1
        AND i.user_no = (SELECT user_no FROM memory_users WHERE workspace_id = $1 AND user_id = $2)
        AND i.seq > $3
    ORDER BY i.seq LIMIT $4
) i;

-- name: judgements_of
-- The judgements of these items, in the order in which they were made, as JSON.
SELECT coalesce(json_agg(json_build_object('item_id', item_id, 'feedback_type', type, 'value', value, 'comment', comment,
    'created_at', at) ORDER BY id), '[]')
FROM memory_feedback WHERE workspace_id = $1 AND item_id = ANY($2::uuid[]);

-- name: subject
-- What a user is called in the audit trail.
SELECT subject FROM memory_users WHERE workspace_id = $1 AND user_id = $2;

-- name: summaries
-- The summaries of one user's threads, as JSON.
SELECT coalesce(json_agg(row_to_json(s)), '[]') FROM (
    SELECT h.thread_no, h.thread_id, s.lines, s.told, s.updated_at FROM memory_summaries s
    JOIN memory_threads h USING (thread_no)
    WHERE s.workspace_id = $1 AND h.thread_no > $3
        AND h.user_no = (SELECT user_no FROM memory_users WHERE workspace_id = $1 AND user_id = $2)
    ORDER BY h.thread_no LIMIT $4
) s;

-- name: entities
-- Users, agents, applications and named threads that have items, of the users whom a key ($3; null: any) reaches, a bounded
-- number of each, as JSON.
SELECT coalesce(json_agg(row_to_json(e)), '[]') FROM (
    (SELECT 'user' AS type, u.user_id AS name, u.turns AS items,
        coalesce((SELECT min(h.created_at) FROM memory_threads h WHERE h.user_no = u.user_no), u.updated_at) AS created_at,
        u.updated_at
    FROM memory_users u WHERE u.workspace_id = $1 AND u.turns > 0 AND ($3::text IS NULL OR u.key_id IS NULL OR u.key_id = $3)
    ORDER BY u.user_no DESC LIMIT $2)
    UNION ALL
    (SELECT 'agent', t.agent_id, count(*), min(t.recorded_at), max(t.recorded_at)
    FROM memory_turns t WHERE t.workspace_id = $1 AND t.agent_id IS NOT NULL AND ($3::text IS NULL OR EXISTS (
        SELECT FROM memory_users u WHERE u.user_no = t.user_no AND (u.key_id IS NULL OR u.key_id = $3)))
    GROUP BY t.agent_id LIMIT $2)
    UNION ALL
    (SELECT 'app', t.app_id, count(*), min(t.recorded_at), max(t.recorded_at)
    FROM memory_turns t WHERE t.workspace_id = $1 AND t.app_id IS NOT NULL AND ($3::text IS NULL OR EXISTS (
        SELECT FROM memory_users u WHERE u.user_no = t.user_no AND (u.key_id IS NULL OR u.key_id = $3)))
    GROUP BY t.app_id LIMIT $2)
    UNION ALL
    (SELECT 'run', h.thread_id, 1, h.created_at, h.updated_at
    FROM memory_threads h WHERE h.workspace_id = $1 AND NOT h.implicit AND ($3::text IS NULL OR EXISTS (
        SELECT FROM memory_users u WHERE u.user_no = h.user_no AND (u.key_id IS NULL OR u.key_id = $3)))
    ORDER BY h.thread_no DESC LIMIT $2)
) e;

-- name: hold_user
-- Hold a user's row until the transaction ends: no turn of theirs is stored meanwhile.
SELECT user_no FROM memory_users WHERE workspace_id = $1 AND user_id = $2 FOR UPDATE;

-- name: newest_item
-- The place of a user's newest item.
SELECT coalesce(max(seq), 0) FROM memory_turns WHERE workspace_id = $1 AND user_no = $2;

-- name: doomed
-- A bounded number of a user's items up to a place that are to go, of one thread, agent or application, or all.
SELECT t.id, t.seq FROM memory_turns t
WHERE t.workspace_id = $1 AND t.user_no = $2 AND t.seq > $3 AND t.seq <= $4
    AND ($5::text IS NULL OR t.thread_no = (
        SELECT h.thread_no FROM memory_threads h WHERE h.workspace_id = $1 AND h.user_no = $2 AND h.thread_id = $5))
    AND ($6::text IS NULL OR t.agent_id = $6) AND ($7::text IS NULL OR t.app_id = $7)
ORDER BY t.seq LIMIT $8;

-- name: entity_owners
-- The users who have items of an agent, an application or a thread, in one order, a bounded number.
SELECT u.user_id FROM memory_users u
WHERE u.workspace_id = $1 AND u.user_no = ANY(ARRAY(
    SELECT t.user_no FROM memory_turns t
    WHERE t.workspace_id = $1 AND ($2::text IS NULL OR t.agent_id = $2) AND ($3::text IS NULL OR t.app_id = $3)
        AND ($4::text IS NULL OR t.thread_no = ANY(ARRAY(
            SELECT thread_no FROM memory_threads WHERE workspace_id = $1 AND thread_id = $4)))))
    AND ($6::text IS NULL OR u.key_id IS NULL OR u.key_id = $6)
ORDER BY u.user_id LIMIT $5;

-- name: mark_deleted
-- Note which turns were deleted one by one.
INSERT INTO memory_deleted (item_id, workspace_id, user_no, deleted_at)
SELECT id, workspace_id, user_no, $3 FROM memory_turns
WHERE workspace_id = $1 AND id = ANY($2::uuid[]) AND kind = 'message'
ON CONFLICT (item_id) DO UPDATE SET deleted_at = excluded.deleted_at;

-- name: delete_empty_threads
-- Delete a user's threads that hold nothing any more.
DELETE FROM memory_threads h
WHERE h.workspace_id = $1 AND h.user_no = $2 AND NOT EXISTS (SELECT FROM memory_turns t WHERE t.thread_no = h.thread_no);

-- name: delete_marks
-- Delete the notes of turns that a user deleted.
DELETE FROM memory_deleted WHERE workspace_id = $1 AND user_no = $2;

-- name: delete_user
-- Delete a user who has nothing any more.
DELETE FROM memory_users u
WHERE u.workspace_id = $1 AND u.user_no = $2 AND NOT EXISTS (SELECT FROM memory_turns t WHERE t.user_no = u.user_no);

-- name: delete_summaries
-- Delete the summaries of a user's threads.
DELETE FROM memory_summaries WHERE workspace_id = $1 AND thread_no IN (
    SELECT h.thread_no FROM memory_threads h JOIN memory_users u USING (user_no)
    WHERE u.workspace_id = $1 AND u.user_id = $2);

-- name: delete_operations
-- Delete the operations of a user.
DELETE FROM memory_operations WHERE workspace_id = $1 AND user_id = $2;

-- name: read_tombstones
-- Until the transaction ends, nobody is erased: what it stores of somebody is there to be deleted, or it knows.
SELECT pg_advisory_xact_lock_shared($1);

-- name: write_tombstones
-- Wait until every transaction is over that looked for tombstones before this one.
SELECT pg_advisory_xact_lock($1);

-- name: salt
-- The salt of a workspace's tombstones.
SELECT salt FROM memory_tombstones WHERE workspace_id = $1 ORDER BY erased_at LIMIT 1;

-- name: add_tombstone
-- Note an erasure that is known already; the latest of a user counts.
INSERT INTO memory_tombstones AS t (workspace_id, salt, digest, erased_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (workspace_id, digest) DO UPDATE SET erased_at = greatest(t.erased_at, excluded.erased_at);

-- name: bury
-- Note an erasure; a further one of the same user is always later, also when the clock was set back in between.
INSERT INTO memory_tombstones AS t (workspace_id, salt, digest, erased_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (workspace_id, digest)
    DO UPDATE SET erased_at = greatest(t.erased_at + interval '1 microsecond', excluded.erased_at)
RETURNING erased_at;

-- name: begin_erasure
-- Note that a user's erasure began, up to the newest of their items; one that was cut off goes on under its pseudonym.
INSERT INTO memory_erasures AS e
    (workspace_id, digest, user_id, pseudonym, actor, client, erased_at, last_seq, tried_at)
SELECT $1, $2, $3, $4, $5, $6, $7, coalesce(max(t.seq), 0), $8
FROM memory_turns t
WHERE t.workspace_id = $1 AND t.user_no = (SELECT user_no FROM memory_users WHERE workspace_id = $1 AND user_id = $9)
ON CONFLICT (workspace_id, digest) DO UPDATE SET actor = excluded.actor, client = excluded.client,
    erased_at = excluded.erased_at, last_seq = excluded.last_seq, tried_at = excluded.tried_at
RETURNING pseudonym, last_seq;

-- name: claim_erasure
-- The next erasure that nobody has gone on with since a moment; it is the caller's from now on.
-- cross-workspace: whichever process died, the erasures of all its workspaces are finished
UPDATE memory_erasures SET tried_at = $2 WHERE (workspace_id, digest) = (
    SELECT workspace_id, digest FROM memory_erasures WHERE tried_at < $1
    ORDER BY tried_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING workspace_id, digest, user_id, pseudonym, actor, client, erased_at, last_seq;

-- name: end_erasure
-- An erasure is through, unless it was begun anew meanwhile.
DELETE FROM memory_erasures WHERE workspace_id = $1 AND digest = $2 AND erased_at = $3;

-- name: erased
-- Which of these users were erased, and when.
SELECT g.place, t.erased_at
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS g (workspace_id, user_id, place)
JOIN (SELECT DISTINCT workspace_id, salt FROM memory_tombstones WHERE workspace_id = ANY($1::text[])) s
    ON s.workspace_id = g.workspace_id
JOIN memory_tombstones t
    ON t.workspace_id = g.workspace_id AND t.digest = sha256(s.salt || convert_to(g.user_id, 'UTF8'));

-- name: tombstones
-- All tombstones, oldest first.
-- cross-workspace: every machine keeps the tombstones of all workspaces beside its journals.
SELECT workspace_id, salt, digest, erased_at FROM memory_tombstones ORDER BY erased_at;

-- name: missing_tombstones
-- Which of these tombstones the table does not know, or only from an earlier erasure of the same user.
SELECT g.place
FROM unnest($1::text[], $2::bytea[], $3::timestamptz[]) WITH ORDINALITY AS g (workspace_id, digest, erased_at, place)
WHERE NOT EXISTS (
    SELECT FROM memory_tombstones t
    WHERE t.workspace_id = g.workspace_id AND t.digest = g.digest AND t.erased_at >= g.erased_at);

-- name: known_users
-- Every user that a workspace's memory knows.
SELECT user_id FROM memory_users WHERE workspace_id = $1
UNION
SELECT user_id FROM memory_operations WHERE workspace_id = $1;

-- name: purge_tombstones
-- Delete a bounded number of old tombstones.
-- cross-workspace: retention holds for the whole service
DELETE FROM memory_tombstones WHERE (workspace_id, digest) IN (
    SELECT workspace_id, digest FROM memory_tombstones WHERE erased_at < $1 ORDER BY erased_at LIMIT $2);

-- name: purge_marks
-- Delete a bounded number of old notes of deleted turns.
-- cross-workspace: retention holds for the whole service
DELETE FROM memory_deleted WHERE item_id IN (
    SELECT item_id FROM memory_deleted WHERE deleted_at < $1 ORDER BY deleted_at LIMIT $2);
