//! Syncs that are run for a part of their records.

use std::time::Duration;

use insta::assert_snapshot;
use syncline_core::sync::{Each, Mode, Origin, Sync};
use syncline_spec::parse;

use crate::{
    tables::CONNECTORS,
    world::{World, rendered},
};

/// A project whose only sync has these lines, from line 7 on.
fn project(sync: &str, after: &str) -> String {
    format!(
        "connections:
  a: {{ type: mysql, path: p }}
  f: {{ type: files, path: p }}
  l: {{ type: sharepoint, path: p }}
syncs:
  s:
{sync}{after}"
    )
}

fn sync(lines: &str) -> Sync {
    match parse("p.yaml", &project(lines, ""), CONNECTORS, &World) {
        Ok(loaded) => loaded.project.syncs.into_iter().next().expect("a sync"),
        Err(problems) => panic!("{}", rendered(&problems)),
    }
}

/// The problems of a sync as people see them.
fn problems(lines: &str) -> String {
    problems_with(lines, "")
}

fn problems_with(lines: &str, after: &str) -> String {
    let problems = match parse("p.yaml", &project(lines, after), CONNECTORS, &World) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    };
    rendered(&problems)
}

const WHOLE: &str = "    from: { connection: l, resource: participants, key: [person] }
    params: [webinar, session]
    to:
      connection: a
      table: participants
      partition: { owner_id: owner, session_id: session }
      match: [owner_id, session_id, email]
      after:
        - \"UPDATE sessions SET at = :run_at, note = ':no' WHERE id = :session AND o = :owner\"
    write: mirror
    fresh: 15m
    each: { connection: a, params: [series], query: 'SELECT webinar, session FROM s WHERE x = :series AND o = :owner' }
    fields: { email: { cel: 'email' }, webinar_id: { param: webinar }, at: { param: run_at } }
";

#[test]
fn every_key_of_a_part() {
    let sync = sync(WHOLE);
    assert_eq!((sync.from.stream.as_str(), sync.mode), ("participants", Mode::Full));
    assert_eq!(sync.params, ["webinar", "session"]);
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(sync.to.table.partition, [pair("owner_id", "owner"), pair("session_id", "session")]);
    assert_eq!(sync.fresh, Some(Duration::from_secs(900)));
    let query = "SELECT webinar, session FROM s WHERE x = :series AND o = :owner";
    assert_eq!(
        sync.each,
        Some(Each { connection: "a".into(), query: query.into(), params: vec!["series".into()] })
    );
    assert!(matches!(&sync.fields[1].from, Origin::Param(name) if name == "webinar"));
}

#[test]
fn what_an_api_tells_needs_no_cursor() {
    let list = "    from: { connection: l, list: People, key: [id] }
    to: { connection: a, table: people }
    mode: incremental
    fields: { id: id }
";
    assert_eq!((sync(list).from.stream.as_str(), sync(list).mode), ("People", Mode::Incremental));
    let found = problems(
        "    from: { connection: l, list: People, resource: people, key: [id] }
    to: { connection: a, table: people }
    fields: { id: id }
",
    );
    assert_snapshot!("two_streams", found);
}

#[test]
fn parameters_that_are_not_there() {
    let found = problems(
        "    from: { connection: a, table: t, key: [id] }
    params: [webinar, session, owner, 'Two Words']
    to:
      connection: a
      table: u
      partition: { o: owner, s: sesion, r: run_at }
      after:
        - UPDATE a SET b = 1
        - \"UPDATE a SET b = :wbinar WHERE x::int = 1 AND y = ':nothing' -- :nothing\"
    each: { connection: a, query: 'SELECT :webinar, :ownr' }
    fields: { id: id, w: { param: webniar } }
",
    );
    assert_snapshot!("unknown", found);
}

#[test]
fn what_does_not_go_with_parts() {
    let found = problems(
        "    from: { connection: a, table: t, key: [id] }
    params: [session]
    to: { connection: a, table: u, partition: { s: session }, match: [id] }
    write: replace
    schedule: { every: 1h }
    fields: { id: id, s: other }
",
    );
    assert_snapshot!("with_replace", found);
    let found = problems(
        "    from: { connection: a, table: t, key: [id] }
    params: [session]
    to: { connection: a, table: u }
    write: mirror
    fields: { id: id }
",
    );
    assert_snapshot!("mirror_of_all", found);
    let found = problems(
        "    from: { connection: a, table: t, key: [id] }
    params: [session]
    to: { connection: l, list: u, partition: { s: session } }
    fields: { id: { param: session } }
",
    );
    assert_snapshot!("of_an_api", found);
    let found = problems(
        "    from: { connection: a, table: t, key: [id] }
    to: { connection: f, path: u.csv, partition: { s: owner } }
    fresh: 5m
    fields: { id: id }
",
    );
    assert_snapshot!("of_a_file", found);
    let found = problems(
        "    from: { connection: a, table: t, key: [id] }
    to: { connection: a, table: u }
    fresh: 5m
    fields: { id: id }
",
    );
    assert_snapshot!("fresh_alone", found);
}

#[test]
fn a_chain_has_no_values() {
    let found = problems_with(
        WHOLE,
        "chains:
  c: { steps: { one: { sync: s } } }
",
    );
    assert_snapshot!("in_a_chain", found);
}
