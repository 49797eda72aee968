//! Loads of a part of a table: beside each other, and touching nothing else.

use std::{collections::BTreeMap, time::Duration};

use syncline_core::value::Value;

use super::{Bench, Kit, fine, record, refused, stage, tombstone};
use crate::{
    database::{Absent, Change, Claim, Commit, Gone, Load, Outcome},
    error::Kind,
};

pub(super) async fn run(kit: &dyn Kit) {
    a_listing_of_a_part_removes_only_its_own(kit).await;
    an_empty_listing_empties_the_part(kit).await;
    the_guard_counts_within_the_part(kit).await;
    a_look_sees_the_part_alone(kit).await;
    if kit.loads_parts_at_once() {
        two_parts_are_loaded_at_once(kit).await;
        the_first_two_make_the_table(kit).await;
    }
    the_same_part_waits(kit).await;
    the_whole_table_keeps_parts_out(kit).await;
    a_part_that_is_given_up_leaves_nothing(kit).await;
    statements_are_given_values(kit).await;
}

/// A table whose key begins with `n`, by which it is parted; of each row: n, id and name.
async fn bench<'a>(kit: &'a dyn Kit, table: &str, rows: &[(i64, i64, &str)]) -> Bench<'a> {
    let mut bench = Bench::new(kit, table).await;
    let key = vec!["n".to_owned(), "id".to_owned()];
    bench.shape.changes = vec![Change::Create { key: key.clone() }];
    bench.shape.key = key;
    if !rows.is_empty() {
        let layout =
            crate::database::dialect::Layout { columns: &bench.shape.columns, key: &bench.shape.key };
        kit.run(&kit.dialect().create_table(&bench.named(), layout)).await;
    }
    for (n, id, name) in rows {
        kit.run(&format!("INSERT INTO {} VALUES ({id}, '{name}', {n})", bench.quoted())).await;
    }
    bench
}

fn claim(bench: &Bench<'_>, part: i64) -> Claim {
    Claim {
        sync: format!("suite#{part}"),
        partition: vec![("n".to_owned(), part.to_string())],
        lock_timeout: Duration::from_secs(20),
        ..bench.claim()
    }
}

fn impatient(claim: Claim) -> Claim {
    Claim { lock_timeout: Duration::from_millis(50), ..claim }
}

async fn open(bench: &Bench<'_>, part: i64) -> Box<dyn Load> {
    fine(bench.database.open(&claim(bench, part)).await, "open a load of a part")
}

/// What a complete listing of `records` says.
fn listed(bench: &Bench<'_>, records: &[super::Record]) -> Commit {
    let mut commit = bench.commit(records);
    commit.merge.gone = Gone::Delete;
    Commit { absent: Absent::Unstaged, approved: Some(100), ..commit }
}

async fn load(bench: &Bench<'_>, part: i64, records: &[super::Record], commit: &Commit) -> Outcome {
    let mut load = open(bench, part).await;
    stage(load.as_mut(), &bench.shape, records).await;
    let outcome = fine(load.commit(commit).await, "commit a load of a part");
    fine(load.close().await, "close");
    outcome
}

async fn a_listing_of_a_part_removes_only_its_own(kit: &dyn Kit) {
    let rows = [(1, 1, "a"), (1, 2, "b"), (1, 3, "c"), (2, 1, "x"), (2, 9, "y")];
    let bench = bench(kit, "part listed", &rows).await;
    let records = [record(1, Some("a"), 1), record(2, Some("B"), 1), record(4, Some("d"), 1)];
    let outcome = load(&bench, 1, &records, &listed(&bench, &records)).await;
    assert_eq!(outcome, Outcome { created: 1, updated: 1, absent_deleted: 1, ..Outcome::default() });
    assert_eq!(bench.rows().await, ["1 a 1", "1 x 2", "2 B 1", "4 d 1", "9 y 2"]);
    let mut bench = bench;
    bench.shape.tombstones = true;
    let mut gone = tombstone(1);
    gone.0[2] = Value::Int64(1);
    let records = [gone];
    let commit = Commit { absent: Absent::Unknown, ..listed(&bench, &records) };
    let outcome = load(&bench, 1, &records, &commit).await;
    assert_eq!((outcome.tombstones, outcome.tombstones_deleted), (1, 1));
    assert_eq!(bench.rows().await, ["1 x 2", "2 B 1", "4 d 1", "9 y 2"], "the other 1 stays");
    let state = fine(bench.database.state("suite#1", &kit.written("part listed")).await, "read the state");
    assert_eq!(state.map(|state| state.epoch), Some(2), "each part has a state of its own");
    let state = fine(bench.database.state("suite#2", &kit.written("part listed")).await, "read the state");
    assert_eq!(state, None);
}

async fn an_empty_listing_empties_the_part(kit: &dyn Kit) {
    let bench = bench(kit, "part emptied", &[(1, 1, "a"), (1, 2, "b"), (2, 1, "x")]).await;
    let outcome = load(&bench, 1, &[], &listed(&bench, &[])).await;
    assert_eq!(outcome, Outcome { absent_deleted: 2, ..Outcome::default() });
    assert_eq!(bench.rows().await, ["1 x 2"]);
    let outcome = load(&bench, 1, &[], &listed(&bench, &[])).await;
    assert_eq!(outcome, Outcome::default(), "nothing is left to go");
}

async fn the_guard_counts_within_the_part(kit: &dyn Kit) {
    // 4 of 5 are more than the guard allows; 4 of the table's 45 would not be
    let mut rows: Vec<_> = (0..5).map(|id| (1, id, "a")).collect();
    rows.extend((0..40).map(|id| (2, id, "b")));
    let bench = bench(kit, "part guarded", &rows).await;
    let records = [record(0, Some("a"), 1)];
    let commit = Commit { approved: None, ..listed(&bench, &records) };
    let outcome = load(&bench, 1, &records, &commit).await;
    let held = outcome.held.expect("deletes are held");
    assert_eq!((held.count, outcome.absent_deleted), (4, 0));
    assert_eq!(held.keys, [["1", "1"], ["1", "2"], ["1", "3"], ["1", "4"]], "those of the part");
    assert_eq!(bench.rows().await.len(), 45);
}

async fn a_look_sees_the_part_alone(kit: &dyn Kit) {
    let bench = bench(kit, "part seen", &[(1, 1, "a"), (1, 2, "b"), (2, 1, "x"), (2, 2, "y")]).await;
    let dry = Claim { dry: true, ..claim(&bench, 1) };
    let mut look = fine(bench.database.open(&dry).await, "open a look");
    let records = [record(1, Some("A"), 1), record(7, None, 1)];
    stage(look.as_mut(), &bench.shape, &records).await;
    let preview = fine(look.preview(&listed(&bench, &records), 10).await, "preview");
    let counts = (preview.known, preview.created, preview.updated, preview.absent, preview.deleted);
    assert_eq!(counts, (2, 1, 1, 1, 1));
    fine(look.close().await, "close");
    assert_eq!(bench.rows().await, ["1 a 1", "1 x 2", "2 b 1", "2 y 2"]);
}

async fn two_parts_are_loaded_at_once(kit: &dyn Kit) {
    let bench = bench(kit, "side by side", &[(1, 1, "a"), (2, 1, "x"), (3, 1, "z")]).await;
    let (one, two) = ([record(5, Some("five"), 1)], [record(6, Some("six"), 2)]);
    // both are open, and staged, before either commits
    let (mut first, mut second) = (open(&bench, 1).await, open(&bench, 2).await);
    stage(first.as_mut(), &bench.shape, &one).await;
    stage(second.as_mut(), &bench.shape, &two).await;
    assert_eq!(fine(second.known().await, "count"), 1, "the records of the part");
    let (a, b) = tokio::join!(async { first.commit(&listed(&bench, &one)).await }, async {
        second.commit(&listed(&bench, &two)).await
    });
    assert_eq!((fine(a, "commit").created, fine(b, "commit").created), (1, 1));
    fine(first.close().await, "close");
    fine(second.close().await, "close");
    assert_eq!(bench.rows().await, ["1 z 3", "5 five 1", "6 six 2"]);
}

async fn the_first_two_make_the_table(kit: &dyn Kit) {
    let bench = bench(kit, "made by two", &[]).await;
    let (one, two) = ([record(5, Some("five"), 1)], [record(6, Some("six"), 2)]);
    let (mut first, mut second) = (open(&bench, 1).await, open(&bench, 2).await);
    assert!(first.table().is_none() && second.table().is_none());
    stage(first.as_mut(), &bench.shape, &one).await;
    stage(second.as_mut(), &bench.shape, &two).await;
    let whole = async |mut load: Box<dyn Load>, commit: Commit| {
        let outcome = load.commit(&commit).await;
        fine(load.close().await, "close");
        fine(outcome, "commit into a table that another makes").created
    };
    let created = tokio::join!(whole(first, listed(&bench, &one)), whole(second, listed(&bench, &two)));
    assert_eq!(created, (1, 1));
    assert_eq!(bench.rows().await, ["5 five 1", "6 six 2"]);
    let table = fine(bench.database.describe(&kit.written("made by two")).await, "describe");
    assert_eq!(table.expect("the table").stream.primary_key, ["n", "id"]);
}

async fn the_same_part_waits(kit: &dyn Kit) {
    let bench = bench(kit, "one at a time", &[(1, 1, "a")]).await;
    let first = open(&bench, 1).await;
    let again = impatient(claim(&bench, 1));
    let error = refused(bench.database.open(&again).await.map(drop), "open a part that is being loaded");
    assert_eq!(error.kind, Kind::Locked, "{error}");
    assert!(error.message.contains("one at a time"), "{error}");
    let claim = claim(&bench, 1);
    let release = async {
        tokio::task::yield_now().await;
        fine(first.close().await, "close the first");
    };
    let (second, ()) = tokio::join!(bench.database.open(&claim), release);
    fine(fine(second, "open after the first is done").close().await, "close the second");
}

async fn the_whole_table_keeps_parts_out(kit: &dyn Kit) {
    let bench = bench(kit, "whole or parts", &[(1, 1, "a")]).await;
    let whole = bench.open().await;
    let error = refused(
        bench.database.open(&impatient(claim(&bench, 1))).await.map(drop),
        "open a part of a table that is being loaded",
    );
    assert_eq!(error.kind, Kind::Locked, "{error}");
    fine(whole.close().await, "close the whole");
    let part = open(&bench, 1).await;
    let error = refused(
        bench.database.open(&impatient(bench.claim())).await.map(drop),
        "open a table of which a part is being loaded",
    );
    assert_eq!(error.kind, Kind::Locked, "{error}");
    fine(part.close().await, "close the part");
    fine(bench.open().await.close().await, "open and close the whole");
}

async fn a_part_that_is_given_up_leaves_nothing(kit: &dyn Kit) {
    let bench = bench(kit, "part given up", &[(1, 1, "a")]).await;
    fine(open(&bench, 1).await.close().await, "open and close, so that there is a table of states");
    let before = kit.tables().await;
    let records = [record(1, Some("b"), 1), record(2, Some("c"), 1)];
    let mut load = open(&bench, 1).await;
    stage(load.as_mut(), &bench.shape, &records).await;
    assert_eq!(kit.tables().await, before, "others see no staging table");
    drop(load);
    let load = open(&bench, 1).await;
    assert_eq!(kit.tables().await, before);
    fine(load.close().await, "close");
    assert_eq!(bench.rows().await, ["1 a 1"]);
}

async fn statements_are_given_values(kit: &dyn Kit) {
    let bench = bench(kit, "part summed", &[(1, 1, "a"), (2, 1, "x")]).await;
    let records = [record(1, Some("a"), 1)];
    let (table, name, n) = (bench.quoted(), bench.q("name"), bench.q("n"));
    let params = BTreeMap::from([
        ("what".to_owned(), Value::Text("it's :part".into())),
        ("part".to_owned(), Value::Int64(2)),
    ]);
    let after = |sql: String| Commit { after: vec![sql], params: params.clone(), ..listed(&bench, &records) };
    let update = after(format!("UPDATE {table} SET {name} = :what /* not :this */ WHERE {n} = :part"));
    load(&bench, 1, &records, &update).await;
    assert_eq!(bench.rows().await, ["1 a 1", "1 it's :part 2"]);
    let unknown = after(format!("UPDATE {table} SET {name} = :wat"));
    let mut load = open(&bench, 1).await;
    stage(load.as_mut(), &bench.shape, &records).await;
    let error = refused(load.commit(&unknown).await, "a statement with a parameter that has no value");
    assert!(error.message.contains("statement 1 of after") && error.message.contains("wat"), "{error}");
    assert!(!error.message.contains("it's"), "no value is told: {error}");
    drop(load);
    assert_eq!(bench.rows().await, ["1 a 1", "1 it's :part 2"], "nothing was changed");
}
