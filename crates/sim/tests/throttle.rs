//! Resource units, windows, headers and blocks, on a clock that is moved by hand.

use std::time::Duration;

use serde_json::json;
use syncline_sim::{ExtraLimit, LimitScope, Options, Tier, WindowKind};

use crate::caller::{Bench, part, still};

fn smallest() -> Options {
    Options { tier: Tier::Smallest, ..still() }
}

/// Sends creates in batches until `units` are used.
async fn use_units(bench: &Bench, list: &str, units: usize) {
    let mut left = units / 2;
    while left > 0 {
        let now = left.min(20);
        let create = |n: usize| {
            part(
                &n.to_string(),
                "POST",
                &format!("{list}/items"),
                Some(json!({ "fields": { "Title": "A" } })),
            )
        };
        let answer = bench.batch((0..now).map(create).collect()).await;
        for part in answer.body["responses"].as_array().expect("responses") {
            assert_eq!(part["status"], 201, "{part}");
        }
        left -= now;
    }
}

#[tokio::test]
async fn the_smallest_tier_takes_625_writes_a_minute() {
    let bench = Bench::start(smallest()).await;
    let list = bench.list("Projects");
    use_units(&bench, &list, 998).await;
    assert!(bench.get(&format!("{list}/items/1")).await.header("ratelimit-limit").is_none());
    // 80 % of 1,250 is 1,000.
    let at_80 = bench.get(&format!("{list}/items/1")).await;
    assert_eq!(at_80.header("ratelimit-limit"), Some("1250"));
    assert_eq!(at_80.header("ratelimit-remaining"), Some("250"));
    assert_eq!(at_80.header("ratelimit-reset"), Some("60"));
    bench.world().advance(Duration::from_secs(30));
    use_units(&bench, &list, 250).await;
    let over = bench.create(&list, json!({ "Title": "A" })).await;
    assert_eq!((over.status, over.code()), (429, "TooManyRequests"));
    assert_eq!(over.header("retry-after"), Some("30"));
    assert_eq!(over.header("ratelimit-remaining"), Some("0"));
    assert_eq!(over.header("ratelimit-reset"), Some("30"));
    assert_eq!(bench.world().item_count("Projects").expect("the list"), 624);
    bench.world().advance(Duration::from_secs(30));
    assert_eq!(bench.create(&list, json!({ "Title": "A" })).await.status, 201);
}

#[tokio::test]
async fn throttled_requests_count() {
    let bench = Bench::start(smallest()).await;
    let list = bench.list("Projects");
    use_units(&bench, &list, 1_250).await;
    for _ in 0..5 {
        assert_eq!(bench.create(&list, json!({ "Title": "A" })).await.status, 429);
    }
    let counters = bench.world().counters();
    assert_eq!((counters.ru, counters.throttled), (1_260, 5));
    assert_eq!(counters.ru_last_minute, 1_260);
    // Half a minute later everything is still inside the sliding minute.
    bench.world().advance(Duration::from_secs(30));
    assert_eq!(bench.create(&list, json!({ "Title": "A" })).await.status, 429);
    bench.world().advance(Duration::from_secs(30));
    assert_eq!(bench.create(&list, json!({ "Title": "A" })).await.status, 201);
}

#[tokio::test]
async fn a_part_is_throttled_alone() {
    let bench = Bench::start(smallest()).await;
    let list = bench.list("Projects");
    use_units(&bench, &list, 1_248).await;
    let create = |n: usize| {
        part(&n.to_string(), "POST", &format!("{list}/items"), Some(json!({ "fields": { "Title": "A" } })))
    };
    let answer = bench.batch((0..3).map(create).collect()).await;
    assert_eq!(answer.status, 200);
    let parts = answer.body["responses"].as_array().expect("responses");
    let statuses: Vec<_> = parts.iter().map(|part| part["status"].as_u64()).collect();
    assert_eq!(statuses, [Some(201), Some(429), Some(429)]);
    assert_eq!(parts[1]["headers"]["Retry-After"], "60");
}

#[tokio::test]
async fn costs_follow_the_table() {
    let bench = Bench::start(still()).await;
    let list = bench.list("Projects");
    let mut used = 0;
    let mut cost_of = |bench: &Bench| {
        let total = bench.world().counters().ru;
        let cost = total - used;
        used = total;
        cost
    };
    bench.create(&list, json!({ "Title": "A" })).await;
    assert_eq!(cost_of(&bench), 2);
    bench.get(&format!("{list}/items/1")).await;
    assert_eq!(cost_of(&bench), 1);
    bench.get(&format!("{list}/items")).await;
    assert_eq!(cost_of(&bench), 2);
    let delta = bench.get(&format!("{list}/items/delta")).await;
    assert_eq!(cost_of(&bench), 2);
    bench.get(delta.body["@odata.deltaLink"].as_str().expect("a link")).await;
    assert_eq!(cost_of(&bench), 1);
    bench.get(&format!("{list}/items/1?$expand=permissions")).await;
    assert_eq!(cost_of(&bench), 5);
    bench.call("PATCH", &format!("{list}/items/1/fields"), Some(json!({ "Amount": 1 }))).await;
    assert_eq!(cost_of(&bench), 2);
    bench.call("DELETE", &format!("{list}/items/1"), None).await;
    assert_eq!(cost_of(&bench), 2);
}

#[tokio::test]
async fn a_fixed_window_starts_anew_on_the_minute() {
    let mut options = smallest();
    options.switches.throttle_window = WindowKind::Fixed;
    let bench = Bench::start(options).await;
    let list = bench.list("Projects");
    use_units(&bench, &list, 1_250).await;
    let over = bench.create(&list, json!({ "Title": "A" })).await;
    assert_eq!(over.header("retry-after"), Some("55"), "the clock stands at 10:17:05");
    bench.world().advance(Duration::from_secs(55));
    use_units(&bench, &list, 1_250).await;
}

#[tokio::test]
async fn persistent_abuse_is_blocked() {
    let mut options = smallest();
    options.switches.block_after = Some(3);
    options.switches.block_seconds = 120;
    let bench = Bench::start(options).await;
    let list = bench.list("Projects");
    use_units(&bench, &list, 1_250).await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(bench.get(&format!("{list}/items/1")).await.status);
    }
    assert_eq!(statuses, [429, 429, 429, 429, 503, 503]);
    bench.world().advance(Duration::from_secs(119));
    assert_eq!(bench.get(&format!("{list}/items/1")).await.status, 503);
    bench.world().advance(Duration::from_secs(1));
    assert_eq!(bench.get(&format!("{list}/items/1")).await.status, 200);
}

#[tokio::test]
async fn limits_of_the_user_are_per_list() {
    let options = Options {
        extra_limits: vec![ExtraLimit { operations: 5, window_s: 10, per: LimitScope::List }],
        ..still()
    };
    let bench = Bench::start(options).await;
    let (one, two) = (bench.list("One"), bench.list("Two"));
    for _ in 0..5 {
        assert_eq!(bench.create(&one, json!({ "Title": "A" })).await.status, 201);
    }
    let over = bench.create(&one, json!({ "Title": "A" })).await;
    assert_eq!((over.status, over.header("retry-after")), (429, Some("10")));
    assert_eq!(bench.create(&two, json!({ "Title": "A" })).await.status, 201);
    bench.world().advance(Duration::from_secs(10));
    assert_eq!(bench.create(&one, json!({ "Title": "A" })).await.status, 201);
}

#[tokio::test]
async fn a_fast_clock_speaks_the_callers_seconds() {
    // 30 simulated seconds a second: a minute passes in two of the caller's seconds.
    let options = Options { clock_scale: 30.0, tier: Tier::Smallest, ..still() };
    let bench = Bench::start(options).await;
    let list = bench.list("Projects");
    let mut throttled = None;
    for _ in 0..200 {
        let create = |n: usize| {
            part(
                &n.to_string(),
                "POST",
                &format!("{list}/items"),
                Some(json!({ "fields": { "Title": "A" } })),
            )
        };
        let answer = bench.batch((0..20).map(create).collect()).await;
        let parts = answer.body["responses"].as_array().expect("responses").clone();
        throttled = parts.into_iter().find(|part| part["status"] == 429);
        if throttled.is_some() {
            break;
        }
    }
    let part = throttled.expect("625 writes in a minute of 2 s are soon reached");
    let wait: u64 = part["headers"]["Retry-After"].as_str().and_then(|t| t.parse().ok()).expect("seconds");
    assert!((1..=2).contains(&wait), "a minute is two of the caller's seconds, not {wait}");
}
