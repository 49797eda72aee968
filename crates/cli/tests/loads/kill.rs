//! SIGKILL at random moments of full and incremental loads, with the database restarted at some of them.

use std::{
    os::unix::process::ExitStatusExt,
    process::Stdio,
    time::{Duration, Instant},
};

use super::{kit::Loads, server::Server};

const KILLS: u64 = 100;
/// At every tenth the database goes down too.
const RESTART_EVERY: u64 = 10;
/// After so many kills everything is looked at.
const LOOK_EVERY: u64 = 25;

/// What is appended is never read in full again: it would be there twice.
const FULL: &[&str] = &["run", "-q", "--mode", "full", "things", "whole"];
const INCREMENTAL: &[&str] = &["run", "-q"];

const SYNCS: &str = r"  things:
    from: { connection: source, table: public.things, cursor: updated_at }
    to: { connection: cache, table: public.things }
    write: mirror
    deletes: { policy: delete, guard: { count: 100000, percent: 100 } }
  whole:
    from: { connection: source, table: public.things }
    to: { connection: cache, table: public.whole }
    write: replace
    deletes: { policy: delete, guard: { count: 100000, percent: 100 } }
  log:
    from: { connection: source, table: public.log, cursor: at }
    to: { connection: cache, table: public.log }
    write: append";

#[test]
fn killed_at_a_hundred_moments_with_ten_restarts_both_sides_agree() {
    let seed = 20_261_127;
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut server = Server::start();
    let mut loads = Loads::on(&server.url());
    loads.things(3_000);
    loads
        .from
        .sql("CREATE TABLE log (id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), text text)");
    loads.project(SYNCS);
    loads.run(&["-q"]).with_code(0);
    // killed anywhere from before the first byte to after the last one
    let longest = [FULL, INCREMENTAL].map(|args| took(&loads, args));
    let (mut killed, mut round) = (0, 0);
    while killed < KILLS {
        round += 1;
        assert!(round < 4 * KILLS, "runs end before they are killed: {killed} of {round}");
        change(&loads, &mut random);
        let restarts = killed % RESTART_EVERY == 0;
        let full = random.bool();
        let longest = longest[usize::from(!full)];
        let moment = Duration::from_micros(random.u64(0..u64::try_from(longest.as_micros()).unwrap()));
        let mut command = loads.place.command(if full { FULL } else { INCREMENTAL });
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait(moment);
        if restarts {
            server.shut_down();
        }
        child.kill().unwrap();
        killed += u64::from(child.wait().unwrap().signal() == Some(9));
        if restarts {
            server.go();
            (loads.from, loads.to) = (loads.from.again(), loads.to.again());
        }
        if killed % LOOK_EVERY == LOOK_EVERY - 1 {
            look(&loads);
        }
    }
    println!("{killed} kills in {round} runs");
    look(&loads);
    // the cursors say what the tables hold: nothing is left to do, and what comes is found
    let state = "SELECT sync, position FROM syncline_state ORDER BY sync";
    let before = loads.to.rows(state).len();
    assert_eq!(before, 3);
    let again = loads.run(&["--json"]).with_code(0);
    for event in again.json().iter().filter(|event| event["event"] == "finished") {
        let counts = &event["counts"];
        let changed =
            [&counts["created"], &counts["updated"], &counts["deleted"]].map(|n| n.as_u64().unwrap());
        let wanted = if event["sync"] == "whole" {
            loads.to.one("SELECT count(*) FROM whole").parse().unwrap()
        } else {
            0
        };
        assert_eq!(changed, [wanted, 0, 0], "{event}");
    }
    loads
        .from
        .sql("UPDATE things SET name = 'later', updated_at = now() WHERE id = (SELECT min(id) FROM things)");
    loads.from.sql("INSERT INTO log (text) VALUES ('later')");
    loads.place.syncline(INCREMENTAL).with_code(0);
    assert_eq!(loads.to.one("SELECT count(*) FROM things WHERE name = 'later'"), "1");
    loads.same("things");
    loads.same("log");
}

/// How long an undisturbed run takes.
#[expect(clippy::disallowed_methods, reason = "the length of a real run")]
fn took(loads: &Loads, args: &[&str]) -> Duration {
    let start = Instant::now();
    loads.place.syncline(args).with_code(0);
    start.elapsed()
}

#[expect(clippy::disallowed_methods, reason = "a kill comes at a moment, not at a signal")]
fn wait(moment: Duration) {
    std::thread::sleep(moment);
}

fn change(loads: &Loads, random: &mut fastrand::Rng) {
    let (some, other) = (random.u32(0..3_500), random.u32(0..3_500));
    loads.from.sql(&format!(
        "UPDATE things SET amount = amount + 1, updated_at = now() WHERE id BETWEEN {some} AND {some} + 30; \
         DELETE FROM things WHERE id BETWEEN {other} AND {other} + 3; \
         INSERT INTO things SELECT i, 'new', 0, now() FROM generate_series({some} + 10, {some} + 15) i ON CONFLICT DO NOTHING; \
         INSERT INTO log (text) SELECT 'line' FROM generate_series(1, 20)"
    ));
}

/// One full run later both sides are equal, what was appended is there once, and nothing is left behind.
fn look(loads: &Loads) {
    loads.place.syncline(FULL).with_code(0);
    loads.place.syncline(INCREMENTAL).with_code(0);
    loads.same("things");
    assert_eq!(loads.from.digest("things"), loads.to.digest("whole"));
    assert_eq!(loads.to.one("SELECT count(*) - count(DISTINCT id) FROM log"), "0", "appended twice");
}
