//! Declared column types and stored values.
//!
//! SQLite stores any value in any column. The declared type says what is meant; a cell that does not fit it is a problem of
//! its record, never a silent change. <https://www.sqlite.org/datatype3.html>

use rusqlite::types::{Value as Stored, ValueRef};
use syncline_core::{schema::FieldType, time, value::Value};

/// The field type of a declared type. Timestamps are instants in UTC unless declared without a time zone.
pub(super) fn declared(text: &str) -> FieldType {
    let upper = text.to_ascii_uppercase();
    let (name, arguments) = upper.split_once('(').map_or((upper.as_str(), ""), |(n, a)| (n, a));
    let has = |part: &str| upper.contains(part);
    match name.trim() {
        "BOOLEAN" | "BOOL" => FieldType::Boolean,
        "DATE" => FieldType::Date,
        "TIME" => FieldType::Time,
        "UUID" | "GUID" => FieldType::Uuid,
        "JSON" | "JSONB" => FieldType::Json,
        _ if has("TIMESTAMP") || has("DATETIME") => FieldType::Timestamp { zoned: !has("WITHOUT") },
        "DECIMAL" | "NUMERIC" => {
            let mut digits = arguments.trim_end_matches(')').split(',').map(|d| d.trim().parse().ok());
            let precision = digits.next().flatten();
            let scale = digits.next().flatten().or_else(|| precision.map(|_| 0));
            FieldType::Decimal { precision, scale }
        }
        _ if has("INT") => FieldType::Int64,
        _ if has("REAL") || has("FLOA") || has("DOUB") => FieldType::Float64,
        _ if has("BLOB") => FieldType::Binary,
        _ => FieldType::Text,
    }
}

/// The value of a cell of a column of `kind`; `None` when it does not fit.
pub(super) fn read<'a>(cell: ValueRef<'a>, kind: &FieldType) -> Option<Value<'a>> {
    let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).ok();
    Some(match (cell, kind) {
        (ValueRef::Null, _) => Value::Null,
        (ValueRef::Text(v), FieldType::Text) => Value::Text(text(v)?.into()),
        (ValueRef::Text(v), FieldType::Json) => Value::Json(text(v)?.into()),
        (ValueRef::Integer(v), FieldType::Text) => Value::Text(v.to_string().into()),
        (ValueRef::Real(v), FieldType::Text) => Value::Text(v.to_string().into()),
        (ValueRef::Integer(v), FieldType::Int64) => Value::Int64(v),
        (ValueRef::Integer(v @ (0 | 1)), FieldType::Boolean) => Value::Boolean(v == 1),
        (ValueRef::Text(v), FieldType::Boolean) => Value::Boolean(boolean(text(v)?)?),
        (ValueRef::Real(v), FieldType::Float64) => Value::Float64(v),
        (ValueRef::Integer(v), FieldType::Float64) if v.unsigned_abs() <= 1 << 53 => Value::Float64(v as f64),
        (ValueRef::Integer(v), FieldType::Decimal { .. }) => Value::Decimal(v.to_string().into()),
        // What SQLite made a double of is a double: its shortest text is what was written, up to 15 digits.
        (ValueRef::Real(v), FieldType::Decimal { .. }) if v.is_finite() => {
            Value::Decimal(v.to_string().into())
        }
        (ValueRef::Text(v), FieldType::Decimal { .. }) => {
            let v = text(v)?;
            v.trim().parse::<f64>().ok().filter(|n| n.is_finite())?;
            Value::Decimal(v.into())
        }
        (ValueRef::Blob(v), FieldType::Binary) => Value::Binary(v.into()),
        (ValueRef::Text(v), FieldType::Binary) => Value::Binary(v.into()),
        (ValueRef::Text(v), FieldType::Date) => Value::Date(date(text(v)?)?),
        (ValueRef::Integer(v), FieldType::Date) => Value::Date(i32::try_from(v.div_euclid(86_400)).ok()?),
        (ValueRef::Text(v), FieldType::Time) => Value::Time(time::parse_time(text(v)?.trim())?),
        (ValueRef::Text(v), FieldType::Timestamp { zoned }) => timestamp(text(v)?, *zoned)?,
        (ValueRef::Integer(v), FieldType::Timestamp { zoned }) => {
            Value::Timestamp { micros: v.checked_mul(1_000_000)?, zoned: *zoned }
        }
        (ValueRef::Text(v), FieldType::Uuid) => {
            Value::Uuid(text(v)?.trim().parse::<uuid::Uuid>().ok()?.into_bytes())
        }
        (ValueRef::Blob(v), FieldType::Uuid) => Value::Uuid(v.try_into().ok()?),
        _ => return None,
    })
}

fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "1" => Some(true),
        "false" | "f" | "0" => Some(false),
        _ => None,
    }
}

fn date(text: &str) -> Option<i32> {
    let text = text.trim();
    time::parse_date(text).filter(|_| text.len() >= 10)
}

fn timestamp(text: &str, zoned: bool) -> Option<Value<'static>> {
    let text = text.trim();
    let micros = match time::parse_timestamp(text) {
        Some((micros, _)) => micros,
        None => i64::from(date(text)?) * time::DAY_MICROS,
    };
    Some(Value::Timestamp { micros, zoned })
}

/// How a column stores its times, learnt from one of its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    /// Seconds since 1970.
    Seconds,
    /// ISO text with this character between date and time.
    Text(char),
}

impl Storage {
    /// From a cell.
    pub(super) fn of(cell: &Stored) -> Self {
        match cell {
            Stored::Integer(_) | Stored::Real(_) => Self::Seconds,
            Stored::Text(text) if text.as_bytes().get(10) == Some(&b' ') => Self::Text(' '),
            _ => Self::Text('T'),
        }
    }
}

/// The stored form of a lower bound: nothing that compares at or above `value` in time compares below it as stored. Text is
/// cut to whole seconds without a zone, for a prefix sorts before all its extensions.
pub(super) fn lower_bound(value: &Value<'_>, storage: Storage) -> Stored {
    match (value, storage) {
        (Value::Timestamp { micros, .. }, Storage::Seconds) => Stored::Integer(micros.div_euclid(1_000_000)),
        (Value::Date(days), Storage::Seconds) => Stored::Integer(i64::from(*days) * 86_400),
        (Value::Timestamp { micros, .. }, Storage::Text(separator)) => {
            let whole = micros.div_euclid(1_000_000).saturating_mul(1_000_000);
            Stored::Text(time::timestamp_text(whole, false).replacen('T', &separator.to_string(), 1))
        }
        (other, _) => stored(other),
    }
}

/// The stored form of a value to look for.
pub(super) fn stored(value: &Value<'_>) -> Stored {
    match value {
        Value::Null | Value::List(_) => Stored::Null,
        Value::Boolean(v) => Stored::Integer(i64::from(*v)),
        Value::Int64(v) => Stored::Integer(*v),
        Value::Float64(v) => Stored::Real(*v),
        Value::Binary(v) => Stored::Blob(v.to_vec()),
        Value::Decimal(v) | Value::Text(v) | Value::Json(v) => Stored::Text(v.to_string()),
        Value::Date(v) => Stored::Text(time::date_text(*v)),
        Value::Time(v) => Stored::Text(time::time_text(*v)),
        Value::Timestamp { micros, zoned } => Stored::Text(time::timestamp_text(*micros, *zoned)),
        Value::Uuid(v) => Stored::Text(uuid::Uuid::from_bytes(*v).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types() {
        for (text, kind) in [
            ("INTEGER", FieldType::Int64),
            ("bigint", FieldType::Int64),
            ("DECIMAL(14,2)", FieldType::Decimal { precision: Some(14), scale: Some(2) }),
            ("NUMERIC", FieldType::Decimal { precision: None, scale: None }),
            ("numeric(5)", FieldType::Decimal { precision: Some(5), scale: Some(0) }),
            ("varchar(20)", FieldType::Text),
            ("", FieldType::Text),
            ("DOUBLE PRECISION", FieldType::Float64),
            ("TIMESTAMP", FieldType::Timestamp { zoned: true }),
            ("TIMESTAMP WITHOUT TIME ZONE", FieldType::Timestamp { zoned: false }),
            ("DATE", FieldType::Date),
            ("BLOB", FieldType::Binary),
        ] {
            assert_eq!(declared(text), kind, "{text}");
        }
    }

    #[test]
    fn cells_fit_or_do_not() {
        let decimal = FieldType::Decimal { precision: None, scale: None };
        let cell = |text: &'static str| ValueRef::Text(text.as_bytes());
        assert_eq!(read(cell("12.50"), &decimal), Some(Value::Decimal("12.50".into())));
        assert_eq!(read(ValueRef::Real(0.1), &decimal), Some(Value::Decimal("0.1".into())));
        assert_eq!(read(cell("NaN"), &decimal), None);
        assert_eq!(read(cell("2026-01-31"), &FieldType::Date), Some(Value::Date(20_484)));
        assert_eq!(read(cell("10000-01-01"), &FieldType::Date), None);
        assert_eq!(read(cell("soon"), &FieldType::Date), None);
        let zoned = FieldType::Timestamp { zoned: true };
        let at = Value::Timestamp { micros: 1_769_854_625_500_000, zoned: true };
        for text in ["2026-01-31T10:17:05.5Z", "2026-01-31 10:17:05.5", "2026-01-31T12:17:05.500+02:00"] {
            assert_eq!(read(cell(text), &zoned), Some(at.clone()), "{text}");
        }
        assert_eq!(read(ValueRef::Integer(7), &FieldType::Boolean), None);
        assert_eq!(read(ValueRef::Text(&[0xff]), &FieldType::Text), None);
    }

    #[test]
    fn bounds_sort_before_everything_they_must_include() {
        let at = Value::Timestamp { micros: 1_769_854_625_500_000, zoned: true };
        assert_eq!(lower_bound(&at, Storage::Text(' ')), Stored::Text("2026-01-31 10:17:05".into()));
        assert_eq!(lower_bound(&at, Storage::Text('T')), Stored::Text("2026-01-31T10:17:05".into()));
        assert_eq!(lower_bound(&at, Storage::Seconds), Stored::Integer(1_769_854_625));
        assert!("2026-01-31T10:17:05" < "2026-01-31T10:17:05.500Z");
    }
}
