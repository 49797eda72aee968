//! `syncline show`

use syncline_store::Run;

use super::runs::took;
use crate::{
    args::{Global, ShowArgs},
    exit::{Exit, Failure},
    output, project, show,
};

pub(crate) async fn run(global: &Global, args: &ShowArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let Some(store) = opened.existing_store().await? else { return Err(opened.nothing_yet()) };
    let Some(run) = store.run(args.run).await? else {
        return Err(
            Failure::usage(format!("there is no run {}", args.run)).hint("`syncline runs` lists them")
        );
    };
    if args.json {
        output::json(&run);
    } else {
        print(&run);
    }
    Ok(Exit::Done)
}

fn print(run: &Run) {
    let line = |name: &str, value: &str| output::line(format!("{name:10} {value}"));
    line("run", &run.id.to_string());
    line("sync", &run.sync);
    let reason = run.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    line("mode", &format!("{}{reason}", run.mode));
    line("status", run.status.as_str());
    line("started", &show::time(run.started_at));
    line("took", &took(run));
    line("account", &show::account(&run.counts));
    for (stream, counts) in &run.by_stream {
        line("", &format!("{stream}: {}", show::counts(counts)));
    }
    if let Some((code, message)) = &run.error {
        line("error", &format!("{code}: {message}"));
    }
    for note in &run.notes {
        line("note", note);
    }
}
