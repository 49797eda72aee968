//! A fuzzer over the API's own description: well-formed requests, slightly wrong ones, and nonsense. None may be a fault of
//! the server.

use fastrand::Rng;
use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value, json};

use super::kit::{World, answer};

/// Requests of the test; `make test-api` sends many more, from another generator.
const REQUESTS: usize = 3000;
/// Another number of requests.
const MORE: &str = "SYNCLINE_FUZZ";

/// Texts that find faults.
const TEXTS: &[&str] = &[
    "",
    "projects",
    "people",
    "P1",
    "0",
    "1",
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "1e309",
    "NaN",
    "null",
    "\0",
    "a\0b",
    "\u{202e}",
    "'; drop table run; --",
    "../../etc/passwd",
    "%00",
    "%",
    "full",
    "incremental",
    "source",
    "cache",
    "2026-01-01T00:00:00Z",
    "-009999-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "nightly",
    "running",
    "failed",
    "[]",
    "\u{1F980}",
];

struct Fuzzer<'d> {
    random: Rng,
    document: &'d Value,
}

impl Fuzzer<'_> {
    fn text(&mut self) -> String {
        match self.random.u8(0..10) {
            0 => "x".repeat(self.random.usize(0..3000)),
            1 => (0..self.random.usize(0..20)).map(|_| self.random.char(..)).collect(),
            _ => TEXTS[self.random.usize(0..TEXTS.len())].to_owned(),
        }
    }

    /// A value of a schema, most of the time.
    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        if depth == 0 || self.random.u8(0..12) == 0 {
            return self.nonsense();
        }
        if let Some(name) = schema["$ref"].as_str() {
            let pointer = name.trim_start_matches('#');
            let found = self.document.pointer(pointer).cloned().unwrap_or_default();
            return self.value(&found, depth - 1);
        }
        for key in ["oneOf", "anyOf", "allOf"] {
            if let Some(choices) = schema[key].as_array().filter(|choices| !choices.is_empty()) {
                let choice = choices[self.random.usize(0..choices.len())].clone();
                return self.value(&choice, depth - 1);
            }
        }
        if let Some(words) = schema["enum"].as_array() {
            return words[self.random.usize(0..words.len())].clone();
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => {
                kinds[self.random.usize(0..kinds.len())].as_str().unwrap_or_default().to_owned()
            }
            kind => kind.as_str().unwrap_or_default().to_owned(),
        };
        match kind.as_str() {
            "object" => self.object(schema, depth),
            "array" => {
                let n = self.random.usize(0..4);
                (0..n).map(|_| self.value(&schema["items"], depth - 1)).collect()
            }
            "integer" => self.integer(),
            "number" => json!(self.random.f64() * 1e9),
            "boolean" => json!(self.random.bool()),
            "null" => Value::Null,
            "string" => Value::from(self.text()),
            _ => self.nonsense(),
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let mut object = Map::new();
        for (name, schema) in schema["properties"].as_object().cloned().unwrap_or_default() {
            if self.random.u8(0..4) > 0 {
                object.insert(name, self.value(&schema, depth - 1));
            }
        }
        if self.random.u8(0..10) == 0 {
            object.insert(self.text(), self.nonsense());
        }
        Value::Object(object)
    }

    fn integer(&mut self) -> Value {
        let numbers = [0, 1, 2, 7, 100, 1000, 1001, i64::MAX, i64::MIN, -1];
        if self.random.u8(0..8) == 0 {
            json!(u64::MAX)
        } else {
            json!(numbers[self.random.usize(0..numbers.len())])
        }
    }

    fn nonsense(&mut self) -> Value {
        match self.random.u8(0..6) {
            0 => Value::Null,
            1 => json!([[[]]]),
            2 => json!({ "": {} }),
            3 => json!(self.random.bool()),
            4 => self.integer(),
            _ => Value::from(self.text()),
        }
    }

    fn word(&mut self, schema: &Value) -> String {
        match self.value(schema, 3) {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    /// One request of an operation.
    fn request(&mut self, world: &World, path: &str, method: &str, operation: &Value) -> RequestBuilder {
        let (mut path, mut query, mut headers) = (path.to_owned(), Vec::new(), Vec::new());
        for parameter in operation["parameters"].as_array().cloned().unwrap_or_default() {
            let name = parameter["name"].as_str().unwrap_or_default().to_owned();
            let word = self.word(&parameter["schema"]);
            match parameter["in"].as_str() {
                Some("path") => path = path.replace(&format!("{{{name}}}"), &percent(&word)),
                Some("query") if self.random.bool() => query.push((name, word)),
                Some("header") if self.random.bool() => headers.push((name, word)),
                _ => {}
            }
        }
        if self.random.u8(0..20) == 0 {
            query.push((self.text(), self.text()));
        }
        let method: Method = method.to_uppercase().parse().expect("a method");
        let mut request = world.request(method, &path).query(&query);
        for (name, word) in headers {
            if let Ok(value) = reqwest::header::HeaderValue::from_bytes(word.as_bytes()) {
                request = request.header(name, value);
            }
        }
        let Some(contents) = operation["requestBody"]["content"].as_object() else { return request };
        let (kind, content) = contents.iter().next().expect("a kind");
        let kind = if self.random.u8(0..15) == 0 { self.text() } else { kind.clone() };
        let body = self.value(&content["schema"], 5).to_string();
        let whole = self.random.u8(0..15) > 0;
        let body = if whole { body } else { body.chars().take(self.random.usize(0..20)).collect() };
        match reqwest::header::HeaderValue::from_bytes(kind.as_bytes()) {
            Ok(kind) => request.header("content-type", kind).body(body),
            Err(_) => request.body(body),
        }
    }
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_a_fault_of_the_server() {
    let seed = 20_261_127;
    #[expect(clippy::disallowed_methods, reason = "how much is fuzzed is asked from outside")]
    let requests = std::env::var(MORE).ok().and_then(|n| n.parse().ok()).unwrap_or(REQUESTS);
    println!("seed {seed}, {requests} requests");
    let world = World::open().await;
    let document: Value = serde_json::from_str(&syncline_server::api::document()).expect("JSON");
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            // a stream does not end, and the first token would end everything else
            let first_token = path.ends_with("/tokens") && method == "post";
            if !first_token && !path.ends_with("/stream") {
                operations.push((path.clone(), method.clone(), operation.clone()));
            }
        }
    }
    let mut fuzzer = Fuzzer { random: Rng::with_seed(seed), document: &document };
    let mut good = 0;
    for n in 0..requests {
        let (path, method, operation) = &operations[fuzzer.random.usize(0..operations.len())];
        let request = fuzzer.request(&world, path, method, operation);
        let Some(built) = request.try_clone().and_then(|request| request.build().ok()) else { continue };
        let answer = answer(request).await;
        let status = answer.status.as_u16();
        // plans and the like may say that they are busy, and health that something is not well
        let fine =
            status < 500 || (status == 503 && (path == "/readyz" || path == "/health")) || status == 502;
        assert!(fine, "request {n} of seed {seed}: {method} {}: {answer:?}", built.url());
        if status >= 400 && path != "/health" {
            assert!(answer.json["code"].is_string(), "request {n}: {method} {}: {answer:?}", built.url());
        }
        good += usize::from(status < 300);
    }
    assert!(good > requests / 20, "{good} of {requests} were good: the fuzzer asks nonsense only");
}
