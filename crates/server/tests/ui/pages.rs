//! Every page: with data, with none, and with names that try to be more than names.

use syncline_store::service::Subject;

use super::kit::Browser;
use crate::api::kit::{Answer, Made, World};

/// A world in which a node works.
async fn working() -> World {
    World::make(Made { works: true, ..Made::default() }).await
}

/// Runs a sync to its end and returns the number of the run.
async fn run(world: &World, sync: &str) -> u64 {
    world.post(&format!("/api/v1/syncs/{sync}/runs"), serde_json::json!({})).await.ok(202);
    settled(world, sync).await;
    let runs = world.get(&format!("/api/v1/runs?sync={sync}")).await;
    runs.json["items"][0]["id"].as_u64().expect("a number")
}

/// Waits until nothing that was asked of a sync is left to be done.
async fn settled(world: &World, sync: &str) {
    let over = |answer: &Answer| {
        let items = answer.json["items"].as_array().expect("items");
        items.iter().all(|item| item["state"] != "waiting" && item["state"] != "claimed")
    };
    world.until(&format!("/api/v1/occurrences?sync={sync}"), over).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_answers_whether_everything_agrees() {
    let world = working().await;
    let browser = Browser::of(&world);
    let before = browser.page("/").await;
    assert!(
        before.contains("people") && before.contains("source → cache") && before.contains(">none<"),
        "{before}"
    );
    run(&world, "people").await;
    run(&world, "projects").await;
    let agrees = |answer: &Answer| answer.text.contains("All 2 syncs agree.");
    let page = world.until("/", agrees).await.text;
    assert!(page.contains("<svg class=\"sparkline\"") && page.contains("1 run: 2 records written"), "{page}");
    assert!(page.contains("Syncs 1 to 2 of 2"), "{page}");

    let found = browser.page("/?text=PEOP").await;
    assert!(found.contains("/syncs/people") && !found.contains("/syncs/projects"), "{found}");
    let failed = browser.page("/?show=failed").await;
    assert!(failed.contains("No sync is like this"), "{failed}");
    let none = browser.page("/?text=%3Cb%3Ezzz").await;
    assert!(none.contains("No sync is like this") && none.contains("&#60;b&#62;zzz"), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_shows_what_it_is_and_how_it_went() {
    let world = working().await;
    let browser = Browser::of(&world);
    let before = browser.page("/syncs/projects").await;
    for part in ["It has not run yet.", "updated_at", "nightly", "every field as it is", "Reset the cursor…"]
    {
        assert!(before.contains(part), "{part}: {before}");
    }
    let id = run(&world, "projects").await;
    let page = browser.page("/syncs/projects").await;
    assert!(page.contains(&format!("href=\"/runs/{id}\"")) && page.contains("succeeded"), "{page}");
    let none = browser.page("/syncs/projects?status=failed").await;
    assert!(none.contains("No run is like this."), "{none}");
    let yaml = browser.page("/syncs/projects/definition").await;
    assert!(yaml.contains("table: projects") && yaml.contains("cursor: updated_at"), "{yaml}");
    assert!(yaml.contains("cron: &#34;30 2 * * *&#34;, zone: Europe/Berlin"), "{yaml}");
    let samples = browser.page("/syncs/people/samples").await;
    assert!(samples.contains("Ada") && samples.contains("to people"), "{samples}");

    let missing = browser.get("/syncs/project").await;
    assert_eq!(missing.status, 404);
    assert!(missing.text.contains("Did you mean projects?"), "{}", missing.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_shown_with_an_account_that_adds_up() {
    let world = working().await;
    let browser = Browser::of(&world);
    let id = run(&world, "people").await;
    let page = browser.page(&format!("/runs/{id}")).await;
    assert!(page.contains("2 read, each in one place") && page.contains("run.started"), "{page}");
    assert!(!page.contains("sse-connect"), "what is over is not followed");
    let part = browser.page(&format!("/ui/runs/{id}")).await;
    assert!(!part.contains("<html") && part.contains("succeeded"), "{part}");
    let stream = browser.get(&format!("/ui/runs/{id}/stream")).await;
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    assert!(
        stream.text.starts_with("event: run\ndata: ")
            && stream.text.ends_with("event: ended\ndata: over\n\n")
    );
    for missing in ["/runs/999", "/runs/x", "/runs/-1", "/runs/99999999999999999999", "/ui/runs/999/stream"] {
        assert_eq!(browser.get(missing).await.status, 404, "{missing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_made_shown_downloaded_and_run_as_it_was_shown() {
    let world = working().await;
    let browser = Browser::of(&world);
    let before = browser.page("/syncs/people/plan").await;
    assert!(before.contains("What would a run of people do?"), "{before}");
    let made = browser.submit("/syncs/people/plan", "/syncs/people/plan/make", &[("mode", "full")]).await;
    assert_eq!((made.status.as_u16(), made.header("location")), (303, Some("/syncs/people/plan")));
    let shown = |answer: &Answer| answer.text.contains("Run exactly this plan");
    let page = world.until("/syncs/people/plan", shown).await.text;
    assert!(page.contains("A run would create 2; 0 agree.") && page.contains("<ins>Ada</ins>"), "{page}");
    let found = browser.page("/syncs/people/plan?text=b").await;
    assert!(found.contains("<ins>Bea</ins>") && !found.contains("<ins>Ada</ins>"), "{found}");
    let csv = browser.get("/syncs/people/plan.csv").await;
    assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"plan.csv\""));
    assert!(csv.text.contains("A,create,people,,name,,Ada,\r\n"), "{}", csv.text);
    let json = browser.get("/syncs/people/plan.json").await.json;
    assert_eq!((&json["complete"], json["records"].as_array().map(Vec::len)), (&true.into(), Some(2)));

    // the source changes: the plan that was looked at is not run
    let source = rusqlite::Connection::open(world.directory.path().join("source.db")).expect("a database");
    source.execute("update people set name = 'Adele' where code = 'A'", []).expect("a change");
    let digest = json["digest"].as_str().expect("a digest").to_owned();
    let ask = "/syncs/people/plan/run";
    let stale = browser.submit(ask, ask, &[("digest", "0")]).await;
    assert_eq!(stale.status, 409, "another plan is not taken for this one");
    assert_eq!(browser.submit(ask, ask, &[("digest", &digest)]).await.status, 303);
    let refused = |answer: &Answer| answer.json["items"][0]["state"] == "done";
    let refused = world.until("/api/v1/occurrences?sync=people", refused).await.json;
    assert_eq!(refused["items"][0]["error"]["code"], "plan_changed", "{refused}");
    assert_eq!(world.get("/api/v1/runs?sync=people").await.json["items"].as_array().map(Vec::len), Some(0));

    // and a new one is
    browser.submit("/syncs/people/plan", "/syncs/people/plan/make", &[("mode", "full")]).await;
    let adele = |answer: &Answer| answer.text.contains("<ins>Adele</ins>");
    world.until("/syncs/people/plan", adele).await;
    let json = browser.get("/syncs/people/plan.json").await.json;
    let digest = json["digest"].as_str().expect("a digest");
    assert_eq!(browser.submit(ask, ask, &[("digest", digest)]).await.status, 303);
    let done = |answer: &Answer| answer.json["items"][0]["status"] == "succeeded";
    world.until("/api/v1/runs?sync=people", done).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_ask_for_is_asked_back_and_done() {
    let world = working().await;
    let browser = Browser::of(&world);
    for (verb, done) in [
        ("run", "started"),
        ("pause", "paused"),
        ("resume", "resumed"),
        ("verify", "verifying"),
        ("reset", "reset"),
    ] {
        settled(&world, "projects").await;
        let path = format!("/syncs/projects/{verb}");
        let page = browser.page(&path).await;
        assert!(page.contains("Leave it as it is") && page.contains("method=\"post\""), "{verb}: {page}");
        assert_eq!(browser.send(&path, &[]).await.status, 403, "{verb}: without the form nothing is done");
        let sent = browser.submit(&path, &path, &[]).await;
        let wanted = format!("/syncs/projects?done={done}");
        assert_eq!(
            (sent.status.as_u16(), sent.header("location")),
            (303, Some(wanted.as_str())),
            "{}",
            sent.text
        );
        assert!(browser.page(&wanted).await.contains("role=\"status\""), "{verb}");
    }
    let subject = Subject::sync("projects");
    let states = world.store.schedule_states().await.expect("states");
    assert!(states.iter().filter(|state| state.subject == subject).all(|state| state.paused_at.is_none()));
    assert!(!browser.page("/syncs/projects?done=%3Cb%3E").await.contains("role=\"status\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_does_not_fit_says_so() {
    let world = working().await;
    let browser = Browser::of(&world);
    let source = rusqlite::Connection::open(world.directory.path().join("source.db")).expect("a database");
    source.execute("drop table people", []).expect("a table that goes");
    world.post("/api/v1/syncs/people/runs", serde_json::json!({})).await.ok(202);
    settled(&world, "people").await;
    let page = browser.page("/syncs/people").await;
    assert!(page.contains("It could not be run") && page.contains("people"), "{page}");
    let samples = browser.get("/syncs/people/samples").await;
    assert_eq!(samples.status, 409, "{}", samples.text);
    assert!(samples.text.contains("<html"), "a fault is a page");
}
