//! Teams webinars: what is stored of them, ready to be sent (facts §4).
//!
//! Everything is written as JSON when it is stored, so that a page is copied together and a list of thousands of
//! registrations costs no more per request than a short one.

pub(crate) mod answer;
mod generate;
pub(crate) mod route;
pub(crate) mod seed;
pub(crate) mod spec;
mod write;

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::chance::Chance;
use crate::error::Error;
use crate::switches::Switches;
use spec::{RegistrationSpec, ReportSpec, SessionSpec, WebinarSpec};

/// Webinars of the tenant, sessions of a webinar, reports of a session, and registrations or records of one.
const WEBINARS_MAX: usize = 10_000;
const SESSIONS_MAX: usize = 1_000;
const REPORTS_MAX: usize = 1_000;
const PEOPLE_MAX: usize = 200_000;

/// All webinars, in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Webinars {
    all: Vec<Webinar>,
    /// Positions by id, in lower case.
    by_id: HashMap<String, usize>,
}

#[derive(Debug)]
pub(crate) struct Webinar {
    pub(crate) id: String,
    spec: WebinarSpec,
    json: Vec<u8>,
    sessions: Vec<Session>,
    /// By a number that rises and is not used again: pages go on after it, whatever is removed meanwhile.
    registrations: BTreeMap<u64, Registration>,
    numbers: HashMap<String, u64>,
    last_number: u64,
}

#[derive(Debug)]
struct Session {
    id: String,
    spec: SessionSpec,
    /// As a list shows it, and as a read of its own does (facts §4.2).
    brief: Vec<u8>,
    full: Vec<u8>,
    reports: Vec<Report>,
}

#[derive(Debug)]
struct Registration {
    id: String,
    spec: RegistrationSpec,
    json: Vec<u8>,
}

#[derive(Debug)]
struct Report {
    id: String,
    /// Without its closing bracket, so that records can follow.
    json: Vec<u8>,
    records: Vec<Vec<u8>>,
}

fn unknown(what: &str, id: &str) -> Error {
    Error::Refused { status: 404, code: "itemNotFound".into(), message: format!("no {what} '{id}'") }
}

fn invalid(message: String) -> Error {
    Error::Refused { status: 400, code: "invalidRequest".into(), message }
}

fn given_or_new(id: Option<&String>, chance: &mut Chance) -> String {
    id.cloned().unwrap_or_else(|| chance.guid().to_string())
}

impl Webinars {
    pub(crate) fn find(&self, id: &str) -> Option<&Webinar> {
        self.by_id.get(&id.to_ascii_lowercase()).map(|at| &self.all[*at])
    }

    pub(crate) fn all(&self) -> &[Webinar] {
        &self.all
    }

    fn find_mut(&mut self, id: &str) -> Result<&mut Webinar, Error> {
        let at = self.by_id.get(&id.to_ascii_lowercase()).ok_or_else(|| unknown("webinar", id))?;
        Ok(&mut self.all[*at])
    }

    /// Stores a webinar and all that its description holds; returns its id, `{guid}@{tenant}`.
    fn add(
        &mut self,
        spec: &WebinarSpec,
        tenant: Uuid,
        rules: &Switches,
        chance: &mut Chance,
    ) -> Result<String, Error> {
        if self.all.len() >= WEBINARS_MAX {
            return Err(Error::TooMany { what: "webinars" });
        }
        let id = format!("{}@{tenant}", given_or_new(spec.id.as_ref(), chance));
        if self.by_id.contains_key(&id.to_ascii_lowercase()) {
            return Err(invalid(format!("there is a webinar '{id}' already")));
        }
        let mut webinar = Webinar {
            json: write::webinar(&id, spec, tenant),
            id: id.clone(),
            spec: spec.clone(),
            sessions: Vec::new(),
            registrations: BTreeMap::new(),
            numbers: HashMap::new(),
            last_number: 0,
        };
        for session in &spec.sessions {
            webinar.add_session(session, rules, chance)?;
        }
        for registration in &spec.registrations {
            webinar.register(registration, rules, chance)?;
        }
        self.by_id.insert(id.to_ascii_lowercase(), self.all.len());
        self.all.push(webinar);
        Ok(id)
    }

    /// Writes anew what the switches have a say in.
    pub(crate) fn rewrite(&mut self, rules: &Switches) {
        for webinar in &mut self.all {
            for session in &mut webinar.sessions {
                session.rewrite(rules);
            }
            for registration in webinar.registrations.values_mut() {
                registration.json = write::registration(&registration.id, &registration.spec, rules);
            }
        }
    }
}

impl Webinar {
    /// Whether a user organises this webinar, alone or with others.
    fn is_run_by(&self, oid: &str) -> bool {
        self.spec.organizer.eq_ignore_ascii_case(oid) || self.has_co_organizer(oid)
    }

    fn has_co_organizer(&self, oid: &str) -> bool {
        self.spec.co_organizers.iter().any(|other| other.eq_ignore_ascii_case(oid))
    }

    fn session(&self, id: &str) -> Option<&Session> {
        self.sessions.iter().find(|session| session.id.eq_ignore_ascii_case(id))
    }

    fn add_session(
        &mut self,
        spec: &SessionSpec,
        rules: &Switches,
        chance: &mut Chance,
    ) -> Result<String, Error> {
        if self.sessions.len() >= SESSIONS_MAX {
            return Err(Error::TooMany { what: "sessions" });
        }
        let id = given_or_new(spec.id.as_ref(), chance);
        let mut session = Session {
            id: id.clone(),
            spec: spec.clone(),
            brief: Vec::new(),
            full: Vec::new(),
            reports: Vec::new(),
        };
        session.rewrite(rules);
        for report in &spec.reports {
            session.add_report(report, chance)?;
        }
        self.sessions.push(session);
        Ok(id)
    }

    fn add_report(&mut self, session: &str, spec: &ReportSpec, chance: &mut Chance) -> Result<String, Error> {
        let found = self.sessions.iter_mut().find(|s| s.id.eq_ignore_ascii_case(session));
        found.ok_or_else(|| unknown("session", session))?.add_report(spec, chance)
    }

    fn registration(&self, id: &str) -> Option<&Registration> {
        self.registrations.get(self.numbers.get(&id.to_ascii_lowercase())?)
    }

    fn register(
        &mut self,
        spec: &RegistrationSpec,
        rules: &Switches,
        chance: &mut Chance,
    ) -> Result<String, Error> {
        if self.registrations.len() >= PEOPLE_MAX {
            return Err(Error::TooMany { what: "registrations" });
        }
        let id = given_or_new(spec.id.as_ref(), chance);
        if self.numbers.contains_key(&id.to_ascii_lowercase()) {
            return Err(invalid(format!("there is a registration '{id}' already")));
        }
        self.last_number += 1;
        let json = write::registration(&id, spec, rules);
        self.numbers.insert(id.to_ascii_lowercase(), self.last_number);
        self.registrations
            .insert(self.last_number, Registration { id: id.clone(), spec: spec.clone(), json });
        Ok(id)
    }

    /// Replaces the given properties of a registration.
    fn edit_registration(
        &mut self,
        id: &str,
        changes: &Map<String, Value>,
        rules: &Switches,
    ) -> Result<(), Error> {
        let number = self.numbers.get(&id.to_ascii_lowercase());
        let registration = number.and_then(|number| self.registrations.get_mut(number));
        let registration = registration.ok_or_else(|| unknown("registration", id))?;
        let mut all = serde_json::json!(registration.spec);
        if let Some(all) = all.as_object_mut() {
            all.extend(changes.clone());
        }
        registration.spec = serde_json::from_value(all).map_err(|error| invalid(error.to_string()))?;
        registration.json = write::registration(&registration.id, &registration.spec, rules);
        Ok(())
    }

    fn remove_registration(&mut self, id: &str) -> Result<(), Error> {
        let number = self.numbers.remove(&id.to_ascii_lowercase());
        let number = number.ok_or_else(|| unknown("registration", id))?;
        self.registrations.remove(&number);
        Ok(())
    }
}

impl Session {
    /// An event has run once it has a report, or says so itself (facts §4.5 \[O\]).
    fn has_run(&self) -> bool {
        self.spec.has_run || !self.reports.is_empty()
    }

    fn rewrite(&mut self, rules: &Switches) {
        self.brief = write::session(&self.id, &self.spec, rules, false);
        self.full = write::session(&self.id, &self.spec, rules, true);
    }

    fn add_report(&mut self, spec: &ReportSpec, chance: &mut Chance) -> Result<String, Error> {
        if self.reports.len() >= REPORTS_MAX {
            return Err(Error::TooMany { what: "reports" });
        }
        if spec.records.len() > PEOPLE_MAX {
            return Err(Error::TooMany { what: "attendance records" });
        }
        let id = given_or_new(spec.id.as_ref(), chance);
        let record = |record| write::record(record, chance).map_err(invalid);
        let records = spec.records.iter().map(record).collect::<Result<Vec<_>, _>>()?;
        self.reports.push(Report { json: write::report(&id, spec), id: id.clone(), records });
        Ok(id)
    }
}
