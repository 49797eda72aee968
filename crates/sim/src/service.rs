//! From an HTTP request to an answer on the wire: addresses, headers, lost answers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response};
use uuid::Uuid;

use crate::access::Caller;
use crate::answer::{Refusal, Reply, Stamp};
use crate::graph::{self, Body, Call, Fate, Outcome};
use crate::request_log::LogEntry;
use crate::route::{OpKind, Route};
use crate::state::State;
use crate::token::{self, TokenRequest};
use crate::world::World;
use crate::{batch, control, discovery};

/// Content type of Graph answers (facts §1.2 \[D\]).
const GRAPH_JSON: &str =
    "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8";

/// `x-ms-ags-diagnostic` (facts §1.2 \[O\]).
const DIAGNOSTIC: &str = r#"{"ServerInfo":{"DataCenter":"North Europe","Slice":"E","Ring":"4","ScaleUnit":"000","RoleInstance":"SIM"}}"#;

/// Largest body of the control API and the token endpoint.
const CONTROL_BODY_MAX: usize = 64 * 1024 * 1024;

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the simulated connection is reset")]
pub(crate) struct Reset;

/// A body that may end before its announced length.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    bytes: Bytes,
    /// Bytes that are announced and never sent, and how often the body still waits before it breaks off.
    breaks_off: Option<u8>,
}

/// The body ended on purpose.
#[derive(Debug, thiserror::Error)]
#[error("the simulated answer ends early")]
pub(crate) struct BrokenOff;

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if !self.bytes.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.bytes)))));
        }
        match &mut self.breaks_off {
            None => Poll::Ready(None),
            Some(0) => Poll::Ready(Some(Err(BrokenOff))),
            Some(waits) => {
                // The connection flushes while a body is pending, so what was sent so far reaches the caller.
                *waits -= 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty() && self.breaks_off.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.breaks_off {
            None => SizeHint::with_exact(self.bytes.len() as u64),
            Some(_) => SizeHint::default(),
        }
    }
}

/// Serves one request.
pub(crate) async fn serve(
    world: World,
    scheme: &'static str,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Reset> {
    let (head, body) = request.into_parts();
    let host = head
        .headers
        .get(hyper::header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| head.uri.authority().map(Authority::as_str))
        .unwrap_or("localhost");
    let base: Arc<str> = format!("{scheme}://{host}").into();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let is_graph = target.starts_with("/v1.0/");
    let limit = if is_graph { world.lock().rules.max_body_bytes } else { CONTROL_BODY_MAX };
    let bytes = match Limited::new(body, limit).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Ok(too_large(&world, &head.headers));
        }
        // The caller went away in the middle of its request.
        Err(_) => return Err(Reset),
    };
    let arrived = Arrived { method: head.method, target, base, headers: head.headers, bytes };
    if is_graph { serve_graph(&world, arrived).await } else { Ok(serve_rest(&world, &arrived).await) }
}

/// A request with its body.
pub(crate) struct Arrived {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) base: Arc<str>,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Arrived {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

async fn serve_graph(world: &World, arrived: Arrived) -> Result<Response<AnswerBody>, Reset> {
    let (outcome, stamp) = answer_graph(&mut world.lock(), &arrived);
    let latency = world.latency() + Duration::from_millis(outcome.latency_ms);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    match outcome.fate {
        Fate::Reset => Err(Reset),
        fate => Ok(response(outcome.reply, &stamp, fate == Fate::Truncate)),
    }
}

fn answer_graph(state: &mut State, arrived: &Arrived) -> (Outcome, Stamp) {
    state.settle();
    let request_id = state.chance.guid();
    let stamp = stamp(state, &arrived.headers, request_id);
    let target = arrived.target.strip_prefix("/v1.0").unwrap_or(&arrived.target);
    let outcome = match state.authenticate(arrived.header("authorization")) {
        Ok(caller) => {
            let mut call = Call::new(arrived.method.clone(), target, arrived.base.clone(), caller);
            call.if_match = arrived.header("if-match").map(str::to_owned);
            call.prefer = arrived.header("prefer").map(str::to_owned);
            if call.route == Route::Batch {
                batch::perform(state, &call, &arrived.bytes, &stamp, request_id)
            } else {
                call.body = Body::from_bytes(&arrived.bytes);
                graph::perform(state, &call, &stamp, request_id)
            }
        }
        Err(refusal) => unauthenticated(state, arrived, target, refusal, &stamp, request_id),
    };
    state.log.flush();
    (outcome, stamp)
}

fn unauthenticated(
    state: &mut State,
    arrived: &Arrived,
    target: &str,
    refusal: Refusal,
    stamp: &Stamp,
    request_id: Uuid,
) -> Outcome {
    let call = Call::new(arrived.method.clone(), target, arrived.base.clone(), Caller::default());
    let reply = refusal.into_reply(stamp);
    let at_ms = state.clock.now_ms();
    state.log.push(LogEntry {
        seq: 0,
        at_ms,
        method: call.method.as_str().to_owned(),
        path: call.full_path(),
        status: reply.status,
        ru: 0,
        kind: call.kind,
        list: None,
        item: None,
        fault: None,
        applied: false,
        request_id,
        part: None,
    });
    Outcome { reply, fate: Fate::Send, latency_ms: 0, halted: false }
}

fn stamp(state: &State, headers: &HeaderMap, request_id: Uuid) -> Stamp {
    let given = headers.get("client-request-id").and_then(|id| id.to_str().ok());
    let request_id = request_id.to_string();
    Stamp {
        // Echoed, else the request id (facts §1.2). An endless one is not worth repeating.
        client_request_id: given
            .filter(|id| id.len() <= 128)
            .map_or_else(|| request_id.clone(), str::to_owned),
        request_id,
        now_ms: state.clock.now_ms(),
    }
}

fn too_large(world: &World, headers: &HeaderMap) -> Response<AnswerBody> {
    let mut state = world.lock();
    let id = state.chance.guid();
    let stamp = stamp(&state, headers, id);
    let refusal = Refusal::new(413, "invalidRequest", "The request body is too large");
    response(refusal.into_reply(&stamp), &stamp, false)
}

/// Puts a Graph answer on the wire with the headers of facts §1.2.
fn response(reply: Reply, stamp: &Stamp, truncated: bool) -> Response<AnswerBody> {
    let mut headers = HeaderMap::with_capacity(12);
    let fixed = [
        ("cache-control", "no-store"),
        ("strict-transport-security", "max-age=31536000"),
        ("x-ms-ags-diagnostic", DIAGNOSTIC),
        ("odata-version", "4.0"),
    ];
    for (name, value) in fixed {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if !reply.body.is_empty() {
        headers.insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static(GRAPH_JSON));
    }
    put(&mut headers, "request-id", &stamp.request_id);
    put(&mut headers, "client-request-id", &stamp.client_request_id);
    for (name, value) in &reply.headers {
        put(&mut headers, name, value);
    }
    let mut bytes = Bytes::from(reply.body);
    if truncated {
        // The full length is announced, and half of it sent.
        put(&mut headers, "content-length", &(bytes.len().max(2)).to_string());
        bytes.truncate(bytes.len() / 2);
    }
    finish(reply.status, headers, bytes, truncated)
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

fn finish(status: u16, headers: HeaderMap, bytes: Bytes, truncated: bool) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody { bytes, breaks_off: truncated.then_some(3) });
    *response.status_mut() =
        hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = headers;
    response
}

/// The token service and the control API.
async fn serve_rest(world: &World, arrived: &Arrived) -> Response<AnswerBody> {
    let path = arrived.target.split('?').next().unwrap_or("/");
    let (reply, latency_ms) = if path.starts_with("/_sim/") || path == "/_sim" {
        (control::answer(world, arrived), 0)
    } else {
        identity(world, arrived, path)
    };
    if latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(latency_ms)).await;
    }
    let mut headers = HeaderMap::new();
    if !reply.body.is_empty() {
        headers
            .insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    }
    put(&mut headers, "cache-control", "no-store, no-cache");
    for (name, value) in &reply.headers {
        put(&mut headers, name, value);
    }
    finish(reply.status, headers, Bytes::from(reply.body), false)
}

/// The answer of the token service, and the real milliseconds a fault delays it.
fn identity(world: &World, arrived: &Arrived, path: &str) -> (Reply, u64) {
    let mut state = world.lock();
    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let reply = match (arrived.method.as_str(), segments.as_slice()) {
        ("POST", [tenant, "oauth2", "v2.0", "token"]) => {
            let request = TokenRequest {
                tenant,
                base: &arrived.base,
                authorization: arrived.header("authorization"),
                form: &arrived.bytes,
            };
            let answer = issue(&mut state, &request, &path);
            state.log.flush();
            return answer;
        }
        ("GET", [tenant, "v2.0", ".well-known", "openid-configuration"]) => {
            discovery::openid_configuration(&state, &arrived.base, tenant)
        }
        ("GET", [_, "discovery", "v2.0", "keys"]) => state.keys.publish(),
        ("GET", ["common", "discovery", "instance"]) => {
            let tenant = state.tenant.clone();
            discovery::instance_discovery(&arrived.base, &tenant)
        }
        _ => Reply::value(404, &serde_json::json!({ "error": "not_found" })),
    };
    (reply, 0)
}

/// Faults of the token endpoint are those of its kind; then the grant itself.
fn issue(state: &mut State, request: &TokenRequest<'_>, path: &str) -> (Reply, u64) {
    let call = Call {
        kind: OpKind::Token,
        path: path.to_owned(),
        ..Call::new(Method::POST, "/", request.base.into(), Caller::default())
    };
    let strike = graph::strike(state, &call);
    let refused = strike.fault.as_ref().and_then(|fault| graph::refused_by_fault(state, 0, fault));
    let request_id = state.chance.guid();
    let reply = match refused {
        Some(refusal) => {
            let headers = refusal.headers.clone();
            let body = serde_json::json!({
                "error": "temporarily_unavailable",
                "error_description": "AADSTS90033: A transient error has occurred. Please try again.",
                "error_codes": [90033],
            });
            Reply { headers, ..Reply::value(refusal.status, &body) }
        }
        None => token::grant(state, request),
    };
    let at_ms = state.clock.now_ms();
    state.log.push(LogEntry {
        seq: 0,
        at_ms,
        method: "POST".to_owned(),
        path: path.to_owned(),
        status: reply.status,
        ru: 0,
        kind: OpKind::Token,
        list: None,
        item: None,
        fault: strike.fault.map(|fault| fault.name().to_owned()),
        applied: false,
        request_id,
        part: None,
    });
    (reply, strike.latency_ms)
}
