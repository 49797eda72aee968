//! Runs of chains, their steps, and backfills.

use std::sync::Arc;

use syncline_core::{
    chain::{ChainStatus, StepStatus},
    run::Status,
};

use super::{
    ServicePlace,
    world::{asked, at, claim, claimed, end, enqueue, found, projects, refused},
};
use crate::service::{
    Backfill, BackfillProgress, ChainEnd, ChainFilter, ChainRun, NewBackfill, NewChainRun, OccurrenceState,
    StepRecord, Subject,
};

/// A run of steps `load` (required) and `tell` (optional).
pub(super) fn new_run(chain: &str, seconds: i64) -> NewChainRun {
    NewChainRun {
        chain: chain.to_owned(),
        steps: vec![("load".to_owned(), true), ("tell".to_owned(), false)],
        schedule: Some("nightly".to_owned()),
        correlation: "c-1".to_owned(),
        at: at(seconds),
    }
}

/// A required step that waits.
pub(super) fn step(name: &str) -> StepRecord {
    StepRecord {
        step: name.to_owned(),
        required: true,
        status: StepStatus::Waiting,
        run: None,
        attempts: 0,
        started_at: None,
        finished_at: None,
        error: None,
        detail: None,
    }
}

/// A plain end.
pub(super) fn ended(status: ChainStatus, seconds: i64) -> ChainEnd {
    ChainEnd { status, error: None, at: at(seconds) }
}

/// A backfill under way.
pub(super) fn progress(seconds: i64) -> BackfillProgress {
    BackfillProgress { status: Status::Running, done_until: None, run: None, error: None, at: at(seconds) }
}

fn failure() -> Option<(String, String)> {
    Some(("check.rows".to_owned(), "no rows".to_owned()))
}

pub(super) async fn a_chain_goes_from_running_to_its_end(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let claim = claimed(&store, Subject::chain("daily"), 0).await.id;
    let run = store.start_chain(&claim, new_run("daily", 1)).await.expect("a run");
    assert_eq!(found(&store, claim.occurrence).await.run, Some(run), "the claim names it");
    let tell = StepRecord { required: false, ..step("tell") };
    let expected = ChainRun {
        id: run,
        chain: "daily".to_owned(),
        status: ChainStatus::Running,
        schedule: Some("nightly".to_owned()),
        correlation: "c-1".to_owned(),
        started_at: at(1),
        resumed_at: None,
        finished_at: None,
        worked_ms: 0,
        error: None,
        steps: vec![step("load"), tell.clone()],
    };
    assert_eq!(store.chain_run(run).await.expect("run"), Some(expected.clone()));
    let load = StepRecord {
        status: StepStatus::Failed,
        run: Some(12),
        attempts: 1,
        started_at: Some(at(2)),
        finished_at: Some(at(3)),
        error: failure(),
        detail: Some("0 rows".to_owned()),
        ..step("load")
    };
    store.record_step(&claim, run, &load).await.expect("a step");
    // The definition may have grown.
    let late = StepRecord { status: StepStatus::Running, started_at: Some(at(3)), ..step("late") };
    store.record_step(&claim, run, &late).await.expect("a step");
    let found = store.chain_run(run).await.expect("run").expect("the run");
    assert_eq!(found.steps, [load.clone(), tell.clone(), late.clone()]);

    refused("running is no end", store.finish_chain(&claim, run, ended(ChainStatus::Running, 9)).await);
    let end = ChainEnd { error: failure(), ..ended(ChainStatus::Failed, 9) };
    store.finish_chain(&claim, run, end).await.expect("an end");
    let found = store.chain_run(run).await.expect("run").expect("the run");
    let cancelled =
        |step: StepRecord| StepRecord { status: StepStatus::Cancelled, finished_at: Some(at(9)), ..step };
    let expected = ChainRun {
        status: ChainStatus::Failed,
        finished_at: Some(at(9)),
        worked_ms: 8_000,
        error: failure(),
        steps: vec![load.clone(), cancelled(tell), cancelled(late)],
        ..expected
    };
    assert_eq!(found, expected);
    refused("it is over", store.record_step(&claim, run, &load).await);
    refused("it is over", store.finish_chain(&claim, run, ended(ChainStatus::Completed, 10)).await);
    assert_eq!(store.chain_run(run).await.expect("run"), Some(expected));
    assert_eq!(store.chain_run(run + 1).await.expect("run"), None);
}

pub(super) async fn a_chain_is_resumed_on_the_same_run(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let first = claimed(&store, Subject::chain("daily"), 0).await.id;
    let run = store.start_chain(&first, new_run("daily", 0)).await.expect("a run");
    let load = StepRecord {
        status: StepStatus::Failed,
        run: Some(12),
        attempts: 1,
        started_at: Some(at(1)),
        finished_at: Some(at(4)),
        error: failure(),
        ..step("load")
    };
    let tell = StepRecord {
        required: false,
        status: StepStatus::Succeeded,
        attempts: 1,
        started_at: Some(at(1)),
        finished_at: Some(at(2)),
        ..step("tell")
    };
    for step in [&load, &tell] {
        store.record_step(&first, run, step).await.expect("a step");
    }
    let failed = ChainEnd { error: failure(), ..ended(ChainStatus::Failed, 5) };
    store.finish_chain(&first, run, failed).await.expect("an end");
    store.finish(&first, end(Status::Failed, 5)).await.expect("finish");

    let second = claimed(&store, Subject::chain("daily"), 100).await.id;
    let unheard = ["load".to_owned(), "unheard of".to_owned()];
    refused("a step that is not there", store.reopen_chain(&second, run, &unheard, at(100)).await);
    let before = store.chain_run(run).await.expect("run").expect("the run");
    assert_eq!(before.status, ChainStatus::Failed);
    store.reopen_chain(&second, run, &["load".to_owned()], at(100)).await.expect("reopen");
    assert_eq!(found(&store, second.occurrence).await.run, Some(run));
    let open = store.chain_run(run).await.expect("run").expect("the run");
    assert_eq!((open.status, open.started_at, open.resumed_at), (ChainStatus::Running, at(0), Some(at(100))));
    assert_eq!((open.finished_at, open.worked_ms, open.error), (None, 5_000, None));
    assert_eq!(open.steps, [StepRecord { attempts: 1, ..step("load") }, tell], "the others stay");

    // A node dies; the next one goes on with the same stretch.
    let later = place.expire_leases(at(103)).await;
    let third = claim(&store, "node-b", 9, later).await[0].id;
    store.reopen_chain(&third, run, &["load".to_owned()], at(104)).await.expect("reopen");
    assert_eq!(store.chain_run(run).await.expect("run").expect("the run").resumed_at, Some(at(100)));
    store.finish_chain(&third, run, ended(ChainStatus::Completed, 107)).await.expect("an end");
    let closed = store.chain_run(run).await.expect("run").expect("the run");
    assert_eq!((closed.status, closed.worked_ms), (ChainStatus::Completed, 12_000), "5 s and 7 s");
}

pub(super) async fn a_claim_is_good_for_its_own_chain(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let daily = claimed(&store, Subject::chain("daily"), 0).await.id;
    let weekly = claimed(&store, Subject::chain("weekly"), 0).await.id;
    let sync = claimed(&store, Subject::sync("daily"), 0).await.id;
    let run = store.start_chain(&daily, new_run("daily", 0)).await.expect("a run");
    let before = store.chain_run(run).await.expect("run");
    for (what, other) in [("another chain", weekly), ("a sync of that name", sync)] {
        refused(what, store.start_chain(&other, new_run("daily", 1)).await);
        refused(what, store.record_step(&other, run, &step("load")).await);
        refused(what, store.reopen_chain(&other, run, &[], at(1)).await);
        refused(what, store.finish_chain(&other, run, ended(ChainStatus::Failed, 1)).await);
    }
    refused("no such run", store.record_step(&daily, run + 1, &step("load")).await);
    assert_eq!(store.chain_run(run).await.expect("run"), before);
    let twice = NewChainRun { steps: vec![("load".to_owned(), true); 2], ..new_run("daily", 1) };
    refused("two steps of one name", store.start_chain(&daily, twice).await);
    assert_eq!(found(&store, daily.occurrence).await.run, Some(run));
}

pub(super) async fn a_cancelled_chain_is_closed(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let claim = claimed(&store, Subject::chain("daily"), 0).await.id;
    let run = store.start_chain(&claim, new_run("daily", 0)).await.expect("a run");
    store.release(&[claim], at(2)).await.expect("release");
    assert_eq!(store.chain_run(run).await.expect("run").expect("the run").status, ChainStatus::Running);
    let state = store.cancel(claim.occurrence, at(4)).await.expect("cancel");
    assert_eq!(state, Some(OccurrenceState::Cancelled));
    let closed = store.chain_run(run).await.expect("run").expect("the run");
    assert_eq!((closed.status, closed.finished_at), (ChainStatus::Cancelled, Some(at(4))));
    assert!(closed.steps.iter().all(|step| step.status == StepStatus::Cancelled));
}

pub(super) async fn runs_of_chains_are_listed_newest_first(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let daily = claimed(&store, Subject::chain("daily"), 0).await.id;
    let weekly = claimed(&store, Subject::chain("weekly"), 0).await.id;
    let first = store.start_chain(&daily, new_run("daily", 0)).await.expect("a run");
    store.finish_chain(&daily, first, ended(ChainStatus::Partial, 1)).await.expect("an end");
    let second = store.start_chain(&weekly, new_run("weekly", 2)).await.expect("a run");
    let third = store.start_chain(&daily, new_run("daily", 3)).await.expect("a run");
    let list = async |chain: Option<&str>, status, before, limit| {
        let filter = ChainFilter { chain: chain.map(str::to_owned), status, before };
        let runs = store.chain_runs(&filter, limit).await.expect("runs");
        assert!(runs.iter().all(|run| run.steps.len() == 2));
        runs.iter().map(|run| run.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, None, 9).await, [third, second, first]);
    assert_eq!(list(None, None, Some(third), 1).await, [second]);
    assert_eq!(list(Some("daily"), None, None, 9).await, [third, first]);
    assert_eq!(list(Some("daily"), Some(ChainStatus::Partial), None, 9).await, [first]);
    assert_eq!(list(None, Some(ChainStatus::Running), None, usize::MAX).await, [third, second]);
    assert!(list(Some("unheard of"), None, None, 9).await.is_empty());
}

pub(super) async fn a_backfill_is_recorded(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let new = |sync: &str| NewBackfill {
        sync: sync.to_owned(),
        from: "2026-01-01T00:00:00Z".to_owned(),
        to: "2026-02-01T00:00:00Z".to_owned(),
        requested_by: "ops".to_owned(),
    };
    let id = store.create_backfill(new("projects"), at(0)).await.expect("a backfill");
    let other = store.create_backfill(new("clients"), at(1)).await.expect("a backfill");
    let queued = BackfillProgress { status: Status::Queued, ..progress(0) };
    let expected = Backfill { id, asked: new("projects"), created_at: at(0), progress: queued };
    assert_eq!(store.backfill(id).await.expect("backfill"), Some(expected.clone()));

    enqueue(&store, asked(projects(), 0), at(0)).await;
    let elsewhere = claim(&store, "node-a", 1, at(0)).await[0].id;
    let held = claimed(&store, Subject::backfill(id), 2).await.id;
    let failed = BackfillProgress {
        status: Status::Failed,
        done_until: Some("2026-01-15T00:00:00Z".to_owned()),
        run: Some(8),
        error: failure(),
        at: at(5),
    };
    refused("a claim of a sync", store.record_backfill(&elsewhere, id, &failed).await);
    refused("another backfill", store.record_backfill(&held, other, &failed).await);
    assert_eq!(store.backfill(id).await.expect("backfill"), Some(expected.clone()));
    store.record_backfill(&held, id, &failed).await.expect("progress");
    let expected = Backfill { progress: failed, ..expected };
    assert_eq!(store.backfill(id).await.expect("backfill"), Some(expected));

    let list = async |sync, before, limit| {
        let backfills = store.backfills(sync, before, limit).await.expect("backfills");
        backfills.iter().map(|backfill| backfill.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, 9).await, [other, id]);
    assert_eq!(list(None, None, 1).await, [other]);
    assert_eq!(list(None, Some(other), 9).await, [id]);
    assert_eq!(list(Some("projects"), None, 9).await, [id]);
    assert_eq!(store.backfill(u64::MAX).await.expect("backfill"), None);
}
