//! `$batch`: up to 20 operations in one request (facts §2.10).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hyper::Method;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::access::Caller;
use crate::answer::{Refusal, Reply, Stamp};
use crate::faults::{Applied, Fault};
use crate::graph::{self, Body, Call, Fate, Outcome, server_error};
use crate::json_out::JsonOut;
use crate::request_log::LogEntry;
use crate::route::{OpKind, Route};
use crate::state::{Deferred, State};
use crate::switches::PartOrder;

/// Requests in one batch (facts §2.10 \[D\]).
const PARTS_MAX: usize = 20;

#[derive(Debug, Deserialize)]
struct Envelope {
    requests: Vec<Part>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    id: String,
    method: String,
    url: String,
    #[serde(default)]
    headers: Option<HashMap<String, String>>,
    #[serde(default)]
    body: Option<Value>,
    #[serde(default)]
    depends_on: Option<Vec<String>>,
}

/// A batch that was read and checked.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    calls: Vec<Call>,
    /// For each part, the parts it waits for.
    parents: Vec<Vec<usize>>,
}

fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "BadRequest", message.into())
}

impl Batch {
    /// Reads an envelope. Any fault of it is one 400 for all (facts §2.10 \[D\]).
    fn parse(state: &State, body: &[u8], base: &Arc<str>, caller: &Caller) -> Result<Self, Refusal> {
        let envelope: Envelope = serde_json::from_slice(body)
            .map_err(|error| malformed(format!("Invalid batch payload format: {error}")))?;
        if envelope.requests.is_empty() {
            return Err(malformed("Invalid batch payload format: no requests"));
        }
        if envelope.requests.len() > PARTS_MAX {
            return Err(Refusal::new(
                state.rules.batch_limit_status,
                "MaximumValueExceeded",
                format!("Number of batch request steps exceeds the maximum value of {PARTS_MAX}."),
            ));
        }
        let mut numbers = HashMap::with_capacity(envelope.requests.len());
        for (number, part) in envelope.requests.iter().enumerate() {
            if part.id.is_empty() || numbers.insert(part.id.to_lowercase(), number).is_some() {
                return Err(malformed(format!("Request Id {} has to be unique in a batch.", part.id)));
            }
        }
        let parents = envelope.requests.iter().map(|part| parents_of(part, &numbers));
        let parents = parents.collect::<Result<Vec<_>, _>>()?;
        check_acyclic(&parents)?;
        let calls = envelope.requests.into_iter().map(|part| part.into_call(base, caller));
        Ok(Self { calls: calls.collect::<Result<_, _>>()?, parents })
    }

    /// Executes every part; answers are in the order of the request.
    fn run(
        &self,
        state: &mut State,
        stamp: &Stamp,
        request_id: Uuid,
        failing: &dyn Fn(usize) -> Option<u16>,
    ) -> Run {
        let mut run = Run { replies: vec![None; self.calls.len()], fate: Fate::Send, latency_ms: 0 };
        let order = ordered(state, self.calls.len(), state.rules.batch_execution);
        let mut done: HashSet<usize> = HashSet::new();
        // Each pass executes what waits for nothing any more; there is no cycle, so every pass does something.
        while done.len() < self.calls.len() {
            for &number in &order {
                let ready = self.parents[number].iter().all(|parent| done.contains(parent));
                if done.contains(&number) || !ready {
                    continue;
                }
                done.insert(number);
                let failed_parent = self.parents[number].iter().any(|&parent| {
                    run.replies[parent].as_ref().is_some_and(|reply: &Reply| reply.status >= 400)
                });
                let refused = if failed_parent { Some(failed_dependency()) } else { None };
                let refused = refused.or_else(|| failing(number).map(server_error));
                if let Some(refusal) = refused {
                    let reply = refusal.into_reply(stamp);
                    log_refused(state, &self.calls[number], reply.status, request_id, !failed_parent);
                    run.replies[number] = Some(reply);
                    continue;
                }
                let outcome = graph::perform(state, &self.calls[number], stamp, request_id);
                run.fate = run.fate.max(outcome.fate);
                run.latency_ms += outcome.latency_ms;
                if outcome.halted {
                    return run;
                }
                run.replies[number] = Some(outcome.reply);
            }
        }
        run
    }

    /// Applies a batch whose answer was lost long ago, without faults or charges.
    pub(crate) fn apply_late(&self, state: &mut State) {
        for call in &self.calls {
            graph::apply_late(state, call);
        }
    }

    fn write(&self, state: &mut State, replies: &[Option<Reply>]) -> Vec<u8> {
        let order = ordered(state, self.calls.len(), state.rules.batch_responses);
        let size = replies.iter().flatten().map(|reply| reply.body.len() + 192).sum();
        let mut out = JsonOut::with_capacity(size);
        out.open();
        out.key("responses");
        out.open_array();
        for number in order {
            let Some(reply) = &replies[number] else { continue };
            out.open();
            out.text_field("id", self.calls[number].part.as_deref().unwrap_or(""));
            out.key("status");
            out.integer(i64::from(reply.status));
            out.key("headers");
            out.open();
            out.text_field("Cache-Control", "no-cache");
            for (name, value) in &reply.headers {
                out.text_field(name, value);
            }
            if !reply.body.is_empty() {
                out.text_field("Content-Type", "application/json");
            }
            out.close();
            if !reply.body.is_empty() {
                out.key("body");
                out.raw(&reply.body);
            }
            out.close();
        }
        out.close_array();
        out.close();
        out.into_bytes()
    }
}

struct Run {
    replies: Vec<Option<Reply>>,
    fate: Fate,
    latency_ms: u64,
}

fn failed_dependency() -> Refusal {
    Refusal::new(424, "FailedDependency", "A request this one depends on has failed")
}

fn parents_of(part: &Part, numbers: &HashMap<String, usize>) -> Result<Vec<usize>, Refusal> {
    let named = part.depends_on.iter().flatten();
    let found = named.map(|id| {
        numbers.get(&id.to_lowercase()).copied().ok_or_else(|| {
            malformed(format!("Request {} depends on {id}, which is not in the batch.", part.id))
        })
    });
    found.collect()
}

fn check_acyclic(parents: &[Vec<usize>]) -> Result<(), Refusal> {
    let mut done = vec![false; parents.len()];
    loop {
        let mut moved = false;
        for number in 0..parents.len() {
            if !done[number] && parents[number].iter().all(|&parent| done[parent]) {
                done[number] = true;
                moved = true;
            }
        }
        if done.iter().all(|done| *done) {
            return Ok(());
        }
        if !moved {
            return Err(malformed("The batch has a cycle of dependencies."));
        }
    }
}

impl Part {
    fn into_call(self, base: &Arc<str>, caller: &Caller) -> Result<Call, Refusal> {
        let method = Method::from_bytes(self.method.to_uppercase().as_bytes())
            .map_err(|_| malformed(format!("Request {} has no valid method.", self.id)))?;
        let header = |wanted: &str| {
            let all = self.headers.iter().flatten();
            all.filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.clone()).next()
        };
        let writes = matches!(method.as_str(), "POST" | "PATCH" | "PUT");
        if (writes || self.body.is_some()) && header("content-type").is_none() {
            return Err(malformed(format!(
                "Write request id : {} does not contain Content-Type header or body.",
                self.id
            )));
        }
        let absolute = self.url.contains("://");
        let mut call = Call::new(method, &self.url, base.clone(), caller.clone());
        if absolute || call.route == Route::Batch {
            call.problem = Some(malformed("The URL of a batch request must be a relative resource path"));
        }
        call.if_match = header("if-match");
        call.prefer = header("prefer");
        call.body = self.body.map_or(Body::Absent, Body::Json);
        call.part = Some(self.id);
        Ok(call)
    }
}

fn ordered(state: &mut State, count: usize, order: PartOrder) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..count).collect();
    match order {
        PartOrder::Listed => {}
        PartOrder::Reversed => numbers.reverse(),
        PartOrder::Shuffled => state.chance.shuffle(&mut numbers),
    }
    numbers
}

/// Answers `POST /$batch`. A batch that can be read is 200, whatever its parts say (facts §2.10 \[D\]).
pub(crate) fn perform(
    state: &mut State,
    call: &Call,
    body: &[u8],
    stamp: &Stamp,
    request_id: Uuid,
) -> Outcome {
    let strike = graph::strike(state, call);
    let fault = strike.fault;
    let name = fault.as_ref().map(Fault::name).or((strike.latency_ms > 0).then_some("latency"));
    let mut outcome =
        Outcome { reply: Reply::empty(200), fate: Fate::Send, latency_ms: strike.latency_ms, halted: false };
    // The parts are logged first: the status of the envelope is known only after them.
    let answered = match &fault {
        Some(Fault::ResetBeforeApply) => {
            outcome.fate = Fate::Reset;
            Ok(Reply::empty(0))
        }
        Some(fault) => match graph::refused_by_fault(state, call.caller.app, fault) {
            Some(refusal) => Err(refusal),
            None => answer(state, call, body, stamp, request_id, Some(fault), &mut outcome),
        },
        None => answer(state, call, body, stamp, request_id, None, &mut outcome),
    };
    outcome.reply = answered.unwrap_or_else(|refusal| refusal.into_reply(stamp));
    match fault {
        Some(Fault::ResetAfterApply | Fault::LateApply { .. }) => outcome.fate = Fate::Reset,
        Some(Fault::TruncatedBody) => outcome.fate = outcome.fate.max(Fate::Truncate),
        Some(Fault::Status { status, applied: Applied::After }) => {
            outcome.reply = server_error(status).into_reply(stamp);
        }
        _ => {}
    }
    log_envelope(state, call, outcome.reply.status, request_id, name);
    outcome
}

fn answer(
    state: &mut State,
    call: &Call,
    body: &[u8],
    stamp: &Stamp,
    request_id: Uuid,
    fault: Option<&Fault>,
    outcome: &mut Outcome,
) -> Result<Reply, Refusal> {
    if call.method != Method::POST {
        return Err(Refusal::new(405, "Request_BadRequest", "A batch is a POST."));
    }
    let batch = Batch::parse(state, body, &call.base, &call.caller)?;
    if let Some(Fault::LateApply { delay_ms }) = fault {
        state.defer(*delay_ms, Deferred::Batch(Box::new(batch)));
        return Ok(Reply::empty(0));
    }
    let mut failing = HashMap::new();
    if let Some(Fault::PartialBatch { status, share }) = fault {
        for number in 0..batch.calls.len() {
            if state.chance.happens(*share) {
                failing.insert(number, *status);
            }
        }
    }
    let mut run = batch.run(state, stamp, request_id, &|number| failing.get(&number).copied());
    if let Some(Fault::DuplicatedDelivery { second_answer }) = fault {
        let second = batch.run(state, stamp, request_id, &|_| None);
        if *second_answer {
            run = second;
        }
    }
    outcome.fate = run.fate;
    outcome.latency_ms += run.latency_ms;
    Ok(Reply::json(200, batch.write(state, &run.replies)))
}

fn log_envelope(state: &mut State, call: &Call, status: u16, request_id: Uuid, fault: Option<&'static str>) {
    let at_ms = state.clock.now_ms();
    state.log.push(LogEntry {
        seq: 0,
        at_ms,
        method: call.method.as_str().to_owned(),
        path: call.full_path(),
        status,
        ru: 0,
        kind: OpKind::Batch,
        list: None,
        item: None,
        fault: fault.map(str::to_owned),
        applied: false,
        request_id,
        part: None,
    });
}

/// Parts that never reached their own work: a failed dependency, or a partial failure on purpose.
fn log_refused(state: &mut State, call: &Call, status: u16, request_id: Uuid, by_fault: bool) {
    let list = call.route.list_ref().and_then(|list| state.find_list(list).ok());
    let list = list.map(|(site, list)| state.sites[site].lists[list].id);
    let at_ms = state.clock.now_ms();
    state.log.push(LogEntry {
        seq: 0,
        at_ms,
        method: call.method.as_str().to_owned(),
        path: call.full_path(),
        status,
        ru: 0,
        kind: call.kind,
        list,
        item: call.route.item_id(),
        fault: by_fault.then(|| "partial_batch".to_owned()),
        applied: false,
        request_id,
        part: call.part.clone(),
    });
}
