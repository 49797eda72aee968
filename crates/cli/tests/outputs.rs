//! Exit codes, JSON, and what goes where.

use serde_json::{Value as Json, json};

use crate::kit::{Place, SECRET};

#[test]
fn the_life_of_a_project() {
    let place = Place::with_projects(200);
    // a new project has everything to do, and a plan changes nothing
    place.syncline(&["plan", "--exit-code"]).with_code(4).saying("create");
    assert!(!place.path(".syncline").exists(), "a plan leaves nothing behind");
    assert_eq!(place.world().counters().writes_applied, 0);
    place.syncline(&["plan"]).with_code(0);
    let fixed = place.syncline(&["check", "--fix"]).with_code(0);
    assert!(fixed.out.starts_with(
        "fixed: intranet: list \"Active Projects\": created the column SynclineKey: text, indexed, unique\n"
    ), "{}", fixed.out);
    let run = place.syncline(&["run"]).with_code(0);
    assert!(run.out.starts_with("projects: succeeded in "), "{}", run.out);
    assert!(run.out.contains(" (run 1): 200 read = 200 created\n  Active Projects: 160 created\n  Closed Projects: 40 created\n"), "{}", run.out);
    assert_eq!((place.items("Active Projects"), place.items("Closed Projects")), (160, 40));
    // nothing to do, and it is said so
    let plan = place.syncline(&["plan", "--exit-code"]).with_code(0);
    assert_eq!(
        plan.out,
        "projects: full run\n  action     records\n  unchanged      200\nNothing to do: source and destination agree.\n"
    );
    place.syncline(&["run"]).with_code(0).saying("200 read = 200 unchanged");
    place.syncline(&["verify"]).with_code(0).saying("projects: no drift; 200 records agree");
}

#[test]
fn a_plan_shows_every_field_that_changes() {
    let place = Place::after_first_run(50);
    place.sql(
        "UPDATE projects SET budget = 99.99 WHERE code = 'P-00001';
         UPDATE projects SET status = 'Closed' WHERE code = 'P-00002';
         INSERT INTO projects VALUES ('P-90000', 'Active', NULL);
         DELETE FROM projects WHERE code = 'P-00050'",
    );
    let plan = place.syncline(&["plan"]).with_code(0).out;
    let expected = "\
projects: full run
  action     records
  create           1
  update           1
  move             1
  delete           1
  unchanged       47
";
    assert!(plan.starts_with(expected), "{plan}");
    for block in [
        "~ update P-00001  Active Projects\n    BudgetAmount  \"10.25\" → \"99.99\"\n",
        "> move P-00002  Active Projects → Closed Projects\n    Status  \"Active\" → \"Closed\"\n",
        "- delete P-00050  Closed Projects\n",
    ] {
        assert!(plan.contains(block), "{block}\nis not in\n{plan}");
    }
    let limited = place.syncline(&["plan", "--limit", "1"]).with_code(0);
    limited.saying("… and 3 more records; --limit N shows more, --json all");
    // the run does exactly what the plan said
    place
        .syncline(&["run"])
        .with_code(0)
        .saying("51 read = 1 created + 1 updated + 1 moved + 1 deleted + 47 unchanged");
}

#[test]
fn json_of_every_command_parses() {
    let place = Place::with_projects(30);
    let check = place.syncline(&["check", "--json"]).with_code(0).json();
    let warning = &check[0];
    assert_eq!(
        (&warning["severity"], &warning["line"], &warning["column"]),
        (&json!("warning"), &json!(14), &json!(39))
    );
    assert_eq!(warning["path"], "syncs.projects.to.list");
    assert_eq!(check.last().unwrap(), &json!({ "summary": { "errors": 0, "warnings": 2 } }));
    place.syncline(&["check", "--fix", "--json"]).with_code(0).json();

    let plan = place.syncline(&["plan", "--json", "--limit", "1"]).with_code(0).json();
    assert_eq!(plan.len(), 31, "every record and a summary, whatever the limit");
    assert_eq!((&plan[0]["action"], &plan[0]["sync"]), (&json!("create"), &json!("projects")));
    assert_eq!(plan[30]["summary"]["create"], 30);

    let run = place.syncline(&["run", "--json"]).with_code(0);
    assert_eq!(run.err, "", "everything is in the events");
    let events = run.json();
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"started"), Some(&"finished")));
    assert!(kinds.contains(&"phase") && kinds.contains(&"progress"), "{kinds:?}");
    assert!(events.iter().all(|event| event["sync"] == "projects"));
    assert_eq!(events.last().unwrap()["counts"]["created"], 30);

    let active = place.world().items("Active Projects").unwrap();
    place.world().delete_item("Active Projects", active[0].id).unwrap();
    let edit = json!({ "Status": "Planned" });
    place.world().edit_item("Active Projects", active[1].id, edit.as_object().unwrap()).unwrap();
    let verify = place.syncline(&["verify", "--json"]).with_code(3).json();
    let kinds: Vec<&Json> = verify.iter().filter_map(|line| line.get("drift")).collect();
    assert_eq!(kinds, ["missing", "edited"]);
    let fields = json!([{ "field": "Status", "old": "Active", "new": "Planned" }]);
    assert_eq!(verify[1]["fields"], fields);
    assert_eq!(verify[2]["summary"]["equal"], 28);

    let status = place.syncline(&["status", "--json"]).with_code(0).json();
    assert_eq!((&status[0]["known"], &status[0]["last_run"]["status"]), (&json!(30), &json!("succeeded")));
    let runs = place.syncline(&["runs", "--json"]).with_code(0).json();
    assert_eq!((runs.len(), &runs[0]["counts"]["created"]), (1, &json!(30)));
    assert_eq!(place.syncline(&["show", "1", "--json"]).with_code(0).json()[0], runs[0]);
    for list in ["parked", "held"] {
        assert_eq!(place.syncline(&[list, "list", "--json"]).with_code(0).json().len(), 0);
    }
    let schema = place.syncline(&["schema"]).with_code(0).out;
    let schema: Json = serde_json::from_str(&schema).unwrap();
    assert_eq!(schema["title"], "Syncline project");
}

#[test]
fn results_and_talk_go_separate_ways() {
    let place = Place::with_projects(20);
    let run = place.syncline(&["run"]).with_code(0);
    assert!(run.err.starts_with("projects: run 1, full: first complete run: "), "{}", run.err);
    assert!(
        run.err.contains("note: list \"Active Projects\" has no indexed SynclineKey column"),
        "{}",
        run.err
    );
    let quiet = place.syncline(&["run", "-q"]).with_code(0);
    assert_eq!(quiet.err, "");
    // nothing of a terminal's in a pipe
    for ended in [&run, &quiet] {
        assert!(!ended.out.contains('\x1b') && !ended.err.contains('\x1b'));
    }
    // a reader that goes away is no error
    let script = format!("{} plan --mode full | head -1", env!("CARGO_BIN_EXE_syncline"));
    let mut shell = std::process::Command::new("bash");
    let envs = place.command(&[]);
    shell.args(["-c", &format!("set -o pipefail; {script}")]).current_dir(place.directory.path());
    shell.envs(envs.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert!(shell.output().unwrap().status.success());
}

#[test]
fn results_that_cannot_be_written_are_a_failure() {
    let place = Place::empty();
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else { return };
    let output = place.command(&["schema"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.starts_with("error: the results cannot be written: "), "{err}");
}

#[test]
fn secrets_are_never_seen() {
    let place = Place::with_projects(40);
    let mut seen = String::new();
    let commands: [&[&str]; 10] = [
        &["check", "-vvv"],
        &["check", "--fix", "-vvv"],
        &["plan", "-vvv", "--json"],
        &["run", "-vvv", "--log-format", "json"],
        &["run", "-vvv", "--json"],
        &["verify", "-vvv"],
        &["status", "-vvv"],
        &["show", "1"],
        &["parked", "list"],
        &["schema"],
    ];
    for command in commands {
        let ended = place.syncline(command).with_code(0);
        seen += &format!("{}{}", ended.out, ended.err);
    }
    // a secret that is wrong, and one written down in the file beside a mistake
    place.project_with("${CLIENT_SECRET}", "hunter2-in-clear");
    let ended = place.syncline(&["check", "-vvv"]).with_code(2);
    seen += &format!("{}{}", ended.out, ended.err);
    place.project_with("client_secret: \"${CLIENT_SECRET}\"", "client_sekret: hunter2-in-clear");
    let ended = place.syncline(&["check", "-vvv"]).with_code(2);
    seen += &format!("{}{}", ended.out, ended.err);
    for secret in [SECRET, "hunter2"] {
        assert!(!seen.contains(secret), "{seen}");
        for file in walk(&place.path(".syncline")) {
            let bytes = std::fs::read(&file).unwrap();
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{}", file.display());
        }
    }
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}
