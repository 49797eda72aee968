//! What is decided about a record, and about all of them.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use serde_json::Value as Json;
use syncline_core::{
    budget::{Limit, Window},
    guard::{Verdict, judge},
    plan::{Change, Fields, Known, decide, diff},
    sync::{DeletePolicy, Deletes},
};

fn json() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        (-2..3_i64).prop_map(Json::from),
        "[ab]{0,2}".prop_map(Json::from),
        prop::collection::vec("[ab]".prop_map(Json::from), 0..3).prop_map(Json::Array),
    ]
}

fn fields() -> impl Strategy<Value = Fields> {
    prop::collection::btree_map("[A-D]", json(), 0..4)
}

fn applied(old: &Fields, new: &Fields) -> Fields {
    let mut fields = old.clone();
    fields.extend(diff(old, new).into_iter().map(|change| (change.field, change.new)));
    fields
}

fn deletes(count: u64, percent: f64) -> Deletes {
    Deletes {
        policy: DeletePolicy::Delete,
        guard_count: count,
        guard_percent: percent,
        out_of_filter: false,
        detect: Default::default(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_differs_from_itself(fields in fields()) {
        prop_assert_eq!(diff(&fields, &fields), []);
    }

    /// After the changes each mapped field has its new value; a field that is not mapped, which says nothing, keeps its old
    /// one. A field that is not there and one that is null are not told apart: clearing what is empty changes nothing.
    #[test]
    fn applying_a_diff_gives_the_new_values(old in fields(), new in fields()) {
        let result = applied(&old, &new);
        for (field, value) in &new {
            prop_assert_eq!(result.get(field).unwrap_or(&Json::Null), value);
        }
        for (field, value) in old.iter().filter(|(field, _)| !new.contains_key(*field)) {
            prop_assert_eq!(result.get(field), Some(value), "an absent field is never written");
        }
        prop_assert_eq!(diff(&result, &new), [], "applying it again changes nothing");
    }

    #[test]
    fn a_diff_names_each_field_once_in_order_with_both_values(old in fields(), new in fields()) {
        let changes = diff(&old, &new);
        prop_assert!(changes.windows(2).all(|pair| pair[0].field < pair[1].field));
        for change in changes {
            prop_assert_ne!(&change.old, &change.new);
            prop_assert_eq!(&change.old, old.get(&change.field).unwrap_or(&Json::Null));
            prop_assert_eq!(Some(&change.new), new.get(&change.field));
        }
    }

    /// The whole table: known or not, here or elsewhere, hash equal, other or forgotten.
    #[test]
    fn every_case_is_decided(known in any::<bool>(), elsewhere in any::<bool>(), written in prop::option::of(0..2_u8)) {
        let hashes = [[0; 32], [1; 32]];
        let hash = written.map(|h| &hashes[usize::from(h)]);
        let ledger = known.then_some(Known { stream: if elsewhere { "B" } else { "A" }, hash });
        let expected = match (known, elsewhere, written) {
            (false, _, _) => Change::Create,
            (true, true, _) => Change::Move,
            (true, false, Some(0)) => Change::Unchanged,
            (true, false, _) => Change::Update,
        };
        prop_assert_eq!(decide(ledger, "A", &hashes[0]), expected);
    }

    /// When some are held, more are held too; a looser guard and a larger approval hold no more.
    #[test]
    fn the_guard_is_monotone(
        count in 0..30_u64, percent in 0.0..100.0_f64, known in 0..200_u64, gone in 0..200_u64, more in 0..50_u64,
        listed in 0..3_u64, approved in prop::option::of(0..200_u64)
    ) {
        let held = |count, percent, gone, approved| judge(&deletes(count, percent), gone, known, listed, approved) != Verdict::Allow;
        if held(count, percent, gone, approved) {
            prop_assert!(held(count, percent, gone + more, approved), "more are gone");
            prop_assert!(gone > 0);
            prop_assert!(approved.is_none_or(|ceiling| gone > ceiling), "the approval covers them");
            prop_assert!(listed == 0 || (gone > count && gone as f64 * 100.0 > percent * known as f64));
        } else {
            prop_assert!(!held(count + more, percent, gone, approved), "a higher count");
            prop_assert!(!held(count, percent + more as f64, gone, approved), "a higher percentage");
            prop_assert!(!held(count, percent, gone, Some(approved.unwrap_or(gone).max(gone) + more)), "approved");
        }
    }

    /// Whatever numbers come in, from a file or from a service: no overflow, and nothing is let through that does not fit.
    #[test]
    fn a_window_takes_any_number(
        limit in prop_oneof![Just(0), Just(u64::MAX), any::<u64>()],
        window in prop_oneof![Just(Duration::from_nanos(1)), Just(Duration::from_secs(400 * 86_400)), (1..10_000_000_u64).prop_map(Duration::from_micros)],
        steps in prop::collection::vec((0..4_u8, prop_oneof![any::<u64>(), 0..100_u64, Just(u64::MAX)], 0..1_000_000_u64), 0..30)
    ) {
        let mut budget = Window::new(Limit { units: limit, window });
        let mut now = Duration::ZERO;
        for (step, units, micros) in steps {
            now += Duration::from_micros(micros);
            let before = budget.used(now);
            match step {
                0 => match budget.reserve(units, now) {
                    Ok(()) => prop_assert!(before == 0 || before.checked_add(units).is_some_and(|sum| sum <= limit)),
                    Err(at) => prop_assert!(at > now),
                },
                1 => budget.answer(units, now),
                2 => budget.cancel(units),
                _ => budget.spend(units, now),
            }
            let _counted = budget.used(now);
        }
    }
}

/// As many deletes as an approval names are covered, however few records are left.
#[test]
fn an_approval_covers_exactly_its_number() {
    let strict = deletes(0, 0.0);
    let held = |gone, approved| judge(&strict, gone, 10, 0, Some(approved)) != Verdict::Allow;
    assert!(!held(7, 7));
    assert!(held(8, 7));
    let fields: BTreeMap<String, Json> = BTreeMap::new();
    assert_eq!(diff(&fields, &fields), []);
}
