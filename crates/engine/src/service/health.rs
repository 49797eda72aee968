//! Whether what is scheduled comes in time: pure, from facts that are stored anyway.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_core::{
    calendar::Timing,
    chain::{Chain, ChainStatus},
    run::Status,
    schedule::Schedule,
    sync::Sync,
};
use syncline_store::service::{ChainRun, Summary};

/// How well something is. The worst is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It succeeded within its interval.
    Healthy,
    /// It is late, or its last run failed.
    Degraded,
    /// It is more than twice late, or never succeeded.
    Unhealthy,
}

impl Level {
    /// The word that is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// How well something is, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// How well.
    pub level: Level,
    /// One sentence for people.
    pub reason: String,
    /// Whether a schedule is late, which is so even when nothing ran at all.
    pub late: bool,
}

/// The health of several: the worst.
pub fn overall(levels: impl IntoIterator<Item = Level>) -> Level {
    levels.into_iter().max().unwrap_or(Level::Healthy)
}

/// The health of a sync. `paused`: labels of its schedules that are paused; they are not late.
pub fn of_sync(sync: &Sync, summary: Option<&Summary>, paused: &BTreeSet<String>, now: Timestamp) -> Health {
    let last = summary.and_then(|s| s.last.as_ref());
    let seen = Seen {
        succeeded: summary.and_then(|s| s.last_success_at),
        failed: last.and_then(|run| {
            let code = run.error.as_ref().map_or("no reason was recorded", |(code, _)| code);
            let bad = matches!(run.status, Status::Failed | Status::Interrupted);
            bad.then(|| format!("run {} {} ({code})", run.id, run.status.as_str()))
        }),
        failures: summary.map_or(0, |s| s.failures),
    };
    let of_schedule = |label: &str| Some(summary?.by_schedule.get(label)?.1);
    judge(&sync.schedules, &seen, &of_schedule, paused, now)
}

/// The health of a chain, from its runs, newest first.
pub fn of_chain(chain: &Chain, runs: &[ChainRun], paused: &BTreeSet<String>, now: Timestamp) -> Health {
    let good = |run: &&ChainRun| matches!(run.status, ChainStatus::Completed | ChainStatus::Partial);
    let ended = |run: &&ChainRun| run.status != ChainStatus::Running;
    let last = runs.iter().find(ended);
    let seen = Seen {
        succeeded: runs.iter().find(good).and_then(|run| run.finished_at),
        failed: last.filter(|run| run.status == ChainStatus::Failed).map(|run| {
            let code = run.error.as_ref().map_or("no reason was recorded", |(code, _)| code);
            format!("run {} failed ({code})", run.id)
        }),
        failures: runs.iter().filter(ended).take_while(|run| !good(run)).count() as u64,
    };
    let of_schedule = |label: &str| {
        runs.iter().filter(good).find(|run| run.schedule.as_deref() == Some(label))?.finished_at
    };
    judge(&chain.schedules, &seen, &of_schedule, paused, now)
}

/// What is known of the past.
struct Seen {
    /// End of the last success.
    succeeded: Option<Timestamp>,
    /// What the last run says, where it failed.
    failed: Option<String>,
    /// Failures since the last success.
    failures: u64,
}

fn judge(
    schedules: &[Schedule],
    seen: &Seen,
    of_schedule: &dyn Fn(&str) -> Option<Timestamp>,
    paused: &BTreeSet<String>,
    now: Timestamp,
) -> Health {
    let due: Vec<(String, Duration)> = schedules
        .iter()
        .filter(|schedule| schedule.enabled && !paused.contains(&schedule.label()))
        .filter_map(|schedule| Some((schedule.label(), interval(schedule, now)?)))
        .collect();
    let health = |level, late, reason: String| Health { level, reason, late };
    let Some(succeeded) = seen.succeeded else {
        return match (&seen.failed, due.is_empty()) {
            (Some(failed), _) => {
                health(Level::Unhealthy, !due.is_empty(), format!("never succeeded: {failed}"))
            }
            (None, true) => health(Level::Healthy, false, "no schedule is in force, and it never ran".into()),
            (None, false) => health(Level::Unhealthy, true, "never succeeded: it has not run yet".into()),
        };
    };
    let shortest = due.iter().map(|(_, interval)| *interval).min();
    // a heavier run satisfies the lighter schedules, and any run the lightest
    let last_of = |interval: Duration| {
        let heavier = due
            .iter()
            .filter(|(_, other)| *other >= interval)
            .filter_map(|(label, _)| of_schedule(label))
            .max();
        if Some(interval) == shortest { Some(succeeded).max(heavier) } else { heavier }
    };
    let worst = due
        .iter()
        .filter_map(|(label, interval)| {
            let age = age(last_of(*interval)?, now);
            (age > *interval + slack(*interval)).then_some((label, *interval, age))
        })
        .max_by(|a, b| a.2.div_duration_f64(a.1).total_cmp(&b.2.div_duration_f64(b.1)));
    if let Some((label, interval, age)) = worst {
        let twice = age > 2 * interval + slack(interval);
        let level = if twice { Level::Unhealthy } else { Level::Degraded };
        let how = if twice { "more than twice late" } else { "late" };
        let why = seen.failed.as_ref().map(|failed| format!("; {failed}")).unwrap_or_default();
        let reason = format!("{how}: schedule {label:?} succeeded last {} ago{why}", words(age));
        return health(level, true, reason);
    }
    match &seen.failed {
        Some(failed) => {
            let times =
                if seen.failures > 1 { format!(", {} in a row", seen.failures) } else { String::new() };
            health(Level::Degraded, false, format!("{failed}{times}"))
        }
        None => health(Level::Healthy, false, format!("succeeded {} ago", words(age(succeeded, now)))),
    }
}

/// Nobody is late because a start was spread or a run took its time: a tenth of the interval, at least a minute, at most
/// half an hour.
fn slack(interval: Duration) -> Duration {
    (interval / 10).clamp(Duration::from_secs(60), Duration::from_secs(1800))
}

/// Intervals of cron patterns that are kept: to find one takes milliseconds, and health is asked for often.
const INTERVALS_MAX: usize = 10_000;

/// How far apart two instants of a schedule may be.
fn interval(schedule: &Schedule, now: Timestamp) -> Option<Duration> {
    static KNOWN: LazyLock<Mutex<BTreeMap<String, Option<Duration>>>> = LazyLock::new(Mutex::default);
    if schedule.every.is_some() {
        return schedule.every;
    }
    let time = format!("{:?} {:?}", schedule.cron, schedule.zone);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(interval) = known.get(&time) {
        return *interval;
    }
    let interval =
        Timing::of(schedule).ok().map(|timing| timing.interval(now)).filter(|found| !found.is_zero());
    if known.len() < INTERVALS_MAX {
        known.insert(time, interval);
    }
    interval
}

fn age(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

/// A span in its greatest unit, rounded down, for sentences.
fn words(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
