-- name: profile
-- A user's number of passages, names, model and key, as one JSON value.
SELECT profile FROM memory_profiles WHERE workspace_id = $1 AND user_id = $2;

-- name: corpus
-- Everything that ranking needs of one user's passages, a column each as a binary array, in the order of thread and place.
-- Arrays of numbers come in as text and go out as bytes: a tenth of the price of rows. $5 is when the question is asked,
-- $6 as of when, if not then; from $7 on the filters of a search; $16 to fetch what fits alone. The newest 10,000 at most.
-- $17 are the words by which a user says what holds in general.
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
            t.role = 'user' AND t.terms && (SELECT $17::text::bigint[]) AS standing,
            coalesce(($8::jsonb IS NULL OR $8 ? t.kind)
                AND (NOT $7 OR (
                    ($9::text IS NULL OR t.thread_no IN (
                        SELECT thread_no FROM memory_threads WHERE user_no = o.user_no AND thread_id = $9))
                    AND ($10::text IS NULL OR t.agent_id = $10) AND ($11::text IS NULL OR t.app_id = $11)
                    AND ($12::text IS NULL OR t.role = $12) AND ($13::timestamptz IS NULL OR t.created_at >= $13)
                    AND ($14::timestamptz IS NULL OR t.created_at < $14) AND ($15::jsonb IS NULL OR t.metadata @> $15))
                ), false) AS fits
        FROM owner o JOIN memory_turns t ON t.user_no = o.user_no
        WHERE t.workspace_id = $1
            AND ($8::jsonb IS NOT NULL OR t.kind IN ('message', 'document', 'diff', 'log', 'memory') OR EXISTS (
                SELECT FROM memory_facts f WHERE f.item_id = t.id AND f.workspace_id = $1 AND f.origin = 'caller'))
            AND (NOT $16 OR $9::text IS NULL OR t.thread_no = (
                SELECT thread_no FROM memory_threads WHERE user_no = (SELECT user_no FROM owner) AND thread_id = $9))
            AND (t.expires_at IS NULL OR t.expires_at > $5)
            AND CASE WHEN $6::timestamptz IS NULL THEN t.retired_at IS NULL AND (t.valid_to IS NULL OR t.valid_to > $5)
                WHEN t.retired_at IS NULL THEN t.recorded_at <= $6 AND (t.valid_to IS NULL OR t.valid_to > $6)
                ELSE t.recorded_at <= $6 AND t.retired_at > $6 END -- until when it was true, it was told at its end alone
    ) judged
    WHERE NOT $16 OR fits
    ORDER BY seq DESC LIMIT 10000
), postings AS MATERIALIZED (
    SELECT t.seq, a.place, cardinality(array_positions(t.terms, a.term)) AS count
    FROM memory_turns t JOIN asked a ON a.term = ANY(t.terms)
    WHERE t.terms && (SELECT array_agg(term) FROM asked) AND t.workspace_id = $1
        AND t.user_no + 0 = (SELECT user_no FROM owner)
)
SELECT array_send(array_agg(seq)), array_send(array_agg(thread)),
    array_send(array_agg(created_at)), array_send(array_agg(length)),
    array_send(array_agg(role = 'user')), array_send(array_agg(CASE WHEN name IS NULL THEN -1 WHEN name = $4 THEN 0 ELSE 1 END)),
    array_send(array_agg(asks)), array_send(array_agg(standing)), array_send(array_agg(salience)), array_send(array_agg(tokens)),
    (SELECT array_send(array_agg(seq ORDER BY seq, place)) FROM postings),
    (SELECT array_send(array_agg(place ORDER BY seq, place)) FROM postings),
    (SELECT array_send(array_agg(count ORDER BY seq, place)) FROM postings), array_send(array_agg(fits)),
    (SELECT profile FROM memory_profiles WHERE workspace_id = $1 AND user_id = $2)
FROM (SELECT * FROM chosen ORDER BY thread, seq) passages;

-- name: distances
-- What a vector ($4) has in common with a user's passages, and with each and its neighbours: of all, or of those given
-- ($5). In the order of their numbers.
SELECT array_send(array_agg(seq)), array_send(array_agg(-turn)), array_send(array_agg(-around)) FROM (
    SELECT v.seq, v.turn <#> (SELECT $4::text::halfvec) AS turn, -- read once, not for each row
        coalesce(v."window", v.turn) <#> (SELECT $4::text::halfvec) AS around
    FROM memory_users u JOIN memory_vectors v ON v.user_no = u.user_no
    WHERE u.workspace_id = $1 AND u.user_id = $2 AND v.model_no = $3
        AND ($5::text IS NULL OR v.seq = ANY($5::text::bigint[]))
    ORDER BY v.seq
) compared;

-- name: sample
-- Passages of a user that stand for all of them, drawn by chance that is the same each time, among the newest 100,000: a
-- column each as in `corpus`, names as a JSON list, all their terms behind each other and how many each passage has. None of a
-- user who has no more than $4. Beside them the user's profile.
WITH drawn AS MATERIALIZED (
    SELECT t.seq, t.created_at, t.length, t.role, t.name, t.tokens, t.salience, t.terms,
        CASE WHEN t.kind IN ('message', 'document', 'diff', 'log') THEN t.thread_no ELSE -t.seq END AS thread,
        t.content LIKE '%?%' AND right(t.content, 240) ~ '\?\s*(\[[^]]*\]\s*)?$' AS asks
    FROM (
        SELECT user_no, seq FROM (
            SELECT user_no, seq FROM memory_turns WHERE user_no = (
                SELECT user_no FROM memory_users WHERE workspace_id = $1 AND user_id = $2 AND turns > $4)
            ORDER BY seq DESC LIMIT 100000 -- as the index has them: joined, all would be sorted first
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
    (SELECT array_send(array_agg(t.term ORDER BY d.seq)) FROM drawn d CROSS JOIN LATERAL unnest(d.terms) AS t (term)),
    (SELECT profile FROM memory_profiles WHERE workspace_id = $1 AND user_id = $2)
FROM drawn;

-- name: by_words
-- The $5 passages of a user that hold most of these words ($3), the rarer a word the more it counts, of which at most $4
-- passages are looked at; $6 of the places are for what the person said.
WITH owner AS MATERIALIZED (
    SELECT user_no, turns FROM memory_users WHERE workspace_id = $1 AND user_id = $2
), matched AS MATERIALIZED (
    SELECT t.seq, bool_or(t.own) AS own
    FROM unnest($3::text::bigint[]) AS a (term)
    CROSS JOIN LATERAL (
        SELECT seq, own, ln(1 + (SELECT turns FROM owner) / (1 + count(*) OVER ())::float8) AS worth FROM (
            SELECT seq, role = 'user' AS own FROM memory_turns
            WHERE terms @> ARRAY[a.term] AND workspace_id = $1 AND user_no + 0 = (SELECT user_no FROM owner)
            LIMIT $4::bigint
        ) held
    ) t
    GROUP BY t.seq ORDER BY sum(t.worth) DESC, t.seq DESC -- and in this order it is read
)
SELECT array_send(array_agg(seq)) FROM (
    (SELECT seq FROM matched LIMIT $5::bigint - $6::bigint) UNION (SELECT seq FROM matched WHERE own LIMIT $6::bigint)
) best;

-- name: by_neighbours
-- The $4 passages of a user nearest to a vector ($3), the nearest first, by the index of neighbours, which holds those of all
-- large users. It is searched on until enough of the user's are found.
SELECT array_send(array_agg(near.seq)) FROM (
    SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true) AS onward, set_config('hnsw.ef_search', '200', true) AS far
    OFFSET 0
) search CROSS JOIN LATERAL (
    SELECT seq FROM memory_vectors
    WHERE search.onward IS NOT NULL AND search.far IS NOT NULL AND indexed AND model_no = 0
        AND user_no + 0 = (SELECT user_no FROM memory_users WHERE workspace_id = $1 AND user_id = $2)
    ORDER BY turn::halfvec(384) <=> (SELECT $3::text::halfvec(384)) LIMIT $4 -- read once, not for each row found
) near;

-- name: index_of_neighbours
-- Whether all of a user's vectors are in an index of neighbours ($3), and how many of everybody's it holds: as its last
-- vacuum counted. No row where there is no such index, or not yet.
SELECT u.vectors_indexed = 2, c.reltuples::float8
FROM memory_users u CROSS JOIN pg_class c JOIN pg_index i ON i.indexrelid = c.oid AND i.indisvalid
WHERE u.workspace_id = $1 AND u.user_id = $2 AND c.oid = to_regclass($3);

-- name: candidates
-- As `corpus` without filters, of those passages alone that may rank high, with their neighbours; and the distances of the
-- sample ($10). $8 is how many of each list at most, $16 of them for what the person said; $9: vectors are compared one by
-- one. $11 are the words that lead to candidates and $12 as $4 of `by_words`. Both lists may have been asked for before: $13
-- is what has the words, $15 what is nearest. $14 is as $17 of `corpus`. With $17 the passages also come as in `passages`,
-- to the key $18 alone if it matters. A row is found again by its place in the table (`ctid`), which does not change
-- within a statement.
WITH owner AS MATERIALIZED (
    SELECT user_no, key_id, turns FROM memory_users WHERE workspace_id = $1 AND user_id = $2
), question AS MATERIALIZED (
    SELECT $5::text::halfvec AS vector -- read once: a kept plan would read it again for each row
), asked AS MATERIALIZED (
    SELECT term, place - 1 AS place FROM unnest($3::text::bigint[]) WITH ORDINALITY AS w (term, place)
), by_words AS MATERIALIZED (
    SELECT t.at, t.seq, t.thread_no, t.own
    FROM unnest($11::text::bigint[]) AS a (term)
    CROSS JOIN LATERAL (
        SELECT at, seq, thread_no, own, ln(1 + (SELECT turns FROM owner) / (1 + count(*) OVER ())::float8) AS worth FROM (
            SELECT ctid AS at, seq, thread_no, role = 'user' AS own FROM memory_turns
            WHERE terms @> ARRAY[a.term] AND workspace_id = $1 AND user_no + 0 = (SELECT user_no FROM owner)
            LIMIT $12::bigint
        ) held
    ) t
    GROUP BY t.at, t.seq, t.thread_no, t.own ORDER BY sum(t.worth) DESC, t.seq DESC -- and in this order it is read
), nearest AS MATERIALIZED (
    SELECT $15::text::bigint[] || ARRAY(
        SELECT seq FROM memory_vectors
        WHERE $5::text IS NOT NULL AND $9 AND model_no = $4 AND user_no = (SELECT user_no FROM owner)
        ORDER BY turn <#> (SELECT vector FROM question) LIMIT $8::bigint * CASE WHEN $16::bigint > 0 THEN 2 ELSE 1 END
    ) AS seqs
), by_vector AS MATERIALIZED (
    SELECT ctid AS at, seq, thread_no, role = 'user' AS own
    FROM memory_turns WHERE user_no = (SELECT user_no FROM owner) AND seq = ANY((SELECT seqs FROM nearest)::bigint[])
    ORDER BY array_position((SELECT seqs FROM nearest), seq)
), found AS MATERIALIZED (
    (SELECT at, seq, thread_no FROM by_words LIMIT $8::bigint - $16::bigint)
    UNION
    (SELECT at, seq, thread_no FROM by_words WHERE own LIMIT $16::bigint)
    UNION
    (SELECT at, seq, thread_no FROM by_vector LIMIT $8::bigint - $16::bigint)
    UNION
    (SELECT at, seq, thread_no FROM by_vector WHERE own LIMIT $16::bigint)
    UNION
    SELECT ctid, seq, thread_no FROM memory_turns
    WHERE user_no = (SELECT user_no FROM owner) AND seq = ANY(ARRAY(SELECT unnest($13::text::bigint[])))
), wanted AS MATERIALIZED (
    SELECT at, seq FROM found
    UNION
    SELECT n.at, n.seq FROM found f CROSS JOIN LATERAL (
        (SELECT ctid AS at, seq FROM memory_turns WHERE thread_no = f.thread_no AND seq > f.seq
            AND kind IN ('message', 'document', 'diff', 'log') AND retired_at IS NULL ORDER BY seq LIMIT 1)
        UNION ALL
        (SELECT ctid, seq FROM memory_turns WHERE thread_no = f.thread_no AND seq < f.seq
            AND kind IN ('message', 'document', 'diff', 'log') AND retired_at IS NULL ORDER BY seq DESC LIMIT 1)
    ) n
), passages AS MATERIALIZED (
    SELECT t.seq, t.created_at, t.length, t.role, t.name, t.tokens, t.salience, t.terms,
        CASE WHEN t.kind IN ('message', 'document', 'diff', 'log') THEN t.thread_no ELSE -t.seq END AS thread,
        t.content LIKE '%?%' AND right(t.content, 240) ~ '\?\s*(\[[^]]*\]\s*)?$' AS asks,
        t.role = 'user' AND t.terms && (SELECT $14::text::bigint[]) AS standing,
        t.id, t.note_tokens, t.kind, t.thread_no, t.message_id, CASE WHEN $17 THEN t.content END AS content
    FROM wanted w JOIN memory_turns t ON t.ctid = w.at -- and by no index: a plan of a small table would take all of a user's
    WHERE t.workspace_id = $1 AND t.user_no + 0 = (SELECT user_no FROM owner) AND t.retired_at IS NULL
        AND (t.valid_to IS NULL OR t.valid_to > $7) AND (t.expires_at IS NULL OR t.expires_at > $7)
        AND (t.kind IN ('message', 'document', 'diff', 'log', 'memory') OR EXISTS (
            SELECT FROM memory_facts f WHERE f.item_id = t.id AND f.workspace_id = $1 AND f.origin = 'caller'))
    ORDER BY thread, t.seq
), postings AS MATERIALIZED (
    SELECT p.seq, a.place, cardinality(array_positions(p.terms, a.term)) AS count
    FROM passages p JOIN asked a ON a.term = ANY(p.terms)
), distances AS MATERIALIZED (
    SELECT seq, turn <#> (SELECT vector FROM question) AS turn,
        coalesce("window", turn) <#> (SELECT vector FROM question) AS around
    FROM memory_vectors
    WHERE $5::text IS NOT NULL AND user_no = (SELECT user_no FROM owner) AND model_no = $4
        AND seq = ANY(ARRAY(SELECT seq FROM wanted UNION ALL SELECT unnest($10::text::bigint[])))
)
SELECT array_send(array_agg(seq)), array_send(array_agg(thread)),
    array_send(array_agg(created_at)), array_send(array_agg(length)),
    array_send(array_agg(role = 'user')), array_send(array_agg(CASE WHEN name IS NULL THEN -1 WHEN name = $6 THEN 0 ELSE 1 END)),
    array_send(array_agg(asks)), array_send(array_agg(standing)), array_send(array_agg(salience)), array_send(array_agg(tokens)),
    (SELECT array_send(array_agg(seq)) FROM postings),
    (SELECT array_send(array_agg(place)) FROM postings),
    (SELECT array_send(array_agg(count)) FROM postings),
    (SELECT array_send(array_agg(seq)) FROM distances),
    (SELECT array_send(array_agg(-turn)) FROM distances),
    (SELECT array_send(array_agg(-around)) FROM distances),
    (SELECT json_agg(json_build_array(p.id, 0, p.tokens, p.note_tokens, p.kind, p.role, p.name, h.thread_id, h.implicit,
        p.message_id, p.seq, extract(epoch FROM p.created_at), p.content))
    FROM passages p JOIN memory_threads h ON h.thread_no = p.thread_no
    WHERE $17 AND EXISTS (SELECT FROM owner WHERE $18::text IS NULL OR key_id IS NULL OR key_id = $18)),
    NULL::uuid[], NULL::timestamptz, -- where something is coming: `become`
    (SELECT profile FROM memory_profiles WHERE workspace_id = $1 AND user_id = $2)
FROM passages;

-- name: passages
-- The given passages ($3) of one user, in the given order, with what is given out of them, as one JSON value; of a user
-- whom another key than the one that asks ($4, if it matters) stored, none; nor what has ended by now ($5, if it matters).
WITH given AS MATERIALIZED (
    SELECT $3::text::bigint[] AS seqs
)
SELECT coalesce(json_agg(json_build_array(t.id, 0, t.tokens, t.note_tokens, t.kind, t.role, t.name, h.thread_id, h.implicit,
    t.message_id, t.seq, extract(epoch FROM t.created_at), t.content) ORDER BY array_position((SELECT seqs FROM given), t.seq)), '[]')
FROM memory_users u
JOIN memory_turns t ON t.user_no = u.user_no AND t.seq = ANY((SELECT seqs FROM given)::bigint[])
JOIN memory_threads h ON h.thread_no = t.thread_no
WHERE u.workspace_id = $1 AND u.user_id = $2
    AND ($4::text IS NULL OR u.key_id IS NULL OR u.key_id = $4)
    AND ($5::timestamptz IS NULL OR (t.retired_at IS NULL
        AND (t.valid_to IS NULL OR t.valid_to > $5) AND (t.expires_at IS NULL OR t.expires_at > $5)));

-- name: become
-- Which of these passages ($3), on their way a moment ago, are stored by now or were deleted, and when their user was erased.
SELECT
    (SELECT array_agg(id) FROM (
        SELECT id FROM memory_turns WHERE id = ANY($3::uuid[]) AND workspace_id = $1
        UNION ALL SELECT item_id FROM memory_deleted WHERE item_id = ANY($3::uuid[]) AND workspace_id = $1) known),
    (SELECT max(t.erased_at) FROM (SELECT DISTINCT salt FROM memory_tombstones WHERE workspace_id = $1) s
    JOIN memory_tombstones t ON t.workspace_id = $1 AND t.digest = sha256(s.salt || convert_to($2, 'UTF8')));
