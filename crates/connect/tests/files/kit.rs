//! A directory of its own for each test, and files from the portable description of tables.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use parquet::arrow::ArrowWriter;
use serde_json::json;
use syncline_connect::{
    Database, Error, Source,
    budget::Budgets,
    clock::SystemClock,
    conformance::source::{Guarantees, Kit, START, Table},
    files::Connector,
    registry::{Connector as _, Context},
};
use syncline_core::{
    batch::{BatchBuilder, Positions, RecordOp},
    connection::Connection,
    schema::FieldType,
    time::{date_text, time_text, timestamp_text},
    value::Value,
};
use tempfile::TempDir;

/// How files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    Jsonl,
    Parquet,
}

impl Format {
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
        }
    }
}

fn connection(options: serde_json::Value) -> Connection {
    Connection { name: "exports".into(), kind: "files".into(), options }
}

type Rows = Vec<Vec<Value<'static>>>;

/// A directory with files.
pub(crate) struct Directory {
    directory: TempDir,
    format: Format,
    tables: Mutex<BTreeMap<String, Rows>>,
}

impl Directory {
    pub(crate) fn new(format: Format) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { directory, format, tables: Mutex::default() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file as programs should: whole, under its name at once.
    pub(crate) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        let beside = self.path("_being-written");
        fs::write(&beside, bytes).expect("a file");
        fs::rename(beside, path).expect("a file");
    }

    pub(crate) async fn open(&self, options: serde_json::Value) -> Result<Arc<dyn Source>, Error> {
        Connector.source(&connection(options), &self.context()).await
    }

    pub(crate) async fn database(&self, options: serde_json::Value) -> Arc<dyn Database> {
        let opened = Connector.database(&connection(options), &self.context()).await;
        opened.unwrap_or_else(|e| panic!("{e}"))
    }

    fn context(&self) -> Context {
        let clock = Arc::new(SystemClock::new());
        Context {
            clock: clock.clone(),
            budgets: Arc::new(Budgets::new(clock)),
            seed: 1,
            directory: self.directory.path().to_owned(),
            caller: Default::default(),
        }
    }

    pub(crate) async fn source(&self) -> Arc<dyn Source> {
        self.open(json!({ "path": "." })).await.unwrap_or_else(|e| panic!("{e}"))
    }

    fn file(&self, table: &Table) -> String {
        format!("{}.{}", table.name, self.format.ending())
    }

    fn change(&self, table: &Table, change: impl FnOnce(&mut Rows)) {
        let mut tables = self.tables.lock().expect("tables");
        let rows = tables.entry(table.name.clone()).or_default();
        change(rows);
        let bytes = match self.format {
            Format::Csv => csv(table, rows).into_bytes(),
            Format::Jsonl => jsonl(table, rows).into_bytes(),
            Format::Parquet => parquet(table, rows),
        };
        self.put(&self.file(table), bytes);
    }
}

fn csv(table: &Table, rows: &Rows) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let cell = |value: &Value<'_>| match value {
        Value::Null => String::new(),
        Value::List(_) => quoted(&json_text(value)),
        other => quoted(&plain(other)),
    };
    let header = table.columns.iter().map(|f| quoted(&f.name)).collect::<Vec<_>>().join(",");
    let lines = rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(",") + "\n");
    format!("{header}\n{}", lines.collect::<String>())
}

fn jsonl(table: &Table, rows: &Rows) -> String {
    let line = |row: &Vec<Value<'static>>| {
        let members = table.columns.iter().zip(row).map(|(field, value)| {
            format!("{}:{}", serde_json::Value::from(field.name.as_str()), json_text(value))
        });
        format!("{{{}}}\n", members.collect::<Vec<_>>().join(","))
    };
    rows.iter().map(line).collect()
}

fn parquet(table: &Table, rows: &Rows) -> Vec<u8> {
    let mut builder = BatchBuilder::new(table.columns.clone().into());
    for row in rows {
        for (column, value) in row.iter().enumerate() {
            builder.push(column, value).expect("a value of the column's type");
        }
        builder.end_record(RecordOp::Upsert);
    }
    let batch = builder.finish(Positions::None);
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.records().schema(), None).expect("a writer");
    writer.write(batch.records()).expect("a batch");
    writer.into_inner().expect("a file")
}

/// The text of a value that is not a list.
fn plain(value: &Value<'_>) -> String {
    match value {
        Value::Null | Value::List(_) => panic!("no plain text"),
        Value::Boolean(v) => v.to_string(),
        Value::Int64(v) => v.to_string(),
        Value::Float64(v) => v.to_string(),
        Value::Decimal(v) | Value::Text(v) | Value::Json(v) => v.to_string(),
        Value::Binary(v) => BASE64_STANDARD.encode(v),
        Value::Date(v) => date_text(*v),
        Value::Time(v) => time_text(*v),
        Value::Timestamp { micros, zoned } => timestamp_text(*micros, *zoned),
        Value::Uuid(v) => uuid::Uuid::from_bytes(*v).to_string(),
    }
}

fn json_text(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Boolean(_) | Value::Int64(_) | Value::Json(_) => plain(value),
        Value::Float64(v) if v.is_finite() => plain(value),
        Value::Decimal(v) if !v.contains(['N', 'I']) => v.to_string(),
        Value::List(items) => {
            format!("[{}]", items.iter().map(json_text).collect::<Vec<_>>().join(","))
        }
        other => serde_json::Value::from(plain(other)).to_string(),
    }
}

#[async_trait]
impl Kit for Directory {
    async fn create(&self, table: &Table) -> String {
        let field = |f: &syncline_core::schema::Field| json!({ "name": f.name, "type": f.kind.to_string(), "nullable": f.nullable });
        let fields: Vec<_> = table.columns.iter().map(field).collect();
        let schema = json!({ "fields": fields, "primary_key": table.primary_key });
        self.put(&format!("{}.schema.json", self.file(table)), schema.to_string());
        self.change(table, |_| {});
        self.file(table)
    }

    async fn insert(&self, table: &Table, rows: &[Vec<Value<'static>>]) {
        self.change(table, |all| all.extend(rows.iter().cloned()));
    }

    async fn set(&self, table: &Table, column: &str, value: &Value<'static>, by: &str, equals: i64) {
        let at = |name: &str| table.columns.iter().position(|f| f.name == name).expect("a column");
        let (column, by) = (at(column), at(by));
        self.change(table, |rows| {
            for row in rows.iter_mut().filter(|row| row[by] == Value::Int64(equals)) {
                row[column] = value.clone();
            }
        });
    }

    async fn delete(&self, table: &Table, by: &str, equals: i64) {
        let by = table.columns.iter().position(|f| f.name == by).expect("a column");
        self.change(table, |rows| rows.retain(|row| row[by] != Value::Int64(equals)));
    }

    async fn source(&self) -> Arc<dyn Source> {
        Self::source(self).await
    }

    async fn contents(&self) -> String {
        let mut contents = BTreeMap::new();
        for entry in fs::read_dir(self.directory.path()).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                continue;
            }
            let changed = path.metadata().and_then(|m| m.modified()).expect("a time");
            contents.insert(path.clone(), format!("{changed:?} {:?}", fs::read(&path).expect("a file")));
        }
        format!("{contents:?}")
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
            FieldType::Decimal { .. } => decimals(&[
                "-Infinity",
                "-99999999999999999999999999.9999",
                "-0.0001",
                "0.0000",
                "0.1000",
                "450000",
                "99999999999999999999999999.9999",
                "Infinity",
                "NaN",
            ]),
            FieldType::Text => {
                ["", " ", "\"quoted\\\"", "NULL", "a", "a\0b", "a\tb\n", "a\r\nb,c", "ä", "🙂"]
                    .map(|t| Value::Text(t.into()))
                    .into()
            }
            FieldType::Binary => {
                [&[][..], &[0], &[0, 1], &[255; 1000]].map(|b| Value::Binary(b.to_vec().into())).into()
            }
            FieldType::Date => {
                [i32::MIN, -10_000_000, -719_163, -1, 0, 20_000, 2_932_896, i32::MAX].map(Value::Date).into()
            }
            FieldType::Time => [0, 1, 36_000_500_000, 86_399_999_999].map(Value::Time).into(),
            FieldType::Timestamp { zoned } => {
                let first = [i64::MIN, -9_000_000_000_000_000_000, -62_135_596_800_000_000, -1, 0];
                let last = [START, START + 1, 253_402_300_799_999_999, i64::MAX];
                let value = |micros| Value::Timestamp { micros, zoned: *zoned };
                first.into_iter().chain(last).map(value).collect()
            }
            FieldType::Uuid => [0, 7, 255].map(|b| Value::Uuid([b; 16])).into(),
            // where JSON is the format, its null is the null of the field
            FieldType::Json if self.format == Format::Jsonl => {
                ["{\"a\": [1, 2.50]}", "\"ü\"", "7"].map(|t| Value::Json(t.into())).into()
            }
            FieldType::Json => {
                ["null", "{\"a\": [1, 2.50]}", "\"ü\"", "7"].map(|t| Value::Json(t.into())).into()
            }
            FieldType::List(of) => {
                let items = match of.as_ref() {
                    FieldType::Text => vec![Value::Text("".into()), Value::Null, Value::Text("a,\"b".into())],
                    FieldType::Int64 => vec![Value::Int64(i64::MIN), Value::Null],
                    _ => vec![Value::Decimal("1.50".into())],
                };
                vec![Value::List(Vec::new()), Value::List(items)]
            }
        }
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees { keys: false, snapshots: false }
    }
}
