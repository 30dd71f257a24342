-- How the queues and the workers were, over time. Times are milliseconds since the epoch here.

CREATE TABLE queue_series (
    key INTEGER PRIMARY KEY,
    queue TEXT NOT NULL UNIQUE
) STRICT;

-- How full a queue was after a change; the last change of a second stands for that second. Between two rows nothing
-- changed, so length and waiting times at any moment follow from the row before it.
CREATE TABLE queue_states (
    series INTEGER NOT NULL,
    second INTEGER NOT NULL,
    at INTEGER NOT NULL,
    length INTEGER NOT NULL,
    -- Sum of the times at which the waiting entries were added.
    added INTEGER NOT NULL,
    PRIMARY KEY (series, second)
) STRICT, WITHOUT ROWID;

INSERT INTO queue_series (queue) SELECT id FROM queues ORDER BY created;

INSERT INTO queue_states (series, second, at, length, added)
SELECT s.key, coalesce(q.last_update, q.created) / 1000000, coalesce(q.last_update, q.created) / 1000,
       count(e.task), coalesce(sum(e.added / 1000), 0)
FROM queue_series s JOIN queues q ON q.id = s.queue LEFT JOIN queue_entries e ON e.queue = q.id
GROUP BY s.key;

-- A worker that ever reported, and which figures it ever gave: one bit each.
CREATE TABLE reporters (
    key INTEGER PRIMARY KEY,
    worker TEXT NOT NULL UNIQUE,
    figures INTEGER NOT NULL
) STRICT;

-- One report of a worker: whether it ran a task, and its figures, packed.
CREATE TABLE worker_reports (
    reporter INTEGER NOT NULL,
    at INTEGER NOT NULL,
    busy INTEGER NOT NULL,
    figures BLOB NOT NULL,
    PRIMARY KEY (reporter, at)
) STRICT, WITHOUT ROWID;
