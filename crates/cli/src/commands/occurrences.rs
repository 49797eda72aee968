//! `syncline occurrences`

use serde_json::json;
use syncline_store::service::{Occurrence, OccurrenceFilter, OccurrenceState};

use crate::{
    args::Global,
    exit::{Exit, Failure},
    output, project,
    service::args::{OccurrencesCancelArgs, OccurrencesCommand, OccurrencesListArgs},
    show,
    table::{Set, Table},
    wiring,
};

/// Most occurrences that are looked through for those of a name.
const SEARCHED_MAX: usize = 10_000;

pub(crate) async fn run(global: &Global, command: OccurrencesCommand) -> Result<Exit, Failure> {
    match command {
        OccurrencesCommand::List(args) => list(global, &args).await,
        OccurrencesCommand::Cancel(args) => cancel(global, &args).await,
    }
}

async fn list(global: &Global, args: &OccurrencesListArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let Some(store) = opened.existing_store().await? else { return Err(opened.nothing_yet()) };
    let filter = OccurrenceFilter { state: args.state.map(Into::into), ..OccurrenceFilter::default() };
    let searched = if args.name.is_some() { SEARCHED_MAX } else { args.limit };
    let mut found = store.occurrences(&filter, searched).await?;
    found.retain(|occurrence| args.name.as_ref().is_none_or(|name| *name == occurrence.asked.subject.name));
    found.truncate(args.limit);
    if args.json {
        found.iter().for_each(print_json);
        return Ok(Exit::Done);
    }
    if found.is_empty() {
        output::line("no such occurrences");
        return Ok(Exit::Done);
    }
    let now = wiring::clock().now();
    let columns = [("occurrence", Set::Right), ("of", Set::Left), ("by", Set::Left), ("due", Set::Left)];
    let rest = [("state", Set::Left), ("run", Set::Right), ("what happened", Set::Left)];
    let mut table = Table::new(&[&columns[..], &rest[..]].concat());
    for occurrence in &found {
        let asked = &occurrence.asked;
        table.row(vec![
            occurrence.id.to_string(),
            format!("{} {}", asked.subject.kind.as_str(), asked.subject.name),
            asked.schedule.clone().unwrap_or_else(|| asked.requested_by.clone()),
            show::relative(asked.due_at, now),
            occurrence.state.as_str().to_owned(),
            occurrence.run.map_or("-".to_owned(), |run| run.to_string()),
            happened(occurrence),
        ]);
    }
    table.lines().for_each(output::line);
    Ok(Exit::Done)
}

fn happened(occurrence: &Occurrence) -> String {
    match (&occurrence.error, &occurrence.reason, occurrence.status) {
        (Some((code, message)), _, _) => format!("{code}: {message}"),
        (None, Some(reason), _) => reason.clone(),
        (None, None, Some(status)) => status.as_str().to_owned(),
        (None, None, None) => match (&occurrence.node, occurrence.state) {
            (Some(node), OccurrenceState::Claimed) => format!("on {node}"),
            _ => "-".to_owned(),
        },
    }
}

fn print_json(occurrence: &Occurrence) {
    let asked = &occurrence.asked;
    output::json(&json!({
        "occurrence": occurrence.id,
        "kind": asked.subject.kind,
        "name": asked.subject.name,
        "schedule": asked.schedule,
        "instant": asked.instant,
        "due_at": asked.due_at,
        "requested_by": asked.requested_by,
        "retry": asked.retry,
        "correlation": asked.correlation,
        "state": occurrence.state,
        "reason": occurrence.reason,
        "attempts": occurrence.attempts,
        "node": occurrence.node,
        "claimed_at": occurrence.claimed_at,
        "run": occurrence.run,
        "status": occurrence.status,
        "error": occurrence.error.as_ref().map(|(code, message)| json!({ "code": code, "message": message })),
        "finished_at": occurrence.finished_at,
    }));
}

async fn cancel(global: &Global, args: &OccurrencesCancelArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let Some(store) = opened.existing_store().await? else { return Err(opened.nothing_yet()) };
    let number = args.occurrence;
    match store.cancel(number, wiring::clock().now()).await? {
        Some(OccurrenceState::Claimed) => {
            output::line(format!("occurrence {number} is asked to stop; it does so after the batch in hand"));
        }
        Some(_) => output::line(format!("occurrence {number} is cancelled")),
        None => {
            return Err(Failure::usage(format!("there is no occurrence {number} that waits or runs"))
                .hint("`syncline occurrences list` shows them"));
        }
    }
    Ok(Exit::Done)
}
