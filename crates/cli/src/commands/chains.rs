//! `syncline chains`

use std::sync::Arc;

use jiff::Timestamp;
use syncline_core::chain::StepStatus;
use syncline_store::service::{ChainFilter, ChainRun, Enqueued, ServiceStore, StepRecord};

use crate::{
    args::Global,
    exit::{Exit, Failure},
    output, project,
    service::{
        args::{ChainsCommand, ChainsListArgs, ChainsResumeArgs, ChainsShowArgs},
        control::{at_rest, nobody_serves, refused},
        reading::Place,
    },
    show,
    table::{Set, Table},
    wiring,
};

pub(crate) async fn run(global: &Global, command: ChainsCommand) -> Result<Exit, Failure> {
    match command {
        ChainsCommand::List(args) => list(global, &args).await,
        ChainsCommand::Show(args) => show_run(global, &args).await,
        ChainsCommand::Resume(args) => resume(global, &args).await,
    }
}

async fn list(global: &Global, args: &ChainsListArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let Some(store) = opened.existing_store().await? else { return Err(opened.nothing_yet()) };
    let filter = ChainFilter { chain: args.chain.clone(), ..ChainFilter::default() };
    let runs = store.chain_runs(&filter, args.limit).await?;
    if args.json {
        runs.iter().for_each(output::json);
        return Ok(Exit::Done);
    }
    if runs.is_empty() {
        output::line("no chain has run");
        return Ok(Exit::Done);
    }
    let now = wiring::clock().now();
    let columns = [("run", Set::Right), ("chain", Set::Left), ("started", Set::Left), ("took", Set::Right)];
    let rest = ["status", "steps", "what happened"].map(|name| (name, Set::Left));
    let mut table = Table::new(&[&columns[..], &rest[..]].concat());
    for run in &runs {
        table.row(vec![
            run.id.to_string(),
            run.chain.clone(),
            show::time(run.started_at),
            show::duration(worked(run, now)),
            run.status.as_str().to_owned(),
            steps(run),
            happened(run),
        ]);
    }
    table.lines().for_each(output::line);
    Ok(Exit::Done)
}

/// How long it was worked on, until now where it still is.
fn worked(run: &ChainRun, now: Timestamp) -> std::time::Duration {
    let ended = std::time::Duration::from_millis(run.worked_ms);
    match run.finished_at {
        Some(_) => ended,
        None => ended + show::between(run.resumed_at.unwrap_or(run.started_at), now),
    }
}

/// `4 of 6`.
fn steps(run: &ChainRun) -> String {
    let over = |step: &&StepRecord| !matches!(step.status, StepStatus::Waiting | StepStatus::Running);
    format!("{} of {}", run.steps.iter().filter(over).count(), run.steps.len())
}

/// What runs, or what failed.
fn happened(run: &ChainRun) -> String {
    let running = run.steps.iter().filter(|step| step.status == StepStatus::Running);
    let running: Vec<&str> = running.map(|step| step.step.as_str()).collect();
    match &run.error {
        _ if !running.is_empty() => format!("running: {}", running.join(", ")),
        Some((code, message)) => format!("{code}: {message}"),
        None => "-".to_owned(),
    }
}

async fn show_run(global: &Global, args: &ChainsShowArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let Some(store) = opened.existing_store().await? else { return Err(opened.nothing_yet()) };
    let run = chain_run(&*store, args.run).await?;
    if args.json {
        output::json(&run);
        return Ok(Exit::Done);
    }
    let now = wiring::clock().now();
    output::line(format!("run {} of chain {:?}: {}", run.id, run.chain, run.status.as_str()));
    let by =
        run.schedule.as_ref().map_or("asked for".to_owned(), |schedule| format!("schedule {schedule:?}"));
    output::line(format!(
        "started {} ({by}), worked {}, {} steps over",
        show::time(run.started_at),
        show::duration(worked(&run, now)),
        steps(&run)
    ));
    if let Some((code, message)) = &run.error {
        output::line(format!("stopped by {code}: {message}"));
    }
    let columns = [("step", Set::Left), ("status", Set::Left), ("took", Set::Right), ("run", Set::Right)];
    let rest = [("attempts", Set::Right), ("what happened", Set::Left)];
    let mut table = Table::new(&[&columns[..], &rest[..]].concat());
    for step in &run.steps {
        table.row(step_row(step, now));
    }
    table.lines().for_each(output::line);
    if run.steps.iter().any(|step| step.status == StepStatus::Failed) && run.finished_at.is_some() {
        output::chat(format!("`syncline chains resume {}` goes on from what failed", run.id));
    }
    Ok(Exit::Done)
}

fn step_row(step: &StepRecord, now: Timestamp) -> Vec<String> {
    let took = step.started_at.map(|start| show::between(start, step.finished_at.unwrap_or(now)));
    let optional = if step.required { "" } else { " (optional)" };
    let happened = match (&step.error, &step.detail) {
        (Some((code, message)), _) => format!("{code}: {message}"),
        (None, Some(detail)) => detail.clone(),
        (None, None) => "-".to_owned(),
    };
    vec![
        format!("{}{optional}", step.step),
        step.status.as_str().to_owned(),
        took.map_or("-".to_owned(), show::duration),
        step.run.map_or("-".to_owned(), |run| run.to_string()),
        step.attempts.to_string(),
        happened,
    ]
}

async fn chain_run(store: &dyn ServiceStore, run: u64) -> Result<ChainRun, Failure> {
    let found = store.chain_run(run).await?;
    found.ok_or_else(|| {
        Failure::usage(format!("there is no run {run} of a chain")).hint("`syncline chains list` shows them")
    })
}

/// Shows which steps a resumed run begins again, asks, and leaves it to a service to do so.
async fn resume(global: &Global, args: &ChainsResumeArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let Some(store) = opened.existing_store().await? else { return Err(opened.nothing_yet()) };
    let run = chain_run(&*store, args.run).await?;
    let place = Place { file: global.file.clone(), applied: false, lenient: true };
    let control = at_rest(&place, Arc::clone(&store)).await?;
    let set = control.resume_set(args.run).await.map_err(refused)?;
    if set.is_empty() {
        return Err(Failure::failed(format!(
            "every step of run {} succeeded: there is nothing to resume",
            args.run
        )));
    }
    output::line(format!("run {} of chain {:?} would begin again:", run.id, run.chain));
    for step in &set {
        output::line(format!("  {step}"));
    }
    let kept = run.steps.iter().filter(|step| !set.contains(&step.step)).count();
    output::line(format!("and keep {} as they are", show::some(kept as u64, "step", "steps")));
    if !args.yes {
        match output::confirmed("Resume it?") {
            Some(true) => {}
            Some(false) => return Err(Failure::failed("nothing was resumed")),
            None => return Err(Failure::usage("nothing was resumed").hint("--yes does it without asking")),
        }
    }
    let occurrence = match control.resume_chain(args.run, None, "cli").await.map_err(refused)? {
        Enqueued::New(occurrence) | Enqueued::Existing(occurrence) => occurrence,
        Enqueued::KeyReused | Enqueued::Full => {
            return Err(Failure::failed("too much waits for this chain already")
                .hint("`syncline occurrences` shows it"));
        }
    };
    output::line(format!("run {} is resumed (occurrence {occurrence})", run.id));
    if nobody_serves(&*store).await? {
        output::note("no service is running on this store; `syncline serve` carries it out when it starts");
    }
    Ok(Exit::Done)
}
