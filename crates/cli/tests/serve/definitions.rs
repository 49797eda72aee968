//! Definitions that change while they are served.

use super::kit::{PROJECT, Service, add, place, stored, until_arrived, until_told};
use crate::kit::until;

/// A second sync beside the one of [`PROJECT`].
const MORE: &str = r"  again:
    from: { connection: erp, table: projects, key: [code] }
    to: { connection: cache, table: again }
    mode: full
    write: upsert
    schedule: { every: 1s }
";

fn synced(place: &crate::kit::Place, sync: &str) -> bool {
    let sql = format!(
        "SELECT count(*) FROM run JOIN sync ON sync.number = run.sync WHERE sync.name = '{sync}' AND status = 'succeeded'"
    );
    stored(place, &sql).is_some_and(|runs| runs > 0)
}

#[test]
fn a_broken_project_file_is_told_and_the_last_good_one_is_served() {
    let place = place(10);
    let service = Service::start(&place, "one", &[]);
    until_arrived(&place, 10);

    place.write("syncline.yaml", PROJECT.replace("write: upsert", "wrte: upsert"));
    until_told(&place, "definition.broken", 1);
    add(&place, 11, 20);
    until_arrived(&place, 20);

    place.write("syncline.yaml", format!("{PROJECT}{MORE}"));
    until_told(&place, "definition.recovered", 1);
    until("the new sync has run", || synced(&place, "again"));
    let log = service.stop();
    assert!(log.contains(r#"unknown key \"wrte\""#) || log.contains("wrte"), "{log}");
}

#[test]
fn a_changed_project_file_is_taken_over() {
    let place = place(10);
    let service = Service::start(&place, "one", &[]);
    until_arrived(&place, 10);
    place.write("syncline.yaml", format!("{PROJECT}{MORE}"));
    until_told(&place, "definition.changed", 1);
    until("the new sync has run", || synced(&place, "again"));
    service.stop();
}

#[test]
fn a_service_does_not_start_with_a_broken_project() {
    let place = place(1);
    place.write("syncline.yaml", PROJECT.replace("write: upsert", "wrte: upsert"));
    place.syncline(&["serve"]).with_code(2).saying(r#"unknown key "wrte""#);
}

#[test]
fn an_applied_project_is_followed() {
    let place = place(10);
    place.syncline(&["apply", "--dry-run"]).with_code(4).saying("+  projects:");
    place.syncline(&["apply"]).with_code(0).saying("stored as version 1");
    place.syncline(&["apply"]).with_code(0).saying("nothing differs from version 1");
    // What is served is in the store: the file may be anything now.
    place.write("other.yaml", "not: [a project");
    let store = ["-f", "other.yaml", "--store", ".syncline/store.db"];
    let refused: Vec<&str> = ["-f", "other.yaml", "serve", "--from-store"].into();
    place.syncline(&refused).with_code(2).saying("--from-store needs --store");
    let all = Service::start_from(&place, "one", &store, &["--from-store"]);
    until_arrived(&place, 10);
    place.write("syncline.yaml", format!("{PROJECT}{MORE}"));
    place.syncline(&["apply"]).with_code(0).saying("stored as version 2");
    until("the new sync has run", || synced(&place, "again"));
    all.stop();
    place.syncline(&["definitions", "versions", "project"]).with_code(0).saying("cli");
    place.syncline(&["definitions", "diff", "project"]).with_code(0).saying("+  again:");
    place.syncline(&["definitions", "diff", "project", "--number", "1"]).with_code(0).saying("+  projects:");
    place.syncline(&["definitions", "diff", "sync"]).with_code(2).saying("give its name");
}
