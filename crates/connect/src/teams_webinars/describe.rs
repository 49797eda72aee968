//! The streams and their columns.

use syncline_core::schema::{
    Field,
    FieldType::{self, Boolean, Int64, Json, Text},
    Stream,
};

use crate::{Error, error::Kind};

/// Names of all streams.
pub(super) const NAMES: [&str; 5] = ["webinars", "sessions", "registrations", "attendance", "participants"];

const TIME: FieldType = FieldType::Timestamp { zoned: true };

/// A column: name, type, and whether it may be null.
type Column = (&'static str, FieldType, bool);

const WEBINARS: &[Column] = &[
    ("id", Text, false),
    ("name", Text, true),
    ("status", Text, true),
    ("description", Text, true),
    ("starts_at", TIME, true),
    ("ends_at", TIME, true),
    ("organizer_id", Text, true),
    ("organizer_name", Text, true),
    ("audience", Text, true),
    ("registration_required", Boolean, true),
];

const SESSIONS: &[Column] = &[
    ("webinar_id", Text, false),
    ("session_id", Text, false),
    ("webinar_status", Text, true),
    ("subject", Text, true),
    ("starts_at", TIME, true),
    ("ends_at", TIME, true),
    ("join_url", Text, true),
];

const REGISTRATIONS: &[Column] = &[
    ("webinar_id", Text, false),
    ("registration_id", Text, false),
    ("user_id", Text, true),
    ("first_name", Text, true),
    ("last_name", Text, true),
    ("email", Text, true),
    ("status", Text, true),
    ("registered_at", TIME, true),
    ("cancelled_at", TIME, true),
    ("referrer", Text, true),
    ("answers", Json, true),
];

const ATTENDANCE: &[Column] = &[
    ("webinar_id", Text, false),
    ("session_id", Text, false),
    ("person", Text, true),
    ("email", Text, true),
    ("registration_id", Text, true),
    ("identity_id", Text, true),
    ("name", Text, true),
    ("role", Text, true),
    ("seconds", Int64, false),
    ("first_joined_at", TIME, true),
    ("last_left_at", TIME, true),
    ("reports", Int64, false),
];

const PARTICIPANTS: &[Column] = &[
    ("person", Text, true),
    ("email", Text, true),
    ("first_name", Text, true),
    ("last_name", Text, true),
    ("name", Text, true),
    ("registered", Boolean, false),
    ("registration_status", Text, true),
    ("registered_at", TIME, true),
    ("attended", Boolean, false),
    ("seconds", Int64, false),
    ("first_joined_at", TIME, true),
    ("last_left_at", TIME, true),
    ("role", Text, true),
    ("registration_id", Text, true),
    ("user_id", Text, true),
];

/// Describes a stream; nothing is asked of the service, which has no columns of its own to tell.
///
/// # Errors
/// [`Kind::StreamMissing`], naming those there are.
pub(super) fn stream(name: &str) -> Result<Stream, Error> {
    let (columns, key, params): (&[Column], &[&str], &[(&str, bool)]) = match name {
        "webinars" => (WEBINARS, &["id"], &[]),
        "sessions" => (SESSIONS, &["webinar_id", "session_id"], &[("webinar", false), ("session", false)]),
        "registrations" => (REGISTRATIONS, &["webinar_id", "registration_id"], &[("webinar", false)]),
        "attendance" => {
            (ATTENDANCE, &["webinar_id", "session_id", "person"], &[("webinar", false), ("session", false)])
        }
        "participants" => (PARTICIPANTS, &["person"], &[("webinar", true), ("session", true)]),
        _ => {
            return Err(Error::new(Kind::StreamMissing, format!("there is no stream {name:?} of webinars"))
                .hint(format!("the streams are {}", NAMES.join(", "))));
        }
    };
    Ok(Stream {
        name: name.to_owned(),
        id: name.to_owned(),
        fields: columns
            .iter()
            .map(|(name, kind, nullable)| Field::new(*name, kind.clone(), *nullable))
            .collect(),
        primary_key: key.iter().map(|&column| column.to_owned()).collect(),
        params: params.iter().map(|(name, required)| ((*name).to_owned(), *required)).collect(),
        notes: notes(name),
        ..Stream::default()
    })
}

fn notes(name: &str) -> Vec<String> {
    match name {
        "attendance" | "participants" => {
            vec!["attendance is kept for one year, in at most 50 reports of a session".to_owned()]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_names_every_column() {
        let page = include_str!("../../../../docs/teams-webinars.md");
        for name in NAMES {
            let columns: Vec<_> =
                stream(name).unwrap().fields.iter().map(|f| format!("`{}`", f.name)).collect();
            let row = format!("| `{name}` | {} |", columns.join(", "));
            assert!(page.contains(&row), "{row}");
        }
    }

    #[test]
    fn keys_are_columns() {
        for name in NAMES {
            let stream = stream(name).unwrap();
            assert!(stream.primary_key.iter().all(|key| stream.field(key).is_some()), "{name}");
        }
        assert_eq!(stream("attendees").unwrap_err().kind, Kind::StreamMissing);
    }
}
