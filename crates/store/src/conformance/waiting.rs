//! What waits: parked records, held deletes, approvals.

use std::sync::Arc;

use super::{
    Place,
    world::{SYNC, World, at, create, hold, id, new_run, park, row},
};
use crate::{Checkpoint, Held, LedgerRow, Parked, Store, Waiting};

async fn parked(store: &Arc<dyn Store>, due: Option<i64>) -> Vec<String> {
    let parked = store.parked(Some(SYNC), due.map(at), 99).await.expect("parked");
    parked.into_iter().map(|parked| parked.label).collect()
}

pub(super) async fn parked_records_live_and_leave(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    let keyless = Parked { key: None, kind: None, code: "conflict".to_owned(), ..park(3, 1, 99) };
    let records = vec![park(1, 2, 20), park(2, 1, 10), keyless.clone(), park(4, 3, 5)];
    world.checkpoint(Checkpoint { parked: records, ..Checkpoint::default() }).await;
    let all = parked(&world.store, None).await;
    assert_eq!(all.len(), 4);
    assert_eq!(all[2..], ["PRJ-1", "PRJ-4"], "oldest first");
    assert_eq!(parked(&world.store, Some(10)).await, ["PRJ-2", "PRJ-4"], "due, the moment itself included");
    assert_eq!(parked(&world.store, Some(4)).await, [""; 0]);
    assert_eq!(world.store.parked(None, None, 1).await.expect("parked").len(), 1);
    assert_eq!(world.store.parked(Some("other"), None, 9).await.expect("parked"), []);
    let found = world.store.parked(None, None, 99).await.expect("parked");
    assert!(found.contains(&keyless), "as it was");

    // Failed again: replaced as a whole. Done: gone. Both at once: it failed again after it was done.
    let again = Parked { attempts: 2, last_at: at(30), retry_at: at(40), run: 7, ..park(1, 2, 0) };
    world
        .checkpoint(Checkpoint {
            parked: vec![again.clone(), park(4, 3, 5)],
            unparked: vec![id(2), id(4), id(99)],
            ..Checkpoint::default()
        })
        .await;
    let found = world.store.parked(None, None, 99).await.expect("parked");
    assert_eq!(found, [keyless, again, park(4, 3, 5)]);
}

pub(super) async fn parked_records_are_retried_and_dropped(place: Arc<dyn Place>) {
    let World { store, lease, run } = World::of(&place).await;
    let records = (1..=4).map(|n| park(n, n.cast_signed(), 1000)).collect();
    store
        .checkpoint(&lease, run, Checkpoint { parked: records, ..Checkpoint::default() })
        .await
        .expect("a checkpoint");
    assert_eq!(store.retry_parked(&lease, Some(&[id(2), id(99)]), at(5)).await.expect("retry"), 1);
    assert_eq!(parked(&store, Some(5)).await, ["PRJ-2"]);
    assert_eq!(store.retry_parked(&lease, None, at(6)).await.expect("retry"), 4);
    assert_eq!(parked(&store, Some(6)).await, ["PRJ-1", "PRJ-2", "PRJ-3", "PRJ-4"]);
    assert_eq!(store.drop_parked(&lease, Some(&[id(1), id(99)])).await.expect("drop"), 1);
    assert_eq!(parked(&store, None).await, ["PRJ-2", "PRJ-3", "PRJ-4"]);
    assert_eq!(store.drop_parked(&lease, None).await.expect("drop"), 3);
    assert_eq!(parked(&store, None).await, [""; 0]);
}

pub(super) async fn held_deletes_are_replaced_as_a_whole(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    let held = async |limit| world.store.held(Some(SYNC), limit).await.expect("held");
    let hold_all = |held: Vec<Held>| Checkpoint { held: Some(held), ..Checkpoint::default() };
    world.checkpoint(hold_all(vec![hold(2), hold(1)])).await;
    world.checkpoint(Checkpoint::default()).await;
    assert_eq!(held(9).await, [hold(1), hold(2)], "a checkpoint that says nothing changes nothing");
    assert_eq!(held(1).await.len(), 1);
    assert_eq!(world.store.held(Some("other"), 9).await.expect("held"), []);
    world.checkpoint(hold_all(vec![hold(3)])).await;
    assert_eq!(held(9).await, [hold(3)]);
    world.checkpoint(hold_all(Vec::new())).await;
    assert_eq!(held(9).await, []);
}

pub(super) async fn an_approval_is_used_once(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    let approval = async || world.store.approval(SYNC).await.expect("approval");
    assert_eq!(approval().await, None);
    world.store.approve(&world.lease, 10, at(1)).await.expect("an approval");
    world.store.approve(&world.lease, 60, at(2)).await.expect("an approval");
    assert_eq!(approval().await, Some(60), "the last one counts");
    assert_eq!(world.store.approval("other").await.expect("approval"), None);
    world.checkpoint(Checkpoint::default()).await;
    assert_eq!(approval().await, Some(60));
    world.checkpoint(Checkpoint { approval_used: true, ..Checkpoint::default() }).await;
    assert_eq!(approval().await, None);
}

pub(super) async fn rejected_records_leave_the_ledger(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    assert_eq!(world.store.reject(&world.lease).await.expect("reject"), 0);
    world.put([row(1), row(2), row(3)]).await;
    world.checkpoint(Checkpoint { held: Some(vec![hold(1), hold(3)]), ..Checkpoint::default() }).await;
    world.store.approve(&world.lease, 2, at(1)).await.expect("an approval");
    assert_eq!(world.store.reject(&world.lease).await.expect("reject"), 2);
    assert_eq!(world.store.held(None, 9).await.expect("held"), []);
    let found = world.store.find(SYNC, &[id(1), id(2), id(3)]).await.expect("find");
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(world.store.approval(SYNC).await.expect("approval"), None, "who rejects does not approve");
}

pub(super) async fn waiting_counts_per_sync(place: Arc<dyn Place>) {
    let World { store, lease, run } = World::of(&place).await;
    let other = store.claim("clients", at(1)).await.expect("a claim");
    store.start_run(&other, new_run(1)).await.expect("a run");
    let conflict = Parked { code: "conflict".to_owned(), ..park(3, 0, 0) };
    let ledger = [row(1), row(2), LedgerRow { gone: true, ..row(3) }].map(crate::LedgerChange::Put);
    let checkpoint = Checkpoint {
        ledger: ledger.to_vec(),
        parked: vec![park(1, 0, 0), park(2, 0, 0), conflict],
        held: Some(vec![hold(1)]),
        ..Checkpoint::default()
    };
    store.checkpoint(&lease, run, checkpoint).await.expect("a checkpoint");
    store.intend(&lease, run, &[create(8), create(9)]).await.expect("intents");
    let nothing =
        Waiting { sync: "clients".to_owned(), parked: 0, conflicted: 0, held: 0, known: 0, intents: 0 };
    let ours = Waiting { sync: SYNC.to_owned(), parked: 2, conflicted: 1, held: 1, known: 2, intents: 2 };
    assert_eq!(store.waiting().await.expect("waiting"), [nothing, ours]);
}
