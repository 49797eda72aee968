//! What changes while somebody looks.

use std::time::Duration;

use super::{
    audit::{audit, quiet},
    driver::Browser,
    world::World,
};
use crate::serve::kit::stored;

#[test]
fn a_run_is_followed_through_reload_and_reconnect() {
    let world = World::fresh();
    world.place.world().set_latency(Duration::from_secs(5));
    let asked = world.ask("/api/v1/syncs/projects/runs");
    world.until_stored("SELECT count(*) FROM run WHERE status = 'running'", 1);
    let run = stored(&world.place, "SELECT max(id) FROM run").unwrap();
    let browser = Browser::start(world.address());
    browser.open(&format!("/runs/{run}"));
    browser.says("running");
    audit(&browser);
    browser.reload();
    browser.says("running");
    world.place.world().set_latency(Duration::ZERO);
    browser.says("succeeded");
    browser.says("60");
    quiet(&browser);
    world.until_done(&asked);
}

#[test]
fn a_chain_is_followed_from_waiting_to_its_end() {
    let world = World::fresh();
    // The step that pushes makes several requests: it is there to be seen until we let it go on.
    world.place.world().set_latency(Duration::from_secs(5));
    let browser = Browser::start(world.address());
    browser.open("/chains/nightly");
    browser.says("It has not run yet.");
    let asked = world.ask("/api/v1/chains/nightly/runs");
    browser.reload();
    browser.says("4 of 6 steps done");
    world.place.world().set_latency(Duration::ZERO);
    browser.says("partial");
    world.until_done(&asked);
    audit(&browser);
}

#[test]
fn new_events_appear_by_themselves() {
    let world = World::fresh();
    let browser = Browser::start(world.address());
    browser.open("/events?sync=customers");
    world.run("/api/v1/syncs/customers/runs");
    browser.says("run.finished");
    audit(&browser);
}
