//! What every store does alike, as plain functions and numbers: what is kept how long, what cannot be kept, and the words.

use jiff::SignedDuration;
use syncline_core::{cursor::Cursor, sync::Mode, value::Value};

use crate::{DriftKind, IntentKind};

/// How long a run is remembered: a quarter, so that a monthly review finds all of the month before.
pub(crate) const RUNS_KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How long spent units are remembered: the longest budget is a day; two cover any offset between clocks.
pub(crate) const SPENT_KEPT: SignedDuration = SignedDuration::from_hours(2 * 24);
/// Rows forgotten per finished run, at most, so that finishing stays quick after a long pause. More than a run adds.
pub(crate) const FORGOTTEN_MAX: usize = 5_000;
/// Scratch records that are shown of those with the same stamp or natural key: three tell "one", "two" and "more".
pub(crate) const SAME_SHOWN: usize = 3;

/// Code of a parked record that was edited on both sides.
pub(crate) const CONFLICT: &str = "conflict";
/// Code of a parked record whose drift is to be repaired.
pub(crate) const DRIFT: &str = "drift";

/// The word for a mode in a [`Run`](crate::Run).
pub(crate) fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Full => "full",
        Mode::Incremental => "incremental",
    }
}

/// What is to be done about drift of this kind, and the message of the parked record; `None` for what is no record of
/// the ledger: there is nothing to rewrite.
pub(crate) fn repair(kind: DriftKind) -> Option<(IntentKind, &'static str)> {
    match kind {
        DriftKind::Edited => Some((IntentKind::Update, "edited in the destination")),
        DriftKind::Missing => Some((IntentKind::Create, "missing in the destination")),
        DriftKind::Duplicate | DriftKind::Orphan | DriftKind::Stranger => None,
    }
}

/// A key as people know it: its values, joined.
pub(crate) fn label(key: &[Value<'static>]) -> String {
    let values = key.iter().map(|value| match value.to_json() {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    });
    values.collect::<Vec<_>>().join(", ")
}

/// Refuses a key that would not come back: JSON has no word for some doubles.
pub(crate) fn storable_key(key: &[Value<'static>]) -> Result<(), &'static str> {
    if key.iter().any(is_not_finite) {
        return Err("a key holds a double that is not a number or infinite");
    }
    Ok(())
}

/// Refuses a cursor that would not come back, as [`storable_key`] does.
pub(crate) fn storable_cursor(cursor: &Cursor) -> Result<(), &'static str> {
    let position = cursor.position.as_ref();
    if position.is_some_and(|p| is_not_finite(&p.cursor) || p.key.iter().any(is_not_finite)) {
        return Err("a cursor holds a double that is not a number or infinite");
    }
    Ok(())
}

fn is_not_finite(value: &Value<'_>) -> bool {
    match value {
        Value::Float64(number) => !number.is_finite(),
        Value::List(values) => values.iter().any(is_not_finite),
        _ => false,
    }
}
