//! Every store answers alike: random traces of operations are replayed on all of them, each answer is compared, and in the
//! end everything that can be read.
//!
//! A trace is plain data made from a seed alone, so that one that tells the stores apart can be cut down to the steps
//! that matter. `SYNCLINE_TRACES=5000 cargo test -p syncline-store equivalence` looks harder; `SYNCLINE_SEED` starts at
//! another trace.

mod contender;
mod facts;
mod step;
mod trace;

use std::collections::BTreeSet;

use syncline_store::conformance::Place;
use tokio::task::JoinSet;

use self::{
    contender::Contender,
    step::{Act, Step},
};

/// Traces of an ordinary run.
const TRACES: u64 = 200;
/// The seed of the first trace; each has the next number.
const SEED: u64 = 0x5709_e000;
/// Steps of a trace.
const STEPS: usize = 60;
/// Traces under way at a time: each waits for the disk most of the time.
const AT_ONCE: usize = 8;

/// What answers must tell of at times: leases that are held, old ones, what cannot be; a crash, moves half done, forgotten
/// hashes, soft deletes, every kind of drift, repairs.
const WORTH_REACHING: [&str; 13] = [
    "is busy",
    "stale",
    "refused",
    "Interrupted",
    "created: true",
    "hash: None",
    "gone: true",
    "kind: Missing",
    "kind: Edited",
    "kind: Duplicate",
    "kind: Orphan",
    "kind: Stranger",
    "code: \"drift\"",
];

/// Every how many traces PostgreSQL takes part: each time it needs a schema of its own.
const POSTGRES_EVERY: u64 = 8;

/// The stores that are compared. The first one is what the others must equal.
fn contenders(seed: u64) -> Vec<Contender> {
    let mut contenders = vec![
        Contender::new("sqlite", crate::sqlite::fresh()),
        Contender::new("memory", crate::memory::OnDisk::default()),
    ];
    if seed.is_multiple_of(POSTGRES_EVERY) {
        contenders.push(Contender::new("postgres", crate::postgres::Schema::new()));
    }
    contenders
}

/// Does in a store what the trace of a seed says, and lets all processes die.
pub(crate) async fn happen(place: impl Place + 'static, seed: u64) {
    let mut contender = Contender::new("the only one", place);
    for step in trace::of_seed(seed, STEPS) {
        contender.take(&step).await;
    }
    contender.crash_all();
}

/// All that can be read of a store, as text.
pub(crate) async fn everything(place: impl Place + 'static) -> String {
    Contender::new("the only one", place).everything().await
}

#[expect(clippy::disallowed_methods, reason = "a person asks for more traces, or for one that failed")]
fn asked_for(name: &str, usually: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(usually, |value| value.parse().expect("a whole number"))
}

/// Replays a trace on every store. What tells them apart is returned: the step, and each store's answer.
async fn replay(seed: u64, trace: &[Step]) -> Result<(), String> {
    let mut contenders = contenders(seed);
    for (number, step) in trace.iter().enumerate() {
        let mut answers = Vec::new();
        for contender in &mut contenders {
            answers.push((contender.name, contender.take(step).await));
        }
        agree(|| format!("step {number}: {step:?}"), &answers)?;
    }
    // In the end: everything is read, and read again after all processes died.
    for when in ["at the end", "after the end of all processes"] {
        let mut states = Vec::new();
        for contender in &mut contenders {
            states.push((contender.name, contender.everything().await));
            contender.crash_all();
        }
        agree(|| when.to_owned(), &states)?;
    }
    Ok(())
}

/// Compares answers line by line, and tells the first line in which one differs from the first store's.
fn agree(when: impl FnOnce() -> String, answers: &[(&str, String)]) -> Result<(), String> {
    let Some(((first, expected), others)) = answers.split_first() else { return Ok(()) };
    let Some((name, answer)) = others.iter().find(|(_, answer)| answer != expected) else { return Ok(()) };
    let mut lines = expected.lines().zip(answer.lines());
    let (expected, answer) = lines.find(|(a, b)| a != b).unwrap_or((expected, answer));
    Err(format!("{}\n  {first}: {expected}\n  {name}: {answer}", when()))
}

/// Leaves out, as long as the stores still differ, one step after the other, the last first.
async fn cut_down(seed: u64, mut trace: Vec<Step>, mut difference: String) -> (Vec<Step>, String) {
    for place in (0..trace.len()).rev() {
        let mut shorter = trace.clone();
        shorter.remove(place);
        if let Err(found) = replay(seed, &shorter).await {
            (trace, difference) = (shorter, found);
        }
    }
    (trace, difference)
}

/// Replays the trace of a seed. When it tells the stores apart: what differs, and what of the trace is needed for it.
async fn of_seed(seed: u64) -> Result<(), String> {
    let trace = trace::of_seed(seed, STEPS);
    let Err(difference) = replay(seed, &trace).await else { return Ok(()) };
    let (trace, difference) = cut_down(seed, trace, difference).await;
    let steps: Vec<_> = trace.iter().map(|step| format!("  {step:?}")).collect();
    Err(format!("SYNCLINE_SEED={seed} tells the stores apart, {difference}\nof\n{}", steps.join("\n")))
}

#[tokio::test]
async fn every_store_answers_alike() {
    let first = asked_for("SYNCLINE_SEED", SEED);
    let mut seeds = first..first + asked_for("SYNCLINE_TRACES", TRACES);
    let mut under_way = JoinSet::new();
    loop {
        for seed in seeds.by_ref().take(AT_ONCE - under_way.len()) {
            under_way.spawn(of_seed(seed));
        }
        let Some(ended) = under_way.join_next().await else { break };
        if let Err(difference) = ended.expect("no store panics") {
            panic!("{difference}");
        }
    }
}

/// A trace that only meets refusals compares nothing.
#[tokio::test]
async fn the_traces_reach_what_they_are_made_for() {
    let (mut accepted, mut checkpoints) = (0_u32, 0_u32);
    let mut reached = BTreeSet::new();
    for seed in SEED..SEED + TRACES {
        let mut contender = Contender::new("memory", crate::memory::OnDisk::default());
        for step in trace::of_seed(seed, STEPS) {
            let answer = contender.take(&step).await;
            if matches!(step.act, Act::Checkpoint(_)) {
                checkpoints += 1;
                accepted += u32::from(answer == "()");
            }
            reached.extend(WORTH_REACHING.iter().filter(|words| answer.contains(**words)));
        }
    }
    assert!(accepted > checkpoints / 3, "{accepted} of {checkpoints} checkpoints were accepted");
    assert_eq!(reached, BTreeSet::from(WORTH_REACHING));
}
