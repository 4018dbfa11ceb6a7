-- name: begin_job
-- Count a start of this attempt of a job; more than a few without an end mean that the job kills its process.
INSERT INTO job_starts (job_id, attempt, starts, began_at) VALUES ($1, $2, 1, $3)
ON CONFLICT (job_id) DO UPDATE SET
    starts   = CASE WHEN job_starts.attempt = excluded.attempt THEN job_starts.starts + 1 ELSE 1 END,
    attempt  = excluded.attempt,
    began_at = excluded.began_at
RETURNING starts;

-- name: end_job
-- The attempt came to an end, good or bad.
DELETE FROM job_starts WHERE job_id = $1;

-- name: drop_other_schedules
-- Forget schedule rows of a job whose cron line has changed since.
DELETE FROM pgqueuer_schedules WHERE entrypoint = $1 AND expression <> $2;

-- name: job_depths
-- How many jobs wait, run, or are held.
SELECT status::text AS status, count(*) AS jobs FROM pgqueuer GROUP BY status;

-- name: job_backlog
-- Jobs that could run now and since when the oldest of them could, jobs that run, and jobs that are held.
SELECT
    count(*) FILTER (WHERE status = 'queued' AND execute_after <= $1) AS due,
    min(execute_after) FILTER (WHERE status = 'queued' AND execute_after <= $1) AS due_since,
    count(*) FILTER (WHERE status = 'picked') AS running,
    count(*) FILTER (WHERE status = 'failed') AS held
FROM pgqueuer;

-- name: running_jobs
-- Jobs that were begun and did not end, the oldest first.
SELECT pgqueuer.entrypoint, job_starts.began_at
FROM job_starts JOIN pgqueuer ON pgqueuer.id = job_starts.job_id
WHERE pgqueuer.status = 'picked' ORDER BY job_starts.began_at LIMIT $1;

-- name: job_waits
-- Whether a job waits or runs.
SELECT EXISTS (SELECT FROM pgqueuer WHERE id = $1 AND status IN ('queued', 'picked'));

-- name: held_jobs
-- Jobs that failed for good, newest first.
SELECT id, entrypoint, attempts, created, updated FROM pgqueuer
WHERE status = 'failed' ORDER BY id DESC LIMIT $1;

-- name: purge_job_log
-- Old lines of the queue's own log, a bounded number at a time.
DELETE FROM pgqueuer_log WHERE id IN (SELECT id FROM pgqueuer_log WHERE created < $1 ORDER BY created LIMIT $2);

-- name: purge_job_statistics
-- Old counts per second, a bounded number at a time.
DELETE FROM pgqueuer_statistics WHERE id IN (SELECT id FROM pgqueuer_statistics WHERE created < $1 LIMIT $2);

-- name: purge_held_jobs
-- Held jobs that nobody has looked at for long, a bounded number at a time.
DELETE FROM pgqueuer WHERE id IN (SELECT id FROM pgqueuer WHERE status = 'failed' AND updated < $1 LIMIT $2);

-- name: purge_job_starts
-- Counts of starts whose job has gone, a bounded number at a time.
DELETE FROM job_starts WHERE job_id IN (
    SELECT job_id FROM job_starts
    WHERE began_at < $1 AND NOT EXISTS (SELECT FROM pgqueuer WHERE pgqueuer.id = job_starts.job_id) LIMIT $2
);

-- name: list_jobs
-- A page of the jobs that wait, run or are held, newest first, of one state and one name, or with NULL of all.
SELECT id, entrypoint, status::text AS status, attempts, created, updated, execute_after FROM pgqueuer
WHERE ($1::text IS NULL OR status = $1::pgqueuer_status) AND ($2::text IS NULL OR entrypoint = $2)
    AND ($3::bigint IS NULL OR id < $3)
ORDER BY id DESC LIMIT $4;

-- name: job_schedules
-- What runs by the clock, and when it did last and will next.
SELECT entrypoint, expression, last_run, next_run FROM pgqueuer_schedules ORDER BY entrypoint LIMIT $1;

-- name: retry_job
-- A held job waits again, with all of its attempts, unless another of its key waits or runs.
UPDATE pgqueuer AS p SET status = 'queued', attempts = 0, execute_after = $2, updated = $2, queue_manager_id = NULL
WHERE p.id = $1 AND p.status = 'failed' AND NOT EXISTS (
    SELECT FROM pgqueuer AS o WHERE o.dedupe_key = p.dedupe_key AND o.status IN ('queued', 'picked')
)
RETURNING p.entrypoint;

-- name: drop_job
-- A held job goes.
DELETE FROM pgqueuer WHERE id = $1 AND status = 'failed' RETURNING entrypoint;
