//! `make bench-serve`: what the service costs and promises, measured on the real binary.
//!
//! Four parts, each by itself with `BENCH_ONLY=idle,burst,cluster,api`: ten thousand schedules on one idle node; a thousand
//! occurrences due in the same second; three nodes on PostgreSQL that are killed and paused while they work ten thousand
//! occurrences off; lists of the API while syncs run. Prints a table and writes `target/bench/serve.json`.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark: it reads its settings from the environment, measures time and prints"
)]

mod api;
mod burst;
mod cluster;
mod idle;
mod node;

use serde_json::{Map, Value, json};

/// Figure, what was measured, what is to be reached, whether a smaller value is better than the limit.
const GOALS: &[(&str, &str, f64)] = &[
    ("idle_cpu_pct", "% of a core, 10,000 schedules", 1.0),
    ("startup_s", "s until ready, 10,000 schedules", 2.0),
    ("idle_rss_mb", "MB resident, 10,000 schedules", 40.0),
    ("burst_start_s", "s until the last of 1,000 has started", 5.0),
    ("duplicates", "occurrences carried out twice", 0.0),
    ("lost", "occurrences not carried out", 0.0),
    ("stale_writes", "writes of an old claim that took effect", 0.0),
    ("api_p99_ms", "ms, lists of 10,000 runs", 10.0),
];

fn main() {
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    let wanted = |part: &str| only.is_empty() || only.split(',').any(|name| name == part);
    let mut figures = Map::new();
    for (part, measure) in [
        ("idle", idle::measure as fn() -> Value),
        ("burst", burst::measure),
        ("cluster", cluster::measure),
        ("api", api::measure),
    ] {
        if !wanted(part) {
            continue;
        }
        println!("measuring {part}");
        merge(&mut figures, measure());
    }
    println!("\n{:<16}{:>12}  to reach", "figure", "seen");
    for (name, what, most) in GOALS {
        if let Some(seen) = figures.get(*name).and_then(Value::as_f64) {
            let verdict = if seen <= *most { "" } else { " (not reached)" };
            println!("{name:<16}{seen:>12.3}  <= {most} {what}{verdict}");
        }
    }
    std::fs::create_dir_all("../../target/bench").unwrap();
    let text = serde_json::to_string_pretty(&json!(figures)).unwrap();
    std::fs::write("../../target/bench/serve.json", text).unwrap();
}

/// Adds the figures of a part; counts that two parts have are added up.
fn merge(figures: &mut Map<String, Value>, part: Value) {
    let Value::Object(part) = part else { panic!("a part gives an object") };
    for (name, value) in part {
        let sum = match figures.get(&name) {
            Some(before) => json!(before.as_f64().unwrap() + value.as_f64().unwrap()),
            None => value,
        };
        figures.insert(name, sum);
    }
}
