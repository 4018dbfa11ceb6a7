-- name: profile
-- A user's number of passages, names, model and key, as one JSON value.
SELECT profile FROM memory_profiles WHERE workspace_id = $1 AND user_id = $2;

-- name: corpus
-- Everything that ranking needs of one user's passages, a column each as a binary array, in the order of thread and place.
-- Arrays of numbers come in as text and go out as bytes: a tenth of the price of rows. $7 is when the question is asked,
-- $8 as of when, if not then; from $9 on the filters of a search; $18 to fetch what fits alone. The newest 10,000 at most.
-- Facts are nobody's neighbours: each is its own thread. Those that were drawn from turns are left to their turns, unless
-- their kind is asked for.
WITH owner AS MATERIALIZED (
    SELECT user_no FROM memory_users WHERE workspace_id = $1 AND user_id = $2
), asked AS MATERIALIZED (
    SELECT term, place - 1 AS place FROM unnest($3::text::bigint[]) WITH ORDINALITY AS given (term, place)
), chosen AS MATERIALIZED (
    SELECT * FROM (
        SELECT t.seq, t.created_at, t.length, t.role, t.name, t.tokens, t.salience, o.user_no,
            CASE WHEN t.kind IN ('message', 'document', 'diff', 'log') THEN t.thread_no ELSE -t.seq END AS thread,
            t.content LIKE '%?%' AND right(t.content, 240) ~ '\?\s*(\[[^]]*\]\s*)?$' AS asks,
            coalesce(($10::jsonb IS NULL OR $10 ? t.kind)
                AND (NOT $9 OR (
                    ($11::text IS NULL OR t.thread_no IN (
                        SELECT thread_no FROM memory_threads WHERE user_no = o.user_no AND thread_id = $11))
                    AND ($12::text IS NULL OR t.agent_id = $12) AND ($13::text IS NULL OR t.app_id = $13)
                    AND ($14::text IS NULL OR t.role = $14) AND ($15::timestamptz IS NULL OR t.created_at >= $15)
                    AND ($16::timestamptz IS NULL OR t.created_at < $16) AND ($17::jsonb IS NULL OR t.metadata @> $17))
                ), false) AS fits
        FROM owner o JOIN memory_turns t ON t.user_no = o.user_no
        WHERE t.workspace_id = $1
            AND ($10::jsonb IS NOT NULL OR t.kind IN ('message', 'document', 'diff', 'log', 'memory') OR EXISTS (
                SELECT FROM memory_facts f WHERE f.item_id = t.id AND f.workspace_id = $1 AND f.origin = 'caller'))
            AND (NOT $18 OR $11::text IS NULL OR t.thread_no = (
                SELECT thread_no FROM memory_threads WHERE user_no = (SELECT user_no FROM owner) AND thread_id = $11))
            AND (t.expires_at IS NULL OR t.expires_at > $7)
            AND CASE WHEN $8::timestamptz IS NULL THEN t.retired_at IS NULL AND (t.valid_to IS NULL OR t.valid_to > $7)
                ELSE t.recorded_at <= $8 AND (t.retired_at IS NULL OR t.retired_at > $8) END
    ) judged
    WHERE NOT $18 OR fits
    ORDER BY seq DESC LIMIT 10000
), distances AS MATERIALIZED (
    SELECT seq, turn <#> $5::text::halfvec AS turn, coalesce("window", turn) <#> $5::text::halfvec AS around
    FROM memory_vectors
    WHERE $5::text IS NOT NULL AND user_no = (SELECT user_no FROM owner) AND model_no = $4
        AND seq = ANY(ARRAY(SELECT seq FROM chosen))
), passages AS MATERIALIZED (
    SELECT c.*, v.turn, v.around
    FROM chosen c FULL JOIN distances v ON v.seq = c.seq -- FULL is never done by comparing each row with each
    ORDER BY thread, c.seq
), postings AS MATERIALIZED (
    SELECT t.seq, a.place, cardinality(array_positions(t.terms, a.term)) AS count
    FROM memory_turns t JOIN asked a ON a.term = ANY(t.terms)
    WHERE t.terms && (SELECT array_agg(term) FROM asked) AND t.workspace_id = $1
        AND t.user_no + 0 = (SELECT user_no FROM owner)
)
SELECT array_send(array_agg(seq)), array_send(array_agg(thread)),
    array_send(array_agg(created_at)), array_send(array_agg(length)),
    array_send(array_agg(role = 'user')), array_send(array_agg(CASE WHEN name IS NULL THEN -1 WHEN name = $6 THEN 0 ELSE 1 END)),
    array_send(array_agg(asks)), array_send(array_agg(salience)), array_send(array_agg(tokens)),
    array_send(array_agg(coalesce(-turn, 'NaN'))), array_send(array_agg(coalesce(-around, 'NaN'))),
    (SELECT array_send(array_agg(seq ORDER BY seq, place)) FROM postings),
    (SELECT array_send(array_agg(place ORDER BY seq, place)) FROM postings),
    (SELECT array_send(array_agg(count ORDER BY seq, place)) FROM postings), array_send(array_agg(fits)),
    (SELECT profile FROM memory_profiles WHERE workspace_id = $1 AND user_id = $2)
FROM passages;

-- name: sample
-- Passages of a user that stand for all of them, drawn by chance that is the same each time, among the newest 100,000: a
-- column each as in `corpus`, names as a JSON list, all their terms behind each other and how many each passage has.
WITH drawn AS MATERIALIZED (
    SELECT t.seq, t.created_at, t.length, t.role, t.name, t.tokens, t.salience, t.terms,
        CASE WHEN t.kind IN ('message', 'document', 'diff', 'log') THEN t.thread_no ELSE -t.seq END AS thread,
        t.content LIKE '%?%' AND right(t.content, 240) ~ '\?\s*(\[[^]]*\]\s*)?$' AS asks
    FROM (
        SELECT user_no, seq FROM (
            SELECT t.user_no, t.seq FROM memory_users u JOIN memory_turns t ON t.user_no = u.user_no
            WHERE u.workspace_id = $1 AND u.user_id = $2 ORDER BY t.seq DESC LIMIT 100000
        ) newest ORDER BY hashint8(seq) LIMIT $3
    ) chosen JOIN memory_turns t ON t.user_no = chosen.user_no AND t.seq = chosen.seq
    WHERE t.workspace_id = $1 AND t.retired_at IS NULL
    ORDER BY t.seq
)
SELECT array_send(array_agg(seq)), array_send(array_agg(thread)),
    array_send(array_agg(created_at)), array_send(array_agg(length)),
    array_send(array_agg(role = 'user')), array_send(array_agg(asks)),
    array_send(array_agg(salience)), array_send(array_agg(tokens)),
    coalesce(json_agg(name), '[]')::text, array_send(array_agg(cardinality(terms))),
    (SELECT array_send(array_agg(t.term ORDER BY d.seq)) FROM drawn d CROSS JOIN LATERAL unnest(d.terms) AS t (term))
FROM drawn;

-- name: candidates
-- As `corpus` without filters, of those passages alone that may rank high, with their neighbours; and the distances of the
-- sample ($10). $8 is how many of each list at most; $9: vectors are looked up in the index of neighbours, which holds
-- those of all large users, not compared one by one. $11 is what each asked word is worth; $12 which of them lead to
-- candidates. A row is found again by its place in the table (`ctid`), which does not change within a statement.
WITH owner AS MATERIALIZED (
    SELECT user_no FROM memory_users WHERE workspace_id = $1 AND user_id = $2
), question AS MATERIALIZED (
    SELECT $5::text::halfvec AS vector -- read once: a kept plan would read it again for each row
), asked AS MATERIALIZED (
    SELECT term, place - 1 AS place, worth
    FROM ROWS FROM (unnest($3::text::bigint[]), unnest($11::text::float8[])) WITH ORDINALITY AS w (term, worth, place)
), by_words AS MATERIALIZED (
    SELECT f.at, f.seq, f.thread_no FROM (
        SELECT t.ctid AS at, t.seq, t.thread_no, t.terms FROM memory_turns t
        WHERE t.terms && (SELECT $12::text::bigint[]) AND t.workspace_id = $1
            AND t.user_no + 0 = (SELECT user_no FROM owner)
        LIMIT 6000
    ) f CROSS JOIN LATERAL (
        SELECT sum(a.worth) AS worth FROM asked a WHERE a.term = ANY(f.terms)
    ) r
    ORDER BY r.worth DESC, f.seq DESC LIMIT $8
), by_vector AS MATERIALIZED (
    (SELECT seq FROM memory_vectors
    WHERE $5::text IS NOT NULL AND $9 AND indexed AND model_no = $4 AND user_no + 0 = (SELECT user_no FROM owner)
    ORDER BY turn::halfvec(384) <=> $5::text::halfvec(384) LIMIT $8)
    UNION ALL
    (SELECT seq FROM memory_vectors
    WHERE $5::text IS NOT NULL AND NOT $9 AND model_no = $4 AND user_no = (SELECT user_no FROM owner)
    ORDER BY turn <#> (SELECT vector FROM question) LIMIT $8)
), found AS MATERIALIZED (
    SELECT at, seq, thread_no FROM by_words
    UNION
    SELECT t.ctid, t.seq, t.thread_no FROM by_vector v
    JOIN memory_turns t ON t.user_no = (SELECT user_no FROM owner) AND t.seq = v.seq
), wanted AS MATERIALIZED (
    SELECT at FROM found
    UNION
    SELECT n.at FROM found f CROSS JOIN LATERAL (
        (SELECT ctid AS at FROM memory_turns WHERE thread_no = f.thread_no AND seq > f.seq
            AND kind IN ('message', 'document', 'diff', 'log') AND retired_at IS NULL ORDER BY seq LIMIT 1)
        UNION ALL
        (SELECT ctid FROM memory_turns WHERE thread_no = f.thread_no AND seq < f.seq
            AND kind IN ('message', 'document', 'diff', 'log') AND retired_at IS NULL ORDER BY seq DESC LIMIT 1)
    ) n
), passages AS MATERIALIZED (
    SELECT t.seq, t.created_at, t.length, t.role, t.name, t.tokens, t.salience, t.terms, v.turn, v.around,
        CASE WHEN t.kind IN ('message', 'document', 'diff', 'log') THEN t.thread_no ELSE -t.seq END AS thread,
        t.content LIKE '%?%' AND right(t.content, 240) ~ '\?\s*(\[[^]]*\]\s*)?$' AS asks
    FROM wanted w JOIN memory_turns t ON t.ctid = w.at
    LEFT JOIN LATERAL (
        SELECT turn <#> (SELECT vector FROM question) AS turn,
            coalesce("window", turn) <#> (SELECT vector FROM question) AS around
        FROM memory_vectors
        WHERE $5::text IS NOT NULL AND user_no = t.user_no AND model_no = $4 AND seq = t.seq
    ) v ON true
    WHERE t.workspace_id = $1 AND t.user_no = (SELECT user_no FROM owner) AND t.retired_at IS NULL
        AND (t.valid_to IS NULL OR t.valid_to > $7) AND (t.expires_at IS NULL OR t.expires_at > $7)
        AND (t.kind IN ('message', 'document', 'diff', 'log', 'memory') OR EXISTS (
            SELECT FROM memory_facts f WHERE f.item_id = t.id AND f.workspace_id = $1 AND f.origin = 'caller'))
    ORDER BY thread, t.seq
), postings AS MATERIALIZED (
    SELECT p.seq, a.place, cardinality(array_positions(p.terms, a.term)) AS count
    FROM passages p JOIN asked a ON a.term = ANY(p.terms)
), drawn AS MATERIALIZED (
    SELECT s.place, v.turn, v.around FROM unnest($10::text::bigint[]) WITH ORDINALITY AS s (seq, place)
    LEFT JOIN LATERAL (
        SELECT turn <#> (SELECT vector FROM question) AS turn,
            coalesce("window", turn) <#> (SELECT vector FROM question) AS around
        FROM memory_vectors
        WHERE user_no = (SELECT user_no FROM owner) AND model_no = $4 AND seq = s.seq
    ) v ON true
    WHERE $5::text IS NOT NULL
)
SELECT array_send(array_agg(seq)), array_send(array_agg(thread)),
    array_send(array_agg(created_at)), array_send(array_agg(length)),
    array_send(array_agg(role = 'user')), array_send(array_agg(CASE WHEN name IS NULL THEN -1 WHEN name = $6 THEN 0 ELSE 1 END)),
    array_send(array_agg(asks)), array_send(array_agg(salience)), array_send(array_agg(tokens)),
    array_send(array_agg(coalesce(-turn, 'NaN'))), array_send(array_agg(coalesce(-around, 'NaN'))),
    (SELECT array_send(array_agg(seq)) FROM postings),
    (SELECT array_send(array_agg(place)) FROM postings),
    (SELECT array_send(array_agg(count)) FROM postings),
    (SELECT array_send(array_agg(coalesce(-turn, 'NaN') ORDER BY place)) FROM drawn),
    (SELECT array_send(array_agg(coalesce(-around, 'NaN') ORDER BY place)) FROM drawn),
    (SELECT profile FROM memory_profiles WHERE workspace_id = $1 AND user_id = $2)
FROM passages;

-- name: look_far
-- How the index of neighbours is searched in this transaction: on until enough of the user's own are found.
SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '200', true);

-- name: passages
-- The given passages ($3) of one user, in the given order, with what is given out of them, as one JSON value; of a user
-- whom another key than the one that asks ($4, if it matters) stored, none; nor what has ended by now ($5, if it matters).
SELECT coalesce(json_agg(json_build_array(t.id, 0, t.tokens, t.note_tokens, t.kind, t.role, t.name, h.thread_id, h.implicit,
    t.message_id, t.seq, extract(epoch FROM t.created_at), t.content) ORDER BY given.place), '[]')
FROM memory_users u
CROSS JOIN unnest($3::text::bigint[]) WITH ORDINALITY AS given (seq, place)
JOIN memory_turns t ON t.user_no = u.user_no AND t.seq = given.seq
JOIN memory_threads h ON h.thread_no = t.thread_no
WHERE u.workspace_id = $1 AND u.user_id = $2
    AND ($4::text IS NULL OR u.key_id IS NULL OR u.key_id = $4)
    AND ($5::timestamptz IS NULL OR (t.retired_at IS NULL
        AND (t.valid_to IS NULL OR t.valid_to > $5) AND (t.expires_at IS NULL OR t.expires_at > $5)));
