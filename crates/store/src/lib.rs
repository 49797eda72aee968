//! Ledger, intents, cursors, runs and parked records in SQLite.
