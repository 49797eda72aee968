//! One value of a record, borrowed from a batch or owned.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{schema::FieldType, time};

/// A value. Borrowed (`Value<'a>`) while it is looked at, owned (`Value<'static>`) where it is kept.
///
/// Units: dates are days since 1970-01-01; times and timestamps are microseconds. `i32::MAX`, `i64::MAX` and their
/// minima stand for the database's infinity and -infinity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "v", rename_all = "snake_case")]
pub enum Value<'a> {
    /// Known to be empty; writing it clears the field.
    Null,
    /// Boolean.
    Boolean(bool),
    /// Integer.
    Int64(i64),
    /// Double; may be NaN or infinite.
    Float64(#[serde(with = "double")] f64),
    /// Exact decimal as the source prints it (`450000.00`); may be `NaN`, `Infinity` or `-Infinity`.
    Decimal(Cow<'a, str>),
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Binary(Cow<'a, [u8]>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01T00:00:00, in UTC when `zoned`, else by the wall clock of wherever it came from.
    Timestamp {
        /// Microseconds since the epoch.
        micros: i64,
        /// Whether it is an instant.
        zoned: bool,
    },
    /// Identifier.
    Uuid([u8; 16]),
    /// JSON text, as the source wrote it.
    Json(Cow<'a, str>),
    /// Several values.
    List(Vec<Value<'a>>),
}

impl Value<'_> {
    /// Whether this is [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Copies what is borrowed.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Boolean(v) => Value::Boolean(v),
            Self::Int64(v) => Value::Int64(v),
            Self::Float64(v) => Value::Float64(v),
            Self::Decimal(v) => Value::Decimal(Cow::Owned(v.into_owned())),
            Self::Text(v) => Value::Text(Cow::Owned(v.into_owned())),
            Self::Binary(v) => Value::Binary(Cow::Owned(v.into_owned())),
            Self::Date(v) => Value::Date(v),
            Self::Time(v) => Value::Time(v),
            Self::Timestamp { micros, zoned } => Value::Timestamp { micros, zoned },
            Self::Uuid(v) => Value::Uuid(v),
            Self::Json(v) => Value::Json(Cow::Owned(v.into_owned())),
            Self::List(v) => Value::List(v.into_iter().map(Value::into_owned).collect()),
        }
    }

    /// The name of the value's type, for messages; never the value itself.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "boolean",
            Self::Int64(_) => "int64",
            Self::Float64(_) => "float64",
            Self::Decimal(_) => "decimal",
            Self::Text(_) => "text",
            Self::Binary(_) => "binary",
            Self::Date(_) => "date",
            Self::Time(_) => "time",
            Self::Timestamp { .. } => "timestamp",
            Self::Uuid(_) => "uuid",
            Self::Json(_) => "json",
            Self::List(_) => "list",
        }
    }

    /// The value as JSON for people and for display (plans, parked keys): decimals as text, times in ISO 8601.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as J;
        match self {
            Self::Null => J::Null,
            Self::Boolean(v) => J::Bool(*v),
            Self::Int64(v) => J::from(*v),
            Self::Float64(v) => {
                serde_json::Number::from_f64(*v).map_or_else(|| J::String(v.to_string()), J::Number)
            }
            Self::Decimal(v) | Self::Text(v) | Self::Json(v) => J::String(v.to_string()),
            Self::Binary(v) => J::String(hex(v)),
            Self::Date(v) => J::String(time::date_text(*v)),
            Self::Time(v) => J::String(time::time_text(*v)),
            Self::Timestamp { micros, zoned } => J::String(time::timestamp_text(*micros, *zoned)),
            Self::Uuid(v) => J::String(uuid::Uuid::from_bytes(*v).to_string()),
            Self::List(v) => J::Array(v.iter().map(Value::to_json).collect()),
        }
    }

    /// Whether the value is of `kind` (null is of every kind).
    pub fn fits(&self, kind: &FieldType) -> bool {
        match (self, kind) {
            (Self::Null, _)
            | (Self::Boolean(_), FieldType::Boolean)
            | (Self::Int64(_), FieldType::Int64)
            | (Self::Float64(_), FieldType::Float64)
            | (Self::Decimal(_), FieldType::Decimal { .. })
            | (Self::Text(_), FieldType::Text)
            | (Self::Binary(_), FieldType::Binary)
            | (Self::Date(_), FieldType::Date)
            | (Self::Time(_), FieldType::Time)
            | (Self::Uuid(_), FieldType::Uuid)
            | (Self::Json(_), FieldType::Json) => true,
            (Self::Timestamp { zoned, .. }, FieldType::Timestamp { zoned: z }) => zoned == z,
            (Self::List(values), FieldType::List(of)) => values.iter().all(|v| v.fits(of)),
            _ => false,
        }
    }
}

/// A double as text: JSON has no NaN and no infinity, and its readers may be off in the last bit, which a stored cursor must
/// not be. Numbers, as earlier versions wrote them, are read too.
mod double {
    use serde::{Deserializer, Serializer, de};

    // Its signature is serde's.
    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        struct Double;
        impl de::Visitor<'_> for Double {
            type Value = f64;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<f64, E> {
                text.parse().map_err(|_| E::custom("not a number"))
            }

            fn visit_f64<E>(self, value: f64) -> Result<f64, E> {
                Ok(value)
            }

            fn visit_i64<E>(self, value: i64) -> Result<f64, E> {
                Ok(value as f64)
            }

            fn visit_u64<E>(self, value: u64) -> Result<f64, E> {
                Ok(value as f64)
            }
        }
        deserializer.deserialize_any(Double)
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char])
        .collect()
}
