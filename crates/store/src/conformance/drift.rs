//! Comparing ledger and destination, and repairing what differs.

use std::{collections::BTreeMap, sync::Arc};

use syncline_core::value::Value;

use super::{
    Place,
    scratch::listed,
    world::{SYNC, World, at, fields, hash, id, key, row},
};
use crate::{Comparison, Drift, DriftKind, Fields, IntentKind, LedgerRow, Scratch};

const LIST: &str = "site/active";
const OTHER: &str = "site/closed";

fn listed_streams() -> Vec<String> {
    vec![OTHER.to_owned(), LIST.to_owned(), LIST.to_owned()]
}

/// The record as it should be.
fn good(n: u64) -> Scratch {
    listed(LIST, n, Some(id(n)))
}

fn told(comparison: &Comparison) -> Vec<(DriftKind, &str, &str)> {
    comparison.drift.iter().map(|d| (d.kind, d.stream.as_str(), d.record_id.as_str())).collect()
}

pub(super) async fn every_kind_of_drift_is_told(place: Arc<dyn Place>) {
    use DriftKind::{Duplicate, Edited, Missing, Orphan, Stranger};
    let world = World::of(&place).await;
    let ledger = (1..=6).chain(10..=12).map(row);
    let gone = (7..=9).chain([16]).map(|n| LedgerRow { gone: true, ..row(n) });
    let drifted = LedgerRow { hash: None, ..row(13) };
    let elsewhere = LedgerRow { stream: "site/not listed".to_owned(), ..row(14) };
    world.put(ledger.chain(gone).chain([drifted, elsewhere])).await;

    let listing = [
        good(1),
        // 2 is missing
        Scratch { hash: hash(99), fields: fields("by hand"), ..good(3) },
        // stamp cleared, stamp of another, stamp of nobody
        Scratch { stamp: None, ..good(4) },
        Scratch { stamp: Some(id(1)), ..good(5) },
        Scratch { stamp: Some(id(999)), ..good(6) },
        // gone: marked, purged (not listed), brought back by hand
        Scratch { gone: true, ..good(7) },
        good(9),
        // marked, and edited afterwards
        Scratch { gone: true, hash: hash(99), ..good(16) },
        // copied within the list and into another; the copy kept its stamp
        good(10),
        Scratch { record_id: "110".to_owned(), ..good(10) },
        Scratch { stream: OTHER.to_owned(), record_id: "10".to_owned(), ..good(10) },
        // remade by hand: the record of the ledger is missing, another has its stamp
        Scratch { record_id: "111".to_owned(), ..good(11) },
        // marked by hand
        Scratch { gone: true, ..good(12) },
        good(13),
        listed(LIST, 200, Some(id(200))),
        listed(OTHER, 300, None),
        listed("site/of others", 400, None),
    ];
    world.store.scratch_put(&listing).await.expect("a scratch listing");
    let found = world.store.compare(SYNC, &listed_streams(), 9).await.expect("compare");

    assert_eq!(found.equal, 4, "1, 7, 8, 10");
    let totals = [(Missing, 2), (Edited, 8), (Duplicate, 3), (Orphan, 1), (Stranger, 1)];
    assert_eq!(found.totals, BTreeMap::from(totals));
    let expected = [
        (Missing, LIST, "11"),
        (Missing, LIST, "2"),
        (Edited, LIST, "12"),
        (Edited, LIST, "13"),
        (Edited, LIST, "16"),
        (Edited, LIST, "3"),
        (Edited, LIST, "4"),
        (Edited, LIST, "5"),
        (Edited, LIST, "6"),
        (Edited, LIST, "9"),
        (Duplicate, OTHER, "10"),
        (Duplicate, LIST, "110"),
        (Duplicate, LIST, "111"),
        (Orphan, LIST, "200"),
        (Stranger, OTHER, "300"),
    ];
    assert_eq!(told(&found), expected, "by kind, then by key");

    let drift = |record: &str| found.drift.iter().find(|d| d.record_id == record).expect("told").clone();
    let edited = Drift {
        kind: Edited,
        identity: Some(id(3)),
        label: "PRJ-3".to_owned(),
        stream: LIST.to_owned(),
        record_id: "3".to_owned(),
        version: Some("\"etag-3,2\"".to_owned()),
        expected: row(3).fields,
        found: fields("by hand"),
    };
    assert_eq!(drift("3"), edited);
    let missing = drift("2");
    assert_eq!((missing.identity, missing.label.as_str(), &missing.version), (Some(id(2)), "PRJ-2", &None));
    assert_eq!((missing.expected, missing.found), (row(2).fields, Fields::new()));
    assert_eq!((drift("110").identity, drift("110").label.as_str()), (Some(id(10)), "PRJ-10"));
    assert_eq!((drift("200").identity, drift("200").label.as_str()), (Some(id(200)), "200"));
    assert_eq!((drift("300").identity, drift("300").expected), (None, Fields::new()));
}

pub(super) async fn output_is_bounded_and_totals_are_true(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    let numbered = |n: u64| LedgerRow { key: vec![Value::Int64(n.cast_signed())], ..row(n) };
    world.put((1..=30).map(numbered)).await;
    let strangers: Vec<_> = (100..150).map(|n| listed(LIST, n, None)).collect();
    world.store.scratch_put(&strangers).await.expect("a scratch listing");
    let found = world.store.compare(SYNC, &listed_streams(), 3).await.expect("compare");
    assert_eq!(found.totals, BTreeMap::from([(DriftKind::Missing, 30), (DriftKind::Stranger, 50)]));
    let labels: Vec<_> = found.drift.iter().map(|drift| drift.label.as_str()).collect();
    assert_eq!(labels, ["1", "2", "3", "100", "101", "102"], "numbers sort as numbers");

    let nothing = world.store.compare(SYNC, &[], 3).await.expect("compare");
    assert_eq!((nothing.equal, nothing.totals, nothing.drift), (0, BTreeMap::new(), vec![]));
    let unheard_of = world.store.compare("unheard of", &listed_streams(), 3).await.expect("compare");
    assert_eq!(unheard_of.totals, BTreeMap::from([(DriftKind::Stranger, 50)]));
}

pub(super) async fn a_destination_without_stamps_is_compared(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    world.put([row(1), row(2), row(3)]).await;
    let listing = [
        listed(LIST, 1, None),
        Scratch { hash: hash(9), ..listed(LIST, 2, None) },
        listed(LIST, 4, None),
        // Another stream has the field for stamps; this says nothing about the first.
        listed(OTHER, 5, Some(id(5))),
    ];
    world.store.scratch_put(&listing).await.expect("a scratch listing");
    let found = world.store.compare(SYNC, &listed_streams(), 9).await.expect("compare");
    assert_eq!(found.equal, 1, "no stamp anywhere is no sign of a stamp cleared by hand");
    let expected = [
        (DriftKind::Missing, LIST, "3"),
        (DriftKind::Edited, LIST, "2"),
        (DriftKind::Orphan, OTHER, "5"),
        (DriftKind::Stranger, LIST, "4"),
    ];
    assert_eq!(told(&found), expected);
}

pub(super) async fn drifted_records_are_planned_again(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    world.put((1..=4).map(row)).await;
    let listing = [
        Scratch { hash: hash(9), ..good(1) },
        good(3),
        Scratch { record_id: "33".to_owned(), ..good(3) },
        Scratch { hash: hash(9), ..good(4) },
        listed(LIST, 50, None),
    ];
    world.store.scratch_put(&listing).await.expect("a scratch listing");
    let mut drift = world.store.compare(SYNC, &listed_streams(), 9).await.expect("compare").drift;
    assert_eq!(drift.len(), 5);
    // Remade since it was compared: what was seen is not what is there.
    world.put([LedgerRow { record_id: "44".to_owned(), ..row(4) }]).await;
    drift.push(Drift { identity: Some(id(77)), ..drift[0].clone() });
    world.store.mark_drifted(&world.lease, world.run, &drift, at(5)).await.expect("marking");

    let found = world.store.find(SYNC, &[id(1), id(2), id(3), id(4)]).await.expect("find");
    let edited = found[0].as_ref().expect("record 1");
    assert_eq!((edited.hash, edited.version.as_deref()), (None, Some("\"etag-1,2\"")), "as it was seen");
    assert_eq!(found[1], None, "what is missing is made anew");
    assert_eq!(found[2].as_ref().expect("record 3").hash, Some(hash(3)));
    assert_eq!(found[3].as_ref().expect("record 4").hash, Some(hash(4)));
    let parked = world.store.parked(Some(SYNC), Some(at(5)), 9).await.expect("parked");
    let mut told: Vec<_> = parked.iter().map(|p| (p.label.as_str(), p.kind, p.key.clone())).collect();
    told.sort_unstable_by_key(|(label, ..)| *label);
    let expected = [
        ("PRJ-1", Some(IntentKind::Update), Some(key(1))),
        ("PRJ-2", Some(IntentKind::Create), Some(key(2))),
    ];
    assert_eq!(told, expected);
    assert!(parked.iter().all(|p| p.code == "drift" && p.run == world.run && p.first_at == at(5)));
}

/// Lists number their records each by itself: the same id in another list is another record.
pub(super) async fn a_record_that_moved_since_is_not_marked(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    world.put([row(1), row(2)]).await;
    let listing = [Scratch { hash: hash(9), ..good(1) }];
    world.store.scratch_put(&listing).await.expect("a scratch listing");
    let drift = world.store.compare(SYNC, &listed_streams(), 9).await.expect("compare").drift;
    assert_eq!(
        drift.iter().map(|drift| drift.kind).collect::<Vec<_>>(),
        [DriftKind::Missing, DriftKind::Edited]
    );
    let moved = |n| LedgerRow { stream: OTHER.to_owned(), ..row(n) };
    world.put([moved(1), moved(2)]).await;
    world.store.mark_drifted(&world.lease, world.run, &drift, at(5)).await.expect("marking");

    let found = world.store.find(SYNC, &[id(1), id(2)]).await.expect("find");
    let hashes: Vec<_> = found.into_iter().map(|entry| entry.and_then(|entry| entry.hash)).collect();
    assert_eq!(hashes, [Some(hash(1)), Some(hash(2))], "as they were written where they are now");
    assert_eq!(world.store.parked(None, None, 9).await.expect("parked"), []);
}

pub(super) async fn drift_is_told_by_key(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    let at_micros = |micros| Value::Timestamp { micros, zoned: true };
    // In the order in which they are told.
    let keys = [
        Value::Null,
        at_micros(-1),
        Value::Boolean(true),
        Value::Float64(1.5),
        at_micros(9),
        Value::Int64(10),
        at_micros(100),
        Value::Decimal("-1".into()),
        Value::Text("10".into()),
        Value::Text("9".into()),
        Value::Text("a".into()),
    ];
    let rows: Vec<_> = (1..).zip(keys).map(|(n, key)| LedgerRow { key: vec![key], ..row(n) }).collect();
    world.put(rows.into_iter().rev()).await;
    // The same key, and an id that another list has too: by record id, the shorter first, then by list.
    let same = |n: u64, stream: &str, record: &str| LedgerRow {
        stream: stream.to_owned(),
        record_id: record.to_owned(),
        key: key(99),
        ..row(n)
    };
    world.put([same(20, LIST, "100"), same(21, OTHER, "99"), same(22, LIST, "99")]).await;
    let strangers = [listed(OTHER, 7000, None), listed(LIST, 7000, None), listed(LIST, 800, None)];
    world.store.scratch_put(&strangers).await.expect("a scratch listing");

    let all = world.store.compare(SYNC, &listed_streams(), 99).await.expect("compare");
    let mut expected = vec![(DriftKind::Missing, LIST, "99"), (DriftKind::Missing, OTHER, "99")];
    let records: Vec<_> = (1..=11).map(|n: u64| n.to_string()).collect();
    let by_key = records.iter().map(|record| (DriftKind::Missing, LIST, record.as_str()));
    let mut expected_all: Vec<_> = by_key.collect();
    expected.push((DriftKind::Missing, LIST, "100"));
    // PRJ-99 stands before what begins with a small letter.
    expected_all.splice(10..10, expected);
    let of_strangers = [(LIST, "800"), (LIST, "7000"), (OTHER, "7000")];
    expected_all.extend(of_strangers.map(|(list, record)| (DriftKind::Stranger, list, record)));
    assert_eq!(told(&all), expected_all);
    for limit in 0..3 {
        let first = world.store.compare(SYNC, &listed_streams(), limit).await.expect("compare");
        let missing = expected_all[..14].iter().take(limit);
        let expected: Vec<_> = missing.chain(expected_all[14..].iter().take(limit)).copied().collect();
        assert_eq!(told(&first), expected, "the first ones are the same ones");
    }
}
