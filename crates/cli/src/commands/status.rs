//! `syncline status`: reads the store alone.

use jiff::Timestamp;
use serde_json::json;
use syncline_core::run::Status;
use syncline_store::{Error, Run, Store, Waiting};

use crate::{
    args::{Global, StatusArgs},
    exit::{Exit, Failure},
    output, project, show,
    table::{Set, Table},
    wiring,
};

pub(crate) async fn run(global: &Global, args: &StatusArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let project = &opened.loaded.project;
    let now = wiring::clock().now();
    let store = opened.existing_store().await?;
    let waiting = match &store {
        Some(store) => store.waiting().await?,
        None => Vec::new(),
    };
    // Syncs that left the project but not the store come last.
    let mut names: Vec<&str> = project.syncs.iter().map(|sync| sync.name.as_str()).collect();
    let left = waiting.iter().map(|w| w.sync.as_str()).filter(|name| project.sync(name).is_none());
    names.extend(left);
    let mut rows = Vec::new();
    for name in names {
        let last = match &store {
            Some(store) => last_run(&**store, name, now).await?,
            None => None,
        };
        let waiting = waiting.iter().find(|w| w.sync == name).cloned();
        let waiting = waiting.unwrap_or(Waiting {
            sync: name.to_owned(),
            parked: 0,
            conflicted: 0,
            held: 0,
            known: 0,
            intents: 0,
        });
        rows.push((waiting, last));
    }
    if args.json {
        rows.iter().for_each(|(waiting, last)| print_json(waiting, last.as_ref()));
    } else {
        print(&rows, now);
        advise(&rows);
    }
    Ok(Exit::Done)
}

/// The newest run of a sync. Of a run that is said to be running its process may be dead: then claiming the sync succeeds
/// and says so in the store, as the next run would.
async fn last_run(store: &dyn Store, sync: &str, now: Timestamp) -> Result<Option<Run>, Failure> {
    let newest = async || Ok::<_, Failure>(store.runs(Some(sync), None, 1).await?.into_iter().next());
    let last = newest().await?;
    if last.as_ref().is_none_or(|run| run.status.is_final()) {
        return Ok(last);
    }
    match store.claim(sync, now).await {
        Ok(_lease) => newest().await,
        Err(Error::Busy { .. }) => Ok(last),
        Err(error) => Err(error.into()),
    }
}

fn print(rows: &[(Waiting, Option<Run>)], now: Timestamp) {
    let columns = ["sync", "last run", "when", "status", "result"].map(|name| (name, Set::Left));
    let numbers = ["known", "parked", "held", "conflicts", "open"].map(|name| (name, Set::Right));
    let mut table = Table::new(&[&columns[..], &numbers[..]].concat());
    for (waiting, last) in rows {
        let mut cells = vec![waiting.sync.clone()];
        cells.extend(match last {
            None => ["-", "never", "-", "-"].map(str::to_owned).to_vec(),
            Some(run) => vec![
                run.id.to_string(),
                show::relative(run.finished_at.unwrap_or(run.started_at), now),
                run.status.as_str().to_owned(),
                show::counts(&run.counts),
            ],
        });
        let counts = [waiting.known, waiting.parked, waiting.held, waiting.conflicted, waiting.intents];
        cells.extend(counts.map(show::count));
        table.row(cells);
    }
    table.lines().for_each(output::line);
}

fn advise(rows: &[(Waiting, Option<Run>)]) {
    for (waiting, last) in rows {
        let name = &waiting.sync;
        if let Some((code, message)) = last.as_ref().and_then(|run| run.error.as_ref()) {
            output::line(format!("{name}: stopped by {code}: {message}"));
        }
        if waiting.intents > 0 && last.as_ref().is_none_or(|run| run.status != Status::Running) {
            let open = show::some(waiting.intents, "operation was", "operations were");
            output::line(format!(
                "{name}: {open} announced and not answered; the next run looks at the destination before it goes on"
            ));
        }
        if waiting.parked + waiting.conflicted > 0 {
            output::line(format!("{name}: see `syncline parked list {name}`"));
        }
        if waiting.held > 0 {
            output::line(format!("{name}: see `syncline held list {name}`"));
        }
    }
}

fn print_json(waiting: &Waiting, last: Option<&Run>) {
    output::json(&json!({
        "sync": waiting.sync,
        "last_run": last,
        "known": waiting.known,
        "parked": waiting.parked,
        "held": waiting.held,
        "conflicted": waiting.conflicted,
        "open_intents": waiting.intents,
    }));
}
