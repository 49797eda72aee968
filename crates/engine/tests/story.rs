//! What is remembered of each record's writes.

use syncline_core::{identity::Identity, sync::DeletePolicy, value::Value};
use syncline_sim::{Fault, FaultWhen, OpKind};
use syncline_store::WriteKind;

use crate::world::{ACTIVE, LARGE, World, assert_succeeded, code, fields};

/// The kinds of writes to a record and the list of each, the oldest first.
async fn story(world: &World, n: u32) -> Vec<(WriteKind, String, String)> {
    let key: [Value<'static>; 1] = [Value::Text(code(n).into())];
    let identity = Identity::of(&key, false).unwrap();
    let mut writes = world.store().await.writes(&world.sync.name, identity, 100).await.unwrap();
    writes.reverse();
    assert!(writes.is_sorted_by_key(|write| (write.run, write.at)));
    writes.into_iter().map(|write| (write.kind, write.stream, write.record_id)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_of_a_record_is_remembered() {
    use WriteKind::{Adopt, Create, Delete, Move, Update};
    let mut world = World::new().await;
    world.sync.adopt = Some(vec!["Title".into()]);
    world.sync.deletes.policy = DeletePolicy::Delete;
    let old = fields(&[("Title", code(2).into()), ("ProjectName", "from an old script".into())]);
    world.server.world().create_item(ACTIVE, &old).unwrap();
    world.projects(1, 20);
    assert_succeeded(&world.run().await);
    let first = world.item(&code(1)).1.id;
    assert_succeeded(&world.full().await);
    world.sql(
        "UPDATE projects SET name = 'new', updated_at = '2026-02-01T00:00:00Z' WHERE project_code = 'PRJ-00001'",
    );
    assert_succeeded(&world.run().await);
    world.sql(
        "UPDATE projects SET budget_amount = '2000000.00', updated_at = '2026-02-02T00:00:00Z'
         WHERE project_code = 'PRJ-00001'",
    );
    assert_succeeded(&world.run().await);
    let (list, moved) = world.item(&code(1));
    assert_eq!(list, LARGE);
    world.sql("DELETE FROM projects WHERE project_code = 'PRJ-00001'");
    assert_succeeded(&world.full().await);

    let (kinds, places): (Vec<_>, Vec<_>) =
        story(&world, 1).await.into_iter().map(|(kind, stream, record)| (kind, (stream, record))).unzip();
    assert_eq!(kinds, [Create, Update, Move, Delete], "and nothing of runs that found it unchanged");
    assert_eq!(places[0], places[1]);
    assert_eq!(places[2], places[3]);
    assert_ne!(places[1].0, places[2].0, "the move tells the new list");
    assert_eq!((&places[0].1, &places[2].1), (&first.to_string(), &moved.id.to_string()));
    let kinds: Vec<_> = story(&world, 2).await.into_iter().map(|(kind, ..)| kind).collect();
    assert_eq!(kinds, [Adopt]);
    assert_eq!(story(&world, 99).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_is_remembered_once() {
    let world = World::new().await;
    world.projects(1, 40);
    for (after, what) in
        [(3, Fault::ResetAfterApply), (11, Fault::TruncatedBody), (19, Fault::ResetBeforeApply)]
    {
        world.fault_on(OpKind::Create, FaultWhen { after, count: Some(1), probability: None }, what);
    }
    assert_succeeded(&world.run().await);
    for n in 1..=40 {
        let kinds: Vec<_> = story(&world, n).await.into_iter().map(|(kind, ..)| kind).collect();
        assert_eq!(kinds, [WriteKind::Create], "{}", code(n));
    }
}
