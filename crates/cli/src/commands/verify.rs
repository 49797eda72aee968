//! `syncline verify`

use serde_json::json;
use syncline_connect::registry::Caller;
use syncline_core::{
    plan::{FieldChange, Fields, diff},
    sync::Sync,
};
use syncline_engine::{Bound, Engine, Flow, load, verify};
use syncline_store::{Comparison, Drift, DriftKind};

use super::{
    plan::print_fields,
    run::{open, watched},
    verify_tables,
};
use crate::{
    args::{Global, VerifyArgs},
    exit::{Exit, Failure},
    output,
    project::{self, Opened},
    show,
    signals::{Cancel, unless_cancelled},
    table::{Set, Table},
    wiring::Systems,
};

/// Most findings of each kind that one repair takes in hand; the next one takes the rest.
const REPAIRED_MAX: usize = 100_000;

const KINDS: [DriftKind; 5] =
    [DriftKind::Missing, DriftKind::Edited, DriftKind::Duplicate, DriftKind::Orphan, DriftKind::Stranger];

pub(crate) async fn run(global: &Global, args: &VerifyArgs, cancel: &Cancel) -> Result<Exit, Failure> {
    let opened = project::open(global)?;
    let syncs = opened.syncs(&args.syncs)?;
    let systems = Systems::new(&opened.directory);
    let (store, _scratch) = opened.store_or_scratch().await?;
    let engine = systems.engine(store);
    let mut exit = Exit::Done;
    for sync in syncs {
        let ended = Box::pin(one(&opened, &systems, &engine, sync, args, cancel)).await;
        exit = exit.and(ended.unwrap_or_else(|failure| unknown(sync, args.json, failure)));
        if *cancel.borrow() {
            break;
        }
    }
    Ok(exit)
}

/// A destination that cannot be read says nothing about its records.
fn unknown(sync: &Sync, as_json: bool, failure: Failure) -> Exit {
    if as_json {
        let unknown = json!({ "error": failure.what, "hint": failure.hint });
        output::json(&json!({ "sync": sync.name, "unknown": unknown }));
    }
    let exit = failure.exit;
    if exit == Exit::Usage {
        failure.print();
    } else {
        failure.about("unknown").print();
    }
    exit
}

async fn one(
    opened: &Opened,
    systems: &Systems,
    engine: &Engine,
    sync: &Sync,
    args: &VerifyArgs,
    cancel: &Cancel,
) -> Result<Exit, Failure> {
    let flow = open(opened, systems, sync, &Caller::default(), cancel).await?;
    let bound = match &flow {
        Flow::Push(bound) => bound,
        Flow::Load(table) => return Box::pin(verify_tables::one(engine, &flow, table, args, cancel)).await,
    };
    let about = |failure: Failure| failure.about(&sync.name);
    let limit = if args.repair { REPAIRED_MAX.max(args.limit) } else { args.limit };
    let comparing = async { Ok(verify::verify(engine, bound, limit).await?) };
    let comparison = Box::pin(unless_cancelled(cancel, comparing)).await.map_err(about)?;
    if args.json {
        print_json(bound, &comparison);
    } else {
        print(bound, &comparison, args.limit);
    }
    let found = drifted(&comparison);
    if found == 0 {
        return Ok(Exit::Done);
    }
    let repairable = total(&comparison, DriftKind::Missing) + total(&comparison, DriftKind::Edited);
    if !args.repair || repairable == 0 {
        if repairable > 0 {
            output::chat(format!(
                "`syncline verify --repair {}` writes what was edited or is missing",
                sync.name
            ));
        }
        return Ok(Exit::Partial);
    }
    let marked = verify::mark(engine, bound, &comparison.drift).await.map_err(|error| about(error.into()))?;
    output::chat(format!("{}: {} to be repaired", sync.name, show::some(marked, "record is", "records are")));
    let options = load::run::Options { only_parked: true, ..Default::default() };
    let exit = Box::pin(watched(engine, &flow, &options, args.json, cancel)).await?;
    Ok(if found > marked { exit.and(Exit::Partial) } else { exit })
}

fn total(comparison: &Comparison, kind: DriftKind) -> u64 {
    comparison.totals.get(&kind).copied().unwrap_or(0)
}

/// Findings that are wrong. Strangers are other people's records, which are theirs.
fn drifted(comparison: &Comparison) -> u64 {
    KINDS.into_iter().filter(|kind| *kind != DriftKind::Stranger).map(|kind| total(comparison, kind)).sum()
}

/// The word for a kind and what it means.
fn words(kind: DriftKind) -> (&'static str, &'static str) {
    match kind {
        DriftKind::Missing => ("missing", "known to Syncline, gone from the destination"),
        DriftKind::Edited => ("edited", "changed in the destination since it was written"),
        DriftKind::Duplicate => ("duplicate", "a second item with the same identity; remove one by hand"),
        DriftKind::Orphan => ("orphan", "carries an identity that Syncline does not know"),
        DriftKind::Stranger => ("stranger", "not ours; left alone"),
    }
}

fn print(bound: &Bound, comparison: &Comparison, limit: usize) {
    let name = output::paint_result("1", &bound.sync.name);
    let agree = show::some(comparison.equal, "record agrees", "records agree");
    if comparison.totals.values().all(|n| *n == 0) {
        return output::line(format!("{name}: no drift; {agree}"));
    }
    output::line(format!("{name}: {agree}"));
    let mut table = Table::new(&[("  drift", Set::Left), ("records", Set::Right), ("", Set::Left)]);
    for kind in KINDS {
        let (word, meaning) = words(kind);
        let n = total(comparison, kind);
        if n > 0 {
            table.row(vec![format!("  {word}"), show::count(n), meaning.to_owned()]);
        }
    }
    table.lines().for_each(output::line);
    for kind in KINDS {
        let found = comparison.drift.iter().filter(|drift| drift.kind == kind);
        found.take(limit).for_each(|drift| print_drift(bound, drift));
        let left = total(comparison, kind).saturating_sub(limit as u64);
        if left > 0 {
            output::line(format!("… and {} {}; --limit N shows more", show::count(left), words(kind).0));
        }
    }
}

fn print_drift(bound: &Bound, drift: &Drift) {
    let colour = if drift.kind == DriftKind::Stranger { "2" } else { "33" };
    let what = format!("{} {}", words(drift.kind).0, drift.label);
    let item =
        if drift.label == drift.record_id { String::new() } else { format!(" item {}", drift.record_id) };
    let place = stream_name(bound, &drift.stream);
    output::line(format!("{}  {place}{item}", output::paint_result(colour, &what)));
    print_fields(&changes(drift), true);
}

/// What was written and what is there instead, for records that are on both sides.
fn changes(drift: &Drift) -> Vec<FieldChange> {
    if drift.kind != DriftKind::Edited {
        return Vec::new();
    }
    // A field that is absent on either side is empty there.
    let mut found: Fields = drift.found.clone();
    for field in drift.expected.keys() {
        found.entry(field.clone()).or_default();
    }
    diff(&drift.expected, &found)
}

fn stream_name<'b>(bound: &'b Bound, id: &'b str) -> &'b str {
    bound.mapping.stream_of(id).map_or(id, |index| &bound.mapping.streams[index].name)
}

fn print_json(bound: &Bound, comparison: &Comparison) {
    for drift in &comparison.drift {
        output::json(&json!({
            "sync": bound.sync.name,
            "drift": drift.kind,
            "key": drift.label,
            "identity": drift.identity.map(|identity| identity.stamp()),
            "stream": stream_name(bound, &drift.stream),
            "record_id": drift.record_id,
            "fields": changes(drift),
        }));
    }
    let totals: serde_json::Map<String, serde_json::Value> =
        KINDS.into_iter().map(|kind| (words(kind).0.to_owned(), total(comparison, kind).into())).collect();
    output::json(
        &json!({ "sync": bound.sync.name, "summary": { "equal": comparison.equal, "drift": totals } }),
    );
}
