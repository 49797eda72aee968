//! Many simulations: in parallel, with those that fail made smaller.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    life::{Outcome, simulate},
    scenario::{Chaos, Definition, KeyKind, Scenario},
    world::Violation,
};

/// One seed in so many is simulated twice, and both timelines must be the same.
const TWICE: u64 = 8;

/// Simulates `count` seeds from `first` on `threads` threads; `failed` is told of each that fails, in any order. Returns how
/// many failed.
pub fn simulate_many(
    first: u64,
    count: u64,
    threads: usize,
    failed: &(dyn Fn(u64, &Violation) + Sync),
) -> u64 {
    let next = AtomicU64::new(0);
    let failures = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let offset = next.fetch_add(1, Ordering::Relaxed);
                    if offset >= count {
                        return;
                    }
                    let seed = first + offset;
                    if let Some(violation) = verdict(seed) {
                        failures.fetch_add(1, Ordering::Relaxed);
                        failed(seed, &violation);
                    }
                }
            });
        }
    });
    failures.into_inner()
}

/// What is wrong with a seed, if anything is.
pub fn verdict(seed: u64) -> Option<Violation> {
    let outcome = simulate(&Scenario::of(seed), false);
    let twice = seed.is_multiple_of(TWICE) || !outcome.violations.is_empty();
    if twice && simulate(&Scenario::of(seed), false).hash != outcome.hash {
        let what = format!("seed {seed} had two timelines");
        return Some(Violation { invariant: "one seed, one timeline", what });
    }
    outcome.violations.into_iter().next()
}

/// The smallest scenario found that still breaks the same invariant as `scenario` does, with its outcome and timeline. `None`
/// when `scenario` breaks none.
pub fn minimised(scenario: &Scenario) -> Option<(Scenario, Outcome)> {
    let broken = |scenario: &Scenario| {
        simulate(scenario, false).violations.first().map(|violation| violation.invariant)
    };
    let invariant = broken(scenario)?;
    let smallest = minimise(scenario.clone(), |smaller| broken(smaller) == Some(invariant));
    let outcome = simulate(&smallest, true);
    Some((smallest, outcome))
}

/// Takes things away from a scenario as long as it still `fails`.
pub fn minimise(mut scenario: Scenario, fails: impl Fn(&Scenario) -> bool) -> Scenario {
    // Each pass takes something away or is the last; there is not more than this to be taken.
    for _ in 0..20 {
        let smaller = smaller(&scenario).into_iter().find(|candidate| fails(candidate));
        match smaller {
            Some(smaller) => scenario = smaller,
            None => break,
        }
    }
    scenario
}

/// Scenarios with one thing less.
fn smaller(scenario: &Scenario) -> Vec<Scenario> {
    let mut found = Vec::new();
    let mut with = |change: &dyn Fn(&mut Scenario)| {
        let mut smaller = scenario.clone();
        change(&mut smaller);
        if format!("{smaller:?}") != format!("{scenario:?}") {
            found.push(smaller);
        }
    };
    with(&|s| s.rows /= 2);
    with(&|s| s.rounds = s.rounds.div_ceil(2));
    with(&|s| s.rounds = s.rounds.saturating_sub(1).max(1));
    with(&|s| s.rows = s.rows.saturating_sub(1));
    with(&|s| s.definitions.truncate(1));
    let kinds: [fn(&mut Chaos) -> &mut u32; 13] = [
        |c| &mut c.requests,
        |c| &mut c.source,
        |c| &mut c.churn,
        |c| &mut c.late,
        |c| &mut c.clock,
        |c| &mut c.lies,
        |c| &mut c.store,
        |c| &mut c.crashes,
        |c| &mut c.pauses,
        |c| &mut c.cancels,
        |c| &mut c.user,
        |c| &mut c.poison,
        |c| &mut c.lost_stores,
    ];
    for kind in kinds {
        with(&|s| *kind(&mut s.chaos) = 0);
    }
    with(&|s| {
        s.definitions = vec![Definition { filter: false, large: None, closed: false, shouted: false }];
    });
    with(&|s| s.limits.clear());
    with(&|s| s.key = KeyKind::Single);
    with(&|s| s.adopt = false);
    with(&|s| s.tombstones = false);
    with(&|s| s.overlap = Duration::ZERO);
    with(&|s| (s.batch_max, s.concurrency) = (1, 1));
    with(&|s| s.page = 1_000);
    with(&|s| s.batch = 200);
    found
}

/// Which fault was killed by which seed and how; `None`: by none of the seeds.
#[cfg(feature = "mutants")]
pub type Kill = (&'static str, Option<(u64, Violation)>);

/// Tries every fault of [`syncline_core::mutant`] on the seeds from 1 to `most`, on `threads` threads, until one kills it; or `only` that of this
/// name.
#[cfg(feature = "mutants")]
pub fn kill_mutants(
    only: Option<&str>,
    most: u64,
    threads: usize,
    told: &(dyn Fn(&Kill, &'static str) + Sync),
) -> Vec<Kill> {
    use syncline_core::mutant::{self, Mutant};
    let next = AtomicU64::new(0);
    let kills: Mutex<Vec<Kill>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((mutant, what)) =
                    Mutant::ALL.get(next.fetch_add(1, Ordering::Relaxed) as usize)
                {
                    if only.is_some_and(|only| only != format!("{mutant:?}")) {
                        continue;
                    }
                    let with_fault = |seed| {
                        mutant::set(Some(*mutant));
                        let outcome = simulate(&Scenario::of(seed), false);
                        mutant::set(None);
                        outcome.violations.into_iter().next()
                    };
                    let kill = (1..=most).find_map(|seed| {
                        let violation = with_fault(seed)?;
                        // A seed that fails by itself says nothing about the fault.
                        verdict(seed).is_none().then_some((seed, violation))
                    });
                    let name: &'static str = Box::leak(format!("{mutant:?}").into_boxed_str());
                    told(&(name, kill.clone()), what);
                    kills.lock().unwrap_or_else(PoisonError::into_inner).push((name, kill));
                }
            });
        }
    });
    kills.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps lines of several threads apart.
#[derive(Debug, Default)]
pub struct Lines(Mutex<()>);

impl Lines {
    /// Says a line, whole.
    pub fn say(&self, say: impl FnOnce()) {
        let _kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        say();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_away_what_a_failure_does_not_need() {
        let scenario = Scenario::of(7);
        assert!(scenario.rounds > 1, "{scenario:?}");
        let mut big = scenario;
        (big.rows, big.chaos.requests, big.chaos.store) = (40, 300, 20);
        let small = minimise(big, |s| s.rows >= 5 && s.chaos.store > 0);
        assert_eq!((small.rows, small.rounds, small.chaos.store), (5, 1, 20));
        assert_eq!((small.chaos.requests, small.definitions.len(), small.limits.len()), (0, 1, 0));
    }
}
