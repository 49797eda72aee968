//! Which of several schedules runs: Mass over Daily over Hourly.

use std::time::Duration;

use jiff::Timestamp;
use syncline_core::{
    precedence::{Choice, Weight, choose, weight},
    schedule::Schedule,
    sync::{
        DeletePolicy, Deletes, Detect, From, Key, KeyColumns, Mode, OnEdit, Overlap, Sync, TableOptions, To,
        Write,
    },
};

fn sync(schedules: Vec<Schedule>) -> Sync {
    Sync {
        name: "orders".into(),
        from: From {
            connection: "erp".into(),
            stream: "orders".into(),
            mass_query: None,
            key: Key { columns: KeyColumns::PrimaryKey, ignore_case: false },
            cursor: Some("updated_at".into()),
            overlap: Overlap::default(),
            lag: Duration::ZERO,
            tombstone: None,
            tombstone_values: Vec::new(),
            filter: None,
        },
        to: To { connection: "cache".into(), stream: "orders".into(), table: TableOptions::default() },
        mode: Mode::Incremental,
        write: Write::Upsert,
        deletes: Deletes {
            policy: DeletePolicy::Ignore,
            guard_count: 10,
            guard_percent: 10.0,
            out_of_filter: false,
            detect: Detect::Listing,
        },
        fields: Vec::new(),
        routes: Vec::new(),
        adopt: None,
        on_edit: OnEdit::Overwrite,
        batch: 500,
        rest: true,
        schedules,
        params: Vec::new(),
        fresh: None,
        each: None,
    }
}

fn every(hours: u64) -> Schedule {
    Schedule { every: Some(Duration::from_secs(hours * 3600)), ..Schedule::EMPTY }
}

/// Hourly, daily, mass.
fn three() -> Sync {
    let mass = Schedule { mode: Some(Mode::Full), prepurge: true, ..every(168) };
    sync(vec![every(1), every(24), mass])
}

fn chosen(sync: &Sync, due: &[usize], succeeded: bool) -> Option<(usize, Vec<usize>)> {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    choose(sync, due, succeeded, now).map(|Choice { run, satisfied }| (run, satisfied))
}

#[test]
fn heavier_runs_and_lighter_is_satisfied() {
    let sync = three();
    assert_eq!(chosen(&sync, &[0], true), Some((0, vec![])));
    assert_eq!(chosen(&sync, &[0, 1], true), Some((1, vec![0])));
    assert_eq!(chosen(&sync, &[0, 1, 2], true), Some((2, vec![0, 1])));
    assert_eq!(chosen(&sync, &[2, 0], true), Some((2, vec![0])));
    assert_eq!(chosen(&sync, &[], true), None);
}

#[test]
fn what_never_succeeded_runs_by_the_heaviest_in_force() {
    let mut sync = three();
    assert_eq!(chosen(&sync, &[0], false), Some((2, vec![0])));
    assert_eq!(chosen(&sync, &[2], false), Some((2, vec![])));
    assert_eq!(chosen(&sync, &[], false), None);
    sync.schedules[2].enabled = false;
    assert_eq!(chosen(&sync, &[0], false), Some((1, vec![0])));
    // What is switched off is never due.
    assert_eq!(chosen(&sync, &[2], true), None);
}

#[test]
fn of_equal_ones_the_rarer_runs_and_of_the_same_the_first() {
    let cron = |cron: &str| Schedule { cron: Some(cron.to_owned()), ..Schedule::EMPTY };
    let sync = sync(vec![cron("0 * * * *"), every(2), cron("0 2 * * *"), every(24)]);
    assert_eq!(chosen(&sync, &[0, 1], true), Some((1, vec![0])));
    assert_eq!(chosen(&sync, &[0, 1, 2], true), Some((2, vec![0, 1])));
    assert_eq!(chosen(&sync, &[3, 2], true), Some((3, vec![2])));
    assert_eq!(chosen(&sync, &[2, 3], true), Some((2, vec![3])));
}

#[test]
fn the_weight_is_what_a_run_does() {
    let full = Schedule { mode: Some(Mode::Full), ..every(1) };
    let prepurge = Schedule { prepurge: true, ..full.clone() };
    let mut sync = sync(Vec::new());
    assert_eq!(weight(&every(1), &sync), Weight::Incremental);
    assert_eq!(weight(&full, &sync), Weight::Full);
    assert_eq!(weight(&prepurge, &sync), Weight::Replace);
    // Prepurge is for full runs.
    assert_eq!(weight(&Schedule { prepurge: true, ..every(1) }, &sync), Weight::Incremental);
    sync.mode = Mode::Full;
    assert_eq!(weight(&every(1), &sync), Weight::Full);
    assert_eq!(weight(&Schedule { mode: Some(Mode::Incremental), ..every(1) }, &sync), Weight::Incremental);
    sync.write = Write::Replace;
    assert_eq!(weight(&every(1), &sync), Weight::Replace);
    assert!(
        Weight::Replace.number() > Weight::Full.number()
            && Weight::Full.number() > Weight::Incremental.number()
    );
}
