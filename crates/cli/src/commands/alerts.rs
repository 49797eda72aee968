//! `syncline alerts`

use clap::{Args, Subcommand};
use serde_json::json;
use syncline_engine::service::alerts::{Pending, deliver};
use syncline_spec::did_you_mean;
use syncline_store::service::AlertState;

use super::report::reach;
use crate::{
    args::Global,
    exit::{Exit, Failure},
    output, project, show,
    table::{Set, Table},
    wiring,
};

#[derive(Debug, Subcommand)]
pub(crate) enum AlertsCommand {
    List(AlertsListArgs),
    Test(AlertsTestArgs),
}

/// What holds at the moment, and what waits to be delivered
#[derive(Debug, Args)]
pub(crate) struct AlertsListArgs {
    /// What is over, too
    #[arg(long)]
    pub(crate) all: bool,

    /// One JSON object per alert
    #[arg(long)]
    pub(crate) json: bool,
}

/// Send a test message to a receiver
///
/// Says whether the far side took it. Nothing is stored.
#[derive(Debug, Args)]
pub(crate) struct AlertsTestArgs {
    /// A receiver of the project
    #[arg(value_name = "RECEIVER")]
    pub(crate) receiver: String,
}

pub(crate) async fn run(global: &Global, command: AlertsCommand) -> Result<Exit, Failure> {
    match command {
        AlertsCommand::List(args) => list(global, &args).await,
        AlertsCommand::Test(args) => test(global, &args).await,
    }
}

async fn list(global: &Global, args: &AlertsListArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let Some(store) = opened.existing_store().await? else { return Err(opened.nothing_yet()) };
    let mut states = store.alert_states().await?;
    states.retain(|state| args.all || state.active || state.message.is_some());
    states.sort_by_key(|state| std::cmp::Reverse((state.active, state.since)));
    if args.json {
        states.iter().for_each(print_json);
        return Ok(Exit::Done);
    }
    if states.is_empty() {
        output::line("no alerts");
        return Ok(Exit::Done);
    }
    let now = wiring::clock().now();
    let columns =
        ["what", "alert", "rule", "holds", "since", "told", "waits for"].map(|name| (name, Set::Left));
    let mut table = Table::new(&columns);
    for state in &states {
        table.row(vec![
            state.subject.to_string(),
            state.kind.as_str().to_owned(),
            state.rule.clone(),
            if state.active { "yes" } else { "no" }.to_owned(),
            show::relative(state.since, now),
            state.told_at.map_or_else(|| "-".to_owned(), |at| show::relative(at, now)),
            waiting(state).map_or_else(|| "-".to_owned(), |to| to.join(", ")),
        ]);
    }
    table.lines().for_each(output::line);
    Ok(Exit::Done)
}

/// Receivers that have not been told yet.
fn waiting(state: &AlertState) -> Option<Vec<String>> {
    let pending: Pending = serde_json::from_value(state.message.clone()?).ok()?;
    Some(pending.to)
}

fn print_json(state: &AlertState) {
    output::json(&json!({
        "rule": state.rule,
        "kind": state.subject.kind,
        "name": state.subject.name,
        "alert": state.kind,
        "active": state.active,
        "since": state.since,
        "told_at": state.told_at,
        "waiting_for": waiting(state).unwrap_or_default(),
        "attempts": state.attempts,
        "try_at": state.try_at,
    }));
}

async fn test(global: &Global, args: &AlertsTestArgs) -> Result<Exit, Failure> {
    let opened = project::open(global)?;
    let project = &opened.loaded.project;
    let receiver = project.receivers.iter().find(|r| r.name == args.receiver).ok_or_else(|| {
        let known: Vec<&str> = project.receivers.iter().map(|r| r.name.as_str()).collect();
        let failure = Failure::usage(format!("there is no receiver {:?} in the project", args.receiver));
        match did_you_mean(&args.receiver, &known, "its receivers") {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })?;
    let reach = reach(&opened.directory)?;
    let told = deliver::test(&reach, project, receiver, wiring::clock().now()).await;
    told.map_err(|(code, why)| Failure::failed(format!("receiver {:?}: {why} ({code})", receiver.name)))?;
    output::line(format!("receiver {:?} took the message", receiver.name));
    Ok(Exit::Done)
}
