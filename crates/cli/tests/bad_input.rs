//! What people type wrong, and what they are told, word for word: the place, the reason, the way out.

use crate::kit::{PROJECT, Place};

/// Checks what `check --offline` prints about the project with `from` replaced by `to`.
#[track_caller]
fn offline(from: &str, to: &str, expected: &str) {
    let mut place = Place::empty();
    place.set("SIM", "http://127.0.0.1:1");
    place.set("CLIENT_SECRET", "s3cret");
    assert!(PROJECT.contains(from), "{from:?} is not in the project");
    place.write("syncline.yaml", PROJECT.replacen(from, to, 1));
    let ended = place.syncline(&["check", "--offline"]).with_code(2);
    assert_eq!(ended.out, expected);
    assert_eq!(ended.err, "");
    // a run refuses for the same reasons
    let run = place.syncline(&["run"]).with_code(2);
    let findings = expected.lines().take(expected.lines().count() - 1);
    assert_eq!(run.out.lines().collect::<Vec<_>>(), findings.collect::<Vec<_>>());
    assert!(!place.path(".syncline").exists());
}

#[test]
fn unknown_keys() {
    offline(
        "deletes: delete",
        "delets: delete",
        r#"syncline.yaml:16:5: error: unknown key "delets" in syncs.projects; did you mean "deletes"?
   16 |     delets: delete
      |     ^
1 error (nothing was connected to)
"#,
    );
}

#[test]
fn malformed_yaml() {
    offline(
        "mode: full",
        "mode: [full",
        r#"syncline.yaml:16:12: error: malformed YAML: illegal placement of ':' indicator
   16 |     deletes: delete
      |            ^
1 error (nothing was connected to)
"#,
    );
}

#[test]
fn duplicate_names() {
    offline(
        "      Status: status\n",
        "      Status: status\n      Status: budget\n",
        r#"syncline.yaml:20:7: error: "Status" appears twice in syncs.projects.fields; the first is at line 19, column 7
   20 |       Status: budget
      |       ^
1 error (nothing was connected to)
"#,
    );
}

#[test]
fn unset_variables() {
    offline(
        r#"authority: "${SIM}""#,
        r#"authority: "${SMI}""#,
        r#"syncline.yaml:7:17: error: the environment variable SMI is not set; set it, or read a file with ${file:path}
    7 |                 ${SMI}
      |                 ^
1 error (nothing was connected to)
"#,
    );
}

#[test]
fn expressions() {
    offline(
        "status == 'Closed'",
        "status = 'Closed'",
        r#"syncline.yaml:22:25: error: syncs.projects.route[0].when is not an expression: token recognition error at: '= '; did you mean "=="?
   22 |       - { when: "status = 'Closed'", list: Closed Projects }
      |                         ^
1 error (nothing was connected to)
"#,
    );
}

#[test]
fn unknown_connections() {
    offline(
        "from: { connection: erp,",
        "from: { connection: epr,",
        r#"syncline.yaml:13:25: error: syncs.projects.from.connection "epr" is not a connection; did you mean "erp"?
   13 |     from: { connection: epr, table: projects, key: [code] }
      |                         ^
1 error (nothing was connected to)
"#,
    );
}

#[test]
fn every_problem_at_once_in_the_order_of_the_file() {
    let place = Place::empty();
    place.write(
        "syncline.yaml",
        PROJECT
            .replace("type: sqlite", "type: sqlit")
            .replace("mode: full", "mode: fool")
            .replace("budget", "\"\""),
    );
    let out = place.syncline(&["check", "--offline"]).with_code(2).out;
    let places: Vec<&str> = out.lines().filter(|line| line.starts_with("syncline.yaml:")).collect();
    assert!(places.len() >= 5, "{out}");
    let lines: Vec<u32> =
        places.iter().map(|line| line.split(':').nth(1).unwrap().parse().unwrap()).collect();
    assert!(lines.is_sorted(), "{out}");
}

#[test]
fn files_that_are_not_there_or_not_text() {
    let place = Place::empty();
    let ended = place.syncline(&["run"]).with_code(2);
    assert_eq!(
        ended.err,
        "error: syncline.yaml: not found\nhint: `syncline init` writes a commented project; -f FILE names another one\n"
    );
    place.write("syncline.yaml", b"syncs:\n  a\xff");
    let ended = place.syncline(&["check"]).with_code(2);
    assert_eq!(
        ended.out,
        "syncline.yaml:2:4: error: the file is not UTF-8; save the file as UTF-8\n1 error (nothing was connected to)\n"
    );
}

/// Checks what `check` prints about a project that is fine by itself and does not fit its systems.
#[track_caller]
fn online(from: &str, to: &str, expected: &str) {
    let place = Place::with_projects(3);
    place.syncline(&["check", "--fix"]).with_code(0);
    place.project_with(from, to);
    let ended = place.syncline(&["check"]).with_code(2);
    assert_eq!(ended.out, expected);
    assert_eq!(ended.err, "");
    let run = place.syncline(&["run"]).with_code(2);
    assert!(
        run.err.ends_with(
            "error: sync \"projects\" does not fit its systems; nothing was read or written\n\
             hint: `syncline check` shows every problem and warning\n"
        ),
        "{}",
        run.err
    );
    assert_eq!(place.items("Active Projects"), 0);
}

#[test]
fn a_table_that_does_not_exist() {
    online(
        "table: projects",
        "table: projcts",
        r#"syncline.yaml:13:37: error: there is no table or view "projcts"; did you mean "projects"?
   13 |     from: { connection: erp, table: projcts, key: [code] }
      |                                     ^
1 error (2 connections, 1 sync)
"#,
    );
}

#[test]
fn a_column_that_does_not_exist() {
    online(
        "BudgetAmount: budget",
        "BudgetAmount: budgte",
        r#"syncline.yaml:20:7: error: column "budgte" does not exist; did you mean "budget"?
   20 |       BudgetAmount: budgte
      |       ^
1 error (2 connections, 1 sync)
"#,
    );
}

#[test]
fn a_list_that_does_not_exist() {
    online(
        "list: Closed Projects",
        "list: Closed Project",
        r#"syncline.yaml:22:45: error: list "Closed Project": the site has no such list; did you mean "Closed Projects"?
   22 |       - { when: "status == 'Closed'", list: Closed Project }
      |                                             ^
1 error (2 connections, 1 sync)
"#,
    );
}

#[test]
fn an_internal_name_that_does_not_exist() {
    online(
        "BudgetAmount: budget",
        "BudgetAmout: budget",
        r#"syncline.yaml:20:7: error: list "Active Projects" has no column "BudgetAmout"; did you mean "BudgetAmount"?
   20 |       BudgetAmout: budget
      |       ^
syncline.yaml:20:7: error: list "Closed Projects" has no column "BudgetAmout"; did you mean "BudgetAmount"?
   20 |       BudgetAmout: budget
      |       ^
2 errors (2 connections, 1 sync)
"#,
    );
}

#[test]
fn a_key_that_does_not_exist() {
    online(
        "key: [code]",
        "key: [cod]",
        r#"syncline.yaml:13:52: error: column "cod" does not exist; did you mean "code"?
   13 |     from: { connection: erp, table: projects, key: [cod] }
      |                                                    ^
1 error (2 connections, 1 sync)
"#,
    );
}

#[test]
fn a_type_that_does_not_fit() {
    online(
        "BudgetAmount: budget",
        "BudgetAmount: status",
        r#"syncline.yaml:20:7: error: a text column cannot be written to a decimal field
   20 |       BudgetAmount: status
      |       ^
1 error (2 connections, 1 sync)
"#,
    );
}

#[test]
fn a_table_without_a_primary_key() {
    let place = Place::with_projects(3);
    place.syncline(&["check", "--fix"]).with_code(0);
    place.sql("CREATE TABLE loose (code TEXT, status TEXT, budget NUMERIC); INSERT INTO loose SELECT * FROM projects");
    place.project_with("table: projects, key: [code]", "table: loose");
    let ended = place.syncline(&["check"]).with_code(2);
    assert_eq!(
        ended.out,
        r#"syncline.yaml:13:11: error: table "loose" has no primary key; name the columns that say "same record" (key: [...]), or use key: {hashed: all}
   13 |     from: { connection: erp, table: loose }
      |           ^
syncline.yaml:20:7: warning: the destination stores doubles; records whose decimal has more digits than a double can hold are parked
   20 |       BudgetAmount: budget
      |       ^
1 error and 1 warning (2 connections, 1 sync)
"#
    );
    // with a key of the user's choice it works, and the keys that occur twice are named
    place.sql("INSERT INTO loose SELECT * FROM projects WHERE code = 'P-00002'");
    place.project_with("table: projects", "table: loose");
    let ended = place.syncline(&["check"]).with_code(0);
    assert_eq!(
        ended.out,
        r#"syncline.yaml:13:49: warning: nothing in the source guarantees that (code) is unique and not null; records with a null or repeated key are parked, and a full read runs in one long transaction
   13 |     from: { connection: erp, table: loose, key: [code] }
      |                                                 ^
syncline.yaml:13:49: warning: 1 key occurs in more than one record of "loose" ("P-00002"); those records would be parked
   13 |     from: { connection: erp, table: loose, key: [code] }
      |                                                 ^
syncline.yaml:20:7: warning: the destination stores doubles; records whose decimal has more digits than a double can hold are parked
   20 |       BudgetAmount: budget
      |       ^
3 warnings (2 connections, 1 sync)
"#
    );
    place.syncline(&["run"]).with_code(3).saying("parked");
}

#[test]
fn names_on_the_command_line() {
    let place = Place::with_projects(3);
    let ended = place.syncline(&["run", "project"]).with_code(2);
    assert_eq!(
        ended.err,
        "error: there is no sync \"project\" in the project\nhint: did you mean \"projects\"?\n"
    );
    place.syncline(&["reset", "project"]).with_code(2);
    place.syncline(&["status"]).with_code(0).saying("never");
    place.syncline(&["runs"]).with_code(1).saying("nothing has run yet");
    place.syncline(&["run"]).with_code(0);
    place.syncline(&["show", "77"]).with_code(2).saying("there is no run 77");
    place
        .syncline(&["parked", "retry", "projects", "P-1"])
        .with_code(2)
        .saying("no parked record with the key \"P-1\"");
}
