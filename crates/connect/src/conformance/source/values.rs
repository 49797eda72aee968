//! Every type: exact, and usable as key, cursor and look-up.

use syncline_core::{schema::FieldType, value::Value};

use super::{Bench, Kit, Table, fine, int, sort_any};
use crate::source::Fetch;

pub(super) async fn run(kit: &dyn Kit) {
    let decimal = |precision, scale| FieldType::Decimal { precision, scale };
    let sortable = [
        FieldType::Boolean,
        FieldType::Int64,
        FieldType::Float64,
        decimal(Some(30), Some(4)),
        decimal(None, None),
        FieldType::Text,
        FieldType::Binary,
        FieldType::Date,
        FieldType::Time,
        FieldType::Timestamp { zoned: true },
        FieldType::Timestamp { zoned: false },
        FieldType::Uuid,
    ];
    for (number, kind) in sortable.iter().enumerate() {
        let values = kit.values(kind);
        if !values.is_empty() {
            exact(kit, number, kind, &values).await;
            as_key(kit, number, kind, &values).await;
            as_cursor(kit, number, kind, &values).await;
        }
    }
    let list = |of| FieldType::List(Box::new(of));
    let others = [FieldType::Json, list(FieldType::Text), list(FieldType::Int64), list(decimal(None, None))];
    for (number, kind) in others.iter().enumerate() {
        let values = kit.values(kind);
        if !values.is_empty() {
            exact(kit, 100 + number, kind, &values).await;
        }
    }
}

async fn exact(kit: &dyn Kit, number: usize, kind: &FieldType, values: &[Value<'static>]) {
    let table = Table::new(&format!("exact_{number}"), &[("id!", FieldType::Int64), ("v", kind.clone())]);
    let mut rows: Vec<_> = values.iter().enumerate().map(|(i, v)| vec![int(i as i64), v.clone()]).collect();
    rows.push(vec![int(values.len() as i64), Value::Null]);
    let bench = Bench::new(kit, table.key(&["id"]), rows).await;
    let described = fine(bench.source.describe(&bench.stream).await, "describe");
    assert_eq!(described.fields[1].kind, *kind, "the type as described");
    assert_eq!(bench.read(&bench.full()).await.rows, bench.rows, "every value of {kind} comes as it is");
}

async fn as_key(kit: &dyn Kit, number: usize, kind: &FieldType, values: &[Value<'static>]) {
    let table =
        Table::new(&format!("key_{number}"), &[("k!", kind.clone()), ("n", FieldType::Int64)]).key(&["k"]);
    let rows = values.iter().rev().map(|v| vec![v.clone(), int(1)]).collect();
    let bench = Bench::new(kit, table, rows).await;
    for batch_rows in [1, 2] {
        let mut request = bench.full();
        request.batch_rows = batch_rows;
        let keys = |rows: Vec<Vec<Value<'static>>>| -> Vec<_> {
            rows.into_iter().map(|r| vec![r[0].clone()]).collect()
        };
        let listed = bench.in_order(keys(bench.read(&request).await.rows));
        let expected = bench.in_order(values.iter().map(|v| vec![v.clone()]).collect());
        assert_eq!(listed, expected, "pages by a key of {kind}");
    }
    let request = Fetch {
        stream: bench.stream.clone(),
        columns: vec!["k".into()],
        key: vec!["k".into()],
        tombstone: None,
        keys: values.iter().map(|v| vec![v.clone()]).collect(),
        params: crate::source::Params::new(),
    };
    let batch = fine(bench.source.fetch(request).await, "fetch");
    let found = (0..batch.len()).map(|r| vec![batch.value(r, 0).into_owned()]).collect();
    let expected = values.iter().map(|v| vec![v.clone()]).collect();
    assert_eq!(sort_any(found), sort_any(expected), "look-up by a key of {kind}");
}

async fn as_cursor(kit: &dyn Kit, number: usize, kind: &FieldType, values: &[Value<'static>]) {
    let columns = [("id!", FieldType::Int64), ("c", kind.clone())];
    let table = Table::new(&format!("cursor_{number}"), &columns).key(&["id"]).index(&["c"]);
    // each value twice, so that every page ends inside or between ties
    let rows = (0..values.len() * 2).map(|i| vec![int(i as i64), values[i / 2].clone()]).collect();
    let bench = Bench::new(kit, table, rows).await;
    let ends = values.len() * 2 - bench.rows.iter().rev().take_while(|r| is_endless(&r[1])).count();
    for (done, row) in bench.rows.iter().enumerate() {
        let mut request = bench.incremental("c", row[1].clone());
        request.batch_rows = 1 + done % 3;
        let first = done / 2 * 2;
        let expected = bench.rows.get(first..ends).unwrap_or_default();
        assert_eq!(bench.read(&request).await.rows, expected, "from a cursor of {kind}, record {done}");
    }
    let mut full = bench.full();
    full.cursor = Some("c".into());
    assert!(bench.read(&full).await.resume.is_some(), "a full read by {kind} hands over");
}

/// Nothing can come after it, so an incremental read stops before it; or it lies beyond every clock.
fn is_endless(value: &Value<'_>) -> bool {
    match value {
        Value::Float64(v) => v.is_nan() || *v == f64::INFINITY,
        Value::Decimal(v) => matches!(v.as_ref(), "NaN" | "Infinity"),
        Value::Date(day) => *day > 40_000,
        Value::Timestamp { micros, .. } => *micros > super::START * 2,
        _ => false,
    }
}
