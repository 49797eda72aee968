-- What was written to each record, for whoever asks what became of one. Documented in docs/store.md.
--
-- Appended in the transaction that records the outcome; goes with its run.
CREATE TABLE written (
  number    INTEGER PRIMARY KEY,
  run       INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  identity  BLOB    NOT NULL CHECK (length(identity) = 32),
  kind      TEXT    NOT NULL CHECK (kind IN ('create', 'update', 'move', 'delete', 'adopt')),
  stream    INTEGER NOT NULL REFERENCES stream,
  record_id TEXT    NOT NULL CHECK (record_id <> ''),
  at        TEXT    NOT NULL CHECK (length(at) = 27)
) STRICT;
CREATE INDEX written_to_record ON written (identity);
CREATE INDEX written_by_run ON written (run);
