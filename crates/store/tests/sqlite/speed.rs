//! How fast the hot paths are. Asserts only in optimised builds, and far below what they reach; prints what they reach:
//! `cargo test --release -p syncline-store speed -- --nocapture`

use std::time::{Duration, Instant};

use jiff::Timestamp;
use syncline_core::{identity::Identity, sync::Mode, value::Value};
use syncline_store::{About, Checkpoint, Intent, IntentKind, LedgerChange, LedgerRow, NewRun, Store};

use super::fresh;

/// Rows in the ledger: enough in an optimised build that it does not fit into the page cache.
const ROWS: u64 = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };
const BATCH: usize = 10_000;

#[expect(clippy::disallowed_methods, reason = "measures")]
fn now() -> Instant {
    Instant::now()
}

fn row(n: u64) -> LedgerRow {
    let key = vec![Value::Text(format!("PRJ-{n:07}").into())];
    let mut hash = [3; 32];
    hash[..8].copy_from_slice(&n.to_le_bytes());
    LedgerRow {
        identity: Identity::of(&key, false).expect("a key without nulls"),
        stream: format!("contoso.sharepoint.com,00000000-0000-0000-0000-000000000001/list-{}", n % 3),
        record_id: n.to_string(),
        version: Some(format!("\"5e2a7e0c-3c1f-4a57-9f55-{n:012},1\"")),
        hash: Some(hash),
        gone: false,
        key,
        fields: [("Title".to_owned(), format!("Project {n}").into()), ("Budget".to_owned(), n.into())].into(),
    }
}

#[tokio::test]
async fn speed_of_the_hot_paths() {
    let folder = fresh();
    let store = folder.store().await;
    let lease = store.claim("projects", Timestamp::UNIX_EPOCH).await.expect("a claim");
    let run = NewRun { mode: Mode::Full, reason: None, about: About::default(), at: Timestamp::UNIX_EPOCH };
    let run = store.start_run(&lease, run).await.expect("a run");

    let mut filling = Duration::ZERO;
    let mut numbers = (0..ROWS).peekable();
    while numbers.peek().is_some() {
        let ledger = numbers.by_ref().take(BATCH).map(|n| LedgerChange::Put(row(n))).collect();
        let began = now();
        let checkpoint = Checkpoint { ledger, ..Checkpoint::default() };
        store.checkpoint(&lease, run, checkpoint).await.expect("a checkpoint");
        filling += now() - began;
    }

    // As a source lists records that it has listed before, and as it never did: with a step that is prime to the number.
    let identities: Vec<_> = (0..ROWS).map(|n| row(n).identity).collect();
    let shuffled: Vec<_> = (0..ROWS).map(|n| row(n * 700_001 % ROWS).identity).collect();
    let mut finding = [Duration::ZERO; 2];
    for (took, identities) in finding.iter_mut().zip([&identities, &shuffled]) {
        let began = now();
        for batch in identities.chunks(BATCH) {
            let found = store.find("projects", batch).await.expect("find");
            assert!(found.iter().all(Option::is_some));
        }
        *took = now() - began;
    }

    let began = now();
    let known: u64 = store.known("projects").await.expect("known").iter().map(|(_, records)| records).sum();
    let counting = now() - began;
    assert_eq!(known, ROWS);
    let began = now();
    let mut seen = syncline_core::seen::Seen::default();
    (0..ROWS).for_each(|n| {
        seen.insert(n);
    });
    let (unseen, _) = store.unseen("projects", &seen, 0, 100).await.expect("unseen");
    let walking = now() - began;
    assert_eq!(unseen.len(), 1, "the numbers are 1 to {ROWS}");

    let intents: Vec<_> = (ROWS..ROWS + 500)
        .map(|n| LedgerRow { record_id: String::new(), ..row(n) })
        .map(|row| Intent { kind: IntentKind::Create, row, from: None, created: false })
        .collect();
    let began = now();
    store.intend(&lease, run, &intents).await.expect("intents");
    let intending = now() - began;
    let checkpoint = Checkpoint {
        ledger: (ROWS..ROWS + 500).map(|n| LedgerChange::Put(row(n))).collect(),
        closed: intents.iter().map(|intent| intent.row.identity).collect(),
        ..Checkpoint::default()
    };
    let began = now();
    store.checkpoint(&lease, run, checkpoint).await.expect("a checkpoint");
    let recording = now() - began;

    let rate = |took: Duration| ROWS as f64 / took.as_secs_f64();
    println!("{ROWS} rows");
    println!("  find, known order     {:>10.0} identities/s", rate(finding[0]));
    println!("  find, any order       {:>10.0} identities/s", rate(finding[1]));
    println!("  fill                  {:>10.0} rows/s", rate(filling));
    println!("  known                 {counting:>12.1?}");
    println!("  unseen, all seen      {walking:>12.1?}");
    println!("  500 intents           {intending:>12.1?}");
    println!("  500 rows, closing     {recording:>12.1?}");
    if !cfg!(debug_assertions) {
        assert!(rate(finding[0]) > 200_000.0, "find: {:.0} identities/s", rate(finding[0]));
    }
}
