//! Webinars as Graph writes them (facts §4.2). Members that no seed can set are those of the documented samples.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::spec::{
    IntervalSpec, RecordSpec, RegistrationSpec, ReportSpec, SessionSpec, WebinarSpec, ZonedTime,
};
use crate::chance::Chance;
use crate::switches::{SessionTimes, Switches};

/// Members of a session that its list shows as null (facts §4.2), and what a read of its own says.
fn session_extras() -> [(&'static str, Value); 4] {
    [
        ("allowedPresenters", "organizer".into()),
        ("allowMeetingChat", "enabled".into()),
        ("isEntryExitAnnounced", false.into()),
        ("lobbyBypassSettings", json!({ "scope": "everyone", "isDialInBypassEnabled": false })),
    ]
}

pub(super) fn webinar(id: &str, spec: &WebinarSpec, tenant: Uuid) -> Vec<u8> {
    let identity = |oid: &str, name: Option<&str>| {
        json!({
            "@odata.type": "#microsoft.graph.communicationsUserIdentity",
            "id": oid, "displayName": name, "tenantId": tenant.to_string(),
        })
    };
    let co_organizers: Vec<Value> = spec.co_organizers.iter().map(|oid| identity(oid, None)).collect();
    bytes(&json!({
        "id": id,
        "status": spec.status.name(),
        "displayName": spec.display_name,
        "isRegistrationRequired": true,
        "description": { "contentType": "text", "content": spec.description },
        "startDateTime": spec.start_date_time,
        "endDateTime": spec.end_date_time,
        "createdBy": {
            "application": null, "device": null,
            "user": identity(&spec.organizer, Some(&spec.organizer_name)),
        },
        "audience": spec.audience,
        "coOrganizers": co_organizers,
        "settings": { "isAttendeeEmailNotificationEnabled": false },
        "externalEventInformation": spec.external_event_information,
    }))
}

pub(super) fn session(id: &str, spec: &SessionSpec, rules: &Switches, full: bool) -> Vec<u8> {
    let time = |time: &ZonedTime| match rules.session_times {
        SessionTimes::Zoned => json!(time),
        SessionTimes::Text if time.time_zone == "UTC" => format!("{}Z", time.date_time).into(),
        SessionTimes::Text => time.date_time.as_str().into(),
    };
    let url = format!("https://teams.microsoft.com/l/meetup-join/{id}");
    let mut session = json!({
        "id": id,
        "subject": spec.subject,
        "startDateTime": time(&spec.start_date_time),
        "endDateTime": time(&spec.end_date_time),
        "joinWebUrl": spec.join_web_url.as_deref().unwrap_or(&url),
    });
    for (name, value) in session_extras() {
        session[name] = if full { value } else { Value::Null };
    }
    bytes(&session)
}

pub(super) fn registration(id: &str, spec: &RegistrationSpec, rules: &Switches) -> Vec<u8> {
    let instant = |text: &str| {
        let zoneless = if rules.registration_times_without_zone { text.strip_suffix('Z') } else { None };
        zoneless.unwrap_or(text).to_owned()
    };
    bytes(&json!({
        "id": id,
        "userId": spec.user_id,
        "firstName": spec.first_name,
        "lastName": spec.last_name,
        "email": spec.email,
        "status": spec.status,
        "registrationDateTime": instant(&spec.registration_date_time),
        "cancelationDateTime": spec.cancelation_date_time.as_deref().map(instant),
        "preferredTimezone": spec.preferred_timezone,
        "preferredLanguage": spec.preferred_language,
        "externalRegistrationInformation": spec.external_registration_information,
        "registrationQuestionAnswers": spec.registration_question_answers,
    }))
}

/// Without its closing bracket.
pub(super) fn report(id: &str, spec: &ReportSpec) -> Vec<u8> {
    let mut report = bytes(&json!({
        "id": id,
        "totalParticipantCount": spec.total_participant_count.unwrap_or(spec.records.len() as u64),
        "meetingStartDateTime": spec.meeting_start_date_time,
        "meetingEndDateTime": spec.meeting_end_date_time,
        "externalEventInformation": [],
    }));
    report.pop();
    report
}

/// A record; what is wrong with it when its intervals are no times.
pub(super) fn record(spec: &RecordSpec, chance: &mut Chance) -> Result<Vec<u8>, String> {
    let lengths = spec.attendance_intervals.iter().map(seconds).collect::<Result<Vec<_>, _>>()?;
    let intervals: Vec<Value> = spec
        .attendance_intervals
        .iter()
        .zip(&lengths)
        .map(|(interval, length)| {
            json!({
                "joinDateTime": interval.join_date_time,
                "leaveDateTime": interval.leave_date_time,
                "durationInSeconds": length,
            })
        })
        .collect();
    let mut identity = spec.identity.clone().unwrap_or(Value::Null);
    if let Some(identity) = identity.as_object_mut() {
        let kind = "#microsoft.graph.communicationsUserIdentity";
        identity.entry("@odata.type").or_insert_with(|| kind.into());
    }
    Ok(bytes(&json!({
        "id": super::given_or_new(spec.id.as_ref(), chance),
        "emailAddress": spec.email_address,
        "totalAttendanceInSeconds": spec.total_attendance_in_seconds.unwrap_or_else(|| lengths.iter().sum()),
        "role": spec.role,
        "registrationId": spec.registration_id,
        "externalRegistrationInformation": spec.external_registration_information,
        "identity": identity,
        "attendanceIntervals": intervals,
    })))
}

fn seconds(interval: &IntervalSpec) -> Result<i64, String> {
    if let Some(seconds) = interval.duration_in_seconds {
        return Ok(seconds);
    }
    let instant = |text: &str| {
        text.parse::<Timestamp>().map_err(|_| format!("'{text}' is no instant: give 'durationInSeconds'"))
    };
    let (join, leave) = (instant(&interval.join_date_time)?, instant(&interval.leave_date_time)?);
    Ok(leave.duration_since(join).as_secs())
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}
