-- Logins with an identity provider that are on their way: each lives for ten minutes, and there are at most 10,000.

CREATE TABLE oidc_logins (
    hash       bytea PRIMARY KEY,             -- SHA-256 of the state, which only the browser holds
    nonce      text NOT NULL,                 -- that the provider's token must name
    verifier   text NOT NULL,                 -- that proves to the provider who began it (RFC 7636)
    after      text NOT NULL,                 -- the path to go on to
    expires_at timestamptz NOT NULL
);

CREATE INDEX oidc_logins_by_expiry ON oidc_logins (expires_at);
