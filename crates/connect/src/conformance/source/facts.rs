//! What a source says about a table, look-ups by key, and names that need care.

use syncline_core::{batch::RecordOp, schema::FieldType, value::Value};

use super::{Bench, Kit, TIME, Table, at, fine, int, sort_any, text};
use crate::{
    error::Kind,
    source::{FETCH_MAX, Fetch},
};

pub(super) async fn run(kit: &dyn Kit) {
    describes(kit).await;
    says_what_is_missing(kit).await;
    fetches(kit).await;
    finds_duplicates(kit).await;
    if kit.takes_any_name() {
        odd_names(kit).await;
    }
}

async fn describes(kit: &dyn Kit) {
    let decimal = FieldType::Decimal { precision: Some(12), scale: Some(2) };
    let columns = [("id!", FieldType::Int64), ("code!", FieldType::Text), ("price", decimal), ("at", TIME)];
    let mut table = Table::new("described", &columns).key(&["id"]).index(&["at", "code"]);
    table.unique.push(vec!["code".into(), "at".into()]);
    let bench = Bench::new(kit, table, Vec::new()).await;
    let stream = fine(bench.source.describe(&bench.stream).await, "describe");
    assert_eq!(stream.name, bench.stream, "the name under which it was asked for");
    assert!(!stream.id.is_empty());
    let facts = |fields: &[syncline_core::schema::Field]| -> Vec<_> {
        fields.iter().map(|f| (f.name.clone(), f.kind.clone(), f.nullable)).collect()
    };
    let mut expected = facts(&bench.table.columns);
    if !bench.keys {
        expected[0].2 = true;
    }
    assert_eq!(facts(&stream.fields), expected, "names, types and what may be null, in order");
    assert_eq!(stream.primary_key, ["id"]);
    if bench.keys {
        let unique: Vec<_> = stream.unique.iter().map(|(_, columns)| columns.clone()).collect();
        assert_eq!(unique, [vec!["code".to_owned(), "at".to_owned()]]);
        for (column, leads) in [("at", true), ("code", true), ("price", false)] {
            assert_eq!(stream.indexed.iter().any(|c| c == column), leads, "whether {column} leads an index");
        }
        assert!(stream.is_unique(&["at".into(), "code".into()]));
    }
    let streams = fine(bench.source.streams().await, "list streams");
    let mut found = false;
    for name in &streams {
        found |= fine(bench.source.describe(name).await, "describe what was listed").id == stream.id;
    }
    assert!(found, "the table is among {streams:?}");
}

async fn says_what_is_missing(kit: &dyn Kit) {
    let table = Table::new("present", &[("id!", FieldType::Int64), ("at", TIME)]).key(&["id"]);
    let bench = Bench::new(kit, table, vec![vec![int(1), at(1)]]).await;
    let kind = |result: Result<(), crate::Error>, what: &str| match result {
        Ok(()) => panic!("{what} was accepted"),
        Err(error) => error.kind,
    };
    let describe = bench.source.describe("no_such_table").await.map(drop);
    assert_eq!(kind(describe, "a missing table"), Kind::StreamMissing);
    let mut request = bench.full();
    request.stream = "no_such_table".into();
    assert_eq!(kind(bench.source.read(request).await.map(drop), "a missing table"), Kind::StreamMissing);
    let mut request = bench.full();
    request.columns.push("no_such_column".into());
    let Err(error) = bench.source.read(request).await else { panic!("a missing column was accepted") };
    assert_eq!(error.kind, Kind::Definition);
    assert!(error.message.contains("no_such_column"), "the column is named: {error}");
    let mut request = bench.incremental("at", at(0));
    request.cursor = None;
    assert_eq!(kind(bench.source.read(request).await.map(drop), "no cursor column"), Kind::Definition);
    let fetch = Fetch {
        stream: bench.stream.clone(),
        columns: vec!["id".into()],
        key: vec!["nope".into()],
        tombstone: None,
        keys: vec![vec![int(1)]],
        params: crate::source::Params::new(),
    };
    assert_eq!(kind(bench.source.fetch(fetch).await.map(drop), "a missing key column"), Kind::Definition);
}

async fn fetches(kit: &dyn Kit) {
    let columns = [
        ("a!", FieldType::Int64),
        ("b!", FieldType::Text),
        ("v", FieldType::Text),
        ("gone", FieldType::Boolean),
    ];
    let table = Table::new("fetched", &columns).key(&["a", "b"]);
    let rows = (0..600).map(|i| {
        vec![int(i % 300), text(if i < 300 { "x" } else { "y" }), text("v"), Value::Boolean(i == 7)]
    });
    let bench = Bench::new(kit, table, rows.collect()).await;
    let request = |keys: Vec<Vec<Value<'static>>>| Fetch {
        stream: bench.stream.clone(),
        columns: vec!["v".into(), "a".into(), "b".into(), "gone".into()],
        key: vec!["b".into(), "a".into()],
        tombstone: Some("gone".into()),
        keys,
        params: crate::source::Params::new(),
    };
    let keys = vec![
        vec![text("x"), int(7)],
        vec![text("y"), int(8)],
        vec![text("y"), int(8)],
        vec![text("z"), int(1)],
        vec![text("nul\0"), int(1)],
        vec![text("x"), Value::Null],
        vec![text("x"), int(i64::MAX)],
    ];
    let batch = fine(bench.source.fetch(request(keys)).await, "fetch");
    let mut found: Vec<_> = (0..batch.len())
        .map(|r| (batch.value(r, 1).into_owned(), batch.value(r, 2).into_owned(), batch.op(r)))
        .collect();
    found.sort_by_key(|f| format!("{f:?}"));
    assert_eq!(
        found,
        [(int(7), text("x"), RecordOp::Delete), (int(8), text("y"), RecordOp::Upsert)],
        "what exists, once; the rest is left out"
    );
    assert!(fine(bench.source.fetch(request(Vec::new())).await, "fetch nothing").is_empty());
    let many: Vec<_> = (0..FETCH_MAX as i64).map(|i| vec![text("x"), int(i)]).collect();
    assert_eq!(fine(bench.source.fetch(request(many.clone())).await, "fetch many").len(), 300);
    let too_many = [many, vec![vec![text("y"), int(0)]]].concat();
    assert!(bench.source.fetch(request(too_many)).await.is_err(), "more than {FETCH_MAX} keys are refused");
}

async fn finds_duplicates(kit: &dyn Kit) {
    let table = Table::new("duplicates", &[("a", FieldType::Int64), ("b", FieldType::Text)]);
    let pairs = [
        (Some(1), "x"),
        (Some(1), "y"),
        (Some(1), "x"),
        (None, "x"),
        (None, "x"),
        (Some(2), "y"),
        (Some(2), "y"),
    ];
    let row = |(a, b): &(Option<i64>, &str)| vec![a.map_or(Value::Null, int), text(b)];
    let bench = Bench::new(kit, table, pairs.iter().map(row).collect()).await;
    let key = ["a".to_owned(), "b".to_owned()];
    let found = fine(bench.source.duplicate_keys(&bench.stream, &key, 10).await, "look for duplicates");
    assert_eq!(sort_any(found), [[int(1), text("x")], [int(2), text("y")]], "null is no key");
    let one = fine(bench.source.duplicate_keys(&bench.stream, &key, 1).await, "look for one");
    assert_eq!(one.len(), 1, "at most the limit");
}

async fn odd_names(kit: &dyn Kit) {
    let columns = [
        ("select!", FieldType::Int64),
        ("a\"b", FieldType::Text),
        ("c.d!", FieldType::Text),
        (kit.odd_name(), FieldType::Text),
        ("MixedCase", TIME),
        ("it's; drop table x --", FieldType::Text),
    ];
    let table = Table::new("Order.of \"things\" ü", &columns).key(&["c.d", "select"]).index(&["MixedCase"]);
    let row = |i: i64| vec![int(i), text("q"), text(&format!("k{}", i % 2)), text("g"), at(i), Value::Null];
    let bench = Bench::new(kit, table, (0..5).map(row).collect()).await;
    let stream = fine(bench.source.describe(&bench.stream).await, "describe a table with an odd name");
    assert_eq!(stream.primary_key, ["c.d", "select"]);
    let mut full = bench.full();
    full.batch_rows = 2;
    let expected = bench.in_order(bench.sorted(&["c.d", "select"]));
    assert_eq!(bench.in_order(bench.read(&full).await.rows), expected);
    let mut incremental = bench.incremental("MixedCase", at(1));
    incremental.batch_rows = 2;
    assert_eq!(bench.read(&incremental).await.rows.len(), 4);
    let fetch = Fetch {
        stream: bench.stream.clone(),
        columns: vec!["a\"b".into()],
        key: vec!["c.d".into(), "select".into()],
        tombstone: None,
        keys: vec![vec![text("k1"), int(3)]],
        params: crate::source::Params::new(),
    };
    assert_eq!(fine(bench.source.fetch(fetch).await, "fetch by odd columns").len(), 1);
    let found = bench.source.duplicate_keys(&bench.stream, &["a\"b".into()], 3).await;
    assert_eq!(fine(found, "look for duplicates by an odd column"), [[text("q")]]);
}
