//! A database of its own for each test, and tables from the portable description.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, resume_unwind},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use futures::FutureExt;
use mysql_async::{Conn, Opts, prelude::Queryable};
use syncline_connect::{
    Source,
    budget::Budgets,
    clock::SystemClock,
    conformance::source::{Kit, START, Table},
    mysql::Connector,
    registry::{Connector as _, Context},
};
use syncline_core::{
    connection::Connection,
    schema::FieldType,
    time::{DAY_MICROS, date_text, time_text, timestamp_text},
    value::{Value, hex},
};
use tokio::sync::Mutex;

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// The address of the server, which must be there: a test that is skipped tests nothing.
#[expect(clippy::disallowed_methods, reason = "tests are told of the server by the environment")]
pub(crate) fn server() -> String {
    std::env::var("SYNCLINE_TEST_MARIADB").unwrap_or_else(|_| {
        panic!(
            "SYNCLINE_TEST_MARIADB is not set: run the tests through `make test` or `scripts/with-mariadb`"
        )
    })
}

/// The authority that signed the server's certificate, where the server has one.
#[expect(clippy::disallowed_methods, reason = "tests are told of the server by the environment")]
pub(crate) fn authority() -> Option<PathBuf> {
    std::env::var_os("SYNCLINE_TEST_MARIADB_CA").map(PathBuf::from)
}

/// A database that only one test uses.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) url: String,
    /// The session that makes tables.
    session: Arc<Mutex<Session>>,
}

impl Database {
    /// Runs `test` on a new database and drops it, whatever became of the test. One test at a time has the server: where
    /// a listing stops depends on every transaction in it, whatever its database.
    pub(crate) async fn with<F: Future<Output = ()>>(test: impl FnOnce(Self) -> F) {
        let name = format!("syncline_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let server = server();
        let mut admin = Session::open(&server).await;
        assert_eq!(
            admin.text("SELECT GET_LOCK('syncline tests', 500)").await,
            "1",
            "the server is for us alone"
        );
        let create = format!("CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin");
        admin.run(&create).await;
        let (base, _) = server.rsplit_once('/').expect("an address with a database");
        let url = format!("{base}/{name}");
        let session = Arc::new(Mutex::new(Session::open(&url).await));
        let outcome = AssertUnwindSafe(test(Self { name: name.clone(), url, session })).catch_unwind().await;
        admin.run(&format!("DROP DATABASE {name}")).await;
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
    }

    pub(crate) async fn session(&self) -> Session {
        Session::open(&self.url).await
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.session.lock().await.run(sql).await;
    }

    pub(crate) async fn source(&self) -> Arc<dyn Source> {
        open(serde_json::json!({ "url": self.url })).await.unwrap_or_else(|e| panic!("{e}"))
    }
}

/// Opens a source with these options.
pub(crate) async fn open(options: serde_json::Value) -> Result<Arc<dyn Source>, syncline_connect::Error> {
    let (connection, context) = connection(options);
    Connector.source(&connection, &context).await
}

/// A connection with these options.
pub(crate) fn connection(options: serde_json::Value) -> (Connection, Context) {
    let connection = Connection { name: "cms".into(), kind: "mysql".into(), options };
    let clock = Arc::new(SystemClock::new());
    let context = Context {
        clock: clock.clone(),
        budgets: Arc::new(Budgets::new(clock)),
        seed: 1,
        directory: PathBuf::new(),
        caller: Default::default(),
    };
    (connection, context)
}

/// The test's own session, beside those of the source.
pub(crate) struct Session {
    pub(crate) conn: Conn,
}

impl Session {
    pub(crate) async fn open(url: &str) -> Self {
        let options = Opts::from_url(url).expect("an address");
        let mut session = Self { conn: Conn::new(options).await.expect("the server of the tests") };
        session.run("SET time_zone = '+00:00'").await;
        session
    }

    pub(crate) async fn run(&mut self, sql: &str) {
        for part in sql.split(";\n") {
            self.conn.query_drop(part).await.unwrap_or_else(|e| panic!("{part}: {e:?}"));
        }
    }

    pub(crate) async fn text(&mut self, sql: &str) -> String {
        let row: Option<Option<String>> =
            self.conn.query_first(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        row.flatten().unwrap_or_default()
    }
}

pub(crate) fn ident(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn idents(names: &[String]) -> String {
    names.iter().map(|n| ident(n)).collect::<Vec<_>>().join(", ")
}

/// `is_short`: in an index, where values have a largest length.
fn type_name(kind: &FieldType, is_short: bool) -> String {
    match kind {
        FieldType::Boolean => "tinyint(1)".into(),
        FieldType::Int64 => "bigint".into(),
        FieldType::Float64 => "double".into(),
        FieldType::Decimal { precision: Some(p), scale: Some(s) } => format!("decimal({p}, {s})"),
        FieldType::Text if is_short => "varchar(200)".into(),
        FieldType::Text => "longtext".into(),
        FieldType::Binary if is_short => "varbinary(1000)".into(),
        FieldType::Binary => "longblob".into(),
        FieldType::Date => "date".into(),
        FieldType::Time => "time(6)".into(),
        FieldType::Timestamp { zoned: true } => "timestamp(6)".into(),
        FieldType::Timestamp { zoned: false } => "datetime(6)".into(),
        FieldType::Uuid => "uuid".into(),
        FieldType::Json => "json".into(),
        FieldType::Decimal { .. } | FieldType::List(_) => panic!("there is no type for {kind}"),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn literal(value: &Value<'_>) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Boolean(v) => v.to_string(),
        Value::Int64(v) => v.to_string(),
        Value::Float64(v) => format!("{v:e}"),
        Value::Decimal(v) => v.to_string(),
        Value::Text(v) | Value::Json(v) => quoted(v),
        Value::Binary(v) => format!("x'{}'", hex(v)),
        Value::Date(v) => quoted(&date_text(*v)),
        Value::Time(v) => quoted(&time_text(*v)),
        // a `timestamp` has 32 bits for its seconds, and the suite's far future is beyond them
        Value::Timestamp { micros, zoned: true } => {
            quoted(&timestamp_text((*micros).min(2_147_483_647_000_000), false))
        }
        Value::Timestamp { micros, zoned: false } => quoted(&timestamp_text(*micros, false)),
        Value::Uuid(v) => quoted(&hex(v)),
        Value::List(_) => panic!("there are no lists"),
    }
}

#[async_trait]
impl Kit for Database {
    async fn create(&self, table: &Table) -> String {
        let in_index = |name: &String| {
            let indexes = table.unique.iter().chain(&table.indexes);
            table.primary_key.contains(name) || indexes.flatten().any(|c| c == name)
        };
        let columns = table.columns.iter().map(|f| {
            let null = if f.nullable { "NULL" } else { "NOT NULL" };
            format!("{} {} {null}", ident(&f.name), type_name(&f.kind, in_index(&f.name)))
        });
        let mut parts: Vec<_> = columns.collect();
        if !table.primary_key.is_empty() {
            parts.push(format!("PRIMARY KEY ({})", idents(&table.primary_key)));
        }
        parts.extend(table.unique.iter().map(|c| format!("UNIQUE ({})", idents(c))));
        parts.extend(table.indexes.iter().map(|c| format!("INDEX ({})", idents(c))));
        let name = ident(&table.name);
        self.run(&format!("CREATE TABLE {name} ({})", parts.join(", "))).await;
        name
    }

    async fn insert(&self, table: &Table, rows: &[Vec<Value<'static>>]) {
        let tuple = |row: &Vec<Value<'static>>| {
            format!("({})", row.iter().map(literal).collect::<Vec<_>>().join(", "))
        };
        if !rows.is_empty() {
            let tuples: Vec<_> = rows.iter().map(tuple).collect();
            self.run(&format!("INSERT INTO {} VALUES {}", ident(&table.name), tuples.join(", "))).await;
        }
    }

    async fn set(&self, table: &Table, column: &str, value: &Value<'static>, by: &str, equals: i64) {
        let (table, column, by) = (ident(&table.name), ident(column), ident(by));
        self.run(&format!("UPDATE {table} SET {column} = {} WHERE {by} = {equals}", literal(value))).await;
    }

    async fn delete(&self, table: &Table, by: &str, equals: i64) {
        self.run(&format!("DELETE FROM {} WHERE {} = {equals}", ident(&table.name), ident(by))).await;
    }

    async fn source(&self) -> Arc<dyn Source> {
        Self::source(self).await
    }

    async fn contents(&self) -> String {
        let mut session = self.session().await;
        let tables: Vec<String> = session.conn.query("SHOW TABLES").await.expect("the names of the tables");
        let mut contents = String::new();
        for table in tables {
            let sql = format!("CHECKSUM TABLE {}", ident(&table));
            let sum: Option<(String, Option<u64>)> = session.conn.query_first(sql).await.expect("a sum");
            contents += &format!("{sum:?}\n");
        }
        contents
    }

    fn values(&self, kind: &FieldType) -> Vec<Value<'static>> {
        match kind {
            FieldType::Boolean => vec![Value::Boolean(false), Value::Boolean(true)],
            FieldType::Int64 => [i64::MIN, -1, 0, 1, i64::MAX].map(Value::Int64).into(),
            FieldType::Float64 => {
                [f64::MIN, -0.1, 0.0, f64::MIN_POSITIVE, 0.1, 1.0 / 3.0, f64::MAX].map(Value::Float64).into()
            }
            FieldType::Decimal { precision: Some(_), .. } => [
                "-12345678901234567890123456.7891",
                "-0.0001",
                "0.0000",
                "0.1000",
                "450000.0000",
                "12345678901234567890123456.7891",
            ]
            .map(|v| Value::Decimal(v.into()))
            .into(),
            FieldType::Text => {
                ["", " ", "'quoted\\'", "a", "a\tb\n", "ä", "🙂"].map(|t| Value::Text(t.into())).into()
            }
            FieldType::Binary => {
                [&[][..], &[0], &[0, 1], &[255; 1000]].map(|b| Value::Binary(b.to_vec().into())).into()
            }
            // the first day and the last
            FieldType::Date => [-719_528, -1, 0, 20_000, 2_932_896].map(Value::Date).into(),
            FieldType::Time => [0, 1, 36_000_500_000, 86_399_999_999, 86_400_000_000].map(Value::Time).into(),
            FieldType::Timestamp { zoned: true } => [1_000_000, 1_000_001, START, START + 1]
                .map(|micros| Value::Timestamp { micros, zoned: true })
                .into(),
            FieldType::Timestamp { zoned: false } => {
                [-719_528 * DAY_MICROS, -62_000_000_000_000_001, -1, 0, START + 1, 253_402_300_799_999_999]
                    .map(|micros| Value::Timestamp { micros, zoned: false })
                    .into()
            }
            FieldType::Uuid => [0, 7, 255].map(|b| Value::Uuid([b; 16])).into(),
            FieldType::Json => ["null", "{\"a\": [1, 2.50]}", "\"ü\""].map(|t| Value::Json(t.into())).into(),
            FieldType::Decimal { .. } | FieldType::List(_) => Vec::new(),
        }
    }

    /// Names have no signs beyond the basic plane.
    fn odd_name(&self) -> &'static str {
        "Größe €"
    }
}

/// Deletes that nothing holds.
pub(crate) fn unguarded() -> syncline_core::sync::Deletes {
    syncline_core::sync::Deletes {
        policy: syncline_core::sync::DeletePolicy::Delete,
        guard_count: 0,
        guard_percent: 0.0,
        out_of_filter: false,
        detect: Default::default(),
    }
}
