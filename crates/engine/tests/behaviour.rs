//! Ordinary life: first load, nothing to do, changes, moves, plans.

use serde_json::json;
use syncline_core::{plan::PlannedAction, run::Status, sync::Mode};
use syncline_engine::run::Options;

use crate::world::{ACTIVE, CLOSED, LARGE, World, assert_succeeded, at, code, counts};

#[tokio::test(flavor = "multi_thread")]
async fn a_first_load_makes_every_record_once_and_a_second_run_writes_nothing() {
    let world = World::new().await;
    world.projects(0, 333);
    let report = world.run().await;
    assert_succeeded(&report);
    assert_eq!(report.counts, counts(|c| c.created = 333));
    world.assert_in_agreement();
    let written = world.writes_applied();
    let again = world.full().await;
    assert_eq!(again.counts, counts(|c| c.unchanged = 333));
    assert_eq!(world.writes_applied(), written);
}

#[tokio::test(flavor = "multi_thread")]
async fn unchanged_rows_advance_the_cursor() {
    let world = World::new().await;
    world.projects(0, 200);
    assert_succeeded(&world.full().await);
    world.sql("UPDATE projects SET updated_at = '2026-02-01T00:00:00Z'");
    assert_eq!(world.run().await.counts, counts(|c| c.unchanged = 200));
    let again = world.run().await;
    assert_eq!(again.counts.read, 200, "the last second is read again, for its ties");
    world.sql("UPDATE projects SET updated_at = '2026-02-02T00:00:00Z' WHERE project_code = 'PRJ-00003'");
    assert_eq!(world.run().await.counts.read, 200);
    assert_eq!(world.run().await.counts.read, 1, "the cursor has passed the unchanged ones");
}

#[tokio::test(flavor = "multi_thread")]
async fn ties_on_the_cursor_are_never_split() {
    let mut world = World::new().await;
    world.sync.batch = 7;
    world.projects(0, 40);
    assert_succeeded(&world.full().await);
    world.sql("UPDATE projects SET updated_at = '2026-03-01T00:00:00Z', name = 'renamed'");
    assert_eq!(world.run().await.counts, counts(|c| c.updated = 40));
    world.assert_in_agreement();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_routed_elsewhere_moves() {
    let world = World::new().await;
    world.projects(1, 5);
    assert_succeeded(&world.run().await);
    let (list, before) = world.item(&code(2));
    assert_eq!(list, ACTIVE);
    world.sql("UPDATE projects SET budget_amount = '2000000.00', updated_at = '2026-02-01T00:00:00Z' WHERE project_code = 'PRJ-00002'");
    let (summary, planned) = world.plan().await;
    assert_eq!((summary.moves, summary.update), (1, 0));
    assert_eq!(
        (planned[0].action, planned[0].from.as_deref(), planned[0].stream.as_str()),
        (PlannedAction::Move, Some(ACTIVE), LARGE)
    );
    let report = world.run().await;
    assert_eq!(report.counts.moved, 1);
    let (list, after) = world.item(&code(2));
    assert_eq!(list, LARGE);
    assert_ne!((list, before.id), (ACTIVE, after.id));
    world.assert_in_agreement();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_route_moves_what_it_affects_and_the_plan_says_why() {
    let mut world = World::new().await;
    world.projects(1, 20);
    assert_succeeded(&world.run().await);
    world.sync.routes.truncate(1);
    let (summary, _) = world.plan().await;
    assert_eq!(summary.mode, "full");
    assert!(summary.reason.as_deref().unwrap_or_default().contains("the definition changed"), "{summary:?}");
    assert_eq!((summary.moves, summary.unchanged), (2, 18), "7 and 14 are closed");
    let report = world.run().await;
    assert_eq!(report.counts, counts(|c| (c.moved, c.unchanged) = (2, 18)));
    assert_eq!(world.item(&code(7)).0, ACTIVE);
    assert_eq!(world.server.world().item_count(CLOSED).unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_list_is_the_same_list() {
    let mut world = World::new().await;
    world.projects(1, 5);
    assert_succeeded(&world.run().await);
    let written = world.writes_applied();
    world.server.world().rename_list(ACTIVE, "Running Projects").unwrap();
    world.sync.to.stream = "Running Projects".into();
    let report = world.run().await;
    assert_eq!(report.counts, counts(|c| c.unchanged = 5), "a new name in the definition reads in full");
    assert_eq!(world.writes_applied(), written, "the ledger knows the list by its id");
}

#[tokio::test(flavor = "multi_thread")]
async fn cents_are_preserved() {
    let world = World::new().await;
    world.projects(1, 2);
    world.sql(
        "UPDATE projects SET budget_amount = '999999.99' WHERE project_code = 'PRJ-00001';
               UPDATE projects SET budget_amount = '0.10' WHERE project_code = 'PRJ-00002'",
    );
    assert_succeeded(&world.run().await);
    assert_eq!(world.item(&code(1)).1.fields["BudgetAmount"], json!(999_999.99));
    assert_eq!(world.item(&code(2)).1.fields["BudgetAmount"], json!(0.1));
    assert_eq!(world.full().await.counts, counts(|c| c.unchanged = 2), "what is read back compares equal");
    world.sql("UPDATE projects SET budget_amount = 9007199254740993 WHERE project_code = 'PRJ-00002'");
    assert_eq!(world.full().await.counts, counts(|c| (c.unchanged, c.parked) = (1, 1)));
    assert_eq!(
        world.parked().await[0].message,
        "field \"BudgetAmount\": the decimal has more digits than a double can hold; map it to a text field"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_writes_nothing_and_the_run_does_exactly_what_it_said() {
    let world = World::new().await;
    world.projects(1, 60);
    assert_succeeded(&world.run().await);
    world.sql(
        "UPDATE projects SET name = 'new', updated_at = '2026-02-01T00:00:00Z' WHERE project_code < 'PRJ-00010';
         UPDATE projects SET status = 'Closed', updated_at = '2026-02-01T00:00:00Z' WHERE project_code = 'PRJ-00022';
         DELETE FROM projects WHERE project_code > 'PRJ-00057'",
    );
    world.projects(100, 4);
    let store = std::fs::read(world.store_path()).unwrap();
    let written = world.writes_applied();
    let full = || Options { mode: Some(Mode::Full), ..Options::default() };
    let (summary, planned) = world.plan_with(full()).await;
    assert_eq!(world.writes_applied(), written);
    assert_eq!(std::fs::read(world.store_path()).unwrap(), store, "the store's file is untouched");
    assert_eq!(planned.len(), 9 + 1 + 3 + 4);
    let report = world.full().await;
    let promised = counts(|c| {
        c.created = summary.create;
        c.updated = summary.update;
        c.moved = summary.moves;
        c.deleted = summary.delete;
        c.unchanged = summary.unchanged;
    });
    assert_eq!(report.counts, promised);
    assert_eq!((summary.create, summary.update, summary.moves, summary.delete), (4, 9, 1, 3));
    world.assert_in_agreement();
    let (again, planned) = world.plan_with(full()).await;
    assert!(again.is_empty() && planned.is_empty(), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_shows_fields_before_and_after() {
    let world = World::new().await;
    world.projects(1, 2);
    assert_succeeded(&world.run().await);
    world.sql("UPDATE projects SET name = 'Tower', updated_at = '2026-02-01T00:00:00Z' WHERE project_code = 'PRJ-00001'");
    let (_, planned) = world.plan().await;
    assert_eq!(planned.len(), 1);
    assert_eq!((planned[0].key.as_str(), planned[0].action), ("PRJ-00001", PlannedAction::Update));
    let changes: Vec<_> =
        planned[0].fields.iter().map(|f| (f.field.as_str(), f.old.clone(), f.new.clone())).collect();
    assert_eq!(changes, [("ProjectName", json!("Project 1"), json!("Tower"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_do_not_depend_on_the_batch_size() {
    for batch in [1, 3, 200] {
        let mut world = World::new().await;
        world.sync.batch = batch;
        world.projects(1, 45);
        assert_eq!(world.run().await.counts, counts(|c| c.created = 45), "batch {batch}");
        world.assert_in_agreement();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filtered_record_is_left_alone_unless_the_sync_says_otherwise() {
    let mut world = World::new().await;
    world.projects(1, 10);
    assert_succeeded(&world.run().await);
    world.sync.from.filter = Some(syncline_core::expr::Expr::compile("status != 'Closed'").unwrap());
    let report = world.run().await;
    assert_eq!(report.counts, counts(|c| (c.unchanged, c.skipped) = (9, 1)), "7 is closed");
    assert_eq!(world.items().len(), 10);
    world.sync.deletes.out_of_filter = true;
    let report = world.full().await;
    assert_eq!((report.counts.deleted, report.status), (1, Status::Succeeded));
    assert_eq!(world.items().len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn reset_reads_everything_again_without_losing_the_ledger() {
    let world = World::new().await;
    world.projects(1, 30);
    assert_succeeded(&world.run().await);
    let written = world.writes_applied();
    let store = world.store().await;
    let lease = store.claim("projects", jiff::Timestamp::UNIX_EPOCH).await.unwrap();
    assert!(store.reset(&lease).await.unwrap());
    drop((lease, store));
    let report = world.run().await;
    assert_eq!(report.counts, counts(|c| c.unchanged = 30));
    assert_eq!(world.writes_applied(), written);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_of_a_sync_at_a_time() {
    let world = World::new().await;
    world.projects(1, 3);
    let engine = world.engine().await;
    let bound = world.bound(&engine).await.unwrap();
    let _lease = engine.store.claim("projects", jiff::Timestamp::UNIX_EPOCH).await.unwrap();
    let (_keep, cancel) = tokio::sync::watch::channel(false);
    let refused = syncline_engine::run::run(
        &engine,
        &bound,
        &Options::default(),
        &syncline_engine::progress::Silent,
        cancel,
    )
    .await;
    assert_eq!(refused.unwrap_err().code(), "busy");
    assert_eq!(world.writes_applied(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_keeps_what_it_did_and_the_next_one_goes_on() {
    let mut world = World::new().await;
    world.sync.batch = 10;
    world.projects(1, 100);
    let engine = world.engine().await;
    let bound = world.bound(&engine).await.unwrap();
    let (cancelled, cancel) = tokio::sync::watch::channel(false);
    let observer = CancelAtFirstProgress(cancelled);
    let report =
        syncline_engine::run::run(&engine, &bound, &Options::default(), &observer, cancel).await.unwrap();
    assert_eq!(report.status, Status::Cancelled);
    assert_eq!(report.counts.created, 10);
    drop((engine, bound));
    let report = world.run().await;
    assert_eq!(report.counts, counts(|c| (c.created, c.unchanged) = (90, 10)));
    world.assert_in_agreement();
}

struct CancelAtFirstProgress(tokio::sync::watch::Sender<bool>);

impl syncline_engine::progress::Observer for CancelAtFirstProgress {
    fn event(&self, event: &syncline_engine::progress::Event) {
        if matches!(event, syncline_engine::progress::Event::Progress { .. }) {
            self.0.send_replace(true);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tombstones_delete() {
    let mut world = World::new().await;
    world.sql("ALTER TABLE projects ADD COLUMN gone_at TIMESTAMP");
    world.sync.from.tombstone = Some("gone_at".into());
    world
        .source()
        .execute("INSERT INTO projects VALUES ('A', 'x', 'Active', '1.00', NULL, NULL, ?1, NULL)", [at(1)])
        .unwrap();
    world
        .source()
        .execute("INSERT INTO projects VALUES ('B', 'x', 'Active', '1.00', NULL, NULL, ?1, NULL)", [at(2)])
        .unwrap();
    assert_succeeded(&world.run().await);
    world.sql("UPDATE projects SET gone_at = '2026-02-01T00:00:00Z', updated_at = '2026-02-01T00:00:00Z' WHERE project_code = 'A'");
    let report = world.run().await;
    assert_eq!(report.counts.deleted, 1);
    assert_eq!(world.items().into_keys().collect::<Vec<_>>(), ["B"]);
}
