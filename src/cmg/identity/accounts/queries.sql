-- name: account
-- One account; without a workspace, whichever it is in.
SELECT * FROM accounts WHERE id = $1 AND ($2::text IS NULL OR workspace_id = $2);

-- name: lock_account
-- The same, held until the transaction ends, so that changes of one account come one after the other.
SELECT * FROM accounts WHERE id = $1 AND ($2::text IS NULL OR workspace_id = $2) FOR UPDATE;

-- name: account_by_email
-- The account that signs in with an address.
-- cross-workspace: whoever signs in only says their address.
SELECT * FROM accounts WHERE email = $1;

-- name: account_by_subject
-- The account that an issuer vouches for under a name.
-- cross-workspace: the issuer does not know workspaces.
SELECT * FROM accounts WHERE issuer = $1 AND subject = $2;

-- name: accounts_page
-- A page of accounts, newest first; without a workspace, of all of them.
SELECT * FROM accounts
WHERE ($1::text IS NULL OR workspace_id = $1) AND (created_at, id) < ($2::timestamptz, $3)
ORDER BY created_at DESC, id DESC LIMIT $4;

-- name: any_account
-- Whether there is any account at all.
-- cross-workspace: the first administrator belongs to the installation.
SELECT EXISTS (SELECT 1 FROM accounts);

-- name: other_administrators
-- How many others administer everything and can sign in; their rows are held, so that the last two cannot both go.
-- cross-workspace: administrators of everything are not of one workspace.
SELECT count(*) FROM (
    SELECT id FROM accounts WHERE role = 'admin' AND status = 'active' AND id <> $1 ORDER BY id FOR UPDATE
) AS others;

-- name: lock_first_account
-- Several services that start at once on one database make the first account one after the other.
SELECT pg_advisory_xact_lock(7083200004);

-- name: insert_account
-- Add an account; says whether its address and its name at its issuer were free.
INSERT INTO accounts (
    id, workspace_id, email, name, role, status, password_hash, must_change, issuer, subject, created_at, updated_at
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)
ON CONFLICT DO NOTHING RETURNING id;

-- name: update_account
-- Write what an administrator may change of an account.
UPDATE accounts SET name = $2, role = $3, status = $4, workspace_id = $5, updated_at = $6 WHERE id = $1;

-- name: set_password
-- Give an account a password; whoever was invited is active from then on.
-- cross-workspace: the row is held by the one who changes it.
UPDATE accounts SET password_hash = $2, must_change = $3, updated_at = $4,
    status = CASE status WHEN 'invited' THEN 'active' ELSE status END
WHERE id = $1;

-- name: rehash
-- Keep a password's hash by newer parameters, unless the password was changed meanwhile.
-- cross-workspace: the password itself was just shown.
UPDATE accounts SET password_hash = $3 WHERE id = $1 AND password_hash = $2;

-- name: set_login
-- Note that an account signed in.
-- cross-workspace: its row was just read by its owner's proof.
UPDATE accounts SET last_login_at = $2 WHERE id = $1;

-- name: set_totp
-- Give an account a second factor, or take it away.
-- cross-workspace: the row is held by its owner.
UPDATE accounts SET totp_secret = $2, totp_on = $3, updated_at = $4 WHERE id = $1;

-- name: totp_secrets
-- Sealed secrets of devices, a part at a time.
-- cross-workspace: the service seals them anew at its start.
SELECT id, totp_secret FROM accounts WHERE totp_secret IS NOT NULL AND id > $1 ORDER BY id LIMIT $2;

-- name: reseal_totp
-- Keep the same secret sealed anew, unless it was changed meanwhile.
-- cross-workspace: the service seals them anew at its start.
UPDATE accounts SET totp_secret = $3 WHERE id = $1 AND totp_secret = $2;

-- name: use_totp_step
-- Use up a code's period; no row when this or a later one was used before.
-- cross-workspace: the account's own code was just shown.
UPDATE accounts SET totp_step = $2 WHERE id = $1 AND totp_step < $2 RETURNING id;

-- name: delete_account
-- Delete an account with its tokens, codes and sessions.
DELETE FROM accounts WHERE id = $1 AND workspace_id = $2;

-- name: insert_token
-- Keep the hash of a token that was handed out.
INSERT INTO account_tokens (hash, account_id, purpose, expires_at) VALUES ($1, $2, $3, $4);

-- name: drop_tokens
-- Forget the tokens of an account for a purpose: only the newest link works.
DELETE FROM account_tokens WHERE account_id = $1 AND purpose = ANY($2::text[]);

-- name: token
-- Whose token it is, if it is still good.
SELECT account_id FROM account_tokens WHERE hash = $1 AND purpose = $2 AND expires_at > $3;

-- name: use_token
-- Use a token up; no row when there is none or it expired.
DELETE FROM account_tokens WHERE hash = $1 AND purpose = $2 AND expires_at > $3 RETURNING account_id;

-- name: purge_tokens
-- Forget a batch of tokens that have expired.
DELETE FROM account_tokens WHERE hash IN (SELECT hash FROM account_tokens WHERE expires_at <= $1 LIMIT $2);

-- name: insert_codes
-- Keep the hashes of recovery codes.
INSERT INTO account_recovery_codes (account_id, hash) SELECT $1, unnest($2::bytea[]);

-- name: drop_codes
-- Forget every recovery code of an account.
DELETE FROM account_recovery_codes WHERE account_id = $1;

-- name: use_code
-- Use a recovery code up; no row when there is none.
DELETE FROM account_recovery_codes WHERE account_id = $1 AND hash = $2 RETURNING account_id;

-- name: count_codes
-- How many recovery codes an account has left.
SELECT count(*) FROM account_recovery_codes WHERE account_id = $1;

-- name: insert_request
-- Note what somebody asked for by an address, if an active account has it and asked less than five times lately.
-- cross-workspace: whoever asks only says an address.
INSERT INTO account_requests (id, account_id, kind, at, client)
SELECT $1, id, 'reset', $3, $4 FROM accounts
WHERE email = $2 AND status = 'active' AND subject IS NULL
  AND (SELECT count(*) FROM account_requests AS r WHERE r.account_id = accounts.id AND r.at > $5) < 5
RETURNING account_id;

-- name: requests_page
-- A page of requests with their accounts, newest first; without a workspace, of all of them.
SELECT r.id, r.account_id, r.kind, r.at, r.client, a.email, a.workspace_id
FROM account_requests AS r JOIN accounts AS a ON a.id = r.account_id
WHERE ($1::text IS NULL OR a.workspace_id = $1) AND (r.at, r.id) < ($2::timestamptz, $3)
ORDER BY r.at DESC, r.id DESC LIMIT $4;

-- name: purge_requests
-- Forget a batch of requests from before a moment.
DELETE FROM account_requests WHERE id IN (SELECT id FROM account_requests WHERE at < $1 LIMIT $2);
