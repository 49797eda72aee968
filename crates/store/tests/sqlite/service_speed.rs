//! How fast a service's memory is with ten thousand syncs and a hundred thousand runs. Asserts only in optimised builds;
//! prints what it reaches: `cargo test --release -p syncline-store service_speed -- --nocapture`

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use syncline_core::{run::Status, schedule::Overlap};
use syncline_store::service::{
    ClaimId, Decision, Limits, NewOccurrence, OccurrenceEnd, OccurrenceFilter, OccurrenceState, RunFilter,
    ServiceStore, Subject,
};

use super::fresh;

const SYNCS: u64 = if cfg!(debug_assertions) { 200 } else { 10_000 };
const RUNS: u64 = SYNCS * 10;
const BURST: u64 = SYNCS / 10;

#[expect(clippy::disallowed_methods, reason = "measures")]
fn now() -> Instant {
    Instant::now()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn occurrence(n: u64, seconds: i64) -> NewOccurrence {
    NewOccurrence {
        subject: Subject::sync(format!("sync-{n:05}")),
        schedule: Some("hourly".to_owned()),
        instant: at(seconds),
        due_at: at(seconds),
        overlap: Overlap::Skip,
        weight: 0,
        retry: false,
        options: serde_json::json!({ "mode": "incremental" }),
        connections: vec!["erp".to_owned(), "dwh".to_owned()],
        requested_by: "schedule".to_owned(),
        idempotency_key: None,
        correlation: format!("c-{n}"),
    }
}

fn decisions(syncs: u64, seconds: i64, due: bool) -> Vec<Decision> {
    (0..syncs)
        .map(|n| Decision {
            subject: Subject::sync(format!("sync-{n:05}")),
            schedule: "hourly".to_owned(),
            considered: at(seconds),
            occurrences: if due { vec![occurrence(n, seconds)] } else { Vec::new() },
        })
        .collect()
}

/// Runs as they are after months, put there by plain SQL.
fn fill(sql: &Connection) {
    sql.execute_batch(&format!(
        "BEGIN;
         WITH RECURSIVE n(n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM n WHERE n < {SYNCS} - 1)
         INSERT INTO sync (number, name, epoch) SELECT n + 1, printf('sync-%05d', n), 1 FROM n;
         WITH RECURSIVE n(n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM n WHERE n < {RUNS} - 1)
         INSERT INTO run (sync, epoch, mode, status, started_at, finished_at, schedule)
         SELECT n % {SYNCS} + 1, 1, 'incremental', 'succeeded', '2026-11-20T08:00:00.000000Z',
           '2026-11-20T08:01:00.000000Z', 'hourly' FROM n;
         INSERT INTO run_stream SELECT id, 'Active', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM run;
         INSERT INTO sync_success SELECT sync, schedule, max(started_at), max(finished_at) FROM run GROUP BY 1, 2;
         UPDATE sync SET last_run = (SELECT max(id) FROM run WHERE sync = number);
         COMMIT"
    ))
    .expect("runs");
}

#[tokio::test]
async fn service_speed() {
    let folder = fresh();
    let store = folder.store().await;
    fill(&Connection::open(folder.path()).expect("plain SQL"));

    let began = now();
    let summaries = store.summaries().await.expect("summaries");
    let summing = now() - began;
    assert_eq!(summaries.len() as u64, SYNCS);

    let (mut filter, mut pages, mut slowest) = (RunFilter::default(), 0, Duration::ZERO);
    loop {
        let began = now();
        let page = store.page_runs(&filter, 100).await.expect("runs");
        slowest = slowest.max(now() - began);
        let Some(last) = page.last() else { break };
        filter.before = Some(last.id);
        pages += 1;
    }
    assert_eq!(pages, RUNS / 100);

    store.decide(&decisions(SYNCS, 0, false), at(0)).await.expect("decide");
    let began = now();
    let decided = store.decide(&decisions(BURST, 60, true), at(60)).await.expect("decide");
    let deciding = now() - began;
    assert_eq!(decided.added, BURST);

    let limits = Limits { total: None, connections: [("erp".to_owned(), 5_000)].into() };
    let began = now();
    let mut claims: Vec<ClaimId> = Vec::new();
    loop {
        let claimed = store.claim_due("node-a", &limits, 64, at(60)).await.expect("claims");
        if claimed.is_empty() {
            break;
        }
        claims.extend(claimed.into_iter().map(|claim| claim.id));
    }
    let claiming = now() - began;
    assert_eq!(claims.len() as u64, BURST);

    let began = now();
    store.renew(&claims, at(70)).await.expect("renew");
    let renewing = now() - began;

    let began = now();
    for claim in &claims {
        let end = OccurrenceEnd {
            status: Status::Succeeded,
            error: None,
            satisfied: true,
            follow: Vec::new(),
            at: at(71),
        };
        store.finish(claim, end).await.expect("finish");
    }
    let finishing = now() - began;
    let done = OccurrenceFilter { state: Some(OccurrenceState::Done), ..OccurrenceFilter::default() };
    assert_eq!(store.occurrences(&done, usize::MAX).await.expect("list").len() as u64, BURST);

    // All syncs due at once, one of a time allowed: what waits is passed over again and again.
    store.decide(&decisions(SYNCS, 120, true), at(120)).await.expect("decide");
    let narrow = Limits { total: None, connections: [("erp".to_owned(), 1)].into() };
    let began = now();
    assert_eq!(store.claim_due("node-a", &narrow, 64, at(120)).await.expect("claims").len(), 1);
    let blocked = now() - began;

    println!("{SYNCS} syncs, {RUNS} runs");
    println!("  summaries                 {summing:>12.1?}");
    println!("  page of 100 runs, slowest {slowest:>12.1?}");
    println!("  decide {BURST:>5}              {deciding:>12.1?}");
    println!("  claim {BURST:>5} by 64         {claiming:>12.1?}");
    println!("  renew {BURST:>5}               {renewing:>12.1?}");
    println!("  finish {BURST:>5}, one by one  {finishing:>12.1?}");
    println!("  claim one of {SYNCS}        {blocked:>12.1?}");
    if !cfg!(debug_assertions) {
        assert!(summing < Duration::from_millis(500), "summaries: {summing:?}");
        assert!(claiming < Duration::from_secs(2), "claims: {claiming:?}");
    }
}
