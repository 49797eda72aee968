//! What a token says of its user, and whether that is for us. Pure: the time comes in.

use jiff::Timestamp;
use serde::Deserialize;
use syncline_core::project::Users as Options;

/// Longest id of a user or tenant.
const ID_CHARS_MAX: usize = 128;

/// What is read of a token, once its signature is known to be good.
#[derive(Deserialize)]
pub(super) struct Claims {
    iss: Option<String>,
    aud: Option<Audience>,
    exp: Option<f64>,
    nbf: Option<f64>,
    oid: Option<String>,
    tid: Option<String>,
    scp: Option<String>,
    idtyp: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn is_one_of(&self, accepted: &[String]) -> bool {
        match self {
            Self::One(audience) => accepted.contains(audience),
            Self::Several(audiences) => audiences.iter().any(|audience| accepted.contains(audience)),
        }
    }
}

/// The user of a token that is good.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) owner: String,
    pub(super) tenant: String,
}

impl Claims {
    /// Who it is. A token of an application, which has no user, is refused: `idtyp` says so where it is there, and it has no
    /// `scp` in any case.
    ///
    /// # Errors
    /// Why it is refused, without anything that it says.
    pub(super) fn judge(self, options: &Options, now: Timestamp) -> Result<Named, &'static str> {
        if self.iss.as_deref() != Some(options.issuer.as_str()) {
            return Err("another issuer made it");
        }
        if !self.aud.is_some_and(|audience| audience.is_one_of(&options.audience)) {
            return Err("it is for another service");
        }
        // whole microseconds are exact in a float for as long as tokens live
        let (now, skew) = (now.as_microsecond() as f64 / 1e6, options.clock_skew.as_secs_f64());
        if !self.exp.is_some_and(|end| now < end + skew) {
            return Err("it has expired");
        }
        if self.nbf.is_some_and(|begin| now < begin - skew) {
            return Err("it is not good yet");
        }
        let scopes = self.scp.unwrap_or_default();
        let mut scopes = scopes.split_ascii_whitespace().peekable();
        if self.idtyp.as_deref() == Some("app") || scopes.peek().is_none() {
            return Err("it is an application's and names no user");
        }
        if let Some(required) = &options.required_scope
            && !scopes.any(|scope| scope == required)
        {
            return Err("it lacks the scope that this service asks for");
        }
        let (Some(owner), Some(tenant)) = (self.oid.filter(|id| is_id(id)), self.tid.filter(|id| is_id(id)))
        else {
            return Err("it does not say who its user is (oid and tid)");
        };
        if options.tenant.as_ref().is_some_and(|ours| !ours.eq_ignore_ascii_case(&tenant)) {
            return Err("its user is of another tenant");
        }
        Ok(Named { owner, tenant })
    }
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= ID_CHARS_MAX && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-03-01T12:00:00Z";

    fn judged(change: impl FnOnce(&mut Value)) -> Result<Named, &'static str> {
        let now: Timestamp = NOW.parse().expect("a time");
        let at = now.as_second();
        let mut claims = json!({
            "iss": "https://login.example/t1/v2.0", "aud": "api://syncline", "oid": "ann", "tid": "t1",
            "scp": "profile access_as_user", "exp": at + 600, "nbf": at - 10, "iat": at - 10, "ver": "2.0",
        });
        change(&mut claims);
        let options = Options {
            issuer: "https://login.example/t1/v2.0".into(),
            audience: vec!["api://syncline".into(), "1111".into()],
            jwks: None,
            tenant: Some("T1".into()),
            clock_skew: Duration::from_secs(60),
            required_scope: Some("access_as_user".into()),
        };
        serde_json::from_value::<Claims>(claims).map_err(|_| "not claims")?.judge(&options, now)
    }

    fn with(name: &str, value: Value) -> Result<Named, &'static str> {
        judged(|claims| claims[name] = value)
    }

    fn without(name: &str) -> Result<Named, &'static str> {
        judged(|claims| drop(claims.as_object_mut().and_then(|claims| claims.remove(name))))
    }

    #[test]
    fn a_good_token_names_its_user() {
        let ann = Named { owner: "ann".into(), tenant: "t1".into() };
        assert_eq!(judged(|_| {}), Ok(Named { owner: "ann".into(), tenant: "t1".into() }));
        for good in [
            with("aud", json!("1111")),
            with("aud", json!(["other", "1111"])),
            without("nbf"),
            with("idtyp", json!("user")),
        ] {
            assert_eq!(good.as_ref(), Ok(&ann));
        }
    }

    #[test]
    fn every_other_token_is_refused() {
        let at = NOW.parse::<Timestamp>().expect("a time").as_second();
        let refused = [
            (with("iss", json!("https://login.example/t2/v2.0")), "another issuer made it"),
            (with("iss", json!("https://login.example/t1/v2.0/")), "another issuer made it"),
            (without("iss"), "another issuer made it"),
            (with("aud", json!("https://graph.microsoft.com")), "it is for another service"),
            (with("aud", json!([])), "it is for another service"),
            (without("aud"), "it is for another service"),
            (with("exp", json!(at - 60)), "it has expired"),
            (without("exp"), "it has expired"),
            (with("nbf", json!(at + 61)), "it is not good yet"),
            (with("idtyp", json!("app")), "it is an application's and names no user"),
            (without("scp"), "it is an application's and names no user"),
            (with("scp", json!(" ")), "it is an application's and names no user"),
            (with("scp", json!("access_as_user_not")), "it lacks the scope that this service asks for"),
            (without("oid"), "it does not say who its user is (oid and tid)"),
            (with("oid", json!("")), "it does not say who its user is (oid and tid)"),
            (with("oid", json!("a\u{0}b")), "it does not say who its user is (oid and tid)"),
            (without("tid"), "it does not say who its user is (oid and tid)"),
            (with("tid", json!("t2")), "its user is of another tenant"),
            (with("oid", json!(7)), "not claims"),
            (with("exp", json!("tomorrow")), "not claims"),
        ];
        for (n, (got, why)) in refused.into_iter().enumerate() {
            assert_eq!(got, Err(why), "{n}");
        }
        assert!(with("exp", json!(at - 59)).is_ok() && with("nbf", json!(at + 60)).is_ok(), "clocks differ");
    }
}
