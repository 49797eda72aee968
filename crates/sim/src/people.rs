//! The tenant's users, and what its administrator allowed applications to do for them (facts §4.1, §5.4).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;
use crate::state::State;
use crate::world::World;

/// Delegated scopes the tenant knows, and whether only an administrator can consent to them: facts §4.1 \[M\] for
/// virtual events, §2.2 \[S\] for sites.
const SCOPES: [(&str, bool); 7] = [
    ("VirtualEvent.Read", true),
    ("VirtualEvent.ReadWrite", true),
    ("OnlineMeetingArtifact.Read.All", false),
    ("Sites.Read.All", true),
    ("Sites.ReadWrite.All", true),
    ("Sites.Manage.All", true),
    ("User.Read", false),
];

/// Users a tenant can have here.
const USERS_MAX: usize = 100_000;

/// A user to know, as `POST /_sim/users` takes it. One with the same `oid` is replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct UserSpec {
    /// Object id, a guid.
    pub oid: String,
    /// Name to sign in with.
    pub upn: String,
    /// Name to show.
    pub display_name: String,
    /// Whether the user may organise webinars (facts §4.6).
    pub licence: bool,
    /// The claims that on-behalf-of requests for this user are refused with, `interaction_required` (facts §5.4).
    pub mfa_required: Option<Value>,
    /// The user has not enrolled for that yet: `AADSTS50079` in place of `AADSTS50076`.
    pub mfa_enrolment: bool,
}

impl Default for UserSpec {
    fn default() -> Self {
        Self {
            oid: String::new(),
            upn: String::new(),
            display_name: String::new(),
            licence: true,
            mfa_required: None,
            mfa_enrolment: false,
        }
    }
}

/// What an administrator, or a user, grants an application; `POST /_sim/consent` takes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct ConsentSpec {
    /// The application; the first one when absent.
    pub client_id: Option<String>,
    /// Delegated scopes.
    pub scopes: Vec<String>,
    /// The user who consents, by `oid`. Absent: the administrator does, for everyone.
    pub user: Option<String>,
    /// Application roles, such as `VirtualEvent.Read.All`.
    pub roles: Vec<String>,
    /// Users the application access policy names: without one an application sees nothing of an organizer's webinars
    /// (facts §4.1 \[D\]).
    pub organizers: Vec<String>,
    /// Take all of this back.
    pub revoke: bool,
}

/// Users, consents, policies and challenges. Ids are in lower case.
#[derive(Debug, Default)]
pub(crate) struct People {
    users: BTreeMap<String, UserSpec>,
    /// Application, user (all when absent), scope.
    consents: BTreeSet<(String, Option<String>, String)>,
    /// Application and organizer.
    policies: BTreeSet<(String, String)>,
    /// Users whose tokens are refused until further notice, with the claims asked for (facts §5.6).
    challenged: BTreeMap<String, String>,
}

impl People {
    pub(crate) fn user(&self, oid: &str) -> Option<&UserSpec> {
        self.users.get(&oid.to_ascii_lowercase())
    }

    pub(crate) fn challenge(&self, oid: &str) -> Option<&str> {
        self.challenged.get(&oid.to_ascii_lowercase()).map(String::as_str)
    }

    /// The scopes an application may use for a user.
    pub(crate) fn consented(&self, client_id: &str, oid: &str) -> BTreeSet<&str> {
        let (client_id, oid) = (client_id.to_ascii_lowercase(), oid.to_ascii_lowercase());
        let for_user = |user: &Option<String>| user.as_ref().is_none_or(|user| *user == oid);
        let consents = self.consents.iter().filter(|(app, user, _)| *app == client_id && for_user(user));
        consents.map(|(_, _, scope)| scope.as_str()).collect()
    }

    /// Whether the application access policy of this organizer names the application.
    pub(crate) fn policy_names(&self, client_id: &str, organizer: &str) -> bool {
        self.policies.contains(&(client_id.to_ascii_lowercase(), organizer.to_ascii_lowercase()))
    }
}

/// The known spelling of a delegated scope.
pub(crate) fn known_scope(name: &str) -> Option<&'static str> {
    SCOPES.iter().map(|(known, _)| *known).find(|known| known.eq_ignore_ascii_case(name))
}

fn refused(status: u16, code: &str, message: String) -> Error {
    Error::Refused { status, code: code.into(), message }
}

/// The known spelling of a scope that this consent can be about.
fn scope_to_consent(name: &str, by_user: bool) -> Result<&'static str, Error> {
    let known = SCOPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    match known {
        None => Err(refused(400, "invalidRequest", format!("there is no delegated scope '{name}'"))),
        Some((scope, true)) if by_user => {
            Err(refused(403, "accessDenied", format!("'{scope}' needs the consent of an administrator")))
        }
        Some((scope, _)) => Ok(scope),
    }
}

impl State {
    fn consent(&mut self, spec: &ConsentSpec) -> Result<(), Error> {
        let client_id = spec.client_id.clone().or_else(|| self.apps.first().map(|app| app.client_id.clone()));
        let client_id = client_id.unwrap_or_default();
        let app = self.apps.iter_mut().find(|app| app.client_id.eq_ignore_ascii_case(&client_id));
        let app = app.ok_or_else(|| refused(404, "itemNotFound", format!("no application '{client_id}'")))?;
        let user = spec.user.as_ref().map(|oid| oid.to_ascii_lowercase());
        let scopes = spec.scopes.iter().map(|name| scope_to_consent(name, user.is_some() && !spec.revoke));
        let scopes = scopes.collect::<Result<Vec<_>, _>>()?;
        let client_id = client_id.to_ascii_lowercase();
        let consents = scopes.into_iter().map(|scope| (client_id.clone(), user.clone(), scope.to_owned()));
        let policies =
            spec.organizers.iter().map(|organizer| (client_id.clone(), organizer.to_ascii_lowercase()));
        app.roles.retain(|role| !spec.roles.contains(role));
        if spec.revoke {
            for consent in consents {
                self.people.consents.remove(&consent);
            }
            for policy in policies {
                self.people.policies.remove(&policy);
            }
        } else {
            app.roles.extend_from_slice(&spec.roles);
            self.people.consents.extend(consents);
            self.people.policies.extend(policies);
        }
        Ok(())
    }
}

impl World {
    /// Makes a user known to the tenant, or replaces the one with the same `oid`.
    ///
    /// # Errors
    /// When the `oid` is no guid or there are too many users.
    pub fn add_user(&self, user: &UserSpec) -> Result<(), Error> {
        if user.oid.parse::<uuid::Uuid>().is_err() {
            return Err(refused(400, "invalidRequest", format!("the oid '{}' is no guid", user.oid)));
        }
        let users = &mut self.lock().people.users;
        if users.len() >= USERS_MAX {
            return Err(Error::TooMany { what: "users" });
        }
        users.insert(user.oid.to_ascii_lowercase(), user.clone());
        Ok(())
    }

    /// The users of the tenant.
    pub fn users(&self) -> Vec<UserSpec> {
        self.lock().people.users.values().cloned().collect()
    }

    /// Grants an application scopes, roles and policies, or takes them back. Tokens in force keep what they carry;
    /// roles and policies are looked at with every call.
    ///
    /// # Errors
    /// When the application or a scope is unknown, or a user consents to what only an administrator can.
    pub fn consent(&self, spec: &ConsentSpec) -> Result<(), Error> {
        self.lock().consent(spec)
    }

    /// From now on refuses every delegated token of a user with 401 and these claims (facts §5.6); `None` ends that.
    pub fn challenge_user(&self, oid: &str, claims: Option<&Value>) {
        let challenged = &mut self.lock().people.challenged;
        match claims {
            Some(claims) => challenged.insert(oid.to_ascii_lowercase(), claims.to_string()),
            None => challenged.remove(&oid.to_ascii_lowercase()),
        };
    }
}
