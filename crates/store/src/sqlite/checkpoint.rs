//! The one transaction after a batch: outcomes, parked and held records, counts, cursor, quota.

use jiff::Timestamp;
use rusqlite::{Transaction, params};

use super::{
    codec::{self, Wide},
    fault::Fault,
    intents,
    lease::{self, Token},
    ledger::{LedgerWriter, StreamNumbers},
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
pub(super) fn apply(
    transaction: &Transaction<'_>,
    lease: &Token,
    run: RunId,
    checkpoint: &Checkpoint,
    prepared: Result<Prepared, Fault>,
) -> Result<(), Fault> {
    let claimed = lease::check(transaction, lease)?;
    let prepared = prepared?;
    runs::record_counts(transaction, &claimed, run, &checkpoint.counts, &checkpoint.by_stream)?;

    let mut streams = StreamNumbers::default();
    let mut ledger = LedgerWriter::new(transaction, claimed.sync, run)?;
    for (change, wide) in checkpoint.ledger.iter().zip(&prepared.wide) {
        match (change, wide) {
            (LedgerChange::Put(row), Some(wide)) => ledger.put(row, wide, &mut streams)?,
            (LedgerChange::Put(row), None) => ledger.put(row, &Wide::of(row)?, &mut streams)?,
            (LedgerChange::Remove(identity), _) => ledger.remove(identity)?,
        }
    }
    ledger.finish()?;
    written::append(transaction, run, &checkpoint.written, checkpoint.at, &mut streams)?;
    intents::half_done(transaction, claimed.sync, &checkpoint.created)?;
    intents::close(transaction, claimed.sync, &checkpoint.closed)?;

    // Unparked first: a record that is in both has failed again.
    parked::unpark(transaction, claimed.sync, &checkpoint.unparked)?;
    for record in &checkpoint.parked {
        expect_own(lease, &record.sync)?;
        parked::put(transaction, claimed.sync, record)?;
    }
    if let Some(held) = &checkpoint.held {
        replace_held(transaction, lease, claimed.sync, held, &mut streams)?;
    }
    if checkpoint.approval_used {
        parked::forget_approval(transaction, claimed.sync)?;
    }
    if let Some(cursor) = &checkpoint.cursor {
        transaction
            .prepare_cached("UPDATE sync SET cursor = ?2 WHERE number = ?1")?
            .execute(params![claimed.sync, codec::cursor_text(cursor)?])?;
    }
    spend(transaction, &checkpoint.spent, checkpoint.at)
}

fn replace_held(
    transaction: &Transaction<'_>,
    lease: &Token,
    sync: i64,
    held: &[Held],
    streams: &mut StreamNumbers,
) -> Result<(), Fault> {
    transaction.prepare_cached("DELETE FROM held WHERE sync = ?1")?.execute([sync])?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO held (sync, identity, label, stream, record_id, reason, since, run)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for record in held {
        expect_own(lease, &record.sync)?;
        insert.execute(params![
            sync,
            record.identity.0,
            record.label,
            streams.of(transaction, &record.stream)?,
            record.record_id,
            record.reason,
            codec::time_text(record.since)?,
            codec::signed(record.run)?,
        ])?;
    }
    Ok(())
}

/// A lease gives the right to write for one sync.
fn expect_own(lease: &Token, sync: &str) -> Result<(), Fault> {
    if lease.sync == sync {
        return Ok(());
    }
    Err(Fault::Broken(format!("a checkpoint of sync {:?} holds a record of sync {sync:?}", lease.sync)))
}

fn spend(transaction: &Transaction<'_>, spent: &[(String, u64)], at: Timestamp) -> Result<(), Fault> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO spent (budget, at, units) VALUES (?1, ?2, ?3)
         ON CONFLICT (budget, at) DO UPDATE SET units = units + excluded.units",
    )?;
    for (budget, units) in spent {
        insert.execute(params![budget, codec::time_text(at)?, codec::signed(*units)?])?;
    }
    Ok(())
}
