//! What Graph answers about webinars (facts §4.2), read leniently: wrapped or bare, a text or an object, absent or null
//! (§4.5). Only what is carried is kept.

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::{Value as Json, value::RawValue};

use super::times::When;

/// A page of a collection.
#[derive(Deserialize)]
pub(super) struct Page<T> {
    pub(super) value: Vec<T>,
    #[serde(rename = "@odata.nextLink", default, deserialize_with = "text")]
    pub(super) next: Option<String>,
}

/// One entity; some samples wrap it in `value`.
pub(super) fn single<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    let mut json: Json = serde_json::from_slice(body)?;
    let inner = match &mut json {
        Json::Object(outer) if !outer.contains_key("id") => outer.remove("value"),
        _ => None,
    };
    serde_json::from_value(inner.filter(Json::is_object).unwrap_or(json))
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Webinar {
    pub(super) id: Id,
    #[serde(default, deserialize_with = "text")]
    pub(super) display_name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) status: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) start_date_time: When,
    #[serde(default)]
    pub(super) end_date_time: When,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) created_by: Option<IdentitySet>,
    #[serde(default, deserialize_with = "text")]
    pub(super) audience: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) is_registration_required: Option<bool>,
}

impl Webinar {
    pub(super) fn is_published(&self) -> bool {
        self.status.as_deref().is_some_and(|status| status.eq_ignore_ascii_case("published"))
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Session {
    pub(super) id: Id,
    #[serde(default, deserialize_with = "text")]
    pub(super) subject: Option<String>,
    #[serde(default)]
    pub(super) start_date_time: When,
    #[serde(default)]
    pub(super) end_date_time: When,
    #[serde(default, deserialize_with = "text")]
    pub(super) join_web_url: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Registration {
    pub(super) id: Id,
    #[serde(default, deserialize_with = "text")]
    pub(super) user_id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) first_name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) last_name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) email: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) status: Option<String>,
    #[serde(default)]
    pub(super) registration_date_time: When,
    // One `l`, as the service writes it; the other spelling costs nothing.
    #[serde(default, alias = "cancellationDateTime")]
    pub(super) cancelation_date_time: When,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) external_registration_information: Option<External>,
    #[serde(default)]
    pub(super) registration_question_answers: Option<Box<RawValue>>,
}

/// Where a registration came from.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct External {
    #[serde(default, deserialize_with = "text")]
    pub(super) referrer: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Report {
    pub(super) id: Id,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attendance {
    #[serde(default, deserialize_with = "text")]
    pub(super) email_address: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) total_attendance_in_seconds: Option<f64>,
    #[serde(default, deserialize_with = "text")]
    pub(super) role: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) registration_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) identity: Option<Identity>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) attendance_intervals: Option<Vec<Interval>>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Interval {
    #[serde(default)]
    pub(super) join_date_time: When,
    #[serde(default)]
    pub(super) leave_date_time: When,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) duration_in_seconds: Option<f64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct IdentitySet {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) user: Option<Identity>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity {
    #[serde(default, deserialize_with = "text")]
    pub(super) id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) display_name: Option<String>,
}

/// An id that is not empty: an element without one cannot be used, and leaving it out would make a whole of a part.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(pub(super) String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match text(deserializer)? {
            Some(id) => Ok(Self(id)),
            None => Err(D::Error::custom("an element without id")),
        }
    }
}

/// A text with something in it; numbers and the `content` of an object count.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = match Json::deserialize(deserializer)? {
        Json::String(text) => text,
        Json::Number(number) => number.to_string(),
        Json::Object(mut body) => match body.remove("content") {
            Some(Json::String(text)) => text,
            _ => return Ok(None),
        },
        Json::Null | Json::Bool(_) | Json::Array(_) => return Ok(None),
    };
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

/// What has another shape than expected counts as not said.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Json::deserialize(deserializer)?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webinar_wrapped_and_bare() {
        let bare = r#"{"id":"w@t","status":"published","displayName":"Q","description":{"contentType":"text","content":"What"},
            "startDateTime":{"dateTime":"2026-03-30T10:00:00","timeZone":"UTC"},"isRegistrationRequired":true,
            "createdBy":{"application":null,"user":{"id":"u","displayName":"Diane"}}}"#;
        let other = r#"{"@odata.context":"x","value":{"id":"w@t","status":"published","displayName":"Q","description":"What",
            "startDateTime":"2026-03-30T10:00:00Z","isRegistrationRequired":true,"createdBy":{"user":{"id":"u","displayName":"Diane"}}}}"#;
        for body in [bare, other] {
            let webinar: Webinar = single(body.as_bytes()).unwrap();
            assert_eq!((webinar.id.0.as_str(), webinar.is_published()), ("w@t", true));
            assert_eq!(webinar.description.as_deref(), Some("What"));
            assert_eq!(webinar.start_date_time, When::At(1_774_864_800_000_000));
            let organizer = webinar.created_by.and_then(|by| by.user).unwrap();
            assert_eq!(
                (organizer.id.as_deref(), organizer.display_name.as_deref()),
                (Some("u"), Some("Diane"))
            );
            assert_eq!(webinar.is_registration_required, Some(true));
        }
    }

    #[test]
    fn elements_without_an_id_are_refused() {
        for body in [r#"{"value":[{"id":""}]}"#, r#"{"value":[{"id":null}]}"#, r#"{"value":[{}]}"#, "{}"] {
            assert!(serde_json::from_str::<Page<Session>>(body).is_err(), "{body}");
        }
        let page: Page<Report> =
            serde_json::from_str(r#"{"value":[],"@odata.nextLink":"https://g/x"}"#).unwrap();
        assert_eq!(page.next.as_deref(), Some("https://g/x"));
    }

    #[test]
    fn an_attendance_record_of_odd_shapes() {
        let body = r#"{"emailAddress":" ","totalAttendanceInSeconds":"many","role":null,"identity":"?",
            "attendanceIntervals":[{"joinDateTime":"2026-03-30T10:00:00Z","durationInSeconds":5}]}"#;
        let record: Attendance = serde_json::from_str(body).unwrap();
        assert_eq!((record.email_address, record.total_attendance_in_seconds), (None, None));
        assert_eq!((record.role, record.identity), (None, None));
        assert_eq!(record.attendance_intervals.map(|i| i.len()), Some(1));
    }
}
