//! Full and incremental listings: everything, once, in order, in bounded batches.

use std::time::Duration;

use syncline_core::{cursor::Position, schema::FieldType, sync::Overlap, value::Value};

use super::{Bench, Kit, START, TIME, Table, at, int, sort_any, text};

/// Batch sizes that end before, on and behind the ends of ties.
const SIZES: [usize; 5] = [1, 2, 3, 7, 100];

pub(super) async fn run(kit: &dyn Kit) {
    full_in_key_order(kit).await;
    composite_key(kit).await;
    without_a_total_key(kit).await;
    nothing_and_one(kit).await;
    incremental_with_ties(kit).await;
    from_every_position(kit).await;
    overlap(kit).await;
    whole_number_cursor(kit).await;
    incremental_without_a_total_key(kit).await;
    batches_are_bounded_by_bytes(kit).await;
}

async fn full_in_key_order(kit: &dyn Kit) {
    let table =
        Table::new("full_order", &[("id!", FieldType::Int64), ("name", FieldType::Text)]).key(&["id"]);
    let rows = (0..20).map(|i| vec![int((i * 7) % 20 - 5), text(&format!("n{i}"))]).collect();
    let bench = Bench::new(kit, table, rows).await;
    for batch_rows in SIZES {
        let mut request = bench.full();
        request.batch_rows = batch_rows;
        let listing = bench.read(&request).await;
        let expected = bench.in_order(bench.sorted(&["id"]));
        assert_eq!(bench.in_order(listing.rows), expected, "batches of {batch_rows}: every record, by key");
        assert_eq!(listing.resume, None, "no cursor, no place to resume");
        assert!(listing.positions.iter().all(Option::is_none), "a full listing has no positions");
    }
    let mut some = bench.full();
    some.columns = vec!["name".into(), "id".into()];
    let listing = bench.read(&some).await;
    assert_eq!(listing.rows[0].len(), 2);
    let expected = bench.sorted(&["id"]).into_iter().map(|r| vec![r[1].clone(), r[0].clone()]).collect();
    assert_eq!(bench.in_order(listing.rows), bench.in_order(expected));
}

async fn composite_key(kit: &dyn Kit) {
    let columns = [("a!", FieldType::Text), ("b!", FieldType::Int64), ("c", FieldType::Text)];
    let table = Table::new("composite", &columns).key(&["b", "a"]);
    let rows = (0..18)
        .map(|i| vec![text(["x", "y", "z"][i % 3]), int(i as i64 / 3 % 4 * 10 + i as i64 / 12), Value::Null]);
    let bench = Bench::new(kit, table, rows.collect()).await;
    for batch_rows in SIZES {
        let mut request = bench.full();
        request.batch_rows = batch_rows;
        assert_eq!(
            bench.in_order(bench.read(&request).await.rows),
            bench.in_order(bench.sorted(&["b", "a"])),
            "a page ends inside the first key column"
        );
    }
}

async fn without_a_total_key(kit: &dyn Kit) {
    let table = Table::new("not_total", &[("k", FieldType::Int64), ("v", FieldType::Text)]);
    let keys = [Some(1), None, Some(2), Some(1), None, Some(3), Some(2)];
    let row = |(i, k): (usize, &Option<i64>)| vec![k.map_or(Value::Null, int), text(&format!("v{i}"))];
    let bench = Bench::new(kit, table, keys.iter().enumerate().map(row).collect()).await;
    for batch_rows in SIZES {
        let mut request = bench.full();
        (request.key, request.batch_rows) = (vec!["k".into()], batch_rows);
        let listing = bench.read(&request).await;
        let expected = sort_any(bench.rows.clone());
        assert_eq!(sort_any(listing.rows), expected, "null keys and duplicate keys are records like others");
    }
    let mut keyless = bench.full();
    keyless.batch_rows = 2;
    assert_eq!(bench.read(&keyless).await.rows.len(), keys.len(), "no key at all");
}

async fn nothing_and_one(kit: &dyn Kit) {
    for count in 0..2 {
        let table =
            Table::new(&format!("few_{count}"), &[("id!", FieldType::Int64), ("at", TIME)]).key(&["id"]);
        let rows = (0..count).map(|i| vec![int(i), at(i)]).collect();
        let bench = Bench::new(kit, table, rows).await;
        for batch_rows in [1, 2] {
            let mut full = bench.full();
            (full.batch_rows, full.cursor) = (batch_rows, Some("at".into()));
            let listing = bench.read(&full).await;
            assert_eq!(listing.rows, bench.rows);
            assert!(listing.resume.is_some(), "a place to resume does not need records");
            let mut incremental = bench.incremental("at", at(-1));
            incremental.batch_rows = batch_rows;
            assert_eq!(bench.read(&incremental).await.rows, bench.rows);
            let mut keyless = bench.full();
            (keyless.key, keyless.key_is_total) = (Vec::new(), false);
            assert_eq!(bench.read(&keyless).await.rows, bench.rows);
        }
    }
}

fn ties() -> (Table, Vec<Vec<Value<'static>>>) {
    let table = Table::new("ties", &[("id!", FieldType::Text), ("at", TIME), ("note", FieldType::Text)]);
    let times = [
        Some(5),
        Some(1),
        Some(5),
        None,
        Some(5),
        Some(1),
        Some(9),
        Some(5),
        Some(5),
        None,
        Some(1),
        Some(9),
    ];
    let row = |(i, t): (usize, &Option<i64>)| {
        vec![text(&format!("k{:02}", (i * 5) % 12)), t.map_or(Value::Null, at), text("n")]
    };
    (table.key(&["id"]).index(&["at"]), times.iter().enumerate().map(row).collect())
}

async fn incremental_with_ties(kit: &dyn Kit) {
    for indexed in [true, false] {
        let (mut table, mut rows) = ties();
        table.name = format!("ties_{}", if indexed { "indexed" } else { "plain" });
        if !indexed {
            table.indexes.clear();
        }
        // far enough ahead to be later than any test
        rows.push(vec![text("z"), Value::Timestamp { micros: START * 3, zoned: true }, text("future")]);
        let mut bench = Bench::new(kit, table, rows).await;
        bench.rows.pop();
        for batch_rows in SIZES {
            let mut request = bench.incremental("at", at(0));
            request.batch_rows = batch_rows;
            let listing = bench.read(&request).await;
            let expected = bench.sorted(&["at", "id"]);
            assert_eq!(
                listing.rows, expected,
                "batches of {batch_rows}, index {indexed}: ties are neither split nor lost; null cursors are left out, \
                 and so is what lies beyond the bound"
            );
            let position =
                |r: &Vec<Value<'static>>| Some(Position { cursor: r[1].clone(), key: vec![r[0].clone()] });
            assert_eq!(listing.positions, expected.iter().map(position).collect::<Vec<_>>(), "positions");
            assert_eq!(listing.resume, None, "an incremental read resumes at its last record");
        }
    }
}

async fn from_every_position(kit: &dyn Kit) {
    let (mut table, rows) = ties();
    table.name = "prefixes".into();
    let bench = Bench::new(kit, table, rows).await;
    let all = bench.sorted(&["at", "id"]);
    for (done, row) in all.iter().enumerate() {
        for batch_rows in [1, 3, 100] {
            let mut request = bench.incremental("at", row[1].clone());
            request.from = Some(Position { cursor: row[1].clone(), key: vec![row[0].clone()] });
            request.batch_rows = batch_rows;
            let rows = bench.read(&request).await.rows;
            let rest = &all[done + 1..];
            assert!(rows.ends_with(rest), "stopped after record {done}, the rest is still to come, in order");
            assert!(
                rows.iter().all(|r| super::compare(&r[1], &row[1]).is_ge()),
                "and nothing from before the cursor"
            );
        }
    }
}

async fn overlap(kit: &dyn Kit) {
    let (mut table, rows) = ties();
    table.name = "overlaps".into();
    let bench = Bench::new(kit, table, rows).await;
    for (seconds, first) in [(0, 9), (3, 9), (4, 5), (7, 5), (8, 1), (1_000_000, 1)] {
        let mut request = bench.incremental("at", at(9));
        request.overlap = Overlap { time: Duration::from_secs(seconds), count: 0 };
        let expected: Vec<_> = bench
            .sorted(&["at", "id"])
            .into_iter()
            .filter(|r| super::compare(&r[1], &at(first)).is_ge())
            .collect();
        assert_eq!(bench.read(&request).await.rows, expected, "an overlap of {seconds} s");
    }
}

async fn whole_number_cursor(kit: &dyn Kit) {
    let columns = [("id!", FieldType::Int64), ("version", FieldType::Int64)];
    let table = Table::new("versions", &columns).key(&["id"]).index(&["version"]);
    let mut rows: Vec<_> = (0..15).map(|i| vec![int(i), int(i / 4)]).collect();
    rows.push(vec![int(99), Value::Null]);
    let mut bench = Bench::new(kit, table, rows).await;
    bench.rows.pop();
    for batch_rows in SIZES {
        let mut request = bench.incremental("version", int(2));
        (request.batch_rows, request.overlap.count) = (batch_rows, 1);
        let expected: Vec<_> = bench.sorted(&["version", "id"]).into_iter().skip(4).collect();
        assert_eq!(bench.read(&request).await.rows, expected, "one before 2");
    }
    let mut extreme = bench.incremental("version", int(i64::MIN));
    extreme.overlap.count = u64::MAX;
    assert_eq!(bench.read(&extreme).await.rows.len(), 15, "an overlap beyond the smallest number");
    let mut full = bench.full();
    full.cursor = Some("version".into());
    assert_eq!(
        bench.read(&full).await.resume,
        Some(Position { cursor: int(3), key: Vec::new() }),
        "the greatest number there was"
    );
}

async fn incremental_without_a_total_key(kit: &dyn Kit) {
    let table = Table::new("loose_incremental", &[("k", FieldType::Int64), ("at", TIME)]).index(&["at"]);
    let rows = (0..12).map(|i| vec![if i % 3 == 0 { Value::Null } else { int(i % 2) }, at(i / 5)]).collect();
    let bench = Bench::new(kit, table, rows).await;
    for batch_rows in SIZES {
        let mut request = bench.incremental("at", at(1));
        (request.key, request.batch_rows) = (vec!["k".into()], batch_rows);
        let listing = bench.read(&request).await;
        let mut times = listing.column(1);
        times.sort_by(super::compare);
        assert_eq!(listing.column(1), times, "ordered by cursor");
        let expected = sort_any(bench.rows[5..].to_vec());
        assert_eq!(sort_any(listing.rows), expected, "null and equal keys under one cursor value");
    }
}

async fn batches_are_bounded_by_bytes(kit: &dyn Kit) {
    const CELL: usize = 10_000;
    const LIMIT: usize = 3 * CELL - 1;
    let table = Table::new("wide", &[("id!", FieldType::Int64), ("body", FieldType::Text)]).key(&["id"]);
    let rows = (0..20).map(|i| vec![int(i), text(&"x".repeat(CELL))]).collect();
    let bench = Bench::new(kit, table, rows).await;
    for (key_is_total, batch_rows) in [(true, 100), (true, 7), (false, 100)] {
        let mut request = bench.full();
        (request.batch_bytes, request.batch_rows, request.key_is_total) = (LIMIT, batch_rows, key_is_total);
        let listing = bench.read(&request).await;
        assert_eq!(sort_any(listing.rows), sort_any(bench.rows.clone()));
        assert!(
            listing.batches.iter().all(|n| *n <= 3),
            "three cells are over the limit: {:?}",
            listing.batches
        );
        assert!(
            listing.bytes.iter().all(|b| *b < 8 * CELL),
            "no room for more is reserved: {:?}",
            listing.bytes
        );
    }
}

/// One random table, read in full and incrementally, paged and streamed.
pub(super) async fn random_ties(kit: &dyn Kit, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let columns = [("a!", FieldType::Int64), ("b!", FieldType::Text), ("at", TIME)];
    let mut table = Table::new(&format!("random_{seed}"), &columns).key(&["a", "b"]);
    if random.bool() {
        table = table.index(&["at"]);
    }
    let (count, spread) = (random.i64(0..60), random.i64(1..12));
    let mut numbers: Vec<_> = (0..count).collect();
    random.shuffle(&mut numbers);
    let rows = numbers.iter().map(|n| {
        let time = if random.u8(0..10) == 0 { Value::Null } else { at(random.i64(0..spread)) };
        vec![int(n % 7), text(&format!("t{n:03}")), time]
    });
    let rows = rows.collect();
    let bench = Bench::new(kit, table, rows).await;
    for _ in 0..4 {
        let (batch_rows, from) = (random.usize(1..20), random.i64(0..spread));
        let mut full = bench.full();
        full.batch_rows = batch_rows;
        let message = format!("seed {seed}, batches of {batch_rows}, from {from}");
        let expected = bench.in_order(bench.sorted(&["a", "b"]));
        assert_eq!(bench.in_order(bench.read(&full).await.rows), expected, "{message}");
        let mut incremental = bench.incremental("at", at(from));
        (incremental.batch_rows, incremental.key_is_total) = (batch_rows, random.bool() && bench.keys);
        let expected: Vec<_> = bench
            .sorted(&["at", "a", "b"])
            .into_iter()
            .filter(|r| super::compare(&r[2], &at(from)).is_ge())
            .collect();
        assert_eq!(bench.read(&incremental).await.rows, expected, "{message}");
    }
}
