//! A source, a destination and everything between them, for one test.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use serde_json::{Map, Value as Json, json};
use syncline_connect::{
    budget::Budgets,
    clock::{Clock, SystemClock},
    registry::{Connector as _, Context},
};
use syncline_core::{
    connection::Connection,
    counts::Counts,
    expr::Expr,
    plan::Planned,
    run::Status,
    sync::{
        DeletePolicy, Deletes, Detect, Direction, FieldMap, From, Key, KeyColumns, Mode, OnEdit, Origin,
        Overlap, Route, Sync, TableOptions, To, Write,
    },
};
use syncline_engine::{
    Bound, Engine, Error,
    plan::Summary,
    progress::Silent,
    retry::Policy,
    run::{Options, Report},
};
use syncline_sim::{Fault, FaultMatch, FaultRule, FaultWhen, ItemDump, ListSpec, OpKind, Server};
use syncline_store::{Parked, Store, sqlite};
use tokio::sync::watch;

pub(crate) const ACTIVE: &str = "Active Projects";
pub(crate) const LARGE: &str = "Large Projects";
pub(crate) const CLOSED: &str = "Closed Projects";

/// A test's world; everything in it goes with it.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) sync: Sync,
    pub(crate) seed: u64,
    directory: tempfile::TempDir,
    clock: Arc<SystemClock>,
}

impl World {
    /// Three empty lists with a SynclineKey, an empty source table, routes Large and Closed.
    pub(crate) async fn new() -> Self {
        Self::with_stamp(Some(true)).await
    }

    /// `stamp`: unique, only indexed, or no SynclineKey at all.
    pub(crate) async fn with_stamp(stamp: Option<bool>) -> Self {
        Self::with(stamp, syncline_sim::Options::default()).await
    }

    pub(crate) async fn with(stamp: Option<bool>, options: syncline_sim::Options) -> Self {
        // Installing it twice is refused, which is as good as having installed it.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let server = Server::start(options).await.unwrap();
        for list in [ACTIVE, LARGE, CLOSED] {
            let spec = ListSpec { display_name: list.into(), columns: columns(stamp), ..ListSpec::default() };
            server.world().add_list(&spec).unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let world = Self { server, sync: sync(), seed: 1, directory, clock: Arc::new(SystemClock::new()) };
        world.sql(
            "CREATE TABLE projects (
               project_code TEXT NOT NULL PRIMARY KEY, name TEXT, status TEXT, budget_amount DECIMAL(14,2),
               start_date DATE, notes TEXT, updated_at TIMESTAMP);
             CREATE INDEX projects_updated_at ON projects (updated_at, project_code);",
        );
        world
    }

    /// Runs SQL in the source.
    pub(crate) fn sql(&self, sql: &str) {
        self.source().execute_batch(sql).unwrap();
    }

    pub(crate) fn source(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.directory.path().join("source.db")).unwrap()
    }

    /// Inserts `count` projects numbered from `first`; every tenth is large, every seventh closed.
    pub(crate) fn projects(&self, first: u32, count: u32) {
        let mut source = self.source();
        let transaction = source.transaction().unwrap();
        for n in first..first + count {
            let status = if n % 7 == 0 { "Closed" } else { "Active" };
            let budget =
                if n % 10 == 0 { "1500000.00".into() } else { format!("{}.{:02}", 1000 + n, n % 100) };
            transaction
                .execute(
                    "INSERT INTO projects VALUES (?1, ?2, ?3, ?4, '2026-01-31', NULL, ?5)",
                    rusqlite::params![code(n), format!("Project {n}"), status, budget, at(n)],
                )
                .unwrap();
        }
        transaction.commit().unwrap();
    }

    pub(crate) fn store_path(&self) -> PathBuf {
        self.directory.path().join("store.db")
    }

    pub(crate) async fn store(&self) -> Arc<dyn Store> {
        Arc::new(sqlite::open(sqlite::Options::new(self.store_path())).await.unwrap())
    }

    pub(crate) async fn engine(&self) -> Engine {
        let clock: Arc<dyn Clock> = self.clock.clone();
        Engine {
            store: self.store().await,
            budgets: Arc::new(Budgets::new(clock.clone())),
            clock,
            retry: Policy {
                first: Duration::from_millis(1),
                longest: Duration::from_millis(5),
                ..Policy::default()
            },
            seed: self.seed,
        }
    }

    pub(crate) fn context(&self, engine: &Engine) -> Context {
        Context {
            clock: engine.clock.clone(),
            budgets: engine.budgets.clone(),
            seed: self.seed,
            directory: self.directory.path().to_owned(),
            caller: Default::default(),
        }
    }

    /// The connection to the simulator, with changes.
    pub(crate) fn intranet(&self) -> Json {
        let defaults = syncline_sim::Options::default();
        json!({
            "site": "contoso.sharepoint.com:/sites/projects",
            "auth": { "type": "client_credentials", "tenant": defaults.tenant,
                      "client_id": defaults.client_id, "client_secret": defaults.client_secret },
            "authority": self.server.url(), "graph": self.server.url(),
            "timeout": 20_000, "settle": 1, "limits": { "unlimited": true },
        })
    }

    pub(crate) async fn bound(&self, engine: &Engine) -> Result<Bound, Error> {
        self.bound_with(engine, self.intranet()).await
    }

    pub(crate) async fn bound_with(&self, engine: &Engine, intranet: Json) -> Result<Bound, Error> {
        let context = self.context(engine);
        let connection = |name: &str, kind: &str, options: Json| Connection {
            name: name.into(),
            kind: kind.into(),
            options,
        };
        let erp = connection("erp", "sqlite", json!({ "path": "source.db" }));
        let source = syncline_connect::sqlite::Connector.source(&erp, &context).await.unwrap();
        let intranet = connection("intranet", "sharepoint", intranet);
        let destination = syncline_connect::sharepoint::Connector::default()
            .destination(&intranet, &context)
            .await
            .map_err(|source| Error::Connect { doing: "connecting".into(), source })?;
        Bound::open_whole(self.sync.clone(), source, destination).await
    }

    /// One run, as a new process would make it.
    pub(crate) async fn run(&self) -> Report {
        self.run_with(Options::default()).await
    }

    pub(crate) async fn full(&self) -> Report {
        self.run_with(Options { mode: Some(Mode::Full), ..Options::default() }).await
    }

    pub(crate) async fn run_with(&self, options: Options) -> Report {
        let engine = self.engine().await;
        let bound = self.bound(&engine).await.unwrap();
        let (_keep, cancel) = watch::channel(false);
        syncline_engine::run::run(&engine, &bound, &options, &Silent, cancel).await.unwrap()
    }

    pub(crate) async fn plan(&self) -> (Summary, Vec<Planned>) {
        self.plan_with(Options::default()).await
    }

    pub(crate) async fn plan_with(&self, options: Options) -> (Summary, Vec<Planned>) {
        let engine = self.engine().await;
        let bound = self.bound(&engine).await.unwrap();
        let mut planned = Vec::new();
        let mut each = |p| planned.push(p);
        let summary =
            syncline_engine::plan::plan(&engine, &bound, &options, &Silent, &mut each).await.unwrap();
        (summary, planned)
    }

    pub(crate) async fn parked(&self) -> Vec<Parked> {
        self.store().await.parked(None, None, 10_000).await.unwrap()
    }

    /// Items of all three lists by Title, each with its list.
    pub(crate) fn items(&self) -> BTreeMap<String, Vec<(&'static str, ItemDump)>> {
        let mut items: BTreeMap<String, Vec<(&'static str, ItemDump)>> = BTreeMap::new();
        for list in [ACTIVE, LARGE, CLOSED] {
            for item in self.server.world().items(list).unwrap() {
                let title = item.fields.get("Title").and_then(Json::as_str).unwrap_or_default().to_owned();
                items.entry(title).or_default().push((list, item));
            }
        }
        items
    }

    /// The list and fields of the one item with this title.
    pub(crate) fn item(&self, title: &str) -> (&'static str, ItemDump) {
        let mut found = self.items().remove(title).unwrap_or_default();
        assert_eq!(found.len(), 1, "items titled {title}");
        found.remove(0)
    }

    /// Every source row is exactly one item, in its list, with its values; nothing else is there.
    pub(crate) fn assert_in_agreement(&self) {
        let items = self.items();
        let source = self.source();
        let mut statement = source
            .prepare(
                "SELECT project_code, name, status, CAST(budget_amount AS REAL) FROM projects ORDER BY 1",
            )
            .unwrap();
        let mut rows = statement.query([]).unwrap();
        let mut count = 0;
        while let Some(row) = rows.next().unwrap() {
            let (code, name): (String, Option<String>) = (row.get(0).unwrap(), row.get(1).unwrap());
            let (status, budget): (String, f64) = (row.get(2).unwrap(), row.get(3).unwrap());
            let found = items.get(&code).map(Vec::as_slice).unwrap_or_default();
            assert_eq!(found.len(), 1, "seed {}: {code} has {} items", self.seed, found.len());
            let (list, item) = &found[0];
            let expected = match (budget >= 1_000_000.0, status.as_str()) {
                (true, _) => LARGE,
                (false, "Closed") => CLOSED,
                _ => ACTIVE,
            };
            assert_eq!(*list, expected, "seed {}: {code}", self.seed);
            assert_eq!(item.fields.get("ProjectName").and_then(Json::as_str), name.as_deref(), "{code}");
            assert_eq!(item.fields.get("BudgetAmount").and_then(Json::as_f64), Some(budget), "{code}");
            count += 1;
        }
        assert_eq!(items.len(), count, "seed {}: items without a row", self.seed);
    }

    pub(crate) fn fault(&self, matches: FaultMatch, when: FaultWhen, what: Fault) {
        self.server.world().add_fault(FaultRule { matches, when, what }).unwrap();
    }

    pub(crate) fn fault_on(&self, kind: OpKind, when: FaultWhen, what: Fault) {
        self.fault(FaultMatch { kind: Some(kind), ..FaultMatch::default() }, when, what);
    }

    /// Writes the far side has applied so far.
    pub(crate) fn writes_applied(&self) -> u64 {
        self.server.world().counters().writes_applied
    }
}

pub(crate) fn code(n: u32) -> String {
    format!("PRJ-{n:05}")
}

/// The time row `n` was changed: three rows share each second.
pub(crate) fn at(n: u32) -> String {
    let second = n / 3;
    format!("2026-01-01T{:02}:{:02}:{:02}.000001Z", second / 3600, second / 60 % 60, second % 60)
}

pub(crate) fn fields(pairs: &[(&str, Json)]) -> Map<String, Json> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect()
}

#[track_caller]
pub(crate) fn assert_succeeded(report: &Report) {
    assert_eq!(report.status, Status::Succeeded, "{:?} {:?}", report.counts, report.error);
}

/// Counts with these outcomes; read is their sum.
pub(crate) fn counts(change: impl FnOnce(&mut Counts)) -> Counts {
    let mut counts = Counts::default();
    change(&mut counts);
    counts.read = counts.accounted();
    counts
}

fn columns(stamp: Option<bool>) -> Vec<Json> {
    let mut columns = vec![
        json!({ "name": "ProjectName", "text": {} }),
        json!({ "name": "Status", "choice": { "choices": ["Active", "Closed"] } }),
        json!({ "name": "BudgetAmount", "number": { "decimalPlaces": "two" } }),
        json!({ "name": "StartDate", "dateTime": { "format": "dateOnly" } }),
        json!({ "name": "Notes", "text": { "allowMultipleLines": true } }),
        json!({ "name": "DeletedAt", "dateTime": { "format": "dateTime" } }),
    ];
    if let Some(unique) = stamp {
        columns.push(
            json!({ "name": "SynclineKey", "text": {}, "indexed": true, "enforceUniqueValues": unique }),
        );
    }
    columns
}

pub(crate) fn field(to: &str, from: &str) -> FieldMap {
    FieldMap {
        to: to.into(),
        from: Origin::Column(from.into()),
        direction: Direction::Push,
        required: false,
        default: None,
        kind: None,
    }
}

/// The sync of the tests: incremental, deletes under the guard, batches of 50.
fn sync() -> Sync {
    Sync {
        name: "projects".into(),
        from: From {
            connection: "erp".into(),
            stream: "projects".into(),
            mass_query: None,
            key: Key { columns: KeyColumns::PrimaryKey, ignore_case: false },
            cursor: Some("updated_at".into()),
            overlap: Overlap { time: Duration::from_secs(0), count: 0 },
            lag: Duration::ZERO,
            tombstone: None,
            tombstone_values: Vec::new(),
            filter: None,
        },
        to: To { connection: "intranet".into(), stream: ACTIVE.into(), table: TableOptions::default() },
        mode: Mode::Incremental,
        write: Write::Upsert,
        deletes: Deletes {
            policy: DeletePolicy::Delete,
            guard_count: 10,
            guard_percent: 10.0,
            out_of_filter: false,
            detect: Detect::Listing,
        },
        fields: vec![
            field("Title", "project_code"),
            field("ProjectName", "name"),
            field("Status", "status"),
            field("BudgetAmount", "budget_amount"),
            field("StartDate", "start_date"),
            field("Notes", "notes"),
        ],
        routes: vec![
            Route { when: Expr::compile("budget_amount >= 1000000").unwrap(), stream: LARGE.into() },
            Route { when: Expr::compile("status == 'Closed'").unwrap(), stream: CLOSED.into() },
        ],
        adopt: None,
        on_edit: OnEdit::Overwrite,
        batch: 50,
        rest: false,
        schedules: Vec::new(),
        params: Vec::new(),
        fresh: None,
        each: None,
    }
}
