//! Services that are stopped, killed, and run beside each other.

use std::time::{Duration, Instant};

use super::kit::{Service, place, stored, until_arrived, until_told, until_within};
use crate::kit::{PROJECT as PUSH, Place, until};

/// The push into the simulator, by schedule.
fn pushing(rows: u32, grace: &str) -> Place {
    let place = Place::with_projects(rows);
    let project = PUSH.replace("    deletes: delete\n", "    deletes: delete\n    schedule: { every: 1h }\n");
    place.write("syncline.yaml", format!("{project}server: {{ grace: {grace} }}\n"));
    place.syncline(&["check", "--fix"]).with_code(0);
    place
}

fn items(place: &Place) -> usize {
    place.items("Active Projects") + place.items("Closed Projects")
}

/// Starts a service and waits until it is in the middle of its first run.
fn in_mid_run(place: &Place) -> Service {
    place.world().set_latency(Duration::from_millis(50));
    let service = Service::start(place, "one", &[]);
    until("the run writes", || place.world().counters().created > 0);
    service
}

/// Serves until every row is an item, and stops.
fn finish(place: &Place, rows: usize) {
    place.world().set_latency(Duration::ZERO);
    let service = Service::start(place, "two", &[]);
    // The lease of one that was ended at once holds for another 30 seconds.
    until_within(Duration::from_secs(60), "the run has ended", || {
        stored(place, "SELECT count(*) FROM run WHERE status = 'succeeded'") == Some(1)
    });
    service.stop();
    assert_eq!(items(place), rows, "nothing is there twice");
    assert_eq!(stored(place, "SELECT count(*) FROM run WHERE status IN ('queued', 'running')"), Some(0));
}

#[test]
fn a_never_synced_sync_runs_at_once_and_a_stop_is_in_order() {
    let place = place(1_000);
    let service = Service::start(&place, "one", &[]);
    assert_eq!((&service.ready["syncs"], &service.ready["schedules"]), (&1.into(), &1.into()));
    until_arrived(&place, 1_000);
    service.stop();
    place.syncline(&["occurrences", "list", "--json"]).with_code(0).saying("\"state\":\"done\"");
    let runs = place.syncline(&["runs", "--json"]).with_code(0).json();
    assert!(runs.iter().all(|run| run["status"] == "succeeded"), "{runs:?}");
}

#[test]
fn sigterm_during_a_run_loses_nothing() {
    let place = pushing(3_000, "30s");
    let service = in_mid_run(&place);
    service.stop();
    assert!(items(&place) < 3_000, "it was stopped in the middle");
    assert_eq!(stored(&place, "SELECT count(*) FROM run WHERE status = 'running'"), Some(0));
    assert_eq!(stored(&place, "SELECT count(*) FROM occurrence WHERE state = 'waiting'"), Some(1));
    finish(&place, 3_000);
}

#[test]
fn a_stop_takes_no_longer_than_the_grace() {
    let place = pushing(3_000, "2s");
    let service = in_mid_run(&place);
    // A batch takes longer than the grace now.
    place.world().set_latency(Duration::from_secs(20));
    let took = took(|| service.stop());
    assert!(took < Duration::from_secs(2 + 8), "{took:?}");
    finish(&place, 3_000);
}

#[expect(clippy::disallowed_methods, reason = "the length of a real stop")]
fn took<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

#[test]
fn a_second_signal_ends_at_once() {
    let place = pushing(3_000, "30s");
    let service = in_mid_run(&place);
    place.world().set_latency(Duration::from_secs(20));
    service.signal("TERM");
    let log = place.path("one.log");
    until("it is stopping", || std::fs::read_to_string(&log).unwrap().contains("stopping"));
    service.signal("INT");
    let (status, log) = service.ended();
    assert_eq!(status.code(), Some(130), "{log}");
    finish(&place, 3_000);
}

#[test]
fn start_up_after_sigkill() {
    let place = pushing(3_000, "30s");
    in_mid_run(&place).kill();
    let open = "SELECT count(*) FROM data_update WHERE \"end\" IS NULL";
    assert_eq!(stored(&place, open), Some(1), "the operation is open");
    place.world().set_latency(Duration::ZERO);
    let service = Service::start(&place, "two", &[]);
    until("the dead operation is closed as failed", || {
        stored(&place, "SELECT count(*) FROM data_update WHERE success = 0") == Some(1)
    });
    service.stop();
    finish(&place, 3_000);
}

#[test]
fn two_schedulers_on_one_store() {
    let place = place(100);
    let syncs: String = (0..5)
        .map(|n| {
            format!(
                "  s{n}:\n    from: {{ connection: erp, table: projects, key: [code] }}\n    to: {{ connection: cache, table: t{n} }}\n    \
                 mode: full\n    write: upsert\n    schedule: {{ every: 1s, overlap: queue }}\n"
            )
        })
        .collect();
    place.write("syncline.yaml", format!("{}{syncs}", super::kit::PROJECT));
    let services = [Service::start(&place, "one", &[]), Service::start(&place, "two", &[])];
    until("sixty occurrences were carried out", || {
        stored(&place, "SELECT count(*) FROM occurrence WHERE state = 'done'") >= Some(60)
    });
    let by_node = |node: &str| {
        stored(
            &place,
            &format!("SELECT count(*) FROM occurrence WHERE node LIKE '{node}.%' AND state = 'done'"),
        )
    };
    assert!(by_node("one") > Some(0) && by_node("two") > Some(0), "both work");
    services.into_iter().for_each(|service| drop(service.stop()));
    let twice = "SELECT count(*) FROM (SELECT 1 FROM run GROUP BY correlation HAVING count(*) > 1)";
    assert_eq!(stored(&place, twice), Some(0), "nothing was carried out twice");
    let done = stored(&place, "SELECT count(*) FROM occurrence WHERE state = 'done'");
    let runs = stored(&place, "SELECT count(DISTINCT run) FROM occurrence WHERE state = 'done'");
    assert_eq!(done, runs, "each was carried out by a run of its own");
    assert_eq!(stored(&place, "SELECT count(*) FROM run WHERE status = 'failed'"), Some(0));
}

#[test]
fn what_is_paused_does_not_start() {
    let place = place(10);
    place.syncline(&["pause", "projcts"]).with_code(2).saying("did you mean \"projects\"?");
    let service = Service::start(&place, "one", &[]);
    until_arrived(&place, 10);
    place.syncline(&["pause", "projects"]).with_code(0).saying("sync \"projects\": paused");
    place.syncline(&["pause", "projects"]).with_code(0).saying("paused already");
    until_told(&place, "schedule.paused", 1);
    until("nothing runs", || {
        stored(&place, "SELECT count(*) FROM occurrence WHERE state IN ('waiting', 'claimed')") == Some(0)
    });
    let count = || stored(&place, "SELECT count(*) FROM occurrence");
    let before = count();
    // The service goes on all the while: what it does next is after the pause.
    place.write("syncline.yaml", format!("{}# a comment\n", super::kit::PROJECT));
    until_told(&place, "definition.changed", 1);
    assert_eq!(count(), before);
    place.syncline(&["unpause", "projects"]).with_code(0);
    until("it runs again", || count() > before);
    service.stop();
}
