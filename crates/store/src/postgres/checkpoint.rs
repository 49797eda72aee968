//! The one transaction after a batch: outcomes, parked and held records, counts, cursor, quota.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    codec::{self, Wide},
    connection::Work,
    fault::Fault,
    intents,
    lease::{self, Token},
    ledger::{self, Put},
    parked, runs, written,
};
use crate::{Checkpoint, Held, LedgerChange, RunId};

/// The JSON of a checkpoint's ledger rows, in the order of `ledger`, made before the transaction begins.
pub(super) struct Prepared {
    wide: Vec<Option<Wide>>,
}

impl Prepared {
    pub(super) fn of(checkpoint: &Checkpoint) -> Result<Self, Fault> {
        let wide = checkpoint.ledger.iter().map(|change| match change {
            LedgerChange::Put(row) => Wide::of(row).map(Some),
            LedgerChange::Remove(_) => Ok(None),
        });
        Ok(Self { wide: wide.collect::<Result<_, _>>()? })
    }
}

/// Records a checkpoint. What could not be prepared is told only to who still holds the sync.
///
/// Rows that syncs share are taken last and always in the same order: streams by their ids, the counter of the ledger,
/// spent units. So two checkpoints wait for each other for a moment, and never in a circle.
pub(super) async fn apply(
    work: &Work<'_>,
    lease: &Token,
    run: RunId,
    checkpoint: &Checkpoint,
    prepared: Result<Prepared, Fault>,
) -> Result<(), Fault> {
    let claimed = lease::hold(work, lease).await?;
    let prepared = prepared?;
    runs::record_counts(work, &claimed, run, &checkpoint.counts, &checkpoint.by_stream).await?;
    intents::half_done(work, claimed.sync, &checkpoint.created).await?;
    intents::close(work, claimed.sync, &checkpoint.closed).await?;

    // Unparked first: a record that is in both has failed again.
    if !checkpoint.unparked.is_empty() {
        parked::unpark(work, claimed.sync, &checkpoint.unparked).await?;
    }
    for record in &checkpoint.parked {
        expect_own(lease, &record.sync)?;
    }
    parked::put(work, claimed.sync, &checkpoint.parked).await?;
    if checkpoint.approval_used {
        parked::forget_approval(work, claimed.sync).await?;
    }
    if let Some(cursor) = &checkpoint.cursor {
        runs::set_cursor(work, claimed.sync, cursor).await?;
    }

    let in_ledger = checkpoint.ledger.iter().filter_map(|change| match change {
        LedgerChange::Put(row) => Some(row.stream.as_str()),
        LedgerChange::Remove(_) => None,
    });
    let in_held = checkpoint.held.iter().flatten().map(|held| held.stream.as_str());
    let in_written = checkpoint.written.iter().map(|written| written.stream.as_str());
    let streams = ledger::stream_numbers(work, in_ledger.chain(in_held).chain(in_written)).await?;
    if let Some(held) = &checkpoint.held {
        replace_held(work, lease, claimed.sync, held, &streams).await?;
    }
    change_ledger(work, claimed.sync, run, checkpoint, &prepared, &streams).await?;
    written::append(work, run, &checkpoint.written, checkpoint.at, &streams).await?;
    spend(work, &checkpoint.spent, checkpoint.at).await
}

/// Makes the changes in their order, as many at once as can be: puts until an identity comes again, removals likewise.
async fn change_ledger(
    work: &Work<'_>,
    sync: i32,
    run: RunId,
    checkpoint: &Checkpoint,
    prepared: &Prepared,
    streams: &BTreeMap<String, i32>,
) -> Result<(), Fault> {
    let run = codec::signed(run)?;
    let changes: Vec<_> = checkpoint.ledger.iter().zip(&prepared.wide).collect();
    for alike in changes
        .chunk_by(|(a, _), (b, _)| matches!(a, LedgerChange::Put(_)) == matches!(b, LedgerChange::Put(_)))
    {
        let (mut puts, mut removed) = (Vec::new(), Vec::new());
        for (change, wide) in alike {
            match change {
                LedgerChange::Remove(identity) => removed.push(identity.0.as_slice()),
                LedgerChange::Put(row) => {
                    let (Some(wide), Some(stream)) = (wide.as_ref(), streams.get(&row.stream)) else {
                        return Err(Fault::Broken("a row of a checkpoint was not prepared".to_owned()));
                    };
                    puts.push(Put { row, wide, stream: *stream });
                }
            }
        }
        if !removed.is_empty() {
            ledger::remove(work, sync, &removed).await?;
        }
        for part in codec::without_repeats(&puts, |put| put.row.identity) {
            ledger::put(work, sync, run, part).await?;
        }
    }
    Ok(())
}

async fn replace_held(
    work: &Work<'_>,
    lease: &Token,
    sync: i32,
    held: &[Held],
    streams: &BTreeMap<String, i32>,
) -> Result<(), Fault> {
    work.execute("DELETE FROM held WHERE tenant = $1 AND sync = $2", &[&work.tenant, &sync]).await?;
    if held.is_empty() {
        return Ok(());
    }
    for record in held {
        expect_own(lease, &record.sync)?;
    }
    let identities: Vec<&[u8]> = held.iter().map(|held| held.identity.0.as_slice()).collect();
    let labels: Vec<_> = held.iter().map(|held| codec::text(&held.label)).collect();
    let numbers: Vec<Option<i32>> = held.iter().map(|held| streams.get(&held.stream).copied()).collect();
    let records: Vec<&str> = held.iter().map(|held| held.record_id.as_str()).collect();
    let reasons: Vec<_> = held.iter().map(|held| codec::text(&held.reason)).collect();
    let since = held.iter().map(|held| codec::time(held.since)).collect::<Result<Vec<_>, _>>()?;
    let runs = held.iter().map(|held| codec::signed(held.run)).collect::<Result<Vec<_>, _>>()?;
    work.execute(
        "INSERT INTO held (tenant, sync, identity, label, stream, record_id, reason, since, run)
         SELECT $1, $2, * FROM unnest($3::bytea[], $4::text[], $5::int[], $6::text[], $7::text[],
           $8::timestamptz[], $9::bigint[])",
        &[&work.tenant, &sync, &identities, &labels, &numbers, &records, &reasons, &since, &runs],
    )
    .await?;
    Ok(())
}

/// A lease gives the right to write for one sync.
fn expect_own(lease: &Token, sync: &str) -> Result<(), Fault> {
    if lease.sync == sync {
        return Ok(());
    }
    Err(Fault::Broken(format!("a checkpoint of sync {:?} holds a record of sync {sync:?}", lease.sync)))
}

async fn spend(work: &Work<'_>, spent: &[(String, u64)], at: Timestamp) -> Result<(), Fault> {
    if spent.is_empty() {
        return Ok(());
    }
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for (budget, units) in spent {
        let sum = sums.entry(budget).or_default();
        let more = sum.checked_add(codec::signed(*units)?);
        *sum = more.ok_or_else(|| Fault::Broken("a number above 2^63".to_owned()))?;
    }
    let (budgets, units): (Vec<&str>, Vec<i64>) = sums.into_iter().unzip();
    work.execute(
        "INSERT INTO spent (tenant, budget, at, units)
         SELECT $1, budget, $2, units FROM unnest($3::text[], $4::bigint[]) AS given (budget, units)
         ON CONFLICT (tenant, budget, at) DO UPDATE SET units = spent.units + excluded.units",
        &[&work.tenant, &codec::time(at)?, &budgets, &units],
    )
    .await?;
    Ok(())
}
