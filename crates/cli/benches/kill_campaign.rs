//! `make kill-campaign CYCLES=n`: the kill campaign for as long as one likes, on the real binary of the dev profile.
//!
//! Prints its seed first; `SEED=x` repeats the order of the cycles. The last line of standard output is one line of JSON. See
//! `docs/failpoints.md`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a program of its own: it reads its settings from the environment and prints"
)]

#[path = "../tests/campaign/mod.rs"]
mod campaign;
#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../tests/kit.rs"]
mod kit;

use std::{process::ExitCode, time::SystemTime};

fn main() -> ExitCode {
    let number =
        |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty()).map(|text| text.parse());
    let cycles = number("CYCLES").map_or(300, |n| usize::try_from(n.expect("CYCLES is a number")).unwrap());
    let seed: u64 = number("SEED").map_or_else(any_seed, |n| n.expect("SEED is a number"));
    println!("seed {seed}");
    let outcome = campaign::run(cycles, seed, &|text| eprintln!("{text}"));
    eprintln!("{} processes died of SIGKILL", outcome.kills);
    let (reached, all) = (outcome.reached.len(), campaign::combinations().len());
    eprintln!("{reached} of {all} places with their actions were reached");
    for problem in &outcome.problems {
        eprintln!("{problem}");
    }
    let (cycles, lost, duplicated) = (outcome.cycles, outcome.tally.lost, outcome.tally.duplicated);
    let problems = outcome.problems.len();
    println!(r#"{{"cycles":{cycles},"lost":{lost},"duplicated":{duplicated},"problems":{problems}}}"#);
    if outcome.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Another one each time.
fn any_seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    now.as_secs()
}
