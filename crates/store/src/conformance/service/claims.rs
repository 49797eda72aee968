//! Claims, limits, leases, and how an occurrence ends.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use syncline_core::run::Status;

use super::{
    ServicePlace,
    world::{asked, at, claim, claimed, end, enqueue, found, hourly, limits, projects, stale},
};
use crate::service::{
    ClaimId, LEASE, NewOccurrence, OccurrenceEnd, OccurrenceState, Renewed, StepRecord, Subject,
};

pub(super) async fn heavier_ones_first_then_the_longest_due(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    for (name, due, weight) in
        [("a", 5, 0), ("b", 3, 0), ("c", 9, 7), ("d", 3, 0), ("e", 11, 99), ("f", 10, 7)]
    {
        let occurrence = NewOccurrence { weight, ..asked(Subject::sync(name), due) };
        enqueue(&store, occurrence, at(0)).await;
    }
    assert_eq!(claim(&store, "node-a", 9, at(2)).await, [], "nothing is due");
    let mut names = Vec::new();
    for _ in 0..5 {
        let claims = claim(&store, "node-a", 1, at(10)).await;
        names.extend(claims.into_iter().map(|claim| claim.asked.subject.name));
    }
    assert_eq!(names, ["c", "f", "b", "d", "a"], "due at ten, itself included");
    assert_eq!(claim(&store, "node-a", 9, at(10)).await, []);
    assert_eq!(claim(&store, "node-a", 0, at(11)).await, []);
    let claims = claim(&store, "node-b", 9, at(11)).await;
    assert_eq!(claims.len(), 1);
    let claimed = found(&store, claims[0].id.occurrence).await;
    assert_eq!((claimed.state, claimed.node.as_deref()), (OccurrenceState::Claimed, Some("node-b")));
    assert_eq!((claimed.epoch, claimed.attempts), (1, 1));
    let (since, until) = (claimed.claimed_at.expect("a time"), claimed.lease_until.expect("a lease"));
    assert_eq!(until.duration_since(since), SignedDuration::try_from(LEASE).expect("a lease"));
}

pub(super) async fn one_at_a_time_per_subject(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    for seconds in [0, 1, 2] {
        enqueue(&store, asked(projects(), seconds), at(0)).await;
    }
    enqueue(&store, asked(Subject::chain("projects"), 3), at(0)).await;
    let first = claim(&store, "node-a", 9, at(5)).await;
    let subjects: Vec<_> = first.iter().map(|claim| claim.asked.subject.clone()).collect();
    assert_eq!(subjects, [projects(), Subject::chain("projects")]);
    assert_eq!(claim(&store, "node-b", 9, at(5)).await, []);
    store.finish(&first[0].id, end(Status::Failed, 6)).await.expect("finish");
    let second = claim(&store, "node-b", 9, at(6)).await;
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].asked.instant, at(1));
}

pub(super) async fn limits_hold(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let using = async |name: &str, due, connections: &[&str]| {
        let connections = connections.iter().map(|name| (*name).to_owned()).collect();
        enqueue(&store, NewOccurrence { connections, ..asked(Subject::sync(name), due) }, at(0)).await;
    };
    for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
        using(name, n as i64, &["erp", "dwh"]).await;
    }
    // Both sides of one sync on one connection count once.
    using("d", 3, &["crm", "crm"]).await;
    using("e", 4, &[]).await;
    let claim = async |max, limits| {
        let claims = store.claim_due("node-a", &limits, max, at(9)).await.expect("claims");
        claims.into_iter().map(|claim| (claim.asked.subject.name.clone(), claim.id)).collect::<Vec<_>>()
    };
    let names =
        |claims: &[(String, ClaimId)]| claims.iter().map(|(name, _)| name.clone()).collect::<String>();
    assert_eq!(claim(9, limits(Some(0), &[])).await, []);
    assert_eq!(names(&claim(9, limits(None, &[("erp", 0), ("crm", 0)])).await), "e");
    let first = claim(9, limits(Some(3), &[("erp", 1), ("crm", 1)])).await;
    assert_eq!(names(&first), "ad", "one of erp; d is another connection; e counts in all");
    assert_eq!(claim(9, limits(Some(3), &[])).await, [], "three are claimed");
    assert_eq!(claim(9, limits(None, &[("erp", 1)])).await, []);
    assert_eq!(claim(9, limits(None, &[("dwh", 0)])).await, [], "a limit that was lowered");
    store.finish(&first[0].1, end(Status::Succeeded, 9)).await.expect("finish");
    assert_eq!(names(&claim(9, limits(Some(3), &[("erp", 1)])).await), "b", "counted from what is claimed");
    assert_eq!(names(&claim(9, limits(None, &[("erp", 2), ("dwh", 2)])).await), "c");

    // Expired claims do not count.
    using("f", 9, &["erp"]).await;
    let later = place.expire_leases(at(9)).await;
    let claims = store.claim_due("node-b", &limits(Some(2), &[("erp", 1)]), 9, later).await.expect("claims");
    let names: String = claims.iter().map(|claim| claim.asked.subject.name.as_str()).collect();
    assert_eq!(names, "bd", "the longest due first, expired or not");
}

pub(super) async fn a_claim_is_renewed_until_it_is_lost(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let first = claimed(&store, projects(), 0).await.id;
    let second = claimed(&store, Subject::sync("clients"), 0).await.id;
    let until = async |claim: ClaimId| found(&store, claim.occurrence).await.lease_until.expect("a lease");
    let before = until(first).await;
    let unheard = ClaimId { occurrence: 99, epoch: 1 };
    let older = ClaimId { epoch: 0, ..first };
    let renewed = store.renew(&[second, unheard, first, older], at(10)).await.expect("renew");
    assert_eq!(renewed, [Renewed::Held, Renewed::Lost, Renewed::Held, Renewed::Lost]);
    assert!(until(first).await > before);
    assert_eq!(claim(&store, "node-b", 9, at(10)).await, []);

    store.finish(&second, end(Status::Succeeded, 11)).await.expect("finish");
    let renewed = store.renew(&[first, second], at(11)).await.expect("renew");
    assert_eq!(renewed, [Renewed::Held, Renewed::Lost], "what is over is lost");
    // A lease that ran out is not renewed, also while nobody else has asked: limits count it as free already.
    let later = place.expire_leases(at(11)).await;
    assert_eq!(store.renew(&[first], later).await.expect("renew"), [Renewed::Lost]);
    assert_eq!(store.renew(&[], later).await.expect("renew"), []);
}

pub(super) async fn an_expired_claim_goes_to_who_asks_first(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let old = claimed(&store, projects(), 0).await;
    store.link(&old.id, 77).await.expect("link");
    enqueue(&store, NewOccurrence { weight: 9, ..asked(projects(), 1) }, at(1)).await;
    let later = place.expire_leases(at(1)).await;
    let claims = claim(&store, "node-b", 9, later).await;
    assert_eq!(claims.len(), 1, "one at a time, and first what was begun");
    let new = &claims[0];
    assert_eq!((new.id.occurrence, new.id.epoch, new.attempts), (old.id.occurrence, 2, 2));
    assert_eq!(new.run, Some(77), "what the earlier claim began");
    assert_eq!(found(&store, new.id.occurrence).await.node.as_deref(), Some("node-b"));
    assert_eq!(store.renew(&[old.id, new.id], later).await.expect("renew"), [Renewed::Lost, Renewed::Held]);
}

pub(super) async fn an_old_claim_writes_nothing(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let chain = Subject::chain("daily");
    let old = claimed(&store, chain.clone(), 0).await.id;
    let run = store.start_chain(&old, super::chains::new_run("daily", 0)).await.expect("a run");
    let later = place.expire_leases(at(1)).await;
    let new = claim(&store, "node-b", 9, later).await[0].id;
    let before = (found(&store, new.occurrence).await, store.chain_run(run).await.expect("run"));

    let step = StepRecord { step: "load".to_owned(), ..super::chains::step("load") };
    let finish = super::chains::ended(syncline_core::chain::ChainStatus::Failed, 2);
    let follow = OccurrenceEnd { follow: vec![asked(chain, 9)], satisfied: true, ..end(Status::Failed, 2) };
    stale("link", store.link(&old, 99).await, 2);
    stale("finish", store.finish(&old, follow).await, 2);
    stale("start_chain", store.start_chain(&old, super::chains::new_run("daily", 2)).await, 2);
    stale("record_step", store.record_step(&old, run, &step).await, 2);
    stale("reopen_chain", store.reopen_chain(&old, run, &["load".to_owned()], at(2)).await, 2);
    stale("finish_chain", store.finish_chain(&old, run, finish).await, 2);
    stale("record_backfill", store.record_backfill(&old, 1, &super::chains::progress(2)).await, 2);
    store.release(&[old], at(2)).await.expect("an old epoch is passed over");
    assert_eq!((found(&store, new.occurrence).await, store.chain_run(run).await.expect("run")), before);

    let ahead = ClaimId { epoch: 3, ..new };
    stale("an epoch that nobody has yet", store.link(&ahead, 99).await, 2);
    let unheard = ClaimId { occurrence: 99, epoch: 1 };
    stale("an occurrence that nobody has", store.link(&unheard, 99).await, 0);
    store.finish(&new, end(Status::Succeeded, 3)).await.expect("the new one goes on");
    stale("what is over", store.finish(&new, end(Status::Failed, 4)).await, 2);
    assert_eq!(found(&store, new.occurrence).await.status, Some(Status::Succeeded));
}

pub(super) async fn released_claims_wait_again(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let claim_of = claimed(&store, projects(), 5).await.id;
    store.link(&claim_of, 7).await.expect("link");
    store.release(&[claim_of], at(6)).await.expect("release");
    let waiting = found(&store, claim_of.occurrence).await;
    assert_eq!(
        (waiting.state, waiting.lease_until, waiting.finished_at),
        (OccurrenceState::Waiting, None, None)
    );
    assert_eq!((waiting.asked.due_at, waiting.run), (at(5), Some(7)));
    stale("what was released", store.finish(&claim_of, end(Status::Succeeded, 6)).await, 1);
    assert_eq!(store.renew(&[claim_of], at(6)).await.expect("renew"), [Renewed::Lost]);
    let again = claim(&store, "node-b", 9, at(6)).await;
    assert_eq!((again[0].id.epoch, again[0].attempts, again[0].run), (2, 2, Some(7)));
    // On a clock that was set back meanwhile, it is due at once all the same.
    store.release(&[again[0].id], at(2)).await.expect("release");
    assert_eq!(claim(&store, "node-b", 9, at(2)).await.len(), 1);
}

pub(super) async fn an_end_closes_and_adds_what_follows(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let claim_of = claimed(&store, projects(), 0).await.id;
    let retry = NewOccurrence { retry: true, due_at: at(60), ..hourly(projects(), 0) };
    let error = Some(("graph.throttled".to_owned(), "too many requests".to_owned()));
    let finished = OccurrenceEnd {
        error: error.clone(),
        follow: vec![retry.clone(), retry.clone()],
        ..end(Status::Failed, 9)
    };
    for open in [Status::Running, Status::Queued] {
        let refused = store.finish(&claim_of, end(open, 9)).await;
        assert!(refused.is_err(), "{open:?} is no end");
    }
    store.finish(&claim_of, finished).await.expect("finish");
    let done = found(&store, claim_of.occurrence).await;
    assert_eq!((done.state, done.status, done.error), (OccurrenceState::Done, Some(Status::Failed), error));
    assert_eq!((done.finished_at, done.lease_until), (Some(at(9)), None));
    let next = found(&store, claim_of.occurrence + 1).await;
    assert_eq!((next.asked, next.state, next.created_at), (retry, OccurrenceState::Waiting, at(9)));
    assert_eq!(claim(&store, "node-a", 9, at(59)).await, []);
    assert_eq!(claim(&store, "node-a", 9, at(60)).await.len(), 1);
}

pub(super) async fn a_success_makes_retries_needless(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let retry = |subject: Subject| NewOccurrence { retry: true, due_at: at(90), ..asked(subject, 0) };
    let ours = enqueue(&store, retry(projects()), at(0)).await;
    let theirs = enqueue(&store, retry(Subject::sync("clients")), at(0)).await;
    let plain = enqueue(&store, asked(projects(), 80), at(0)).await;
    let partial = claimed(&store, projects(), 1).await.id;
    store.finish(&partial, end(Status::Failed, 2)).await.expect("finish");
    assert_eq!(found(&store, ours).await.state, OccurrenceState::Waiting);
    let success = claimed(&store, projects(), 3).await.id;
    let again = retry(projects());
    let satisfied = OccurrenceEnd { satisfied: true, follow: vec![again], ..end(Status::Succeeded, 4) };
    store.finish(&success, satisfied).await.expect("finish");
    let skipped = found(&store, ours).await;
    assert_eq!((skipped.state, skipped.finished_at), (OccurrenceState::Skipped, Some(at(4))));
    assert_eq!(skipped.reason.as_deref(), Some("another run succeeded first"));
    assert_eq!(found(&store, theirs).await.state, OccurrenceState::Waiting);
    assert_eq!(found(&store, plain).await.state, OccurrenceState::Waiting, "it is no retry");
    assert_eq!(found(&store, success.occurrence + 1).await.state, OccurrenceState::Waiting, "it follows");
}

pub(super) async fn a_claimed_one_is_asked_to_stop(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let claim_of = claimed(&store, projects(), 0).await.id;
    let state = store.cancel(claim_of.occurrence, at(1)).await.expect("cancel");
    assert_eq!(state, Some(OccurrenceState::Claimed));
    let asked_to = found(&store, claim_of.occurrence).await;
    assert!(asked_to.cancel_requested);
    assert_eq!((asked_to.state, asked_to.finished_at), (OccurrenceState::Claimed, None));
    assert_eq!(store.renew(&[claim_of], at(2)).await.expect("renew"), [Renewed::CancelRequested]);
    // Whoever takes it over after a crash learns it too.
    let later = place.expire_leases(at(2)).await;
    let next = claim(&store, "node-b", 9, later).await[0].id;
    assert_eq!(store.renew(&[next], later).await.expect("renew"), [Renewed::CancelRequested]);
    // Given back, it does not begin again.
    store.release(&[next], later).await.expect("release");
    assert_eq!(found(&store, next.occurrence).await.state, OccurrenceState::Cancelled);

    let other = claimed(&store, Subject::sync("clients"), 3).await.id;
    store.cancel(other.occurrence, at(3)).await.expect("cancel");
    store.finish(&other, end(Status::Cancelled, 4)).await.expect("finish");
    let done = found(&store, other.occurrence).await;
    assert_eq!((done.state, done.status), (OccurrenceState::Done, Some(Status::Cancelled)));
    assert_eq!(store.cancel(other.occurrence, at(5)).await.expect("cancel"), None);
}

pub(super) async fn the_next_moment_is_known(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let next = async || store.next_due().await.expect("next");
    assert_eq!(next().await, None);
    enqueue(&store, asked(projects(), 500), at(0)).await;
    assert_eq!(next().await, Some(at(500)));
    enqueue(&store, asked(projects(), 400), at(0)).await;
    assert_eq!(next().await, Some(at(400)));
    let held = claim(&store, "node-a", 1, at(400)).await[0].id;
    let lease: Option<Timestamp> = found(&store, held.occurrence).await.lease_until;
    assert_eq!(next().await, lease.min(Some(at(500))), "the end of a lease, or what waits");
    store.finish(&held, end(Status::Succeeded, 401)).await.expect("finish");
    assert_eq!(next().await, Some(at(500)));
    let last = claim(&store, "node-a", 1, at(500)).await[0].id;
    assert_eq!(next().await, found(&store, last.occurrence).await.lease_until);
    store.finish(&last, end(Status::Succeeded, 501)).await.expect("finish");
    assert_eq!(next().await, None);
}
