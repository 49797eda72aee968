//! Health, at literal times.

use std::collections::{BTreeMap, BTreeSet};

use syncline_core::{run::Status, sync::Mode};
use syncline_engine::service::health::{Level, of_sync, overall};
use syncline_store::{Run, service::Summary};

use super::kit::{HOUR, cron, every, sync, time};

fn run(status: Status) -> Run {
    Run {
        id: 7,
        sync: "orders".into(),
        mode: "incremental".into(),
        reason: None,
        about: syncline_store::About::default(),
        status,
        started_at: time("2026-03-01T11:50:00Z"),
        finished_at: None,
        counts: Default::default(),
        by_stream: BTreeMap::new(),
        error: (status == Status::Failed).then(|| ("unreachable".into(), "no answer".into())),
        notes: Vec::new(),
    }
}

/// A sync whose last success ended then.
fn summary(succeeded: Option<&str>, last: Status, failures: u64) -> Summary {
    let at = succeeded.map(time);
    Summary {
        sync: "orders".into(),
        last: Some(run(last)),
        last_success_started_at: at,
        last_success_at: at,
        by_schedule: at.map(|at| ("hourly".to_owned(), (at, at))).into_iter().collect(),
        failures,
        cursor: None,
        parked: 0,
        conflicted: 0,
        held: 0,
    }
}

fn hourly(summary: &Summary) -> (Level, String, bool) {
    let sync = sync("orders", vec![every("hourly", HOUR)]);
    let health = of_sync(&sync, Some(summary), &BTreeSet::new(), time("2026-03-01T12:00:00Z"));
    (health.level, health.reason, health.late)
}

#[test]
fn within_its_interval_is_healthy() {
    let health = hourly(&summary(Some("2026-03-01T11:05:00Z"), Status::Succeeded, 0));
    assert_eq!(health, (Level::Healthy, "succeeded 55 min ago".into(), false));
    let taking_its_time = hourly(&summary(Some("2026-03-01T10:55:00Z"), Status::Running, 0));
    assert_eq!(taking_its_time.0, Level::Healthy, "the run that is due is under way");
}

#[test]
fn late_is_degraded_and_more_than_twice_late_is_unhealthy() {
    let late = hourly(&summary(Some("2026-03-01T10:50:00Z"), Status::Succeeded, 0));
    let reason = "late: schedule \"hourly\" succeeded last 70 min ago".to_owned();
    assert_eq!(late, (Level::Degraded, reason, true));
    let twice = hourly(&summary(Some("2026-03-01T09:00:00Z"), Status::Failed, 3));
    let reason =
        "more than twice late: schedule \"hourly\" succeeded last 3 h ago; run 7 failed (unreachable)";
    assert_eq!(twice, (Level::Unhealthy, reason.into(), true));
}

#[test]
fn a_last_run_that_failed_is_degraded() {
    let health = hourly(&summary(Some("2026-03-01T11:30:00Z"), Status::Failed, 2));
    assert_eq!(health, (Level::Degraded, "run 7 failed (unreachable), 2 in a row".into(), false));
}

#[test]
fn what_never_succeeded_is_unhealthy() {
    let failed = hourly(&summary(None, Status::Failed, 1));
    assert_eq!(failed, (Level::Unhealthy, "never succeeded: run 7 failed (unreachable)".into(), true));
    let sync = sync("orders", vec![every("hourly", HOUR)]);
    let never = of_sync(&sync, None, &BTreeSet::new(), time("2026-03-01T12:00:00Z"));
    assert_eq!((never.level, never.late), (Level::Unhealthy, true));
}

#[test]
fn a_sync_without_a_schedule_is_judged_by_its_last_run() {
    let sync = sync("orders", Vec::new());
    let now = time("2026-03-01T12:00:00Z");
    let of = |summary: Option<&Summary>| of_sync(&sync, summary, &BTreeSet::new(), now).level;
    assert_eq!(of(None), Level::Healthy);
    assert_eq!(of(Some(&summary(Some("2020-01-01T00:00:00Z"), Status::Succeeded, 0))), Level::Healthy);
    assert_eq!(of(Some(&summary(Some("2020-01-01T00:00:00Z"), Status::Failed, 1))), Level::Degraded);
}

#[test]
fn a_paused_schedule_is_not_late() {
    let sync = sync("orders", vec![every("hourly", HOUR)]);
    let old = summary(Some("2026-02-01T12:00:00Z"), Status::Succeeded, 0);
    let paused = BTreeSet::from(["hourly".to_owned()]);
    assert_eq!(of_sync(&sync, Some(&old), &paused, time("2026-03-01T12:00:00Z")).level, Level::Healthy);
}

#[test]
fn a_heavier_run_keeps_the_lighter_schedule_in_time_and_not_the_other_way_round() {
    let mass = syncline_core::schedule::Schedule { mode: Some(Mode::Full), ..every("mass", 24 * HOUR) };
    let sync = sync("orders", vec![every("hourly", HOUR), mass]);
    let now = time("2026-03-01T12:00:00Z");
    let success = |label: &str, at: &str| (label.to_owned(), (time(at), time(at)));
    let mut by_mass = summary(Some("2026-03-01T11:50:00Z"), Status::Succeeded, 0);
    by_mass.by_schedule =
        BTreeMap::from([success("hourly", "2026-03-01T08:00:00Z"), success("mass", "2026-03-01T11:50:00Z")]);
    assert_eq!(of_sync(&sync, Some(&by_mass), &BTreeSet::new(), now).level, Level::Healthy);
    let mut by_hourly = by_mass;
    by_hourly.by_schedule =
        BTreeMap::from([success("hourly", "2026-03-01T11:50:00Z"), success("mass", "2026-02-26T11:50:00Z")]);
    let health = of_sync(&sync, Some(&by_hourly), &BTreeSet::new(), now);
    assert_eq!(health.level, Level::Unhealthy);
    assert_eq!(health.reason, "more than twice late: schedule \"mass\" succeeded last 3 days ago");
}

#[test]
fn a_cron_may_be_silent_as_long_as_its_largest_gap() {
    let sync = sync("orders", vec![cron("working days", "0 6 * * 1-5", "UTC")]);
    let friday = summary(Some("2026-02-27T06:05:00Z"), Status::Succeeded, 0);
    let level = |now: &str| of_sync(&sync, Some(&friday), &BTreeSet::new(), time(now)).level;
    assert_eq!(level("2026-03-02T06:03:00Z"), Level::Healthy, "Monday, before the run has ended");
    assert_eq!(level("2026-03-02T07:00:00Z"), Level::Degraded);
}

#[test]
fn the_worst_is_the_health_of_all() {
    assert_eq!(overall([]), Level::Healthy);
    assert_eq!(overall([Level::Healthy, Level::Unhealthy, Level::Degraded]), Level::Unhealthy);
}
