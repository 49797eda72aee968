//! Values and fields of every kind, for the laws.

use proptest::prelude::*;
use syncline_core::{
    schema::{Field, FieldType, Limits},
    value::Value,
};

/// Texts with everything that goes wrong in texts: spaces, line ends, composed and decomposed letters, controls, emoji.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "B",
        "é",
        "e\u{301}",
        "ﬁ",
        "Å",
        "\u{212b}",
        "각",
        "\u{1100}\u{1161}\u{11a8}",
        "🙂",
        " ",
        "\t",
        "\n",
        "\r",
        "\r\n",
        "\u{a0}",
        "\u{2028}",
        "\u{0}",
        "ß",
        "İ",
        "0",
        "-1",
        "1e3",
        "2026-01-31",
        "null",
        "\u{301}",
    ]);
    prop_oneof![prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat()), any::<String>()]
}

/// A number as a sign, its digits and where the point is.
pub(crate) fn decimal() -> impl Strategy<Value = String> {
    ("-?[0-9]{1,20}(\\.[0-9]{0,12})?", prop::option::of(-30..30_i32))
        .prop_map(|(digits, exponent)| exponent.map_or_else(|| digits.clone(), |e| format!("{digits}e{e}")))
}

fn micros() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        -2_208_988_800_000_000..253_402_300_800_000_000_i64,
        Just(i64::MAX),
        Just(i64::MIN),
        Just(0)
    ]
}

fn day() -> impl Strategy<Value = i32> {
    prop_oneof![any::<i32>(), -719_162..2_932_897_i32, Just(i32::MAX), Just(i32::MIN)]
}

/// A value that is not a list.
pub(crate) fn scalar() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        any::<i64>().prop_map(Value::Int64),
        prop_oneof![
            any::<f64>(),
            prop::num::f64::ANY,
            (-1_000_000..1_000_000_i64).prop_map(|n| n as f64 / 100.0)
        ]
        .prop_map(Value::Float64),
        prop_oneof![decimal(), Just("NaN".to_owned()), Just("-Infinity".to_owned())]
            .prop_map(|d| Value::Decimal(d.into())),
        text().prop_map(|t| Value::Text(t.into())),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|b| Value::Binary(b.into())),
        day().prop_map(Value::Date),
        (0..86_400_000_000_i64).prop_map(Value::Time),
        (micros(), any::<bool>()).prop_map(|(micros, zoned)| Value::Timestamp { micros, zoned }),
        any::<[u8; 16]>().prop_map(Value::Uuid),
        prop::sample::select(vec!["{}", "[]", "[\"a\",1,null]", "1", "not json"])
            .prop_map(|j| Value::Json(j.into())),
    ]
}

/// Any value, lists of lists among them.
pub(crate) fn value() -> impl Strategy<Value = Value<'static>> {
    scalar().prop_recursive(3, 12, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Value::List))
}

/// A field of any type with any of the limits that change what is compared.
pub(crate) fn field() -> impl Strategy<Value = Field> {
    let plain = prop::sample::select(vec![
        FieldType::Boolean,
        FieldType::Int64,
        FieldType::Float64,
        FieldType::Decimal { precision: None, scale: None },
        FieldType::Decimal { precision: Some(10), scale: Some(2) },
        FieldType::Text,
        FieldType::Binary,
        FieldType::Date,
        FieldType::Time,
        FieldType::Timestamp { zoned: true },
        FieldType::Timestamp { zoned: false },
        FieldType::Uuid,
        FieldType::Json,
        FieldType::List(Box::new(FieldType::Text)),
        FieldType::List(Box::new(FieldType::Int64)),
    ]);
    (plain, any::<[bool; 6]>()).prop_map(|(kind, [seconds, double, empty, space, control, years])| {
        let limits = Limits {
            whole_seconds: seconds,
            as_double: double,
            empty_is_null: empty,
            loose_space: space,
            no_control: control,
            years: years.then_some((1900, 8900)),
            ..Limits::default()
        };
        Field { limits, ..Field::new("F", kind, true) }
    })
}

/// The canonical bytes of a value.
pub(crate) fn bytes(value: &Value<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    syncline_core::canonical::write(value, &mut bytes);
    bytes
}
