//! Finding out what became of intents that a crash left open. Only looks; the caller records.

use std::collections::BTreeMap;

use syncline_connect::destination::{Applied, Record, Stamp};
use syncline_core::{identity::Identity, mutant, schema::Stream};
use syncline_store::{Intent, IntentKind, LedgerChange, LedgerRow, WriteKind, Written};

use crate::{Bound, Engine, Error, account::written, writer::Writer};

/// What became of the open intents.
#[derive(Debug, Default)]
pub(crate) struct Resolution {
    /// Ledger changes that follow.
    pub ledger: Vec<LedgerChange>,
    /// What was done, and is not remembered yet.
    pub written: Vec<Written>,
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
            look_by_id_and_stamp(engine, bound, &stream, &intents).await?
        };
        let identities: Vec<Identity> = intents.iter().map(|i| i.row.identity).collect();
        let known = engine.store.find(&bound.sync.name, &identities).await?;
        for ((intent, records), known) in intents.into_iter().zip(found).zip(known) {
            conclude(bound, intent, &records, known.is_some(), &mut resolution);
        }
    }
    Ok(resolution)
}

/// `known`: whether the record is in the ledger. An update of one that is not was to adopt it; until it carries our stamp it is
/// somebody else's.
fn conclude(bound: &Bound, intent: Intent, found: &[Record], known: bool, resolution: &mut Resolution) {
    let identity = intent.row.identity;
    match (intent.kind, found) {
        (IntentKind::Create | IntentKind::Move, [record]) => {
            let row = settled(bound, &intent.row, record);
            let is_move = intent.kind == IntentKind::Move;
            resolution.written.push(written(if is_move { WriteKind::Move } else { WriteKind::Create }, &row));
            resolution.ledger.push(LedgerChange::Put(row));
            if is_move {
                resolution.moved.push(intent);
            } else {
                resolution.closed.push(identity);
            }
        }
        (IntentKind::Create | IntentKind::Move | IntentKind::Update, [_, _, ..]) => {
            resolution.quarantined.push((intent, found.len()));
        }
        // Not applied: the record is planned anew, for the cursor has not passed it.
        (IntentKind::Create | IntentKind::Move, []) => resolution.closed.push(identity),
        (IntentKind::Update | IntentKind::Delete, []) => {
            if intent.kind == IntentKind::Delete {
                resolution.written.push(written(WriteKind::Delete, &intent.row));
            }
            resolution.ledger.extend(known.then_some(LedgerChange::Remove(identity)));
            resolution.closed.push(identity);
        }
        (IntentKind::Update, [record]) => {
            let row = settled(bound, &intent.row, record);
            if known
                || mutant!(RecoveryTakesStrangers)
                || record.stamp.as_deref() == Some(identity.stamp().as_str())
            {
                let row = if row.hash.is_some() {
                    let kind = match row.gone {
                        true => WriteKind::Delete,
                        false if row.record_id != intent.row.record_id => WriteKind::Create,
                        false => WriteKind::Update,
                    };
                    resolution.written.push(written(kind, &row));
                    row
                } else {
                    unsettled(intent.row)
                };
                resolution.ledger.push(LedgerChange::Put(row));
            }
            resolution.closed.push(identity);
        }
        (IntentKind::Delete, [_, ..]) => {
            resolution.ledger.push(LedgerChange::Put(unsettled(intent.row)));
            resolution.closed.push(identity);
        }
    }
}

/// The ledger row of a record for which an update or delete was not applied, or not yet: what is on its way may still arrive.
/// Without a hash the next plan writes the record, also when the source says again what the ledger said; that gives it a new
/// version, and a latecomer is refused. The version expected stays, so that somebody else's edit is not taken for ours.
pub(crate) fn unsettled(intended: LedgerRow) -> LedgerRow {
    let hash = intended.hash.filter(|_| mutant!(RecoveryTrustsLedger));
    LedgerRow { hash, gone: false, ..intended }
}

/// The ledger row of a record that was found: with the intended hash when it holds what was intended, and with none when it
/// holds something else, so that the next plan writes it.
fn settled(bound: &Bound, intended: &LedgerRow, record: &Record) -> LedgerRow {
    let holds = bound.mapping.stream_of(&intended.stream).map(|stream| {
        // The mapping may have other fields now than when the intent was made.
        let hash = bound.mapping.hash(stream, &record.values, &mut Vec::new());
        (hash, bound.mapping.is_gone(&record.values))
    });
    let hash = intended.hash.filter(|hash| holds == Some((*hash, intended.gone)));
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
    if stamp == Stamp::None || mutant!(RecoveryForgetsCreates) {
        return Ok(vec![Vec::new(); intents.len()]);
    }
    let mut found = stamped(engine, bound, stream, intents).await?;
    // A create may still arrive, or not be found yet: wait for it once. Even where the system itself refuses a second one:
    // when the source record goes meanwhile, nobody would make a second one, and the first would belong to nobody.
    if found.iter().any(Vec::is_empty) {
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

/// A record whose update found it gone was made again: then it has another id, and its stamp leads to it.
async fn look_by_id_and_stamp(
    engine: &Engine,
    bound: &Bound,
    stream: &Stream,
    intents: &[Intent],
) -> Result<Vec<Vec<Record>>, Error> {
    let mut found = look_by_id(engine, bound, stream, intents).await?;
    let remade = |at: &usize| {
        let intent = &intents[*at];
        found[*at].is_empty() && intent.kind == IntentKind::Update && !intent.row.gone
    };
    let remade: Vec<usize> = (0..intents.len()).filter(remade).collect();
    if remade.is_empty() {
        return Ok(found);
    }
    let again: Vec<Intent> = remade.iter().map(|at| intents[*at].clone()).collect();
    for (at, records) in remade.into_iter().zip(look_by_stamp(engine, bound, stream, &again).await?) {
        found[at] = records;
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

pub(crate) fn fields(bound: &Bound, stream: &Stream) -> std::sync::Arc<[syncline_core::schema::Field]> {
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
