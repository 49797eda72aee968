//! The JSON Schema of project files, for editors.

use serde_json::{Map, Value as Json, json};
use syncline_core::connection::{ConnectorSpec, OptionKind, OptionSpec};

use crate::{
    keys::{CONNECTION, Kind, PROJECT, Shape},
    units::{DURATION_PATTERN, SIZE_PATTERN},
};

/// The JSON Schema (draft 2020-12) of a project whose connections may be of these types.
///
/// It follows from the same tables as [`parse`](crate::parse), so a key that one knows is known to the other. What a
/// schema cannot say, such as that a connection exists, is left to [`parse`](crate::parse).
pub fn json_schema(connectors: &[ConnectorSpec]) -> Json {
    let mut schema = shape(&PROJECT, connectors);
    schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".into(), "Syncline project".into());
    let variable = json!({
        "type": "string",
        "pattern": r"\$\{[^}]+\}",
        "description": "A value from outside: ${NAME} (environment variable) or ${file:path}.",
    });
    schema.insert("$defs".into(), json!({ "variable": variable }));
    Json::Object(schema)
}

fn shape(shape: &Shape, connectors: &[ConnectorSpec]) -> Map<String, Json> {
    let mut properties = Map::new();
    for key in shape.keys {
        let default =
            if key.default.is_empty() { String::new() } else { format!(" Default: {}.", key.default) };
        let mut schema = kind(&key.kind, connectors);
        schema.insert("description".into(), format!("{}{default}", key.help).into());
        properties.insert(key.name.into(), Json::Object(schema));
    }
    let required: Vec<&str> = shape.keys.iter().filter(|k| k.required).map(|k| k.name).collect();
    group(properties, &required)
}

fn group(properties: Map<String, Json>, required: &[&str]) -> Map<String, Json> {
    let mut schema = object(json!({ "type": "object", "additionalProperties": false }));
    schema.insert("properties".into(), Json::Object(properties));
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    schema
}

fn kind(of: &Kind, connectors: &[ConnectorSpec]) -> Map<String, Json> {
    let deeper = |of: &Kind| Json::Object(kind(of, connectors));
    object(match of {
        Kind::Text | Kind::Secret | Kind::Sql => text(),
        Kind::Integer { min, max } if *max >= i64::MAX as u64 => {
            or_variable(&json!({ "type": "integer", "minimum": min }))
        }
        Kind::Integer { min, max } => {
            or_variable(&json!({ "type": "integer", "minimum": min, "maximum": max }))
        }
        Kind::Number { min, max } => {
            or_variable(&json!({ "type": "number", "minimum": min, "maximum": max }))
        }
        Kind::Boolean => or_variable(&json!({ "type": "boolean" })),
        Kind::Duration => or_variable(&json!({ "type": "string", "pattern": DURATION_PATTERN })),
        Kind::Size => or_variable(&json!({ "type": "string", "pattern": SIZE_PATTERN })),
        // `when: true` is an expression too
        Kind::Expression => json!({ "type": ["string", "boolean"], "minLength": 1 }),
        Kind::Scalar => json!({ "type": ["string", "number", "boolean", "null"] }),
        Kind::Words(words) => or_variable(&json!({ "enum": words.words })),
        Kind::Texts => json!({ "type": "array", "items": text(), "minItems": 1, "uniqueItems": true }),
        Kind::Shape(of) => Json::Object(shape(of, connectors)),
        Kind::Named(of) => {
            json!({ "type": "object", "additionalProperties": deeper(of), "minProperties": 1 })
        }
        Kind::List(of) => json!({ "type": "array", "items": deeper(of), "minItems": 1 }),
        Kind::Either(kinds) => json!({ "anyOf": kinds.iter().map(deeper).collect::<Vec<_>>() }),
        Kind::Connection => connection(connectors),
    })
}

/// One branch per type, chosen by `type`, so that an editor complains about the options of that type only.
fn connection(connectors: &[ConnectorSpec]) -> Json {
    let type_key = &CONNECTION.keys[0];
    let names: Vec<&str> = connectors.iter().map(|c| c.name).collect();
    let branches = connectors.iter().map(|connector| {
        let Json::Object(mut then) = options(connector.options) else { return Json::Null };
        if let Some(properties) = then.get_mut("properties").and_then(Json::as_object_mut) {
            properties.insert(
                type_key.name.into(),
                json!({ "const": connector.name, "description": connector.help }),
            );
        }
        json!({ "if": { "properties": { type_key.name: { "const": connector.name } } }, "then": then })
    });
    json!({
        "type": "object",
        "properties": { type_key.name: { "enum": names, "description": type_key.help } },
        "required": [type_key.name],
        "allOf": branches.collect::<Vec<_>>(),
    })
}

fn options(specs: &[OptionSpec]) -> Json {
    let mut properties = Map::new();
    for spec in specs {
        let mut schema = object(match spec.kind {
            OptionKind::Text if !spec.choices.is_empty() => or_variable(&json!({ "enum": spec.choices })),
            OptionKind::Text | OptionKind::Secret => text(),
            OptionKind::Integer => or_variable(&json!({ "type": "integer", "minimum": 0 })),
            OptionKind::Boolean => or_variable(&json!({ "type": "boolean" })),
            OptionKind::Duration => or_variable(&json!({ "type": "string", "pattern": DURATION_PATTERN })),
            OptionKind::Group(specs) => options(specs),
            OptionKind::List(specs) => json!({ "type": "array", "items": options(specs), "minItems": 1 }),
        });
        schema.insert("description".into(), spec.help.into());
        properties.insert(spec.name.into(), Json::Object(schema));
    }
    let required: Vec<&str> = specs.iter().filter(|s| s.required).map(|s| s.name).collect();
    Json::Object(group(properties, &required))
}

/// A text may be written as a number, and keeps every digit.
fn text() -> Json {
    json!({ "type": ["string", "number"], "minLength": 1 })
}

fn or_variable(schema: &Json) -> Json {
    json!({ "anyOf": [schema, { "$ref": "#/$defs/variable" }] })
}

fn object(schema: Json) -> Map<String, Json> {
    match schema {
        Json::Object(map) => map,
        other => Map::from_iter([("const".to_owned(), other)]),
    }
}
