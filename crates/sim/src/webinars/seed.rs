//! Webinars as tests, demos and the control API make and change them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::spec::{EventStatus, RegistrationSpec, ReportSpec, SessionSpec, WebinarSpec};
use super::{generate, write};
use crate::chance::Chance;
use crate::control::{Problem, body};
use crate::error::Error;
use crate::state::State;
use crate::world::World;

/// People that one call generates.
const GENERATED_MAX: u64 = 100_000;

/// A webinar as the control API reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebinarSummary {
    /// `{guid}@{tenant}`.
    pub id: String,
    /// Title.
    pub display_name: String,
    /// Object id of the organizer.
    pub organizer: String,
    /// Where it stands.
    pub status: EventStatus,
    /// Ids of its sessions.
    pub sessions: Vec<String>,
    /// Number of registrations.
    pub registrations: usize,
}

impl World {
    /// Creates a webinar with everything in it and returns its id.
    ///
    /// # Errors
    /// When an id is taken, an interval cannot be read, or there are too many webinars. Nothing is stored then.
    pub fn add_webinar(&self, spec: &WebinarSpec) -> Result<String, Error> {
        let mut state = self.lock();
        let State { webinars, tenant_id, rules, chance, .. } = &mut *state;
        webinars.add(spec, *tenant_id, rules, chance)
    }

    /// All webinars.
    pub fn webinars(&self) -> Vec<WebinarSummary> {
        let state = self.lock();
        let summary = |webinar: &super::Webinar| WebinarSummary {
            id: webinar.id.clone(),
            display_name: webinar.spec.display_name.clone(),
            organizer: webinar.spec.organizer.clone(),
            status: webinar.spec.status,
            sessions: webinar.sessions.iter().map(|session| session.id.clone()).collect(),
            registrations: webinar.registrations.len(),
        };
        state.webinars.all().iter().map(summary).collect()
    }

    /// Publishes, takes back or cancels a webinar.
    ///
    /// # Errors
    /// When there is no such webinar.
    pub fn set_webinar_status(&self, webinar: &str, status: EventStatus) -> Result<(), Error> {
        let mut state = self.lock();
        let tenant = state.tenant_id;
        let webinar = state.webinars.find_mut(webinar)?;
        webinar.spec.status = status;
        webinar.json = write::webinar(&webinar.id, &webinar.spec, tenant);
        Ok(())
    }

    /// Adds a session to a webinar and returns its id.
    ///
    /// # Errors
    /// When the webinar is unknown, an interval cannot be read, or there are too many sessions.
    pub fn add_session(&self, webinar: &str, spec: &SessionSpec) -> Result<String, Error> {
        let mut state = self.lock();
        let State { webinars, rules, chance, .. } = &mut *state;
        webinars.find_mut(webinar)?.add_session(spec, rules, chance)
    }

    /// Registers people for a webinar and returns their registrations' ids.
    ///
    /// # Errors
    /// When the webinar is unknown, an id is taken, or there are too many. Those before it are stored.
    pub fn add_registrations(&self, webinar: &str, all: &[RegistrationSpec]) -> Result<Vec<String>, Error> {
        let mut state = self.lock();
        let State { webinars, rules, chance, .. } = &mut *state;
        let webinar = webinars.find_mut(webinar)?;
        all.iter().map(|spec| webinar.register(spec, rules, chance)).collect()
    }

    /// Registers `count` made-up people, the same ones for the same seed. E-mails go on with the number of
    /// registrations there were, so that another call with another seed adds others.
    ///
    /// # Errors
    /// When the webinar is unknown or there are too many.
    pub fn generate_registrations(&self, webinar: &str, count: u64, seed: u64) -> Result<(), Error> {
        let mut state = self.lock();
        let State { webinars, rules, .. } = &mut *state;
        let webinar = webinars.find_mut(webinar)?;
        if count > GENERATED_MAX {
            return Err(Error::TooMany { what: "registrations" });
        }
        let mut chance = Chance::new(seed);
        let first = webinar.last_number + 1;
        for number in first..first + count {
            let spec = generate::registration(number, &mut chance);
            webinar.register(&spec, rules, &mut chance)?;
        }
        Ok(())
    }

    /// Replaces the given properties of a registration.
    ///
    /// # Errors
    /// When webinar or registration is unknown, or a property is.
    pub fn edit_registration(
        &self,
        webinar: &str,
        id: &str,
        changes: &Map<String, Value>,
    ) -> Result<(), Error> {
        let mut state = self.lock();
        let State { webinars, rules, .. } = &mut *state;
        webinars.find_mut(webinar)?.edit_registration(id, changes, rules)
    }

    /// Removes a registration.
    ///
    /// # Errors
    /// When webinar or registration is unknown.
    pub fn remove_registration(&self, webinar: &str, id: &str) -> Result<(), Error> {
        self.lock().webinars.find_mut(webinar)?.remove_registration(id)
    }

    /// Adds an attendance report to a session, as the newest, and returns its id.
    ///
    /// # Errors
    /// When webinar or session is unknown, or an interval cannot be read.
    pub fn add_report(&self, webinar: &str, session: &str, spec: &ReportSpec) -> Result<String, Error> {
        let mut state = self.lock();
        let State { webinars, chance, .. } = &mut *state;
        webinars.find_mut(webinar)?.add_report(session, spec, chance)
    }

    /// Adds a report of the first `count` registered people, the same one for the same seed.
    ///
    /// # Errors
    /// When webinar or session is unknown.
    pub fn generate_report(
        &self,
        webinar: &str,
        session: &str,
        count: usize,
        seed: u64,
    ) -> Result<String, Error> {
        let mut chance = Chance::new(seed);
        let mut state = self.lock();
        let webinar = state.webinars.find_mut(webinar)?;
        let spec = generate::report(webinar, count, &mut chance);
        webinar.add_report(session, &spec, &mut chance)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Action {
    webinar: String,
    #[serde(default)]
    session: Option<Value>,
    #[serde(default)]
    status: EventStatus,
    #[serde(default)]
    registrations: Vec<RegistrationSpec>,
    #[serde(default)]
    report: ReportSpec,
    #[serde(default)]
    id: String,
    #[serde(default)]
    changes: Map<String, Value>,
    #[serde(default)]
    count: u64,
    #[serde(default)]
    seed: u64,
}

/// What is posted below `/_sim/webinars`.
pub(crate) fn control(world: &World, action: &str, bytes: &[u8]) -> Result<Value, Problem> {
    if action == "webinars" {
        return Ok(json!({ "id": world.add_webinar(&body::<WebinarSpec>(bytes)?)? }));
    }
    let given: Action = body(bytes)?;
    let webinar = given.webinar.as_str();
    let session = given.session.as_ref();
    let session_id = session.and_then(Value::as_str).unwrap_or("");
    Ok(match action {
        "webinars/status" => world.set_webinar_status(webinar, given.status).map(|()| json!({}))?,
        "webinars/sessions" => {
            let spec = serde_json::from_value(session.cloned().unwrap_or_else(|| json!({})))
                .map_err(|error| Problem::Body(error.to_string()))?;
            json!({ "id": world.add_session(webinar, &spec)? })
        }
        "webinars/registrations" => {
            json!({ "ids": world.add_registrations(webinar, &given.registrations)? })
        }
        "webinars/registrations/generate" => {
            world.generate_registrations(webinar, given.count, given.seed).map(|()| json!({}))?
        }
        "webinars/registrations/edit" => {
            world.edit_registration(webinar, &given.id, &given.changes).map(|()| json!({}))?
        }
        "webinars/registrations/remove" => {
            world.remove_registration(webinar, &given.id).map(|()| json!({}))?
        }
        "webinars/reports" => json!({ "id": world.add_report(webinar, session_id, &given.report)? }),
        "webinars/reports/generate" => {
            let count = usize::try_from(given.count).unwrap_or(usize::MAX);
            json!({ "id": world.generate_report(webinar, session_id, count, given.seed)? })
        }
        _ => return Err(Problem::Unknown),
    })
}
