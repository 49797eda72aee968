//! The `syncline` binary: flags, wiring, printing, exit codes.
//!
//! Alone in the workspace this crate names concrete systems ([`wiring`]), reads the environment, prints ([`output`],
//! [`problems`], [`progress`]) and decides the exit code ([`exit`]). It decides nothing about records: what a command
//! shows comes from the engine, the store and the spec as plain data.
//!
//! Start reading at [`args`] (what can be typed), then the file of a command in [`commands`].

mod args;
mod commands;
mod exit;
#[cfg(debug_assertions)]
mod failpoint;
mod logging;
mod output;
mod problems;
mod progress;
mod project;
mod service;
mod show;
mod signals;
mod store;
mod table;
mod wiring;

use std::{process::ExitCode, time::Duration};

use clap::Parser;

use crate::{
    args::{Cli, Command},
    exit::Failure,
};

/// Gives memory back that was needed once, which the C library's allocator seldom does: a service that has read ten
/// thousand definitions keeps less than half of what it needed to read them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long work on blocking threads may take to end once everything else has: such work is whole or not at all, so
/// cutting it off loses nothing.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// Threads for work that blocks. A run holds some while it waits for the store, which needs one to answer: there must be more
/// than a thousand runs at once, the most that `server.parallel` allows, can hold. They are made as they are needed.
const BLOCKING_THREADS: usize = 8192;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` arrive here too, with code 0. Where this cannot be printed, nothing can.
            error.print().ok();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    output::quiet(cli.global.quiet);
    // TLS of the collector of logs asks for it too.
    wiring::use_crypto();
    let logging = logging::start(&cli);
    let ended = run(cli).and_then(|exit| output::finish().map(|()| exit));
    logging.end();
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print();
            failure.exit.into()
        }
    }
}

fn run(cli: Cli) -> Result<exit::Exit, Failure> {
    #[cfg(debug_assertions)]
    failpoint::start()?;
    let serves = matches!(cli.command, Command::Serve(_));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // One run keeps two busy; a service has several at once.
        .worker_threads(if serves { cores.max(2) } else { 2 })
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("threads cannot be started: {error}")))?;
    let ended = runtime.block_on(signals::with_cancel(|cancel| commands::run(cli, cancel)));
    runtime.shutdown_timeout(SHUTDOWN);
    ended
}
