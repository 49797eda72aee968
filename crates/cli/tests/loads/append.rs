//! What is appended is there exactly once.

use super::kit::{FAILPOINT, Loads, at_failpoint};

const LOG: &str = r"  log:
    from: { connection: source, table: public.log, cursor: at }
    to: { connection: cache, table: public.log }
    write: append";

fn log(kind: &str, now: &str) -> Loads {
    let loads = Loads::new();
    loads.from.sql(&format!(
        "CREATE TABLE log (id bigserial PRIMARY KEY, at {kind} NOT NULL DEFAULT {now}, text text); \
         INSERT INTO log (text) SELECT 'first' FROM generate_series(1, 500)"
    ));
    loads.project(LOG);
    loads
}

#[test]
fn a_transaction_that_was_open_during_the_first_load_is_appended_once() {
    let loads = log("timestamptz", "now()");
    let open = loads.from.again();
    open.sql("BEGIN; INSERT INTO log (text) VALUES ('open')");
    // later than the one that is open, and in the first snapshot
    loads.from.sql("INSERT INTO log (text) SELECT 'between' FROM generate_series(1, 50)");
    loads.run(&["-q"]).with_code(0);
    open.sql("COMMIT");
    for _ in 0..3 {
        loads.from.sql("INSERT INTO log (text) VALUES ('more')");
        loads.run(&["-q"]).with_code(0);
    }
    loads.same("log");
}

#[test]
fn killed_at_every_place_nothing_is_appended_twice() {
    let mut loads = log("timestamptz", "clock_timestamp()");
    for round in 0..3 {
        for place in ["engine.load.staging", "engine.load.before_commit", "engine.load.committed"] {
            loads.from.sql("INSERT INTO log (text) SELECT 'more' FROM generate_series(1, 30)");
            loads.place.set(FAILPOINT, &format!("{place}=crash"));
            let (mut child, mut said) = loads.start(&["run", "-q"]);
            at_failpoint(&mut said);
            child.kill().unwrap();
            child.wait().unwrap();
            loads.place.unset(FAILPOINT);
            let twice = loads.to.try_sql("SELECT 1 / (count(*) = count(DISTINCT id))::int FROM log");
            assert!(
                round == 0 && place != "engine.load.committed" || twice.is_ok(),
                "{place}: appended twice"
            );
        }
    }
    loads.run(&["-q"]).with_code(0);
    loads.same("log");
}

#[test]
fn a_record_that_changes_is_appended_again() {
    let loads = log("timestamptz", "now()");
    loads.run(&["-q"]).with_code(0);
    loads.from.sql("UPDATE log SET text = 'second', at = now() WHERE id = 1");
    loads.run(&["-q"]).with_code(0);
    assert_eq!(loads.to.rows("SELECT text FROM log WHERE id = 1 ORDER BY 1"), ["first", "second"]);
    assert_eq!(loads.to.one("SELECT count(*) FROM log"), "501");
}

#[test]
fn of_a_day_that_is_not_over_nothing_is_appended_yet() {
    let loads = log("date", "(now() AT TIME ZONE 'UTC')::date - 1");
    loads.from.sql("INSERT INTO log (at, text) VALUES ((now() AT TIME ZONE 'UTC')::date, 'today')");
    for _ in 0..2 {
        loads.run(&["-q"]).with_code(0);
        assert_eq!(loads.to.rows("SELECT text, count(*) FROM log GROUP BY 1"), ["first|500"]);
    }
}

#[test]
fn a_large_table_is_appended_in_parts_and_once() {
    let loads = log("timestamptz", "now()");
    // more blocks than are read in one part, wherever there are two cores
    loads.from.sql("INSERT INTO log (text) SELECT repeat('x', 1000) FROM generate_series(1, 10000)");
    for _ in 0..2 {
        loads.run(&["-q"]).with_code(0);
    }
    loads.same("log");
}
