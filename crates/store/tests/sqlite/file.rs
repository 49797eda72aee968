//! The file itself: its schema, what plain SQL finds in it, and that a commit is in it.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::Connection;
use syncline_core::{identity::Identity, seen::Seen};
use syncline_store::{
    Checkpoint, Error, Fields, LedgerChange, Scratch, Store,
    sqlite::{self, Options},
};

use super::{
    faults::{row, start},
    fresh,
};

fn beside(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", path.display()))
}

#[tokio::test]
async fn a_store_of_a_later_version_is_refused() {
    let folder = fresh();
    drop(folder.store().await);
    let sql = Connection::open(folder.path()).expect("plain SQL");
    sql.execute_batch(
        "INSERT INTO refinery_schema_history SELECT version + 1, 'later', applied_on, checksum
         FROM refinery_schema_history ORDER BY version DESC LIMIT 1",
    )
    .expect("a later version");
    drop(sql);
    let refused = sqlite::open(folder.options()).await;
    assert!(matches!(refused, Err(Error::Newer { .. })), "{refused:?}");
    assert!(std::fs::read_dir(folder.path().parent().expect("a folder")).is_ok());
}

#[tokio::test]
async fn opening_again_changes_nothing() {
    let folder = fresh();
    drop(folder.store().await);
    assert!(!beside(&folder.path(), "-wal").exists(), "closing writes the log back");
    let before = std::fs::read(folder.path()).expect("the file");
    drop(folder.store().await);
    assert!(std::fs::read(folder.path()).expect("the file") == before);
}

#[tokio::test]
async fn what_is_committed_is_in_the_files() {
    let folder = fresh();
    let store = folder.store().await;
    let (lease, run) = start(&store).await;
    let ledger = (0..50).map(|n| LedgerChange::Put(row(n))).collect();
    store
        .checkpoint(&lease, run, Checkpoint { ledger, ..Checkpoint::default() })
        .await
        .expect("a checkpoint");

    // As after a power cut: what the files hold at this moment, with the store still open and its log not written back.
    let copy = fresh();
    let (from, to) = (folder.path(), copy.path());
    std::fs::create_dir_all(to.parent().expect("a folder")).expect("the folder");
    std::fs::copy(&from, &to).expect("the file");
    std::fs::copy(beside(&from, "-wal"), beside(&to, "-wal")).expect("the log");
    let found = sqlite::open(Options::new(&to)).await.expect("the copy opens");
    let identities: Vec<_> = (0..50).map(|n| row(n).identity).collect();
    let ours = store.find("projects", &identities).await.expect("find");
    assert!(ours.iter().all(Option::is_some));
    assert_eq!(found.find("projects", &identities).await.expect("find"), ours);
}

#[tokio::test]
async fn planning_writes_nothing_to_the_store() {
    let folder = fresh();
    let store = folder.store().await;
    let (lease, run) = start(&store).await;
    let ledger = (0..50).map(|n| LedgerChange::Put(row(n))).collect();
    store
        .checkpoint(&lease, run, Checkpoint { ledger, ..Checkpoint::default() })
        .await
        .expect("a checkpoint");
    let files = || {
        let path = folder.path();
        [&path, &beside(&path, "-wal")].map(|path| std::fs::read(path).expect("a file"))
    };
    let before = files();

    let listing: Vec<_> = (0..20_000_u64)
        .map(|n| Scratch {
            stream: "list".to_owned(),
            record_id: n.to_string(),
            version: None,
            stamp: (n < 50).then(|| row(n).identity),
            natural: Some([0; 32]),
            hash: [0; 32],
            gone: false,
            fields: Fields::from([("Title".to_owned(), "x".repeat(100).into())]),
        })
        .collect();
    store.scratch_put(&listing).await.expect("a scratch listing");
    store.compare("projects", &["list".to_owned()], 10).await.expect("compare");
    store.scratch_clear().await.expect("clear");
    let identities: Vec<Identity> = (0..50).map(|n| row(n).identity).collect();
    store.find("projects", &identities).await.expect("find");
    store.unseen("projects", &Seen::default(), 0, 10).await.expect("unseen");
    store.waiting().await.expect("waiting");
    assert!(files() == before);
}

/// Rows of a service.
const SERVED: &str = "
    INSERT INTO occurrence (kind, subject, instant, due_at, overlap, weight, retry, options, connections, requested_by,
      correlation, created_at, state, epoch, attempts, node, claimed_at, lease_until)
    SELECT kind, 'daily', at, at, 'skip', 0, 0, '{}', '[]', 'cli', 'c', at, state, epoch, epoch, node, time, time
    FROM (SELECT '2026-11-22T03:20:00.000000Z' AS at) JOIN (
      SELECT 'chain' AS kind, 'claimed' AS state, 1 AS epoch, 'n' AS node, '2026-11-22T03:20:00.000000Z' AS time
      UNION ALL SELECT 'chain', 'waiting', 0, NULL, NULL);
    INSERT INTO chain_run (chain, status, correlation, started_at)
    VALUES ('daily', 'running', 'c', '2026-11-22T03:20:00.000000Z');
    INSERT INTO chain_step (chain_run, position, step, required, status, attempts)
    VALUES (1, 0, 'load', 1, 'waiting', 0), (1, 1, 'tell', 1, 'waiting', 0);
    INSERT INTO event (at, kind, subject_kind, subject, message, data)
    VALUES ('2026-11-22T03:20:00.000000Z', 'run.started', 'sync', 'projects', 'm', 'null');";

#[tokio::test]
async fn the_scratch_listing_has_one_user_at_a_time() {
    let folder = fresh();
    let store = folder.store().await;
    let first = store.scratch_turn().await;
    let mut second = std::pin::pin!(store.scratch_turn());
    tokio::select! {
        biased;
        _ = &mut second => panic!("two runs would fill and empty one listing"),
        () = std::future::ready(()) => {}
    }
    drop(first);
    drop(second.await);
}

#[tokio::test]
async fn the_schema_refuses_nonsense() {
    let folder = fresh();
    let store = folder.store().await;
    let (lease, run) = start(&store).await;
    let ledger = vec![LedgerChange::Put(row(1))];
    store
        .checkpoint(&lease, run, Checkpoint { ledger, ..Checkpoint::default() })
        .await
        .expect("a checkpoint");
    drop((lease, store));
    let sql = Connection::open(folder.path()).expect("plain SQL");
    sql.execute_batch(SERVED).expect("a claimed chain with two steps, one that waits, and an event");
    sql.execute_batch("PRAGMA foreign_keys = ON").expect("foreign keys");
    let nonsense = [
        "UPDATE run SET status = 'done'",
        "UPDATE run SET status = 'succeeded'",
        "UPDATE run SET finished_at = started_at",
        "UPDATE run SET status = 'succeeded', finished_at = started_at, read = 1",
        "UPDATE run SET read = -1",
        "UPDATE run SET started_at = 'yesterday'",
        "UPDATE run SET error_code = 'without words'",
        "INSERT INTO run (sync, epoch, mode, status, started_at) SELECT sync, epoch, mode, status, started_at FROM run",
        "UPDATE sync SET approved = 5",
        "UPDATE sync SET cursor = 'not JSON'",
        "UPDATE sync SET epoch = -1",
        "DELETE FROM sync",
        "DELETE FROM stream",
        "UPDATE ledger SET hash = x'00'",
        "UPDATE ledger SET identity = x'00'",
        "UPDATE ledger SET gone = 2",
        "UPDATE ledger SET record_id = ''",
        "UPDATE ledger SET stream = 99",
        "UPDATE ledger SET seq = 7",
        "UPDATE ledger_detail SET key = 'not JSON'",
        "INSERT INTO ledger_detail VALUES (9, 1, '[]', '{}')",
        "INSERT INTO spent VALUES ('tenant', 'now', 1)",
        "INSERT INTO spent VALUES ('tenant', '2026-11-22T03:20:00.000000Z', -1)",
        "UPDATE occurrence SET state = 'begun'",
        "UPDATE occurrence SET state = 'done'",
        "UPDATE occurrence SET state = 'claimed', lease_until = due_at WHERE state = 'waiting'",
        "UPDATE occurrence SET lease_until = NULL WHERE state = 'claimed'",
        "UPDATE occurrence SET finished_at = due_at",
        "UPDATE occurrence SET state = 'skipped', finished_at = due_at, lease_until = NULL",
        "UPDATE occurrence SET state = 'claimed', node = 'n', claimed_at = due_at, lease_until = due_at, epoch = 1, attempts = 1",
        "UPDATE occurrence SET status = 'succeeded'",
        "UPDATE occurrence SET error_code = 'c', error_message = 'm'",
        "UPDATE occurrence SET epoch = -1",
        "UPDATE occurrence SET options = 'not JSON'",
        "UPDATE occurrence SET idempotency_key = 'the same'",
        "UPDATE occurrence SET schedule = 'hourly', instant = due_at, due_at = due_at",
        "UPDATE chain_run SET status = 'completed'",
        "UPDATE chain_run SET finished_at = started_at",
        "UPDATE chain_step SET step = 'load'",
        "UPDATE event SET subject = NULL",
        "INSERT INTO token (name, hash, scopes, created_at) VALUES ('ci', x'00', '[]', '2026-11-22T03:20:00.000000Z')",
        "INSERT INTO definition VALUES ('sync', 'a', 0, NULL, 'ops', '2026-11-22T03:20:00.000000Z')",
        "INSERT INTO setting VALUES ('limits', 'not JSON', 'ops', '2026-11-22T03:20:00.000000Z')",
    ];
    for statement in nonsense {
        assert!(sql.execute_batch(statement).is_err(), "accepted: {statement}");
    }
}

#[tokio::test]
async fn the_queries_of_the_documentation_work() {
    let folder = fresh();
    let store = folder.store().await;
    let (lease, run) = start(&store).await;
    let ledger = vec![LedgerChange::Put(row(1))];
    let at = Timestamp::UNIX_EPOCH;
    store
        .checkpoint(&lease, run, Checkpoint { ledger, at, ..Checkpoint::default() })
        .await
        .expect("a checkpoint");
    let text = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/store.md");
    let text = std::fs::read_to_string(text).expect("docs/store.md");
    let sql = Connection::open(folder.path()).expect("plain SQL");
    let mut queries = 0;
    for block in text.split("```sql\n").skip(1) {
        let (block, _) = block.split_once("```").expect("a block ends");
        for query in block.split_inclusive(';').filter(|query| !query.trim().is_empty()) {
            let mut statement = sql.prepare(query).unwrap_or_else(|error| panic!("{error}:\n{query}"));
            assert!(statement.readonly(), "{query}");
            let rows = statement.query([]).and_then(|mut rows| rows.next().map(|row| row.is_some()));
            rows.unwrap_or_else(|error| panic!("{error}:\n{query}"));
            queries += 1;
        }
    }
    assert!(queries >= 5, "the documentation shows how to look");
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut tables = sql.prepare(tables).expect("the tables");
    let mut tables = tables.query([]).expect("the tables");
    while let Some(table) = tables.next().expect("a table") {
        let name: String = table.get(0).expect("a name");
        assert!(text.contains(&format!("`{name}`")), "docs/store.md does not tell of the table {name}");
    }
}
