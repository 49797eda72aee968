//! Finding out what became of intents that a crash left open. Only looks; the caller records.

use std::collections::BTreeMap;

use syncline_connect::destination::{Applied, Record, Stamp};
use syncline_core::{identity::Identity, schema::Stream, sync::OnEdit};
use syncline_store::{Intent, IntentKind, LedgerChange, LedgerRow};

use crate::{Bound, Engine, Error, writer::Writer};

/// What became of the open intents.
#[derive(Debug, Default)]
pub(crate) struct Resolution {
    /// Ledger changes that follow.
    pub ledger: Vec<LedgerChange>,
    /// Intents whose outcome is known now.
    pub closed: Vec<Identity>,
    /// Moves whose new record is there: the old one must still be removed.
    pub moved: Vec<Intent>,
    /// Records whose stamp several destination records carry: their intents stay open and nothing is sent for them.
    pub quarantined: Vec<(Intent, usize)>,
}

/// Resolves the open intents of a sync. `writer` knows streams the sync does not name any more.
pub(crate) async fn resolve(
    engine: &Engine,
    bound: &Bound,
    writer: &mut Writer<'_>,
) -> Result<Resolution, Error> {
    let intents = engine.store.open_intents(&bound.sync.name).await?;
    let mut resolution = Resolution::default();
    let mut groups: BTreeMap<(String, bool), Vec<Intent>> = BTreeMap::new();
    for intent in intents {
        match (intent.kind, intent.created) {
            (IntentKind::Move, true) => resolution.moved.push(intent),
            (IntentKind::Create | IntentKind::Move, _) => {
                groups.entry((intent.row.stream.clone(), true)).or_default().push(intent);
            }
            (IntentKind::Update | IntentKind::Delete, _) => {
                groups.entry((intent.row.stream.clone(), false)).or_default().push(intent);
            }
        }
    }
    for ((stream_id, by_stamp), intents) in groups {
        let doing = "finding out what an interrupted run did";
        let stream = writer.stream(&stream_id, None).await.map_err(Error::connect(doing))?;
        let found = if by_stamp {
            look_by_stamp(engine, bound, &stream, &intents).await?
        } else {
            look_by_id(engine, bound, &stream, &intents).await?
        };
        for (intent, records) in intents.into_iter().zip(found) {
            conclude(bound, intent, &records, &mut resolution);
        }
    }
    Ok(resolution)
}

fn conclude(bound: &Bound, intent: Intent, found: &[Record], resolution: &mut Resolution) {
    let identity = intent.row.identity;
    match (intent.kind, found) {
        (IntentKind::Create | IntentKind::Move, [record]) => {
            resolution.ledger.push(LedgerChange::Put(settled(bound, &intent.row, record)));
            if intent.kind == IntentKind::Move {
                resolution.moved.push(intent);
            } else {
                resolution.closed.push(identity);
            }
        }
        (IntentKind::Create | IntentKind::Move, [_, _, ..]) => {
            resolution.quarantined.push((intent, found.len()));
        }
        // Not applied: the record is planned anew, for the cursor has not passed it.
        (IntentKind::Create | IntentKind::Move, []) => resolution.closed.push(identity),
        (IntentKind::Update | IntentKind::Delete, []) => {
            resolution.ledger.push(LedgerChange::Remove(identity));
            resolution.closed.push(identity);
        }
        (IntentKind::Update, [record, ..]) => {
            resolution.ledger.extend(updated(bound, &intent.row, record).map(LedgerChange::Put));
            resolution.closed.push(identity);
        }
        (IntentKind::Delete, _) => resolution.closed.push(identity),
    }
}

/// The ledger row after an update that may have been applied; `None`: the ledger is right as it is.
fn updated(bound: &Bound, intended: &LedgerRow, record: &Record) -> Option<LedgerRow> {
    let row = settled(bound, intended, record);
    if row.hash.is_some() {
        return Some(row);
    }
    // In the version that the update expected, the record still is what the ledger says. In another one somebody edited
    // it, perhaps on top of our update. It is planned anew, without a mark: that follows again if its source record is
    // still away. Where edits are reported, the old version in the ledger lets the next update find them.
    let untouched = intended.version.is_some() && record.version == intended.version;
    (!untouched && bound.sync.on_edit == OnEdit::Overwrite).then_some(LedgerRow { gone: false, ..row })
}

/// The ledger row of a record that was found: with the intended hash when it holds what was intended, and with none when it
/// holds something else, so that the next plan writes it.
fn settled(bound: &Bound, intended: &LedgerRow, record: &Record) -> LedgerRow {
    let holds = bound.mapping.stream_of(&intended.stream).map(|stream| {
        // The mapping may have other fields now than when the intent was made.
        bound.mapping.hash(stream, &record.values, &mut Vec::new())
    });
    let hash = intended.hash.filter(|hash| holds == Some(*hash));
    let Applied { id, version } = Applied { id: record.id.clone(), version: record.version.clone() };
    LedgerRow { record_id: id, version, hash, ..intended.clone() }
}

async fn look_by_stamp(
    engine: &Engine,
    bound: &Bound,
    stream: &Stream,
    intents: &[Intent],
) -> Result<Vec<Vec<Record>>, Error> {
    let stamp = bound.destination.stamp(stream);
    if stamp == Stamp::None {
        return Ok(vec![Vec::new(); intents.len()]);
    }
    let mut found = stamped(engine, bound, stream, intents).await?;
    // Where the system itself does not refuse a second one, a create may still arrive: wait for it once.
    if stamp == Stamp::Indexed && found.iter().any(Vec::is_empty) {
        tokio::time::sleep(bound.destination.facts().settle).await;
        found = stamped(engine, bound, stream, intents).await?;
    }
    Ok(found)
}

async fn stamped(
    engine: &Engine,
    bound: &Bound,
    stream: &Stream,
    intents: &[Intent],
) -> Result<Vec<Vec<Record>>, Error> {
    let fields = fields(bound, stream);
    let mut found = Vec::with_capacity(intents.len());
    for chunk in intents.chunks(bound.destination.facts().batch_max.max(1)) {
        let identities: Vec<Identity> = chunk.iter().map(|i| i.row.identity).collect();
        let records = patiently(engine, || bound.destination.lookup(stream, &fields, &identities)).await?;
        for identity in &identities {
            let stamp = identity.stamp();
            found.push(
                records.iter().filter(|r| r.stamp.as_deref() == Some(stamp.as_str())).cloned().collect(),
            );
        }
    }
    Ok(found)
}

async fn look_by_id(
    engine: &Engine,
    bound: &Bound,
    stream: &Stream,
    intents: &[Intent],
) -> Result<Vec<Vec<Record>>, Error> {
    let fields = fields(bound, stream);
    let mut found = Vec::with_capacity(intents.len());
    for chunk in intents.chunks(bound.destination.facts().batch_max.max(1)) {
        let ids: Vec<String> = chunk.iter().map(|i| i.row.record_id.clone()).collect();
        let records = patiently(engine, || bound.destination.get(stream, &fields, &ids)).await?;
        found.extend(records.into_iter().map(|record| record.into_iter().collect::<Vec<_>>()));
    }
    Ok(found)
}

fn fields(bound: &Bound, stream: &Stream) -> std::sync::Arc<[syncline_core::schema::Field]> {
    let index = bound.mapping.stream_of(&stream.id).unwrap_or_default();
    std::sync::Arc::clone(&bound.mapping.streams[index].fields)
}

/// A read, tried again as often as the policy says.
pub(crate) async fn patiently<T, F>(engine: &Engine, mut read: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, syncline_connect::Error>>,
{
    use syncline_connect::error::Kind;
    let mut random = fastrand::Rng::with_seed(engine.seed);
    let mut attempt = 0;
    loop {
        let error = match read().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let asked = match error.kind {
            // The budget waits; a throttled request is no attempt.
            Kind::Throttled { .. } => continue,
            Kind::Unreachable | Kind::Unanswered | Kind::Protocol | Kind::Locked => std::time::Duration::ZERO,
            _ => return Err(Error::connect("reading the destination")(error)),
        };
        attempt += 1;
        if attempt >= engine.retry.attempts {
            return Err(Error::connect("reading the destination")(error));
        }
        tokio::time::sleep(engine.retry.backoff(attempt, asked, random.f64())).await;
    }
}
