//! `make bench-webinars`: what a user waits for who opens the page of a session, on the real binary.
//!
//! `syncline serve` with `examples/webinar-metrics` on a real PostgreSQL; Teams is the simulator, a process of its own, with 5 ms
//! of latency and pages of 100. Three parts: a session of 5,000 registrations and 5,000 attendance records; the same again, when
//! nothing has changed; and 200 users who open a session each in the same second, under a quota. Prints a table and writes
//! `target/bench/webinars.json`. Needs SYNCLINE_TEST_POSTGRES (the Makefile starts a server); fewer people with
//! WEBINAR_PEOPLE, fewer users with WEBINAR_USERS.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark: it reads its settings from the environment, measures time and prints"
)]

mod house;

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use house::House;

/// Requests of one application that the simulated tenant takes in 10 s while many users come at once.
const QUOTA: u64 = 300;
/// Figure, what was measured, what is to be reached at most.
const GOALS: &[(&str, &str, f64)] = &[
    ("session_s", "s, 5,000 registrations and 5,000 attendance records", 1.5),
    ("peak_rss_mb", "MB resident at most", 60.0),
    ("repeat_writes", "rows written by a repeated load", 0.0),
    ("repeat_times", "rows whose last_sync_at it set: the session and its series", 2.0),
    ("fleet_ratio", "times the least that the quota allows, 200 users at once", 1.1),
    ("fleet_throttled", "requests refused for the quota", 5.0),
];

fn main() {
    let setting =
        |name: &str, usual: u64| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(usual);
    let (people, users) = (setting("WEBINAR_PEOPLE", 5_000), setting("WEBINAR_USERS", 200));
    let mut figures = Map::new();
    figures.extend(session(people));
    figures.extend(fleet(users));
    println!("\n{:<16}{:>12}  to reach", "figure", "seen");
    for (name, what, most) in GOALS {
        let seen = figures[*name].as_f64().unwrap();
        let verdict = if seen <= *most { "" } else { " (not reached)" };
        println!("{name:<16}{seen:>12.3}  <= {most} {what}{verdict}");
    }
    std::fs::create_dir_all("../../target/bench").unwrap();
    std::fs::write("../../target/bench/webinars.json", serde_json::to_string_pretty(&figures).unwrap())
        .unwrap();
}

/// One large session, three times from an empty table and once more.
fn session(people: u64) -> Map<String, Value> {
    let house = House::open("session", "{ unlimited: true }");
    house.sim("latency", &json!({ "ms": 5 }));
    let (user, webinar, session) = house.webinar(0, people);
    // The second and third find the connections open and the keys fetched, as a service has them.
    let mut seconds: Vec<f64> = (0..3)
        .map(|_| {
            house.database("TRUNCATE participants, session_metrics, series_metrics");
            let took = house.opens(&user, &webinar, &session);
            assert_eq!(house.number("SELECT count(*) FROM participants"), people);
            assert_eq!(house.number("SELECT attendees FROM session_metrics"), people);
            took.as_secs_f64()
        })
        .collect();
    println!("a session of {people}: {seconds:.3?} s");
    seconds.sort_by(f64::total_cmp);
    let peak = house.peak_mb();
    let (rows, times) = house.written_by(|| {
        house.opens(&user, &webinar, &session);
    });
    let mut figures = Map::new();
    figures.insert("session_s".into(), json!(seconds[1]));
    figures.insert("peak_rss_mb".into(), json!(peak));
    figures.insert("repeat_writes".into(), json!(rows));
    figures.insert("repeat_times".into(), json!(times));
    figures
}

/// Many users at once, each with a session of its own, under one quota.
fn fleet(users: u64) -> Map<String, Value> {
    let house = House::open("fleet", &format!("{{ requests_per_10s: {QUOTA} }}"));
    house.sim("latency", &json!({ "ms": 5 }));
    house.sim("switches", &json!({ "virtual_event_requests_per_app": QUOTA }));
    let all: Vec<_> = (0..users).map(|number| house.webinar(number, 50)).collect();
    let tokens: Vec<String> = all.iter().map(|(user, ..)| house.token(user)).collect();
    let before = house.requests();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for ((_, webinar, session), token) in all.iter().zip(&tokens) {
            let house = &house;
            scope.spawn(move || house.run(token, webinar, session));
        }
    });
    let took = began.elapsed().as_secs_f64();
    let after = house.requests();
    let requests = after.sent - before.sent;
    // The window slides: as many as it holds may go out at once, and again 10 s later.
    let least = (requests.saturating_sub(1) / QUOTA * 10) as f64;
    println!(
        "{users} users: {requests} requests of virtual events in {took:.1} s; the quota needs {least:.1} s"
    );
    assert_eq!(house.number("SELECT count(DISTINCT owner_id) FROM participants"), users);
    let mut figures = Map::new();
    figures.insert("fleet_s".into(), json!(took));
    figures.insert("fleet_ratio".into(), json!(took / least.max(1.0)));
    figures.insert("fleet_throttled".into(), json!(after.throttled - before.throttled));
    figures
}

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(600);
