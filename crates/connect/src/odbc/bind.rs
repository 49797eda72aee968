//! Values on their way to the server: texts that the statement casts, and never shown.

use std::fmt;

use syncline_core::{
    schema::FieldType,
    time::{DAY_MICROS, time_text, timestamp_text, year_of_day},
    value::Value,
};

use super::{describe::Column, dialect::Dialect};

/// A parameter.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Param {
    Text(String),
    Bytes(Vec<u8>),
}

impl fmt::Debug for Param {
    /// Without the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Param")
    }
}

impl Param {
    /// A value as a parameter for a column. Nothing when no record can have it, or the value is of another kind.
    pub(super) fn of(column: &Column, value: &Value<'_>) -> Option<Self> {
        if !value.fits(&column.field.kind) {
            return None;
        }
        let text = match value {
            Value::Boolean(v) => u8::from(*v).to_string(),
            Value::Int64(v) => v.to_string(),
            Value::Float64(v) if v.is_finite() => format!("{v:e}"),
            Value::Float64(v) if column.dialect == Dialect::Postgres => v.to_string(),
            // beyond every double
            Value::Float64(v) if column.dialect == Dialect::Sqlite && !v.is_nan() => {
                if *v > 0.0 {
                    "9e999".into()
                } else {
                    "-9e999".into()
                }
            }
            Value::Decimal(v) => v.clone().into_owned(),
            Value::Text(v) | Value::Json(v) if !v.contains('\0') => v.clone().into_owned(),
            Value::Binary(v) => return Some(Self::Bytes(v.to_vec())),
            Value::Uuid(v) => uuid::Uuid::from_bytes(*v).to_string(),
            Value::Time(v) => time_text(*v),
            Value::Date(v) => date(*v, column),
            Value::Timestamp { micros, .. } => timestamp(*micros, column),
            _ => return None,
        };
        Some(Self::Text(text))
    }
}

/// First and last year that a time in a statement may have, and how infinity is said where it is.
fn years(column: &Column) -> (i32, i32) {
    let first = match (column.dialect, column.native.name.as_str()) {
        (Dialect::SqlServer, "datetime") | (Dialect::Sybase, "datetime") => 1753,
        (dialect, _) => dialect.facts().first_year,
    };
    (first, 9999)
}

fn date(day: i32, column: &Column) -> String {
    if column.dialect == Dialect::Postgres && matches!(day, i32::MIN | i32::MAX) {
        return if day > 0 { "infinity".into() } else { "-infinity".into() };
    }
    let at = i64::from(day).saturating_mul(DAY_MICROS);
    clamped(at, years(column)).get(..10).unwrap_or_default().to_owned()
}

fn timestamp(micros: i64, column: &Column) -> String {
    if column.dialect == Dialect::Postgres && matches!(micros, i64::MIN | i64::MAX) {
        return if micros > 0 { "infinity".into() } else { "-infinity".into() };
    }
    let text = clamped(micros, years(column));
    match (column.dialect, &column.field.kind) {
        (Dialect::Postgres | Dialect::SqlServer, FieldType::Timestamp { zoned: true }) => text + "+00:00",
        _ => text,
    }
}

/// `2026-01-31 10:00:00.123456`; what lies outside of what the server can have becomes its first or last moment.
fn clamped(micros: i64, (first, last): (i32, i32)) -> String {
    match year_of_day(micros.div_euclid(DAY_MICROS)) {
        Some(year) if year > last => format!("{last:04}-12-31 23:59:59.999999"),
        None if micros > 0 => format!("{last:04}-12-31 23:59:59.999999"),
        Some(year) if year >= first => {
            let seconds =
                timestamp_text(micros.div_euclid(1_000_000) * 1_000_000, false).replacen('T', " ", 1);
            format!("{seconds}.{:06}", micros.rem_euclid(1_000_000))
        }
        Some(_) | None => format!("{first:04}-01-01 00:00:00.000000"),
    }
}

#[cfg(test)]
mod tests {
    use syncline_core::schema::Field;

    use super::{super::types::Native, *};

    fn bound(dialect: Dialect, native: &str, kind: FieldType, value: &Value<'_>) -> Option<String> {
        let native = Native { name: native.into(), ..Native::default() };
        match Param::of(&Column::new(dialect, '"', Field::new("c", kind, true), native), value)? {
            Param::Text(text) => Some(text),
            Param::Bytes(_) => None,
        }
    }

    #[test]
    fn times_have_the_form_of_the_server_and_its_limits() {
        let at = |micros| Value::Timestamp { micros, zoned: true };
        let zoned = FieldType::Timestamp { zoned: true };
        for (dialect, native, micros, expected) in [
            (Dialect::Oracle, "", 1_769_854_625_500_000, "2026-01-31 10:17:05.500000"),
            (Dialect::Postgres, "timestamptz", -1, "1969-12-31 23:59:59.999999+00:00"),
            (Dialect::Postgres, "timestamptz", i64::MIN, "-infinity"),
            (Dialect::Mysql, "timestamp", i64::MIN, "0000-01-01 00:00:00.000000"),
            (Dialect::SqlServer, "datetime", i64::MIN + 1, "1753-01-01 00:00:00.000000+00:00"),
            (Dialect::Oracle, "", i64::MAX, "9999-12-31 23:59:59.999999"),
        ] {
            assert_eq!(
                bound(dialect, native, zoned.clone(), &at(micros)).as_deref(),
                Some(expected),
                "{dialect:?}"
            );
        }
        assert_eq!(bound(Dialect::Db2, "", FieldType::Date, &Value::Date(-1)).as_deref(), Some("1969-12-31"));
    }

    #[test]
    fn values_no_record_can_have_are_none() {
        assert_eq!(bound(Dialect::Db2, "", FieldType::Text, &Value::Text("a\0b".into())), None);
        assert_eq!(bound(Dialect::Db2, "", FieldType::Text, &Value::Int64(1)), None);
        assert_eq!(format!("{:?}", Param::Text("hunter2".into())), "Param");
    }
}
