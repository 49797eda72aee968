//! Positions: kept to the last bit, never moved up, bounded at their ends.

use proptest::prelude::*;
use syncline_core::{
    cursor::{Cursor, Position, ordinal},
    value::Value,
};

use crate::values::{bytes, scalar, value};

fn timely() -> impl Strategy<Value = Value<'static>> {
    let ends = prop::sample::select(vec![i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX]);
    prop_oneof![
        (prop_oneof![any::<i64>(), ends.clone()], any::<bool>())
            .prop_map(|(micros, zoned)| Value::Timestamp { micros, zoned }),
        prop_oneof![any::<i32>(), Just(i32::MIN), Just(i32::MAX)].prop_map(Value::Date),
        prop_oneof![any::<i64>(), ends].prop_map(Value::Int64),
    ]
}

/// Where it stands on its own scale, infinity included.
fn height(value: &Value<'_>) -> i64 {
    match value {
        Value::Timestamp { micros, .. } => *micros,
        Value::Date(i32::MAX) => i64::MAX,
        Value::Date(i32::MIN) => i64::MIN,
        Value::Date(day) => i64::from(*day),
        Value::Int64(n) => *n,
        other => panic!("no height: {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// What is stored is what is read: a cursor that comes back one bit higher loses a record.
    #[test]
    fn a_cursor_keeps_every_bit(cursor in value(), key in prop::collection::vec(scalar(), 0..3)) {
        let stored = Cursor { position: Some(Position { cursor, key }), fingerprint: "f".into() };
        let text = serde_json::to_string(&stored).unwrap();
        let back: Cursor = serde_json::from_str(&text).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        // Not by equality, which NaN has none of, but by bits.
        let (before, after) = (stored.position.unwrap(), back.position.unwrap());
        prop_assert_eq!(format!("{before:?}"), format!("{after:?}"), "{}", text);
        prop_assert_eq!(bytes(&before.cursor), bytes(&after.cursor));
    }

    #[test]
    fn a_double_keeps_every_bit(bits in any::<u64>()) {
        let number = f64::from_bits(bits);
        let text = serde_json::to_string(&Value::Float64(number)).unwrap();
        let Value::Float64(back) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        prop_assert!(back.to_bits() == bits || (back.is_nan() && number.is_nan()), "{} came back as {}", number, back);
    }

    #[test]
    fn a_full_read_resumes_above_neither_bound(resume in timely(), highest in prop::option::of(any::<i64>())) {
        let position = Position { cursor: resume.clone(), key: vec![Value::Int64(1)] };
        let after = Position::after_full(Some(position), highest).unwrap();
        prop_assert_eq!(after.cursor.type_name(), resume.type_name());
        prop_assert!(height(&after.cursor) <= height(&resume));
        if let Some(highest) = highest {
            // A day below all days there are is the lowest one.
            let lowest = matches!(after.cursor, Value::Date(i32::MIN));
            prop_assert!(height(&after.cursor) <= highest || lowest, "{after:?} is above {highest}");
        } else {
            prop_assert_eq!(after.cursor, resume);
        }
    }

    #[test]
    fn ordinals_are_in_the_order_of_the_values(a in timely(), b in timely()) {
        if a.type_name() == b.type_name()
            && let (Some(x), Some(y)) = (ordinal(&a), ordinal(&b)) {
            prop_assert_eq!(x.cmp(&y), height(&a).cmp(&height(&b)));
        }
    }
}

/// Stored by earlier versions as numbers.
#[test]
fn a_double_that_was_stored_as_a_number_is_read() {
    for (text, expected) in
        [("0.1", 0.1), ("-3", -3.0), ("18446744073709551615", 18_446_744_073_709_551_615.0), ("1e300", 1e300)]
    {
        let value: Value<'_> = serde_json::from_str(&format!(r#"{{"t":"float64","v":{text}}}"#)).unwrap();
        assert_eq!(value, Value::Float64(expected), "{text}");
    }
    assert!(serde_json::from_str::<Value<'_>>(r#"{"t":"float64","v":"soon"}"#).is_err());
}
