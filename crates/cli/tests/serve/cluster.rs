//! Services that share a store in PostgreSQL.

use std::time::Duration;

use serde_json::Value as Json;

use super::kit::{Service, add, arrived, place, until_within};
use crate::{
    databases::Postgres,
    kit::{PROJECT as PUSH, Place, until},
    loads::server::Server,
};

/// The lease of a node that died, the ten seconds after it, and the work itself.
const TAKEN_OVER: Duration = Duration::from_secs(30 + 10 + 10);

fn items(place: &Place) -> usize {
    place.items("Active Projects") + place.items("Closed Projects")
}

fn occurrence(service: &Service) -> Json {
    service.get("/api/v1/occurrences?limit=1")["items"][0].clone()
}

/// May take 45 seconds: the lease of the dead is waited for.
#[test]
fn the_run_of_a_killed_node_goes_on_on_the_other() {
    let Some(database) = Postgres::create("cli_serve_cluster") else { return };
    let place = Place::with_projects(3_000);
    let store = ["--store", database.url.as_str()];
    place.write(
        "syncline.yaml",
        PUSH.replace("    deletes: delete\n", "    deletes: delete\n    schedule: { every: 1h }\n"),
    );
    place.syncline(&["check", "--fix"]).with_code(0);
    place.world().set_latency(Duration::from_millis(50));
    let one = Service::start_from(&place, "one", &store, &[]);
    until("the run writes", || place.world().counters().created > 0);
    let two = Service::start_from(&place, "two", &store, &[]);
    assert!(occurrence(&two)["node"].as_str().unwrap().starts_with("one."));
    one.kill();
    place.world().set_latency(Duration::ZERO);
    until_within(TAKEN_OVER, "the other node has carried it out", || {
        let occurrence = occurrence(&two);
        occurrence["state"] == "done" && occurrence["status"] == "succeeded"
    });
    let occurrence = occurrence(&two);
    assert!(occurrence["node"].as_str().unwrap().starts_with("two."), "{occurrence}");
    assert!(occurrence["attempts"].as_u64() >= Some(2), "{occurrence}");
    assert_eq!(items(&place), 3_000, "nothing is lost, nothing is there twice");
    let runs = two.get("/api/v1/runs?status=interrupted");
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(1), "the cut-off run is closed: {runs}");
    two.stop();
}

#[test]
fn the_stores_database_is_restarted_while_it_is_served() {
    let mut server = Server::start();
    let place = place(10);
    let url = server.url();
    let service = Service::start_from(&place, "one", &["--store", &url], &[]);
    super::kit::until_arrived(&place, 10);
    server.shut_down();
    add(&place, 11, 20);
    until("it says that it is not ready", || service.ask("GET", "/readyz", "").0 == 503);
    assert_eq!(service.ask("GET", "/livez", "").0, 200);
    server.go();
    until_within(Duration::from_secs(60), "it goes on", || arrived(&place) == Some(20));
    until("it is ready again", || service.ask("GET", "/readyz", "").0 == 200);
    service.stop();
}
