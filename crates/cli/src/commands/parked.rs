//! `syncline parked`

use std::collections::BTreeSet;

use serde_json::json;
use syncline_core::identity::Identity;
use syncline_store::{IntentKind, Parked, Store};

use crate::{
    args::{Global, ParkedCommand, ParkedDropArgs, ParkedRetryArgs, WaitingListArgs},
    exit::{Exit, Failure},
    output, project, show,
    table::{Set, Table},
    wiring,
};

/// Most parked records that are searched for a key.
const SEARCHED_MAX: usize = 1_000_000;

pub(crate) async fn run(global: &Global, command: ParkedCommand) -> Result<Exit, Failure> {
    match command {
        ParkedCommand::List(args) => list(global, &args).await,
        ParkedCommand::Retry(args) => retry(global, &args).await,
        ParkedCommand::Drop(args) => drop_parked(global, &args).await,
    }
}

async fn list(global: &Global, args: &WaitingListArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let Some(store) = opened.existing_store().await? else { return Err(opened.nothing_yet()) };
    let parked = store.parked(args.sync.as_deref(), None, args.limit).await?;
    if args.json {
        parked.iter().for_each(print_json);
        return Ok(Exit::Done);
    }
    if parked.is_empty() {
        output::line("nothing is parked");
        return Ok(Exit::Done);
    }
    let now = wiring::clock().now();
    let left = ["sync", "key", "to do", "code"].map(|name| (name, Set::Left));
    let right = [("attempts", Set::Right), ("next try", Set::Left), ("what happened", Set::Left)];
    let mut table = Table::new(&[&left[..], &right[..]].concat());
    for record in &parked {
        let due =
            if record.retry_at <= now { "next run".to_owned() } else { show::relative(record.retry_at, now) };
        table.row(vec![
            record.sync.clone(),
            record.label.clone(),
            record.kind.map_or("-", IntentKind::as_str).to_owned(),
            record.code.clone(),
            record.attempts.to_string(),
            due,
            record.message.clone(),
        ]);
    }
    table.lines().for_each(output::line);
    let waiting = store.waiting().await?;
    let waiting = waiting.iter().filter(|w| args.sync.as_ref().is_none_or(|sync| *sync == w.sync));
    let all: u64 = waiting.map(|w| w.parked + w.conflicted).sum();
    let left = all.saturating_sub(parked.len() as u64);
    if left > 0 {
        output::line(format!("… and {}; --limit N shows more", show::some(left, "more", "more")));
    }
    Ok(Exit::Done)
}

fn print_json(record: &Parked) {
    output::json(&json!({
        "sync": record.sync,
        "key": record.label,
        "identity": record.identity.stamp(),
        "kind": record.kind,
        "code": record.code,
        "message": record.message,
        "attempts": record.attempts,
        "first_at": record.first_at,
        "last_at": record.last_at,
        "retry_at": record.retry_at,
        "run": record.run,
    }));
}

async fn retry(global: &Global, args: &ParkedRetryArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let store = opened.store_of(&args.sync).await?;
    let identities = identities(&*store, &args.sync, &args.keys).await?;
    let now = wiring::clock().now();
    let lease = store.claim(&args.sync, now).await?;
    let due = store.retry_parked(&lease, identities.as_deref(), now).await?;
    let what = show::some(due, "parked record is", "parked records are");
    output::line(format!("{}: {what} due now", args.sync));
    if due > 0 {
        output::chat(format!("The next run tries them; at once: syncline run --parked {}", args.sync));
    }
    Ok(Exit::Done)
}

async fn drop_parked(global: &Global, args: &ParkedDropArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let store = opened.store_of(&args.sync).await?;
    let identities = identities(&*store, &args.sync, &args.keys).await?;
    let waiting = store.waiting().await?;
    let all = waiting.iter().find(|w| w.sync == args.sync).map_or(0, |w| w.parked + w.conflicted);
    let n = identities.as_ref().map_or(all, |identities| identities.len() as u64);
    if n == 0 {
        output::line(format!("{}: nothing is parked", args.sync));
        return Ok(Exit::Done);
    }
    let records = show::some(n, "parked record", "parked records");
    if !args.yes {
        match output::confirmed(&format!("Forget {records} of {:?}?", args.sync)) {
            Some(true) => {}
            Some(false) => return Err(Failure::failed("nothing was dropped")),
            None => {
                return Err(Failure::usage(format!("nothing was dropped: {records} would be forgotten"))
                    .hint("--yes does it without asking"));
            }
        }
    }
    let lease = store.claim(&args.sync, wiring::clock().now()).await?;
    let dropped = store.drop_parked(&lease, identities.as_deref()).await?;
    let records = show::some(dropped, "parked record is", "parked records are");
    output::line(format!("{}: {records} forgotten; source and destination were not touched", args.sync));
    Ok(Exit::Done)
}

/// The identities of the records with these keys; `None`: all.
async fn identities(
    store: &dyn Store,
    sync: &str,
    keys: &[String],
) -> Result<Option<Vec<Identity>>, Failure> {
    if keys.is_empty() {
        return Ok(None);
    }
    let parked = store.parked(Some(sync), None, SEARCHED_MAX).await?;
    let known: BTreeSet<&str> = parked.iter().map(|record| record.label.as_str()).collect();
    if let Some(missing) = keys.iter().find(|key| !known.contains(key.as_str())) {
        return Err(Failure::usage(format!("sync {sync:?} has no parked record with the key {missing:?}"))
            .hint(format!("`syncline parked list {sync}` shows the keys")));
    }
    let wanted = parked.iter().filter(|record| keys.contains(&record.label));
    Ok(Some(wanted.map(|record| record.identity).collect()))
}
