//! Ten thousand syncs and a hundred thousand runs: pages stay small, and how long they take is told.

use std::sync::Arc;

use rusqlite::Connection;
use syncline_connect::clock::{Clock, SystemClock};
use syncline_core::project::Project;
use syncline_engine::service::Served;

use super::kit::Browser;
use crate::api::kit::World;

const SYNCS: usize = 10_000;
/// Largest page, in bytes.
const PAGE_MAX: usize = 200_000;
/// Times that each page is asked for.
const ASKED: usize = 20;

/// Serves ten thousand syncs, and gives each ten runs; one of them ninety thousand more.
async fn full() -> World {
    let world = World::open().await;
    let served = world.served.borrow().clone();
    let model = served.project.sync("people").expect("the sync of the kit").clone();
    let named = |n: usize| syncline_core::sync::Sync { name: format!("sync-{n:05}"), ..model.clone() };
    let project = Project { syncs: (0..SYNCS).map(named).collect(), ..(*served.project).clone() };
    world.served.send_replace(Arc::new(Served {
        project: Arc::new(project),
        number: 2,
        ..(*served).clone()
    }));
    let store = Connection::open(world.directory.path().join("store.db")).expect("the store");
    store.execute_batch(RUNS).expect("runs");
    world
}

/// Every tenth run is partial, every hundredth failed.
const RUNS: &str = "
PRAGMA busy_timeout = 10000;
BEGIN IMMEDIATE;
WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 9999)
  INSERT INTO sync (name, epoch) SELECT printf('sync-%05d', n), 1 FROM n;
WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 99999)
  INSERT INTO run (sync, epoch, mode, status, started_at, finished_at, read, created, unchanged, parked, error_code, error_message)
  SELECT (SELECT min(number) FROM sync) + CASE WHEN n < 90000 THEN n % 9000 ELSE 9999 END, 1, 'full',
    CASE WHEN n % 100 = 7 THEN 'failed' WHEN n % 10 = 3 THEN 'partial' ELSE 'succeeded' END,
    '2026-11-27T10:00:00.000000Z', '2026-11-27T10:01:40.000000Z', 1000, 300, 690, 10,
    CASE WHEN n % 100 = 7 THEN 'timeout' END, CASE WHEN n % 100 = 7 THEN 'the source did not answer <b>in time</b>' END FROM n;
UPDATE sync SET last_run = (SELECT max(id) FROM run WHERE run.sync = sync.number),
  success_started_at = '2026-11-27T10:00:00.000000Z', success_at = '2026-11-27T10:01:40.000000Z';
COMMIT;";

#[tokio::test(flavor = "multi_thread")]
async fn pages_stay_small_and_quick() {
    let world = full().await;
    let (browser, clock) = (Browser::of(&world), SystemClock::new());
    let pages = [
        "/",
        "/?page=100",
        "/?show=failed",
        "/?text=sync-099",
        "/syncs/sync-00000",
        "/syncs/sync-09999",
        "/syncs/sync-09999?status=failed",
        "/syncs/sync-09999?before=95000",
        "/syncs/sync-09999/definition",
        "/runs/100000",
        "/runs/8",
    ];
    for path in pages {
        let mut took: Vec<u128> = Vec::new();
        for _ in 0..ASKED {
            let began = clock.elapsed();
            let page = browser.page(path).await;
            took.push(clock.elapsed().saturating_sub(began).as_micros());
            assert!(page.len() < PAGE_MAX, "{path} has {} bytes", page.len());
            assert!(!page.contains("<b>in time"), "{path}");
        }
        took.sort_unstable();
        let bytes = browser.page(path).await.len();
        eprintln!("{path}: {bytes} bytes, median {} µs, p95 {} µs", took[ASKED / 2], took[ASKED * 19 / 20]);
    }
    assert!(browser.page("/").await.contains("of 10,000"), "all are there");
}
