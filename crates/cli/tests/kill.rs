//! The kill campaign as a test, and tests of what judges it.

use std::collections::BTreeSet;

use crate::campaign::{
    combinations,
    count::{Expected, Found, Tally, judge},
    cycles::Cycle,
    living::{ACTIVE, ASSET_LIST, CLOSED},
    run, schedule,
};

/// Two thirds of them are killed at random moments, and a third of the others at a failpoint.
const CYCLES: usize = 390;

#[test]
fn killed_three_hundred_times_each_row_is_one_item() {
    let seed = 20_261_122;
    println!("seed {seed}");
    let outcome = run(CYCLES, seed, &|text| println!("{text}"));
    assert!(outcome.is_good(), "{:?}\n{}", outcome.tally, outcome.problems.join("\n"));
    assert_eq!(outcome.cycles, CYCLES);
    assert!(outcome.kills >= 300, "{}", outcome.kills);
    let missed: Vec<_> = combinations().into_iter().filter(|at| !outcome.reached.contains(at)).collect();
    assert!(missed.is_empty(), "never reached: {missed:?}");
}

#[test]
fn a_schedule_is_made_from_its_seed_and_has_everything() {
    let shown = |seed| schedule(300, seed).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown(1), shown(1));
    assert_ne!(shown(1), shown(2));
    let places = schedule(300, 1).into_iter().filter_map(|cycle| match cycle {
        Cycle::At(setting) => Some((setting.place, setting.action)),
        Cycle::Kill => None,
    });
    assert_eq!(places.collect::<BTreeSet<_>>().len(), combinations().len());
    assert_eq!(schedule(7, 1).len(), 7);
}

#[test]
fn each_kind_of_wrong_is_counted() {
    let live = Expected { list: ACTIVE, number: Some(1.5), gone: false };
    let gone = Expected { list: ASSET_LIST, number: None, gone: true };
    let count = |expected: &Expected, found: &[Found]| {
        let mut tally = Tally::default();
        judge("P-1", expected, found, &mut tally);
        assert_eq!(tally.examples.is_empty(), tally.is_clean());
        [tally.lost, tally.duplicated, tally.left_over, tally.misplaced, tally.wrong]
    };
    let right = (ACTIVE, Some(1.5), false);
    assert_eq!(count(&live, &[right]), [0, 0, 0, 0, 0]);
    assert_eq!(count(&live, &[]), [1, 0, 0, 0, 0]);
    assert_eq!(count(&live, &[right, right, right]), [0, 2, 0, 0, 0]);
    assert_eq!(count(&live, &[(CLOSED, Some(1.5), false)]), [0, 0, 0, 1, 0]);
    assert_eq!(count(&live, &[(ACTIVE, Some(2.5), false)]), [0, 0, 0, 0, 1]);
    assert_eq!(count(&live, &[(ACTIVE, Some(1.5), true)]), [0, 0, 0, 0, 1]);
    assert_eq!(count(&gone, &[]), [0, 0, 0, 0, 0]);
    assert_eq!(count(&gone, &[(ASSET_LIST, Some(9.0), true)]), [0, 0, 0, 0, 0]);
    assert_eq!(count(&gone, &[(ASSET_LIST, Some(9.0), false)]), [0, 0, 1, 0, 0]);
}
