-- A user as a question meets them, as one JSON value: the number of passages, the names under which the newest of them
-- were said, the model by whose vectors they are searched, and the key that stored them. JSON, since the driver would ask
-- the server for the codec of an array on every new connection.
CREATE VIEW memory_profiles AS
SELECT u.workspace_id, u.user_id, json_build_array(u.turns, (
    SELECT coalesce(json_agg(DISTINCT name), '[]') FROM (
        SELECT name FROM memory_turns WHERE user_no = u.user_no ORDER BY seq DESC LIMIT 64
    ) newest WHERE name IS NOT NULL), u.vector_model_no, u.key_id)::text AS profile
FROM memory_users u;
