-- What attestations have proved about keys that were made in hardware tokens. Public facts: a serial number
-- names a token, not its holder.

-- +goose Up
CREATE TABLE hardware (
    key_id   TEXT   NOT NULL PRIMARY KEY REFERENCES keys (id),
    serial   BIGINT NOT NULL,
    firmware TEXT   NOT NULL,
    slot     TEXT   NOT NULL,
    pin      TEXT   NOT NULL, -- policy
    touch    TEXT   NOT NULL, -- policy
    form     TEXT   NOT NULL  -- in words; empty if the token does not say
);
