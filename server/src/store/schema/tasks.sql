-- What is filtered, sorted and polled. The large documents are in a table of their own, so that a heartbeat
-- does not write them again.
CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    status_reason TEXT,
    status_message TEXT,
    status_changed INTEGER,
    enqueue_status TEXT,
    queue TEXT,
    project TEXT,
    parent TEXT,
    user TEXT NOT NULL,
    company TEXT NOT NULL,
    comment TEXT,
    created INTEGER NOT NULL,
    started INTEGER,
    completed INTEGER,
    published INTEGER,
    active_duration INTEGER,
    last_worker TEXT,
    last_worker_report INTEGER,
    last_update INTEGER NOT NULL,
    last_change INTEGER NOT NULL,
    last_changed_by TEXT,
    last_iteration INTEGER NOT NULL DEFAULT 0,
    tags TEXT NOT NULL DEFAULT '[]',
    system_tags TEXT NOT NULL DEFAULT '[]',
    runtime TEXT NOT NULL DEFAULT '{}'
) STRICT;

CREATE INDEX tasks_by_project ON tasks (project, status, last_update);
CREATE INDEX tasks_by_status ON tasks (status, last_update);
CREATE INDEX tasks_by_parent ON tasks (parent);
CREATE INDEX tasks_by_name ON tasks (name);
CREATE INDEX tasks_by_update ON tasks (last_update);
CREATE INDEX tasks_by_creation ON tasks (created);
CREATE INDEX tasks_by_queue ON tasks (queue) WHERE queue IS NOT NULL;
CREATE INDEX tasks_by_user ON tasks (user);

CREATE TABLE task_documents (
    id TEXT PRIMARY KEY REFERENCES tasks (id) ON DELETE CASCADE,
    script TEXT NOT NULL DEFAULT '{}',
    execution TEXT NOT NULL DEFAULT '{}',
    hyperparams TEXT NOT NULL DEFAULT '{}',
    configuration TEXT NOT NULL DEFAULT '{}',
    container TEXT NOT NULL DEFAULT '{}',
    models TEXT NOT NULL DEFAULT '{"input":[],"output":[]}',
    output TEXT NOT NULL DEFAULT '{}'
) STRICT;
