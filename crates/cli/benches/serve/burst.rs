//! A thousand occurrences that are due in the same second.

use std::{collections::BTreeMap, thread, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};
use syncline_store::{
    service::{Occurrence, OccurrenceFilter, RunFilter, ServiceStore},
    sqlite,
};

use crate::node::{Node, project};

const SYNCS: usize = 1_000;
/// How long the work may take in all.
const ENDS_MAX: Duration = Duration::from_secs(240);

pub(crate) fn measure() -> Value {
    let directory = tempfile::tempdir().unwrap();
    project(
        directory.path(),
        SYNCS,
        ", schedule: { cron: \"* * * * *\", jitter: 0s, overlap: skip }",
        "{ parallel: 64 }",
    );
    let node = Node::start(directory.path(), "burst", None);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (occurrences, started) = runtime.block_on(async {
        let store =
            sqlite::open(sqlite::Options::new(directory.path().join(".syncline/store.db"))).await.unwrap();
        let began = std::time::Instant::now();
        loop {
            let first = of_first_instant(&store).await;
            if first.len() == SYNCS && first.iter().all(|one| one.finished_at.is_some()) {
                let runs = store.page_runs(&RunFilter::default(), 5 * SYNCS).await.unwrap();
                break (
                    first,
                    runs.into_iter().map(|run| (run.id, run.started_at)).collect::<BTreeMap<_, _>>(),
                );
            }
            assert!(began.elapsed() < ENDS_MAX, "only {} occurrences ended", first.len());
            thread::sleep(Duration::from_secs(2));
        }
    });
    drop(node);
    let seconds = |from: Timestamp, to: Timestamp| (to - from).total(jiff::Unit::Second).unwrap();
    let claimed = occurrences.iter().map(|one| seconds(one.asked.due_at, one.claimed_at.unwrap()));
    let ended = occurrences.iter().map(|one| seconds(one.asked.due_at, one.finished_at.unwrap()));
    println!(
        "  the last was claimed after {:.2} s, had ended after {:.2} s",
        claimed.fold(0.0, f64::max),
        ended.fold(0.0, f64::max)
    );
    let late = occurrences.iter().filter_map(|one| Some(seconds(one.asked.due_at, *started.get(&one.run?)?)));
    json!({
        "burst_start_s": late.fold(0.0, f64::max),
        "duplicates": twice(&occurrences),
        "lost": occurrences.iter().filter(|one| one.run.is_none()).count(),
    })
}

/// The occurrences of the first instant that a schedule had.
async fn of_first_instant(store: &dyn ServiceStore) -> Vec<Occurrence> {
    let mut all = store.occurrences(&OccurrenceFilter::default(), 5 * SYNCS).await.unwrap();
    let first = all.iter().map(|one| one.asked.instant).min();
    all.retain(|one| Some(one.asked.instant) == first);
    all
}

/// Occurrences beyond the first of a sync.
fn twice(occurrences: &[Occurrence]) -> usize {
    let mut by_sync = BTreeMap::<&str, usize>::new();
    for one in occurrences {
        *by_sync.entry(&one.asked.subject.name).or_default() += 1;
    }
    by_sync.values().map(|count| count - 1).sum()
}
