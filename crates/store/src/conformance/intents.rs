//! Intents, and the checkpoint that closes them.

use std::sync::Arc;

use syncline_core::{
    counts::Counts,
    cursor::{Cursor, Position},
    value::Value,
};

use super::{
    Place,
    world::{SYNC, World, at, create, hash, hold, id, park, row},
};
use crate::{Checkpoint, Error, Intent, IntentKind, LedgerChange, LedgerRow};

pub(super) async fn intents_stay_open_until_closed(place: Arc<dyn Place>) {
    let World { store, lease, run } = World::of(&place).await;
    let intent = |kind, row| Intent { kind, row, from: None, created: false };
    let all = [
        create(5),
        intent(IntentKind::Update, row(4)),
        Intent {
            kind: IntentKind::Move,
            row: LedgerRow { record_id: String::new(), stream: "site/closed".to_owned(), ..row(3) },
            from: Some(("site/active".to_owned(), "3".to_owned())),
            created: false,
        },
        intent(IntentKind::Delete, LedgerRow { gone: true, hash: None, version: None, ..row(2) }),
    ];
    store.intend(&lease, run, &all[..3]).await.expect("intents");
    store.intend(&lease, run, &all[3..]).await.expect("intents");
    assert_eq!(store.open_intents(SYNC).await.expect("intents"), all, "as they were, oldest first");
    assert_eq!(store.open_intents("other").await.expect("intents"), []);

    let closed = vec![id(5), id(2), id(999)];
    store
        .checkpoint(&lease, run, Checkpoint { closed, ..Checkpoint::default() })
        .await
        .expect("closing what is not open is no error");
    assert_eq!(store.open_intents(SYNC).await.expect("intents"), all[1..3]);
    store.intend(&lease, run, &all[..1]).await.expect("closed means that there may be another");
    let order: Vec<_> = store
        .open_intents(SYNC)
        .await
        .expect("intents")
        .into_iter()
        .map(|intent| intent.row.identity)
        .collect();
    assert_eq!(order, [id(4), id(3), id(5)]);
}

pub(super) async fn an_identity_has_one_open_intent(place: Arc<dyn Place>) {
    let World { store, lease, run } = World::of(&place).await;
    store.intend(&lease, run, &[create(1)]).await.expect("an intent");
    let again = store.intend(&lease, run, &[create(2), create(1)]).await;
    assert!(matches!(again, Err(Error::Database { .. })), "{again:?}");
    assert!(store.intend(&lease, run, &[create(3), create(3)]).await.is_err());
    // What cannot be: an update of nothing, a move from nowhere.
    let update = Intent { kind: IntentKind::Update, ..create(4) };
    assert!(store.intend(&lease, run, &[update]).await.is_err());
    let astray = Intent { kind: IntentKind::Move, ..create(4) };
    assert!(store.intend(&lease, run, &[astray]).await.is_err());
    assert_eq!(store.open_intents(SYNC).await.expect("intents"), [create(1)], "all or nothing");
}

pub(super) async fn a_move_is_half_done_before_it_is_closed(place: Arc<dyn Place>) {
    let World { store, lease, run } = World::of(&place).await;
    let from = Some(("site/active".to_owned(), "1".to_owned()));
    let moved = LedgerRow { stream: "site/closed".to_owned(), record_id: "51".to_owned(), ..row(1) };
    let unanswered = LedgerRow { record_id: String::new(), ..moved.clone() };
    let intent = Intent { kind: IntentKind::Move, row: unanswered, from, created: false };
    store
        .checkpoint(
            &lease,
            run,
            Checkpoint { ledger: vec![LedgerChange::Put(row(1))], ..Checkpoint::default() },
        )
        .await
        .expect("a checkpoint");
    store.intend(&lease, run, std::slice::from_ref(&intent)).await.expect("an intent");

    let half =
        Checkpoint { ledger: vec![LedgerChange::Put(moved)], created: vec![id(1)], ..Checkpoint::default() };
    store.checkpoint(&lease, run, half).await.expect("a checkpoint");
    let open = store.open_intents(SYNC).await.expect("intents");
    assert_eq!(open, [Intent { created: true, ..intent }]);
    let entry = store.find(SYNC, &[id(1)]).await.expect("find")[0].clone().expect("the record");
    assert_eq!((entry.stream.as_ref(), entry.record_id.as_str()), ("site/closed", "51"));

    let lost = Checkpoint { created: vec![id(2)], ..Checkpoint::default() };
    assert!(store.checkpoint(&lease, run, lost).await.is_err(), "nobody would remove the old record");
    let done = Checkpoint { closed: vec![id(1)], ..Checkpoint::default() };
    store.checkpoint(&lease, run, done).await.expect("a checkpoint");
    assert_eq!(store.open_intents(SYNC).await.expect("intents"), []);
}

/// A checkpoint in which everything is fine, and one last thing is not.
fn almost(wrong: impl FnOnce(&mut Checkpoint)) -> Checkpoint {
    let mut checkpoint = Checkpoint {
        ledger: vec![
            LedgerChange::Put(LedgerRow { hash: Some(hash(99)), ..row(1) }),
            LedgerChange::Put(row(2)),
        ],
        closed: vec![id(2)],
        parked: vec![park(3, 0, 0)],
        held: Some(vec![hold(1)]),
        approval_used: true,
        counts: Counts { read: 2, created: 2, ..Counts::default() },
        cursor: Some(Cursor { position: None, fingerprint: "after".to_owned() }),
        spent: vec![("tenant".to_owned(), 5)],
        ..Checkpoint::default()
    };
    wrong(&mut checkpoint);
    checkpoint
}

pub(super) async fn a_checkpoint_happens_whole_or_not_at_all(place: Arc<dyn Place>) {
    let World { store, lease, run } = World::of(&place).await;
    let ledger = vec![LedgerChange::Put(row(1))];
    store
        .checkpoint(&lease, run, Checkpoint { ledger, ..Checkpoint::default() })
        .await
        .expect("a checkpoint");
    store.intend(&lease, run, &[create(2)]).await.expect("an intent");
    store.approve(&lease, 9, at(1)).await.expect("an approval");
    let before = store.find(SYNC, &[id(1), id(2)]).await.expect("find");

    let thief = LedgerRow { record_id: "1".to_owned(), ..row(7) };
    let wrong: [(&str, Checkpoint); 5] = [
        ("a record of another owner", almost(|c| c.ledger.push(LedgerChange::Put(thief)))),
        ("a half-done move that nobody began", almost(|c| c.created.push(id(8)))),
        ("a record held twice", almost(|c| c.held = Some(vec![hold(1), hold(1)]))),
        ("units of no budget", almost(|c| c.spent.push((String::new(), 1)))),
        (
            "a key that cannot be stored",
            almost(|c| c.parked[0].key = Some(vec![Value::Float64(f64::INFINITY)])),
        ),
    ];
    for (what, checkpoint) in wrong {
        let refused = store.checkpoint(&lease, run, checkpoint).await;
        assert!(matches!(refused, Err(Error::Database { .. })), "{what}: {refused:?}");
        assert_eq!(store.find(SYNC, &[id(1), id(2)]).await.expect("find"), before, "{what}");
        assert_eq!(store.open_intents(SYNC).await.expect("intents"), [create(2)], "{what}");
        assert_eq!(store.parked(None, None, 9).await.expect("parked"), [], "{what}");
        assert_eq!(store.held(None, 9).await.expect("held"), [], "{what}");
        assert_eq!(store.approval(SYNC).await.expect("approval"), Some(9), "{what}");
        assert_eq!(store.cursor(SYNC).await.expect("cursor"), None, "{what}");
        assert_eq!(store.spent("tenant", at(-9)).await.expect("spent"), [], "{what}");
        let run = store.run(run).await.expect("run").expect("the run");
        assert_eq!(run.counts, Counts::default(), "{what}");
    }

    store.checkpoint(&lease, run, almost(|_| {})).await.expect("without the wrong part it is fine");
    assert_eq!(store.open_intents(SYNC).await.expect("intents"), []);
    assert_eq!(store.approval(SYNC).await.expect("approval"), None);
    assert_eq!(store.run(run).await.expect("run").expect("the run").counts.created, 2);
}

pub(super) async fn the_cursor_is_kept_and_reset(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    assert_eq!(world.store.cursor(SYNC).await.expect("cursor"), None);
    assert!(!world.store.reset(&world.lease).await.expect("reset"), "there was none");
    world.put([row(1)]).await;
    for fingerprint in ["one", "two"] {
        let cursor = Some(Cursor { position: None, fingerprint: fingerprint.to_owned() });
        world.checkpoint(Checkpoint { cursor, ..Checkpoint::default() }).await;
    }
    // A checkpoint without one leaves it.
    world.checkpoint(Checkpoint::default()).await;
    assert_eq!(world.store.cursor(SYNC).await.expect("cursor").expect("a cursor").fingerprint, "two");
    assert_eq!(world.store.cursor("other").await.expect("cursor"), None);
    let at = Position { cursor: Value::Int64(7), key: Vec::new() };
    let cursor = Cursor { position: Some(at), fingerprint: "three".to_owned() };
    world.checkpoint(Checkpoint { cursor: Some(cursor), ..Checkpoint::default() }).await;
    assert!(world.store.reset(&world.lease).await.expect("reset"));
    let kept = Cursor { position: None, fingerprint: "three".to_owned() };
    assert_eq!(world.store.cursor(SYNC).await.expect("cursor"), Some(kept), "only the position is forgotten");
    assert!(world.store.find(SYNC, &[id(1)]).await.expect("find")[0].is_some(), "the ledger stays");
}
