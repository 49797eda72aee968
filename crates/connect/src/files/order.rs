//! The order of values of one column, and the bytes by which keys are the same.

use std::cmp::Ordering;

use syncline_core::{decimal, value::Value};

/// Order of two values of one type; null before everything, NaN behind everything.
pub(super) fn compare(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    match (a, b) {
        (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
        (Value::Int64(a), Value::Int64(b))
        | (Value::Time(a), Value::Time(b))
        | (Value::Timestamp { micros: a, .. }, Value::Timestamp { micros: b, .. }) => a.cmp(b),
        (Value::Float64(a), Value::Float64(b)) => {
            a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        }
        (Value::Decimal(a), Value::Decimal(b)) => decimals(a, b),
        (Value::Text(a), Value::Text(b)) | (Value::Json(a), Value::Json(b)) => a.cmp(b),
        (Value::Binary(a), Value::Binary(b)) => a.cmp(b),
        (Value::Date(a), Value::Date(b)) => a.cmp(b),
        (Value::Uuid(a), Value::Uuid(b)) => a.cmp(b),
        _ => b.is_null().cmp(&a.is_null()),
    }
}

/// Order of the values of two keys of the same columns.
pub(super) fn compare_all(a: &[Value<'_>], b: &[Value<'_>]) -> Ordering {
    a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

/// Order of numbers as they are written, exact whatever their length.
fn decimals(a: &str, b: &str) -> Ordering {
    let (a, b) = (decimal::normal(a), decimal::normal(b));
    // the finite in the middle
    let rank = |text: &str| match text {
        "-Infinity" => 0,
        "Infinity" => 2,
        "NaN" => 3,
        _ => 1,
    };
    match rank(&a).cmp(&rank(&b)) {
        Ordering::Equal if rank(&a) == 1 => {}
        other => return other,
    }
    match (a.strip_prefix('-'), b.strip_prefix('-')) {
        (None, None) => sizes(&a, &b),
        (Some(a), Some(b)) => sizes(b, a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
    }
}

/// Order of two numbers in normal form without a sign.
fn sizes(a: &str, b: &str) -> Ordering {
    let (whole_a, fraction_a) = a.split_once('.').unwrap_or((a, ""));
    let (whole_b, fraction_b) = b.split_once('.').unwrap_or((b, ""));
    let wholes = whole_a.len().cmp(&whole_b.len()).then_with(|| whole_a.cmp(whole_b));
    wholes.then_with(|| fraction_a.cmp(fraction_b))
}

/// Bytes that are the same for the same key and no other; `None` where a part is null, for null is no key.
pub(super) fn key_bytes<'a>(key: impl IntoIterator<Item = Value<'a>>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for value in key {
        push(&mut bytes, &value)?;
    }
    Some(bytes)
}

fn push(bytes: &mut Vec<u8>, value: &Value<'_>) -> Option<()> {
    let mut add = |part: &[u8]| {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part);
    };
    match value {
        Value::Null => return None,
        Value::Boolean(v) => add(&[u8::from(*v)]),
        Value::Int64(v) | Value::Time(v) | Value::Timestamp { micros: v, .. } => add(&v.to_le_bytes()),
        // one zero
        Value::Float64(v) => add(&(v + 0.0).to_bits().to_le_bytes()),
        Value::Decimal(v) => add(decimal::normal(v).as_bytes()),
        Value::Text(v) | Value::Json(v) => add(v.as_bytes()),
        Value::Binary(v) => add(v),
        Value::Date(v) => add(&v.to_le_bytes()),
        Value::Uuid(v) => add(v),
        Value::List(items) => {
            add(&(items.len() as u64).to_le_bytes());
            for item in items {
                push(bytes, item)?;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_in_the_order_of_their_size() {
        let sorted = [
            "-Infinity",
            "-100",
            "-99.5",
            "-0.02",
            "-0.010",
            "0",
            "0.009",
            "0.01",
            "9",
            "10",
            "10.5",
            "123456789012345678901234567890",
            "Infinity",
            "NaN",
        ];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(decimals(a, b), i.cmp(&j), "{a} and {b}");
            }
        }
        assert_eq!(decimals("1.50", "1.5"), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn small_numbers_are_ordered_as_doubles_are(a in -100_000_i32..100_000, b in -100_000_i32..100_000) {
            let text = |n: i32| format!("{}", f64::from(n) / 64.0);
            prop_assert_eq!(decimals(&text(a), &text(b)), a.cmp(&b), "{} and {}", text(a), text(b));
        }

        #[test]
        fn keys_have_bytes_of_their_own(a in proptest::collection::vec(".{0,3}", 0..4), b in proptest::collection::vec(".{0,3}", 0..4)) {
            let bytes = |key: &[String]| key_bytes(key.iter().map(|t| Value::Text(t.as_str().into())));
            prop_assert_eq!(bytes(&a) == bytes(&b), a == b);
        }
    }

    #[test]
    fn the_same_key_in_other_words_is_the_same() {
        let decimal = |text: &'static str| key_bytes([Value::Decimal(text.into())]);
        assert_eq!(decimal("1.50"), decimal("1.5"));
        assert_eq!(key_bytes([Value::Float64(-0.0)]), key_bytes([Value::Float64(0.0)]));
        assert_eq!(key_bytes([Value::Int64(1), Value::Null]), None);
    }
}
