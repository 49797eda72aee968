//! Values to JSON and back, by column (facts §2.5).

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use syncline_core::{
    decimal,
    schema::{Field, FieldType},
    time,
    value::Value,
};

use super::batch::text;
use crate::{Error, error::Kind};

/// Microseconds in a second.
const SECOND: i64 = 1_000_000;

/// Largest exponent of a number that a column of doubles gives back.
const EXPONENT_MAX: u32 = 400;

/// Appends `"Name":value` as Graph takes it; null clears the column.
///
/// # Errors
/// [`Kind::Rejected`] for a value the column cannot hold; nothing is appended. The message names field and type only.
pub(super) fn write(field: &Field, value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    let written = write_pair(field, value, out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn write_pair(field: &Field, value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    if let Value::List(values) = value
        && !values.is_empty()
    {
        // An array without its type is refused (facts §2.5 [O]).
        text(&format!("{}@odata.type", field.name), out);
        out.extend_from_slice(b":\"Collection(Edm.String)\",");
    }
    text(&field.name, out);
    out.push(b':');
    match (value, &field.kind) {
        (Value::Null, _) => out.extend_from_slice(b"null"),
        (Value::List(values), _) if values.is_empty() => out.extend_from_slice(b"null"),
        (Value::Boolean(v), FieldType::Boolean) => {
            out.extend_from_slice(if *v { b"true".as_slice() } else { b"false" });
        }
        (Value::Text(v), FieldType::Text) if field.limits.hyperlink => link(v, out),
        (Value::Text(v), FieldType::Text) => text(v, out),
        (Value::Decimal(v), FieldType::Decimal { .. }) => number(field, v, out)?,
        (Value::Int64(v), FieldType::Decimal { .. }) => out.extend_from_slice(v.to_string().as_bytes()),
        (Value::Float64(v), FieldType::Decimal { .. }) => number(field, &decimal::of_double(*v), out)?,
        (Value::Date(days), FieldType::Date) => date(field, *days, out)?,
        (Value::Timestamp { micros, zoned: true }, FieldType::Timestamp { zoned: true }) => {
            instant(field, *micros, out)?;
        }
        (Value::List(values), FieldType::List(of)) if **of == FieldType::Text => choices(field, values, out)?,
        _ => return Err(misfit(field, &format!("cannot hold a value of type {}", value.type_name()))),
    }
    Ok(())
}

fn misfit(field: &Field, why: &str) -> Error {
    Error::new(Kind::Rejected, format!("field {:?} {why}", field.name))
}

/// The digits as they are: no double of ours in between, so cents stay cents.
fn number(field: &Field, digits: &str, out: &mut Vec<u8>) -> Result<(), Error> {
    let normal;
    let digits = if is_json_number(digits) {
        digits
    } else {
        normal = decimal::normal(digits);
        &normal
    };
    if !is_json_number(digits) {
        return Err(misfit(field, "takes only finite numbers"));
    }
    out.extend_from_slice(digits.as_bytes());
    Ok(())
}

/// Whether the text is a number as JSON writes it: no plus sign, no leading zeros, digits around the point.
fn is_json_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    all_digits(whole)
        && (whole.len() == 1 || !whole.starts_with('0'))
        && fraction.is_none_or(all_digits)
        && exponent.is_none_or(|e| all_digits(e.strip_prefix(['-', '+']).unwrap_or(e)))
}

/// Whether a JSON number is one that a double can have been: written out, others take thousands of digits.
fn is_number_of_a_double(text: &str) -> bool {
    let exponent = text.find(['e', 'E']).map(|at| text[at + 1..].parse::<i32>());
    is_json_number(text) && exponent.is_none_or(|e| e.is_ok_and(|e| e.unsigned_abs() <= EXPONENT_MAX))
}

/// Within the field's years; infinity is in no year.
fn in_years(field: &Field, days: i64) -> bool {
    let (first, last) = field.limits.years.unwrap_or((1, 9999));
    time::year_of_day(days).is_some_and(|year| (first..=last).contains(&year))
}

fn date(field: &Field, days: i32, out: &mut Vec<u8>) -> Result<(), Error> {
    if !in_years(field, days.into()) {
        return Err(misfit(field, "takes only dates of the years its system knows"));
    }
    text(&time::date_text(days), out);
    Ok(())
}

/// UTC with `Z`, whole seconds: anything else is read differently by the service (facts §2.5, pitfalls).
fn instant(field: &Field, micros: i64, out: &mut Vec<u8>) -> Result<(), Error> {
    if !in_years(field, micros.div_euclid(time::DAY_MICROS)) {
        return Err(misfit(field, "takes only times of the years its system knows"));
    }
    text(&time::timestamp_text(micros.div_euclid(SECOND) * SECOND, true), out);
    Ok(())
}

fn choices(field: &Field, values: &[Value<'_>], out: &mut Vec<u8>) -> Result<(), Error> {
    for (index, value) in values.iter().enumerate() {
        let Value::Text(choice) = value else {
            return Err(misfit(field, &format!("takes a list of texts, not of {}", value.type_name())));
        };
        out.push(if index == 0 { b'[' } else { b',' });
        text(choice, out);
    }
    out.push(b']');
    Ok(())
}

/// Not documented; reported to work (facts §2.5 [K]).
fn link(address: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"Url\":");
    text(address, out);
    out.extend_from_slice(b",\"Description\":");
    text(address, out);
    out.push(b'}');
}

/// Reads what an item holds in a column. What cannot be read as the field's type is the JSON as text, so that it
/// compares as different.
pub(super) fn read(field: &Field, json: &RawValue) -> Value<'static> {
    let raw = json.get();
    read_typed(field, raw).unwrap_or_else(|| Value::Text(Cow::Owned(raw.to_owned())))
}

fn read_typed(field: &Field, raw: &str) -> Option<Value<'static>> {
    if raw == "null" {
        return Some(Value::Null);
    }
    match &field.kind {
        FieldType::Boolean => serde_json::from_str(raw).ok().map(Value::Boolean),
        FieldType::Text if field.limits.hyperlink => {
            #[derive(Deserialize)]
            #[serde(rename_all = "PascalCase")]
            struct Link {
                url: String,
            }
            let link: Link = serde_json::from_str(raw).ok()?;
            Some(Value::Text(link.url.into()))
        }
        FieldType::Text => serde_json::from_str::<String>(raw).ok().map(|t| Value::Text(t.into())),
        // The digits as they came: a double of ours in between might change the last one.
        FieldType::Decimal { .. } => {
            is_number_of_a_double(raw).then(|| Value::Decimal(Cow::Owned(decimal::normal(raw))))
        }
        FieldType::Float64 => {
            is_json_number(raw).then(|| raw.parse().ok())?.filter(|n: &f64| n.is_finite()).map(Value::Float64)
        }
        FieldType::Date => read_date(&serde_json::from_str::<Cow<'_, str>>(raw).ok()?).map(Value::Date),
        FieldType::Timestamp { zoned: true } => {
            let (micros, _) = time::parse_timestamp(&serde_json::from_str::<Cow<'_, str>>(raw).ok()?)?;
            Some(Value::Timestamp { micros, zoned: true })
        }
        FieldType::List(of) if **of == FieldType::Text => {
            let values: Vec<String> = serde_json::from_str(raw).ok()?;
            Some(Value::List(values.into_iter().map(|v| Value::Text(v.into())).collect()))
        }
        _ => None,
    }
}

/// A date-only column comes back as an instant. It is midnight in UTC where we wrote it; a site in another zone may keep
/// its own midnight [K], so the nearest one counts.
fn read_date(text: &str) -> Option<i32> {
    if let Some(days) = time::parse_date(text) {
        return Some(days);
    }
    let (micros, _) = time::parse_timestamp(text)?;
    i32::try_from(micros.checked_add(time::DAY_MICROS / 2)?.div_euclid(time::DAY_MICROS)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(kind: FieldType) -> Field {
        let mut field = Field::new("F", kind, true);
        field.limits.years = Some((1900, 8900));
        field
    }

    fn decimal_field() -> Field {
        field(FieldType::Decimal { precision: None, scale: None })
    }

    fn json(field: &Field, value: &Value<'_>) -> Result<String, Kind> {
        let mut out = Vec::new();
        write(field, value, &mut out).map_err(|e| {
            assert!(out.is_empty());
            e.kind
        })?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn back(field: &Field, raw: &str) -> Value<'static> {
        read(field, &RawValue::from_string(raw.to_owned()).unwrap())
    }

    #[test]
    fn written_as_graph_takes_it() {
        let decimal = |v: &'static str| json(&decimal_field(), &Value::Decimal(v.into()));
        assert_eq!(decimal("450000.00").as_deref(), Ok(r#""F":450000.00"#));
        assert_eq!(decimal("-.5").as_deref(), Ok(r#""F":-0.5"#));
        assert_eq!(decimal("0012").as_deref(), Ok(r#""F":12"#));
        for none in ["NaN", "Infinity", "", "1,5", "1e", "--1"] {
            assert_eq!(decimal(none), Err(Kind::Rejected), "{none}");
        }
        let instant = field(FieldType::Timestamp { zoned: true });
        let at = |micros| json(&instant, &Value::Timestamp { micros, zoned: true });
        assert_eq!(at(-1).as_deref(), Ok(r#""F":"1969-12-31T23:59:59Z""#));
        assert_eq!(at(i64::MAX), Err(Kind::Rejected));
        let wall = Value::Timestamp { micros: 0, zoned: false };
        assert_eq!(json(&instant, &wall), Err(Kind::Rejected), "a time without zone is nobody's guess");
        let many = field(FieldType::List(Box::new(FieldType::Text)));
        let list = Value::List(vec![Value::Text("A".into()), Value::Text("B\"".into())]);
        assert_eq!(
            json(&many, &list).as_deref(),
            Ok(r#""F@odata.type":"Collection(Edm.String)","F":["A","B\""]"#)
        );
        assert_eq!(json(&many, &Value::List(vec![])).as_deref(), Ok(r#""F":null"#));
        assert_eq!(json(&many, &Value::Null).as_deref(), Ok(r#""F":null"#));
        let mut link = field(FieldType::Text);
        link.limits.hyperlink = true;
        assert_eq!(
            json(&link, &Value::Text("https://x".into())).as_deref(),
            Ok(r#""F":{"Url":"https://x","Description":"https://x"}"#)
        );
        assert_eq!(json(&field(FieldType::Boolean), &Value::Text("true".into())), Err(Kind::Rejected));
    }

    #[test]
    fn dates_at_their_edges() {
        let dates = field(FieldType::Date);
        for (day, ok) in
            [("1900-01-01", true), ("1899-12-31", false), ("8900-12-31", true), ("8901-01-01", false)]
        {
            let days = time::parse_date(day).unwrap();
            assert_eq!(json(&dates, &Value::Date(days)).is_ok(), ok, "{day}");
        }
        assert_eq!(json(&dates, &Value::Date(i32::MAX)), Err(Kind::Rejected), "infinity");
        assert_eq!(back(&dates, r#""2026-11-16T00:00:00Z""#), Value::Date(20_773));
        assert_eq!(back(&dates, r#""2026-11-16""#), Value::Date(20_773));
        assert_eq!(back(&dates, r#""2026-11-15T23:00:00Z""#), Value::Date(20_773), "midnight in Paris");
        assert_eq!(back(&dates, r#""2026-11-16T08:00:00Z""#), Value::Date(20_773), "midnight in Los Angeles");
    }

    #[test]
    fn unreadable_is_its_json_as_text() {
        for (kind, raw) in [
            (FieldType::Boolean, "\"yes\""),
            (FieldType::Text, "{\"a\":1}"),
            (FieldType::Date, "\"soon\""),
            (FieldType::Decimal { precision: None, scale: None }, "\"12\""),
            (FieldType::List(Box::new(FieldType::Text)), "[1]"),
        ] {
            assert_eq!(back(&field(kind), raw), Value::Text(raw.into()));
        }
        assert_eq!(back(&decimal_field(), "4.5E5"), Value::Decimal("450000".into()));
        assert_eq!(back(&field(FieldType::Text), "null"), Value::Null);
    }

    proptest! {
        #[test]
        fn decimals_and_texts_come_back(whole in any::<i64>(), cents in 0u8..100, text in ".{0,40}") {
            let digits = format!("{whole}.{cents:02}");
            let out = json(&decimal_field(), &Value::Decimal(digits.as_str().into())).unwrap();
            let read = back(&decimal_field(), out.strip_prefix("\"F\":").unwrap());
            prop_assert_eq!(read, Value::Decimal(decimal::normal(&digits).into()));
            let texts = field(FieldType::Text);
            let out = json(&texts, &Value::Text(text.as_str().into())).unwrap();
            prop_assert_eq!(back(&texts, out.strip_prefix("\"F\":").unwrap()), Value::Text(text.into()));
        }
    }
}
