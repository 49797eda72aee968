//! Runs: their beginning, their account, their end, and the forgetting of old ones.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use syncline_core::{counts::Counts, cursor::Cursor, run::Status};
use tokio_postgres::Row;

use super::{
    codec::{self, COUNTS},
    connection::Work,
    fault::Fault,
    lease::{self, Claimed, Token},
};
use crate::{
    About, NewRun, Run, RunEnd, RunId,
    rules::{self, FORGOTTEN_MAX, RUNS_KEPT, SPENT_KEPT},
};

pub(super) async fn start(work: &Work<'_>, lease: &Token, run: &NewRun) -> Result<RunId, Fault> {
    let claimed = lease::hold(work, lease).await?;
    // Asked and not left to the constraint: a refused row would have taken a number.
    let row = work
        .row(
            "INSERT INTO run (tenant, sync, epoch, mode, reason, status, started_at, source, destination, schedule,
               correlation, retry_of, owner, params)
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14::text::json
             WHERE NOT EXISTS (SELECT FROM run WHERE tenant = $1 AND sync = $2 AND status = 'running')
             RETURNING id",
            &[
                &work.tenant,
                &claimed.sync,
                &claimed.epoch,
                &rules::mode_word(run.mode),
                &run.reason,
                &Status::Running.as_str(),
                &codec::time(run.at)?,
                &run.about.source,
                &run.about.table,
                &run.about.schedule,
                &run.about.correlation,
                &run.about.retry_of.map(codec::signed).transpose()?,
                &run.about.owner,
                &(!run.about.params.is_empty()).then(|| codec::json(&run.about.params)).transpose()?,
            ],
        )
        .await?;
    let row = row.ok_or_else(|| Fault::Broken("the sync has a running run already".to_owned()))?;
    let sql = "UPDATE sync SET last_run = $3 WHERE tenant = $1 AND number = $2";
    work.execute(sql, &[&work.tenant, &claimed.sync, &row.try_get::<_, i64>(0)?]).await?;
    codec::unsigned(&row, 0)
}

/// A write for a run that is over, or of another sync, is a mistake of the caller.
pub(super) async fn expect_running(work: &Work<'_>, claimed: &Claimed, run: RunId) -> Result<(), Fault> {
    let sql = "SELECT 1 FROM run WHERE tenant = $1 AND id = $2 AND sync = $3 AND status = 'running'";
    let running = work.row(sql, &[&work.tenant, &codec::signed(run)?, &claimed.sync]).await?;
    running.map(|_| ()).ok_or_else(|| not_running(run))
}

fn not_running(run: RunId) -> Fault {
    Fault::Broken(format!("run {run} is not a running run of this sync"))
}

/// Stores the totals so far.
pub(super) async fn record_counts(
    work: &Work<'_>,
    claimed: &Claimed,
    run: RunId,
    counts: &Counts,
    by_stream: &BTreeMap<String, Counts>,
) -> Result<(), Fault> {
    let id = codec::signed(run)?;
    let [read, created, updated, moved, deleted, unchanged, skipped, parked, held, conflicted] =
        codec::count_values(counts)?;
    let changed = work
        .execute(
            "UPDATE run SET read = $4, created = $5, updated = $6, moved = $7, deleted = $8, unchanged = $9,
               skipped = $10, parked = $11, held = $12, conflicted = $13
             WHERE tenant = $1 AND id = $2 AND sync = $3 AND status = 'running'",
            &[
                &work.tenant,
                &id,
                &claimed.sync,
                &read,
                &created,
                &updated,
                &moved,
                &deleted,
                &unchanged,
                &skipped,
                &parked,
                &held,
                &conflicted,
            ],
        )
        .await?;
    if changed != 1 {
        return Err(not_running(run));
    }
    if by_stream.is_empty() {
        return Ok(());
    }
    let streams: Vec<&str> = by_stream.keys().map(String::as_str).collect();
    let mut columns: [Vec<i64>; 10] = Default::default();
    for counts in by_stream.values() {
        for (column, value) in columns.iter_mut().zip(codec::count_values(counts)?) {
            column.push(value);
        }
    }
    let sql = format!(
        "INSERT INTO run_stream (tenant, run, stream, {COUNTS})
         SELECT $1, $2, * FROM unnest($3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
           $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[])
         ON CONFLICT (tenant, run, stream) DO UPDATE SET read = excluded.read, created = excluded.created,
           updated = excluded.updated, moved = excluded.moved, deleted = excluded.deleted,
           unchanged = excluded.unchanged, skipped = excluded.skipped, parked = excluded.parked,
           held = excluded.held, conflicted = excluded.conflicted"
    );
    let [read, created, updated, moved, deleted, unchanged, skipped, parked, held, conflicted] = &columns;
    work.execute(
        &sql,
        &[
            &work.tenant,
            &id,
            &streams,
            read,
            created,
            updated,
            moved,
            deleted,
            unchanged,
            skipped,
            parked,
            held,
            conflicted,
        ],
    )
    .await?;
    Ok(())
}

pub(super) async fn finish(work: &Work<'_>, lease: &Token, run: RunId, end: &RunEnd) -> Result<(), Fault> {
    let claimed = lease::hold(work, lease).await?;
    record_counts(work, &claimed, run, &end.counts, &end.by_stream).await?;
    let (code, message) = end.error.as_ref().map(|(code, message)| (code, codec::text(message))).unzip();
    work.execute(
        "UPDATE run SET status = $3, finished_at = $4, error_code = $5, error_message = $6, notes = $7::text::json
         WHERE tenant = $1 AND id = $2",
        &[
            &work.tenant,
            &codec::signed(run)?,
            &end.status.as_str(),
            &codec::time(end.at)?,
            &code,
            &message,
            &codec::json(&end.notes)?,
        ],
    )
    .await?;
    summarise(work, &claimed, run, end).await?;
    forget(work, end.at).await
}

/// Keeps what is asked of ten thousand syncs at once: the newest success, also by schedule, and the failures since.
async fn summarise(work: &Work<'_>, claimed: &Claimed, run: RunId, end: &RunEnd) -> Result<(), Fault> {
    let run = codec::signed(run)?;
    if end.status == Status::Failed {
        let sql = "UPDATE sync SET failures = failures + 1 WHERE tenant = $1 AND number = $2";
        work.execute(sql, &[&work.tenant, &claimed.sync]).await?;
    }
    if matches!(end.status, Status::Succeeded | Status::Partial) {
        work.execute(
            "UPDATE sync SET failures = 0, success_started_at = run.started_at, success_at = run.finished_at
             FROM run WHERE sync.tenant = $1 AND sync.number = $2 AND run.tenant = $1 AND run.id = $3",
            &[&work.tenant, &claimed.sync, &run],
        )
        .await?;
        work.execute(
            "INSERT INTO sync_success (tenant, sync, schedule, started_at, finished_at)
             SELECT tenant, sync, schedule, started_at, finished_at FROM run
             WHERE tenant = $1 AND id = $2 AND schedule IS NOT NULL
             ON CONFLICT (tenant, sync, schedule) DO UPDATE SET started_at = excluded.started_at,
               finished_at = excluded.finished_at",
            &[&work.tenant, &run],
        )
        .await?;
    }
    Ok(())
}

/// How long runs are kept: as the service was told last, if one ever served this store.
async fn runs_kept(work: &Work<'_>) -> Result<SignedDuration, Fault> {
    let sql = "SELECT value FROM counter WHERE tenant = $1 AND name = 'runs_kept_seconds'";
    let told = work.row(sql, &[&work.tenant]).await?;
    Ok(told.map(|row| row.try_get(0)).transpose()?.map_or(RUNS_KEPT, SignedDuration::from_secs))
}

/// Deletes what is too old to be of use, a bounded number of rows. What another node deletes right now is left to it.
async fn forget(work: &Work<'_>, now: Timestamp) -> Result<(), Fault> {
    let most = codec::limit(FORGOTTEN_MAX);
    // A clock at the beginning of time has nothing behind it.
    if let Ok(before) = now.checked_sub(runs_kept(work).await?) {
        work.execute(
            "DELETE FROM run WHERE tenant = $1 AND id IN (SELECT id FROM run
               WHERE tenant = $1 AND started_at < $2 AND finished_at IS NOT NULL
               ORDER BY started_at LIMIT $3 FOR UPDATE SKIP LOCKED)",
            &[&work.tenant, &codec::bound(before), &most],
        )
        .await?;
    }
    if let Ok(before) = now.checked_sub(SPENT_KEPT) {
        work.execute(
            "DELETE FROM spent WHERE tenant = $1 AND (budget, at) IN (SELECT budget, at FROM spent
               WHERE tenant = $1 AND at < $2 ORDER BY at LIMIT $3 FOR UPDATE SKIP LOCKED)",
            &[&work.tenant, &codec::bound(before), &most],
        )
        .await?;
    }
    Ok(())
}

/// Columns of a [`Run`], for [`read`].
pub(super) const RUN: &str =
    "run.id, sync.name, run.mode, run.reason, run.status, run.started_at, run.finished_at,
    run.error_code, run.error_message, run.notes::text,
    read, created, updated, moved, deleted, unchanged, skipped, parked, held, conflicted,
    run.source, run.destination, run.schedule, run.correlation, run.retry_of,
    run.owner, run.params::text
    FROM run JOIN sync ON sync.tenant = run.tenant AND sync.number = run.sync";

/// Runs of a sync `$$` and of its partitions, whose names go on with `#`; the sign behind that is `$`.
pub(super) const OF_SYNC: &str =
    "run.sync IN (SELECT s.number FROM (SELECT $$::text COLLATE \"C\" AS name) AS asked
    JOIN sync AS s ON s.name = asked.name OR s.name > asked.name || '#' AND s.name < asked.name || chr(36)
    WHERE s.tenant = $1)";

pub(super) async fn list(
    work: &Work<'_>,
    sync: Option<&str>,
    status: Option<Status>,
    limit: usize,
) -> Result<Vec<Run>, Fault> {
    // Two texts, because a condition that may be absent would keep the planner from using the index.
    let of_sync = OF_SYNC.replace("$$", "$2");
    let condition = if sync.is_some() { of_sync.as_str() } else { "$2::text IS NULL" };
    let sql = format!(
        "SELECT {RUN} WHERE run.tenant = $1 AND {condition} AND ($3::text IS NULL OR run.status = $3) ORDER BY run.id DESC LIMIT $4"
    );
    let status = status.map(Status::as_str);
    let rows = work.rows(&sql, &[&work.tenant, &sync, &status, &codec::limit(limit)]).await?;
    read(work, &rows).await
}

pub(super) async fn get(work: &Work<'_>, run: RunId) -> Result<Option<Run>, Fault> {
    // No run has a number above 2^63.
    let Ok(id) = i64::try_from(run) else { return Ok(None) };
    let rows = work
        .rows(&format!("SELECT {RUN} WHERE run.tenant = $1 AND run.id = $2"), &[&work.tenant, &id])
        .await?;
    Ok(read(work, &rows).await?.into_iter().next())
}

/// Runs of rows with the columns of [`RUN`], with their accounts by stream.
pub(super) async fn read(work: &Work<'_>, rows: &[Row]) -> Result<Vec<Run>, Fault> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    let sql = format!("SELECT run, stream, {COUNTS} FROM run_stream WHERE tenant = $1 AND run = ANY($2)");
    let mut by_stream: BTreeMap<i64, BTreeMap<String, Counts>> = BTreeMap::new();
    for row in work.rows(&sql, &[&work.tenant, &ids]).await? {
        by_stream.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?, codec::counts(&row, 2)?);
    }
    rows.iter().zip(ids).map(|(row, id)| run(row, by_stream.remove(&id).unwrap_or_default())).collect()
}

fn run(row: &Row, by_stream: BTreeMap<String, Counts>) -> Result<Run, Fault> {
    let code: Option<String> = row.try_get(7)?;
    let message: Option<String> = row.try_get(8)?;
    Ok(Run {
        id: codec::unsigned(row, 0)?,
        sync: row.try_get(1)?,
        mode: row.try_get(2)?,
        reason: row.try_get(3)?,
        about: About {
            source: row.try_get(20)?,
            table: row.try_get(21)?,
            schedule: row.try_get(22)?,
            correlation: row.try_get(23)?,
            retry_of: codec::unsigned_or_null(row, 24)?,
            owner: row.try_get(25)?,
            params: codec::from_json_or_null(row, 26)?.unwrap_or_default(),
        },
        status: Status::parse(row.try_get(4)?)
            .ok_or_else(|| Fault::Broken("a stored status of a run is unknown".to_owned()))?,
        started_at: codec::stored_time(row, 5)?,
        finished_at: codec::stored_time_or_null(row, 6)?,
        counts: codec::counts(row, 10)?,
        by_stream,
        error: code.zip(message),
        notes: codec::from_json(row, 9)?,
    })
}

pub(super) async fn spent(
    work: &Work<'_>,
    budget: &str,
    since: Timestamp,
) -> Result<Vec<(Timestamp, u64)>, Fault> {
    let sql = "SELECT at, units FROM spent WHERE tenant = $1 AND budget = $2 AND at >= $3 ORDER BY at";
    let rows = work.rows(sql, &[&work.tenant, &budget, &codec::bound(since)]).await?;
    rows.iter().map(|row| Ok((codec::stored_time(row, 0)?, codec::unsigned(row, 1)?))).collect()
}

/// The cursor of a sync.
pub(super) async fn cursor(work: &Work<'_>, sync: &str) -> Result<Option<Cursor>, Fault> {
    let sql = "SELECT cursor::text FROM sync WHERE tenant = $1 AND name = $2";
    let row = work.row(sql, &[&work.tenant, &sync]).await?;
    row.map_or(Ok(None), |row| codec::from_json_or_null(&row, 0))
}

pub(super) async fn set_cursor(work: &Work<'_>, sync: i32, cursor: &Cursor) -> Result<(), Fault> {
    let sql = "UPDATE sync SET cursor = $3::text::json WHERE tenant = $1 AND number = $2";
    work.execute(sql, &[&work.tenant, &sync, &codec::cursor_text(cursor)?]).await?;
    Ok(())
}

/// Forgets the cursor's position; returns whether there was a cursor.
pub(super) async fn reset(work: &Work<'_>, lease: &Token) -> Result<bool, Fault> {
    let claimed = lease::hold(work, lease).await?;
    let Some(cursor) = cursor(work, &lease.sync).await? else { return Ok(false) };
    set_cursor(work, claimed.sync, &Cursor { position: None, ..cursor }).await?;
    Ok(true)
}
