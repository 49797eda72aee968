//! Lists of ten thousand runs over the API, while syncs run.

use std::{thread, time::Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use syncline_core::{counts::Counts, run::Status, sync::Mode};
use syncline_store::{
    About, NewRun, RunEnd, Store,
    sqlite::{self, Options},
};

use crate::node::{Node, get, project};

const RUNS: usize = 10_000;
const SYNCS: usize = 100;
/// Walks over the whole list, a page of a hundred at a time.
const WALKS: usize = 10;

pub(crate) fn measure() -> Value {
    let directory = tempfile::tempdir().unwrap();
    project(directory.path(), SYNCS, ", schedule: { every: 10s }", "{ parallel: 2 }");
    let path = directory.path().join(".syncline/store.db");
    tokio::runtime::Runtime::new().unwrap().block_on(remember(&path));
    let node = Node::start(directory.path(), "api", None);
    let mut took = Vec::new();
    for _ in 0..WALKS {
        let mut next = "/api/v1/runs?limit=100".to_owned();
        let mut seen = 0;
        loop {
            let began = Instant::now();
            let answer = get(&node.url, &next).expect("an answer");
            took.push(began.elapsed().as_secs_f64() * 1000.0);
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
            let page: Value = serde_json::from_str(body).expect("JSON that is not chunked");
            seen += page["items"].as_array().unwrap().len();
            match page["next"].as_str() {
                Some(cursor) => next = format!("/api/v1/runs?limit=100&cursor={cursor}"),
                None => break,
            }
            thread::yield_now();
        }
        assert!(seen >= RUNS, "only {seen} runs were listed");
    }
    took.sort_by(f64::total_cmp);
    println!("  {} requests, median {:.2} ms", took.len(), took[took.len() / 2]);
    json!({ "api_p99_ms": took[took.len() * 99 / 100] })
}

/// Runs of the past.
async fn remember(path: &std::path::Path) {
    let store = sqlite::open(Options::new(path)).await.unwrap();
    let mut at = Timestamp::now() - SignedDuration::from_hours(24 * 7);
    for sync in 0..SYNCS {
        let lease = store.claim(&format!("s{sync:05}"), at).await.unwrap();
        for _ in 0..RUNS / SYNCS {
            at += SignedDuration::from_secs(1);
            let new = NewRun { mode: Mode::Full, reason: None, about: About::default(), at };
            let run = store.start_run(&lease, new).await.unwrap();
            let counts = Counts { read: 2, unchanged: 2, ..Counts::default() };
            let end = RunEnd {
                status: Status::Succeeded,
                counts,
                by_stream: [("out".to_owned(), counts)].into(),
                error: None,
                notes: vec![],
                at,
            };
            store.finish_run(&lease, run, end).await.unwrap();
        }
    }
}
