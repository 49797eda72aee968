//! Deletes: only what is ours, only from a complete listing, and never too many at once.

use syncline_core::{run::Status, sync::DeletePolicy};
use syncline_engine::verify;
use syncline_sim::{Fault, FaultWhen, OpKind};

use crate::world::{ACTIVE, World, assert_succeeded, code, counts, fields};

async fn loaded(count: u32) -> World {
    let world = World::new().await;
    world.projects(1, count);
    assert_succeeded(&world.run().await);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incremental_run_never_implies_deletes() {
    let world = loaded(30).await;
    world.sql("DELETE FROM projects WHERE project_code = 'PRJ-00002'");
    assert_eq!(world.run().await.counts.deleted, 0);
    assert_eq!(world.items().len(), 30);
    assert_eq!(world.full().await.counts, counts(|c| (c.deleted, c.unchanged) = (1, 29)));
    world.assert_in_agreement();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_source_is_held_and_upserts_go_on() {
    let world = loaded(30).await;
    world.sql("DELETE FROM projects");
    let report = world.full().await;
    assert_eq!((report.status, report.counts), (Status::Partial, counts(|c| c.held = 30)));
    assert_eq!(world.items().len(), 30);
    let held = world.store().await.held(None, 100).await.unwrap();
    assert_eq!(held.len(), 30);
    assert_eq!(held[0].reason, "the source is empty and 30 records are known");
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_percent_gone_is_held_until_approved() {
    let world = loaded(100).await;
    world.sql("DELETE FROM projects WHERE project_code > 'PRJ-00040'");
    world.projects(200, 5);
    let report = world.full().await;
    assert_eq!(report.counts, counts(|c| (c.held, c.unchanged, c.created) = (60, 40, 5)));
    assert_eq!(world.items().len(), 105, "upserts went on, nothing was deleted");
    approve(&world, 59).await;
    assert_eq!(world.full().await.counts.held, 60, "the approval covers too few");
    approve(&world, 60).await;
    let report = world.full().await;
    assert_eq!(
        (report.status, report.counts),
        (Status::Succeeded, counts(|c| (c.deleted, c.unchanged) = (60, 45)))
    );
    world.assert_in_agreement();
    assert!(world.store().await.held(None, 100).await.unwrap().is_empty());
    assert_eq!(world.store().await.approval("projects").await.unwrap(), None, "an approval is used once");
}

async fn approve(world: &World, ceiling: u64) {
    let store = world.store().await;
    let lease = store.claim("projects", jiff::Timestamp::UNIX_EPOCH).await.unwrap();
    store.approve(&lease, ceiling, jiff::Timestamp::UNIX_EPOCH).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_deletes_are_never_touched_again() {
    let world = loaded(30).await;
    world.sql("DELETE FROM projects");
    world.full().await;
    let store = world.store().await;
    let lease = store.claim("projects", jiff::Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!(store.reject(&lease).await.unwrap(), 30);
    drop((lease, store));
    let report = world.full().await;
    assert_eq!((report.status, report.counts), (Status::Succeeded, counts(|_| {})));
    assert_eq!(world.items().len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn soft_deletes_mark_and_a_returning_record_is_unmarked() {
    let mut world = World::new().await;
    world.sync.deletes.policy = DeletePolicy::Soft { field: "DeletedAt".into() };
    world.projects(1, 20);
    assert_succeeded(&world.run().await);
    world.sql("DELETE FROM projects WHERE project_code = 'PRJ-00003'");
    assert_eq!(world.full().await.counts, counts(|c| (c.deleted, c.unchanged) = (1, 19)));
    let (_, item) = world.item(&code(3));
    assert!(item.fields.contains_key("DeletedAt"), "{:?}", item.fields);
    assert_eq!(item.fields["ProjectName"], "Project 3", "nothing else is touched");
    assert_eq!(world.full().await.counts, counts(|c| c.unchanged = 19), "marked once");
    world.projects(3, 1);
    assert_eq!(world.full().await.counts, counts(|c| (c.updated, c.unchanged) = (1, 19)));
    assert!(!world.item(&code(3)).1.fields.contains_key("DeletedAt"));
}

/// 20 projects, softly deleted ones marked; the first run is over.
async fn marking() -> World {
    let mut world = World::new().await;
    world.sync.deletes.policy = DeletePolicy::Soft { field: "DeletedAt".into() };
    world.sql("ALTER TABLE projects ADD COLUMN gone_at TIMESTAMP");
    world.sync.from.tombstone = Some("gone_at".into());
    for n in 1..=20 {
        world.sql(&insert(n));
    }
    assert_succeeded(&world.run().await);
    world
}

fn insert(n: u32) -> String {
    let code = code(n);
    format!(
        "INSERT INTO projects VALUES ('{code}', 'x', 'Active', 1.50, '2026-01-31', NULL, '2026-01-01T00:00:00Z', NULL)"
    )
}

/// The keys of what verify reports.
async fn drift(world: &World) -> Vec<String> {
    let engine = world.engine().await;
    let bound = world.bound(&engine).await.unwrap();
    let found = verify::verify(&engine, &bound, 100).await.unwrap();
    found.drift.into_iter().map(|d| d.label).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_is_no_drift_and_taking_it_away_is() {
    let world = marking().await;
    world.sql("UPDATE projects SET gone_at = '2026-02-01T00:00:00Z', updated_at = '2026-02-01T00:00:00Z' WHERE project_code = 'PRJ-00004'");
    assert_eq!(world.run().await.counts.deleted, 1, "by tombstone");
    world.sql("DELETE FROM projects WHERE project_code = 'PRJ-00003'");
    assert_eq!(world.full().await.counts.deleted, 1, "by absence");
    assert_eq!(drift(&world).await, [""; 0]);
    for n in [3, 4] {
        let (list, item) = world.item(&code(n));
        world
            .server
            .world()
            .edit_item(list, item.id, &fields(&[("DeletedAt", serde_json::Value::Null)]))
            .unwrap();
    }
    assert_eq!(drift(&world).await, ["PRJ-00003", "PRJ-00004"]);
}

/// A mark is written, and nobody hears that it was: the intent stays open.
async fn mark_and_hear_nothing(world: &World) {
    world.sql("DELETE FROM projects WHERE project_code = 'PRJ-00003'");
    world.fault_on(OpKind::Update, FaultWhen::next(1), Fault::ResetAfterApply);
    world.fault_on(OpKind::Get, FaultWhen::default(), Fault::ResetBeforeApply);
    assert_eq!(world.full().await.status, Status::Failed);
    world.server.world().clear_faults(None);
    assert_eq!(world.store().await.open_intents("projects").await.unwrap().len(), 1);
    assert!(world.item(&code(3)).1.fields.contains_key("DeletedAt"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_comes_back_before_its_lost_mark_is_found_is_unmarked() {
    let world = marking().await;
    mark_and_hear_nothing(&world).await;
    world.sql(&insert(3));
    assert_eq!(world.full().await.counts, counts(|c| (c.updated, c.unchanged) = (1, 19)));
    assert!(!world.item(&code(3)).1.fields.contains_key("DeletedAt"));
    assert_eq!(drift(&world).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_mark_that_is_found_is_not_written_again() {
    let world = marking().await;
    mark_and_hear_nothing(&world).await;
    let writes = world.writes_applied();
    assert_eq!(world.full().await.counts, counts(|c| c.unchanged = 19));
    assert_eq!(world.writes_applied(), writes);
    assert_eq!(drift(&world).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_not_ours_are_never_deleted() {
    let world = loaded(5).await;
    world.server.world().create_item(ACTIVE, &fields(&[("Title", "by hand".into())])).unwrap();
    world.sql("DELETE FROM projects WHERE project_code = 'PRJ-00001'");
    assert_eq!(world.full().await.counts, counts(|c| (c.deleted, c.unchanged) = (1, 4)));
    assert!(world.items().contains_key("by hand"));
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_ignore_leaves_them() {
    let mut world = World::new().await;
    world.sync.deletes.policy = DeletePolicy::Ignore;
    world.projects(1, 5);
    assert_succeeded(&world.run().await);
    world.sql("DELETE FROM projects");
    assert_eq!(world.full().await.counts, counts(|_| {}));
    assert_eq!(world.items().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_tombstones_at_once_are_held_too() {
    let mut world = World::new().await;
    world.sql("ALTER TABLE projects ADD COLUMN gone_at TIMESTAMP");
    world.sync.from.tombstone = Some("gone_at".into());
    for n in 1..=60 {
        let row = format!(
            "INSERT INTO projects VALUES ('{}', 'x', 'Active', 1, NULL, NULL, '2026-01-01T00:00:00Z', NULL)",
            code(n)
        );
        world.sql(&row);
    }
    assert_succeeded(&world.run().await);
    world.sql("UPDATE projects SET gone_at = '2026-02-01T00:00:00Z', updated_at = '2026-02-01T00:00:00Z' WHERE project_code <= 'PRJ-00040'");
    let report = world.run().await;
    assert_eq!((report.counts.deleted, report.counts.held), (10, 30), "up to the guard, and no further");
    assert_eq!(world.store().await.held(None, 100).await.unwrap().len(), 30);
    approve(&world, 30).await;
    let report = world.full().await;
    assert_eq!((report.status, report.counts.deleted), (Status::Succeeded, 30));
    assert_eq!(world.items().len(), 20);
}
