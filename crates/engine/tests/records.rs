//! Bad input: one record's trouble is that record's own.

use syncline_core::{run::Status, sync::KeyColumns};
use syncline_engine::Error;

use crate::world::{World, assert_succeeded, code, counts};

/// Sets a column of PRJ-00002 and returns the message under which it is parked; the others must be written.
async fn parked_for(assignment: &str) -> (String, String) {
    let world = World::new().await;
    world.projects(1, 5);
    world.sql(&format!("UPDATE projects SET {assignment} WHERE project_code = 'PRJ-00002'"));
    let report = world.run().await;
    assert_eq!(
        (report.status, report.counts),
        (Status::Partial, counts(|c| (c.created, c.parked) = (4, 1))),
        "{assignment}"
    );
    let parked = world.parked().await.remove(0);
    assert_eq!(parked.label, code(2));
    (parked.code, parked.message)
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_do_not_fit_park_their_record_alone() {
    for (assignment, expected) in [
        ("budget_amount = 'NaN'", "budget_amount"),
        ("start_date = '10000-01-01'", "start_date"),
        ("start_date = '1899-12-31'", "outside the years"),
        ("name = 'a' || char(0) || 'b'", "NUL"),
        ("name = printf('%.300c', 'x')", "the text has 300 characters, 255 are allowed"),
        ("status = 'Pending'", "none of the 2 choices"),
        ("start_date = 'soon'", "start_date"),
    ] {
        let (_, message) = parked_for(assignment).await;
        assert!(message.contains(expected), "{assignment}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_note_goes_through() {
    let world = World::new().await;
    world.projects(1, 2);
    world.sql("UPDATE projects SET notes = printf('%.*c', 900000, 'x') WHERE project_code = 'PRJ-00002'");
    assert_succeeded(&world.run().await);
    assert_eq!(world.item(&code(2)).1.fields["Notes"].as_str().map(str::len), Some(900_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_of_two_megabytes_is_refused_by_the_far_side_and_parked_alone() {
    let world = World::new().await;
    world.projects(1, 30);
    world.sql("UPDATE projects SET notes = printf('%.*c', 2000000, 'x') WHERE project_code = 'PRJ-00002'");
    let report = world.run().await;
    assert_eq!(
        (report.status, report.counts),
        (Status::Partial, counts(|c| (c.created, c.parked) = (29, 1))),
        "{:?}",
        report.error
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn null_and_repeated_keys_are_parked_and_come_back_when_mended() {
    let mut world = World::new().await;
    world.sql(
        "CREATE TABLE loose (project_code TEXT, name TEXT, status TEXT, budget_amount DECIMAL(14,2), start_date DATE,
           notes TEXT, updated_at TIMESTAMP)",
    );
    world.projects(1, 3);
    world.sql("INSERT INTO loose SELECT * FROM projects; INSERT INTO loose SELECT * FROM projects WHERE project_code = 'PRJ-00002';
               INSERT INTO loose SELECT NULL, name, status, budget_amount, start_date, notes, updated_at FROM projects WHERE project_code = 'PRJ-00001'");
    world.sync.from.stream = "loose".into();
    world.sync.from.key.columns = KeyColumns::Columns(vec!["project_code".into()]);
    let report = world.run().await;
    assert_eq!(report.counts, counts(|c| (c.created, c.parked) = (3, 2)), "{:?}", report.error);
    let mut codes: Vec<String> = world.parked().await.into_iter().map(|p| p.code).collect();
    codes.sort();
    assert_eq!(codes, ["duplicate_key", "no_key"]);
    world.sql("DELETE FROM loose WHERE project_code IS NULL; DELETE FROM loose WHERE rowid = 4");
    let report = world.full().await;
    assert_eq!(report.counts, counts(|c| c.unchanged = 3));
    assert!(world.parked().await.is_empty(), "a complete listing settles what is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_a_primary_key_is_refused_with_advice() {
    let mut world = World::new().await;
    world.sql("CREATE TABLE loose AS SELECT * FROM projects; CREATE UNIQUE INDEX loose_code ON loose (project_code)");
    world.sync.from.stream = "loose".into();
    let engine = world.engine().await;
    let Err(Error::Definition { problems, .. }) = world.bound(&engine).await else { panic!("accepted") };
    assert!(
        problems[0].message.contains("has no primary key; unique here: key: [project_code]"),
        "{}",
        problems[0].message
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_record_waits_longer_each_time_and_blocks_nobody() {
    let world = World::new().await;
    world.projects(1, 3);
    world.sql("UPDATE projects SET status = 'Pending' WHERE project_code = 'PRJ-00002'");
    for attempts in 1..=3 {
        world.run().await;
        let parked = world.parked().await;
        assert_eq!(parked.len(), 1);
        // The third run comes before its time.
        assert_eq!(parked[0].attempts, attempts.min(2));
    }
    world.projects(10, 2);
    assert_eq!(world.run().await.counts.created, 2);
}
