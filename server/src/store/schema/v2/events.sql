-- Curves in packs: each row holds the points of a stretch of iterations, so that a curve of a million points is read
-- in two thousand rows. Derived from scalar_points and kept equal to it by the transaction that appends: what a series
-- has up to its `packed_to` is in packs, in the order of first_iter and without overlap; later points are not yet.
CREATE TABLE scalar_packs (
    key        INTEGER PRIMARY KEY,
    series     INTEGER NOT NULL,
    first_iter INTEGER NOT NULL,
    last_iter  INTEGER NOT NULL,
    -- Least and greatest timestamp.
    first_time INTEGER NOT NULL,
    last_time  INTEGER NOT NULL,
    points     INTEGER NOT NULL,
    mean       REAL NOT NULL,
    content    BLOB NOT NULL,
    UNIQUE (series, first_iter)
) STRICT;

-- `packed` counts the points in packs.
ALTER TABLE event_series ADD COLUMN packed_to INTEGER;
ALTER TABLE event_series ADD COLUMN packed INTEGER NOT NULL DEFAULT 0;

-- Bytes of the plots, vectors and images that are stored.
ALTER TABLE event_series ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE event_series SET bytes = coalesce(
    (SELECT sum(length(CAST(payload AS BLOB))) FROM payload_events WHERE series = event_series.key), 0) WHERE kind IN (2, 4);
UPDATE event_series SET bytes = coalesce(
    (SELECT sum(length(CAST(url AS BLOB))) FROM image_events WHERE series = event_series.key), 0) WHERE kind = 3;

-- Console lines that went because there were too many, or because they were too old.
ALTER TABLE event_owners ADD COLUMN trimmed_lines INTEGER NOT NULL DEFAULT 0;
