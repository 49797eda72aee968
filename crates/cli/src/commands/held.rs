//! `syncline held`

use serde_json::json;
use syncline_store::Held;

use crate::{
    args::{Global, HeldApproveArgs, HeldCommand, HeldRejectArgs, WaitingListArgs},
    exit::{Exit, Failure},
    output, project, show,
    table::{Set, Table},
    wiring,
};

pub(crate) async fn run(global: &Global, command: HeldCommand) -> Result<Exit, Failure> {
    match command {
        HeldCommand::List(args) => list(global, &args).await,
        HeldCommand::Approve(args) => approve(global, &args).await,
        HeldCommand::Reject(args) => reject(global, &args).await,
    }
}

async fn list(global: &Global, args: &WaitingListArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let Some(store) = opened.existing_store().await? else { return Err(opened.nothing_yet()) };
    let held = store.held(args.sync.as_deref(), args.limit).await?;
    if args.json {
        held.iter().for_each(print_json);
        return Ok(Exit::Done);
    }
    if held.is_empty() {
        output::line("no deletes are held");
        return Ok(Exit::Done);
    }
    let now = wiring::clock().now();
    let columns = ["sync", "key", "item", "held", "why"].map(|name| (name, Set::Left));
    let mut table = Table::new(&columns);
    for record in &held {
        table.row(vec![
            record.sync.clone(),
            record.label.clone(),
            record.record_id.clone(),
            show::relative(record.since, now),
            record.reason.clone(),
        ]);
    }
    table.lines().for_each(output::line);
    let waiting = store.waiting().await?;
    let of = waiting.iter().filter(|w| args.sync.as_ref().is_none_or(|sync| *sync == w.sync));
    for waiting in of.filter(|w| w.held > 0) {
        let (sync, n) = (&waiting.sync, waiting.held);
        let deletes = show::some(n, "delete is", "deletes are");
        output::chat(format!(
            "{sync}: {deletes} held; `syncline held approve {sync} --max {n}` lets them go, `syncline held reject {sync}` keeps the records"
        ));
    }
    Ok(Exit::Done)
}

fn print_json(record: &Held) {
    output::json(&json!({
        "sync": record.sync,
        "key": record.label,
        "identity": record.identity.stamp(),
        "stream": record.stream,
        "record_id": record.record_id,
        "reason": record.reason,
        "since": record.since,
        "run": record.run,
    }));
}

async fn approve(global: &Global, args: &HeldApproveArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let store = opened.store_of(&args.sync).await?;
    let now = wiring::clock().now();
    let lease = store.claim(&args.sync, now).await?;
    store.approve(&lease, args.max, now).await?;
    output::line(format!(
        "{}: approved; the next full run deletes up to {}. If more are gone by then, all are held again.",
        args.sync,
        show::some(args.max, "record", "records")
    ));
    output::chat(format!("At once: syncline run --mode full {}", args.sync));
    Ok(Exit::Done)
}

async fn reject(global: &Global, args: &HeldRejectArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let store = opened.store_of(&args.sync).await?;
    let waiting = store.waiting().await?;
    let n = waiting.iter().find(|w| w.sync == args.sync).map_or(0, |w| w.held);
    if n == 0 {
        output::line(format!("{}: no deletes are held", args.sync));
        return Ok(Exit::Done);
    }
    let records = show::some(n, "record", "records");
    if !args.yes {
        let question =
            format!("Keep {records} of {:?} in the destination, outside of Syncline's care?", args.sync);
        match output::confirmed(&question) {
            Some(true) => {}
            Some(false) => return Err(Failure::failed("nothing was rejected")),
            None => {
                return Err(Failure::usage(format!(
                    "nothing was rejected: {records} would leave the ledger"
                ))
                .hint("--yes does it without asking"));
            }
        }
    }
    let lease = store.claim(&args.sync, wiring::clock().now()).await?;
    let rejected = store.reject(&lease).await?;
    let records = show::some(rejected, "record stays", "records stay");
    output::line(format!("{}: {records} where they are; Syncline will not touch them again", args.sync));
    Ok(Exit::Done)
}
