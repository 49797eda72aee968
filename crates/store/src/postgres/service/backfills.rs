//! Backfills and how far they are.

use jiff::Timestamp;
use syncline_core::run::Status;
use tokio_postgres::Row;

use super::{
    claims, codec,
    connection::Work,
    fault::Fault,
    filter::{self, Filter},
    words,
};
use crate::service::{Backfill, BackfillId, BackfillProgress, ClaimId, NewBackfill, Subject};

pub(super) async fn create(
    work: &Work<'_>,
    backfill: &NewBackfill,
    now: Timestamp,
) -> Result<BackfillId, Fault> {
    let row = work
        .one(
            "INSERT INTO backfill (tenant, sync, from_value, to_value, requested_by, created_at, status, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, 'queued', $6) RETURNING id",
            &[
                &work.tenant,
                &backfill.sync,
                &backfill.from,
                &backfill.to,
                &backfill.requested_by,
                &codec::time(now)?,
            ],
        )
        .await?;
    codec::unsigned(&row, 0)
}

pub(super) async fn record(
    work: &Work<'_>,
    claim: &ClaimId,
    id: BackfillId,
    progress: &BackfillProgress,
) -> Result<(), Fault> {
    let subject = claims::check(work, claim).await?;
    let (code, message) = words::error_parts(progress.error.as_ref());
    let recorded = work
        .execute(
            "UPDATE backfill SET status = $3, done_until = $4, run = $5, error_code = $6, error_message = $7,
               changed_at = $8
             WHERE tenant = $1 AND id = $2",
            &[
                &work.tenant,
                &filter::number(id),
                &progress.status.as_str(),
                &progress.done_until,
                &words::number_or_null(progress.run)?,
                &code,
                &message,
                &codec::time(progress.at)?,
            ],
        )
        .await?;
    if subject != Subject::backfill(id) || recorded != 1 {
        return Err(Fault::Broken(format!("a claim of {subject} is none of backfill {id}")));
    }
    Ok(())
}

/// Columns of a [`Backfill`], for [`read`].
const BACKFILL: &str =
    "SELECT id, sync, from_value, to_value, requested_by, created_at, status, done_until, run,
    error_code, error_message, changed_at FROM backfill";

pub(super) async fn get(work: &Work<'_>, id: BackfillId) -> Result<Option<Backfill>, Fault> {
    let sql = format!("{BACKFILL} WHERE tenant = $1 AND id = $2");
    work.row(&sql, &[&work.tenant, &filter::number(id)]).await?.map(|row| read(&row)).transpose()
}

pub(super) async fn list(
    work: &Work<'_>,
    sync: Option<&str>,
    before: Option<BackfillId>,
    limit: usize,
) -> Result<Vec<Backfill>, Fault> {
    let rows = Filter::of(work, "tenant")
        .and("sync = $$", sync.map(str::to_owned))
        .and("id < $$", before.map(filter::number))
        .rows(work, BACKFILL, "id DESC", limit)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Backfill, Fault> {
    Ok(Backfill {
        id: codec::unsigned(row, 0)?,
        asked: NewBackfill {
            sync: row.try_get(1)?,
            from: row.try_get(2)?,
            to: row.try_get(3)?,
            requested_by: row.try_get(4)?,
        },
        created_at: codec::stored_time(row, 5)?,
        progress: BackfillProgress {
            status: words::word(row, 6, Status::parse, "status")?,
            done_until: row.try_get(7)?,
            run: codec::unsigned_or_null(row, 8)?,
            error: words::error(row, 9)?,
            at: codec::stored_time(row, 11)?,
        },
    })
}
