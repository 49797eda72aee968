//! Turning a source value into one that a destination field holds: exactly, or not at all.

use std::borrow::Cow;

use crate::{
    decimal,
    schema::{Field, FieldType, Limits},
    time::{self, DAY_MICROS},
    value::Value,
};

/// Largest integer up to which every integer is a double.
const DOUBLE_EXACT: u64 = 1 << 53;

/// Converts `value` for `field` and checks the field's limits.
///
/// Exact, with two exceptions that [`suits`] announces: timestamps lose what is below the destination's precision, and
/// a timestamp becomes its date where only a date is kept.
///
/// # Errors
/// Why the value does not fit, in words that follow "field X: …"; never the value.
pub fn convert<'a>(value: Value<'a>, field: &Field) -> Result<Value<'a>, String> {
    if value.is_null() {
        return if field.limits.required {
            Err("is required, but the value is null".into())
        } else {
            Ok(value)
        };
    }
    let value = cast(value, &field.kind, &field.limits)?;
    let within = match &value {
        Value::List(values) => values.iter().try_for_each(|v| check_limits(v, &field.limits)),
        scalar => check_limits(scalar, &field.limits),
    };
    within.map(|()| value)
}

fn cast<'a>(value: Value<'a>, kind: &FieldType, limits: &Limits) -> Result<Value<'a>, String> {
    let unfit = |value: &Value<'_>| Err(format!("a {} value does not fit a {kind} field", value.type_name()));
    Ok(match (kind, value) {
        (FieldType::Text, value) => return to_text(value),
        (FieldType::Boolean, Value::Boolean(v)) => Value::Boolean(v),
        (FieldType::Boolean, Value::Int64(v @ (0 | 1))) => Value::Boolean(v == 1),
        (FieldType::Decimal { .. }, value) if limits.as_double => return to_number(value, true),
        (FieldType::Float64, Value::Float64(v)) if !limits.as_double => Value::Float64(v),
        (FieldType::Float64, value) => return to_number(value, limits.as_double),
        (FieldType::Int64, value) => {
            return to_integer(&value).map_or_else(|| unfit(&value), |v| Ok(Value::Int64(v)));
        }
        (FieldType::Decimal { precision, scale }, value) => return to_decimal(value, *precision, *scale),
        (FieldType::Date, value) => match to_day(&value) {
            Some(day) => Value::Date(day),
            None => return unfit(&value),
        },
        (FieldType::Timestamp { zoned }, value) => match to_micros(&value) {
            Some(micros) => Value::Timestamp { micros, zoned: *zoned },
            None => return unfit(&value),
        },
        (FieldType::Time, Value::Time(v)) => Value::Time(v),
        (FieldType::Uuid, Value::Uuid(v)) => Value::Uuid(v),
        (FieldType::Uuid, Value::Text(v)) => match v.trim().parse::<uuid::Uuid>() {
            Ok(id) => Value::Uuid(id.into_bytes()),
            Err(_) => return Err("the text is not a uuid".into()),
        },
        (FieldType::Binary, Value::Binary(v)) => Value::Binary(v),
        (FieldType::Json, Value::Json(v)) => Value::Json(v),
        (FieldType::Json, other) => Value::Json(Cow::Owned(other.to_json().to_string())),
        (FieldType::List(of), value) => return to_list(value, of, limits),
        (_, value) => return unfit(&value),
    })
}

/// A text as a value of a kind: the value of a parameter, which is always given as text. `None`: it is none of this kind.
pub fn from_text(text: &str, kind: &FieldType) -> Option<Value<'static>> {
    let trimmed = text.trim();
    Some(match kind {
        FieldType::Text => Value::Text(Cow::Owned(text.to_owned())),
        FieldType::Int64 => Value::Int64(trimmed.parse().ok()?),
        FieldType::Decimal { .. } => {
            let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
            let (whole, fraction) = trimmed.split_once('.').unwrap_or((trimmed, "0"));
            let whole = whole.strip_prefix('-').unwrap_or(whole);
            let is_decimal = !whole.is_empty() && !fraction.is_empty() && digits(whole) && digits(fraction);
            is_decimal.then(|| Value::Decimal(Cow::Owned(trimmed.to_owned())))?
        }
        FieldType::Boolean => Value::Boolean(trimmed.parse().ok()?),
        FieldType::Uuid => Value::Uuid(trimmed.parse::<uuid::Uuid>().ok()?.into_bytes()),
        FieldType::Date => Value::Date(time::parse_date(trimmed)?),
        FieldType::Timestamp { zoned } => {
            Value::Timestamp { micros: to_micros(&Value::Text(Cow::Borrowed(trimmed)))?, zoned: *zoned }
        }
        _ => return None,
    })
}

fn to_text(value: Value<'_>) -> Result<Value<'_>, String> {
    Ok(Value::Text(match value {
        Value::Text(v) | Value::Json(v) | Value::Decimal(v) => v,
        Value::Boolean(v) => Cow::Borrowed(if v { "true" } else { "false" }),
        Value::Int64(v) => Cow::Owned(v.to_string()),
        Value::Float64(v) => Cow::Owned(v.to_string()),
        Value::Date(_) | Value::Time(_) | Value::Timestamp { .. } | Value::Uuid(_) => match value.to_json() {
            serde_json::Value::String(text) => Cow::Owned(text),
            other => Cow::Owned(other.to_string()),
        },
        Value::Binary(_) | Value::List(_) | Value::Null => {
            return Err(format!("a {} value does not fit a text field", value.type_name()));
        }
    }))
}

/// A number for a field of doubles. Decimals stay decimals, so that they are written digit by digit, but only those that
/// a double can hold are let through.
fn to_number(value: Value<'_>, as_double: bool) -> Result<Value<'_>, String> {
    match value {
        Value::Float64(v) if v.is_finite() => Ok(value),
        Value::Float64(_) => Err(NOT_FINITE.into()),
        Value::Int64(v) if !as_double || v.unsigned_abs() <= DOUBLE_EXACT => Ok(value),
        Value::Int64(_) => {
            Err("the integer has more digits than a double can hold; map it to a text field".into())
        }
        Value::Decimal(ref text) if !decimal::is_finite(text) => Err(NOT_FINITE.into()),
        Value::Decimal(ref text) if decimal::to_double_exactly(text).is_some() => Ok(value),
        Value::Decimal(_) => {
            Err("the decimal has more digits than a double can hold; map it to a text field".into())
        }
        other => Err(format!("a {} value does not fit a number field", other.type_name())),
    }
}

fn to_integer(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int64(v) => Some(*v),
        Value::Decimal(text) => decimal::normal(text).parse().ok(),
        Value::Float64(v) if v.fract() == 0.0 && v.abs() <= DOUBLE_EXACT as f64 => Some(*v as i64),
        _ => None,
    }
}

fn to_decimal(value: Value<'_>, precision: Option<u32>, scale: Option<u32>) -> Result<Value<'_>, String> {
    let text = match value {
        Value::Decimal(text) => text,
        Value::Int64(v) => Cow::Owned(v.to_string()),
        Value::Float64(v) if v.is_finite() => Cow::Owned(decimal::of_double(v)),
        other => return Err(format!("a {} value does not fit a decimal field", other.type_name())),
    };
    let normal = decimal::normal(&text);
    let (whole, fraction) = normal.trim_start_matches('-').split_once('.').unwrap_or((&normal, ""));
    let whole = whole.trim_start_matches(['-', '0']).len() as u32;
    if scale.is_some_and(|s| fraction.len() as u32 > s) {
        return Err(format!(
            "the decimal has more than {} digits after the point",
            scale.unwrap_or_default()
        ));
    }
    if let (Some(p), Some(s)) = (precision, scale)
        && whole > p.saturating_sub(s)
    {
        return Err(format!("the decimal has more than {} digits before the point", p.saturating_sub(s)));
    }
    Ok(Value::Decimal(text))
}

fn to_day(value: &Value<'_>) -> Option<i32> {
    match value {
        Value::Date(day) => Some(*day),
        Value::Timestamp { micros: i64::MAX, .. } => Some(i32::MAX),
        Value::Timestamp { micros: i64::MIN, .. } => Some(i32::MIN),
        Value::Timestamp { micros, .. } => i32::try_from(micros.div_euclid(DAY_MICROS)).ok(),
        Value::Text(text) => time::parse_date(text.trim()),
        _ => None,
    }
}

fn to_micros(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Timestamp { micros, .. } => Some(*micros),
        Value::Date(i32::MAX) => Some(i64::MAX),
        Value::Date(i32::MIN) => Some(i64::MIN),
        // Dates reach further than times.
        Value::Date(day) => i64::from(*day).checked_mul(DAY_MICROS),
        Value::Text(text) => {
            let text = text.trim();
            time::parse_timestamp(text)
                .map(|(micros, _)| micros)
                .or_else(|| time::parse_date(text).map(|day| i64::from(day) * DAY_MICROS))
        }
        _ => None,
    }
}

fn to_list<'a>(value: Value<'a>, of: &FieldType, limits: &Limits) -> Result<Value<'a>, String> {
    let items = match value {
        Value::List(items) => items,
        Value::Json(text) => match serde_json::from_str::<Vec<serde_json::Value>>(&text) {
            Ok(items) => items.into_iter().map(from_json).collect::<Result<_, _>>()?,
            Err(_) => return Err("the json is not a list".into()),
        },
        scalar => vec![scalar],
    };
    let cast_item = |item: Value<'a>| match item {
        Value::Null => Err("the list holds a null".to_owned()),
        item => cast(item, of, limits),
    };
    Ok(Value::List(items.into_iter().map(cast_item).collect::<Result<_, _>>()?))
}

/// The value of a JSON scalar, as in defaults of the project file and lists in JSON columns.
///
/// # Errors
/// Objects and arrays are no values.
pub fn from_json(json: serde_json::Value) -> Result<Value<'static>, String> {
    Ok(match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(v) => Value::Boolean(v),
        serde_json::Value::Number(v) => {
            v.as_i64().map_or_else(|| Value::Decimal(Cow::Owned(v.to_string())), Value::Int64)
        }
        serde_json::Value::String(v) => Value::Text(Cow::Owned(v)),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
            return Err("a list or object where a plain value is needed".into());
        }
    })
}

fn check_limits(value: &Value<'_>, limits: &Limits) -> Result<(), String> {
    match value {
        Value::Text(text) => check_text(text, limits),
        Value::Date(i32::MAX | i32::MIN) | Value::Timestamp { micros: i64::MAX | i64::MIN, .. }
            if limits.infinity =>
        {
            Ok(())
        }
        Value::Date(day) => check_year(i64::from(*day), limits),
        Value::Timestamp { micros, .. } if limits.times.is_some_and(|(a, b)| !(a..=b).contains(micros)) => {
            Err("the time is outside of what the type of the column holds".into())
        }
        Value::Timestamp { micros, .. } => check_year(micros.div_euclid(DAY_MICROS), limits),
        Value::Binary(bytes) => check_bytes(bytes.len(), limits),
        Value::Json(text) if check_bytes(text.len(), limits).is_err() => check_bytes(text.len(), limits),
        Value::Json(text) if limits.valid_json => check_json(text),
        Value::Json(text) if limits.no_number && decimal::is_number(text) => Err(LOOKS_LIKE_A_NUMBER.into()),
        Value::Int64(v) => check_range(*v as f64, limits),
        Value::Float64(v) if limits.finite && !v.is_finite() => Err(NOT_FINITE.into()),
        Value::Float64(v) if limits.no_nan && v.is_nan() => Err("the number is NaN".into()),
        Value::Float64(v) => check_range(*v, limits),
        Value::Decimal(text) if limits.finite && !decimal::is_finite(text) => Err(NOT_FINITE.into()),
        Value::Decimal(text) => {
            if let Some((whole, fraction)) = limits.digits {
                to_decimal(Value::Decimal(text.as_ref().into()), Some(whole + fraction), Some(fraction))?;
            }
            text.trim().parse().map_or(Ok(()), |v| check_range(v, limits))
        }
        _ => Ok(()),
    }
}

fn check_bytes(length: usize, limits: &Limits) -> Result<(), String> {
    match limits.bytes {
        Some((_, most)) if length > most => Err(format!("the value has {length} bytes, {most} are allowed")),
        Some((fewest, _)) if length < fewest => {
            Err(format!("the value has {length} bytes, {fewest} are needed"))
        }
        _ => Ok(()),
    }
}

const NOT_FINITE: &str = "the number is not finite";
const LOOKS_LIKE_A_NUMBER: &str = "the text looks like a number, and the system would store the number";

fn check_text(text: &str, limits: &Limits) -> Result<(), String> {
    if limits.no_control && text.bytes().any(|b| b < 32 && !matches!(b, b'\t' | b'\n' | b'\r')) {
        return Err("the text holds NUL or another control character".into());
    }
    if limits.no_nul && text.contains('\0') {
        return Err("the text holds a NUL character".into());
    }
    if limits.no_number && decimal::is_number(text) {
        return Err(LOOKS_LIKE_A_NUMBER.into());
    }
    if limits.no_space_at_end && text.ends_with(' ') {
        return Err("the text ends with a space, which the type of the column does not keep".into());
    }
    if let Some(max) = limits.max_char
        && text.chars().any(|c| c > max)
    {
        return Err("the text holds a character that the encoding of the column does not have".into());
    }
    check_bytes(text.len(), limits)?;
    if let Some(max) = limits.max_chars
        && text.len() > max
    {
        let length = text.chars().count();
        if length > max {
            return Err(format!("the text has {length} characters, {max} are allowed"));
        }
    }
    if let Some(max) = limits.max_length
        && text.len() > max
    {
        let length = text.encode_utf16().count();
        if length > max {
            return Err(format!("the text has {length} characters, {max} are allowed"));
        }
    }
    if !limits.choices.is_empty() && !text.is_empty() && !limits.choices.iter().any(|c| c == text) {
        return Err(format!("the text is none of the {} choices of the field", limits.choices.len()));
    }
    Ok(())
}

fn check_json(text: &str) -> Result<(), String> {
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        return Err("the text is not JSON".into());
    }
    // an escaped backslash before it would make it a plain text: then it is refused for nothing, which is rare and safe
    if text.contains("\\u0000") {
        return Err("the JSON holds a NUL character".into());
    }
    Ok(())
}

fn check_year(day: i64, limits: &Limits) -> Result<(), String> {
    let Some((first, last)) = limits.years else { return Ok(()) };
    match time::year_of_day(day) {
        Some(year) if (first..=last).contains(&year) => Ok(()),
        _ => Err(format!("the date is outside the years {first} to {last}")),
    }
}

fn check_range(value: f64, limits: &Limits) -> Result<(), String> {
    if limits.minimum.is_some_and(|min| value < min) || limits.maximum.is_some_and(|max| value > max) {
        return Err("the number is outside the field's minimum and maximum".into());
    }
    Ok(())
}

/// What `check` says about mapping a source type to a destination field, before any value is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suits {
    /// Every value within the limits goes through unchanged.
    Yes,
    /// Works, and an operator should know this.
    Note(String),
    /// No value can go through.
    No(String),
}

/// Whether values of `from` can be written to `field`.
pub fn suits(from: &FieldType, field: &Field) -> Suits {
    use FieldType as T;
    let numeric = |t: &T| matches!(t, T::Int64 | T::Float64 | T::Decimal { .. });
    let note = |text: &str| Suits::Note(text.to_owned());
    match (from, &field.kind) {
        (T::Binary | T::List(_), T::Text) => {
            Suits::No(format!("a {from} column cannot be written to a text field"))
        }
        (_, T::Text) => Suits::Yes,
        (T::Decimal { precision: None, .. }, _) if field.limits.as_double => note(
            "the destination stores doubles; records whose decimal has more digits than a double can hold are parked",
        ),
        (T::Decimal { precision: Some(p), .. }, _) if field.limits.as_double && *p > 15 => {
            Suits::Note(format!(
                "the destination stores doubles (about 15 digits) and the column is {from}; records with more digits are parked"
            ))
        }
        (T::Timestamp { zoned: false }, T::Timestamp { zoned: true }) => {
            note("the column has no time zone; its values are taken as UTC")
        }
        (T::Timestamp { .. }, T::Timestamp { .. }) if field.limits.whole_seconds => {
            note("the destination keeps whole seconds; fractions are cut off")
        }
        (T::Timestamp { .. }, T::Date) => note("only the date (in UTC) is kept"),
        (a, b) if a == b => Suits::Yes,
        (a, T::Float64 | T::Int64 | T::Decimal { .. }) if numeric(a) => Suits::Yes,
        (T::Int64, T::Boolean) => note("0 and 1 become false and true; other numbers are parked"),
        (T::Date | T::Text, T::Timestamp { .. } | T::Date) | (T::Text, T::Uuid) | (_, T::Json) => Suits::Yes,
        (T::Json, T::List(_)) => note("the json must be a list of plain values; other records are parked"),
        (T::List(of), T::List(into)) if of == into || **into == T::Text => Suits::Yes,
        (a, T::List(into)) if a == into.as_ref() || **into == T::Text => Suits::Yes,
        (a, b) => Suits::No(format!("a {a} column cannot be written to a {b} field")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: FieldType, limits: Limits) -> Field {
        Field { limits, ..Field::new("F", kind, true) }
    }

    fn text(s: &str) -> Value<'_> {
        Value::Text(s.into())
    }

    #[test]
    fn cents_are_kept_and_too_many_digits_refused() {
        let any = FieldType::Decimal { precision: None, scale: None };
        let number = field(any, Limits { as_double: true, ..Limits::default() });
        let decimal = |s: &'static str| Value::Decimal(s.into());
        assert_eq!(convert(decimal("1234567.89"), &number), Ok(decimal("1234567.89")));
        for refused in ["12345678901234567.89", "NaN", "Infinity"] {
            assert!(convert(decimal(refused), &number).is_err(), "{refused}");
        }
        assert!(convert(Value::Int64(i64::MAX), &number).is_err());
        assert!(convert(Value::Float64(f64::NAN), &number).is_err());
        let money = field(FieldType::Decimal { precision: Some(5), scale: Some(2) }, Limits::default());
        assert!(convert(decimal("999.990"), &money).is_ok());
        assert!(convert(decimal("999.995"), &money).is_err());
        assert!(convert(decimal("1000.00"), &money).is_err());
    }

    #[test]
    fn numbers_that_are_none() {
        let any = FieldType::Decimal { precision: None, scale: None };
        let finite = || Limits { finite: true, ..Limits::default() };
        let double = |v| Value::Float64(v);
        for kind in [FieldType::Float64, any.clone()] {
            for value in [double(f64::NAN), double(f64::INFINITY), Value::Decimal("NaN".into())] {
                assert!(convert(value, &field(kind.clone(), finite())).is_err(), "{kind}");
            }
        }
        let decimal = |text: &'static str| Value::Decimal(text.into());
        for text in ["NaN", "Infinity", "-Infinity"] {
            assert_eq!(convert(decimal(text), &field(any.clone(), finite())), Err(NOT_FINITE.into()));
            assert!(convert(decimal(text), &field(any.clone(), Limits::default())).is_ok(), "{text}");
        }
        assert!(convert(decimal("1.50"), &field(any, finite())).is_ok());
        let text_as = |limits| convert(text("007"), &field(FieldType::Text, limits));
        assert!(text_as(Limits { no_number: true, ..Limits::default() }).is_err());
        assert!(text_as(Limits::default()).is_ok());
    }

    #[test]
    fn what_a_type_cannot_hold() {
        let with = |value: Value<'static>, kind: FieldType, limits: Limits| {
            convert(value, &field(kind, limits)).map(drop)
        };
        let none = Limits::default;
        let decimal = |text: &'static str| {
            let any = FieldType::Decimal { precision: None, scale: None };
            with(Value::Decimal(text.into()), any, Limits { digits: Some((3, 2)), ..none() })
        };
        assert_eq!(decimal("-999.990"), Ok(()));
        assert!(decimal("1000").is_err() && decimal("0.001").is_err());
        let short = || Limits { bytes: Some((2, 3)), ..none() };
        for (value, fits) in [("ab", true), ("aä", true), ("ää", false), ("a", false)] {
            assert_eq!(with(text(value), FieldType::Text, short()).is_ok(), fits, "{value}");
            let bytes = Value::Binary(value.as_bytes().to_vec().into());
            assert_eq!(with(bytes, FieldType::Binary, short()).is_ok(), fits, "{value}");
        }
        let plain = || Limits { max_char: Some('\u{ffff}'), no_space_at_end: true, ..none() };
        for (value, fits) in [("€ ä", true), ("🙂", false), ("a ", false)] {
            assert_eq!(with(text(value), FieldType::Text, plain()).is_ok(), fits, "{value}");
        }
        let zoned = FieldType::Timestamp { zoned: true };
        for (micros, fits) in [(0, false), (1, true), (5, true), (6, false)] {
            let value = Value::Timestamp { micros, zoned: true };
            let limits = Limits { times: Some((1, 5)), ..none() };
            assert_eq!(with(value, zoned.clone(), limits).is_ok(), fits, "{micros}");
        }
    }

    #[test]
    fn text_limits() {
        let limits =
            Limits { max_length: Some(3), no_control: true, choices: Vec::new(), ..Limits::default() };
        let title = field(FieldType::Text, limits);
        assert_eq!(convert(text("äöü"), &title), Ok(text("äöü")));
        assert_eq!(convert(text("abcd"), &title), Err("the text has 4 characters, 3 are allowed".into()));
        assert!(convert(text("🙂🙂"), &title).is_err(), "an emoji is two UTF-16 units");
        assert!(convert(text("a\0"), &title).is_err());
        let choice = field(FieldType::Text, Limits { choices: vec!["Active".into()], ..Limits::default() });
        assert!(convert(text("Active"), &choice).is_ok());
        assert!(convert(text("active"), &choice).is_err());
        let required = field(FieldType::Text, Limits { required: true, ..Limits::default() });
        assert!(convert(Value::Null, &required).is_err());
    }

    #[test]
    fn dates_and_their_ends() {
        let years = Limits { years: Some((1900, 8900)), ..Limits::default() };
        let date = field(FieldType::Date, years.clone());
        assert_eq!(convert(text("2026-01-31"), &date), Ok(Value::Date(20_484)));
        for refused in [Value::Date(i32::MAX), Value::Date(-30_000), Value::Date(2_932_897), text("soon")] {
            assert!(convert(refused.clone(), &date).is_err(), "{refused:?}");
        }
        let stamp = field(FieldType::Timestamp { zoned: true }, years);
        assert_eq!(convert(Value::Date(1), &stamp), Ok(Value::Timestamp { micros: DAY_MICROS, zoned: true }));
        assert!(convert(Value::Timestamp { micros: i64::MAX, zoned: true }, &stamp).is_err());
    }

    #[test]
    fn lists() {
        let tags = field(FieldType::List(Box::new(FieldType::Text)), Limits::default());
        let two = || Value::List(vec![text("a"), text("b")]);
        assert_eq!(convert(two(), &tags), Ok(two()));
        assert_eq!(convert(Value::Json("[\"a\",\"b\"]".into()), &tags), Ok(two()));
        assert_eq!(convert(text("a"), &tags), Ok(Value::List(vec![text("a")])));
        assert!(convert(Value::List(vec![Value::Null]), &tags).is_err());
    }
}
