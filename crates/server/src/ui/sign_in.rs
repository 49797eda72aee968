//! Signing in with a token of the API, and out.

use askama::Template;
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};

use super::{
    Page, Shown, Ui,
    fault::Fault,
    flash,
    form::{Asked, Form, fields},
    layout::{Frame, Tab},
    session,
};
use crate::auth;

/// Open to anybody.
pub(crate) fn routes() -> Router<Ui> {
    Router::new().route("/sign-in", get(show).post(sign_in))
}

/// For who is signed in.
pub(crate) fn ending() -> Router<Ui> {
    Router::new().route("/sign-out", post(sign_out))
}

/// Asks for a token.
#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    frame: Frame,
    /// Where to go then.
    next: String,
    /// What was wrong with the last one.
    refused: Option<&'static str>,
}

async fn show(asked: Asked) -> Shown<SignIn> {
    let frame = Frame::bare(None, Tab::None, "Sign in");
    Ok(Page(SignIn { frame, next: next(asked.get("next")), refused: None }))
}

async fn sign_in(State(ui): State<Ui>, request: Request) -> Result<Response, Fault> {
    let headers = request.headers().clone();
    if !session::of_our_pages(&headers) {
        return Err(Fault::unbelieved());
    }
    let fields = fields(request, &ui).await?;
    let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.trim());
    let next = next(field("next"));
    let hash = field("token").and_then(auth::hash_of);
    let known = match &hash {
        Some(hash) => auth::caller_by_hash(&*ui.api.store, hash, ui.api.clock.now()).await?,
        None => None,
    };
    let (Some(hash), Some(_)) = (hash, known) else {
        let refused = Some("The token is not known, was revoked, or has expired.");
        let page = SignIn { frame: Frame::bare(None, Tab::None, "Sign in"), next, refused };
        return Ok((StatusCode::FORBIDDEN, Page(page)).into_response());
    };
    let id = ui.sessions.begin(hash, ui.api.clock.elapsed());
    let id = id.ok_or_else(|| Fault::internal("this machine gives no random numbers"))?;
    Ok(with_cookie(flash::go(&headers, &next), Some(&id), ui.secure))
}

async fn sign_out(State(ui): State<Ui>, headers: HeaderMap, _form: Form) -> Response {
    if let Some(id) = session::cookie(&headers) {
        ui.sessions.end(id);
    }
    with_cookie(flash::go(&headers, "/sign-in"), None, ui.secure)
}

fn with_cookie(mut response: Response, id: Option<&str>, secure: bool) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(&session::set_cookie(id, secure)) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// Where to go after signing in: only ever to a page of ours.
fn next(wanted: Option<&str>) -> String {
    wanted.filter(|next| flash::is_ours(next)).unwrap_or("/").to_owned()
}
