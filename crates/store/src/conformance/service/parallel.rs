//! Several nodes at once, each with a handle of its own.

use std::{collections::BTreeMap, sync::Arc};

use syncline_core::run::Status;
use tokio::task::JoinSet;

use super::{
    ServicePlace,
    records::{alert, definition, event},
    world::{Shared, asked, at, claim, decision, end, enqueue, limits, projects},
};
use crate::service::{
    AlertState, Decided, Enqueued, EventFilter, NewEvent, NewOccurrence, OccurrenceFilter, OccurrenceState,
    Subject,
};

/// Runs the same on several nodes at once; their answers.
async fn on_nodes<T, F>(
    place: &Arc<dyn ServicePlace>,
    nodes: usize,
    work: impl Fn(usize, Shared) -> F,
) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut set = JoinSet::new();
    for node in 0..nodes {
        set.spawn(work(node, place.open().await));
    }
    set.join_all().await
}

pub(super) async fn two_nodes_claim_each_once(place: Arc<dyn ServicePlace>) {
    const MANY: usize = 200;
    let store = place.open().await;
    for n in 0..MANY {
        enqueue(&store, asked(Subject::sync(format!("sync-{n}")), 0), at(0)).await;
    }
    let taken = on_nodes(&place, 2, |node, store| async move {
        let node = format!("node-{node}");
        let mut taken = Vec::new();
        loop {
            let claims = claim(&store, &node, 7, at(1)).await;
            if claims.is_empty() {
                return taken;
            }
            for claim in claims {
                assert_eq!((claim.id.epoch, claim.attempts), (1, 1));
                store.finish(&claim.id, end(Status::Succeeded, 2)).await.expect("finish");
                taken.push(claim.id.occurrence);
            }
        }
    })
    .await;
    let mut all: Vec<_> = taken.into_iter().flatten().collect();
    all.sort_unstable();
    let mut expected = store.occurrences(&OccurrenceFilter::default(), MANY).await.expect("list");
    expected.reverse();
    assert!(expected.iter().all(|occurrence| occurrence.state == OccurrenceState::Done));
    assert_eq!(all, expected.iter().map(|occurrence| occurrence.id).collect::<Vec<_>>());
}

pub(super) async fn limits_hold_between_nodes(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    for n in 0..40 {
        let connections = vec![if n % 2 == 0 { "erp" } else { "crm" }.to_owned()];
        let occurrence = NewOccurrence { connections, ..asked(Subject::sync(format!("sync-{n}")), 0) };
        enqueue(&store, occurrence, at(0)).await;
    }
    let taken = on_nodes(&place, 4, |node, store| async move {
        let limits = limits(Some(9), &[("erp", 3)]);
        let mut taken = Vec::new();
        for _ in 0..4 {
            taken.extend(store.claim_due(&format!("node-{node}"), &limits, 2, at(1)).await.expect("claims"));
        }
        taken
    })
    .await;
    let mut used = BTreeMap::<String, usize>::new();
    for claim in taken.into_iter().flatten() {
        *used.entry(claim.asked.connections[0].clone()).or_default() += 1;
    }
    let expected = BTreeMap::from([("crm".to_owned(), 6), ("erp".to_owned(), 3)]);
    assert_eq!(used, expected);
}

pub(super) async fn deciding_twice_adds_once(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let subjects: Vec<_> = (0..20).map(|n| Subject::sync(format!("sync-{n}"))).collect();
    let known: Vec<_> = subjects.iter().map(|subject| decision(subject, 0, &[])).collect();
    store.decide(&known, at(0)).await.expect("decide");
    let decided = on_nodes(&place, 3, |node, store| {
        let mut subjects = subjects.clone();
        // In any order: two nodes must not wait for each other.
        if node == 1 {
            subjects.reverse();
        }
        async move {
            let mut added = 0;
            for seconds in 1..=5 {
                let decisions: Vec<_> =
                    subjects.iter().map(|subject| decision(subject, seconds, &[seconds])).collect();
                let Decided { added: new, skipped } =
                    store.decide(&decisions, at(seconds)).await.expect("decide");
                added += new + skipped;
            }
            added
        }
    })
    .await;
    let stored = store.occurrences(&OccurrenceFilter::default(), 999).await.expect("list").len() as u64;
    assert_eq!(decided.iter().sum::<u64>(), stored, "each is counted by the node that added it");
    // A node that came late with an earlier instant found it decided about: between one and five for each subject.
    assert!((20..=100).contains(&stored), "{stored}");
    let states = store.schedule_states().await.expect("states");
    assert!(states.iter().all(|state| state.considered == at(5)));
}

pub(super) async fn events_have_no_gap(place: Arc<dyn ServicePlace>) {
    const EACH: usize = 60;
    let reader = place.open().await;
    let mut writing = JoinSet::new();
    for node in 0..3 {
        let store = place.open().await;
        writing.spawn(async move {
            for n in 0..EACH {
                let event = NewEvent { message: format!("{node}/{n}"), ..event("run.started", None, 0) };
                store.append_events(&[event.clone(), event]).await.expect("append");
            }
        });
    }
    // Whoever has read up to a number misses nothing below it, at any moment.
    let (mut after, mut read) = (0, Vec::new());
    let mut rounds = 0;
    while read.len() < 3 * EACH * 2 {
        let events = reader.events(&EventFilter::default(), after, 25).await.expect("events");
        after = events.last().map_or(after, |event| event.id);
        read.extend(events.into_iter().map(|event| event.id));
        rounds += 1;
        assert!(rounds < 100_000, "events are missing: {} were read", read.len());
        tokio::task::yield_now().await;
    }
    writing.join_all().await;
    let all = reader.events(&EventFilter::default(), 0, usize::MAX).await.expect("events");
    assert_eq!(read, all.iter().map(|event| event.id).collect::<Vec<_>>());
}

pub(super) async fn one_key_starts_once_between_nodes(place: Arc<dyn ServicePlace>) {
    let answers = on_nodes(&place, 4, |_, store| async move {
        let keyed = NewOccurrence { idempotency_key: Some("key-1".to_owned()), ..asked(projects(), 0) };
        store.enqueue(keyed, at(0)).await.expect("enqueue")
    })
    .await;
    let new: Vec<_> = answers.iter().filter(|answer| matches!(answer, Enqueued::New(_))).collect();
    let [Enqueued::New(id)] = new[..] else { panic!("expected one new, got {answers:?}") };
    let existing = answers.iter().filter(|answer| **answer == Enqueued::Existing(*id));
    assert_eq!(existing.count(), 3);
}

pub(super) async fn one_node_wins_an_alert(place: Arc<dyn ServicePlace>) {
    let answers = on_nodes(&place, 4, |node, store| async move {
        let (node, mut wins) = (i64::try_from(node).expect("few nodes"), Vec::new());
        let mut seen: Option<AlertState> = None;
        for round in 0..10 {
            let next = alert(round % 2 == 0, node * 1_000 + round);
            if store.swap_alert(seen.as_ref(), &next).await.expect("swap") {
                wins.push((seen.as_ref().map(|state| state.since), next.since));
            }
            seen = store.alert_states().await.expect("states").pop();
        }
        wins
    })
    .await;
    // Who replaced what: one chain from nothing, in which each state was replaced at most once.
    let mut replaced: Vec<_> = answers.iter().flatten().map(|(previous, _)| *previous).collect();
    let wins = replaced.len();
    replaced.sort_unstable();
    replaced.dedup();
    assert_eq!(replaced.len(), wins, "two nodes replaced the same state");
    assert_eq!(replaced.first(), Some(&None));
}

pub(super) async fn one_node_writes_a_version(place: Arc<dyn ServicePlace>) {
    let answers = on_nodes(&place, 4, |node, store| async move {
        let body = format!("node: {node}");
        store.put_definition(definition("a", Some(&body), 0), Some(0)).await.expect("put")
    })
    .await;
    let won: Vec<_> = answers.into_iter().flatten().collect();
    assert_eq!(won, [1]);
    let versions = on_nodes(&place, 4, |node, store| async move {
        let body = format!("node: {node}");
        store.put_definition(definition("a", Some(&body), 0), None).await.expect("put")
    })
    .await;
    let mut versions: Vec<_> = versions.into_iter().flatten().collect();
    versions.sort_unstable();
    assert_eq!(versions, [2, 3, 4, 5]);
    let store = place.open().await;
    assert_eq!(store.definitions_revision().await.expect("revision"), 5);
}
