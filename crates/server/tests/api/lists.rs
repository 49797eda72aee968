//! Lists in pages.

use std::{collections::BTreeMap, sync::Arc};

use syncline_core::{counts::Counts, run::Status, sync::Mode};
use syncline_store::{
    About, NewRun, RunEnd,
    service::{NewEvent, ServiceStore},
};

use super::kit::{World, now};

/// Ended runs of a sync.
async fn runs(store: &Arc<dyn ServiceStore>, sync: &str, count: usize) {
    let lease = store.claim(sync, now()).await.expect("nobody else runs it");
    for _ in 0..count {
        let new = NewRun { mode: Mode::Full, reason: None, about: About::default(), at: now() };
        let run = store.start_run(&lease, new).await.expect("the store works");
        let end = RunEnd {
            status: Status::Succeeded,
            counts: Counts { read: 1, created: 1, ..Counts::default() },
            by_stream: BTreeMap::new(),
            error: None,
            notes: Vec::new(),
            at: now(),
        };
        store.finish_run(&lease, run, end).await.expect("the store works");
    }
}

/// Numbers of a whole list, page by page, by the header `Link`; `between` is called after each page.
async fn walk(world: &World, path: &str, between: impl AsyncFn()) -> Vec<u64> {
    let mut found = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let answer = world.get(&path).await;
        let link = answer.header("link").map(str::to_owned);
        let body = answer.ok(200);
        let items = body["items"].as_array().expect("items");
        found.extend(items.iter().map(|item| item["id"].as_u64().expect("a number")));
        next = link.map(|link| {
            assert!(link.ends_with("; rel=\"next\""), "{link}");
            let path = link.trim_start_matches('<').split('>').next().expect("an address").to_owned();
            assert!(path.contains(body["next"].as_str().expect("a cursor")), "{path}");
            path
        });
        assert_eq!(next.is_some(), !body["next"].is_null());
        between().await;
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_meets_every_run_once_while_runs_are_added() {
    let world = World::open().await;
    runs(&world.store, "projects", 25).await;
    runs(&world.store, "people", 3).await;
    let known = walk(&world, "/api/v1/runs?limit=7", async || ()).await;
    assert_eq!(known.len(), 28);
    let found = walk(&world, "/api/v1/runs?limit=7", async || runs(&world.store, "projects", 2).await).await;
    assert_eq!(found, known, "newest first, those that were added meanwhile left out");
    let of_people = walk(&world, "/api/v1/runs?sync=people&limit=1&status=succeeded", async || ()).await;
    assert_eq!(of_people.len(), 3);
    assert_eq!(walk(&world, "/api/v1/runs?status=failed", async || ()).await, Vec::<u64>::new());
    let whole = walk(&world, "/api/v1/runs?limit=28&sync=projects", async || ()).await;
    let first = world.get("/api/v1/runs?limit=1").await.ok(200);
    let cursor = first["next"].as_str().expect("a cursor");
    world.get(&format!("/api/v1/occurrences?cursor={cursor}")).await.problem(400, "bad_cursor");
    assert!(whole.is_sorted_by(|a, b| a > b));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_walked_in_order() {
    let world = World::open().await;
    let event = |n: u64| NewEvent {
        at: now(),
        kind: if n.is_multiple_of(2) { "run.finished" } else { "chain.step" }.to_owned(),
        subject: None,
        run: None,
        correlation: None,
        message: format!("event {n}"),
        data: serde_json::Value::Null,
    };
    let all: Vec<NewEvent> = (0..23).map(event).collect();
    world.store.append_events(&all).await.expect("the store works");
    let found = walk(&world, "/api/v1/events?limit=5", async || ()).await;
    assert_eq!(found.len(), 23);
    assert!(found.is_sorted_by(|a, b| a < b));
    let after = format!("/api/v1/events?after={}&limit=4&kind=run.", found[9]);
    assert_eq!(walk(&world, &after, async || ()).await.len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_walked_in_order() {
    let world = World::open().await;
    let mut names = Vec::new();
    let mut path = "/api/v1/syncs?limit=1".to_owned();
    loop {
        let page = world.get(&path).await.ok(200);
        names.extend(page["items"].as_array().expect("items").iter().map(|item| item["name"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/syncs?limit=1&cursor={next}");
    }
    assert_eq!(names, ["people", "projects"]);
}
