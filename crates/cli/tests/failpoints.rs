//! Arming a failpoint by hand, as `docs/failpoints.md` says.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use syncline_core::failpoint::PLACES;

use crate::kit::Place;

const VARIABLE: &str = "SYNCLINE_FAILPOINT";

#[test]
fn a_name_that_is_not_there_is_a_mistake_of_whoever_typed_it() {
    let mut place = Place::with_projects(1);
    for (asked, why) in [
        ("store.intent.after_commit=crash", "there is no failpoint \"store.intent.after_commit\""),
        ("store.intend.after_commit=panic", "the action is one of error, crash and delay"),
        ("store.intend.after_commit", "it must read NAME=ACTION or NAME=ACTION@HIT"),
    ] {
        place.set(VARIABLE, asked);
        let ended = place.syncline(&["run"]).with_code(2);
        let hint = format!("hint: failpoints: {}\n", PLACES.join(", "));
        assert_eq!(ended.err, format!("error: {VARIABLE}: {why}\n{hint}"));
        assert!(!place.path(".syncline").exists(), "nothing was done");
    }
}

#[test]
fn an_error_stops_the_run_and_the_next_one_goes_on() {
    let mut place = Place::with_projects(30);
    place.syncline(&["check", "--fix"]).with_code(0);
    place.set(VARIABLE, "engine.send.after=error");
    let ended = place.syncline(&["run", "-q"]).with_code(1);
    assert_eq!(
        ended.err,
        "syncline failpoint engine.send.after: error\n\
         error: projects: going on: failpoint engine.send.after: an error was asked for\n\
         hint: what was done is recorded; `syncline run` goes on from there\n"
    );
    place.unset(VARIABLE);
    let status = place.syncline(&["status", "--json"]).with_code(0).json();
    assert_eq!(
        (&status[0]["last_run"]["status"], &status[0]["open_intents"]),
        (&"failed".into(), &30.into())
    );
    place
        .syncline(&["run"])
        .with_code(0)
        .saying("an interrupted run left 30 operations open; each was looked up in the destination");
    assert_eq!(place.items("Active Projects") + place.items("Closed Projects"), 30);
}

#[test]
fn a_run_that_cannot_begin_says_what_to_do_next() {
    let mut place = Place::after_first_run(3);
    place.set(VARIABLE, "store.claim.before_commit=error");
    assert_eq!(
        place.syncline(&["run", "-q"]).with_code(1).err,
        "syncline failpoint store.claim.before_commit: error\n\
         error: projects: the store failed: store .syncline/store.db: failpoint store.claim.before_commit: an error was asked for\n\
         hint: look at the store's file, its disk and its permissions, then try again; what is recorded stays\n"
    );
    place.set(VARIABLE, "connect.sharepoint.before_send=error");
    let ended = place.syncline(&["run", "-q"]).with_code(1);
    assert!(
        ended.err.ends_with("\nhint: what was done is recorded; `syncline run` goes on from there\n"),
        "{}",
        ended.err
    );
}

#[test]
fn a_delay_waits_for_a_line_and_keeps_others_out() {
    let mut place = Place::after_first_run(5);
    place.set(VARIABLE, "engine.send.before=delay");
    place.sql("UPDATE projects SET budget = 7");
    let mut command = place.command(&["run"]);
    let mut run =
        command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(run.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("syncline failpoint ") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended without reaching the place");
    }
    assert_eq!(line, "syncline failpoint engine.send.before: delay\n");
    place.unset(VARIABLE);
    place.syncline(&["run"]).with_code(1).saying("is being run by another process");
    drop(run.stdin.take());
    said.read_to_string(&mut line).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(0), "{line}");
    place.syncline(&["plan", "--exit-code"]).with_code(0);
}
