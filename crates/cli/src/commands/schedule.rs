//! What `--schedule NAME` makes of a run or of its plan.

use std::collections::BTreeSet;

use syncline_core::sync::{Schedule, Sync};
use syncline_engine::{load, service::options::by_schedule};
use syncline_spec::did_you_mean;

use crate::{exit::Failure, output, show};

/// The syncs that are run when `schedule` is asked for: all of them where somebody named them one by one, else those that
/// have it and did not switch it off.
pub(crate) fn following<'s>(
    syncs: Vec<&'s Sync>,
    by_name: bool,
    schedule: Option<&str>,
) -> Result<Vec<&'s Sync>, Failure> {
    let Some(name) = schedule.filter(|_| !by_name) else { return Ok(syncs) };
    let (following, others): (Vec<_>, Vec<_>) =
        syncs.into_iter().partition(|sync| find(sync, name).is_some_and(|s| s.enabled));
    if following.is_empty() {
        let known: BTreeSet<&str> = others.iter().flat_map(|sync| names(sync)).collect();
        let what = format!("no sync has a schedule {name:?} that is switched on");
        return Err(unknown(what, name, &known.into_iter().collect::<Vec<_>>()));
    }
    if !others.is_empty() {
        let left_out = show::some(others.len() as u64, "sync is left out", "syncs are left out");
        let named: Vec<&str> = others.iter().map(|sync| sync.name.as_str()).collect();
        output::chat(format!("schedule {name:?}: {left_out}, without it: {}", named.join(", ")));
    }
    Ok(following)
}

/// How a sync is run: as its schedule says, and what was typed, `asked`, goes before that.
pub(crate) fn options(
    sync: &Sync,
    schedule: Option<&str>,
    asked: load::run::Options,
) -> Result<load::run::Options, Failure> {
    let Some(name) = schedule else { return Ok(asked) };
    let Some(schedule) = find(sync, name) else {
        let known: Vec<&str> = names(sync).collect();
        return Err(unknown(format!("{}: there is no schedule {name:?}", sync.name), name, &known));
    };
    if !schedule.enabled {
        let failure = Failure::usage(format!("{}: schedule {name:?} is switched off", sync.name));
        return Err(failure.hint("set enabled: true, or run without --schedule"));
    }
    Ok(by_schedule(schedule, asked))
}

fn find<'s>(sync: &'s Sync, name: &str) -> Option<&'s Schedule> {
    sync.schedules.iter().find(|schedule| schedule.name.as_deref() == Some(name))
}

fn names(sync: &Sync) -> impl Iterator<Item = &str> {
    sync.schedules.iter().filter_map(|schedule| schedule.name.as_deref())
}

fn unknown(what: String, name: &str, known: &[&str]) -> Failure {
    let failure = Failure::usage(what);
    match did_you_mean(name, known, "its schedules") {
        Some(hint) => failure.hint(hint),
        None => failure.hint("give its schedules names: schedule: [{ name: hourly, every: 1h }]"),
    }
}
