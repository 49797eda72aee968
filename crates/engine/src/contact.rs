//! First contact: what the destination already holds is matched before it is written.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use syncline_connect::destination::{Listed, Record};
use syncline_core::{failpoint, identity::Identity, mapping::Mapped, mutant, plan::Fields, sync::Mode};
use syncline_store::{Entry, Parked, Scratch, Turn};

use crate::{Bound, Engine, Error, reading::Reading, run::is_due};

/// How many elements of a listing are kept before they are put into the scratch listing.
const PUT: usize = 1_000;

/// What the destination holds for a record the ledger does not know.
pub(crate) enum Match {
    /// Nothing.
    None,
    /// One record, by its stamp or by natural key.
    Found { entry: Entry, fields: Fields, stamped: bool },
    /// More than one, on either side; the sentence says which.
    Ambiguous(String),
}

/// Code of a record that is parked because it cannot be paired for certain.
pub(crate) const AMBIGUOUS: &str = "ambiguous";

/// Whether a run matches the destination: until a full run has come to its end, and then for records that could not be paired for
/// certain. Sent without another look, each would be one more of what there are too many of already.
pub(crate) fn wanted(reading: &Reading, parked: &[Parked], now: Timestamp) -> bool {
    let mut unsure = parked.iter().filter(|p| p.code == AMBIGUOUS);
    reading.contact
        || match reading.mode {
            Mode::Full => unsure.next().is_some(),
            Mode::Incremental => unsure.any(|p| is_due(p, now)),
        }
}

/// The records that could not be paired for certain, and why.
pub(crate) fn unsure(parked: &[Parked]) -> BTreeMap<Identity, String> {
    let unsure = parked.iter().filter(|p| p.code == AMBIGUOUS);
    unsure.map(|p| (p.identity, p.message.clone())).collect()
}

/// Lists the destination before it is written; what the ledger knows is left out, so that nothing is matched with two records.
/// Returns whether the rest holds anything that could be matched, and the turn that must be kept as long as it is used.
pub(crate) async fn first(engine: &Engine, bound: &Bound) -> Result<(bool, Turn), Error> {
    let turn = list(engine, bound).await?;
    engine.store.scratch_remove_owned(&bound.sync.name).await?;
    failpoint!("engine.contact.listed", Error::failpoint);
    Ok((engine.store.scratch_count().await?.iter().any(|(_, records)| *records > 0), turn))
}

/// Lists every stream of the sync completely into the scratch listing. Returns the turn that must be kept as long as it is
/// used: other runs of this process wait for it.
///
/// # Errors
/// Also when a listing may be incomplete: then nothing may be concluded from it.
pub(crate) async fn list(engine: &Engine, bound: &Bound) -> Result<Turn, Error> {
    let turn = engine.store.scratch_turn().await;
    engine.store.scratch_clear().await?;
    let adopt_by = bound.sync.adopt.as_ref().map(|by| bound.mapping.indexes(by)).unwrap_or_default();
    for (index, target) in bound.mapping.streams.iter().enumerate() {
        let doing = format!("listing {:?}", target.name);
        let mut listing = bound
            .destination
            .list(&target.stream, &target.fields)
            .await
            .map_err(Error::connect(doing.clone()))?;
        let mut rows = Vec::new();
        while let Some(page) = listing.next().await.map_err(Error::connect(doing.clone()))? {
            for listed in page {
                match listed {
                    Listed::Record(record) => rows.push(scratch(bound, index, &adopt_by, record)),
                    Listed::Deleted(id) => {
                        engine.store.scratch_put(&rows).await?;
                        rows.clear();
                        engine.store.scratch_remove(&target.stream.id, &id).await?;
                    }
                }
            }
            if mutant!(PageDropped) {
                break;
            }
            if rows.len() >= PUT {
                engine.store.scratch_put(&rows).await?;
                rows.clear();
            }
        }
        engine.store.scratch_put(&rows).await?;
    }
    Ok(turn)
}

fn scratch(bound: &Bound, stream: usize, adopt_by: &[usize], record: Record) -> Scratch {
    let mapping = &bound.mapping;
    Scratch {
        stream: mapping.streams[stream].stream.id.clone(),
        natural: if adopt_by.is_empty() {
            None
        } else {
            mapping.natural_key(stream, adopt_by, &record.values)
        },
        hash: mapping.hash(stream, &record.values, &mut Vec::new()),
        gone: mapping.is_gone(&record.values),
        fields: mapping.canonical_fields(stream, &record.values),
        stamp: record.stamp.as_deref().and_then(Identity::from_stamp),
        record_id: record.id,
        version: record.version,
    }
}

/// Matches records that the ledger does not know with the scratch listing; one answer per record, in order. A record that is
/// matched leaves the scratch listing, so that it is never matched twice; what stays there at the end is not ours.
pub(crate) async fn matches(
    engine: &Engine,
    bound: &Bound,
    adopt_by: &[usize],
    unknown: &[(usize, Identity, Mapped<'_>)],
) -> Result<Vec<Match>, Error> {
    let identities: Vec<Identity> = unknown.iter().map(|(_, identity, _)| *identity).collect();
    let stamped = engine.store.scratch_by_stamp(&identities).await?;
    let natural: Vec<Option<[u8; 32]>> = unknown
        .iter()
        .map(|(_, _, mapped)| {
            let by = (!adopt_by.is_empty()).then_some(adopt_by)?;
            bound.mapping.natural_key(mapped.stream, by, &mapped.values)
        })
        .collect();
    let mut claims: BTreeMap<[u8; 32], usize> = BTreeMap::new();
    natural.iter().flatten().for_each(|key| *claims.entry(*key).or_default() += 1);
    let keys: Vec<[u8; 32]> = natural.iter().flatten().copied().collect();
    let mut by_natural = engine.store.scratch_by_natural(&keys).await?.into_iter();
    let mut found = Vec::with_capacity(unknown.len());
    for (((_, _, mapped), stamped), natural) in unknown.iter().zip(stamped).zip(natural) {
        let here = &bound.mapping.streams[mapped.stream].stream.id;
        let candidates = match natural {
            Some(_) => by_natural.next().unwrap_or_default(),
            None => Vec::new(),
        };
        let candidates: Vec<Scratch> = candidates.into_iter().filter(|c| c.stream == *here).collect();
        let rivals = natural.and_then(|key| claims.get(&key)).copied().unwrap_or_default();
        let found_here = choose(stamped, candidates, rivals, bound.sync.adopt.as_deref().unwrap_or_default());
        if let Match::Found { entry, .. } = &found_here {
            engine.store.scratch_remove(&entry.stream, &entry.record_id).await?;
        }
        found.push(found_here);
    }
    Ok(found)
}

/// The rule: a stamp decides; without one, a natural key decides when exactly one record on each side carries it.
fn choose(mut stamped: Vec<Scratch>, mut natural: Vec<Scratch>, rivals: usize, by: &[String]) -> Match {
    match (stamped.len(), natural.len()) {
        (1, _) => take(stamped.swap_remove(0), true),
        (n, _) if n > 1 => Match::Ambiguous(format!("{n} or more destination records carry its stamp")),
        (_, 0) => Match::None,
        (_, 1) if rivals > 1 => Match::Ambiguous(format!(
            "{rivals} source records have the {} of one destination record",
            by.join(", ")
        )),
        (_, 1) => take(natural.swap_remove(0), false),
        (_, n) => Match::Ambiguous(format!("{n} or more destination records have its {}", by.join(", "))),
    }
}

fn take(found: Scratch, stamped: bool) -> Match {
    let entry = Entry {
        seq: 0,
        stream: Arc::from(found.stream),
        record_id: found.record_id,
        version: found.version,
        hash: Some(found.hash),
        gone: found.gone,
    };
    Match::Found { entry, fields: found.fields, stamped }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str) -> Scratch {
        Scratch {
            stream: "L".into(),
            record_id: id.into(),
            version: None,
            stamp: None,
            natural: None,
            hash: [0; 32],
            gone: false,
            fields: Fields::new(),
        }
    }

    #[test]
    fn what_was_not_certain_is_looked_at_again_before_it_is_sent() {
        let reading = |mode, contact| Reading { mode, reason: None, from: None, contact };
        let parked = |code: &str, due: i64| Parked {
            sync: "s".into(),
            identity: Identity::of_keyless("x", &[]),
            label: String::new(),
            key: Some(Vec::new()),
            kind: None,
            code: code.into(),
            message: String::new(),
            attempts: 1,
            first_at: Timestamp::UNIX_EPOCH,
            last_at: Timestamp::UNIX_EPOCH,
            retry_at: Timestamp::from_second(due).expect("a time"),
            run: 1,
        };
        let now = Timestamp::from_second(5).expect("a time");
        let looks = |mode, contact, parked: &[Parked]| wanted(&reading(mode, contact), parked, now);
        assert!(looks(Mode::Full, true, &[]), "first contact");
        assert!(!looks(Mode::Full, false, &[parked("rejected", 0)]));
        assert!(looks(Mode::Full, false, &[parked(AMBIGUOUS, 9)]));
        assert!(!looks(Mode::Incremental, false, &[parked(AMBIGUOUS, 9)]), "not due yet");
        assert!(looks(Mode::Incremental, false, &[parked("rejected", 0), parked(AMBIGUOUS, 5)]));
    }

    #[test]
    fn pairs_only_what_is_certain() {
        let by = ["Title".to_owned()];
        let pick = |stamped: &[&str], natural: &[&str], rivals| {
            let records = |ids: &[&str]| ids.iter().map(|id| record(id)).collect();
            match choose(records(stamped), records(natural), rivals, &by) {
                Match::None => "none".to_owned(),
                Match::Found { entry, stamped, .. } => format!("{} {stamped}", entry.record_id),
                Match::Ambiguous(why) => why,
            }
        };
        assert_eq!(pick(&[], &[], 0), "none");
        assert_eq!(pick(&["1"], &["2", "3"], 2), "1 true", "a stamp decides");
        assert_eq!(pick(&["1", "2"], &[], 0), "2 or more destination records carry its stamp");
        assert_eq!(pick(&[], &["2"], 1), "2 false");
        assert_eq!(pick(&[], &["2"], 2), "2 source records have the Title of one destination record");
        assert_eq!(pick(&[], &["2", "3"], 1), "2 or more destination records have its Title");
    }
}
