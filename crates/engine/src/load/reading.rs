//! What a load reads: decided before it begins, and pure.

use std::time::Duration;

use super::range::Range;
use syncline_connect::database::State;
use syncline_core::{
    cursor::{Cursor, Position},
    sync::{Mode, Overlap, Sync, Write},
    value::Value,
};

/// What a load reads, and why.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    pub(super) mode: Mode,
    pub(super) reason: Option<String>,
    pub(super) from: Option<Position>,
    pub(super) overlap: Overlap,
}

/// The cursor that is remembered; nothing when it cannot be read, which makes the load a full one.
pub(super) fn cursor(state: Option<&State>) -> Option<Cursor> {
    serde_json::from_str(state?.cursor.as_deref()?).ok()
}

/// Why a load reads everything when the table gets a column.
pub(super) const NEW_COLUMN: &str =
    "a column is new: everything is read, or it would stay empty in records that did not change";

/// Everything, for a reason.
pub(super) fn whole(reason: &str) -> Reading {
    Reading { mode: Mode::Full, reason: Some(reason.to_owned()), from: None, overlap: Overlap::default() }
}

/// A part of the past; where it starts is filled in by who knows the cursor's type.
pub(super) fn again(range: &Range) -> Reading {
    let reason = format!("read again from {} up to {}", range.from, range.to);
    Reading { mode: Mode::Incremental, reason: Some(reason), from: None, overlap: Overlap::default() }
}

/// Decides what a load reads.
pub(super) fn decide(
    sync: &Sync,
    asked: Option<Mode>,
    cursor: Option<&Cursor>,
    table_exists: bool,
) -> Reading {
    let full = |reason: Option<&str>| Reading { reason: reason.map(str::to_owned), ..whole("") };
    let Some(cursor) = cursor else { return full(Some("first load: everything is read")) };
    if cursor.fingerprint != sync.fingerprint() {
        return full(Some("the definition changed (key, fields or filter): everything is read again"));
    }
    if !table_exists {
        return full(Some("the table is not there: everything is read again"));
    }
    if sync.write == Write::Replace {
        return full(None);
    }
    match (asked.unwrap_or(sync.mode), &cursor.position) {
        (Mode::Full, _) => full(None),
        (Mode::Incremental, None) => full(Some("there is no stored position to go on from")),
        (Mode::Incremental, Some(position)) => {
            // what is appended twice is there twice
            let overlap = if sync.write == Write::Append { Overlap::default() } else { sync.from.overlap };
            Reading { mode: Mode::Incremental, reason: None, from: Some(position.clone()), overlap }
        }
    }
}

/// The overlap that reaches back to the start of the last load less `lookback`, where that is further than `overlap`
/// does. Times in microseconds since 1970.
pub(super) fn look_back(
    from: &Position,
    overlap: Overlap,
    last_start: Option<i64>,
    lookback: Duration,
) -> Overlap {
    let at = match from.cursor {
        Value::Timestamp { micros, .. } if micros != i64::MAX && micros != i64::MIN => micros,
        Value::Date(day) => i64::from(day).saturating_mul(syncline_core::time::DAY_MICROS),
        _ => return overlap,
    };
    let Some(last_start) = last_start else { return overlap };
    let back = i64::try_from(lookback.as_micros()).unwrap_or(i64::MAX);
    let wanted = at.saturating_sub(last_start.saturating_sub(back));
    let wanted = Duration::from_micros(u64::try_from(wanted).unwrap_or_default());
    Overlap { time: overlap.time.max(wanted), ..overlap }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookback_reaches_behind_the_last_start() {
        let minute = 60_000_000;
        let from =
            Position { cursor: Value::Timestamp { micros: 100 * minute, zoned: true }, key: Vec::new() };
        let overlap = Overlap { time: Duration::from_secs(120), count: 0 };
        let back = |last: Option<i64>, lookback: u64| {
            look_back(&from, overlap, last, Duration::from_secs(lookback * 60)).time.as_secs() / 60
        };
        assert_eq!(back(Some(99 * minute), 30), 31, "last start less the lookback");
        assert_eq!(back(Some(99 * minute), 0), 2, "never less than the overlap");
        assert_eq!(back(None, 30), 2, "nothing to look back from");
        assert_eq!(back(Some(200 * minute), 30), 2, "a clock ahead of the cursor");
    }
}
