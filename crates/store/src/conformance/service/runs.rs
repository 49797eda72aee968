//! Runs of syncs by pages, and where each sync stands.

use std::{collections::BTreeMap, sync::Arc};

use syncline_core::{
    counts::Counts,
    cursor::{Cursor, Position},
    run::Status,
    value::Value,
};

use super::{ServicePlace, world::Shared};
use crate::{
    About, Checkpoint, NewRun, Parked, RunEnd, RunId,
    conformance::world::{at, end, hold, new_run, park},
    service::{RunFilter, Summary},
};

/// A whole run of a sync by a schedule.
async fn run(store: &Shared, sync: &str, schedule: Option<&str>, status: Status, seconds: i64) -> RunId {
    let lease = store.claim(sync, at(seconds)).await.expect("a claim");
    let about = About { schedule: schedule.map(str::to_owned), ..About::default() };
    let run = store.start_run(&lease, NewRun { about, ..new_run(seconds) }).await.expect("a run");
    store.finish_run(&lease, run, end(status, seconds + 1)).await.expect("an end");
    run
}

pub(super) async fn runs_are_walked_by_pages(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let mut ids = Vec::new();
    for n in 0..6 {
        let status = if n % 3 == 0 { Status::Failed } else { Status::Succeeded };
        ids.push(run(&store, if n % 2 == 0 { "projects" } else { "clients" }, None, status, n).await);
    }
    let page = async |sync: Option<&str>, status, before, limit| {
        let filter = RunFilter { sync: sync.map(str::to_owned), status, before };
        let runs = store.page_runs(&filter, limit).await.expect("runs");
        runs.iter().map(|run| run.id).collect::<Vec<_>>()
    };
    let expect = |numbers: &[usize]| numbers.iter().map(|n| ids[*n]).collect::<Vec<_>>();
    assert_eq!(page(None, None, None, 2).await, expect(&[5, 4]));
    assert_eq!(page(None, None, Some(ids[4]), 3).await, expect(&[3, 2, 1]));
    assert_eq!(page(None, None, Some(ids[0]), 3).await, expect(&[]));
    assert_eq!(page(None, None, Some(u64::MAX), usize::MAX).await, expect(&[5, 4, 3, 2, 1, 0]));
    assert_eq!(page(Some("projects"), None, Some(ids[4]), 9).await, expect(&[2, 0]));
    assert_eq!(page(None, Some(Status::Failed), None, 9).await, expect(&[3, 0]));
    assert_eq!(page(Some("clients"), Some(Status::Failed), None, 9).await, expect(&[3]));
    assert_eq!(page(Some("unheard of"), None, None, 9).await, expect(&[]));
    let whole = store.page_runs(&RunFilter::default(), 1).await.expect("runs");
    assert_eq!(Some(&whole[0]), store.run(ids[5]).await.expect("run").as_ref(), "the same run, whole");
}

pub(super) async fn a_summary_says_where_a_sync_stands(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    assert_eq!(store.summaries().await.expect("summaries"), []);
    let one = async |sync: &str| {
        let all = store.summaries().await.expect("summaries");
        all.into_iter().find(|summary| summary.sync == sync).expect("the sync is known")
    };
    run(&store, "projects", Some("daily"), Status::Succeeded, 10).await;
    run(&store, "projects", Some("hourly"), Status::Partial, 20).await;
    run(&store, "projects", None, Status::Succeeded, 30).await;
    run(&store, "projects", Some("hourly"), Status::Failed, 40).await;
    run(&store, "projects", Some("hourly"), Status::Cancelled, 50).await;
    let last = run(&store, "projects", Some("daily"), Status::Failed, 60).await;
    drop(store.claim("clients", at(0)).await.expect("a claim"));
    let expected = Summary {
        sync: "projects".to_owned(),
        last: store.run(last).await.expect("run"),
        last_success_started_at: Some(at(30)),
        last_success_at: Some(at(31)),
        by_schedule: BTreeMap::from([
            ("daily".to_owned(), (at(10), at(11))),
            ("hourly".to_owned(), (at(20), at(21))),
        ]),
        failures: 2,
        cursor: None,
        parked: 0,
        conflicted: 0,
        held: 0,
    };
    assert_eq!(one("projects").await, expected);
    let unrun = Summary {
        sync: "clients".to_owned(),
        last: None,
        last_success_started_at: None,
        last_success_at: None,
        by_schedule: BTreeMap::new(),
        failures: 0,
        ..expected
    };
    assert_eq!(one("clients").await, unrun);
    let names: Vec<_> = store.summaries().await.expect("summaries").into_iter().map(|s| s.sync).collect();
    assert_eq!(names, ["clients", "projects"]);

    let lease = store.claim("projects", at(70)).await.expect("a claim");
    let run = store.start_run(&lease, new_run(70)).await.expect("a run");
    let position = Position { cursor: Value::Int64(7), key: vec![Value::Int64(1)] };
    let cursor = Cursor { position: Some(position), fingerprint: "f".to_owned() };
    let conflict = Parked { code: "conflict".to_owned(), ..park(3, 1, 1) };
    let checkpoint = Checkpoint {
        parked: vec![park(1, 1, 1), park(2, 1, 1), conflict],
        held: Some(vec![hold(4)]),
        cursor: Some(cursor.clone()),
        counts: Counts { read: 5, created: 1, ..Counts::default() },
        by_stream: BTreeMap::from([("Active".to_owned(), Counts { created: 1, ..Counts::default() })]),
        ..Checkpoint::default()
    };
    store.checkpoint(&lease, run, checkpoint).await.expect("a checkpoint");
    let running = one("projects").await;
    assert_eq!(running.last, store.run(run).await.expect("run"), "also while it runs, with its account");
    assert_eq!((running.parked, running.conflicted, running.held), (2, 1, 1));
    assert_eq!((running.cursor, running.failures), (Some(cursor), 2));
    let counts = Counts { read: 1, created: 1, ..Counts::default() };
    store.finish_run(&lease, run, RunEnd { counts, ..end(Status::Partial, 80) }).await.expect("an end");
    let done = one("projects").await;
    assert_eq!((done.failures, done.last_success_at), (0, Some(at(80))));
}
