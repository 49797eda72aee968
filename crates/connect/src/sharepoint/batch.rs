//! Up to twenty requests in one (facts §2.10). It saves round trips, not quota: each part is charged and answered by
//! itself.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::Method;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::BATCH_MAX;
use crate::{
    Error,
    error::Kind,
    graph::{
        client::{Address, Answer, Call, Client},
        errors::{Acts, Doing, Refusal},
        throttle::Signals,
    },
};

/// A batch is sent before its body grows past this. Graph refuses requests somewhere above 4 MB [K].
const BYTES_MAX: usize = 3 << 20;

/// One part: a request about items of one list.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) doing: Doing,
    pub(super) method: Method,
    /// Below the Graph root and version.
    pub(super) path: String,
    pub(super) if_match: Option<String>,
    /// JSON.
    pub(super) body: Option<Vec<u8>>,
    pub(super) cost: u64,
}

/// The answer to one part.
#[derive(Debug)]
pub(super) struct PartAnswer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    signals: Signals,
    request: String,
    token: u64,
    acts: Acts,
}

impl PartAnswer {
    /// Whether it is a success.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The error this answer is.
    pub(super) fn refusal(&self, doing: Doing) -> Error {
        Refusal {
            status: self.status,
            body: &self.body,
            signals: &self.signals,
            request: &self.request,
            acts: self.acts,
            challenge: None,
        }
        .error(doing)
    }

    /// The correlation id of its request.
    pub(super) fn request(&self) -> &str {
        &self.request
    }
}

/// Sends parts, in as few requests as their number and size allow, one request after the other. Exactly one result per
/// part, in order. Parts refused for their token are sent once more with a new one.
pub(super) async fn exchange(client: &Client, list: &str, parts: &[Part]) -> Vec<Result<PartAnswer, Error>> {
    let mut results = Vec::with_capacity(parts.len());
    let mut start = 0;
    while start < parts.len() {
        let end = chunk_end(parts, start);
        results.extend(chunk(client, list, &parts[start..end]).await);
        start = end;
    }
    renew_refused(client, list, parts, &mut results).await;
    results
}

fn chunk_end(parts: &[Part], start: usize) -> usize {
    let size = |part: &Part| part.body.as_ref().map_or(0, Vec::len) + part.path.len();
    let mut bytes = size(&parts[start]);
    let mut end = start + 1;
    while end < parts.len() && end - start < BATCH_MAX && bytes + size(&parts[end]) <= BYTES_MAX {
        bytes += size(&parts[end]);
        end += 1;
    }
    end
}

/// A token may expire between the gateway and a part: the far side did nothing, so a second try is safe.
async fn renew_refused(
    client: &Client,
    list: &str,
    parts: &[Part],
    results: &mut [Result<PartAnswer, Error>],
) {
    // A request of one part has had its second try in the client.
    if parts.len() < 2 {
        return;
    }
    let refused = |r: &Result<PartAnswer, Error>| match r {
        Ok(answer) if answer.status == 401 => Some(answer.token),
        _ => None,
    };
    let again: Vec<usize> = (0..results.len()).filter(|i| refused(&results[*i]).is_some()).collect();
    let Some(token) = again.iter().filter_map(|i| refused(&results[*i])).max() else { return };
    client.evict(token).await;
    let parts: Vec<Part> = again.iter().map(|i| parts[*i].clone()).collect();
    let mut start = 0;
    while start < parts.len() {
        let end = chunk_end(&parts, start);
        let answers = chunk(client, list, &parts[start..end]).await;
        for (index, answer) in again[start..end].iter().zip(answers) {
            results[*index] = answer;
        }
        start = end;
    }
}

async fn chunk(client: &Client, list: &str, parts: &[Part]) -> Vec<Result<PartAnswer, Error>> {
    if let [part] = parts {
        return vec![single(client, list, part).await];
    }
    let call = Call {
        method: Method::POST,
        address: Address::Path("/$batch"),
        body: Some(envelope(parts)),
        if_match: None,
        cost: parts.iter().map(|p| p.cost).sum(),
        requests: parts.len() as u64,
        list: Some(list),
    };
    let answer = match client.send(call).await {
        Ok(answer) => answer,
        Err(error) => return parts.iter().map(|_| Err(error.clone())).collect(),
    };
    match answer.status {
        200 => answers(client, parts, &answer),
        // The envelope was refused, so no part was tried. One of them may be to blame: alone, each gets its own answer.
        400 | 413 => {
            let mut results = Vec::with_capacity(parts.len());
            for part in parts {
                results.push(single(client, list, part).await);
            }
            results
        }
        // Anything ambiguous about the whole is ambiguous about each part.
        _ => parts.iter().map(|part| Err(whole(&answer, part.doing))).collect(),
    }
}

/// A whole batch that was refused: no item is missing when `/$batch` is.
fn whole(answer: &Answer, doing: Doing) -> Error {
    let error = answer.refusal(doing);
    match error.kind {
        Kind::RecordMissing | Kind::StreamMissing => Error { kind: Kind::Definition, ..error }
            .hint("the graph address does not answer $batch requests"),
        _ => error,
    }
}

async fn single(client: &Client, list: &str, part: &Part) -> Result<PartAnswer, Error> {
    let answer = client
        .send(Call {
            method: part.method.clone(),
            address: Address::Path(&part.path),
            body: part.body.clone().map(Bytes::from),
            if_match: part.if_match.as_deref(),
            cost: part.cost,
            requests: 1,
            list: Some(list),
        })
        .await?;
    Ok(PartAnswer {
        status: answer.status,
        body: answer.body,
        signals: answer.signals,
        request: answer.request,
        token: answer.token,
        acts: answer.acts,
    })
}

/// The request body, written by hand: it is the hottest code of a load.
fn envelope(parts: &[Part]) -> Bytes {
    let size: usize = parts.iter().map(|p| p.path.len() + p.body.as_ref().map_or(0, Vec::len) + 160).sum();
    let mut out = Vec::with_capacity(size + 16);
    out.extend_from_slice(b"{\"requests\":[");
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"id\":\"");
        out.extend_from_slice(index.to_string().as_bytes());
        out.extend_from_slice(b"\",\"method\":\"");
        out.extend_from_slice(part.method.as_str().as_bytes());
        out.extend_from_slice(b"\",\"url\":");
        text(&part.path, &mut out);
        headers(part, &mut out);
        if let Some(body) = &part.body {
            out.extend_from_slice(b",\"body\":");
            out.extend_from_slice(body);
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    Bytes::from(out)
}

fn headers(part: &Part, out: &mut Vec<u8>) {
    let mut next: &[u8] = b",\"headers\":{";
    if part.body.is_some() {
        out.extend_from_slice(next);
        out.extend_from_slice(b"\"Content-Type\":\"application/json\"");
        next = b",";
    }
    if let Some(version) = &part.if_match {
        out.extend_from_slice(next);
        out.extend_from_slice(b"\"If-Match\":");
        text(version, out);
    }
    if part.body.is_some() || part.if_match.is_some() {
        out.push(b'}');
    }
}

/// Appends a JSON string.
pub(super) fn text(text: &str, out: &mut Vec<u8>) {
    // Writing text to memory cannot fail.
    serde_json::to_writer(out, text).ok();
}

#[derive(Deserialize)]
struct Responses<'a> {
    #[serde(borrow)]
    responses: Vec<Response<'a>>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    status: u16,
    #[serde(default)]
    headers: Headers,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

/// The quota headers of a part; dates in them are read later, against the answer's own date.
#[derive(Default)]
struct Headers(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Headers;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("headers")
            }

            fn visit_unit<E>(self) -> Result<Headers, E> {
                Ok(Headers::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut headers = Headers::default();
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    let quota = name.get(..5).is_some_and(|start| {
                        start.eq_ignore_ascii_case("retry") || start.eq_ignore_ascii_case("ratel")
                    });
                    if quota {
                        // Some gateways send numbers here.
                        let value: serde_json::Value = map.next_value()?;
                        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                        headers.0.push((name.into_owned(), value));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(headers)
            }
        }
        deserializer.deserialize_any(Map)
    }
}

impl Headers {
    fn signals(&self, now: Timestamp) -> Signals {
        let mut signals = Signals::default();
        for (name, value) in &self.0 {
            signals.read(name, value, now);
        }
        signals
    }
}

/// Matches the parts with their answers, which come in any order.
fn answers(client: &Client, parts: &[Part], answer: &Answer) -> Vec<Result<PartAnswer, Error>> {
    let (results, wait) = read(parts.len(), answer);
    let left = results.iter().flatten().filter_map(|part| part.signals.left()).min();
    // The vendor's advice: the longest wait of all throttled parts, for the whole application (facts §2.10).
    client.heed_parts(wait, left);
    results
}

/// The answers by part, and the longest wait among throttled ones. Pure.
pub(super) fn read(parts: usize, answer: &Answer) -> (Vec<Result<PartAnswer, Error>>, Option<Duration>) {
    let lost = |why: &str| {
        let error = Error::new(Kind::Unanswered, format!("{why} (request {})", answer.request));
        Err(Error { request: Some(answer.request.clone()), ..error })
    };
    let responses = match serde_json::from_slice::<Responses<'_>>(&answer.body) {
        Ok(envelope) => envelope.responses,
        Err(_) => {
            return ((0..parts).map(|_| lost("the batch's answer is broken or cut off")).collect(), None);
        }
    };
    let mut found: Vec<Option<PartAnswer>> = (0..parts).map(|_| None).collect();
    let mut longest: Option<Duration> = None;
    for response in responses {
        // As we wrote it, not "+1" or "01". An id we did not send, or a second answer to one: the first stands.
        let index = response.id.parse().ok().filter(|index: &usize| index.to_string() == response.id);
        let Some(slot) = index.and_then(|i| found.get_mut(i)).filter(|slot| slot.is_none()) else { continue };
        let signals = response.headers.signals(answer.at);
        if matches!(response.status, 429 | 503 | 509) {
            longest = Some(longest.unwrap_or_default().max(signals.wait()));
        }
        *slot = Some(PartAnswer {
            status: response.status,
            body: response.body.map_or_else(Vec::new, |b| b.get().as_bytes().to_vec()),
            signals,
            request: answer.request.clone(),
            token: answer.token,
            acts: answer.acts,
        });
    }
    for part in found.iter_mut().flatten() {
        if part.signals.retry_after.is_some() {
            part.signals.retry_after = part.signals.retry_after.max(longest);
        }
    }
    let results =
        found.into_iter().map(|part| part.map_or_else(|| lost("the batch's answer lacks this part"), Ok));
    (results.collect(), longest)
}

#[cfg(test)]
mod tests {
    use super::{super::doing, *};

    fn part(path: &str, if_match: Option<&str>, body: Option<&str>) -> Part {
        Part {
            doing: doing::CHANGE,
            method: Method::PATCH,
            path: path.into(),
            if_match: if_match.map(str::to_owned),
            body: body.map(|b| b.as_bytes().to_vec()),
            cost: 2,
        }
    }

    fn answer(body: &str) -> Answer {
        Answer {
            status: 200,
            signals: Signals::default(),
            body: body.into(),
            request: "r".into(),
            at: Timestamp::UNIX_EPOCH,
            token: 1,
            acts: Acts::Application,
            challenge: None,
            location: None,
        }
    }

    #[test]
    fn the_envelope_is_as_documented() {
        let body = envelope(&[part("/a/1", Some("\"g,3\""), Some("{\"X\":1.50}")), part("/a/2", None, None)]);
        assert_eq!(
            std::str::from_utf8(&body).unwrap(),
            r#"{"requests":[{"id":"0","method":"PATCH","url":"/a/1","headers":{"Content-Type":"application/json","If-Match":"\"g,3\""},"body":{"X":1.50}},{"id":"1","method":"PATCH","url":"/a/2"}]}"#
        );
    }

    #[test]
    fn chunks_by_number_and_size() {
        let small: Vec<Part> = (0..45).map(|_| part("/a", None, Some("{}"))).collect();
        assert_eq!((chunk_end(&small, 0), chunk_end(&small, 20), chunk_end(&small, 40)), (20, 40, 45));
        let note = "x".repeat(2 << 20);
        let large: Vec<Part> = (0..3).map(|_| part("/a", None, Some(&note))).collect();
        assert_eq!(chunk_end(&large, 0), 1);
    }

    #[test]
    fn answers_in_any_order_and_missing_ones() {
        let body = r#"{"responses":[
            {"id":"2","status":204,"headers":null},
            {"id":"9","status":200},
            {"id":"0","status":201,"headers":{"Location":"x"},"body":{"id":"7"}},
            {"id":"0","status":500}]}"#;
        let (results, wait) = read(3, &answer(body));
        assert_eq!(wait, None);
        let status = |i: usize| results[i].as_ref().map(|a| a.status).map_err(|e: &Error| e.kind);
        assert_eq!((status(0), status(1), status(2)), (Ok(201), Err(Kind::Unanswered), Ok(204)));
        assert_eq!(results[0].as_ref().unwrap().body, br#"{"id":"7"}"#);
    }

    #[test]
    fn throttled_parts_share_the_longest_wait() {
        let body = r#"{"responses":[{"id":"0","status":429,"headers":{"Retry-After":"2.5"}},
            {"id":"1","status":429,"headers":{"retry-after":9}},{"id":"2","status":201,"body":{}}]}"#;
        let (results, wait) = read(3, &answer(body));
        let nine = Duration::from_secs(9);
        assert_eq!(wait, Some(nine));
        for result in &results[..2] {
            let kind = result.as_ref().unwrap().refusal(doing::CREATE).kind;
            assert_eq!(kind, Kind::Throttled { retry_after: nine });
        }
        assert!(results[2].as_ref().unwrap().is_success());
    }

    #[test]
    fn a_cut_answer_tells_nothing_about_any_part() {
        let (results, _) = read(2, &answer(r#"{"responses":[{"id":"0","status":201,"body":{"id":"#));
        assert!(results.iter().all(|r| r.as_ref().is_err_and(|e| e.kind == Kind::Unanswered)));
    }
}
