//! Nodes, what dead ones left, and forgetting.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use syncline_core::{chain::ChainStatus, run::Status};

use super::{
    ServicePlace,
    chains::{ended, new_run as new_chain},
    records::{alert, event},
    world::{self, asked, at, claim, claimed, decision, enqueue, found, projects},
};
use crate::{
    Lease, NewRun, RunEnd,
    conformance::world::{days, end, new_run},
    service::{
        AlertState, EventFilter, NewOccurrence, NodeBeat, OccurrenceFilter, Retention, RunFilter, Subject,
    },
};

const DAY: u64 = 24 * 3600;

fn retention(runs: u64, events: u64) -> Retention {
    Retention { runs: Duration::from_secs(runs * DAY), events: Duration::from_secs(events * DAY) }
}

pub(super) async fn nodes_are_known_by_their_beats(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let node = |name: &str, running| NodeBeat {
        node: name.to_owned(),
        version: "0.2.0".to_owned(),
        started_at: at(0),
        running,
    };
    store.beat(&node("b", 1), at(1)).await.expect("beat");
    store.beat(&node("a", 2), at(2)).await.expect("beat");
    store.beat(&node("b", 3), at(3)).await.expect("beat");
    let nodes = store.nodes().await.expect("nodes");
    assert_eq!(nodes, [(node("a", 2), at(2)), (node("b", 3), at(3))]);
    store.beat(&node("c", 0), at(2 + DAY as i64)).await.expect("beat");
    assert_eq!(store.nodes().await.expect("nodes").len(), 3, "a day is not over");
    store.beat(&node("c", 0), at(3 + DAY as i64)).await.expect("beat");
    let nodes = store.nodes().await.expect("nodes");
    assert_eq!(nodes, [(node("b", 3), at(3)), (node("c", 0), at(3 + DAY as i64))]);
    store.ping().await.expect("ping");
}

pub(super) async fn runs_of_the_dead_are_closed(place: Arc<dyn ServicePlace>) {
    let (ours, theirs) = (place.open().await, place.open().await);
    let living = ours.claim("living", at(0)).await.expect("a claim");
    let running = ours.start_run(&living, new_run(0)).await.expect("a run");
    let dead = ours.claim("dead", at(0)).await.expect("a claim");
    let left = ours.start_run(&dead, new_run(0)).await.expect("a run");
    let over = ours.claim("over", at(0)).await.expect("a claim");
    let finished = ours.start_run(&over, new_run(0)).await.expect("a run");
    ours.finish_run(&over, finished, end(Status::Failed, 1)).await.expect("an end");
    assert_eq!(theirs.close_interrupted(at(2)).await.expect("close"), 0, "all are alive");
    let old = Lease { sync: dead.sync.clone(), epoch: dead.epoch, guard: Box::new(()) };
    place.bury(dead).await;

    assert_eq!(theirs.close_interrupted(at(5)).await.expect("close"), 1);
    let closed = theirs.run(left).await.expect("run").expect("the run");
    assert_eq!((closed.status, closed.finished_at), (Status::Interrupted, Some(at(5))));
    assert_eq!(theirs.run(running).await.expect("run").expect("the run").status, Status::Running);
    assert_eq!(theirs.close_interrupted(at(6)).await.expect("close"), 0);
    assert!(ours.finish_run(&old, left, end(Status::Succeeded, 7)).await.is_err(), "it came too late");
    let closed = theirs.run(left).await.expect("run").expect("the run");
    assert_eq!((closed.status, closed.finished_at), (Status::Interrupted, Some(at(5))));
    ours.finish_run(&living, running, end(Status::Succeeded, 8)).await.expect("the living goes on");
    theirs.claim("dead", at(9)).await.expect("the sync is free");
}

pub(super) async fn forgetting_is_bounded(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let run = async |day| {
        let lease = store.claim("projects", days(day)).await.expect("a claim");
        let run = store.start_run(&lease, NewRun { at: days(day), ..new_run(0) }).await.expect("a run");
        let end = RunEnd { at: days(day), ..end(Status::Succeeded, 0) };
        store.finish_run(&lease, run, end).await.expect("an end");
        run
    };
    // Longer than runs are kept by themselves.
    store.forget(&retention(200, 30), days(0)).await.expect("forget");
    let (first, second) = (run(0).await, run(100).await);
    let daily = claimed(&store, Subject::chain("daily"), 0).await.id;
    let chain = store.start_chain(&daily, new_chain("daily", 0)).await.expect("a run");
    store.finish_chain(&daily, chain, ended(ChainStatus::Completed, 1)).await.expect("an end");
    store.finish(&daily, world::end(Status::Succeeded, 1)).await.expect("finish");
    let weekly = claimed(&store, Subject::chain("weekly"), 0).await.id;
    let open = store.start_chain(&weekly, new_chain("weekly", 0)).await.expect("a run");
    let events: Vec<_> = (0..6_000).map(|_| event("run.started", None, 0)).collect();
    store.append_events(&events).await.expect("append");

    assert!(store.run(first).await.expect("run").is_some(), "kept as the service was told");
    let forget = async |day| store.forget(&retention(200, 30), days(day)).await.expect("forget");
    assert_eq!(forget(30).await, 0, "nothing is older than that");
    let some = forget(150).await;
    assert!(some > 0 && some < 6_000, "a bounded number at once: {some}");
    assert!(store.run(first).await.expect("run").is_some());
    let mut rounds = 0;
    while forget(201).await > 0 {
        rounds += 1;
        assert!(rounds < 50, "it comes to an end");
    }
    assert_eq!(store.run(first).await.expect("run"), None);
    assert!(store.run(second).await.expect("run").is_some());
    assert_eq!(store.chain_run(chain).await.expect("run"), None);
    assert!(store.chain_run(open).await.expect("run").is_some(), "what is open is never forgotten");
    let left = store.occurrences(&OccurrenceFilter::default(), 9).await.expect("list");
    assert_eq!(left.iter().map(|occurrence| occurrence.id).collect::<Vec<_>>(), [weekly.occurrence]);
    let (newest, oldest) = store.event_range().await.expect("range");
    assert_eq!(newest, oldest, "the newest event stays");
    assert_eq!(store.events(&EventFilter::default(), 0, 9).await.expect("events").len(), 1);
    // The end of a run keeps to it as well, also shorter.
    store.forget(&retention(10, 30), days(0)).await.expect("forget");
    let third = run(111).await;
    let left = store.page_runs(&RunFilter::default(), 9).await.expect("runs");
    assert_eq!(left.iter().map(|run| run.id).collect::<Vec<_>>(), [third]);
    let summary = store.summaries().await.expect("summaries").remove(0);
    assert_eq!(summary.last.map(|run| run.id), Some(third));
    let always = Retention { runs: Duration::MAX, events: Duration::MAX };
    assert_eq!(store.forget(&always, days(999)).await.expect("forget"), 0);
}

pub(super) async fn times_are_kept_to_the_microsecond(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let nanos = |nanos| at(0) + SignedDuration::from_nanos(nanos);
    let occurrence = NewOccurrence { due_at: nanos(5_999), ..asked(projects(), 0) };
    let id = enqueue(&store, occurrence, nanos(1_001)).await;
    let stored = found(&store, id).await;
    assert_eq!((stored.asked.due_at, stored.created_at), (nanos(5_000), nanos(1_000)));
    assert_eq!(claim(&store, "node-a", 9, nanos(4_999)).await, []);
    assert_eq!(claim(&store, "node-a", 9, nanos(5_000)).await.len(), 1);
    let seen = AlertState { since: nanos(1_500), try_at: Some(nanos(1_999)), ..alert(true, 0) };
    assert!(store.swap_alert(None, &seen).await.expect("swap"));
    assert!(store.swap_alert(Some(&seen), &alert(false, 1)).await.expect("swap"), "as it was given");
    let before_all: Timestamp = "-000001-01-01T00:00:00Z".parse().expect("a time before our era");
    let refused = store.enqueue(NewOccurrence { instant: before_all, ..asked(projects(), 0) }, at(0)).await;
    assert!(refused.is_err());
    assert_eq!(store.forget(&retention(1, 1), before_all).await.expect("forget"), 0);
}

pub(super) async fn everything_is_there_after_reopening(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let daily = claimed(&store, Subject::chain("daily"), 4).await.id;
    let run = store.start_chain(&daily, new_chain("daily", 4)).await.expect("a run");
    store.decide(&[decision(&projects(), 0, &[])], at(0)).await.expect("decide");
    store.decide(&[decision(&projects(), 5, &[5])], at(5)).await.expect("decide");
    store.append_events(&[event("run.started", None, 1)]).await.expect("append");
    let before = (
        store.schedule_states().await.expect("states"),
        store.occurrences(&OccurrenceFilter::default(), 9).await.expect("list"),
        store.chain_run(run).await.expect("run"),
        store.events(&EventFilter::default(), 0, 9).await.expect("events"),
    );
    assert_eq!((before.1.len(), before.3.len()), (2, 1));
    drop(store);
    let store = place.open().await;
    let after = (
        store.schedule_states().await.expect("states"),
        store.occurrences(&OccurrenceFilter::default(), 9).await.expect("list"),
        store.chain_run(run).await.expect("run"),
        store.events(&EventFilter::default(), 0, 9).await.expect("events"),
    );
    assert_eq!(after, before);
    // The process that held the claim is gone; nothing of it is lost.
    let later = place.expire_leases(at(7)).await;
    let again = claim(&store, "node-b", 9, later).await;
    let of_chain = again.iter().find(|claim| claim.id.occurrence == daily.occurrence).expect("the chain");
    assert_eq!((of_chain.id.epoch, of_chain.run), (2, Some(run)));
}
