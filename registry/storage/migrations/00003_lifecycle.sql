-- What second machines ask for until somebody approves it, and a faster way to what one key has published.

-- +goose Up

-- Keysets that lack only the managing signature. Public facts and signatures by the new keys alone: whoever
-- reads this table can't make any of them stand.
CREATE TABLE proposals (
    account     TEXT   NOT NULL REFERENCES accounts (name),
    code        TEXT   NOT NULL, -- of the keyset's text
    epoch       BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    note        TEXT   NOT NULL, -- signed, whole
    attestation TEXT   NOT NULL, -- of keys in hardware, as JSON; empty is none
    origin      TEXT   NOT NULL, -- tells addresses apart while one server runs, and tells none
    expires_at  BIGINT NOT NULL,
    PRIMARY KEY (account, code)
);
CREATE INDEX proposals_by_expiry ON proposals (expires_at);
CREATE INDEX proposals_by_origin ON proposals (origin);

-- In the order of the answer, so that neither a long list nor a late time costs a search.
CREATE INDEX versions_by_key_and_time ON versions (key_id, published_at, crate, serial);
DROP INDEX versions_by_key;
