//! Scenarios with exact answers, written by hand from the facts: `golden/*.json`.
//!
//! A scenario is a world and steps. A step is a call, the status, and the answer. In expected texts `{name}` stands
//! for what an earlier step kept; `<guid>`, `<digits>` and `<any>` stand for what cannot be known beforehand.

use std::collections::BTreeMap;

use serde_json::Value;
use syncline_sim::{ListSpec, Options};

use crate::caller::{Bench, still};
use crate::schema;

#[tokio::test]
async fn sites() {
    play("sites").await;
}

#[tokio::test]
async fn lists_and_columns() {
    play("lists").await;
}

#[tokio::test]
async fn items() {
    play("items").await;
}

#[tokio::test]
async fn refusals() {
    play("refusals").await;
}

#[tokio::test]
async fn filters() {
    play("filters").await;
}

#[tokio::test]
async fn delta() {
    play("delta").await;
}

#[tokio::test]
async fn batches() {
    play("batches").await;
}

async fn play(name: &str) {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("a golden file");
    let scenario: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut options = Options { ..still() };
    if let Some(switches) = scenario["switches"].as_object() {
        let mut all = serde_json::to_value(&options.switches).expect("switches");
        all.as_object_mut().expect("an object").extend(switches.clone());
        options.switches = serde_json::from_value(all).expect("switches");
    }
    let bench = Bench::start(options).await;
    let mut kept: BTreeMap<String, String> = BTreeMap::new();
    kept.insert("base".into(), bench.url.clone());
    let site = bench.get("/v1.0/sites/contoso.sharepoint.com:/sites/projects").await;
    let site = site.body["id"].as_str().expect("a site id").to_owned();
    kept.insert("site%".into(), site.replace(',', "%2C"));
    kept.insert("site".into(), site);
    for list in scenario["lists"].as_array().into_iter().flatten() {
        let spec: ListSpec = serde_json::from_value(list.clone()).expect("a list");
        let id = bench.world().add_list(&spec).expect("a list");
        kept.insert("list".into(), id);
    }
    for (number, step) in scenario["steps"].as_array().expect("steps").iter().enumerate() {
        take(&bench, step, &mut kept, &format!("{name} step {}", number + 1)).await;
    }
}

async fn take(bench: &Bench, step: &Value, kept: &mut BTreeMap<String, String>, at: &str) {
    let call = filled(step["call"].as_str().expect("a call"), kept);
    let (method, path) = call.split_once(' ').expect("method and path");
    let path =
        if path.starts_with("http") { path.to_owned() } else { format!("/v1.0{}", path.replace(' ', "%20")) };
    let headers: Vec<(String, String)> = step["headers"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), filled(value.as_str().unwrap_or(""), kept)))
        .collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let body = step.get("body").map(|body| filled_value(body, kept));
    let answer = bench.send(method, &path, &headers, body.as_ref()).await.expect("an answer");
    let status = u16::try_from(step["status"].as_u64().expect("a status")).expect("a status");
    assert_eq!(answer.status, status, "{at}: {}", answer.body);
    if let Some(expected) = step.get("answer") {
        let mut wrong = Vec::new();
        compare(&filled_value(expected, kept), &answer.body, "", &mut wrong);
        assert!(wrong.is_empty(), "{at}:\n{}\nin {:#}", wrong.join("\n"), answer.body);
    }
    for (header, expected) in step["answer_headers"].as_object().into_iter().flatten() {
        let found = answer.header(header).unwrap_or("(absent)");
        let expected = filled(expected.as_str().unwrap_or(""), kept);
        assert!(like(&expected, found), "{at}: header {header} is '{found}', expected '{expected}'");
    }
    match (step["schema"].as_str(), step["schema_each"].as_str()) {
        (Some(name), _) => schema::check(name, &answer.body),
        (None, Some(name)) => answer.values().iter().for_each(|value| schema::check(name, value)),
        (None, None) if status >= 400 => schema::check("error", &answer.body),
        (None, None) => {}
    }
    for (name, pointer) in step["keep"].as_object().into_iter().flatten() {
        let pointer = pointer.as_str().unwrap_or("");
        let value = answer.body.pointer(pointer).and_then(Value::as_str);
        kept.insert(name.clone(), value.unwrap_or_else(|| panic!("{at}: nothing at {pointer}")).to_owned());
    }
}

fn filled(text: &str, kept: &BTreeMap<String, String>) -> String {
    kept.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

fn filled_value(value: &Value, kept: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => filled(text, kept).into(),
        Value::Array(all) => all.iter().map(|value| filled_value(value, kept)).collect(),
        Value::Object(all) => {
            all.iter().map(|(name, value)| (name.clone(), filled_value(value, kept))).collect()
        }
        other => other.clone(),
    }
}

fn compare(expected: &Value, found: &Value, at: &str, wrong: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            // `"...": true` lets other members pass.
            let open = expected.contains_key("...");
            for (name, expected) in expected.iter().filter(|(name, _)| *name != "...") {
                match found.get(name) {
                    Some(found) => compare(expected, found, &format!("{at}/{name}"), wrong),
                    None => wrong.push(format!("{at}/{name}: is missing")),
                }
            }
            for name in found.keys().filter(|name| !open && !expected.contains_key(*name)) {
                wrong.push(format!("{at}/{name}: was not expected"));
            }
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            for (number, (expected, found)) in expected.iter().zip(found).enumerate() {
                compare(expected, found, &format!("{at}/{number}"), wrong);
            }
        }
        (Value::String(expected), Value::String(found)) if like(expected, found) => {}
        (Value::Number(expected), Value::Number(found)) if expected.as_f64() == found.as_f64() => {}
        (expected, found) if expected == found => {}
        _ => wrong.push(format!("{at}: is {found}, expected {expected}")),
    }
}

/// Whether a text fits a pattern with `<guid>`, `<digits>` and `<any>`.
fn like(pattern: &str, text: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('<') else { return pattern == text };
    let Some(text) = text.strip_prefix(before) else { return false };
    let Some((kind, rest)) = rest.split_once('>') else { return false };
    let fits = |taken: &str| match kind {
        "guid" => taken.len() == 36 && taken.chars().all(|c| c.is_ascii_hexdigit() || c == '-'),
        "digits" => !taken.is_empty() && taken.chars().all(|c| c.is_ascii_digit()),
        _ => true,
    };
    (0..=text.len())
        .filter(|at| text.is_char_boundary(*at))
        .any(|at| fits(&text[..at]) && like(rest, &text[at..]))
}
