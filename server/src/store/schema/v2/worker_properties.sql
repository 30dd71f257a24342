-- What a worker, or a person, wants to be known about a worker while it runs. Times are microseconds since the epoch.
CREATE TABLE worker_properties (
    worker TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    expires INTEGER,
    updated INTEGER NOT NULL,
    PRIMARY KEY (worker, key)
) STRICT, WITHOUT ROWID;
