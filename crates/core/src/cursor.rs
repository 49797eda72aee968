//! Positions in a source's order, and the cursor: the position that is stored.

use serde::{Deserialize, Serialize};

use crate::value::Value;

/// A place in a listing ordered by (cursor column, key): everything at or before it has been read.
///
/// Carries the source's full precision; ordering is the source's business, so positions of different syncs or
/// sources must not be compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Value of the cursor column.
    pub cursor: Value<'static>,
    /// Values of the key columns, in key order.
    pub key: Vec<Value<'static>>,
}

impl Position {
    /// Where an incremental read may start after a full one: at `resume`, the source's own answer, or at the highest cursor that
    /// was read when that is lower. Then records are found whose clock runs behind the source's.
    pub fn after_full(resume: Option<Self>, highest: Option<i64>) -> Option<Self> {
        let mut position = resume?;
        let Some(highest) = highest else { return Some(position) };
        position.cursor = match position.cursor {
            // Infinity is above everything, and nothing would ever be found behind it.
            Value::Timestamp { micros, zoned } => Value::Timestamp { micros: micros.min(highest), zoned },
            Value::Date(day) => Value::Date(day.min(day_at_most(highest))),
            Value::Int64(n) => Value::Int64(n.min(highest)),
            other => other,
        };
        Some(position)
    }
}

/// The last day that is not above `ordinal` and not infinity.
fn day_at_most(ordinal: i64) -> i32 {
    let highest = i64::from(i32::MAX) - 1;
    i32::try_from(ordinal.min(highest)).unwrap_or(i32::MIN)
}

/// The place of a cursor value on its column's own scale; `None` for infinity and for types without one.
pub fn ordinal(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Timestamp { micros: i64::MAX | i64::MIN, .. } | Value::Date(i32::MAX | i32::MIN) => None,
        Value::Timestamp { micros, .. } => Some(*micros),
        Value::Date(day) => Some(i64::from(*day)),
        Value::Int64(n) => Some(*n),
        _ => None,
    }
}

/// What is stored between runs for one sync.
///
/// A cursor passes a record only when that record is done or parked: the engine moves it in the same store
/// transaction that records the outcomes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Cursor {
    /// Where the last incremental read ended; `None`: nothing read yet, or reset.
    pub position: Option<Position>,
    /// Fingerprint of key, mapping, routes and filter under which it was moved. A different fingerprint makes the
    /// next run read in full.
    pub fingerprint: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_read_resumes_at_the_lower_of_bound_and_highest() {
        let at = |micros| Position { cursor: Value::Timestamp { micros, zoned: true }, key: Vec::new() };
        assert_eq!(Position::after_full(Some(at(9)), Some(5)), Some(at(5)), "a clock behind the source's");
        assert_eq!(Position::after_full(Some(at(9)), Some(12)), Some(at(9)), "late writers");
        assert_eq!(Position::after_full(Some(at(9)), None), Some(at(9)), "an empty source");
        assert_eq!(Position::after_full(None, Some(5)), None);
        assert_eq!(ordinal(&Value::Timestamp { micros: i64::MAX, zoned: true }), None);
    }
}
