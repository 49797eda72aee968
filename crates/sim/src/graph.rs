//! One Graph operation from its arrival to its answer: faults, throttling, permission, work, log.

use std::sync::Arc;

use hyper::Method;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::access::Caller;
use crate::answer::{Refusal, Reply, Stamp};
use crate::delta::DeltaRequest;
use crate::faults::{Applied, Fault, Strike, Subject};
use crate::operations;
use crate::query::Query;
use crate::request_log::LogEntry;
use crate::route::{OpKind, Route};
use crate::state::{Deferred, State};
use crate::switches::ThrottleBody;
use crate::throttle::{Charge, RateSignal, Verdict, Window, cost};

/// The window in which calls on virtual events are counted: that of the limit of all of Graph (facts §3.4 \[S\]).
const EVENT_WINDOW_MS: i64 = 10_000;

/// Applications and users counted at a time.
const EVENT_WINDOWS_MAX: usize = 10_000;

/// The body of an operation.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Absent,
    Json(Value),
    /// Not JSON, with what the parser said.
    Broken(String),
}

impl Body {
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::Absent;
        }
        serde_json::from_slice(bytes).map_or_else(|error| Self::Broken(error.to_string()), Self::Json)
    }

    /// The body as a JSON object.
    pub(crate) fn object(&self) -> Result<&Map<String, Value>, Refusal> {
        match self {
            Self::Json(Value::Object(map)) => Ok(map),
            Self::Broken(why) => Err(Refusal::new(
                400,
                "BadRequest",
                format!(
                    "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format: {why}"
                ),
            )),
            Self::Absent | Self::Json(_) => {
                Err(Refusal::new(400, "BadRequest", "Empty Payload. JSON content expected."))
            }
        }
    }
}

/// One operation: a request of its own, or a part of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Below `/v1.0`, decoded.
    pub(crate) path: String,
    pub(crate) raw_query: String,
    pub(crate) route: Route,
    pub(crate) kind: OpKind,
    pub(crate) query: Query,
    pub(crate) if_match: Option<String>,
    pub(crate) prefer: Option<String>,
    pub(crate) body: Body,
    /// Scheme and host as the caller used them: every link is built from it (facts §7.1).
    pub(crate) base: Arc<str>,
    /// Id of the part, in a batch.
    pub(crate) part: Option<String>,
    pub(crate) caller: Caller,
    /// What is wrong with the URL, if anything.
    pub(crate) problem: Option<Refusal>,
}

impl Call {
    /// Reads path and query; `target` is what follows `/v1.0`.
    pub(crate) fn new(method: Method, target: &str, base: Arc<str>, caller: Caller) -> Self {
        let (path, raw_query) = target.split_once('?').unwrap_or((target, ""));
        let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
        let path = if path.starts_with('/') { path.into_owned() } else { format!("/{path}") };
        let route = Route::parse(&path);
        let (query, problem) = match Query::parse(raw_query) {
            Ok(query) => (query, None),
            Err(refusal) => (Query::default(), Some(refusal)),
        };
        Self {
            kind: route.kind(&method),
            method,
            path,
            raw_query: raw_query.to_owned(),
            route,
            query,
            if_match: None,
            prefer: None,
            body: Body::Absent,
            base,
            part: None,
            caller,
            problem,
        }
    }

    pub(crate) fn full_path(&self) -> String {
        if self.raw_query.is_empty() {
            return self.path.clone();
        }
        let query = percent_encoding::percent_decode_str(&self.raw_query).decode_utf8_lossy();
        format!("{}?{query}", self.path)
    }

    fn units(&self) -> u64 {
        let with_token = match &self.route {
            Route::Delta(_, token, _) => DeltaRequest::has_token(&self.query, token.as_deref()),
            _ => false,
        };
        cost(self.kind, with_token, self.query.expands("permissions"))
    }
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    Send,
    /// The answer ends early, then the connection closes.
    Truncate,
    /// The connection is reset without an answer.
    Reset,
}

/// An answer and how it travels.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) reply: Reply,
    pub(crate) fate: Fate,
    pub(crate) latency_ms: u64,
    /// A reset before apply: nothing after this is done either.
    pub(crate) halted: bool,
}

/// What an operation changed.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Effect {
    pub(crate) applied: bool,
    pub(crate) item: Option<u64>,
}

/// Things that faults do in the middle of an operation.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Twist {
    pub(crate) broken_deletion: bool,
}

/// Draws the faults for an operation.
pub(crate) fn strike(state: &mut State, call: &Call) -> Strike {
    if state.faults.is_empty() {
        return Strike::default();
    }
    let list = call.route.list_ref().and_then(|list| state.find_list(list).ok());
    let State { faults, chance, sites, .. } = state;
    let list = list.map(|(site, list)| {
        let list = &sites[site].lists[list];
        (list.id.to_string(), list.display_name.as_str())
    });
    let path = call.full_path();
    let subject = Subject {
        method: call.method.as_str(),
        path: &path,
        kind: call.kind,
        list,
        in_batch: call.part.is_some(),
    };
    faults.strike(&subject, chance)
}

/// Performs one operation, a part of a batch or a request of its own, and logs it.
pub(crate) fn perform(state: &mut State, call: &Call, stamp: &Stamp, request_id: Uuid) -> Outcome {
    let Strike { fault, latency_ms } = strike(state, call);
    let at = call.route.list_ref().and_then(|list| state.find_list(list).ok());
    let mut record = Record {
        fault: fault.as_ref().map(Fault::name).or((latency_ms > 0).then_some("latency")),
        units: 0,
        effect: Effect::default(),
        at,
        list: at.map(|(site, list)| state.sites[site].lists[list].id),
        request_id,
    };
    let mut outcome = Outcome { reply: Reply::empty(200), fate: Fate::Send, latency_ms, halted: false };
    let worked = match fault.as_ref().and_then(|fault| before_work(state, call, fault)) {
        Some(Stopped::Refused(refusal)) => Err(refusal),
        Some(Stopped::Reset) => {
            outcome.fate = Fate::Reset;
            outcome.halted = true;
            outcome.reply.status = 0;
            record.write(state, call, 0);
            return outcome;
        }
        None => charge(state, call, &mut record)
            .and_then(|signal| work(state, call, stamp, fault.as_ref(), &mut record, signal)),
    };
    outcome.reply = worked.unwrap_or_else(|refusal| refusal.into_reply(stamp));
    match fault {
        Some(Fault::ResetAfterApply) => outcome.fate = Fate::Reset,
        Some(Fault::LateApply { .. }) if call.part.is_none() => outcome.fate = Fate::Reset,
        Some(Fault::TruncatedBody) => outcome.fate = Fate::Truncate,
        Some(Fault::Status { status, applied: Applied::After }) => {
            outcome.reply = server_error(status).into_reply(stamp);
        }
        _ => {}
    }
    record.write(state, call, outcome.reply.status);
    outcome
}

enum Stopped {
    Refused(Refusal),
    Reset,
}

/// Faults that keep the operation from being done.
fn before_work(state: &mut State, call: &Call, fault: &Fault) -> Option<Stopped> {
    if *fault == Fault::ResetBeforeApply {
        return Some(Stopped::Reset);
    }
    refused_by_fault(state, call.caller.app, fault).map(Stopped::Refused)
}

/// The refusal a fault stands for, if it is one.
pub(crate) fn refused_by_fault(state: &mut State, app: usize, fault: &Fault) -> Option<Refusal> {
    let refusal = match fault {
        Fault::Throttle { retry_after } => {
            with_retry_after(state, throttled(state.rules.throttle_body), retry_after.as_deref())
        }
        Fault::Unavailable { retry_after } => with_retry_after(state, unavailable(), retry_after.as_deref()),
        Fault::Status { status, applied: Applied::Before } => server_error(*status),
        Fault::ExpiredToken => {
            state.revoke_tokens(Some(app));
            Refusal::bad_token("Lifetime validation failed, the token is expired.")
        }
        Fault::Forbidden => Refusal::denied(),
        Fault::SiteMissing => Refusal::not_found("Requested site could not be found"),
        Fault::ListMissing => Refusal::not_found("The specified list was not found"),
        _ => return None,
    };
    Some(refusal)
}

fn with_retry_after(state: &State, refusal: Refusal, retry_after: Option<&str>) -> Refusal {
    let Some(text) = retry_after else { return refusal };
    let value = match text.strip_prefix("date:").map(str::parse::<i64>) {
        Some(Ok(ahead_s)) => crate::clock::http_date(state.clock.caller_now_s().saturating_add(ahead_s)),
        _ => text.to_owned(),
    };
    refusal.with_header("Retry-After", value)
}

/// A status that is only an error, with the code facts §1.4 gives it.
pub(crate) fn server_error(status: u16) -> Refusal {
    let (code, message) = match status {
        400 => ("invalidRequest", "Invalid request"),
        404 => ("itemNotFound", "The resource could not be found."),
        409 => ("resourceModified", "The resource was changed by a process of the server"),
        423 => ("resourceLocked", "The resource is locked"),
        429 => ("TooManyRequests", "Please retry again later."),
        500 => ("generalException", "General exception while processing"),
        501 => ("NotImplemented", "Not implemented"),
        503 => ("serviceNotAvailable", "The service is not available. Try the request again after a delay."),
        507 => ("quotaLimitReached", "The list is full"),
        _ => ("UnknownError", ""),
    };
    Refusal::new(status, code, message)
}

fn throttled(body: ThrottleBody) -> Refusal {
    match body {
        ThrottleBody::TooManyRequests => Refusal::new(429, "TooManyRequests", "Please retry again later."),
        ThrottleBody::ActivityLimitReached => {
            Refusal::new(429, "activityLimitReached", "The request has been throttled")
                .with_inner("throttledRequest")
        }
    }
}

fn unavailable() -> Refusal {
    server_error(503)
}

/// Charges the operation; a refusal when it is throttled (facts §3.3).
fn charge(state: &mut State, call: &Call, record: &mut Record) -> Result<Option<RateSignal>, Refusal> {
    if call.kind.is_event() {
        return count_event(state, call).map(|()| None);
    }
    let units = call.units();
    let now_ms = state.clock.now_ms();
    let State { throttle, apps, rules, .. } = state;
    let charge =
        Charge { app: &apps[call.caller.app].client_id, kind: call.kind, list: record.list, units, now_ms };
    let verdict = throttle.charge(&charge, rules);
    let seconds = |ms: i64| (state.clock.caller_seconds(ms).ceil() as u64).max(1);
    match verdict {
        Verdict::Admitted(signal) => {
            record.units = units;
            Ok(signal)
        }
        Verdict::Throttled { wait_ms, signal } => {
            record.units = if state.rules.charge_throttled { units } else { 0 };
            let refusal =
                throttled(state.rules.throttle_body).with_header("Retry-After", seconds(wait_ms).to_string());
            Err(match signal {
                Some(signal) => with_rate_headers(refusal, state, signal),
                None => refusal,
            })
        }
        Verdict::Blocked { wait_ms } => {
            Err(unavailable().with_header("Retry-After", seconds(wait_ms).to_string()))
        }
    }
}

/// Counts a call on virtual events, per application and per user of it (facts §3.4: no limit is published).
fn count_event(state: &mut State, call: &Call) -> Result<(), Refusal> {
    let app = state.apps[call.caller.app].client_id.clone();
    let mut limits = vec![((app.clone(), String::new()), state.rules.virtual_event_requests_per_app)];
    if let Some(user) = &call.caller.user {
        limits.push(((app, user.oid.clone()), state.rules.virtual_event_requests_per_user));
    }
    let (now_ms, kind) = (state.clock.now_ms(), state.rules.throttle_window);
    let mut wait_ms = None;
    for (who, limit) in limits {
        let Some(limit) = limit else { continue };
        if state.event_windows.len() >= EVENT_WINDOWS_MAX {
            state.event_windows.clear();
        }
        let window =
            state.event_windows.entry(who).or_insert_with(|| Window::new(EVENT_WINDOW_MS, limit, kind));
        wait_ms = wait_ms.max(window.take(now_ms));
    }
    let Some(wait_ms) = wait_ms else { return Ok(()) };
    let seconds = (state.clock.caller_seconds(wait_ms).ceil() as u64).max(1);
    Err(throttled(state.rules.throttle_body).with_header("Retry-After", seconds.to_string()))
}

fn rate_headers(state: &State, signal: RateSignal) -> [(&'static str, String); 3] {
    let reset = state.clock.caller_seconds(signal.reset_ms).ceil() as u64;
    [
        ("RateLimit-Limit", signal.limit.to_string()),
        ("RateLimit-Remaining", signal.remaining.to_string()),
        ("RateLimit-Reset", reset.to_string()),
    ]
}

fn with_rate_headers(mut refusal: Refusal, state: &State, signal: RateSignal) -> Refusal {
    refusal.headers.extend(rate_headers(state, signal));
    refusal
}

/// Does the operation, with the faults that happen around the work itself.
fn work(
    state: &mut State,
    call: &Call,
    stamp: &Stamp,
    fault: Option<&Fault>,
    record: &mut Record,
    signal: Option<RateSignal>,
) -> Result<Reply, Refusal> {
    if let Some(Fault::LateApply { delay_ms }) = fault {
        state.defer(*delay_ms, Deferred::Call(Box::new(call.clone())));
        return Err(server_error(504));
    }
    if let (Some(Fault::EtagRace { fields }), Some(at), Some(id)) = (fault, record.at, call.route.item_id()) {
        // The race is lost on purpose; an item that is not there any more loses nothing.
        state.colleague_edits(at, id, fields).ok();
    }
    let twist = Twist { broken_deletion: fault == Some(&Fault::BrokenDeletion) };
    let mut answer = operations::execute(state, call, stamp, twist, &mut record.effect);
    if let Some(Fault::DuplicatedDelivery { second_answer }) = fault {
        let mut effect = Effect::default();
        let second = operations::execute(state, call, stamp, twist, &mut effect);
        Record { effect, units: 0, ..*record }.write(
            state,
            call,
            second.as_ref().map_or_else(|refusal| refusal.status, |reply| reply.status),
        );
        if *second_answer {
            answer = second;
        }
    }
    match signal {
        None => answer,
        Some(signal) => {
            let headers = rate_headers(state, signal);
            match answer {
                Ok(mut reply) => {
                    reply.headers.extend(headers);
                    Ok(reply)
                }
                Err(mut refusal) => {
                    refusal.headers.extend(headers);
                    Err(refusal)
                }
            }
        }
    }
}

/// Applies an operation whose answer was lost long ago.
pub(crate) fn apply_late(state: &mut State, call: &Call) {
    let request_id = state.chance.guid();
    let stamp = Stamp {
        request_id: request_id.to_string(),
        client_request_id: request_id.to_string(),
        now_ms: state.clock.now_ms(),
    };
    let at = call.route.list_ref().and_then(|list| state.find_list(list).ok());
    let list = at.map(|(site, list)| state.sites[site].lists[list].id);
    let mut record =
        Record { fault: Some("late_apply"), units: 0, effect: Effect::default(), at, list, request_id };
    let done = operations::execute(state, call, &stamp, Twist::default(), &mut record.effect);
    record.write(state, call, done.map_or_else(|refusal| refusal.status, |reply| reply.status));
}

/// What is logged of an operation.
#[derive(Debug, Clone, Copy)]
struct Record {
    fault: Option<&'static str>,
    units: u64,
    effect: Effect,
    at: Option<(usize, usize)>,
    list: Option<Uuid>,
    request_id: Uuid,
}

impl Record {
    fn write(&self, state: &mut State, call: &Call, status: u16) {
        let at_ms = state.clock.now_ms();
        if let Route::Event(event) = &call.route {
            state.log.totals.count_route(event.name());
        }
        state.log.push(LogEntry {
            seq: 0,
            at_ms,
            method: call.method.as_str().to_owned(),
            path: call.full_path(),
            status,
            ru: self.units,
            kind: call.kind,
            list: self.list,
            item: self.effect.item.or_else(|| call.route.item_id()),
            fault: self.fault.map(str::to_owned),
            applied: self.effect.applied,
            request_id: self.request_id,
            part: call.part.clone(),
        });
    }
}
