-- name: add_span
-- Seconds that a component was in a state on a day, from where the day was observed up to; $3 to $4 is the span.
INSERT INTO status_days AS d (day, component, operational_s, degraded_s, partial_s, major_s, maintenance_s, until)
VALUES (
    $1, $2,
    CASE WHEN $5 = 'operational' THEN extract(epoch FROM $4::timestamptz - $3::timestamptz) ELSE 0 END,
    CASE WHEN $5 = 'degraded_performance' THEN extract(epoch FROM $4::timestamptz - $3::timestamptz) ELSE 0 END,
    CASE WHEN $5 = 'partial_outage' THEN extract(epoch FROM $4::timestamptz - $3::timestamptz) ELSE 0 END,
    CASE WHEN $5 = 'major_outage' THEN extract(epoch FROM $4::timestamptz - $3::timestamptz) ELSE 0 END,
    CASE WHEN $5 = 'under_maintenance' THEN extract(epoch FROM $4::timestamptz - $3::timestamptz) ELSE 0 END,
    $4
)
ON CONFLICT (day, component) DO UPDATE SET
    operational_s = d.operational_s + CASE WHEN $5 = 'operational'
        THEN greatest(0, extract(epoch FROM $4::timestamptz - greatest($3::timestamptz, d.until))) ELSE 0 END,
    degraded_s = d.degraded_s + CASE WHEN $5 = 'degraded_performance'
        THEN greatest(0, extract(epoch FROM $4::timestamptz - greatest($3::timestamptz, d.until))) ELSE 0 END,
    partial_s = d.partial_s + CASE WHEN $5 = 'partial_outage'
        THEN greatest(0, extract(epoch FROM $4::timestamptz - greatest($3::timestamptz, d.until))) ELSE 0 END,
    major_s = d.major_s + CASE WHEN $5 = 'major_outage'
        THEN greatest(0, extract(epoch FROM $4::timestamptz - greatest($3::timestamptz, d.until))) ELSE 0 END,
    maintenance_s = d.maintenance_s + CASE WHEN $5 = 'under_maintenance'
        THEN greatest(0, extract(epoch FROM $4::timestamptz - greatest($3::timestamptz, d.until))) ELSE 0 END,
    until = greatest(d.until, $4::timestamptz);

-- name: counted
-- Until when each component was observed, of the days since a date.
SELECT component, max(until) AS until FROM status_days WHERE day >= $1 GROUP BY component;

-- name: days
-- The days since a date, in order.
SELECT day, component, operational_s, degraded_s, partial_s, major_s, maintenance_s FROM status_days
WHERE day >= $1 ORDER BY day, component;

-- name: purge_days
-- Days before a date.
DELETE FROM status_days WHERE (day, component) IN (SELECT day, component FROM status_days WHERE day < $1 LIMIT $2);
