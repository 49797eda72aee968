//! Mapping a record depends on that record alone.

use std::sync::Arc;

use proptest::prelude::*;
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions, RecordOp},
    expr::Expr,
    mapping::Mapping,
    schema::{Field, FieldType, Limits, Stream},
    sync::{
        DeletePolicy, Deletes, Detect, Direction, FieldMap, From, Key, KeyColumns, Mode, OnEdit, Origin,
        Overlap, Route, Sync, TableOptions, To, Write,
    },
    value::Value,
};

type Row = (String, Option<String>, Option<i64>);

fn source() -> Stream {
    let fields = vec![
        Field::new("code", FieldType::Text, false),
        Field::new("amount", FieldType::Decimal { precision: None, scale: None }, true),
        Field::new("days", FieldType::Int64, true),
    ];
    Stream { name: "t".into(), fields, primary_key: vec!["code".into()], ..Stream::default() }
}

fn list(name: &str) -> Stream {
    let number = Limits { as_double: true, ..Limits::default() };
    let text = Limits { loose_space: true, empty_is_null: true, max_length: Some(8), ..Limits::default() };
    let fields = vec![
        Field { limits: text, ..Field::new("Title", FieldType::Text, true) },
        Field {
            limits: number,
            ..Field::new("Amount", FieldType::Decimal { precision: None, scale: None }, true)
        },
        Field::new("Late", FieldType::Boolean, true),
    ];
    Stream { name: name.into(), id: name.into(), fields, ..Stream::default() }
}

fn mapping() -> Mapping {
    let map = |to: &str, from| FieldMap {
        to: to.into(),
        from,
        direction: Direction::Push,
        required: false,
        default: None,
        kind: None,
    };
    let sync = Sync {
        name: "s".into(),
        from: From {
            connection: "a".into(),
            stream: "t".into(),
            mass_query: None,
            key: Key { columns: KeyColumns::PrimaryKey, ignore_case: true },
            cursor: None,
            filter: Some(Expr::compile("code != 'skip'").unwrap()),
            tombstone: None,
            tombstone_values: Vec::new(),
            overlap: Overlap { time: std::time::Duration::ZERO, count: 0 },
            lag: std::time::Duration::ZERO,
        },
        to: To { connection: "b".into(), stream: "L".into(), table: TableOptions::default() },
        mode: Mode::Full,
        write: Write::Upsert,
        deletes: Deletes {
            policy: DeletePolicy::Ignore,
            guard_count: 10,
            guard_percent: 10.0,
            out_of_filter: false,
            detect: Detect::Listing,
        },
        fields: vec![
            map("Title", Origin::Column("code".into())),
            map("Amount", Origin::Column("amount".into())),
            map("Late", Origin::Expression(Expr::compile("days != null && days > 30").unwrap())),
        ],
        routes: vec![Route {
            when: Expr::compile("amount != null && amount >= 1000.0").unwrap(),
            stream: "M".into(),
        }],
        adopt: None,
        on_edit: OnEdit::Overwrite,
        batch: 500,
        rest: false,
        schedules: Vec::new(),
        params: Vec::new(),
        fresh: None,
        each: None,
    };
    let (mapping, problems) = Mapping::bind(&sync, &source(), &[list("L"), list("M")]);
    mapping.unwrap_or_else(|| panic!("{problems:?}"))
}

fn batch(mapping: &Mapping, rows: &[Row]) -> Batch {
    let described = source();
    let fields: Arc<[Field]> = mapping.columns.iter().map(|c| described.field(c).unwrap().clone()).collect();
    let mut builder = BatchBuilder::new(Arc::clone(&fields));
    for (code, amount, days) in rows {
        for (column, field) in fields.iter().enumerate() {
            let value = match field.name.as_str() {
                "code" => Value::Text(code.as_str().into()),
                "amount" => amount.as_ref().map_or(Value::Null, |a| Value::Decimal(a.as_str().into())),
                _ => days.map_or(Value::Null, Value::Int64),
            };
            builder.push(column, &value).unwrap();
        }
        builder.end_record(RecordOp::Upsert);
    }
    builder.finish(Positions::None)
}

/// Everything that mapping says about a record, as text.
fn mapped(mapping: &Mapping, batch: &Batch, row: usize, scratch: &mut Vec<u8>) -> String {
    let identity = mapping.identity(batch, row);
    let outcome =
        mapping.map(batch, row, scratch).map(|m| m.map(|m| (m.stream, m.hash, format!("{:?}", m.values))));
    format!("{identity:?} {outcome:?}")
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let code = prop_oneof!["[a-c ]{1,9}", Just("skip".to_owned()), Just("cafe\u{301}".to_owned())];
    let amount =
        prop::option::of(prop_oneof!["[0-9]{1,5}\\.[0-9]{0,2}", Just("12345678901234567.89".to_owned())]);
    prop::collection::vec((code, amount, prop::option::of(0..60_i64)), 1..24)
}

proptest! {
    #[test]
    fn the_same_record_maps_the_same_in_any_batch(rows in rows(), size in 1..6_usize, turn in any::<prop::sample::Index>()) {
        let mapping = mapping();
        let mut scratch = Vec::new();
        let whole = batch(&mapping, &rows);
        let alone: Vec<String> = (0..rows.len()).map(|row| mapped(&mapping, &whole, row, &mut scratch)).collect();

        let mut pieces = Vec::new();
        for piece in rows.chunks(size) {
            let piece = batch(&mapping, piece);
            pieces.extend((0..piece.len()).map(|row| mapped(&mapping, &piece, row, &mut scratch)));
        }
        prop_assert_eq!(&pieces, &alone, "cut up");

        let turn = turn.index(rows.len());
        let mut turned = rows;
        turned.rotate_left(turn);
        let turned = batch(&mapping, &turned);
        // Backwards, with what another record left in the scratch space.
        let mut found: Vec<String> = (0..turned.len()).rev().map(|row| mapped(&mapping, &turned, row, &mut scratch)).collect();
        found.reverse();
        found.rotate_right(turn);
        prop_assert_eq!(&found, &alone, "in another order");
    }
}

#[test]
fn the_cases_are_there() {
    let mapping = mapping();
    let rows: [Row; 4] = [
        ("a".into(), Some("1000.00".into()), Some(31)),
        ("skip".into(), None, None),
        ("b".into(), Some("12345678901234567.89".into()), None),
        ("A ".into(), Some("999.99".into()), None),
    ];
    let batch = batch(&mapping, &rows);
    let mut scratch = Vec::new();
    let streams: Vec<_> =
        (0..4).map(|row| mapping.map(&batch, row, &mut scratch).map(|m| m.map(|m| m.stream))).collect();
    assert_eq!((&streams[0], &streams[1], &streams[3]), (&Ok(Some(1)), &Ok(None), &Ok(Some(0))));
    assert_eq!(streams[2].as_ref().unwrap_err().code, "value");
    assert_eq!(mapping.identity(&batch, 0), mapping.identity(&batch, 3), "trimmed, without regard to case");
}
