//! Nodes over one store file and two SQLite databases, in simulated time.

use std::{
    collections::BTreeMap,
    future::Future,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use syncline_connect::{
    Source,
    budget::Budgets,
    clock::Clock,
    registry::{Caller, Connector as _, Context},
    sqlite,
    statements::Statements,
};
use syncline_core::{
    chain::HttpCall, connection::Connection, mapping::Problem, project::Project, report::Report, sync::Sync,
};
use syncline_engine::{
    Engine, Error, Flow,
    load::Table,
    retry::Policy,
    service::{Control, Executor, Local, Node, Outside, Served, Systems},
};
use syncline_store::{
    service::{NewEvent, Occurrence, OccurrenceFilter, ServiceStore, Subject},
    sqlite as store,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use super::kit::time;

/// When every test begins.
pub(crate) const BEGIN: &str = "2026-03-01T12:00:00Z";

/// Wall clock on tokio's paused time; it can be set.
#[derive(Debug)]
pub(crate) struct TestClock {
    began: tokio::time::Instant,
    /// Seconds by which somebody set it.
    set: AtomicI64,
}

impl TestClock {
    pub(crate) fn set_by(&self, seconds: i64) {
        self.set.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let set = SignedDuration::from_secs(self.set.load(Ordering::SeqCst));
        time(BEGIN).checked_add(self.began.elapsed()).unwrap().checked_add(set).unwrap()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(86_400 * 2) + self.began.elapsed()
    }
}

/// Everything that the nodes of a test share; it goes with it.
pub(crate) struct House {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) served: watch::Sender<Arc<Served>>,
    directory: tempfile::TempDir,
}

impl House {
    /// Serves a project whose connections are the files `a` and `b`, empty but for what `sql` makes in `a`.
    #[expect(clippy::disallowed_methods, reason = "the clock of the tests")]
    pub(crate) fn new(project: &Project, sql: &str) -> Self {
        let clock = Arc::new(TestClock { began: tokio::time::Instant::now(), set: AtomicI64::new(0) });
        let directory = tempfile::tempdir().unwrap();
        let served = watch::Sender::new(Arc::new(serve(project, 1)));
        let house = Self { clock, served, directory };
        house.file("b").execute_batch("PRAGMA user_version = 1").unwrap();
        house.file("a").execute_batch(sql).unwrap();
        house
    }

    /// Serves other definitions from now on.
    pub(crate) fn serve(&self, project: &Project) {
        let number = self.served.borrow().number + 1;
        self.served.send_replace(Arc::new(serve(project, number)));
    }

    pub(crate) fn file(&self, name: &str) -> rusqlite::Connection {
        rusqlite::Connection::open(self.directory.path().join(format!("{name}.db"))).unwrap()
    }

    /// A number from one of the databases, or from the store.
    pub(crate) fn number(&self, file: &str, query: &str) -> i64 {
        self.file(file).query_row(query, [], |row| row.get(0)).unwrap()
    }

    /// Texts from one of the databases, or from the store.
    pub(crate) fn texts(&self, file: &str, query: &str) -> Vec<String> {
        let file = self.file(file);
        let mut statement = file.prepare(query).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    /// A handle on the store of its own, as another process has.
    pub(crate) async fn control(&self) -> Control {
        let path = self.directory.path().join("store.db");
        let options =
            store::Options { busy_timeout: Duration::from_millis(500), ..store::Options::new(path) };
        let store: Arc<dyn ServiceStore> = Arc::new(store::open(options).await.unwrap());
        let clock: Arc<dyn Clock> = self.clock.clone();
        let budgets = Arc::new(Budgets::new(Arc::clone(&clock)));
        let engine = Engine {
            store: store.clone(),
            clock: Arc::clone(&clock),
            budgets,
            retry: Policy::default(),
            seed: 1,
        };
        let systems = Files { engine, context: context(self.directory.path(), &clock) };
        Control::new(store, clock, self.served.subscribe(), Arc::new(systems))
    }

    /// A node that runs the engine.
    pub(crate) async fn node(&self, name: &str) -> Running {
        self.node_with(name, |control| Arc::new(Local::new(control, Arc::new(Nowhere)))).await
    }

    pub(crate) async fn node_with(
        &self,
        name: &str,
        executor: impl FnOnce(Control) -> Arc<dyn Executor>,
    ) -> Running {
        let control = self.control().await;
        let node = Node::new(control.clone(), executor(control.clone()), name.into(), "test".into());
        let (stop, stops) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(async move { node.run(stops).await });
        Running { control, stop, task }
    }

    /// All occurrences of a subject, oldest first.
    pub(crate) async fn occurrences(&self, control: &Control, subject: &Subject) -> Vec<Occurrence> {
        let filter = OccurrenceFilter { subject: Some(subject.clone()), ..OccurrenceFilter::default() };
        let mut all = control.store().occurrences(&filter, 1000).await.unwrap();
        all.reverse();
        all
    }

    pub(crate) fn clock_now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) async fn pass(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// A node at work.
pub(crate) struct Running {
    pub(crate) control: Control,
    stop: watch::Sender<bool>,
    task: JoinSet<()>,
}

impl Running {
    /// As SIGKILL: nothing of it goes on.
    pub(crate) async fn kill(mut self) {
        self.task.shutdown().await;
    }

    /// As SIGTERM: returns when it has stopped in order.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.task.join_next().await {
            ended.unwrap();
        }
    }
}

/// Waits, in simulated time at most an hour, until something holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..36_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("an hour passed: {what}");
}

fn serve(project: &Project, number: u64) -> Served {
    let connection = |name: &str| Connection {
        name: name.into(),
        kind: "sqlite".into(),
        options: json!({ "path": format!("{name}.db") }),
    };
    let project = Project { connections: vec![connection("a"), connection("b")], ..project.clone() };
    let since = time(BEGIN);
    Served { project: Arc::new(project), number, since, origins: BTreeMap::new(), broken: None }
}

fn context(directory: &Path, clock: &Arc<dyn Clock>) -> Context {
    Context {
        clock: Arc::clone(clock),
        budgets: Arc::new(Budgets::new(Arc::clone(clock))),
        seed: 1,
        directory: directory.to_owned(),
        caller: Default::default(),
    }
}

/// SQLite files on both sides.
struct Files {
    engine: Engine,
    context: Context,
}

#[async_trait]
impl Systems for Files {
    fn engine(&self) -> Engine {
        self.engine.clone()
    }

    async fn open(&self, project: &Project, sync: &Sync, _: &Caller) -> Result<Flow, Error> {
        let connect = |source| Error::Connect { doing: "opening".into(), source };
        let from = project.connection(&sync.from.connection).unwrap();
        let to = project.connection(&sync.to.connection).unwrap();
        let source = sqlite::Connector.source(from, &self.context).await.map_err(connect)?;
        let database = sqlite::Connector.database(to, &self.context).await.map_err(connect)?;
        let (table, problems) = Table::open(sync.clone(), source, database).await?;
        let problems: Vec<Problem> = problems.into_iter().filter(|problem| !problem.warning).collect();
        table.map(Flow::Load).ok_or(Error::Definition { sync: sync.name.clone(), problems })
    }

    async fn source(
        &self,
        connection: &Connection,
        _: &Caller,
    ) -> Result<Arc<dyn Source>, syncline_connect::Error> {
        sqlite::Connector.source(connection, &self.context).await
    }

    async fn database(
        &self,
        connection: &Connection,
    ) -> Result<Arc<dyn syncline_connect::Database>, syncline_connect::Error> {
        sqlite::Connector.database(connection, &self.context).await
    }

    async fn statements(
        &self,
        connection: &Connection,
    ) -> Result<Arc<dyn Statements>, syncline_connect::Error> {
        sqlite::Connector.statements(connection, &self.context).await
    }

    async fn probe(&self, connection: &Connection) -> Result<(), syncline_connect::Error> {
        sqlite::Connector.source(connection, &self.context).await.map(drop)
    }
}

/// Nothing beyond the databases can be reached.
pub(crate) struct Nowhere;

#[async_trait]
impl Outside for Nowhere {
    async fn http(&self, _: &HttpCall) -> Result<String, (String, String)> {
        Err(("unreachable".into(), "no answer".into()))
    }

    async fn report(
        &self,
        _: &Project,
        _: &Report,
        _: &dyn Statements,
        _: Timestamp,
    ) -> Result<String, (String, String)> {
        Err(("unreachable".into(), "no answer".into()))
    }
}

/// A web service that answers when the test says so.
#[derive(Default)]
pub(crate) struct Slow {
    /// Methods of the calls that came in, in order.
    pub(crate) calls: Mutex<Vec<String>>,
    pub(crate) answer: Notify,
}

#[async_trait]
impl Outside for Slow {
    async fn http(&self, call: &HttpCall) -> Result<String, (String, String)> {
        self.calls.lock().unwrap().push(call.method.clone());
        self.answer.notified().await;
        Ok("200 OK".into())
    }

    async fn report(
        &self,
        _: &Project,
        _: &Report,
        _: &dyn Statements,
        _: Timestamp,
    ) -> Result<String, (String, String)> {
        Err(("unreachable".into(), "no answer".into()))
    }
}

/// Kinds of events, in order.
pub(crate) async fn events(control: &Control) -> Vec<NewEvent> {
    let all = control.store().events(&Default::default(), 0, 10_000).await.unwrap();
    all.into_iter().map(|event| event.event).collect()
}
