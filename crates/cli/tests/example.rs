//! `examples/sharepoint-push`, end to end: exactly those files, a real PostgreSQL, real HTTP, the real binary.

use std::path::{Path, PathBuf};

use syncline_sim::Options;

use crate::{databases::Postgres, kit::Place};

/// Enough for several batches in each list, few enough for a test.
const ROWS: usize = 2_000;

const LISTS: [&str; 3] = ["Active Projects", "Closed Projects", "Large Projects"];

fn example(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/sharepoint-push").join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(example(file)).unwrap()
}

/// The example's files, a database with its rows, and a simulator with its lists.
fn stage(name: &str) -> Option<(Place, Postgres)> {
    let database = Postgres::create(name)?;
    database.execute(&read("schema.sql"));
    database.execute(&format!("SET syncline.rows = {ROWS};\n{}", read("data.sql")));
    let mut place = Place::empty();
    place.start_sim(Options::default());
    let lists: serde_json::Value = serde_json::from_str(&read("lists.json")).unwrap();
    for list in lists["lists"].as_array().unwrap() {
        place.world().add_list(&serde_json::from_value(list.clone()).unwrap()).unwrap();
    }
    place.write("syncline.yaml", read("syncline.yaml"));
    let sim = place.command(&[]);
    let url =
        sim.get_envs().find(|(name, _)| *name == "SIM").unwrap().1.unwrap().to_str().unwrap().to_owned();
    place.set("AUTHORITY", &url);
    place.set("GRAPH", &url);
    place.set("ERP_URL", &database.url);
    place.set("TENANT", "contoso.onmicrosoft.com");
    place.set("CLIENT_ID", "11111111-2222-4333-8444-555555555502");
    place.set("UNITS_PER_MINUTE", "100000000");
    Some((place, database))
}

fn items(place: &Place) -> [usize; 3] {
    LISTS.map(|list| place.items(list))
}

/// The item with a title, and its list.
fn find(place: &Place, title: &str) -> Vec<(&'static str, serde_json::Map<String, serde_json::Value>)> {
    let all = LISTS
        .into_iter()
        .flat_map(|list| place.world().items(list).unwrap().into_iter().map(move |item| (list, item.fields)));
    all.filter(|(_, fields)| fields["Title"] == title).collect()
}

#[test]
fn the_example_runs_end_to_end() {
    let Some((place, database)) = stage("cli_example") else { return };
    place.syncline(&["check", "--fix"]).with_code(0);
    let check = place.syncline(&["check"]).with_code(0).out;
    assert!(check.ends_with("1 warning (2 connections, 1 sync)\n"), "{check}");

    let plan = place.syncline(&["plan", "--exit-code", "--limit", "0"]).with_code(4);
    plan.saying("create    2,000");
    assert_eq!(place.world().counters().writes_applied, 0);
    place.syncline(&["run"]).with_code(0).saying("2,000 read = 2,000 created");
    assert_eq!(items(&place).iter().sum::<usize>(), ROWS);
    assert!(items(&place).iter().all(|n| *n > 100), "{:?}", items(&place));
    values_arrive(&place);

    // nothing changed: nothing is written, whatever the mode
    let before = place.world().counters().writes_applied;
    place.syncline(&["run"]).with_code(0);
    place.syncline(&["run", "--mode", "full"]).with_code(0).saying("2,000 read = 2,000 unchanged");
    place.syncline(&["plan", "--exit-code"]).with_code(0);
    assert_eq!(place.world().counters().writes_applied, before);

    changes_and_moves(&place, &database);
    deletes(&place, &database);
    place.syncline(&["verify"]).with_code(0).saying("no drift");
}

/// Cents, dates, texts of several lines, several choices, JSON: one item, compared with what data.sql says about n = 11.
fn values_arrive(place: &Place) {
    let found = find(place, "P-000011");
    let [(list, fields)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(*list, "Large Projects");
    let expected = serde_json::json!({
        "ProjectName": "Quiet Archive 11",
        "Description": "Phase 4 of the programme.\nSteering group: every 3 weeks — \"green\".",
        "Status": "Active",
        "BudgetAmount": 1_087_109.11,
        "StartDate": "2024-01-12T00:00:00Z",
        "EndDate": "2026-01-12T00:00:00Z",
        "Owner": "bea.11@contoso.com",
        "Tags": ["regulated"],
        "IsActive": true,
        "ChangedAt": "2026-01-01T00:00:00Z",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&fields[name], value, "{name}");
    }
    let metadata: serde_json::Value = serde_json::from_str(fields["Metadata"].as_str().unwrap()).unwrap();
    assert_eq!(metadata, serde_json::json!({ "cost_center": 4011, "risk": "high" }));
}

fn changes_and_moves(place: &Place, database: &Postgres) {
    database.execute(
        "UPDATE projects SET status = 'Closed' WHERE project_code = 'P-000001';
         UPDATE projects SET budget_amount = 1000000.00 WHERE project_code = 'P-000002';
         UPDATE projects SET budget_amount = budget_amount + 0.01 WHERE project_code = 'P-000003';
         INSERT INTO projects (id, project_code, name) VALUES (gen_random_uuid(), 'P-900000', 'A new one');",
    );
    let plan = place.syncline(&["plan"]).with_code(0).out;
    for block in [
        "> move P-000001  Active Projects → Closed Projects",
        "> move P-000002  Active Projects → Large Projects",
        "~ update P-000003  Active Projects\n    BudgetAmount  \"33757.03\" → \"33757.04\"",
        "+ create P-900000  Active Projects",
    ] {
        assert!(plan.contains(block), "{block}\nis not in\n{plan}");
    }
    place.syncline(&["run"]).with_code(0).saying(" = 1 created + 1 updated + 2 moved");
    for (title, list) in
        [("P-000001", LISTS[1]), ("P-000002", LISTS[2]), ("P-000003", LISTS[0]), ("P-900000", LISTS[0])]
    {
        let found = find(place, title);
        assert_eq!(found.iter().map(|(list, _)| *list).collect::<Vec<_>>(), [list], "{title}");
    }
    place.syncline(&["run", "--mode", "full"]).with_code(0).saying("2,001 read = 2,001 unchanged");
}

fn deletes(place: &Place, database: &Postgres) {
    // a few go at once, but only a complete listing shows them
    database.execute("DELETE FROM projects WHERE project_code IN ('P-000010', 'P-000020')");
    place.syncline(&["run"]).with_code(0);
    assert_eq!(items(place).iter().sum::<usize>(), 2_001);
    place.syncline(&["run", "--mode", "full"]).with_code(0).saying("2 deleted");
    // more than a tenth waits for somebody who knows
    database.execute("DELETE FROM projects WHERE project_code BETWEEN 'P-001000' AND 'P-001999'");
    place.syncline(&["run", "--mode", "full"]).with_code(3).saying("1,000 held");
    assert_eq!(items(place).iter().sum::<usize>(), 1_999);
    place.syncline(&["held", "approve", "projects", "--max", "1000"]).with_code(0);
    place.syncline(&["run", "--mode", "full"]).with_code(0).saying("1,000 deleted");
    assert_eq!(items(place).iter().sum::<usize>(), 999);
}

#[test]
fn a_listing_that_does_not_say_its_end_implies_nothing() {
    let Some((mut place, database)) = stage("cli_cut_off") else { return };
    place.syncline(&["check", "--fix"]).with_code(0);
    place.syncline(&["run", "-q"]).with_code(0);
    database.execute(
        "UPDATE projects SET budget_amount = budget_amount + 0.01 WHERE project_code = 'P-000003';
         DELETE FROM projects WHERE project_code IN ('P-000010', 'P-000020')",
    );
    place.set("SYNCLINE_FAILPOINT", "connect.source.before_end=error");
    place.syncline(&["run", "--mode", "full"]).with_code(1).saying("failpoint connect.source.before_end");
    assert_eq!(items(&place).iter().sum::<usize>(), ROWS, "nothing is taken for gone");
    place.unset("SYNCLINE_FAILPOINT");
    place.syncline(&["run", "--mode", "full"]).with_code(0).saying("2 deleted");
    assert_eq!(find(&place, "P-000003")[0].1["BudgetAmount"], 33_757.04);
    place.syncline(&["plan", "--mode", "full", "--exit-code"]).with_code(0);
}

#[test]
fn a_wrong_password_and_an_absent_server() {
    let Some((mut place, database)) = stage("cli_password") else { return };
    let url = database.url.replace("postgres://postgres@", "postgres://syncline_pw:wrong-password@");
    place.set("ERP_URL", &url);
    let check = place.syncline(&["check", "-vvv"]).with_code(2);
    assert!(check.out.starts_with("syncline.yaml:3:3: error: connection \"erp\": "), "{}", check.out);
    assert!(check.out.contains("password"), "{}", check.out);
    let run = place.syncline(&["run", "-vvv"]).with_code(1);
    for ended in [&check, &run] {
        assert!(!format!("{}{}", ended.out, ended.err).contains("wrong-password"));
    }
    place.set("ERP_URL", "postgres://somebody:wrong-password@127.0.0.1:1/nothing");
    let check = place.syncline(&["check"]).with_code(2).saying("127.0.0.1:1");
    assert!(!check.out.contains("wrong-password"));
    // the connection that cannot be reached is one problem, and the other one is tried all the same
    assert_eq!(check.out.lines().filter(|line| line.contains(": error: ")).count(), 1, "{}", check.out);
}
