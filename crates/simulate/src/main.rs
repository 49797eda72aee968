//! The command line: `simulate [SEEDS]`, `simulate seed X`, `simulate mutants`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

use std::process::ExitCode;

use syncline_simulate::{life::simulate, scenario::Scenario};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let first: u64 = arguments.next().and_then(|a| a.parse().ok()).unwrap_or(1);
    let count: u64 = arguments.next().and_then(|a| a.parse().ok()).unwrap_or(1);
    let keep = count == 1;
    let mut failed = 0;
    std::panic::set_hook(Box::new(|_| {}));
    for seed in first..first + count {
        if keep {
            println!("{:#?}", Scenario::of(seed));
        }
        let outcome = simulate(&Scenario::of(seed), keep);
        for line in &outcome.lines {
            println!("{line}");
        }
        if !outcome.violations.is_empty() {
            failed += 1;
            eprintln!("seed {seed}: {}", outcome.violations[0]);
        }
    }
    println!("{{\"seeds\":{count},\"failed\":{failed}}}");
    ExitCode::from(u8::from(failed > 0))
}
