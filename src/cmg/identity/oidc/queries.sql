-- name: insert_login
-- Remember a login on its way, unless too many are.
INSERT INTO oidc_logins (hash, nonce, verifier, after, expires_at)
SELECT $1, $2, $3, $4, $5 WHERE (SELECT count(*) FROM oidc_logins) < $6::bigint RETURNING hash;

-- name: take_login
-- Use a login up; no row when there is none or it took too long.
DELETE FROM oidc_logins WHERE hash = $1 AND expires_at > $2 RETURNING nonce, verifier, after;

-- name: drop_late_logins
-- Forget the logins that took too long.
DELETE FROM oidc_logins WHERE expires_at <= $1;
