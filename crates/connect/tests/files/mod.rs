//! The `files` source against real files.

mod formats;
mod kit;
mod loads;
mod streams;

use std::time::Duration;

use syncline_connect::{conformance::source, source::Read};
use syncline_core::{batch::Batch, sync::Overlap, value::Value};

use self::kit::{Directory, Format};

#[tokio::test]
async fn csv_conforms() {
    source::run(&Directory::new(Format::Csv)).await;
}

#[tokio::test]
async fn jsonl_conforms() {
    source::run(&Directory::new(Format::Jsonl)).await;
}

#[tokio::test]
async fn parquet_conforms() {
    source::run(&Directory::new(Format::Parquet)).await;
}

#[tokio::test]
async fn random_ties_are_read_once() {
    for format in [Format::Csv, Format::Jsonl, Format::Parquet] {
        let directory = Directory::new(format);
        for seed in 0..15 {
            source::ties(&directory, seed).await;
        }
    }
}

fn full(stream: &str, columns: &[&str]) -> Read {
    Read {
        stream: stream.into(),
        columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        key: vec![columns[0].to_owned()],
        key_is_total: false,
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

/// Everything in one batch: tests whose streams are small.
async fn batch(directory: &Directory, request: Read) -> Batch {
    let mut reader = directory.source().await.read(request).await.unwrap_or_else(|e| panic!("{e}"));
    let batch = reader.next().await.unwrap_or_else(|e| panic!("{e}")).expect("a batch");
    assert!(reader.next().await.unwrap_or_else(|e| panic!("{e}")).is_none(), "one batch");
    batch
}

async fn rows(directory: &Directory, request: Read) -> Vec<Vec<Value<'static>>> {
    let batch = batch(directory, request).await;
    (0..batch.len())
        .map(|row| (0..batch.fields().len()).map(|c| batch.value(row, c).into_owned()).collect())
        .collect()
}

fn text(text: &str) -> Value<'static> {
    Value::Text(text.to_owned().into())
}
