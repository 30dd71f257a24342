-- A worker is known by its user and its id, and is gone when `expires` has passed.
CREATE TABLE workers (
    key TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    user TEXT NOT NULL,
    company TEXT NOT NULL,
    ip TEXT,
    task TEXT,
    queue TEXT,
    queues TEXT NOT NULL DEFAULT '[]',
    register_time INTEGER NOT NULL,
    register_timeout INTEGER NOT NULL,
    last_activity_time INTEGER NOT NULL,
    last_report_time INTEGER,
    expires INTEGER NOT NULL,
    tags TEXT NOT NULL DEFAULT '[]',
    system_tags TEXT NOT NULL DEFAULT '[]',
    resources TEXT NOT NULL DEFAULT '{}',
    machine_stats TEXT NOT NULL DEFAULT '{}'
) STRICT;

CREATE INDEX workers_by_expiry ON workers (expires);
