//! Which records an incremental listing wants, and where the next one starts.

use std::time::Duration;

use syncline_core::{schema::FieldType, sync::Overlap, time::DAY_MICROS, value::Value};

use super::order::compare;

/// Wall clocks without a zone run at most this far ahead of UTC.
const CLOCK_AHEAD: i64 = 14 * 3_600_000_000;

/// A part of a stream by its cursor: from a place on, and before an end.
#[derive(Debug, Clone)]
pub(super) struct Window {
    start: Option<Value<'static>>,
    end: Option<Value<'static>>,
}

impl Window {
    /// Everything up to now (microseconds since 1970).
    ///
    /// Times end at the machine's clock: what is later was not stamped by the hour it was written in, and a stored cursor
    /// that followed it would pass everything that is stamped until then. There is no lag to subtract: a file has no open
    /// writers, it is complete when it is read.
    pub(super) fn until(now: i64, kind: &FieldType) -> Self {
        let ahead = now.saturating_add(CLOCK_AHEAD);
        let end = match kind {
            FieldType::Timestamp { zoned: true } => Some(Value::Timestamp { micros: now, zoned: true }),
            FieldType::Timestamp { zoned: false } => Some(Value::Timestamp { micros: ahead, zoned: false }),
            FieldType::Date => i32::try_from(ahead.div_euclid(DAY_MICROS) + 1).ok().map(Value::Date),
            _ => None,
        };
        Self { start: None, end }
    }

    /// From a stored cursor less the overlap.
    #[must_use]
    pub(super) fn from(mut self, cursor: &Value<'static>, overlap: Overlap) -> Self {
        self.start = Some(before(cursor, overlap));
        self
    }

    /// Whether a record with this cursor is wanted. Null is no place, nor is what nothing can come after.
    pub(super) fn holds(&self, cursor: &Value<'_>) -> bool {
        let endless = match cursor {
            Value::Null => true,
            Value::Float64(v) => v.is_nan() || *v == f64::INFINITY,
            Value::Decimal(v) => matches!(v.as_ref(), "NaN" | "Infinity"),
            _ => false,
        };
        !endless
            && self.start.as_ref().is_none_or(|start| compare(cursor, start).is_ge())
            && self.end.as_ref().is_none_or(|end| compare(cursor, end).is_lt())
    }
}

/// The smallest value of a type: where to start when nothing was seen yet.
pub(super) fn lowest(kind: &FieldType) -> Option<Value<'static>> {
    Some(match kind {
        FieldType::Boolean => Value::Boolean(false),
        FieldType::Int64 => Value::Int64(i64::MIN),
        FieldType::Float64 => Value::Float64(f64::NEG_INFINITY),
        FieldType::Decimal { .. } => Value::Decimal("-Infinity".into()),
        FieldType::Text => Value::Text("".into()),
        FieldType::Binary => Value::Binary(Vec::new().into()),
        FieldType::Date => Value::Date(i32::MIN),
        FieldType::Time => Value::Time(i64::MIN),
        FieldType::Timestamp { zoned } => Value::Timestamp { micros: i64::MIN, zoned: *zoned },
        FieldType::Uuid => Value::Uuid([0; 16]),
        FieldType::Json | FieldType::List(_) => return None,
    })
}

/// The next value, so that "from there on" is behind `value`; itself where there is none, and for types without steps.
pub(super) fn behind(value: Value<'static>) -> Value<'static> {
    match value {
        Value::Int64(n) => Value::Int64(n.saturating_add(1)),
        Value::Date(day) => Value::Date(day.saturating_add(1)),
        Value::Timestamp { micros, zoned } => Value::Timestamp { micros: micros.saturating_add(1), zoned },
        other => other,
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A cursor less the overlap, in the cursor's own unit.
fn before(cursor: &Value<'static>, overlap: Overlap) -> Value<'static> {
    match cursor {
        Value::Timestamp { micros: at, zoned } => {
            Value::Timestamp { micros: at.saturating_sub(micros(overlap.time)), zoned: *zoned }
        }
        Value::Date(day) => {
            // a part of a day reaches into the day before
            let days = micros(overlap.time).saturating_add(DAY_MICROS - 1) / DAY_MICROS;
            Value::Date(i32::try_from(i64::from(*day).saturating_sub(days)).unwrap_or(i32::MIN))
        }
        Value::Int64(n) => Value::Int64(n.saturating_sub_unsigned(overlap.count)),
        Value::Float64(n) => Value::Float64(n - overlap.count as f64),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_769_854_625_000_000;

    fn zoned(micros: i64) -> Value<'static> {
        Value::Timestamp { micros, zoned: true }
    }

    #[test]
    fn a_window_has_both_ends() {
        let kind = FieldType::Timestamp { zoned: true };
        let overlap = Overlap { time: Duration::from_micros(10), count: 0 };
        let window = Window::until(NOW, &kind).from(&zoned(100), overlap);
        for (at, inside) in [(89, false), (90, true), (NOW - 1, true), (NOW, false), (i64::MAX, false)] {
            assert_eq!(window.holds(&zoned(at)), inside, "{at}");
        }
        assert!(!window.holds(&Value::Null));
    }

    #[test]
    fn everything_is_after_the_lowest() {
        let none = Overlap::default();
        for (kind, value) in [
            (FieldType::Int64, Value::Int64(i64::MIN)),
            (FieldType::Float64, Value::Float64(f64::MIN)),
            (FieldType::Decimal { precision: None, scale: None }, Value::Decimal("-1e9".into())),
            (FieldType::Text, Value::Text("".into())),
            (FieldType::Date, Value::Date(-719_162)),
            (FieldType::Uuid, Value::Uuid([0; 16])),
        ] {
            let start = lowest(&kind).unwrap();
            assert!(Window::until(NOW, &kind).from(&start, none).holds(&value), "{kind}");
        }
    }

    #[test]
    fn an_overlap_is_in_the_cursors_unit() {
        let overlap = Overlap { time: Duration::from_secs(90_000), count: 3 };
        assert_eq!(before(&zoned(0), overlap), zoned(-90_000_000_000));
        assert_eq!(before(&zoned(i64::MIN), overlap), zoned(i64::MIN));
        assert_eq!(before(&Value::Date(10), overlap), Value::Date(8));
        assert_eq!(before(&Value::Int64(i64::MIN + 1), overlap), Value::Int64(i64::MIN));
        let forever = Overlap { time: Duration::MAX, count: u64::MAX };
        assert_eq!(before(&Value::Date(10), forever), Value::Date(10 - 106_751_991));
    }

    #[test]
    fn what_nothing_comes_after_is_no_place() {
        let window = Window::until(NOW, &FieldType::Float64);
        assert!(window.holds(&Value::Float64(f64::MAX)));
        assert!(!window.holds(&Value::Float64(f64::INFINITY)) && !window.holds(&Value::Float64(f64::NAN)));
        assert!(!window.holds(&Value::Decimal("NaN".into())));
    }
}
