//! Runs: their beginning, their account, their end, and the forgetting of old ones.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Params, Row, Transaction, params};
use syncline_core::{counts::Counts, cursor::Cursor, run::Status};

use super::{
    codec::{self, COUNTS},
    fault::Fault,
    lease::{self, Claimed, Token},
};
use crate::{
    About, NewRun, Run, RunEnd, RunId,
    rules::{self, FORGOTTEN_MAX, RUNS_KEPT, SPENT_KEPT},
};

pub(super) fn start(transaction: &Transaction<'_>, lease: &Token, run: &NewRun) -> Result<RunId, Fault> {
    let claimed = lease::check(transaction, lease)?;
    let id: i64 = transaction
        .prepare_cached(
            "INSERT INTO run (sync, epoch, mode, reason, status, started_at, source, destination, schedule,
               correlation, retry_of, owner, params)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) RETURNING id",
        )?
        .query_row(
            params![
                claimed.sync,
                claimed.epoch,
                rules::mode_word(run.mode),
                run.reason,
                Status::Running.as_str(),
                codec::time_text(run.at)?,
                run.about.source,
                run.about.table,
                run.about.schedule,
                run.about.correlation,
                run.about.retry_of.map(codec::signed).transpose()?,
                run.about.owner,
                (!run.about.params.is_empty()).then(|| codec::json(&run.about.params)).transpose()?,
            ],
            |row| row.get(0),
        )?;
    transaction
        .prepare_cached("UPDATE sync SET last_run = ?2 WHERE number = ?1")?
        .execute(params![claimed.sync, id])?;
    u64::try_from(id).map_err(|_| Fault::Broken("a run number below zero".to_owned()))
}

/// A write for a run that is over, or of another sync, is a mistake of the caller.
pub(super) fn expect_running(connection: &Connection, claimed: &Claimed, run: RunId) -> Result<(), Fault> {
    let running = connection
        .prepare_cached("SELECT 1 FROM run WHERE id = ?1 AND sync = ?2 AND status = 'running'")?
        .exists(params![codec::signed(run)?, claimed.sync])?;
    if running { Ok(()) } else { Err(not_running(run)) }
}

fn not_running(run: RunId) -> Fault {
    Fault::Broken(format!("run {run} is not a running run of this sync"))
}

/// Stores the totals so far.
pub(super) fn record_counts(
    connection: &Connection,
    claimed: &Claimed,
    run: RunId,
    counts: &Counts,
    by_stream: &BTreeMap<String, Counts>,
) -> Result<(), Fault> {
    let id = codec::signed(run)?;
    let [read, created, updated, moved, deleted, unchanged, skipped, parked, held, conflicted] =
        codec::count_values(counts)?;
    let changed = connection
        .prepare_cached(
            "UPDATE run SET read = ?3, created = ?4, updated = ?5, moved = ?6, deleted = ?7, unchanged = ?8,
               skipped = ?9, parked = ?10, held = ?11, conflicted = ?12
             WHERE id = ?1 AND sync = ?2 AND status = 'running'",
        )?
        .execute(params![
            id,
            claimed.sync,
            read,
            created,
            updated,
            moved,
            deleted,
            unchanged,
            skipped,
            parked,
            held,
            conflicted
        ])?;
    if changed != 1 {
        return Err(not_running(run));
    }
    let sql = format!(
        "INSERT OR REPLACE INTO run_stream (run, stream, {COUNTS})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
    );
    let mut put = connection.prepare_cached(&sql)?;
    for (stream, counts) in by_stream {
        let [read, created, updated, moved, deleted, unchanged, skipped, parked, held, conflicted] =
            codec::count_values(counts)?;
        put.execute(params![
            id, stream, read, created, updated, moved, deleted, unchanged, skipped, parked, held, conflicted
        ])?;
    }
    Ok(())
}

pub(super) fn finish(
    transaction: &Transaction<'_>,
    lease: &Token,
    run: RunId,
    end: &RunEnd,
) -> Result<(), Fault> {
    let claimed = lease::check(transaction, lease)?;
    record_counts(transaction, &claimed, run, &end.counts, &end.by_stream)?;
    let (code, message) = end.error.as_ref().map(|(code, message)| (code, message)).unzip();
    transaction
        .prepare_cached(
            "UPDATE run SET status = ?2, finished_at = ?3, error_code = ?4, error_message = ?5, notes = ?6
             WHERE id = ?1",
        )?
        .execute(params![
            codec::signed(run)?,
            end.status.as_str(),
            codec::time_text(end.at)?,
            code,
            message,
            codec::json(&end.notes)?
        ])?;
    summarise(transaction, &claimed, run, end)?;
    forget(transaction, end.at)
}

/// Keeps what is asked of ten thousand syncs at once: the newest success, also by schedule, and the failures since.
fn summarise(
    transaction: &Transaction<'_>,
    claimed: &Claimed,
    run: RunId,
    end: &RunEnd,
) -> Result<(), Fault> {
    let run = codec::signed(run)?;
    if end.status == Status::Failed {
        transaction
            .prepare_cached("UPDATE sync SET failures = failures + 1 WHERE number = ?1")?
            .execute([claimed.sync])?;
    }
    if matches!(end.status, Status::Succeeded | Status::Partial) {
        transaction
            .prepare_cached(
                "UPDATE sync SET failures = 0,
                   (success_started_at, success_at) = (SELECT started_at, finished_at FROM run WHERE id = ?2)
                 WHERE number = ?1",
            )?
            .execute(params![claimed.sync, run])?;
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO sync_success (sync, schedule, started_at, finished_at)
                 SELECT sync, schedule, started_at, finished_at FROM run
                 WHERE id = ?1 AND schedule IS NOT NULL",
            )?
            .execute([run])?;
    }
    Ok(())
}

/// Deletes what is too old to be of use, a bounded number of rows.
fn forget(transaction: &Transaction<'_>, now: Timestamp) -> Result<(), Fault> {
    // A clock at the beginning of time has nothing behind it.
    if let Ok(before) = now.checked_sub(runs_kept(transaction)?) {
        transaction
            .prepare_cached(
                "DELETE FROM run WHERE id IN (SELECT id FROM run
                   WHERE started_at < ?1 AND finished_at IS NOT NULL ORDER BY started_at LIMIT ?2)",
            )?
            .execute(params![codec::bound_text(before), codec::limit(FORGOTTEN_MAX)])?;
    }
    if let Ok(before) = now.checked_sub(SPENT_KEPT) {
        transaction
            .prepare_cached(
                "DELETE FROM spent WHERE (budget, at) IN (SELECT budget, at FROM spent
                   WHERE at < ?1 ORDER BY at LIMIT ?2)",
            )?
            .execute(params![codec::bound_text(before), codec::limit(FORGOTTEN_MAX)])?;
    }
    Ok(())
}

/// How long runs are kept: as the service was told last, if one ever served this store.
fn runs_kept(connection: &Connection) -> Result<SignedDuration, Fault> {
    let told: Option<i64> = connection
        .prepare_cached("SELECT value FROM counter WHERE name = 'runs_kept_seconds'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(told.map_or(RUNS_KEPT, SignedDuration::from_secs))
}

/// Columns of a [`Run`], for [`read`].
const RUN: &str = "run.id, sync.name, run.mode, run.reason, run.status, run.started_at, run.finished_at,
    run.error_code, run.error_message, run.notes,
    read, created, updated, moved, deleted, unchanged, skipped, parked, held, conflicted,
    run.source, run.destination, run.schedule, run.correlation, run.retry_of, run.sync,
    run.owner, run.params
    FROM run JOIN sync ON sync.number = run.sync";

/// Runs of a sync `?` and of its partitions, whose names go on with `#`; the sign behind that is `$`.
pub(super) const OF_SYNC: &str = "run.sync IN (SELECT s.number FROM (SELECT ? AS name) AS asked
    JOIN sync AS s ON s.name = asked.name OR s.name > asked.name || '#' AND s.name < asked.name || '$')";

pub(super) fn list(
    connection: &Connection,
    sync: Option<&str>,
    status: Option<Status>,
    limit: usize,
) -> Result<Vec<Run>, Fault> {
    // Two texts, because a condition that may be absent would keep SQLite from using the index.
    let of_sync = OF_SYNC.replace("?", "?1");
    let condition = if sync.is_some() { of_sync.as_str() } else { "?1 IS NULL" };
    let sql = format!(
        "SELECT {RUN} WHERE {condition} AND (?2 IS NULL OR run.status = ?2) ORDER BY run.id DESC LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![sync, status.map(Status::as_str), codec::limit(limit)])?;
    let mut runs = Vec::new();
    while let Some(row) = rows.next()? {
        runs.push(read(connection, row)?);
    }
    Ok(runs)
}

/// Runs, newest first, under a condition; the last of its values is the limit.
pub(super) fn page(connection: &Connection, condition: &str, values: impl Params) -> Result<Vec<Run>, Fault> {
    let sql = format!("SELECT {RUN} {condition} ORDER BY run.id DESC LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(values)?;
    let mut runs = Vec::new();
    while let Some(row) = rows.next()? {
        runs.push(read(connection, row)?);
    }
    Ok(runs)
}

/// The newest run of every sync, by the sync's number.
pub(super) fn newest(connection: &Connection) -> Result<BTreeMap<i64, Run>, Fault> {
    let sql = format!("SELECT {RUN} WHERE run.id IN (SELECT last_run FROM sync)");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    let mut runs = BTreeMap::new();
    let mut by_stream = by_stream_of_newest(connection)?;
    while let Some(row) = rows.next()? {
        let by_stream = by_stream.remove(&row.get(0)?).unwrap_or_default();
        runs.insert(row.get(25)?, Run { by_stream, ..read_narrow(row)? });
    }
    Ok(runs)
}

pub(super) fn get(connection: &Connection, run: RunId) -> Result<Option<Run>, Fault> {
    // No run has a number above 2^63.
    let Ok(id) = i64::try_from(run) else { return Ok(None) };
    let mut statement = connection.prepare_cached(&format!("SELECT {RUN} WHERE run.id = ?1"))?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(|row| read(connection, row)).transpose()
}

fn read(connection: &Connection, row: &Row<'_>) -> Result<Run, Fault> {
    let run = read_narrow(row)?;
    Ok(Run { by_stream: by_stream(connection, run.id)?, ..run })
}

/// A run without its account by stream.
fn read_narrow(row: &Row<'_>) -> Result<Run, Fault> {
    let status = row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?;
    let code: Option<String> = row.get(7)?;
    let message: Option<String> = row.get(8)?;
    Ok(Run {
        id: codec::unsigned(row, 0)?,
        sync: row.get(1)?,
        mode: row.get(2)?,
        reason: row.get(3)?,
        about: About {
            source: row.get(20)?,
            table: row.get(21)?,
            schedule: row.get(22)?,
            correlation: row.get(23)?,
            retry_of: codec::unsigned_or_null(row, 24)?,
            owner: row.get(26)?,
            params: codec::from_json_or_null(row, 27)?.unwrap_or_default(),
        },
        status: Status::parse(status)
            .ok_or_else(|| Fault::Broken("a stored status of a run is unknown".to_owned()))?,
        started_at: codec::time(row, 5)?,
        finished_at: codec::time_or_null(row, 6)?,
        counts: codec::counts(row, 10)?,
        by_stream: BTreeMap::new(),
        error: code.zip(message),
        notes: codec::from_json(row, 9)?,
    })
}

/// The accounts of all the newest runs at once: a question for each would take most of the time.
fn by_stream_of_newest(connection: &Connection) -> Result<BTreeMap<i64, BTreeMap<String, Counts>>, Fault> {
    let sql =
        format!("SELECT stream, {COUNTS}, run FROM run_stream WHERE run IN (SELECT last_run FROM sync)");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    let mut found: BTreeMap<i64, BTreeMap<String, Counts>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        found.entry(row.get(11)?).or_default().insert(row.get(0)?, codec::counts(row, 1)?);
    }
    Ok(found)
}

fn by_stream(connection: &Connection, run: RunId) -> Result<BTreeMap<String, Counts>, Fault> {
    let sql = format!("SELECT stream, {COUNTS} FROM run_stream WHERE run = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([codec::signed(run)?])?;
    let mut by_stream = BTreeMap::new();
    while let Some(row) = rows.next()? {
        by_stream.insert(row.get(0)?, codec::counts(row, 1)?);
    }
    Ok(by_stream)
}

pub(super) fn spent(
    connection: &Connection,
    budget: &str,
    since: Timestamp,
) -> Result<Vec<(Timestamp, u64)>, Fault> {
    let mut statement = connection
        .prepare_cached("SELECT at, units FROM spent WHERE budget = ?1 AND at >= ?2 ORDER BY at")?;
    let mut rows = statement.query(params![budget, codec::bound_text(since)])?;
    let mut spent = Vec::new();
    while let Some(row) = rows.next()? {
        spent.push((codec::time(row, 0)?, codec::unsigned(row, 1)?));
    }
    Ok(spent)
}

/// The cursor of a sync.
pub(super) fn cursor(connection: &Connection, sync: &str) -> Result<Option<Cursor>, Fault> {
    let mut statement = connection.prepare_cached("SELECT cursor FROM sync WHERE name = ?1")?;
    let mut rows = statement.query([sync])?;
    match rows.next()? {
        Some(row) => codec::from_json_or_null(row, 0),
        None => Ok(None),
    }
}

/// Forgets the cursor's position; returns whether there was a cursor.
pub(super) fn reset(transaction: &Transaction<'_>, lease: &Token) -> Result<bool, Fault> {
    let claimed = lease::check(transaction, lease)?;
    let Some(cursor) = cursor(transaction, &lease.sync)? else { return Ok(false) };
    let kept = Cursor { position: None, ..cursor };
    transaction
        .prepare_cached("UPDATE sync SET cursor = ?2 WHERE number = ?1")?
        .execute(params![claimed.sync, codec::cursor_text(&kept)?])?;
    Ok(true)
}
