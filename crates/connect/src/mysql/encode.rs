//! Values as the texts that the server reads: exact, or refused. The same for `LOAD DATA` and for parameters of `INSERT`.

use std::io::Write as _;

use mysql_async::Value as Raw;
use syncline_core::{decimal, schema::FieldType, time::DAY_MICROS, value::Value};
use uuid::Uuid;

use crate::database::{Column, dialect::mysql::Declared};

/// A value that the server would not hold as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unfit;

/// How the values of a column are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As text.
    Text,
    /// As digits, which the server turns into bits.
    Bits,
    /// Times with this many digits of a second; more are cut off.
    Time(u32),
}

impl Form {
    /// For a column of the staging table.
    pub(super) fn of(column: &Column) -> Self {
        let declared = Declared::of(&column.declared);
        let is_time = matches!(column.kind, FieldType::Time | FieldType::Timestamp { .. });
        match declared.name.as_str() {
            "bit" => Self::Bits,
            "time" | "datetime" | "timestamp" if is_time => Self::Time(declared.fraction()),
            _ => Self::Text,
        }
    }

    /// What becomes of a field of `LOAD DATA` that is read into the variable `@v`; `None`: it goes into the column as it is.
    pub(super) fn assignment(self, column: &Column, variable: &str) -> Option<String> {
        match (self, &column.kind) {
            (Self::Bits, _) => Some(format!("CAST({variable} AS UNSIGNED)")),
            // bytes are no text of any encoding
            (_, FieldType::Binary) => Some(format!("UNHEX({variable})")),
            _ => None,
        }
    }

    /// Appends a field of `LOAD DATA`: tabs between fields, `\N` for null, backslashes before what would be misread.
    pub(super) fn field(self, value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
        match value {
            Value::Null => out.extend_from_slice(b"\\N"),
            Value::Text(text) | Value::Json(text) => escape(text.as_bytes(), out),
            Value::List(_) => escape(value.to_json().to_string().as_bytes(), out),
            Value::Binary(bytes) => put_hex(bytes, out),
            other => self.plain(other, out)?,
        }
        Ok(())
    }

    /// The value as a parameter.
    pub(super) fn parameter(self, value: &Value<'_>) -> Result<Raw, Unfit> {
        Ok(match value {
            Value::Null => Raw::NULL,
            Value::Text(text) | Value::Json(text) => Raw::Bytes(text.as_bytes().to_vec()),
            Value::List(_) => Raw::Bytes(value.to_json().to_string().into_bytes()),
            Value::Binary(bytes) => Raw::Bytes(bytes.to_vec()),
            Value::Boolean(v) => Raw::Int(i64::from(*v)),
            Value::Int64(v) => Raw::Int(*v),
            Value::Decimal(text) if self == Self::Bits => Raw::UInt(text.parse().map_err(|_| Unfit)?),
            other => {
                let mut text = Vec::new();
                self.plain(other, &mut text)?;
                Raw::Bytes(text)
            }
        })
    }

    /// Values whose texts need no escapes.
    fn plain(self, value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
        let digits = if let Self::Time(digits) = self { digits } else { 6 };
        match value {
            Value::Boolean(v) => out.push(b'0' + u8::from(*v)),
            Value::Int64(v) => write!(out, "{v}").map_err(|_| Unfit)?,
            // with an exponent, or the largest would have 309 digits
            Value::Float64(v) if v.is_finite() => write!(out, "{v:e}").map_err(|_| Unfit)?,
            Value::Decimal(text) if decimal::is_finite(text) => {
                out.extend_from_slice(text.as_bytes());
            }
            Value::Date(days) => put_date(*days, out)?,
            Value::Time(micros) if (0..=DAY_MICROS).contains(micros) => put_clock(*micros, digits, out),
            Value::Timestamp { micros, .. } => {
                put_date(i32::try_from(micros.div_euclid(DAY_MICROS)).map_err(|_| Unfit)?, out)?;
                out.push(b' ');
                put_clock(micros.rem_euclid(DAY_MICROS), digits, out);
            }
            Value::Uuid(bytes) => {
                let mut buffer = Uuid::encode_buffer();
                let text = Uuid::from_bytes(*bytes).hyphenated().encode_lower(&mut buffer);
                out.extend_from_slice(text.as_bytes());
            }
            _ => return Err(Unfit),
        }
        Ok(())
    }
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|b| matches!(b, b'\t' | b'\n' | b'\\' | 0)) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(match rest[at] {
            b'\t' => b"\\t",
            b'\n' => b"\\n",
            b'\\' => b"\\\\",
            _ => b"\\0",
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

fn put_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// The last `count` digits of a number.
fn put_digits(number: i64, count: u32, out: &mut Vec<u8>) {
    for place in (0..count).rev() {
        let digit = number / 10_i64.pow(place) % 10;
        out.push(b'0' + u8::try_from(digit).unwrap_or_default());
    }
}

/// A day of the years 0 to 9999, given in days since 1970-01-01. The year is taken to begin in March, so that the leap day is
/// its last.
fn put_date(days: i32, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let day = i64::from(days) + 719_468;
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if !(0..=9999).contains(&year) {
        return Err(Unfit);
    }
    put_digits(year, 4, out);
    out.push(b'-');
    put_digits(month, 2, out);
    out.push(b'-');
    put_digits(day_of_month, 2, out);
    Ok(())
}

/// A time of day, with `digits` digits of a second.
fn put_clock(micros: i64, digits: u32, out: &mut Vec<u8>) {
    let seconds = micros / 1_000_000;
    put_digits(seconds / 3600, 2, out);
    out.push(b':');
    put_digits(seconds / 60 % 60, 2, out);
    out.push(b':');
    put_digits(seconds % 60, 2, out);
    if digits > 0 {
        out.push(b'.');
        put_digits(micros % 1_000_000 / 10_i64.pow(6 - digits.min(6)), digits.min(6), out);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(form: Form, value: &Value<'_>) -> Result<String, Unfit> {
        let mut out = Vec::new();
        form.field(value, &mut out)?;
        Ok(String::from_utf8(out).expect("text"))
    }

    proptest! {
        #[test]
        fn dates_are_those_of_the_calendar(days in -719_528..=2_932_896_i32) {
            let text = syncline_core::time::civil_date(days).expect("a day").to_string();
            prop_assert_eq!(field(Form::Text, &Value::Date(days)), Ok(text));
        }
    }

    #[test]
    fn fields() {
        let at = Value::Timestamp { micros: 1_769_853_600_123_456, zoned: true };
        for (form, value, expected) in [
            (Form::Text, Value::Null, "\\N"),
            (Form::Text, Value::Text("".into()), ""),
            (Form::Text, Value::Text("\\N a\tb\nc\r\0🙂".into()), "\\\\N a\\tb\\nc\r\\0🙂"),
            (Form::Text, Value::Json("{\"a\":\"\\n\"}".into()), "{\"a\":\"\\\\n\"}"),
            (Form::Text, Value::Binary(vec![0, 9, 255].into()), "0009FF"),
            (Form::Text, Value::Boolean(true), "1"),
            (Form::Text, Value::Float64(f64::MAX), "1.7976931348623157e308"),
            (Form::Text, Value::Decimal("-1.50".into()), "-1.50"),
            (Form::Time(6), at.clone(), "2026-01-31 10:00:00.123456"),
            (Form::Time(3), at.clone(), "2026-01-31 10:00:00.123"),
            (Form::Time(0), at, "2026-01-31 10:00:00"),
            (Form::Time(6), Value::Time(DAY_MICROS), "24:00:00.000000"),
            (Form::Text, Value::List(vec![Value::Int64(1), Value::Null]), "[1,null]"),
        ] {
            assert_eq!(field(form, &value).as_deref(), Ok(expected), "{value:?}");
        }
        for value in [
            Value::Float64(f64::NAN),
            Value::Decimal("NaN".into()),
            Value::Date(i32::MAX),
            Value::Date(-719_529),
            Value::Time(-1),
            Value::Timestamp { micros: i64::MAX, zoned: true },
        ] {
            assert_eq!(field(Form::Time(6), &value), Err(Unfit), "{value:?}");
        }
    }

    #[test]
    fn forms_of_columns() {
        let form = |declared: &str, kind| {
            let column = Column { name: "c".into(), kind, declared: declared.into(), nullable: true };
            (Form::of(&column), Form::of(&column).assignment(&column, "@v0"))
        };
        let wall = FieldType::Timestamp { zoned: false };
        assert_eq!(form("bit(64)", FieldType::Int64), (Form::Bits, Some("CAST(@v0 AS UNSIGNED)".into())));
        assert_eq!(form("datetime(3)", wall.clone()), (Form::Time(3), None));
        assert_eq!(form("datetime", wall), (Form::Time(0), None));
        assert_eq!(form("longblob", FieldType::Binary), (Form::Text, Some("UNHEX(@v0)".into())));
        assert_eq!(form("date", FieldType::Date), (Form::Text, None));
    }
}
