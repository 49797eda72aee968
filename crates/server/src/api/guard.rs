//! What stands before every handler: the right host, the right token, the right scope, known parameters, enough time.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, Method, Uri, header, uri::Authority},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use utoipa::openapi::{OpenApi, RefOr, path::ParameterIn};

use super::{
    Api, delegated,
    extract::header_text,
    openapi::{SCHEME, USER_SCHEME},
    page::pairs,
    problem::{Code, Problem},
};
use crate::{
    auth::{self, Access, Caller, Scope},
    users::TOKEN_BYTES_MAX,
};

/// How long a request may take, its body included.
const TIME: Duration = Duration::from_secs(30);
/// The same for what asks the systems.
const TIME_OF_LOOKS: Duration = Duration::from_secs(300);
/// Longest `Authorization`: a user's token, and the word before it.
const AUTHORIZATION_BYTES_MAX: usize = TOKEN_BYTES_MAX + 16;

/// What the document says about one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Operation {
    /// Needed scope; none: nobody is asked.
    scope: Option<Scope>,
    /// Users may call it with their own token.
    users: bool,
    /// Parameters of its query.
    parameters: Vec<String>,
}

/// Operations by method and path.
type Operations = BTreeMap<(String, String), Operation>;

/// State of the innermost check.
#[derive(Clone)]
struct Gate {
    api: Api,
    operations: Arc<Operations>,
}

/// Puts the checks around the routes.
pub(crate) fn around(router: Router<Api>, api: &Api, document: &OpenApi) -> Router<Api> {
    let gate = Gate { api: api.clone(), operations: Arc::new(operations(document)) };
    router
        .route_layer(middleware::from_fn_with_state(gate, allow))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(middleware::from_fn_with_state(api.clone(), identify))
        .layer(middleware::from_fn_with_state(api.clone(), measure))
}

fn operations(document: &OpenApi) -> Operations {
    let mut found = Operations::new();
    for (path, item) in &document.paths.paths {
        let methods =
            [("GET", &item.get), ("POST", &item.post), ("PUT", &item.put), ("DELETE", &item.delete)];
        for (method, operation) in methods {
            let Some(operation) = operation else { continue };
            let json = serde_json::to_value(&operation.security).unwrap_or_default();
            let scope = json[0][SCHEME][0].as_str().and_then(Scope::parse);
            let users =
                json.as_array().is_some_and(|ways| ways.iter().any(|way| way.get(USER_SCHEME).is_some()));
            let query = operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
                RefOr::T(one) if one.parameter_in == ParameterIn::Query => Some(one.name.clone()),
                RefOr::T(_) | RefOr::Ref(_) => None,
            });
            let parameters = query.collect();
            found.insert((method.to_owned(), path.clone()), Operation { scope, users, parameters });
        }
    }
    found
}

/// Paths that answer anybody: those who ask whether the process lives have no token.
fn is_open(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz")
}

/// Finds out who asks. Everything but the probes needs that, also what does not exist.
async fn identify(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    if is_open(request.uri().path()) {
        return next.run(request).await;
    }
    match caller(&api, request.method(), request.uri(), request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn caller(api: &Api, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Caller, Problem> {
    if headers.contains_key(header::AUTHORIZATION) {
        let value = header_text(headers, "authorization", AUTHORIZATION_BYTES_MAX).ok().flatten();
        let secret = value.and_then(|value| {
            let (scheme, secret) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
        });
        let Some(secret) = secret else {
            return Err(unauthorized("the header Authorization is not Bearer and a token"));
        };
        if let Some(users) = api.users.as_ref().filter(|_| !auth::is_ours(secret)) {
            let user = users.of(secret).await;
            return user
                .map(Caller::user)
                .map_err(|refused| delegated::refused(refused, api.control.correlation()));
        }
        let found = auth::caller(&*api.store, secret, api.clock.now()).await?;
        return found.ok_or_else(|| unauthorized("the token is not known, was revoked, or has expired"));
    }
    if api.access == Access::Tokens || !api.store.tokens().await?.is_empty() {
        return Err(unauthorized("a token is needed"));
    }
    of_this_machine(method, uri, headers)?;
    Ok(Caller::local())
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(Code::Unauthorized, detail)
        .hint("send Authorization: Bearer syn_…; `syncline tokens create NAME --scope read` makes a token")
}

/// Where no token is needed, a web page must not be able to ask in the name of who looks at it: neither under a name of
/// its own that leads here, nor across origins.
pub(crate) fn of_this_machine(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    let host = host.or_else(|| uri.authority().map(Authority::as_str));
    if !host.is_some_and(is_local) {
        return Err(Problem::new(
            Code::WrongHost,
            "without a token, only localhost and loopback addresses are answered",
        )
        .hint("ask 127.0.0.1 or localhost, or make a token"));
    }
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    let foreign =
        origin.is_some_and(|origin| !origin.split_once("://").is_some_and(|(_, host)| is_local(host)));
    let crossing = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    if (foreign || crossing) && !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Problem::new(Code::CrossOrigin, "a web page of another place may not ask this")
            .hint("make a token and send it"));
    }
    Ok(())
}

/// Whether `host`, with or without a port, names this machine.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Lets a request through to its handler.
async fn allow(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let path =
        request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    // as axum does, HEAD is answered like GET
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let Some(operation) = gate.operations.get(&(method.as_str().to_owned(), path.clone())) else {
        return next.run(request).await;
    };
    if let Err(problem) = may(operation, request.extensions().get::<Caller>(), request.uri()) {
        return problem.into_response();
    }
    let time = if looks(&path) { TIME_OF_LOOKS } else { TIME };
    match tokio::time::timeout(time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let seconds = time.as_secs();
            gate.api.metrics.slow();
            Problem::new(Code::TooSlow, format!("the request was given up after {seconds} s")).into_response()
        }
    }
}

/// Whether an operation asks the systems.
fn looks(path: &str) -> bool {
    path.ends_with("/plan")
        || path.ends_with("/test")
        || path.ends_with("/cursor/reset")
        || path.ends_with("/syncs/{sync}/runs")
}

fn may(operation: &Operation, caller: Option<&Caller>, uri: &Uri) -> Result<(), Problem> {
    if let Some(scope) = operation.scope {
        let user = caller.is_some_and(|caller| caller.user.is_some());
        let allowed = if user { operation.users } else { caller.is_some_and(|caller| caller.may(scope)) };
        if user && !allowed {
            return Err(Problem::new(Code::Forbidden, "a user's own token does not open this")
                .hint("users start runs of syncs with parameters; take a token of `syncline tokens create` for the rest"));
        }
        if !allowed {
            let detail = format!("this needs the scope {:?}", scope.as_str());
            return Err(Problem::new(Code::Forbidden, detail).hint("take a token that has it"));
        }
    }
    let unknown =
        pairs(uri).into_iter().map(|(name, _)| name).find(|name| !operation.parameters.contains(name));
    match unknown {
        None => Ok(()),
        Some(name) => {
            let known = operation.parameters.join(", ");
            let known =
                if known.is_empty() { "it takes none".to_owned() } else { format!("known are {known}") };
            Err(Problem::new(Code::BadQuery, format!("the parameter {name:?} is not known; {known}")))
        }
    }
}

async fn unknown_path(uri: Uri) -> Problem {
    Problem::missing("path", format!("{:?}", uri.path())).hint("/api/v1/openapi.json names every path")
}

async fn unknown_method(method: Method) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("the path does not take {method}"))
}

async fn measure(State(api): State<Api>, request: Request, next: Next) -> Response {
    let began = api.clock.elapsed();
    let mut response = next.run(request).await;
    api.metrics.request(response.status(), api.clock.elapsed().saturating_sub(began));
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_says_who_may_call_it() {
        let operations = operations(&super::super::open_router().into_openapi());
        let open: Vec<&str> = operations
            .iter()
            .filter(|(_, o)| o.scope.is_none())
            .map(|((_, path), _)| path.as_str())
            .collect();
        assert_eq!(open, ["/livez", "/readyz"]);
        let safe = operations.iter().filter(|((method, _), _)| method != "GET");
        let weak: Vec<_> = safe.filter(|(_, o)| o.scope == Some(Scope::Read)).map(|(name, _)| name).collect();
        assert!(weak.is_empty(), "what changes something needs more than read: {weak:?}");
    }

    #[test]
    fn local_hosts() {
        for host in ["localhost", "LOCALHOST:8450", "127.0.0.1", "127.1.2.3:1", "[::1]", "[::1]:8450"] {
            assert!(is_local(host), "{host}");
        }
        for host in
            ["", "example.com", "localhost.example.com", "10.0.0.1:80", "[::2]:1", "127.0.0.1.example.com"]
        {
            assert!(!is_local(host), "{host}");
        }
    }
}
