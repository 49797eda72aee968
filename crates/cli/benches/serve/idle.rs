//! Ten thousand syncs on schedules, none of which is due.

use std::{thread, time::Duration};

use serde_json::{Value, json};

use crate::node::{Node, project};

const SYNCS: usize = 10_000;
/// How long an idle node is watched: several heartbeats, and every loop a few times.
const WATCHED: Duration = Duration::from_secs(40);

pub(crate) fn measure() -> Value {
    let directory = tempfile::tempdir().unwrap();
    // once a year, in a night far from now
    let schedule = ", schedule: { cron: \"0 3 29 2 *\", zone: Europe/Berlin }";
    project(directory.path(), SYNCS, schedule, "{ parallel: 8 }");
    // the first start also makes the store
    drop(Node::start(directory.path(), "first", None));
    let node = Node::start(directory.path(), "idle", None);
    thread::sleep(Duration::from_secs(5));
    let before = node.cpu_s();
    thread::sleep(WATCHED);
    let cpu = node.cpu_s() - before;
    json!({
        "startup_s": node.ready_s,
        "idle_cpu_pct": cpu / WATCHED.as_secs_f64() * 100.0,
        "idle_rss_mb": node.rss_mb(),
    })
}
