//! Who registered and who attended, as one list of people: the registrations of a webinar joined with the attendance of one
//! of its sessions. Pure.
//!
//! An attendance record belongs to the registration it names; where it names none that is known, to the registrations of its
//! e-mail address (facts §4.5: the address may be another one than at registration). Registrations of one address are one
//! person, and so is whoever ends up under the same key.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use super::{
    attendance::{Seen, attendee, normal, people},
    types::Registration,
};

/// A person of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Participant {
    /// The e-mail address, trimmed and in lower case, else `registration:` or `identity:` and an id; `None` where the service
    /// tells nothing of the sort.
    pub(super) person: Option<String>,
    pub(super) email: Option<String>,
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    pub(super) name: Option<String>,
    /// Has a registration that was neither cancelled nor rejected.
    pub(super) registered: bool,
    pub(super) registration_status: Option<String>,
    /// Microseconds since 1970.
    pub(super) registered_at: Option<i64>,
    /// Stands in a report, for however short a time.
    pub(super) attended: bool,
    pub(super) seconds: i64,
    pub(super) first_joined_at: Option<i64>,
    pub(super) last_left_at: Option<i64>,
    pub(super) role: Option<String>,
    pub(super) registration_id: Option<String>,
    pub(super) user_id: Option<String>,
}

/// What is known of one person.
#[derive(Default)]
struct Known {
    registrations: Vec<Registration>,
    seen: Vec<Seen>,
}

/// The participants, by person; those without a key come last.
pub(super) fn join(registrations: Vec<Registration>, records: Vec<Seen>) -> Vec<Participant> {
    let mut registered = Registered::of(registrations);
    let mut others = Vec::new();
    for seen in people(records) {
        match registered.place(&seen) {
            Some(place) => registered.people[place].seen.extend(seen),
            None => others.push(Known { seen, ..Known::default() }),
        }
    }
    let mut keyed: BTreeMap<String, Known> = BTreeMap::new();
    let mut unkeyed = Vec::new();
    for known in registered.people.into_iter().chain(others) {
        match known.person() {
            Some(person) => keyed.entry(person).or_default().absorb(known),
            None => unkeyed.push(known),
        }
    }
    let keyed = keyed.into_iter().map(|(person, known)| known.participant(Some(person)));
    keyed.chain(unkeyed.into_iter().map(|known| known.participant(None))).collect()
}

/// The registrations by person, and where to find them.
#[derive(Default)]
struct Registered {
    people: Vec<Known>,
    by_id: HashMap<String, usize>,
    by_email: HashMap<String, usize>,
}

impl Registered {
    fn of(registrations: Vec<Registration>) -> Self {
        let mut all = Self::default();
        for registration in registrations {
            let next = all.people.len();
            let place = match normal(registration.email.as_deref()) {
                Some(email) => *all.by_email.entry(email).or_insert(next),
                None => next,
            };
            if place == next {
                all.people.push(Known::default());
            }
            all.by_id.insert(registration.id.0.clone(), place);
            all.people[place].registrations.push(registration);
        }
        all
    }

    /// By registration first, for an e-mail address may differ between the two.
    fn place(&self, seen: &[Seen]) -> Option<usize> {
        let id = |(_, record): &Seen| self.by_id.get(record.registration_id.as_ref()?).copied();
        let email =
            |(_, record): &Seen| self.by_email.get(&normal(record.email_address.as_deref())?).copied();
        seen.iter().find_map(id).or_else(|| seen.iter().find_map(email))
    }
}

impl Known {
    fn absorb(&mut self, other: Self) {
        self.registrations.extend(other.registrations);
        self.seen.extend(other.seen);
    }

    fn person(&self) -> Option<String> {
        let registered = self.registrations.iter().find_map(|r| normal(r.email.as_deref()));
        let seen =
            || self.seen.iter().filter_map(|(_, record)| normal(record.email_address.as_deref())).min();
        let registration = || self.registrations.iter().map(|r| format!("registration:{}", r.id.0)).min();
        registered.or_else(seen).or_else(registration).or_else(|| attendee(self.seen.clone()).person())
    }

    fn participant(self, person: Option<String>) -> Participant {
        let attended = !self.seen.is_empty();
        let attendee = attendee(self.seen);
        // A live registration before a cancelled one, then the latest.
        let best = self.registrations.into_iter().min_by_key(|registration| {
            let at = registration.registration_date_time.micros();
            (standing(registration.status.as_deref()), Reverse(at), registration.id.clone())
        });
        let registered = best.as_ref().is_some_and(|best| standing(best.status.as_deref()) < GONE);
        let registration = best.unwrap_or_default();
        let (first, last) = (registration.first_name, registration.last_name);
        let names: Vec<&str> = [&first, &last].into_iter().flatten().map(|name| name.trim()).collect();
        let name = Some(names.join(" ")).filter(|name| !name.is_empty()).or(attendee.name);
        let id = Some(registration.id.0).filter(|id| !id.is_empty());
        Participant {
            person,
            email: registration.email.map(|email| email.trim().to_owned()).or(attendee.email),
            first_name: first,
            last_name: last,
            name,
            registered,
            registration_status: registration.status,
            registered_at: registration.registration_date_time.micros(),
            attended,
            seconds: attendee.seconds,
            first_joined_at: attendee.first_joined_at,
            last_left_at: attendee.last_left_at,
            role: attendee.role,
            registration_id: id.or_else(|| attendee.registrations.first().cloned()),
            user_id: registration.user_id,
        }
    }
}

/// Registrations that are no more.
const GONE: u8 = 3;

fn standing(status: Option<&str>) -> u8 {
    match status.map(str::to_ascii_lowercase).as_deref() {
        Some("registered") => 0,
        Some("waitlisted" | "pendingapproval") => 1,
        Some("canceled" | "cancelled" | "rejectedbyorganizer") => GONE,
        Some(_) | None => 2,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn registrations(all: &[Json]) -> Vec<Registration> {
        all.iter().map(|json| serde_json::from_value(json.clone()).unwrap()).collect()
    }

    fn seen(all: &[Json]) -> Vec<Seen> {
        all.iter().enumerate().map(|(i, json)| (i, serde_json::from_value(json.clone()).unwrap())).collect()
    }

    fn summary(of: &[Participant]) -> Vec<(&str, bool, bool, i64)> {
        let person = |p: &'_ Participant| (p.registered, p.attended, p.seconds);
        of.iter()
            .map(|p| {
                let (registered, attended, seconds) = person(p);
                (p.person.as_deref().unwrap_or("-"), registered, attended, seconds)
            })
            .collect()
    }

    #[test]
    fn registered_attended_both_and_neither_known() {
        let joined = join(
            registrations(&[
                json!({ "id": "r1", "email": " Ann@X.example", "firstName": "Ann", "lastName": "Lee", "status": "registered",
                        "registrationDateTime": "2026-03-07T22:04:17Z", "userId": "u1" }),
                json!({ "id": "r2", "email": "ben@x.example", "status": "registered" }),
                json!({ "id": "r3", "email": "", "status": "registered" }),
            ]),
            seen(&[
                json!({ "emailAddress": "ann@x.example", "totalAttendanceInSeconds": 60, "role": "Attendee" }),
                json!({ "emailAddress": "guest@y.example", "totalAttendanceInSeconds": 0, "identity": { "displayName": "Guest" } }),
                json!({ "emailAddress": "", "totalAttendanceInSeconds": 5, "identity": { "id": "i9" } }),
                json!({ "totalAttendanceInSeconds": 7 }),
            ]),
        );
        assert_eq!(
            summary(&joined),
            [
                ("ann@x.example", true, true, 60),
                ("ben@x.example", true, false, 0),
                ("guest@y.example", false, true, 0),
                ("identity:i9", false, true, 5),
                ("registration:r3", true, false, 0),
                ("-", false, true, 7),
            ]
        );
        let ann = &joined[0];
        assert_eq!((ann.email.as_deref(), ann.name.as_deref()), (Some("Ann@X.example"), Some("Ann Lee")));
        assert_eq!((ann.registration_id.as_deref(), ann.user_id.as_deref()), (Some("r1"), Some("u1")));
        assert_eq!(joined[2].name.as_deref(), Some("Guest"));
    }

    #[test]
    fn the_registration_that_is_named_comes_before_the_address() {
        let joined = join(
            registrations(&[
                json!({ "id": "r1", "email": "ann@x.example", "status": "registered" }),
                json!({ "id": "r2", "email": "home@y.example", "status": "registered" }),
            ]),
            seen(&[
                json!({ "registrationId": "r1", "emailAddress": "home@y.example", "totalAttendanceInSeconds": 9 }),
            ]),
        );
        assert_eq!(summary(&joined), [("ann@x.example", true, true, 9), ("home@y.example", true, false, 0)]);
    }

    #[test]
    fn a_registration_nobody_knows_falls_back_to_the_address() {
        let joined = join(
            registrations(&[json!({ "id": "r1", "email": "ann@x.example", "status": "registered" })]),
            seen(&[
                json!({ "registrationId": "gone", "emailAddress": "ANN@x.example", "totalAttendanceInSeconds": 9 }),
            ]),
        );
        assert_eq!(summary(&joined), [("ann@x.example", true, true, 9)]);
    }

    #[test]
    fn two_registrations_of_one_address_are_one_person() {
        let cancelled = json!({ "id": "r9", "email": "Ann@x.example", "status": "canceled", "registrationDateTime": "2026-03-09T00:00:00Z" });
        let live = json!({ "id": "r1", "email": "ann@x.example", "status": "registered", "registrationDateTime": "2026-03-07T00:00:00Z" });
        for order in [[cancelled.clone(), live.clone()], [live, cancelled.clone()]] {
            let joined = join(
                registrations(&order),
                seen(&[json!({ "registrationId": "r9", "totalAttendanceInSeconds": 3 })]),
            );
            assert_eq!(summary(&joined), [("ann@x.example", true, true, 3)]);
            assert_eq!(joined[0].registration_id.as_deref(), Some("r1"));
            assert_eq!(joined[0].registration_status.as_deref(), Some("registered"));
        }
        let only = join(registrations(&[cancelled]), Vec::new());
        assert_eq!(summary(&only), [("ann@x.example", false, false, 0)]);
    }

    #[test]
    fn one_key_is_one_person_and_time_is_united() {
        let span = |from: &str, to: &str| json!([{ "joinDateTime": from, "leaveDateTime": to }]);
        let joined = join(
            registrations(&[
                json!({ "id": "r1", "email": "ann@x.example", "status": "registered" }),
                json!({ "id": "r2", "status": "registered" }),
            ]),
            seen(&[
                json!({ "registrationId": "r1", "attendanceIntervals": span("2026-03-30T10:00:00Z", "2026-03-30T10:10:00Z") }),
                // Its registration has no address, its own is Ann's.
                json!({ "registrationId": "r2", "emailAddress": "ann@x.example",
                        "attendanceIntervals": span("2026-03-30T10:05:00Z", "2026-03-30T10:20:00Z") }),
            ]),
        );
        assert_eq!(summary(&joined), [("ann@x.example", true, true, 1_200)]);
    }
}
