//! The `sqlite` connector against real files.

mod database;
pub(crate) mod kit;
mod statements;

use std::time::Duration;

use syncline_connect::{conformance::source, error::Kind, source::Read};
use syncline_core::{batch::Batch, cursor::Position, schema::FieldType, sync::Overlap, value::Value};

use self::kit::{File, Times};

#[tokio::test]
async fn conforms() {
    source::run(&File::new(Times::Iso)).await;
}

#[tokio::test]
async fn conforms_when_times_have_no_one_form() {
    source::run(&File::new(Times::Mixed)).await;
}

#[tokio::test]
async fn random_ties_are_read_once() {
    for times in [Times::Iso, Times::Mixed] {
        let file = File::new(times);
        for seed in 0..30 {
            source::ties(&file, seed).await;
        }
    }
}

fn full(stream: &str, columns: &[&str]) -> Read {
    Read {
        stream: stream.into(),
        columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        key: vec![columns[0].to_owned()],
        key_is_total: true,
        cursor: None,
        tombstone: None,
        from: None,
        overlap: Overlap { time: Duration::ZERO, count: 0 },
        lag: Duration::ZERO,
        batch_rows: 1000,
        batch_bytes: 1 << 20,
        params: syncline_connect::source::Params::new(),
    }
}

async fn batches(file: &File, request: Read) -> Vec<Batch> {
    let mut reader = file.source().await.read(request).await.unwrap_or_else(|e| panic!("{e}"));
    let mut batches = Vec::new();
    while let Some(batch) = reader.next().await.unwrap_or_else(|e| panic!("{e}")) {
        batches.push(batch);
    }
    batches
}

async fn column(file: &File, request: Read, index: usize) -> Vec<Value<'static>> {
    let batches = batches(file, request).await;
    batches.iter().flat_map(|b| (0..b.len()).map(|r| b.value(r, index).into_owned())).collect()
}

#[tokio::test]
async fn a_cell_that_is_not_of_its_type_costs_one_record() {
    let file = File::new(Times::Iso);
    file.run("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, d DATE, at DATETIME, u UUID, b BOOLEAN)");
    file.run(
        "INSERT INTO t VALUES (1, 1, '2026-01-31', '2026-01-31', NULL, 'true'), (2, 'many', '2026-01-31', NULL, NULL, 1), \
         (3, 3, 'soon', 'later', 'no uuid', 7), (4, 4, '10000-01-01', 0, x'00', 0)",
    );
    let batch = batches(&file, full("t", &["id", "n", "d", "at", "u", "b"])).await.remove(0);
    assert_eq!(batch.len(), 4, "the others are read");
    assert_eq!(batch.problem(0), None);
    let problem = |row| batch.problem(row).unwrap_or_default();
    assert_eq!(problem(1), "column \"n\" (int64): a Text that is none");
    assert!(problem(2).starts_with("column \"d\" (date)"), "{}", problem(2));
    assert!(problem(3).starts_with("column \"d\" (date)"), "{}", problem(3));
    assert_eq!(batch.value(1, 1), Value::Null);
    for row in 1..4 {
        assert!(
            !["many", "soon", "later", "uuid "].iter().any(|v| problem(row).contains(v)),
            "no value is told"
        );
    }
}

#[tokio::test]
async fn misfit_cursors_are_left_to_full_reads() {
    let file = File::new(Times::Iso);
    file.run("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, at DATETIME); CREATE INDEX a ON t (at); CREATE INDEX n ON t (n)");
    file.run(
        "INSERT INTO t VALUES (1, 1, '2026-01-31 10:00:00'), (2, 'x', 'soon'), (3, 3, 5), (4, NULL, NULL)",
    );
    let int = Value::Int64;
    let from = |cursor: &str, at: Value<'static>| Read {
        cursor: Some(cursor.into()),
        from: Some(Position { cursor: at, key: Vec::new() }),
        ..full("t", &["id", "n", "at"])
    };
    assert_eq!(column(&file, from("n", int(0)), 0).await, [int(1), int(3)]);
    let beginning = Value::Timestamp { micros: 0, zoned: true };
    assert_eq!(column(&file, from("at", beginning), 0).await, [int(3), int(1)], "by time, whatever the form");
    assert_eq!(column(&file, full("t", &["id"]), 0).await.len(), 4);
}

#[tokio::test]
async fn keys_and_tables_of_every_sort() {
    let file = File::new(Times::Iso);
    file.run(
        "CREATE TABLE loose (k TEXT PRIMARY KEY, v); INSERT INTO loose VALUES (NULL, 1), (NULL, 2), ('a', 3)",
    );
    file.run("CREATE TABLE tight (k TEXT, n INT, PRIMARY KEY (n, k)) WITHOUT ROWID; INSERT INTO tight VALUES ('b', 1), ('a', 1)");
    file.run("CREATE TABLE rowid (id INTEGER PRIMARY KEY, twice AS (id * 2)); INSERT INTO rowid (id) VALUES (2), (1)");
    file.run("CREATE VIEW seen AS SELECT id, id || 'x' AS text, id + 1 AS more FROM rowid");
    file.run(
        "CREATE TABLE nocase (k TEXT, PRIMARY KEY (k)); INSERT INTO nocase VALUES ('a'), ('A'), ('b'), ('B')",
    );
    file.run("CREATE TABLE folded (k TEXT COLLATE NOCASE, v INT); CREATE UNIQUE INDEX f ON folded (k COLLATE BINARY)");
    file.run("INSERT INTO folded VALUES ('a', 1), ('A', 2), ('b', 3), ('B', 4)");
    file.run(
        "CREATE UNIQUE INDEX part ON folded (v) WHERE v > 2; CREATE UNIQUE INDEX expr ON folded (v + 1)",
    );
    let source = file.source().await;
    let describe = |name: &'static str| {
        let source = source.clone();
        async move { source.describe(name).await.unwrap_or_else(|e| panic!("{e}")) }
    };
    let loose = describe("loose").await;
    assert!(loose.fields[0].nullable, "a key column may be null here");
    assert_eq!(loose.primary_key, ["k"]);
    let mut request = full("loose", &["k"]);
    request.key_is_total = false;
    assert_eq!(column(&file, request, 0).await.len(), 3);
    let tight = describe("tight").await;
    assert!(tight.fields.iter().all(|f| !f.nullable));
    assert_eq!(tight.primary_key, ["n", "k"]);
    let rowid = describe("ROWID").await;
    assert!(!rowid.fields[0].nullable && rowid.fields.len() == 2, "generated columns are columns: {rowid:?}");
    let seen = describe("main.seen").await;
    assert_eq!((seen.fields.len(), seen.notes.len(), seen.records), (3, 1, None));
    let mut request = full("seen", &["id", "text", "more"]);
    request.key_is_total = false;
    assert_eq!(column(&file, request.clone(), 1).await, ["1x", "2x"].map(|t| Value::Text(t.into())));
    assert_eq!(
        column(&file, request, 2).await,
        ["2", "3"].map(|t| Value::Text(t.into())),
        "no declared type: text"
    );
    let folded = describe("folded").await;
    assert_eq!(
        folded.unique,
        [("f".to_owned(), vec!["k".to_owned()])],
        "neither partial nor on an expression"
    );
    for table in ["nocase", "folded"] {
        let mut request = full(table, &["k"]);
        request.batch_rows = 1;
        let expected = ["A", "B", "a", "b"].map(|t| Value::Text(t.into()));
        assert_eq!(
            column(&file, request, 0).await,
            expected,
            "{table}: by the collation that makes it unique"
        );
    }
    let fetch = syncline_connect::source::Fetch {
        stream: "folded".into(),
        columns: vec!["v".into()],
        key: vec!["k".into()],
        tombstone: None,
        keys: vec![vec![Value::Text("a".into())]],
        params: syncline_connect::source::Params::new(),
    };
    assert_eq!(source.fetch(fetch).await.map(|b| b.len()).ok(), Some(1), "texts are looked up exactly");
}

#[tokio::test]
async fn text_with_nul_and_types_as_declared() {
    let file = File::new(Times::Iso);
    file.run("CREATE TABLE t (id BIGINT PRIMARY KEY, a VARCHAR(9), b DECIMAL(14,2), c TIMESTAMP, d TIMESTAMP WITHOUT TIME ZONE)");
    file.run("INSERT INTO t VALUES (1, 'a' || char(0) || 'b', 450000.10, 0, 0)");
    let stream = file.source().await.describe("t").await.unwrap_or_else(|e| panic!("{e}"));
    let kinds: Vec<_> = stream.fields.iter().map(|f| f.kind.clone()).collect();
    let decimal = FieldType::Decimal { precision: Some(14), scale: Some(2) };
    let timestamp = |zoned| FieldType::Timestamp { zoned };
    assert_eq!(kinds, [FieldType::Int64, FieldType::Text, decimal, timestamp(true), timestamp(false)]);
    assert_eq!(column(&file, full("t", &["id", "a"]), 1).await, [Value::Text("a\0b".into())]);
}

#[tokio::test]
async fn files_that_cannot_be_read() {
    let file = File::new(Times::Iso);
    let kind = |result: Result<_, syncline_connect::Error>| match result {
        Ok(_) => panic!("the file was opened"),
        Err(error) => error.kind,
    };
    assert_eq!(kind(file.open("missing.db").await.map(drop)), Kind::Unreachable);
    let other = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(other.path(), [b'x'; 4096]).expect("some text");
    assert_eq!(kind(file.open(&other.path().display().to_string()).await.map(drop)), Kind::Definition);
    assert_eq!(kind(file.open("").await.map(drop)), Kind::Definition);
}

#[tokio::test]
async fn a_table_dropped_or_changed_in_mid_read() {
    let file = File::new(Times::Iso);
    let changes =
        [("DROP TABLE t", Kind::StreamMissing), ("ALTER TABLE t RENAME COLUMN v TO w", Kind::Definition)];
    for (change, expected) in changes {
        file.run("DROP TABLE IF EXISTS t; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)");
        file.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO t SELECT i, 'v' FROM n");
        let mut request = full("t", &["id", "v"]);
        request.batch_rows = 10;
        let mut reader = file.source().await.read(request).await.unwrap_or_else(|e| panic!("{e}"));
        assert!(reader.next().await.is_ok());
        file.run(change);
        let error = loop {
            match reader.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{change}: the listing looks complete"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind, expected, "{change}: {error}");
        assert!(reader.next().await.is_err(), "after an error the listing is over and not complete");
    }
}
