//! Asking for occurrences, seeing them, cancelling those that wait.

use std::sync::Arc;

use syncline_core::{run::Status, schedule::Overlap};

use super::{
    ServicePlace,
    world::{asked, at, claim, claimed, end, enqueue, found, hourly, projects, refused},
};
use crate::service::{
    Enqueued, NewOccurrence, Occurrence, OccurrenceFilter, OccurrenceState, Subject, WAITING_MAX,
};

pub(super) async fn what_was_asked_for_comes_back(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let wanted = NewOccurrence {
        subject: Subject::chain("Büro \"täglich\""),
        schedule: Some("0 2 * * * Europe/Berlin".to_owned()),
        instant: at(5),
        due_at: at(7),
        overlap: Overlap::Skip,
        weight: -3,
        retry: true,
        options: serde_json::json!({ "mode": "full", "rate": 0.1, "resume": [1, null] }),
        connections: vec!["erp".to_owned(), "größe".to_owned()],
        requested_by: "retry".to_owned(),
        idempotency_key: Some("key-1".to_owned()),
        correlation: "c-\u{1F980}".to_owned(),
    };
    let id = enqueue(&store, wanted.clone(), at(6)).await;
    let expected = Occurrence {
        id,
        asked: wanted.clone(),
        created_at: at(6),
        state: OccurrenceState::Waiting,
        reason: None,
        epoch: 0,
        attempts: 0,
        node: None,
        claimed_at: None,
        lease_until: None,
        cancel_requested: false,
        run: None,
        status: None,
        error: None,
        finished_at: None,
    };
    assert_eq!(store.occurrence(id).await.expect("occurrence"), Some(expected));
    assert_eq!(store.occurrence(id + 1).await.expect("occurrence"), None);
    assert_eq!(store.occurrence(u64::MAX).await.expect("occurrence"), None);
    let claims = claim(&store, "node-a", 1, at(7)).await;
    assert_eq!(claims[0].asked, wanted);
    assert_eq!((claims[0].id.epoch, claims[0].attempts, claims[0].run), (1, 1, None));
    let nameless = Subject::sync("");
    refused("a subject without a name", store.enqueue(asked(nameless, 0), at(0)).await);
}

pub(super) async fn an_idempotency_key_starts_once(place: Arc<dyn ServicePlace>) {
    const DAY: i64 = 24 * 3600;
    let store = place.open().await;
    let keyed = |seconds, options: &str| NewOccurrence {
        idempotency_key: Some("key-1".to_owned()),
        options: serde_json::json!({ "mode": options }),
        ..asked(projects(), seconds)
    };
    let id = enqueue(&store, keyed(0, "full"), at(0)).await;
    let again = store.enqueue(keyed(9, "full"), at(9)).await.expect("enqueue");
    assert_eq!(again, Enqueued::Existing(id));
    let other = store.enqueue(keyed(9, "incremental"), at(9)).await.expect("enqueue");
    assert_eq!(other, Enqueued::KeyReused, "about something else");
    let elsewhere = NewOccurrence { subject: Subject::sync("clients"), ..keyed(9, "full") };
    assert_eq!(store.enqueue(elsewhere, at(9)).await.expect("enqueue"), Enqueued::KeyReused);
    // Also when it is over.
    let claims = claim(&store, "node-a", 1, at(10)).await;
    store.finish(&claims[0].id, end(Status::Succeeded, 11)).await.expect("finish");
    let again = store.enqueue(keyed(DAY, "full"), at(DAY)).await.expect("enqueue");
    assert_eq!(again, Enqueued::Existing(id));
    assert_eq!(store.occurrences(&OccurrenceFilter::default(), 9).await.expect("list").len(), 1);

    let later = enqueue(&store, keyed(DAY + 1, "incremental"), at(DAY + 1)).await;
    assert!(later > id, "forgotten after a day");
    assert_eq!(found(&store, id).await.asked.idempotency_key, None);
    // Without a key, asking twice is asking twice.
    enqueue(&store, asked(projects(), 0), at(0)).await;
    enqueue(&store, asked(projects(), 0), at(0)).await;
}

pub(super) async fn no_more_than_ten_wait(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    for seconds in 0..WAITING_MAX as i64 {
        enqueue(&store, asked(projects(), seconds), at(0)).await;
    }
    assert_eq!(store.enqueue(asked(projects(), 99), at(0)).await.expect("enqueue"), Enqueued::Full);
    enqueue(&store, asked(Subject::chain("projects"), 99), at(0)).await;
    let claims = claim(&store, "node-a", 1, at(0)).await;
    assert_eq!(claims.len(), 1);
    enqueue(&store, asked(projects(), 99), at(0)).await;
    assert_eq!(store.enqueue(asked(projects(), 99), at(0)).await.expect("enqueue"), Enqueued::Full);
}

pub(super) async fn occurrences_are_listed_newest_first(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let first = claimed(&store, projects(), 0).await.id.occurrence;
    let second = enqueue(&store, asked(Subject::chain("projects"), 1), at(1)).await;
    let third = enqueue(&store, asked(projects(), 2), at(2)).await;
    let list = async |subject, state, before, limit| {
        let filter = OccurrenceFilter { subject, state, before };
        let list = store.occurrences(&filter, limit).await.expect("list");
        list.iter().map(|occurrence| occurrence.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, None, 9).await, [third, second, first]);
    assert_eq!(list(None, None, None, 2).await, [third, second]);
    assert_eq!(list(None, None, Some(second), usize::MAX).await, [first]);
    assert_eq!(list(None, None, Some(u64::MAX), 1).await, [third]);
    assert_eq!(list(Some(projects()), None, None, 9).await, [third, first]);
    assert_eq!(list(Some(projects()), Some(OccurrenceState::Waiting), None, 9).await, [third]);
    assert_eq!(list(None, Some(OccurrenceState::Claimed), None, 9).await, [first]);
    assert!(list(Some(Subject::sync("unheard of")), None, None, 9).await.is_empty());
}

pub(super) async fn a_waiting_one_is_cancelled_at_once(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let id = enqueue(&store, asked(projects(), 0), at(0)).await;
    assert_eq!(store.cancel(id, at(3)).await.expect("cancel"), Some(OccurrenceState::Cancelled));
    let gone = found(&store, id).await;
    assert_eq!((gone.state, gone.finished_at), (OccurrenceState::Cancelled, Some(at(3))));
    assert_eq!((gone.status, gone.reason, gone.epoch), (None, None, 0));
    assert_eq!(store.cancel(id, at(4)).await.expect("cancel"), None, "it is over");
    assert_eq!(store.cancel(id + 1, at(4)).await.expect("cancel"), None, "there is none");
    assert_eq!(claim(&store, "node-a", 9, at(9)).await, []);
    // The instant of a schedule stays decided about.
    let scheduled = enqueue(&store, hourly(projects(), 5), at(5)).await;
    store.cancel(scheduled, at(6)).await.expect("cancel");
    refused("the instant exists", store.enqueue(hourly(projects(), 5), at(7)).await);
}
