//! Tokens of users for the application under test: what a sign-in would have given its caller (facts §5.7).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::signing::MintKey;
use crate::state::State;
use crate::world::World;

/// A user token to make, right or wrong in any part; `POST /_sim/tokens/mint` takes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct MintSpec {
    /// Object id of the user. An unknown one is minted all the same.
    pub oid: String,
    /// Tenant; this one when absent.
    pub tid: Option<String>,
    /// Audience; `api://{client id}` of the first application when absent.
    pub aud: Option<String>,
    /// Scopes of the audience, `access_as_user` when absent.
    pub scp: Option<String>,
    /// Application roles. Given, the token is app-only: no `scp`, `idtyp` is `app`.
    pub roles: Option<Vec<String>>,
    /// End of life in the caller's seconds since 1970; an hour from now when absent.
    pub exp: Option<i64>,
    /// Begin of life in the caller's seconds since 1970; now when absent.
    pub nbf: Option<i64>,
    /// Issuer; `{this server}/{tid}/v2.0` when absent.
    pub issuer: Option<String>,
    /// Which key signs.
    pub key: MintKey,
    /// Claims to add or replace.
    pub claims: Map<String, Value>,
}

impl State {
    pub(crate) fn mint(&mut self, spec: &MintSpec, base: &str) -> Result<String, Error> {
        let now_s = self.clock.caller_now_s();
        let tid = spec.tid.clone().unwrap_or_else(|| self.tenant_id.to_string());
        let first = self.apps.first().map_or("", |app| app.client_id.as_str());
        let user = self.people.user(&spec.oid);
        let mut claims = json!({
            "aud": spec.aud.clone().unwrap_or_else(|| format!("api://{first}")),
            "iss": spec.issuer.clone().unwrap_or_else(|| format!("{base}/{tid}/v2.0")),
            "iat": now_s,
            "nbf": spec.nbf.unwrap_or(now_s),
            "exp": spec.exp.unwrap_or(now_s + 3_600),
            "oid": spec.oid,
            "sub": spec.oid,
            "tid": tid,
            "ver": "2.0",
            "name": user.map_or("", |user| user.display_name.as_str()),
            "preferred_username": user.map_or("", |user| user.upn.as_str()),
        });
        match &spec.roles {
            Some(roles) => {
                claims["roles"] = json!(roles);
                claims["idtyp"] = "app".into();
            }
            None => claims["scp"] = spec.scp.as_deref().unwrap_or("access_as_user").into(),
        }
        claims["uti"] = self.chance.opaque(22).into();
        if let Some(all) = claims.as_object_mut() {
            all.extend(spec.claims.clone());
        }
        self.keys.sign(spec.key, &claims)
    }
}

impl World {
    /// Makes a token of a user for an application of the tenant, signed with the published keys unless `key` says
    /// otherwise. For tests only: the simulator has no page to sign in at.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn mint_user_token(&self, spec: &MintSpec) -> Result<String, Error> {
        let base = self.base();
        self.lock().mint(spec, &base)
    }

    /// Publishes a second key and signs with it from now on; the key before it stays published, older ones go.
    /// Returns the new key's name (`kid`).
    ///
    /// # Errors
    /// When no key can be made.
    pub fn roll_signing_key(&self) -> Result<String, Error> {
        self.lock().keys.roll_over()
    }
}
