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

-- What lists and health ask of each sync, kept while runs begin and end: ten thousand syncs are read at once.
-- newest run; it may have been forgotten since
ALTER TABLE sync ADD COLUMN last_run INTEGER;
-- start and end of the newest run that succeeded or was partial
ALTER TABLE sync ADD COLUMN success_started_at TEXT CHECK (length(success_started_at) = 27);
ALTER TABLE sync ADD COLUMN success_at TEXT CHECK (length(success_at) = 27);
-- runs that failed since
ALTER TABLE sync ADD COLUMN failures INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0);

UPDATE sync SET
  last_run = (SELECT max(id) FROM run WHERE run.sync = sync.number),
  (success_started_at, success_at) = (SELECT started_at, finished_at FROM run
    WHERE run.sync = sync.number AND status IN ('succeeded', 'partial') ORDER BY id DESC LIMIT 1),
  failures = (SELECT count(*) FROM run WHERE run.sync = sync.number AND status = 'failed' AND id > coalesce(
    (SELECT max(id) FROM run WHERE run.sync = sync.number AND status IN ('succeeded', 'partial')), 0));

-- The same per label of the schedule that the run was made by.
CREATE TABLE sync_success (
  sync        INTEGER NOT NULL REFERENCES sync,
  schedule    TEXT NOT NULL,
  started_at  TEXT NOT NULL CHECK (length(started_at) = 27),
  finished_at TEXT NOT NULL CHECK (length(finished_at) = 27),
  PRIMARY KEY (sync, schedule)
) STRICT, WITHOUT ROWID;

CREATE INDEX run_of_status ON run (status, id);
CREATE INDEX parked_code ON parked (sync, code);

-- Up to where instants of a schedule were decided about. Nothing fires twice, for this moves forward in the transaction
-- that adds the occurrences, and only forward.
CREATE TABLE schedule (
  kind       TEXT NOT NULL CHECK (kind IN ('sync', 'chain', 'backfill')),
  subject    TEXT NOT NULL CHECK (subject <> ''),
  label      TEXT NOT NULL CHECK (label <> ''),
  considered TEXT NOT NULL CHECK (length(considered) = 27),
  paused_at  TEXT CHECK (length(paused_at) = 27),
  PRIMARY KEY (kind, subject, label)
) STRICT, WITHOUT ROWID;

-- Subjects that are paused as a whole: a schedule that is added to one is paused too.
CREATE TABLE paused (
  kind    TEXT NOT NULL CHECK (kind IN ('sync', 'chain', 'backfill')),
  subject TEXT NOT NULL CHECK (subject <> ''),
  since   TEXT NOT NULL CHECK (length(since) = 27),
  PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;

-- Something that is to be done once.
CREATE TABLE occurrence (
  id               INTEGER PRIMARY KEY AUTOINCREMENT,
  kind             TEXT NOT NULL CHECK (kind IN ('sync', 'chain', 'backfill')),
  subject          TEXT NOT NULL CHECK (subject <> ''),
  -- label of the schedule; null: somebody asked for it
  schedule         TEXT CHECK (schedule <> ''),
  instant          TEXT NOT NULL CHECK (length(instant) = 27),
  due_at           TEXT NOT NULL CHECK (length(due_at) = 27),
  overlap          TEXT NOT NULL CHECK (overlap IN ('skip', 'queue')),
  weight           INTEGER NOT NULL,
  retry            INTEGER NOT NULL CHECK (retry IN (0, 1)),
  options          TEXT NOT NULL CHECK (json_valid(options)),
  connections      TEXT NOT NULL CHECK (json_valid(connections)),
  requested_by     TEXT NOT NULL,
  idempotency_key  TEXT,
  correlation      TEXT NOT NULL,
  created_at       TEXT NOT NULL CHECK (length(created_at) = 27),
  state            TEXT NOT NULL CHECK (state IN ('waiting', 'claimed', 'done', 'skipped', 'cancelled')),
  -- why it was skipped
  reason           TEXT,
  -- rises with each claim; a write that carries an older one is refused
  epoch            INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0),
  attempts         INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  node             TEXT,
  claimed_at       TEXT CHECK (length(claimed_at) = 27),
  lease_until      TEXT CHECK (length(lease_until) = 27),
  cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
  -- of the sync, or of the chain; it may have been forgotten since
  run              INTEGER,
  status           TEXT CHECK (status IN ('succeeded', 'partial', 'failed', 'cancelled', 'interrupted')),
  error_code       TEXT,
  error_message    TEXT,
  finished_at      TEXT CHECK (length(finished_at) = 27),
  CONSTRAINT a_lease_exactly_while_claimed CHECK ((state = 'claimed') = (lease_until IS NOT NULL)),
  CONSTRAINT a_claim_is_whole CHECK (
    state <> 'claimed' OR node IS NOT NULL AND claimed_at IS NOT NULL AND epoch > 0 AND attempts > 0),
  CONSTRAINT over_exactly_with_an_end CHECK ((state IN ('waiting', 'claimed')) = (finished_at IS NULL)),
  CONSTRAINT done_exactly_with_a_status CHECK ((state = 'done') = (status IS NOT NULL)),
  CONSTRAINT skipped_exactly_with_a_reason CHECK ((state = 'skipped') = (reason IS NOT NULL)),
  CONSTRAINT error_is_whole CHECK ((error_code IS NULL) = (error_message IS NULL)),
  CONSTRAINT error_only_when_done CHECK (error_code IS NULL OR state = 'done')
) STRICT;
-- an instant of a schedule happens once, whoever decides; its retries come from the claim that failed, once each
CREATE UNIQUE INDEX occurrence_once ON occurrence (kind, subject, schedule, instant)
  WHERE schedule IS NOT NULL AND retry = 0;
-- one at a time
CREATE UNIQUE INDEX occurrence_alone ON occurrence (kind, subject) WHERE state = 'claimed';
CREATE UNIQUE INDEX occurrence_key ON occurrence (idempotency_key) WHERE idempotency_key IS NOT NULL;
-- everything that choosing what to claim looks at
CREATE INDEX occurrence_due ON occurrence (due_at, weight, kind, subject, connections) WHERE state = 'waiting';
CREATE INDEX occurrence_lease ON occurrence (lease_until) WHERE state = 'claimed';
CREATE INDEX occurrence_of_subject ON occurrence (kind, subject, id);
CREATE INDEX occurrence_waiting ON occurrence (kind, subject, due_at) WHERE state = 'waiting';
CREATE INDEX occurrence_state ON occurrence (state, id);
CREATE INDEX occurrence_age ON occurrence (finished_at) WHERE finished_at IS NOT NULL;

-- A run of a chain.
CREATE TABLE chain_run (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  chain         TEXT NOT NULL CHECK (chain <> ''),
  status        TEXT NOT NULL CHECK (status IN ('running', 'completed', 'partial', 'failed', 'cancelled')),
  schedule      TEXT,
  correlation   TEXT NOT NULL,
  started_at    TEXT NOT NULL CHECK (length(started_at) = 27),
  resumed_at    TEXT CHECK (length(resumed_at) = 27),
  finished_at   TEXT CHECK (length(finished_at) = 27),
  -- milliseconds of the stretches that ended
  worked_ms     INTEGER NOT NULL DEFAULT 0 CHECK (worked_ms >= 0),
  error_code    TEXT,
  error_message TEXT,
  CONSTRAINT finished_exactly_when_over CHECK ((finished_at IS NULL) = (status = 'running')),
  CONSTRAINT error_is_whole CHECK ((error_code IS NULL) = (error_message IS NULL))
) STRICT;
CREATE INDEX chain_run_of_chain ON chain_run (chain, id);
CREATE INDEX chain_run_of_status ON chain_run (status, id);
CREATE INDEX chain_run_age ON chain_run (started_at);

CREATE TABLE chain_step (
  chain_run     INTEGER NOT NULL REFERENCES chain_run ON DELETE CASCADE,
  -- its place in the definition
  position      INTEGER NOT NULL CHECK (position >= 0),
  step          TEXT NOT NULL CHECK (step <> ''),
  required      INTEGER NOT NULL CHECK (required IN (0, 1)),
  status        TEXT NOT NULL
    CHECK (status IN ('waiting', 'running', 'succeeded', 'partial', 'failed', 'skipped', 'cancelled')),
  -- of the sync, where the step is one
  run           INTEGER,
  attempts      INTEGER NOT NULL CHECK (attempts >= 0),
  started_at    TEXT CHECK (length(started_at) = 27),
  finished_at   TEXT CHECK (length(finished_at) = 27),
  error_code    TEXT,
  error_message TEXT,
  detail        TEXT,
  PRIMARY KEY (chain_run, position),
  CONSTRAINT one_row_per_step UNIQUE (chain_run, step),
  CONSTRAINT error_is_whole CHECK ((error_code IS NULL) = (error_message IS NULL))
) STRICT, WITHOUT ROWID;

-- Reading a part of the past again, beside the live cursor.
CREATE TABLE backfill (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  sync          TEXT NOT NULL CHECK (sync <> ''),
  from_value    TEXT NOT NULL,
  to_value      TEXT NOT NULL,
  requested_by  TEXT NOT NULL,
  created_at    TEXT NOT NULL CHECK (length(created_at) = 27),
  status        TEXT NOT NULL
    CHECK (status IN ('queued', 'running', 'succeeded', 'partial', 'failed', 'cancelled', 'interrupted')),
  -- everything below this is done
  done_until    TEXT,
  run           INTEGER,
  error_code    TEXT,
  error_message TEXT,
  changed_at    TEXT NOT NULL CHECK (length(changed_at) = 27),
  CONSTRAINT error_is_whole CHECK ((error_code IS NULL) = (error_message IS NULL))
) STRICT;
CREATE INDEX backfill_of_sync ON backfill (sync, id);

-- Every version of what was defined through `apply` or the API.
CREATE TABLE definition (
  kind    TEXT NOT NULL CHECK (kind IN ('project', 'sync', 'chain')),
  name    TEXT NOT NULL,
  version INTEGER NOT NULL CHECK (version > 0),
  -- null: removed
  body    TEXT,
  by      TEXT NOT NULL,
  at      TEXT NOT NULL CHECK (length(at) = 27),
  PRIMARY KEY (kind, name, version)
) STRICT;
INSERT INTO counter (name, value) VALUES ('definitions', 0);

CREATE TABLE event (
  -- rises in the order in which events become visible
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  at           TEXT NOT NULL CHECK (length(at) = 27),
  kind         TEXT NOT NULL CHECK (kind <> ''),
  subject_kind TEXT CHECK (subject_kind IN ('sync', 'chain', 'backfill')),
  subject      TEXT,
  run          INTEGER,
  correlation  TEXT,
  message      TEXT NOT NULL,
  data         TEXT NOT NULL CHECK (json_valid(data)),
  CONSTRAINT subject_is_whole CHECK ((subject_kind IS NULL) = (subject IS NULL))
) STRICT;
CREATE INDEX event_of_subject ON event (subject_kind, subject, id) WHERE subject IS NOT NULL;
CREATE INDEX event_of_run ON event (run, id) WHERE run IS NOT NULL;
CREATE INDEX event_age ON event (at);

-- Who may use the API. The token itself is not here.
CREATE TABLE token (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  name       TEXT NOT NULL CHECK (name <> ''),
  hash       BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
  scopes     TEXT NOT NULL CHECK (json_valid(scopes)),
  created_at TEXT NOT NULL CHECK (length(created_at) = 27),
  expires_at TEXT CHECK (length(expires_at) = 27),
  revoked_at TEXT CHECK (length(revoked_at) = 27),
  used_at    TEXT CHECK (length(used_at) = 27)
) STRICT;
CREATE UNIQUE INDEX token_name ON token (name) WHERE revoked_at IS NULL;

-- Where an alert stands: one per rule, subject and what is told.
CREATE TABLE alert (
  rule         TEXT NOT NULL CHECK (rule <> ''),
  subject_kind TEXT NOT NULL CHECK (subject_kind IN ('sync', 'chain', 'backfill')),
  subject      TEXT NOT NULL CHECK (subject <> ''),
  kind         TEXT NOT NULL CHECK (kind IN ('failed', 'late', 'partial', 'parked', 'held', 'anomaly')),
  active       INTEGER NOT NULL CHECK (active IN (0, 1)),
  since        TEXT NOT NULL CHECK (length(since) = 27),
  told_at      TEXT CHECK (length(told_at) = 27),
  -- still to be delivered
  message      TEXT CHECK (json_valid(message)),
  attempts     INTEGER NOT NULL CHECK (attempts >= 0),
  try_at       TEXT CHECK (length(try_at) = 27),
  PRIMARY KEY (rule, subject_kind, subject, kind)
) STRICT, WITHOUT ROWID;

-- What was changed while serving.
CREATE TABLE setting (
  name  TEXT PRIMARY KEY CHECK (name <> ''),
  value TEXT NOT NULL CHECK (json_valid(value)),
  by    TEXT NOT NULL,
  at    TEXT NOT NULL CHECK (length(at) = 27)
) STRICT, WITHOUT ROWID;

-- Processes that serve, by their last sign of life.
CREATE TABLE node (
  node       TEXT PRIMARY KEY CHECK (node <> ''),
  version    TEXT NOT NULL,
  started_at TEXT NOT NULL CHECK (length(started_at) = 27),
  running    INTEGER NOT NULL CHECK (running >= 0),
  beat_at    TEXT NOT NULL CHECK (length(beat_at) = 27)
) STRICT, WITHOUT ROWID;
