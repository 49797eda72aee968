//! `syncline plan`

use serde_json::json;
use syncline_connect::database::NAMED_MAX;
use syncline_core::{
    plan::{FieldChange, Planned, PlannedAction},
    sync::Sync,
};
use syncline_engine::{Flow, load, plan::Summary, progress::Silent};

use crate::{
    args::{Global, PlanArgs},
    commands::{check, schedule, whom::Whom},
    exit::{Exit, Failure},
    output,
    project::{self, Opened},
    show,
    table::{Set, Table},
    wiring::Systems,
};

pub(crate) async fn run(global: &Global, args: &PlanArgs) -> Result<Exit, Failure> {
    let opened = project::open(global)?;
    let by = args.schedule.as_deref();
    let whom = Whom::of(&args.whom)?;
    let named = !args.syncs.is_empty();
    let syncs = whom.without_values(schedule::following(opened.syncs(&args.syncs)?, named, by)?, named);
    for sync in &syncs {
        whom.check(sync)?;
    }
    let systems = Systems::new(&opened.directory);
    let (store, _scratch) = opened.store_or_scratch().await?;
    let engine = systems.engine(store);
    let mut exit = Exit::Done;
    for sync in syncs {
        match Box::pin(one(&opened, &systems, &engine, sync, args, &whom)).await {
            Ok(summary) => {
                if args.exit_code && !summary.is_empty() {
                    exit = exit.and(Exit::Changes);
                }
            }
            // The other syncs may still be planned.
            Err(failure) => {
                failure.print();
                exit = exit.and(failure.exit);
            }
        }
    }
    Ok(exit)
}

async fn one(
    opened: &Opened,
    systems: &Systems,
    engine: &syncline_engine::Engine,
    sync: &Sync,
    args: &PlanArgs,
    whom: &Whom,
) -> Result<Summary, Failure> {
    let about = |failure: Failure| failure.about(&sync.name);
    let partition = whom.partition.clone();
    let asked = load::run::Options { mode: args.mode.map(Into::into), partition, ..Default::default() };
    let load_options = schedule::options(sync, args.schedule.as_deref(), asked)?;
    let (flow, found) = systems.open(&opened.loaded.project, sync, &whom.caller).await.map_err(about)?;
    let Some(flow) = flow else { return Err(check::refuse(opened, sync, &found)) };
    let mut kept = Vec::new();
    let mut seen = 0_u64;
    let mut each = |planned: Planned| {
        seen += 1;
        if args.json {
            print_json(&sync.name, &planned);
        } else if kept.len() < args.limit {
            kept.push(planned);
        }
    };
    let limit = if args.json { NAMED_MAX } else { args.limit.min(NAMED_MAX) };
    let planned = flow.plan(engine, &load_options, limit, &Silent, &mut each).await;
    let mut summary = planned.map_err(|e| about(e.into()))?;
    // of a table not all records are told one by one
    let told =
        [summary.create, summary.update, summary.delete, summary.hold, summary.park].iter().sum::<u64>();
    if matches!(flow, Flow::Load(_)) {
        seen = seen.max(told);
        summary.notes.dedup();
    }
    if args.json {
        output::json(&json!({ "sync": sync.name, "summary": summary }));
    } else {
        print_summary(sync, &summary);
        print_all(&kept);
        let left = seen.saturating_sub(kept.len() as u64);
        if left > 0 {
            let more = show::some(left, "more record", "more records");
            output::line(format!("… and {more}; --limit N shows more, --json all"));
        }
    }
    Ok(summary)
}

fn print_json(sync: &str, planned: &Planned) {
    let mut value = json!(planned);
    if let Some(object) = value.as_object_mut() {
        object.insert("sync".to_owned(), sync.into());
    }
    output::json(&value);
}

fn print_summary(sync: &Sync, summary: &Summary) {
    let reason = summary.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    output::line(format!("{}: {} run{reason}", output::paint_result("1", &sync.name), summary.mode));
    for note in &summary.notes {
        output::line(format!("  note: {note}"));
    }
    let rows = [
        ("create", summary.create),
        ("adopt", summary.adopt),
        ("update", summary.update),
        ("move", summary.moves),
        ("delete", summary.delete),
        ("hold", summary.hold),
        ("park", summary.park),
        ("ambiguous", summary.ambiguous),
        ("unchanged", summary.unchanged),
        ("skipped", summary.skipped),
        ("stranger", summary.strangers),
    ];
    let mut table = Table::new(&[("  action", Set::Left), ("records", Set::Right)]);
    for (word, n) in rows.into_iter().filter(|(_, n)| *n > 0) {
        table.row(vec![format!("  {word}"), show::count(n)]);
    }
    if table.is_empty() {
        output::line("  nothing to read");
    } else {
        table.lines().for_each(output::line);
    }
    if summary.is_empty() {
        output::line("Nothing to do: source and destination agree.");
    }
}

/// Prints records; a note that many of them share is said once.
fn print_all(records: &[Planned]) {
    let mut said = None;
    for planned in records {
        let note = planned.note.as_ref().filter(|note| said != Some(*note));
        print_planned(planned, note);
        said = planned.note.as_ref();
    }
}

fn print_planned(planned: &Planned, note: Option<&String>) {
    let (sign, colour) = match planned.action {
        PlannedAction::Create => ("+", "32"),
        PlannedAction::Adopt => ("=", "32"),
        PlannedAction::Update => ("~", "33"),
        PlannedAction::Move => (">", "33"),
        PlannedAction::Delete => ("-", "31"),
        PlannedAction::Hold | PlannedAction::Park | PlannedAction::Ambiguous => ("!", "35"),
        PlannedAction::Stranger => ("?", "2"),
    };
    let from = planned.from.as_ref().map(|from| format!("{from} → ")).unwrap_or_default();
    let note = note.map(|note| format!(" ({note})")).unwrap_or_default();
    let what = format!("{sign} {} {}", planned.action.as_str(), planned.key);
    let place = if planned.stream.is_empty() { String::new() } else { format!("  {from}{}", planned.stream) };
    output::line(format!("{}{place}{note}", output::paint_result(colour, &what)));
    print_fields(&planned.fields, planned.action != PlannedAction::Create);
}

/// One line per field: `  Status: "Active" → "Closed"`; of new records only the new value.
pub(crate) fn print_fields(fields: &[FieldChange], with_old: bool) {
    let width = fields.iter().map(|change| change.field.chars().count()).max().unwrap_or(0);
    for change in fields {
        let old = if with_old { format!("{} → ", show::value(&change.old)) } else { String::new() };
        output::line(format!("    {:width$}  {old}{}", change.field, show::value(&change.new)));
    }
}
