//! Backfills and how far they are.

use jiff::Timestamp;
use rusqlite::{Connection, Row, Transaction, params, params_from_iter};
use syncline_core::run::Status;

use super::{
    claims, codec,
    fault::Fault,
    filter::{self, Filter},
    words,
};
use crate::service::{Backfill, BackfillId, BackfillProgress, ClaimId, NewBackfill, Subject};

pub(super) fn create(
    transaction: &Transaction<'_>,
    backfill: &NewBackfill,
    now: Timestamp,
) -> Result<BackfillId, Fault> {
    let id: i64 = transaction
        .prepare_cached(
            "INSERT INTO backfill (sync, from_value, to_value, requested_by, created_at, status, changed_at)
             VALUES (?1, ?2, ?3, ?4, ?5, 'queued', ?5) RETURNING id",
        )?
        .query_row(
            params![backfill.sync, backfill.from, backfill.to, backfill.requested_by, codec::time_text(now)?],
            |row| row.get(0),
        )?;
    u64::try_from(id).map_err(|_| Fault::Broken("a number below zero".to_owned()))
}

pub(super) fn record(
    transaction: &Transaction<'_>,
    claim: &ClaimId,
    id: BackfillId,
    progress: &BackfillProgress,
) -> Result<(), Fault> {
    let subject = claims::check(transaction, claim)?;
    let (code, message) = words::error_parts(progress.error.as_ref());
    let recorded = transaction
        .prepare_cached(
            "UPDATE backfill SET status = ?2, done_until = ?3, run = ?4, error_code = ?5, error_message = ?6,
               changed_at = ?7
             WHERE id = ?1",
        )?
        .execute(params![
            filter::number(id),
            progress.status.as_str(),
            progress.done_until,
            words::number_or_null(progress.run)?,
            code,
            message,
            codec::time_text(progress.at)?,
        ])?;
    if subject != Subject::backfill(id) || recorded != 1 {
        return Err(Fault::Broken(format!("a claim of {subject} is none of backfill {id}")));
    }
    Ok(())
}

/// Columns of a [`Backfill`], for [`read`].
const BACKFILL: &str = "id, sync, from_value, to_value, requested_by, created_at, status, done_until, run,
    error_code, error_message, changed_at FROM backfill";

pub(super) fn get(connection: &Connection, id: BackfillId) -> Result<Option<Backfill>, Fault> {
    let mut statement = connection.prepare_cached(&format!("SELECT {BACKFILL} WHERE id = ?1"))?;
    let mut rows = statement.query([filter::number(id)])?;
    rows.next()?.map(read).transpose()
}

pub(super) fn list(
    connection: &Connection,
    sync: Option<&str>,
    before: Option<BackfillId>,
    limit: usize,
) -> Result<Vec<Backfill>, Fault> {
    let filter =
        Filter::default().and("sync = ?", sync.map(str::to_owned)).and("id < ?", before.map(filter::number));
    let sql = format!("SELECT {BACKFILL} {filter} ORDER BY id DESC LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(filter.values(limit)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<Backfill, Fault> {
    Ok(Backfill {
        id: codec::unsigned(row, 0)?,
        asked: NewBackfill {
            sync: row.get(1)?,
            from: row.get(2)?,
            to: row.get(3)?,
            requested_by: row.get(4)?,
        },
        created_at: codec::time(row, 5)?,
        progress: BackfillProgress {
            status: words::word(row, 6, Status::parse, "status")?,
            done_until: row.get(7)?,
            run: codec::unsigned_or_null(row, 8)?,
            error: words::error(row, 9)?,
            at: codec::time(row, 11)?,
        },
    })
}
