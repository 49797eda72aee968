//! Between columns and facts.

use std::{collections::BTreeMap, fmt::Display};

use jiff::Timestamp;
use rusqlite::Row;
use serde::de::DeserializeOwned;
use syncline_core::{counts::Counts, cursor::Cursor, identity::Identity, value::Value};

use super::fault::Fault;
use crate::{Fields, IntentKind, LedgerRow, rules};

/// A time as the store writes it: UTC, six decimals, always 27 characters, so that text order is time order.
pub(super) fn time_text(time: Timestamp) -> Result<String, Fault> {
    let text = format!("{time:.6}");
    if text.len() == 27 { Ok(text) } else { Err(Fault::Broken("a time before year 0".to_owned())) }
}

pub(super) fn time(row: &Row<'_>, column: usize) -> Result<Timestamp, Fault> {
    parsed(row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?, "time")
}

pub(super) fn time_or_null(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>, Fault> {
    match row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from)? {
        Some(text) => parsed(text, "time").map(Some),
        None => Ok(None),
    }
}

fn parsed<T: std::str::FromStr<Err: Display>>(text: &str, what: &str) -> Result<T, Fault> {
    text.parse().map_err(|error| Fault::Broken(format!("a stored {what} cannot be read: {error}")))
}

/// SQLite has signed numbers only.
pub(super) fn signed(number: u64) -> Result<i64, Fault> {
    i64::try_from(number).map_err(|_| Fault::Broken("a number above 2^63".to_owned()))
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> Result<u64, Fault> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| Fault::Broken("a stored number is negative".to_owned()))
}

pub(super) fn unsigned_or_null(row: &Row<'_>, column: usize) -> Result<Option<u64>, Fault> {
    if row.get_ref(column)? == rusqlite::types::ValueRef::Null {
        return Ok(None);
    }
    unsigned(row, column).map(Some)
}

/// A limit for SQL; what is above 2^63 is no limit.
pub(super) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

pub(super) fn identity(row: &Row<'_>, column: usize) -> Result<Identity, Fault> {
    Ok(Identity(row.get(column)?))
}

pub(super) fn kind(text: &str) -> Result<IntentKind, Fault> {
    [IntentKind::Create, IntentKind::Update, IntentKind::Move, IntentKind::Delete]
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or_else(|| Fault::Broken("a stored kind of intent is unknown".to_owned()))
}

/// A key as JSON, every value with its type: `[{"t":"text","v":"PRJ-1"}]`.
pub(super) fn key_text(key: &[Value<'static>]) -> Result<String, Fault> {
    rules::storable_key(key).map_err(|why| Fault::Broken(why.to_owned()))?;
    json(key)
}

pub(super) fn cursor_text(cursor: &Cursor) -> Result<String, Fault> {
    rules::storable_cursor(cursor).map_err(|why| Fault::Broken(why.to_owned()))?;
    json(cursor)
}

pub(super) fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| Fault::Broken(format!("cannot be stored: {error}")))
}

/// JSON of a column. Errors name the place in the text, never the text.
pub(super) fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T, Fault> {
    parsed_json(row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?)
}

pub(super) fn from_json_or_null<T: DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> Result<Option<T>, Fault> {
    row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from)?.map(parsed_json).transpose()
}

fn parsed_json<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Fault::Broken(format!("stored JSON cannot be read, at line {line}, column {column}"))
    })
}

/// The columns of [`Counts`], in the order of [`counts`] and [`count_values`].
pub(super) const COUNTS: &str =
    "read, created, updated, moved, deleted, unchanged, skipped, parked, held, conflicted";

/// Counts from ten columns, the first of which is `first`.
pub(super) fn counts(row: &Row<'_>, first: usize) -> Result<Counts, Fault> {
    Ok(Counts {
        read: unsigned(row, first)?,
        created: unsigned(row, first + 1)?,
        updated: unsigned(row, first + 2)?,
        moved: unsigned(row, first + 3)?,
        deleted: unsigned(row, first + 4)?,
        unchanged: unsigned(row, first + 5)?,
        skipped: unsigned(row, first + 6)?,
        parked: unsigned(row, first + 7)?,
        held: unsigned(row, first + 8)?,
        conflicted: unsigned(row, first + 9)?,
    })
}

pub(super) fn count_values(counts: &Counts) -> Result<[i64; 10], Fault> {
    Ok([
        signed(counts.read)?,
        signed(counts.created)?,
        signed(counts.updated)?,
        signed(counts.moved)?,
        signed(counts.deleted)?,
        signed(counts.unchanged)?,
        signed(counts.skipped)?,
        signed(counts.parked)?,
        signed(counts.held)?,
        signed(counts.conflicted)?,
    ])
}

/// The JSON columns of a [`LedgerRow`], made before the transaction begins so that it is short.
pub(super) struct Wide {
    pub(super) key: String,
    pub(super) fields: String,
}

impl Wide {
    pub(super) fn of(row: &LedgerRow) -> Result<Self, Fault> {
        Ok(Self { key: key_text(&row.key)?, fields: fields_text(&row.fields)? })
    }
}

pub(super) fn fields_text(fields: &Fields) -> Result<String, Fault> {
    json::<BTreeMap<String, serde_json::Value>>(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sort_as_text_and_lose_only_nanoseconds() {
        let time = |text: &str| text.parse::<Timestamp>().expect("a time");
        let stored = |text: &str| time_text(time(text)).expect("a time of our era");
        assert_eq!(stored("2026-11-22T03:20:00Z"), "2026-11-22T03:20:00.000000Z");
        assert_eq!(stored("2026-11-22T03:20:00.1234567Z"), "2026-11-22T03:20:00.123456Z");
        assert!(stored("2026-11-22T03:20:00.9Z") < stored("2026-11-22T03:20:01Z"));
        assert!(time_text(time("-000001-01-01T00:00:00Z")).is_err());
    }

    #[test]
    fn doubles_that_json_cannot_hold_are_refused() {
        let bad = [Value::Int64(1), Value::List(vec![Value::Float64(f64::NAN)])];
        assert!(key_text(&bad).is_err());
        assert!(key_text(&[Value::Float64(0.1)]).is_ok());
    }
}
