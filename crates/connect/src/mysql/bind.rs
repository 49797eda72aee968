//! Values on their way to the server: exact, and never shown.

use mysql_async::Value as Raw;
use syncline_core::{
    time::{DAY_MICROS, civil_date},
    value::Value,
};
use uuid::Uuid;

use super::types::{Codec, number};

/// First and last day of the calendar: 0000-01-01 and 9999-12-31. The zero date lies before the first.
const DAYS: (i32, i32) = (-719_528, 2_932_896);
/// The instants of a `timestamp`, in seconds: what 32 bits hold, without 0, which is the zero date.
const SECONDS: (i64, i64) = (1, u32::MAX as i64);

/// A value of ours as a parameter for a column of this kind. Nothing when no record can have it, or the value is of
/// another kind.
pub(super) fn exact(codec: Codec, value: &Value<'_>) -> Option<Raw> {
    Some(match (codec, value) {
        (Codec::Bool | Codec::Bit, Value::Boolean(v)) => Raw::Int(i64::from(*v)),
        (Codec::Int | Codec::Bits, Value::Int64(v)) => Raw::Int(*v),
        (Codec::Unsigned | Codec::Bits64, Value::Decimal(v)) => Raw::UInt(v.parse().ok()?),
        (Codec::Float, Value::Float64(v)) if v.is_finite() => Raw::Double(*v),
        (Codec::Decimal { .. }, Value::Decimal(v)) if is_digits(v) => Raw::Bytes(v.as_bytes().to_vec()),
        (Codec::Text, Value::Text(v)) => Raw::Bytes(v.as_bytes().to_vec()),
        (Codec::Binary, Value::Binary(v)) => Raw::Bytes(v.to_vec()),
        (Codec::Uuid, Value::Uuid(v)) => Raw::Bytes(Uuid::from_bytes(*v).to_string().into_bytes()),
        (Codec::Date, Value::Date(day)) => date(*day, 0)?,
        (Codec::Datetime, Value::Timestamp { micros, zoned: false })
        | (Codec::Timestamp, Value::Timestamp { micros, zoned: true }) => {
            date(i32::try_from(micros.div_euclid(DAY_MICROS)).ok()?, micros.rem_euclid(DAY_MICROS))?
        }
        (Codec::Time, Value::Time(micros)) => {
            let days = u32::try_from(micros.div_euclid(DAY_MICROS)).ok()?;
            let (hour, minute, second, micro) = clock(micros.rem_euclid(DAY_MICROS));
            Raw::Time(false, days, hour, minute, second, micro)
        }
        _ => return None,
    })
}

/// A position as a parameter: what lies outside of the column's own range is moved to its end. Nothing when the value is
/// of another kind.
pub(super) fn position(codec: Codec, value: &Value<'_>) -> Option<Raw> {
    let moved = match (codec, value) {
        (Codec::Date, Value::Date(day)) => Value::Date((*day).clamp(DAYS.0, DAYS.1)),
        (Codec::Datetime, Value::Timestamp { micros, zoned }) => {
            let last = i64::from(DAYS.1 + 1) * DAY_MICROS - 1;
            Value::Timestamp { micros: (*micros).clamp(i64::from(DAYS.0) * DAY_MICROS, last), zoned: *zoned }
        }
        (Codec::Timestamp, Value::Timestamp { micros, zoned }) => Value::Timestamp {
            micros: (*micros).clamp(SECONDS.0 * 1_000_000, SECONDS.1 * 1_000_000 + 999_999),
            zoned: *zoned,
        },
        (Codec::Float, Value::Float64(v)) => Value::Float64(v.clamp(f64::MIN, f64::MAX)),
        (Codec::Unsigned | Codec::Bits64, Value::Decimal(v)) if v.starts_with('-') => {
            Value::Decimal("0".into())
        }
        (Codec::Unsigned | Codec::Bits64, Value::Decimal(v)) if is_digits(v) && !v.contains('.') => {
            return Some(Raw::UInt(v.parse().unwrap_or(u64::MAX)));
        }
        _ => return exact(codec, value),
    };
    exact(codec, &moved)
}

/// A value as the server sent it, as a parameter for the same column. Bits are compared as the number they are.
pub(super) fn of_raw(codec: Codec, raw: &Raw) -> Raw {
    match (codec, raw) {
        (Codec::Bit | Codec::Bits | Codec::Bits64, Raw::Bytes(bytes)) => {
            number(bytes).map_or(Raw::NULL, Raw::UInt)
        }
        (_, Raw::Float(v)) => Raw::Double((*v).into()),
        _ => raw.clone(),
    }
}

/// Where a parameter stands in a statement for a column of this kind. A text compared with a decimal would be compared as
/// a double; the cast has all digits that the column can have, and more behind the point, so that nothing is rounded to
/// a value of the column.
pub(super) fn place(codec: Codec) -> String {
    match codec {
        Codec::Decimal { precision, scale } => {
            let whole = precision.saturating_sub(scale);
            format!("CAST(? AS DECIMAL(65,{}))", scale.max(30.min(65_u32.saturating_sub(whole))))
        }
        _ => "?".to_owned(),
    }
}

fn is_digits(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn date(day: i32, micros: i64) -> Option<Raw> {
    let date = civil_date(day).filter(|_| (DAYS.0..=DAYS.1).contains(&day))?;
    let (hour, minute, second, micro) = clock(micros);
    Some(Raw::Date(
        u16::try_from(date.year()).ok()?,
        date.month().unsigned_abs(),
        date.day().unsigned_abs(),
        hour,
        minute,
        second,
        micro,
    ))
}

/// Hour, minute, second and microsecond of a time of day.
fn clock(micros: i64) -> (u8, u8, u8, u32) {
    let part = |unit: i64, of: i64| u8::try_from(micros / unit % of).unwrap_or_default();
    let micro = u32::try_from(micros % 1_000_000).unwrap_or_default();
    (part(3_600_000_000, 24), part(60_000_000, 60), part(1_000_000, 60), micro)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_time_comes_back_as_it_went(micros in -62_167_219_200_000_000..=253_402_300_799_999_999_i64, zoned in any::<bool>()) {
            let codec = if zoned { Codec::Timestamp } else { Codec::Datetime };
            let value = Value::Timestamp { micros, zoned };
            let raw = exact(codec, &value).expect("a time of the calendar");
            prop_assert_eq!(codec.decode(&raw), Ok(value));
        }
    }

    #[test]
    fn a_position_is_moved_into_the_columns_range_and_a_key_is_not() {
        let at = |micros| Value::Timestamp { micros, zoned: false };
        assert_eq!(exact(Codec::Datetime, &at(i64::MAX)), None);
        assert_eq!(
            position(Codec::Datetime, &at(i64::MAX)),
            Some(Raw::Date(9999, 12, 31, 23, 59, 59, 999_999))
        );
        assert_eq!(position(Codec::Datetime, &at(i64::MIN)), Some(Raw::Date(0, 1, 1, 0, 0, 0, 0)));
        let first = position(Codec::Timestamp, &Value::Timestamp { micros: i64::MIN, zoned: true });
        assert_eq!(first, Some(Raw::Date(1970, 1, 1, 0, 0, 1, 0)));
        assert_eq!(position(Codec::Date, &Value::Date(i32::MIN)), Some(Raw::Date(0, 1, 1, 0, 0, 0, 0)));
        assert_eq!(exact(Codec::Date, &Value::Date(i32::MIN)), None);
        let unsigned = |text: &'static str| position(Codec::Unsigned, &Value::Decimal(text.into()));
        assert_eq!(unsigned("-5"), Some(Raw::UInt(0)));
        assert_eq!(unsigned("18446744073709551615"), Some(Raw::UInt(u64::MAX)));
        assert_eq!(unsigned("99999999999999999999"), Some(Raw::UInt(u64::MAX)));
    }

    #[test]
    fn values_no_record_can_have_are_none() {
        assert_eq!(exact(Codec::Unsigned, &Value::Decimal("-1".into())), None);
        assert_eq!(exact(Codec::Float, &Value::Float64(f64::NAN)), None);
        assert_eq!(
            exact(Codec::Decimal { precision: 5, scale: 1 }, &Value::Decimal("Infinity".into())),
            None
        );
        assert_eq!(exact(Codec::Text, &Value::Int64(1)), None);
        assert_eq!(exact(Codec::Datetime, &Value::Timestamp { micros: 0, zoned: true }), None);
    }

    #[test]
    fn a_decimal_is_compared_as_a_decimal() {
        assert_eq!(place(Codec::Decimal { precision: 14, scale: 2 }), "CAST(? AS DECIMAL(65,30))");
        assert_eq!(place(Codec::Decimal { precision: 65, scale: 0 }), "CAST(? AS DECIMAL(65,0))");
        assert_eq!(place(Codec::Decimal { precision: 65, scale: 10 }), "CAST(? AS DECIMAL(65,10))");
        assert_eq!(place(Codec::Int), "?");
    }
}
