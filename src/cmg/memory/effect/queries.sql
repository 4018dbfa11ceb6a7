-- name: told_items
-- What items and turns say, as far as they are still there and of these workspaces.
SELECT id, workspace_id, content, kind FROM memory_turns WHERE id = ANY($1::uuid[]) AND workspace_id = ANY($2::text[]);

-- name: add_effect
-- Add what calls made of their notes to the days of their workspaces.
INSERT INTO memory_effect AS e (workspace_id, day, notes, notes_judged, notes_used, used, ignored, unjudged, shortened,
    left_out)
SELECT workspace_id, day, notes, notes_judged, notes_used, used, ignored, unjudged, shortened, left_out
FROM unnest($1::text[], $2::date[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bigint[], $10::bigint[]) AS n (workspace_id, day, notes, notes_judged, notes_used, used, ignored, unjudged,
    shortened, left_out)
ORDER BY workspace_id, day
ON CONFLICT (workspace_id, day) DO UPDATE SET notes = e.notes + excluded.notes,
    notes_judged = e.notes_judged + excluded.notes_judged,
    notes_used = e.notes_used + excluded.notes_used, used = e.used + excluded.used, ignored = e.ignored + excluded.ignored,
    unjudged = e.unjudged + excluded.unjudged, shortened = e.shortened + excluded.shortened,
    left_out = e.left_out + excluded.left_out;

-- name: effect_sums
-- What became of the notes of workspaces ($1; null: of all) from a day to a day.
SELECT workspace_id, sum(notes)::bigint AS notes, sum(notes_judged)::bigint AS notes_judged, sum(notes_used)::bigint AS notes_used, sum(used)::bigint AS used,
    sum(ignored)::bigint AS ignored, sum(unjudged)::bigint AS unjudged, sum(shortened)::bigint AS shortened,
    sum(left_out)::bigint AS left_out
FROM memory_effect WHERE ($1::text IS NULL OR workspace_id = $1) AND day >= $2 AND day <= $3
GROUP BY workspace_id;

-- name: feedback_sums
-- The judgements of a period, by workspace ($1; null: all) and type.
SELECT workspace_id, type, count(*) AS judged FROM memory_feedback
WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 GROUP BY workspace_id, type;

-- name: purge_effect
-- Forget the days before one.
-- cross-workspace: retention holds for the whole service
DELETE FROM memory_effect WHERE day < $1;
