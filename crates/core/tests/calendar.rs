//! Instants of schedules: against a walk over every minute, and by hand where the clock is set.

use std::{collections::BTreeSet, time::Duration};

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use proptest::prelude::*;
use syncline_core::{
    calendar::{Timing, after_failure, check_cron, offset, spread, zone, zones},
    schedule::{Misfire, Schedule},
};

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "Africa/Casablanca",
];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cron(pattern: &str, zone: &str) -> Timing {
    let (cron, zone) = (Some(pattern.to_owned()), Some(zone.to_owned()));
    Timing::of(&Schedule { cron, zone, ..Schedule::EMPTY }).unwrap()
}

fn every(seconds: u64) -> Timing {
    Timing::of(&Schedule { every: Some(Duration::from_secs(seconds)), ..Schedule::EMPTY }).unwrap()
}

fn texts(instants: &[Timestamp]) -> Vec<String> {
    instants.iter().map(ToString::to_string).collect()
}

/// A pattern, and the same as sets.
#[derive(Debug, Clone)]
struct Pattern {
    minutes: BTreeSet<i8>,
    hours: BTreeSet<i8>,
    /// 0: Sunday.
    weekdays: Option<BTreeSet<i8>>,
}

impl Pattern {
    fn text(&self) -> String {
        let list = |set: &BTreeSet<i8>| set.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let weekdays = self.weekdays.as_ref().map_or("*".to_owned(), list);
        format!("{} {} * * {weekdays}", list(&self.minutes), list(&self.hours))
    }

    fn matches(&self, local: jiff::civil::DateTime) -> bool {
        let weekday = local.weekday().to_sunday_zero_offset();
        self.minutes.contains(&local.minute())
            && self.hours.contains(&local.hour())
            && self.weekdays.as_ref().is_none_or(|days| days.contains(&weekday))
    }
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let minutes = prop_oneof![
        prop::collection::btree_set(0..60_i8, 1..4),
        Just((0..60).step_by(15).collect()),
        Just((0..60).collect()),
    ];
    let hours =
        prop_oneof![prop::collection::btree_set(0..24_i8, 1..4), Just((0..24).collect()), Just([2].into())];
    let weekdays =
        prop_oneof![3 => Just(None), 1 => prop::collection::btree_set(0..7_i8, 1..4).prop_map(Some)];
    (minutes, hours, weekdays).prop_map(|(minutes, hours, weekdays)| Pattern { minutes, hours, weekdays })
}

/// A zone, and a minute of 1970-2100 that is half of the time shortly before its clock is set.
fn moment() -> impl Strategy<Value = (&'static str, Timestamp)> {
    (prop::sample::select(ZONES.as_slice()), 0..68_000_000_i64, any::<bool>(), 0..2880_i64).prop_map(
        |(name, minute, near, back)| {
            let any = Timestamp::from_second(minute * 60).unwrap();
            let turn = zone(name).unwrap().following(any).next().map(|turn| turn.timestamp());
            let turn = turn.filter(|turn| near && *turn < at("2100-12-31T00:00:00Z"));
            (name, turn.map_or(any, |turn| turn - back.minutes()))
        },
    )
}

/// Every instant after `from` up to `to`, found by walking over the minutes.
fn walk(pattern: &Pattern, zone: &TimeZone, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let mut found = BTreeSet::new();
    // Everything local that has come, from a day and a half before: longer than any zone repeats.
    let mut at = from - 36.hours();
    let mut reached = zone.to_datetime(at);
    while at < to {
        at += 1.minute();
        let local = zone.to_datetime(at);
        // One step in ordinary minutes, none in a second pass, many over a gap.
        while reached < local {
            reached = reached.checked_add(1.minute()).unwrap();
            if pattern.matches(reached) {
                found.insert(at);
            }
        }
    }
    found.into_iter().filter(|instant| *instant > from).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_cron_comes_when_its_local_time_does_and_once((name, from) in moment(), pattern in pattern()) {
        let (zone, timing) = (zone(name).unwrap(), cron(&pattern.text(), name));
        let to = from + 72.hours();
        let expected = walk(&pattern, &zone, from, to);
        let next = std::iter::successors(timing.after(from), |last| timing.after(*last));
        let found: Vec<Timestamp> = next.take_while(|instant| *instant <= to).collect();
        prop_assert_eq!(&found, &expected);
        // Backwards, the same.
        prop_assert_eq!(timing.due(from, to, Misfire::All(u32::MAX), usize::MAX), expected);
    }

    #[test]
    fn what_is_due_is_what_comes_next(
        (name, from) in moment(),
        pattern in pattern(),
        seconds in 0..400_000_i64,
        most in 0..6_u32,
    ) {
        let timing = cron(&pattern.text(), name);
        let now = from + seconds.seconds();
        let next = std::iter::successors(timing.after(from), |last| timing.after(*last));
        let passed: Vec<Timestamp> = next.take_while(|instant| *instant <= now).collect();
        let last = |n: usize| passed[passed.len().saturating_sub(n)..].to_vec();
        prop_assert_eq!(timing.due(from, now, Misfire::Latest, 10), last(1));
        prop_assert_eq!(timing.due(from, now, Misfire::All(most), 4), last(usize::try_from(most).unwrap().min(4)));
        let young: Vec<Timestamp> = last(1).into_iter().filter(|t| *t > now - 60.seconds()).collect();
        prop_assert_eq!(timing.due(from, now, Misfire::Skip, 10), young);
    }

    #[test]
    fn gaps_are_not_larger_than_the_interval((name, from) in moment(), pattern in pattern()) {
        let timing = cron(&pattern.text(), name);
        // The clock's own steps come on top: an hour, or a day where a date was left out.
        let slack = if name == "Pacific/Apia" { 25.hours() } else { 1.hour() };
        let interval = timing.interval(from);
        let next = timing.next(from, 200);
        for pair in next.windows(2) {
            prop_assert!(pair[1] <= pair[0] + interval + slack, "{} {:?} {:?}", pattern.text(), pair, interval);
        }
    }

    #[test]
    fn an_interval_is_a_grid(minute in 0..68_000_000_i64, interval in 1..1_000_000_u64) {
        let (timing, from) = (every(interval), Timestamp::from_second(minute * 60).unwrap());
        let next = timing.next(from, 3);
        prop_assert!(next[0] > from && next[0] <= from + Duration::from_secs(interval));
        for instant in &next {
            prop_assert_eq!(instant.as_second().rem_euclid(i64::try_from(interval).unwrap()), 0);
            prop_assert_eq!(timing.until(*instant), Some(*instant));
        }
        prop_assert_eq!(timing.due(from, next[2], Misfire::All(10), 10), next);
    }

    #[test]
    fn starts_are_spread_within_the_jitter(subject in ".{0,8}", schedule in ".{0,8}", millis in 0..100_000_u64) {
        let jitter = Duration::from_millis(millis);
        let found = offset(&subject, &schedule, jitter);
        prop_assert!(found < jitter || (jitter.is_zero() && found.is_zero()));
        prop_assert_eq!(found, offset(&subject, &schedule, jitter));
    }
}

#[test]
fn a_gap_is_followed_by_what_fell_into_it_once() {
    for (zone, pattern, from, expected) in [
        // 02:00 becomes 03:00
        (
            "Europe/Berlin",
            "30 2 * * *",
            "2026-03-28T12:00:00Z",
            ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
        ),
        (
            "Europe/Berlin",
            "*/15 2 * * *",
            "2026-03-28T12:00:00Z",
            ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"],
        ),
        (
            "Europe/Berlin",
            "*/30 * * * *",
            "2026-03-29T00:30:00Z",
            ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"],
        ),
        (
            "America/New_York",
            "30 2 * * *",
            "2026-03-08T00:00:00Z",
            ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"],
        ),
        // 02:00 becomes 02:30
        (
            "Australia/Lord_Howe",
            "15 2 * * *",
            "2026-10-03T00:00:00Z",
            ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"],
        ),
        (
            "Australia/Lord_Howe",
            "30 2 * * *",
            "2026-10-03T00:00:00Z",
            ["2026-10-03T15:30:00Z", "2026-10-04T15:30:00Z"],
        ),
        // 30 December 2011 was left out
        (
            "Pacific/Apia",
            "0 12 * * *",
            "2011-12-29T23:00:00Z",
            ["2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"],
        ),
    ] {
        assert_eq!(texts(&cron(pattern, zone).next(at(from), 2)), expected, "{pattern} in {zone}");
    }
}

#[test]
fn an_overlap_has_its_first_pass() {
    for (zone, pattern, from, expected) in [
        // 03:00 becomes 02:00
        (
            "Europe/Berlin",
            "30 2 * * *",
            "2026-10-24T12:00:00Z",
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        ),
        (
            "Europe/Berlin",
            "*/30 2 * * *",
            "2026-10-25T00:00:00Z",
            ["2026-10-25T00:30:00Z", "2026-10-26T01:00:00Z"],
        ),
        (
            "Europe/Berlin",
            "*/30 * * * *",
            "2026-10-25T00:15:00Z",
            ["2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"],
        ),
        (
            "America/New_York",
            "30 1 * * *",
            "2026-11-01T00:00:00Z",
            ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"],
        ),
        // 02:00 becomes 01:30
        (
            "Australia/Lord_Howe",
            "45 1 * * *",
            "2026-04-04T00:00:00Z",
            ["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"],
        ),
    ] {
        assert_eq!(texts(&cron(pattern, zone).next(at(from), 2)), expected, "{pattern} in {zone}");
    }
}

#[test]
fn the_second_pass_has_nothing_due() {
    let timing = cron("*/15 2 * * *", "Europe/Berlin");
    // 02:50 in the first pass, 02:50 in the second.
    let (first, second) = (at("2026-10-25T00:50:00Z"), at("2026-10-25T01:50:00Z"));
    assert_eq!(timing.due(first, second, Misfire::All(10), 10), []);
    assert_eq!(timing.until(second), Some(at("2026-10-25T00:45:00Z")));
}

#[test]
fn a_clock_that_steps_back_makes_nothing_due_and_one_that_steps_forward_is_a_pause() {
    let timing = every(3600);
    let considered = at("2026-01-10T12:00:00Z");
    assert_eq!(timing.due(considered, at("2026-01-10T09:30:00Z"), Misfire::All(10), 10), []);
    assert_eq!(timing.due(considered, considered, Misfire::Latest, 10), []);
    let forward = at("2026-01-20T12:30:00Z");
    assert_eq!(texts(&timing.due(considered, forward, Misfire::Latest, 10)), ["2026-01-20T12:00:00Z"]);
    assert_eq!(texts(&timing.due(considered, forward, Misfire::Skip, 10)), [""; 0]);
    let two = ["2026-01-20T11:00:00Z", "2026-01-20T12:00:00Z"];
    assert_eq!(texts(&timing.due(considered, forward, Misfire::All(2), 10)), two);
}

#[test]
fn an_instant_that_just_came_was_not_missed() {
    let timing = cron("0 2 * * *", "UTC");
    let due = |now: &str| timing.due(at("2026-01-01T02:00:00Z"), at(now), Misfire::Skip, 10);
    assert_eq!(texts(&due("2026-01-02T02:00:00Z")), ["2026-01-02T02:00:00Z"]);
    assert_eq!(texts(&due("2026-01-02T02:00:59Z")), ["2026-01-02T02:00:00Z"]);
    assert_eq!(texts(&due("2026-01-02T02:01:00Z")), [""; 0]);
}

#[test]
fn ten_years_of_silence_cost_what_is_answered() {
    let (from, to) = (at("2016-01-01T00:00:00Z"), at("2026-01-01T00:00:30Z"));
    // Five million instants; a walk over them would be noticed.
    for timing in [every(1), cron("* * * * *", "Europe/Berlin")] {
        assert_eq!(timing.due(from, to, Misfire::All(u32::MAX), 3).len(), 3);
        assert_eq!(timing.due(from, to, Misfire::Latest, 3).len(), 1);
    }
}

#[test]
fn patterns_are_told_apart() {
    for (pattern, why) in [
        ("0 2 * *", "must have five fields: minute, hour, day of month, month, day of week"),
        ("@daily", "must have five fields: minute, hour, day of month, month, day of week"),
        ("0 0 2 * * *", "must have five fields: minute, hour, day of month, month, day of week"),
        ("0 0 31 2 *", "never comes: no month has such a day"),
        ("0 0 30,31 FEB *", "never comes: no month has such a day"),
    ] {
        assert_eq!(check_cron(pattern), Err(why.to_owned()), "{pattern}");
    }
    for pattern in ["61 * * * *", "* 24 * * *", "x * * * *", "5/ * * * *", "* * * 13 *", "1-70 * * * *"] {
        assert!(check_cron(pattern).is_err_and(|why| why.starts_with("is not a pattern: ")), "{pattern}");
    }
    for pattern in
        ["0 0 29 2 *", "*/5 8-18 * * MON-FRI", "0 2 L * *", "0 8 * * 1#1", "0 0 * * 7", "0 2 1 jan,jul *"]
    {
        assert_eq!(check_cron(pattern), Ok(()), "{pattern}");
    }
    assert_eq!(
        texts(&cron("0 0 29 2 *", "UTC").next(at("2096-03-01T00:00:00Z"), 1)),
        ["2104-02-29T00:00:00Z"]
    );
}

#[test]
fn fields_are_named() {
    let cron = Some("0 2 * * *".to_owned());
    let nowhere =
        Schedule { cron: cron.clone(), zone: Some("Europe/Atlantis".to_owned()), ..Schedule::EMPTY };
    assert_eq!(Timing::of(&nowhere).unwrap_err(), r#"zone "Europe/Atlantis" is not an IANA time zone"#);
    let both = Schedule { cron, every: Some(Duration::from_secs(1)), ..Schedule::EMPTY };
    assert_eq!(Timing::of(&both).unwrap_err(), "exactly one of every and cron must be given");
    assert_eq!(Timing::of(&Schedule::EMPTY).unwrap_err(), "exactly one of every and cron must be given");
    let wrong = Schedule { cron: Some("0 2".to_owned()), ..Schedule::EMPTY };
    assert!(Timing::of(&wrong).unwrap_err().starts_with("cron must have five fields"));
    assert!(zones().len() > 400 && zones().iter().any(|name| name == "Asia/Kathmandu"));
}

#[test]
fn the_largest_gap_is_found() {
    let hours = |n: u64| Duration::from_secs(n * 3600);
    for (pattern, expected) in [
        ("*/15 * * * *", hours(1) / 4),
        ("0 2 * * *", hours(24)),
        ("0 2,14 * * *", hours(12)),
        ("* 8-18 * * *", hours(13) + Duration::from_secs(60)),
        ("0 2 * * 1-5", hours(72)),
        ("0,30 8-17 * * MON-FRI", hours(72 - 9) - hours(1) / 2),
        ("0 8 * * 1", hours(7 * 24)),
        ("0 0 1 * *", hours(31 * 24)),
    ] {
        assert_eq!(cron(pattern, "UTC").interval(at("2026-01-07T10:10:00Z")), expected, "{pattern}");
    }
    assert_eq!(every(90).interval(at("2026-01-01T00:00:00Z")), Duration::from_secs(90));
}

#[test]
fn a_failure_is_tried_again_within_half_an_hour() {
    let now = at("2026-01-01T00:00:00Z");
    let minutes = |n: u64| Some(Duration::from_secs(n * 60));
    assert_eq!(after_failure(minutes(15), now).to_string(), "2026-01-01T00:15:00Z");
    assert_eq!(after_failure(minutes(1440), now).to_string(), "2026-01-01T00:30:00Z");
    assert_eq!(after_failure(None, now).to_string(), "2026-01-01T00:30:00Z");
}

#[test]
fn starts_are_spread_evenly_and_the_same_for_ever() {
    let minute = Duration::from_secs(60);
    let quarters = |n: u32| offset(&format!("sync:{n}"), "hourly", minute).as_secs() / 15;
    for quarter in 0..4 {
        let share = (0..1000).filter(|n| quarters(*n) == quarter).count();
        assert!((200..300).contains(&share), "{share} of 1000 in quarter {quarter}");
    }
    // Stored occurrences were spread by it: another hash would start them at another time.
    assert_eq!(offset("sync:projects", "hourly", minute).as_millis(), 6858);
    let of = |schedule: Schedule| spread(&schedule);
    assert_eq!(
        of(Schedule { every: Some(Duration::from_secs(100)), ..Schedule::EMPTY }),
        Duration::from_secs(10)
    );
    assert_eq!(of(Schedule { every: Some(Duration::from_secs(86_400)), ..Schedule::EMPTY }), minute);
    assert_eq!(of(Schedule { cron: Some("0 2 * * *".to_owned()), ..Schedule::EMPTY }), Duration::ZERO);
    assert_eq!(of(Schedule { jitter: Some(minute * 9), ..Schedule::EMPTY }), minute * 9);
}
