-- Accounts of people, what signs them in, and their sessions.
-- Accounts are kept until they are deleted; tokens, codes and sessions go with them. Ended sessions are kept for 30 days,
-- tokens until they expire, attempts for a day, requests for `retention.events_days` (Sessions.purge).

CREATE TABLE accounts (
    id            text PRIMARY KEY,
    workspace_id  text NOT NULL REFERENCES workspaces (id),
    email         text NOT NULL,                  -- in small letters
    name          text NOT NULL,
    role          text NOT NULL CHECK (role IN ('admin', 'owner', 'member', 'read_only')),
    status        text NOT NULL CHECK (status IN ('invited', 'active', 'disabled')),
    password_hash text,                           -- argon2id; NULL: none was chosen yet, or the person signs in elsewhere
    must_change   boolean NOT NULL,               -- the password was made by somebody else
    totp_secret   text,                           -- base32; NULL: no second factor
    totp_on       boolean NOT NULL DEFAULT false, -- a first code was shown
    totp_step     bigint NOT NULL DEFAULT 0,      -- no code of this or an earlier period of 30 s works any more
    issuer        text,                           -- who vouches for the person, and under which name
    subject       text,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    last_login_at timestamptz
);

CREATE UNIQUE INDEX accounts_email ON accounts (email);
CREATE UNIQUE INDEX accounts_subject ON accounts (issuer, subject) WHERE subject IS NOT NULL;
CREATE INDEX accounts_by_creation ON accounts (workspace_id, created_at DESC, id DESC);
CREATE INDEX accounts_newest ON accounts (created_at DESC, id DESC);

CREATE TABLE account_tokens (
    hash       bytea PRIMARY KEY,                 -- SHA-256 of the token
    account_id text NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    purpose    text NOT NULL CHECK (purpose IN ('invite', 'reset')),
    expires_at timestamptz NOT NULL
);

CREATE INDEX account_tokens_by_account ON account_tokens (account_id);
CREATE INDEX account_tokens_by_expiry ON account_tokens (expires_at);

CREATE TABLE account_recovery_codes (
    account_id text NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    hash       bytea NOT NULL,                    -- SHA-256 of the code
    PRIMARY KEY (account_id, hash)
);

-- What a person asked for and an administrator (or, later, a channel) has to bring.
CREATE TABLE account_requests (
    id         text PRIMARY KEY,
    account_id text NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    kind       text NOT NULL CHECK (kind IN ('reset')),
    at         timestamptz NOT NULL,
    client     text NOT NULL
);

CREATE INDEX account_requests_by_at ON account_requests (at DESC, id DESC);
CREATE INDEX account_requests_by_account ON account_requests (account_id, at);

CREATE TABLE login_attempts (
    subject       bytea PRIMARY KEY,              -- SHA-256 of what is guessed at, or of the address it comes from
    failures      integer NOT NULL,
    blocked_until timestamptz NOT NULL,
    last_at       timestamptz NOT NULL
);

CREATE INDEX login_attempts_by_last_at ON login_attempts (last_at);

CREATE TABLE sessions (
    id           text PRIMARY KEY,
    hash         bytea NOT NULL UNIQUE,           -- SHA-256 of the token in the cookie
    account_id   text NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    way          text NOT NULL CHECK (way IN ('password', 'oidc')),
    created_at   timestamptz NOT NULL,
    seen_at      timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,            -- whatever happens
    client       text NOT NULL,                   -- the address it was last used from
    agent        text NOT NULL,                   -- the browser's own words, cut
    known        text[] NOT NULL,                 -- clients that are taken for its owner's
    flagged_at   timestamptz,                     -- it went on from another client
    ended_at     timestamptz,
    ended_reason text
);

CREATE INDEX sessions_by_account ON sessions (account_id, created_at DESC);
CREATE INDEX sessions_by_end ON sessions (least(ended_at, expires_at));
