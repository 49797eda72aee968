//! One record and everything that is known of it.

use serde_json::json;
use syncline_core::{identity::Identity, sync::Mode, value::Value};
use syncline_store::{About, Checkpoint, IntentKind, NewRun, Parked, WriteKind, Written};

use super::{
    kit::World,
    resources::{ran, working},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_told_from_its_source_to_its_row() {
    let world = working().await;
    let story = |key: &str| format!("/api/v1/syncs/projects/records?key={key}");
    let before = world.get(&story("P2")).await.ok(200);
    assert_eq!((&before["key"], &before["source"]["code"]), (&json!(["P2"]), &json!("P2")), "{before}");
    assert_eq!(
        (&before["mapped"]["outcome"], &before["mapped"]["fields"]["code"]),
        (&json!("fields"), &json!("P2"))
    );
    assert_eq!(before["row"], json!(null), "not loaded yet");
    ran(&world, "projects", json!({})).await;
    let after = world.get(&story("P2")).await.ok(200);
    assert_eq!(after["row"]["code"], "P2", "{after}");
    assert_eq!(
        (&after["ledger"], &after["writes"], &after["link"]),
        (&json!(null), &json!([]), &json!(null))
    );
    let same = world.get(&story("%5B%22P2%22%5D")).await.ok(200);
    assert_eq!(same["identity"], after["identity"], "a list of one");

    let nobody = world.get(&story("P99")).await.ok(200);
    assert_eq!((&nobody["source"], &nobody["mapped"]["outcome"]), (&json!(null), &json!("absent")));
    world.get("/api/v1/syncs/projects/records").await.problem(400, "bad_query");
    world.get(&story("")).await.problem(400, "bad_query");
    world.get(&story("%5B%22P2%22,1%5D")).await.problem(400, "bad_query");
    world.get("/api/v1/syncs/none/records?key=P2").await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_and_what_waits_is_told() {
    let world = World::open().await;
    let at = jiff::Timestamp::from_second(1_795_000_000).expect("a time");
    let key = vec![Value::Text("P2".into())];
    let identity = Identity::of(&key, false).expect("a key without nulls");
    let lease = world.store.claim("projects", at).await.expect("a lease");
    let new = NewRun { mode: Mode::Full, reason: None, about: About::default(), at };
    let run = world.store.start_run(&lease, new).await.expect("a run");
    let parked = Parked {
        sync: "projects".to_owned(),
        identity,
        key: Some(key),
        label: "P2".to_owned(),
        kind: Some(IntentKind::Update),
        code: "rejected".to_owned(),
        message: "the destination refuses it".to_owned(),
        attempts: 1,
        first_at: at,
        last_at: at,
        retry_at: at,
        run,
    };
    let written = |kind| Written { identity, kind, stream: "list-1".to_owned(), record_id: "36".to_owned() };
    let checkpoint = Checkpoint {
        written: vec![written(WriteKind::Create), written(WriteKind::Update)],
        parked: vec![parked],
        at,
        ..Checkpoint::default()
    };
    world.store.checkpoint(&lease, run, checkpoint).await.expect("the store works");
    let story = world.get("/api/v1/syncs/projects/records?key=P2").await.ok(200);
    assert_eq!(story["identity"], json!(identity.stamp()));
    assert_eq!((&story["parked"]["code"], &story["held"]), (&json!("rejected"), &json!(null)));
    let write = |kind| json!({ "run": run, "kind": kind, "stream": "list-1", "record_id": "36", "at": at });
    assert_eq!(story["writes"], json!([write("update"), write("create")]), "the newest first");
}
