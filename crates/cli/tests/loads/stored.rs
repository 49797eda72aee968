//! The store in PostgreSQL, through the real binary.

use super::{
    kit::{Db, FAILPOINT, Loads, MIRROR, at_failpoint, server, start},
    server::Server,
};

/// A project whose store is a database of its own.
struct Stored {
    loads: Loads,
    store: Db,
}

impl Stored {
    fn on(server: &str) -> Self {
        let (loads, store) = (Loads::on(server), Db::create(server));
        loads.things(500);
        loads.project(&format!("{MIRROR}\nstore:\n  path: \"{}\"", store.url));
        Self { loads, store }
    }

    /// What a lease says is over when its time is.
    fn let_leases_end(&self) {
        self.store.sql("UPDATE lease SET until = clock_timestamp() - interval '1 second'");
    }

    fn statuses(&self) -> Vec<String> {
        self.store.rows("SELECT status FROM run ORDER BY id")
    }
}

#[test]
fn every_command_works_on_either_store() {
    let stored = Stored::on(&server());
    let place = &stored.loads.place;
    // What only looks makes nothing.
    place.syncline(&["status"]).with_code(0).saying("never");
    place.syncline(&["plan"]).with_code(0);
    place
        .syncline(&["runs"])
        .with_code(1)
        .saying("nothing has run yet: there is no store postgres://127.0.0.1:");
    assert_eq!(stored.store.one("SELECT count(*) FROM pg_class WHERE relname = 'run'"), "0");

    stored.loads.run(&["-q"]).with_code(0);
    stored.loads.same("things");
    place.syncline(&["status"]).with_code(0).saying("succeeded");
    place.syncline(&["runs"]).with_code(0).saying("succeeded");
    place.syncline(&["show", "1"]).with_code(0);
    place.syncline(&["parked", "list"]).with_code(0);
    place.syncline(&["held", "list"]).with_code(0);
    place.syncline(&["verify"]).with_code(0);
    place.syncline(&["reset", "things"]).with_code(0);
    // At once after another: whoever ends gives back what it held.
    stored.loads.run(&["-q"]).with_code(0);
    stored.loads.run(&["-q"]).with_code(0);
    assert_eq!(stored.statuses(), ["succeeded"; 3]);
    assert_eq!(stored.store.one("SELECT count(*) FROM lease"), "0");
    let audit = "SELECT sync, source, type, success, \"end\" IS NOT NULL FROM data_update WHERE id = 1";
    assert_eq!(stored.store.one(audit), "things|source|manual|t|t");
}

#[test]
fn a_store_is_moved_from_a_file_to_a_database() {
    let stored = Stored::on(&server());
    let place = &stored.loads.place;
    place.syncline(&["run", "-q", "--store", "old.db"]).with_code(0);
    place.syncline(&["backup", "move.jsonl.gz", "--store", "old.db"]).with_code(0).saying("rows");
    place.syncline(&["restore", "move.jsonl.gz"]).with_code(0).saying("restored");
    place.syncline(&["runs"]).with_code(0).saying("succeeded");
    place.syncline(&["restore", "move.jsonl.gz"]).with_code(1).saying("it is not empty").saying("--replace");
    place.syncline(&["restore", "move.jsonl.gz", "--replace"]).with_code(2).saying("--yes");
    place.syncline(&["restore", "move.jsonl.gz", "--replace", "--yes"]).with_code(0);
    stored.loads.run(&["-q"]).with_code(0);
    assert_eq!(stored.statuses(), ["succeeded"; 2]);
}

#[test]
fn a_killed_run_is_followed_when_its_lease_is_over() {
    const PLACES: [&str; 4] = [
        "store.claim.after_commit",
        "store.start_run.after_commit",
        "engine.load.committed",
        "store.finish_run.before_commit",
    ];
    for point in PLACES {
        let mut stored = Stored::on(&server());
        stored.loads.run(&["-q"]).with_code(0);
        stored.loads.from.sql("UPDATE things SET name = 'changed', updated_at = now() WHERE id <= 20");
        stored.loads.place.set(FAILPOINT, &format!("{point}=crash"));
        let (mut child, mut said) = start(&stored.loads.place, &["run", "-q"]);
        at_failpoint(&mut said);
        child.kill().unwrap();
        child.wait().unwrap();
        stored.loads.place.unset(FAILPOINT);
        stored.loads.run(&["-q"]).with_code(1).saying("is being run by another process").saying("process ");
        stored.let_leases_end();
        stored.loads.run(&["-q"]).with_code(0);
        stored.loads.same("things");
        let expected = if point == PLACES[0] {
            vec!["succeeded", "succeeded"]
        } else {
            vec!["succeeded", "interrupted", "succeeded"]
        };
        assert_eq!(stored.statuses(), expected, "{point}");
    }
}

#[test]
fn the_database_of_the_store_restarts_in_the_middle() {
    let mut home = Server::start();
    let mut stored = Stored::on(&home.url());
    stored.loads.place.set(FAILPOINT, "engine.load.staging=crash");
    let (mut child, mut said) = start(&stored.loads.place, &["run", "-q"]);
    at_failpoint(&mut said);
    home.shut_down();
    child.kill().unwrap();
    child.wait().unwrap();
    stored.loads.place.unset(FAILPOINT);
    stored
        .loads
        .run(&["-q"])
        .with_code(1)
        .saying("store postgres://127.0.0.1:")
        .saying("that the server runs");
    home.go();
    (stored.loads.from, stored.loads.to) = (stored.loads.from.again(), stored.loads.to.again());
    stored.store = stored.store.again();
    stored.let_leases_end();
    stored.loads.run(&["-q"]).with_code(0);
    stored.loads.same("things");
    assert_eq!(stored.statuses(), ["interrupted", "succeeded"]);
}

#[test]
fn an_address_that_is_wrong_is_told_without_its_password() {
    let loads = Loads::new();
    loads.things(3);
    loads.project(MIRROR);
    for (url, expected) in [
        ("postgres://me:hunter2@127.0.0.1:1/none", "store postgres://127.0.0.1:1/none: "),
        ("postgres://me:hunter2@127.0.0.1:port/none", "this is not a PostgreSQL address"),
    ] {
        let ended = loads.place.syncline(&["run", "-q", "--store", url]).with_code(1).saying(expected);
        assert!(!ended.err.contains("hunter2") && !ended.out.contains("hunter2"), "{}", ended.err);
        assert!(ended.err.contains("hint: "), "{}", ended.err);
    }
}
