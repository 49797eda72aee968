//! A look at what a load would do.

use super::{Bench, Kit, fine, record, refused, stage, tombstone};
use crate::database::{Absent, Claim, Commit, Gone, Preview};

pub(super) async fn run(kit: &dyn Kit) {
    a_preview_is_what_the_commit_does(kit).await;
    a_look_at_an_absent_table(kit).await;
}

async fn preview(bench: &Bench<'_>, records: &[super::Record], commit: &Commit) -> Preview {
    let before = (bench.kit.tables().await, bench.kit.rows(&states(bench)).await);
    let claim = Claim { dry: true, ..bench.claim() };
    let mut load = fine(bench.database.open(&claim).await, "open a look");
    stage(load.as_mut(), &bench.shape, records).await;
    let preview = fine(load.preview(commit, 2).await, "preview");
    refused(load.commit(commit).await, "commit a look");
    fine(load.close().await, "close a look");
    let after = (bench.kit.tables().await, bench.kit.rows(&states(bench)).await);
    assert_eq!(before, after, "a look writes nothing");
    preview
}

fn states(bench: &Bench<'_>) -> String {
    let text = |name: &str| (bench.kit.dialect().as_text)(&bench.q(name));
    format!("SELECT {}, {} FROM syncline_state ORDER BY 1, 2", text("table_name"), text("epoch"))
}

async fn a_preview_is_what_the_commit_does(kit: &dyn Kit) {
    let rows: Vec<_> = (1..=6).map(|id| (id, Some("x"), 0)).collect();
    let mut bench = Bench::with(kit, "looked", &rows).await;
    bench.shape.tombstones = true;
    let records = [
        record(1, Some("x"), 0),
        record(2, Some("y"), 0),
        record(3, None, 0),
        tombstone(4),
        tombstone(99),
        record(7, Some("new"), 7),
        record(8, None, 8),
        record(9, None, 9),
    ];
    let mut commit = Commit { absent: Absent::Unstaged, ..bench.commit(&records) };
    commit.merge.gone = Gone::Delete;
    let preview = preview(&bench, &records, &commit).await;
    assert_eq!((preview.created, preview.updated, preview.tombstones), (3, 2, 2));
    assert_eq!((preview.deleted, preview.absent, preview.known), (3, 2, 6));
    let named = |action: &str| preview.records.iter().filter(|r| r.action == action).count();
    assert_eq!((named("create"), named("update")), (2, 2), "as many as were asked for");
    let update = preview.records.iter().find(|r| r.action == "update" && r.key == ["2"]).expect("record 2");
    assert_eq!(update.changes, [("name".to_owned(), Some("x".to_owned()), Some("y".to_owned()))]);
    assert!(preview.records.iter().any(|r| r.action == "delete" && r.key == ["4"]));
    let outcome = bench.load(&records, &commit).await;
    assert_eq!((outcome.created, outcome.updated, outcome.tombstones), (3, 2, 2));
    assert_eq!(outcome.absent_deleted + outcome.tombstones_deleted, preview.deleted);
}

async fn a_look_at_an_absent_table(kit: &dyn Kit) {
    let bench = Bench::new(kit, "unseen").await;
    let records = [record(1, None, 1), record(2, None, 2)];
    let preview = preview(&bench, &records, &bench.commit(&records)).await;
    assert_eq!((preview.created, preview.updated, preview.deleted), (2, 0, 0));
    let described = fine(bench.database.describe(&kit.written("unseen")).await, "describe");
    assert!(described.is_none(), "a look makes no table");
}
