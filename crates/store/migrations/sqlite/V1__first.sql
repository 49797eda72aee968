-- The store's first schema. Documented in docs/store.md.
--
-- Times are text, UTC, with six decimals (2026-11-22T03:20:00.000000Z): people can read them, SQLite's date functions
-- understand them, and they sort as text. Identities are 32 bytes of SHA-256; hex(identity) is the stamp, in capitals.
--
-- What must always hold is a constraint here, so that no error in the code can make the store hold nonsense.

-- What is known of a sync as a whole.
CREATE TABLE sync (
  number      INTEGER PRIMARY KEY,
  name        TEXT NOT NULL UNIQUE CHECK (name <> ''),
  -- rises with each claim; a write that carries an older one is refused
  epoch       INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0),
  cursor      TEXT CHECK (json_valid(cursor)),
  -- standing approval: how many records the next complete listing may delete
  approved    INTEGER CHECK (approved >= 0),
  approved_at TEXT CHECK (length(approved_at) = 27),
  CONSTRAINT approval_has_a_time CHECK ((approved IS NULL) = (approved_at IS NULL))
) STRICT;

-- Ids of destination streams, as small numbers: they are long, and there is one in every ledger row.
CREATE TABLE stream (
  number INTEGER PRIMARY KEY,
  id     TEXT NOT NULL UNIQUE
) STRICT;

-- The last ledger seq given out. Not max(seq): the seq of a removed record must not come back, because a run that is
-- under way may have marked it as seen.
CREATE TABLE counter (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL CHECK (value >= 0)
) STRICT, WITHOUT ROWID;
INSERT INTO counter (name, value) VALUES ('ledger_seq', 0);

-- One row per record that this sync made or adopted. Narrow, because every row that is read from a source is looked up
-- here, and in the order in which records were first seen, because sources tend to list them in that order again: then a
-- batch is a few neighbouring pages, while identities are scattered over all of them.
CREATE TABLE ledger (
  seq       INTEGER PRIMARY KEY CHECK (seq > 0),
  sync      INTEGER NOT NULL REFERENCES sync,
  identity  BLOB    NOT NULL CHECK (length(identity) = 32),
  stream    INTEGER NOT NULL REFERENCES stream,
  record_id TEXT    NOT NULL CHECK (record_id <> ''),
  version   TEXT,
  -- of the canonical values last written; null when the record is known to have drifted
  hash      BLOB CHECK (length(hash) = 32),
  -- marked as gone under the soft policy
  gone      INTEGER NOT NULL CHECK (gone IN (0, 1)),
  CONSTRAINT one_row_per_identity UNIQUE (sync, identity),
  CONSTRAINT one_owner_per_record UNIQUE (sync, stream, record_id)
) STRICT;
-- the living in order of seq, and by stream: a few bytes a row, for counting and for walking the unseen
CREATE INDEX ledger_living ON ledger (sync) WHERE gone = 0;
CREATE INDEX ledger_living_of_stream ON ledger (sync, stream) WHERE gone = 0;

-- The wide part of a ledger row, read only for records that are written or shown.
CREATE TABLE ledger_detail (
  seq    INTEGER PRIMARY KEY REFERENCES ledger ON DELETE CASCADE,
  -- run that last wrote it; the run itself may have been forgotten since
  run    INTEGER NOT NULL,
  key    TEXT NOT NULL CHECK (json_valid(key)),
  fields TEXT NOT NULL CHECK (json_valid(fields))
) STRICT;

-- What was about to be done and has no recorded outcome. A row lives from before the request until its checkpoint.
CREATE TABLE intent (
  number      INTEGER PRIMARY KEY,
  sync        INTEGER NOT NULL REFERENCES sync,
  identity    BLOB    NOT NULL CHECK (length(identity) = 32),
  run         INTEGER NOT NULL,
  kind        TEXT    NOT NULL CHECK (kind IN ('create', 'update', 'move', 'delete')),
  stream      INTEGER NOT NULL REFERENCES stream,
  record_id   TEXT    NOT NULL,
  version     TEXT,
  hash        BLOB CHECK (length(hash) = 32),
  gone        INTEGER NOT NULL CHECK (gone IN (0, 1)),
  key         TEXT    NOT NULL CHECK (json_valid(key)),
  fields      TEXT    NOT NULL CHECK (json_valid(fields)),
  from_stream INTEGER REFERENCES stream,
  from_record TEXT CHECK (from_record <> ''),
  -- a move whose new record is in the ledger; the old one must still be removed
  created     INTEGER NOT NULL DEFAULT 0 CHECK (created IN (0, 1)),
  CONSTRAINT one_open_intent_per_record UNIQUE (sync, identity),
  CONSTRAINT only_a_new_record_has_no_id CHECK (record_id <> '' OR kind IN ('create', 'move')),
  CONSTRAINT a_move_has_an_origin CHECK (
    (kind = 'move') = (from_stream IS NOT NULL) AND (from_stream IS NULL) = (from_record IS NULL)),
  CONSTRAINT only_a_move_is_half_done CHECK (created = 0 OR kind = 'move')
) STRICT;

CREATE TABLE run (
  -- never given out twice, also after old runs are forgotten
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  sync          INTEGER NOT NULL REFERENCES sync,
  epoch         INTEGER NOT NULL CHECK (epoch > 0),
  mode          TEXT NOT NULL CHECK (mode IN ('full', 'incremental')),
  reason        TEXT,
  status        TEXT NOT NULL
    CHECK (status IN ('queued', 'running', 'succeeded', 'partial', 'failed', 'cancelled', 'interrupted')),
  started_at    TEXT NOT NULL CHECK (length(started_at) = 27),
  finished_at   TEXT CHECK (length(finished_at) = 27),
  read          INTEGER NOT NULL DEFAULT 0 CHECK (read >= 0),
  created       INTEGER NOT NULL DEFAULT 0 CHECK (created >= 0),
  updated       INTEGER NOT NULL DEFAULT 0 CHECK (updated >= 0),
  moved         INTEGER NOT NULL DEFAULT 0 CHECK (moved >= 0),
  deleted       INTEGER NOT NULL DEFAULT 0 CHECK (deleted >= 0),
  unchanged     INTEGER NOT NULL DEFAULT 0 CHECK (unchanged >= 0),
  skipped       INTEGER NOT NULL DEFAULT 0 CHECK (skipped >= 0),
  parked        INTEGER NOT NULL DEFAULT 0 CHECK (parked >= 0),
  held          INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0),
  conflicted    INTEGER NOT NULL DEFAULT 0 CHECK (conflicted >= 0),
  error_code    TEXT,
  error_message TEXT,
  notes         TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(notes)),
  CONSTRAINT finished_exactly_when_final CHECK ((finished_at IS NULL) = (status IN ('queued', 'running'))),
  CONSTRAINT error_is_whole CHECK ((error_code IS NULL) = (error_message IS NULL)),
  CONSTRAINT every_record_is_accounted_for CHECK (
    status NOT IN ('succeeded', 'partial')
    OR read = created + updated + moved + deleted + unchanged + skipped + parked + held + conflicted)
) STRICT;
CREATE INDEX run_of_sync ON run (sync, id);
CREATE INDEX run_age ON run (started_at);
-- one run per sync at a time
CREATE UNIQUE INDEX run_alone ON run (sync) WHERE status = 'running';

-- The account of a run per destination stream, by the name the user wrote.
CREATE TABLE run_stream (
  run        INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  stream     TEXT NOT NULL,
  read       INTEGER NOT NULL CHECK (read >= 0),
  created    INTEGER NOT NULL CHECK (created >= 0),
  updated    INTEGER NOT NULL CHECK (updated >= 0),
  moved      INTEGER NOT NULL CHECK (moved >= 0),
  deleted    INTEGER NOT NULL CHECK (deleted >= 0),
  unchanged  INTEGER NOT NULL CHECK (unchanged >= 0),
  skipped    INTEGER NOT NULL CHECK (skipped >= 0),
  parked     INTEGER NOT NULL CHECK (parked >= 0),
  held       INTEGER NOT NULL CHECK (held >= 0),
  conflicted INTEGER NOT NULL CHECK (conflicted >= 0),
  PRIMARY KEY (run, stream)
) STRICT, WITHOUT ROWID;

-- Records that failed and wait for their retry.
CREATE TABLE parked (
  sync     INTEGER NOT NULL REFERENCES sync,
  identity BLOB NOT NULL CHECK (length(identity) = 32),
  key      TEXT CHECK (json_valid(key)),
  label    TEXT NOT NULL,
  kind     TEXT CHECK (kind IN ('create', 'update', 'move', 'delete')),
  code     TEXT NOT NULL CHECK (code <> ''),
  message  TEXT NOT NULL,
  attempts INTEGER NOT NULL CHECK (attempts >= 0),
  first_at TEXT NOT NULL CHECK (length(first_at) = 27),
  last_at  TEXT NOT NULL CHECK (length(last_at) = 27),
  retry_at TEXT NOT NULL CHECK (length(retry_at) = 27),
  run      INTEGER NOT NULL,
  PRIMARY KEY (sync, identity)
) STRICT;
CREATE INDEX parked_age ON parked (first_at);

-- Deletes that wait for approval.
CREATE TABLE held (
  sync      INTEGER NOT NULL REFERENCES sync,
  identity  BLOB NOT NULL CHECK (length(identity) = 32),
  label     TEXT NOT NULL,
  stream    INTEGER NOT NULL REFERENCES stream,
  record_id TEXT NOT NULL CHECK (record_id <> ''),
  reason    TEXT NOT NULL,
  since     TEXT NOT NULL CHECK (length(since) = 27),
  run       INTEGER NOT NULL,
  PRIMARY KEY (sync, identity)
) STRICT;

-- Units spent from rate budgets, so that a new process knows what is left of the minute and of the day.
CREATE TABLE spent (
  budget TEXT NOT NULL CHECK (budget <> ''),
  at     TEXT NOT NULL CHECK (length(at) = 27),
  units  INTEGER NOT NULL CHECK (units >= 0),
  PRIMARY KEY (budget, at)
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_age ON spent (at);
