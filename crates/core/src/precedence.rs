//! Several schedules of one sync: which one runs when more than one is due. Heavier satisfies lighter, because a run that
//! reads everything has read what changed.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    calendar::Timing,
    schedule::Schedule,
    sync::{Mode, Sync, Write},
};

/// How much a run by a schedule does; the order is that of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Reads what changed.
    Incremental,
    /// Reads everything.
    Full,
    /// Reads everything, and takes the place of what was there.
    Replace,
}

impl Weight {
    /// The number that is stored with an occurrence: higher is heavier.
    pub fn number(self) -> i32 {
        match self {
            Self::Incremental => 0,
            Self::Full => 1,
            Self::Replace => 2,
        }
    }
}

/// How much a run of a sync by one of its schedules does.
pub fn weight(schedule: &Schedule, sync: &Sync) -> Weight {
    let full = sync.write == Write::Replace || schedule.mode.unwrap_or(sync.mode) == Mode::Full;
    match (full, schedule.prepurge || sync.write == Write::Replace) {
        (false, _) => Weight::Incremental,
        (true, false) => Weight::Full,
        (true, true) => Weight::Replace,
    }
}

/// Which schedule runs, and which others have nothing left to do then. Both are places in [`Sync::schedules`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// It runs. Not among the due ones when the sync never succeeded: then it is the heaviest of all that are in force.
    pub run: usize,
    /// Due, and satisfied by that run.
    pub satisfied: Vec<usize>,
}

/// Of the schedules that are due (places in [`Sync::schedules`]), the one that runs: the heaviest, and of equally heavy
/// ones that with the longer interval. A sync that never succeeded runs by the heaviest that is in force. `None` when
/// nothing is due.
pub fn choose(sync: &Sync, due: &[usize], succeeded: bool, now: Timestamp) -> Option<Choice> {
    let in_force = |at: &usize| sync.schedules.get(*at).is_some_and(|schedule| schedule.enabled);
    let due: Vec<usize> = due.iter().copied().filter(in_force).collect();
    due.first()?;
    let all: Vec<usize> = (0..sync.schedules.len()).filter(in_force).collect();
    let candidates = if succeeded { &due } else { &all };
    // Nothing to compare, as with most syncs: the interval of a cron takes a while to find.
    let run = match candidates.as_slice() {
        [only] => *only,
        _ => *candidates.iter().min_by_key(|at| std::cmp::Reverse(rank(sync, **at, now)))?,
    };
    Some(Choice { run, satisfied: due.into_iter().filter(|at| *at != run).collect() })
}

fn rank(sync: &Sync, at: usize, now: Timestamp) -> (Option<Weight>, Duration) {
    let schedule = sync.schedules.get(at);
    let timing = schedule.and_then(|schedule| Timing::of(schedule).ok());
    (schedule.map(|schedule| weight(schedule, sync)), timing.map_or(Duration::ZERO, |t| t.interval(now)))
}
