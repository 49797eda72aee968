//! Parts of a table, through the command line: values, a user's token, and what is said when they are missing.

use base64::Engine as _;

use super::kit::{FAILPOINT, Loads, at_failpoint};

const ANN: &str = "0d9b7a1e-6a9e-4d0e-9a54-3b9d7f1c2e10";
const BOB: &str = "5f6c1d52-0f0b-4c5e-8f1c-7c2a7c6de0aa";

const SYNC: &str = r#"  attendance:
    from: { connection: source, table: public.people }
    params: [session]
    to:
      connection: cache
      table: public.attendance
      partition: { owner_id: owner, session_id: session }
      after:
        - SELECT 1 FROM sessions WHERE session_id = :session AND owner_id = :owner FOR UPDATE
        - >-
          UPDATE sessions SET last_sync_at = :run_at, run = :run, people = (SELECT count(*) FROM attendance a
          WHERE a.session_id = :session AND a.owner_id = :owner) WHERE session_id = :session AND owner_id = :owner
    write: mirror
    deletes: { policy: delete, guard: { count: 100000, percent: 100 } }
    fields: { id: id, name: name, loaded_at: { param: run_at } }
  plain:
    from: { connection: source, table: public.people }
    to: { connection: cache, table: public.plain }"#;

/// A token as a directory issues it; nobody verifies it here.
fn token(owner: &str) -> String {
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let claims =
        format!(r#"{{"aud":"api://syncline","oid":"{owner}","tid":"11111111-2222-3333-4444-555555555555"}}"#);
    format!("{}.{}.{}\n", encode(r#"{"alg":"RS256"}"#), encode(&claims), encode("signature"))
}

fn people(rows: u32) -> Loads {
    let loads = Loads::new();
    loads.from.sql(&format!(
        "CREATE TABLE people (id bigint PRIMARY KEY, name text); \
         INSERT INTO people SELECT i, 'person ' || i FROM generate_series(1, {rows}) i"
    ));
    loads.to.sql(&format!(
        "CREATE TABLE sessions (owner_id uuid, session_id integer, last_sync_at timestamptz, run bigint, people integer, \
           PRIMARY KEY (owner_id, session_id)); \
         INSERT INTO sessions (owner_id, session_id) VALUES ('{ANN}', 1), ('{ANN}', 2), ('{BOB}', 1); \
         CREATE TABLE attendance (owner_id uuid NOT NULL, session_id integer NOT NULL, id bigint NOT NULL, name text, \
           loaded_at timestamptz, PRIMARY KEY (owner_id, session_id, id))"
    ));
    loads.project(SYNC);
    loads.place.write("ann", token(ANN));
    loads.place.write("bob", token(BOB));
    loads
}

const COUNTS: &str =
    "SELECT left(owner_id::text, 2), session_id, count(*) FROM attendance GROUP BY 1, 2 ORDER BY 1, 2";

#[test]
fn a_part_is_loaded_for_a_user() {
    let loads = people(5_000);
    let of = |user: &str, session: &str, rest: &[&str]| {
        let session = format!("session={session}");
        let args = ["attendance", "--param", &session, "--user-token-file", user];
        loads.run(&[&args, rest].concat())
    };
    let planned =
        loads.place.syncline(&["plan", "attendance", "--param", "session=1", "--user-token-file", "ann"]);
    planned.with_code(0).saying("create");
    of("ann", "1", &["-q"]).with_code(0);
    of("ann", "2", &["-q"]).with_code(0);
    of("bob", "1", &["-q"]).with_code(0);
    assert_eq!(loads.to.rows(COUNTS), ["0d|1|5000", "0d|2|5000", "5f|1|5000"]);
    let sessions = "SELECT people, last_sync_at > now() - interval '1 hour', run FROM sessions ORDER BY run";
    assert_eq!(loads.to.rows(sessions), ["5000|t|1", "5000|t|2", "5000|t|3"]);
    loads.from.sql("DELETE FROM people WHERE id > 10");
    of("ann", "1", &["-q"]).with_code(0);
    assert_eq!(loads.to.rows(COUNTS), ["0d|1|10", "0d|2|5000", "5f|1|5000"]);
    assert_eq!(loads.to.leftovers(), Vec::<String>::new());

    let runs = loads.place.syncline(&["runs", "--sync", "attendance", "--json"]).with_code(0).json();
    assert_eq!(runs.len(), 4, "those of all parts");
    assert_eq!(
        (runs[0]["sync"].as_str(), runs[0]["about"]["owner"].as_str()),
        (Some("attendance"), Some(ANN))
    );
    assert_eq!(runs[0]["about"]["params"], serde_json::json!({ "session": "1" }));
    assert_eq!(runs[0]["partition"], runs[3]["partition"], "two runs of one part");
    let shown = format!("{runs:?}");
    assert!(!shown.contains("signature") && !shown.contains("eyJ"), "a token is kept: {shown}");
}

#[test]
fn what_is_missing_is_said_before_anything_is_opened() {
    let loads = people(3);
    loads.project_between("postgres://nobody@127.0.0.1:1/x", "postgres://nobody@127.0.0.1:1/x", SYNC);
    for (args, words) in [
        (&["attendance", "--user-token-file", "ann"][..], "needs a value for session"),
        (&["attendance", "--param", "session=1"], "is run for a user"),
        (&["attendance", "--param", "sesion=1", "--param", "session=1"], "has no parameter \"sesion\""),
        (&["attendance", "--param", "session"], "--param \"session\" has no value"),
        (&["attendance", "--param", "session=1", "--param", "session=2"], "is given twice"),
        (&["attendance", "--param", "session=1", "--user-token-file", "none"], "--user-token-file none"),
        (&["plain", "--param", "session=1"], "has no parameter \"session\""),
    ] {
        loads.run(args).with_code(2).saying(words);
    }
    for broken in ["", "secret-thing", "a.secret.c", "a.e30.c"] {
        loads.place.write("broken", broken);
        let ended =
            loads.run(&["attendance", "--param", "session=1", "--user-token-file", "broken"]).with_code(2);
        assert!(!ended.err.contains("secret"), "{}", ended.err);
    }
    loads.place.write("large", "x".repeat(100_000));
    loads.run(&["attendance", "--user-token-file", "large"]).with_code(2).saying("more than 64 KiB");
}

#[test]
fn without_names_only_what_needs_no_values_runs() {
    let loads = people(3);
    loads.run(&[]).with_code(0).saying("attendance: left out");
    assert_eq!(loads.to.one("SELECT count(*) FROM plain"), "3");
    assert_eq!(loads.to.one("SELECT count(*) FROM attendance"), "0");
    loads
        .run(&["attendance", "--param", "session=one", "--user-token-file", "ann"])
        .with_code(2)
        .saying("cannot put the value of session into column \"session_id\"");
}

#[test]
fn killed_at_every_place_a_part_leaves_nothing_behind() {
    let mut loads = people(100);
    let args = ["run", "attendance", "--param", "session=1", "--user-token-file", "ann", "-q"];
    for place in ["engine.load.staging", "engine.load.before_commit", "engine.load.committed"] {
        loads.from.sql("INSERT INTO people SELECT max(id) + 1, 'one more' FROM people");
        loads.place.set(FAILPOINT, &format!("{place}=crash"));
        let (mut child, mut said) = loads.start(&args);
        at_failpoint(&mut said);
        child.kill().unwrap();
        child.wait().unwrap();
        loads.place.unset(FAILPOINT);
        loads.place.syncline(&args).with_code(0);
        assert_eq!(loads.to.leftovers(), Vec::<String>::new(), "{place}");
        let there = loads.to.one("SELECT count(*) FROM attendance");
        assert_eq!(there, loads.from.one("SELECT count(*) FROM people"), "{place}");
    }
}
