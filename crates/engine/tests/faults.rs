//! Every fault of the far side, on every kind of write: afterwards each row is one item.

use syncline_core::run::Status;
use syncline_sim::{Applied, Fault, FaultMatch, FaultWhen, OpKind};

use crate::world::{World, assert_succeeded, counts};

fn faults() -> Vec<Fault> {
    let status = |status, applied| Fault::Status { status, applied };
    vec![
        Fault::Throttle { retry_after: Some("0.02".into()) },
        Fault::Unavailable { retry_after: Some("0.02".into()) },
        status(500, Applied::Before),
        status(500, Applied::After),
        status(502, Applied::After),
        status(504, Applied::Before),
        Fault::ResetBeforeApply,
        Fault::ResetAfterApply,
        Fault::TruncatedBody,
        Fault::DuplicatedDelivery { second_answer: false },
        Fault::DuplicatedDelivery { second_answer: true },
        Fault::PartialBatch { status: 500, share: 0.3 },
        Fault::ExpiredToken,
        Fault::EtagRace { fields: serde_json::Map::new() },
        Fault::LateApply { delay_ms: 50 },
    ]
}

/// Runs until nothing is parked: at most `most` times.
async fn settle(world: &World, most: usize) {
    for _ in 0..most {
        let report = world.run().await;
        assert!(report.status != Status::Failed || report.error.is_some());
        let store = world.store().await;
        let now = "2100-01-01T00:00:00Z".parse().unwrap();
        let lease = store.claim("projects", now).await.unwrap();
        store.retry_parked(&lease, None, jiff::Timestamp::UNIX_EPOCH).await.unwrap();
        if report.status == Status::Succeeded {
            return;
        }
    }
    panic!("seed {}: not settled after {most} runs", world.seed);
}

#[tokio::test(flavor = "multi_thread")]
async fn creates_survive_every_fault() {
    for fault in faults() {
        let world = World::new().await;
        world.projects(1, 90);
        let name = format!("{fault:?}");
        world.fault(
            FaultMatch { writes: Some(true), ..Default::default() },
            FaultWhen::sometimes(0.05),
            fault.clone(),
        );
        world.fault_on(OpKind::Batch, FaultWhen::next(1), fault);
        world.run().await;
        world.server.world().clear_faults(None);
        world.server.world().advance(std::time::Duration::from_secs(60));
        settle(&world, 4).await;
        println!("{name}");
        world.assert_in_agreement();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_moves_and_deletes_survive_every_fault() {
    for fault in faults() {
        println!("{fault:?}");
        let mut world = World::new().await;
        world.sync.deletes.guard_count = 100;
        world.projects(1, 90);
        assert_succeeded(&world.run().await);
        world.sql(
            "UPDATE projects SET name = 'new', updated_at = '2026-02-01T00:00:00Z' WHERE project_code < 'PRJ-00040';
             UPDATE projects SET budget_amount = '2000000.00', updated_at = '2026-02-01T00:00:00Z'
               WHERE project_code BETWEEN 'PRJ-00030' AND 'PRJ-00050';
             DELETE FROM projects WHERE project_code > 'PRJ-00080'",
        );
        world.fault(
            FaultMatch { writes: Some(true), ..Default::default() },
            FaultWhen::sometimes(0.1),
            fault.clone(),
        );
        world.full().await;
        world.server.world().clear_faults(None);
        world.server.world().advance(std::time::Duration::from_secs(60));
        settle(&world, 4).await;
        let report = world.full().await;
        assert_eq!(report.status, Status::Succeeded, "{:?}", report.error);
        world.assert_in_agreement();
        assert_eq!(world.full().await.counts, counts(|c| c.unchanged = 80));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_service_fails_the_run_and_moves_nothing() {
    let world = World::new().await;
    world.projects(1, 50);
    world.fault_on(OpKind::Batch, FaultWhen::default(), Fault::ResetBeforeApply);
    let report = world.run().await;
    assert_eq!(report.status, Status::Failed);
    assert!(world.store().await.cursor("projects").await.unwrap().is_none());
    world.server.world().clear_faults(None);
    assert_succeeded(&world.run().await);
    world.assert_in_agreement();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_always_fails_is_parked_and_the_others_go_through() {
    let world = World::new().await;
    world.projects(1, 40);
    let poison = FaultMatch { kind: Some(OpKind::Create), part: Some(true), ..Default::default() };
    let when = FaultWhen { after: 5, count: Some(1), ..Default::default() };
    world.fault(poison, when, Fault::Status { status: 400, applied: Applied::Before });
    let report = world.run().await;
    assert_eq!(
        (report.status, report.counts),
        (Status::Partial, counts(|c| (c.created, c.parked) = (39, 1)))
    );
    assert_succeeded(&world.run().await);
    world.assert_in_agreement();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_unique_stamp_lost_creates_are_still_found() {
    let world = World::with_stamp(Some(false)).await;
    world.projects(1, 90);
    world.fault_on(OpKind::Create, FaultWhen::sometimes(0.2), Fault::ResetAfterApply);
    world.fault_on(
        OpKind::Batch,
        FaultWhen { after: 1, count: Some(2), ..Default::default() },
        Fault::ResetAfterApply,
    );
    world.run().await;
    world.server.world().clear_faults(None);
    settle(&world, 4).await;
    world.assert_in_agreement();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_stamp_the_run_says_that_it_is_at_least_once() {
    let world = World::with_stamp(None).await;
    let engine = world.engine().await;
    let bound = world.bound(&engine).await.unwrap();
    assert!(!bound.exactly_once());
    assert!(
        bound.notes.iter().any(|n| n.contains("at-least-once") && n.contains("Sites.Manage.All")),
        "{:?}",
        bound.notes
    );
}
