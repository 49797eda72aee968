//! What users see who open pages, end to end: the API, delegated tokens, Graph's answers, rows and metrics.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use serde_json::json;

use super::{
    ANN, BOB,
    house::{House, control},
    read, session, webinar,
};
use crate::kit::Place;

const PARTICIPANTS: &str =
    "SELECT email, domain, registered, attended, seconds FROM participants ORDER BY email";
const SESSIONS: &str = "SELECT left(session_id, 8), registrations, attendees, registrant_domains, attendee_domains, warm_accounts
    FROM session_metrics ORDER BY owner_id, session_id";
const SERIES: &str = "SELECT registrations, attendees, registrant_domains, accounts_influenced, warm_accounts
    FROM series_metrics ORDER BY owner_id";

#[test]
fn a_session_its_series_and_their_metrics() {
    let Some(house) = House::open("webinars_pages") else { return };
    let first = house.open_session(ANN, 1).with(200);
    assert_eq!(first["outcome"], "synced", "{first}");
    assert_eq!(
        house.rows(PARTICIPANTS),
        "emma.stone@kt.fabrikam.com fabrikam.com t t 900\n\
         identity:e0000001-0000-4000-8000-000000000000 - f t 60\n\
         li@fabrikam.com fabrikam.com t t 0\n\
         omar@post.adatum.co.uk adatum.co.uk t f 0\n\
         pat@contoso.com contoso.com t t 1200\n\
         zoe@zava.com zava.com f f 0"
    );
    assert_eq!(house.rows(SESSIONS), r#"c0000001 4 4 2 1 ["fabrikam.com"]"#);
    assert_eq!(house.rows(SERIES), r#"4 4 2 1 [{"rule": "W1", "domain": "fabrikam.com"}]"#);

    house.open_session(ANN, 2).with(200);
    assert_eq!(
        house.rows(SESSIONS),
        "c0000001 4 4 2 1 [\"fabrikam.com\"]\nc0000002 4 3 3 2 [\"tailspin.com\"]"
    );
    assert_eq!(
        house.rows(SERIES),
        r#"8 7 3 2 [{"rule": "W2", "domain": "fabrikam.com"}, {"rule": "W1", "domain": "tailspin.com"}]"#
    );
    assert_eq!(
        house.rows("SELECT count(*) FROM sessions WHERE last_sync_at > now() - interval '5 min'"),
        "2"
    );
}

#[test]
fn a_page_that_is_opened_again_shows_what_is_there() {
    let Some(house) = House::open("webinars_fresh") else { return };
    house.open_session(ANN, 1).with(200);
    let (calls, versions) = (house.requests(), house.versions());
    let again = house.open_session(ANN, 1).with(200);
    assert_eq!(again["outcome"], "fresh", "{again}");
    assert_eq!(house.requests(), calls, "Graph was not asked");
    assert_eq!(house.versions(), versions);
}

#[test]
fn a_repeated_load_changes_nothing_but_the_time() {
    let Some(house) = House::open("webinars_repeat") else { return };
    house.open_session(ANN, 1).with(200);
    let (at, versions) = (house.rows("SELECT max(last_sync_at) FROM sessions"), house.versions());
    let again = house.insist(ANN, 1).with(200);
    assert_eq!(again["outcome"], "synced", "{again}");
    assert_eq!(house.versions(), versions);
    assert_ne!(house.rows("SELECT max(last_sync_at) FROM sessions"), at);
}

#[test]
fn every_page_is_read_before_anybody_is_taken_for_gone() {
    let Some(house) = House::open("webinars_every_page") else { return };
    house.open_session(ANN, 1).with(200);
    house.sim("switches", &json!({ "virtual_event_page_size": 2, "virtual_event_empty_page": true }));
    let before = house.versions();
    house.insist(ANN, 1).with(200);
    assert_eq!(house.versions(), before);
    house.sim("webinars/registrations/remove", &json!({ "webinar": webinar(1), "id": registration(3) }));
    house.insist(ANN, 1).with(200);
    assert_eq!(house.rows("SELECT count(*) FROM participants WHERE email LIKE 'omar%'"), "0");
    assert_eq!(house.rows(SESSIONS), r#"c0000001 3 4 1 1 ["fabrikam.com"]"#);
}

fn registration(number: u32) -> String {
    format!("d00000{number:02}-0000-4000-8000-000000000000")
}

#[test]
fn a_page_that_fails_leaves_nothing_behind() {
    let Some(house) = House::open("webinars_page_fails") else { return };
    house.sim("switches", &json!({ "virtual_event_page_size": 2 }));
    for (kind, after) in [("registrations", 0), ("registrations", 1), ("attendance", 1)] {
        house.fault(&json!({ "kind": kind }), after, &json!({ "kind": "status", "status": 500 }));
        let problem = house.open_session(ANN, 1).problem(502, "graph_unavailable");
        assert_eq!(problem["retry"], true, "{kind} {after}: {problem}");
        house.assert_untouched();
        house.clear_faults();
    }
    house.open_session(ANN, 1).with(200);
    assert_eq!(house.rows("SELECT count(*) FROM participants"), "6");
}

#[test]
fn registrations_and_metrics_are_one_transaction() {
    let Some(house) = House::open("webinars_transaction") else { return };
    house.database.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not today''; END';
         CREATE TRIGGER refuse BEFORE INSERT ON series_metrics FOR EACH ROW EXECUTE FUNCTION refuse();",
    );
    let refused = house.open_session(ANN, 1);
    assert!(refused.status >= 400, "{refused:?}");
    house.assert_untouched();
    house.database.execute("DROP TRIGGER refuse ON series_metrics");
    house.open_session(ANN, 1).with(200);
    assert_eq!(house.rows(SESSIONS), r#"c0000001 4 4 2 1 ["fabrikam.com"]"#);
}

#[test]
fn two_owners_never_see_or_remove_each_others_rows() {
    let Some(house) = House::open("webinars_owners") else { return };
    house.database.execute(&format!(
        "INSERT INTO series SELECT '{BOB}', series_id, title FROM series;
         INSERT INTO sessions SELECT '{BOB}', session_id, webinar_id, series_id, title, starts_at, published FROM sessions"
    ));
    house.open_session(ANN, 1).with(200);
    let anns = format!("SELECT xmin, p.* FROM participants p WHERE owner_id = '{ANN}' ORDER BY email");
    let before = house.rows(&anns);
    house.sim("webinars/registrations/remove", &json!({ "webinar": webinar(1), "id": registration(3) }));
    let bobs = house.open_session(BOB, 1).with(200);
    assert_eq!(bobs["outcome"], "synced", "Ann's being fresh is nothing to Bob: {bobs}");
    assert_eq!(house.rows(&anns), before);
    let count = "SELECT count(*) FROM participants GROUP BY owner_id ORDER BY owner_id";
    assert_eq!(house.rows(count), "6\n5");
    assert_eq!(
        house.rows(SESSIONS),
        "c0000001 4 4 2 1 [\"fabrikam.com\"]\nc0000001 3 4 1 1 [\"fabrikam.com\"]"
    );
}

#[test]
fn many_who_open_one_page_at_once_make_one_load() {
    let Some(house) = House::open("webinars_many") else { return };
    for (number, people) in [(1, 2), (2, 20)] {
        let outcomes: Vec<String> = std::thread::scope(|scope| {
            let opened: Vec<_> = (0..people)
                .map(|_| {
                    scope.spawn(|| {
                        house.open_session(ANN, number).with(200)["outcome"].as_str().unwrap().to_owned()
                    })
                })
                .collect();
            opened.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let synced = outcomes.iter().filter(|outcome| *outcome == "synced").count();
        assert_eq!((synced, outcomes.len()), (1, people), "{outcomes:?}");
        assert!(
            outcomes.iter().all(|outcome| ["synced", "fresh"].contains(&outcome.as_str())),
            "{outcomes:?}"
        );
    }
    assert_eq!(
        house.rows(SERIES),
        r#"8 7 3 2 [{"rule": "W2", "domain": "fabrikam.com"}, {"rule": "W1", "domain": "tailspin.com"}]"#
    );
}

#[test]
fn two_sessions_of_a_series_at_once_count_each_other() {
    let Some(house) = House::open("webinars_both") else { return };
    for _ in 0..5 {
        house.database.execute("TRUNCATE participants, session_metrics, series_metrics");
        std::thread::scope(|scope| {
            for number in [1, 2] {
                let house = &house;
                scope.spawn(move || house.insist(ANN, number).with(200));
            }
        });
        assert_eq!(
            house.rows(SERIES),
            r#"8 7 3 2 [{"rule": "W2", "domain": "fabrikam.com"}, {"rule": "W1", "domain": "tailspin.com"}]"#
        );
    }
}

#[test]
fn a_series_goes_on_where_one_session_fails_and_says_which() {
    let Some(house) = House::open("webinars_series") else { return };
    // Told as published by the application, and a draft in Teams.
    house.database.execute("UPDATE sessions SET published = true");
    let answer = house.ask(ANN, &json!({ "each": { "series": "onboarding" } })).with(200);
    assert_eq!(
        (&answer["synced"], &answer["fresh"], &answer["failed"]),
        (&json!(2), &json!(0), &json!(1)),
        "{answer}"
    );
    let failed = &answer["results"][2];
    assert_eq!(
        (&failed["params"]["session"], &failed["outcome"]),
        (&json!(session(3)), &json!("failed")),
        "{answer}"
    );
    assert_eq!(failed["error"]["code"], "session_not_published", "{answer}");
    assert_eq!(house.rows("SELECT count(DISTINCT session_id) FROM participants"), "2");

    house
        .database
        .execute(&format!("UPDATE sessions SET published = false WHERE session_id = '{}'", session(3)));
    let answer = house.ask(ANN, &json!({ "each": { "series": "onboarding" } })).with(200);
    assert_eq!(
        (&answer["synced"], &answer["fresh"], &answer["failed"]),
        (&json!(0), &json!(2), &json!(0)),
        "{answer}"
    );
}

#[test]
fn what_cannot_be_read_has_its_own_answer() {
    let Some(house) = House::open("webinars_answers") else { return };
    house.open_session(ANN, 3).problem(409, "session_not_published");
    let nowhere = json!({ "params": { "webinar": webinar(1), "session": session(9) } });
    house.ask(ANN, &nowhere).problem(404, "session_not_found");
    let half = json!({ "params": { "webinar": webinar(1) } });
    house.ask(ANN, &half).problem(422, "params_missing");

    // Without consent it is the consent that is missing, and no licence.
    let scopes = json!(["VirtualEvent.Read", "OnlineMeetingArtifact.Read.All"]);
    house.sim("consent", &json!({ "scopes": scopes, "revoke": true }));
    house.open_session(ANN, 1).problem(403, "consent_required");
    house.sim("consent", &json!({ "scopes": scopes }));
    let matches = json!({ "kind": "registrations" });
    house.fault(&matches, 0, &json!({ "kind": "forbidden" }));
    house.open_session(ANN, 1).problem(403, "permission_missing");
    house.clear_faults();

    let ann = |licence: bool| json!({ "oid": ANN, "upn": "ann@contoso.com", "display_name": "Ann Lee", "licence": licence });
    house.sim("users", &ann(false));
    house.sim("switches", &json!({ "no_licence": "license_required" }));
    let problem = house.open_session(ANN, 1).problem(403, "licence_required");
    assert!(problem["detail"].as_str().unwrap().contains("Teams webinar license required"), "{problem}");
    house.sim("users", &ann(true));
    house.assert_untouched();
    house.open_session(ANN, 1).with(200);
}

/// 250 pages of registrations, and as many of attendance.
#[test]
fn twenty_five_thousand_registrations() {
    let Some(house) = House::open("webinars_large") else { return };
    house.sim(
        "webinars/registrations/generate",
        &json!({ "webinar": webinar(2), "count": 25_000, "seed": 1 }),
    );
    house.sim(
        "webinars/reports/generate",
        &json!({ "webinar": webinar(2), "session": session(2), "count": 25_004, "seed": 2 }),
    );
    let answer = house.open_session(ANN, 2).with(200);
    assert_eq!(answer["outcome"], "synced", "{answer}");
    let rows = "SELECT count(*), count(*) FILTER (WHERE registered), count(*) FILTER (WHERE attended) FROM participants";
    assert_eq!(house.rows(rows), "25004 25004 25004");
    assert_eq!(house.rows("SELECT registrations, attendees FROM session_metrics"), "25004 25004");
    let before = house.versions();
    house.insist(ANN, 2).with(200);
    assert!(house.versions() == before, "a repeated load wrote rows");
}

#[test]
fn the_simulator_begins_with_the_world_file() {
    let place = Place::empty();
    place.write("world.json", read("world.json"));
    let mut sim = place.command(&["sim", "--world", "world.json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(sim.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let webinars = control(line.trim(), "GET", "webinars", &serde_json::Value::Null);
    let users = control(line.trim(), "GET", "users", &serde_json::Value::Null);
    sim.kill().unwrap();
    sim.wait().unwrap();
    let ids: Vec<_> = webinars["webinars"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, [webinar(1), webinar(2), webinar(3)]);
    assert_eq!(users["users"].as_array().unwrap().len(), 2);
}
