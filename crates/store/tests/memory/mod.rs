//! The store in memory.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use syncline_core::{cursor::Cursor, run::Status, sync::Mode};
use syncline_store::{
    About, Checkpoint, Error, NewRun, Store,
    conformance::Place,
    memory::{Disk, MemoryStore},
};

const SYNC: &str = "projects";

/// A disk of its own.
#[derive(Default)]
pub(crate) struct OnDisk(Disk);

#[async_trait]
impl Place for OnDisk {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(MemoryStore::open(&self.0))
    }
}

mod conformance {
    syncline_store::suite!(super::OnDisk::default);
}

fn new_run() -> NewRun {
    NewRun { mode: Mode::Full, reason: None, about: About::default(), at: Timestamp::UNIX_EPOCH }
}

fn moves_the_cursor(fingerprint: &str) -> Checkpoint {
    let cursor = Cursor { position: None, fingerprint: fingerprint.to_owned() };
    Checkpoint { cursor: Some(cursor), ..Checkpoint::default() }
}

async fn fingerprint(store: &MemoryStore) -> Option<String> {
    store.cursor(SYNC).await.expect("cursor").map(|cursor| cursor.fingerprint)
}

#[tokio::test]
async fn a_seized_sync_is_claimed_while_the_old_lease_lives() {
    let store = MemoryStore::new();
    assert!(!store.seize(SYNC), "nobody held it");
    let old = store.claim(SYNC, Timestamp::UNIX_EPOCH).await.expect("a claim");
    let run = store.start_run(&old, new_run()).await.expect("a run");
    assert!(store.seize(SYNC));
    store.checkpoint(&old, run, moves_the_cursor("old")).await.expect("until somebody else claims it");

    let new = store.claim(SYNC, Timestamp::UNIX_EPOCH).await.expect("a claim");
    let late = store.checkpoint(&old, run, moves_the_cursor("late")).await;
    assert!(matches!(late, Err(Error::Stale { ours: 1, found: 2, .. })), "{late:?}");
    let run = store.run(run).await.expect("run").expect("the run");
    assert_eq!(run.status, Status::Interrupted);
    assert_eq!(fingerprint(&store).await.as_deref(), Some("old"));

    drop(old);
    let third = store.claim(SYNC, Timestamp::UNIX_EPOCH).await;
    assert!(matches!(third, Err(Error::Busy { .. })), "the old lease takes nothing of the new one with it");
    store.check(&new).await.expect("the newest");
}

#[tokio::test]
async fn a_dropped_store_holds_nothing() {
    let store = MemoryStore::new();
    let disk = store.disk().clone();
    let other = MemoryStore::open(&disk);
    let left = store.claim(SYNC, Timestamp::UNIX_EPOCH).await.expect("a claim");
    match other.claim(SYNC, Timestamp::UNIX_EPOCH).await {
        Err(Error::Busy { sync, holder }) => assert_eq!((sync.as_str(), holder.as_str()), (SYNC, "store 1")),
        found => panic!("expected Busy, got {found:?}"),
    }
    drop(store);
    let new =
        other.claim(SYNC, Timestamp::UNIX_EPOCH).await.expect("its process is dead, whoever keeps the lease");
    assert_eq!((left.epoch, new.epoch), (1, 2));
}

#[tokio::test]
async fn a_snapshot_is_another_disk() {
    let store = MemoryStore::new();
    let lease = store.claim(SYNC, Timestamp::UNIX_EPOCH).await.expect("a claim");
    let run = store.start_run(&lease, new_run()).await.expect("a run");
    store.checkpoint(&lease, run, moves_the_cursor("before")).await.expect("a checkpoint");
    let before = store.snapshot();
    assert_eq!(before, *store.disk());
    assert_eq!(before.dump(), store.dump());

    store.checkpoint(&lease, run, moves_the_cursor("after")).await.expect("a checkpoint");
    assert_ne!(before, *store.disk());
    assert_ne!(before.dump(), store.dump());

    // The power went, and the last write with it.
    let restored = MemoryStore::open(&before);
    assert_eq!(fingerprint(&restored).await.as_deref(), Some("before"));
    let lease = restored.claim(SYNC, Timestamp::UNIX_EPOCH).await.expect("nobody holds a sync of the copy");
    let run = restored.start_run(&lease, new_run()).await.expect("a run");
    restored.checkpoint(&lease, run, moves_the_cursor("again")).await.expect("a checkpoint");
    assert_eq!(fingerprint(&restored).await.as_deref(), Some("again"));
    assert_eq!(fingerprint(&store).await.as_deref(), Some("after"));
}

#[tokio::test]
async fn reading_and_refused_writes_leave_the_disk_as_it_was() {
    let store = MemoryStore::new();
    let lease = store.claim(SYNC, Timestamp::UNIX_EPOCH).await.expect("a claim");
    let before = store.snapshot();
    store.check(&lease).await.expect("the newest");
    store.waiting().await.expect("waiting");
    store.scratch_clear().await.expect("scratch");
    store.compare(SYNC, &["list".to_owned()], 9).await.expect("compare");
    let refused = store.checkpoint(&lease, 7, moves_the_cursor("never")).await;
    assert!(matches!(refused, Err(Error::Database { .. })), "{refused:?}");
    assert!(matches!(store.claim(SYNC, Timestamp::UNIX_EPOCH).await, Err(Error::Busy { .. })));
    assert_eq!(before, *store.disk());
}
