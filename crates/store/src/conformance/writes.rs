//! What was written to each record.

use std::sync::Arc;

use syncline_core::run::Status;

use super::{
    Place,
    world::{SYNC, World, at, days, end, id, new_run, row},
};
use crate::{Checkpoint, Error, LedgerChange, NewRun, RunEnd, Write, WriteKind, Written};

fn written(n: u64, kind: WriteKind, stream: &str) -> Written {
    Written { identity: id(n), kind, stream: stream.to_owned(), record_id: n.to_string() }
}

pub(super) async fn what_was_written_is_told_newest_first(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    let one = vec![written(1, WriteKind::Create, "site/active"), written(2, WriteKind::Adopt, "site/active")];
    let two = vec![
        written(1, WriteKind::Update, "site/active"),
        written(1, WriteKind::Move, "site/closed"),
        written(2, WriteKind::Delete, "site/active"),
    ];
    for (written, seconds) in [(one, 1), (two, 2)] {
        world.checkpoint(Checkpoint { written, at: at(seconds), ..Checkpoint::default() }).await;
    }
    let other = world.store.claim("other", at(0)).await.expect("a claim");
    let run = world.store.start_run(&other, new_run(3)).await.expect("a run");
    let written = vec![written(1, WriteKind::Create, "site/large")];
    let checkpoint = Checkpoint { written, at: at(3), ..Checkpoint::default() };
    world.store.checkpoint(&other, run, checkpoint).await.expect("a checkpoint");

    let write = |kind, stream: &str, seconds| Write {
        run: world.run,
        kind,
        stream: stream.to_owned(),
        record_id: "1".to_owned(),
        at: at(seconds),
    };
    let story = [
        write(WriteKind::Move, "site/closed", 2),
        write(WriteKind::Update, "site/active", 2),
        write(WriteKind::Create, "site/active", 1),
    ];
    let told = async |sync, n, limit| world.store.writes(sync, id(n), limit).await.expect("writes");
    assert_eq!(told(SYNC, 1, 9).await, story, "of this sync alone, in the order of the checkpoint");
    assert_eq!(told(SYNC, 1, 2).await, story[..2]);
    let kinds: Vec<_> = told(SYNC, 2, 9).await.iter().map(|write| write.kind).collect();
    assert_eq!(kinds, [WriteKind::Delete, WriteKind::Adopt]);
    assert_eq!(told("other", 1, 9).await.len(), 1);
    assert_eq!(told(SYNC, 3, 9).await, []);
    assert_eq!(told("unheard of", 1, 9).await, []);
}

pub(super) async fn writes_go_with_their_run(place: Arc<dyn Place>) {
    let World { store, lease, run: old } = World::of(&place).await;
    let checkpoint = |at| Checkpoint {
        written: vec![written(1, WriteKind::Create, "site/active")],
        at,
        ..Checkpoint::default()
    };
    store.checkpoint(&lease, old, checkpoint(days(0))).await.expect("a checkpoint");
    store.finish_run(&lease, old, end(Status::Succeeded, 1)).await.expect("an end");
    let run = store.start_run(&lease, NewRun { at: days(91), ..new_run(0) }).await.expect("a run");
    store.checkpoint(&lease, run, checkpoint(days(91))).await.expect("a checkpoint");
    assert_eq!(store.writes(SYNC, id(1), 9).await.expect("writes").len(), 2);
    let end = RunEnd { at: days(91), ..end(Status::Succeeded, 0) };
    store.finish_run(&lease, run, end).await.expect("an end");
    let left = store.writes(SYNC, id(1), 9).await.expect("writes");
    assert_eq!(left.iter().map(|write| write.run).collect::<Vec<_>>(), [run]);
}

pub(super) async fn a_refused_checkpoint_wrote_nothing(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    let no_id = Written { record_id: String::new(), ..written(2, WriteKind::Update, "site/active") };
    let checkpoint = Checkpoint {
        ledger: vec![LedgerChange::Put(row(1))],
        written: vec![written(1, WriteKind::Create, "site/active"), no_id],
        ..Checkpoint::default()
    };
    let refused = world.store.checkpoint(&world.lease, world.run, checkpoint).await;
    assert!(matches!(refused, Err(Error::Database { .. })), "{refused:?}");
    assert_eq!(world.store.writes(SYNC, id(1), 9).await.expect("writes"), []);
    assert_eq!(world.store.find(SYNC, &[id(1)]).await.expect("find"), [None]);
}
