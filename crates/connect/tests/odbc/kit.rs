//! The kits of the other connectors, read through ODBC.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use syncline_connect::{
    Error, Source,
    budget::Budgets,
    clock::SystemClock,
    conformance::source::{Kit, START, Table},
    odbc::Connector,
    registry::{Connector as _, Context},
};
use syncline_core::{connection::Connection, schema::FieldType, value::Value};

use crate::{
    mysql,
    postgres::kit::Database,
    sqlite::kit::{File, Times},
};

/// What is needed to open a connection with these options.
pub(crate) fn opening(options: serde_json::Value) -> (Connection, Context) {
    let connection = Connection { name: "erp".into(), kind: "odbc".into(), options };
    let clock = Arc::new(SystemClock::new());
    let budgets = Arc::new(Budgets::new(clock.clone()));
    (connection, Context { clock, budgets, seed: 1, directory: PathBuf::new(), caller: Default::default() })
}

/// Opens a source with these options.
pub(crate) async fn open(options: serde_json::Value) -> Result<Arc<dyn Source>, Error> {
    let (connection, context) = opening(options);
    Connector.source(&connection, &context).await
}

/// A system that another kit makes tables in, and its driver.
pub(crate) struct Through<K> {
    pub(crate) kit: K,
    pub(crate) connection_string: String,
    values: fn(&FieldType, Vec<Value<'static>>) -> Vec<Value<'static>>,
    /// Whether the driver has functions for Unicode.
    unicode: bool,
}

#[async_trait]
impl<K: Kit> Kit for Through<K> {
    async fn create(&self, table: &Table) -> String {
        self.kit.create(table).await
    }

    async fn insert(&self, table: &Table, rows: &[Vec<Value<'static>>]) {
        self.kit.insert(table, rows).await;
    }

    async fn set(&self, table: &Table, column: &str, value: &Value<'static>, by: &str, equals: i64) {
        self.kit.set(table, column, value, by, equals).await;
    }

    async fn delete(&self, table: &Table, by: &str, equals: i64) {
        self.kit.delete(table, by, equals).await;
    }

    async fn source(&self) -> Arc<dyn Source> {
        let options = serde_json::json!({ "connection_string": self.connection_string });
        open(options).await.unwrap_or_else(|e| panic!("{e} ({:?})", e.hint))
    }

    async fn contents(&self) -> String {
        self.kit.contents().await
    }

    fn values(&self, kind: &FieldType) -> Vec<Value<'static>> {
        (self.values)(kind, self.kit.values(kind))
    }

    fn takes_any_name(&self) -> bool {
        self.unicode
    }

    fn odd_name(&self) -> &'static str {
        self.kit.odd_name()
    }
}

/// The connection string for a PostgreSQL database, as `user` (with a password behind a colon).
pub(crate) fn postgres_string(url: &str, user: &str) -> String {
    let address = url.rsplit('@').next().unwrap_or_default();
    let (host, database) = address.split_once('/').expect("an address with a database");
    let (host, port) = host.split_once(':').unwrap_or((host, "5432"));
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    format!(
        "Driver={{PostgreSQL Unicode}};Server={host};Port={port};Database={database};UID={user};PWD={password}"
    )
}

pub(crate) fn postgres(database: Database) -> Through<Database> {
    let connection_string = postgres_string(&database.url, "postgres");
    Through { kit: database, connection_string, values: postgres_values, unicode: true }
}

/// What the driver hands over: years of four digits (and infinity), finite numbers, no lists.
fn postgres_values(kind: &FieldType, values: Vec<Value<'static>>) -> Vec<Value<'static>> {
    match kind {
        FieldType::List(_) => Vec::new(),
        FieldType::Date => [i32::MIN, -719_162, -1, 0, 20_000, 2_932_896, i32::MAX].map(Value::Date).into(),
        FieldType::Timestamp { zoned } => {
            [i64::MIN, -62_135_596_800_000_000, -1, 0, START + 1, 253_402_300_799_999_999, i64::MAX]
                .map(|micros| Value::Timestamp { micros, zoned: *zoned })
                .into()
        }
        FieldType::Float64 => {
            values.into_iter().filter(|v| !matches!(v, Value::Float64(v) if v.is_infinite())).collect()
        }
        _ => values,
    }
}

pub(crate) fn mariadb(database: mysql::kit::Database) -> Through<mysql::kit::Database> {
    let address = database.url.rsplit('@').next().unwrap_or_default();
    let (host, name) = address.split_once('/').expect("an address with a database");
    let (host, port) = host.split_once(':').unwrap_or((host, "3306"));
    let connection_string =
        format!("Driver={{MariaDB Unicode}};Server={host};Port={port};Database={name};UID=root");
    Through { kit: database, connection_string, values: mariadb_values, unicode: true }
}

/// The driver does not tell JSON from text.
fn mariadb_values(kind: &FieldType, values: Vec<Value<'static>>) -> Vec<Value<'static>> {
    if *kind == FieldType::Json { Vec::new() } else { values }
}

pub(crate) fn sqlite() -> Through<File> {
    let file = File::new(Times::Iso);
    let connection_string = format!("Driver=SQLite3;Database={}", file.path().display());
    Through { kit: file, connection_string, values: sqlite_values, unicode: false }
}

/// What the driver hands over: times that differ by milliseconds, and ASCII (Debian's driver has no functions for
/// Unicode).
fn sqlite_values(kind: &FieldType, values: Vec<Value<'static>>) -> Vec<Value<'static>> {
    match kind {
        FieldType::Timestamp { zoned } => {
            [-62_135_596_800_000_000, -1000, 0, START, START + 1000, 253_402_300_799_999_000]
                .map(|micros| Value::Timestamp { micros, zoned: *zoned })
                .into()
        }
        FieldType::Text => {
            values.into_iter().filter(|v| matches!(v, Value::Text(t) if t.is_ascii())).collect()
        }
        FieldType::Json => vec![Value::Json("null".into()), Value::Json("{\"a\": [1, 2.50]}".into())],
        _ => values,
    }
}
