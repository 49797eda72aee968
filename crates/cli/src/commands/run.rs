//! `syncline run`

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use serde_json::json;
use syncline_connect::registry::Caller;
use syncline_core::{counts::Counts, failpoint, run::Status, sync::Sync};
use syncline_engine::{Engine, Flow, load, run::Report};
use syncline_store::About;

use crate::{
    args::{Global, RunArgs},
    commands::{check, schedule, whom::Whom},
    exit::{Exit, Failure},
    output,
    progress::{TICK, Watcher},
    project::{self, Opened},
    show,
    signals::{Cancel, cancelled, unless_cancelled},
    wiring::Systems,
};

pub(crate) async fn run(global: &Global, args: &RunArgs, cancel: &Cancel) -> Result<Exit, Failure> {
    let opened = project::open(global)?;
    let by = args.schedule.as_deref();
    let whom = Whom::of(&args.whom)?;
    let named = !args.syncs.is_empty();
    let syncs = whom.without_values(schedule::following(opened.syncs(&args.syncs)?, named, by)?, named);
    for sync in &syncs {
        whom.check(sync)?;
    }
    let systems = Systems::new(&opened.directory);
    let engine = systems.engine(opened.store().await?);
    let mut exit = Exit::Done;
    for sync in syncs {
        if *cancel.borrow() {
            return Err(Failure::cancelled());
        }
        let ended = match schedule::options(sync, by, asked(args, &whom)) {
            Ok(options) => match open(&opened, &systems, sync, &whom.caller, cancel).await {
                Ok(flow) => Box::pin(watched(&engine, &flow, &options, args.json, cancel)).await,
                Err(failure) => Err(failure),
            },
            Err(failure) => Err(failure),
        };
        // The other syncs may still be run.
        exit = exit.and(ended.unwrap_or_else(|failure| refused(sync, args.json, failure)));
    }
    Ok(exit)
}

/// What was typed.
fn asked(args: &RunArgs, whom: &Whom) -> load::run::Options {
    load::run::Options {
        mode: args.mode.map(Into::into),
        only_parked: args.parked,
        lookback: None,
        prepurge: args.prepurge,
        reindex: args.reindex,
        range: None,
        repair: None,
        parallel: std::thread::available_parallelism().map_or(1, usize::from),
        about: About::default(),
        partition: whom.partition.clone(),
    }
}

/// Opens a sync that is to be run whole.
pub(crate) async fn open(
    opened: &Opened,
    systems: &Systems,
    sync: &Sync,
    caller: &Caller,
    cancel: &Cancel,
) -> Result<Flow, Failure> {
    let opening = unless_cancelled(cancel, systems.open(&opened.loaded.project, sync, caller));
    let (bound, found) = Box::pin(opening).await.map_err(|failure| failure.about(&sync.name))?;
    let bound = bound.ok_or_else(|| check::refuse(opened, sync, &found))?;
    failpoint!("cli.run.opened", |place| crate::failpoint::failure(place).about(&sync.name));
    Ok(bound)
}

/// What to do next where nothing better is known.
const GOES_ON: &str = "what was done is recorded; `syncline run` goes on from there";

/// A run that could not begin, or whose end could not be recorded.
fn refused(sync: &Sync, as_json: bool, mut failure: Failure) -> Exit {
    if !failure.what.is_empty() {
        failure.hint.get_or_insert_with(|| GOES_ON.to_owned());
    }
    if as_json {
        output::json(&json!({
            "event": "refused", "sync": sync.name, "error": failure.what, "hint": failure.hint,
        }));
    }
    failure.print();
    failure.exit
}

/// Runs a sync, shows how far it is, and prints its account.
pub(crate) async fn watched(
    engine: &Engine,
    flow: &Flow,
    options: &load::run::Options,
    as_json: bool,
    cancel: &Cancel,
) -> Result<Exit, Failure> {
    let name = &flow.sync().name;
    let watcher = Watcher::new(name, as_json, Arc::clone(&engine.clock), Arc::clone(&engine.budgets));
    let started = engine.clock.elapsed();
    let tick = || watcher.tick();
    let report = ticking(Box::pin(flow.run(engine, options, &watcher, cancel.clone())), cancel, tick).await;
    drop(watcher);
    let report = report.map_err(|error| Failure::from(error).about(name))?;
    if !as_json {
        let took = engine.clock.elapsed().saturating_sub(started);
        let stored = engine.store.run(report.run).await?;
        let by_stream = stored.map(|run| run.by_stream).unwrap_or_default();
        print_account(name, &report, took, &by_stream);
    }
    advise(name, &report);
    Ok(exit_of(&report))
}

/// Waits for `work`, calling `tick` every few seconds. It stops by itself when it is cancelled; the person is told that
/// this takes a moment.
async fn ticking<T>(mut work: impl Future<Output = T> + Unpin, cancel: &Cancel, tick: impl Fn()) -> T {
    let mut told = false;
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = cancelled(cancel.clone()), if !told => {
                told = true;
                output::chat("stopping after the batch in hand; once more to stop at once (nothing is lost either way)");
            }
            () = tokio::time::sleep(TICK) => tick(),
        }
    }
}

fn exit_of(report: &Report) -> Exit {
    match (report.status, &report.error) {
        (Status::Succeeded, _) => Exit::Done,
        (Status::Partial, _) => Exit::Partial,
        (_, Some(syncline_engine::Error::Definition { .. } | syncline_engine::Error::Params { .. })) => {
            Exit::Usage
        }
        _ => Exit::Failed,
    }
}

fn print_account(name: &str, report: &Report, took: Duration, by_stream: &BTreeMap<String, Counts>) {
    let colour = match report.status {
        Status::Succeeded => "32",
        Status::Partial => "33",
        _ => "31",
    };
    let status = output::paint_result(colour, report.status.as_str());
    let took = show::duration(took);
    output::line(format!(
        "{name}: {status} in {took} (run {}): {}",
        report.run,
        show::account(&report.counts)
    ));
    if by_stream.len() > 1 {
        for (stream, counts) in by_stream.iter().filter(|(_, counts)| counts.accounted() > 0) {
            output::line(format!("  {stream}: {}", show::counts(counts)));
        }
    }
}

/// What happened that a person must look at, and where to look.
fn advise(name: &str, report: &Report) {
    if let Some(error) = &report.error {
        output::error(&format!("{name}: {}", error.chain()));
        match error.hint() {
            Some(hint) => output::hint(&hint),
            None => output::hint(GOES_ON),
        }
    }
    let counts = &report.counts;
    if counts.parked > 0 {
        let parked = show::some(counts.parked, "record is parked", "records are parked");
        output::chat(format!(
            "{name}: {parked}; `syncline parked list {name}` says why, later runs try again"
        ));
    }
    if counts.conflicted > 0 {
        let edited = show::some(counts.conflicted, "record was", "records were");
        output::chat(format!(
            "{name}: {edited} edited on both sides and left alone; see `syncline parked list {name}`"
        ));
    }
    if counts.held > 0 {
        let held = show::some(counts.held, "delete is held", "deletes are held");
        output::chat(format!(
            "{name}: {held}; see `syncline held list {name}`, then `syncline held approve {name} --max {}` or `reject`",
            counts.held
        ));
    }
}
