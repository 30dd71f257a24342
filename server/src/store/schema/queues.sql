CREATE TABLE queues (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    display_name TEXT,
    company TEXT NOT NULL,
    user TEXT NOT NULL,
    created INTEGER NOT NULL,
    last_update INTEGER,
    tags TEXT NOT NULL DEFAULT '[]',
    system_tags TEXT NOT NULL DEFAULT '[]',
    metadata TEXT NOT NULL DEFAULT '{}'
) STRICT;

-- The lowest position is next. Positions have gaps and may be negative. A task need not exist.
CREATE TABLE queue_entries (
    queue TEXT NOT NULL REFERENCES queues (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    task TEXT NOT NULL,
    added INTEGER NOT NULL,
    UNIQUE (queue, task)
) STRICT;

CREATE INDEX queue_entries_by_position ON queue_entries (queue, position);
CREATE INDEX queue_entries_by_task ON queue_entries (task);
