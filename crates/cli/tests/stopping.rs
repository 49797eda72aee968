//! Runs that a person stops.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::kit::{Ended, Place, until};

/// Starts a run that takes long enough to be stopped, and waits until it has written something.
fn in_mid_run(place: &Place, args: &[&str]) -> Child {
    place.syncline(&["check", "--fix"]).with_code(0);
    place.world().set_latency(Duration::from_millis(50));
    let mut command = place.command(args);
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the run writes", || place.world().counters().created > 0);
    run
}

fn signal(run: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &run.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn ctrl_c_stops_after_the_batch_in_hand() {
    for name in ["INT", "TERM"] {
        let place = Place::with_projects(3_000);
        let run = in_mid_run(&place, &["run"]);
        signal(&run, name);
        let ended: Ended = run.wait_with_output().unwrap().into();
        let ended = ended.with_code(1).saying("stopping after the batch in hand");
        assert!(ended.out.starts_with("projects: cancelled in "), "{}", ended.out);
        assert!(ended.err.ends_with(
            "error: projects: cancelled\nhint: what was done is recorded; `syncline run` goes on from there\n"
        ), "{}", ended.err);
        let status = place.syncline(&["status", "--json"]).with_code(0).json();
        assert_eq!(
            (&status[0]["last_run"]["status"], &status[0]["open_intents"]),
            (&"cancelled".into(), &0.into())
        );
        let written = place.items("Active Projects") + place.items("Closed Projects");
        assert!(written < 3_000, "it was stopped");
        assert_eq!(status[0]["known"], written);
        place.world().set_latency(Duration::ZERO);
        place.syncline(&["run"]).with_code(0);
        assert_eq!(place.items("Active Projects") + place.items("Closed Projects"), 3_000);
    }
}

#[test]
fn events_tell_that_a_run_was_cancelled() {
    let place = Place::with_projects(3_000);
    let run = in_mid_run(&place, &["run", "--json"]);
    signal(&run, "INT");
    let ended: Ended = run.wait_with_output().unwrap().into();
    let events = ended.with_code(1).json();
    assert_eq!(events.last().unwrap()["status"], "cancelled");
}

#[test]
fn a_dead_run_is_seen_by_status() {
    let place = Place::with_projects(3_000);
    let mut run = in_mid_run(&place, &["run"]);
    let before = place.syncline(&["status"]).with_code(0).out;
    assert!(before.lines().nth(1).unwrap().contains("running"), "{before}");
    run.kill().unwrap();
    run.wait().unwrap();
    place.syncline(&["status"]).with_code(0).saying("interrupted");
}

#[test]
fn the_simulator_ends_when_it_is_asked() {
    let place = Place::empty();
    let mut command = place.command(&["sim", "--unlimited"]);
    let sim = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut sim = sim;
    let mut out = std::io::BufReader::new(sim.stdout.take().unwrap());
    let mut first = String::new();
    std::io::BufRead::read_line(&mut out, &mut first).unwrap();
    assert!(first.starts_with("http://127.0.0.1:") && first.ends_with('\n'), "{first}");
    signal(&sim, "TERM");
    assert_eq!(sim.wait().unwrap().code(), Some(0));
}
