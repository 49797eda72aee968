//! `syncline pause` and `syncline unpause`

use serde_json::json;
use syncline_spec::did_you_mean;
use syncline_store::service::{NewEvent, ServiceStore, Subject, SubjectKind};

use crate::{
    args::Global,
    exit::{Exit, Failure},
    output,
    project::{self, Opened},
    service::args::PauseArgs,
    wiring,
};

/// Pauses or lets go again: `paused` tells which.
pub(crate) async fn run(global: &Global, args: &PauseArgs, paused: bool) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let store = opened.store().await?;
    let subject = subject(&opened, &*store, args).await?;
    let schedule = schedule(&opened, &subject, args)?;
    let now = wiring::clock().now();
    let changed = match paused {
        true => store.pause(&subject, schedule, now).await?,
        false => store.resume(&subject, schedule, now).await?,
    };
    let what = match schedule {
        Some(schedule) => format!("{subject}, schedule {schedule:?}"),
        None => subject.to_string(),
    };
    if !changed {
        output::line(format!("{what}: {} already", if paused { "paused" } else { "not paused" }));
        return Ok(Exit::Done);
    }
    let (kind, word) =
        if paused { ("schedule.paused", "paused") } else { ("schedule.resumed", "not paused any more") };
    let message = format!("{what}: {word}");
    output::line(&message);
    if paused {
        output::chat(
            "What runs goes on to its end; what is asked for is still run. `syncline unpause` lets the schedule go on.",
        );
    } else {
        output::chat("Instants that passed meanwhile are not made up for; `syncline run` does that at once.");
    }
    let data = json!({ "schedule": schedule, "by": "cli" });
    let event = NewEvent {
        at: now,
        kind: kind.to_owned(),
        subject: Some(subject),
        run: None,
        correlation: None,
        message,
        data,
    };
    store.append_events(&[event]).await?;
    Ok(Exit::Done)
}

/// The sync or chain of this name: as the project has it, or as a service has it from elsewhere.
async fn subject(opened: &Opened, store: &dyn ServiceStore, args: &PauseArgs) -> Result<Subject, Failure> {
    let project = &opened.loaded.project;
    let syncs = project.syncs.iter().map(|sync| Subject::sync(&sync.name));
    let chains = project.chains.iter().map(|chain| Subject::chain(&chain.name));
    let mut known: Vec<Subject> = syncs.chain(chains).collect();
    known.extend(store.schedule_states().await?.into_iter().map(|state| state.subject));
    known.retain(|subject| subject.kind == SubjectKind::Chain || !args.chain);
    known.sort();
    known.dedup();
    let of_name: Vec<&Subject> = known.iter().filter(|subject| subject.name == args.name).collect();
    match of_name.as_slice() {
        [subject] => Ok((*subject).clone()),
        [] => {
            let names: Vec<&str> = known.iter().map(|subject| subject.name.as_str()).collect();
            let failure = Failure::usage(format!("there is no sync and no chain {:?}", args.name));
            Err(match did_you_mean(&args.name, &names, "known") {
                Some(hint) => failure.hint(hint),
                None => failure,
            })
        }
        _ => {
            Err(Failure::usage(format!("{:?} is a sync and a chain", args.name))
                .hint("--chain means the chain"))
        }
    }
}

/// The label of the schedule that is meant, where one is.
fn schedule<'a>(opened: &Opened, subject: &Subject, args: &'a PauseArgs) -> Result<Option<&'a str>, Failure> {
    let Some(wanted) = args.schedule.as_deref() else { return Ok(None) };
    let project = &opened.loaded.project;
    let schedules = match subject.kind {
        SubjectKind::Sync => project.sync(&subject.name).map(|sync| &sync.schedules),
        SubjectKind::Chain => project.chain(&subject.name).map(|chain| &chain.schedules),
        SubjectKind::Backfill => None,
    };
    // What the project does not define a service may have from elsewhere.
    let Some(schedules) = schedules else { return Ok(Some(wanted)) };
    let labels: Vec<String> = schedules.iter().map(syncline_core::schedule::Schedule::label).collect();
    if labels.iter().any(|label| label == wanted) {
        return Ok(Some(wanted));
    }
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let failure = Failure::usage(format!("{subject} has no schedule {wanted:?}"));
    Err(match did_you_mean(wanted, &labels, "its schedules") {
        Some(hint) => failure.hint(hint),
        None => failure,
    })
}
