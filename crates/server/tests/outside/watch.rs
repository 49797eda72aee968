//! Alerts from what is stored to who is told: a real store, and a real web server as the receiver.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use syncline_connect::clock::Clock;
use syncline_core::{
    alert::{AlertKind, AlertRule, Receiver, ReceiverKind},
    counts::Counts,
    project::Project,
    run::Status,
    sync::Mode,
};
use syncline_engine::service::{
    Served,
    alerts::{Notice, deliver::Alerts},
};
use syncline_server::outside::Reach;
use syncline_store::{
    About, NewRun, RunEnd, Store,
    service::{EventFilter, ServiceStore},
    sqlite::{self, SqliteStore},
};
use tokio::sync::watch;

use super::{
    kit::{now, project},
    web::{Server, status},
};

/// A clock that is set.
#[derive(Debug)]
struct Hand(Mutex<Timestamp>);

impl Hand {
    fn advance(&self, seconds: i64) {
        let mut at = self.0.lock().expect("not poisoned");
        *at = Timestamp::from_second(at.as_second() + seconds).expect("a time");
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("not poisoned")
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.now().as_second().unsigned_abs())
    }
}

struct World {
    store: Arc<SqliteStore>,
    clock: Arc<Hand>,
    server: Server,
    /// Whether the receiver takes messages.
    open: Arc<AtomicBool>,
    served: watch::Sender<Arc<Served>>,
    directory: tempfile::TempDir,
}

const SYNCS: &str = "connections:\n  a: { type: sqlite, path: a.db }\nsyncs:\n  orders:\n    from: { connection: a, table: t }\n    \
    to: { connection: a, table: u }\n    schedule: { every: 10m }\n";

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store =
            sqlite::open(sqlite::Options::new(directory.path().join("store.db"))).await.expect("a store");
        let open = Arc::new(AtomicBool::new(true));
        let taken = Arc::clone(&open);
        let server = Server::start(move |_| {
            status(if taken.load(Ordering::SeqCst) { "200 OK" } else { "503 Service Unavailable" })
        })
        .await;
        let mut project = project(None, Duration::from_secs(1));
        project.syncs = syncs();
        project.alerts = vec![AlertRule {
            name: "ops".into(),
            on: vec![AlertKind::Failed, AlertKind::Late, AlertKind::Anomaly],
            about: Vec::new(),
            to: vec!["hook".into()],
            throttle: Duration::from_secs(3600),
            parked_max: 10,
            anomaly_percent: 50.0,
        }];
        let kind = ReceiverKind::Webhook { url: format!("{}/hook", server.url), secret: "hush".into() };
        project.receivers = vec![Receiver { name: "hook".into(), kind }];
        let (served, _) = watch::channel(Arc::new(serve(project)));
        let clock = Arc::new(Hand(Mutex::new(now())));
        Self { store: Arc::new(store), clock, server, open, served, directory }
    }

    /// A node that looks.
    fn node(&self) -> Alerts {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let reach = Reach::new(self.directory.path().to_owned(), Arc::clone(&clock)).expect("a way out");
        Alerts {
            store: self.store.clone(),
            served: self.served.subscribe(),
            messenger: Arc::new(reach),
            clock,
        }
    }

    /// A full run of `orders`.
    async fn run(&self, status: Status, read: u64) {
        let at = self.clock.now();
        let lease = self.store.claim("orders", at).await.expect("a lease");
        let new = NewRun { mode: Mode::Full, reason: None, about: About::default(), at };
        let run = self.store.start_run(&lease, new).await.expect("a run");
        let error = (status == Status::Failed).then(|| ("unreachable".to_owned(), "no answer".to_owned()));
        let counts = Counts { read, unchanged: read, ..Counts::default() };
        let end = RunEnd { status, counts, by_stream: BTreeMap::new(), error, notes: Vec::new(), at };
        self.store.finish_run(&lease, run, end).await.expect("its end");
    }

    fn titles(&self) -> Vec<String> {
        let notice = |body: &str| serde_json::from_str::<Notice>(body).expect("a notice").title;
        self.server.requests().iter().map(|r| notice(&r.body)).collect()
    }

    async fn events(&self) -> Vec<String> {
        let events = self.store.events(&EventFilter::default(), 0, 100).await.expect("events");
        events.into_iter().map(|e| e.event.kind).filter(|kind| kind.starts_with("alert.")).collect()
    }
}

fn syncs() -> Vec<syncline_core::sync::Sync> {
    struct Nothing;
    impl syncline_spec::Environment for Nothing {
        fn variable(&self, _: &str) -> Option<String> {
            None
        }

        fn file(&self, _: &str) -> Result<String, String> {
            Err("there is none".into())
        }
    }
    use syncline_connect::registry::Connector as _;
    let specs = [syncline_connect::sqlite::Connector.spec()];
    let loaded = syncline_spec::parse("syncline.yaml", SYNCS, &specs, &Nothing);
    loaded.unwrap_or_else(|problems| panic!("{problems:?}")).project.syncs
}

fn serve(project: Project) -> Served {
    Served { project: Arc::new(project), number: 1, since: now(), origins: BTreeMap::new(), broken: None }
}

#[tokio::test]
async fn a_failure_and_its_recovery_are_told_by_one_of_two_nodes() {
    let world = World::new().await;
    let (one, other) = (world.node(), world.node());
    world.run(Status::Succeeded, 100).await;
    assert_eq!(one.once().await.expect("a look"), 0);
    world.run(Status::Failed, 0).await;
    let (a, b) = tokio::join!(one.once(), other.once());
    assert_eq!(a.expect("a look") + b.expect("a look"), 1);
    assert_eq!(one.once().await.expect("a look"), 0);
    assert_eq!(world.titles(), ["sync \"orders\" failed"]);
    world.run(Status::Succeeded, 100).await;
    assert_eq!(other.once().await.expect("a look"), 1);
    assert_eq!(world.titles()[1..], ["sync \"orders\" recovered: no longer failing"]);
    assert_eq!(world.events().await, ["alert.active", "alert.sent", "alert.over", "alert.sent"]);
}

#[tokio::test]
async fn a_message_is_tried_again_until_it_is_taken() {
    let world = World::new().await;
    let node = world.node();
    world.open.store(false, Ordering::SeqCst);
    world.run(Status::Failed, 0).await;
    assert_eq!(node.once().await.expect("a look"), 0);
    assert_eq!(node.once().await.expect("a look"), 0, "not before the pause is over");
    assert_eq!(world.titles().len(), 1);
    world.clock.advance(10);
    assert_eq!(node.once().await.expect("a look"), 0);
    world.clock.advance(10);
    assert_eq!(node.once().await.expect("a look"), 0, "the pause doubles");
    assert_eq!(world.titles().len(), 2);
    world.open.store(true, Ordering::SeqCst);
    world.clock.advance(10);
    assert_eq!(node.once().await.expect("a look"), 1);
    assert_eq!(world.titles().len(), 3);
    assert_eq!(node.once().await.expect("a look"), 0);
    assert_eq!(world.events().await, ["alert.active", "alert.delayed", "alert.delayed", "alert.sent"]);
}

#[tokio::test]
async fn a_message_of_a_node_that_died_is_told_by_another() {
    let world = World::new().await;
    world.run(Status::Failed, 0).await;
    world.node().once().await.expect("a look");
    let told = world.store.alert_states().await.expect("states").remove(0);
    // as it is when a node took it on and died
    let pending = serde_json::json!({ "notice": serde_json::from_str::<Notice>(&world.server.requests()[0].body).expect("a notice"), "to": ["hook"] });
    let taken = syncline_store::service::AlertState {
        message: Some(pending),
        try_at: Some(Timestamp::from_second(now().as_second() + 60).expect("a time")),
        ..told.clone()
    };
    assert!(world.store.swap_alert(Some(&told), &taken).await.expect("a store"));
    assert_eq!(world.node().once().await.expect("a look"), 0, "it may still be delivering");
    world.clock.advance(60);
    assert_eq!(world.node().once().await.expect("a look"), 1);
    assert_eq!(world.titles(), ["sync \"orders\" failed", "sync \"orders\" failed"], "at least once");
}

#[tokio::test]
async fn nothing_runs_and_somebody_is_told() {
    let world = World::new().await;
    let node = world.node();
    world.run(Status::Succeeded, 100).await;
    world.clock.advance(10 * 60);
    assert_eq!(node.once().await.expect("a look"), 0);
    world.clock.advance(5 * 60);
    assert_eq!(node.once().await.expect("a look"), 1);
    assert_eq!(world.titles(), ["sync \"orders\" is late"]);
}

#[tokio::test]
async fn an_unusual_number_of_records() {
    let world = World::new().await;
    let node = world.node();
    for read in [100, 110, 90, 105] {
        world.run(Status::Succeeded, read).await;
        assert_eq!(node.once().await.expect("a look"), 0);
    }
    world.run(Status::Succeeded, 3).await;
    assert_eq!(node.once().await.expect("a look"), 1);
    assert_eq!(world.titles(), ["sync \"orders\" read an unusual number of records"]);
}
