//! Every failpoint of loads with every action.

use super::kit::{FAILPOINT, Loads, MIRROR, at_failpoint, go_on, project, start};
use crate::kit::Place;

const PLACES: [&str; 3] = ["engine.load.staging", "engine.load.before_commit", "engine.load.committed"];

/// Ways of writing, and whether the second run reads everything.
const WRITES: [&str; 4] = ["mirror", "upsert", "replace", "append"];

fn prepared(write: &str) -> Loads {
    let loads = Loads::new();
    loads.things(500);
    loads.project(&sync(write));
    loads.run(&["-q"]).with_code(0);
    loads.from.sql("UPDATE things SET name = 'changed', updated_at = now() WHERE id <= 20");
    loads.from.sql("INSERT INTO things VALUES (1001, 'new', 1, now())");
    loads
}

fn sync(write: &str) -> String {
    MIRROR.replace("write: mirror", &format!("write: {write}"))
}

/// What must be there in the end: what was appended before a change stays.
fn arrived(loads: &Loads, write: &str) {
    if write == "append" {
        let (all, twice) =
            ("SELECT count(*) FROM things", "SELECT count(*) - count(DISTINCT t::text) FROM things t");
        assert_eq!((loads.to.one(all), loads.to.one(twice)), ("521".into(), "0".into()));
        assert_eq!(loads.to.leftovers(), Vec::<String>::new());
    } else {
        loads.same("things");
    }
}

#[test]
fn an_error_leaves_all_or_nothing() {
    for write in WRITES {
        for place in PLACES {
            let mut loads = prepared(write);
            let before = loads.to.digest("things");
            loads.place.set(FAILPOINT, &format!("{place}=error"));
            let ended = loads.run(&["-q"]).with_code(1).saying(place).saying("hint: ");
            assert!(!ended.err.contains("panicked"), "{}", ended.err);
            loads.place.unset(FAILPOINT);
            if place == "engine.load.committed" {
                arrived(&loads, write);
            } else {
                assert_eq!(loads.to.digest("things"), before, "{write} {place}");
                assert_eq!(loads.to.leftovers(), Vec::<String>::new(), "{write} {place}");
            }
            loads.run(&["-q"]).with_code(0);
            arrived(&loads, write);
        }
    }
}

#[test]
fn a_crash_leaves_all_or_nothing() {
    for write in WRITES {
        for place in PLACES {
            let mut loads = prepared(write);
            let before = loads.to.digest("things");
            loads.place.set(FAILPOINT, &format!("{place}=crash"));
            let (mut child, mut said) = loads.start(&["run", "-q"]);
            at_failpoint(&mut said);
            child.kill().unwrap();
            child.wait().unwrap();
            loads.place.unset(FAILPOINT);
            assert_eq!(
                loads.to.digest("things") == before,
                place != "engine.load.committed",
                "{write} {place}"
            );
            loads.run(&["-q"]).with_code(0);
            arrived(&loads, write);
        }
    }
}

#[test]
fn a_load_that_waits_keeps_others_out_and_goes_on() {
    for place in PLACES {
        let mut loads = prepared("mirror");
        loads.place.set(FAILPOINT, &format!("{place}=delay"));
        let (child, mut said) = loads.start(&["run", "-q"]);
        at_failpoint(&mut said);
        loads.from.sql("UPDATE things SET name = 'meanwhile', updated_at = now() WHERE id = 7");
        // the same sync of another machine, and another sync into the same table
        for name in ["things", "others"] {
            let rival = Place::empty();
            let text = MIRROR.replace("  things:", &format!("  {name}:"));
            let text = text.replace("table: public.things }", "table: public.things, lock_timeout: 300ms }");
            rival.write("syncline.yaml", project(&loads.from.url, &loads.to.url, &text));
            let refused = rival.syncline(&["run", "-q"]).with_code(1);
            let refused =
                refused.saying("public.things is being loaded by process").saying("to.lock_timeout");
            assert!(refused.err.contains("nothing was changed"), "{}", refused.err);
        }
        let rival = start(&loads.place, &["run", "-q"]);
        drop(rival.1);
        let (mut rival, _) = (rival.0, ());
        drop(rival.stdin.take());
        assert_eq!(rival.wait().unwrap().code(), Some(1), "the same sync of this project");
        go_on(child, said).with_code(0);
        loads.place.unset(FAILPOINT);
        loads.run(&["-q"]).with_code(0);
        loads.same("things");
    }
}
