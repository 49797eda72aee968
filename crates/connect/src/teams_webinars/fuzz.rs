//! Answers of any bytes: whatever can be read of them keeps the laws of people and times.

use std::collections::BTreeSet;

use crate::fuzzing;

use super::{
    attendance::{Seen, merge},
    participants::join,
    types::{Attendance, Page, Registration, Session, Webinar, single},
};

const DICTIONARY: &[&str] = &[
    "\"id\":",
    "\"value\":[",
    "\"value\":{",
    "\"@odata.nextLink\":",
    "\"startDateTime\":",
    "{\"dateTime\":\"2026-03-30T10:00:00.0000000\",\"timeZone\":\"Pacific Standard Time\"}",
    "\"2026-03-30T10:01:52.2782182Z\"",
    "\"9999-12-31T23:59:59Z\"",
    "\"-009999-01-01T00:00:00Z\"",
    "\"joinDateTime\":",
    "\"leaveDateTime\":",
    "\"durationInSeconds\":",
    "\"totalAttendanceInSeconds\":",
    "\"attendanceIntervals\":[",
    "\"emailAddress\":",
    "\"registrationId\":",
    "\"email\":\"ann@x.example\"",
    "\"status\":\"canceled\"",
    "\"identity\":{\"id\":\"i\"}",
    "\"registrationQuestionAnswers\":[",
];

/// Ten thousand years; nobody stays longer than the times that can be written.
const SECONDS_MAX: i64 = 20_000 * 31_622_400;

fn check_webinars(body: &[u8]) {
    if let Ok(webinar) = single::<Webinar>(body) {
        assert!(!webinar.id.0.is_empty());
    }
    for session in serde_json::from_slice::<Page<Session>>(body).map(|page| page.value).unwrap_or_default() {
        assert!(!session.id.0.is_empty());
    }
}

/// One body for both: what is no registration may be a record.
fn check_participants(body: &[u8]) {
    let registrations: Vec<Registration> =
        serde_json::from_slice::<Page<Registration>>(body).map(|page| page.value).unwrap_or_default();
    let records = serde_json::from_slice::<Page<Attendance>>(body).map(|page| page.value).unwrap_or_default();
    let seen: Vec<Seen> = records.into_iter().enumerate().map(|(i, record)| (i % 3, record)).collect();
    for attendee in merge(seen.clone()) {
        assert!((0..=SECONDS_MAX).contains(&attendee.seconds), "{}", attendee.seconds);
        assert!((1..=3).contains(&attendee.reports));
        assert!(attendee.first_joined_at <= attendee.last_left_at);
    }
    let (registered, attended) = (registrations.len(), seen.len());
    let people = join(registrations, seen);
    let keys: BTreeSet<_> = people.iter().filter_map(|p| p.person.as_ref()).collect();
    let unkeyed = people.iter().filter(|p| p.person.is_none()).count();
    assert_eq!(keys.len() + unkeyed, people.len(), "a person stands twice");
    assert!(people.len() <= registered + attended, "people out of nothing");
    assert_eq!(attended > 0, people.iter().any(|p| p.attended), "nobody is dropped");
    assert!(people.iter().all(|p| p.attended || p.seconds == 0));
}

#[test]
fn webinars_and_sessions() {
    fuzzing::run("webinars", &[], DICTIONARY, check_webinars);
}

#[test]
fn registrations_and_records() {
    fuzzing::run("participants", &[], DICTIONARY, check_participants);
}
