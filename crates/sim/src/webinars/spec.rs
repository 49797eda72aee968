//! Webinars to seed, as the control API takes them. Names are those of Graph (facts §4.2 \[M\]).

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A local time with the Windows name of its zone, `dateTimeTimeZone`. Both texts are sent as they are given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ZonedTime {
    /// `2026-03-30T10:00:00`, with or without seven digits of fraction (facts §4.5).
    pub date_time: String,
    /// `UTC`, `Pacific Standard Time`, or nonsense (facts §4.5).
    pub time_zone: String,
}

impl ZonedTime {
    /// A time in UTC.
    pub fn utc(date_time: &str) -> Self {
        Self { date_time: date_time.to_owned(), time_zone: "UTC".to_owned() }
    }
}

/// Where a webinar stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EventStatus {
    /// Not published yet, or taken back.
    Draft,
    /// Open to its audience.
    #[default]
    Published,
    /// Called off; one `l` (facts §4.2).
    Canceled,
}

impl EventStatus {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Published => "published",
            Self::Canceled => "canceled",
        }
    }
}

/// A webinar. Its sessions and registrations can be given with it or added later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct WebinarSpec {
    /// The guid of the id, which ends with `@{tenant}`; made up when absent.
    pub id: Option<String>,
    /// Title.
    pub display_name: String,
    /// Plain text.
    pub description: String,
    /// Object id of the organizer.
    pub organizer: String,
    /// The organizer's name.
    pub organizer_name: String,
    /// Object ids of the co-organizers.
    pub co_organizers: Vec<String>,
    /// Where it stands.
    pub status: EventStatus,
    /// `everyone` or `organization`.
    pub audience: String,
    /// Begin.
    pub start_date_time: ZonedTime,
    /// End.
    pub end_date_time: ZonedTime,
    /// `[{"applicationId", "externalEventId"}]`.
    pub external_event_information: Vec<Value>,
    /// Sessions; a webinar made through Graph has one (facts §4.5 \[D\]).
    pub sessions: Vec<SessionSpec>,
    /// Registrations.
    pub registrations: Vec<RegistrationSpec>,
}

impl Default for WebinarSpec {
    fn default() -> Self {
        Self {
            id: None,
            display_name: "Webinar".into(),
            description: String::new(),
            organizer: String::new(),
            organizer_name: String::new(),
            co_organizers: Vec::new(),
            status: EventStatus::Published,
            audience: "everyone".into(),
            start_date_time: ZonedTime::utc("2026-03-30T10:00:00"),
            end_date_time: ZonedTime::utc("2026-03-30T11:00:00"),
            external_event_information: Vec::new(),
            sessions: Vec::new(),
            registrations: Vec::new(),
        }
    }
}

/// A session of a webinar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct SessionSpec {
    /// A guid; made up when absent.
    pub id: Option<String>,
    /// Title.
    pub subject: String,
    /// Begin.
    pub start_date_time: ZonedTime,
    /// End.
    pub end_date_time: ZonedTime,
    /// Where it is joined; made from the id when absent.
    pub join_web_url: Option<String>,
    /// It has run although there is no report: `attendanceReports` is empty then, not 404.
    pub has_run: bool,
    /// Attendance reports, the oldest first.
    pub reports: Vec<ReportSpec>,
}

impl Default for SessionSpec {
    fn default() -> Self {
        Self {
            id: None,
            subject: "Webinar".into(),
            start_date_time: ZonedTime::utc("2026-03-30T10:00:00"),
            end_date_time: ZonedTime::utc("2026-03-30T11:00:00"),
            join_web_url: None,
            has_run: false,
            reports: Vec::new(),
        }
    }
}

/// A registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RegistrationSpec {
    /// A guid; made up when absent.
    pub id: Option<String>,
    /// Only for people known to the directory.
    pub user_id: Option<String>,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// E-mail; it may be blank.
    pub email: String,
    /// `registered`, `canceled`, `waitlisted`, `pendingApproval`, `rejectedByOrganizer`, or a value yet unknown.
    pub status: String,
    /// Instant in UTC with a `Z`, which a switch takes away (facts §4.5).
    pub registration_date_time: String,
    /// When it was canceled; one `l` (facts §4.2).
    pub cancelation_date_time: Option<String>,
    /// Windows name of a zone.
    pub preferred_timezone: String,
    /// Such as `en-us`.
    pub preferred_language: String,
    /// `{"referrer", "registrationId"}`.
    pub external_registration_information: Option<Value>,
    /// Answers, as Graph shows them.
    pub registration_question_answers: Vec<Value>,
}

impl Default for RegistrationSpec {
    fn default() -> Self {
        Self {
            id: None,
            user_id: None,
            first_name: String::new(),
            last_name: String::new(),
            email: String::new(),
            status: "registered".into(),
            registration_date_time: "2026-03-07T22:04:17Z".into(),
            cancelation_date_time: None,
            preferred_timezone: "Pacific Standard Time".into(),
            preferred_language: "en-us".into(),
            external_registration_information: None,
            registration_question_answers: Vec::new(),
        }
    }
}

/// An attendance report: one is made each time the meeting ends (facts §4.5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ReportSpec {
    /// A guid; made up when absent.
    pub id: Option<String>,
    /// Instant in UTC.
    pub meeting_start_date_time: String,
    /// Instant in UTC.
    pub meeting_end_date_time: String,
    /// Number of records when absent.
    pub total_participant_count: Option<u64>,
    /// Who attended.
    pub records: Vec<RecordSpec>,
}

impl Default for ReportSpec {
    fn default() -> Self {
        Self {
            id: None,
            meeting_start_date_time: "2026-03-30T10:00:31.658Z".into(),
            meeting_end_date_time: "2026-03-30T11:03:57.563Z".into(),
            total_participant_count: None,
            records: Vec::new(),
        }
    }
}

/// One person in one report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RecordSpec {
    /// A guid; made up when absent.
    pub id: Option<String>,
    /// E-mail; blank or null for anonymous people (facts §4.5 \[O\]).
    pub email_address: Option<String>,
    /// Sum of the intervals when absent.
    pub total_attendance_in_seconds: Option<i64>,
    /// `None`, `Attendee`, `Presenter` or `Organizer`.
    pub role: String,
    /// The registration, if there is one.
    pub registration_id: Option<String>,
    /// `{"referrer", "registrationId"}`.
    pub external_registration_information: Option<Value>,
    /// `{"id", "displayName", "tenantId"}`.
    pub identity: Option<Value>,
    /// When the person was there.
    pub attendance_intervals: Vec<IntervalSpec>,
}

impl Default for RecordSpec {
    fn default() -> Self {
        Self {
            id: None,
            email_address: None,
            total_attendance_in_seconds: None,
            role: "Attendee".into(),
            registration_id: None,
            external_registration_information: None,
            identity: None,
            attendance_intervals: Vec::new(),
        }
    }
}

/// From joining to leaving.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct IntervalSpec {
    /// Instant in UTC with seven digits of fraction (facts §4.2).
    pub join_date_time: String,
    /// Instant in UTC with seven digits of fraction.
    pub leave_date_time: String,
    /// Whole seconds between the two when absent.
    pub duration_in_seconds: Option<i64>,
}
