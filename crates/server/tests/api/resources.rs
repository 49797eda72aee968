//! Every resource over a node that works.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use syncline_core::{
    chain::{Chain, Step, StepKind},
    cursor::Cursor,
    identity::Identity,
    sync::Mode,
};
use syncline_engine::service::Served;
use syncline_store::{
    About, Checkpoint, Held, IntentKind, NewRun, Parked,
    service::{Claim, Limits},
};

use super::kit::{Made, World, answer, now};

pub(super) async fn working() -> World {
    World::make(Made { works: true, ..Made::default() }).await
}

/// Starts a run and waits for its end; the number of the run.
pub(super) async fn ran(world: &World, sync: &str, body: Value) -> u64 {
    let started = world.post(&format!("/api/v1/syncs/{sync}/runs"), body).await;
    let location = started.header("location").expect("where to look").to_owned();
    assert_eq!(started.ok(202)["subject"], json!({ "kind": "sync", "name": sync }));
    let done = world.until(&location, |answer| answer.json["state"] == "done").await.json;
    assert_eq!((&done["status"], &done["error"]), (&json!("succeeded"), &Value::Null), "{done}");
    done["run"].as_u64().expect("a run")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_started_watched_and_found_again() {
    let world = working().await;
    let run = ran(&world, "projects", json!({ "mode": "full" })).await;
    let shown = world.get(&format!("/api/v1/runs/{run}")).await.ok(200);
    assert_eq!(
        (&shown["status"], &shown["mode"], &shown["counts"]["created"]),
        (&json!("succeeded"), &json!("full"), &json!(3))
    );
    let progress = world.get(&format!("/api/v1/runs/{run}/progress")).await.ok(200);
    assert_eq!((&progress["live"], &progress["counts"]["read"]), (&json!(false), &json!(3)));
    world.post(&format!("/api/v1/runs/{run}/retry"), json!({})).await.problem(409, "not_possible");
    world.post(&format!("/api/v1/runs/{run}/cancel"), json!({})).await.problem(409, "not_possible");
    for path in ["/api/v1/runs/99", "/api/v1/runs/99/progress"] {
        world.get(path).await.problem(404, "not_found");
    }
    for path in ["/api/v1/runs/99/retry", "/api/v1/runs/99/cancel", "/api/v1/syncs/none/runs"] {
        world.post(path, json!({})).await.problem(404, "not_found");
    }
    let start = "/api/v1/syncs/people/runs";
    world.post(start, json!({ "mode": "incremental" })).await.problem(422, "not_fitting");
    world.post(start, json!({ "mode": "sideways" })).await.problem(422, "not_fitting");
    // no body at all is a run as it is defined
    assert_eq!(answer(world.request(Method::POST, start)).await.status, 202);
    let sync =
        world.until("/api/v1/syncs/projects", |answer| answer.json["last_run"]["id"] == run).await.json;
    assert_eq!((&sync["origin"], &sync["health"]["level"]), (&json!("file"), &json!("healthy")));
    assert_eq!(sync["definition"]["key"], json!({ "strategy": "columns", "columns": ["code"] }));
    let metrics = world.get("/metrics").await;
    for line in [
        "syncline_records_total{sync=\"projects\",outcome=\"created\"} 3",
        "syncline_operations_ended_total{kind=\"sync\",status=\"succeeded\"}",
        "syncline_store_up 1",
        "syncline_parked{sync=\"projects\"} 0",
        "# TYPE syncline_operation_seconds histogram",
        "syncline_freshness_seconds{sync=\"projects\"} ",
    ] {
        assert!(metrics.text.contains(line), "{line}\n{}", metrics.text);
    }
    let nodes = world.get("/api/v1/nodes").await.ok(200);
    assert_eq!(nodes["items"][0]["node"], "test");
    world.until("/readyz", |answer| answer.status == 200).await;
    let events = world.get("/api/v1/events?sync=projects&kind=run.").await.ok(200);
    assert!(!events["items"].as_array().expect("events").is_empty(), "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_twice_with_a_key_starts_once() {
    let world = World::open().await;
    let ask = |sync: &str| {
        world.request(Method::POST, &format!("/api/v1/syncs/{sync}/runs")).header("idempotency-key", "once")
    };
    let (one, two, three) =
        tokio::join!(answer(ask("projects")), answer(ask("projects")), answer(ask("projects")));
    let (one, two, three) = (one.ok(202), two.ok(202), three.ok(202));
    assert!(one["id"] == two["id"] && two["id"] == three["id"]);
    answer(ask("people")).await.problem(422, "key_reused");
    let all = world.get("/api/v1/occurrences?sync=projects").await.ok(200);
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1));
    for _ in 0..9 {
        world.post("/api/v1/syncs/projects/runs", json!({})).await.ok(202);
    }
    world.post("/api/v1/syncs/projects/runs", json!({})).await.problem(429, "queue_full");
}

#[tokio::test(flavor = "multi_thread")]
async fn occurrences_are_listed_and_cancelled() {
    let world = World::open().await;
    let asked = world.post("/api/v1/syncs/projects/runs", json!({ "only_parked": true })).await.ok(202);
    assert_eq!(
        (&asked["state"], &asked["requested_by"], &asked["options"]["only_parked"]),
        (&json!("waiting"), &json!("local"), &json!(true))
    );
    let path = format!("/api/v1/occurrences/{}", asked["id"]);
    assert_eq!(world.get(&path).await.ok(200)["state"], "waiting");
    assert_eq!(world.post(&format!("{path}/cancel"), json!({})).await.ok(202)["state"], "cancelled");
    world.post(&format!("{path}/cancel"), json!({})).await.problem(409, "not_possible");
    world.get("/api/v1/occurrences/99").await.problem(404, "not_found");
    world.post("/api/v1/occurrences/99/cancel", json!({})).await.problem(404, "not_found");
    world.get("/api/v1/occurrences?state=lost").await.problem(400, "bad_query");
    world.get("/api/v1/occurrences?sync=a&chain=b").await.problem(400, "bad_query");
    let cancelled = world.get("/api/v1/occurrences?state=cancelled").await.ok(200);
    assert_eq!(cancelled["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_under_way_is_cancelled_through_its_occurrence() {
    let world = World::open().await;
    let asked = world.post("/api/v1/syncs/projects/runs", json!({})).await.ok(202);
    let claims = world.store.claim_due("other", &Limits::default(), 1, now()).await.expect("the store");
    let Claim { id, .. } = &claims[0];
    let lease = world.store.claim("projects", now()).await.expect("a lease");
    let new = NewRun { mode: Mode::Full, reason: None, about: About::default(), at: now() };
    let run = world.store.start_run(&lease, new).await.expect("a run");
    let path = format!("/api/v1/runs/{run}/cancel");
    let alone = world.post(&path, json!({})).await.problem(409, "not_possible");
    assert!(alone["hint"].as_str().is_some_and(|hint| hint.contains("command line")), "{alone}");
    world.store.link(id, run).await.expect("the store");
    let stopping = world.post(&path, json!({})).await.ok(202);
    assert_eq!((&stopping["id"], &stopping["cancel_requested"]), (&asked["id"], &json!(true)));
    world.post("/api/v1/syncs/projects/parked/retry", json!({})).await.problem(409, "busy");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_shown_without_secrets_and_tested() {
    let world = World::open().await;
    let listed = world.get("/api/v1/connections").await;
    assert!(!listed.text.contains("source.db"), "options are not shown");
    assert_eq!(
        listed.ok(200)["items"][0],
        json!({
            "name": "cache", "kind": "sqlite", "read_by": [], "written_by": ["projects", "people"]
        })
    );
    assert_eq!(world.get("/api/v1/connections/source").await.ok(200)["kind"], "sqlite");
    world.get("/api/v1/connections/none").await.problem(404, "not_found");
    world.post("/api/v1/connections/none/test", json!({})).await.problem(404, "not_found");
    assert_eq!(world.post("/api/v1/connections/source/test", json!({})).await.ok(200)["ok"], true);
    let failed = world.post("/api/v1/connections/cache/test", json!({})).await.ok(200);
    assert_eq!(
        (&failed["ok"], &failed["error"]["code"]),
        (&json!(false), &json!("stream_missing")),
        "{failed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_and_a_verification_tell_what_is_different() {
    let world = working().await;
    let plan = "/api/v1/syncs/projects/plan";
    let planned = world.post(plan, json!({ "limit": 2 })).await.ok(200);
    assert_eq!(
        (&planned["totals"]["create"], planned["records"].as_array().map(Vec::len)),
        (&json!(3), Some(2))
    );
    world.post(plan, json!({ "limit": 0 })).await.problem(400, "bad_body");
    world.post(plan, json!({ "limit": 1001 })).await.problem(400, "bad_body");
    world.post(plan, json!({ "mode": "x" })).await.problem(422, "not_fitting");
    world.post("/api/v1/syncs/none/plan", json!({})).await.problem(404, "not_found");
    ran(&world, "projects", json!({})).await;
    assert_eq!(world.post(plan, json!({})).await.ok(200)["totals"]["create"], 0);
    world.get("/api/v1/syncs/projects/drift").await.problem(404, "not_found");
    let cache = rusqlite::Connection::open(world.directory.path().join("cache.db")).expect("the cache");
    cache.execute("delete from projects where code = 'P2'", []).expect("a delete");
    let begun = world.post("/api/v1/syncs/projects/verify", json!({})).await;
    let location = begun.header("location").expect("where to look").to_owned();
    assert_eq!(begun.ok(202)["state"], "running");
    let found = world.until(&location, |answer| answer.json["state"] != "running").await.json;
    assert_eq!((&found["state"], &found["totals"]), (&json!("done"), &json!({ "missing": 1 })), "{found}");
    assert_eq!(
        (&found["findings"][0]["kind"], &found["findings"][0]["key"]),
        (&json!("missing"), &json!("P2"))
    );
    world.post("/api/v1/syncs/none/verify", json!({})).await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_are_shown_and_reset() {
    let world = working().await;
    ran(&world, "projects", json!({})).await;
    let path = "/api/v1/syncs/projects/cursor";
    assert_eq!(world.get(path).await.ok(200)["value"], Value::Null, "the destination keeps it");
    assert_eq!(world.post(&format!("{path}/reset"), json!({})).await.ok(200)["forgotten"], true);
    assert_eq!(world.post(&format!("{path}/reset"), json!({})).await.ok(200)["forgotten"], false);
    world.get("/api/v1/syncs/none/cursor").await.problem(404, "not_found");
    world.post("/api/v1/syncs/none/cursor/reset", json!({})).await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_show_their_instants_and_are_paused() {
    let world = World::open().await;
    let listed = world.get("/api/v1/schedules").await.ok(200);
    let nightly = &listed["items"][0];
    assert_eq!((&nightly["schedule"], &nightly["zone"]), (&json!("nightly"), &json!("Europe/Berlin")));
    let next = nightly["next"].as_array().expect("instants");
    assert_eq!(next.len(), 5);
    for instant in next {
        let local = instant["local"].as_str().expect("a time");
        assert!(local.contains("T02:30:00+0") || local.contains("T03:"), "{local}");
    }
    let switch = |what: &str| format!("/api/v1/schedules/{what}");
    world.post(&switch("pause"), json!({ "sync": "none" })).await.problem(404, "not_found");
    world
        .post(&switch("pause"), json!({ "sync": "projects", "schedule": "none" }))
        .await
        .problem(404, "not_found");
    world.post(&switch("pause"), json!({ "sync": "projects", "chain": "x" })).await.problem(400, "bad_body");
    world.post(&switch("pause"), json!({ "sync": "projects", "schedule": "nightly" })).await.ok(200);
    world.get("/api/v1/schedules?sync=people").await.ok(200);
    world.post(&switch("resume"), json!({ "sync": "projects" })).await.ok(200);
    world.get("/api/v1/schedules?chain=none").await.ok(200);
}

/// A run that left a parked record and a held delete.
async fn leave(world: &World) -> String {
    let (store, at) = (&world.store, now());
    let lease = store.claim("projects", at).await.expect("a lease");
    let new = NewRun { mode: Mode::Full, reason: None, about: About::default(), at };
    let run = store.start_run(&lease, new).await.expect("a run");
    let identity = Identity([7; 32]);
    let (sync, label) = ("projects".to_owned(), "P7".to_owned());
    let parked = Parked {
        sync: sync.clone(),
        identity,
        key: None,
        label: label.clone(),
        kind: Some(IntentKind::Create),
        code: "rejected".to_owned(),
        message: "the destination refuses it".to_owned(),
        attempts: 1,
        first_at: at,
        last_at: at,
        retry_at: at,
        run,
    };
    let held = Held {
        sync,
        identity: Identity([8; 32]),
        label,
        stream: "projects".to_owned(),
        record_id: "8".to_owned(),
        reason: "too many".to_owned(),
        since: at,
        run,
    };
    let checkpoint = Checkpoint {
        parked: vec![parked],
        held: Some(vec![held]),
        cursor: Some(Cursor { position: None, fingerprint: "f".to_owned() }),
        at,
        ..Checkpoint::default()
    };
    store.checkpoint(&lease, run, checkpoint).await.expect("the store works");
    identity.stamp()
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_records_are_listed_retried_and_dropped() {
    let world = World::open().await;
    let stamp = leave(&world).await;
    let listed = world.get("/api/v1/parked?sync=projects").await.ok(200);
    assert_eq!(
        (&listed["items"][0]["identity"], &listed["items"][0]["code"]),
        (&json!(stamp), &json!("rejected"))
    );
    assert_eq!(world.get("/api/v1/parked?sync=people").await.ok(200)["items"], json!([]));
    let path = |what: &str| format!("/api/v1/syncs/projects/parked/{what}");
    assert_eq!(world.post(&path("retry"), json!({})).await.ok(200)["changed"], 1);
    assert_eq!(world.post(&path("retry"), json!({ "identities": [stamp] })).await.ok(200)["changed"], 1);
    world.post(&path("retry"), json!({ "identities": ["zz"] })).await.problem(400, "bad_body");
    world.post(&path("drop"), json!({})).await.problem(400, "bad_body");
    world.post(&path("drop"), json!({ "identities": [stamp], "all": true })).await.problem(400, "bad_body");
    assert_eq!(
        world.post(&path("drop"), json!({ "identities": ["0".repeat(64)] })).await.ok(200)["changed"],
        0
    );
    assert_eq!(world.post(&path("drop"), json!({ "all": true })).await.ok(200)["changed"], 1);
    world.post("/api/v1/syncs/none/parked/retry", json!({})).await.problem(404, "not_found");
    world.post("/api/v1/syncs/none/parked/drop", json!({ "all": true })).await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn held_deletes_are_approved_or_rejected() {
    let world = World::open().await;
    leave(&world).await;
    assert_eq!(world.get("/api/v1/held").await.ok(200)["items"][0]["reason"], "too many");
    let path = |what: &str| format!("/api/v1/syncs/projects/held/{what}");
    world.post(&path("approve"), json!({})).await.problem(400, "bad_body");
    world.post(&path("approve"), json!({ "max": 0 })).await.problem(400, "bad_body");
    assert_eq!(world.post(&path("approve"), json!({ "max": 5 })).await.ok(200)["approved"], 5);
    assert_eq!(world.store.approval("projects").await.expect("the store"), Some(5));
    assert_eq!(world.post(&path("reject"), json!({})).await.ok(200)["changed"], 1);
    assert_eq!(world.store.approval("projects").await.expect("the store"), None);
    world.post("/api/v1/syncs/none/held/reject", json!({})).await.problem(404, "not_found");
    world.post("/api/v1/syncs/none/held/approve", json!({ "max": 1 })).await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_changed() {
    let world = World::open().await;
    assert_eq!(
        world.get("/api/v1/settings").await.ok(200),
        json!({ "limits": null, "parallel": null, "paused": false })
    );
    let limits = json!({ "total": 4, "connections": { "cache": 1 } });
    let put = |name: &str, body| (format!("/api/v1/settings/{name}"), body);
    let (path, body) = put("limits", json!({ "limits": limits }));
    assert_eq!(world.put(&path, body).await.ok(200)["limits"], limits);
    world.put(&path, json!({ "limits": { "connections": { "none": 1 } } })).await.problem(422, "not_fitting");
    world.put(&path, json!({ "limits": { "total": -1 } })).await.problem(400, "bad_body");
    assert_eq!(world.put(&path, json!({ "limits": null })).await.ok(200)["limits"], Value::Null);
    assert_eq!(world.put("/api/v1/settings/parallel", json!({ "parallel": 3 })).await.ok(200)["parallel"], 3);
    world.put("/api/v1/settings/parallel", json!({ "parallel": 0 })).await.problem(422, "not_fitting");
    assert_eq!(world.put("/api/v1/settings/paused", json!({ "paused": true })).await.ok(200)["paused"], true);
    world.put("/api/v1/settings/paused", json!({ "paused": "x" })).await.problem(400, "bad_body");
    assert_eq!(world.store.setting("paused").await.expect("the store"), Some(json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn backfills_are_asked_for_and_cancelled() {
    let world = World::open().await;
    let path = "/api/v1/syncs/projects/backfills";
    let range = json!({ "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z" });
    let asked = world.post(path, range.clone()).await.ok(202);
    assert_eq!((&asked["sync"], &asked["status"]), (&json!("projects"), &json!("queued")));
    let one = format!("/api/v1/backfills/{}", asked["id"]);
    assert_eq!(world.get(&one).await.ok(200)["from"], range["from"]);
    assert_eq!(world.get("/api/v1/backfills?sync=projects").await.ok(200)["items"][0]["id"], asked["id"]);
    assert_eq!(world.post(&format!("{one}/cancel"), json!({})).await.ok(202)["state"], "cancelled");
    world.post(&format!("{one}/cancel"), json!({})).await.problem(409, "not_possible");
    world.post(path, json!({ "from": "a" })).await.problem(400, "bad_body");
    world.post("/api/v1/syncs/people/backfills", range.clone()).await.problem(422, "not_fitting");
    world.post("/api/v1/syncs/none/backfills", range).await.problem(404, "not_found");
    world.get("/api/v1/backfills/99").await.problem(404, "not_found");
    world.post("/api/v1/backfills/99/cancel", json!({})).await.problem(404, "not_found");
}

/// Serves a chain of two steps, of which the second cannot succeed.
fn with_chain(world: &World) {
    let step = |name: &str, sync: &str, needs: &[&str]| Step {
        name: name.to_owned(),
        needs: needs.iter().map(|name| (*name).to_owned()).collect(),
        required: true,
        requires: Vec::new(),
        timeout: std::time::Duration::from_secs(60),
        kind: StepKind::Sync { sync: sync.to_owned(), mode: None },
    };
    world.served.send_modify(|served| {
        let mut project = (*served.project).clone();
        let mut broken = project.sync("people").expect("a sync").clone();
        broken.name = "broken".to_owned();
        broken.from.stream = "no_such_table".to_owned();
        broken.schedules.clear();
        project.syncs.push(broken);
        let steps = vec![step("first", "people", &[]), step("second", "broken", &["first"])];
        project.chains.push(Chain { name: "daily".to_owned(), schedules: Vec::new(), steps });
        *served =
            Arc::new(Served { project: Arc::new(project), number: served.number + 1, ..(**served).clone() });
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_started_shown_resumed_and_its_health_told() {
    let world = working().await;
    with_chain(&world);
    let shown = world.get("/api/v1/chains/daily").await.ok(200);
    assert_eq!(
        (&shown["steps"][1]["needs"], &shown["steps"][1]["about"]),
        (&json!(["first"]), &json!("broken"))
    );
    assert_eq!(world.get("/api/v1/chains").await.ok(200)["items"][0]["name"], "daily");
    let started = world.post("/api/v1/chains/daily/runs", json!({})).await;
    let location = started.header("location").expect("where to look").to_owned();
    let done = world.until(&location, |answer| answer.json["state"] == "done").await.json;
    assert_eq!(done["status"], "failed", "{done}");
    let one = format!("/api/v1/chain-runs/{}", done["run"]);
    let run = world.get(&one).await.ok(200);
    assert_eq!(
        (&run["status"], &run["completed"], &run["total"]),
        (&json!("failed"), &json!(1), &json!(2)),
        "{run}"
    );
    assert_eq!(
        (&run["steps"][0]["status"], &run["steps"][1]["status"]),
        (&json!("succeeded"), &json!("failed"))
    );
    assert_eq!(
        world.get("/api/v1/chain-runs?chain=daily&status=failed").await.ok(200)["items"][0]["id"],
        done["run"]
    );
    assert_eq!(world.get(&format!("{one}/resume-set")).await.ok(200)["steps"], json!(["second"]));
    let chain = json!({ "kind": "chain", "name": "daily" });
    let of_chain = |answer: &Value| {
        let all = answer["subjects"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|one| one["subject"] == chain).map(|one| one["level"].clone())
    };
    let health = world.until("/health", |answer| of_chain(&answer.json) == Some(json!("unhealthy"))).await;
    assert_eq!((health.status.as_u16(), &health.json["level"]), (503, &json!("unhealthy")));
    let resumed = world.post(&format!("{one}/resume"), json!({})).await;
    let location = resumed.header("location").expect("where to look").to_owned();
    assert_eq!(resumed.ok(202)["options"]["resume"], done["run"]);
    world.until(&location, |answer| answer.json["state"] == "done").await;
    let run = world.get(&one).await.ok(200);
    assert_eq!((&run["steps"][0]["attempts"], &run["steps"][1]["attempts"]), (&json!(1), &json!(2)), "{run}");
    world.post(&format!("{one}/cancel"), json!({})).await.problem(409, "not_possible");
    for path in ["/api/v1/chains/none", "/api/v1/chain-runs/99", "/api/v1/chain-runs/99/resume-set"] {
        world.get(path).await.problem(404, "not_found");
    }
    for path in ["/api/v1/chains/none/runs", "/api/v1/chain-runs/99/resume", "/api/v1/chain-runs/99/cancel"] {
        world.post(path, json!({})).await.problem(404, "not_found");
    }
    world.get("/api/v1/chain-runs?status=x").await.problem(400, "bad_query");
}
