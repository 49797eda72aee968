//! Definitions that are kept in the store.

use reqwest::Method;
use serde_json::json;

use super::kit::{World, answer};

fn definition(stream: &str) -> serde_json::Value {
    json!({
        "from": { "connection": "source", "table": "people", "key": ["code"] },
        "to": { "connection": "cache", "table": stream },
        "mode": "full",
        "write": "upsert",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_is_made_replaced_compared_and_removed() {
    let world = World::open().await;
    let put = |body| world.request(Method::PUT, "/api/v1/syncs/extra").json(&body);
    answer(put(definition("a"))).await.problem(428, "version_required");
    answer(put(definition("a")).header("if-match", "1")).await.problem(400, "bad_header");
    answer(put(definition("a")).header("if-match", "\"1\"")).await.problem(412, "version_conflict");
    let made = answer(put(definition("a")).header("if-none-match", "*")).await;
    assert_eq!(made.header("etag"), Some("\"1\""));
    assert_eq!(made.ok(201)["version"], 1);
    answer(put(definition("b")).header("if-none-match", "*")).await.problem(412, "version_conflict");
    assert_eq!(answer(put(definition("b")).header("if-match", "\"1\"")).await.ok(200)["version"], 2);
    answer(put(definition("c")).header("if-match", "\"1\"")).await.problem(412, "version_conflict");
    let bad = json!({ "from": { "connection": "sorce" } });
    let refused = answer(put(bad).header("if-match", "\"2\"")).await.problem(422, "invalid_definition");
    assert!(refused["faults"].to_string().contains("did you mean \\\"source\\\""), "{refused}");
    let yaml = "from: { connection: source, table: people, key: [code] }\nto: { connection: cache, table: b }\nmode: full\nwrite: upsert\n";
    let request =
        world.request(Method::PUT, "/api/v1/syncs/extra").header("content-type", "application/yaml");
    let stored = answer(request.header("if-match", "\"2\"").body(yaml)).await.ok(200);
    assert_eq!(
        (&stored["version"], &stored["body"], &stored["by"]),
        (&json!(3), &json!(yaml), &json!("local"))
    );
    let versions = world.get("/api/v1/syncs/extra/versions?limit=2").await.ok(200);
    assert_eq!((&versions["items"][0]["version"], &versions["items"][1]["version"]), (&json!(3), &json!(2)));
    assert!(versions["next"].is_string());
    assert_eq!(world.get("/api/v1/syncs/extra/versions/1").await.ok(200)["version"], 1);
    world.get("/api/v1/syncs/extra/versions/9").await.problem(404, "not_found");
    let diff = world.get("/api/v1/syncs/extra/diff?from=1&to=2").await.ok(200);
    let text = diff["diff"].as_str().expect("a text");
    assert!(text.contains("-    \"table\": \"a\"\n+    \"table\": \"b\"\n"), "{text}");
    assert_eq!(world.get("/api/v1/syncs/extra/diff?from=0&to=1").await.ok(200)["from"], 0);
    world.get("/api/v1/syncs/other/diff").await.problem(404, "not_found");
    let delete = || world.request(Method::DELETE, "/api/v1/syncs/extra");
    answer(delete()).await.problem(428, "version_required");
    assert_eq!(answer(delete().header("if-match", "\"3\"")).await.ok(200)["body"], json!(null));
    answer(delete().header("if-match", "\"4\"")).await.problem(404, "not_found");
    assert_eq!(
        answer(put(definition("d")).header("if-none-match", "*")).await.ok(201)["version"],
        5,
        "made again"
    );
    let events = world.get("/api/v1/events?kind=definition.stored&sync=extra").await.ok(200);
    assert_eq!(events["items"].as_array().map(Vec::len), Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_project_file_defines_is_changed_there() {
    let world = World::open().await;
    let put = world.request(Method::PUT, "/api/v1/syncs/projects").json(&definition("a"));
    answer(put.header("if-none-match", "*")).await.problem(409, "defined_elsewhere");
    let delete = world.request(Method::DELETE, "/api/v1/syncs/projects").header("if-match", "\"1\"");
    answer(delete).await.problem(409, "defined_elsewhere");
    let versions = world.get("/api/v1/syncs/projects/versions").await.problem(404, "not_found");
    assert!(versions["hint"].as_str().is_some_and(|hint| hint.contains("project file")), "{versions}");
    let put = world.request(Method::PUT, "/api/v1/syncs/text").header("content-type", "text/plain").body("x");
    answer(put.header("if-none-match", "*")).await.problem(415, "type_unsupported");
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_have_versions_too() {
    let world = World::open().await;
    let body = json!({ "steps": { "a": { "sync": "projects" } } });
    let put = || world.request(Method::PUT, "/api/v1/chains/daily").json(&body);
    assert_eq!(answer(put().header("if-none-match", "*")).await.ok(201)["version"], 1);
    assert_eq!(world.get("/api/v1/chains/daily/versions").await.ok(200)["items"][0]["version"], 1);
    assert_eq!(world.get("/api/v1/chains/daily/versions/1").await.ok(200)["version"], 1);
    assert_eq!(world.get("/api/v1/chains/daily/diff").await.ok(200)["to"], 1);
    let delete = world.request(Method::DELETE, "/api/v1/chains/daily").header("if-match", "\"1\"");
    assert_eq!(answer(delete).await.ok(200)["version"], 2);
}
