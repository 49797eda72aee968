//! The command line behind `make simulate` and `make mutants`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a command line: it prints, and measures how fast it is"
)]

use std::{process::ExitCode, time::Instant};

use syncline_simulate::{
    campaign::{Lines, minimised, simulate_many},
    life::simulate,
    scenario::Scenario,
};

const USAGE: &str = "usage: simulate run COUNT [FIRST]   simulate so many seeds, from FIRST (1) on
       simulate seed SEED           simulate one, show its timeline, and make it smaller when it fails
       simulate mutants [SEEDS [NAME]]  try every built-in fault, or one, on so many seeds (20000); needs the
                                    feature `mutants`";

fn main() -> ExitCode {
    // A panic is an outcome like others; its message comes with the seed.
    std::panic::set_hook(Box::new(|_| {}));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok());
    match (arguments.first().map(String::as_str), number(1), arguments.len()) {
        (Some("run"), Some(count), 2) => run(1, count),
        (Some("run"), Some(count), 3) if number(2).is_some() => run(number(2).unwrap_or(1), count),
        (Some("seed"), Some(seed), 2) => one(seed),
        (Some("mutants"), None, 1) => mutants(None, 20_000),
        (Some("mutants"), Some(seeds), 2) => mutants(None, seeds),
        (Some("mutants"), Some(seeds), 3) => mutants(Some(&arguments[2]), seeds),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn run(first: u64, count: u64) -> ExitCode {
    let (began, lines) = (Instant::now(), Lines::default());
    let failed = simulate_many(first, count, threads(), &|seed, violation| {
        lines.say(|| eprintln!("seed {seed}: {violation}\n  make simulate SEED={seed} shows its timeline"));
    });
    let speed = count as f64 / began.elapsed().as_secs_f64();
    println!(r#"{{"seeds":{count},"failed":{failed},"sims_per_s":{speed:.0}}}"#);
    ExitCode::from(u8::from(failed > 0))
}

fn one(seed: u64) -> ExitCode {
    let (began, scenario) = (Instant::now(), Scenario::of(seed));
    let (scenario, outcome) = match minimised(&scenario) {
        Some(smallest) => smallest,
        None => {
            let outcome = simulate(&scenario, true);
            (scenario, outcome)
        }
    };
    println!("{scenario:#?}");
    for line in &outcome.lines {
        println!("{line}");
    }
    for violation in &outcome.violations {
        eprintln!("seed {seed}: {violation}");
    }
    println!("{} events, {} processes, timeline {:016x}", outcome.events, outcome.runs, outcome.hash);
    let failed = u8::from(!outcome.violations.is_empty());
    let speed = 1.0 / began.elapsed().as_secs_f64();
    println!(r#"{{"seeds":1,"failed":{failed},"sims_per_s":{speed:.0}}}"#);
    ExitCode::from(failed)
}

#[cfg(feature = "mutants")]
fn mutants(only: Option<&str>, seeds: u64) -> ExitCode {
    let lines = Lines::default();
    let kills = syncline_simulate::campaign::kill_mutants(only, seeds, threads(), &|(name, kill), what| {
        lines.say(|| match kill {
            Some((seed, violation)) => {
                println!("{name:<24} killed by seed {seed:<5} {}\n{:<24} {what}", violation.invariant, "");
            }
            None => println!("{name:<24} SURVIVED {seeds} seeds\n{:<24} {what}", ""),
        });
    });
    let killed = kills.iter().filter(|(_, kill)| kill.is_some()).count();
    println!(r#"{{"mutants":{},"killed":{killed}}}"#, kills.len());
    ExitCode::from(u8::from(killed < kills.len()))
}

#[cfg(not(feature = "mutants"))]
fn mutants(_: Option<&str>, _: u64) -> ExitCode {
    eprintln!("built without the feature `mutants`: use `make mutants`");
    ExitCode::from(2)
}
