//! A store of each released version is brought up to date with everything in it.

use rusqlite::Connection;
use syncline_core::run::Status;
use syncline_store::{
    Store,
    service::{RunFilter, ServiceStore},
    sqlite,
};

use super::fresh;

/// What the released version 0.1.0 left: its schema, the note of it, and a store in use.
const FIRST: [&str; 3] = [
    include_str!("../../migrations/sqlite/V1__first.sql"),
    "CREATE TABLE refinery_schema_history (
       version int4 PRIMARY KEY, name VARCHAR(255), applied_on VARCHAR(255), checksum VARCHAR(255));
     INSERT INTO refinery_schema_history
     VALUES (1, 'first', '2026-11-20T08:00:00Z', '4736396178675115498')",
    "INSERT INTO sync (number, name, epoch, cursor) VALUES
       (1, 'projects', 5, '{\"position\":null,\"fingerprint\":\"f\"}'), (2, 'clients', 1, NULL);
     INSERT INTO run (id, sync, epoch, mode, status, started_at, finished_at, read, created, error_code, error_message)
     VALUES
       (1, 1, 1, 'full', 'failed', '2026-11-20T08:00:00.000000Z', '2026-11-20T08:01:00.000000Z', 0, 0, 'c', 'm'),
       (2, 1, 2, 'full', 'succeeded', '2026-11-20T09:00:00.000000Z', '2026-11-20T09:01:00.000000Z', 3, 3, NULL, NULL),
       (3, 1, 3, 'full', 'failed', '2026-11-20T10:00:00.000000Z', '2026-11-20T10:01:00.000000Z', 0, 0, 'c', 'm'),
       (4, 1, 4, 'full', 'failed', '2026-11-20T11:00:00.000000Z', '2026-11-20T11:01:00.000000Z', 0, 0, 'c', 'm'),
       (5, 1, 5, 'incremental', 'running', '2026-11-20T12:00:00.000000Z', NULL, 1, 0, NULL, NULL);
     INSERT INTO run_stream VALUES (2, 'Active', 3, 3, 0, 0, 0, 0, 0, 0, 0, 0);
     INSERT INTO parked (sync, identity, label, code, message, attempts, first_at, last_at, retry_at, run)
     VALUES (1, zeroblob(32), 'PRJ-1', 'conflict', 'm', 1, '2026-11-20T08:00:00.000000Z',
       '2026-11-20T08:00:00.000000Z', '2026-11-20T08:00:00.000000Z', 1)",
];

#[tokio::test]
async fn a_store_of_0_1_0_is_upgraded_with_its_data() {
    let folder = fresh();
    std::fs::create_dir_all(folder.path().parent().expect("a folder")).expect("the folder");
    let sql = Connection::open(folder.path()).expect("plain SQL");
    for statements in FIRST {
        sql.execute_batch(statements).expect("a store of the first version");
    }
    drop(sql);

    let store = sqlite::open(folder.options()).await.expect("it is upgraded");
    let runs = store.page_runs(&RunFilter::default(), 9).await.expect("runs");
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [5, 4, 3, 2, 1]);
    assert_eq!((runs[3].counts.created, runs[3].by_stream["Active"].created), (3, 3));
    let summaries = store.summaries().await.expect("summaries");
    let [clients, projects] = &summaries[..] else { panic!("two syncs, got {summaries:?}") };
    assert_eq!((clients.failures, &clients.last, clients.last_success_at), (0, &None, None));
    assert_eq!((projects.failures, projects.conflicted), (2, 1));
    assert_eq!(projects.last.as_ref().map(|run| (run.id, run.status)), Some((5, Status::Running)));
    let text = |time: Option<jiff::Timestamp>| time.map(|time| time.to_string());
    assert_eq!(text(projects.last_success_started_at).as_deref(), Some("2026-11-20T09:00:00Z"));
    assert_eq!(text(projects.last_success_at).as_deref(), Some("2026-11-20T09:01:00Z"));
    assert!(projects.by_schedule.is_empty(), "the first version had no schedules");
    assert_eq!(projects.cursor.as_ref().map(|cursor| cursor.fingerprint.as_str()), Some("f"));

    // It goes on as a store does.
    assert_eq!(store.close_interrupted(runs[0].started_at).await.expect("close"), 1);
    let lease = store.claim("projects", runs[0].started_at).await.expect("a claim");
    assert_eq!(lease.epoch, 6);
    drop((lease, store));
    drop(sqlite::open(folder.options()).await.expect("it opens again"));
}
