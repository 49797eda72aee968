//! Runs by pages, and where each sync stands.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    codec,
    connection::Work,
    fault::Fault,
    filter::{self, Filter},
};
use crate::{
    Run,
    postgres::runs,
    rules::{self, CONFLICT},
    service::{RunFilter, Summary},
};

pub(super) async fn page(work: &Work<'_>, wanted: &RunFilter, limit: usize) -> Result<Vec<Run>, Fault> {
    let of_sync = runs::OF_SYNC;
    let rows = Filter::of(work, "run.tenant")
        .and(of_sync, wanted.sync.clone())
        .and("run.status = $$", wanted.status.map(syncline_core::run::Status::as_str))
        .and("run.id < $$", wanted.before.map(filter::number))
        .rows(work, &format!("SELECT {}", runs::RUN), "run.id DESC", limit)
        .await?;
    runs::read(work, &rows).await
}

/// Start and end of runs that succeeded, by the number of their sync and the label of their schedule.
type BySchedule = BTreeMap<i32, BTreeMap<String, (Timestamp, Timestamp)>>;

pub(super) async fn all(work: &Work<'_>) -> Result<Vec<Summary>, Fault> {
    let mut by_schedule = by_schedule(work).await?;
    let (waiting, held) = (waiting(work).await?, held(work).await?);
    let mut last = newest(work).await?;
    let sql = "SELECT number, name, success_started_at, success_at, failures, cursor::text FROM sync
               WHERE tenant = $1 ORDER BY name";
    let mut summaries = Vec::new();
    for row in &work.rows(sql, &[&work.tenant]).await? {
        let number: i32 = row.try_get(0)?;
        let (parked, conflicted) = waiting.get(&number).copied().unwrap_or_default();
        let sync: String = row.try_get(1)?;
        summaries.push(Summary {
            last: last.remove(&sync),
            sync,
            last_success_started_at: codec::stored_time_or_null(row, 2)?,
            last_success_at: codec::stored_time_or_null(row, 3)?,
            by_schedule: by_schedule.remove(&number).unwrap_or_default(),
            failures: codec::unsigned(row, 4)?,
            cursor: codec::from_json_or_null(row, 5)?,
            parked,
            conflicted,
            held: held.get(&number).copied().unwrap_or_default(),
        });
    }
    Ok(rules::summaries_by_sync(summaries))
}

/// The newest run of every sync, by name.
async fn newest(work: &Work<'_>) -> Result<BTreeMap<String, Run>, Fault> {
    let sql = format!("SELECT {} WHERE run.tenant = $1 AND run.id = sync.last_run", runs::RUN);
    let rows = work.rows(&sql, &[&work.tenant]).await?;
    let runs = runs::read(work, &rows).await?;
    Ok(runs.into_iter().map(|run| (run.sync.clone(), run)).collect())
}

async fn by_schedule(work: &Work<'_>) -> Result<BySchedule, Fault> {
    let sql = "SELECT sync, schedule, started_at, finished_at FROM sync_success WHERE tenant = $1";
    let mut found = BySchedule::new();
    for row in &work.rows(sql, &[&work.tenant]).await? {
        let span = (codec::stored_time(row, 2)?, codec::stored_time(row, 3)?);
        found.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?, span);
    }
    Ok(found)
}

/// Parked records and conflicts, by the number of their sync.
async fn waiting(work: &Work<'_>) -> Result<BTreeMap<i32, (u64, u64)>, Fault> {
    let sql = "SELECT sync, count(*) FILTER (WHERE code <> $2), count(*) FILTER (WHERE code = $2)
               FROM parked WHERE tenant = $1 GROUP BY sync";
    let rows = work.rows(sql, &[&work.tenant, &CONFLICT]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, (codec::unsigned(row, 1)?, codec::unsigned(row, 2)?))))
        .collect()
}

async fn held(work: &Work<'_>) -> Result<BTreeMap<i32, u64>, Fault> {
    let sql = "SELECT sync, count(*) FROM held WHERE tenant = $1 GROUP BY sync";
    let rows = work.rows(sql, &[&work.tenant]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, codec::unsigned(row, 1)?))).collect()
}
