//! Three nodes on PostgreSQL work ten thousand occurrences off while they are killed and paused; then a thousand writes
//! of claims that others took over.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::{Value, json};
use syncline_core::{run::Status, schedule::Overlap};
use syncline_store::{
    Error, postgres,
    service::{
        Claim, Enqueued, LEASE, Limits, NewOccurrence, Occurrence, OccurrenceEnd, OccurrenceFilter,
        OccurrenceState, RunFilter, ServiceStore, Subject, WAITING_MAX,
    },
};
use tokio::time::sleep;

use crate::node::{Node, project};

const SYNCS: usize = 1_000;
const NODES: usize = 3;
const STALE_TRIES: usize = 1_000;
/// How long the work may take in all.
const ENDS_MAX: Duration = Duration::from_secs(900);
/// Longer than the lease, so that somebody else has the claims when the node wakes up.
const PAUSE: Duration = Duration::from_secs(40);

pub(crate) fn measure() -> Value {
    let Ok(server) = std::env::var("SYNCLINE_TEST_POSTGRES") else {
        println!("  left out: SYNCLINE_TEST_POSTGRES is not set");
        return json!({});
    };
    let seed: u64 = std::env::var("SEED").ok().map_or(20_261_127, |seed| seed.parse().unwrap());
    println!("  seed {seed}");
    let directory = tempfile::tempdir().unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let url = fresh_database(&server).await;
        let store: Arc<dyn ServiceStore> =
            Arc::new(postgres::open(postgres::Options::new(&url)).await.unwrap());
        project(directory.path(), SYNCS, "", "{ parallel: 8 }");
        let asked = ask(&*store).await;
        work_off(directory.path(), &url, &*store, asked, seed).await;
        let (lost, duplicates) = count(&*store, asked).await;
        let stale = stale_writes(&*store).await;
        json!({ "lost": lost, "duplicates": duplicates, "stale_writes": stale })
    })
}

async fn fresh_database(server: &str) -> String {
    let (client, connection) = tokio_postgres::connect(server, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    let name = format!("bench_serve_{}", std::process::id());
    client.batch_execute(&format!("DROP DATABASE IF EXISTS {name}")).await.unwrap();
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    drop(client);
    driver.await.unwrap().unwrap();
    let (base, _) = server.rsplit_once('/').unwrap();
    format!("{base}/{name}")
}

/// Asks for as many occurrences as may wait, of every sync.
async fn ask(store: &dyn ServiceStore) -> usize {
    let now = Timestamp::now();
    for number in 0..SYNCS {
        for _ in 0..WAITING_MAX {
            let asked = store.enqueue(occurrence(&format!("s{number:05}"), now), now).await.unwrap();
            assert!(matches!(asked, Enqueued::New(_)), "{asked:?}");
        }
    }
    SYNCS * WAITING_MAX
}

fn occurrence(sync: &str, now: Timestamp) -> NewOccurrence {
    NewOccurrence {
        subject: Subject::sync(sync),
        schedule: None,
        instant: now,
        due_at: now,
        overlap: Overlap::Queue,
        weight: 0,
        retry: false,
        options: json!({}),
        connections: vec![],
        requested_by: "bench".to_owned(),
        idempotency_key: None,
        correlation: format!("bench-{}", fastrand::u64(..)),
    }
}

/// Runs the nodes until everything is done, killing and pausing one at a time.
async fn work_off(directory: &Path, url: &str, store: &dyn ServiceStore, asked: usize, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut nodes: Vec<Node> =
        (0..NODES).map(|n| Node::start(directory, &format!("node{n}"), Some(url))).collect();
    let (began, mut kills, mut pauses) = (Instant::now(), 0, 0);
    let mut paused: Option<(usize, Instant)> = None;
    loop {
        sleep(Duration::from_millis(random.u64(2_000..5_000))).await;
        let done = ended(store, asked).await;
        println!(
            "  {:>4.0} s: {done} of {asked} done, {kills} kills, {pauses} pauses",
            began.elapsed().as_secs_f64()
        );
        if done == asked {
            break;
        }
        assert!(began.elapsed() < ENDS_MAX, "only {done} of {asked} are done");
        if let Some((node, since)) = paused.filter(|(_, since)| since.elapsed() >= PAUSE) {
            let _ = since;
            nodes[node].signal("-CONT");
            paused = None;
        }
        let node = random.usize(..NODES);
        if paused.is_some_and(|(sleeping, _)| sleeping == node) {
            continue;
        }
        if paused.is_none() && random.bool() {
            nodes[node].signal("-STOP");
            paused = Some((node, Instant::now()));
            pauses += 1;
        } else {
            // dropped first: as a power cut
            drop(nodes.remove(node));
            nodes.insert(node, Node::start(directory, &format!("node{node}"), Some(url)));
            kills += 1;
        }
    }
    println!("  {kills} kills, {pauses} pauses, {:.0} s", began.elapsed().as_secs_f64());
}

async fn ended(store: &dyn ServiceStore, asked: usize) -> usize {
    all(store, asked).await.iter().filter(|one| one.state == OccurrenceState::Done).count()
}

async fn all(store: &dyn ServiceStore, asked: usize) -> Vec<Occurrence> {
    store.occurrences(&OccurrenceFilter::default(), asked + 1).await.unwrap()
}

/// Occurrences without a successful run, and successful runs beyond the first of an occurrence.
async fn count(store: &dyn ServiceStore, asked: usize) -> (usize, usize) {
    let occurrences = all(store, asked).await;
    let lost = occurrences.iter().filter(|one| one.status != Some(Status::Succeeded)).count();
    let mut by_correlation = BTreeMap::<String, usize>::new();
    let succeeded = RunFilter { status: Some(Status::Succeeded), ..RunFilter::default() };
    for run in store.page_runs(&succeeded, 3 * asked).await.unwrap() {
        *by_correlation.entry(run.about.correlation.unwrap()).or_default() += 1;
    }
    (lost, by_correlation.values().map(|count| count - 1).sum())
}

/// One node claims, sleeps beyond its lease, another takes over; then the first one writes. Counts what took effect.
async fn stale_writes(store: &dyn ServiceStore) -> usize {
    let now = Timestamp::now();
    for number in 0..STALE_TRIES {
        store.enqueue(occurrence(&format!("stale{number}"), now), now).await.unwrap();
    }
    let old = claim(store, "sleeper").await;
    sleep(LEASE + Duration::from_secs(2)).await;
    let new = claim(store, "successor").await;
    assert_eq!((old.len(), new.len()), (STALE_TRIES, STALE_TRIES));
    let mut took_effect = 0;
    for claim in &old {
        let end = OccurrenceEnd {
            status: Status::Failed,
            error: Some(("stale".to_owned(), "this must not be seen".to_owned())),
            satisfied: true,
            follow: vec![],
            at: Timestamp::now(),
        };
        match store.finish(&claim.id, end).await {
            Err(Error::Stale { .. }) => {}
            _ => took_effect += 1,
        }
        let found = store.occurrence(claim.id.occurrence).await.unwrap().unwrap();
        if found.state != OccurrenceState::Claimed || found.node.as_deref() != Some("successor") {
            took_effect += 1;
        }
    }
    took_effect
}

async fn claim(store: &dyn ServiceStore, node: &str) -> Vec<Claim> {
    let mut claims = Vec::new();
    loop {
        let more = store.claim_due(node, &Limits::default(), 100, Timestamp::now()).await.unwrap();
        if more.is_empty() {
            return claims;
        }
        claims.extend(more);
    }
}
