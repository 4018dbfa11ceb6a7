-- name: every_level
-- The levels that are set and have not ended.
SELECT logger, level, until, set_by, set_at FROM log_levels WHERE until IS NULL OR until > $1 ORDER BY logger;

-- name: set_level
-- A logger's level from now on.
INSERT INTO log_levels (logger, level, until, set_by, set_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (logger) DO UPDATE SET level = excluded.level, until = excluded.until, set_by = excluded.set_by,
    set_at = excluded.set_at;

-- name: reset_level
-- A logger has the level of the settings again.
DELETE FROM log_levels WHERE logger = $1;

-- name: purge_levels
-- Levels that have ended.
DELETE FROM log_levels WHERE until <= $1;

-- name: count_levels
-- How many loggers have a level of their own.
SELECT count(*) FROM log_levels;
