//! What holds now, of each sync and chain: pure, from facts that are stored anyway.

use std::time::Duration;

use jiff::Timestamp;
use syncline_core::{
    alert::{AlertKind, AlertRule},
    chain::{ChainStatus, StepStatus},
    run::Status,
    schedule::Schedule,
};
use syncline_store::{
    Run, RunId,
    service::{ChainRun, Subject, Summary},
};

use crate::service::health::Health;

/// Full runs that a new one is compared with, at most.
pub const FULL_RUNS: usize = 10;
/// Fewer of them say nothing.
const FULL_RUNS_LEAST: usize = 3;

/// What is known of a sync or chain.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    /// Which.
    pub subject: Subject,
    /// Its schedules.
    pub schedules: &'a [Schedule],
    /// How well it is.
    pub health: Health,
    /// What it did.
    pub past: Past<'a>,
}

/// What a sync or chain did.
#[derive(Debug, Clone)]
pub enum Past<'a> {
    /// A sync.
    Sync {
        /// Where it stands; `None`: it never ran.
        summary: Option<&'a Summary>,
        /// Records read by its complete full runs, newest first, with the run.
        full: &'a [(RunId, u64)],
    },
    /// A chain: its runs, newest first.
    Chain(&'a [ChainRun]),
}

/// Whether something holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// It does.
    Yes(Condition),
    /// It does not.
    No {
        /// The run that shows it.
        run: Option<RunId>,
    },
    /// Nothing new is known: what held before holds.
    Unknown,
}

/// What holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// The run that shows it.
    pub run: Option<RunId>,
    /// What, in one sentence.
    pub what: String,
    /// What to do, in one sentence.
    pub advice: String,
}

/// Whether `kind` holds of a sync or chain. `served`: since when it is served.
pub fn holds(
    rule: &AlertRule,
    kind: AlertKind,
    known: &Known<'_>,
    served: Timestamp,
    now: Timestamp,
) -> Holds {
    match (&known.past, kind) {
        (_, AlertKind::Late) => late(known, served, now),
        (Past::Sync { summary: None, .. }, _) => Holds::No { run: None },
        (Past::Sync { summary: Some(summary), full }, kind) => of_sync(rule, kind, summary, full),
        (Past::Chain(runs), kind) => of_chain(kind, runs),
    }
}

fn of_sync(rule: &AlertRule, kind: AlertKind, summary: &Summary, full: &[(RunId, u64)]) -> Holds {
    match kind {
        AlertKind::Failed => failed(summary),
        AlertKind::Partial => match summary.last.as_ref() {
            Some(run) if run.status == Status::Partial => Holds::Yes(partial(run)),
            Some(run) if run.status == Status::Succeeded => Holds::No { run: Some(run.id) },
            _ => Holds::Unknown,
        },
        AlertKind::Parked if summary.parked > rule.parked_max => Holds::Yes(Condition {
            since: None,
            run: summary.last.as_ref().map(|run| run.id),
            what: format!("{} records are parked; {} are allowed.", summary.parked, rule.parked_max),
            advice: format!("See why with `syncline parked list {}`.", summary.sync),
        }),
        AlertKind::Held if summary.held > 0 => Holds::Yes(Condition {
            since: None,
            run: summary.last.as_ref().map(|run| run.id),
            what: format!("{} deletes wait for approval.", summary.held),
            advice: format!(
                "Look at them with `syncline held list {0}`, then `syncline held approve {0}` or `reject`.",
                summary.sync
            ),
        }),
        AlertKind::Parked | AlertKind::Held => Holds::No { run: summary.last.as_ref().map(|run| run.id) },
        AlertKind::Anomaly => anomaly(rule.anomaly_percent, full),
        AlertKind::Late => Holds::Unknown,
    }
}

fn failed(summary: &Summary) -> Holds {
    let Some(run) = &summary.last else { return Holds::No { run: None } };
    match run.status {
        Status::Failed => {
            let (code, why) =
                run.error.as_ref().map_or(("unknown", "no reason was recorded"), |(code, message)| {
                    (code.as_str(), message.as_str())
                });
            let times = if summary.failures > 1 {
                format!(", the {} time in a row", ordinal(summary.failures))
            } else {
                String::new()
            };
            Holds::Yes(Condition {
                since: run.finished_at,
                run: Some(run.id),
                what: format!("Run {} failed{times}: {why} ({code}).", run.id),
                advice: advice(run.id),
            })
        }
        Status::Succeeded | Status::Partial => Holds::No { run: Some(run.id) },
        // under way, or stopped from outside: the next run that ends says more
        Status::Queued | Status::Running | Status::Cancelled | Status::Interrupted => Holds::Unknown,
    }
}

fn partial(run: &Run) -> Condition {
    let counts = &run.counts;
    let left = [(counts.parked, "parked"), (counts.held, "held"), (counts.conflicted, "conflicted")];
    let left: Vec<_> =
        left.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    Condition {
        since: run.finished_at,
        run: Some(run.id),
        what: format!("Run {} left records over: {}.", run.id, left.join(", ")),
        advice: advice(run.id),
    }
}

/// The newest full run beside the median of those before.
fn anomaly(percent: f64, full: &[(RunId, u64)]) -> Holds {
    let Some(((run, read), before)) = full.split_first() else { return Holds::Unknown };
    let mut before: Vec<u64> = before.iter().take(FULL_RUNS).map(|(_, read)| *read).collect();
    if before.len() < FULL_RUNS_LEAST {
        return Holds::Unknown;
    }
    before.sort_unstable();
    let middle = before.len() / 2;
    let median = if before.len().is_multiple_of(2) {
        (before[middle - 1] as f64 + before[middle] as f64) / 2.0
    } else {
        before[middle] as f64
    };
    let off = (*read as f64 - median).abs();
    if off <= median * percent / 100.0 {
        return Holds::No { run: Some(*run) };
    }
    let how = if (*read as f64) < median { "fewer" } else { "more" };
    Holds::Yes(Condition {
        since: None,
        run: Some(*run),
        what: format!(
            "Run {run} read {read} records, {how} than the usual {median} (median of {} full runs).",
            before.len()
        ),
        advice: format!("Look at the source before the next run; then `syncline show {run}`."),
    })
}

fn late(known: &Known<'_>, served: Timestamp, now: Timestamp) -> Holds {
    let (succeeded, run) = match &known.past {
        Past::Sync { summary, .. } => {
            let last = summary.and_then(|s| s.last.as_ref());
            (summary.and_then(|s| s.last_success_at), last.map(|run| run.id))
        }
        Past::Chain(runs) => {
            let good = |run: &&ChainRun| matches!(run.status, ChainStatus::Completed | ChainStatus::Partial);
            (runs.iter().find(good).and_then(|run| run.finished_at), runs.first().map(|run| run.id))
        }
    };
    if !known.health.late {
        return Holds::No { run };
    }
    // what has only just been defined is late when its first interval is over
    if succeeded.is_none() && now.duration_since(served).unsigned_abs() < first_interval(known.schedules) {
        return Holds::Unknown;
    }
    Holds::Yes(Condition {
        since: succeeded,
        run,
        what: format!("It is {}.", known.health.reason),
        advice: "Check that `syncline serve` runs and reaches both systems: `syncline status`.".to_owned(),
    })
}

/// The shortest interval; a day where times are given by a calendar.
fn first_interval(schedules: &[Schedule]) -> Duration {
    let day = Duration::from_secs(24 * 3600);
    schedules.iter().filter(|s| s.enabled).map(|s| s.every.unwrap_or(day)).min().unwrap_or(day)
}

fn of_chain(kind: AlertKind, runs: &[ChainRun]) -> Holds {
    let Some(newest) = runs.first() else { return Holds::No { run: None } };
    let failed = newest.steps.iter().find(|s| s.required && s.status == StepStatus::Failed);
    match (kind, newest.status) {
        // told at once, not when the chain has ended
        (AlertKind::Failed, ChainStatus::Running | ChainStatus::Failed) if failed.is_some() => {
            Holds::Yes(chain_condition(newest, failed.map(|step| step.step.as_str()), "failed"))
        }
        (AlertKind::Failed, ChainStatus::Failed) => Holds::Yes(chain_condition(newest, None, "failed")),
        (AlertKind::Failed, ChainStatus::Completed | ChainStatus::Partial)
        | (AlertKind::Partial, ChainStatus::Completed) => Holds::No { run: Some(newest.id) },
        (AlertKind::Partial, ChainStatus::Partial) => {
            let step = newest.steps.iter().find(|s| s.status == StepStatus::Failed).map(|s| s.step.as_str());
            Holds::Yes(chain_condition(newest, step, "ended in part"))
        }
        _ => Holds::Unknown,
    }
}

fn chain_condition(run: &ChainRun, step: Option<&str>, how: &str) -> Condition {
    let error = run.steps.iter().find(|s| Some(s.step.as_str()) == step).and_then(|s| s.error.as_ref());
    let error = error.or(run.error.as_ref());
    let why = error.map_or_else(String::new, |(code, message)| format!(": {message} ({code})"));
    let at = step.map_or_else(String::new, |step| format!(" at step {step:?}"));
    Condition {
        since: run.finished_at,
        run: Some(run.id),
        what: format!("Run {} {how}{at}{why}.", run.id),
        advice: format!("When it is mended, `syncline chains resume {}` goes on from there.", run.id),
    }
}

fn advice(run: RunId) -> String {
    format!("See what happened with `syncline show {run}`.")
}

/// `2nd`, `3rd`, `11th`.
fn ordinal(number: u64) -> String {
    let end = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{end}")
}
