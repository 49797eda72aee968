//! Claims, epochs, and what a dead process leaves.

use std::sync::Arc;

use syncline_core::{cursor::Cursor, run::Status};

use super::{
    Place,
    world::{SYNC, World, at, create, end, hold, id, new_run, park, row},
};
use crate::{Checkpoint, Drift, DriftKind, Error, Fields, Lease, LedgerChange};

pub(super) async fn a_second_claim_is_busy(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    match world.store.claim(SYNC, at(1)).await {
        Err(Error::Busy { sync, holder }) => {
            assert_eq!(sync, SYNC);
            assert!(!holder.is_empty());
        }
        other => panic!("expected Busy, got {other:?}"),
    }
    let run = world.store.run(world.run).await.expect("runs").expect("the run");
    assert_eq!(run.status, Status::Running, "a refused claim interrupts nobody");
    world.put([row(1)]).await;
}

pub(super) async fn a_dropped_lease_can_be_claimed_at_once(place: Arc<dyn Place>) {
    let store = place.open().await;
    let first = store.claim(SYNC, at(0)).await.expect("a claim");
    let epoch = first.epoch;
    drop(first);
    let second = store.claim(SYNC, at(1)).await.expect("a claim after the first was dropped");
    assert!(second.epoch > epoch, "the epoch rises with each claim");
}

pub(super) async fn an_old_lease_writes_nothing(place: Arc<dyn Place>) {
    let World { store, lease, run } = World::of(&place).await;
    let before = Checkpoint {
        ledger: vec![LedgerChange::Put(row(1))],
        parked: vec![park(1, 0, 0)],
        held: Some(vec![hold(1)]),
        cursor: Some(Cursor { position: None, fingerprint: "before".to_owned() }),
        spent: vec![("tenant".to_owned(), 1)],
        ..Checkpoint::default()
    };
    store.checkpoint(&lease, run, before).await.expect("a checkpoint");
    let old = Lease { sync: lease.sync.clone(), epoch: lease.epoch, guard: Box::new(()) };
    drop(lease);
    let new = store.claim(SYNC, at(1)).await.expect("a claim");
    let run = store.start_run(&new, new_run(1)).await.expect("a run");

    let after = Checkpoint {
        ledger: vec![LedgerChange::Put(row(2)), LedgerChange::Remove(id(1))],
        unparked: vec![id(1)],
        held: Some(Vec::new()),
        cursor: Some(Cursor { position: None, fingerprint: "after".to_owned() }),
        spent: vec![("tenant".to_owned(), 1)],
        ..Checkpoint::default()
    };
    let drift = Drift {
        kind: DriftKind::Edited,
        identity: Some(id(1)),
        label: "PRJ-1".to_owned(),
        stream: "site/active".to_owned(),
        record_id: "1".to_owned(),
        version: None,
        expected: Fields::new(),
        found: Fields::new(),
    };
    let stale = [
        ("check", store.check(&old).await),
        ("start_run", store.start_run(&old, new_run(2)).await.map(drop)),
        ("finish_run", store.finish_run(&old, run, end(Status::Failed, 2)).await),
        ("intend", store.intend(&old, run, &[create(2)]).await),
        ("checkpoint", store.checkpoint(&old, run, after).await),
        ("reset", store.reset(&old).await.map(drop)),
        ("retry_parked", store.retry_parked(&old, None, at(2)).await.map(drop)),
        ("drop_parked", store.drop_parked(&old, None).await.map(drop)),
        ("approve", store.approve(&old, 5, at(2)).await),
        ("reject", store.reject(&old).await.map(drop)),
        ("mark_drifted", store.mark_drifted(&old, run, &[drift], at(2)).await),
    ];
    for (method, outcome) in stale {
        match outcome {
            Err(Error::Stale { sync, ours, found }) => {
                assert_eq!((sync.as_str(), ours, found), (SYNC, old.epoch, new.epoch), "{method}");
            }
            other => panic!("{method}: expected Stale, got {other:?}"),
        }
    }

    let found = store.find(SYNC, &[id(1), id(2)]).await.expect("find");
    assert_eq!(found[0].as_ref().and_then(|entry| entry.hash), row(1).hash);
    assert_eq!(found[1], None);
    assert_eq!(store.parked(None, None, 9).await.expect("parked"), [park(1, 0, 0)]);
    assert_eq!(store.held(None, 9).await.expect("held"), [hold(1)]);
    assert_eq!(store.approval(SYNC).await.expect("approval"), None);
    assert_eq!(store.open_intents(SYNC).await.expect("intents"), []);
    assert_eq!(store.cursor(SYNC).await.expect("cursor").expect("a cursor").fingerprint, "before");
    assert_eq!(store.runs(None, None, 9).await.expect("runs").len(), 2);
    assert_eq!(store.run(run).await.expect("run").expect("the run").status, Status::Running);
}

pub(super) async fn a_lease_is_checked_against_the_newest(place: Arc<dyn Place>) {
    let World { store, lease, run } = World::of(&place).await;
    store.check(&lease).await.expect("the newest, in a run");
    store.finish_run(&lease, run, end(Status::Succeeded, 1)).await.expect("an end");
    let other = store.claim("clients", at(1)).await.expect("a claim");
    store
        .check(&lease)
        .await
        .expect("the claim of another sync is none of ours, nor does a lease end with its run");
    let unheard_of = Lease { sync: "unheard of".to_owned(), epoch: 1, guard: Box::new(()) };
    let outcome = store.check(&unheard_of).await;
    assert!(matches!(outcome, Err(Error::Stale { ours: 1, found: 0, .. })), "{outcome:?}");

    let old = Lease { sync: lease.sync.clone(), epoch: lease.epoch, guard: Box::new(()) };
    drop(lease);
    store.check(&old).await.expect("nobody has claimed the sync since");
    let runs = store.runs(None, None, 9).await.expect("runs");
    let new = store.claim(SYNC, at(2)).await.expect("a claim");
    store.check(&new).await.expect("the newest");
    match store.check(&old).await {
        Err(Error::Stale { sync, ours, found }) => {
            assert_eq!((sync.as_str(), ours, found), (SYNC, old.epoch, new.epoch));
        }
        other => panic!("expected Stale, got {other:?}"),
    }
    store.check(&other).await.expect("the newest of its sync");
    assert_eq!(store.runs(None, None, 9).await.expect("runs"), runs, "checking changes nothing");
}

pub(super) async fn a_claim_interrupts_what_was_running(place: Arc<dyn Place>) {
    let World { store, lease, run } = World::of(&place).await;
    store.finish_run(&lease, run, end(Status::Succeeded, 1)).await.expect("an end");
    let second = store.start_run(&lease, new_run(2)).await.expect("a run");
    store.intend(&lease, second, &[create(1)]).await.expect("an intent");
    drop(lease);
    drop(store);

    let store = place.open().await;
    let found = store.run(second).await.expect("run").expect("the run");
    assert_eq!(found.status, Status::Running, "opening a store is not claiming a sync");
    let _lease = store.claim(SYNC, at(9)).await.expect("a claim");
    let found = store.run(second).await.expect("run").expect("the run");
    assert_eq!((found.status, found.finished_at), (Status::Interrupted, Some(at(9))));
    let first = store.run(run).await.expect("run").expect("the run");
    assert_eq!((first.status, first.finished_at), (Status::Succeeded, Some(at(1))));
    assert_eq!(store.open_intents(SYNC).await.expect("intents"), [create(1)], "left for the recovery");
}

pub(super) async fn leases_of_two_syncs_do_not_meet(place: Arc<dyn Place>) {
    let World { store, lease, run } = World::of(&place).await;
    let other = store.claim("Projects", at(1)).await.expect("a claim of another sync, by its exact name");
    let other_run = store.start_run(&other, new_run(1)).await.expect("a run");
    assert_eq!(store.run(run).await.expect("run").expect("the run").status, Status::Running);
    for (lease, run) in [(&lease, other_run), (&other, run)] {
        let outcome = store.checkpoint(lease, run, Checkpoint::default()).await;
        assert!(matches!(outcome, Err(Error::Database { .. })), "a lease writes to runs of its own sync");
    }
    let foreign = Checkpoint { parked: vec![park(1, 0, 0)], ..Checkpoint::default() };
    assert!(store.checkpoint(&other, other_run, foreign).await.is_err());
    assert_eq!(store.parked(None, None, 9).await.expect("parked"), []);
}
