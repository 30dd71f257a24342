-- A list of tasks is decided on an index alone: filter by project and status, order, and whether a task is hidden or
-- archived. Only the tasks that are shown are read.
DROP INDEX tasks_by_project;
CREATE INDEX tasks_by_project ON tasks (project, status, last_update, system_tags);

DROP INDEX tasks_by_status;
CREATE INDEX tasks_by_status ON tasks (status, last_update, system_tags);
