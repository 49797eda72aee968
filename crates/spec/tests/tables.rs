//! Syncs into tables and files: what they mean, and every problem that only they have.

use std::time::Duration;

use syncline_core::{
    connection::{ConnectorSpec, OptionKind, OptionSpec},
    sync::{
        DeletePolicy, Detect, KeyColumns, Mode, Origin, Schedule, SchemaPolicy, Sync, TableOptions, Write,
    },
};
use syncline_spec::{Loaded, parse};

use crate::world::{SECRET, World, rendered};

const PATH: &[OptionSpec] =
    &[OptionSpec { name: "path", kind: OptionKind::Text, required: true, choices: &[], help: "Where." }];

const fn connector(name: &'static str, loads: bool, writes: &'static [Write]) -> ConnectorSpec {
    ConnectorSpec { name, source: true, destination: true, loads, writes, options: PATH, help: "A system." }
}

/// A database, files and an API.
pub(crate) static CONNECTORS: &[ConnectorSpec] = &[
    connector("mysql", true, &[Write::Append, Write::Upsert, Write::Mirror, Write::Replace]),
    connector("files", true, &[Write::Append, Write::Replace]),
    connector("sharepoint", false, &[Write::Upsert, Write::Mirror]),
];

/// A project with the given lines of a sync (indented by four), from line 7 on, and lines of the project after it.
fn project(sync: &str, after: &str) -> String {
    let mut text = "connections:
  a: { type: mysql, path: p }
  f: { type: files, path: p }
  l: { type: sharepoint, path: p }
syncs:
  s:
"
    .to_owned();
    text.push_str(sync);
    for (key, line) in
        [("from:", "    from: { connection: a, table: t }\n"), ("to:", "    to: { connection: a }\n")]
    {
        if !sync.lines().any(|l| l.trim_start().starts_with(key)) {
            text.push_str(line);
        }
    }
    text.push_str(after);
    text
}

fn load(yaml: &str) -> Loaded {
    match parse("p.yaml", yaml, CONNECTORS, &World) {
        Ok(loaded) => loaded,
        Err(problems) => panic!("of\n{yaml}\n{}", rendered(&problems)),
    }
}

fn sync(lines: &str) -> Sync {
    load(&project(lines, "")).project.syncs.remove(0)
}

#[track_caller]
fn check_whole(yaml: &str, expected: &[&str]) {
    let problems = match parse("p.yaml", yaml, CONNECTORS, &World) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    };
    let expected: String = expected.iter().map(|line| format!("p.yaml:{line}\n")).collect();
    let found = rendered(&problems);
    assert!(
        !found.contains(SECRET) && !format!("{problems:?}").contains(SECRET),
        "a secret is shown:\n{found}"
    );
    assert!(found == expected, "of\n{yaml}\nexpected\n{expected}\nfound\n{found}");
}

/// Checks the problems of lines of a sync; they start in line 7, column 5.
#[track_caller]
fn check(lines: &str, expected: &[&str]) {
    check_whole(&project(lines, ""), expected);
}

const THREE: &str = "defaults:
  schedule:
    - { name: mass, every: 7d, mode: full, prepurge: true, reindex: true }
    - { name: daily, cron: '0 3 * * *', zone: Europe/Berlin }
    - { name: hourly, every: 1h, mode: incremental, lookback: 2.5 }
";

#[test]
fn a_table_needs_little() {
    let sync = sync("");
    assert_eq!((sync.from.stream.as_str(), sync.to.stream.as_str()), ("t", "t"));
    assert_eq!((sync.mode, sync.write, sync.rest), (Mode::Full, Write::Upsert, true));
    assert!(sync.fields.is_empty() && sync.schedules.is_empty());
    assert_eq!((&sync.deletes.policy, sync.deletes.detect), (&DeletePolicy::Ignore, Detect::Listing));
    assert_eq!(
        sync.to.table,
        TableOptions {
            schema: SchemaPolicy::Evolve,
            match_on: None,
            update: None,
            insert: None,
            update_when: None,
            partition: vec![],
            after: vec![],
            lock_timeout: Duration::from_secs(30),
            parallel: None,
        }
    );
}

#[test]
fn every_key_of_a_table() {
    let sync = sync(
        "    from:
      connection: a
      query: |
        SELECT id, net
        FROM orders ;
      mass_query: SELECT id, net FROM orders_all -- all
      key: [id]
      cursor: changed
      tombstone: { column: status, values: [Deleted, 7] }
    to:
      connection: a
      table: cache.orders
      schema: freeze
      match: [id]
      update: [net]
      insert: [id, net]
      update_when: s.changed > d.changed
      after: [\"UPDATE a SET b = 1;\", ANALYZE x, ANALYZE x]
      lock_timeout: 5s
      parallel: 8
    write: mirror
    deletes: { policy: soft, field: gone, detect: keys }
    fields:
      id: id
      net: { sql: 'round(net, 2)', required: true, default: 0 }
      big: { cel: 'net > 1.0' }
      '*': '*'
",
    );
    assert_eq!(sync.from.stream, "(SELECT id, net\nFROM orders)");
    assert_eq!(sync.from.mass_query.as_deref(), Some("(SELECT id, net FROM orders_all -- all\n)"));
    assert_eq!(sync.from.key.columns, KeyColumns::Columns(vec!["id".into()]));
    assert_eq!(sync.from.tombstone.as_deref(), Some("status"));
    assert_eq!(sync.from.tombstone_values, ["Deleted", "7"]);
    assert_eq!(
        (sync.to.stream.as_str(), sync.mode, sync.write),
        ("cache.orders", Mode::Incremental, Write::Mirror)
    );
    assert_eq!(
        sync.to.table,
        TableOptions {
            schema: SchemaPolicy::Freeze,
            match_on: Some(vec!["id".into()]),
            update: Some(vec!["net".into()]),
            insert: Some(vec!["id".into(), "net".into()]),
            update_when: Some("s.changed > d.changed".into()),
            partition: vec![],
            after: vec!["UPDATE a SET b = 1".into(), "ANALYZE x".into(), "ANALYZE x".into()],
            lock_timeout: Duration::from_secs(5),
            parallel: Some(8),
        }
    );
    assert_eq!(sync.deletes.policy, DeletePolicy::Soft { field: "gone".into() });
    assert_eq!(sync.deletes.detect, Detect::Keys);
    assert_eq!(sync.fields.iter().map(|f| f.to.as_str()).collect::<Vec<_>>(), ["id", "net", "big"]);
    assert!(matches!(&sync.fields[1].from, Origin::Sql(sql) if sql == "round(net, 2)"));
    assert!(sync.rest);
}

#[test]
fn a_project_of_tables() {
    let loaded = load(include_str!("files/tables.yaml"));
    assert_eq!(rendered(&loaded.warnings), "");
    let syncs = &loaded.project.syncs;
    assert_eq!(syncs.iter().map(|s| s.schedules.len()).collect::<Vec<_>>(), [3, 3, 3]);
    assert_eq!(
        syncs[1].from.stream,
        "(SELECT o.*, c.name AS customer\nFROM orders o JOIN customers c ON c.id = o.customer_id)"
    );
    assert_eq!((syncs[2].to.stream.as_str(), syncs[2].write), ("orders.csv", Write::Append));
}

#[test]
fn writes_and_modes() {
    let of = |lines: &str| {
        let sync = sync(lines);
        (sync.write, sync.mode)
    };
    let cursor = "    from: { connection: a, table: t, cursor: c }\n";
    assert_eq!(of(cursor), (Write::Upsert, Mode::Incremental));
    assert_eq!(of(&format!("{cursor}    write: replace\n")), (Write::Replace, Mode::Full));
    assert_eq!(of(&format!("{cursor}    write: append\n")), (Write::Append, Mode::Incremental));
    assert_eq!(
        of(&format!("{cursor}    to: {{ connection: f, path: t.csv }}\n")),
        (Write::Replace, Mode::Full)
    );
    assert!(!sync("    fields: { A: a }\n").rest);
    check(
        "    mode: incremental\n    write: replace\n",
        &[
            "7:11: syncs.s.mode incremental is not for write: replace, which reads everything; remove it, or choose another write",
        ],
    );
    check(
        "    write: append\n    deletes: soft\n",
        &[
            "7:12: warning: write: append in mode full adds every record again at each run; name a column that grows with every change in from.cursor, or use write: replace",
            "8:5: warning: syncs.s.deletes has no effect with write: append",
        ],
    );
    check(
        "    write: upserts\n    deletes: { detect: key }\n",
        &[
            r#"7:12: syncs.s.write must be append, upsert, mirror or replace, not "upserts"; did you mean "upsert"?"#,
            r#"8:24: syncs.s.deletes.detect must be listing or keys, not "key"; did you mean "keys"?"#,
        ],
    );
    check(
        "    write: mirror\n    to: { connection: f, path: x.csv }\n",
        &[
            r#"7:12: syncs.s.write must be append or replace, not "mirror"; connections of type files are not written otherwise"#,
        ],
    );
    check(
        "    write: replace\n    to: { connection: a, update: [b], update_when: s.b > 1 }\n    deletes: { detect: keys }\n",
        &[
            "8:26: warning: syncs.s.to.update has no effect with write: replace",
            "8:39: warning: syncs.s.to.update_when has no effect with write: replace",
            "9:5: warning: syncs.s.deletes has detect: keys and a policy that does nothing about it",
        ],
    );
}

#[test]
fn what_is_read() {
    check(
        "    from: { connection: a }\n",
        &[r#"7:5: "table" is missing in syncs.s.from; name a table or view, or write a statement in query"#],
    );
    check(
        "    from: { connection: a, table: t, query: SELECT 1 AS a, key: [a] }\n",
        &["7:5: syncs.s.from has both table and query; only one of them can say what is read"],
    );
    check(
        "    from: { connection: a, query: SELECT 1 AS a }\n    to: { connection: a, table: x }\n",
        &[
            "7:28: syncs.s.from is read by a query, which has no constraints: its key must be named; add the columns of the key: key: [a, b]",
        ],
    );
    check(
        "    from: { connection: a, query: SELECT 1 AS a, key: { unique: u } }\n    to: { connection: a, table: x }\n",
        &[
            "7:50: syncs.s.from is read by a query, which has no constraints: its key must be named; add the columns of the key: key: [a, b]",
        ],
    );
    check(
        "    from: { connection: a, query: orders, key: [a], mass_query: ' ; ' }\n    to: { connection: a, table: x }\n",
        &[
            r#"7:35: syncs.s.from.query must be a statement, such as SELECT a, b FROM t, not "orders"; a table or view is named in from.table"#,
            "7:65: syncs.s.from.mass_query must not be empty",
        ],
    );
    check(
        "    from: { connection: a, table: (select 1) }\n",
        &[
            r#"7:35: syncs.s.from.table must be the name of a table or view, not "(select 1)"; write a statement in from.query, without parentheses"#,
        ],
    );
    check(
        "    from: { connection: a, table: t, tombstone: { colum: x, values: gone } }\n",
        &[
            r#"7:51: unknown key "colum" in syncs.s.from.tombstone; did you mean "column"?"#,
            r#"7:69: syncs.s.from.tombstone.values must be a list of names, not "gone"; write [gone] for a list of one"#,
        ],
    );
}

#[test]
fn what_is_written() {
    check(
        "    to: { connection: a, list: l }\n",
        &[r#"7:26: syncs.s.to.list is not for connections of type mysql; did you mean "table"?"#],
    );
    check(
        "    to: { connection: f, table: t, path: p }\n",
        &["7:26: syncs.s.to.table is not for connections of type files; remove it: path says where"],
    );
    check(
        "    to: { connection: l, table: t }\n    fields: { A: a }\n",
        &[r#"7:26: syncs.s.to.table is not for connections of type sharepoint; did you mean "list"?"#],
    );
    check("    to: { connection: l }\n    fields: { A: a }\n", &[r#"7:5: "list" is missing in syncs.s.to"#]);
    check(
        "    from: { connection: a, query: SELECT 1 AS a, key: [a] }\n",
        &[r#"8:5: "table" is missing in syncs.s.to; a query has no name that it could have"#],
    );
    check(
        "    to: { connection: a, schema: evolves, after: ANALYZE, lock_timeout: 0s, parallel: 65 }\n",
        &[
            r#"7:34: syncs.s.to.schema must be evolve or freeze, not "evolves"; did you mean "evolve"?"#,
            r#"7:50: syncs.s.to.after must be a list of statements, not "ANALYZE""#,
            "7:73: syncs.s.to.lock_timeout must be more than nothing",
            r#"7:87: syncs.s.to.parallel must be a whole number from 1 to 64, not "65""#,
        ],
    );
    check(
        "    to: { connection: a, match: [idd], update: [nat] }\n    fields: { id: id, net: net }\n",
        &[
            r#"7:34: syncs.s.to.match[0] "idd" is not mapped in fields; did you mean "id"?"#,
            r#"7:49: syncs.s.to.update[0] "nat" is not mapped in fields; did you mean "net"?"#,
        ],
    );
    let many = vec!["ANALYZE x"; 101].join(", ");
    check(
        &format!("    to: {{ connection: a, after: [{many}] }}\n"),
        &["7:26: syncs.s.to.after has 101 statements; at most 100 are allowed"],
    );
    check(
        "    to: { connection: f, match: [a], after: [ANALYZE x], parallel: 2 }\n    deletes: { detect: keys }\n",
        &[
            "7:26: syncs.s.to.match is for tables of a database only; remove it: the sync writes to a connection of type files",
            "7:38: syncs.s.to.after is for tables of a database only; remove it: the sync writes to a connection of type files",
            "8:5: warning: syncs.s.deletes has detect: keys and a policy that does nothing about it",
            "8:16: syncs.s.deletes.detect is for tables of a database only; remove it: the sync writes to a connection of type files",
        ],
    );
}

#[test]
fn what_tables_do_not_have() {
    check(
        "    route: [{ when: a, list: m }]\n    adopt: { by: [A] }\n    on_edit: report\n    batch: 5\n",
        &[
            "7:5: syncs.s.route is not for tables; give every table a sync of its own, with from.filter",
            "8:5: syncs.s.adopt is not for tables; remove it: the records of a table are paired by to.match",
            "9:5: syncs.s.on_edit is not for tables; say in to.update_when which records are updated",
            "10:5: syncs.s.batch is not for tables; remove it: a run is written in one transaction",
        ],
    );
    check(
        "    fields: { A: { from: a, as: hyperlink, direction: both }, B: { }, C: { cel: 'a', sql: a }, D: [x] }\n",
        &[
            "7:29: syncs.s.fields.A.as is not for tables, which tell the types of their columns",
            "7:55: syncs.s.fields.A.direction must be push: nothing is read back from a table",
            "7:63: syncs.s.fields.B needs from (a source column) or cel (an expression) or sql (an expression of the source) or param",
            "7:71: syncs.s.fields.C has both cel and sql; only one of them can give the value",
            "7:99: syncs.s.fields.D must be a source column or a map with from, cel, sql or param, not a list",
        ],
    );
    check(
        "    fields: { '*': all }\n",
        &[r#"7:20: syncs.s.fields."*" must be "*": every other column under its own name, not "all""#],
    );
}

#[test]
fn what_only_tables_have() {
    check(
        "    from: { connection: a, table: t, mass_query: SELECT 1, tombstone: { column: c, values: [x] } }
    to: { connection: l, list: l, schema: freeze, match: [A] }
    deletes: { policy: delete, detect: keys }
    fields: { A: { sql: a }, '*': '*' }
    schedule: { every: 1h, lookback: 1, reindex: true }
",
        &[
            "7:38: syncs.s.from.mass_query is for tables only; remove it: the sync writes to a connection of type sharepoint",
            "7:84: syncs.s.from.tombstone.values is for tables only; remove it: the sync writes to a connection of type sharepoint",
            "8:35: syncs.s.to.schema is for tables only; remove it: the sync writes to a connection of type sharepoint",
            "8:51: syncs.s.to.match is for tables of a database only; remove it: the sync writes to a connection of type sharepoint",
            "9:32: syncs.s.deletes.detect is for tables of a database only; remove it: the sync writes to a connection of type sharepoint",
            "10:20: syncs.s.fields.A.sql is for tables only; remove it: the sync writes to a connection of type sharepoint",
            r#"10:30: syncs.s.fields."*" is for tables only; name every field"#,
            "11:28: syncs.s.schedule.lookback is for tables only; remove it: the sync writes to a connection of type sharepoint",
            "11:41: syncs.s.schedule.reindex is for tables only; remove it: the sync writes to a connection of type sharepoint",
        ],
    );
    check("    to: { connection: l, list: l }\n", &[r#"6:3: "fields" is missing in syncs.s"#]);
    // A column of a soft-deleted record, and a query, are for everything.
    let yaml = project(
        "    from: { connection: a, query: SELECT 1 AS a, key: [a], tombstone: { column: c } }\n    to: { connection: l, list: l }\n    fields: { A: a }\n",
        THREE,
    );
    let sync = load(&yaml).project.syncs.remove(0);
    assert_eq!((sync.from.stream.as_str(), sync.from.tombstone.as_deref()), ("(SELECT 1 AS a)", Some("c")));
    assert_eq!(sync.schedules, []);
}

/// One that is different in nothing.
fn schedule(name: &str) -> Schedule {
    Schedule { name: Some(name.to_owned()), ..Schedule::EMPTY }
}

#[test]
fn schedules_have_defaults() {
    let of = |lines: &str| {
        let lines = format!("    from: {{ connection: a, table: t, cursor: c }}\n{lines}");
        load(&project(&lines, THREE)).project.syncs.remove(0).schedules
    };
    let hours = |n: u64| Some(Duration::from_secs(n * 3600));
    let mass = Schedule {
        every: hours(7 * 24),
        mode: Some(Mode::Full),
        prepurge: true,
        reindex: true,
        ..schedule("mass")
    };
    let daily =
        Schedule { cron: Some("0 3 * * *".into()), zone: Some("Europe/Berlin".into()), ..schedule("daily") };
    let hourly =
        Schedule { every: hours(1), mode: Some(Mode::Incremental), lookback: 2.5, ..schedule("hourly") };
    assert_eq!(of(""), [mass.clone(), daily.clone(), hourly.clone()]);
    assert_eq!(
        of("    schedule:
      - { name: hourly, every: 30m, lookback: 0 }
      - { name: monthly, cron: '0 0 1 * *' }
      - { name: daily, every: 2h }
      - { name: mass, enabled: false }
      - { every: 5h }
"),
        [
            Schedule { enabled: false, ..mass.clone() },
            Schedule { every: hours(2), ..schedule("daily") },
            Schedule { every: Some(Duration::from_secs(1800)), lookback: 0.0, ..hourly.clone() },
            Schedule { cron: Some("0 0 1 * *".into()), ..schedule("monthly") },
            Schedule { name: None, every: hours(5), ..schedule("") },
        ]
    );
    // Another hour of the same zone.
    assert_eq!(
        of("    schedule: { name: daily, cron: '0 4 * * *' }\n"),
        [mass, Schedule { cron: Some("0 4 * * *".into()), ..daily }, hourly]
    );
}

#[test]
fn schedules_that_cannot_be() {
    let cursor = "    from: { connection: a, table: t, cursor: c }\n";
    check_whole(
        &project(
            &format!(
                "{cursor}    schedule: [{{ name: hurly, lookback: 2 }}, {{ every: 1h, name: x y }}, {{ name: a, every: 1h }}, {{ name: a, cron: '* * * * *', lookback: 1 }}]\n"
            ),
            THREE,
        ),
        &[
            r#"8:16: syncs.s.schedule[0] needs exactly one of every and cron; did you mean "hourly"?"#,
            r#"8:65: "x y" is not a name; names are made of letters, digits, _, - and ., start with a letter, a digit or _, and have at most 63 characters"#,
            r#"8:104: syncs.s.schedule names "a" twice"#,
            "8:126: syncs.s.schedule[3].lookback is a multiple of every, which a schedule with cron does not have; use every, or from.overlap",
        ],
    );
    check_whole(
        &project(
            &format!(
                "{cursor}    schedule: [{{ name: hourly, zone: UTC }}, {{ name: daily, every: 1h, cron: '* * * * *' }}]\n"
            ),
            THREE,
        ),
        &[
            "8:32: syncs.s.schedule[0].zone is for cron only",
            "8:45: syncs.s.schedule[1] needs exactly one of every and cron",
        ],
    );
    check_whole(
        &project("    schedule: { name: own, every: 1h, mode: incremental }\n", THREE),
        &[
            "6:3: mode incremental of the default schedule at defaults.schedule[2].mode needs a cursor, in syncs.s; name one in from.cursor, override it with mode: full or enabled: false in the sync's schedule",
            "7:45: syncs.s.schedule.mode incremental needs a cursor; name one in from.cursor, use mode: full or enabled: false",
        ],
    );
    check_whole(
        &project(
            "    write: replace\n    schedule: [{ name: hourly, enabled: false }, { every: 1h, mode: incremental }]\n",
            THREE,
        ),
        &[
            "8:69: syncs.s.schedule[1].mode incremental is not for write: replace, which reads everything; use mode: full or enabled: false",
        ],
    );
    check_whole(
        &project("", "defaults: { schedules: [] }\n"),
        &[r#"9:13: unknown key "schedules" in defaults; did you mean "schedule"?"#],
    );
    check_whole(
        &project(
            "",
            "defaults: { schedule: [{ every: 1h }, { name: a }, { name: \"${CLIENT_SECRET} x\", every: 1h, lookback: 1001 }] }\n",
        ),
        &[
            r#"9:24: "name" is missing in defaults.schedule[0]; a sync overrides a default by its name"#,
            "9:39: defaults.schedule[1] needs exactly one of every and cron",
            r#"9:60: "${CLIENT_SECRET} x" is not a name; names are made of letters, digits, _, - and ., start with a letter, a digit or _, and have at most 63 characters"#,
            r#"9:103: defaults.schedule[2].lookback must be a number from 0 to 1000, not "1001""#,
        ],
    );
    let many = (1..=101).map(|n| format!("{{ every: {n}h }}")).collect::<Vec<_>>().join(", ");
    check(&format!("    schedule: [{many}]\n"), &["7:5: 101 schedules; at most 100 are allowed"]);
}
