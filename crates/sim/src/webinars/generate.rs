//! People by the thousand, the same for the same seed.

use super::Webinar;
use super::spec::{IntervalSpec, RecordSpec, RegistrationSpec, ReportSpec};
use crate::chance::Chance;
use crate::clock;

const FIRST: [&str; 8] = ["Emilee", "Lisa", "Diane", "Omar", "Jürgen", "Zoë", "Mei", "Łukasz"];
const LAST: [&str; 8] = ["Pham", "O'Brien", "Taylor", "Ng", "Müller", "Ibáñez", "Okafor", "Sato"];

/// Monday, 30 March 2026, 10:00 UTC, when generated attendance begins.
const MEETING_MS: i64 = 1_774_864_800_000;

/// The registration with this number.
pub(super) fn registration(number: u64, chance: &mut Chance) -> RegistrationSpec {
    let pick = |names: &[&str; 8], by: u64| names[(by % 8) as usize].to_owned();
    let registered_ms = MEETING_MS - 86_400_000 * 20 + i64::try_from(number).unwrap_or(0) * 1_000;
    RegistrationSpec {
        id: Some(chance.guid().to_string()),
        first_name: pick(&FIRST, number),
        last_name: pick(&LAST, number / 8),
        email: format!("person{number}@fabrikam.example"),
        registration_date_time: clock::iso_utc(registered_ms),
        ..RegistrationSpec::default()
    }
}

/// A report in which the first `count` registered people were there once or twice; each twentieth without an e-mail,
/// as anonymous people are (facts §4.5 \[O\]).
pub(super) fn report(webinar: &Webinar, count: usize, chance: &mut Chance) -> ReportSpec {
    let people = webinar.registrations.values().take(count).enumerate();
    let id = chance.guid().to_string();
    let records = people.map(|(number, registration)| {
        let stays: u64 = if number % 3 == 0 { 2 } else { 1 };
        let intervals = (0..stays).map(|stay| {
            let join_s = stay * 1_800 + chance.below(600);
            let leave_s = join_s + 60 + chance.below(1_100);
            IntervalSpec {
                join_date_time: seven_digits(join_s, chance.below(10_000_000)),
                leave_date_time: seven_digits(leave_s, 9_999_999),
                duration_in_seconds: None,
            }
        });
        let attendance_intervals = intervals.collect();
        let email = if number % 20 == 19 { "" } else { registration.spec.email.as_str() };
        RecordSpec {
            id: Some(chance.guid().to_string()),
            email_address: Some(email.to_owned()),
            registration_id: Some(registration.id.clone()),
            attendance_intervals,
            ..RecordSpec::default()
        }
    });
    ReportSpec { id: Some(id), records: records.collect(), ..ReportSpec::default() }
}

/// `2026-03-30T10:01:52.2782182Z` (facts §4.2).
fn seven_digits(second: u64, fraction: u64) -> String {
    let ms = MEETING_MS + i64::try_from(second).unwrap_or(0) * 1_000;
    format!("{}.{fraction:07}Z", clock::iso_without_zone(ms))
}
