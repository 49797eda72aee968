//! Drift: the destination is read again and compared with what was last written.

use std::collections::BTreeMap;

use syncline_core::{counts::Counts, run::Status, sync::Mode};
use syncline_store::{About, Comparison, Drift, DriftKind, NewRun, RunEnd};

use crate::{Bound, Engine, Error, contact};

/// Lists the destination completely and compares it with the ledger; at most `limit` findings of each kind.
///
/// Writes nothing. A destination that cannot be listed completely is an error, never a finding: then nothing is known.
///
/// # Errors
/// A system or the store failed.
pub async fn verify(engine: &Engine, bound: &Bound, limit: usize) -> Result<Comparison, Error> {
    let turn = contact::list(engine, bound).await?;
    let streams: Vec<String> = bound.mapping.streams.iter().map(|s| s.stream.id.clone()).collect();
    let comparison = engine.store.compare(&bound.sync.name, &streams, limit).await?;
    engine.store.scratch_clear().await?;
    drop(turn);
    Ok(comparison)
}

/// Makes the next retry of parked records repair what was found: edited records are written again, missing ones made again.
/// Duplicates, orphans and strangers are never touched. Returns how many records will be repaired.
///
/// Durable: the marks are in the store when this returns.
///
/// # Errors
/// The store failed, or another run holds the sync.
pub async fn mark(engine: &Engine, bound: &Bound, drift: &[Drift]) -> Result<u64, Error> {
    let repairable: Vec<Drift> = drift
        .iter()
        .filter(|d| matches!(d.kind, DriftKind::Missing | DriftKind::Edited) && d.identity.is_some())
        .cloned()
        .collect();
    if repairable.is_empty() {
        return Ok(0);
    }
    let now = engine.clock.now();
    let lease = engine.store.claim(&bound.sync.name, now).await?;
    let reason = Some("verify --repair: marks what drifted".to_owned());
    let run = engine
        .store
        .start_run(&lease, NewRun { mode: Mode::Incremental, reason, about: About::default(), at: now })
        .await?;
    engine.store.mark_drifted(&lease, run, &repairable, now).await?;
    let end = RunEnd {
        status: Status::Succeeded,
        counts: Counts::default(),
        by_stream: BTreeMap::new(),
        error: None,
        notes: Vec::new(),
        at: engine.clock.now(),
    };
    engine.store.finish_run(&lease, run, end).await?;
    Ok(repairable.len() as u64)
}
