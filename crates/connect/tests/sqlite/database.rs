//! The `sqlite` connector as a destination of loads.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use syncline_connect::{
    Database, Source,
    conformance::database::{self as suite, Kit},
    database::{
        Absent, Change, Claim, Column, Commit, Gone, How, Load, Merge, Rows, Shape,
        dialect::{Dialect, sqlite::SQLITE},
    },
    error::Kind,
    registry::Connector as _,
    sqlite::Connector,
};
use syncline_core::{
    batch::{BatchBuilder, Positions, RecordOp},
    convert::convert,
    schema::{Field, FieldType},
    sync::{DeletePolicy, Deletes},
    value::Value,
};
use tempfile::TempDir;

use super::kit::{connection, context, ident};

/// A file that is not there yet.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("new.db")
    }

    fn sql(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.file()).expect("a file");
        connection.busy_timeout(Duration::from_secs(20)).expect("a time-out");
        connection
    }

    fn execute(&self, sql: &str) {
        self.sql().execute_batch(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    fn one(&self, sql: &str) -> String {
        let text = |row: &rusqlite::Row<'_>| {
            row.get_ref(0).map(|cell| match cell {
                rusqlite::types::ValueRef::Integer(n) => n.to_string(),
                other => other.as_str_or_null().ok().flatten().unwrap_or("-").to_owned(),
            })
        };
        self.sql().query_row(sql, [], text).unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    async fn opened(&self) -> Arc<dyn Database> {
        let opened = Connector.database(&connection("new.db"), &context(self.directory.path())).await;
        opened.unwrap_or_else(|e| panic!("{e}"))
    }

    async fn load(&self, table: &str, lock_timeout: Duration) -> Box<dyn Load> {
        let claim = Claim {
            sync: "s".into(),
            table: table.into(),
            lock_timeout,
            replaces: false,
            partition: Vec::new(),
            dry: false,
        };
        self.opened().await.open(&claim).await.unwrap_or_else(|e| panic!("{e}"))
    }
}

#[async_trait]
impl Kit for Place {
    async fn database(&self) -> Arc<dyn Database> {
        self.opened().await
    }

    async fn source(&self) -> Arc<dyn Source> {
        let opened = Connector.source(&connection("new.db"), &context(self.directory.path())).await;
        opened.unwrap_or_else(|e| panic!("{e}"))
    }

    async fn run(&self, sql: &str) {
        self.execute(sql);
    }

    async fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let connection = self.sql();
        let mut statement = connection.prepare(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|i| row.get(i)).collect()).expect("rows");
        rows.collect::<Result<_, _>>().unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    async fn tables(&self) -> Vec<String> {
        self.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")
            .await
            .into_iter()
            .flatten()
            .flatten()
            .collect()
    }

    fn dialect(&self) -> &'static Dialect {
        &SQLITE
    }

    fn count_updates(&self, table: &str) -> Vec<String> {
        let name = ident(&format!("{table} touched"));
        let body = "BEGIN INSERT INTO touched VALUES (1); END";
        vec![format!("CREATE TRIGGER {name} AFTER UPDATE ON {} {body}", ident(table))]
    }

    fn wider(&self) -> Option<(&'static str, &'static str)> {
        None
    }

    fn values(&self, kind: &FieldType) -> Vec<Value<'static>> {
        let decimal = |text: &'static str| Value::Decimal(text.into());
        match kind {
            FieldType::Boolean => vec![Value::Boolean(false), Value::Boolean(true)],
            FieldType::Int64 => [i64::MIN, -1, 0, 1, i64::MAX].map(Value::Int64).into(),
            FieldType::Float64 => {
                let small = [f64::NEG_INFINITY, f64::MIN, -0.1, 0.0, 5e-324, 0.1, 1.0 / 3.0];
                small.into_iter().chain([2.0, 1e300, f64::MAX, f64::INFINITY]).map(Value::Float64).collect()
            }
            FieldType::Decimal { .. } => [
                "-9999999999999999999999999999.9999999999",
                "9999999999999999999999999999.9999999999",
                "0.0000000001",
                "450000.00",
                "-0.10",
                "0",
                "9007199254740993",
            ]
            .map(decimal)
            .into(),
            FieldType::Text => {
                ["", " ", "a", "007", "1.50", "'quoted\\'", "tab\tline\r\n", "ä", "🙂", "a\0b", "\0", "NULL"]
                    .map(|t| Value::Text(t.into()))
                    .into()
            }
            FieldType::Binary => [&[][..], &[0], &[0, 1], b"text", &[255; 1000]]
                .map(|b| Value::Binary(b.to_vec().into()))
                .into(),
            // from the first day of the year -9999 to the last of 9999
            FieldType::Date => [i32::MIN, -4_371_587, -735_160, -719_528, -1, 0, 20_000, 2_932_896, i32::MAX]
                .map(Value::Date)
                .into(),
            FieldType::Time => [0, 1, 36_000_500_000, 86_399_999_999, 86_400_000_000].map(Value::Time).into(),
            FieldType::Timestamp { zoned } => {
                let early = [-377_705_116_800_000_000, -63_517_824_000_000_001, -62_135_596_800_000_000];
                let late = [-1, 0, 1_769_853_600_000_000, 1_769_853_600_000_001, 253_402_300_799_999_999];
                let of = |micros| Value::Timestamp { micros, zoned: *zoned };
                early.into_iter().chain(late).chain([i64::MIN, i64::MAX]).map(of).collect()
            }
            FieldType::Uuid => [0, 7, 0xAB, 255].map(|b| Value::Uuid([b; 16])).into(),
            FieldType::Json => [
                "null",
                "{\"a\": [1, 2.50]}",
                "\"ü\"",
                "7",
                "1.50",
                "123456789012345678901234567890",
                " [ ] ",
            ]
            .map(|t| Value::Json(t.into()))
            .into(),
            FieldType::List(of) => match **of {
                FieldType::Text => {
                    let texts =
                        |texts: &[&'static str]| texts.iter().map(|t| Value::Text((*t).into())).collect();
                    vec![Value::List(texts(&[])), Value::List(texts(&["", "a,b", "\"{}\\", "🙂"]))]
                }
                FieldType::Int64 => vec![Value::List([i64::MIN, 0, i64::MAX].map(Value::Int64).into())],
                _ => Vec::new(),
            },
        }
    }

    fn refused(&self, kind: &FieldType) -> Vec<Value<'static>> {
        match kind {
            FieldType::Float64 => vec![Value::Float64(f64::NAN)],
            FieldType::Decimal { .. } => {
                ["NaN", "Infinity", "-Infinity"].map(|t| Value::Decimal(t.into())).into()
            }
            FieldType::Date => [i32::MIN + 1, 2_932_897, i32::MAX - 1].map(Value::Date).into(),
            FieldType::Timestamp { zoned } => [i64::MIN + 1, 253_402_300_800_000_000, i64::MAX - 1]
                .map(|micros| Value::Timestamp { micros, zoned: *zoned })
                .into(),
            _ => Vec::new(),
        }
    }
}

#[tokio::test]
async fn conforms() {
    let place = Place::new();
    suite::run(&place).await;
    assert_eq!(place.one("PRAGMA journal_mode"), "wal", "a file of ours");
}

#[tokio::test]
async fn conforms_without_wal() {
    let place = Place::new();
    place.execute("PRAGMA journal_mode = DELETE; CREATE TABLE before (n)");
    suite::run(&place).await;
    assert_eq!(place.one("PRAGMA journal_mode"), "delete", "the mode of another's file is left alone");
}

fn columns(columns: &[(&str, FieldType, &str)]) -> Vec<Column> {
    let column = |(name, kind, declared): &(&str, FieldType, &str)| Column {
        name: (*name).into(),
        kind: kind.clone(),
        declared: (*declared).into(),
        nullable: true,
    };
    columns.iter().map(column).collect()
}

fn commit(columns: &[Column], how: How, staged: usize) -> Commit {
    let names: Vec<_> = columns.iter().map(|c| c.name.clone()).collect();
    Commit {
        merge: Merge { how, update: names[1..].to_vec(), insert: names, update_when: None, gone: Gone::Stay },
        absent: Absent::Unknown,
        guard: Deletes {
            policy: DeletePolicy::Delete,
            guard_count: 0,
            guard_percent: 0.0,
            out_of_filter: false,
            detect: Default::default(),
        },
        approved: None,
        after: Vec::new(),
        params: std::collections::BTreeMap::new(),
        reindex: false,
        cursor: None,
        started_at: 0,
        staged: staged as u64,
    }
}

/// Stages rows in columns of which the first is the key.
async fn stage(
    load: &mut dyn Load,
    columns: &[Column],
    how: How,
    rows: Vec<Vec<Value<'static>>>,
) -> Result<u64, syncline_connect::Error> {
    let key = vec![columns[0].name.clone()];
    let create = load.table().is_none().then(|| Change::Create { key: key.clone() });
    let shape = Shape {
        columns: columns.to_vec(),
        key,
        changes: create.into_iter().collect(),
        takes_place: how == How::Replace,
        ..Shape::default()
    };
    let fields = columns.iter().map(|c| Field::new(c.name.clone(), c.kind.clone(), true));
    let mut builder = BatchBuilder::new(fields.collect());
    for row in &rows {
        for (at, value) in row.iter().enumerate() {
            builder.push(at, value).expect("a value of the column's type");
        }
        builder.end_record(RecordOp::Upsert);
    }
    let mut writer = load.stage(&shape, 4).await?.pop().expect("a writer");
    writer.write(Rows::Batch(builder.finish(Positions::None))).await?;
    writer.finish().await
}

fn two(id: i64, v: i64) -> Vec<Value<'static>> {
    vec![Value::Int64(id), Value::Int64(v)]
}

fn id_and_v() -> Vec<Column> {
    columns(&[("id", FieldType::Int64, "INTEGER"), ("v", FieldType::Int64, "INTEGER")])
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn nothing_is_made_before_it_is_loaded() {
    let place = Place::new();
    let database = place.opened().await;
    assert_eq!(database.describe("t").await.map_err(|e| e.kind), Ok(None));
    assert_eq!(database.tables().await.map_err(|e| e.kind), Ok(Vec::new()));
    let claim = Claim {
        sync: "s".into(),
        table: "t".into(),
        lock_timeout: LONG,
        replaces: false,
        partition: Vec::new(),
        dry: true,
    };
    let mut look = database.open(&claim).await.unwrap_or_else(|e| panic!("{e}"));
    stage(look.as_mut(), &id_and_v(), How::Merge, vec![two(1, 1)]).await.unwrap_or_else(|e| panic!("{e}"));
    look.close().await.unwrap_or_else(|e| panic!("{e}"));
    let entries = std::fs::read_dir(place.directory.path()).expect("the directory").count();
    assert_eq!(entries, 0, "neither the file nor a lock");
    let elsewhere = Connector.database(&connection("no/such/new.db"), &context(place.directory.path())).await;
    let error = elsewhere.unwrap_or_else(|e| panic!("{e}")).describe("t").await.expect_err("no folder");
    assert_eq!((error.kind, error.hint.is_some()), (Kind::Definition, true), "{error}");
}

#[tokio::test]
async fn a_file_that_others_make_is_seen() {
    let place = Place::new();
    let database = place.opened().await;
    assert_eq!(database.tables().await.map_err(|e| e.kind), Ok(Vec::new()));
    place.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    assert_eq!(database.tables().await.map_err(|e| e.kind), Ok(vec!["t".to_owned()]));
}

#[tokio::test]
async fn only_tables_are_destinations() {
    let place = Place::new();
    place.execute("CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE VIEW seen AS SELECT * FROM t");
    let database = place.opened().await;
    for name in ["seen", "sqlite_schema", "SQLite_x", ""] {
        let error = database.describe(name).await.expect_err(name);
        assert_eq!(error.kind, Kind::Definition, "{name}: {error}");
    }
    for name in ["t", "T", "main.t", "\"t\""] {
        let table = database.describe(name).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(table.map(|t| t.stream.id), Some("t".into()), "{name}");
    }
    assert_eq!(database.tables().await.map_err(|e| e.kind), Ok(vec!["t".to_owned()]));
}

#[tokio::test]
async fn tables_are_described_with_what_they_demand() {
    let place = Place::new();
    place.execute(
        "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, must VARCHAR(9) NOT NULL, with_default TEXT NOT NULL DEFAULT 'x', \
         may STRING, money DECIMAL(14,2), exact DECIMAL_TEXT(14,2), f DOUBLE, d DATE, twice AS (id * 2), odd \"TEXT; --\")",
    );
    let table =
        place.opened().await.describe("t").await.unwrap_or_else(|e| panic!("{e}")).expect("the table");
    let names = |wanted: fn(&Field) -> bool| -> Vec<_> {
        table.stream.fields.iter().filter(|f| wanted(f)).map(|f| f.name.as_str()).collect()
    };
    assert_eq!(names(|f| f.limits.required), ["must"]);
    assert_eq!(names(|f| f.limits.read_only), ["twice"]);
    assert_eq!(names(|f| f.native.is_none()), ["twice", "odd"], "words that may not be repeated");
    assert_eq!(names(|f| f.limits.as_double), ["money"]);
    let field = |name: &str| table.stream.field(name).expect("a field");
    let refused = |name: &str, value: Value<'static>| convert(value, field(name)).is_err();
    let long = || Value::Decimal("12345678901234567.89".into());
    assert!(refused("money", long()) && !refused("exact", long()), "digits are kept where they can be");
    assert!(refused("may", Value::Text("007".into())), "SQLite would store 7");
    assert!(!refused("may", Value::Text("agent 007".into())) && !refused("must", Value::Text("007".into())));
    let source = Kit::source(&place).await.describe("t").await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(source.dialect, Some("sqlite"));
    assert_eq!(source.field("money").and_then(|f| f.native.as_deref()), Some("DECIMAL(14,2)"));
}

#[tokio::test]
async fn what_a_column_would_change_is_never_written() {
    let place = Place::new();
    place.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v STRING)");
    let columns = columns(&[("id", FieldType::Int64, "INTEGER"), ("v", FieldType::Text, "STRING")]);
    let mut load = place.load("t", LONG).await;
    let rows = vec![vec![Value::Int64(1), Value::Text("007".into())]];
    let error = stage(load.as_mut(), &columns, How::Merge, rows).await.expect_err("a text becomes a number");
    assert_eq!(error.kind, Kind::Rejected);
    assert!(error.message.contains("\"v\"") && !error.message.contains("007"), "{error}");
}

#[tokio::test]
async fn other_forms_of_one_value_are_no_change() {
    let place = Place::new();
    place.execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, at DATETIME, u UUID, b BOOLEAN); \
         INSERT INTO t VALUES (1, '2026-01-31T12:00:00+02:00', x'07070707070707070707070707070707', 'true'), \
         (2, 'soon', NULL, 0)",
    );
    let columns = columns(&[
        ("id", FieldType::Int64, "INTEGER"),
        ("at", FieldType::Timestamp { zoned: true }, "DATETIME"),
        ("u", FieldType::Uuid, "UUID"),
        ("b", FieldType::Boolean, "BOOLEAN"),
    ]);
    let at = Value::Timestamp { micros: 1_769_853_600_000_000, zoned: true };
    let rows = vec![
        vec![Value::Int64(1), at, Value::Uuid([7; 16]), Value::Boolean(true)],
        vec![Value::Int64(2), Value::Null, Value::Null, Value::Boolean(false)],
    ];
    let mut load = place.load("t", LONG).await;
    stage(load.as_mut(), &columns, How::Merge, rows).await.unwrap_or_else(|e| panic!("{e}"));
    let outcome = load.commit(&commit(&columns, How::Merge, 2)).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(outcome.updated, 1, "what is no time gives way to null");
    assert_eq!(place.one("SELECT at FROM t WHERE id = 1"), "2026-01-31T12:00:00+02:00");
    assert_eq!(place.one("SELECT at FROM t WHERE id = 2"), "-");
}

#[tokio::test]
async fn keys_in_another_form_are_refused() {
    let place = Place::new();
    place.execute("CREATE TABLE t (k UUID PRIMARY KEY, v INTEGER); INSERT INTO t VALUES (x'07070707070707070707070707070707', 1)");
    let columns = columns(&[("k", FieldType::Uuid, "UUID"), ("v", FieldType::Int64, "INTEGER")]);
    let rows = || vec![vec![Value::Uuid([7; 16]), Value::Int64(2)]];
    let mut load = place.load("t", LONG).await;
    stage(load.as_mut(), &columns, How::Merge, rows()).await.unwrap_or_else(|e| panic!("{e}"));
    let merged = load.commit(&commit(&columns, How::Merge, 1)).await;
    let error = merged.expect_err("it would come in twice");
    assert_eq!(error.kind, Kind::Definition, "{error}");
    drop(load);
    place.execute("UPDATE t SET k = '07070707-0707-0707-0707-070707070707'");
    let mut load = place.load("t", LONG).await;
    stage(load.as_mut(), &columns, How::Merge, rows()).await.unwrap_or_else(|e| panic!("{e}"));
    let outcome = load.commit(&commit(&columns, How::Merge, 1)).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((outcome.created, outcome.updated), (0, 1));
}

#[tokio::test]
async fn a_large_table_without_an_index_on_its_key_is_not_searched() {
    let place = Place::new();
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10001)";
    place.execute(&format!(
        "CREATE TABLE t (id INTEGER, v INTEGER); {numbers} INSERT INTO t SELECT i, i FROM n"
    ));
    let mut load = place.load("t", LONG).await;
    stage(load.as_mut(), &id_and_v(), How::Merge, vec![two(1, 2)]).await.unwrap_or_else(|e| panic!("{e}"));
    let error = load.commit(&commit(&id_and_v(), How::Merge, 1)).await.expect_err("no index");
    let hint = error.hint.clone().unwrap_or_default();
    assert_eq!(hint, r#"run: CREATE UNIQUE INDEX "t_key" ON "t" ("id")"#, "{error}");
    drop(load);
    place.execute(hint.trim_start_matches("run: "));
    let mut load = place.load("t", LONG).await;
    stage(load.as_mut(), &id_and_v(), How::Merge, vec![two(1, 2)]).await.unwrap_or_else(|e| panic!("{e}"));
    let outcome = load.commit(&commit(&id_and_v(), How::Merge, 1)).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(outcome.updated, 1);
}

#[tokio::test]
async fn staging_keeps_nobody_out_and_the_merge_waits_for_others() {
    let place = Place::new();
    place.execute("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER); CREATE TABLE other (n)");
    let mut load = place.load("t", Duration::from_millis(50)).await;
    stage(load.as_mut(), &id_and_v(), How::Merge, vec![two(1, 1)]).await.unwrap_or_else(|e| panic!("{e}"));
    let other = place.sql();
    other.busy_timeout(Duration::ZERO).expect("no time-out");
    other.execute_batch("BEGIN IMMEDIATE; INSERT INTO other VALUES (1)").expect("nobody is in the way");
    let error = load.commit(&commit(&id_and_v(), How::Merge, 1)).await.expect_err("somebody writes");
    assert_eq!((error.kind, error.hint.is_some()), (Kind::Locked, true), "{error}");
    other.execute_batch("COMMIT").expect("a commit");
    load.commit(&commit(&id_and_v(), How::Merge, 1)).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(place.one("SELECT count(*) FROM t"), "1");
}

#[tokio::test]
async fn a_replaced_parent_keeps_its_children() {
    let place = Place::new();
    place.execute(
        "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER); \
         CREATE TABLE child (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t (id) ON DELETE CASCADE); \
         INSERT INTO t VALUES (1, 1), (2, 2); INSERT INTO child VALUES (10, 1)",
    );
    for (rows, fits) in [(vec![two(1, 5), two(3, 3)], true), (vec![two(3, 3)], false)] {
        let mut load = place.load("t", LONG).await;
        let staged = rows.len();
        stage(load.as_mut(), &id_and_v(), How::Replace, rows).await.unwrap_or_else(|e| panic!("{e}"));
        let done = load.commit(&commit(&id_and_v(), How::Replace, staged)).await;
        assert_eq!(
            done.as_ref().map(|o| o.created).map_err(|e| e.kind),
            if fits { Ok(2) } else { Err(Kind::Rejected) }
        );
        assert_eq!(place.one("SELECT group_concat(id || '=' || v) FROM t"), "1=5,3=3");
        assert_eq!(place.one("SELECT count(*) FROM child"), "1", "nothing is deleted in other tables");
    }
}

#[tokio::test]
async fn a_row_that_breaks_a_rule_undoes_the_load_and_is_not_told() {
    let place = Place::new();
    place.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER UNIQUE CHECK (v <> 4711)); INSERT INTO t VALUES (1, 1), (2, 2)");
    place.execute(
        "CREATE TRIGGER loud BEFORE INSERT ON t WHEN new.v = 4712 BEGIN SELECT RAISE(ABORT, 'not 4712'); END",
    );
    for (row, message) in [
        (two(3, 2), "UNIQUE constraint failed: t.v"),
        (two(3, 4711), "CHECK constraint failed: v <> 4711"),
        (two(3, 4712), "a trigger refuses a row"),
    ] {
        let mut load = place.load("t", LONG).await;
        stage(load.as_mut(), &id_and_v(), How::Merge, vec![row, two(1, 9)])
            .await
            .unwrap_or_else(|e| panic!("{e}"));
        let error = load.commit(&commit(&id_and_v(), How::Merge, 2)).await.expect_err(message);
        assert_eq!((error.kind, error.message.as_str()), (Kind::Rejected, message));
        assert_eq!(place.one("SELECT group_concat(id || '=' || v) FROM t"), "1=1,2=2");
    }
}

#[tokio::test]
async fn the_key_of_numbers_is_the_rows_own() {
    let place = Place::new();
    let columns = id_and_v();
    let mut load = place.load("t", LONG).await;
    stage(load.as_mut(), &columns, How::Merge, vec![two(5, 1)]).await.unwrap_or_else(|e| panic!("{e}"));
    load.commit(&commit(&columns, How::Merge, 1)).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(place.one("SELECT rowid FROM t"), "5");
    assert_eq!(place.one("SELECT count(*) FROM sqlite_schema WHERE tbl_name = 't' AND type = 'index'"), "0");
}
