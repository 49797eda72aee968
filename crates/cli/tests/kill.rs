//! The process is killed with SIGKILL, again and again, at random moments of a push whose answers are sometimes lost.

use std::collections::{BTreeMap, BTreeSet};

use syncline_sim::{Fault, FaultMatch, FaultRule, FaultWhen, OpKind};

use crate::kit::{Place, until};

const ROWS: u32 = 5_000;
const KILLS: u32 = 200;

#[test]
fn killed_two_hundred_times_each_row_is_one_item() {
    let seed = 20_261_122;
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let place = Place::with_projects(ROWS);
    place.project_with("    mode: full\n", "    mode: full\n    batch: 40\n");
    place.syncline(&["check", "--fix"]).with_code(0);
    lose_answers(&place);
    let mut kills = 0;
    let mut rounds = 0;
    while kills < KILLS {
        let applied = place.world().counters().writes_applied;
        // Up to three batches further on; sometimes while it starts or looks up what it left open.
        let wait_for = applied + random.u64(0..120);
        let mut child = place.command(&["run", "-q"]).spawn().unwrap();
        until("the run goes on or ends", || {
            place.world().counters().writes_applied >= wait_for || child.try_wait().unwrap().is_some()
        });
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            kills += 1;
        } else {
            // Everything is loaded: give it something to change, move, make and delete.
            rounds += 1;
            place.sql(&change(rounds));
        }
        child.wait().unwrap();
    }
    place.world().clear_faults(None);
    let last = place.syncline(&["run", "-q"]);
    assert!(matches!(last.code, 0 | 3), "{last:?}");
    place.syncline(&["parked", "retry"]);
    place.syncline(&["run", "-q"]).with_code(0);
    println!("{kills} kills, {rounds} times loaded in between, {:?}", place.world().counters());
    assert_each_row_is_one_item(&place);
    place.syncline(&["plan", "--exit-code"]).with_code(0);
    place.syncline(&["verify"]).with_code(0);
}

fn lose_answers(place: &Place) {
    let matches = FaultMatch { kind: Some(OpKind::Batch), ..FaultMatch::default() };
    let rule = FaultRule { matches, when: FaultWhen::sometimes(0.05), what: Fault::ResetAfterApply };
    place.world().add_fault(rule).unwrap();
}

fn change(round: u32) -> String {
    format!(
        "UPDATE projects SET budget = budget + 1 WHERE rowid % 3 = {0};
         UPDATE projects SET status = CASE status WHEN 'Closed' THEN 'Active' ELSE 'Closed' END WHERE rowid % 7 = {0};
         DELETE FROM projects WHERE rowid % 100 = {1};
         INSERT INTO projects SELECT 'N-{round}-' || code, status, budget FROM projects WHERE rowid % 100 = {2};",
        round % 3,
        round % 100,
        (round + 50) % 100
    )
}

fn assert_each_row_is_one_item(place: &Place) {
    let source = rusqlite::Connection::open(place.path("projects.db")).unwrap();
    let mut statement = source.prepare("SELECT code, status, CAST(budget AS REAL) FROM projects").unwrap();
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))
        .unwrap()
        .collect::<Result<BTreeMap<String, (String, f64)>, _>>()
        .unwrap();
    let mut seen = BTreeSet::new();
    for list in ["Active Projects", "Closed Projects"] {
        for item in place.world().items(list).unwrap() {
            let code = item.fields["Title"].as_str().unwrap().to_owned();
            let (status, budget) = rows.get(&code).unwrap_or_else(|| panic!("{code} in {list:?} has no row"));
            assert_eq!(list == "Closed Projects", status == "Closed", "{code} is in {list:?}");
            assert_eq!(item.fields["BudgetAmount"].as_f64(), Some(*budget), "{code}");
            assert!(seen.insert(code.clone()), "{code} is there twice");
        }
    }
    assert_eq!(seen.len(), rows.len(), "rows without an item");
}
