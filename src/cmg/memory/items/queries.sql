-- name: hold_user
-- The number of a known user, whose row is held until the transaction ends; every writer of a user's memory does so.
SELECT user_no FROM memory_users WHERE workspace_id = $1 AND user_id = $2 FOR UPDATE;

-- name: hold_user_numbers
-- Hold the rows of users known by number, in the order in which every writer holds them.
-- cross-workspace: retention holds for the whole service
SELECT user_no, workspace_id FROM memory_users WHERE user_no = ANY($1::bigint[])
ORDER BY workspace_id, user_id FOR UPDATE;

-- name: item_owner
-- Whose an item is: the user's id and number.
SELECT u.user_id, u.user_no FROM memory_turns t JOIN memory_users u USING (user_no)
WHERE t.id = $1 AND t.workspace_id = $2 AND u.workspace_id = $2;

-- name: said_passages
-- The contents of passages that somebody said and that are not earlier versions: what facts may be drawn from.
SELECT id, user_no, content FROM memory_turns
WHERE id = ANY($1::uuid[]) AND workspace_id = ANY($2::text[]) AND kind IN ('message', 'document', 'diff', 'log')
    AND retired_at IS NULL;

-- name: matching_items
-- A user's items, earlier versions too, that say the same ($3) or are about the same subject and relation; not those that
-- have expired by $6 and only wait for their deletion.
SELECT f.item_id, f.root_id, f.version, f.digest, f.subject, f.relation, f.value, f.sources, f.importance, f.mentions,
    f.mentioned_at, f.uses, f.used_at, f.feedback, f.origin, t.kind, t.retired_at, t.valid_to,
    coalesce(t.valid_from, t.created_at) AS since
FROM memory_facts f JOIN memory_turns t ON t.id = f.item_id
WHERE f.user_no = $1 AND f.workspace_id = $2 AND t.workspace_id = $2
    AND t.kind NOT IN ('message', 'document', 'diff', 'log')
    AND (f.digest = $3 OR (f.subject = $4 AND f.relation = $5))
    AND NOT EXISTS (SELECT FROM memory_turns r WHERE r.id = f.root_id AND r.workspace_id = $2 AND r.expires_at <= $6)
ORDER BY since, f.version;

-- name: add_item
-- Store one item or one version: a row of memory_turns ($1) and one of memory_facts ($2), both as JSON; count the user up.
WITH added AS (
    INSERT INTO memory_turns (id, user_no, thread_no, created_at, recorded_at, digest, part, length, tokens, note_tokens,
        workspace_id, message_id, kind, role, name, agent_id, app_id, terms, metadata, content, valid_from, valid_to,
        retired_at, expires_at, salience)
    SELECT id, user_no, thread_no, created_at, recorded_at, digest, part, length, tokens, note_tokens,
        workspace_id, message_id, kind, role, name, agent_id, app_id, terms, metadata, content, valid_from, valid_to,
        retired_at, expires_at, salience
    FROM jsonb_populate_record(NULL::memory_turns, $1::jsonb) WHERE workspace_id = $3
    RETURNING user_no, length
), fact AS (
    INSERT INTO memory_facts SELECT * FROM jsonb_populate_record(NULL::memory_facts, $2::jsonb) WHERE workspace_id = $3
)
UPDATE memory_users u SET turns = u.turns + 1, length = u.length + added.length
FROM added WHERE u.user_no = added.user_no AND u.workspace_id = $3;

-- name: merge_item
-- The same was said again: count it, add its sources (100 at most), and let it be true since the earlier of both times.
-- What a caller says of it now counts: fields of metadata ($8), how long it is true ($9) and kept ($10); null says nothing.
WITH counted AS (
    UPDATE memory_facts f SET mentions = f.mentions + 1, mentioned_at = greatest(f.mentioned_at, $4),
        importance = greatest(f.importance, $5),
        sources = (f.sources || ARRAY(SELECT unnest($3::uuid[]) EXCEPT SELECT unnest(f.sources)))[1:100]
    WHERE f.item_id = $1 AND f.workspace_id = $2
)
UPDATE memory_turns SET salience = $6,
    valid_from = CASE WHEN $7 < coalesce(valid_from, created_at) THEN $7 ELSE valid_from END,
    metadata = CASE WHEN $8::jsonb IS NULL THEN metadata ELSE coalesce(metadata, '{}') || $8 END,
    valid_to = coalesce($9, valid_to), expires_at = coalesce($10, expires_at)
WHERE id = $1 AND workspace_id = $2;

-- name: begin_versions
-- Give a turn that has never been edited nor judged its row of versions.
INSERT INTO memory_facts (item_id, root_id, version, user_no, workspace_id, origin, digest, mentioned_at)
SELECT id, id, 1, user_no, workspace_id, 'said', $3, created_at FROM memory_turns
WHERE id = $1 AND workspace_id = $2
ON CONFLICT (item_id) DO NOTHING;

-- name: renew_item
-- Archive the current version under an id of its own ($3), retired at $4 and true until $5, and change the current row
-- (JSON: $6 its turn's columns, $7 its fact's); the user is counted on.
WITH old AS MATERIALIZED (
    SELECT * FROM memory_turns WHERE id = $1 AND workspace_id = $2
), archived AS (
    INSERT INTO memory_turns (id, user_no, thread_no, created_at, recorded_at, digest, part, length, tokens, note_tokens,
        workspace_id, message_id, kind, role, name, agent_id, app_id, terms, metadata, content, valid_from, valid_to,
        retired_at, expires_at, salience)
    SELECT $3, user_no, thread_no, created_at, recorded_at, digest, part, length, tokens, note_tokens,
        workspace_id, message_id, kind, role, name, agent_id, app_id, terms, metadata, content, valid_from,
        least(valid_to, $5), $4, expires_at, salience
    FROM old
), archived_fact AS (
    INSERT INTO memory_facts (item_id, root_id, version, user_no, workspace_id, origin, digest, subject, relation, value,
        quote, sources, importance, mentions, mentioned_at, uses, used_at, feedback)
    SELECT $3, root_id, version, user_no, workspace_id, origin, digest, subject, relation, value,
        quote, sources, importance, mentions, mentioned_at, uses, used_at, feedback
    FROM memory_facts WHERE item_id = $1 AND workspace_id = $2
), renewed_fact AS (
    UPDATE memory_facts f SET version = f.version + 1,
        (origin, digest, value, quote, sources, importance, mentions, mentioned_at, uses, used_at, feedback) = (
            SELECT n.origin, n.digest, n.value, n.quote, n.sources, n.importance, n.mentions, n.mentioned_at, n.uses,
                n.used_at, n.feedback
            FROM jsonb_populate_record(f, $7::jsonb) n)
    WHERE f.item_id = $1 AND f.workspace_id = $2
    RETURNING f.version
), renewed AS (
    UPDATE memory_turns t SET (thread_no, created_at, recorded_at, length, tokens, note_tokens, role, name, agent_id, app_id,
        terms, metadata, content, valid_from, valid_to, expires_at, salience) = (
            SELECT n.thread_no, n.created_at, n.recorded_at, n.length, n.tokens, n.note_tokens, n.role, n.name, n.agent_id,
                n.app_id, n.terms, n.metadata, n.content, n.valid_from, n.valid_to, n.expires_at, n.salience
            FROM jsonb_populate_record(t, $6::jsonb) n)
    WHERE t.id = $1 AND t.workspace_id = $2
    RETURNING t.user_no, t.length
), counted AS (
    UPDATE memory_users u SET turns = u.turns + 1, length = u.length + renewed.length
    FROM renewed WHERE u.user_no = renewed.user_no AND u.workspace_id = $2
)
SELECT version FROM renewed_fact;

-- name: add_late_version
-- A word about the past makes room for its version: the current one counts on, and what was true before ends at $3.
WITH counted AS (
    UPDATE memory_facts SET version = version + 1 WHERE item_id = $1 AND workspace_id = $2
)
UPDATE memory_turns t SET valid_to = $3
FROM memory_facts f
WHERE f.root_id = $1 AND f.workspace_id = $2 AND t.id = f.item_id AND t.workspace_id = $2 AND t.retired_at IS NOT NULL
    AND coalesce(t.valid_from, t.created_at) < $3 AND t.valid_to > $3;

-- name: item_versions
-- All versions of the item that this id, of whichever version, belongs to, in the order in which they were true.
WITH root AS (
    SELECT coalesce((SELECT root_id FROM memory_facts WHERE item_id = $1 AND workspace_id = $2), $1) AS id
)
SELECT t.id, (SELECT id FROM root) AS root_id, coalesce(f.version, 1) AS version, t.kind, t.role, t.name, h.thread_id,
    h.implicit, t.agent_id, t.app_id, t.message_id, t.content, t.tokens, t.metadata, t.created_at, t.recorded_at,
    t.valid_from, t.valid_to, t.retired_at, t.expires_at, t.salience, coalesce(f.origin, 'said') AS origin,
    coalesce(f.digest, t.digest) AS digest, f.subject, f.relation, f.value, f.quote, coalesce(f.sources, '{}') AS sources,
    coalesce(f.importance, 0.5) AS importance, coalesce(f.mentions, 1) AS mentions,
    coalesce(f.mentioned_at, t.created_at) AS mentioned_at, coalesce(f.uses, 0) AS uses, f.used_at,
    coalesce(f.feedback, 0) AS feedback
FROM memory_turns t
JOIN memory_users u USING (user_no)
JOIN memory_threads h USING (thread_no)
LEFT JOIN memory_facts f ON f.item_id = t.id
WHERE t.workspace_id = $2 AND u.user_id = $3
    AND t.id IN (SELECT id FROM root UNION ALL
        SELECT item_id FROM memory_facts WHERE root_id = (SELECT id FROM root) AND workspace_id = $2)
ORDER BY t.retired_at IS NULL, coalesce(t.valid_from, t.created_at), version;

-- name: read_again
-- A turn that was read for facts has other words now: its thread is read again from there on, and summed up anew.
WITH edited AS (
    SELECT thread_no, seq FROM memory_turns WHERE id = $1 AND workspace_id = $2 AND kind = 'message'
), unsaid AS (
    DELETE FROM memory_summaries WHERE workspace_id = $2 AND thread_no IN (SELECT thread_no FROM edited)
), reset AS (
    UPDATE memory_threads h SET extracted_seq = edited.seq - 1
    FROM edited WHERE h.thread_no = edited.thread_no AND h.workspace_id = $2 AND h.extracted_seq >= edited.seq
    RETURNING h.thread_no
)
INSERT INTO memory_extractions AS e (thread_no, workspace_id, first_at, due_at)
SELECT thread_no, $2, $3, $3 FROM reset
ON CONFLICT (thread_no) DO UPDATE SET wanted = e.wanted + 1;

-- name: facts_of_source
-- The facts, earlier versions too, that were drawn from a passage, with their quotes.
SELECT item_id, quote FROM memory_facts WHERE sources @> ARRAY[$1::uuid] AND workspace_id = $2;

-- name: doomed_items
-- What goes with these passages and items of a user: all their versions, and the facts with no other source.
WITH versions AS (
    SELECT g.id FROM unnest($3::uuid[]) AS g (id)
    UNION
    SELECT other.item_id FROM memory_facts f JOIN memory_facts other ON other.root_id = f.root_id
    WHERE f.item_id = ANY($3::uuid[]) AND f.user_no = $2 AND f.workspace_id = $1
)
SELECT id FROM versions
UNION
SELECT item_id FROM memory_facts
WHERE sources && $3::uuid[] AND sources <@ $3::uuid[] AND origin IN ('rules', 'model') AND user_no = $2 AND workspace_id = $1;

-- name: orphaned_facts
-- Which of these facts ($3) have no other source than these passages ($4), and nobody's word but theirs.
SELECT item_id FROM memory_facts
WHERE item_id = ANY($3::uuid[]) AND sources <@ $4::uuid[] AND origin IN ('rules', 'model')
    AND user_no = $2 AND workspace_id = $1;

-- name: drop_sources
-- Take passages ($3) out of the sources of a user's facts; with $4, of these facts only.
UPDATE memory_facts SET sources = ARRAY(SELECT unnest(sources) EXCEPT SELECT unnest($3::uuid[]))
WHERE sources && $3::uuid[] AND user_no = $2 AND workspace_id = $1 AND ($4::uuid[] IS NULL OR item_id = ANY($4));

-- name: delete_items
-- Delete rows of one user with all that hangs on them, the summaries of their threads too, and count the user down. How many
-- rows that makes, and of them passages (kinds: $4) and facts; an item and its earlier versions are one.
WITH gone AS (
    DELETE FROM memory_turns WHERE id = ANY($3::uuid[]) AND user_no = $2 AND workspace_id = $1
    RETURNING id, thread_no, length, kind = ANY($4::text[]) AS said, retired_at IS NOT NULL AS earlier
), unsaid AS (
    DELETE FROM memory_summaries WHERE workspace_id = $1 AND thread_no IN (SELECT thread_no FROM gone)
), unused AS (
    DELETE FROM memory_turn_uses WHERE workspace_id = $1 AND item_id IN (SELECT id FROM gone)
), sums AS (
    SELECT count(*) AS rows, coalesce(sum(length), 0) AS length,
        count(*) FILTER (WHERE said AND NOT earlier) AS turns, count(*) FILTER (WHERE NOT said AND NOT earlier) AS facts
    FROM gone
), counted AS (
    UPDATE memory_users u SET turns = u.turns - s.rows, length = u.length - s.length
    FROM sums s WHERE u.user_no = $2 AND u.workspace_id = $1
)
SELECT rows, turns, facts FROM sums;

-- name: widowed_versions
-- Versions that are left without a current one among the roots that were deleted ($3), the newest first.
SELECT item_id, root_id FROM memory_facts
WHERE root_id = ANY($3::uuid[]) AND user_no = $2 AND workspace_id = $1
    AND NOT EXISTS (SELECT FROM memory_turns t WHERE t.id = memory_facts.root_id AND t.workspace_id = $1)
ORDER BY root_id, version DESC;

-- name: promote_version
-- An earlier version ($3) is the current one again, since what came after it ($4) is deleted.
WITH moved AS (
    UPDATE memory_facts SET root_id = $3 WHERE root_id = $4 AND user_no = $2 AND workspace_id = $1
)
UPDATE memory_turns SET retired_at = NULL, valid_to = NULL WHERE id = $3 AND user_no = $2 AND workspace_id = $1;

-- name: old_versions
-- The versions of an item before a number: those beyond what its history keeps.
SELECT item_id FROM memory_facts WHERE root_id = $1 AND workspace_id = $2 AND version <= $3;

-- name: judge_item
-- Add a judgement ($3, in JSON of memory_feedback) and its weight; returns what salience is made of.
WITH judged AS (
    UPDATE memory_facts SET feedback = least(10, greatest(-10, feedback + $3))
    WHERE item_id = $1 AND workspace_id = $2
    RETURNING item_id, importance, mentions, uses, feedback, greatest(mentioned_at, used_at) AS touched_at
), noted AS (
    INSERT INTO memory_feedback SELECT * FROM jsonb_populate_record(NULL::memory_feedback, $4::jsonb)
    WHERE workspace_id = $2 AND item_id = (SELECT item_id FROM judged)
)
SELECT importance, mentions, uses, feedback, touched_at FROM judged;

-- name: trim_feedback
-- Keep the newest judgements ($3) of an item.
DELETE FROM memory_feedback WHERE item_id = $1 AND workspace_id = $2 AND id NOT IN (
    SELECT id FROM memory_feedback WHERE item_id = $1 AND workspace_id = $2 ORDER BY id DESC LIMIT $3);

-- name: item_feedback
-- The judgements of an item that are kept, newest first.
SELECT type, value, comment, at FROM memory_feedback WHERE item_id = $1 AND workspace_id = $2 ORDER BY id DESC;

-- name: set_salience
-- The salience of one item; with $4, it is not true any more since then.
UPDATE memory_turns SET salience = $3, valid_to = coalesce(valid_to, $4) WHERE id = $1 AND workspace_id = $2;

-- name: count_item_uses
-- Items with a row in memory_facts were of use: count them, leaving out those that somebody else changes right now.
UPDATE memory_facts f SET uses = f.uses + free.uses, used_at = greatest(f.used_at, $4)
FROM (
    SELECT m.item_id, g.uses FROM unnest($1::uuid[], $2::text[], $3::int[]) AS g (item_id, workspace_id, uses)
    JOIN memory_facts m ON m.item_id = g.item_id AND m.workspace_id = g.workspace_id
    FOR UPDATE OF m SKIP LOCKED
) free
WHERE f.item_id = free.item_id AND f.workspace_id = ANY($2::text[]);

-- name: count_turn_uses
-- Turns were of use: count them where they have no row in memory_facts, which counts for itself.
INSERT INTO memory_turn_uses AS t (item_id, workspace_id, uses, used_at)
SELECT g.item_id, g.workspace_id, g.uses, $4
FROM unnest($1::uuid[], $2::text[], $3::int[]) AS g (item_id, workspace_id, uses)
JOIN memory_turns m ON m.id = g.item_id AND m.workspace_id = g.workspace_id
WHERE NOT EXISTS (SELECT FROM memory_facts f WHERE f.item_id = g.item_id AND f.workspace_id = g.workspace_id)
ORDER BY g.item_id
ON CONFLICT (item_id) DO UPDATE SET uses = t.uses + excluded.uses, used_at = greatest(t.used_at, excluded.used_at);

-- name: salience_batch
-- The next items behind an id ($1), in the order of ids, with what their salience is made of.
-- cross-workspace: the nightly job goes through all of them, each by its own half-life
SELECT f.item_id, f.workspace_id, f.importance, f.mentions, f.uses, f.feedback,
    greatest(f.mentioned_at, f.used_at) AS touched_at, t.salience
FROM memory_facts f JOIN memory_turns t ON t.id = f.item_id
WHERE f.item_id > $1 ORDER BY f.item_id LIMIT $2;

-- name: age_items
-- Write new saliences, leaving out items that somebody changes right now.
-- cross-workspace: ageing holds for the whole service
UPDATE memory_turns t SET salience = free.salience
FROM (
    SELECT m.id, g.salience FROM unnest($1::uuid[], $2::real[]) AS g (id, salience) JOIN memory_turns m ON m.id = g.id
    FOR UPDATE OF m SKIP LOCKED
) free
WHERE t.id = free.id;

-- name: expired_items
-- Items whose time is over, a bounded number, by user; that of an earlier version says nothing, it was changed since.
-- cross-workspace: every workspace's items expire at the time they carry
SELECT user_no, array_agg(id) AS ids FROM (
    SELECT user_no, id FROM memory_turns WHERE expires_at <= $1 AND retired_at IS NULL
    ORDER BY expires_at LIMIT $2) over GROUP BY user_no;

-- name: forgotten_items
-- Items of a workspace that nobody has mentioned or used since a moment, a bounded number, by user.
SELECT user_no, array_agg(item_id) AS ids FROM (
    SELECT f.user_no, f.item_id FROM memory_facts f
    WHERE f.workspace_id = $1 AND f.mentioned_at < $2 AND (f.used_at IS NULL OR f.used_at < $2) AND f.origin <> 'said'
        AND f.item_id = f.root_id AND EXISTS (SELECT FROM memory_turns t WHERE t.id = f.item_id
            AND t.kind NOT IN ('message', 'document', 'diff', 'log'))
    LIMIT $3) old GROUP BY user_no;

-- name: old_turns
-- What a user said before a moment, by when it was stored, a bounded number.
SELECT id FROM memory_turns
WHERE workspace_id = $1 AND user_no = $2 AND recorded_at < $3 AND kind IN ('message', 'document', 'diff', 'log') LIMIT $4;
