-- The tree of projects. `name` is the full path, `path` the ids of the ancestors from the root down.
CREATE TABLE projects (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    basename TEXT NOT NULL,
    parent TEXT,
    path TEXT NOT NULL DEFAULT '[]',
    description TEXT,
    user TEXT NOT NULL,
    company TEXT NOT NULL,
    created INTEGER NOT NULL,
    last_update INTEGER NOT NULL,
    tags TEXT NOT NULL DEFAULT '[]',
    system_tags TEXT NOT NULL DEFAULT '[]',
    default_output_destination TEXT
) STRICT;

CREATE INDEX projects_by_parent ON projects (parent);
CREATE INDEX projects_by_update ON projects (last_update);
