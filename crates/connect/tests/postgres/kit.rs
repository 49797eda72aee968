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
use syncline_connect::{
    Source,
    budget::Budgets,
    clock::SystemClock,
    conformance::source::{Kit, START, Table},
    postgres::Connector,
    registry::{Connector as _, Context},
};
use syncline_core::{
    connection::Connection,
    schema::FieldType,
    value::{Value, hex},
};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// The address of the server, which must be there: a test that is skipped tests nothing.
#[expect(clippy::disallowed_methods, reason = "tests are told of the server by the environment")]
pub(crate) fn server() -> String {
    std::env::var("SYNCLINE_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!(
            "SYNCLINE_TEST_POSTGRES is not set: run the tests through `make test` or `scripts/with-postgres`"
        )
    })
}

/// The authority that signed the server's certificate, where the server has one.
#[expect(clippy::disallowed_methods, reason = "tests are told of the server by the environment")]
pub(crate) fn authority() -> Option<PathBuf> {
    std::env::var_os("SYNCLINE_TEST_POSTGRES_CA").map(PathBuf::from)
}

/// A database that only one test uses.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) url: String,
}

impl Database {
    /// Runs `test` on a new database and drops it, whatever became of the test.
    pub(crate) async fn with<F: Future<Output = ()>>(test: impl FnOnce(Self) -> F) {
        let name = format!("syncline_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let server = server();
        let admin = Session::open(&server).await;
        admin.run(&format!("CREATE DATABASE {name}")).await;
        let (base, _) = server.rsplit_once('/').expect("an address with a database");
        let database = Self { url: format!("{base}/{name}"), name: name.clone() };
        let outcome = AssertUnwindSafe(test(database)).catch_unwind().await;
        admin.run(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
    }

    pub(crate) async fn session(&self) -> Session {
        Session::open(&self.url).await
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
    let connection = Connection { name: "erp".into(), kind: "postgres".into(), options };
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
    pub(crate) client: Client,
    _driver: JoinSet<()>,
}

impl Session {
    pub(crate) async fn open(url: &str) -> Self {
        let (client, connection) =
            tokio_postgres::connect(url, NoTls).await.expect("the server of the tests");
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // a session that the test kills ends with an error
            drop(connection.await);
        });
        Self { client, _driver: driver }
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }

    pub(crate) async fn text(&self, sql: &str) -> String {
        let row = self.client.query_one(sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        row.get::<_, Option<String>>(0).unwrap_or_default()
    }
}

fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn idents(names: &[String]) -> String {
    names.iter().map(|n| ident(n)).collect::<Vec<_>>().join(", ")
}

fn type_name(kind: &FieldType) -> String {
    match kind {
        FieldType::Boolean => "boolean".into(),
        FieldType::Int64 => "bigint".into(),
        FieldType::Float64 => "double precision".into(),
        FieldType::Decimal { precision: Some(p), scale: Some(s) } => format!("numeric({p}, {s})"),
        FieldType::Decimal { .. } => "numeric".into(),
        FieldType::Text => "text".into(),
        FieldType::Binary => "bytea".into(),
        FieldType::Date => "date".into(),
        FieldType::Time => "time".into(),
        FieldType::Timestamp { zoned: true } => "timestamptz".into(),
        FieldType::Timestamp { zoned: false } => "timestamp".into(),
        FieldType::Uuid => "uuid".into(),
        FieldType::Json => "jsonb".into(),
        FieldType::List(of) => format!("{}[]", type_name(of)),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn literal(value: &Value<'_>) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Boolean(v) => v.to_string(),
        Value::Int64(v) => format!("'{v}'"),
        Value::Float64(v) => format!("'{v}'"),
        Value::Decimal(v) | Value::Text(v) | Value::Json(v) => quoted(v),
        Value::Binary(v) => format!("'\\x{}'", hex(v)),
        Value::Date(i32::MAX) | Value::Timestamp { micros: i64::MAX, .. } => "'infinity'".into(),
        Value::Date(i32::MIN) | Value::Timestamp { micros: i64::MIN, .. } => "'-infinity'".into(),
        Value::Date(v) => format!("DATE 'epoch' + '{v}'::int"),
        Value::Time(86_400_000_000) => "'24:00'".into(),
        Value::Time(v) => format!("TIME '00:00' + '{v} microseconds'"),
        Value::Timestamp { micros, zoned: true } => format!("TIMESTAMPTZ 'epoch' + '{micros} microseconds'"),
        Value::Timestamp { micros, zoned: false } => format!("TIMESTAMP 'epoch' + '{micros} microseconds'"),
        Value::Uuid(v) => format!("'{}'", hex(v)),
        Value::List(v) => format!("ARRAY[{}]", v.iter().map(literal).collect::<Vec<_>>().join(", ")),
    }
}

#[async_trait]
impl Kit for Database {
    async fn create(&self, table: &Table) -> String {
        let null = |nullable: bool| if nullable { "" } else { " NOT NULL" };
        let columns = table
            .columns
            .iter()
            .map(|f| format!("{} {}{}", ident(&f.name), type_name(&f.kind), null(f.nullable)));
        let mut parts: Vec<_> = columns.collect();
        if !table.primary_key.is_empty() {
            parts.push(format!("PRIMARY KEY ({})", idents(&table.primary_key)));
        }
        parts.extend(table.unique.iter().map(|c| format!("UNIQUE ({})", idents(c))));
        let name = ident(&table.name);
        let session = self.session().await;
        session.run(&format!("CREATE TABLE {name} ({})", parts.join(", "))).await;
        for columns in &table.indexes {
            session.run(&format!("CREATE INDEX ON {name} ({})", idents(columns))).await;
        }
        name
    }

    async fn insert(&self, table: &Table, rows: &[Vec<Value<'static>>]) {
        let kinds: Vec<_> = table.columns.iter().map(|f| type_name(&f.kind)).collect();
        let cast = |(v, kind): (&Value<'_>, &String)| format!("({})::{kind}", literal(v));
        let tuple = |row: &Vec<Value<'static>>| {
            format!("({})", row.iter().zip(&kinds).map(cast).collect::<Vec<_>>().join(", "))
        };
        if !rows.is_empty() {
            let tuples: Vec<_> = rows.iter().map(tuple).collect();
            let sql = format!("INSERT INTO {} VALUES {}", ident(&table.name), tuples.join(", "));
            self.session().await.run(&sql).await;
        }
    }

    async fn set(&self, table: &Table, column: &str, value: &Value<'static>, by: &str, equals: i64) {
        let (table, column, by) = (ident(&table.name), ident(column), ident(by));
        let sql = format!("UPDATE {table} SET {column} = {} WHERE {by} = {equals}", literal(value));
        self.session().await.run(&sql).await;
    }

    async fn delete(&self, table: &Table, by: &str, equals: i64) {
        let sql = format!("DELETE FROM {} WHERE {} = {equals}", ident(&table.name), ident(by));
        self.session().await.run(&sql).await;
    }

    async fn source(&self) -> Arc<dyn Source> {
        Self::source(self).await
    }

    async fn contents(&self) -> String {
        let session = self.session().await;
        session
            .text(
                "SELECT string_agg(c.oid::regclass::text || c.relfilenode || md5(query_to_xml(format('TABLE %s', \
                 c.oid::regclass), true, true, '')::text), ',' ORDER BY c.oid) \
                 FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace",
            )
            .await
            + &session.text("SELECT string_agg(relname, ',' ORDER BY oid) FROM pg_class").await
    }

    fn values(&self, kind: &FieldType) -> Vec<Value<'static>> {
        let decimals = |values: &[&str]| {
            values.iter().map(|v| Value::Decimal(String::from(*v).into())).collect::<Vec<_>>()
        };
        match kind {
            FieldType::Boolean => vec![Value::Boolean(false), Value::Boolean(true)],
            FieldType::Int64 => [i64::MIN, -1, 0, 1, i64::MAX].map(Value::Int64).into(),
            FieldType::Float64 => {
                [f64::NEG_INFINITY, f64::MIN, -0.1, 0.0, 5e-324, 0.1, 1.0 / 3.0, f64::MAX, f64::INFINITY]
                    .map(Value::Float64)
                    .into()
            }
            FieldType::Decimal { precision: Some(_), .. } => decimals(&[
                "-12345678901234567890123456.7891",
                "-0.0001",
                "0.0000",
                "0.1000",
                "450000.0000",
                "12345678901234567890123456.7891",
                "NaN",
            ]),
            FieldType::Decimal { .. } => decimals(&[
                "-Infinity",
                &format!("-{}", "9".repeat(300)),
                "-1.50",
                "0",
                &format!("0.{}1", "0".repeat(200)),
                "10000",
                "10000.00010",
                "123456789012345678901234567890.123456789012345678901234567890",
                "Infinity",
                "NaN",
            ]),
            FieldType::Text => {
                ["", " ", "'quoted\\'", "a", "a\tb\n", "ä", "🙂"].map(|t| Value::Text(t.into())).into()
            }
            FieldType::Binary => {
                [&[][..], &[0], &[0, 1], &[255; 1000]].map(|b| Value::Binary(b.to_vec().into())).into()
            }
            // 4713 BC to 5874897 AD, where PostgreSQL ends
            FieldType::Date => [i32::MIN, -2_440_588, -719_529, -1, 0, 20_000, 2_145_042_905, i32::MAX]
                .map(Value::Date)
                .into(),
            FieldType::Time => [0, 1, 36_000_500_000, 86_399_999_999, 86_400_000_000].map(Value::Time).into(),
            FieldType::Timestamp { zoned } => {
                // 4713 BC, a microsecond before a year BC, the year 287169
                let far = [-210_866_803_200_000_000, -62_200_000_000_000_001, 9_000_000_000_000_000_000];
                [i64::MIN, far[0], far[1], -1, 0, START + 1, far[2], i64::MAX]
                    .map(|micros| Value::Timestamp { micros, zoned: *zoned })
                    .into()
            }
            FieldType::Uuid => [0, 7, 255].map(|b| Value::Uuid([b; 16])).into(),
            FieldType::Json => ["null", "{\"a\": [1, 2.50]}", "\"ü\""].map(|t| Value::Json(t.into())).into(),
            FieldType::List(of) => lists(of),
        }
    }
}

fn lists(of: &FieldType) -> Vec<Value<'static>> {
    let items = match of {
        FieldType::Text => {
            vec![Value::Text("a,b".into()), Value::Null, Value::Text("".into()), Value::Text("\"".into())]
        }
        FieldType::Int64 => vec![Value::Int64(i64::MIN), Value::Int64(i64::MAX)],
        _ => ["1.50", "NaN", "-0.001"].map(|d| Value::Decimal(d.into())).into(),
    };
    vec![Value::List(Vec::new()), Value::List(items[..1].to_vec()), Value::List(items)]
}
