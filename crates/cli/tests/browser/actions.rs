//! What people do: each action asks first, is done once, and says so.

use super::{
    audit::{audit, quiet},
    driver::Browser,
    world::World,
};
use crate::serve::kit::stored;

fn told(world: &World, kind: &str) -> String {
    let events = world.service.get(&format!("/api/v1/events?kind={kind}"));
    events["items"].to_string()
}

#[test]
fn people_decide_about_what_waits() {
    let world = World::lived_in();
    let browser = Browser::start(world.address());
    // the reason of a drop is kept
    browser.open("/parked");
    browser.says("2 records of 1 sync failed");
    browser.press("Drop…");
    browser.says("Drop 2 records of projects?");
    audit(&browser);
    browser.press("Leave it as it is");
    browser.says("2 records of 1 sync failed");
    browser.press("Drop…");
    browser.fill("input[name=reason]", "not <b>ours</b> any more");
    browser.press("Drop them");
    browser.says("Dropped: these records are not tried again.");
    browser.says("No record is parked.");
    assert!(told(&world, "parked.dropped").contains("not <b>ours</b> any more"));
    browser.open("/events?kind=parked.");
    browser.says("not <b>ours</b> any more");
    audit(&browser);
    // deletes: rejected by nobody, approved up to a number
    browser.open("/held");
    browser.says("15 deletes of 1 sync wait for you.");
    browser.press("Approve…");
    audit(&browser);
    browser.fill("input[name=max]", "15");
    browser.press("Approve the deletes");
    browser.says("Approved: the next full run may delete up to 15.");
    world.run("/api/v1/syncs/projects/runs");
    browser.open("/held");
    browser.says("No delete waits for you.");
    assert!(told(&world, "held.approved").contains("up to 15 deletes"));
    // what failed is tried again at once; the two records came back with the full run
    browser.open("/parked");
    browser.says("2 records of 1 sync failed");
    world.place.sql("UPDATE projects SET status = 'Active' WHERE status = 'On hold'");
    browser.press("Retry…");
    browser.press("Retry now");
    browser.says("It will be tried again");
    world.until_stored("SELECT count(*) FROM parked", 0);
    quiet(&browser);
    world.service.stop();
}

#[test]
fn rejected_deletes_stay() {
    let world = World::lived_in();
    let browser = Browser::start(world.address());
    browser.open("/held");
    browser.press("Reject…");
    audit(&browser);
    browser.press("Keep the records");
    browser.says("Rejected: these records stay");
    assert_eq!(stored(&world.place, "SELECT count(*) FROM held"), Some(0));
    assert_eq!(world.place.items("Active Projects") + world.place.items("Closed Projects"), 60);
    quiet(&browser);
}

#[test]
fn a_chain_is_run_and_resumed_and_a_connection_tested() {
    let world = World::lived_in();
    let browser = Browser::start(world.address());
    browser.open("/chains/month_end");
    browser.says("failed");
    browser.press("Resume from here…");
    browser.says("contracts, close");
    audit(&browser);
    // the archive is there again
    std::fs::create_dir(world.place.path("archive")).unwrap();
    rusqlite::Connection::open(world.place.path("archive/contracts.db"))
        .unwrap()
        .execute_batch("CREATE TABLE contracts (contract_no INTEGER NOT NULL PRIMARY KEY); INSERT INTO contracts VALUES (1)")
        .unwrap();
    browser.press("Resume");
    browser.says("completed");
    browser.says("3 of 3 steps done");
    browser.open("/connections");
    browser.click("#archive .actions a");
    browser.press("Test it");
    browser.says("answered");
    assert_eq!(browser.path(), "/connections");
    audit(&browser);
    browser.open("/chains/nightly/run");
    browser.press("Run it");
    browser.says("The run waits for a node");
    // the newest run takes the place of the one before
    browser.says("Run 3");
    browser.says("5 of 6 steps done");
    quiet(&browser);
}

#[test]
fn without_scripts_every_action_works() {
    let world = World::lived_in();
    let browser = Browser::start(world.address());
    browser.scripts(false);
    browser.open("/parked");
    browser.press("Drop…");
    browser.fill("input[name=reason]", "no");
    browser.press("Drop them");
    browser.says("No record is parked.");
    browser.open("/held");
    browser.press("Reject…");
    browser.press("Keep the records");
    browser.says("No delete waits for you.");
    browser.open("/chains/nightly/run");
    browser.press("Run it");
    browser.says("The run waits for a node");
    quiet(&browser);
}

#[test]
fn a_keyboard_is_enough() {
    let world = World::lived_in();
    let browser = Browser::start(world.address());
    browser.open("/held");
    // the first stop is the way past the header
    browser.keys("\u{e004}");
    assert_eq!(browser.run("return document.activeElement.className", &[]), "skip");
    browser.keys("\u{e007}");
    let mut stops = Vec::new();
    for _ in 0..20 {
        browser.keys("\u{e004}");
        let stop = browser.run("return document.activeElement.textContent.trim()", &[]);
        stops.push(stop.as_str().unwrap_or_default().to_owned());
        if stop == "Approve…" {
            break;
        }
    }
    assert_eq!(stops.last().map(String::as_str), Some("Approve…"), "{stops:?}");
    let ring = "return getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(browser.run(ring, &[]), "solid", "the focus is seen");
    browser.keys("\u{e007}");
    browser.says("Let projects delete these records?");
    browser.fill("input[name=max]", "15");
    browser.keys("\u{e007}");
    browser.says("Approved");
    quiet(&browser);
}
