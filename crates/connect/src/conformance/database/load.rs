//! Loads into tables that are there or not: merge, append, replace.

use std::sync::atomic::{AtomicBool, Ordering};

use syncline_core::schema::FieldType;

use super::{Bench, Kit, fine, record, stage};
use crate::database::{Change, Commit, How, Merge, Outcome, Shape};

pub(super) async fn run(kit: &dyn Kit) {
    an_absent_table_is_made(kit).await;
    only_what_differs_is_written(kit).await;
    a_condition_keeps_updates_back(kit).await;
    appended_rows_are_added_whatever_they_are(kit).await;
    a_replaced_table_that_is_absent_is_made(kit).await;
    what_hangs_on_a_replaced_table_stays(kit).await;
    readers_never_see_half_a_table(kit).await;
    doubtful_keys_are_taken_out(kit).await;
}

async fn an_absent_table_is_made(kit: &dyn Kit) {
    let bench = Bench::new(kit, "made").await;
    let described = fine(bench.database.describe(&kit.written("made")).await, "describe an absent table");
    assert!(described.is_none(), "there is no table yet");
    let records = [record(2, Some("two"), 20), record(1, None, 10), record(3, Some(""), 30)];
    let mut load = bench.open().await;
    assert!(load.table().is_none() && load.state().is_none() && load.remembers());
    assert_eq!(fine(load.known().await, "count the records of an absent table"), 0);
    stage(load.as_mut(), &bench.shape, &records).await;
    let outcome = fine(load.commit(&bench.commit(&records)).await, "commit");
    fine(load.close().await, "close");
    assert_eq!(outcome, Outcome { created: 3, ..Outcome::default() });
    assert_eq!(bench.rows().await, ["1 - 10", "2 two 20", "3  30"], "empty is not null");
    let table = fine(bench.database.describe(&kit.written("made")).await, "describe").expect("the table");
    assert_eq!(table.stream.primary_key, ["id"]);
    assert_eq!(table.stream.dialect, Some(kit.dialect().name));
    let kinds: Vec<_> = table.stream.fields.iter().map(|f| (f.name.as_str(), f.kind.clone())).collect();
    assert_eq!(kinds, [("id", FieldType::Int64), ("name", FieldType::Text), ("n", FieldType::Int64)]);
    assert!(table.stream.fields.iter().all(|f| f.native.is_some() && !f.limits.read_only));
    assert!(fine(bench.database.tables().await, "list tables").contains(&"made".to_owned()));
}

async fn only_what_differs_is_written(kit: &dyn Kit) {
    let rows =
        [(1, Some("one"), 1), (2, Some("two"), 2), (3, None, 3), (4, Some("four"), 4), (5, Some(""), 5)];
    let bench = Bench::with(kit, "merged", &rows).await;
    kit.run(&format!("CREATE TABLE touched (n {})", kit.dialect().own_types.2)).await;
    let triggers = kit.count_updates("merged");
    for statement in &triggers {
        kit.run(statement).await;
    }
    let records = [
        record(1, Some("one"), 1),
        record(2, Some("Two"), 2),
        record(3, Some(""), 3),
        record(4, Some("four"), 4),
        record(5, None, 5),
        record(6, Some("six"), 6),
    ];
    let commit = Commit { reindex: true, ..bench.commit(&records) };
    let outcome = bench.load(&records, &commit).await;
    assert_eq!(outcome, Outcome { created: 1, updated: 3, ..Outcome::default() }, "two are unchanged");
    assert_eq!(bench.rows().await, ["1 one 1", "2 Two 2", "3  3", "4 four 4", "5 - 5", "6 six 6"]);
    let again = bench.load(&records, &commit).await;
    assert_eq!(again, Outcome::default(), "the same rows change nothing");
    if !triggers.is_empty() {
        assert_eq!(bench.count("touched").await, 3, "unchanged rows are not written");
    }
}

async fn a_condition_keeps_updates_back(kit: &dyn Kit) {
    let bench = Bench::with(kit, "guarded", &[(1, Some("new"), 9), (2, Some("old"), 1)]).await;
    let records = [record(1, Some("late"), 8), record(2, Some("fresh"), 2)];
    let mut commit = bench.commit(&records);
    commit.merge.update_when = Some(format!("s.{n} > d.{n}", n = bench.q("n")));
    let outcome = bench.load(&records, &commit).await;
    assert_eq!(outcome, Outcome { updated: 1, ..Outcome::default() });
    assert_eq!(bench.rows().await, ["1 new 9", "2 fresh 2"]);
}

async fn appended_rows_are_added_whatever_they_are(kit: &dyn Kit) {
    let mut bench = Bench::new(kit, "appended").await;
    bench.shape = Shape { key: Vec::new(), changes: vec![Change::Create { key: Vec::new() }], ..bench.shape };
    let records = [record(1, Some("a"), 1), record(1, Some("a"), 1)];
    let append = |commit: Commit| Commit { merge: Merge { how: How::Append, ..commit.merge }, ..commit };
    let outcome = bench.load(&records, &append(bench.commit(&records))).await;
    assert_eq!(outcome.created, 2);
    let outcome = bench.load(&records[..1], &append(bench.commit(&records[..1]))).await;
    assert_eq!((outcome.created, bench.count(&bench.quoted()).await), (1, 3));
}

fn replace(commit: Commit) -> Commit {
    Commit { merge: Merge { how: How::Replace, ..commit.merge }, ..commit }
}

async fn a_replaced_table_that_is_absent_is_made(kit: &dyn Kit) {
    let mut bench = Bench::new(kit, "placed").await;
    bench.shape.takes_place = true;
    let records = [record(2, None, 2), record(1, Some("one"), 1)];
    let outcome = bench.load(&records, &replace(bench.commit(&records))).await;
    assert_eq!(outcome.created, 2);
    assert_eq!(bench.rows().await, ["1 one 1", "2 - 2"]);
    let table = fine(bench.database.describe(&kit.written("placed")).await, "describe").expect("the table");
    assert_eq!(table.stream.primary_key, ["id"]);
}

async fn what_hangs_on_a_replaced_table_stays(kit: &dyn Kit) {
    let mut bench = Bench::with(kit, "replaced", &[(1, Some("one"), 1), (2, Some("two"), 2)]).await;
    let (table, n) = (bench.quoted(), bench.q("n"));
    kit.run(&format!("CREATE INDEX {} ON {table} ({n})", bench.q("replaced n"))).await;
    kit.run(&format!("CREATE VIEW {} AS SELECT {n} FROM {table}", bench.q("replaced view"))).await;
    bench.shape.takes_place = true;
    for round in 0..2 {
        let records = [record(7, Some("seven"), 7 + round), record(8, None, 8), record(9, None, 9)];
        let outcome = bench.load(&records, &replace(bench.commit(&records))).await;
        assert_eq!(outcome.created, 3);
        assert_eq!(bench.rows().await, [format!("7 seven {}", 7 + round), "8 - 8".into(), "9 - 9".into()]);
    }
    assert_eq!(bench.count(&bench.q("replaced view")).await, 3, "the view shows the new rows");
    let table = fine(bench.database.describe(&kit.written("replaced")).await, "describe").expect("the table");
    assert_eq!(table.stream.primary_key, ["id"]);
    assert!(table.stream.indexed.contains(&"n".to_owned()), "the index stays: {:?}", table.stream.indexed);
    let outcome = bench.load(&[], &replace(bench.commit(&[]))).await;
    assert_eq!((outcome.created, bench.rows().await.len()), (0, 0), "what was listed is what is there");
}

async fn readers_never_see_half_a_table(kit: &dyn Kit) {
    let mut bench = Bench::with(kit, "watched", &[(1, Some("old"), 1)]).await;
    bench.shape.takes_place = true;
    let records: Vec<_> = (0..500).map(|id| record(id, Some("new"), id)).collect();
    let mut load = bench.staged(&records).await;
    let commit = replace(bench.commit(&records));
    let done = AtomicBool::new(false);
    let write = async {
        let outcome = load.commit(&commit).await;
        done.store(true, Ordering::Release);
        outcome
    };
    let watch = async {
        let mut seen = Vec::new();
        while !done.load(Ordering::Acquire) {
            seen.push(bench.count(&bench.quoted()).await);
            tokio::task::yield_now().await;
        }
        seen
    };
    let (outcome, seen) = tokio::join!(write, watch);
    fine(outcome, "replace while somebody reads");
    assert!(seen.iter().all(|n| [1, 500].contains(n)), "the old table or the new one: {seen:?}");
    assert_eq!(bench.count(&bench.quoted()).await, 500);
    fine(load.close().await, "close");
}

async fn doubtful_keys_are_taken_out(kit: &dyn Kit) {
    let bench = Bench::with(kit, "doubtful", &[]).await;
    let mut keyless = record(0, Some("nobody"), 0);
    keyless.0[0] = syncline_core::value::Value::Null;
    let records = [
        record(5, Some("a"), 1),
        keyless,
        record(6, Some("b"), 2),
        record(5, Some("c"), 3),
        record(5, None, 4),
    ];
    let mut load = bench.staged(&records).await;
    let doubtful = fine(load.exclude_doubtful().await, "look for doubtful keys");
    assert_eq!((doubtful.keyless, doubtful.doubled), (1, 3));
    assert_eq!(doubtful.keys, [["5"]]);
    let outcome = fine(load.commit(&bench.commit(&records[..1])).await, "commit");
    fine(load.close().await, "close");
    assert_eq!((outcome.created, bench.rows().await), (1, vec!["6 b 2".to_owned()]));
}
