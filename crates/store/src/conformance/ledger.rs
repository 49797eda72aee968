//! The ledger: what is found, in which order, and what cannot be put in.

use std::{collections::BTreeSet, sync::Arc};

use syncline_core::{
    cursor::{Cursor, Position},
    identity::Identity,
    seen::Seen,
    value::Value,
};

use super::{
    Place,
    world::{SYNC, World, at, create, end, hash, hold, id, key, new_run, park, row},
};
use crate::{Checkpoint, Error, LedgerChange, LedgerRow};

pub(super) async fn entries_come_back_in_order(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    let plain = LedgerRow { version: None, hash: None, gone: true, ..row(2) };
    world.put([row(1), plain.clone(), row(3)]).await;
    let asked = [id(3), id(9), id(1), id(3), id(2)];
    let found = world.store.find(SYNC, &asked).await.expect("find");
    let ids: Vec<_> = found.iter().map(|e| e.as_ref().map(|e| e.record_id.as_str())).collect();
    assert_eq!(ids, [Some("3"), None, Some("1"), Some("3"), Some("2")]);
    let first = found[2].as_ref().expect("record 1");
    assert_eq!(first.stream.as_ref(), "site/active");
    assert_eq!((&first.version, first.hash, first.gone), (&row(1).version, Some(hash(1)), false));
    let second = found[4].as_ref().expect("record 2");
    assert_eq!((&second.version, second.hash, second.gone), (&None, None, true));

    let details = world.store.details(SYNC, &asked).await.expect("details");
    let keys: Vec<_> = details.iter().map(|d| d.as_ref().map(|d| d.key.clone())).collect();
    assert_eq!(keys, [Some(key(3)), None, Some(key(1)), Some(key(3)), Some(key(2))]);
    let details = details[2].as_ref().expect("record 1");
    assert_eq!((&details.fields, details.run), (&row(1).fields, world.run));
    assert_eq!(world.store.find(SYNC, &[]).await.expect("find"), []);
    assert_eq!(world.store.find("unheard of", &asked[..1]).await.expect("find"), [None]);
}

pub(super) async fn ten_thousand_are_found_at_once(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    world.put((0..10_000).map(row)).await;
    // Every other one exists; asked for backwards.
    let numbers: Vec<u64> = (0..10_000).rev().map(|n| 2 * n).collect();
    let asked: Vec<_> = numbers.iter().map(|n| id(*n)).collect();
    let found = world.store.find(SYNC, &asked).await.expect("find");
    assert_eq!(found.len(), 10_000);
    for (n, entry) in numbers.into_iter().zip(found) {
        assert_eq!(entry.map(|entry| entry.record_id), (n < 10_000).then(|| n.to_string()));
    }
}

/// Whatever a store does to be fast, and in whatever order it is asked: of the ledger, backwards, shuffled, with gaps, with
/// unknown and repeated identities, with the records of another sync in between.
pub(super) async fn any_question_is_answered_rightly(place: Arc<dyn Place>) {
    const SEED: u64 = 0xf1d_0001;
    const OTHER: &str = "other";
    let mut random = Sequence(SEED);
    let world = World::of(&place).await;
    let other = world.store.claim(OTHER, at(1)).await.expect("a claim");
    let other_run = world.store.start_run(&other, new_run(1)).await.expect("a run");
    let mut owner = [[false; 1200]; 2];
    let mut next = 0;
    while next < 1000 {
        // A batch of one sync, then one of the other; some records belong to both.
        let until = 1000.min(next + 1 + random.below(150));
        let ours = random.below(2) == 0;
        let batch: Vec<u64> = (next.saturating_sub(random.below(20))..until).collect();
        let ledger = batch.iter().map(|n| LedgerChange::Put(row(*n))).collect();
        let checkpoint = Checkpoint { ledger, ..Checkpoint::default() };
        let (lease, run) = if ours { (&world.lease, world.run) } else { (&other, other_run) };
        world.store.checkpoint(lease, run, checkpoint).await.expect("a checkpoint");
        for n in batch {
            owner[usize::from(!ours)][usize::try_from(n).expect("a small number")] = true;
        }
        next = until;
    }
    for round in 0..40 {
        let one_in = 1 + random.below(8);
        let mut asked: Vec<u64> = (0..1200).filter(|_| random.below(one_in) == 0).collect();
        match round % 4 {
            0 => {}
            1 => asked.reverse(),
            2 => (1..asked.len()).for_each(|i| {
                let j = random.below(i as u64 + 1);
                asked.swap(i, usize::try_from(j).expect("a small number"));
            }),
            _ => asked.extend(asked.clone()),
        }
        let identities: Vec<_> = asked.iter().map(|n| id(*n)).collect();
        for (sync, owned) in [SYNC, OTHER].into_iter().zip(&owner) {
            let found = world.store.find(sync, &identities).await.expect("find");
            let found: Vec<_> = found.into_iter().map(|entry| entry.map(|entry| entry.record_id)).collect();
            let is_owned = |n: u64| owned[usize::try_from(n).expect("a small number")];
            let expected: Vec<_> = asked.iter().map(|n| is_owned(*n).then(|| n.to_string())).collect();
            assert_eq!(found, expected, "seed {SEED:#x}, round {round}, sync {sync}");
        }
    }
}

pub(super) async fn keys_of_every_type_come_back(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    let text = |text: &'static str| Value::Text(text.into());
    let values = [
        Value::Null,
        Value::Boolean(true),
        Value::Int64(i64::MIN),
        Value::Int64(i64::MAX),
        Value::Float64(0.1 + 0.2),
        Value::Float64(f64::MIN_POSITIVE),
        Value::Float64(1.797_693_134_862_315_7e308),
        Value::Decimal("123456789012345678901234567890.000000000000000000001".into()),
        Value::Decimal("NaN".into()),
        text(""),
        text("O'Neill \"x\" \\ \u{0} \u{1F980} e\u{301} \u{202e}"),
        text("'; DROP TABLE ledger; --"),
        Value::Binary(vec![0, 255, 128].into()),
        Value::Date(i32::MAX),
        Value::Time(86_399_999_999),
        Value::Timestamp { micros: i64::MIN, zoned: true },
        Value::Timestamp { micros: 253_402_300_800_000_001, zoned: false },
        Value::Uuid([0xab; 16]),
        Value::Json("{\"a\": 1.0}".into()),
        Value::List(vec![text("a"), Value::Null, Value::List(Vec::new())]),
    ];
    for (n, value) in (0_u64..).zip(values) {
        let key = vec![value.clone(), Value::Int64(n.cast_signed())];
        let position = Position { cursor: value, key: key.clone() };
        let cursor = Cursor { position: Some(position), fingerprint: "f".to_owned() };
        let mut parked = park(n, 0, 0);
        parked.key = Some(key.clone());
        world
            .checkpoint(Checkpoint {
                ledger: vec![LedgerChange::Put(LedgerRow { key: key.clone(), ..row(n) })],
                parked: vec![parked],
                cursor: Some(cursor.clone()),
                ..Checkpoint::default()
            })
            .await;
        let details = world.store.details(SYNC, &[id(n)]).await.expect("details");
        assert_eq!(details[0].as_ref().expect("the record").key, key);
        assert_eq!(world.store.cursor(SYNC).await.expect("cursor"), Some(cursor));
        let parked = world.store.parked(Some(SYNC), None, 99).await.expect("parked");
        assert!(parked.iter().any(|parked| parked.key.as_ref() == Some(&key)), "{key:?}");
    }
}

pub(super) async fn a_record_keeps_its_number(place: Arc<dyn Place>) {
    let World { store, lease, run } = World::of(&place).await;
    let put = |row| Checkpoint { ledger: vec![LedgerChange::Put(row)], ..Checkpoint::default() };
    store.checkpoint(&lease, run, put(row(1))).await.expect("a checkpoint");
    store.checkpoint(&lease, run, put(row(2))).await.expect("a checkpoint");
    let before = store.find(SYNC, &[id(1)]).await.expect("find")[0].clone().expect("the record");
    store.finish_run(&lease, run, end(syncline_core::run::Status::Succeeded, 1)).await.expect("an end");
    let run = store.start_run(&lease, new_run(2)).await.expect("a run");
    let moved = LedgerRow {
        stream: "site/closed".to_owned(),
        record_id: "77".to_owned(),
        version: None,
        hash: Some(hash(8)),
        fields: super::world::fields("new"),
        ..row(1)
    };
    store.checkpoint(&lease, run, put(moved.clone())).await.expect("a checkpoint");
    let after = store.find(SYNC, &[id(1)]).await.expect("find")[0].clone().expect("the record");
    assert_eq!(after.seq, before.seq);
    assert_eq!((after.stream.as_ref(), after.record_id.as_str()), ("site/closed", "77"));
    assert_eq!((after.version, after.hash), (None, Some(hash(8))));
    let details = store.details(SYNC, &[id(1)]).await.expect("details")[0].clone().expect("the record");
    assert_eq!((details.run, details.fields), (run, moved.fields));
}

pub(super) async fn a_number_is_never_given_twice(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    let last = async || world.store.last_seq().await.expect("the last number");
    assert_eq!(last().await, 0);
    let mut given = BTreeSet::new();
    for n in 0..20 {
        // Removed again, every second one, the newest among them.
        world.put([row(n)]).await;
        let seq = world.store.find(SYNC, &[id(n)]).await.expect("find")[0].as_ref().expect("the record").seq;
        assert!(given.last() < Some(&seq), "{seq} is not above those given before");
        given.insert(seq);
        if n % 2 == 0 {
            let ledger = vec![LedgerChange::Remove(id(n)), LedgerChange::Remove(id(999))];
            world.checkpoint(Checkpoint { ledger, ..Checkpoint::default() }).await;
            assert_eq!(world.store.find(SYNC, &[id(n)]).await.expect("find"), [None]);
            assert_eq!(world.store.details(SYNC, &[id(n)]).await.expect("details"), [None]);
        }
        assert_eq!(last().await, seq, "removing the newest takes nothing back");
    }
    assert!(given.last() <= Some(&20), "dense: one bit each in a set");
}

pub(super) async fn one_record_has_one_owner(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    world.put([row(1)]).await;
    let thief = LedgerRow { record_id: "1".to_owned(), ..row(2) };
    let put = |rows: [LedgerRow; 1]| Checkpoint {
        ledger: rows.map(LedgerChange::Put).to_vec(),
        ..Checkpoint::default()
    };
    let refused = world.store.checkpoint(&world.lease, world.run, put([thief.clone()])).await;
    assert!(matches!(refused, Err(Error::Database { .. })), "{refused:?}");
    let nameless = LedgerRow { record_id: String::new(), ..row(3) };
    assert!(world.store.checkpoint(&world.lease, world.run, put([nameless])).await.is_err());
    assert_eq!(world.store.find(SYNC, &[id(2), id(3)]).await.expect("find"), [None, None]);
    // Handed over: changes happen in their order.
    let ledger = vec![LedgerChange::Remove(id(1)), LedgerChange::Put(thief)];
    world.checkpoint(Checkpoint { ledger, ..Checkpoint::default() }).await;
    // The same id in another stream is another record.
    let elsewhere = LedgerRow { stream: "site/closed".to_owned(), ..row(1) };
    world.put([elsewhere]).await;
}

pub(super) async fn syncs_do_not_see_each_other(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    world.put([row(1), row(2)]).await;
    let other = world.store.claim("other", at(1)).await.expect("a claim");
    let run = world.store.start_run(&other, new_run(1)).await.expect("a run");
    let ledger = vec![LedgerChange::Put(row(1)), LedgerChange::Remove(id(2))];
    let checkpoint = Checkpoint { ledger, ..Checkpoint::default() };
    world.store.checkpoint(&other, run, checkpoint).await.expect("two syncs may share a record");
    let find = async |sync| world.store.find(sync, &[id(1), id(2)]).await.expect("find");
    let (ours, theirs) = (find(SYNC).await, find("other").await);
    assert_eq!((ours[0].is_some(), ours[1].is_some()), (true, true));
    assert_eq!((theirs[0].is_some(), theirs[1].is_some()), (true, false));
    assert_ne!(ours[0].as_ref().map(|e| e.seq), theirs[0].as_ref().map(|e| e.seq));
}

pub(super) async fn known_counts_the_living(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    assert_eq!(world.store.known(SYNC).await.expect("known"), []);
    let closed = LedgerRow { stream: "site/closed".to_owned(), ..row(4) };
    world.put([row(1), row(2), LedgerRow { gone: true, ..row(3) }, closed]).await;
    let known = world.store.known(SYNC).await.expect("known");
    assert_eq!(known, [("site/active".to_owned(), 2), ("site/closed".to_owned(), 1)]);
    assert_eq!(world.store.known("unheard of").await.expect("known"), []);
}

pub(super) async fn unseen_walks_what_was_not_seen(place: Arc<dyn Place>) {
    const SEED: u64 = 0x5eed_1e55;
    let world = World::of(&place).await;
    let mut random = Sequence(SEED);
    world.put((0..500).map(|n| LedgerRow { gone: n % 7 == 0, ..row(n) })).await;
    let ledger = (0..500).step_by(11).map(|n| LedgerChange::Remove(id(n))).collect();
    world.checkpoint(Checkpoint { ledger, ..Checkpoint::default() }).await;
    let identities: Vec<_> = (0..500).map(id).collect();
    let all = world.store.find(SYNC, &identities).await.expect("find");

    for round in 0..20 {
        let one_in = 1 + random.below(5);
        let mut seen = Seen::default();
        let mut expected: Vec<(u64, Identity)> = Vec::new();
        for (identity, entry) in identities.iter().zip(&all) {
            let Some(entry) = entry else { continue };
            if random.below(one_in) == 0 {
                seen.insert(entry.seq);
            } else if !entry.gone {
                expected.push((entry.seq, *identity));
            }
        }
        expected.sort_unstable();
        let limit = usize::try_from(1 + random.below(99)).expect("a small number");
        let (mut found, mut after) = (Vec::new(), Some(0));
        while let Some(from) = after {
            let (page, next) = world.store.unseen(SYNC, &seen, from, limit).await.expect("unseen");
            assert!(page.len() <= limit, "seed {SEED:#x}, round {round}");
            assert!(next.is_none_or(|next| next > from), "it goes on");
            found.extend(page.into_iter().map(|(identity, entry)| (entry.seq, identity)));
            after = next;
        }
        assert_eq!(found, expected, "seed {SEED:#x}, round {round}, limit {limit}, one in {one_in}");
    }
    assert_eq!(world.store.unseen("x", &Seen::default(), 0, 9).await.expect("unseen"), (Vec::new(), None));
}

pub(super) async fn everything_is_there_after_reopening(place: Arc<dyn Place>) {
    let World { store, lease, run } = World::of(&place).await;
    let cursor = Cursor { position: None, fingerprint: "f".to_owned() };
    let checkpoint = Checkpoint {
        ledger: vec![LedgerChange::Put(row(1))],
        parked: vec![park(2, 0, 0)],
        held: Some(vec![hold(1)]),
        cursor: Some(cursor.clone()),
        spent: vec![("tenant".to_owned(), 3)],
        at: at(1),
        ..Checkpoint::default()
    };
    store.checkpoint(&lease, run, checkpoint).await.expect("a checkpoint");
    store.intend(&lease, run, &[create(3), create(2)]).await.expect("intents");
    store.approve(&lease, 5, at(1)).await.expect("an approval");
    let before = store.find(SYNC, &[id(1)]).await.expect("find");
    drop((lease, store));

    let store = place.open().await;
    assert_eq!(store.find(SYNC, &[id(1)]).await.expect("find"), before);
    assert_eq!(store.parked(None, None, 9).await.expect("parked"), [park(2, 0, 0)]);
    assert_eq!(store.held(None, 9).await.expect("held"), [hold(1)]);
    assert_eq!(store.cursor(SYNC).await.expect("cursor"), Some(cursor));
    assert_eq!(store.spent("tenant", at(0)).await.expect("spent"), [(at(1), 3)]);
    assert_eq!(store.open_intents(SYNC).await.expect("intents"), [create(3), create(2)]);
    assert_eq!(store.approval(SYNC).await.expect("approval"), Some(5));
    assert_eq!(store.runs(None, None, 9).await.expect("runs").len(), 1);
}

/// Numbers that look random and are the same every time (Knuth's MMIX generator).
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
