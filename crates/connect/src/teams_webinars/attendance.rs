//! All reports of a session as one list of people: each person once, with the time that was really attended. Pure.
//!
//! A new report is made each time the meeting ends, so the same person stands in several, and a rejoin must neither lose
//! time nor count it twice (facts §4.5): intervals of one person are united before they are added up.

use std::collections::{BTreeMap, BTreeSet};

use super::types::{Attendance, Interval};

const SECOND: i64 = 1_000_000;

/// One person's attendance of one session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Attendee {
    /// Registrations named in its records, sorted.
    pub(super) registrations: BTreeSet<String>,
    /// E-mail addresses of its records in the form they are compared in, sorted.
    pub(super) emails: BTreeSet<String>,
    /// An address as it was written.
    pub(super) email: Option<String>,
    pub(super) identity: Option<String>,
    pub(super) name: Option<String>,
    pub(super) role: Option<String>,
    pub(super) seconds: i64,
    /// Microseconds since 1970.
    pub(super) first_joined_at: Option<i64>,
    pub(super) last_left_at: Option<i64>,
    /// Reports it stands in.
    pub(super) reports: usize,
}

impl Attendee {
    /// Who it is: the e-mail, else the registration, else the identity; `None` where there is nothing to go by.
    pub(super) fn person(&self) -> Option<String> {
        let email = self.emails.first().cloned();
        email
            .or_else(|| self.registrations.first().map(|id| format!("registration:{id}")))
            .or_else(|| self.identity.as_ref().map(|id| format!("identity:{id}")))
    }
}

/// An address in the form it is compared in: trimmed, in lower case; `None` when nothing is left.
pub(super) fn normal(email: Option<&str>) -> Option<String> {
    let email = email?.trim().to_lowercase();
    (!email.is_empty()).then_some(email)
}

/// A record, and the number of the report it stands in.
pub(super) type Seen = (usize, Attendance);

/// The people in these records. In order of first appearance.
pub(super) fn merge(records: Vec<Seen>) -> Vec<Attendee> {
    people(records).into_iter().map(attendee).collect()
}

/// The records by whom they are of; those without anything to tell stay by themselves.
pub(super) fn people(records: Vec<Seen>) -> Vec<Vec<Seen>> {
    let mut groups = Groups::default();
    for (_, record) in &records {
        groups.add(&keys(record));
    }
    let mut people: BTreeMap<usize, Vec<Seen>> = BTreeMap::new();
    for (index, record) in records.into_iter().enumerate() {
        people.entry(groups.of(index)).or_default().push(record);
    }
    people.into_values().collect()
}

/// Under which the records of one person meet.
fn keys(record: &Attendance) -> Vec<(char, String)> {
    let identity = record.identity.as_ref().and_then(|identity| real(identity.id.as_deref()));
    let registration = record.registration_id.as_ref().map(|id| ('r', id.clone()));
    let email = normal(record.email_address.as_deref()).map(|email| ('e', email));
    registration.into_iter().chain(email).chain(identity.map(|id| ('i', id))).collect()
}

/// Nobody's identity is all zeros.
fn real(id: Option<&str>) -> Option<String> {
    id.map(str::trim).filter(|id| id.chars().any(|c| !matches!(c, '0' | '-'))).map(str::to_owned)
}

/// Elements with a key in common, directly or through others, are one group; it is called after its first element.
#[derive(Default)]
struct Groups {
    parents: Vec<usize>,
    first: BTreeMap<(char, String), usize>,
}

impl Groups {
    fn add(&mut self, keys: &[(char, String)]) {
        let index = self.parents.len();
        self.parents.push(index);
        for key in keys {
            let other = *self.first.entry(key.clone()).or_insert(index);
            let (a, b) = (self.of(index), self.of(other));
            self.parents[a.max(b)] = a.min(b);
        }
    }

    /// The first element of the group of `index`.
    fn of(&mut self, index: usize) -> usize {
        let mut root = index;
        while self.parents[root] != root {
            root = self.parents[root];
        }
        self.parents[index] = root;
        root
    }
}

/// One person's records as one.
pub(super) fn attendee(records: Vec<Seen>) -> Attendee {
    let mut person = Attendee {
        reports: records.iter().map(|(report, _)| report).collect::<BTreeSet<_>>().len(),
        ..Attendee::default()
    };
    let mut intervals = Vec::new();
    let mut unplaced = 0;
    for (_, record) in records {
        let spans = record.attendance_intervals.unwrap_or_default();
        if spans.iter().all(|span| span.join_date_time.micros().is_none()) {
            unplaced += seconds(record.total_attendance_in_seconds);
        }
        intervals.extend(spans);
        person.registrations.extend(record.registration_id);
        person.emails.extend(normal(record.email_address.as_deref()));
        person.email = person.email.or(record.email_address.map(|email| email.trim().to_owned()));
        let identity = record.identity.unwrap_or_default();
        person.identity = person.identity.or(real(identity.id.as_deref()));
        person.name = person.name.or(identity.display_name);
        if rank(record.role.as_deref()) > rank(person.role.as_deref()) {
            person.role = record.role;
        }
    }
    let attended = attended(&intervals);
    person.seconds = attended.seconds + unplaced;
    (person.first_joined_at, person.last_left_at) = (attended.first, attended.last);
    person
}

/// Somebody who presented in one report and attended in another presented.
fn rank(role: Option<&str>) -> u8 {
    match role {
        Some(role) if role.eq_ignore_ascii_case("organizer") => 5,
        Some(role) if role.eq_ignore_ascii_case("presenter") => 4,
        Some(role) if role.eq_ignore_ascii_case("attendee") => 3,
        Some(role) if role.eq_ignore_ascii_case("none") => 1,
        Some(_) => 2,
        None => 0,
    }
}

#[derive(Debug, Default, PartialEq)]
struct Attended {
    seconds: i64,
    first: Option<i64>,
    last: Option<i64>,
}

/// The time in the union of intervals. Where none overlap, the service's own figures are added up; else the ends are what
/// counts, in whole seconds.
fn attended(intervals: &[Interval]) -> Attended {
    let mut spans: Vec<(i64, i64, i64)> = intervals.iter().filter_map(span).collect();
    spans.sort_unstable();
    spans.dedup();
    let (Some(first), Some(last)) = (spans.first().map(|s| s.0), spans.iter().map(|s| s.1).max()) else {
        return Attended::default();
    };
    let overlap = spans.windows(2).any(|pair| pair[1].0 < pair[0].1);
    let seconds = if overlap {
        let (mut total, mut until) = (0, i64::MIN);
        for (join, leave, _) in spans {
            total += (leave - join.max(until)).max(0);
            until = until.max(leave);
        }
        total / SECOND
    } else {
        spans.iter().map(|(_, _, said)| said).sum()
    };
    Attended { seconds, first: Some(first), last: Some(last) }
}

/// Join, leave, and the length in seconds that was said. An interval without an end is as long as it says.
fn span(interval: &Interval) -> Option<(i64, i64, i64)> {
    let join = interval.join_date_time.micros()?;
    let said = interval.duration_in_seconds.map(|said| seconds(Some(said)));
    let leave = match (interval.leave_date_time.micros(), said) {
        (Some(leave), _) => leave.max(join),
        (None, said) => join.saturating_add(said.unwrap_or(0).saturating_mul(SECOND)),
    };
    Some((join, leave, said.unwrap_or((leave - join) / SECOND)))
}

/// Not less than nothing, nor more than a year.
fn seconds(said: Option<f64>) -> i64 {
    said.filter(|said| said.is_finite()).map_or(0, |said| said.clamp(0.0, 31_622_400.0) as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(minute: i64) -> String {
        let start: jiff::Timestamp = "2026-03-30T10:00:00Z".parse().unwrap();
        jiff::Timestamp::from_second(start.as_second() + minute * 60).unwrap().to_string()
    }

    /// A record with intervals in minutes after ten.
    fn record(registration: &str, email: &str, identity: &str, intervals: &[(i64, i64)]) -> Attendance {
        let spans: Vec<_> = intervals
            .iter()
            .map(|(join, leave)| {
                json!({ "joinDateTime": at(*join), "leaveDateTime": at(*leave), "durationInSeconds": (leave - join) * 60 })
            })
            .collect();
        let total: i64 = intervals.iter().map(|(join, leave)| (leave - join) * 60).sum();
        serde_json::from_value(json!({
            "emailAddress": email, "registrationId": registration, "totalAttendanceInSeconds": total, "role": "Attendee",
            "identity": { "id": identity, "displayName": "N" }, "attendanceIntervals": spans,
        }))
        .unwrap()
    }

    fn minutes(records: Vec<Seen>) -> Vec<(Option<String>, i64, usize)> {
        merge(records).iter().map(|a| (a.person(), a.seconds / 60, a.reports)).collect()
    }

    #[test]
    fn a_rejoin_in_a_second_report_adds_time() {
        let records = vec![
            (0, record("r1", "Lisa@x.example", "", &[(0, 20)])),
            (1, record("r1", "lisa@x.example ", "", &[(30, 40)])),
        ];
        assert_eq!(minutes(records), [(Some("lisa@x.example".into()), 30, 2)]);
    }

    #[test]
    fn time_that_two_reports_share_counts_once() {
        let records = vec![
            (0, record("r1", "", "", &[(0, 20), (25, 30)])),
            (1, record("r1", "", "", &[(10, 26)])),
            (1, record("r1", "", "", &[(10, 26)])),
        ];
        let merged = merge(records);
        assert_eq!((merged.len(), merged[0].seconds), (1, 30 * 60));
        assert_eq!(merged[0].first_joined_at, Some(1_774_864_800_000_000));
        assert_eq!(merged[0].last_left_at, Some(1_774_864_800_000_000 + 30 * 60 * SECOND));
        assert_eq!(merged[0].person().as_deref(), Some("registration:r1"));
    }

    #[test]
    fn touching_intervals_are_not_an_overlap() {
        assert_eq!(
            minutes(vec![(0, record("r", "", "", &[(0, 10), (10, 20)]))]),
            [(Some("registration:r".into()), 20, 1)]
        );
    }

    #[test]
    fn the_services_own_figures_where_nothing_overlaps() {
        // Facts §4.2: 415 s and 737 s, whose ends are a little further apart.
        let record: Attendance = serde_json::from_value(json!({
            "emailAddress": "lisa@contoso.com", "totalAttendanceInSeconds": 1152, "attendanceIntervals": [
                { "joinDateTime": "2026-03-30T10:01:52.2782182Z", "leaveDateTime": "2026-03-30T10:08:47.7218491Z", "durationInSeconds": 415 },
                { "joinDateTime": "2026-03-30T10:11:23.9834702Z", "leaveDateTime": "2026-03-30T10:23:40.9834702Z", "durationInSeconds": 737 } ]
        }))
        .unwrap();
        assert_eq!(merge(vec![(0, record)])[0].seconds, 1_152);
    }

    #[test]
    fn who_never_stayed_attended() {
        let merged = merge(vec![(0, record("", "a@x.example", "", &[(5, 5)]))]);
        assert_eq!((merged.len(), merged[0].seconds, merged[0].reports), (1, 0, 1));
    }

    #[test]
    fn who_is_who() {
        let records = vec![
            (0, record("r1", "old@x.example", "", &[(0, 1)])),
            (0, record("", "A@x.example", "i1", &[(0, 1)])),
            (1, record("r1", "", "", &[(2, 3)])),
            (1, record("", "", "i1", &[(2, 3)])),
            (1, record("", "", "i2", &[(2, 3)])),
            (1, record("", "", "00000000-0000-0000-0000-000000000000", &[(2, 3)])),
            (1, record("", "", "", &[(2, 3)])),
        ];
        assert_eq!(
            minutes(records),
            [
                (Some("old@x.example".into()), 2, 2),
                (Some("a@x.example".into()), 2, 2),
                (Some("identity:i2".into()), 1, 1),
                (None, 1, 1),
                (None, 1, 1),
            ]
        );
    }

    #[test]
    fn records_without_usable_intervals() {
        let of = |json| merge(vec![(0, serde_json::from_value(json).unwrap())]).remove(0);
        let bare = of(json!({ "emailAddress": "a@x", "totalAttendanceInSeconds": 90 }));
        assert_eq!((bare.seconds, bare.first_joined_at), (90, None));
        let open = of(
            json!({ "emailAddress": "a@x", "attendanceIntervals": [{ "joinDateTime": at(0), "durationInSeconds": 60 }] }),
        );
        assert_eq!((open.seconds, open.last_left_at), (60, Some(1_774_864_860_000_000)));
        let backwards = of(
            json!({ "emailAddress": "a@x", "attendanceIntervals": [{ "joinDateTime": at(9), "leaveDateTime": at(0) }] }),
        );
        assert_eq!(backwards.seconds, 0);
    }

    #[test]
    fn the_highest_role_counts() {
        let mut presenter = record("r", "", "", &[(0, 1)]);
        presenter.role = Some("Presenter".into());
        let merged = merge(vec![
            (0, record("r", "", "", &[(0, 1)])),
            (1, presenter),
            (2, record("r", "", "", &[(0, 1)])),
        ]);
        assert_eq!(merged[0].role.as_deref(), Some("Presenter"));
    }
}
