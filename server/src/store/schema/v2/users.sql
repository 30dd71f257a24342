-- Users with profiles and passwords, use of credentials, ended sessions.

ALTER TABLE users ADD COLUMN given_name TEXT;
ALTER TABLE users ADD COLUMN family_name TEXT;
ALTER TABLE users ADD COLUMN avatar TEXT;
ALTER TABLE users ADD COLUMN email TEXT;
-- What a password is checked with, as a PHC string (argon2id); NULL is no password.
ALTER TABLE users ADD COLUMN password TEXT;

-- A name is what its user logs in with.
CREATE UNIQUE INDEX users_by_name ON users (name);

-- Written now and then, not at each use.
ALTER TABLE credentials ADD COLUMN last_used INTEGER;
ALTER TABLE credentials ADD COLUMN last_used_from TEXT;
CREATE INDEX credentials_by_user ON credentials (user);

-- Sessions that were logged out, kept until no token of them can hold any more. Ids only grow.
CREATE TABLE ended_sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session TEXT NOT NULL UNIQUE,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX ended_sessions_by_expiry ON ended_sessions (expires);
