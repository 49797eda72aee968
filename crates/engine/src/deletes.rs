//! Records that are gone from the source: held, marked or deleted.

use jiff::Timestamp;
use syncline_core::{
    guard::{self, Verdict},
    identity::Identity,
    plan::Fields,
    seen::Seen,
    sync::DeletePolicy,
    value::Value,
};
use syncline_store::{Entry, IntentKind, KeyValues, LedgerRow};

use crate::{
    Bound, Engine, Error,
    planner::{Outcome, Work},
};

/// Ledger rows looked at in one go.
pub(crate) const PAGE: usize = 1_000;

/// What a complete listing says about the records it did not show.
#[derive(Debug)]
pub(crate) struct Judgement {
    /// How many are gone.
    pub gone: u64,
    /// Allowed, or held with the reason.
    pub verdict: Verdict,
    /// The standing approval, if any.
    pub approval: Option<u64>,
}

/// Counts the records that are gone and asks the guard. `listed`: records the source showed.
///
/// Ledger rows above `last_seq` were made by this run and are not gone.
pub(crate) async fn judge(
    engine: &Engine,
    bound: &Bound,
    seen: &Seen,
    last_seq: u64,
    listed: u64,
) -> Result<Judgement, Error> {
    let mut gone = 0;
    let mut after = 0;
    loop {
        let (page, next) = engine.store.unseen(&bound.sync.name, seen, after, PAGE).await?;
        gone += page.iter().filter(|(_, entry)| entry.seq <= last_seq).count() as u64;
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
    let known = engine.store.known(&bound.sync.name).await?.iter().map(|(_, n)| n).sum();
    let approval = engine.store.approval(&bound.sync.name).await?;
    Ok(Judgement {
        gone,
        verdict: guard::judge(&bound.sync.deletes, gone, known, listed, approval),
        approval,
    })
}

/// The work of one record that is gone; `None` when the policy says to leave it.
pub(crate) fn work(
    bound: &Bound,
    identity: Identity,
    entry: &Entry,
    key: KeyValues,
    fields: Fields,
    now: Timestamp,
) -> Option<Work> {
    let stream = bound.mapping.stream_of(&entry.stream);
    let mut row = LedgerRow {
        identity,
        stream: entry.stream.to_string(),
        record_id: entry.record_id.clone(),
        version: entry.version.clone(),
        hash: entry.hash,
        gone: false,
        key,
        fields: fields.clone(),
    };
    let (kind, values, changed) = match bound.sync.deletes.policy {
        DeletePolicy::Ignore => return None,
        DeletePolicy::Delete => (IntentKind::Delete, Vec::new(), Vec::new()),
        DeletePolicy::Soft { .. } => {
            let stream = stream?;
            let (index, value) = bound.mapping.gone_value(stream, now.as_microsecond())?;
            let mapped = &bound.mapping.streams[stream].fields;
            let mut values = vec![Value::Null; mapped.len()];
            row.fields.insert(mapped[index].name.clone(), value.to_json());
            values[index] = value;
            row.gone = true;
            (IntentKind::Update, values, vec![index])
        }
    };
    Some(Work {
        kind,
        outcome: Outcome::Deleted,
        row,
        stream,
        from: None,
        values,
        changed,
        old: fields,
        stamp: false,
        note: None,
    })
}
