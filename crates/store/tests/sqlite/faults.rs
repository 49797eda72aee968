//! A full disk, a locked file, a file that is something else: what is said, and that nothing half-done stays.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::Connection;
use syncline_core::{identity::Identity, sync::Mode, value::Value};
use syncline_store::{
    About, Checkpoint, Error, Fields, Intent, IntentKind, Lease, LedgerChange, LedgerRow, NewRun, RunId,
    Store,
    sqlite::{self, Options, SqliteStore},
};

use super::fresh;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// A row of about a kilobyte.
pub(super) fn row(n: u64) -> LedgerRow {
    let key = vec![Value::Int64(n.cast_signed())];
    LedgerRow {
        identity: Identity::of(&key, false).expect("a key without nulls"),
        stream: "list".to_owned(),
        record_id: n.to_string(),
        version: None,
        hash: None,
        gone: false,
        key,
        fields: Fields::from([("Note".to_owned(), "x".repeat(1000).into())]),
    }
}

pub(super) async fn start(store: &SqliteStore) -> (Lease, RunId) {
    let lease = store.claim("projects", NOW).await.expect("a claim");
    let run = NewRun { mode: Mode::Full, reason: None, about: About::default(), at: NOW };
    let run = store.start_run(&lease, run).await.expect("a run");
    (lease, run)
}

fn put(numbers: std::ops::Range<u64>) -> Checkpoint {
    let ledger = numbers.map(|n| LedgerChange::Put(row(n))).collect();
    Checkpoint { ledger, ..Checkpoint::default() }
}

async fn known(store: &SqliteStore) -> u64 {
    store.known("projects").await.expect("known").iter().map(|(_, records)| records).sum()
}

#[tokio::test]
async fn a_full_store_says_so_and_recovers() {
    let folder = fresh();
    let small = Options { max_size: Some(1 << 20), ..folder.options() };
    let store = sqlite::open(small).await.expect("the store opens");
    let (lease, run) = start(&store).await;
    let mut batches = 0;
    let full = loop {
        match store.checkpoint(&lease, run, put(batches * 50..batches * 50 + 50)).await {
            Ok(()) => batches += 1,
            Err(error) => break error,
        }
        assert!(batches < 100, "a megabyte holds fewer");
    };
    assert!(matches!(full, Error::Full { .. }), "{full:?}");
    assert!(full.to_string().contains("no space left"), "{full}");
    assert!(batches > 3);
    assert_eq!(known(&store).await, batches * 50, "nothing of the last step");

    // The same connection goes on as soon as there is room: here, because something was removed.
    let ledger = (0..100).map(|n| LedgerChange::Remove(row(n).identity)).collect();
    let remove = Checkpoint { ledger, ..Checkpoint::default() };
    store.checkpoint(&lease, run, remove).await.expect("removing needs little");
    store.checkpoint(&lease, run, put(10_000..10_050)).await.expect("there is room again");
    assert_eq!(known(&store).await, batches * 50 - 50);

    // Or because the disk has become larger.
    drop((lease, store));
    let store = folder.store().await;
    let (lease, run) = start(&store).await;
    store.checkpoint(&lease, run, put(20_000..21_000)).await.expect("there is room");
    assert_eq!(known(&store).await, batches * 50 - 50 + 1000);
}

#[tokio::test]
async fn intents_that_do_not_fit_are_not_half_there() {
    let folder = fresh();
    let store = sqlite::open(Options { max_size: Some(400_000), ..folder.options() }).await.expect("opens");
    let (lease, run) = start(&store).await;
    let intents: Vec<_> = (0..1000)
        .map(|n| Intent { kind: IntentKind::Update, row: row(n), from: None, created: false })
        .collect();
    let full = store.intend(&lease, run, &intents).await;
    assert!(matches!(full, Err(Error::Full { .. })), "{full:?}");
    assert_eq!(store.open_intents("projects").await.expect("intents"), []);
    store.intend(&lease, run, &intents[..10]).await.expect("ten fit");
}

#[tokio::test]
async fn a_store_locked_by_another_process_says_so() {
    let folder = fresh();
    let store = folder.store().await;
    let (lease, run) = start(&store).await;
    let other = Connection::open(folder.path()).expect("another connection");
    other.execute_batch("BEGIN IMMEDIATE").expect("its lock");

    let locked = store.checkpoint(&lease, run, put(0..10)).await;
    assert!(matches!(locked, Err(Error::Locked { .. })), "{locked:?}");
    let locked = store.claim("clients", NOW).await;
    assert!(matches!(locked, Err(Error::Locked { .. })), "{locked:?}");
    assert_eq!(known(&store).await, 0, "reading needs no lock");
    let again = folder.store().await;
    assert_eq!(known(&again).await, 0, "nor does opening");

    other.execute_batch("ROLLBACK").expect("its lock is given back");
    store.checkpoint(&lease, run, put(0..10)).await.expect("a checkpoint");
    store.claim("clients", NOW).await.expect("a claim that failed holds nothing");
}

#[tokio::test]
async fn a_sync_is_claimed_once_across_processes() {
    let folder = fresh();
    let (ours, theirs) = (folder.store().await, folder.store().await);
    let (lease, run) = start(&ours).await;
    let us = format!("process {}", std::process::id());
    match theirs.claim("projects", NOW).await {
        Err(Error::Busy { sync, holder }) => assert_eq!((sync.as_str(), holder), ("projects", us)),
        other => panic!("expected Busy, got {other:?}"),
    }
    ours.checkpoint(&lease, run, put(0..1)).await.expect("a refused claim changes nothing");
    // What the operating system does when a process is killed: its files are closed, and nothing else.
    drop(lease);
    theirs.claim("projects", NOW).await.expect("taken over at once");
}

#[tokio::test]
async fn a_file_that_is_no_store_is_left_alone() {
    let folder = fresh();
    let path = folder.path();
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
    let text = "not a database, and long enough to have a header of a hundred bytes: ".repeat(3);
    std::fs::write(&path, &text).expect("the file");
    let refused = sqlite::open(folder.options()).await;
    assert!(matches!(refused, Err(Error::Database { .. })), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), text);

    let below_a_file = Options::new(path.join("store.db"));
    let refused = sqlite::open(below_a_file).await;
    assert!(matches!(refused, Err(Error::Database { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_damaged_file_is_reported() {
    let folder = fresh();
    let store = folder.store().await;
    let (lease, run) = start(&store).await;
    store.checkpoint(&lease, run, put(0..500)).await.expect("a checkpoint");
    drop((lease, store));
    overwrite_pages(&folder.path());
    let outcome = async {
        let store = sqlite::open(folder.options()).await?;
        let identities: Vec<_> = (0..500).map(|n| row(n).identity).collect();
        store.details("projects", &identities).await
    };
    match outcome.await {
        Err(Error::Database { message, .. }) => assert!(message.contains("malformed"), "{message}"),
        other => panic!("expected Database, got {other:?}"),
    }
}

/// Everything but the first sixteen pages becomes noise.
fn overwrite_pages(path: &Path) {
    let mut bytes = std::fs::read(path).expect("the file");
    assert!(bytes.len() > 32 * 4096, "the store is larger");
    bytes[16 * 4096..].fill(0x5a);
    std::fs::write(path, bytes).expect("the file");
}

#[tokio::test]
async fn several_may_make_the_store_at_once() {
    // Several, because what can go wrong goes wrong rarely.
    for round in 0..10 {
        let folder = fresh();
        let mut opening = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let options = Options::new(folder.path());
            opening.spawn(async { sqlite::open(options).await.map(drop) });
        }
        while let Some(opened) = opening.join_next().await {
            let opened = opened.expect("no panic");
            assert!(opened.is_ok(), "round {round}: {opened:?}");
        }
    }
}
