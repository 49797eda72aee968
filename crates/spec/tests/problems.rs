//! Every problem, its place and its words.

use crate::world::{problems, project};

/// Checks the problems of a whole file: `line:column: message` each.
#[track_caller]
fn check(yaml: &str, expected: &[&str]) {
    let expected: String = expected.iter().map(|line| format!("p.yaml:{line}\n")).collect();
    let found = problems(yaml);
    assert!(found == expected, "of\n{yaml}\nexpected\n{expected}\nfound\n{found}");
}

/// Checks the problems of lines of a sync; they start in line 6, column 5.
#[track_caller]
fn check_sync(lines: &str, expected: &[&str]) {
    check(&project(lines), expected);
}

/// Checks the problems of one connection; it starts in line 2.
#[track_caller]
fn check_connection(line: &str, expected: &[&str]) {
    let yaml = format!(
        "connections:
  {line}
  a: {{ type: sqlite, path: p }}
  b: {{ type: sqlite, path: p }}
syncs:
  s: {{ from: {{ connection: a, table: t }}, to: {{ connection: b, list: l }}, fields: {{ F: c }} }}
"
    );
    check(&yaml, expected);
}

#[test]
fn malformed_yaml_is_one_problem() {
    for (yaml, expected) in [("", "1:1: the file is empty"), ("# nothing\n", "1:1: the file is empty")] {
        check(yaml, &[expected]);
    }
    check("a: b\n---\nc: d\n", &["2:1: a second document starts here; a project is one document"]);
    check(
        "a: {b: ${X}, c: 1}\n",
        &[
            r#"1:9: malformed YAML: while parsing a flow mapping, did not find expected ',' or '}'; inside { } and [ ], write "${...}" in quotes"#,
        ],
    );
    check(
        "a:\n\tb: 1\n",
        &[
            "2:2: malformed YAML: tabs disallowed within this context (block indentation); indent with spaces, not with tabs",
        ],
    );
    check("a: b\n c: d: e\n", &["2:3: malformed YAML: mapping values are not allowed in this context"]);
    check("a: 'x\n", &["2:1: malformed YAML: invalid indentation in multiline quoted scalar"]);
    check("a: [1, 2\nb: 3\n", &["2:2: malformed YAML: illegal placement of ':' indicator"]);
    check("a: &a [*a]\n", &["1:8: the alias stands inside the value it refers to"]);
    check("a: *nothing\n", &["1:4: malformed YAML: while parsing node, found unknown anchor"]);
    check(
        "a: !!str 5\n",
        &[
            r#"1:4: the tag "!!str" has no meaning here; remove it; text that looks like a number may stand in quotes"#,
        ],
    );
    check(
        "a:\n  <<: {b: 1}\n",
        &[
            "2:3: merge keys (<<) are not supported; write the keys out, or repeat a whole value with an anchor (&a) and an alias (*a)",
        ],
    );
    check("? [a]\n: b\n", &["1:3: a key must be a text"]);
    check("%YAML 1.2\n---\na: b\n", &["1:1: malformed YAML: YAML directives are disallowed"]);
    check(&format!("a: {}{}", "[".repeat(40), "]".repeat(40)), &["1:36: nested deeper than 32 levels"]);
    check(
        &format!("a: {}{}", "[".repeat(4000), "]".repeat(4000)),
        &["1:68: malformed YAML: recursion limit exceeded"],
    );
}

#[test]
fn the_top_level() {
    check(
        "- a\n",
        &[
            "1:1: a project must be a map with the keys connections, syncs, defaults, store, chains, reports, alerts, receivers, server, not a list",
        ],
    );
    check(
        "hello\n",
        &[
            r#"1:1: a project must be a map with the keys connections, syncs, defaults, store, chains, reports, alerts, receivers, server, not "hello""#,
        ],
    );
    check(
        "{}\n",
        &[r#"1:1: "connections" is missing in the file"#, r#"1:1: "syncs" is missing in the file"#],
    );
    check(
        "conections: {}\nsyncs: {}\n",
        &[
            r#"1:1: unknown key "conections" at the top level; did you mean "connections"?"#,
            "2:8: syncs must not be empty",
        ],
    );
    check(
        "connections:\nsyncs: []\npipelines: 1\nfoo: 2\n",
        &[
            "1:12: connections must be a map from names to connections, not nothing",
            "2:8: syncs must be a map from names to syncs, not a list",
            r#"3:1: unknown key "pipelines" at the top level; did you mean "syncs"?"#,
            r#"4:1: unknown key "foo" at the top level; known keys: connections, syncs, defaults, store, chains, reports, alerts, receivers, server"#,
        ],
    );
}

#[test]
fn repeated_keys() {
    check_sync(
        "    batch: 1\n    batch: 2\n    batch: 3\n",
        &[
            r#"7:5: "batch" appears twice in syncs.s; the first is at line 6, column 5"#,
            r#"8:5: "batch" appears twice in syncs.s; the first is at line 6, column 5"#,
        ],
    );
    check_sync(
        "    fields:\n      A: x\n      B: y\n      A: z\n",
        &[r#"9:7: "A" appears twice in syncs.s.fields; the first is at line 7, column 7"#],
    );
    check(
        &format!("{}  s: {{}}\n", project("")),
        &[r#"9:3: "s" appears twice in syncs; the first is at line 5, column 3"#],
    );
}

#[test]
fn unknown_and_missing_keys() {
    check_sync(
        "    from: { connection: a, tabel: t, cursr: c, colour: red }\n",
        &[
            r#"6:28: unknown key "tabel" in syncs.s.from; did you mean "table"?"#,
            r#"6:38: unknown key "cursr" in syncs.s.from; did you mean "cursor"?"#,
            r#"6:48: unknown key "colour" in syncs.s.from; known keys: connection, table, query, resource, list, mass_query, key, cursor, overlap, lag, tombstone, filter"#,
        ],
    );
    check_sync(
        "    target: x\n    mapping: {}\n    deleets: soft\n",
        &[
            r#"6:5: unknown key "target" in syncs.s; did you mean "to"?"#,
            r#"7:5: unknown key "mapping" in syncs.s; did you mean "fields"?"#,
            r#"8:5: unknown key "deleets" in syncs.s; did you mean "deletes"?"#,
        ],
    );
    check_sync(
        "    to: { list: l }\n    route: [{ if: 'a' }]\n",
        &[
            r#"6:5: "connection" is missing in syncs.s.to"#,
            r#"7:13: "list" is missing in syncs.s.route[0]"#,
            r#"7:15: unknown key "if" in syncs.s.route[0]; did you mean "when"?"#,
        ],
    );
    check_sync("    fields: {}\n", &["6:13: syncs.s.fields must not be empty"]);
    check_sync(
        "    from:\n    to: l\n    fields: [a, b]\n",
        &[
            "6:9: syncs.s.from must be a map with the keys connection, table, query, resource, list, mass_query, key, cursor, overlap, lag, tombstone, filter, not nothing",
            r#"7:9: syncs.s.to must be a map with the keys connection, list, table, path, schema, match, update, insert, update_when, partition, after, lock_timeout, parallel, not "l""#,
            "8:13: syncs.s.fields must be a map from names to source columns, not a list",
        ],
    );
}

#[test]
fn connections() {
    check_connection(
        "x: { type: postgress, url: u }",
        &[r#"2:14: connections.x.type "postgress" is not a type of connection; did you mean "postgres"?"#],
    );
    check_connection(
        "x: { type: oracle }",
        &[
            r#"2:14: connections.x.type "oracle" is not a type of connection; known types: postgres, sharepoint, sqlite"#,
        ],
    );
    check_connection("x: { kind: sqlite }", &[r#"2:3: "type" is missing in connections.x"#]);
    check_connection(
        "x: sqlite",
        &[r#"2:6: connections.x must be a map with the key type and the options of that type, not "sqlite""#],
    );
    check_connection("x: { type: sqlite }", &[r#"2:3: "path" is missing in connections.x"#]);
    check_connection(
        "x: { type: sqlite, path: p, pth: q, path: r }",
        &[
            r#"2:31: unknown key "pth" in connections.x; did you mean "path"?"#,
            r#"2:39: "path" appears twice in connections.x; the first is at line 2, column 22"#,
        ],
    );
    check_connection(
        "x: { type: sqlite, path: [p] }",
        &["2:28: connections.x.path must be a text, not a list"],
    );
    check_connection(
        "x: { type: sqlite, path: true }",
        &[r#"2:28: connections.x.path must be a text, not "true"; if it is one, put it in quotes"#],
    );
    check_connection(
        "x: { type: sqlite, path: ~ }",
        &["2:28: connections.x.path must be a text, not nothing"],
    );
    check_connection("x: { type: sqlite, path: '' }", &["2:28: connections.x.path must not be empty"]);
    check_connection(
        "'x y': { type: sqlite, path: p }",
        &[
            r#"2:3: "x y" is not a name; names are made of letters, digits, _, - and ., start with a letter, a digit or _, and have at most 63 characters"#,
        ],
    );
    check_connection(
        &format!("{}: {{ type: sqlite, path: p }}", "x".repeat(64)),
        &[
            r#"2:3: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…" is not a name; names are made of letters, digits, _, - and ., start with a letter, a digit or _, and have at most 63 characters"#,
        ],
    );
    check_connection(
        "x: { type: postgres, url: \"${ERP_URL}\", timeout: 5, tls: yes }",
        &[
            r#"2:52: connections.x.timeout must be a duration with its unit (ms, s, m, h or d), such as 30s or 15m, not "5""#,
            r#"2:60: connections.x.tls must be true or false, not "yes""#,
        ],
    );
    check_connection(
        "x: { type: postgres, url: \"${ERP_URL}\", timeout: 5 minutes, tls: \"true\" }",
        &[
            r#"2:52: connections.x.timeout must be a duration with its unit (ms, s, m, h or d), such as 30s or 15m, not "5 minutes""#,
            r#"2:68: connections.x.tls must be true or false, not "true"; remove the quotes"#,
        ],
    );
    check_connection(
        "x: { type: sharepoint, site: s, auth: { type: client_credential, tenant: t } }",
        &[
            r#"2:35: "client_id" is missing in connections.x.auth"#,
            r#"2:49: connections.x.auth.type must be client_credentials or certificate, not "client_credential"; did you mean "client_credentials"?"#,
        ],
    );
    check_connection(
        "x: { type: sharepoint, site: s, auth: t, limits: [{ requests: -1, per: 1s, by: x }, 5] }",
        &[
            r#"2:41: connections.x.auth must be a map with the keys type, tenant, client_id, client_secret, not "t""#,
            r#"2:65: connections.x.limits[0].requests must be a whole number, zero or more, not "-1""#,
            r#"2:78: unknown key "by" in connections.x.limits[0]; known keys: requests, per"#,
            r#"2:87: connections.x.limits[1] must be a map with the keys requests, per, not "5""#,
        ],
    );
}

#[test]
fn secrets_are_never_repeated() {
    check_connection(
        "x: { type: postgres, url: hunter2 }",
        &[
            "2:29: warning: connections.x.url holds a secret that everybody who reads this file can see; use ${NAME} for an environment variable or ${file:path} for a file",
        ],
    );
    check_connection(
        "x: { type: postgres, url: 'postgres://app:hunter2@db/erp' }",
        &[
            "2:29: warning: connections.x.url holds a secret that everybody who reads this file can see; use ${NAME} for an environment variable or ${file:path} for a file",
        ],
    );
    check_connection("x: { type: postgres, url: 'postgres://app@db/erp' }", &[]);
    check_connection("x: { type: postgres, url: 'postgres://app:${CLIENT_SECRET}@db/erp' }", &[]);
    check_connection(
        "x: { type: postgres, url: { hunter2: hunter2x } }",
        &["2:29: connections.x.url must be a text, not a map"],
    );
    check_connection(
        "x: { type: postgres, url: [hunter2] }",
        &["2:29: connections.x.url must be a text, not a list"],
    );
    check_connection(
        "x: { type: '${CLIENT_SECRET}' }",
        &[
            r#"2:14: connections.x.type "${CLIENT_SECRET}" is not a type of connection; known types: postgres, sharepoint, sqlite"#,
        ],
    );
    check_connection(
        "x: { type: postgres, url: \"${ERP_URL}\", timeout: \"${CLIENT_SECRET}\" }",
        &[
            r#"2:52: connections.x.timeout must be a duration with its unit (ms, s, m, h or d), such as 30s or 15m, not "${CLIENT_SECRET}""#,
        ],
    );
    check_connection(
        "x: { type: sharepoint, site: s, auth: { type: \"${CLIENT_SECRET}\", tenant: t, client_id: c } }",
        &[
            r#"2:49: connections.x.auth.type must be client_credentials or certificate, not "${CLIENT_SECRET}""#,
        ],
    );
    check_sync(
        "    mode: \"${CLIENT_SECRET}\"\n    batch: \"${CLIENT_SECRET}\"\n",
        &[
            r#"6:11: syncs.s.mode must be full or incremental, not "${CLIENT_SECRET}""#,
            r#"7:12: syncs.s.batch must be a whole number from 1 to 5000, not "${CLIENT_SECRET}""#,
        ],
    );
    check_sync(
        "    route: [{ when: \"${BROKEN_CEL}\", list: l }]\n",
        &["6:21: syncs.s.route[0].when does not compile with its variables filled in"],
    );
    check_sync(
        "    adopt: { by: [\"${CLIENT_SECRET}\"] }\n",
        &[r#"6:19: syncs.s.adopt.by[0] "${CLIENT_SECRET}" is not mapped in fields; mapped: F"#],
    );
}

#[test]
fn variables() {
    check_connection(
        "x: { type: sqlite, path: \"data/${NOWHERE}/x.db\" }",
        &["2:34: the environment variable NOWHERE is not set; set it, or read a file with ${file:path}"],
    );
    check_connection(
        "x: { type: sqlite, path: \"${NOWHERE}${ELSEWHERE}\" }",
        &[
            "2:29: the environment variable NOWHERE is not set; set it, or read a file with ${file:path}",
            "2:39: the environment variable ELSEWHERE is not set; set it, or read a file with ${file:path}",
        ],
    );
    check_connection(
        "x: { type: sqlite, path: \"${EMPTY}\" }",
        &["2:28: connections.x.path is empty when its variables are filled in"],
    );
    check_connection(
        "x: { type: sqlite, path: \"${file:nothing}\" }",
        &[r#"2:29: the file "nothing" cannot be read: not found"#],
    );
    check_connection(
        "x: { type: postgres, url: \"${secret:erp}\" }",
        &[
            r#"2:30: "${secret:erp}" cannot be read: the encrypted secret store is not in this version; use ${NAME} for an environment variable or ${file:path} for a file"#,
        ],
    );
    check_connection(
        "x: { type: sqlite, path: \"${A:-b} ${\" }",
        &[
            r#"2:29: "${A:-b}" is not a variable; defaults are not supported: set the variable"#,
            r#"2:37: "${" without its "}"; write $${ for the text ${ itself"#,
        ],
    );
    check_connection(
        "x: { type: \"${NOWHERE}\", whatever: 1 }",
        &["2:15: the environment variable NOWHERE is not set; set it, or read a file with ${file:path}"],
    );
}

#[test]
fn connections_of_a_sync() {
    check_sync(
        "    from: { connection: aa, table: t }\n    to: { connection: c, list: l }\n",
        &[
            r#"6:25: syncs.s.from.connection "aa" is not a connection; connections that can be read from: a"#,
            r#"7:23: syncs.s.to.connection "c" is not a connection; connections that can be written to: a, b"#,
        ],
    );
    check_sync(
        "    from: { connection: b, table: t }\n",
        &[
            r#"6:25: syncs.s.from.connection "b" is of type sharepoint, which cannot be read from; connections that can be read from: a"#,
        ],
    );
    let yaml = "connections:
  p: { type: postgres, url: \"${ERP_URL}\" }
  wrong: { type: nothing }
syncs:
  s: { from: { connection: wrong, table: t }, to: { connection: p, list: l }, fields: { F: c } }
";
    check(
        yaml,
        &[
            r#"3:18: connections.wrong.type "nothing" is not a type of connection; known types: postgres, sharepoint, sqlite"#,
            r#"5:65: syncs.s.to.connection "p" is of type postgres, which cannot be written to; connections that can be written to: wrong"#,
        ],
    );
}

#[test]
fn keys_and_cursors() {
    check_sync(
        "    from: { connection: a, table: t, key: [x, y, x] }\n",
        &[r#"6:50: syncs.s.from.key names "x" twice"#],
    );
    check_sync(
        "    from: { connection: a, table: t, key: [] }\n",
        &["6:43: syncs.s.from.key must not be empty"],
    );
    check_sync(
        "    from: { connection: a, table: t, key: primry }\n",
        &[
            r#"6:43: syncs.s.from.key must be primary, a list of columns, or a map, not "primry"; did you mean "primary"?"#,
        ],
    );
    check_sync(
        "    from: { connection: a, table: t, key: ~ }\n",
        &["6:43: syncs.s.from.key must be primary, a list of columns, or a map, not nothing"],
    );
    check_sync(
        "    from: { connection: a, table: t, key: { unique: u, columns: [x] } }\n",
        &[
            "6:38: syncs.s.from.key has columns and unique; only one of them can say which columns are the key",
        ],
    );
    check_sync(
        "    from: { connection: a, table: t, key: { hashed: some, ignorecase: 1 } }\n",
        &[
            r#"6:53: syncs.s.from.key.hashed must be all or a list of columns, not "some"; write [some] for a list of one"#,
            r#"6:59: unknown key "ignorecase" in syncs.s.from.key; did you mean "ignore_case"?"#,
        ],
    );
    check_sync(
        "    from: { connection: a, table: t, key: { columns: x, ignore_case: 1 } }\n",
        &[
            r#"6:54: syncs.s.from.key.columns must be a list of names, not "x"; write [x] for a list of one"#,
            r#"6:70: syncs.s.from.key.ignore_case must be true or false, not "1""#,
        ],
    );
    check_sync(
        "    from: { connection: a, table: t, overlap: -1, lag: 5 }\n",
        &[
            r#"6:47: syncs.s.from.overlap must be a duration with its unit, such as 2m, or a whole number for integer cursors, not "-1""#,
            r#"6:56: syncs.s.from.lag must be a duration with its unit (ms, s, m, h or d), such as 30s or 15m, not "5""#,
        ],
    );
    check_sync(
        "    from: { connection: a, table: t, overlap: [1], lag: 400d }\n",
        &[
            "6:47: syncs.s.from.overlap must be a duration with its unit, such as 2m, or a whole number for integer cursors, not a list",
            r#"6:57: syncs.s.from.lag must be at most 366d, not "400d""#,
        ],
    );
    check_sync(
        "    from: { connection: a, table: '', cursor: [c], tombstone: true }\n",
        &[
            "6:35: syncs.s.from.table must not be empty",
            "6:47: syncs.s.from.cursor must be a text, not a list",
            r#"6:63: syncs.s.from.tombstone must be a text, not "true"; if it is one, put it in quotes"#,
        ],
    );
}

#[test]
fn modes_and_writes() {
    check_sync(
        "    mode: incremental\n",
        &[
            "6:11: syncs.s.mode incremental needs a cursor; name a column that grows with every change in from.cursor, or use mode: full",
        ],
    );
    check_sync(
        "    mode: changes\n    write: append\n",
        &[
            r#"6:11: syncs.s.mode must be full or incremental, not "changes"; reading a change log is not in this version"#,
            r#"7:12: syncs.s.write must be upsert or mirror, not "append"; connections of type sharepoint are not written otherwise"#,
        ],
    );
    check_sync(
        "    mode: incremental_\n    write: merge\n    on_edit: ask\n",
        &[
            r#"6:11: syncs.s.mode must be full or incremental, not "incremental_"; did you mean "incremental"?"#,
            r#"7:12: syncs.s.write must be upsert or mirror, not "merge""#,
            r#"8:14: syncs.s.on_edit must be overwrite or report, not "ask""#,
        ],
    );
    check_sync(
        "    write: mirror\n    deletes: ignore\n",
        &["7:14: warning: write: mirror with deletes: ignore removes nothing: it is the same as upsert"],
    );
    check_sync("    batch: 0\n", &[r#"6:12: syncs.s.batch must be a whole number from 1 to 5000, not "0""#]);
    check_sync(
        "    batch: 5001\n",
        &[r#"6:12: syncs.s.batch must be a whole number from 1 to 5000, not "5001""#],
    );
    check_sync(
        "    batch: '5'\n",
        &[r#"6:12: syncs.s.batch must be a whole number from 1 to 5000, not "5"; remove the quotes"#],
    );
    check_sync(
        "    batch: 99999999999999999999999\n",
        &[r#"6:12: syncs.s.batch must be a whole number from 1 to 5000, not "99999999999999999999999""#],
    );
}

#[test]
fn deletes() {
    check_sync(
        "    deletes: softly\n",
        &[r#"6:14: syncs.s.deletes must be ignore, soft or delete, not "softly"; did you mean "soft"?"#],
    );
    check_sync(
        "    deletes: { policy: delete, field: F }\n",
        &["6:32: syncs.s.deletes.field is for soft deletes only; add policy: soft, or remove it"],
    );
    check_sync(
        "    deletes: { policy: soft, field: F }\n",
        &[
            r#"6:14: "F" is mapped in fields and marks soft deletes; choose another with deletes: { policy: soft, field: ... }, or do not map it"#,
        ],
    );
    check_sync(
        "    deletes: { guard: { count: -1, percent: 101 }, out_of_filter: maybe }\n",
        &[
            r#"6:32: syncs.s.deletes.guard.count must be a whole number, zero or more, not "-1""#,
            r#"6:45: syncs.s.deletes.guard.percent must be a number from 0 to 100, not "101""#,
            r#"6:67: syncs.s.deletes.out_of_filter must be true or false, not "maybe""#,
        ],
    );
    check_sync(
        "    deletes: { guard: 10, out_of_filter: true }\n",
        &[
            r#"6:23: syncs.s.deletes.guard must be a map with the keys count, percent, not "10""#,
            "6:27: warning: syncs.s.deletes.out_of_filter has no effect: the sync has no filter",
        ],
    );
    check_sync(
        "    deletes: { guard: { percent: nan } }\n",
        &[r#"6:34: syncs.s.deletes.guard.percent must be a number from 0 to 100, not "nan""#],
    );
}

#[test]
fn fields() {
    check_sync(
        "    fields: { A: { }, B: { from: x, cel: y }, C: ~, D: [x], E: true, F: '' }\n",
        &[
            "6:15: syncs.s.fields.A needs from (a source column) or cel (an expression)",
            "6:23: syncs.s.fields.B has both from and cel; only one of them can give the value",
            "6:50: syncs.s.fields.C must be a source column or a map with from or cel, not nothing",
            "6:56: syncs.s.fields.D must be a source column or a map with from or cel, not a list",
            r#"6:64: syncs.s.fields.E must be a text, not "true"; if it is one, put it in quotes"#,
            "6:73: syncs.s.fields.F must not be empty",
        ],
    );
    check_sync(
        "    fields: { ' A': x, '': y }\n",
        &[r#"6:15: " A" is not the name of a field"#, r#"6:24: "" is not the name of a field"#],
    );
    check_sync(
        "    fields: { A: { from: x, direction: down, required: 1, as: link, default: [1] } }\n",
        &[
            r#"6:40: syncs.s.fields.A.direction must be both, push or pull, not "down""#,
            r#"6:56: syncs.s.fields.A.required must be true or false, not "1""#,
            r#"6:63: syncs.s.fields.A.as must be hyperlink, not "link""#,
            "6:78: syncs.s.fields.A.default must be a single value, not a list",
        ],
    );
    check_sync(
        "    fields: { A: { cel: 'x + 1', direction: both } }\n",
        &["6:45: syncs.s.fields.A.direction must be push: an expression cannot be turned round"],
    );
    check_sync(
        "    fields: { A: { from: x, direction: pull } }\n",
        &["6:5: syncs.s.fields has only fields with direction pull: nothing would be written"],
    );
    check_sync(
        "    fields: { A: { from: x, default: 0.12345678901234567 } }\n",
        &[
            r#"6:38: syncs.s.fields.A.default must be a number that needs no more than 15 digits, not "0.12345678901234567"; put it in quotes to keep every digit"#,
        ],
    );
    check_sync(
        "    fields: { Title: x }\n    adopt: { by: [Titel, Title, Title] }\n",
        &[
            r#"7:19: syncs.s.adopt.by[0] "Titel" is not mapped in fields; did you mean "Title"?"#,
            r#"7:33: syncs.s.adopt.by names "Title" twice"#,
        ],
    );
    check_sync("    adopt: { by: [] }\n", &["6:18: syncs.s.adopt.by must not be empty"]);
}

#[test]
fn expressions_are_shown_at_the_character() {
    check_sync(
        "    fields: { A: { cel: \"x + \" } }\n",
        &["6:29: syncs.s.fields.A.cel is not an expression: it ends too early"],
    );
    check_sync(
        "    fields: { A: { cel: \"email.lowerAscci()\" } }\n",
        &[
            r#"6:32: syncs.s.fields.A.cel is not an expression: unknown function lowerAscci(); did you mean "lowerAscii"?"#,
        ],
    );
    check_sync(
        "    fields: { A: { cel: \"domian(email(x))\" } }\n",
        &[
            r#"6:26: syncs.s.fields.A.cel is not an expression: unknown function domian(); did you mean "domain"?"#,
        ],
    );
    check_sync(
        "    route:\n      - when: |\n          a == 1 &&\n            b ==== 2\n        list: m\n",
        &["9:17: syncs.s.route[0].when is not an expression: extraneous input '=='"],
    );
    check_sync(
        "    route: [{ when: 'name == ''x'' && size_(y) > 1', list: m }]\n",
        &[
            r#"6:39: syncs.s.route[0].when is not an expression: unknown function size_(); did you mean "size"?"#,
        ],
    );
    check_sync(
        "    from: { connection: a, table: t, filter: '1 + 1' }\n",
        &["6:46: syncs.s.from.filter is not a condition: it gives int64, not true or false"],
    );
    check_sync(
        "    from: { connection: a, table: t, filter: false }\n",
        &["6:46: warning: syncs.s.from.filter never holds: nothing is synced"],
    );
    check_sync(
        "    from: { connection: a, table: t, filter: '' }\n",
        &["6:46: syncs.s.from.filter must not be empty"],
    );
    check_sync(
        "    from: { connection: a, table: t, filter: \"x == '${NOWHERE}'\" }\n",
        &["6:53: the environment variable NOWHERE is not set; set it, or read a file with ${file:path}"],
    );
}

#[test]
fn routes() {
    check_sync(
        "    route:\n      - { when: a, list: m }\n      - { when: b, list: m }\n      - { when: 'true', list: n }\n      - { when: c, list: o }\n",
        &[
            "8:9: warning: syncs.s.route[1] goes to the same list as the route before it; join their conditions with ||",
            "10:9: warning: syncs.s.route[3] is never reached: route[2] takes every record",
        ],
    );
    check_sync(
        "    route: [{ when: 1 == 2, list: m }, { when: '1', list: n }]\n",
        &[
            "6:13: warning: syncs.s.route[0] never takes a record",
            "6:48: syncs.s.route[1].when is not a condition: it gives int64, not true or false",
        ],
    );
    check_sync(
        "    route: { when: a, list: m }\n",
        &["6:12: syncs.s.route must be a list of maps with the keys when, list, not a map"],
    );
    check_sync("    route: []\n", &["6:12: syncs.s.route must not be empty"]);
}

#[test]
fn schedules() {
    check_sync(
        "    schedule: [{ every: 15m }, { cron: '0 3 * * MON', zone: Europe/Berlin, mode: full }]\n",
        &[],
    );
    check_sync(
        "    schedule: { every: 0s, cron: '* * *', zone: 'Mars Base' }\n",
        &[
            "6:5: syncs.s.schedule needs exactly one of every and cron",
            "6:24: syncs.s.schedule.every must be more than nothing",
            r#"6:34: syncs.s.schedule.cron must have five fields: minute, hour, day of month, month, day of week, not "* * *""#,
            r#"6:49: syncs.s.schedule.zone must be an IANA time zone, such as Europe/Berlin or UTC, not "Mars Base""#,
        ],
    );
    check_sync(
        "    schedule: { every: 1h, zone: UTC, mode: ful }\n",
        &[
            "6:28: syncs.s.schedule.zone is for cron only",
            r#"6:45: syncs.s.schedule.mode must be full or incremental, not "ful"; did you mean "full"?"#,
        ],
    );
    check_sync(
        "    schedule: daily\n",
        &[
            r#"6:15: syncs.s.schedule must be a map with the keys name, every, cron, zone, mode, lookback, prepurge, reindex, misfire, overlap, jitter, enabled, not "daily""#,
        ],
    );
}

#[test]
fn the_store() {
    check(
        &format!("{}store: {{ path: [], max_size: 4, busy_timeout: soon, pth: x }}\n", project("")),
        &[
            "9:16: store.path must be a text, not a list",
            r#"9:30: store.max_size must be a size with its unit (KiB, MiB, GiB, TiB, KB, MB, GB or TB), such as 4GiB, not "4""#,
            r#"9:47: store.busy_timeout must be a duration with its unit (ms, s, m, h or d), such as 30s or 15m, not "soon""#,
            r#"9:53: unknown key "pth" in store; did you mean "path"?"#,
        ],
    );
}
