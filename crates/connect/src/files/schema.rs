//! The schema beside a file: `orders.csv.schema.json` for `orders.csv`, `orders.schema.json` for the directory `orders/`.
//!
//! ```json
//! {
//!   "fields": [
//!     { "name": "id", "type": "int64", "nullable": false },
//!     { "name": "amount", "type": "decimal(14,2)" }
//!   ],
//!   "primary_key": ["id"]
//! }
//! ```
//!
//! `type` is the word that Syncline uses for the type everywhere: `boolean`, `int64`, `float64`, `decimal`,
//! `decimal(14,2)`, `text`, `binary`, `date`, `time`, `timestamp`, `timestamp with zone`, `uuid`, `json`, `list of int64`.
//! `nullable` is true unless it is given.

use serde::{Deserialize, Serialize};
use syncline_core::schema::{Field, FieldType};

use super::error;
use crate::Error;

/// Largest schema that is read.
pub(super) const BYTES_MAX: u64 = 4 << 20;
/// Most columns of a stream.
pub(super) const COLUMNS_MAX: usize = 4_096;

/// The file's form.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    fields: Vec<Column>,
    #[serde(default)]
    primary_key: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default = "yes")]
    nullable: bool,
}

fn yes() -> bool {
    true
}

/// What it says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Schema {
    pub(super) fields: Vec<Field>,
    pub(super) primary_key: Vec<String>,
}

/// Reads a schema; `name` is that of its file.
///
/// # Errors
/// [`Kind::Definition`](crate::error::Kind::Definition), naming what is wrong and where.
pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Schema, Error> {
    let wrong = |what: String| error::malformed(name, what);
    let document: Document = serde_json::from_slice(bytes)
        .map_err(|e| wrong(format!("line {}, column {}: no schema: {e}", e.line(), e.column())))?;
    if document.fields.len() > COLUMNS_MAX {
        return Err(wrong(format!("more than {COLUMNS_MAX} fields")));
    }
    let mut fields: Vec<Field> = Vec::with_capacity(document.fields.len());
    for Column { name: column, kind, nullable } in document.fields {
        let kind = kind_of(&kind).ok_or_else(|| {
            wrong(format!("field {column:?}: there is no type {kind:?}"))
                .hint("types are words such as int64, decimal(14,2), text, timestamp with zone, list of text")
        })?;
        if fields.iter().any(|f| f.name == column) {
            return Err(wrong(format!("field {column:?} comes twice")));
        }
        fields.push(Field::new(column, kind, nullable));
    }
    if let Some(missing) = document.primary_key.iter().find(|k| fields.iter().all(|f| f.name != **k)) {
        return Err(wrong(format!("primary_key: there is no field {missing:?}")));
    }
    Ok(Schema { fields, primary_key: document.primary_key })
}

/// The schema of these fields, as it is written beside a file.
pub(super) fn write(fields: &[Field], primary_key: &[String]) -> Vec<u8> {
    let column = |f: &Field| Column { name: f.name.clone(), kind: f.kind.to_string(), nullable: f.nullable };
    let document =
        Document { fields: fields.iter().map(column).collect(), primary_key: primary_key.to_vec() };
    serde_json::to_vec_pretty(&document).unwrap_or_default()
}

/// The type of a word; the opposite of its `Display`.
fn kind_of(word: &str) -> Option<FieldType> {
    if let Some(of) = word.strip_prefix("list of ") {
        let of = kind_of(of).filter(|of| !matches!(of, FieldType::List(_)))?;
        return Some(FieldType::List(Box::new(of)));
    }
    if let Some(digits) = word.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')')) {
        let (precision, scale) = digits.split_once(',')?;
        let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
        return Some(FieldType::Decimal { precision: Some(precision), scale: Some(scale) });
    }
    Some(match word {
        "boolean" => FieldType::Boolean,
        "int64" => FieldType::Int64,
        "float64" => FieldType::Float64,
        "decimal" => FieldType::Decimal { precision: None, scale: None },
        "text" => FieldType::Text,
        "binary" => FieldType::Binary,
        "date" => FieldType::Date,
        "time" => FieldType::Time,
        "timestamp" => FieldType::Timestamp { zoned: false },
        "timestamp with zone" => FieldType::Timestamp { zoned: true },
        "uuid" => FieldType::Uuid,
        "json" => FieldType::Json,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_word_that_reads_back() {
        let decimal = |precision, scale| FieldType::Decimal { precision, scale };
        let scalars = [
            FieldType::Boolean,
            FieldType::Int64,
            FieldType::Float64,
            decimal(None, None),
            decimal(Some(38), Some(0)),
            FieldType::Text,
            FieldType::Binary,
            FieldType::Date,
            FieldType::Time,
            FieldType::Timestamp { zoned: true },
            FieldType::Timestamp { zoned: false },
            FieldType::Uuid,
            FieldType::Json,
        ];
        for kind in scalars {
            assert_eq!(kind_of(&kind.to_string()), Some(kind.clone()), "{kind}");
            let list = FieldType::List(Box::new(kind));
            assert_eq!(kind_of(&list.to_string()), Some(list.clone()), "{list}");
        }
        for word in ["", "integer", "decimal(1)", "decimal(a,b)", "list of", "list of list of text", "Text"] {
            assert_eq!(kind_of(word), None, "{word}");
        }
    }

    #[test]
    fn a_schema_is_read_or_refused() {
        let text = r#"{"fields":[{"name":"id","type":"int64","nullable":false},{"name":"n","type":"text"}],"primary_key":["id"]}"#;
        let schema = read("a", text.as_bytes()).unwrap();
        assert_eq!(schema.fields[0], Field::new("id", FieldType::Int64, false));
        assert_eq!(schema.fields[1], Field::new("n", FieldType::Text, true));
        assert_eq!(schema.primary_key, ["id"]);
        assert_eq!(read("b", &write(&schema.fields, &schema.primary_key)).ok(), Some(schema));
        for (text, part) in [
            ("{", "no schema"),
            (r#"{"fields":[],"key":[]}"#, "no schema"),
            (r#"{"fields":[{"name":"a","type":"int"}]}"#, "there is no type \"int\""),
            (r#"{"fields":[{"name":"a","type":"text"},{"name":"a","type":"text"}]}"#, "comes twice"),
            (r#"{"fields":[],"primary_key":["a"]}"#, "there is no field \"a\""),
        ] {
            let error = read("x.schema.json", text.as_bytes()).unwrap_err();
            assert!(error.message.contains(part) && error.message.contains("x.schema.json"), "{error}");
        }
    }
}
