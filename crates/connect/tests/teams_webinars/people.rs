//! What the streams hold.

use syncline_connect::error::Kind;
use syncline_sim::{
    EventStatus, FaultWhen, OpKind, SessionSpec, SessionTimes, Switches, WebinarSpec, ZonedTime,
};

use super::kit::{ANN, BEN, Tenant, fetch, list, params, record, registration, report};

const R1: &str = "10000000-84e1-7b62-fd98-1c9d39def7b6";
const R2: &str = "20000000-84e1-7b62-fd98-1c9d39def7b6";
const R3: &str = "30000000-84e1-7b62-fd98-1c9d39def7b6";

/// Small pages, an empty one first, and every form that samples show.
fn odd() -> Switches {
    Switches {
        virtual_event_page_size: 1,
        virtual_event_empty_page: true,
        wrapped_single_events: true,
        session_times: SessionTimes::Text,
        registration_times_without_zone: true,
        ..Switches::default()
    }
}

#[tokio::test]
async fn participants_of_a_session_whatever_the_form_of_the_answers() {
    for switches in [Switches::default(), odd()] {
        let tenant = Tenant::with(switches).await;
        let registrations = vec![
            registration(R1, " Ann@X.example", "registered"),
            registration(R2, "ben@x.example", "canceled"),
            registration(R3, "cy@x.example", "registered"),
        ];
        let reports = vec![
            report(vec![
                record(Some(R1), Some("other@y.example"), &[(0, 20), (25, 30)]),
                record(None, Some("CY@x.example"), &[(5, 5)]),
            ]),
            // A rejoin, part of it in the first report already.
            report(vec![
                record(Some(R1), None, &[(28, 40)]),
                record(None, Some(" guest@z.example"), &[(0, 1)]),
                record(None, None, &[(0, 1)]),
            ]),
        ];
        let (webinar, session) = tenant.webinar(registrations, reports);
        let source = tenant.of(ANN).await;
        let columns =
            ["person", "registered", "registration_status", "attended", "seconds", "last_left_at", "name"];
        let given = params(&[("webinar", &webinar), ("session", &session)]);
        let listed = list(&*source, "participants", given, &columns).await.unwrap();
        assert_eq!(
            listed.records,
            [
                ["ann@x.example", "true", "registered", "true", "2100", "2026-03-30T10:40:00Z", "Em Pham"],
                ["ben@x.example", "false", "canceled", "false", "0", "-", "Em Pham"],
                ["cy@x.example", "true", "registered", "true", "0", "2026-03-30T10:05:00Z", "Em Pham"],
                ["guest@z.example", "false", "-", "true", "60", "2026-03-30T10:01:00Z", "-"],
                ["-", "false", "-", "true", "60", "2026-03-30T10:01:00Z", "-"],
            ]
        );
        assert_eq!((listed.problems, listed.shortfall), (1, None), "whoever cannot be told is said to be so");
    }
}

#[tokio::test]
async fn the_other_streams() {
    let tenant = Tenant::with(Switches::default()).await;
    let (webinar, session) = tenant.webinar(
        vec![registration(R1, "ann@x.example", "registered")],
        vec![report(vec![record(Some(R1), None, &[(0, 2)])])],
    );
    tenant
        .server
        .world()
        .add_webinar(&WebinarSpec { organizer: BEN.into(), ..WebinarSpec::default() })
        .unwrap();
    let draft = WebinarSpec { organizer: ANN.into(), status: EventStatus::Draft, ..WebinarSpec::default() };
    tenant.server.world().add_webinar(&draft).unwrap();
    let source = tenant.of(ANN).await;
    let all = |stream: &'static str, columns: &'static [&'static str]| {
        let source = &source;
        async move { list(&**source, stream, params(&[]), columns).await.unwrap().records }
    };
    assert_eq!(
        all("webinars", &["id", "name", "status", "starts_at", "organizer_name", "audience"]).await,
        [[webinar.as_str(), "Quarterly update", "published", "2026-03-30T10:00:00Z", "Ann", "everyone"]]
    );
    assert_eq!(
        all("sessions", &["webinar_id", "session_id", "webinar_status", "ends_at"]).await,
        [[webinar.as_str(), session.as_str(), "published", "2026-03-30T11:00:00Z"]]
    );
    assert_eq!(
        all("registrations", &["webinar_id", "registration_id", "email", "registered_at", "cancelled_at"])
            .await,
        [[webinar.as_str(), R1, "ann@x.example", "2026-03-07T22:04:17Z", "-"]]
    );
    assert_eq!(
        all("attendance", &["session_id", "person", "seconds", "reports", "role"]).await,
        [[session.as_str(), &format!("registration:{R1}"), "120", "1", "Attendee"]]
    );
    let by_key = fetch(
        &*source,
        "registrations",
        &["email"],
        &["webinar_id", "registration_id"],
        &[&[&webinar, R1], &[&webinar, R2]],
    )
    .await;
    assert_eq!(by_key.unwrap(), [["ann@x.example"]]);
    let by_key = fetch(
        &*source,
        "sessions",
        &["subject"],
        &["webinar_id", "session_id"],
        &[&[&webinar, &session], &[&webinar, R1]],
    )
    .await;
    assert_eq!(by_key.unwrap(), [["Webinar"]]);
    assert_eq!(
        fetch(&*source, "webinars", &["name"], &["id"], &[&[&webinar]]).await.unwrap(),
        [["Quarterly update"]]
    );
    let computed = fetch(&*source, "participants", &["email"], &["person"], &[&["ann@x.example"]]).await;
    assert_eq!(computed.unwrap_err().kind, Kind::Definition);
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_published() {
    let tenant = Tenant::with(Switches::default()).await;
    let (webinar, session) = tenant.webinar(Vec::new(), Vec::new());
    let source = tenant.of(ANN).await;
    let ask = async |webinar: &str, session: &str| {
        list(&*source, "participants", params(&[("webinar", webinar), ("session", session)]), &["person"])
            .await
    };
    // No report yet: the service answers 404, and nobody has attended.
    assert!(ask(&webinar, &session).await.unwrap().records.is_empty());
    let error = ask(&webinar, R1).await.unwrap_err();
    assert_eq!(error.kind, Kind::StreamMissing);
    assert!(error.message.contains("session not found"), "{error}");
    assert_eq!(
        ask(&webinar.replace(&webinar[..8], "00000000"), &session).await.unwrap_err().kind,
        Kind::StreamMissing
    );
    tenant.server.world().set_webinar_status(&webinar, EventStatus::Draft).unwrap();
    assert_eq!(ask(&webinar, &session).await.unwrap_err().kind, Kind::Unpublished);
    let missing =
        list(&*source, "participants", params(&[("webinar", &webinar)]), &["person"]).await.unwrap_err();
    assert_eq!(missing.kind, Kind::Definition);
    assert!(missing.message.contains("\"session\""), "{missing}");
    assert_eq!(source.describe("attendees").await.unwrap_err().kind, Kind::StreamMissing);
}

#[tokio::test]
async fn fifty_reports_may_not_be_all() {
    let tenant = Tenant::with(Switches::default()).await;
    let reports = (0..51).map(|i| report(vec![record(None, Some("ann@x.example"), &[(i, i + 1)])])).collect();
    let (webinar, session) = tenant.webinar(Vec::new(), reports);
    let source = tenant.of(ANN).await;
    let given = params(&[("webinar", &webinar), ("session", &session)]);
    let listed = list(&*source, "attendance", given, &["person", "seconds", "reports"]).await.unwrap();
    assert_eq!(listed.records, [["ann@x.example", "3000", "50"]]);
    let shortfall = listed.shortfall.unwrap();
    assert!(
        shortfall.contains("50 attendance reports") && shortfall.contains("there may be more"),
        "{shortfall}"
    );
}

#[tokio::test]
async fn times_of_zones_and_of_nonsense() {
    let tenant = Tenant::with(Switches::default()).await;
    let at =
        |zone: &str| ZonedTime { date_time: "2026-03-30T10:00:00.0000000".into(), time_zone: zone.into() };
    let session = |zone: &str| SessionSpec { start_date_time: at(zone), ..SessionSpec::default() };
    let sessions = vec![session("Pacific Standard Time"), session("PacificSt")];
    let spec = WebinarSpec { organizer: ANN.into(), sessions, ..WebinarSpec::default() };
    let webinar = tenant.server.world().add_webinar(&spec).unwrap();
    let source = tenant.of(ANN).await;
    let listed = list(&*source, "sessions", params(&[("webinar", &webinar)]), &["starts_at"]).await.unwrap();
    let mut starts = listed.records.concat();
    starts.sort();
    assert_eq!((starts, listed.problems), (vec!["-".to_owned(), "2026-03-30T17:00:00Z".to_owned()], 1));
}

#[tokio::test]
async fn a_large_session_over_many_pages() {
    let tenant = Tenant::with(Switches::default()).await;
    let (webinar, session) = tenant.webinar(Vec::new(), Vec::new());
    let world = tenant.server.world();
    world.generate_registrations(&webinar, 5_000, 3).unwrap();
    world.generate_report(&webinar, &session, 5_000, 4).unwrap();
    let source = tenant.of(ANN).await;
    let given = params(&[("webinar", &webinar), ("session", &session)]);
    let listed = list(&*source, "participants", given.clone(), &["person"]).await.unwrap();
    let mut people = listed.records.concat();
    let registered = list(&*source, "registrations", params(&[("webinar", &webinar)]), &["registration_id"])
        .await
        .unwrap();
    assert_eq!(registered.records.len(), 5_000);
    people.sort();
    people.dedup();
    assert_eq!(people.len(), 5_000, "each once");
    // The last page is lost for good: nothing of the listing is given.
    let kind = OpKind::Registrations;
    let when = FaultWhen { after: 49, ..FaultWhen::default() };
    tenant.fault(
        kind,
        when,
        syncline_sim::Fault::Status { status: 500, applied: syncline_sim::Applied::Before },
    );
    let lost = list(&*source, "participants", given, &["person"]).await.unwrap_err();
    assert_eq!(lost.kind, Kind::Unanswered);
}
