//! Errors as problem details (RFC 9457), and what becomes of the errors of others.

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
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
}

impl Problem {
    /// A problem.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), hint: None, faults: Vec::new(), retry_after: None }
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
        };
        let body = serde_json::to_vec(&sent).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let challenge = match self.code {
            Code::Unauthorized => Some("Bearer realm=\"syncline\""),
            Code::Forbidden => Some("Bearer realm=\"syncline\", error=\"insufficient_scope\""),
            _ => None,
        };
        if let Some(challenge) = challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
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
