//! What stops a run, a stream or a record, and what is said about it.

use serde_json::json;
use syncline_core::{run::Status, sync::OnEdit};
use syncline_engine::{Error, verify};
use syncline_sim::{Fault, FaultMatch, FaultWhen, OpKind};
use syncline_store::DriftKind;

use crate::world::{ACTIVE, CLOSED, World, assert_succeeded, code, counts, fields};

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_credential_fails_at_once_and_says_what_to_do() {
    let world = World::new().await;
    world.projects(1, 3);
    let engine = world.engine().await;
    let mut intranet = world.intranet();
    intranet["auth"]["client_secret"] = json!("wrong-secret");
    let Err(error) = world.bound_with(&engine, intranet).await else { panic!("a wrong secret was accepted") };
    assert_eq!(error.code(), "unauthenticated");
    assert!(error.hint().is_some());
    assert!(!format!("{error:?} {}", error.chain()).contains("wrong-secret"));
    assert_eq!(world.writes_applied(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_in_mid_run_is_not_noticed() {
    let mut world = World::new().await;
    world.sync.batch = 20;
    world.projects(1, 100);
    world.fault_on(
        OpKind::Batch,
        FaultWhen { after: 2, count: Some(1), ..Default::default() },
        Fault::ExpiredToken,
    );
    assert_succeeded(&world.run().await);
    world.assert_in_agreement();
}

#[tokio::test(flavor = "multi_thread")]
async fn forbidden_stops_the_run_and_names_the_permission() {
    let world = World::new().await;
    world.projects(1, 10);
    world.fault_on(OpKind::Create, FaultWhen::default(), Fault::Forbidden);
    let report = world.run().await;
    assert_eq!(report.status, Status::Failed);
    let error = report.error.unwrap();
    assert_eq!(error.code(), "forbidden");
    assert!(error.hint().unwrap_or_default().contains("Sites."), "{:?}", error.hint());
    assert!(world.store().await.open_intents("projects").await.unwrap().is_empty(), "nothing was applied");
    world.server.world().clear_faults(None);
    assert_succeeded(&world.run().await);
    world.assert_in_agreement();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_site_is_named() {
    let world = World::new().await;
    let engine = world.engine().await;
    let mut intranet = world.intranet();
    intranet["site"] = json!("contoso.sharepoint.com:/sites/nowhere");
    let Err(Error::Definition { problems, .. }) = world.bound_with(&engine, intranet).await else {
        panic!("found it")
    };
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].message.contains("nowhere"), "{problems:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_missing_is_reported_at_once() {
    let mut world = World::new().await;
    world.sync.fields.push(crate::world::field("BudgetAmont", "budget_amount"));
    world.sync.fields.push(crate::world::field("Created", "start_date"));
    world.sync.fields.push(crate::world::field("Notes2", "no_such_column"));
    let engine = world.engine().await;
    let Err(Error::Definition { problems, .. }) = world.bound(&engine).await else { panic!("accepted") };
    let text: Vec<String> = problems.iter().map(|p| format!("{}: {}", p.path, p.message)).collect();
    for expected in [
        "fields.Notes2: column \"no_such_column\" does not exist",
        "fields.BudgetAmont: list \"Active Projects\" has no column \"BudgetAmont\"",
        "fields.Created: column \"Created\" of list \"Active Projects\" is read-only",
    ] {
        assert!(text.iter().any(|t| t == expected), "{expected} not in {text:#?}");
    }
    world.server.world().remove_list(CLOSED).unwrap();
    let Err(Error::Definition { problems, .. }) = world.bound(&engine).await else { panic!("accepted") };
    assert_eq!(problems[0].path, "route.1.list");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_vanishes_in_mid_run_stops_that_route_only() {
    let world = World::new().await;
    world.projects(1, 70);
    let matches =
        FaultMatch { kind: Some(OpKind::Create), list: Some(CLOSED.into()), ..FaultMatch::default() };
    world.fault(matches, FaultWhen::default(), Fault::ListMissing);
    let report = world.run().await;
    assert_eq!(report.status, Status::Partial, "{:?}", report.error);
    assert_eq!(
        report.counts,
        counts(|c| (c.created, c.parked) = (61, 9)),
        "9 closed, one of ten sevens is large"
    );
    world.server.world().clear_faults(None);
    assert_succeeded(&world.run().await);
    world.assert_in_agreement();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_record_before_a_later_success_is_not_lost() {
    let world = World::new().await;
    world.projects(1, 30);
    world.sql("UPDATE projects SET status = 'Unknown' WHERE project_code = 'PRJ-00004'");
    let report = world.run().await;
    assert_eq!(report.counts, counts(|c| (c.created, c.parked) = (29, 1)));
    let parked = world.parked().await;
    assert_eq!((parked[0].label.as_str(), parked[0].code.as_str()), ("PRJ-00004", "value"));
    assert!(!parked[0].message.contains("Unknown"), "no values in messages: {}", parked[0].message);
    // Mended without a new time stamp: the cursor has passed it, the retry by key finds it.
    world.sql("UPDATE projects SET status = 'Active' WHERE project_code = 'PRJ-00004'");
    let report = world.run().await;
    assert_eq!(report.counts.created, 1);
    assert!(world.parked().await.is_empty());
    world.assert_in_agreement();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_column_taken_by_a_foreign_item_parks_the_record() {
    let world = World::new().await;
    world
        .server
        .world()
        .add_column(
            ACTIVE,
            &fields(&[
                ("name", json!("Code2")),
                ("text", json!({})),
                ("indexed", json!(true)),
                ("enforceUniqueValues", json!(true)),
            ]),
        )
        .unwrap();
    for list in ["Large Projects", CLOSED] {
        world
            .server
            .world()
            .add_column(list, &fields(&[("name", json!("Code2")), ("text", json!({}))]))
            .unwrap();
    }
    world.projects(1, 3);
    world
        .server
        .world()
        .create_item(ACTIVE, &fields(&[("Title", json!("foreign")), ("Code2", json!(code(2)))]))
        .unwrap();
    let mut world = world;
    world.sync.fields.push(crate::world::field("Code2", "project_code"));
    let report = world.run().await;
    assert_eq!(report.counts, counts(|c| (c.created, c.parked) = (2, 1)));
    assert_eq!(world.parked().await[0].code, "duplicate");
    assert_eq!(world.items()["foreign"][0].1.version, 1, "the foreign item is untouched");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_deleted_behind_our_back_is_made_again() {
    let world = World::new().await;
    world.projects(1, 5);
    assert_succeeded(&world.run().await);
    let (list, item) = world.item(&code(2));
    world.server.world().delete_item(list, item.id).unwrap();
    world.sql("UPDATE projects SET name = 'x', updated_at = '2026-02-01T00:00:00Z' WHERE project_code = 'PRJ-00002'");
    let report = world.run().await;
    assert_eq!((report.counts.created, report.counts.updated), (1, 0));
    world.assert_in_agreement();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_edited_behind_our_back_is_overwritten_or_reported() {
    for on_edit in [OnEdit::Overwrite, OnEdit::Report] {
        let mut world = World::new().await;
        world.sync.on_edit = on_edit;
        world.projects(1, 5);
        assert_succeeded(&world.run().await);
        let (list, item) = world.item(&code(2));
        world
            .server
            .world()
            .edit_item(
                list,
                item.id,
                &fields(&[("ProjectName", json!("by hand")), ("Notes", json!("kept?"))]),
            )
            .unwrap();
        world.sql("UPDATE projects SET name = 'x', updated_at = '2026-02-01T00:00:00Z' WHERE project_code = 'PRJ-00002'");
        let report = world.run().await;
        let (_, after) = world.item(&code(2));
        if on_edit == OnEdit::Overwrite {
            assert_eq!(report.counts.updated, 1);
            assert_eq!(after.fields["ProjectName"], "x");
            assert!(!after.fields.contains_key("Notes"), "every mapped field is ours");
        } else {
            assert_eq!((report.status, report.counts.conflicted), (Status::Partial, 1));
            assert_eq!(after.fields["ProjectName"], "by hand");
            assert_eq!(world.parked().await[0].code, "conflict");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_and_repairs_drift() {
    let world = World::new().await;
    world.projects(1, 40);
    assert_succeeded(&world.run().await);
    let (list, edited) = world.item(&code(2));
    world.server.world().edit_item(list, edited.id, &fields(&[("ProjectName", json!("by hand"))])).unwrap();
    let (list, deleted) = world.item(&code(3));
    world.server.world().delete_item(list, deleted.id).unwrap();
    world.server.world().create_item(ACTIVE, &fields(&[("Title", json!("stranger"))])).unwrap();
    let engine = world.engine().await;
    let bound = world.bound(&engine).await.unwrap();
    let found = verify::verify(&engine, &bound, 100).await.unwrap();
    assert_eq!(found.equal, 38);
    assert_eq!(found.totals.get(&DriftKind::Missing), Some(&1));
    assert_eq!(found.totals.get(&DriftKind::Edited), Some(&1));
    assert_eq!(found.totals.get(&DriftKind::Stranger), Some(&1));
    assert_eq!(verify::mark(&engine, &bound, &found.drift).await.unwrap(), 2);
    drop((engine, bound));
    let repair = syncline_engine::run::Options { only_parked: true, ..Default::default() };
    let report = world.run_with(repair).await;
    assert_eq!(report.counts, counts(|c| (c.created, c.updated) = (1, 1)), "{:?}", report.error);
    assert!(world.items().contains_key("stranger"));
    let engine = world.engine().await;
    let bound = world.bound(&engine).await.unwrap();
    let found = verify::verify(&engine, &bound, 100).await.unwrap();
    assert_eq!((found.equal, found.totals.len()), (40, 1), "only the stranger is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_server_makes_verify_unknown_and_never_missing() {
    let world = World::new().await;
    world.projects(1, 10);
    assert_succeeded(&world.run().await);
    let engine = world.engine().await;
    let bound = world.bound(&engine).await.unwrap();
    for kind in [OpKind::Delta, OpKind::List] {
        world.fault_on(
            kind,
            FaultWhen::default(),
            Fault::Status { status: 500, applied: syncline_sim::Applied::Before },
        );
    }
    let error = verify::verify(&engine, &bound, 100).await.unwrap_err();
    assert_eq!(error.code(), "unanswered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_fails_cleanly_and_nothing_is_lost() {
    let world = World::new().await;
    world.projects(1, 3_000);
    let engine = world.engine().await;
    drop(engine);
    let mut full = syncline_store::sqlite::Options::new(world.store_path());
    full.max_size = Some(300_000);
    let mut engine = world.engine().await;
    engine.store = std::sync::Arc::new(syncline_store::sqlite::open(full).await.unwrap());
    let bound = world.bound(&engine).await.unwrap();
    let (_keep, cancel) = tokio::sync::watch::channel(false);
    let options = syncline_engine::run::Options::default();
    let result =
        syncline_engine::run::run(&engine, &bound, &options, &syncline_engine::progress::Silent, cancel)
            .await;
    let error = result.map_or_else(|e| e, |report| report.error.expect("the store is too small"));
    assert!(error.chain().contains("no space left"), "{}", error.chain());
    assert!(error.hint().unwrap_or_default().contains("nothing is lost"));
    drop((engine, bound));
    let report = world.run().await;
    assert_succeeded(&report);
    world.assert_in_agreement();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_store_fails_cleanly_and_nothing_is_lost() {
    let world = World::new().await;
    world.projects(1, 30);
    assert_succeeded(&world.run().await);
    world.projects(100, 30);
    let mut options = syncline_store::sqlite::Options::new(world.store_path());
    options.busy_timeout = std::time::Duration::from_millis(10);
    let mut engine = world.engine().await;
    engine.store = std::sync::Arc::new(syncline_store::sqlite::open(options).await.unwrap());
    let bound = world.bound(&engine).await.unwrap();
    let other = rusqlite::Connection::open(world.store_path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (_keep, cancel) = tokio::sync::watch::channel(false);
    let run = syncline_engine::run::Options::default();
    let error = syncline_engine::run::run(&engine, &bound, &run, &syncline_engine::progress::Silent, cancel)
        .await
        .unwrap_err();
    assert!(error.chain().contains("locked by another process"), "{}", error.chain());
    other.execute_batch("ROLLBACK").unwrap();
    drop((engine, bound));
    assert_succeeded(&world.run().await);
    world.assert_in_agreement();
}
