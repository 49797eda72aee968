//! What was fetched, as records of the streams. Pure.

use std::borrow::Cow;

use syncline_core::value::Value;

use super::{
    attendance::Attendee,
    fetch::text,
    participants::Participant,
    times::When,
    types::{Registration, Session, Webinar},
};

/// A record.
pub(super) enum Row {
    Webinar(Box<Webinar>),
    Session { webinar: String, status: Option<String>, session: Session },
    Registration { webinar: String, registration: Box<Registration> },
    Attendee { webinar: String, session: String, person: Option<String>, attendee: Box<Attendee> },
    Participant(Box<Participant>),
}

impl Row {
    /// The value of a column; null for one that the stream does not have.
    pub(super) fn value(&self, column: &str) -> Value<'_> {
        match self {
            Self::Webinar(webinar) => webinar_value(webinar, column),
            Self::Session { webinar, status, session } => match column {
                "webinar_id" => plain(webinar),
                "session_id" => plain(text(&session.id)),
                "webinar_status" => optional(status.as_deref()),
                "subject" => optional(session.subject.as_deref()),
                "starts_at" => time(session.start_date_time.micros()),
                "ends_at" => time(session.end_date_time.micros()),
                "join_url" => optional(session.join_web_url.as_deref()),
                _ => Value::Null,
            },
            Self::Registration { webinar, registration } => match column {
                "webinar_id" => plain(webinar),
                _ => registration_value(registration, column),
            },
            Self::Attendee { webinar, session, person, attendee } => match column {
                "webinar_id" => plain(webinar),
                "session_id" => plain(session),
                "person" => optional(person.as_deref()),
                _ => attendee_value(attendee, column),
            },
            Self::Participant(participant) => participant_value(participant, column),
        }
    }

    /// Why the record is not whole.
    pub(super) fn problem(&self) -> Option<&'static str> {
        const NOBODY: &str = "neither an e-mail address nor a registration or identity tells who this is";
        match self {
            Self::Webinar(webinar) => unclear(&[&webinar.start_date_time, &webinar.end_date_time]),
            Self::Session { session, .. } => unclear(&[&session.start_date_time, &session.end_date_time]),
            Self::Registration { registration, .. } => {
                unclear(&[&registration.registration_date_time, &registration.cancelation_date_time])
            }
            Self::Attendee { person, .. } => person.is_none().then_some(NOBODY),
            Self::Participant(participant) => participant.person.is_none().then_some(NOBODY),
        }
    }
}

fn unclear(times: &[&When]) -> Option<&'static str> {
    times.iter().find_map(|time| match time {
        When::Unclear(why) => Some(*why),
        When::Unsaid | When::At(_) => None,
    })
}

fn webinar_value<'a>(webinar: &'a Webinar, column: &str) -> Value<'a> {
    let organizer = webinar.created_by.as_ref().and_then(|by| by.user.as_ref());
    match column {
        "id" => plain(text(&webinar.id)),
        "name" => optional(webinar.display_name.as_deref()),
        "status" => optional(webinar.status.as_deref()),
        "description" => optional(webinar.description.as_deref()),
        "starts_at" => time(webinar.start_date_time.micros()),
        "ends_at" => time(webinar.end_date_time.micros()),
        "organizer_id" => optional(organizer.and_then(|user| user.id.as_deref())),
        "organizer_name" => optional(organizer.and_then(|user| user.display_name.as_deref())),
        "audience" => optional(webinar.audience.as_deref()),
        "registration_required" => webinar.is_registration_required.map_or(Value::Null, Value::Boolean),
        _ => Value::Null,
    }
}

fn registration_value<'a>(registration: &'a Registration, column: &str) -> Value<'a> {
    let external = registration.external_registration_information.as_ref();
    match column {
        "registration_id" => plain(text(&registration.id)),
        "user_id" => optional(registration.user_id.as_deref()),
        "first_name" => optional(registration.first_name.as_deref()),
        "last_name" => optional(registration.last_name.as_deref()),
        "email" => optional(registration.email.as_deref()),
        "status" => optional(registration.status.as_deref()),
        "registered_at" => time(registration.registration_date_time.micros()),
        "cancelled_at" => time(registration.cancelation_date_time.micros()),
        "referrer" => optional(external.and_then(|external| external.referrer.as_deref())),
        "answers" => registration
            .registration_question_answers
            .as_ref()
            .map_or(Value::Null, |answers| Value::Json(Cow::Borrowed(answers.get()))),
        _ => Value::Null,
    }
}

fn attendee_value<'a>(attendee: &'a Attendee, column: &str) -> Value<'a> {
    match column {
        "email" => optional(attendee.email.as_deref()),
        "registration_id" => optional(attendee.registrations.first().map(String::as_str)),
        "identity_id" => optional(attendee.identity.as_deref()),
        "name" => optional(attendee.name.as_deref()),
        "role" => optional(attendee.role.as_deref()),
        "seconds" => Value::Int64(attendee.seconds),
        "first_joined_at" => time(attendee.first_joined_at),
        "last_left_at" => time(attendee.last_left_at),
        "reports" => Value::Int64(i64::try_from(attendee.reports).unwrap_or(i64::MAX)),
        _ => Value::Null,
    }
}

fn participant_value<'a>(participant: &'a Participant, column: &str) -> Value<'a> {
    match column {
        "person" => optional(participant.person.as_deref()),
        "email" => optional(participant.email.as_deref()),
        "first_name" => optional(participant.first_name.as_deref()),
        "last_name" => optional(participant.last_name.as_deref()),
        "name" => optional(participant.name.as_deref()),
        "registered" => Value::Boolean(participant.registered),
        "registration_status" => optional(participant.registration_status.as_deref()),
        "registered_at" => time(participant.registered_at),
        "attended" => Value::Boolean(participant.attended),
        "seconds" => Value::Int64(participant.seconds),
        "first_joined_at" => time(participant.first_joined_at),
        "last_left_at" => time(participant.last_left_at),
        "role" => optional(participant.role.as_deref()),
        "registration_id" => optional(participant.registration_id.as_deref()),
        "user_id" => optional(participant.user_id.as_deref()),
        _ => Value::Null,
    }
}

fn plain(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

fn optional(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Null, plain)
}

fn time(micros: Option<i64>) -> Value<'static> {
    micros.map_or(Value::Null, |micros| Value::Timestamp { micros, zoned: true })
}
