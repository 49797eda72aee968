-- What a run is part of, and the audit view. Documented in docs/store.md.

-- connection that is read
ALTER TABLE run ADD COLUMN source TEXT;
-- destination stream
ALTER TABLE run ADD COLUMN destination TEXT;
-- label of the schedule; null: somebody asked for it
ALTER TABLE run ADD COLUMN schedule TEXT;
-- links log lines, events and runs
ALTER TABLE run ADD COLUMN correlation TEXT;
-- the run that this one retries; it may have been forgotten since
ALTER TABLE run ADD COLUMN retry_of INTEGER;

-- One row per operation, open while it runs: for people and reports that read plain SQL.
CREATE VIEW data_update AS
SELECT
  run.id                           AS id,
  sync.name                        AS sync,
  run.source                       AS source,
  run.destination                  AS "table",
  coalesce(run.schedule, 'manual') AS type,
  run.mode                         AS mode,
  run.started_at                   AS start,
  run.finished_at                  AS "end",
  CASE run.status WHEN 'succeeded' THEN 1 WHEN 'partial' THEN 1
    WHEN 'queued' THEN NULL WHEN 'running' THEN NULL ELSE 0 END AS success,
  run.created + run.updated + run.moved + run.deleted AS rows,
  run.error_message                AS error
FROM run JOIN sync ON sync.number = run.sync;
