//! Runs by pages, and where each sync stands.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, params, params_from_iter};

use super::{
    codec,
    fault::Fault,
    filter::{self, Filter},
};
use crate::{
    Run,
    rules::{self, CONFLICT},
    service::{RunFilter, Summary},
    sqlite::runs,
};

pub(super) fn page(connection: &Connection, wanted: &RunFilter, limit: usize) -> Result<Vec<Run>, Fault> {
    let filter = Filter::default()
        .and(runs::OF_SYNC, wanted.sync.clone())
        .and("run.status = ?", wanted.status.map(|status| status.as_str().to_owned()))
        .and("run.id < ?", wanted.before.map(filter::number));
    let condition = filter.to_string();
    runs::page(connection, &condition, params_from_iter(filter.values(limit)))
}

/// Start and end of runs that succeeded, by the number of their sync and the label of their schedule.
type BySchedule = BTreeMap<i64, BTreeMap<String, (Timestamp, Timestamp)>>;

pub(super) fn all(connection: &Connection) -> Result<Vec<Summary>, Fault> {
    let mut by_schedule = by_schedule(connection)?;
    let (waiting, held) = (waiting(connection)?, held(connection)?);
    let mut last: BTreeMap<i64, Run> = runs::newest(connection)?;
    let mut statement = connection.prepare_cached(
        "SELECT number, name, success_started_at, success_at, failures, cursor FROM sync ORDER BY name",
    )?;
    let mut rows = statement.query([])?;
    let mut summaries = Vec::new();
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        let (parked, conflicted) = waiting.get(&number).copied().unwrap_or_default();
        summaries.push(Summary {
            sync: row.get(1)?,
            last: last.remove(&number),
            last_success_started_at: codec::time_or_null(row, 2)?,
            last_success_at: codec::time_or_null(row, 3)?,
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

fn by_schedule(connection: &Connection) -> Result<BySchedule, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT sync, schedule, started_at, finished_at FROM sync_success")?;
    let mut rows = statement.query([])?;
    let mut found = BySchedule::new();
    while let Some(row) = rows.next()? {
        let span = (codec::time(row, 2)?, codec::time(row, 3)?);
        found.entry(row.get(0)?).or_default().insert(row.get(1)?, span);
    }
    Ok(found)
}

/// Parked records and conflicts, by the number of their sync.
fn waiting(connection: &Connection) -> Result<BTreeMap<i64, (u64, u64)>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT sync, sum(code <> ?1), sum(code = ?1) FROM parked GROUP BY sync ORDER BY sync",
    )?;
    let mut rows = statement.query(params![CONFLICT])?;
    let mut found = BTreeMap::new();
    while let Some(row) = rows.next()? {
        found.insert(row.get(0)?, (codec::unsigned(row, 1)?, codec::unsigned(row, 2)?));
    }
    Ok(found)
}

fn held(connection: &Connection) -> Result<BTreeMap<i64, u64>, Fault> {
    let mut statement = connection.prepare_cached("SELECT sync, count(*) FROM held GROUP BY sync")?;
    let mut rows = statement.query([])?;
    let mut found = BTreeMap::new();
    while let Some(row) = rows.next()? {
        found.insert(row.get(0)?, codec::unsigned(row, 1)?);
    }
    Ok(found)
}
