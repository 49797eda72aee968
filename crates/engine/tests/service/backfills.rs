//! A part of the past read again beside the live cursor.

use std::sync::Arc;

use syncline_core::{
    project::Project,
    run::Status,
    sync::{DeletePolicy, Write},
};
use syncline_engine::service::{Control, StartOptions};
use syncline_store::service::{Backfill, BackfillId, BackfillProgress, Limits, Subject};

use super::{
    house::{House, until},
    kit::{project, sync},
};

/// A hundred days with a thousand orders each, the newest at the end.
const ORDERS: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT, changed TIMESTAMP);
    CREATE INDEX changed ON orders (changed, id);
    WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 99999)
    INSERT INTO orders SELECT n, 'order ' || n, datetime('2025-11-01', '+' || (n / 1000) || ' days') FROM n;";

fn defined() -> Arc<Project> {
    project(vec![sync("orders", Vec::new())], Vec::new())
}

async fn loaded(house: &House, control: &Control) {
    control.start(&Subject::sync("orders"), &StartOptions::default(), None, "ann").await.unwrap();
    until("the first load ends", || async {
        control.store().runs(Some("orders"), Some(Status::Succeeded), 1).await.unwrap().len() == 1
    })
    .await;
    assert_eq!(house.number("b", "SELECT count(*) FROM orders"), 100_000);
}

/// Cursor and start of the last load, as the destination keeps them.
fn live(house: &House) -> Vec<String> {
    house.texts("b", "SELECT position || ' ' || started_at FROM syncline_state")
}

async fn begin(control: &Control, from: &str, to: &str) -> BackfillId {
    control.backfill("orders", from, to, "ann").await.unwrap().0
}

async fn over(control: &Control, id: BackfillId) -> Backfill {
    let read = async || control.store().backfill(id).await.unwrap().unwrap();
    until("the backfill ends", || async { read().await.progress.status.is_final() }).await;
    read().await
}

#[tokio::test(start_paused = true)]
async fn a_backfill_mends_its_range_and_leaves_the_live_cursor_alone() {
    let house = House::new(&defined(), ORDERS);
    let node = house.node("one").await;
    loaded(&house, &node.control).await;
    let before = live(&house);
    // what the live sync does not see: the cursor column was not touched; and a record that is gone here
    house
        .file("b")
        .execute_batch("UPDATE orders SET name = 'lost'; DELETE FROM orders WHERE id = 60500")
        .unwrap();
    let id = begin(&node.control, "2025-12-31", "2026-01-10 00:00:00").await;
    let done = over(&node.control, id).await;
    assert_eq!(done.progress.status, Status::Succeeded, "{:?}", done.progress);
    assert_eq!(done.progress.done_until.as_deref(), Some("2026-01-10T00:00:00Z"));
    let mended = house.number("b", "SELECT count(*) FROM orders WHERE name <> 'lost'");
    assert_eq!(mended, 10_000, "ten days, and not a day more");
    let (first, last) = (
        "SELECT min(id) FROM orders WHERE name <> 'lost'",
        "SELECT max(id) FROM orders WHERE name <> 'lost'",
    );
    assert_eq!((house.number("b", first), house.number("b", last)), (60_000, 69_999));
    assert_eq!(live(&house), before);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_backfill_comes_in_pieces() {
    let house = House::new(&defined(), ORDERS);
    let node = house.node("one").await;
    loaded(&house, &node.control).await;
    let id = begin(&node.control, "2025-11-01", "2026-03-01").await;
    assert_eq!(over(&node.control, id).await.progress.status, Status::Succeeded);
    let reasons = house.texts("store", "SELECT reason FROM run WHERE reason LIKE 'read again%' ORDER BY id");
    let expected = [
        "read again from 2025-11-01 up to 2026-03-01",
        "read again from 2025-12-21T00:00:00Z up to 2026-03-01",
    ];
    assert_eq!(reasons, expected, "fifty days make a piece");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_backfill_whose_node_died_goes_on_where_it_was() {
    let house = House::new(&defined(), ORDERS);
    let first = house.node("one").await;
    loaded(&house, &first.control).await;
    first.kill().await;
    let before = live(&house);
    house.file("b").execute_batch("UPDATE orders SET name = 'lost'").unwrap();
    let control = house.control().await;
    let id = begin(&control, "2025-11-01", "2026-03-01").await;
    let now = house.clock_now();
    let claims = control.store().claim_due("dies", &Limits::default(), 1, now).await.unwrap();
    let progress = BackfillProgress {
        status: Status::Running,
        done_until: Some("2025-12-21T00:00:00Z".into()),
        run: None,
        error: None,
        at: now,
    };
    control.store().record_backfill(&claims[0].id, id, &progress).await.unwrap();
    let second = house.node("two").await;
    let done = over(&control, id).await;
    assert_eq!(done.progress.status, Status::Succeeded, "{:?}", done.progress);
    let lost = "SELECT count(*) FROM orders WHERE name = 'lost' AND changed";
    assert_eq!(house.number("b", &format!("{lost} < '2025-12-21'")), 50_000, "done before");
    assert_eq!(house.number("b", &format!("{lost} >= '2025-12-21'")), 0);
    assert_eq!(live(&house), before);
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_backfill_deletes_nothing() {
    let mut mirror = sync("orders", Vec::new());
    mirror.write = Write::Mirror;
    mirror.deletes.policy = DeletePolicy::Delete;
    let house = House::new(&project(vec![mirror], Vec::new()), ORDERS);
    let node = house.node("one").await;
    loaded(&house, &node.control).await;
    house.file("a").execute_batch("DELETE FROM orders WHERE id = 60500").unwrap();
    let id = begin(&node.control, "2025-12-31", "2026-01-10").await;
    assert_eq!(over(&node.control, id).await.progress.status, Status::Succeeded);
    assert_eq!(house.number("b", "SELECT count(*) FROM orders WHERE id = 60500"), 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_range_that_does_not_fit_is_refused_with_its_reason() {
    let house = House::new(&defined(), ORDERS);
    let node = house.node("one").await;
    let before_the_first_load = begin(&node.control, "2025-12-31", "2026-01-10").await;
    let done = over(&node.control, before_the_first_load).await;
    assert_eq!(done.progress.status, Status::Failed);
    loaded(&house, &node.control).await;
    for (from, to) in [("yesterday", "2026-01-10"), ("2026-01-10", "2025-12-31")] {
        let id = begin(&node.control, from, to).await;
        let done = over(&node.control, id).await;
        assert_eq!(done.progress.status, Status::Failed, "{from} {to}");
        assert_eq!(done.progress.error.unwrap().0, "definition");
    }
    assert!(node.control.backfill("bills", "1", "2", "ann").await.is_err());
    node.stop().await;
}
