//! The right to write for one sync: a row with an end by the database's clock, and an epoch for those who lost it.

use jiff::Timestamp;
use syncline_core::run::Status;

use super::{codec, connection::Work, fault::Fault, keeper::Keeper};
use crate::Lease;

/// What a leased write knows: which sync, by its number.
pub(super) struct Claimed {
    pub(super) sync: i32,
    pub(super) epoch: i64,
}

/// Which lease a write is made under. Made only of one that this process did not lose, as far as it knows.
pub(super) struct Token {
    pub(super) sync: String,
    pub(super) epoch: u64,
}

impl Token {
    /// # Errors
    /// [`Fault::Stale`] when this process could not renew the lease in time, whatever the database says.
    pub(super) fn of(lease: &Lease, keeper: &Keeper) -> Result<Self, Fault> {
        let (sync, epoch) = (lease.sync.clone(), lease.epoch);
        if keeper.lost(&sync, epoch) {
            return Err(Fault::Stale { sync, ours: epoch, found: epoch });
        }
        Ok(Self { sync, epoch })
    }
}

/// Raises the epoch, writes down who holds the sync, and closes what a dead process left; returns number and epoch.
///
/// The sync's row is locked first, so of several that ask, one looks at a time.
pub(super) async fn claim(
    work: &Work<'_>,
    sync: &str,
    holder: &str,
    lease_ms: i64,
    now: Timestamp,
) -> Result<(i32, u64), Fault> {
    let number = locked(work, sync).await?;
    let held = work
        .row(
            "SELECT holder FROM lease WHERE tenant = $1 AND sync = $2 AND until > clock_timestamp()",
            &[&work.tenant, &number],
        )
        .await?;
    if let Some(row) = held {
        return Err(Fault::Busy { sync: sync.to_owned(), holder: row.try_get(0)? });
    }
    let now = codec::time(now)?;
    let raised = work
        .one(
            "WITH raised AS (
               UPDATE sync SET epoch = epoch + 1 WHERE tenant = $1 AND number = $2 RETURNING epoch)
             INSERT INTO lease (tenant, sync, epoch, holder, until)
             SELECT $1, $2, epoch, $3, clock_timestamp() + $4 * interval '1 millisecond' FROM raised
             ON CONFLICT (tenant, sync) DO UPDATE SET epoch = excluded.epoch, holder = excluded.holder,
               until = excluded.until
             RETURNING epoch",
            &[&work.tenant, &number, &holder, &(lease_ms as f64)],
        )
        .await?;
    let closed = work
        .execute(
            "UPDATE run SET status = $3, finished_at = $4
             WHERE tenant = $1 AND sync = $2 AND status IN ('queued', 'running')",
            &[&work.tenant, &number, &Status::Interrupted.as_str(), &now],
        )
        .await?;
    if closed > 0 {
        tracing::info!(sync, runs = closed, "runs of a dead process are now interrupted");
    }
    Ok((number, codec::unsigned(&raised, 0)?))
}

/// The number of a sync, whose row is locked; a sync that is new gets a row.
async fn locked(work: &Work<'_>, sync: &str) -> Result<i32, Fault> {
    let sql = "SELECT number FROM sync WHERE tenant = $1 AND name = $2 FOR NO KEY UPDATE";
    if let Some(row) = work.row(sql, &[&work.tenant, &sync]).await? {
        return Ok(row.try_get(0)?);
    }
    work.execute(
        "INSERT INTO sync (tenant, name) VALUES ($1, $2) ON CONFLICT (tenant, name) DO NOTHING",
        &[&work.tenant, &sync],
    )
    .await?;
    Ok(work.one(sql, &[&work.tenant, &sync]).await?.try_get(0)?)
}

/// Refuses a lease that is no longer the newest.
pub(super) async fn look(work: &Work<'_>, lease: &Token) -> Result<Claimed, Fault> {
    check(work, lease, "SELECT number, epoch FROM sync WHERE tenant = $1 AND name = $2").await
}

/// As [`look`], and keeps it so until the transaction ends: a claim waits for the row. First in every leased write.
pub(super) async fn hold(work: &Work<'_>, lease: &Token) -> Result<Claimed, Fault> {
    check(work, lease, "SELECT number, epoch FROM sync WHERE tenant = $1 AND name = $2 FOR NO KEY UPDATE")
        .await
}

async fn check(work: &Work<'_>, lease: &Token, sql: &str) -> Result<Claimed, Fault> {
    let found = work.row(sql, &[&work.tenant, &lease.sync]).await?;
    let ours = codec::signed(lease.epoch)?;
    let stale = |found| Fault::Stale { sync: lease.sync.clone(), ours: lease.epoch, found };
    // A store without the sync is a new store in the place of ours.
    let Some(row) = found else { return Err(stale(0)) };
    let epoch: i64 = row.try_get(1)?;
    if epoch == ours {
        Ok(Claimed { sync: row.try_get(0)?, epoch })
    } else {
        Err(stale(codec::unsigned(&row, 1)?))
    }
}

/// The number of a sync, if the store has heard of it.
pub(super) async fn number(work: &Work<'_>, sync: &str) -> Result<Option<i32>, Fault> {
    let row =
        work.row("SELECT number FROM sync WHERE tenant = $1 AND name = $2", &[&work.tenant, &sync]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}
