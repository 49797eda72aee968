//! Sources that change: while they are read, between two reads, and records that say they are gone.

use syncline_core::{batch::RecordOp, schema::FieldType, value::Value};

use super::{Bench, Kit, TIME, Table, at, fine, int, text};

pub(super) async fn run(kit: &dyn Kit) {
    if kit.guarantees().snapshots {
        changes_while_reading(kit).await;
        a_full_read_hands_over(kit).await;
    }
    a_listing_given_up(kit).await;
    tombstones(kit).await;
    nothing_is_written(kit).await;
}

fn table(name: &str) -> Table {
    let columns = [("id!", FieldType::Int64), ("name", FieldType::Text), ("at", TIME)];
    Table::new(name, &columns).key(&["id"]).index(&["at"])
}

fn rows(count: i64) -> Vec<Vec<Value<'static>>> {
    (0..count).map(|i| vec![int(i * 10), text("old"), at(i)]).collect()
}

async fn changes_while_reading(kit: &dyn Kit) {
    let bench = Bench::new(kit, table("moving"), rows(30)).await;
    let mut request = bench.full();
    request.batch_rows = 3;
    let mut reader = bench.open(&request).await;
    let mut seen = Vec::new();
    let mut batches = 0;
    while let Some(batch) = fine(reader.next().await, "read while the table changes") {
        seen.extend((0..batch.len()).map(|row| batch.value(row, 0).into_owned()));
        batches += 1;
        // before, at and after the place that is being read
        let here = batches * 30;
        kit.insert(&bench.table, &[vec![int(here - 27), text("new"), at(99)]]).await;
        kit.insert(&bench.table, &[vec![int(here + 5), text("new"), at(99)]]).await;
        kit.set(&bench.table, "name", &text("changed"), "id", here).await;
        kit.set(&bench.table, "name", &text("changed"), "id", here - 30).await;
        if batches == 2 {
            kit.delete(&bench.table, "id", 0).await;
            kit.delete(&bench.table, "id", 290).await;
        }
        assert!(batches < 100, "a listing of a growing table ends");
    }
    let mut once = seen.clone();
    once.dedup();
    assert_eq!(once, seen, "no record is listed twice");
    for id in (10..290).step_by(10) {
        assert!(seen.contains(&int(id)), "record {id} existed all the time");
    }
}

async fn a_full_read_hands_over(kit: &dyn Kit) {
    for key_is_total in [true, false] {
        let bench = Bench::new(kit, table(&format!("handover_{key_is_total}")), rows(6)).await;
        let mut request = bench.full();
        (request.batch_rows, request.cursor, request.key_is_total) = (2, Some("at".into()), key_is_total);
        let mut reader = bench.open(&request).await;
        assert_eq!(reader.resume(), None, "nothing was read yet");
        assert!(fine(reader.next().await, "read the first batch").is_some());
        let resume = reader.resume().expect("a place to resume after the first batch");
        assert!(resume.key.is_empty(), "a bound has no key");
        // changed during the full read, at a time that its snapshot could not have seen
        kit.set(&bench.table, "at", &resume.cursor, "id", 0).await;
        while fine(reader.next().await, "read on").is_some() {}
        assert_eq!(reader.resume().as_ref(), Some(&resume), "the bound is that of the first snapshot");
        let mut from = bench.incremental("at", resume.cursor.clone());
        from.from = Some(resume);
        assert_eq!(
            bench.read(&from).await.column(0),
            [int(0)],
            "what changed during the full read comes next"
        );
    }
}

async fn a_listing_given_up(kit: &dyn Kit) {
    let bench = Bench::new(kit, table("given_up"), rows(50)).await;
    for key_is_total in [bench.keys, false] {
        let mut request = bench.full();
        (request.batch_rows, request.key_is_total) = (1, key_is_total);
        let mut reader = bench.open(&request).await;
        assert!(fine(reader.next().await, "read the first batch").is_some());
        drop(reader);
        drop(bench.open(&request).await);
        assert_eq!(bench.read(&bench.full()).await.rows.len(), 50, "the next listing is none the worse");
    }
}

async fn tombstones(kit: &dyn Kit) {
    let columns = [("id!", FieldType::Int64), ("at", TIME), ("gone", FieldType::Boolean), ("gone_at", TIME)];
    let table = Table::new("tombstones", &columns).key(&["id"]).index(&["at"]);
    let row = |id: i64, gone: Value<'static>, gone_at: Value<'static>| vec![int(id), at(id), gone, gone_at];
    let rows = vec![
        row(1, Value::Null, Value::Null),
        row(2, Value::Boolean(false), at(0)),
        row(3, Value::Boolean(true), Value::Null),
    ];
    let bench = Bench::new(kit, table, rows).await;
    let (upsert, delete) = (RecordOp::Upsert, RecordOp::Delete);
    for (column, expected) in [("gone", [upsert, upsert, delete]), ("gone_at", [upsert, delete, upsert])] {
        for mut request in [bench.full(), bench.incremental("at", at(0))] {
            request.tombstone = Some(column.into());
            assert_eq!(bench.read(&request).await.ops, expected, "tombstone {column}");
        }
    }
}

async fn nothing_is_written(kit: &dyn Kit) {
    let bench = Bench::new(kit, table("untouched"), rows(10)).await;
    let before = kit.contents().await;
    let mut full = bench.full();
    (full.cursor, full.batch_rows) = (Some("at".into()), 3);
    bench.read(&full).await;
    bench.read(&bench.incremental("at", at(2))).await;
    fine(bench.source.describe(&bench.stream).await, "describe");
    fine(bench.source.streams().await, "list streams");
    fine(bench.source.duplicate_keys(&bench.stream, &["id".into()], 5).await, "look for duplicates");
    drop(bench);
    assert_eq!(kit.contents().await, before, "reading leaves no trace");
}
