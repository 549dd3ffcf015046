-- The tables of a registry. Written for SQLite and PostgreSQL alike: only TEXT, BIGINT and BOOLEAN,
-- natural keys, no defaults that one of them lacks. Times are whole seconds since 1970 (UTC), 0 is "none".
-- Nothing in here can sign anything: public keys, signed documents, hashes of what was spent.

-- +goose Up
CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- Index URLs from before a move: documents that name them stay valid, tokens do not.
CREATE TABLE former_indexes (
    url      TEXT   NOT NULL PRIMARY KEY,
    ended_at BIGINT NOT NULL
);

-- A name is never deleted, so that nobody else is given it.
CREATE TABLE accounts (
    name       TEXT    NOT NULL PRIMARY KEY,
    created_at BIGINT  NOT NULL,
    epoch      BIGINT  NOT NULL, -- counts resets: each begins a new chain of keysets
    version    BIGINT  NOT NULL, -- of the keyset that stands in this epoch; 0 before the first
    frozen     BOOLEAN NOT NULL,
    closed     BOOLEAN NOT NULL
);

-- The open one-time code of an account: the public half of the key that grows from it.
CREATE TABLE invites (
    account    TEXT   NOT NULL PRIMARY KEY REFERENCES accounts (name),
    public_key TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE keysets (
    account     TEXT   NOT NULL REFERENCES accounts (name),
    epoch       BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    note        TEXT   NOT NULL, -- the signed note, whole
    accepted_at BIGINT NOT NULL,
    PRIMARY KEY (account, epoch, version)
);

-- Every key that a keyset ever named; what it may do is that of the last keyset that named it.
CREATE TABLE keys (
    id         TEXT    NOT NULL PRIMARY KEY,
    account    TEXT    NOT NULL REFERENCES accounts (name),
    epoch      BIGINT  NOT NULL,
    public_key TEXT    NOT NULL,
    can        TEXT    NOT NULL,
    crates     TEXT    NOT NULL, -- patterns, separated by commas; empty is all
    since      BIGINT  NOT NULL,
    until      BIGINT  NOT NULL,
    listed     BOOLEAN NOT NULL  -- by the keyset that stands
);
CREATE INDEX keys_of_account ON keys (account);

CREATE TABLE revocations (
    key_id      TEXT   NOT NULL PRIMARY KEY REFERENCES keys (id),
    account     TEXT   NOT NULL REFERENCES accounts (name),
    reason      TEXT   NOT NULL,
    note        TEXT   NOT NULL,
    accepted_at BIGINT NOT NULL
);
CREATE INDEX revocations_of_account ON revocations (account);

CREATE TABLE crates (
    canonical   TEXT   NOT NULL PRIMARY KEY, -- lower case, "_" as "-": names that collide are one
    name        TEXT   NOT NULL,             -- as first published
    path        TEXT   NOT NULL UNIQUE,      -- lower case: what the index file is called
    description TEXT   NOT NULL,
    newest      TEXT   NOT NULL,             -- the version that search shows
    created_at  BIGINT NOT NULL,
    changed_at  BIGINT NOT NULL              -- of the index file
);

CREATE TABLE owners (
    crate    TEXT   NOT NULL REFERENCES crates (canonical),
    account  TEXT   NOT NULL REFERENCES accounts (name),
    added_at BIGINT NOT NULL,
    PRIMARY KEY (crate, account)
);

CREATE TABLE versions (
    crate        TEXT    NOT NULL REFERENCES crates (canonical),
    precedence   TEXT    NOT NULL, -- the version without build metadata: two that differ only in that are one
    version      TEXT    NOT NULL,
    serial       BIGINT  NOT NULL, -- the order of publishing within the crate
    checksum     TEXT    NOT NULL,
    size         BIGINT  NOT NULL, -- bytes of the crate file
    line         TEXT    NOT NULL, -- its line of the index
    yanked       BOOLEAN NOT NULL,
    deleted_at   BIGINT  NOT NULL, -- by the operator; name and version stay burnt
    account      TEXT    NOT NULL,
    key_id       TEXT    NOT NULL, -- the key whose token published it
    published_at BIGINT  NOT NULL,
    PRIMARY KEY (crate, precedence)
);
CREATE INDEX versions_by_key ON versions (key_id);

-- Mutation tokens, by the hash of what they signed. The token itself is nowhere.
CREATE TABLE used_tokens (
    replay_key TEXT   NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL,
    done       TEXT   NOT NULL -- what the request that it paid for did, in words for its owner
);
CREATE INDEX used_tokens_by_expiry ON used_tokens (expires_at);

CREATE TABLE used_challenges (
    nonce      TEXT   NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX used_challenges_by_expiry ON used_challenges (expires_at);
