//! A server on a real socket, over a real store and real SQLite tables, and a client of it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use syncline_connect::{
    Source,
    budget::Budgets,
    clock::{Clock, SystemClock},
    registry::{Caller, Context, Registry},
    sqlite as tables,
    statements::Statements,
};
use syncline_core::{
    chain::HttpCall,
    connection::Connection,
    project::{Project, Users as Options},
    report::Report,
    sync::Sync,
};
use syncline_engine::{
    Engine, Error, Flow, load,
    retry::Policy,
    service::{Executor, Local, Node, Origin, Outside, Served, Systems, control::Control},
};
use syncline_server::{
    api::{Api, Setup, definitions::Definitions},
    auth::{self, Access, Scope},
    metrics::{Measured, Metrics},
    serve,
    users::Users,
};
use syncline_store::{
    service::{DefinitionKind, ServiceStore, Subject},
    sqlite,
};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    task::JoinSet,
};

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What the project of every test says.
const PROJECT: &str = "\
connections:
  source: { type: sqlite, path: source.db }
  cache: { type: sqlite, path: cache.db }
syncs:
  projects:
    from: { connection: source, table: projects, key: [code], cursor: updated_at }
    to: { connection: cache, table: projects }
    mode: incremental
    write: upsert
    schedule:
      - { name: nightly, cron: '30 2 * * *', zone: Europe/Berlin }
  people:
    from: { connection: source, table: people, key: [code] }
    to: { connection: cache, table: people }
    mode: full
    write: upsert
";

/// A server and all it stands on. Dropping it stops it.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<dyn ServiceStore>,
    pub(crate) served: watch::Sender<Arc<Served>>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) control: Control,
    pub(crate) scheme: &'static str,
    pub(crate) client: reqwest::Client,
    pub(crate) directory: TempDir,
    stop: Option<oneshot::Sender<()>>,
    work: JoinSet<()>,
}

/// How a world is made.
#[derive(Default)]
pub(crate) struct Made {
    /// Requests need a token.
    pub(crate) locked: bool,
    /// A node works.
    pub(crate) works: bool,
    /// Certificate and key, PEM, and what the client trusts.
    pub(crate) tls: Option<(String, String)>,
    /// Whose users may ask.
    pub(crate) users: Option<Options>,
    /// What the project says, where it is not the usual.
    pub(crate) project: Option<&'static str>,
}

/// The machine's clock, which can be set forward.
#[derive(Debug, Default)]
pub(crate) struct TestClock {
    machine: SystemClock,
    forward: AtomicU64,
}

impl TestClock {
    pub(crate) fn forward(&self, seconds: u64) {
        self.forward.fetch_add(seconds, Ordering::SeqCst);
    }

    fn by(&self) -> Duration {
        Duration::from_secs(self.forward.load(Ordering::SeqCst))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.machine.now().checked_add(self.by()).expect("a time")
    }

    fn elapsed(&self) -> Duration {
        self.machine.elapsed() + self.by()
    }
}

impl World {
    pub(crate) async fn open() -> Self {
        Self::make(Made::default()).await
    }

    pub(crate) async fn make(made: Made) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fill(directory.path());
        let options = sqlite::Options {
            path: directory.path().join("store.db"),
            max_size: None,
            busy_timeout: Duration::from_secs(5),
        };
        let store: Arc<dyn ServiceStore> = Arc::new(sqlite::open(options).await.expect("a store"));
        let test_clock = Arc::new(TestClock::default());
        let clock: Arc<dyn Clock> = test_clock.clone();
        let systems = Arc::new(Files::new(Arc::clone(&store), Arc::clone(&clock), directory.path()));
        let (served, receiver) =
            watch::channel(Arc::new(serving(&systems.registry, made.project.unwrap_or(PROJECT), 1)));
        let systems: Arc<dyn Systems> = systems;
        let control = Control::new(Arc::clone(&store), Arc::clone(&clock), receiver, Arc::clone(&systems));
        let metrics = Arc::new(Metrics::default());
        let access = if made.locked { Access::Tokens } else { Access::Open };
        let api = Api::new(Setup {
            store: Arc::clone(&store),
            control: control.clone(),
            systems,
            clock: Arc::clone(&clock),
            definitions: Arc::new(Checked),
            access,
            users: made.users.map(|users| Users::new(users, Arc::clone(&clock)).expect("safe addresses")),
            metrics: Arc::clone(&metrics),
            node: "test".to_owned(),
        });
        let mut work = JoinSet::new();
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (client, scheme, tls) = client(made.tls);
        let serving = api.clone();
        work.spawn(async move {
            let stopped = async {
                // a world that is dropped drops its sender
                stopped.await.ok();
            };
            serve::serve(&serving, listener, tls, stopped).await;
        });
        let asked = control.clone();
        if made.works {
            let local: Arc<dyn Executor> = Arc::new(Local::new(control.clone(), Arc::new(Nothing)));
            let measured = Measured::new(local, Arc::clone(&store), Arc::clone(&clock), metrics);
            let node = Node::new(control, Arc::new(measured), "test".to_owned(), "0".to_owned());
            work.spawn(async move {
                let (_never, stop) = watch::channel(false);
                node.run(stop).await;
            });
        }
        Self {
            address,
            store,
            served,
            clock: test_clock,
            control: asked,
            scheme,
            client,
            directory,
            stop: Some(stop),
            work,
        }
    }

    /// A request; `path` as it stands behind the address.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}://localhost:{}{path}", self.scheme, self.address.port()))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        answer(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        answer(self.request(Method::PUT, path).json(&body)).await
    }

    /// A token with these scopes.
    pub(crate) async fn token(&self, name: &str, scopes: &[Scope]) -> String {
        let made = auth::create(&*self.store, name, scopes, None, now()).await.expect("the store works");
        made.expect("the token is good").1
    }

    /// Asks until `done` says so.
    pub(crate) async fn until(&self, path: &str, done: impl Fn(&Answer) -> bool) -> Answer {
        let asking = async {
            loop {
                let answer = self.get(path).await;
                if done(&answer) {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(answer) => answer,
            Err(_) => panic!("{path} is not as awaited: {:?}", self.get(path).await),
        }
    }

    /// Stops the server and waits for it.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.work.join_next().await;
        self.work.shutdown().await;
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
    /// The body as JSON; null where it is none.
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Asserts status and returns the body.
    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self.json
    }

    /// Asserts that it is a problem with this status and code, in the right form.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status.as_u16(), self.json["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.json["status"], status);
        assert_eq!(self.json["type"], format!("/docs/errors/{code}.md"));
        assert!(self.json["title"].is_string() && self.json["detail"].is_string(), "{self:?}");
        self.json
    }
}

/// Sends a request and reads the whole answer.
pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let mut response = request.send().await.expect("the server answers");
    let status = response.status();
    let headers = response.headers().iter();
    let headers = headers.map(|(n, v)| (n.to_string(), v.to_str().unwrap_or_default().to_owned())).collect();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.expect("the body is whole") {
        bytes.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(bytes).expect("answers are UTF-8");
    let json = serde_json::from_str(&text).unwrap_or_default();
    Answer { status, headers, text, json }
}

#[expect(clippy::disallowed_methods, reason = "tests of a server run in real time")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

fn client(
    tls: Option<(String, String)>,
) -> (reqwest::Client, &'static str, Option<Arc<rustls::ServerConfig>>) {
    // an error means that it was made before
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let builder = reqwest::Client::builder().timeout(PATIENCE).no_proxy();
    let Some((certificate, key)) = tls else {
        return (builder.build().expect("a client"), "http", None);
    };
    let config = serve::tls(certificate.as_bytes(), key.as_bytes()).expect("certificate and key fit");
    let root = reqwest::Certificate::from_pem(certificate.as_bytes()).expect("a certificate");
    (builder.add_root_certificate(root).build().expect("a client"), "https", Some(config))
}

/// Three projects and two people.
fn fill(directory: &Path) {
    let source = rusqlite::Connection::open(directory.join("source.db")).expect("a database");
    let tables = "create table projects (code text primary key, budget integer, updated_at text);
         create table people (code text primary key, name text);
         insert into projects values ('P1', 10, '2026-01-01T00:00:00Z'), ('P2', 20, '2026-01-02T00:00:00Z'),
             ('P3', 30, '2026-01-03T00:00:00Z');
         insert into people values ('A', 'Ada'), ('B', 'Bea');";
    source.execute_batch(tables).expect("tables");
    rusqlite::Connection::open(directory.join("cache.db")).expect("a database");
}

/// What is served of a project file.
pub(crate) fn serving(registry: &Registry, text: &str, number: u64) -> Served {
    let loaded = syncline_spec::parse("syncline.yaml", text, &registry.specs(), &Bare);
    let project = loaded.expect("the project is good").project;
    let syncs = project.syncs.iter().map(|sync| (Subject::sync(sync.name.clone()), Origin::File));
    let origins = syncs.collect();
    Served { project: Arc::new(project), number, since: now(), origins, broken: None }
}

/// An environment with nothing in it.
struct Bare;

impl syncline_spec::Environment for Bare {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &str) -> Result<String, String> {
        Err("not found".to_owned())
    }
}

/// Checks a stored definition as a project of its own would be.
struct Checked;

#[async_trait]
impl Definitions for Checked {
    async fn check(&self, kind: DefinitionKind, name: &str, body: Option<&str>) -> Result<(), Vec<String>> {
        let (Some(body), DefinitionKind::Sync) = (body, kind) else { return Ok(()) };
        let value: String = body.lines().map(|line| format!("    {line}\n")).collect();
        let head = PROJECT.split("syncs:").next().unwrap_or_default();
        let name = Value::from(name);
        let text = format!("{head}syncs:\n  {name}:\n{value}");
        let specs = Registry::default().with(tables::Connector).specs();
        let parsed = syncline_spec::parse(name.as_str().unwrap_or_default(), &text, &specs, &Bare);
        parsed.map(drop).map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    fn changed(&self) {}
}

/// SQLite files in a directory.
pub(crate) struct Files {
    pub(crate) registry: Registry,
    context: Context,
    store: Arc<dyn ServiceStore>,
}

impl Files {
    fn new(store: Arc<dyn ServiceStore>, clock: Arc<dyn Clock>, directory: &Path) -> Self {
        let budgets = Arc::new(Budgets::new(Arc::clone(&clock)));
        let context =
            Context { clock, budgets, seed: 1, directory: directory.to_owned(), caller: Default::default() };
        Self { registry: Registry::default().with(tables::Connector), context, store }
    }
}

#[async_trait]
impl Systems for Files {
    fn engine(&self) -> Engine {
        let Context { clock, budgets, seed, .. } = &self.context;
        let store = Arc::clone(&self.store) as Arc<dyn syncline_store::Store>;
        Engine {
            store,
            clock: Arc::clone(clock),
            budgets: Arc::clone(budgets),
            retry: Policy::default(),
            seed: *seed,
        }
    }

    async fn open(&self, project: &Project, sync: &Sync, _: &Caller) -> Result<Flow, Error> {
        let of = |name: &str| project.connection(name).expect("a checked project has its connections");
        let (from, to) = (of(&sync.from.connection), of(&sync.to.connection));
        let opened = async {
            let source = self.registry.of(from)?.source(from, &self.context).await?;
            Ok((source, self.registry.of(to)?.database(to, &self.context).await?))
        };
        let (source, database) =
            opened.await.map_err(|source| Error::Connect { doing: "opening".to_owned(), source })?;
        let (table, problems) = load::Table::open(sync.clone(), source, database).await?;
        table.map(Flow::Load).ok_or(Error::Definition { sync: sync.name.clone(), problems })
    }

    async fn source(
        &self,
        connection: &Connection,
        _: &Caller,
    ) -> Result<Arc<dyn Source>, syncline_connect::Error> {
        self.registry.of(connection)?.source(connection, &self.context).await
    }

    async fn database(
        &self,
        connection: &Connection,
    ) -> Result<Arc<dyn syncline_connect::Database>, syncline_connect::Error> {
        self.registry.of(connection)?.database(connection, &self.context).await
    }

    async fn statements(
        &self,
        connection: &Connection,
    ) -> Result<Arc<dyn Statements>, syncline_connect::Error> {
        self.registry.of(connection)?.statements(connection, &self.context).await
    }

    async fn probe(&self, connection: &Connection) -> Result<(), syncline_connect::Error> {
        let source = self.registry.of(connection)?.source(connection, &self.context).await?;
        source.describe("people").await.map(drop)
    }
}

/// No step of these tests leaves the process.
struct Nothing;

#[async_trait]
impl Outside for Nothing {
    async fn http(&self, _: &HttpCall) -> Result<String, (String, String)> {
        Err(("unused".to_owned(), "no test calls a web service".to_owned()))
    }

    async fn report(
        &self,
        _: &Project,
        _: &Report,
        _: &dyn Statements,
        _: Timestamp,
    ) -> Result<String, (String, String)> {
        Err(("unused".to_owned(), "no test sends a report".to_owned()))
    }
}
