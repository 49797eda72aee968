//! Records that are gone: tombstones, absence, the guard, marks.

use syncline_core::{batch::RecordOp, schema::FieldType, value::Value};

use super::{Bench, Kit, batch, column, fine, record, stage, tombstone};
use crate::database::{Absent, Commit, Gone, Merge, Outcome};

pub(super) async fn run(kit: &dyn Kit) {
    tombstones_delete(kit).await;
    what_is_absent_is_deleted_when_the_guard_allows(kit).await;
    an_empty_listing_is_held(kit).await;
    named_keys_are_deleted(kit).await;
    for flag in [false, true] {
        marks_are_set_and_cleared(kit, flag).await;
    }
}

fn deleting(commit: Commit) -> Commit {
    Commit { merge: Merge { gone: Gone::Delete, ..commit.merge }, ..commit }
}

async fn tombstones_delete(kit: &dyn Kit) {
    let mut bench =
        Bench::with(kit, "buried", &[(1, Some("one"), 1), (2, Some("two"), 2), (3, None, 3)]).await;
    bench.shape.tombstones = true;
    let records = [tombstone(1), record(2, Some("zwei"), 2), tombstone(9), record(4, None, 4)];
    let outcome = bench.load(&records, &deleting(bench.commit(&records))).await;
    let expected =
        Outcome { created: 1, updated: 1, tombstones_deleted: 1, tombstones: 2, ..Outcome::default() };
    assert_eq!(outcome, expected, "of one there was nothing to delete");
    assert_eq!(bench.rows().await, ["2 zwei 2", "3 - 3", "4 - 4"]);
    let outcome = bench.load(&[tombstone(3)], &bench.commit(&[tombstone(3)])).await;
    assert_eq!((outcome.tombstones, outcome.tombstones_deleted), (1, 0), "where nothing is deleted");
    assert_eq!(bench.rows().await.len(), 3);
}

fn absent(commit: Commit) -> Commit {
    Commit { absent: Absent::Unstaged, ..deleting(commit) }
}

async fn what_is_absent_is_deleted_when_the_guard_allows(kit: &dyn Kit) {
    let rows: Vec<_> = (1..=10).map(|id| (id, Some("x"), 0)).collect();
    let bench = Bench::with(kit, "mirrored", &rows).await;
    let most: Vec<_> = (1..=8).map(|id| record(id, Some("x"), 0)).collect();
    let outcome = bench.load(&most, &absent(bench.commit(&most))).await;
    assert_eq!(outcome, Outcome { absent_deleted: 2, ..Outcome::default() });
    // five of eight are more than three and more than 30 %
    let few =
        [record(1, Some("x"), 1), record(2, Some("x"), 0), record(3, Some("x"), 0), record(20, None, 0)];
    let outcome = bench.load(&few, &absent(bench.commit(&few))).await;
    assert_eq!((outcome.created, outcome.updated, outcome.absent_deleted), (1, 1, 0), "upserts are done");
    let held = outcome.held.expect("deletes are held");
    let mut keys: Vec<_> = held.keys.concat();
    keys.sort();
    assert_eq!((held.count, keys), (5, ["4", "5", "6", "7", "8"].map(str::to_owned).to_vec()));
    assert!(held.reason.contains("5 of 9"), "{}", held.reason);
    assert_eq!(bench.rows().await.len(), 9);
    let approved = |n| Commit { approved: Some(n), ..absent(bench.commit(&few)) };
    assert!(bench.load(&few, &approved(4)).await.held.is_some(), "an approval covers as many as it says");
    let outcome = bench.load(&few, &approved(5)).await;
    assert_eq!((outcome.absent_deleted, outcome.held), (5, None));
    assert_eq!(bench.rows().await, ["1 x 1", "2 x 0", "3 x 0", "20 - 0"]);
}

async fn an_empty_listing_is_held(kit: &dyn Kit) {
    let bench = Bench::with(kit, "emptied", &[(1, None, 1)]).await;
    let outcome = bench.load(&[], &absent(bench.commit(&[]))).await;
    assert_eq!(outcome.held.map(|held| held.count), Some(1), "an empty source deletes nothing");
    assert_eq!(bench.rows().await.len(), 1);
}

async fn named_keys_are_deleted(kit: &dyn Kit) {
    let rows: Vec<_> = (1..=10).map(|id| (id, None, 0)).collect();
    let bench = Bench::with(kit, "named", &rows).await;
    let mut load = bench.open().await;
    stage(load.as_mut(), &bench.shape, &[record(1, Some("here"), 0)]).await;
    let key = &bench.shape.columns[..1];
    let gone = |id| (vec![Value::Int64(id)], RecordOp::Upsert);
    let keys = vec![batch(key, &[gone(4), gone(77)]), batch(key, &[gone(6)])];
    fine(load.stage_gone(keys).await, "stage keys that are gone");
    let records = [record(1, Some("here"), 0)];
    let commit = Commit { absent: Absent::Named, ..deleting(bench.commit(&records)) };
    let outcome = fine(load.commit(&commit).await, "commit");
    fine(load.close().await, "close");
    assert_eq!(outcome, Outcome { updated: 1, absent_deleted: 2, ..Outcome::default() });
    let left: Vec<_> = bench.read(&["id"]).await.concat().into_iter().flatten().collect();
    assert_eq!(left, ["1", "2", "3", "5", "7", "8", "9", "10"]);
    assert!(!kit.tables().await.iter().any(|t| t.ends_with("_gone")), "the keys are taken away again");
}

async fn marks_are_set_and_cleared(kit: &dyn Kit, flag: bool) {
    let kind = if flag { FieldType::Boolean } else { FieldType::Timestamp { zoned: true } };
    let mut bench = Bench::new(kit, if flag { "flagged" } else { "marked" }).await;
    let mark = column(kit, "gone", kind, false);
    let records = [record(1, Some("one"), 1), record(2, Some("two"), 2), record(3, None, 3)];
    bench.load(&records, &bench.commit(&records)).await;
    let sql = kit.dialect().add_column(&bench.named(), &mark);
    kit.run(&sql).await;
    let marking = |commit: Commit| {
        let gone = Gone::Mark { column: "gone".into(), flag };
        Commit { absent: Absent::Unstaged, merge: Merge { gone, ..commit.merge }, ..commit }
    };
    let is_marked = |rows: Vec<Vec<Option<String>>>| -> Vec<bool> {
        let no = [None, Some("0"), Some("false")];
        rows.iter().map(|row| !no.contains(&row[1].as_deref())).collect()
    };
    let first = &records[..2];
    for (round, expected) in [1, 0].into_iter().enumerate() {
        let outcome = bench.load(first, &marking(bench.commit(first))).await;
        assert_eq!(outcome, Outcome { absent_deleted: expected, ..Outcome::default() }, "round {round}");
        assert_eq!(is_marked(bench.read(&["id", "gone"]).await), [false, false, true]);
    }
    bench.shape.tombstones = true;
    let dead = [tombstone(2), record(1, Some("one"), 1)];
    for expected in [1, 0] {
        let commit = Commit { absent: Absent::Unknown, ..marking(bench.commit(&dead)) };
        let outcome = bench.load(&dead, &commit).await;
        assert_eq!((outcome.tombstones, outcome.tombstones_deleted), (1, expected));
    }
    assert_eq!(bench.rows().await, ["1 one 1", "2 two 2", "3 - 3"], "a marked record keeps its values");
    bench.shape.tombstones = false;
    let outcome = bench.load(&records, &marking(bench.commit(&records))).await;
    assert_eq!(outcome, Outcome { updated: 2, ..Outcome::default() }, "both are back");
    assert_eq!(is_marked(bench.read(&["id", "gone"]).await), [false, false, false]);
}
