//! What the cases have in common: occurrences and decisions made from small numbers.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use syncline_core::{run::Status, schedule::Overlap};

pub(super) use crate::conformance::world::at;
use crate::{
    Error,
    service::{
        Claim, Decision, Enqueued, Limits, NewOccurrence, Occurrence, OccurrenceEnd, OccurrenceId,
        ServiceStore, Subject,
    },
};

/// A store.
pub(super) type Shared = Arc<dyn ServiceStore>;

/// The subject most cases are about.
pub(super) fn projects() -> Subject {
    Subject::sync("projects")
}

/// What somebody asks for, due at once.
pub(super) fn asked(subject: Subject, seconds: i64) -> NewOccurrence {
    NewOccurrence {
        subject,
        schedule: None,
        instant: at(seconds),
        due_at: at(seconds),
        overlap: Overlap::Queue,
        weight: 0,
        retry: false,
        options: serde_json::json!({}),
        connections: Vec::new(),
        requested_by: "cli".to_owned(),
        idempotency_key: None,
        correlation: "c-1".to_owned(),
    }
}

/// What the schedule `hourly` fires.
pub(super) fn hourly(subject: Subject, seconds: i64) -> NewOccurrence {
    NewOccurrence {
        schedule: Some("hourly".to_owned()),
        overlap: Overlap::Skip,
        requested_by: "schedule".to_owned(),
        ..asked(subject, seconds)
    }
}

/// A decision about `hourly` up to a second, with an instant at each of these.
pub(super) fn decision(subject: &Subject, considered: i64, instants: &[i64]) -> Decision {
    Decision {
        subject: subject.clone(),
        schedule: "hourly".to_owned(),
        considered: at(considered),
        occurrences: instants.iter().map(|seconds| hourly(subject.clone(), *seconds)).collect(),
    }
}

/// Adds an occurrence that must be new.
pub(super) async fn enqueue(store: &Shared, occurrence: NewOccurrence, now: Timestamp) -> OccurrenceId {
    match store.enqueue(occurrence, now).await.expect("enqueue") {
        Enqueued::New(id) => id,
        other => panic!("expected New, got {other:?}"),
    }
}

/// Claims without limits.
pub(super) async fn claim(store: &Shared, node: &str, max: usize, now: Timestamp) -> Vec<Claim> {
    store.claim_due(node, &Limits::default(), max, now).await.expect("claims")
}

/// Asks for a subject and claims it.
pub(super) async fn claimed(store: &Shared, subject: Subject, seconds: i64) -> Claim {
    let id = enqueue(store, asked(subject, seconds), at(seconds)).await;
    let mut claims = claim(store, "node-a", 1, at(seconds)).await;
    let claim = claims.pop().expect("a claim");
    assert_eq!(claim.id.occurrence, id);
    claim
}

/// The occurrence as it stands.
pub(super) async fn found(store: &Shared, id: OccurrenceId) -> Occurrence {
    store.occurrence(id).await.expect("occurrence").expect("the occurrence")
}

/// A plain end.
pub(super) fn end(status: Status, seconds: i64) -> OccurrenceEnd {
    OccurrenceEnd { status, error: None, satisfied: false, follow: Vec::new(), at: at(seconds) }
}

/// Limits per connection.
pub(super) fn limits(total: Option<usize>, connections: &[(&str, usize)]) -> Limits {
    let connections: BTreeMap<_, _> =
        connections.iter().map(|(name, limit)| ((*name).to_owned(), *limit)).collect();
    Limits { total, connections }
}

/// Expects [`Error::Stale`].
pub(super) fn stale<T: std::fmt::Debug>(what: &str, outcome: Result<T, Error>, found: u64) {
    match outcome {
        Err(Error::Stale { found: epoch, .. }) => assert_eq!(epoch, found, "{what}"),
        other => panic!("{what}: expected Stale, got {other:?}"),
    }
}

/// Expects [`Error::Database`].
pub(super) fn refused<T: std::fmt::Debug>(what: &str, outcome: Result<T, Error>) {
    match outcome {
        Err(Error::Database { .. }) => {}
        other => panic!("{what}: expected a refusal, got {other:?}"),
    }
}
