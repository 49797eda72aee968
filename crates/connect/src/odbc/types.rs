//! ODBC's types as ours, and how their values travel.
//!
//! Codes: <https://learn.microsoft.com/sql/odbc/reference/appendixes/sql-data-types>. What is not exact in a C type of
//! ODBC (decimals, times with a fraction, time zones) travels as text.

use std::borrow::Cow;

use jiff::civil;
use odbc_api::sys::{Date, Timestamp};
use syncline_core::{
    schema::FieldType,
    time::{self, DAY_MICROS},
    value::Value,
};

use super::dialect::Dialect;

/// A column's type in the driver's words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Native {
    /// Type code of ODBC.
    pub(super) code: i16,
    /// The server's name of the type, in lower case; empty where it is not told.
    pub(super) name: String,
    /// Characters, bytes or digits.
    pub(super) size: Option<usize>,
    /// Digits after the point.
    pub(super) digits: Option<i16>,
}

/// How values of a column are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Bit,
    Int,
    Double,
    Date,
    Timestamp,
    /// UTF-16.
    Text,
    Bytes,
}

mod code {
    pub(super) const GUID: i16 = -11;
    pub(super) const SS_VARIANT: i16 = -150;
    pub(super) const SS_XML: i16 = -152;
    pub(super) const SS_TIME2: i16 = -154;
    pub(super) const SS_TIMESTAMPOFFSET: i16 = -155;
}

impl Native {
    /// For messages: `numeric(14,2)`, or the type's code where there is no name.
    pub(super) fn shown(&self) -> String {
        if self.name.is_empty() { format!("type {}", self.code) } else { self.name.clone() }
    }

    /// The field type, or nothing for a type that is not carried.
    pub(super) fn kind(&self, dialect: Dialect) -> Option<FieldType> {
        let name = self.name.as_str();
        match dialect {
            Dialect::Sqlite if !name.is_empty() => return Some(crate::sqlite::declared(name)),
            Dialect::Postgres => match name {
                "bool" => return Some(FieldType::Boolean),
                "json" | "jsonb" => return Some(FieldType::Json),
                "uuid" => return Some(FieldType::Uuid),
                _ => {}
            },
            Dialect::Mysql => match name {
                "json" => return Some(FieldType::Json),
                "uuid" => return Some(FieldType::Uuid),
                "tinyint(1)" => return Some(FieldType::Boolean),
                _ => {}
            },
            // NUMBER without digits holds any of 38, whatever code the driver gives it
            Dialect::Oracle if name == "number" && !matches!(self.code, 2 | 3) => {
                return Some(FieldType::Decimal { precision: None, scale: None });
            }
            _ => {}
        }
        Some(match self.code {
            -7 => FieldType::Boolean,
            -5 if name.contains("unsigned") => FieldType::Decimal { precision: Some(20), scale: Some(0) },
            -6 | -5 | 4 | 5 => FieldType::Int64,
            6..=8 => FieldType::Float64,
            2 | 3 => self.decimal(dialect),
            9 | 91 => FieldType::Date,
            10 | 92 | code::SS_TIME2 => FieldType::Time,
            11 | 93 => FieldType::Timestamp { zoned: self.is_instant(dialect) },
            95 | code::SS_TIMESTAMPOFFSET => FieldType::Timestamp { zoned: true },
            -4..=-2 => FieldType::Binary,
            -10..=-8 | -1 | 1 | 12 | code::SS_XML | code::SS_VARIANT => FieldType::Text,
            code::GUID => FieldType::Uuid,
            _ => return None,
        })
    }

    fn decimal(&self, dialect: Dialect) -> FieldType {
        let precision = self.size.and_then(|p| u32::try_from(p).ok());
        let scale = self.digits.and_then(|s| u32::try_from(s).ok());
        match (dialect, precision, scale) {
            // what PostgreSQL's driver says of a numeric without limits
            (Dialect::Postgres, Some(28), Some(6)) | (_, None | Some(0), _) => {
                FieldType::Decimal { precision: None, scale: None }
            }
            (_, precision, scale) => FieldType::Decimal { precision, scale },
        }
    }

    /// Whether a timestamp is an instant. Time zones are no part of ODBC's own types, so the name tells.
    fn is_instant(&self, dialect: Dialect) -> bool {
        match dialect {
            Dialect::Postgres => self.name == "timestamptz",
            Dialect::Mysql => self.name == "timestamp",
            _ => self.name.contains("time zone"),
        }
    }

    /// How a column of this type and `kind` is fetched.
    pub(super) fn wire(&self, dialect: Dialect, kind: &FieldType) -> Wire {
        match (dialect, kind) {
            (Dialect::Sqlite, FieldType::Float64) => Wire::Text,
            (_, FieldType::Float64) => Wire::Double,
            (_, FieldType::Binary) => Wire::Bytes,
            (Dialect::Postgres, FieldType::Boolean | FieldType::Int64) => Wire::Int,
            (Dialect::Mysql, FieldType::Boolean) => Wire::Int,
            // Statements turn the rest into text: those drivers hand over infinity, years BC and what is not of its
            // column's type as something else.
            (Dialect::Postgres | Dialect::Sqlite, _) => Wire::Text,
            (_, FieldType::Boolean) => Wire::Bit,
            (_, FieldType::Int64) => Wire::Int,
            (_, FieldType::Date) => Wire::Date,
            (_, FieldType::Timestamp { .. }) if matches!(self.code, 11 | 93) => Wire::Timestamp,
            _ => Wire::Text,
        }
    }
}

/// A cell as it was fetched.
#[derive(Debug, Clone, Copy)]
pub(super) enum Raw<'a> {
    Int(i64),
    Double(f64),
    Date(Date),
    Timestamp(Timestamp),
    Text(&'a [u16]),
    Bytes(&'a [u8]),
}

/// Why a value cannot be carried. Completes "column x (type): …".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    /// More digits than microseconds have.
    TooFine,
    /// Half a surrogate pair.
    NotUnicode,
    /// A number beyond a double, or none.
    NotFinite,
    /// Not what the type says.
    Malformed,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooFine => "a time with more digits than microseconds",
            Self::NotUnicode => "text that is not Unicode",
            Self::NotFinite => "a number that is not finite",
            Self::Malformed => "a value that is none of its type",
        })
    }
}

/// The value of a cell. `scratch` holds the text of a value, which is UTF-16 in the buffer.
pub(super) fn decode<'a>(
    raw: Raw<'a>,
    kind: &FieldType,
    scratch: &'a mut String,
) -> Result<Value<'a>, Misfit> {
    match (raw, kind) {
        (Raw::Int(v), FieldType::Int64) => Ok(Value::Int64(v)),
        (Raw::Int(v @ (0 | 1)), FieldType::Boolean) => Ok(Value::Boolean(v == 1)),
        (Raw::Double(v), FieldType::Float64) => Ok(Value::Float64(v)),
        (Raw::Bytes(v), FieldType::Binary) => Ok(Value::Binary(v.into())),
        (Raw::Date(v), FieldType::Date) => Ok(Value::Date(days(v.year, v.month, v.day)?)),
        (Raw::Timestamp(v), FieldType::Timestamp { zoned }) => {
            Ok(Value::Timestamp { micros: micros(&v)?, zoned: *zoned })
        }
        (Raw::Text(units), kind) => {
            scratch.clear();
            for c in char::decode_utf16(units.iter().copied()) {
                scratch.push(c.map_err(|_| Misfit::NotUnicode)?);
            }
            text(scratch, kind)
        }
        _ => Err(Misfit::Malformed),
    }
}

fn days(year: i16, month: u16, day: u16) -> Result<i32, Misfit> {
    let part = |n: u16| i8::try_from(n).map_err(|_| Misfit::Malformed);
    let date = civil::Date::new(year, part(month)?, part(day)?).map_err(|_| Misfit::Malformed)?;
    let since = date.since(civil::date(1970, 1, 1)).map_err(|_| Misfit::Malformed)?;
    Ok(since.get_days())
}

fn micros(v: &Timestamp) -> Result<i64, Misfit> {
    if v.hour > 23 || v.minute > 59 || v.second > 59 || v.fraction > 999_999_999 {
        return Err(Misfit::Malformed);
    }
    if !v.fraction.is_multiple_of(1000) {
        return Err(Misfit::TooFine);
    }
    let seconds = (i64::from(v.hour) * 60 + i64::from(v.minute)) * 60 + i64::from(v.second);
    let day = i64::from(days(v.year, v.month, v.day)?) * DAY_MICROS;
    Ok(day + seconds * 1_000_000 + i64::from(v.fraction / 1000))
}

fn text<'a>(text: &'a mut String, kind: &FieldType) -> Result<Value<'a>, Misfit> {
    if let FieldType::Decimal { .. } = kind {
        decimal(text)?;
        return Ok(Value::Decimal(Cow::Borrowed(text)));
    }
    let text = text.as_str();
    let trimmed = text.trim();
    let malformed = Misfit::Malformed;
    Ok(match kind {
        FieldType::Text => Value::Text(text.into()),
        FieldType::Json => Value::Json(text.into()),
        FieldType::Float64 => Value::Float64(trimmed.parse().map_err(|_| malformed)?),
        FieldType::Int64 => Value::Int64(trimmed.parse().map_err(|_| malformed)?),
        FieldType::Boolean => Value::Boolean(match trimmed.to_ascii_lowercase().as_str() {
            "1" | "t" | "true" => true,
            "0" | "f" | "false" => false,
            _ => return Err(malformed),
        }),
        FieldType::Uuid => Value::Uuid(trimmed.parse::<uuid::Uuid>().map_err(|_| malformed)?.into_bytes()),
        FieldType::Date => Value::Date(match trimmed {
            "infinity" => i32::MAX,
            "-infinity" => i32::MIN,
            _ if trimmed.len() == 10 => time::parse_date(trimmed).ok_or(malformed)?,
            _ => return Err(malformed),
        }),
        FieldType::Time if matches!(trimmed, "24:00:00" | "24:00:00.000000") => Value::Time(DAY_MICROS),
        FieldType::Time => Value::Time(time::parse_time(fine(trimmed)?).ok_or(malformed)?),
        FieldType::Timestamp { zoned } => {
            let micros = match trimmed {
                "infinity" => i64::MAX,
                "-infinity" => i64::MIN,
                _ => {
                    let (micros, offset) = timestamp(fine(trimmed)?).ok_or(malformed)?;
                    // an instant in a column of wall-clock times would become the clock of somewhere else
                    if offset && !zoned {
                        return Err(malformed);
                    }
                    micros
                }
            };
            Value::Timestamp { micros, zoned: *zoned }
        }
        _ => return Err(malformed),
    })
}

/// `2026-01-31 10:00:00.5` in microseconds, and whether an offset came after it, with a blank or without; a date alone is
/// its midnight.
pub(super) fn timestamp(text: &str) -> Option<(i64, bool)> {
    if text.len() == 10 {
        return time::parse_date(text).map(|day| (i64::from(day) * DAY_MICROS, false));
    }
    let joined;
    let text = match text.rsplit_once(' ') {
        Some((before, offset)) if offset.starts_with(['+', '-']) => {
            joined = format!("{before}{offset}");
            joined.as_str()
        }
        _ => text,
    };
    time::parse_timestamp(text)
}

/// The text itself, unless digits beyond the microsecond would be lost.
fn fine(text: &str) -> Result<&str, Misfit> {
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
    let mut digits = fraction.bytes().take_while(u8::is_ascii_digit);
    if digits.by_ref().skip(6).any(|d| d != b'0') { Err(Misfit::TooFine) } else { Ok(text) }
}

/// Makes `.50` and `-.5`, as Oracle and SQL Server print them, `0.50` and `-0.5`.
fn decimal(text: &mut String) -> Result<(), Misfit> {
    let trimmed = text.trim();
    if trimmed.len() != text.len() {
        *text = trimmed.to_owned();
    }
    if matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") {
        return Ok(());
    }
    let at = usize::from(text.starts_with(['-', '+']));
    if text[at..].starts_with('.') {
        text.insert(at, '0');
    }
    if text.starts_with('+') {
        text.remove(0);
    }
    match text.parse::<f64>() {
        Ok(v) if v.is_finite() => Ok(()),
        Ok(_) if text.bytes().any(|b| b.is_ascii_digit()) => Ok(()),
        Ok(_) => Err(Misfit::NotFinite),
        Err(_) => Err(Misfit::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_text(value: &str, kind: &FieldType) -> Result<Value<'static>, Misfit> {
        let units: Vec<u16> = value.encode_utf16().collect();
        decode(Raw::Text(&units), kind, &mut String::new()).map(Value::into_owned)
    }

    fn native(code: i16, name: &str) -> Native {
        Native { code, name: name.into(), size: Some(14), digits: Some(2) }
    }

    #[test]
    fn types_by_code_and_name() {
        let decimal = |precision, scale| Some(FieldType::Decimal { precision, scale });
        let time = |zoned| Some(FieldType::Timestamp { zoned });
        for (dialect, code, name, expected) in [
            (Dialect::Db2, 3, "decimal", decimal(Some(14), Some(2))),
            (Dialect::Oracle, 8, "number", decimal(None, None)),
            (Dialect::Mysql, -5, "bigint unsigned", decimal(Some(20), Some(0))),
            (Dialect::Mysql, -5, "bigint", Some(FieldType::Int64)),
            (Dialect::Mysql, 93, "timestamp", time(true)),
            (Dialect::Mysql, 93, "datetime", time(false)),
            (Dialect::SqlServer, -155, "datetimeoffset", time(true)),
            (Dialect::SqlServer, 93, "datetime2", time(false)),
            (Dialect::SqlServer, -11, "uniqueidentifier", Some(FieldType::Uuid)),
            (Dialect::Oracle, 93, "timestamp(6) with time zone", time(true)),
            (Dialect::Oracle, 93, "date", time(false)),
            (Dialect::Postgres, 12, "bool", Some(FieldType::Boolean)),
            (Dialect::Sybase, -7, "bit", Some(FieldType::Boolean)),
            (Dialect::Generic, 101, "interval", None),
        ] {
            assert_eq!(native(code, name).kind(dialect), expected, "{dialect:?} {name}");
        }
    }

    #[test]
    fn nothing_is_cut_off_unsaid() {
        let at =
            |fraction| Timestamp { year: 2026, month: 1, day: 31, hour: 10, minute: 17, second: 5, fraction };
        let zoned = FieldType::Timestamp { zoned: false };
        let read = |fraction| {
            decode(Raw::Timestamp(at(fraction)), &zoned, &mut String::new()).map(Value::into_owned)
        };
        let value = Value::Timestamp { micros: 1_769_854_625_123_456, zoned: false };
        assert_eq!(read(123_456_000), Ok(value.clone()));
        assert_eq!(read(123_456_700), Err(Misfit::TooFine));
        assert_eq!(of_text("2026-01-31 10:17:05.123456", &zoned), Ok(value));
        assert_eq!(of_text("2026-01-31 10:17:05.1234567", &zoned), Err(Misfit::TooFine));
        assert_eq!(of_text("10:17:05.1234560", &FieldType::Time), Ok(Value::Time(37_025_123_456)));
        let zero = Date { year: 0, month: 0, day: 0 };
        assert_eq!(decode(Raw::Date(zero), &FieldType::Date, &mut String::new()), Err(Misfit::Malformed));
        assert_eq!(
            decode(Raw::Text(&[0xd83d]), &FieldType::Text, &mut String::new()),
            Err(Misfit::NotUnicode)
        );
    }

    #[test]
    fn texts_of_values() {
        let decimal = FieldType::Decimal { precision: None, scale: None };
        for (text, expected) in [(".50", "0.50"), ("-.5", "-0.5"), ("450000.00", "450000.00"), ("NaN", "NaN")]
        {
            assert_eq!(of_text(text, &decimal), Ok(Value::Decimal(expected.into())));
        }
        assert_eq!(of_text("1,5", &decimal), Err(Misfit::Malformed));
        let zoned = FieldType::Timestamp { zoned: true };
        let at = |micros| Ok(Value::Timestamp { micros, zoned: true });
        assert_eq!(of_text("2026-01-31 12:17:05.0000000 +02:00", &zoned), at(1_769_854_625_000_000));
        assert_eq!(of_text("-infinity", &zoned), at(i64::MIN));
        assert_eq!(of_text("0044-03-15 00:00:00 BC", &zoned), Err(Misfit::Malformed));
        assert_eq!(of_text("1970-01-02", &FieldType::Date), Ok(Value::Date(1)));
    }
}
