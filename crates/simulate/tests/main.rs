//! The short form of the simulation, for every change: so many seeds, and all that ever failed.

use std::sync::Mutex;

use syncline_core::sync::{DeletePolicy, Mode, OnEdit};
use syncline_simulate::{
    campaign::{simulate_many, verdict},
    life::simulate,
    scenario::{Chaos, KeyKind, Scenario},
};

const SEEDS: u64 = 2_000;

#[test]
fn what_must_hold_holds_for_many_seeds() {
    println!("seeds 1 to {SEEDS}");
    let told = Mutex::new(Vec::new());
    let failed = simulate_many(1, SEEDS, 2, &|seed, violation| {
        told.lock().unwrap().push(format!("seed {seed}: {violation}"));
    });
    let told = told.into_inner().unwrap();
    assert_eq!(failed, 0, "`make simulate SEED=x` shows a timeline\n{}", told.join("\n"));
}

#[test]
fn what_once_failed_holds() {
    let mut seeds = 0;
    for line in include_str!("../regressions.txt").lines().filter(|line| !line.starts_with('#')) {
        let seed: u64 = line.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(verdict(seed), None, "seed {line}");
        let hash = || simulate(&Scenario::of(seed), false).hash;
        assert_eq!(hash(), hash(), "seed {seed} has one timeline");
        seeds += 1;
    }
    assert!(seeds > 20, "{seeds} seeds");
}

/// A world where nothing goes wrong: what comes out must not depend on how it is cut into requests.
fn calm(seed: u64) -> Scenario {
    let drawn = Scenario::of(seed);
    Scenario {
        rows: 40,
        rounds: 1,
        // Which of two rows with one key counts does depend on which are read together.
        key: if drawn.key == KeyKind::Loose { KeyKind::Single } else { drawn.key },
        mode: Mode::Full,
        policy: DeletePolicy::Delete,
        on_edit: OnEdit::Overwrite,
        adopt: false,
        definitions: drawn.definitions[..1].to_vec(),
        limits: Vec::new(),
        chaos: Chaos { poison: 100, ..Chaos::default() },
        ..drawn
    }
}

#[test]
fn results_do_not_depend_on_the_size_of_batches() {
    for seed in 1..=40 {
        let with = |batch, page, batch_max, concurrency| {
            let scenario = Scenario { batch, page, batch_max, concurrency, ..calm(seed) };
            let outcome = simulate(&scenario, false);
            assert_eq!(outcome.violations, [], "seed {seed}");
            outcome.held
        };
        let one_by_one = with(1, 1, 1, 1);
        assert!(!one_by_one.is_empty(), "seed {seed}");
        assert_eq!(one_by_one, with(200, 100, 7, 3), "seed {seed}");
        assert_eq!(one_by_one, with(3, 7, 2, 2), "seed {seed}");
    }
}

#[test]
fn a_timeline_can_be_read() {
    let outcome = simulate(&calm(3), true);
    let text = outcome.lines.join("\n");
    for words in [
        "node 1 begins a run",
        "source shows",
        "node 1 sends to",
        "create ",
        "-> item 1 version 1",
        "checkpoint:",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
}
