//! What dead processes left, and what is old.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Transaction, params};
use syncline_core::run::Status;

use super::{codec, fault::Fault, filter};
use crate::{rules, service::Retention, sqlite::lease};

/// Closes runs whose process is dead: the lock of their sync can be had. Meanwhile nobody else can have it, for whoever
/// claims a sync needs the write lock that this transaction holds.
pub(super) fn close_interrupted(
    transaction: &Transaction<'_>,
    store: &Path,
    now: Timestamp,
) -> Result<u64, Fault> {
    let now = codec::time_text(now)?;
    let mut open = transaction.prepare_cached(
        "SELECT DISTINCT sync.number, sync.name FROM run JOIN sync ON sync.number = run.sync
         WHERE run.status IN ('queued', 'running')",
    )?;
    let open = open.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let open: Vec<(i64, String)> = open.collect::<Result<_, _>>()?;
    let mut closed = 0;
    for (sync, name) in open {
        // Let go of at the end of the round; claiming it also writes our process id into it, which harms nobody.
        let _lock = match lease::lock(store, &name) {
            Ok(lock) => lock,
            Err(Fault::Busy { .. }) => continue,
            Err(other) => return Err(other),
        };
        closed += transaction
            .prepare_cached(
                "UPDATE run SET status = ?3, finished_at = ?2
                 WHERE sync = ?1 AND status IN ('queued', 'running')",
            )?
            .execute(params![sync, now, Status::Interrupted.as_str()])? as u64;
    }
    Ok(closed)
}

/// What is forgotten, oldest first: `?1` the time before which it is old, `?2` how many rows at most. The newest event
/// stays, so that its number is known.
const OLD_RUNS: [&str; 3] = [
    "DELETE FROM run WHERE id IN (SELECT id FROM run
       WHERE started_at < ?1 AND finished_at < ?1 ORDER BY started_at LIMIT ?2)",
    "DELETE FROM chain_run WHERE id IN (SELECT id FROM chain_run
       WHERE started_at < ?1 AND finished_at < ?1 ORDER BY started_at LIMIT ?2)",
    "DELETE FROM occurrence WHERE id IN (SELECT id FROM occurrence
       WHERE finished_at < ?1 ORDER BY finished_at LIMIT ?2)",
];
const OLD_EVENTS: &str = "DELETE FROM event WHERE id IN (SELECT id FROM event
    WHERE at < ?1 AND id < (SELECT max(id) FROM event) ORDER BY at LIMIT ?2)";

pub(super) fn forget(
    transaction: &Transaction<'_>,
    limits: &Retention,
    now: Timestamp,
) -> Result<u64, Fault> {
    // The end of each run forgets by the same limit from now on.
    transaction
        .prepare_cached("INSERT OR REPLACE INTO counter (name, value) VALUES ('runs_kept_seconds', ?1)")?
        .execute([filter::number(limits.runs.as_secs())])?;
    let mut left = rules::FORGOTTEN_AT_ONCE;
    let old = OLD_RUNS.map(|sql| (sql, limits.runs)).into_iter().chain([(OLD_EVENTS, limits.events)]);
    for (sql, kept) in old {
        // A clock at the beginning of time has nothing behind it.
        let Ok(before) = now.checked_sub(kept) else { continue };
        left -= transaction
            .prepare_cached(sql)?
            .execute(params![codec::bound_text(before), codec::limit(left)])?;
    }
    Ok((rules::FORGOTTEN_AT_ONCE - left) as u64)
}
