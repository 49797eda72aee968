//! The `mysql` source and destination against a real MariaDB.

mod bounds;
mod database;
mod failures;
pub(crate) mod kit;
mod statements;
mod tables;

use std::{sync::Arc, time::Duration};

use syncline_connect::{Source, conformance::source, source::Read};
use syncline_core::{batch::Batch, cursor::Position, sync::Overlap, value::Value};

use self::kit::Database;

#[tokio::test]
async fn conforms() {
    Database::with(|db| async move { source::run(&db).await }).await;
}

#[tokio::test]
async fn random_ties_are_read_once() {
    Database::with(|db| async move {
        for seed in 0..20 {
            source::ties(&db, seed).await;
        }
    })
    .await;
}

/// A full read of these columns by the first of them.
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

/// An incremental read from the beginning of time.
fn incremental(stream: &str, columns: &[&str], cursor: &str, from: Value<'static>) -> Read {
    let from = Some(Position { cursor: from, key: Vec::new() });
    Read { cursor: Some(cursor.into()), from, ..full(stream, columns) }
}

async fn batches(source: &Arc<dyn Source>, request: Read) -> Vec<Batch> {
    let mut reader = source.read(request).await.unwrap_or_else(|e| panic!("{e}"));
    let mut batches = Vec::new();
    while let Some(batch) = reader.next().await.unwrap_or_else(|e| panic!("{e}")) {
        batches.push(batch);
    }
    batches
}

async fn rows(source: &Arc<dyn Source>, request: Read) -> Vec<Vec<Value<'static>>> {
    let mut rows = Vec::new();
    for batch in batches(source, request).await {
        for row in 0..batch.len() {
            rows.push((0..batch.fields().len()).map(|c| batch.value(row, c).into_owned()).collect());
        }
    }
    rows
}

async fn ids(source: &Arc<dyn Source>, request: Read) -> Vec<i64> {
    let id = |row: Vec<Value<'static>>| match row[0] {
        Value::Int64(id) => id,
        ref other => panic!("an id of type {}", other.type_name()),
    };
    rows(source, request).await.into_iter().map(id).collect()
}
