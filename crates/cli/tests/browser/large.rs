//! Ten thousand syncs and a hundred thousand runs: pages stay small, and what is looked for is found.

use super::{
    audit::{audit, fits},
    driver::Browser,
};
use crate::{kit::Place, serve::kit::Service};

const SYNCS: usize = 10_000;
/// Runs of each sync.
const RUNS: usize = 10;
/// What no page exceeds.
const BYTES_MAX: usize = 200_000;

fn crowded() -> Place {
    let place = Place::empty();
    let mut project = "connections:\n  erp: { type: sqlite, path: projects.db }\n  cache: { type: sqlite, path: cache.db }\nsyncs:\n".to_owned();
    for n in 0..SYNCS {
        project.push_str(&format!(
            "  s{n:05}: {{ from: {{ connection: erp, table: t, key: [k] }}, to: {{ connection: cache, table: t{n} }}, mode: full, write: upsert }}\n"
        ));
    }
    place.write("syncline.yaml", project);
    place.sql("CREATE TABLE t (k INTEGER NOT NULL PRIMARY KEY)");
    Service::start(&place, "one", &[]).stop();
    let store = rusqlite::Connection::open(place.path(".syncline/store.db")).unwrap();
    store
        .execute_batch(&format!(
            "BEGIN;
             INSERT INTO sync (name, epoch) WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {SYNCS} - 1)
               SELECT printf('s%05d', i), 1 FROM n;
             INSERT INTO run (sync, epoch, mode, status, started_at, finished_at, read, updated, unchanged)
               WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {RUNS})
               SELECT sync.number, 1, 'full', CASE (sync.number + i) % 50 WHEN 0 THEN 'partial' ELSE 'succeeded' END,
                 strftime('%Y-%m-%dT%H:%M:%S', 'now', (i - {RUNS}) || ' hours') || '.000000Z',
                 strftime('%Y-%m-%dT%H:%M:%S', 'now', (i - {RUNS}) || ' hours') || '.500000Z', 1000 + i, i, 1000
               FROM n, sync ORDER BY i, sync.number;
             INSERT INTO parked (sync, identity, key, label, code, message, attempts, first_at, last_at, retry_at, run)
               SELECT number, randomblob(32), NULL, 'K-' || number, 'rejected', 'field \"Status\": not a choice ' || (number % 90), 1,
                 '2026-01-01T00:00:00.000000Z', '2026-01-01T00:00:00.000000Z', '2026-01-01T00:00:00.000000Z', 1
               FROM sync WHERE number % 2 = 0;
             INSERT INTO event (at, kind, subject_kind, subject, message, data)
               SELECT started_at, 'run.finished', 'sync', (SELECT name FROM sync WHERE number = run.sync), 'run ' || id || ' ended', '{{}}'
               FROM run;
             COMMIT;"
        ))
        .unwrap();
    place
}

#[test]
fn pages_of_a_crowd_are_small() {
    let place = crowded();
    let service = Service::start(&place, "one", &[]);
    let pages = [
        "/",
        "/?text=s0999",
        "/?page=100",
        "/held",
        "/parked",
        "/parked?sync=s00001",
        "/chains",
        "/connections",
        "/events",
        "/events?text=run+99999",
        "/events?sync=s00001",
        "/syncs/s00001",
        "/runs/50000",
    ];
    for path in pages {
        let (status, body) = service.ask("GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
        assert!(body.len() < BYTES_MAX, "{path} has {} bytes", body.len());
    }
    let browser = Browser::start(service.ready["api"].as_str().unwrap());
    browser.open("/");
    browser.says("10,000 syncs");
    audit(&browser);
    browser.open("/parked");
    browser.says("5,000 records of 5,000 syncs failed");
    browser.size(360, 740);
    fits(&browser);
    browser.open("/events?text=run+99999");
    browser.says("run 99999 ended");
}
