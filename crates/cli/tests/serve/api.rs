//! The API of a running service, as a careless or hostile client sees it.

use std::io::{BufRead, BufReader, Write};

use super::kit::{Service, place, until_arrived, until_told};
use crate::kit::until;

#[test]
fn it_says_what_it_is_and_that_it_works() {
    let place = place(10);
    let service = Service::start(&place, "one", &[]);
    until_arrived(&place, 10);
    assert_eq!(service.ask("GET", "/livez", "").0, 200);
    until("it is ready", || service.ask("GET", "/readyz", "").0 == 200);
    until("it is healthy", || service.ask("GET", "/health", "").1.contains(r#""level":"healthy""#));
    let runs = service.get("/api/v1/runs?sync=projects&status=succeeded&limit=1");
    assert_eq!(runs["items"][0]["status"], "succeeded", "{runs}");
    let (status, metrics) = service.ask("GET", "/metrics", "");
    assert_eq!(status, 200);
    assert!(metrics.contains("# TYPE syncline_"), "{metrics}");
    service.stop();
}

#[test]
fn a_run_that_is_asked_for_is_carried_out() {
    let place = place(10);
    place.write("syncline.yaml", super::kit::PROJECT.replace("    schedule: { every: 1s }\n", ""));
    let service = Service::start(&place, "one", &[]);
    let (status, body) = service.ask("POST", "/api/v1/syncs/projects/runs", "{}");
    assert_eq!(status, 202, "{body}");
    until_arrived(&place, 10);
    service.stop();
}

/// There is no version yet.
const NEW: &str = "If-None-Match: *";

#[test]
fn a_definition_of_the_api_is_served_and_the_files_is_not_overwritten() {
    let place = place(10);
    let service = Service::start(&place, "one", &[]);
    let sync = r#"{"from":{"connection":"erp","table":"projects","key":["code"]},"to":{"connection":"cache","table":"again"},"mode":"full","write":"upsert","schedule":{"every":"1s"}}"#;
    let (status, body) = service.ask_with("PUT", "/api/v1/syncs/projects", NEW, sync);
    assert_eq!(status, 409, "{body}");
    let broken = sync.replace("upsert", "upsrt");
    let (status, body) = service.ask_with("PUT", "/api/v1/syncs/again", NEW, &broken);
    assert!((400..500).contains(&status) && body.contains("upsrt"), "{status} {body}");
    let (status, body) = service.ask_with("PUT", "/api/v1/syncs/again", NEW, sync);
    assert_eq!(status, 201, "{body}");
    until("the new sync has run", || {
        super::kit::one(&place, "cache.db", "SELECT count(*) FROM again") == Some(10)
    });
    let removed = service.ask_with("DELETE", "/api/v1/syncs/again", "If-Match: \"1\"", "");
    assert_eq!(removed.0, 200, "{}", removed.1);
    until_told(&place, "definition.changed", 2);
    service.stop();
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let place = place(1);
    let service = Service::start(&place, "one", &[]);
    let (status, body) = service.ask("POST", "/api/v1/syncs/projects/runs", &" ".repeat((1 << 20) + 1));
    assert_eq!(status, 413, "{body}");
    assert_eq!(service.ask("GET", "/livez", "").0, 200);
    service.stop();
}

#[test]
fn a_client_that_reads_no_events_holds_up_nobody() {
    let place = place(10);
    let service = Service::start(&place, "one", &[]);
    let ask = "GET /api/v1/events/stream HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
    let mut deaf: Vec<_> = (0..20).map(|_| service.connect()).collect();
    for stream in &mut deaf {
        stream.write_all(ask.as_bytes()).unwrap();
    }
    let mut listening = service.connect();
    listening.write_all(ask.as_bytes()).unwrap();
    let mut lines = BufReader::new(listening).lines();
    let heard = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("run.finished")));
    assert!(heard.is_some_and(|line| line.is_ok()), "events come");
    until_told(&place, "run.finished", 5);
    // Half of them go without a word; the others are there when it stops.
    deaf.truncate(10);
    service.stop();
}

#[test]
fn an_address_that_others_can_reach_needs_tls_and_a_token() {
    let place = place(1);
    let refused = place.syncline(&["serve", "--bind", "0.0.0.0:0"]);
    refused.with_code(2).saying("server.tls");
    let taken = Service::start(&place, "one", &[]);
    let address = taken.ready["api"].as_str().unwrap().trim_start_matches("http://").to_owned();
    place.syncline(&["serve", "--bind", &address]).with_code(1).saying("--no-api serves none");
    taken.stop();
}
