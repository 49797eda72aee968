//! What dead processes left, and what is old.

use jiff::Timestamp;
use syncline_core::run::Status;

use super::{codec, connection::Work, fault::Fault, filter};
use crate::{rules, service::Retention};

/// Closes runs whose process is dead: the lease of their sync has run out. The epoch rises, so that a process which was
/// only paused writes nothing more.
pub(super) async fn close_interrupted(work: &Work<'_>, now: Timestamp) -> Result<u64, Fault> {
    // Held first: who claims one of these waits for its row.
    let held = work
        .rows(
            "SELECT number FROM sync
             WHERE tenant = $1 AND EXISTS (SELECT FROM run
                 WHERE run.tenant = $1 AND run.sync = sync.number AND run.status IN ('queued', 'running'))
             ORDER BY number FOR NO KEY UPDATE SKIP LOCKED",
            &[&work.tenant],
        )
        .await?;
    let held = held.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i32>, _>>()?;
    let dead = work
        .rows(
            "UPDATE sync SET epoch = epoch + 1
             WHERE tenant = $1 AND number = ANY($2) AND NOT EXISTS (SELECT FROM lease
               WHERE lease.tenant = $1 AND lease.sync = sync.number AND lease.until > clock_timestamp())
             RETURNING number",
            &[&work.tenant, &held],
        )
        .await?;
    let dead = dead.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i32>, _>>()?;
    work.execute(
        "UPDATE run SET status = $3, finished_at = $4
         WHERE tenant = $1 AND sync = ANY($2) AND status IN ('queued', 'running')",
        &[&work.tenant, &dead, &Status::Interrupted.as_str(), &codec::time(now)?],
    )
    .await
}

/// What is forgotten, oldest first: `$2` the time before which it is old, `$3` how many rows at most. The newest event
/// stays, so that its number is known. What another node deletes right now is left to it.
const OLD_RUNS: [&str; 3] = [
    "DELETE FROM run WHERE tenant = $1 AND id IN (SELECT id FROM run
       WHERE tenant = $1 AND started_at < $2 AND finished_at < $2
       ORDER BY started_at LIMIT $3 FOR UPDATE SKIP LOCKED)",
    "DELETE FROM chain_run WHERE tenant = $1 AND id IN (SELECT id FROM chain_run
       WHERE tenant = $1 AND started_at < $2 AND finished_at < $2
       ORDER BY started_at LIMIT $3 FOR UPDATE SKIP LOCKED)",
    "DELETE FROM occurrence WHERE tenant = $1 AND id IN (SELECT id FROM occurrence
       WHERE tenant = $1 AND finished_at < $2 ORDER BY finished_at LIMIT $3 FOR UPDATE SKIP LOCKED)",
];
const OLD_EVENTS: &str = "DELETE FROM event WHERE tenant = $1 AND id IN (SELECT id FROM event
    WHERE tenant = $1 AND at < $2 AND id < (SELECT max(id) FROM event WHERE tenant = $1)
    ORDER BY at LIMIT $3 FOR UPDATE SKIP LOCKED)";

pub(super) async fn forget(work: &Work<'_>, limits: &Retention, now: Timestamp) -> Result<u64, Fault> {
    // The end of each run forgets by the same limit from now on.
    work.execute(
        "INSERT INTO counter (tenant, name, value) VALUES ($1, 'runs_kept_seconds', $2)
         ON CONFLICT (tenant, name) DO UPDATE SET value = excluded.value WHERE counter.value <> excluded.value",
        &[&work.tenant, &filter::number(limits.runs.as_secs())],
    )
    .await?;
    let most = rules::FORGOTTEN_AT_ONCE as u64;
    let mut forgotten = 0;
    let old = OLD_RUNS.map(|sql| (sql, limits.runs)).into_iter().chain([(OLD_EVENTS, limits.events)]);
    for (sql, kept) in old {
        // A clock at the beginning of time has nothing behind it.
        let Ok(before) = now.checked_sub(kept) else { continue };
        let left = filter::number(most.saturating_sub(forgotten));
        forgotten += work.execute(sql, &[&work.tenant, &codec::bound(before), &left]).await?;
    }
    Ok(forgotten)
}
