//! Exactly once: epochs, locks, leftovers, and transactions that fail.

use std::time::Duration;

use super::{Bench, Kit, SYNC, fine, record, refused};
use crate::{
    database::{Claim, Commit, State},
    error::Kind,
};

pub(super) async fn run(kit: &dyn Kit) {
    the_cursor_commits_with_the_data(kit).await;
    an_overtaken_load_cannot_commit(kit).await;
    a_second_load_waits_or_says_who(kit).await;
    loads_of_two_tables_do_not_wait(kit).await;
    leftovers_are_taken_away(kit).await;
    what_fails_leaves_nothing(kit).await;
}

async fn state(bench: &Bench<'_>) -> Option<State> {
    let table = bench.kit.written(&bench.table);
    fine(bench.database.state(SYNC, &table).await, "read the state")
}

async fn the_cursor_commits_with_the_data(kit: &dyn Kit) {
    let bench = Bench::new(kit, "remembered").await;
    assert_eq!(state(&bench).await, None, "nothing yet");
    let records = [record(1, None, 1)];
    let cursor = r#"{"cursor":"a 'quoted' \"thing\" 🙂"}"#;
    let commit = Commit { cursor: Some(cursor.into()), started_at: 5, ..bench.commit(&records) };
    bench.load(&records, &commit).await;
    let expected = State { epoch: 1, cursor: Some(cursor.into()), started_at: Some(5) };
    assert_eq!(state(&bench).await, Some(expected.clone()));
    let load = bench.open().await;
    assert_eq!(load.state(), Some(&expected), "what was remembered before this load");
    fine(load.close().await, "close");
    let commit = Commit { cursor: None, started_at: 7, ..bench.commit(&records) };
    bench.load(&records, &commit).await;
    let expected = State { epoch: 3, cursor: Some(cursor.into()), started_at: Some(7) };
    assert_eq!(state(&bench).await, Some(expected), "a load without a cursor leaves the one there is");
    let other = Claim { sync: "another".into(), ..bench.claim() };
    let load = fine(bench.database.open(&other).await, "open a load of another sync");
    assert_eq!(load.state(), None, "each sync has its own");
    fine(load.close().await, "close");
}

async fn an_overtaken_load_cannot_commit(kit: &dyn Kit) {
    let bench = Bench::with(kit, "overtaken", &[(1, Some("old"), 1)]).await;
    let records = [record(1, Some("new"), 2)];
    let mut load = bench.staged(&records).await;
    let epoch = bench.q("epoch");
    kit.run(&format!("UPDATE syncline_state SET {epoch} = {epoch} + 1")).await;
    let error = refused(load.commit(&bench.commit(&records)).await, "commit after another claim");
    assert_eq!(error.kind, Kind::Locked, "{error}");
    drop(load);
    assert_eq!(bench.rows().await, ["1 old 1"], "nothing was changed");
    // the next load of the table takes away what this one left
    fine(bench.open().await.close().await, "open and close another load");
}

async fn a_second_load_waits_or_says_who(kit: &dyn Kit) {
    let bench = Bench::with(kit, "contended", &[]).await;
    let first = bench.open().await;
    let impatient =
        Claim { lock_timeout: Duration::from_millis(50), sync: "another".into(), ..bench.claim() };
    let error = refused(bench.database.open(&impatient).await.map(drop), "open a table that is being loaded");
    assert_eq!(error.kind, Kind::Locked, "{error}");
    assert!(error.message.contains("contended") && error.hint.is_some(), "{error}: {:?}", error.hint);
    let claim = bench.claim();
    let wait = bench.database.open(&claim);
    let release = async {
        tokio::task::yield_now().await;
        fine(first.close().await, "close the first");
    };
    let (second, ()) = tokio::join!(wait, release);
    fine(fine(second, "open after the first is done").close().await, "close the second");
}

async fn loads_of_two_tables_do_not_wait(kit: &dyn Kit) {
    let (one, two) = (Bench::with(kit, "left", &[]).await, Bench::with(kit, "right", &[]).await);
    let (a, b) = ([record(1, None, 1)], [record(2, None, 2)]);
    let (mut first, mut second) = (one.staged(&a).await, two.staged(&b).await);
    fine(first.commit(&one.commit(&a)).await, "commit the first");
    fine(second.commit(&two.commit(&b)).await, "commit the second");
    fine(first.close().await, "close");
    fine(second.close().await, "close");
    assert_eq!((one.rows().await.len(), two.rows().await.len()), (1, 1));
}

/// Tables of ours, but for the one of states.
async fn leftovers(kit: &dyn Kit) -> Vec<String> {
    let ours = |name: &String| name.starts_with("syncline_") && name != "syncline_state";
    kit.tables().await.into_iter().filter(ours).collect()
}

async fn leftovers_are_taken_away(kit: &dyn Kit) {
    let bench = Bench::with(kit, "littered", &[(1, None, 1)]).await;
    drop(bench.staged(&[record(1, Some("never"), 1), record(2, None, 2)]).await);
    let load = bench.open().await;
    assert_eq!(leftovers(kit).await, Vec::<String>::new(), "what a dead load left is gone");
    fine(load.close().await, "close");
    let load = bench.staged(&[record(2, None, 2)]).await;
    fine(load.close().await, "close a load that did not commit");
    assert_eq!(leftovers(kit).await, Vec::<String>::new(), "a closed load leaves nothing");
    assert_eq!(bench.rows().await, ["1 - 1"]);
}

async fn what_fails_leaves_nothing(kit: &dyn Kit) {
    let bench = Bench::with(kit, "failing", &[(1, Some("old"), 1)]).await;
    let records = [record(1, Some("new"), 2), record(2, None, 2)];
    let good = format!("UPDATE {} SET {n} = {n} + 100", bench.quoted(), n = bench.q("n"));
    let after = vec![good.clone(), "this is no statement".into()];
    let mut load = bench.staged(&records).await;
    let error = refused(load.commit(&Commit { after, ..bench.commit(&records) }).await, "a broken statement");
    assert!(error.message.starts_with("statement 2 of after: "), "{error}");
    assert_eq!(bench.rows().await, ["1 old 1"], "all of it is undone");
    assert_eq!(state(&bench).await.and_then(|s| s.cursor), None, "the cursor too");
    fine(load.close().await, "close after a failure");
    assert_eq!(leftovers(kit).await, Vec::<String>::new());
    let commit = Commit { after: vec![good], ..bench.commit(&records) };
    bench.load(&records, &commit).await;
    assert_eq!(bench.rows().await, ["1 new 102", "2 - 102"], "after the merge, in the same transaction");
}
