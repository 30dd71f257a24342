-- `task` is the task that made the model, or `__DELETED__<id>` when that is gone. `ready` means published.
CREATE TABLE models (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    parent TEXT,
    project TEXT,
    task TEXT,
    user TEXT NOT NULL,
    company TEXT NOT NULL,
    created INTEGER NOT NULL,
    last_update INTEGER NOT NULL,
    last_change INTEGER NOT NULL,
    last_changed_by TEXT,
    last_iteration INTEGER NOT NULL DEFAULT 0,
    comment TEXT,
    uri TEXT,
    framework TEXT,
    ready INTEGER NOT NULL DEFAULT 1,
    tags TEXT NOT NULL DEFAULT '[]',
    system_tags TEXT NOT NULL DEFAULT '[]',
    design TEXT,
    labels TEXT NOT NULL DEFAULT '{}',
    ui_cache TEXT NOT NULL DEFAULT '{}',
    metadata TEXT NOT NULL DEFAULT '{}'
) STRICT;

CREATE INDEX models_by_project ON models (project, last_update);
CREATE INDEX models_by_task ON models (task);
CREATE INDEX models_by_name ON models (name);
CREATE INDEX models_by_uri ON models (uri);
CREATE INDEX models_by_update ON models (last_update);
