-- Events of tasks and models: console lines, scalars, vectors, plots, images.
--
-- Long texts that repeat (owner, metric, variant, worker) are kept once and referred to by number, so that ten
-- million console lines or points stay small.

-- A task or model that has events. `owner` becomes NULL when its events are deleted: they are invisible from then
-- on, and their rows are removed in small steps, so that deleting a huge log does not stop other writes.
CREATE TABLE event_owners (
    key       INTEGER PRIMARY KEY,
    owner     TEXT UNIQUE,
    is_model  INTEGER NOT NULL,
    log_lines INTEGER NOT NULL DEFAULT 0,
    log_bytes INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX event_owners_deleted ON event_owners (key) WHERE owner IS NULL;

-- Who sent an event, and the level of a console line ('' where there is none).
CREATE TABLE event_sources (
    key    INTEGER PRIMARY KEY,
    worker TEXT NOT NULL,
    level  TEXT NOT NULL,
    UNIQUE (worker, level)
) STRICT;

-- Console output in the order (timestamp, id): lines of one timestamp keep the order of their arrival.
CREATE TABLE console_lines (
    id        INTEGER PRIMARY KEY,
    owner     INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    source    INTEGER NOT NULL,
    message   TEXT NOT NULL,
    extra     TEXT
) STRICT;

CREATE INDEX console_lines_order ON console_lines (owner, timestamp);

-- One metric/variant of one owner and one kind (1 scalar, 2 vector, 3 image, 4 plot), with the summary of what was
-- reported. `events` counts the rows that are stored; `reports` also counts those that were overwritten.
CREATE TABLE event_series (
    key              INTEGER PRIMARY KEY,
    owner            INTEGER NOT NULL,
    kind             INTEGER NOT NULL,
    metric           TEXT NOT NULL,
    variant          TEXT NOT NULL,
    metric_hash      TEXT NOT NULL,
    variant_hash     TEXT NOT NULL,
    events           INTEGER NOT NULL DEFAULT 0,
    reports          INTEGER NOT NULL DEFAULT 0,
    min_iter         INTEGER,
    max_iter         INTEGER,
    last_timestamp   INTEGER NOT NULL DEFAULT 0,
    value            REAL,
    value_iter       INTEGER,
    min_value        REAL,
    min_value_iter   INTEGER,
    max_value        REAL,
    max_value_iter   INTEGER,
    first_value      REAL,
    first_value_iter INTEGER,
    value_sum        REAL,
    x_axis_label     TEXT,
    UNIQUE (owner, kind, metric, variant)
) STRICT;

CREATE TABLE scalar_points (
    series    INTEGER NOT NULL,
    iter      INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    value     REAL NOT NULL,
    source    INTEGER NOT NULL,
    extra     TEXT,
    PRIMARY KEY (series, iter)
) STRICT, WITHOUT ROWID;

-- Plots (payload: the plot's JSON text) and vectors (payload: a JSON array).
CREATE TABLE payload_events (
    id        INTEGER PRIMARY KEY,
    series    INTEGER NOT NULL,
    iter      INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    payload   TEXT NOT NULL,
    source    INTEGER NOT NULL,
    extra     TEXT,
    UNIQUE (series, iter)
) STRICT;

CREATE TABLE image_events (
    id        INTEGER PRIMARY KEY,
    series    INTEGER NOT NULL,
    iter      INTEGER NOT NULL,
    image_key TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    url       TEXT NOT NULL,
    source    INTEGER NOT NULL,
    extra     TEXT,
    UNIQUE (series, iter, image_key)
) STRICT;

-- Finds the images whose file a later iteration has overwritten.
CREATE INDEX image_events_by_url ON image_events (series, url, iter);
