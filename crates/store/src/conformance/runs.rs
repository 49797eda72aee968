//! Runs and the units they spent.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use syncline_core::{counts::Counts, run::Status, sync::Mode};

use super::{
    Place,
    world::{SYNC, World, at, create, days, end, new_run, park},
};
use crate::{About, Checkpoint, Error, NewRun, Parked, RunEnd};

pub(super) async fn a_run_goes_from_running_to_its_end(place: Arc<dyn Place>) {
    let World { store, lease, run: first } = World::of(&place).await;
    store.finish_run(&lease, first, end(Status::Succeeded, 1)).await.expect("an end");
    let reason = Some("the mapping changed".to_owned());
    let about = About {
        source: Some("erp".to_owned()),
        table: Some("Active".to_owned()),
        schedule: Some("hourly".to_owned()),
        correlation: Some("c-1".to_owned()),
        retry_of: Some(first),
        owner: Some("0d9b7a1e-6a9e-4d0e-9a54-3b9d7f1c2e10".to_owned()),
        params: BTreeMap::from([("webinar".to_owned(), "w 'é'".to_owned())]),
    };
    let new = NewRun { mode: Mode::Incremental, reason: reason.clone(), about: about.clone(), at: at(2) };
    let run = store.start_run(&lease, new).await.expect("a run");
    assert!(run > first, "numbers rise");

    let so_far = Counts { read: 10, created: 4, ..Counts::default() };
    let by_stream = BTreeMap::from([("Active".to_owned(), Counts { created: 4, ..Counts::default() })]);
    let checkpoint = Checkpoint { counts: so_far, by_stream: by_stream.clone(), ..Checkpoint::default() };
    // Twice: totals are totals, not differences.
    store.checkpoint(&lease, run, checkpoint.clone()).await.expect("a checkpoint");
    store.checkpoint(&lease, run, checkpoint).await.expect("a checkpoint");
    let found = store.run(run).await.expect("run").expect("the run");
    assert_eq!((found.status, found.started_at, found.finished_at), (Status::Running, at(2), None));
    assert_eq!((found.sync.as_str(), found.mode.as_str(), &found.reason), (SYNC, "incremental", &reason));
    assert_eq!(found.about, about);
    assert_eq!((found.counts, &found.by_stream), (so_far, &by_stream));

    let counts = Counts { read: 10, created: 8, parked: 2, ..Counts::default() };
    let by_stream =
        BTreeMap::from([("Active".to_owned(), counts), ("Größe \"L\"".to_owned(), Counts::default())]);
    let end = RunEnd {
        status: Status::Partial,
        counts,
        by_stream: by_stream.clone(),
        error: Some(("graph.list_missing".to_owned(), "the list is gone".to_owned())),
        notes: vec!["at least once: \u{1F980}".to_owned()],
        at: at(3),
    };
    store.finish_run(&lease, run, end.clone()).await.expect("an end");
    let found = store.run(run).await.expect("run").expect("the run");
    assert_eq!((found.status, found.finished_at), (Status::Partial, Some(at(3))));
    assert_eq!((found.counts, found.by_stream), (counts, by_stream));
    assert_eq!((found.error, found.notes), (end.error, end.notes));
    assert_eq!(store.run(run + 1).await.expect("run"), None);
    assert_eq!(store.run(u64::MAX).await.expect("run"), None);
}

pub(super) async fn runs_are_listed_newest_first(place: Arc<dyn Place>) {
    let World { store, lease, run } = World::of(&place).await;
    store.finish_run(&lease, run, end(Status::Failed, 1)).await.expect("an end");
    let other = store.claim("clients", at(1)).await.expect("a claim");
    let second = store.start_run(&other, new_run(1)).await.expect("a run");
    let third = store.start_run(&lease, new_run(2)).await.expect("a run");
    let list = async |sync, status, limit| {
        let runs = store.runs(sync, status, limit).await.expect("runs");
        runs.iter().map(|run| run.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, 9).await, [third, second, run]);
    assert_eq!(list(None, None, 2).await, [third, second]);
    assert_eq!(list(None, None, usize::MAX).await, [third, second, run]);
    assert_eq!(list(Some(SYNC), None, 9).await, [third, run]);
    assert_eq!(list(Some(SYNC), Some(Status::Failed), 9).await, [run]);
    assert_eq!(list(None, Some(Status::Running), 9).await, [third, second]);
    assert!(list(Some("unheard of"), None, 9).await.is_empty());
}

pub(super) async fn an_account_that_does_not_close_is_refused(place: Arc<dyn Place>) {
    let World { store, lease, run } = World::of(&place).await;
    let open = Counts { read: 3, created: 2, ..Counts::default() };
    for status in [Status::Succeeded, Status::Partial] {
        let refused = store.finish_run(&lease, run, RunEnd { counts: open, ..end(status, 1) }).await;
        assert!(matches!(refused, Err(Error::Database { .. })), "{status:?}: {refused:?}");
        assert_eq!(store.run(run).await.expect("run").expect("the run").status, Status::Running);
    }
    for status in [Status::Running, Status::Queued] {
        assert!(store.finish_run(&lease, run, end(status, 1)).await.is_err(), "{status:?} is no end");
    }
    // A failed run tells what was done until then.
    store.finish_run(&lease, run, RunEnd { counts: open, ..end(Status::Failed, 1) }).await.expect("an end");
    assert_eq!(store.run(run).await.expect("run").expect("the run").counts, open);
}

pub(super) async fn a_finished_run_takes_no_more_writes(place: Arc<dyn Place>) {
    let World { store, lease, run } = World::of(&place).await;
    assert!(store.start_run(&lease, new_run(1)).await.is_err(), "one run of a sync at a time");
    store.finish_run(&lease, run, end(Status::Cancelled, 1)).await.expect("an end");
    assert!(store.checkpoint(&lease, run, Checkpoint::default()).await.is_err());
    assert!(store.intend(&lease, run, &[create(1)]).await.is_err());
    assert!(store.finish_run(&lease, run, end(Status::Succeeded, 2)).await.is_err());
    assert!(store.checkpoint(&lease, run + 1, Checkpoint::default()).await.is_err(), "a run nobody started");
    let found = store.run(run).await.expect("run").expect("the run");
    assert_eq!((found.status, found.finished_at), (Status::Cancelled, Some(at(1))));
}

pub(super) async fn old_runs_and_spent_units_are_forgotten(place: Arc<dyn Place>) {
    let World { store, lease, run: old } = World::of(&place).await;
    let spend = Checkpoint { spent: vec![("tenant".to_owned(), 7)], at: days(0), ..Checkpoint::default() };
    store.checkpoint(&lease, old, spend).await.expect("a checkpoint");
    store.finish_run(&lease, old, end(Status::Succeeded, 1)).await.expect("an end");
    let long = store.claim("long", days(0)).await.expect("a claim");
    let still_running = store.start_run(&long, NewRun { at: days(0), ..new_run(0) }).await.expect("a run");

    let run = store.start_run(&lease, NewRun { at: days(89), ..new_run(0) }).await.expect("a run");
    store
        .finish_run(&lease, run, RunEnd { at: days(89), ..end(Status::Succeeded, 0) })
        .await
        .expect("an end");
    assert!(store.run(old).await.expect("run").is_some(), "kept for 90 days");
    assert_eq!(store.spent("tenant", days(0)).await.expect("spent"), [], "units are kept for two days");

    let last = store.start_run(&lease, NewRun { at: days(91), ..new_run(0) }).await.expect("a run");
    store
        .finish_run(&lease, last, RunEnd { at: days(91), ..end(Status::Succeeded, 0) })
        .await
        .expect("an end");
    assert_eq!(store.run(old).await.expect("run"), None);
    assert!(store.run(run).await.expect("run").is_some());
    assert!(store.run(still_running).await.expect("run").is_some(), "what runs is never forgotten");
    let next = store.start_run(&lease, NewRun { at: days(92), ..new_run(0) }).await.expect("a run");
    assert!(next > last);
}

pub(super) async fn spent_units_add_up(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    for (seconds, budget, units) in [(3, "tenant", 30), (1, "tenant", 10), (1, "tenant", 5), (2, "other", 99)]
    {
        world
            .checkpoint(Checkpoint {
                spent: vec![(budget.to_owned(), units)],
                at: at(seconds),
                ..Checkpoint::default()
            })
            .await;
    }
    let spent = async |since| world.store.spent("tenant", since).await.expect("spent");
    let total = |spent: Vec<(_, u64)>| spent.iter().map(|(_, units)| units).sum::<u64>();
    assert_eq!(total(spent(at(0)).await), 45);
    assert_eq!(spent(at(2)).await, [(at(3), 30)]);
    assert_eq!(total(spent(at(1)).await), 45, "`since` itself counts");
    assert_eq!(spent(at(1) + SignedDuration::from_micros(1)).await, [(at(3), 30)]);
    assert!(spent(at(0)).await.is_sorted_by_key(|(when, _)| *when), "oldest first");
    assert_eq!(world.store.spent("unheard of", at(0)).await.expect("spent"), []);
}

pub(super) async fn times_are_kept_to_the_microsecond(place: Arc<dyn Place>) {
    let World { store, lease, run } = World::of(&place).await;
    let nanos = |nanos| Timestamp::from_nanosecond(nanos).expect("a time of our era");
    let before_all: Timestamp = "-000001-01-01T00:00:00Z".parse().expect("a time before our era");
    let spend = |at| Checkpoint { spent: vec![("tenant".to_owned(), 1)], at, ..Checkpoint::default() };
    for at in [nanos(5_999), nanos(-1_500)] {
        store.checkpoint(&lease, run, spend(at)).await.expect("a checkpoint");
    }
    let spent = async |since| store.spent("tenant", since).await.expect("spent");
    assert_eq!(spent(before_all).await, [(nanos(-2_000), 1), (nanos(5_000), 1)], "what is below is dropped");
    assert_eq!(spent(nanos(5_999)).await, [(nanos(5_000), 1)], "also of times that are asked with");
    assert_eq!(spent(nanos(6_000)).await, []);

    let refused = store.checkpoint(&lease, run, spend(before_all)).await;
    assert!(matches!(refused, Err(Error::Database { .. })), "{refused:?}");
    let checkpoint = Checkpoint { parked: vec![park(1, 0, 0)], ..Checkpoint::default() };
    store.checkpoint(&lease, run, checkpoint).await.expect("a checkpoint");
    assert_eq!(store.parked(None, Some(before_all), 9).await.expect("parked"), []);
    let year_0 = "0000-01-15T00:00:00Z".parse().expect("a time of our era");
    let end = RunEnd { at: year_0, ..end(Status::Succeeded, 0) };
    store.finish_run(&lease, run, end).await.expect("nothing is old enough to be forgotten");
    assert_eq!(spent(before_all).await.len(), 2);
}

pub(super) async fn runs_of_a_sync_are_those_of_its_partitions_too(place: Arc<dyn Place>) {
    let World { store, lease, run } = World::of(&place).await;
    let parts = [format!("{SYNC}#0a"), format!("{SYNC}#ff"), format!("{SYNC}$"), format!("{SYNC}2")];
    let mut runs = vec![run];
    for name in &parts {
        let lease = store.claim(name, at(1)).await.expect("a claim");
        let about = About { owner: Some("ann".to_owned()), ..About::default() };
        let new = NewRun { about, ..new_run(1) };
        let run = store.start_run(&lease, new).await.expect("a run");
        let failed = Parked { sync: name.clone(), run, ..park(1, 1, 1) };
        let parked = Checkpoint { parked: vec![failed], at: at(1), ..Checkpoint::default() };
        store.checkpoint(&lease, run, parked).await.expect("a checkpoint");
        store.finish_run(&lease, run, end(Status::Succeeded, 2)).await.expect("an end");
        runs.push(run);
    }
    store.finish_run(&lease, run, end(Status::Succeeded, 3)).await.expect("an end");
    let ids = async |name: &str| {
        let runs = store.runs(Some(name), None, 9).await.expect("runs");
        runs.iter().map(|run| run.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(SYNC).await, [runs[2], runs[1], runs[0]], "not those of names that only begin alike");
    assert_eq!(ids(&parts[0]).await, [runs[1]]);
    let waiting = store.waiting().await.expect("waiting");
    let waiting: Vec<_> = waiting.iter().map(|of| (of.sync.as_str(), of.parked)).collect();
    assert_eq!(waiting, [(SYNC, 2), (parts[2].as_str(), 1), (parts[3].as_str(), 1)]);
    let exactly = store.parked(Some(&parts[0]), None, 9).await.expect("parked");
    assert_eq!(exactly.len(), 1, "what waits is remembered per partition");
}
