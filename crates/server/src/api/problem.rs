//! Errors as problem details (RFC 9457), and what becomes of the errors of others.

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use syncline_engine as engine;
use syncline_store as store;
use utoipa::ToSchema;

pub use super::codes::Code;

/// Media type of problem details.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Seconds after which it is worth asking again, where nothing better is known.
const RETRY_AFTER: u32 = 5;

/// Most single faults that one problem names.
const FAULTS_MAX: usize = 100;

/// An error, for the one who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which.
    pub code: Code,
    /// What happened this time; without values of records and secrets.
    pub detail: String,
    /// What to do.
    pub hint: Option<String>,
    /// Single faults, where there are several.
    pub faults: Vec<String>,
    /// Seconds after which it is worth asking again.
    pub retry_after: Option<u32>,
    /// Links the answer with log lines, events, runs and requests to the source.
    pub correlation: Option<String>,
    /// The id under which the far side's support finds its request.
    pub request: Option<String>,
    /// Whether asking again, the same way, may work.
    pub retry: bool,
    /// What the user's client must satisfy first: claims as JSON.
    pub claims: Option<String>,
}

/// What is sent.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Sent<'a> {
    /// Address of the page about this code, relative to the server.
    #[serde(rename = "type")]
    kind: String,
    /// The same for every problem of this code.
    title: &'a str,
    /// Status of the answer.
    status: u16,
    /// Stable word for programs.
    code: &'a str,
    /// What happened this time.
    detail: &'a str,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    /// Single faults, where there are several.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    faults: &'a [String],
    /// Seconds after which it is worth asking again; also the header `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    /// True: asking again, the same way, may work.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    retry: bool,
    /// Links the answer with log lines, events, runs and requests to the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<&'a str>,
    /// The id under which the source's support finds its request.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
}

impl Problem {
    /// A problem.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            hint: None,
            faults: Vec::new(),
            retry_after: None,
            correlation: None,
            request: None,
            retry: false,
            claims: None,
        }
    }

    /// With what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With single faults.
    #[must_use]
    pub fn faults(mut self, mut faults: Vec<String>) -> Self {
        faults.truncate(FAULTS_MAX);
        self.faults = faults;
        self
    }

    /// There is no such thing.
    pub fn missing(what: &str, name: impl std::fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("there is no {what} {name}"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let sent = Sent {
            kind: format!("/docs/errors/{}.md", self.code.as_str()),
            title: self.code.title(),
            status: status.as_u16(),
            code: self.code.as_str(),
            detail: &self.detail,
            hint: self.hint.as_deref(),
            faults: &self.faults,
            retry_after: self.retry_after,
            retry: self.retry,
            correlation: self.correlation.as_deref(),
            request: self.request.as_deref(),
        };
        let body = serde_json::to_vec(&sent).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge().and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl Problem {
    /// How to come back with something better. Claims are those of the far side: who signs users in asks for them
    /// (facts §5.6).
    fn challenge(&self) -> Option<String> {
        let with = |rest: &str| Some(format!("Bearer realm=\"syncline\"{rest}"));
        match (self.code, &self.claims) {
            (Code::Unauthorized, _) => with(""),
            (Code::Forbidden, _) => with(", error=\"insufficient_scope\""),
            (Code::UserTokenRefused, _) => with(", error=\"invalid_token\""),
            (Code::InteractionRequired, None) => with(", error=\"interaction_required\""),
            (Code::InteractionRequired, Some(claims)) => {
                let claims = STANDARD.encode(claims);
                Some(format!("Bearer realm=\"\", error=\"insufficient_claims\", claims=\"{claims}\""))
            }
            _ => None,
        }
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        let detail = error.to_string();
        match error {
            store::Error::Busy { .. } => {
                Self::new(Code::Busy, detail).hint("wait until the run has ended, or cancel it")
            }
            store::Error::Stale { .. } => Self::new(Code::Busy, detail).hint("ask again"),
            store::Error::Locked { .. }
            | store::Error::Full { .. }
            | store::Error::Newer { .. }
            | store::Error::Unreachable { .. } => unavailable(&detail),
            store::Error::Database { .. } => internal(&detail),
            other => internal(&other.to_string()),
        }
    }
}

impl From<engine::Error> for Problem {
    fn from(error: engine::Error) -> Self {
        let (message, hint) = (error.to_string(), error.hint());
        let problem = match error {
            engine::Error::Store(error) => return error.into(),
            engine::Error::Connect { doing, source } => {
                let problem = Self::from(source);
                let detail = format!("{doing}: {}", problem.detail);
                return Self { detail, ..problem };
            }
            engine::Error::Definition { problems, .. } => {
                let faults = problems.into_iter().filter(|problem| !problem.warning);
                let faults = faults.map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
                Self::new(Code::DoesNotFit, message).faults(faults).hint("`syncline check` shows every place")
            }
            engine::Error::Params { .. } => Self::new(Code::Unfit, message),
            engine::Error::Incomparable { .. } | engine::Error::Held { .. } => {
                Self::new(Code::NotPossible, message)
            }
            _ => internal(&message),
        };
        match hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }
}

impl From<syncline_connect::Error> for Problem {
    fn from(error: syncline_connect::Error) -> Self {
        let problem = Self::new(Code::ConnectionFailed, error.to_string());
        match &error.hint {
            Some(hint) => problem.hint(hint.clone()),
            None => problem,
        }
    }
}

/// The store's own words go to the log: they name files and addresses of this machine.
fn unavailable(detail: &str) -> Problem {
    tracing::warn!(detail, "the store cannot be used");
    let problem = Problem::new(Code::StoreUnavailable, "the store cannot be used at the moment");
    Problem { retry_after: Some(RETRY_AFTER), ..problem.hint("the log of the server says why") }
}

fn internal(detail: &str) -> Problem {
    tracing::error!(detail, "a request failed");
    Problem::new(Code::Internal, "something failed that should not").hint("the log of the server says why")
}
