//! A small JSON Schema validator: as much of the language as the files in `schemas/` use.

use serde_json::Value;

/// Checks a value against `schemas/{name}.json` and panics with every violation.
pub(crate) fn check(name: &str, value: &Value) {
    let mut wrong = Vec::new();
    validate(&load(name), value, name, &mut wrong);
    assert!(wrong.is_empty(), "{}\nin {value:#}", wrong.join("\n"));
}

fn load(name: &str) -> Value {
    let path = format!("{}/tests/schemas/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn validate(schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    if let Some(file) = schema["$ref"].as_str() {
        return validate(&load(file.trim_end_matches(".json")), value, at, wrong);
    }
    let known = [
        "$schema",
        "title",
        "description",
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "format",
        "oneFacetOf",
    ];
    for keyword in schema.as_object().into_iter().flatten().map(|(keyword, _)| keyword) {
        assert!(known.contains(&keyword.as_str()), "{at}: the validator does not know '{keyword}'");
    }
    if let Some(kind) = schema["type"].as_str()
        && !has_type(kind, value)
    {
        wrong.push(format!("{at}: is no {kind}: {value}"));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        wrong.push(format!("{at}: {value} is not one of {allowed:?}"));
    }
    if let (Some(format), Some(text)) = (schema["format"].as_str(), value.as_str())
        && !has_format(format, text)
    {
        wrong.push(format!("{at}: '{text}' is no {format}"));
    }
    if let Some(object) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(name) {
                wrong.push(format!("{at}: '{name}' is missing"));
            }
        }
        let facets = schema["oneFacetOf"].as_array().into_iter().flatten().filter_map(Value::as_str);
        if facets.filter(|name| object.contains_key(*name)).count() > 1 {
            wrong.push(format!("{at}: more than one facet"));
        }
        for (name, value) in object {
            let here = format!("{at}.{name}");
            match (schema["properties"].get(name), &schema["additionalProperties"]) {
                (Some(property), _) => validate(property, value, &here, wrong),
                (None, Value::Bool(false)) => wrong.push(format!("{here}: is not allowed")),
                (None, rest @ Value::Object(_)) => validate(rest, value, &here, wrong),
                (None, _) => {}
            }
        }
    }
    if let (Some(items), Value::Object(_)) = (value.as_array(), &schema["items"]) {
        for (number, item) in items.iter().enumerate() {
            validate(&schema["items"], item, &format!("{at}[{number}]"), wrong);
        }
    }
}

fn has_type(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("unknown type {other}"),
    }
}

fn has_format(format: &str, text: &str) -> bool {
    let shape = |pattern: &str| {
        text.len() == pattern.len()
            && text.chars().zip(pattern.chars()).all(|(c, p)| match p {
                '0' => c.is_ascii_digit(),
                'x' => c.is_ascii_hexdigit() && !c.is_ascii_uppercase(),
                _ => c == p,
            })
    };
    match format {
        "guid" => shape("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"),
        // Whole seconds, UTC (facts §2.5).
        "instant" => shape("0000-00-00T00:00:00Z"),
        // No zone suffix (facts §1.3).
        "local-instant" => shape("0000-00-00T00:00:00"),
        "item-id" | "lookup-id" => !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()),
        "etag" => text.starts_with('"') && text.ends_with('"') && text.contains(','),
        "url" => text.starts_with("http://") || text.starts_with("https://"),
        "site-id" => text.split(',').count() == 3,
        other => panic!("unknown format {other}"),
    }
}

#[test]
fn the_validator_finds_what_is_wrong() {
    let mut wrong = Vec::new();
    let bad = serde_json::json!({ "error": { "code": 7, "innerError": { "date": "2026-01-31T10:17:05Z" } } });
    validate(&load("error"), &bad, "error", &mut wrong);
    assert_eq!(wrong.len(), 5, "{wrong:#?}");
}
