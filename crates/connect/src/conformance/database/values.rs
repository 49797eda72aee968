//! Values of every type come back as they were, and what would not is refused one by one.

use std::time::Duration;

use syncline_core::{batch::RecordOp, convert::convert, schema::FieldType, sync::Overlap, value::Value};

use super::{Bench, Kit, Record, column, fine};
use crate::source::Read;

pub(super) async fn run(kit: &dyn Kit) {
    let kinds = [
        FieldType::Boolean,
        FieldType::Int64,
        FieldType::Float64,
        FieldType::Decimal { precision: Some(38), scale: Some(10) },
        FieldType::Decimal { precision: None, scale: None },
        FieldType::Text,
        FieldType::Binary,
        FieldType::Date,
        FieldType::Time,
        FieldType::Timestamp { zoned: true },
        FieldType::Timestamp { zoned: false },
        FieldType::Uuid,
        FieldType::Json,
        FieldType::List(Box::new(FieldType::Text)),
        FieldType::List(Box::new(FieldType::Int64)),
    ];
    for (number, kind) in kinds.iter().enumerate() {
        values_come_back(kit, &format!("values_{number}"), kind).await;
    }
}

async fn values_come_back(kit: &dyn Kit, table: &str, kind: &FieldType) {
    let values = kit.values(kind);
    if values.is_empty() {
        return;
    }
    let mut bench = Bench::new(kit, table).await;
    bench.shape.columns = vec![bench.shape.columns[0].clone(), column(kit, "v", kind.clone(), false)];
    let row =
        |(id, v): (i64, &Value<'static>)| -> Record { (vec![Value::Int64(id), v.clone()], RecordOp::Upsert) };
    let records: Vec<_> = (1..).zip(values.iter().chain([&Value::Null])).map(row).collect();
    let outcome = bench.load(&records, &bench.commit(&records)).await;
    assert_eq!(outcome.created, records.len() as u64, "{kind}");
    let read = read(kit, table, kind).await;
    let expected: Vec<_> = records.iter().map(|(values, _)| values[1].clone()).collect();
    assert_eq!(read, expected, "{kind}: read by our own source");

    let described = fine(bench.database.describe(&kit.written(table)).await, "describe").expect("the table");
    let field = described.stream.field("v").expect("the column");
    let convertible: Vec<_> = values.iter().map(|v| convert(v.clone(), field)).collect();
    for (value, converted) in values.iter().zip(&convertible) {
        assert!(converted.is_ok(), "{kind}: {value:?} is kept, so its field must take it: {converted:?}");
    }
    for value in kit.refused(kind) {
        assert!(
            convert(value.clone(), field).is_err(),
            "{kind}: {value:?} is not kept, so it must be refused"
        );
    }
    // once more, as the field described has it
    bench.shape.columns[1].kind = field.kind.clone();
    let converted = convertible.into_iter().map(|v| v.unwrap_or(Value::Null)).chain([Value::Null]);
    let records: Vec<_> = (1..).zip(converted).map(|(id, v)| row((id, &v))).collect();
    let outcome = bench.load(&records, &bench.commit(&records)).await;
    assert_eq!((outcome.created, outcome.updated), (0, 0), "{kind}: what did not change compares equal");
}

async fn read(kit: &dyn Kit, table: &str, kind: &FieldType) -> Vec<Value<'static>> {
    let request = Read {
        stream: kit.written(table),
        columns: vec!["id".into(), "v".into()],
        key: vec!["id".into()],
        key_is_total: true,
        cursor: None,
        tombstone: None,
        from: None,
        overlap: Overlap { time: Duration::ZERO, count: 0 },
        lag: Duration::ZERO,
        batch_rows: 1000,
        batch_bytes: 1 << 20,
        params: crate::source::Params::new(),
    };
    let mut reader = fine(kit.source().await.read(request).await, "read");
    let mut values = Vec::new();
    while let Some(batch) = fine(reader.next().await, "read a batch") {
        for row in 0..batch.len() {
            assert_eq!(batch.problem(row), None, "{kind}");
            let value = batch.value(row, 1).into_owned();
            // where lists are kept as JSON they come back as that, and instants as the clock in UTC where that is the type
            values.push(match (kind, value) {
                (FieldType::List(of), Value::Json(text)) => list(&text, of),
                (FieldType::Timestamp { zoned: true }, Value::Timestamp { micros, zoned: false }) => {
                    Value::Timestamp { micros, zoned: true }
                }
                // where there is no type for uuids they are texts
                (FieldType::Uuid, Value::Text(text)) => {
                    let field = syncline_core::schema::Field::new("v", FieldType::Uuid, true);
                    convert(Value::Text(text), &field).expect("a uuid").into_owned()
                }
                (_, value) => value,
            });
        }
    }
    values
}

fn list(text: &str, of: &FieldType) -> Value<'static> {
    let field = syncline_core::schema::Field::new("v", FieldType::List(Box::new(of.clone())), true);
    convert(Value::Json(text.to_owned().into()), &field).expect("a list").into_owned()
}
