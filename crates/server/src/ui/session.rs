//! Who looks: sessions of people who signed in with a token, and what a form must carry to be believed.
//!
//! A session is a random number in a cookie that scripts cannot read and other sites cannot send. It stands for a token,
//! and the store is asked about that token with every request: a revoked token ends its sessions at once. Sessions live in
//! memory; after a restart people sign in again.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::{constant_time, hmac, rand};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{Ui, fault::Fault, flash};
use crate::{
    api::guard::of_this_machine,
    auth::{self, Access, Caller, Scope},
};

/// How long a session lasts.
pub(crate) const LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// Sessions at once; the oldest goes.
const SESSIONS_MAX: usize = 1000;
/// Name of the cookie.
const COOKIE: &str = "syncline_session";
/// Longest `Cookie`.
const COOKIE_BYTES_MAX: usize = 4096;
/// Random bytes of a session.
const ID_BYTES: usize = 32;

/// Who looks at a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visitor {
    /// Name and scope, as the API knows them.
    pub(crate) caller: Caller,
    /// What every form carries.
    pub(crate) csrf: String,
    /// Whether there is a session to end.
    pub(crate) signed_in: bool,
}

impl Visitor {
    /// Whether they may do what needs `scope`.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.caller.may(scope)
    }
}

/// Sessions, and the key that signs what forms carry.
pub(crate) struct Sessions {
    /// None: this machine gives no random numbers, and no form is believed.
    key: Option<hmac::Key>,
    open: Mutex<BTreeMap<Vec<u8>, Session>>,
}

/// One session, kept under the signature of its number: whoever reads the memory of this map cannot use it.
struct Session {
    token: [u8; 32],
    /// By the clock that only runs forward.
    began: Duration,
}

impl Sessions {
    /// No session, and a new key.
    pub(crate) fn new() -> Self {
        let mut key = [0; ID_BYTES];
        let key = rand::fill(&mut key).ok().map(|()| hmac::Key::new(hmac::HMAC_SHA256, &key));
        Self { key, open: Mutex::default() }
    }

    /// Opens a session for a token and returns its number. `None`: this machine gives no random numbers.
    pub(crate) fn begin(&self, token: [u8; 32], now: Duration) -> Option<String> {
        let mut id = [0; ID_BYTES];
        rand::fill(&mut id).ok()?;
        let id = URL_SAFE_NO_PAD.encode(id);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| now.saturating_sub(session.began) < LIFE);
        if open.len() >= SESSIONS_MAX
            && let Some(oldest) = open.iter().min_by_key(|(_, s)| s.began).map(|(id, _)| id.clone())
        {
            open.remove(&oldest);
        }
        open.insert(self.sign("session", &id), Session { token, began: now });
        Some(id)
    }

    /// The hash of the token that a session stands for.
    fn token(&self, id: &str, now: Duration) -> Option<[u8; 32]> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let session = open.get(&self.sign("session", id))?;
        (now.saturating_sub(session.began) < LIFE).then_some(session.token)
    }

    /// Ends a session.
    pub(crate) fn end(&self, id: &str) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&self.sign("session", id));
    }

    /// What the forms of a session carry.
    fn csrf(&self, id: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.sign("form", id))
    }

    fn sign(&self, what: &str, id: &str) -> Vec<u8> {
        let Some(key) = &self.key else { return Vec::new() };
        hmac::sign(key, format!("{what}\n{id}").as_bytes()).as_ref().to_vec()
    }
}

/// Finds out who asks, and lets in who may read. Others are sent to sign in.
pub(crate) async fn identify(State(ui): State<Ui>, mut request: Request, next: Next) -> Response {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    match visitor(&ui, method, uri, headers).await {
        Ok(Some(visitor)) if visitor.may(Scope::Read) => {
            request.extensions_mut().insert(visitor);
            next.run(request).await
        }
        Ok(Some(_)) => Fault::forbidden(Scope::Read).into_response(),
        Ok(None) => to_sign_in(method, uri, headers),
        Err(fault) => fault.into_response(),
    }
}

/// Who asks; `None`: nobody who is known.
///
/// # Errors
/// The store failed; or nobody needs a token here, and the request comes under a name of another place.
pub(crate) async fn visitor(
    ui: &Ui,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Option<Visitor>, Fault> {
    if let Some(id) = cookie(headers)
        && let Some(token) = ui.sessions.token(id, ui.api.clock.elapsed())
    {
        let caller = auth::caller_by_hash(&*ui.api.store, &token, ui.api.clock.now()).await?;
        if let Some(caller) = caller {
            return Ok(Some(Visitor { caller, csrf: ui.sessions.csrf(id), signed_in: true }));
        }
        ui.sessions.end(id);
    }
    if ui.api.access == Access::Tokens || !ui.api.store.tokens().await?.is_empty() {
        return Ok(None);
    }
    of_this_machine(method, uri, headers)?;
    Ok(Some(Visitor { caller: Caller::local(), csrf: ui.sessions.csrf("local"), signed_in: false }))
}

/// Whether a request that changes something comes from one of our own pages, as far as its headers tell.
pub(crate) fn of_our_pages(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if text("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return false;
    }
    let Some(origin) = text("origin") else { return true };
    let host = text("host").unwrap_or_default();
    origin.split_once("://").is_some_and(|(_, origin)| origin.eq_ignore_ascii_case(host))
}

/// Whether a form carries what the visitor's forms carry.
pub(crate) fn believed(visitor: &Visitor, csrf: &str) -> bool {
    !csrf.is_empty()
        && constant_time::verify_slices_are_equal(visitor.csrf.as_bytes(), csrf.as_bytes()).is_ok()
}

/// The number of the session that a request names.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.filter(|text| text.len() <= COOKIE_BYTES_MAX).flat_map(|text| text.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// The header that gives a session to a browser, or takes it away.
pub(crate) fn set_cookie(id: Option<&str>, secure: bool) -> String {
    let (id, age) = id.map_or(("", 0), |id| (id, LIFE.as_secs()));
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{secure}")
}

/// What may stand in a query as it is.
const QUERY: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'&').add(b'+').add(b'<').add(b'>');

fn to_sign_in(method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    let here = uri.path_and_query().map_or("/", |here| here.as_str());
    let next =
        if method == Method::GET && flash::is_ours(here) && !here.starts_with("/ui/") { here } else { "/" };
    let place = match next {
        "/" => "/sign-in".to_owned(),
        next => format!("/sign-in?next={}", utf8_percent_encode(next, QUERY)),
    };
    flash::go(headers, &place)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.parse().unwrap(), HeaderValue::from_str(v).unwrap())).collect()
    }

    #[test]
    fn sessions_end_by_themselves_and_when_asked() {
        let sessions = Sessions::new();
        let hour = Duration::from_secs(3600);
        let one = sessions.begin([1; 32], hour).unwrap();
        let two = sessions.begin([2; 32], 2 * hour).unwrap();
        assert_ne!(one, two);
        assert_eq!(sessions.token(&one, 12 * hour), Some([1; 32]));
        assert_eq!(sessions.token(&one, 13 * hour), None, "twelve hours are over");
        assert_eq!(sessions.token(&two, 13 * hour), Some([2; 32]));
        sessions.end(&two);
        assert_eq!(sessions.token(&two, 3 * hour), None);
        assert_eq!(sessions.token("", hour), None);
    }

    #[test]
    fn there_are_only_so_many_sessions() {
        let sessions = Sessions::new();
        let first = sessions.begin([0; 32], Duration::ZERO).unwrap();
        for second in 1..=SESSIONS_MAX as u64 {
            sessions.begin([1; 32], Duration::from_secs(second)).unwrap();
        }
        assert_eq!(sessions.open.lock().unwrap().len(), SESSIONS_MAX);
        assert_eq!(sessions.token(&first, Duration::from_secs(9)), None, "the oldest went");
    }

    #[test]
    fn a_form_of_another_session_is_not_believed() {
        let sessions = Sessions::new();
        let visitor = Visitor { caller: Caller::local(), csrf: sessions.csrf("a"), signed_in: true };
        assert!(believed(&visitor, &sessions.csrf("a")));
        for bad in ["", "x", &sessions.csrf("b"), &Sessions::new().csrf("a")] {
            assert!(!believed(&visitor, bad), "{bad}");
        }
    }

    #[test]
    fn our_pages_are_told_by_their_origin() {
        let host = ("host", "sync.example:8450");
        for ours in [
            &[host][..],
            &[host, ("origin", "https://sync.example:8450")],
            &[host, ("origin", "http://SYNC.example:8450"), ("sec-fetch-site", "same-origin")],
        ] {
            assert!(of_our_pages(&headers(ours)), "{ours:?}");
        }
        for foreign in [
            &[host, ("origin", "https://evil.example")][..],
            &[host, ("origin", "null")],
            &[host, ("origin", "https://sync.example")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
        ] {
            assert!(!of_our_pages(&headers(foreign)), "{foreign:?}");
        }
    }

    #[test]
    fn cookies() {
        assert_eq!(cookie(&headers(&[("cookie", "a=b; syncline_session=xyz; c=d")])), Some("xyz"));
        assert_eq!(cookie(&headers(&[("cookie", "not_syncline_session=xyz")])), None);
        assert_eq!(
            set_cookie(Some("xyz"), true),
            "syncline_session=xyz; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200; Secure"
        );
        assert_eq!(
            set_cookie(None, false),
            "syncline_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"
        );
    }
}
