//! A file of its own for each test, and tables from the portable description.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use syncline_connect::{
    Source,
    budget::Budgets,
    clock::SystemClock,
    conformance::source::{Kit, START, Table},
    registry::{Connector as _, Context},
    sqlite::Connector,
};
use syncline_core::{
    connection::Connection,
    schema::FieldType,
    time::{date_text, time_text, timestamp_text},
    value::{Value, hex},
};
use tempfile::TempDir;

/// How a file stores its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    /// `2026-01-31T10:00:00.500000Z`.
    Iso,
    /// Seconds since 1970 in some rows, text with and without `T` in others: what is stored has no order of time.
    /// Key columns have one form all the same, for pages by key come in stored order.
    Mixed,
}

/// A SQLite file.
pub(crate) struct File {
    directory: TempDir,
    times: Times,
}

impl File {
    pub(crate) fn new(times: Times) -> Self {
        let file = Self { directory: tempfile::tempdir().expect("a directory"), times };
        file.run("PRAGMA journal_mode = WAL");
        file
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("test.db")
    }

    pub(crate) fn connection(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.path()).expect("a file");
        connection.busy_timeout(std::time::Duration::from_secs(5)).expect("a time-out");
        connection
    }

    pub(crate) fn run(&self, sql: &str) {
        self.connection().execute_batch(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    pub(crate) async fn open(&self, path: &str) -> Result<Arc<dyn Source>, syncline_connect::Error> {
        Connector.source(&connection(path), &context(self.directory.path())).await
    }

    pub(crate) async fn source(&self) -> Arc<dyn Source> {
        self.open("test.db").await.unwrap_or_else(|e| panic!("{e}"))
    }

    fn literal(&self, value: &Value<'_>, row: usize) -> String {
        match value {
            Value::Null => "NULL".into(),
            Value::Boolean(v) => u8::from(*v).to_string(),
            // the smallest integer has no literal of its own
            Value::Int64(i64::MIN) => "(-9223372036854775807 - 1)".into(),
            Value::Int64(v) => v.to_string(),
            Value::Float64(v) if *v == f64::INFINITY => "9e999".into(),
            Value::Float64(v) if *v == f64::NEG_INFINITY => "-9e999".into(),
            Value::Float64(v) => format!("{v:e}"),
            Value::Decimal(v) => v.to_string(),
            Value::Text(v) | Value::Json(v) => quoted(v),
            Value::Binary(v) => format!("x'{}'", hex(v)),
            Value::Date(v) => quoted(&date_text(*v)),
            Value::Time(v) => quoted(&time_text(*v)),
            Value::Timestamp { micros, zoned } => match (self.times, row % 3) {
                (Times::Mixed, 0) if micros % 1_000_000 == 0 => (micros / 1_000_000).to_string(),
                (Times::Mixed, 1) => quoted(&timestamp_text(*micros, *zoned).replace(['T', 'Z'], " ")),
                _ => quoted(&fixed(*micros, *zoned)),
            },
            Value::Uuid(v) => quoted(&uuid::Uuid::from_bytes(*v).to_string()),
            Value::List(_) => panic!("SQLite has no lists"),
        }
    }
}

pub(crate) fn connection(path: &str) -> Connection {
    Connection { name: "local".into(), kind: "sqlite".into(), options: serde_json::json!({ "path": path }) }
}

pub(crate) fn context(directory: &Path) -> Context {
    let clock = Arc::new(SystemClock::new());
    let budgets = Arc::new(Budgets::new(clock.clone()));
    Context { clock, budgets, seed: 1, directory: directory.to_owned(), caller: Default::default() }
}

/// With all six digits, so that text order is time order.
fn fixed(micros: i64, zoned: bool) -> String {
    let seconds = timestamp_text(micros.div_euclid(1_000_000) * 1_000_000, false);
    format!("{seconds}.{:06}{}", micros.rem_euclid(1_000_000), if zoned { "Z" } else { "" })
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub(crate) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn idents(names: &[String]) -> String {
    names.iter().map(|n| ident(n)).collect::<Vec<_>>().join(", ")
}

fn type_name(kind: &FieldType) -> String {
    match kind {
        FieldType::Boolean => "BOOLEAN".into(),
        FieldType::Int64 => "INTEGER".into(),
        FieldType::Float64 => "REAL".into(),
        FieldType::Decimal { precision: Some(p), scale: Some(s) } => format!("DECIMAL({p}, {s})"),
        FieldType::Decimal { .. } => "NUMERIC".into(),
        FieldType::Text => "VARCHAR(20)".into(),
        FieldType::Binary => "BLOB".into(),
        FieldType::Date => "DATE".into(),
        FieldType::Time => "TIME".into(),
        FieldType::Timestamp { zoned: true } => "DATETIME".into(),
        FieldType::Timestamp { zoned: false } => "TIMESTAMP WITHOUT TIME ZONE".into(),
        FieldType::Uuid => "UUID".into(),
        FieldType::Json => "JSON".into(),
        FieldType::List(_) => panic!("SQLite has no lists"),
    }
}

#[async_trait]
impl Kit for File {
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
        self.run(&format!("CREATE TABLE {name} ({})", parts.join(", ")));
        for (number, columns) in table.indexes.iter().enumerate() {
            let index = ident(&format!("{} {number}", table.name));
            self.run(&format!("CREATE INDEX {index} ON {name} ({})", idents(columns)));
        }
        name
    }

    async fn insert(&self, table: &Table, rows: &[Vec<Value<'static>>]) {
        let tuple = |(i, row): (usize, &Vec<Value<'static>>)| {
            let form = |nullable: bool| if nullable { i } else { 2 };
            let cells = row.iter().zip(&table.columns).map(|(v, f)| self.literal(v, form(f.nullable)));
            format!("({})", cells.collect::<Vec<_>>().join(", "))
        };
        if !rows.is_empty() {
            let tuples: Vec<_> = rows.iter().enumerate().map(tuple).collect();
            self.run(&format!("INSERT INTO {} VALUES {}", ident(&table.name), tuples.join(", ")));
        }
    }

    async fn set(&self, table: &Table, column: &str, value: &Value<'static>, by: &str, equals: i64) {
        let (table, column, by) = (ident(&table.name), ident(column), ident(by));
        self.run(&format!("UPDATE {table} SET {column} = {} WHERE {by} = {equals}", self.literal(value, 2)));
    }

    async fn delete(&self, table: &Table, by: &str, equals: i64) {
        self.run(&format!("DELETE FROM {} WHERE {} = {equals}", ident(&table.name), ident(by)));
    }

    async fn source(&self) -> Arc<dyn Source> {
        Self::source(self).await
    }

    async fn contents(&self) -> String {
        let connection = self.connection();
        let one = |sql: &str| -> String {
            connection
                .query_row(sql, [], |row| row.get::<_, Option<String>>(0))
                .expect("contents")
                .unwrap_or_default()
        };
        // counts the commits of every program
        let commits: i64 =
            connection.query_row("PRAGMA data_version", [], |row| row.get(0)).expect("a version");
        let schema = one("SELECT group_concat(name || ifnull(sql, ''), ';') FROM sqlite_schema");
        format!("{commits} {schema} {}", one("SELECT group_concat(id || name || at) FROM untouched"))
    }

    fn values(&self, kind: &FieldType) -> Vec<Value<'static>> {
        let decimals = |values: &[&'static str]| values.iter().map(|v| Value::Decimal((*v).into())).collect();
        match kind {
            FieldType::Boolean => vec![Value::Boolean(false), Value::Boolean(true)],
            FieldType::Int64 => [i64::MIN, -1, 0, 1, i64::MAX].map(Value::Int64).into(),
            FieldType::Float64 => {
                [f64::NEG_INFINITY, f64::MIN, -0.1, 0.0, 5e-324, 0.1, 1.0 / 3.0, f64::MAX, f64::INFINITY]
                    .map(Value::Float64)
                    .into()
            }
            // what a double keeps: SQLite has no decimals
            FieldType::Decimal { .. } => {
                decimals(&["-1234567890123.45", "-0.0001", "0", "0.1", "450000", "1234567890123.45"])
            }
            FieldType::Text => {
                ["", " ", "'quoted\\'", "a", "a\tb\n", "ä", "🙂"].map(|t| Value::Text(t.into())).into()
            }
            FieldType::Binary => {
                [&[][..], &[0], &[0, 1], &[255; 1000]].map(|b| Value::Binary(b.to_vec().into())).into()
            }
            FieldType::Date => [-719_162, -1, 0, 20_000, 2_932_896].map(Value::Date).into(),
            FieldType::Time => [0, 1, 36_000_500_000, 86_399_999_999].map(Value::Time).into(),
            FieldType::Timestamp { zoned } => {
                [-62_135_596_800_000_000, -1, 0, START, START + 1, 253_402_300_799_999_999]
                    .map(|micros| Value::Timestamp { micros, zoned: *zoned })
                    .into()
            }
            FieldType::Uuid => [0, 7, 255].map(|b| Value::Uuid([b; 16])).into(),
            FieldType::Json => {
                ["null", "{\"a\": [1, 2.50]}", "\"ü\"", "7"].map(|t| Value::Json(t.into())).into()
            }
            FieldType::List(_) => Vec::new(),
        }
    }
}
