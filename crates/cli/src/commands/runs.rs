//! `syncline runs`

use serde_json::json;
use syncline_core::partition::Partition;
use syncline_store::Run;

use crate::{
    args::{Global, RunsArgs},
    exit::{Exit, Failure},
    output, project, show,
    table::{Set, Table},
};

pub(crate) async fn run(global: &Global, args: &RunsArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let Some(store) = opened.existing_store().await? else { return Err(opened.nothing_yet()) };
    let runs = store.runs(args.sync.as_deref(), args.status.map(Into::into), args.limit).await?;
    if args.json {
        runs.iter().map(shown).for_each(|run| output::json(&run));
        return Ok(Exit::Done);
    }
    if runs.is_empty() {
        output::line("no such runs");
        return Ok(Exit::Done);
    }
    let columns = [("run", Set::Right), ("sync", Set::Left), ("started", Set::Left), ("took", Set::Right)];
    let rest = ["mode", "status", "result"].map(|name| (name, Set::Left));
    let mut table = Table::new(&[&columns[..], &rest[..]].concat());
    for run in &runs {
        table.row(vec![
            run.id.to_string(),
            Partition::sync_of(&run.sync).to_owned(),
            show::time(run.started_at),
            took(run),
            run.mode.clone(),
            run.status.as_str().to_owned(),
            show::counts(&run.counts),
        ]);
    }
    table.lines().for_each(output::line);
    Ok(Exit::Done)
}

/// A run as JSON: its sync by the name that users gave it, and the name under which its partition is remembered.
fn shown(run: &Run) -> serde_json::Value {
    let mut shown = json!(run);
    let sync = Partition::sync_of(&run.sync);
    if let (true, Some(fields)) = (sync != run.sync, shown.as_object_mut()) {
        fields.insert("partition".to_owned(), run.sync.clone().into());
        fields.insert("sync".to_owned(), sync.into());
    }
    shown
}

/// How long a run took.
pub(crate) fn took(run: &Run) -> String {
    run.finished_at.map_or_else(|| "-".to_owned(), |end| show::duration(show::between(run.started_at, end)))
}
