-- Times are microseconds since the epoch; lists and objects are JSON texts.

CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE companies (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL
) STRICT;

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    company TEXT NOT NULL REFERENCES companies (id),
    created INTEGER NOT NULL,
    preferences TEXT NOT NULL DEFAULT '{}'
) STRICT;

-- Secrets are random and long; only a salted digest of them is kept.
CREATE TABLE credentials (
    key TEXT PRIMARY KEY,
    user TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    label TEXT,
    salt BLOB NOT NULL,
    digest BLOB NOT NULL,
    created INTEGER NOT NULL
) STRICT;
