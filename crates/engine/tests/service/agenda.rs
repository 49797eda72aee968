//! What the scheduler decides, at literal instants.

use std::sync::Arc;

use jiff::Timestamp;
use syncline_core::{
    project::Project,
    schedule::{Misfire, Schedule},
    sync::Mode,
};
use syncline_engine::service::agenda::Agenda;
use syncline_store::service::{Decision, ScheduleState, Subject};

use super::kit::{HOUR, MINUTE, cron, every, project, sync, time};

const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

fn agenda(
    project: &Arc<Project>,
    states: &[ScheduleState],
    succeeded: bool,
    now: &str,
) -> (Agenda, Vec<Decision>) {
    Agenda::new(project, states, |_| succeeded, &mut String::new, time(now))
}

/// What has been decided about by `considered`.
fn state(name: &str, schedule: &str, considered: &str) -> ScheduleState {
    let considered = time(considered);
    ScheduleState { subject: Subject::sync(name), schedule: schedule.into(), considered, paused_at: None }
}

fn due(agenda: &mut Agenda, now: &str) -> Vec<(String, Timestamp)> {
    let decisions = agenda.due(time(now), 100, &mut String::new);
    started(&decisions)
}

fn started(decisions: &[Decision]) -> Vec<(String, Timestamp)> {
    let all = decisions.iter().flat_map(|decision| &decision.occurrences);
    all.map(|o| (o.schedule.clone().unwrap_or_default(), o.instant)).collect()
}

fn at(label: &str, instant: &str) -> (String, Timestamp) {
    (label.into(), time(instant))
}

/// One sync with one schedule, decided about up to `considered`; the agenda is made at that time.
fn known(schedule: Schedule, considered: &str) -> Agenda {
    let label = schedule.label();
    let project = project(vec![sync("orders", vec![schedule])], Vec::new());
    agenda(&project, &[state("orders", &label, considered)], true, considered).0
}

#[test]
fn an_instant_comes_once() {
    let mut agenda = known(every("often", 15 * MINUTE), "2026-03-01T12:00:00Z");
    assert_eq!(agenda.next(), Some(time("2026-03-01T12:15:00Z")));
    assert_eq!(due(&mut agenda, "2026-03-01T12:14:59.999Z"), []);
    assert_eq!(due(&mut agenda, "2026-03-01T12:15:00.004Z"), [at("often", "2026-03-01T12:15:00Z")]);
    assert_eq!(due(&mut agenda, "2026-03-01T12:15:01Z"), []);
    assert_eq!(agenda.next(), Some(time("2026-03-01T12:30:00Z")));
}

#[test]
fn a_schedule_that_is_seen_first_begins_now() {
    let project = project(vec![sync("orders", vec![every("often", HOUR)])], Vec::new());
    let (mut agenda, first) = agenda(&project, &[], true, "2026-03-01T12:20:00Z");
    assert_eq!(started(&first), []);
    assert_eq!(first[0].considered, time("2026-03-01T12:20:00Z"));
    assert_eq!(due(&mut agenda, "2026-03-01T13:00:00Z"), [at("often", "2026-03-01T13:00:00Z")]);
}

#[test]
fn a_sync_that_never_succeeded_is_due_at_once_by_its_heaviest_schedule() {
    let mass = Schedule { mode: Some(Mode::Full), prepurge: true, ..every("mass", 7 * DAY) };
    let project =
        project(vec![sync("orders", vec![every("hourly", HOUR), every("daily", DAY), mass])], Vec::new());
    let (mut agenda, first) = agenda(&project, &[], false, "2026-03-01T12:20:00Z");
    // 2026-02-26 begins a week of seven days since 1970
    assert_eq!(started(&first), [at("mass", "2026-02-26T00:00:00Z")]);
    let options = &first.iter().flat_map(|d| &d.occurrences).next().expect("one is due").options;
    assert_eq!(options["mode"], "full");
    assert_eq!(options["prepurge"], true);
    assert_eq!(due(&mut agenda, "2026-03-01T13:00:00Z"), [at("hourly", "2026-03-01T13:00:00Z")]);
}

#[test]
fn two_nodes_that_see_a_sync_first_decide_the_same() {
    let project = project(vec![sync("orders", vec![every("often", HOUR)])], Vec::new());
    let one = agenda(&project, &[], false, "2026-03-01T12:20:00Z").1;
    let other = agenda(&project, &[], false, "2026-03-01T12:41:00Z").1;
    assert_eq!(one, other);
}

#[test]
fn a_cron_of_a_sync_that_never_succeeded_waits_for_its_time() {
    let project = project(vec![sync("orders", vec![cron("night", "0 2 * * *", "UTC")])], Vec::new());
    let (mut agenda, first) = agenda(&project, &[], false, "2026-03-01T12:20:00Z");
    assert_eq!(started(&first), []);
    assert_eq!(due(&mut agenda, "2026-03-02T02:00:00Z"), [at("night", "2026-03-02T02:00:00Z")]);
}

#[test]
fn heavier_satisfies_lighter() {
    let mass = Schedule { mode: Some(Mode::Full), ..every("mass", DAY) };
    let schedules = vec![every("hourly", HOUR), mass];
    let project = project(vec![sync("orders", schedules)], Vec::new());
    let states =
        [state("orders", "hourly", "2026-03-01T23:00:00Z"), state("orders", "mass", "2026-03-01T00:00:00Z")];
    let (mut agenda, _) = agenda(&project, &states, true, "2026-03-01T23:30:00Z");
    let decisions = agenda.due(time("2026-03-02T00:00:01Z"), 100, &mut String::new);
    assert_eq!(started(&decisions), [at("mass", "2026-03-02T00:00:00Z")]);
    let considered: Vec<Timestamp> = decisions.iter().map(|decision| decision.considered).collect();
    assert_eq!(considered, [time("2026-03-02T00:00:00Z"); 2], "the lighter one has been decided about too");
    assert_eq!(due(&mut agenda, "2026-03-02T01:00:00Z"), [at("hourly", "2026-03-02T01:00:00Z")]);
}

#[test]
fn what_was_missed_runs_once_not_at_all_or_each() {
    let missed = |misfire| {
        let mut agenda = known(Schedule { misfire, ..every("hourly", HOUR) }, "2026-03-01T12:00:00Z");
        due(&mut agenda, "2026-03-01T16:30:00Z")
    };
    assert_eq!(missed(Misfire::Latest), [at("hourly", "2026-03-01T16:00:00Z")]);
    assert_eq!(missed(Misfire::Skip), []);
    let all = [at("hourly", "2026-03-01T15:00:00Z"), at("hourly", "2026-03-01T16:00:00Z")];
    assert_eq!(missed(Misfire::All(2)), all);
}

#[test]
fn a_clock_that_steps_back_repeats_nothing() {
    let mut agenda = known(every("hourly", HOUR), "2026-03-01T12:00:00Z");
    assert_eq!(due(&mut agenda, "2026-03-01T15:00:00Z"), [at("hourly", "2026-03-01T15:00:00Z")]);
    assert_eq!(due(&mut agenda, "2026-03-01T13:00:00Z"), []);
    assert_eq!(due(&mut agenda, "2026-03-01T14:59:59Z"), []);
    assert_eq!(due(&mut agenda, "2026-03-01T16:00:00Z"), [at("hourly", "2026-03-01T16:00:00Z")]);
}

#[test]
fn a_clock_that_steps_forward_runs_what_it_stepped_over_once() {
    let mut agenda = known(every("hourly", HOUR), "2026-03-01T12:00:00Z");
    assert_eq!(due(&mut agenda, "2026-03-11T12:30:00Z"), [at("hourly", "2026-03-11T12:00:00Z")]);
    assert_eq!(agenda.next(), Some(time("2026-03-11T13:00:00Z")));
}

/// Every instant of a night in which clocks are set, minute by minute.
fn night(pattern: &str, zone: &str, from: &str, to: &str) -> Vec<Timestamp> {
    let mut agenda = known(cron("night", pattern, zone), from);
    let (mut now, to) = (time(from), time(to));
    let mut fired = Vec::new();
    while now < to {
        now = now.checked_add(MINUTE).expect("a time of our days");
        let decisions = agenda.due(now, 100, &mut String::new);
        fired.extend(started(&decisions).into_iter().map(|(_, instant)| instant));
    }
    fired
}

#[test]
fn dst_gap_in_berlin_fires_once_after_the_gap() {
    // 02:00 becomes 03:00 at 01:00 UTC
    let fired = night("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z");
    assert_eq!(fired, [time("2026-03-29T01:00:00Z")]);
}

#[test]
fn dst_overlap_in_berlin_fires_in_the_first_pass() {
    // 03:00 becomes 02:00 at 01:00 UTC
    let fired = night("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z");
    assert_eq!(fired, [time("2026-10-25T00:30:00Z")]);
}

#[test]
fn dst_gap_in_new_york_fires_once_after_the_gap() {
    let fired = night("30 2 * * *", "America/New_York", "2026-03-07T18:00:00Z", "2026-03-08T18:00:00Z");
    assert_eq!(fired, [time("2026-03-08T07:00:00Z")]);
}

#[test]
fn dst_overlap_in_new_york_fires_in_the_first_pass() {
    let fired = night("30 1 * * *", "America/New_York", "2026-10-31T18:00:00Z", "2026-11-01T18:00:00Z");
    assert_eq!(fired, [time("2026-11-01T05:30:00Z")]);
}

#[test]
fn dst_gap_of_half_an_hour_on_lord_howe_fires_once_after_the_gap() {
    // 02:00 becomes 02:30 at 15:30 UTC of the day before
    let fired = night("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T06:00:00Z", "2026-10-04T06:00:00Z");
    assert_eq!(fired, [time("2026-10-03T15:30:00Z")]);
}

#[test]
fn dst_overlap_of_half_an_hour_on_lord_howe_fires_in_the_first_pass() {
    // 02:00 becomes 01:30 at 15:00 UTC of the day before
    let fired = night("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T06:00:00Z", "2026-04-05T06:00:00Z");
    assert_eq!(fired, [time("2026-04-04T14:45:00Z")]);
}

#[test]
fn starts_are_spread_always_the_same_way() {
    let spread = Schedule { jitter: Some(10 * MINUTE), ..every("hourly", HOUR) };
    let names: Vec<String> = (0..50).map(|n| format!("table_{n}")).collect();
    let syncs = names.iter().map(|name| sync(name, vec![spread.clone()])).collect();
    let project = project(syncs, Vec::new());
    let states: Vec<ScheduleState> =
        names.iter().map(|name| state(name, "hourly", "2026-03-01T12:00:00Z")).collect();
    let starts = || {
        let mut agenda = agenda(&project, &states, true, "2026-03-01T12:00:00Z").0;
        let decisions = agenda.due(time("2026-03-01T13:00:00Z"), 100, &mut String::new);
        let all = decisions.iter().flat_map(|decision| &decision.occurrences);
        all.map(|occurrence| occurrence.due_at).collect::<Vec<Timestamp>>()
    };
    let once = starts();
    assert_eq!(once, starts());
    let (first, last) = (time("2026-03-01T13:00:00Z"), time("2026-03-01T13:10:00Z"));
    assert!(once.iter().all(|due| (first..last).contains(due)), "{once:?}");
    let different: std::collections::BTreeSet<&Timestamp> = once.iter().collect();
    assert!(different.len() > 40, "{different:?}");
}

#[test]
fn much_that_is_due_at_once_is_decided_in_parts() {
    let names: Vec<String> = (0..25).map(|n| format!("table_{n:02}")).collect();
    let syncs = names.iter().map(|name| sync(name, vec![every("hourly", HOUR)])).collect();
    let states: Vec<ScheduleState> =
        names.iter().map(|name| state(name, "hourly", "2026-03-01T12:00:00Z")).collect();
    let (mut agenda, _) = agenda(&project(syncs, Vec::new()), &states, true, "2026-03-01T12:00:00Z");
    let now = time("2026-03-01T13:00:00Z");
    let parts: Vec<usize> = (0..4).map(|_| agenda.due(now, 10, &mut String::new).len()).collect();
    assert_eq!(parts, [10, 10, 5, 0]);
}

#[test]
fn a_schedule_that_is_switched_off_has_no_instants() {
    let off = Schedule { enabled: false, ..every("hourly", HOUR) };
    let project = project(vec![sync("orders", vec![off])], Vec::new());
    let (agenda, first) = agenda(&project, &[], false, "2026-03-01T12:20:00Z");
    assert_eq!((agenda.next(), first), (None, Vec::new()));
}
