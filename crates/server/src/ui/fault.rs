//! Pages for what cannot be shown or done.

use std::time::Duration;

use askama::Template;
use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
};

use super::{
    Ui,
    layout::{Frame, Tab},
    session,
    show::Link,
};
use crate::{
    api::{
        PREFIX,
        problem::{Code, Problem},
    },
    auth::Scope,
};

/// Why there is no page. As an answer it is only a status until [`Fault::draw`] makes a page of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    status: StatusCode,
    /// A few words.
    title: String,
    /// What happened.
    detail: String,
    /// What to do.
    hint: Option<String>,
    /// Single faults, where there are several.
    faults: Vec<String>,
    /// Where to go instead.
    instead: Option<Link>,
    retry_after: Option<u32>,
}

impl Fault {
    fn new(status: StatusCode, title: &str, detail: impl Into<String>) -> Self {
        Self {
            status,
            title: title.to_owned(),
            detail: detail.into(),
            hint: None,
            faults: Vec::new(),
            instead: None,
            retry_after: None,
        }
    }

    /// There is no such thing.
    pub(crate) fn missing(what: &str, name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", format!("There is no {what} {name:?}."))
    }

    /// As [`Fault::missing`], with the name that was meant, if one is near. `href` makes its address.
    pub(crate) fn missing_of<'a>(
        what: &str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
        href: impl FnOnce(&str) -> String,
    ) -> Self {
        let near = syncline_spec::nearest(name, known);
        let instead = near.map(|near| Link { text: format!("Did you mean {near}?"), href: href(near) });
        Self { instead, ..Self::missing(what, name) }
    }

    /// The visitor's token has not this scope.
    pub(crate) fn forbidden(scope: Scope) -> Self {
        let detail = format!("This needs a token with the scope {:?}.", scope.as_str());
        let hint = "Sign in with another token; `syncline tokens create NAME --scope …` makes one.";
        Self::new(StatusCode::FORBIDDEN, "Not allowed", detail).hint(hint)
    }

    /// A form that is not one of ours, or is too old.
    pub(crate) fn unbelieved() -> Self {
        let detail =
            "The form does not come from a page of this session, or the server was started again since.";
        Self::new(StatusCode::FORBIDDEN, "Nothing was done", detail)
            .hint("Go back, reload the page, and try again.")
    }

    /// A form or an address with something that cannot be.
    pub(crate) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "That cannot be", detail)
    }

    /// What was asked for cannot be done now.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "Not possible now", detail)
    }

    pub(crate) fn wrong_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Not taken", "This address does not take that.")
    }

    pub(crate) fn slow(after: Duration) -> Self {
        let detail = format!("The page was given up after {} s.", after.as_secs());
        Self::new(StatusCode::GATEWAY_TIMEOUT, "Too slow", detail)
    }

    /// A fault of ours: the words go to the log.
    pub(crate) fn internal(detail: &str) -> Self {
        tracing::error!(detail, "a page failed");
        Self::of_status(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What there is to say when only the status is known.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::new(status, "Not found", "There is no such page."),
            StatusCode::UNAUTHORIZED => {
                Self::new(status, "Sign in first", "There is nothing to see without a token.")
            }
            StatusCode::FORBIDDEN => Self::new(status, "Not allowed", "This may not be asked from here."),
            StatusCode::MISDIRECTED_REQUEST => Self::new(
                status,
                "Wrong name",
                "Without a token, only localhost and loopback addresses are answered.",
            ),
            _ => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something failed that should not",
                "Syncline could not make this page.",
            )
            .hint("The log of the server says why."),
        }
    }

    /// With what to do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Draws it for whoever asked: a page, or the part of one where htmx asked.
    pub(super) async fn draw(self, ui: &Ui, seen: &Seen) -> Response {
        let visitor = session::visitor(ui, &seen.method, &seen.uri, &seen.headers).await.ok().flatten();
        let frame = Frame::bare(visitor.as_ref(), Tab::None, &self.title);
        let status = self.status;
        let retry_after = self.retry_after;
        let html = if seen.is_part() {
            FaultPart { fault: &self }.render()
        } else {
            FaultPage { frame, fault: &self }.render()
        };
        let mut response = match html {
            Ok(html) => Html(html).into_response(),
            Err(_) => Response::new(Body::from("something failed that should not")),
        };
        *response.status_mut() = status;
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        let title = match problem.code {
            Code::NotFound => "Not found",
            code => code.title(),
        };
        let Problem { code, detail, hint, faults, retry_after, .. } = problem;
        Self {
            status: code.status(),
            title: title.to_owned(),
            detail: sentence(&detail),
            hint: hint.as_deref().map(sentence),
            faults,
            instead: None,
            retry_after,
        }
    }
}

impl From<syncline_store::Error> for Fault {
    fn from(error: syncline_store::Error) -> Self {
        Problem::from(error).into()
    }
}

impl From<syncline_engine::Error> for Fault {
    fn from(error: syncline_engine::Error) -> Self {
        Problem::from(error).into()
    }
}

impl From<syncline_engine::service::control::Refused> for Fault {
    fn from(refused: syncline_engine::service::control::Refused) -> Self {
        Problem::from(refused).into()
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Errors are written in lower case, pages are not.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().collect::<String>());
    first.unwrap_or_default() + letters.as_str()
}

/// What is remembered of a request until its answer is there.
pub(super) struct Seen {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// Whether a browser asks for a page.
    pub(super) wants_html: bool,
}

impl Seen {
    pub(super) fn of(request: &Request) -> Self {
        let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            wants_html: accept.is_some_and(|accept| accept.contains("text/html")),
        }
    }

    /// Whether it is for the web UI: not for the API, nor for what probes and scrapers ask.
    pub(super) fn is_page(&self) -> bool {
        let path = self.uri.path();
        let of_the_api = path.starts_with(PREFIX) || path.starts_with("/docs/");
        !of_the_api && !matches!(path, "/livez" | "/readyz" | "/metrics" | "/health")
    }

    /// Whether htmx asks for a part of a page.
    fn is_part(&self) -> bool {
        self.headers.contains_key("hx-request") || self.uri.path().starts_with("/ui/")
    }
}

#[derive(Template)]
#[template(path = "fault.html")]
struct FaultPage<'a> {
    frame: Frame,
    fault: &'a Fault,
}

#[derive(Template)]
#[template(path = "fault_part.html")]
struct FaultPart<'a> {
    fault: &'a Fault,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_was_meant_is_named() {
        let known = ["projects", "people"];
        let fault = Fault::missing_of("sync", "project", known, |name| format!("/syncs/{name}"));
        let link = Link { text: "Did you mean projects?".into(), href: "/syncs/projects".into() };
        assert_eq!((fault.status, fault.instead), (StatusCode::NOT_FOUND, Some(link)));
        assert_eq!(Fault::missing_of("sync", "zzzzzz", known, str::to_owned).instead, None);
    }

    #[test]
    fn words_of_errors_become_sentences() {
        assert_eq!(sentence("the run has ended"), "The run has ended");
        assert_eq!(sentence(""), "");
    }
}
