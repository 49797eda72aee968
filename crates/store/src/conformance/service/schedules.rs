//! Decisions of the scheduler; pausing and resuming.

use std::sync::Arc;

use syncline_core::schedule::Overlap;

use super::{
    ServicePlace,
    world::{asked, at, claim, decision, end, enqueue, found, hourly, projects, refused},
};
use crate::service::{
    Decided, Decision, NewOccurrence, OccurrenceFilter, OccurrenceState, ScheduleState, Subject,
};

const NOTHING: Decided = Decided { added: 0, skipped: 0 };

pub(super) async fn a_new_schedule_adds_nothing(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let first = decision(&projects(), 100, &[50, 100]);
    assert_eq!(store.decide(&[first], at(100)).await.expect("decide"), NOTHING);
    assert_eq!(store.occurrences(&OccurrenceFilter::default(), 9).await.expect("list"), []);
    let known = ScheduleState {
        subject: projects(),
        schedule: "hourly".to_owned(),
        considered: at(100),
        paused_at: None,
    };
    assert_eq!(store.schedule_states().await.expect("states"), [known]);
}

pub(super) async fn an_instant_is_decided_about_once(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    store.decide(&[decision(&projects(), 0, &[])], at(0)).await.expect("decide");
    let decide = async |considered, instants: &[i64]| {
        store.decide(&[decision(&projects(), considered, instants)], at(200)).await.expect("decide")
    };
    assert_eq!(decide(100, &[100]).await, Decided { added: 1, skipped: 0 });
    assert_eq!(decide(100, &[100, 90]).await, NOTHING, "decided already");
    assert_eq!(decide(99, &[98]).await, NOTHING, "never back");
    assert_eq!(store.schedule_states().await.expect("states")[0].considered, at(100));
    // Another node that decides further has the same instant in its decision: there is one occurrence of it.
    let queue = NewOccurrence { overlap: Overlap::Queue, ..hourly(projects(), 100) };
    let later = Decision { occurrences: vec![queue], ..decision(&projects(), 300, &[]) };
    assert_eq!(store.decide(&[later], at(300)).await.expect("decide"), NOTHING);
    assert_eq!(store.schedule_states().await.expect("states")[0].considered, at(300));
    assert_eq!(store.occurrences(&OccurrenceFilter::default(), 9).await.expect("list").len(), 1);
}

pub(super) async fn a_decision_is_all_or_nothing(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let clients = Subject::chain("clients");
    let known = [decision(&projects(), 0, &[]), decision(&clients, 0, &[])];
    store.decide(&known, at(0)).await.expect("decide");
    let other = Decision { occurrences: vec![hourly(projects(), 10)], ..decision(&clients, 10, &[]) };
    let both = [decision(&projects(), 10, &[10]), other];
    refused("an occurrence of another subject", store.decide(&both, at(10)).await);
    let unscheduled =
        Decision { occurrences: vec![asked(clients.clone(), 10)], ..decision(&clients, 10, &[]) };
    refused("an occurrence without a schedule", store.decide(&[unscheduled], at(10)).await);
    assert_eq!(store.occurrences(&OccurrenceFilter::default(), 9).await.expect("list"), []);
    assert!(store.schedule_states().await.expect("states").iter().all(|state| state.considered == at(0)));
    let both = [decision(&projects(), 10, &[10]), decision(&clients, 10, &[10])];
    assert_eq!(store.decide(&both, at(10)).await.expect("decide"), Decided { added: 2, skipped: 0 });
}

pub(super) async fn a_busy_subject_skips_or_queues(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    store.decide(&[decision(&projects(), 0, &[])], at(0)).await.expect("decide");
    let decide = async |seconds, overlap| {
        let occurrence = NewOccurrence { overlap, ..hourly(projects(), seconds) };
        let decision = Decision { occurrences: vec![occurrence], ..decision(&projects(), seconds, &[]) };
        store.decide(&[decision], at(seconds)).await.expect("decide")
    };
    let (added, skipped) = (Decided { added: 1, skipped: 0 }, Decided { added: 0, skipped: 1 });
    // What waits for its time later does not count.
    let later = enqueue(&store, asked(projects(), 1000), at(0)).await;
    assert_eq!(decide(10, Overlap::Skip).await, added);
    assert_eq!(decide(20, Overlap::Skip).await, skipped, "one waits and is due");
    assert_eq!(decide(30, Overlap::Queue).await, skipped, "one waits and is due");
    let running = claim(&store, "node-a", 9, at(30)).await;
    assert_eq!(running.len(), 1);
    assert_eq!(decide(40, Overlap::Skip).await, skipped, "one is claimed");
    assert_eq!(decide(50, Overlap::Queue).await, added, "one is claimed, and none waits");
    assert_eq!(decide(60, Overlap::Queue).await, skipped, "one is queued already");

    let mut list = store.occurrences(&OccurrenceFilter::default(), 9).await.expect("list");
    list.reverse();
    let states: Vec<_> = list.iter().map(|o| (o.state, o.reason.as_deref(), o.finished_at)).collect();
    let running_still = Some("an earlier one was still running");
    let waiting_still = Some("an earlier one was still waiting");
    use OccurrenceState::{Claimed, Skipped, Waiting};
    assert_eq!(
        states,
        [
            (Waiting, None, None),
            (Claimed, None, None),
            (Skipped, waiting_still, Some(at(20))),
            (Skipped, waiting_still, Some(at(30))),
            (Skipped, running_still, Some(at(40))),
            (Waiting, None, None),
            (Skipped, waiting_still, Some(at(60))),
        ]
    );
    assert_eq!(found(&store, later).await.state, Waiting);

    // What one decision adds does not stand in its own way: every missed instant may be made up for.
    store.cancel(later, at(60)).await.expect("cancel");
    store.finish(&running[0].id, end(syncline_core::run::Status::Succeeded, 61)).await.expect("finish");
    let queued = claim(&store, "node-a", 9, at(61)).await;
    store.finish(&queued[0].id, end(syncline_core::run::Status::Succeeded, 62)).await.expect("finish");
    let missed = decision(&projects(), 90, &[70, 80, 90]);
    let decided = store.decide(&[missed], at(90)).await.expect("decide");
    assert_eq!(decided, Decided { added: 3, skipped: 0 });
}

pub(super) async fn a_paused_schedule_never_fires_the_past(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let daily =
        |considered| Decision { schedule: "daily".to_owned(), ..decision(&projects(), considered, &[]) };
    store.decide(&[decision(&projects(), 0, &[]), daily(0)], at(0)).await.expect("decide");
    store.decide(&[decision(&projects(), 10, &[10])], at(10)).await.expect("decide");
    let by_hand = enqueue(&store, asked(projects(), 10), at(10)).await;

    assert!(store.pause(&projects(), Some("hourly"), at(15)).await.expect("pause"));
    assert!(!store.pause(&projects(), Some("hourly"), at(16)).await.expect("pause"), "paused already");
    let states = async || {
        let states = store.schedule_states().await.expect("states");
        states.into_iter().map(|s| (s.schedule, s.considered, s.paused_at)).collect::<Vec<_>>()
    };
    let row =
        |label: &str, considered, paused: Option<i64>| (label.to_owned(), at(considered), paused.map(at));
    assert_eq!(states().await, [row("daily", 0, None), row("hourly", 10, Some(15))]);
    let filter = OccurrenceFilter { state: Some(OccurrenceState::Skipped), ..OccurrenceFilter::default() };
    let skipped = store.occurrences(&filter, 9).await.expect("list");
    assert_eq!(skipped.len(), 1);
    assert_eq!(skipped[0].reason.as_deref(), Some("the schedule was paused"));
    assert_eq!(found(&store, by_hand).await.state, OccurrenceState::Waiting, "people are not paused");

    let decided = store.decide(&[decision(&projects(), 100, &[50, 100])], at(100)).await.expect("decide");
    assert_eq!(decided, NOTHING);
    assert_eq!(states().await[1], row("hourly", 10, Some(15)), "a paused schedule does not move");

    assert!(store.resume(&projects(), Some("hourly"), at(120)).await.expect("resume"));
    assert!(!store.resume(&projects(), Some("hourly"), at(121)).await.expect("resume"), "not paused");
    assert_eq!(states().await[1], row("hourly", 120, None));
    let decided = store.decide(&[decision(&projects(), 120, &[110, 120])], at(125)).await.expect("decide");
    assert_eq!(decided, NOTHING, "the past does not fire");

    // A clock that was set back meanwhile moves nothing back.
    store.pause(&projects(), Some("hourly"), at(130)).await.expect("pause");
    store.resume(&projects(), Some("hourly"), at(90)).await.expect("resume");
    assert_eq!(states().await[1], row("hourly", 120, None));
    store.cancel(by_hand, at(130)).await.expect("cancel");
    let decided = store.decide(&[decision(&projects(), 130, &[130])], at(130)).await.expect("decide");
    assert_eq!(decided, Decided { added: 1, skipped: 0 });
}

pub(super) async fn a_subject_is_paused_as_a_whole(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let (ours, theirs) = (projects(), Subject::chain("projects"));
    let both = |considered| {
        [decision(&ours, considered, &[considered]), decision(&theirs, considered, &[considered])]
    };
    store.decide(&both(0), at(0)).await.expect("decide");
    assert!(store.pause(&ours, None, at(5)).await.expect("pause"));
    assert!(!store.pause(&ours, None, at(6)).await.expect("pause"), "paused already");
    let decided = store.decide(&both(10), at(10)).await.expect("decide");
    assert_eq!(decided, Decided { added: 1, skipped: 0 }, "the chain of the same name is another subject");
    // A schedule that appears meanwhile is paused as well.
    let daily = |considered, instants: &[i64]| {
        let occurrences = instants.iter().map(|seconds| NewOccurrence {
            schedule: Some("daily".to_owned()),
            ..hourly(ours.clone(), *seconds)
        });
        Decision {
            schedule: "daily".to_owned(),
            occurrences: occurrences.collect(),
            ..decision(&ours, considered, &[])
        }
    };
    store.decide(&[daily(10, &[])], at(10)).await.expect("decide");
    assert_eq!(store.decide(&[daily(20, &[20])], at(20)).await.expect("decide"), NOTHING);
    let states = store.schedule_states().await.expect("states");
    let paused: Vec<_> =
        states.iter().filter(|s| s.subject == ours).map(|s| (s.schedule.as_str(), s.paused_at)).collect();
    assert_eq!(paused, [("daily", Some(at(5))), ("hourly", Some(at(5)))]);

    assert!(store.resume(&ours, None, at(30)).await.expect("resume"));
    assert!(!store.resume(&ours, None, at(31)).await.expect("resume"), "not paused");
    assert_eq!(store.decide(&[daily(30, &[25, 30])], at(30)).await.expect("decide"), NOTHING);
    let decided = store.decide(&[daily(40, &[40])], at(40)).await.expect("decide");
    assert_eq!(decided, Decided { added: 1, skipped: 0 });

    // Also a subject that nobody decided about yet.
    let unheard = Subject::sync("unheard of");
    assert!(store.pause(&unheard, None, at(0)).await.expect("pause"));
    store.decide(&[decision(&unheard, 0, &[])], at(0)).await.expect("decide");
    assert_eq!(store.decide(&[decision(&unheard, 9, &[9])], at(9)).await.expect("decide"), NOTHING);
    assert!(store.pause(&Subject::sync("other"), Some("hourly"), at(0)).await.expect("pause"));
    let other = Subject::sync("other");
    assert_eq!(store.decide(&[decision(&other, 9, &[9])], at(9)).await.expect("decide"), NOTHING);
}
