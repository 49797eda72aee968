//! The commands about what waits, and about what is remembered.

use serde_json::json;

use crate::kit::Place;

#[test]
fn init_writes_a_project_and_refuses_to_overwrite() {
    let place = Place::empty();
    let ended = place.syncline(&["init"]).with_code(0);
    assert_eq!(ended.out, "syncline.yaml is written\n");
    let written = std::fs::read_to_string(place.path("syncline.yaml")).unwrap();
    assert_eq!(written, syncline_spec::template());
    // as it stands, nothing is wrong with it but the variables
    let check = place.syncline(&["check", "--offline"]).with_code(2);
    let errors = check.out.lines().filter(|line| line.contains(": error: "));
    assert!(
        errors.clone().count() > 0 && errors.clone().all(|line| line.contains("is not set")),
        "{}",
        check.out
    );
    place.write("syncline.yaml", "mine");
    let again = place.syncline(&["init"]).with_code(2);
    assert_eq!(
        again.err,
        "error: syncline.yaml exists already; it was not touched\nhint: remove it first, or name another file with -f\n"
    );
    assert_eq!(std::fs::read_to_string(place.path("syncline.yaml")).unwrap(), "mine");
    place.syncline(&["init", "-f", "other.yaml"]).with_code(0).saying("syncline -f other.yaml check");
}

#[test]
fn parked_records_are_listed_retried_and_dropped() {
    let place = Place::after_first_run(20);
    place.sql("UPDATE projects SET status = 'Cancelled' WHERE code IN ('P-00003', 'P-00004')");
    let run = place.syncline(&["run"]).with_code(3);
    assert!(run.out.contains("20 read = 18 unchanged + 2 parked"), "{}", run.out);
    run.saying("2 records are parked; `syncline parked list projects` says why, later runs try again");
    let list = place.syncline(&["parked", "list"]).with_code(0).out;
    let first = list.lines().nth(1).unwrap();
    assert!(first.starts_with("projects  P-00003  ") && first.contains("field \"Status\": "), "{list}");
    // the next run tries both again, and after that they wait longer
    place.syncline(&["run", "--parked"]).with_code(3).saying("2 read = 2 parked");
    place.syncline(&["run", "--parked"]).with_code(0).saying("nothing new");
    place.syncline(&["parked", "list"]).with_code(0).saying("  in 5");
    // one is repaired and tried at once, the other one is given up
    place.sql("UPDATE projects SET status = 'Planned' WHERE code = 'P-00003'");
    place
        .syncline(&["parked", "retry", "projects", "P-00003"])
        .with_code(0)
        .saying("1 parked record is due now");
    place.syncline(&["run", "--parked"]).with_code(0).saying("1 read = 1 updated");
    let refused = place.syncline(&["parked", "drop", "projects"]).with_code(2);
    assert_eq!(
        refused.err,
        "error: nothing was dropped: 1 parked record would be forgotten\nhint: --yes does it without asking\n"
    );
    place
        .syncline(&["parked", "drop", "projects", "--yes"])
        .with_code(0)
        .saying("1 parked record is forgotten");
    assert_eq!(place.syncline(&["parked", "list"]).with_code(0).out, "nothing is parked\n");
}

#[test]
fn held_deletes_are_approved_or_rejected() {
    let place = Place::after_first_run(100);
    place.sql("DELETE FROM projects WHERE code > 'P-00040'");
    let plan = place.syncline(&["plan", "--exit-code"]).with_code(4);
    plan.saying("hold            60");
    let run = place.syncline(&["run"]).with_code(3);
    assert!(run.out.contains("100 read = 40 unchanged + 60 held"), "{}", run.out);
    run.saying("`syncline held approve projects --max 60`");
    let list = place.syncline(&["held", "list", "--limit", "2"]).with_code(0).out;
    assert!(list.lines().nth(1).unwrap().starts_with("projects  P-00041  "), "{list}");
    assert_eq!(place.items("Active Projects") + place.items("Closed Projects"), 100);
    // an approval that is too small lets nothing go
    place.syncline(&["held", "approve", "projects", "--max", "59"]).with_code(0);
    place.syncline(&["run"]).with_code(3);
    place
        .syncline(&["held", "approve", "projects", "--max", "60"])
        .with_code(0)
        .saying("projects: approved; the next full run deletes up to 60 records.");
    place.syncline(&["run"]).with_code(0).saying("60 deleted");
    assert_eq!(place.items("Active Projects") + place.items("Closed Projects"), 40);

    // the source is emptied; this time the records are kept
    place.sql("DELETE FROM projects");
    place.syncline(&["run"]).with_code(3).saying("40 held");
    place.syncline(&["held", "reject", "projects"]).with_code(2).saying("--yes does it without asking");
    place
        .syncline(&["held", "reject", "projects", "--yes"])
        .with_code(0)
        .saying("40 records stay where they are");
    place.syncline(&["run"]).with_code(0);
    assert_eq!(place.items("Active Projects") + place.items("Closed Projects"), 40);
}

#[test]
fn drift_is_found_and_repaired() {
    let place = Place::after_first_run(25);
    let items = place.world().items("Active Projects").unwrap();
    let edit = json!({ "Status": "Planned" });
    place.world().edit_item("Active Projects", items[0].id, edit.as_object().unwrap()).unwrap();
    place.world().delete_item("Active Projects", items[1].id).unwrap();
    place.world().create_item("Active Projects", json!({ "Title": "mine" }).as_object().unwrap()).unwrap();
    let verify = place.syncline(&["verify"]).with_code(3);
    let expected = "\
projects: 23 records agree
  drift     records
  missing         1  known to Syncline, gone from the destination
  edited          1  changed in the destination since it was written
  stranger        1  not ours; left alone
";
    assert!(verify.out.starts_with(expected), "{}", verify.out);
    assert!(
        verify.out.contains("edited P-00001  Active Projects item 1\n    Status  \"Active\" → \"Planned\"\n")
    );
    place.syncline(&["verify", "--repair"]).with_code(0).saying("2 read = 1 created + 1 updated");
    // somebody else's item is no drift
    place.syncline(&["verify"]).with_code(0).saying("stranger        1");
    assert_eq!(place.items("Active Projects"), 21);
}

#[test]
fn a_reset_reads_everything_and_doubles_nothing() {
    let place = Place::after_first_run(25);
    let reset = place.syncline(&["reset", "projects"]).with_code(0);
    assert_eq!(reset.out, "projects: the cursor is forgotten; the next run reads everything\n");
    place.syncline(&["run"]).with_code(0).saying("25 read = 25 unchanged");
    // and a store that was lost is made again from the stamps in the lists
    std::fs::remove_dir_all(place.path(".syncline")).unwrap();
    place.syncline(&["run"]).with_code(0).saying("25 read = 25 unchanged");
    assert_eq!(place.items("Active Projects") + place.items("Closed Projects"), 25);
}

#[test]
fn the_store_alone_answers_when_the_systems_are_away() {
    let mut place = Place::after_first_run(25);
    place.stop_sim();
    place.unset("SIM");
    place.unset("CLIENT_SECRET");
    std::fs::remove_file(place.path("projects.db")).unwrap();
    let status = place.syncline(&["status"]).with_code(0).out;
    let line = status.lines().nth(1).unwrap();
    assert!(line.starts_with("projects  1 ") && line.contains("succeeded  25 created     25"), "{status}");
    place.syncline(&["runs", "--status", "succeeded"]).with_code(0).saying("25 created");
    place.syncline(&["runs", "--status", "failed"]).with_code(0).saying("no such runs");
    place.syncline(&["show", "1"]).with_code(0).saying("account    25 read = 25 created");
    place.syncline(&["parked", "list"]).with_code(0);
    place.syncline(&["held", "list"]).with_code(0);
}

#[test]
fn another_store_is_another_memory() {
    let place = Place::after_first_run(10);
    place.syncline(&["status", "--store", "other.db"]).with_code(0).saying("never");
    assert!(!place.path("other.db").exists(), "asking makes no store");
    place.syncline(&["run", "--store", "other.db"]).with_code(0).saying("10 read = 10 unchanged");
    assert!(place.path("other.db").exists());
}
