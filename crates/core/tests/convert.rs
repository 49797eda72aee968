//! A value fits exactly, or is refused.

use proptest::prelude::*;
use syncline_core::{
    convert::convert,
    schema::{Field, FieldType, Limits},
    time::{DAY_MICROS, date_text, parse_date, parse_timestamp, timestamp_text},
    value::Value,
};

use crate::values::{field, value};

fn fits(value: &Value<'_>, field: &Field) -> bool {
    let number = matches!(value, Value::Int64(_) | Value::Float64(_) | Value::Decimal(_));
    match field.kind {
        // Numbers stay as exact as they came.
        FieldType::Float64 => value.is_null() || number,
        FieldType::Decimal { .. } if field.limits.as_double => value.is_null() || number,
        ref kind => value.fits(kind),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_comes_out_is_of_the_fields_type_and_goes_through_again(value in value(), field in field()) {
        if let Ok(once) = convert(value, &field) {
            prop_assert!(fits(&once, &field), "{:?} in {:?}", once, field.kind);
            let again = convert(once.clone(), &field);
            let shown = format!("{once:?}");
            prop_assert_eq!(again.map(|v| format!("{v:?}")), Ok(shown));
        }
    }

    /// Every day there is, not only those of our calendar: PostgreSQL's dates reach the year 5,874,897.
    #[test]
    fn a_day_is_its_midnight_or_is_refused(day in any::<i32>(), zoned in any::<bool>()) {
        let stamp = Field::new("F", FieldType::Timestamp { zoned }, true);
        let exact = i128::from(day) * i128::from(DAY_MICROS);
        let expected = match day {
            i32::MAX => Some(i64::MAX),
            i32::MIN => Some(i64::MIN),
            _ => i64::try_from(exact).ok(),
        };
        let found = convert(Value::Date(day), &stamp).ok();
        prop_assert_eq!(found, expected.map(|micros| Value::Timestamp { micros, zoned }));
    }

    #[test]
    fn no_day_outside_the_years_is_let_in(day in any::<i32>()) {
        let limits = Limits { years: Some((1900, 8900)), ..Limits::default() };
        let stamp = Field { limits, ..Field::new("F", FieldType::Timestamp { zoned: true }, true) };
        let inside = (-25_567..2_531_358).contains(&day);
        prop_assert_eq!(convert(Value::Date(day), &stamp).is_ok(), inside, "{}", day);
    }

    #[test]
    fn times_are_read_as_they_are_printed(micros in -62_135_596_800_000_000..253_402_300_800_000_000_i64, zoned in any::<bool>()) {
        prop_assert_eq!(parse_timestamp(&timestamp_text(micros, zoned)), Some((micros, zoned)));
        let day = i32::try_from(micros.div_euclid(DAY_MICROS)).unwrap();
        prop_assert_eq!(parse_date(&date_text(day)), Some(day));
    }

    /// No text that a date or a time is written as stands for another one.
    #[test]
    fn every_day_has_its_own_text(a in any::<i32>(), b in any::<i32>()) {
        prop_assert_eq!(date_text(a) == date_text(b), a == b);
    }

    #[test]
    fn any_text_is_a_time_or_none(text in "[-+0-9:TZ. W/\\[\\]a-z]{0,40}|\\PC{0,30}") {
        let _never_panics = (parse_timestamp(&text), parse_date(&text), syncline_core::time::parse_time(&text));
    }
}
