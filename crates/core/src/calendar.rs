//! The arithmetic of schedules: which instants a schedule has, which of them are due, and how long it may be silent.
//!
//! An interval is a grid that starts at 1970-01-01 00:00 UTC, so that every node has the same instants without asking
//! another. A cron pattern is read in the local time of its zone, and each local time comes once: one that falls into a gap
//! comes just after the gap, one that is repeated comes in its first pass. The zones are part of the program.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
    time::Duration,
};

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{
    Timestamp,
    civil::{self, DateTime},
    tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase},
};

use crate::schedule::{Misfire, Schedule};

/// An instant that is younger than this was not missed: it is what a scheduler that looks every few seconds finds.
pub const ON_TIME: Duration = Duration::from_secs(60);

/// The next try after a failure comes at most this much later.
const AFTER_FAILURE_MAX: Duration = Duration::from_secs(30 * 60);

/// Most that the starts of an interval are spread over unless the schedule says otherwise.
const SPREAD_MAX: Duration = Duration::from_secs(60);

/// Days with instants that are looked at for the largest gap between two of them: a week of working days and a margin.
const DAYS_SAMPLED: usize = 8;

/// Instants of one day: one a minute.
const OF_A_DAY_MAX: usize = 24 * 60;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The time of a schedule, ready for arithmetic.
#[derive(Debug, Clone)]
pub struct Timing(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// Nanoseconds, more than zero.
    Every(i128),
    /// A pattern over local times.
    Cron { cron: Arc<Cron>, zone: TimeZone },
}

/// The zone of this name.
///
/// # Errors
/// When there is none.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    ZONES.get(name).map_err(|_| "is not an IANA time zone".to_owned())
}

/// The names of all zones, sorted.
pub fn zones() -> Vec<String> {
    let mut names: Vec<String> = ZONES.available().map(|name| name.as_str().to_owned()).collect();
    names.sort_unstable();
    names
}

/// Whether `text` is a pattern that comes at some time.
///
/// # Errors
/// What is wrong with it.
pub fn check_cron(text: &str) -> Result<(), String> {
    cron(text).map(drop)
}

impl Timing {
    /// The time of a schedule.
    ///
    /// # Errors
    /// Neither or both of `every` and `cron`, or one of the fields is wrong; the message begins with its name.
    pub fn of(schedule: &Schedule) -> Result<Self, String> {
        match (schedule.every, &schedule.cron) {
            (Some(every), None) if every.is_zero() => Err("every must be more than nothing".to_owned()),
            (Some(every), None) => i128::try_from(every.as_nanos())
                .map(|nanos| Self(Kind::Every(nanos)))
                .map_err(|_| "every is too long".to_owned()),
            (None, Some(text)) => {
                let cron = cron(text).map_err(|why| format!("cron {why}"))?;
                let name = schedule.zone.as_deref().unwrap_or("UTC");
                let zone = zone(name).map_err(|why| format!("zone {name:?} {why}"))?;
                Ok(Self(Kind::Cron { cron, zone }))
            }
            _ => Err("exactly one of every and cron must be given".to_owned()),
        }
    }

    /// The zone in which people think of it; that of an interval is UTC.
    pub fn zone(&self) -> TimeZone {
        match &self.0 {
            Kind::Every(_) => TimeZone::UTC,
            Kind::Cron { zone, .. } => zone.clone(),
        }
    }

    /// The first instant after `instant`; `None` at the end of time.
    pub fn after(&self, instant: Timestamp) -> Option<Timestamp> {
        match &self.0 {
            Kind::Every(nanos) => {
                let next = (instant.as_nanosecond().div_euclid(*nanos) + 1).checked_mul(*nanos)?;
                Timestamp::from_nanosecond(next).ok()
            }
            Kind::Cron { cron, zone } => {
                let local = cron.find_next_occurrence(&reached(zone, instant), false).ok()?;
                instant_of(zone, local)
            }
        }
    }

    /// The last instant up to `instant`, itself included; `None` before the beginning of time.
    pub fn until(&self, instant: Timestamp) -> Option<Timestamp> {
        match &self.0 {
            Kind::Every(nanos) => {
                let last = instant.as_nanosecond().div_euclid(*nanos) * *nanos;
                Timestamp::from_nanosecond(last).ok()
            }
            Kind::Cron { cron, zone } => {
                let local = cron.find_previous_occurrence(&reached(zone, instant), true).ok()?;
                instant_of(zone, local)
            }
        }
    }

    /// The next `count` instants after `instant`.
    pub fn next(&self, instant: Timestamp, count: usize) -> Vec<Timestamp> {
        std::iter::successors(self.after(instant), |last| self.after(*last)).take(count).collect()
    }

    /// What is to run of the instants after `considered` up to `now`, oldest first: those that were missed (older than
    /// [`ON_TIME`]) as `misfire` says. Nothing when the clock stepped back. The work depends on what is answered, at most
    /// `limit` instants, and not on how many have passed.
    pub fn due(
        &self,
        considered: Timestamp,
        now: Timestamp,
        misfire: Misfire,
        limit: usize,
    ) -> Vec<Timestamp> {
        let (count, since) = match misfire {
            Misfire::Skip => (1, considered.max(earlier(now, ON_TIME))),
            Misfire::Latest => (1, considered),
            Misfire::All(most) => (usize::try_from(most).unwrap_or(usize::MAX), considered),
        };
        let before = |instant: &Timestamp| self.until(earlier(*instant, Duration::from_nanos(1)));
        let mut due: Vec<Timestamp> = std::iter::successors(self.until(now), before)
            .take(count.min(limit))
            .take_while(|instant| *instant > since)
            .collect();
        due.reverse();
        due
    }

    /// How far apart two instants that follow each other may be: the largest gap between instants after `around`, over
    /// eight days that have any.
    ///
    /// Costs up to some milliseconds for a pattern with many instants a day; keep the answer.
    pub fn interval(&self, around: Timestamp) -> Duration {
        match &self.0 {
            Kind::Every(nanos) => Duration::from_nanos(u64::try_from(*nanos).unwrap_or(u64::MAX)),
            Kind::Cron { zone, .. } => self.largest_gap(zone, around),
        }
    }

    /// The local hours of each day are the same, so one day is looked at closely, of the others their ends.
    fn largest_gap(&self, zone: &TimeZone, around: Timestamp) -> Duration {
        let mut largest = Duration::ZERO;
        let mut last = None;
        let mut at = around;
        for day in 0..=DAYS_SAMPLED {
            let Some(first) = self.after(at) else { break };
            if let Some(last) = last {
                largest = largest.max(between(last, first));
            }
            let Some(end) = end_of_day(zone, first) else { break };
            if day == 1 {
                let of_day = std::iter::successors(Some(first), |t| self.after(*t)).take(OF_A_DAY_MAX);
                let of_day: Vec<Timestamp> = of_day.take_while(|t| *t < end).collect();
                largest =
                    of_day.windows(2).map(|pair| between(pair[0], pair[1])).fold(largest, Duration::max);
            }
            last = self.until(earlier(end, Duration::from_nanos(1)));
            at = last.map_or(end, |last| last.max(first));
        }
        largest
    }
}

/// When something that failed is tried again: after its interval, at most half an hour later.
pub fn after_failure(interval: Option<Duration>, now: Timestamp) -> Timestamp {
    let wait = interval.unwrap_or(AFTER_FAILURE_MAX).min(AFTER_FAILURE_MAX);
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// The span over which the starts of a schedule are spread.
pub fn spread(schedule: &Schedule) -> Duration {
    let implied = || schedule.every.map_or(Duration::ZERO, |every| (every / 10).min(SPREAD_MAX));
    schedule.jitter.unwrap_or_else(implied)
}

/// How much later than its instant something starts: always the same for the same names, at least nothing and less than
/// `jitter`.
pub fn offset(subject: &str, schedule: &str, jitter: Duration) -> Duration {
    let mut hasher = blake3::Hasher::new();
    // Lengths between the names, so that no two pairs are one text.
    hasher
        .update(&(subject.len() as u64).to_le_bytes())
        .update(subject.as_bytes())
        .update(schedule.as_bytes());
    let mut head = [0; 8];
    head.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    let millis = u128::from(u64::from_le_bytes(head)) * jitter.as_millis() / (1 << 64);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// The local time up to which every local time has come by `instant`: the clock's own, or, in the second pass of a
/// repeated hour, the last moment of the first.
fn reached(zone: &TimeZone, instant: Timestamp) -> DateTime {
    let local = zone.to_datetime(instant);
    let Some(turn) = last_turn(zone, instant) else { return local };
    zone.to_datetime(earlier(turn, Duration::from_nanos(1))).max(local)
}

/// When the zone's clock was last set, up to `instant`.
fn last_turn(zone: &TimeZone, instant: Timestamp) -> Option<Timestamp> {
    let just_after = instant.checked_add(Duration::from_nanos(1)).unwrap_or(instant);
    zone.preceding(just_after).next().map(|turn| turn.timestamp())
}

/// When a local time comes.
fn instant_of(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
        AmbiguousOffset::Gap { before, .. } => last_turn(zone, before.to_timestamp(local).ok()?),
    }
}

/// The first instant of the local day after that of `instant`.
fn end_of_day(zone: &TimeZone, instant: Timestamp) -> Option<Timestamp> {
    let tomorrow = zone.to_datetime(instant).date().tomorrow().ok()?;
    instant_of(zone, tomorrow.to_datetime(civil::Time::midnight()))
}

fn earlier(instant: Timestamp, by: Duration) -> Timestamp {
    instant.checked_sub(by).unwrap_or(Timestamp::MIN)
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// A pattern of five fields. Equal ones are one: a pattern takes some kilobytes, and ten thousand syncs may share a few.
fn cron(text: &str) -> Result<Arc<Cron>, String> {
    static KNOWN: LazyLock<Mutex<BTreeMap<String, Weak<Cron>>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cron) = known.get(text).and_then(Weak::upgrade) {
        return Ok(cron);
    }
    let cron = Arc::new(parse(text)?);
    known.retain(|_, cron| cron.strong_count() > 0);
    known.insert(text.to_owned(), Arc::downgrade(&cron));
    Ok(cron)
}

fn parse(text: &str) -> Result<Cron, String> {
    if text.split_whitespace().count() != 5 {
        return Err("must have five fields: minute, hour, day of month, month, day of week".to_owned());
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(text).map_err(|error| {
        let why = error.to_string();
        let why = why.strip_prefix("Component error: ").unwrap_or(&why).trim_end_matches('.').to_lowercase();
        format!("is not a pattern: {why}")
    })?;
    let start = civil::date(2000, 1, 1).at(0, 0, 0, 0);
    match cron.find_next_occurrence(&start, true) {
        Ok(_) => Ok(cron),
        Err(_) => Err("never comes: no month has such a day".to_owned()),
    }
}
