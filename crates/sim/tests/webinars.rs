//! Webinars: who may ask, what comes back, pages (facts §4).

use std::time::Duration;

use serde_json::{Value, json};
use syncline_sim::{
    AppOptions, ConsentSpec, EventStatus, Fault, FaultMatch, FaultRule, FaultWhen, MintSpec, NoLicence,
    OpKind, Options, RecordSpec, RegistrationSpec, RegistrationsList, ReportSpec, SessionSpec, SessionTimes,
    UserSpec, WebinarSpec,
};

use crate::caller::{Answer, Bench, still, token_form};
use crate::delegated::{DIANE, mint, obo_form, with_diane};
use crate::schema;

const OMAR: &str = "57caaef9-5ed0-48d5-8862-e5abfa71b3e1";
const WEBINARS: &str = "/v1.0/solutions/virtualEvents/webinars";
const SCOPES: &str = "VirtualEvent.Read%20OnlineMeetingArtifact.Read.All";

/// A bench whose caller is Diane, and the id of her webinar.
struct Stage {
    bench: Bench,
    webinar: String,
    session: String,
}

impl Stage {
    async fn with(options: Options) -> Self {
        let mut bench = with_diane(options).await;
        bench.bearer = delegated(&bench, DIANE).await;
        let webinar = WebinarSpec {
            id: Some("88b245ac-b0b2-f1aa-e34a-c81c27abdac2".into()),
            display_name: "Quarterly update".into(),
            description: "What changed".into(),
            organizer: DIANE.into(),
            organizer_name: "Diane".into(),
            external_event_information: vec![
                json!({ "applicationId": "67a527ba", "externalEventId": "our-id" }),
            ],
            ..WebinarSpec::default()
        };
        let webinar = bench.world().add_webinar(&webinar).expect("a webinar");
        let session = SessionSpec {
            id: Some("8d62dd52-4dff-4c75-96a9-f905cc3ff942".into()),
            subject: "Quarterly update".into(),
            ..SessionSpec::default()
        };
        let session = bench.world().add_session(&webinar, &session).expect("a session");
        Self { bench, webinar, session }
    }

    async fn get(&self, rest: &str) -> Answer {
        self.bench.get(&format!("{WEBINARS}/{}{rest}", self.webinar)).await
    }

    fn reports(&self) -> String {
        format!("/sessions/{}/attendanceReports", self.session)
    }

    fn register(&self, spec: RegistrationSpec) -> String {
        self.bench.world().add_registrations(&self.webinar, &[spec]).expect("a registration").remove(0)
    }
}

async fn delegated(bench: &Bench, oid: &str) -> String {
    let assertion = mint(bench, MintSpec { oid: oid.into(), ..MintSpec::default() });
    let answer = bench.token(&obo_form(&assertion, SCOPES)).await;
    answer.body["access_token"].as_str().unwrap_or_else(|| panic!("{}", answer.body)).to_owned()
}

fn without_context(mut body: Value) -> Value {
    body.as_object_mut().expect("an object").remove("@odata.context").expect("a context");
    body
}

#[tokio::test]
async fn a_webinar_looks_as_documented() {
    let stage = Stage::with(still()).await;
    let tenant = stage.bench.world().tenant_id();
    let id = format!("88b245ac-b0b2-f1aa-e34a-c81c27abdac2@{tenant}");
    assert_eq!(stage.webinar, id);
    let expected = json!({
        "id": id,
        "status": "published", "displayName": "Quarterly update", "isRegistrationRequired": true,
        "description": { "contentType": "text", "content": "What changed" },
        "startDateTime": { "dateTime": "2026-03-30T10:00:00", "timeZone": "UTC" },
        "endDateTime": { "dateTime": "2026-03-30T11:00:00", "timeZone": "UTC" },
        "createdBy": { "application": null, "device": null, "user": {
            "@odata.type": "#microsoft.graph.communicationsUserIdentity",
            "id": DIANE, "displayName": "Diane", "tenantId": tenant } },
        "audience": "everyone", "coOrganizers": [],
        "settings": { "isAttendeeEmailNotificationEnabled": false },
        "externalEventInformation": [ { "applicationId": "67a527ba", "externalEventId": "our-id" } ],
    });
    let plain = stage.get("").await;
    let url = &stage.bench.url;
    assert_eq!(
        plain.body["@odata.context"],
        format!("{url}/v1.0/$metadata#solutions/virtualEvents/webinars/$entity")
    );
    assert_eq!(without_context(plain.body), expected);
    let encoded = stage.bench.get(&format!("{WEBINARS}/{}", id.replace('@', "%40"))).await;
    assert_eq!(without_context(encoded.body), expected);
    let mine = stage.bench.get(&format!("{WEBINARS}/getByUserRole(role='organizer')")).await;
    assert_eq!(mine.values(), [expected]);
    let encoded = stage.bench.get(&format!("{WEBINARS}/getByUserRole%28role%3D%27coOrganizer%27%29")).await;
    assert_eq!((encoded.status, encoded.values().len()), (200, 0));
    assert_eq!(stage.bench.get(&format!("{WEBINARS}/getByUserRole(role='guest')")).await.status, 400);
    for (status, name) in [(EventStatus::Draft, "draft"), (EventStatus::Canceled, "canceled")] {
        stage.bench.world().set_webinar_status(&id, status).expect("a webinar");
        assert_eq!(stage.get("").await.body["status"], name);
    }
    let missing = stage.bench.get(&format!("{WEBINARS}/none@{tenant}")).await;
    assert_eq!((missing.status, missing.code()), (404, "itemNotFound"));
    schema::check("error", &missing.body);
}

#[tokio::test]
async fn a_list_of_sessions_shows_five_members() {
    let stage = Stage::with(still()).await;
    let list = stage.get("/sessions").await;
    let expected = json!({
        "id": "8d62dd52-4dff-4c75-96a9-f905cc3ff942", "subject": "Quarterly update",
        "startDateTime": { "dateTime": "2026-03-30T10:00:00", "timeZone": "UTC" },
        "endDateTime": { "dateTime": "2026-03-30T11:00:00", "timeZone": "UTC" },
        "joinWebUrl": "https://teams.microsoft.com/l/meetup-join/8d62dd52-4dff-4c75-96a9-f905cc3ff942",
        "allowedPresenters": null, "allowMeetingChat": null, "isEntryExitAnnounced": null,
        "lobbyBypassSettings": null,
    });
    assert_eq!(list.values(), [expected]);
    let path = format!("/sessions/{}", stage.session);
    assert_eq!(stage.get(&path).await.body["allowMeetingChat"], "enabled");
    let mut switches = stage.bench.world().switches();
    switches.session_times = SessionTimes::Text;
    switches.wrapped_single_events = true;
    stage.bench.world().set_switches(switches);
    let one = stage.get(&path).await.body;
    assert_eq!(one["value"]["startDateTime"], "2026-03-30T10:00:00Z");
    assert_eq!(stage.get("/sessions").await.values()[0]["endDateTime"], "2026-03-30T11:00:00Z");
}

#[tokio::test]
async fn a_registration_looks_as_documented_and_changes() {
    let stage = Stage::with(still()).await;
    let spec = json!({
        "id": "127962bb-84e1-7b62-fd98-1c9d39def7b6", "firstName": "Emilee", "lastName": "Pham",
        "email": "emilee@fabrikam.com",
        "externalRegistrationInformation": { "referrer": "Fabrikam", "registrationId": "ext-1" },
        "registrationQuestionAnswers": [ { "questionId": "95320781", "displayName": "City?", "value": null,
            "booleanValue": null, "multiChoiceValues": ["Seattle"] } ],
    });
    let mut expected = spec.clone();
    for (name, value) in [
        ("userId", Value::Null),
        ("status", "registered".into()),
        ("registrationDateTime", "2026-03-07T22:04:17Z".into()),
        ("cancelationDateTime", Value::Null),
        ("preferredTimezone", "Pacific Standard Time".into()),
        ("preferredLanguage", "en-us".into()),
    ] {
        expected[name] = value;
    }
    let given = json!({ "webinar": stage.webinar, "registrations": [spec] });
    let made = stage.bench.call("POST", "/_sim/webinars/registrations", Some(given)).await;
    assert_eq!(made.body, json!({ "ids": ["127962bb-84e1-7b62-fd98-1c9d39def7b6"] }));
    let list = stage.get("/registrations").await;
    assert_eq!(list.values(), [expected.clone()]);
    let path = "/registrations/127962bb-84e1-7b62-fd98-1c9d39def7b6";
    assert_eq!(without_context(stage.get(path).await.body), expected);
    let changes = json!({ "webinar": stage.webinar, "id": "127962bb-84e1-7b62-fd98-1c9d39def7b6",
        "changes": { "status": "canceled", "cancelationDateTime": "2026-03-08T00:00:00Z" } });
    assert_eq!(
        stage.bench.call("POST", "/_sim/webinars/registrations/edit", Some(changes)).await.status,
        200
    );
    let mut switches = stage.bench.world().switches();
    switches.registration_times_without_zone = true;
    stage.bench.world().set_switches(switches);
    let one = stage.get(path).await.body;
    assert_eq!(one["status"], "canceled");
    assert_eq!(one["registrationDateTime"], "2026-03-07T22:04:17");
    assert_eq!(one["cancelationDateTime"], "2026-03-08T00:00:00");
    let id = "127962bb-84e1-7b62-fd98-1c9d39def7b6";
    stage.bench.world().remove_registration(&stage.webinar, id).expect("a registration");
    assert_eq!(stage.get(path).await.status, 404);
    assert_eq!(stage.get("/registrations").await.values().len(), 0);
}

#[tokio::test]
async fn attendance_comes_after_the_event() {
    let stage = Stage::with(still()).await;
    let early = stage.get(&stage.reports()).await;
    assert_eq!((early.status, early.code()), (404, "itemNotFound"));
    let records: Vec<RecordSpec> = serde_json::from_value(json!([{
        "id": "r1", "emailAddress": "lisa@contoso.com", "registrationId": "127962bb-84e1-7b62-fd98-1c9d39def7b6",
        "externalRegistrationInformation": { "referrer": "Fabrikam", "registrationId": "ext-1" },
        "identity": { "id": "57caaef9", "displayName": "Lisa", "tenantId": null },
        "attendanceIntervals": [
            { "joinDateTime": "2026-03-30T10:01:52.2782182Z", "leaveDateTime": "2026-03-30T10:08:47.7218491Z" },
            { "joinDateTime": "2026-03-30T10:11:23.9834702Z", "leaveDateTime": "2026-03-30T10:23:40.9834702Z" } ],
    }, { "id": "r2", "emailAddress": "" }]))
    .expect("records");
    let spec = ReportSpec {
        id: Some("b76965d4-0763-496e-9980-b323c5f3aa3b".into()),
        records,
        ..ReportSpec::default()
    };
    stage.bench.world().add_report(&stage.webinar, &stage.session, &spec).expect("a report");
    let report = json!({
        "id": "b76965d4-0763-496e-9980-b323c5f3aa3b", "totalParticipantCount": 2,
        "meetingStartDateTime": "2026-03-30T10:00:31.658Z", "meetingEndDateTime": "2026-03-30T11:03:57.563Z",
        "externalEventInformation": [],
    });
    let lisa = json!({
        "id": "r1", "emailAddress": "lisa@contoso.com", "totalAttendanceInSeconds": 1152, "role": "Attendee",
        "registrationId": "127962bb-84e1-7b62-fd98-1c9d39def7b6",
        "externalRegistrationInformation": { "referrer": "Fabrikam", "registrationId": "ext-1" },
        "identity": { "@odata.type": "#microsoft.graph.communicationsUserIdentity", "id": "57caaef9",
            "displayName": "Lisa", "tenantId": null },
        "attendanceIntervals": [
            { "joinDateTime": "2026-03-30T10:01:52.2782182Z", "leaveDateTime": "2026-03-30T10:08:47.7218491Z",
              "durationInSeconds": 415 },
            { "joinDateTime": "2026-03-30T10:11:23.9834702Z", "leaveDateTime": "2026-03-30T10:23:40.9834702Z",
              "durationInSeconds": 737 } ],
    });
    let blank = json!({
        "id": "r2", "emailAddress": "", "totalAttendanceInSeconds": 0, "role": "Attendee", "registrationId": null,
        "externalRegistrationInformation": null, "identity": null, "attendanceIntervals": [],
    });
    let path = format!("{}/b76965d4-0763-496e-9980-b323c5f3aa3b", stage.reports());
    assert_eq!(stage.get(&stage.reports()).await.values(), std::slice::from_ref(&report));
    assert_eq!(without_context(stage.get(&path).await.body), report);
    assert_eq!(stage.get(&format!("{path}/attendanceRecords")).await.values(), [lisa.clone(), blank.clone()]);
    let mut expanded = report;
    expanded["attendanceRecords"] = json!([lisa, blank]);
    let answer = stage.get(&format!("{path}?$expand=attendanceRecords")).await;
    assert_eq!(without_context(answer.body), expanded);
}

#[tokio::test]
async fn only_the_newest_fifty_reports_are_shown() {
    let stage = Stage::with(still()).await;
    let mut ids = Vec::new();
    for _ in 0..52 {
        let added = stage.bench.world().add_report(&stage.webinar, &stage.session, &ReportSpec::default());
        ids.push(added.expect("a report"));
    }
    let shown = stage.get(&stage.reports()).await;
    let shown: Vec<_> = shown.values().iter().map(|report| report["id"].as_str().expect("an id")).collect();
    let newest: Vec<_> = ids[2..].iter().rev().map(String::as_str).collect();
    assert_eq!(shown, newest);
    assert_eq!(stage.get(&format!("{}/{}", stage.reports(), ids[1])).await.status, 404);
    assert_eq!(stage.get(&format!("{}/{}", stage.reports(), ids[2])).await.status, 200);
}

#[tokio::test]
async fn a_session_can_have_run_without_a_report() {
    let stage = Stage::with(still()).await;
    let spec = SessionSpec { has_run: true, ..SessionSpec::default() };
    let session = stage.bench.world().add_session(&stage.webinar, &spec).expect("a session");
    let answer = stage.get(&format!("/sessions/{session}/attendanceReports")).await;
    assert_eq!((answer.status, answer.values().len()), (200, 0));
}

#[tokio::test]
async fn only_organizers_see_a_webinar() {
    let mut stage = Stage::with(still()).await;
    let omar = UserSpec { oid: OMAR.into(), display_name: "Omar".into(), ..UserSpec::default() };
    stage.bench.world().add_user(&omar).expect("a user");
    stage.bench.bearer = delegated(&stage.bench, OMAR).await;
    for rest in ["", "/sessions", "/registrations", &stage.reports()] {
        let answer = stage.get(rest).await;
        assert_eq!((answer.status, answer.code()), (403, "Forbidden"), "{rest}");
    }
    let helped = WebinarSpec {
        organizer: DIANE.into(),
        co_organizers: vec![OMAR.into()],
        sessions: vec![SessionSpec::default()],
        registrations: vec![RegistrationSpec::default()],
        ..WebinarSpec::default()
    };
    let id = stage.bench.world().add_webinar(&helped).expect("a webinar");
    assert_eq!(stage.bench.get(&format!("{WEBINARS}/{id}/registrations")).await.values().len(), 1);
    for (role, count) in [("organizer", 0), ("coOrganizer", 1)] {
        let list = stage.bench.get(&format!("{WEBINARS}/getByUserRole(role='{role}')")).await;
        assert_eq!(list.values().len(), count, "{role}");
    }
}

#[tokio::test]
async fn the_registrations_conflict_is_a_switch() {
    let mut options = still();
    options.switches.registrations_list_delegated = RegistrationsList::Deny;
    let stage = Stage::with(options).await;
    let id = stage.register(RegistrationSpec::default());
    let list = stage.get("/registrations").await;
    assert_eq!((list.status, list.code()), (403, "Forbidden"));
    assert_eq!(stage.get(&format!("/registrations/{id}")).await.status, 200);
}

#[tokio::test]
async fn each_call_needs_its_own_permission() {
    let roles = ["VirtualEvent.Read.All", "VirtualEvent.Read.Chat", "OnlineMeetingArtifact.Read.All"];
    let app = |role: &str| AppOptions {
        client_id: role.into(),
        secrets: vec!["s".into()],
        roles: vec![role.into()],
        ..AppOptions::default()
    };
    let apps = roles.iter().map(|role| app(role)).collect();
    let mut stage = Stage::with(Options { apps, ..still() }).await;
    let registration = stage.register(RegistrationSpec::default());
    stage.bench.world().add_report(&stage.webinar, &stage.session, &ReportSpec::default()).expect("a report");
    let (id, session) = (&stage.webinar, &stage.session);
    let calls = [
        WEBINARS.to_owned(),
        format!("{WEBINARS}/getByUserRole(role='organizer')"),
        format!("{WEBINARS}/getByUserIdAndRole(userId='{DIANE}',role='organizer')"),
        format!("{WEBINARS}/{id}"),
        format!("{WEBINARS}/{id}/sessions"),
        format!("{WEBINARS}/{id}/sessions/{session}"),
        format!("{WEBINARS}/{id}/registrations"),
        format!("{WEBINARS}/{id}/registrations/{registration}"),
        format!("{WEBINARS}/{id}/sessions/{session}/attendanceReports"),
    ];
    // One row per call of facts §4.1: delegated with both scopes, then each role alone.
    let expected = [
        [403, 200, 403, 403],
        [200, 403, 403, 403],
        [403, 200, 403, 403],
        [200, 200, 200, 403],
        [200, 200, 403, 403],
        [200, 200, 403, 403],
        [200, 403, 200, 403],
        [200, 200, 200, 403],
        [200, 403, 403, 200],
    ];
    let mut bearers = vec![stage.bench.bearer.clone()];
    for role in roles {
        let policy = ConsentSpec {
            client_id: Some(role.into()),
            organizers: vec![DIANE.into()],
            ..ConsentSpec::default()
        };
        let token = stage.bench.token(&token_form(role, "s")).await.body;
        stage.bench.bearer = token["access_token"].as_str().expect("a token").to_owned();
        assert_eq!(stage.get("").await.status, 403, "no policy names the application yet");
        stage.bench.world().consent(&policy).expect("a policy");
        bearers.push(stage.bench.bearer.clone());
    }
    for (call, expected) in calls.iter().zip(expected) {
        let mut seen = Vec::new();
        for bearer in &bearers {
            let header = format!("Bearer {bearer}");
            let answer = stage.bench.send("GET", call, &[("Authorization", &header)], None).await;
            seen.push(answer.expect("an answer").status);
        }
        assert_eq!(seen, expected, "{call}");
    }
}

#[tokio::test]
async fn a_missing_licence_says_so_or_not() {
    let stage = Stage::with(still()).await;
    let user = UserSpec { oid: DIANE.into(), licence: false, ..UserSpec::default() };
    stage.bench.world().add_user(&user).expect("a user");
    let refused = stage.get("").await;
    assert_eq!((refused.status, refused.code()), (403, "Forbidden"));
    assert_eq!(refused.body["error"]["innerError"]["code"], "licenseRequired");
    let mut switches = stage.bench.world().switches();
    switches.no_licence = NoLicence::BareForbidden;
    stage.bench.world().set_switches(switches);
    let refused = stage.get("").await;
    assert_eq!((refused.status, refused.code()), (403, "Forbidden"));
    assert_eq!(refused.body["error"]["innerError"].get("code"), None);
}

#[tokio::test]
async fn pages_go_on_whatever_is_removed_meanwhile() {
    let mut options = still();
    options.switches.virtual_event_empty_page = true;
    let stage = Stage::with(options).await;
    stage.bench.world().generate_registrations(&stage.webinar, 250, 7).expect("registrations");
    let path = format!("{WEBINARS}/{}/registrations", stage.webinar);
    let first = stage.bench.get(&path).await;
    assert_eq!(first.values().len(), 0, "the first page is empty and goes on");
    let (all, _, pages) = stage.bench.pages(&path).await;
    assert_eq!((all.len(), pages), (250, 4));
    let next = first.body["@odata.nextLink"].as_str().expect("a link").to_owned();
    let second = stage.bench.get(&next).await;
    assert_eq!(second.values().len(), 100);
    for registration in second.values() {
        let id = registration["id"].as_str().expect("an id");
        stage.bench.world().remove_registration(&stage.webinar, id).expect("a registration");
    }
    let third = stage.bench.get(second.body["@odata.nextLink"].as_str().expect("a link")).await;
    assert_eq!(third.values()[0]["email"], "person101@fabrikam.example");
    let (rest, _, _) = stage.bench.pages(&format!("{path}?$top=20")).await;
    assert_eq!(rest.len(), 150);
    let broken = stage.bench.get(&format!("{path}?$skiptoken=x")).await;
    assert_eq!((broken.status, broken.code()), (400, "invalidRequest"));
}

#[tokio::test]
async fn generated_people_are_the_same_for_a_seed() {
    let (one, two) = (Stage::with(still()).await, Stage::with(still()).await);
    for stage in [&one, &two] {
        let given = json!({ "webinar": stage.webinar, "count": 120, "seed": 3 });
        let made = stage.bench.call("POST", "/_sim/webinars/registrations/generate", Some(given)).await;
        assert_eq!(made.status, 200, "{}", made.body);
        let given = json!({ "webinar": stage.webinar, "session": stage.session, "count": 100, "seed": 4 });
        let made = stage.bench.call("POST", "/_sim/webinars/reports/generate", Some(given)).await;
        assert_eq!(made.status, 200, "{}", made.body);
    }
    let path = |stage: &Stage| format!("{WEBINARS}/{}/registrations", stage.webinar);
    let (first, _, _) = one.bench.pages(&path(&one)).await;
    assert_eq!(first, two.bench.pages(&path(&two)).await.0);
    let report = one.get(&one.reports()).await.values()[0]["id"].as_str().expect("an id").to_owned();
    let records = one.get(&format!("{}/{report}/attendanceRecords", one.reports())).await;
    assert_eq!(records.values().len(), 100);
    assert_eq!(records.values()[19]["emailAddress"], "");
    assert_eq!(records.values()[0]["registrationId"], first[0]["id"]);
    assert_eq!(records.values()[0]["attendanceIntervals"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_rate_limit_counts_users_and_applications() {
    let mut options = still();
    options.switches.virtual_event_requests_per_user = Some(3);
    let stage = Stage::with(options).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(stage.get("").await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
    let over = stage.get("").await;
    assert_eq!((over.code(), over.header("retry-after")), ("TooManyRequests", Some("10")));
    stage.bench.world().advance(Duration::from_secs(11));
    assert_eq!(stage.get("").await.status, 200);
    assert_eq!(stage.bench.world().counters().ru, 0, "SharePoint's units are not touched");
}

#[tokio::test]
async fn faults_and_counters_know_the_kinds() {
    let stage = Stage::with(still()).await;
    let rule = FaultRule {
        matches: FaultMatch { kind: Some(OpKind::Registrations), ..FaultMatch::default() },
        when: FaultWhen::next(1),
        what: Fault::Throttle { retry_after: Some("2.128".into()) },
    };
    stage.bench.world().add_fault(rule).expect("a rule");
    assert_eq!(stage.get("/sessions").await.status, 200);
    let headers = [("client-request-id", "mine")];
    let path = format!("{WEBINARS}/{}/registrations", stage.webinar);
    let hit = stage.bench.send("GET", &path, &headers, None).await.expect("an answer");
    assert_eq!((hit.status, hit.header("retry-after")), (429, Some("2.128")));
    assert_eq!(hit.header("client-request-id"), Some("mine"));
    assert_eq!(stage.get("/registrations").await.status, 200);
    assert_eq!(stage.get(&stage.reports()).await.status, 404);
    let counters = stage.bench.world().counters();
    assert_eq!(counters.by_kind[&OpKind::Webinars], 1);
    assert_eq!(counters.by_kind[&OpKind::Registrations], 2);
    assert_eq!(counters.by_kind[&OpKind::Attendance], 1);
    assert_eq!(counters.by_route["sessions.list"], 1);
    assert_eq!(counters.by_route["registrations.list"], 2);
    assert_eq!(counters.by_route["attendance.reports"], 1);
    assert_eq!(stage.bench.call("POST", &path, Some(json!({}))).await.status, 405);
}

#[tokio::test]
async fn options_fill_the_world() {
    let options: Options = serde_json::from_value(json!({
        "users": [{ "oid": DIANE, "upn": "diane@contoso.com" }],
        "consents": [{ "scopes": ["VirtualEvent.Read"] }],
        "webinars": [{ "organizer": DIANE, "displayName": "Launch",
            "sessions": [{ "subject": "Launch", "reports": [{}] }], "registrations": [{ "email": "a@b.example" }] }],
    }))
    .expect("options");
    let bench = Bench::start(options).await;
    let world = bench.get("/_sim/webinars").await.body;
    assert_eq!(world["webinars"][0]["displayName"], "Launch");
    assert_eq!(world["webinars"][0]["registrations"], 1);
    assert_eq!(world["webinars"][0]["sessions"].as_array().map(Vec::len), Some(1));
}

/// 25,000 registrations in pages of 100, as load tests read them.
#[tokio::test]
async fn long_lists_are_read_to_their_end() {
    let stage = Stage::with(still()).await;
    stage.bench.world().generate_registrations(&stage.webinar, 25_000, 1).expect("registrations");
    let path = format!("{WEBINARS}/{}/registrations", stage.webinar);
    let (all, _, pages) = stage.bench.pages(&path).await;
    assert_eq!((all.len(), pages), (25_000, 250));
}
