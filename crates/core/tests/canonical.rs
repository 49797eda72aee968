//! One value has one form, and one form is one value.

use proptest::prelude::*;
use syncline_core::{
    canonical::{canonical, content_hash, names_hash},
    convert::convert,
    decimal,
    schema::{Field, FieldType, Limits},
    time::DAY_MICROS,
    value::Value,
};
use unicode_normalization::UnicodeNormalization;

use crate::values::{bytes, decimal as decimals, field, text, value};

fn hash(value: Value<'_>, field: &Field) -> [u8; 32] {
    content_hash(&names_hash(["F"]), &[canonical(value, field)], &mut Vec::new())
}

fn with(kind: FieldType, change: impl FnOnce(&mut Limits)) -> Field {
    let mut field = Field::new("F", kind, true);
    change(&mut field.limits);
    field
}

/// The inverse of `canonical::write`, written from its documentation: that it exists is what "unambiguous" means.
fn read<'b>(bytes: &'b [u8]) -> (Value<'static>, &'b [u8]) {
    fn take<const N: usize>(bytes: &[u8]) -> ([u8; N], &[u8]) {
        let (head, rest) = bytes.split_at(N);
        (head.try_into().unwrap(), rest)
    }
    let sized = |bytes: &'b [u8]| {
        let (length, rest) = take::<8>(bytes);
        let (payload, rest) = rest.split_at(u64::from_le_bytes(length) as usize);
        (payload.to_vec(), rest)
    };
    let sized_text = |bytes: &'b [u8]| {
        let (payload, rest) = sized(bytes);
        (String::from_utf8(payload).unwrap(), rest)
    };
    let (tag, rest) = (bytes[0], &bytes[1..]);
    match tag {
        0 => (Value::Null, rest),
        1 => (Value::Boolean(rest[0] == 1), &rest[1..]),
        6 => {
            let (payload, rest) = sized(rest);
            (Value::Binary(payload.into()), rest)
        }
        7 => {
            let (day, rest) = take(rest);
            (Value::Date(i32::from_le_bytes(day)), rest)
        }
        11 => {
            let (id, rest) = take(rest);
            (Value::Uuid(id), rest)
        }
        13 => {
            let (count, mut rest) = take(rest);
            let mut values = Vec::new();
            for _ in 0..u64::from_le_bytes(count) {
                let (value, after) = read(rest);
                values.push(value);
                rest = after;
            }
            (Value::List(values), rest)
        }
        4 | 5 | 12 => {
            let (text, rest) = sized_text(rest);
            let value = match tag {
                4 => Value::Decimal(text.into()),
                5 => Value::Text(text.into()),
                _ => Value::Json(text.into()),
            };
            (value, rest)
        }
        _ => {
            let (eight, rest) = take(rest);
            let number = i64::from_le_bytes(eight);
            let value = match tag {
                2 => Value::Int64(number),
                3 => Value::Float64(f64::from_le_bytes(eight)),
                8 => Value::Time(number),
                9 | 10 => Value::Timestamp { micros: number, zoned: tag == 10 },
                other => panic!("no such tag: {other}"),
            };
            (value, rest)
        }
    }
}

/// The value in the one spelling that its bytes have: numbers without insignificant parts.
fn spelled(value: Value<'static>) -> Value<'static> {
    match value {
        Value::Decimal(text) => Value::Decimal(decimal::normal(&text).into()),
        Value::Float64(0.0) => Value::Float64(0.0),
        Value::List(values) => Value::List(values.into_iter().map(spelled).collect()),
        other => other,
    }
}

/// Equal, where NaN equals itself.
fn same(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        (Value::Float64(a), Value::Float64(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => a == b,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_form_of_a_form_is_itself(value in value(), field in field()) {
        let once = canonical(value, &field);
        prop_assert_eq!(bytes(&canonical(once.clone(), &field)), bytes(&once));
    }

    #[test]
    fn the_form_of_what_was_converted_is_itself(value in value(), field in field()) {
        if let Ok(value) = convert(value, &field) {
            let once = canonical(value, &field);
            prop_assert_eq!(bytes(&canonical(once.clone(), &field)), bytes(&once));
        }
    }

    /// Values put one after the other are read back one by one: no boundary is lost, no two rows share their bytes.
    #[test]
    fn bytes_are_read_back(values in prop::collection::vec(value(), 0..5)) {
        let mut row = Vec::new();
        values.iter().for_each(|v| syncline_core::canonical::write(v, &mut row));
        let mut rest = row.as_slice();
        for value in values {
            let (found, after) = read(rest);
            prop_assert!(same(&found, &spelled(value.clone())), "{:?} came back as {:?}", value, found);
            rest = after;
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn decimals_have_one_form(
        negative in any::<bool>(), digits in "[0-9]{1,18}", scale in 0..18_usize, shift in -25..25_i32,
        zeros in 0..5_usize
    ) {
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        let sign = if negative { "-" } else { "" };
        let plain = format!("{sign}{whole}.{fraction}");
        let noisy = format!("{sign}{}{whole}.{fraction}{}", "0".repeat(zeros), "0".repeat(zeros));
        // The same digits as a whole number, and an exponent that puts the point back.
        let scientific = format!("{sign}{digits}{}e{}", "0".repeat(zeros), -(scale as i64) - zeros as i64);
        let shifted = format!("{}e{shift}", decimal::normal(&format!("{plain}e{}", -shift)));
        let money = with(FieldType::Decimal { precision: None, scale: None }, |_| {});
        for other in [noisy, scientific, shifted, format!(" {plain}\n")] {
            prop_assert_eq!(hash(Value::Decimal(other.clone().into()), &money),
                            hash(Value::Decimal(plain.clone().into()), &money), "{} and {}", other, plain);
        }
    }

    #[test]
    fn a_decimal_differs_from_its_neighbour(text in decimals(), digit in 1..9_u8) {
        let normal = decimal::normal(&text);
        let point = if normal.contains('.') { "" } else { "." };
        let money = with(FieldType::Decimal { precision: None, scale: None }, |_| {});
        prop_assert_ne!(hash(Value::Decimal(format!("{normal}{point}{digit}").into()), &money),
                        hash(Value::Decimal(text.into()), &money));
    }

    #[test]
    fn composed_and_decomposed_texts_are_one(text in text(), field in field()) {
        let (nfc, nfd): (String, String) = (text.nfc().collect(), text.nfd().collect());
        prop_assert_eq!(hash(Value::Text(nfc.into()), &field), hash(Value::Text(text.clone().into()), &field));
        prop_assert_eq!(hash(Value::Text(nfd.into()), &field), hash(Value::Text(text.into()), &field));
    }

    #[test]
    fn several_values_have_no_order(values in prop::collection::vec(value(), 0..6), turn in any::<prop::sample::Index>(), field in field()) {
        let mut turned = values.clone();
        if !turned.is_empty() {
            turned.rotate_left(turn.index(values.len()));
        }
        prop_assert_eq!(hash(Value::List(turned), &field), hash(Value::List(values), &field));
    }

    /// What is sent and what a destination of that kind gives back have the same hash.
    #[test]
    fn an_echo_compares_equal(value in value(), field in field()) {
        let Ok(sent) = convert(value, &field) else { return Ok(()) };
        let back = match (&field.kind, sent.clone()) {
            (FieldType::Text, Value::Text(t)) if field.limits.loose_space => {
                Value::Text(t.replace('\r', "\n").replace("\n\n", "\r\n\r\n").into())
            }
            (FieldType::Text, Value::Text(t)) if t.is_empty() && field.limits.empty_is_null => Value::Null,
            (FieldType::Decimal { .. } | FieldType::Float64, Value::Decimal(d)) if field.limits.as_double => {
                Value::Float64(d.trim().parse().unwrap())
            }
            (FieldType::Decimal { .. } | FieldType::Float64, Value::Int64(n)) if field.limits.as_double => Value::Float64(n as f64),
            (_, Value::Float64(n)) if field.limits.as_double => Value::Decimal(decimal::of_double(n).into()),
            (_, Value::Timestamp { micros, zoned }) if field.limits.whole_seconds && micros.checked_sub(1_000_000).is_some() => {
                Value::Timestamp { micros: micros - micros.rem_euclid(1_000_000), zoned }
            }
            (_, Value::List(v)) if v.is_empty() && field.limits.empty_is_null => Value::Null,
            (_, Value::List(v)) => Value::List(v.into_iter().rev().collect()),
            (_, other) => other,
        };
        let lost = matches!((&sent, field.limits.loose_space), (Value::Text(t), true) if t.contains("\r\n") || t.contains("\r\r"));
        prop_assume!(!lost);
        prop_assert_eq!(hash(back, &field), hash(sent, &field));
    }

    /// One instant in any zone, written with its offset.
    #[test]
    fn an_instant_has_no_zone(seconds in -60_000_000_000..250_000_000_000_i64, minutes in -14 * 60..14 * 60_i64) {
        let text = |seconds| syncline_core::time::timestamp_text(seconds * 1_000_000, false);
        let sign = if minutes < 0 { '-' } else { '+' };
        let away = format!("{}{sign}{:02}:{:02}", text(seconds + minutes * 60), minutes.abs() / 60, minutes.abs() % 60);
        let stamp = with(FieldType::Timestamp { zoned: true }, |_| {});
        let of = |text: String| convert(Value::Text(text.into()), &stamp).map(|v| hash(v, &stamp));
        prop_assert!(of(away.clone()).is_ok(), "{away}");
        prop_assert_eq!(of(away), of(format!("{}Z", text(seconds))));
    }
}

#[test]
fn values_that_look_alike_are_different() {
    let all = [
        Value::Null,
        Value::Text("".into()),
        Value::Text("0".into()),
        Value::Json("0".into()),
        Value::Json("".into()),
        Value::Decimal("0".into()),
        Value::Int64(0),
        Value::Float64(0.0),
        Value::Boolean(false),
        Value::Date(0),
        Value::Time(0),
        Value::Timestamp { micros: 0, zoned: false },
        Value::Timestamp { micros: 0, zoned: true },
        Value::Binary(Vec::new().into()),
        Value::Binary(vec![0].into()),
        Value::Uuid([0; 16]),
        Value::List(Vec::new()),
        Value::List(vec![Value::Null]),
        Value::List(vec![Value::List(Vec::new())]),
        Value::Timestamp { micros: DAY_MICROS, zoned: true },
    ];
    for (i, a) in all.iter().enumerate() {
        for (j, b) in all.iter().enumerate() {
            assert_eq!(bytes(a) == bytes(b), i == j, "{a:?} and {b:?}");
        }
    }
    let list = |items: &[&'static str]| Value::List(items.iter().map(|i| Value::Text((*i).into())).collect());
    assert_ne!(bytes(&list(&["a", "bc"])), bytes(&list(&["ab", "c"])));
    assert_ne!(bytes(&list(&["a"])), bytes(&Value::Text("a".into())));
}
