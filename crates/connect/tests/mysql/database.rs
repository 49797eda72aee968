//! The `mysql` connector as a destination of loads.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use syncline_connect::{
    Database as Destination, Source,
    conformance::database::{self as suite, Kit},
    database::{
        Absent, Change, Claim, Column, Commit, Gone, How, Load, Merge, Outcome, Rows, Shape,
        dialect::{Dialect, mysql::MARIADB},
    },
    error::Kind,
    mysql::Connector,
    registry::Connector as _,
};
use syncline_core::{
    batch::{BatchBuilder, Positions, RecordOp},
    convert::convert,
    schema::{Field, FieldType},
    value::Value,
};

use super::kit::{Database, connection, ident, unguarded};

impl Database {
    async fn destination(&self) -> Arc<dyn Destination> {
        let (connection, context) = connection(serde_json::json!({ "url": self.url }));
        Connector.database(&connection, &context).await.unwrap_or_else(|e| panic!("{e}"))
    }

    async fn load(&self, table: &str, lock_timeout: Duration) -> Box<dyn Load> {
        let claim = Claim {
            sync: "s".into(),
            table: table.into(),
            lock_timeout,
            replaces: true,
            partition: Vec::new(),
            dry: false,
        };
        self.destination().await.open(&claim).await.unwrap_or_else(|e| panic!("{e}"))
    }

    async fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let mut session = self.session().await;
        let rows: Vec<mysql_async::Row> =
            session.conn.query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        let cells = |row: mysql_async::Row| (0..row.len()).map(|i| row.get(i).expect("a cell")).collect();
        rows.into_iter().map(cells).collect()
    }

    /// All cells of a query, `-` for null.
    async fn cells(&self, sql: &str) -> Vec<String> {
        let cells = self.rows(sql).await.into_iter().flatten();
        cells.map(|cell| cell.unwrap_or_else(|| "-".into())).collect()
    }
}

#[async_trait]
impl Kit for Database {
    async fn database(&self) -> Arc<dyn Destination> {
        self.destination().await
    }

    async fn source(&self) -> Arc<dyn Source> {
        Self::source(self).await
    }

    async fn run(&self, sql: &str) {
        Self::run(self, sql).await;
    }

    async fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        Self::rows(self, sql).await
    }

    async fn tables(&self) -> Vec<String> {
        self.cells("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()").await
    }

    fn dialect(&self) -> &'static Dialect {
        &MARIADB
    }

    fn count_updates(&self, table: &str) -> Vec<String> {
        let name = ident(&format!("{table} touched"));
        vec![format!(
            "CREATE TRIGGER {name} AFTER UPDATE ON {} FOR EACH ROW INSERT INTO touched VALUES (1)",
            ident(table)
        )]
    }

    fn wider(&self) -> Option<(&'static str, &'static str)> {
        Some(("int", "bigint"))
    }

    fn values(&self, kind: &FieldType) -> Vec<Value<'static>> {
        match kind {
            FieldType::Boolean => vec![Value::Boolean(false), Value::Boolean(true)],
            FieldType::Int64 => [i64::MIN, -1, 0, 1, i64::MAX].map(Value::Int64).into(),
            FieldType::Float64 => [f64::MIN, -0.1, 0.0, f64::MIN_POSITIVE, 0.1, 1.0 / 3.0, 1e300, f64::MAX]
                .map(Value::Float64)
                .into(),
            FieldType::Decimal { precision: Some(_), .. } => [
                "-9999999999999999999999999999.9999999999",
                "9999999999999999999999999999.9999999999",
                "0.0000000001",
                "450000.0000000000",
                "0.0000000000",
            ]
            .map(|v| Value::Decimal(v.into()))
            .into(),
            // with as many digits as the column has
            FieldType::Decimal { .. } => [
                "-99999999999999999999999999999999999.999999999999999999999999999999",
                "99999999999999999999999999999999999.999999999999999999999999999999",
                "0.000000000000000000000000000001",
                "450000.000000000000000000000000000000",
            ]
            .map(|v| Value::Decimal(v.into()))
            .into(),
            FieldType::Text => TEXTS.map(|t| Value::Text(t.into())).into(),
            FieldType::Binary => [&[][..], &[0], &[0, 1], b"text", b"\\N", b"\t\n\\", &[255; 1000]]
                .map(|b| Value::Binary(b.to_vec().into()))
                .into(),
            // from the first day of the year 1
            FieldType::Date => [-719_162, -1, 0, 20_000, 2_932_896].map(Value::Date).into(),
            FieldType::Time => [0, 1, 36_000_500_000, 86_399_999_999, 86_400_000_000].map(Value::Time).into(),
            FieldType::Timestamp { zoned } => {
                let early = [-62_135_596_800_000_000, -62_135_596_799_999_999, -1, 0];
                let late = [1_769_853_600_000_001, 253_402_300_799_999_999];
                let of = |micros| Value::Timestamp { micros, zoned: *zoned };
                early.into_iter().chain(late).map(of).collect()
            }
            FieldType::Uuid => [0, 7, 0x5E, 0xAB, 255].map(|b| Value::Uuid([b; 16])).into(),
            FieldType::Json => {
                ["null", "{\"a\": [1, 2.50]}", "\"ü\\n\"", "123456789012345678901234567890", " [ ] "]
                    .map(|t| Value::Json(t.into()))
                    .into()
            }
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
            FieldType::Float64 => [f64::NAN, f64::INFINITY].map(Value::Float64).into(),
            FieldType::Decimal { precision: None, .. } => [
                "NaN",
                "Infinity",
                "0.0000000000000000000000000000001",
                "100000000000000000000000000000000000",
            ]
            .map(|t| Value::Decimal(t.into()))
            .into(),
            FieldType::Date => [i32::MIN, -719_163, 2_932_897, i32::MAX].map(Value::Date).into(),
            FieldType::Timestamp { zoned } => [i64::MIN, 253_402_300_800_000_000, i64::MAX]
                .map(|micros| Value::Timestamp { micros, zoned: *zoned })
                .into(),
            FieldType::Json => vec![Value::Json("{".into())],
            _ => Vec::new(),
        }
    }
}

/// Texts with everything that a file of `LOAD DATA` gives a meaning.
const TEXTS: [&str; 18] = [
    "",
    " ",
    "a",
    "a ",
    "\\N",
    "\\",
    "\\\\N",
    "NULL",
    "tab\tline\nreturn\r\n",
    "\t",
    "\n",
    "a\0b",
    "\0",
    "'quoted' \"twice\"",
    "ä",
    "🙂",
    "\u{feff}x",
    "\u{1a}",
];

#[tokio::test]
async fn conforms() {
    Database::with(|db| async move { suite::run(&db).await }).await;
}

#[tokio::test]
async fn conforms_without_local_files() {
    Database::with(|db| async move {
        db.run("SET GLOBAL local_infile = OFF").await;
        // whatever becomes of the suite, the next test finds the server as it was
        let ended = futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(suite::run(&db))).await;
        db.run("SET GLOBAL local_infile = ON").await;
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    })
    .await;
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
        guard: unguarded(),
        approved: None,
        after: Vec::new(),
        params: std::collections::BTreeMap::new(),
        reindex: false,
        cursor: Some("1".into()),
        started_at: 0,
        staged: staged as u64,
    }
}

/// Stages rows in columns of which the first is the key; `total`: the source has it as its primary key.
async fn stage(
    load: &mut dyn Load,
    columns: &[Column],
    how: How,
    total: bool,
    rows: &[Vec<Value<'static>>],
) -> Result<u64, syncline_connect::Error> {
    let key = vec![columns[0].name.clone()];
    let create = load.table().is_none().then(|| Change::Create { key: key.clone() });
    let shape = Shape {
        columns: columns.to_vec(),
        key,
        key_is_total: total,
        changes: create.into_iter().collect(),
        takes_place: how == How::Replace,
        ..Shape::default()
    };
    let fields = columns.iter().map(|c| Field::new(c.name.clone(), c.kind.clone(), true));
    let mut builder = BatchBuilder::new(fields.collect());
    for row in rows {
        for (at, value) in row.iter().enumerate() {
            builder.push(at, value).expect("a value of the column's type");
        }
        builder.end_record(RecordOp::Upsert);
    }
    let mut writers = load.stage(&shape, 3).await?;
    assert_eq!(writers.len(), 3, "as many as were asked for");
    let mut writer = writers.pop().expect("a writer");
    for unused in writers {
        assert_eq!(unused.finish().await?, 0);
    }
    writer.write(Rows::Batch(builder.finish(Positions::None))).await?;
    writer.finish().await
}

/// A whole load.
async fn loaded(db: &Database, columns: &[Column], how: How, rows: &[Vec<Value<'static>>]) -> Outcome {
    let mut load = db.load("t", LONG).await;
    let staged = stage(load.as_mut(), columns, how, true, rows).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(staged, rows.len() as u64);
    let outcome = load.commit(&commit(columns, how, rows.len())).await;
    let outcome = outcome.unwrap_or_else(|e| panic!("{e}"));
    load.close().await.unwrap_or_else(|e| panic!("{e}"));
    outcome
}

fn two(id: i64, v: i64) -> Vec<Value<'static>> {
    vec![Value::Int64(id), Value::Int64(v)]
}

fn id_and_v() -> Vec<Column> {
    columns(&[("id", FieldType::Int64, "bigint"), ("v", FieldType::Int64, "bigint")])
}

fn text(text: &str) -> Value<'static> {
    Value::Text(text.to_owned().into())
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn what_a_table_demands_is_described() {
    Database::with(|db| async move {
        db.run(
            "CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, must varchar(9) NOT NULL, \
             filled varchar(9) NOT NULL DEFAULT 'x', stamped timestamp(6) NOT NULL DEFAULT current_timestamp(6), \
             small tinyint unsigned, twice int AS (small * 2) STORED, old varchar(9) CHARACTER SET utf8mb3, \
             short char(3), choice enum('a','b'), at timestamp NULL, day datetime, bits bit(4), raw binary(2), UNIQUE (must))",
        )
        .await;
        let described = db.destination().await.describe("t").await.unwrap_or_else(|e| panic!("{e}"));
        let table = described.expect("the table");
        let names = |wanted: fn(&Field) -> bool| -> Vec<_> {
            table.stream.fields.iter().filter(|f| wanted(f)).map(|f| f.name.as_str()).collect()
        };
        assert_eq!(names(|f| f.limits.required), ["must"]);
        assert_eq!(names(|f| f.limits.read_only), ["twice"]);
        assert_eq!(names(|f| f.limits.unique), ["id", "must"]);
        assert_eq!(names(|f| f.limits.folds), ["old"], "the others have the collation of the database, which is exact");
        let refused = |name: &str, value: Value<'static>| {
            convert(value, table.stream.field(name).expect("a field")).is_err()
        };
        let at = |micros| Value::Timestamp { micros, zoned: true };
        for (name, value, expected) in [
            ("small", Value::Int64(256), true),
            ("small", Value::Int64(255), false),
            ("old", text("🙂"), true),
            ("old", text("€"), false),
            ("short", text("a "), true),
            ("short", text("abcd"), true),
            ("short", text("äöü"), false),
            ("choice", text("c"), true),
            ("at", at(0), true),
            ("at", at(1_000_000), false),
            ("at", at(2_147_483_648_000_000), true),
            ("bits", Value::Int64(16), true),
            ("bits", Value::Int64(15), false),
            ("raw", Value::Binary(vec![1].into()), true),
            ("raw", Value::Binary(vec![1, 0].into()), false),
        ] {
            assert_eq!(refused(name, value.clone()), expected, "{name}: {value:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn only_tables_with_transactions_are_destinations() {
    Database::with(|db| async move {
        db.run("CREATE TABLE t (id int);\nCREATE VIEW seen AS SELECT * FROM t;\nCREATE TABLE old (id int) ENGINE=MyISAM")
            .await;
        let destination = db.destination().await;
        for name in ["seen", "old", "(SELECT 1)", "a.b.c"] {
            let error = destination.describe(name).await.expect_err(name);
            assert_eq!((error.kind, error.hint.is_some()), (Kind::Definition, true), "{name}: {error}");
        }
        let elsewhere = format!("{}.`no such`", db.name);
        assert_eq!(destination.describe(&elsewhere).await.map_err(|e| e.kind), Ok(None));
    })
    .await;
}

#[tokio::test]
async fn odd_types_arrive_as_they_are_and_compare_equal() {
    Database::with(|db| async move {
        db.run(
            "CREATE TABLE t (id bigint unsigned PRIMARY KEY, b1 bit(1), b9 bit(9), b64 bit(64), f float, \
             e enum('x','it''s'), at3 datetime(3), at timestamp(6) NULL, t0 time, y year, raw binary(2), l varchar(20) \
             CHARACTER SET latin1, c varchar(20) COLLATE utf8mb4_general_ci, ip inet6, bool tinyint(1))",
        )
        .await;
        let described = db.destination().await.describe("t").await.unwrap_or_else(|e| panic!("{e}"));
        let fields = described.expect("the table").stream.fields;
        let columns: Vec<_> = fields
            .iter()
            .map(|f| Column {
                name: f.name.clone(),
                kind: f.kind.clone(),
                declared: f.native.clone().expect("a type"),
                nullable: true,
            })
            .collect();
        let micros = 1_769_853_600_123_456;
        let row = vec![
            Value::Decimal("18446744073709551615".into()),
            Value::Boolean(true),
            Value::Int64(257),
            Value::Decimal("18446744073709551615".into()),
            Value::Float64(1.5),
            text("it's"),
            Value::Timestamp { micros, zoned: false },
            Value::Timestamp { micros, zoned: true },
            Value::Time(86_399_999_999),
            Value::Int64(2155),
            Value::Binary(vec![0, 255].into()),
            text("ä€"),
            text("Aä🙂"),
            text("2001:db8::1"),
            Value::Boolean(false),
        ];
        let mut nulls = vec![Value::Null; row.len()];
        nulls[0] = Value::Decimal("1".into());
        let rows = [row, nulls];
        assert_eq!(loaded(&db, &columns, How::Merge, &rows).await.created, 2);
        let read = "SELECT id, b1 + 0, b9 + 0, b64 + 0, f, e, at3, at, t0, y, hex(raw), hex(l), c, ip, bool FROM t WHERE id > 1";
        assert_eq!(
            db.cells(read).await,
            [
                "18446744073709551615", "1", "257", "18446744073709551615", "1.5", "it's",
                "2026-01-31 10:00:00.123", "2026-01-31 10:00:00.123456", "23:59:59", "2155", "00FF", "E480",
                "Aä🙂", "2001:db8::1", "0"
            ]
        );
        assert_eq!(loaded(&db, &columns, How::Merge, &rows).await, Outcome::default(), "no change");
    })
    .await;
}

#[tokio::test]
async fn what_would_be_changed_silently_fails_the_load() {
    Database::with(|db| async move {
        db.run("CREATE TABLE t (id bigint PRIMARY KEY, v decimal(5,2), l varchar(3) CHARACTER SET latin1)")
            .await;
        let decimal = FieldType::Decimal { precision: None, scale: None };
        let columns = columns(&[
            ("id", FieldType::Int64, "bigint"),
            ("v", decimal, "decimal(5,2)"),
            ("l", FieldType::Text, "varchar(3)"),
        ]);
        for (v, l, column) in [("1.005", "a", "v"), ("1000", "a", "v"), ("1", "🙂", "l"), ("1", "long", "l")]
        {
            let mut load = db.load("t", LONG).await;
            let row = vec![Value::Int64(1), Value::Decimal(v.into()), text(l)];
            let error = stage(load.as_mut(), &columns, How::Merge, true, &[row]).await.expect_err(v);
            assert_eq!(error.kind, Kind::Rejected, "{error}");
            assert!(error.message.starts_with(&format!("column {column:?}: ")), "{error}");
            assert!(!error.message.contains(v) || v == "1", "{error}");
            load.close().await.unwrap_or_else(|e| panic!("{e}"));
        }
        assert_eq!(db.cells("SHOW TABLES").await, ["syncline_state", "t"], "nothing is left behind");
    })
    .await;
}

#[tokio::test]
async fn keys_that_a_collation_takes_for_the_same_are_taken_out() {
    Database::with(|db| async move {
        db.run("CREATE TABLE t (k varchar(9) COLLATE utf8mb4_general_ci PRIMARY KEY, v bigint)").await;
        db.run("INSERT INTO t VALUES ('c', 1)").await;
        let columns = columns(&[("k", FieldType::Text, "varchar(9)"), ("v", FieldType::Int64, "bigint")]);
        let row = |k: &str, v| vec![text(k), Value::Int64(v)];
        let rows = [row("a", 1), row("A", 2), row("b", 3), row("C", 4)];
        let mut load = db.load("t", LONG).await;
        stage(load.as_mut(), &columns, How::Merge, false, &rows).await.unwrap_or_else(|e| panic!("{e}"));
        let doubtful = load.exclude_doubtful().await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((doubtful.doubled, doubtful.keys.len()), (2, 1));
        let outcome = load.commit(&commit(&columns, How::Merge, 2)).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((outcome.created, outcome.updated), (1, 1));
        load.close().await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(db.cells("SELECT * FROM t ORDER BY k").await, ["b", "3", "c", "4"]);
        // a source that swears that its keys are unique is told that these are not
        let mut load = db.load("t", LONG).await;
        let error = stage(load.as_mut(), &columns, How::Merge, true, &rows).await.expect_err("a and A");
        assert_eq!((error.kind, error.hint.is_some()), (Kind::Duplicate, true), "{error}");
        load.close().await.unwrap_or_else(|e| panic!("{e}"));
    })
    .await;
}

#[tokio::test]
async fn wide_rows_and_long_values() {
    Database::with(|db| async move {
        let names: Vec<_> = (0..150).map(|i| format!("c{i}")).collect();
        let mut shape = id_and_v();
        shape.truncate(1);
        shape.extend(names.iter().map(|name| Column {
            name: name.clone(),
            kind: FieldType::Text,
            declared: "longtext".into(),
            nullable: true,
        }));
        let long: String = "0123456789\\\t\n🙂".chars().cycle().take(300_000).collect();
        let row = |id| {
            let cell = |i: i64| if i % 50 == id { text(&long) } else { text("x") };
            [Value::Int64(id)].into_iter().chain((0..150).map(cell)).collect::<Vec<_>>()
        };
        let rows: Vec<_> = (0..5).map(row).collect();
        assert_eq!(loaded(&db, &shape, How::Merge, &rows).await.created, 5);
        let sum = "SELECT sum(char_length(c0) + char_length(c52)), max(c3) = max(c53) FROM t";
        // two long ones: the first column of row 0, and column 52 of row 2
        assert_eq!(db.cells(sum).await, ["600008", "1"]);
        assert_eq!(loaded(&db, &shape, How::Merge, &rows).await, Outcome::default());
    })
    .await;
}

#[tokio::test]
async fn what_a_swap_must_not_lose_stays() {
    Database::with(|db| async move {
        db.run(
            "CREATE TABLE t (id bigint AUTO_INCREMENT PRIMARY KEY, v bigint DEFAULT 7 CHECK (v < 100), KEY by_v (v)) \
             COMMENT 'ours' AUTO_INCREMENT = 5000",
        )
        .await;
        for (total, v) in [(true, 1), (false, 2)] {
            let mut load = db.load("t", LONG).await;
            let rows = [two(0, v), two(2, v)];
            let staged = stage(load.as_mut(), &id_and_v(), How::Replace, total, &rows).await;
            assert_eq!(staged.map_err(|e| e.to_string()), Ok(2));
            let outcome = load.commit(&commit(&id_and_v(), How::Replace, 2)).await;
            assert_eq!(outcome.unwrap_or_else(|e| panic!("{e}")).created, 2);
            load.close().await.unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(db.cells("SELECT id, v FROM t").await, ["0", &v.to_string(), "2", &v.to_string()]);
        }
        let create = db.cells("SHOW CREATE TABLE t").await.pop().expect("a statement");
        for part in ["AUTO_INCREMENT=5000", "COMMENT='ours'", "KEY `by_v`", "DEFAULT 7", "CHECK (`v` < 100)"] {
            assert!(create.contains(part), "{part}: {create}");
        }
        assert_eq!(db.cells("SHOW TABLES").await, ["syncline_state", "t"], "the old table is gone");
        db.run("CREATE TABLE child (id bigint, FOREIGN KEY (id) REFERENCES t (id))").await;
        db.run("CREATE TRIGGER fires BEFORE INSERT ON t FOR EACH ROW SET NEW.v = NEW.v").await;
        let load = db.load("t", LONG).await;
        let mut dependents = load.table().expect("the table").dependents.clone();
        dependents.sort();
        assert_eq!(dependents.len(), 2, "{dependents:?}");
        assert!(dependents[0].starts_with("foreign key ") && dependents[1] == "trigger fires");
    })
    .await;
}

#[tokio::test]
async fn a_staged_row_that_is_missing_stops_a_swap() {
    Database::with(|db| async move {
        db.run("CREATE TABLE t (id bigint PRIMARY KEY, v bigint);\nINSERT INTO t VALUES (1, 1)").await;
        let mut load = db.load("t", LONG).await;
        let staged = stage(load.as_mut(), &id_and_v(), How::Replace, true, &[two(2, 2), two(3, 3)]).await;
        assert_eq!(staged.map_err(|e| e.to_string()), Ok(2));
        let error = load.commit(&commit(&id_and_v(), How::Replace, 3)).await.expect_err("three were meant");
        assert_eq!(error.message, "3 rows were staged and 2 are there; nothing was changed");
        load.close().await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(db.cells("SELECT * FROM t").await, ["1", "1"]);
    })
    .await;
}

#[tokio::test]
async fn a_reader_who_holds_the_table_is_named() {
    Database::with(|db| async move {
        db.run("CREATE TABLE t (id bigint PRIMARY KEY, v bigint);\nINSERT INTO t VALUES (1, 1)").await;
        let mut reader = db.session().await;
        reader.run("START TRANSACTION").await;
        assert_eq!(reader.text("SELECT v FROM t").await, "1");
        let id = reader.text("SELECT CAST(CONNECTION_ID() AS CHAR)").await;
        let mut load = db.load("t", Duration::from_millis(1)).await;
        let staged = stage(load.as_mut(), &id_and_v(), How::Replace, true, &[two(1, 2)]).await;
        assert_eq!(staged.map_err(|e| e.to_string()), Ok(1));
        let error = load.commit(&commit(&id_and_v(), How::Replace, 1)).await.expect_err("a lock is held");
        assert_eq!(error.kind, Kind::Locked, "{error}");
        assert!(error.message.contains(&format!("process {id} (user ")), "{error}");
        load.close().await.unwrap_or_else(|e| panic!("{e}"));
        reader.run("COMMIT").await;
        assert_eq!(reader.text("SELECT v FROM t").await, "1", "nothing was changed");
        assert_eq!(db.cells("SELECT position FROM syncline_state").await, ["-"], "the cursor neither");
        loaded(&db, &id_and_v(), How::Replace, &[two(1, 2)]).await;
        assert_eq!(reader.text("SELECT v FROM t").await, "2");
    })
    .await;
}

#[tokio::test]
async fn a_load_that_is_given_up_leaves_nothing_but_a_staging_table() {
    Database::with(|db| async move {
        db.run("CREATE TABLE t (id bigint PRIMARY KEY, v bigint);\nINSERT INTO t VALUES (1, 1)").await;
        let mut load = db.load("t", LONG).await;
        let shape = Shape { columns: id_and_v(), key: vec!["id".into()], ..Shape::default() };
        let mut writers = load.stage(&shape, 2).await.unwrap_or_else(|e| panic!("{e}"));
        let fields = id_and_v().iter().map(|c| Field::new(c.name.clone(), c.kind.clone(), true)).collect();
        let mut builder = BatchBuilder::new(fields);
        for id in 0..50_000 {
            for at in 0..2 {
                builder.push(at, &Value::Int64(id)).expect("a value of the column's type");
            }
            builder.end_record(RecordOp::Upsert);
        }
        let batch = builder.finish(Positions::None);
        writers[0].write(Rows::Batch(batch)).await.unwrap_or_else(|e| panic!("{e}"));
        drop(writers);
        drop(load);
        let outcome = loaded(&db, &id_and_v(), How::Merge, &[two(1, 2)]).await;
        assert_eq!(outcome.updated, 1);
        assert_eq!(db.cells("SELECT * FROM t").await, ["1", "2"]);
        assert_eq!(db.cells("SHOW TABLES").await, ["syncline_state", "t"]);
    })
    .await;
}
