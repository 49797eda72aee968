//! The web UI: pages beside the API, made on the server, readable and usable without scripts.
//!
//! Each page has a file with three parts: a `Page`, which is what its template shows; a pure `view` that makes it from
//! facts; and a handler that gathers the facts, through the same doors as the API: [`Api`], its board, its store, its
//! control. Nothing here asks the server over HTTP.
//!
//! What changes something is a form with a page that asks first, is sent by POST, and leads back to a page that says what
//! was done ([`form`], [`flash`]). Scripts improve: they fetch parts of pages again ([`layout::Frame`] names them), and
//! every such part is served as a page's part under `/ui/`.
//!
//! Start reading at [`around`]; then [`overview`], the simplest page.

mod acts;
mod assets;
mod chains;
mod chart;
mod confirm;
mod connections;
mod events;
mod fault;
mod flash;
mod form;
mod held;
mod layout;
mod live;
mod overview;
mod parked;
mod plan;
mod plans;
mod recent;
mod record;
mod run;
mod samples;
mod session;
mod show;
mod sign_in;
mod sync;
mod yaml;

use std::{sync::Arc, time::Duration};

use askama::Template;
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::MethodRouter,
};

use self::{
    fault::Fault,
    plans::Plans,
    recent::Recent,
    session::{Sessions, Visitor},
};
use crate::{
    api::{Api, problem::PROBLEM_JSON},
    auth::Scope,
};

/// How long a page may take; what asks the systems answers before that or says so.
const TIME: Duration = Duration::from_secs(60);
/// Largest form.
const FORM_BYTES_MAX: usize = 64 * 1024;

/// Nothing is loaded from elsewhere, nothing inline is run, nobody frames a page, forms lead here only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What pages work with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ui(Arc<Parts>);

/// What [`Ui`] is made of.
pub(crate) struct Parts {
    /// Facts and doors.
    pub(crate) api: Api,
    sessions: Sessions,
    tests: connections::Tests,
    recent: Recent,
    plans: Plans,
    /// Whether browsers reach us over TLS.
    secure: bool,
}

impl std::ops::Deref for Ui {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// A page, or why there is none.
type Shown<T> = Result<Page<T>, Fault>;

/// A template as an answer.
pub(crate) struct Page<T>(pub(crate) T);

impl<T: Template> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        match self.0.render() {
            Ok(html) => Html(html).into_response(),
            Err(error) => Fault::internal(&error.to_string()).into_response(),
        }
    }
}

/// The API with the pages before it.
pub(crate) fn around(api_router: Router, api: &Api, secure: bool) -> Router {
    let (recent, plans, tests) = Default::default();
    let ui =
        Ui(Arc::new(Parts { api: api.clone(), sessions: Sessions::new(), recent, plans, tests, secure }));
    let pages = Router::new()
        .merge(overview::routes())
        .merge(sync::routes())
        .merge(acts::routes())
        .merge(samples::routes())
        .merge(run::routes())
        .merge(plan::routes())
        .merge(chains::routes())
        .merge(connections::routes())
        .merge(events::routes())
        .merge(held::routes())
        .merge(parked::routes())
        .merge(record::routes())
        .merge(sign_in::ending())
        .route_layer(middleware::from_fn_with_state(ui.clone(), session::identify));
    Router::new()
        .merge(pages)
        .merge(sign_in::routes())
        .merge(assets::routes())
        .method_not_allowed_fallback(|| async { Fault::wrong_method() })
        .layer(axum::extract::DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(middleware::from_fn_with_state(ui.clone(), count))
        .fallback_service(api_router)
        .layer(middleware::from_fn_with_state(ui.clone(), finish))
        .with_state(ui)
}

/// Routes that need more than reading: their pages that ask first, too.
pub(crate) fn needs(scope: Scope, routes: MethodRouter<Ui>) -> MethodRouter<Ui> {
    routes.route_layer(middleware::from_fn_with_state(scope, allow))
}

async fn allow(State(scope): State<Scope>, request: Request, next: Next) -> Response {
    let visitor = request.extensions().get::<Visitor>();
    if visitor.is_some_and(|visitor| visitor.may(scope)) {
        next.run(request).await
    } else {
        Fault::forbidden(scope).into_response()
    }
}

/// Gives every answer its headers, bounds its time, and draws faults as pages.
async fn finish(State(ui): State<Ui>, request: Request, next: Next) -> Response {
    let seen = fault::Seen::of(&request);
    if !seen.is_page() {
        return next.run(request).await;
    }
    let mut response = match tokio::time::timeout(TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Fault::slow(TIME).into_response(),
    };
    if let Some(fault) = response.extensions_mut().remove::<Fault>() {
        response = fault.draw(&ui, &seen).await;
    } else if is_problem(&response) && seen.wants_html {
        response = Fault::of_status(response.status()).draw(&ui, &seen).await;
    }
    protect(&mut response);
    response
}

/// Counts what pages take, as the API counts its own.
async fn count(State(ui): State<Ui>, request: Request, next: Next) -> Response {
    let began = ui.api.clock.elapsed();
    let response = next.run(request).await;
    ui.api.metrics.request(response.status(), ui.api.clock.elapsed().saturating_sub(began));
    response
}

fn is_problem(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    response.status() != StatusCode::OK && kind.is_some_and(|kind| kind == PROBLEM_JSON)
}

fn protect(response: &mut Response) {
    let headers = response.headers_mut();
    let always = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // with `no-referrer`, browsers would send no origin with our own forms
        (header::REFERRER_POLICY, "same-origin"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    for (name, value) in always {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}
