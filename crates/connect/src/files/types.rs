//! Texts, JSON and native values of files as values of a field's type; what does not fit exactly is none.
//!
//! | type | in CSV and in JSON texts |
//! | --- | --- |
//! | boolean | `true`, `false` |
//! | float64 | digits, `NaN`, `inf`, `-inf`, also `Infinity` |
//! | decimal | digits as they are, `NaN`, `Infinity`, `-Infinity` |
//! | binary | base64 with padding |
//! | date, time, timestamp | ISO 8601 to the microsecond; with `Z` or an offset exactly where the type has a zone; `infinity` |
//! | list | a JSON array |

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use syncline_core::{
    decimal,
    schema::FieldType,
    time::{self, DAY_MICROS},
    value::Value,
};

/// Levels of nesting in a JSON value: what readers of JSON stand.
const NESTING_MAX: usize = 120;

/// As the end of a day is written.
const END_OF_DAY: &str = "24:00:00";

/// A JSON text, borrowed where nothing had to be unescaped.
#[derive(Debug, Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The value of a text of a column of `kind`; `None` when it does not fit.
pub(super) fn of_text<'a>(text: &'a str, kind: &FieldType) -> Option<Value<'a>> {
    let trimmed = text.trim_ascii();
    Some(match kind {
        FieldType::Text => Value::Text(text.into()),
        FieldType::Json => Value::Json(json(text)?.into()),
        FieldType::Boolean => Value::Boolean(trimmed.parse().ok()?),
        FieldType::Int64 => Value::Int64(integer(trimmed)?),
        FieldType::Float64 => Value::Float64(double(trimmed)?),
        FieldType::Decimal { precision, scale } => {
            let number = number(trimmed)?;
            holds(number, *precision, *scale).then(|| Value::Decimal(number.into()))?
        }
        FieldType::Binary => Value::Binary(BASE64_STANDARD.decode(trimmed).ok()?.into()),
        FieldType::Date => Value::Date(date(trimmed)?),
        // what databases have beside the times of a day
        FieldType::Time if trimmed == END_OF_DAY => Value::Time(DAY_MICROS),
        FieldType::Time => Value::Time(time::parse_time(trimmed).filter(|_| !too_fine(trimmed))?),
        FieldType::Timestamp { zoned } => {
            Value::Timestamp { micros: timestamp(trimmed, *zoned)?, zoned: *zoned }
        }
        FieldType::Uuid => Value::Uuid(trimmed.parse::<uuid::Uuid>().ok()?.into_bytes()),
        FieldType::List(of) => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            Value::List(items.into_iter().map(|item| of_json(item.get(), of)).collect::<Option<_>>()?)
        }
    })
}

/// The value of a JSON value of a column of `kind`; `None` when it does not fit.
pub(super) fn of_json<'a>(raw: &'a str, kind: &FieldType) -> Option<Value<'a>> {
    let first = *raw.as_bytes().first()?;
    Some(match (first, kind) {
        (b'n', _) => Value::Null,
        (_, FieldType::Json) => Value::Json(json(raw)?.into()),
        (b't' | b'f', FieldType::Boolean) => Value::Boolean(first == b't'),
        (b'-' | b'0'..=b'9', FieldType::Int64 | FieldType::Float64 | FieldType::Decimal { .. }) => {
            of_text(raw, kind)?
        }
        (b'[', FieldType::List(_)) => of_text(raw, kind)?,
        // a number or a boolean written as text is a text, unless it is one that JSON has no number for
        (b'"', FieldType::Boolean | FieldType::Int64 | FieldType::List(_)) => return None,
        (b'"', _) => match serde_json::from_str::<Text<'a>>(raw).ok()?.0 {
            Cow::Borrowed(text) => of_text(text, kind)?,
            Cow::Owned(text) if *kind == FieldType::Text => Value::Text(text.into()),
            Cow::Owned(text) => of_text(&text, kind)?.into_owned(),
        },
        _ => return None,
    })
}

/// A value that a file stores in a type of its own, as one of `kind`.
pub(super) fn of_native<'a>(value: Value<'a>, kind: &FieldType) -> Option<Value<'a>> {
    if value.fits(kind) {
        return Some(value);
    }
    match value {
        Value::Text(Cow::Borrowed(text)) => of_text(text, kind),
        Value::Text(Cow::Owned(text)) => of_text(&text, kind).map(Value::into_owned),
        Value::Int64(n) if matches!(kind, FieldType::Decimal { .. }) => {
            Some(Value::Decimal(n.to_string().into()))
        }
        Value::Binary(bytes) if *kind == FieldType::Uuid => {
            Some(Value::Uuid(bytes.as_ref().try_into().ok()?))
        }
        Value::List(items) => match kind {
            FieldType::List(of) => {
                let fit = |item| of_native(item, of);
                Some(Value::List(items.into_iter().map(fit).collect::<Option<_>>()?))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Digits alone: no plus, no point, no exponent.
fn integer(text: &str) -> Option<i64> {
    text.parse().ok().filter(|_| !text.starts_with('+'))
}

/// A double; too large a number is none, not infinity.
fn double(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    (value.is_finite() || !text.bytes().any(|b| b.is_ascii_digit())).then_some(value)
}

/// A number, with its digits as they are.
fn number(text: &str) -> Option<&str> {
    let known = matches!(text, "NaN" | "Infinity" | "-Infinity");
    let exponent = || text.contains(['e', 'E']);
    // an exponent that has no normal form is too large for a number
    let plain = || !exponent() || !decimal::normal(text).contains(['e', 'E']);
    (known || (decimal::is_finite(text) && text.parse::<f64>().is_ok() && plain())).then_some(text)
}

/// Whether a number has no more digits than its type.
fn holds(number: &str, precision: Option<u32>, scale: Option<u32>) -> bool {
    let (Some(precision), Some(scale)) = (precision, scale) else { return true };
    if !decimal::is_finite(number) {
        return true;
    }
    let normal = decimal::normal(number);
    let digits = normal.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0').len();
    fraction.len() <= scale as usize && whole <= (precision.saturating_sub(scale)) as usize
}

/// JSON, as it is.
fn json(text: &str) -> Option<&str> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    (nesting(text) <= NESTING_MAX).then_some(text)
}

/// How deep arrays and objects are nested in valid JSON.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// A date, in every form in which dates are printed.
fn date(text: &str) -> Option<i32> {
    match text {
        "infinity" => Some(i32::MAX),
        "-infinity" => Some(i32::MIN),
        _ => match text.strip_prefix("day ") {
            Some(day) => day.parse().ok(),
            // longer than a date: a time of day would be left out unsaid
            None => time::parse_date(text).filter(|_| !text.contains(['T', ' ', ':'])),
        },
    }
}

/// A timestamp with exactly the zone its type has, in every form in which they are printed.
fn timestamp(text: &str, zoned: bool) -> Option<i64> {
    match text {
        "infinity" => return Some(i64::MAX),
        "-infinity" => return Some(i64::MIN),
        _ if too_fine(text) => return None,
        _ => {}
    }
    if text.starts_with("day ") {
        let (day, rest) = text.split_once('T')?;
        let clock = if zoned { rest.strip_suffix('Z')? } else { rest };
        let start = i64::from(date(day)?).checked_mul(DAY_MICROS)?;
        return start.checked_add(time::parse_time(clock)?);
    }
    let (micros, has_zone) = time::parse_timestamp(text)?;
    (has_zone == zoned).then_some(micros)
}

/// Whether digits beyond the microsecond would be lost.
fn too_fine(text: &str) -> bool {
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
    let digits = fraction.bytes().take_while(u8::is_ascii_digit);
    digits.skip(6).any(|d| d != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECIMAL: FieldType = FieldType::Decimal { precision: None, scale: None };
    const MONEY: FieldType = FieldType::Decimal { precision: Some(5), scale: Some(2) };
    const ZONED: FieldType = FieldType::Timestamp { zoned: true };
    const WALL: FieldType = FieldType::Timestamp { zoned: false };

    #[test]
    fn texts_fit_or_do_not() {
        for (text, kind, expected) in [
            (" a ", FieldType::Text, Some(Value::Text(" a ".into()))),
            (" 7 ", FieldType::Int64, Some(Value::Int64(7))),
            ("7.0", FieldType::Int64, None),
            ("+7", FieldType::Int64, None),
            ("9223372036854775808", FieldType::Int64, None),
            ("", FieldType::Int64, None),
            ("0.10", DECIMAL, Some(Value::Decimal("0.10".into()))),
            (
                "12345678901234567890123456789012345678.9",
                DECIMAL,
                Some(Value::Decimal("12345678901234567890123456789012345678.9".into())),
            ),
            ("1.2.3", DECIMAL, None),
            ("-", DECIMAL, None),
            ("123.40", MONEY, Some(Value::Decimal("123.40".into()))),
            ("0.99", MONEY, Some(Value::Decimal("0.99".into()))),
            ("1234", MONEY, None),
            ("1.234", MONEY, None),
            ("1.230", MONEY, Some(Value::Decimal("1.230".into()))),
            ("Infinity", DECIMAL, Some(Value::Decimal("Infinity".into()))),
            ("1e400", FieldType::Float64, None),
            ("1e-3", DECIMAL, Some(Value::Decimal("1e-3".into()))),
            ("1e999999", DECIMAL, None),
            ("yes", FieldType::Boolean, None),
            ("true", FieldType::Boolean, Some(Value::Boolean(true))),
            ("AP8=", FieldType::Binary, Some(Value::Binary(vec![0, 255].into()))),
            ("AP8", FieldType::Binary, None),
            ("2026-01-31", FieldType::Date, Some(Value::Date(20_484))),
            ("2026-01-31T00:00:00", FieldType::Date, None),
            ("day 10000000", FieldType::Date, Some(Value::Date(10_000_000))),
            ("infinity", FieldType::Date, Some(Value::Date(i32::MAX))),
            ("24:00:00", FieldType::Time, Some(Value::Time(DAY_MICROS))),
            ("24:00:01", FieldType::Time, None),
            (
                "2026-01-31T10:17:05Z",
                ZONED,
                Some(Value::Timestamp { micros: 1_769_854_625_000_000, zoned: true }),
            ),
            (
                "2026-01-31T12:17:05+02:00",
                ZONED,
                Some(Value::Timestamp { micros: 1_769_854_625_000_000, zoned: true }),
            ),
            ("2026-01-31T10:17:05", ZONED, None),
            ("2026-01-31T10:17:05Z", WALL, None),
            (
                "2026-01-31 10:17:05",
                WALL,
                Some(Value::Timestamp { micros: 1_769_854_625_000_000, zoned: false }),
            ),
            ("2026-01-31T10:17:05.0000001Z", ZONED, None),
            ("{\"a\": 1.50}", FieldType::Json, Some(Value::Json("{\"a\": 1.50}".into()))),
            ("{a}", FieldType::Json, None),
            (
                "[1, null]",
                FieldType::List(Box::new(FieldType::Int64)),
                Some(Value::List(vec![Value::Int64(1), Value::Null])),
            ),
            ("[1, \"a\"]", FieldType::List(Box::new(FieldType::Int64)), None),
        ] {
            assert_eq!(of_text(text, &kind), expected, "{text:?} as {kind}");
        }
    }

    #[test]
    fn infinite_doubles_are_written_out_or_refused() {
        assert_eq!(of_text("inf", &FieldType::Float64), Some(Value::Float64(f64::INFINITY)));
        assert_eq!(of_json("\"-Infinity\"", &FieldType::Float64), Some(Value::Float64(f64::NEG_INFINITY)));
    }

    #[test]
    fn json_keeps_its_digits_and_its_types() {
        for (raw, kind, expected) in [
            ("12.50", DECIMAL, Some(Value::Decimal("12.50".into()))),
            ("\"12.50\"", DECIMAL, Some(Value::Decimal("12.50".into()))),
            ("12345678901234567890", FieldType::Json, Some(Value::Json("12345678901234567890".into()))),
            ("7", FieldType::Int64, Some(Value::Int64(7))),
            ("\"7\"", FieldType::Int64, None),
            ("7", FieldType::Text, None),
            ("\"a\\u0000\\\"\"", FieldType::Text, Some(Value::Text("a\0\"".into()))),
            ("\"\\ud800\"", FieldType::Text, None),
            ("null", FieldType::Text, Some(Value::Null)),
            ("true", FieldType::Boolean, Some(Value::Boolean(true))),
            ("{\"a\":[]}", FieldType::Text, None),
        ] {
            assert_eq!(of_json(raw, &kind), expected, "{raw} as {kind}");
        }
    }

    #[test]
    fn nesting_has_a_bound() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(of_text(&deep(NESTING_MAX), &FieldType::Json).is_some());
        assert!(of_text(&deep(NESTING_MAX + 1), &FieldType::Json).is_none());
        assert_eq!(nesting("{\"[[[\\\"[\":[1]}"), 2);
    }
}
