//! The systems of these tests, and a load from one to another.

use std::{
    collections::BTreeMap,
    future::Future,
    panic::{AssertUnwindSafe, resume_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use mysql_async::{Conn, Opts, prelude::Queryable};
use syncline_connect::{
    Database, Source,
    budget::Budgets,
    clock::SystemClock,
    files, mysql, postgres,
    registry::{Connector, Context},
    source::Read,
    sqlite,
};
use syncline_core::{
    connection::Connection,
    run::Status,
    schema::Stream,
    sync::{
        DeletePolicy, Deletes, Detect, From, Key, KeyColumns, Mode, OnEdit, Overlap, Sync, TableOptions, To,
        Write,
    },
    value::Value,
};
use syncline_engine::{
    Engine,
    load::{self, Table},
    progress::Silent,
    retry::Policy,
};
use syncline_store::memory::MemoryStore;
use tokio::{sync::watch, task::JoinSet};
use tokio_postgres::{Client, NoTls};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// One system, open in both roles where it has both.
pub(crate) struct End {
    pub(crate) name: &'static str,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) database: Option<Arc<dyn Database>>,
    /// What the names of its tables end with.
    ending: &'static str,
}

impl End {
    pub(crate) fn table(&self, from: &str) -> String {
        format!("from_{from}{}", self.ending)
    }
}

/// All systems, each empty and for one test alone.
pub(crate) struct World {
    pub(crate) postgres: Client,
    pub(crate) mysql: tokio::sync::Mutex<Conn>,
    pub(crate) directory: PathBuf,
    postgres_url: String,
    mysql_url: String,
    _driver: JoinSet<()>,
}

impl World {
    pub(crate) async fn with<F: Future<Output = ()>>(test: impl FnOnce(Arc<Self>) -> F) {
        let server = server("SYNCLINE_TEST_POSTGRES", "scripts/with-postgres");
        let name = format!("pairs_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let (admin, _driver) = client(&server).await;
        admin
            .batch_execute(&format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"))
            .await
            .unwrap();
        let (base, _) = server.rsplit_once('/').unwrap();
        let postgres_url = format!("{base}/{name}");
        let (postgres, driver) = client(&postgres_url).await;
        let mysql_server = self::server("SYNCLINE_TEST_MARIADB", "scripts/with-mariadb");
        let mut mysql_admin = Conn::new(Opts::from_url(&mysql_server).unwrap()).await.unwrap();
        // listings look at every transaction of the server: one test at a time has it
        let lock: Option<i64> =
            mysql_admin.query_first("SELECT GET_LOCK('syncline tests', 500)").await.unwrap();
        assert_eq!(lock, Some(1), "the server is for us alone");
        let create = format!("CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin");
        mysql_admin.query_drop(create).await.unwrap();
        let (base, _) = mysql_server.rsplit_once('/').unwrap();
        let mysql_url = format!("{base}/{name}");
        let mut mysql = Conn::new(Opts::from_url(&mysql_url).unwrap()).await.unwrap();
        mysql.query_drop("SET time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES'").await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let world = Arc::new(Self {
            postgres,
            mysql: tokio::sync::Mutex::new(mysql),
            directory: directory.path().to_owned(),
            postgres_url,
            mysql_url,
            _driver: driver,
        });
        let outcome = AssertUnwindSafe(test(world)).catch_unwind().await;
        admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
        mysql_admin.query_drop(format!("DROP DATABASE {name}")).await.unwrap();
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
    }

    pub(crate) async fn postgres(&self) -> End {
        let options = serde_json::json!({ "url": self.postgres_url });
        self.open("postgres", &postgres::Connector, options, "").await
    }

    pub(crate) async fn sqlite(&self) -> End {
        let options = serde_json::json!({ "path": "test.db" });
        drop(self.sqlite_file());
        self.open("sqlite", &sqlite::Connector, options, "").await
    }

    /// It is a source only.
    pub(crate) async fn mysql(&self) -> End {
        let options = serde_json::json!({ "url": self.mysql_url });
        let source = mysql::Connector.source(&connection("mysql", options), &self.context()).await.unwrap();
        End { name: "mysql", source, database: None, ending: "" }
    }

    pub(crate) async fn files(&self) -> [End; 3] {
        let options = || serde_json::json!({ "path": "." });
        [
            self.open("csv", &files::Connector, options(), ".csv").await,
            self.open("jsonl", &files::Connector, options(), ".jsonl").await,
            self.open("parquet", &files::Connector, options(), ".parquet").await,
        ]
    }

    /// Everything that can be loaded into.
    pub(crate) async fn destinations(&self) -> Vec<End> {
        let mut ends = vec![self.postgres().await, self.sqlite().await];
        ends.extend(self.files().await);
        ends
    }

    pub(crate) fn sqlite_file(&self) -> rusqlite::Connection {
        let file = rusqlite::Connection::open(self.directory.join("test.db")).unwrap();
        file.execute_batch("PRAGMA user_version = 1").unwrap();
        file
    }

    async fn open(
        &self,
        name: &'static str,
        kind: &dyn Connector,
        options: serde_json::Value,
        ending: &'static str,
    ) -> End {
        let connection = connection(kind.spec().name, options);
        let source = kind.source(&connection, &self.context()).await.unwrap();
        let database = kind.database(&connection, &self.context()).await.unwrap();
        End { name, source, database: Some(database), ending }
    }

    fn context(&self) -> Context {
        context(&self.directory)
    }
}

fn context(directory: &Path) -> Context {
    let clock = Arc::new(SystemClock::new());
    Context {
        clock: clock.clone(),
        budgets: Arc::new(Budgets::new(clock)),
        seed: 1,
        directory: directory.to_owned(),
        caller: Default::default(),
    }
}

fn connection(kind: &str, options: serde_json::Value) -> Connection {
    Connection { name: "test".into(), kind: kind.into(), options }
}

#[expect(clippy::disallowed_methods, reason = "tests are told of the server by the environment")]
fn server(variable: &str, script: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run it through {script}"))
}

async fn client(url: &str) -> (Client, JoinSet<()>) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(async move { drop(connection.await) });
    (client, driver)
}

/// Loads `stream` into a table that is not there yet; returns why each parked record was parked, by its id.
pub(crate) async fn load(from: &End, stream: &str, to: &End, table: &str) -> BTreeMap<i64, String> {
    let clock = Arc::new(SystemClock::new());
    let store = Arc::new(MemoryStore::new());
    let budgets = Arc::new(Budgets::new(clock.clone()));
    let engine = Engine { store, clock, budgets, retry: Policy::default(), seed: 1 };
    let database = to.database.clone().unwrap();
    let about = format!("{} to {}", from.name, to.name);
    let (opened, problems) = Table::open(sync(stream, table), from.source.clone(), database).await.unwrap();
    let opened = opened.unwrap_or_else(|| panic!("{about}: {problems:?}"));
    let (_keep, cancel) = watch::channel(false);
    let options = load::run::Options { parallel: 2, ..load::run::Options::default() };
    let report = load::run::run(&engine, &opened, &options, &Silent, cancel).await.unwrap();
    let complete = matches!(report.status, Status::Succeeded | Status::Partial);
    assert!(complete, "{about}: {:?} {:?} {:?}", report.status, report.counts, report.error);
    let parked = engine.store.parked(None, None, 10_000).await.unwrap();
    let why = |parked: syncline_store::Parked| match parked.key.as_deref() {
        Some([Value::Int64(id)]) => (*id, parked.message),
        key => panic!("{about}: parked without its key: {key:?} {}", parked.message),
    };
    parked.into_iter().map(why).collect()
}

pub(crate) fn sync(stream: &str, table: &str) -> Sync {
    Sync {
        name: "pair".into(),
        from: From {
            connection: "a".into(),
            stream: stream.into(),
            mass_query: None,
            key: Key { columns: KeyColumns::Columns(vec!["id".into()]), ignore_case: false },
            cursor: None,
            overlap: Overlap { time: Duration::ZERO, count: 0 },
            lag: Duration::ZERO,
            tombstone: None,
            tombstone_values: Vec::new(),
            filter: None,
        },
        to: To { connection: "b".into(), stream: table.into(), table: TableOptions::default() },
        mode: Mode::Full,
        write: Write::Replace,
        deletes: Deletes {
            policy: DeletePolicy::Ignore,
            guard_count: 10,
            guard_percent: 10.0,
            out_of_filter: false,
            detect: Detect::Listing,
        },
        fields: Vec::new(),
        routes: Vec::new(),
        adopt: None,
        on_edit: OnEdit::Overwrite,
        batch: 50,
        rest: true,
        schedules: Vec::new(),
        params: Vec::new(),
        fresh: None,
        each: None,
    }
}

/// A record as a source shows it: values in the order of the stream's fields, or why it cannot be read.
pub(crate) type Record = Result<Vec<Value<'static>>, String>;

/// Everything in a table, by id.
pub(crate) async fn contents(end: &End, stream: &str) -> (Stream, BTreeMap<i64, Record>) {
    let described = end.source.describe(stream).await.unwrap();
    let columns: Vec<String> = described.fields.iter().map(|f| f.name.clone()).collect();
    let id = described.position("id").unwrap();
    let read = Read {
        stream: stream.into(),
        columns,
        key: vec!["id".into()],
        key_is_total: described.is_unique(&["id".into()]),
        cursor: None,
        tombstone: None,
        from: None,
        overlap: Overlap { time: Duration::ZERO, count: 0 },
        lag: Duration::ZERO,
        batch_rows: 500,
        batch_bytes: 1 << 20,
        params: syncline_connect::source::Params::new(),
    };
    let mut reader = end.source.read(read).await.unwrap();
    let mut records = BTreeMap::new();
    while let Some(batch) = reader.next().await.unwrap() {
        for row in 0..batch.len() {
            let Value::Int64(key) = batch.value(row, id) else {
                panic!("{} {stream}: no id: {:?}", end.name, batch.problem(row))
            };
            let values = || (0..described.fields.len()).map(|c| batch.value(row, c).into_owned()).collect();
            let record = batch.problem(row).map_or_else(|| Ok(values()), |why| Err(why.to_owned()));
            assert!(records.insert(key, record).is_none(), "{} {stream}: {key} comes twice", end.name);
        }
    }
    (described, records)
}
