//! Lost connections, leases that run out, other processes, versions.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use syncline_core::{cursor::Cursor, run::Status, sync::Mode};
use syncline_store::{
    About, Checkpoint, Error, Lease, NewRun, RunId, Store,
    postgres::{self, Options, PostgresStore},
};
use tokio::task::JoinSet;

use super::{Schema, server};

const SYNC: &str = "projects";
/// Longest wait for something that happens by itself.
const PATIENCE: Duration = Duration::from_secs(20);

async fn begun(store: &PostgresStore) -> (Lease, RunId) {
    let lease = store.claim(SYNC, Timestamp::UNIX_EPOCH).await.expect("a claim");
    let new = NewRun { mode: Mode::Full, reason: None, about: About::default(), at: Timestamp::UNIX_EPOCH };
    let run = store.start_run(&lease, new).await.expect("a run");
    (lease, run)
}

fn moves_the_cursor(fingerprint: &str) -> Checkpoint {
    let cursor = Cursor { position: None, fingerprint: fingerprint.to_owned() };
    Checkpoint { cursor: Some(cursor), ..Checkpoint::default() }
}

/// Asks again until the answer is the expected one.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    #[expect(clippy::disallowed_methods, reason = "the bound of a wait")]
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        #[expect(clippy::disallowed_methods, reason = "the bound of a wait")]
        let waited = began.elapsed();
        assert!(waited < PATIENCE, "{what}");
        tokio::task::yield_now().await;
    }
}

impl Schema {
    /// Ends every session of the store, as a restart of the server does.
    async fn cut_off(&self) {
        let sessions = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity
                          WHERE application_name = current_setting('application_name') AND pid <> pg_backend_pid()";
        assert!(!self.texts(sessions).await.is_empty());
    }

    /// The leases' time is over.
    async fn expire(&self) {
        let sql = "UPDATE lease SET until = clock_timestamp() - interval '1 second' RETURNING holder";
        assert_eq!(self.texts(sql).await.len(), 1);
    }
}

#[tokio::test]
async fn a_lost_connection_is_made_anew() {
    let schema = Schema::new();
    let store = schema.store().await;
    let (lease, run) = begun(&store).await;
    store.checkpoint(&lease, run, moves_the_cursor("before")).await.expect("a checkpoint");
    for round in ["first", "second"] {
        schema.cut_off().await;
        until("the store connects again", async || {
            match store.checkpoint(&lease, run, moves_the_cursor(round)).await {
                Ok(()) => Some(()),
                Err(Error::Unreachable { .. }) => None,
                Err(other) => panic!("{other}"),
            }
        })
        .await;
        let cursor = store.cursor(SYNC).await.expect("cursor").expect("a cursor");
        assert_eq!(cursor.fingerprint, round);
    }
    drop(lease);
    store.claim(SYNC, Timestamp::UNIX_EPOCH).await.expect("given back over a new connection");
}

#[tokio::test]
async fn a_lease_that_ran_out_belongs_to_who_asks_first() {
    let schema = Schema::new();
    let first = schema.store().await;
    let named = Options { holder: "process 7 on another".to_owned(), ..schema.options() };
    let second = postgres::open(named).await.expect("the store opens");
    let (old, run) = begun(&first).await;
    match second.claim(SYNC, Timestamp::UNIX_EPOCH).await {
        Err(Error::Busy { holder, .. }) => assert_eq!(holder, format!("process {}", std::process::id())),
        other => panic!("expected Busy, got {other:?}"),
    }
    schema.expire().await;
    let new = second.claim(SYNC, Timestamp::UNIX_EPOCH).await.expect("its time is over");
    assert_eq!(new.epoch, old.epoch + 1);
    let late = first.checkpoint(&old, run, moves_the_cursor("late")).await;
    assert!(matches!(late, Err(Error::Stale { ours: 1, found: 2, .. })), "{late:?}");
    assert_eq!(first.cursor(SYNC).await.expect("cursor"), None);
    let interrupted = first.run(run).await.expect("run").expect("the run");
    assert_eq!(interrupted.status, Status::Interrupted);

    drop(old);
    match first.claim(SYNC, Timestamp::UNIX_EPOCH).await {
        Err(Error::Busy { holder, .. }) => assert_eq!(holder, "process 7 on another"),
        other => panic!("an old lease takes nothing of the new one with it: {other:?}"),
    }
    second.check(&new).await.expect("the newest");
}

#[tokio::test]
async fn of_many_that_claim_at_once_one_gets_it() {
    let schema = Schema::new();
    let mut stores = Vec::new();
    for _ in 0..4 {
        stores.push(std::sync::Arc::new(schema.store().await));
    }
    let mut claims = JoinSet::new();
    for store in stores.iter().chain(&stores) {
        let store = std::sync::Arc::clone(store);
        claims.spawn(async move { store.claim(SYNC, Timestamp::UNIX_EPOCH).await });
    }
    let (mut got, mut busy) = (Vec::new(), 0);
    while let Some(claimed) = claims.join_next().await {
        match claimed.expect("no panic") {
            Ok(lease) => got.push(lease),
            Err(Error::Busy { .. }) => busy += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((got.len(), busy), (1, 7));
}

#[tokio::test]
async fn a_lease_is_renewed_while_it_is_held() {
    let schema = Schema::new();
    let often =
        Options { lease: Duration::from_secs(5), heartbeat: Duration::from_millis(20), ..schema.options() };
    let store = postgres::open(often).await.expect("the store opens");
    let (lease, _) = begun(&store).await;
    let ends = "SELECT until::text FROM lease";
    let first = schema.texts(ends).await;
    until("the lease is renewed", async || (schema.texts(ends).await > first).then_some(())).await;
    store.check(&lease).await.expect("the newest");
    drop(store);
    assert_eq!(schema.texts(ends).await, [""; 0], "a store that is dropped holds nothing");
    drop(lease);
}

#[tokio::test]
async fn who_cannot_renew_in_time_stops_writing_by_itself() {
    let schema = Schema::new();
    let never = Options {
        lease: Duration::from_millis(300),
        heartbeat: Duration::from_secs(3600),
        ..schema.options()
    };
    let store = postgres::open(never).await.expect("the store opens");
    let (lease, run) = begun(&store).await;
    until("the lease is lost", async || match store.check(&lease).await {
        Ok(()) => None,
        Err(Error::Stale { ours: 1, found: 1, .. }) => Some(()),
        Err(other) => panic!("{other}"),
    })
    .await;
    let late = store.checkpoint(&lease, run, moves_the_cursor("late")).await;
    let told = late.expect_err("it must not write any more").to_string();
    assert_eq!(
        told,
        "the lease of sync \"projects\" (epoch 1) could not be renewed in time; nothing was written"
    );
    assert_eq!(store.cursor(SYNC).await.expect("cursor"), None, "although nobody took it over");
    let other = schema.store().await;
    until("another one takes it", async || other.claim(SYNC, Timestamp::UNIX_EPOCH).await.ok()).await;
}

#[tokio::test]
async fn many_that_open_a_new_store_make_it_once() {
    let schema = Schema::new();
    let mut opening = JoinSet::new();
    for _ in 0..6 {
        let options = Options { connections: 1, lock_timeout: Duration::from_secs(20), ..schema.options() };
        opening.spawn(async { postgres::open(options).await.map(drop) });
    }
    while let Some(opened) = opening.join_next().await {
        opened.expect("no panic").expect("the store opens");
    }
    let made = schema.texts("SELECT count(*)::text FROM refinery_schema_history WHERE version = 1").await;
    assert_eq!(made, ["1"]);
}

#[tokio::test]
async fn a_store_of_a_later_version_is_refused_and_left_alone() {
    let schema = Schema::new();
    assert!(!postgres::exists(&schema.options()).await.expect("asked"), "asking makes nothing");
    drop(schema.store().await);
    assert!(postgres::exists(&schema.options()).await.expect("asked"));
    let later = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
                 VALUES (99, 'later', '2030-01-01T00:00:00Z', '1') RETURNING version::text";
    assert_eq!(schema.texts(later).await, ["99"]);
    let refused = postgres::open(schema.options()).await;
    assert!(matches!(refused, Err(Error::Newer { .. })), "{refused:?}");
}

#[tokio::test]
async fn nobody_there_and_nobody_let_in_are_told_without_the_password() {
    let there = server();
    let (_, port) = there.rsplit_once(':').expect("a port");
    let cases = [
        ("postgres://me:hunter2@127.0.0.1:1/none".to_owned(), "postgres://127.0.0.1:1/none: "),
        (format!("postgres://syncline_pw:hunter2@127.0.0.1:{port}"), "password authentication failed"),
        (
            format!("postgres://postgres:hunter2@127.0.0.1:{}/no_such", port.replace("/postgres", "")),
            "does not exist",
        ),
    ];
    for (url, expected) in cases {
        let refused = postgres::open(Options::new(url)).await.expect_err("a refusal");
        assert!(matches!(refused, Error::Unreachable { .. }), "{refused:?}");
        let told = refused.to_string();
        assert!(told.contains(expected) && !told.contains("hunter2"), "{told}");
    }
    let wrong = postgres::open(Options::new("postgres://u:hunter2@h:x/d")).await.expect_err("a refusal");
    assert!(!wrong.to_string().contains("hunter2"), "{wrong}");
}
