//! Values as texts and as JSON: the opposite of `types`.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::value::RawValue;
use syncline_core::{
    decimal,
    time::{date_text, time_text, timestamp_text},
    value::Value,
};

/// The text of a value; `None` for null.
pub(super) fn text(value: &Value<'_>) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Boolean(v) => v.to_string(),
        Value::Int64(v) => v.to_string(),
        Value::Float64(v) => v.to_string(),
        Value::Decimal(v) | Value::Text(v) | Value::Json(v) => v.to_string(),
        Value::Binary(v) => BASE64_STANDARD.encode(v),
        Value::Date(v) => date_text(*v),
        Value::Time(v) => time_text(*v),
        Value::Timestamp { micros, zoned } => timestamp_text(*micros, *zoned),
        Value::Uuid(v) => uuid::Uuid::from_bytes(*v).to_string(),
        Value::List(_) => json(value),
    })
}

/// A value as JSON, on one line. Numbers keep their digits; what JSON has no number for is a string.
pub(super) fn json(value: &Value<'_>) -> String {
    let string = |text: String| serde_json::Value::String(text).to_string();
    match value {
        Value::Null => "null".into(),
        Value::Boolean(v) => v.to_string(),
        Value::Int64(v) => v.to_string(),
        Value::Float64(v) if v.is_finite() => v.to_string(),
        Value::Decimal(v) if decimal::is_finite(v) => number(v),
        // in valid JSON, line ends stand between its parts only
        Value::Json(v) => v.replace(['\n', '\r'], " "),
        Value::List(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(",")),
        other => string(text(other).unwrap_or_default()),
    }
}

/// A decimal as it is, where that is a number in JSON (`.5` and `+1` are none).
fn number(text: &str) -> String {
    let text = text.trim();
    let is_number = serde_json::from_str::<&RawValue>(text).is_ok();
    if is_number { text.to_owned() } else { decimal::normal(text) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use syncline_core::schema::FieldType;

    use super::{
        super::types::{of_json, of_text},
        *,
    };

    fn decimals() -> impl Strategy<Value = String> {
        prop_oneof!["-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,9})?", Just("NaN".into()), Just("-Infinity".into())]
    }

    fn scalar() -> impl Strategy<Value = (FieldType, Value<'static>)> {
        let zoned = any::<bool>();
        prop_oneof![
            any::<bool>().prop_map(|v| (FieldType::Boolean, Value::Boolean(v))),
            any::<i64>().prop_map(|v| (FieldType::Int64, Value::Int64(v))),
            any::<f64>().prop_map(|v| (FieldType::Float64, Value::Float64(v))),
            decimals().prop_map(|v| {
                (FieldType::Decimal { precision: None, scale: None }, Value::Decimal(v.into()))
            }),
            ".{0,8}".prop_map(|v| (FieldType::Text, Value::Text(v.into()))),
            proptest::collection::vec(any::<u8>(), 0..9)
                .prop_map(|v| (FieldType::Binary, Value::Binary(v.into()))),
            any::<i32>().prop_map(|v| (FieldType::Date, Value::Date(v))),
            (0..86_400_000_000_i64).prop_map(|v| (FieldType::Time, Value::Time(v))),
            (any::<i64>(), zoned).prop_map(|(micros, zoned)| {
                (FieldType::Timestamp { zoned }, Value::Timestamp { micros, zoned })
            }),
            any::<[u8; 16]>().prop_map(|v| (FieldType::Uuid, Value::Uuid(v))),
        ]
    }

    fn value() -> impl Strategy<Value = (FieldType, Value<'static>)> {
        prop_oneof![
            4 => scalar(),
            1 => scalar().prop_map(|(kind, v)| {
                (FieldType::List(Box::new(kind)), Value::List(vec![v, Value::Null]))
            }),
        ]
    }

    fn same(read: Option<&Value<'_>>, written: &Value<'_>) -> bool {
        // NaN is not itself
        read.is_some_and(|read| read == written || format!("{read:?}") == format!("{written:?}"))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read((kind, value) in value()) {
            let (text, json) = (text(&value).expect("not null"), json(&value));
            prop_assert!(same(of_text(&text, &kind).as_ref(), &value), "{:?} as {}", text, kind);
            prop_assert!(same(of_json(&json, &kind).as_ref(), &value), "{:?} as {}", json, kind);
            prop_assert!(!json.contains(['\n', '\r']));
        }
    }

    #[test]
    fn decimals_are_numbers_of_json() {
        for (text, expected) in
            [("1.50", "1.50"), (".5", "0.5"), ("+7", "7"), ("007.10", "7.1"), ("NaN", "\"NaN\"")]
        {
            assert_eq!(json(&Value::Decimal(text.into())), expected, "{text}");
        }
        assert_eq!(json(&Value::Json("{\n \"a\": \"\\n\"}".into())), "{  \"a\": \"\\n\"}");
    }
}
