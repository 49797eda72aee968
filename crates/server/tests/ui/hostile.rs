//! What users write is text, wherever it is shown.

use std::sync::Arc;

use syncline_connect::{registry::Registry, sqlite as tables};
use syncline_engine::service::Served;

use super::kit::Browser;
use crate::api::kit::{Answer, Made, World, serving};

const PROJECT: &str = r#"
connections:
  source: { type: sqlite, path: source.db }
  cache: { type: sqlite, path: cache.db }
syncs:
  people:
    from: { connection: source, table: people, key: [code], filter: "code != '<script>alert(1)</script>'" }
    to: { connection: cache, table: people }
    mode: full
    write: upsert
    fields:
      code: code
      "<img src=x onerror=alert(2)>": name
      shout: { cel: "name + '<script>alert(3)</script>'" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn names_and_values_that_try_to_be_more_stay_text() {
    let world = World::make(Made { works: true, ..Made::default() }).await;
    let registry = Registry::default().with(tables::Connector);
    let served = serving(&registry, PROJECT, 2);
    let broken = Some("syncline.yaml:1:1: <script>alert(5)</script>".to_owned());
    world.served.send_replace(Arc::new(Served { broken, ..served }));
    let source = rusqlite::Connection::open(world.directory.path().join("source.db")).expect("a database");
    let hostile = "insert into people values ('\"><svg onload=alert(6)>', '<script>alert(7)</script>')";
    source.execute(hostile, []).expect("a record");

    let browser = Browser::of(&world);
    browser.submit("/syncs/people/plan", "/syncs/people/plan/make", &[]).await;
    let over = |answer: &Answer| !answer.text.contains("is being made");
    world.until("/syncs/people/plan", over).await;
    browser.submit("/syncs/people/run", "/syncs/people/run", &[]).await;
    let ended = |answer: &Answer| answer.json["items"][0]["state"] == "done";
    world.until("/api/v1/occurrences?sync=people", ended).await;

    let runs = world.get("/api/v1/runs?sync=people").await.json;
    let run = runs["items"][0]["id"].as_u64().map(|id| format!("/runs/{id}"));
    let pages = [
        "/",
        "/?text=%3Cscript%3Ealert(8)%3C/script%3E",
        "/syncs/people",
        "/syncs/people/definition",
        "/syncs/people/samples",
        "/syncs/people/plan",
        "/syncs/people/plan?text=%22%3E%3Cscript%3Ealert(9)",
        "/syncs/people/run",
        "/syncs/%3Cscript%3Ealert(10)%3C%2Fscript%3E",
        "/runs/%3Cscript%3Ealert(11)",
        "/sign-in?next=/%22%3E%3Cscript%3Ealert(12)",
    ];
    for path in pages.into_iter().chain(run.as_deref()) {
        let text = browser.get(path).await.text;
        for tag in ["<script>alert", "<img src=x", "<svg onload"] {
            assert!(!text.contains(tag), "{path}: {tag}: {text}");
        }
    }
    let page = browser.page("/syncs/people").await;
    assert!(page.contains("&#60;img src=x onerror=alert(2)&#62;"), "it is shown as it is written: {page}");
    let overview = browser.page("/").await;
    assert!(overview.contains("&#60;script&#62;alert(5)"), "{overview}");
}
