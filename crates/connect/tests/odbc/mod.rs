//! The `odbc` source against real servers through their real drivers.

mod database;
mod failures;
mod kit;

use std::{sync::Arc, time::Duration};

use syncline_connect::{Source, conformance::source, error::Kind, source::Read};
use syncline_core::{schema::FieldType, sync::Overlap, value::Value};

use crate::{mysql, postgres::kit::Database};

#[tokio::test]
async fn conforms_through_postgresql() {
    Database::with(|db| async move { source::run(&kit::postgres(db)).await }).await;
}

#[tokio::test]
async fn random_ties_are_read_once_through_postgresql() {
    Database::with(|db| async move {
        let kit = kit::postgres(db);
        for seed in 0..5 {
            source::ties(&kit, seed).await;
        }
    })
    .await;
}

#[tokio::test]
async fn conforms_through_sqlite() {
    source::run(&kit::sqlite()).await;
}

#[tokio::test]
async fn conforms_through_mariadb() {
    mysql::kit::Database::with(|db| async move { source::run(&kit::mariadb(db)).await }).await;
}

/// A full read of these columns by the first of them, in batches of two.
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
        batch_rows: 2,
        batch_bytes: 1 << 20,
        params: syncline_connect::source::Params::new(),
    }
}

/// Values of every record, and why records could not be read whole.
async fn rows(source: &Arc<dyn Source>, request: Read) -> (Vec<Vec<Value<'static>>>, Vec<String>) {
    let mut reader = source.read(request).await.unwrap_or_else(|e| panic!("{e}"));
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    while let Some(batch) = reader.next().await.unwrap_or_else(|e| panic!("{e}")) {
        for row in 0..batch.len() {
            rows.push((0..batch.fields().len()).map(|c| batch.value(row, c).into_owned()).collect());
            problems.extend(batch.problem(row).map(str::to_owned));
        }
    }
    (rows, problems)
}

#[tokio::test]
async fn statements_have_types_and_records_through_postgresql() {
    Database::with(|db| async move {
        db.session()
            .await
            .run("CREATE TABLE t (id bigint PRIMARY KEY, name text, at timestamptz, price numeric(9,2))")
            .await;
        db.session().await.run("INSERT INTO t VALUES (1, 'a', 'epoch', 1.50), (2, 'ü', NULL, 2)").await;
        let kit = kit::postgres(db);
        let source = source::Kit::source(&kit).await;
        let statement = "(select id, name || '!' as shout, at, price > 1.7 as dear from t)";
        let stream = source.describe(statement).await.unwrap_or_else(|e| panic!("{e}"));
        let kinds: Vec<_> = stream.fields.iter().map(|f| f.kind.clone()).collect();
        let zoned = FieldType::Timestamp { zoned: true };
        assert_eq!(kinds, [FieldType::Int64, FieldType::Text, zoned, FieldType::Boolean]);
        let (rows, problems) = rows(&source, full(statement, &["id", "shout", "at", "dear"])).await;
        let at = Value::Timestamp { micros: 0, zoned: true };
        assert_eq!(
            rows,
            [
                vec![Value::Int64(1), Value::Text("a!".into()), at, Value::Boolean(false)],
                vec![Value::Int64(2), Value::Text("ü!".into()), Value::Null, Value::Boolean(true)],
            ]
        );
        assert_eq!(problems, [""; 0]);
        let missing = source.describe("(select * from nowhere)").await.map(drop);
        assert_eq!(missing.map_err(|e| e.kind), Err(Kind::StreamMissing));
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_carried_is_a_problem_of_its_record() {
    Database::with(|db| async move {
        let session = db.session().await;
        session.run("CREATE TABLE t (id bigint PRIMARY KEY, day date)").await;
        session.run("INSERT INTO t VALUES (1, '0044-03-15 BC'), (2, '2026-01-31'), (3, '20000-01-01')").await;
        let source = source::Kit::source(&kit::postgres(db)).await;
        let (rows, problems) = rows(&source, full("t", &["id", "day"])).await;
        assert_eq!(
            rows,
            [
                [Value::Int64(1), Value::Null],
                [Value::Int64(2), Value::Date(20_484)],
                [Value::Int64(3), Value::Null]
            ]
        );
        assert_eq!(problems, ["column \"day\" (date): a value that is none of its type"; 2]);
    })
    .await;
}

#[tokio::test]
async fn blocks_and_cells_are_the_same_through_mariadb() {
    mysql::kit::Database::with(|db| async move {
        db.run("CREATE TABLE t (id bigint PRIMARY KEY, name varchar(150), price decimal(12,2), raw varbinary(20), x double)").await;
        db.run(
            "INSERT INTO t SELECT seq, IF(seq % 7 = 0, NULL, concat(repeat('ü🙂', seq % 50), seq)), seq / 8, \
             IF(seq % 3 = 0, NULL, repeat(char(seq % 256), seq % 20)), seq / 3 FROM seq_1_to_2500",
        )
        .await;
        let kit = kit::mariadb(db);
        let columns = ["id", "name", "price", "raw", "x"];
        let mut request = full("t", &columns);
        request.batch_rows = 700;
        // its lengths are relied on only where the dialect is known
        let options = serde_json::json!({ "connection_string": kit.connection_string, "dialect": "generic" });
        let cells = kit::open(options).await.unwrap_or_else(|e| panic!("{e}"));
        let (in_cells, problems) = rows(&cells, request.clone()).await;
        assert_eq!(problems, [""; 0]);
        assert_eq!(in_cells.len(), 2500);
        assert_eq!(in_cells[7][1], Value::Text(format!("{}8", "ü🙂".repeat(8)).into()));
        assert_eq!(in_cells[2][2], Value::Decimal("0.38".into()));
        let (in_blocks, _) = rows(&source::Kit::source(&kit).await, request).await;
        assert_eq!(in_blocks, in_cells);
    })
    .await;
}
