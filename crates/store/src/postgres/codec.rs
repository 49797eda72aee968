//! Between columns and facts.

use std::{borrow::Cow, collections::BTreeMap, error::Error as StdError};

use bytes::{BufMut, BytesMut};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use syncline_core::{counts::Counts, cursor::Cursor, identity::Identity, value::Value};
use tokio_postgres::{
    Row,
    types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked},
};

use super::fault::Fault;
use crate::{Fields, IntentKind, LedgerRow, rules};

/// Microseconds between 1970, where ours begin, and 2000, where PostgreSQL's do.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// The beginning of the year 0; nothing earlier is stored.
const FIRST_MICROS: i64 = -62_167_219_200_000_000;

/// A time as the store keeps it: to the microsecond; what is below is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time(i64);

impl Time {
    fn floor(time: Timestamp) -> Self {
        // Nanoseconds of our era in microseconds fit into 64 bits.
        Self(i64::try_from(time.as_nanosecond().div_euclid(1000)).unwrap_or(i64::MAX))
    }
}

/// A time to be stored.
pub(super) fn time(time: Timestamp) -> Result<Time, Fault> {
    let micros = Time::floor(time);
    if micros.0 < FIRST_MICROS { Err(Fault::Broken("a time before year 0".to_owned())) } else { Ok(micros) }
}

/// A time for comparing with stored ones.
pub(super) fn bound(time: Timestamp) -> Time {
    Time::floor(time).max(Time(FIRST_MICROS - 1))
}

impl ToSql for Time {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.put_i64(self.0 - EPOCH_MICROS);
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Time {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(micros.checked_add(EPOCH_MICROS).ok_or("a stored time is beyond all times")?))
    }

    accepts!(TIMESTAMPTZ);
}

pub(super) fn stored_time(row: &Row, column: usize) -> Result<Timestamp, Fault> {
    timestamp(row.try_get(column)?)
}

pub(super) fn stored_time_or_null(row: &Row, column: usize) -> Result<Option<Timestamp>, Fault> {
    row.try_get::<_, Option<Time>>(column)?.map(timestamp).transpose()
}

fn timestamp(Time(micros): Time) -> Result<Timestamp, Fault> {
    Timestamp::from_microsecond(micros)
        .map_err(|_| Fault::Broken("a stored time is beyond all times".to_owned()))
}

/// PostgreSQL has signed numbers only.
pub(super) fn signed(number: u64) -> Result<i64, Fault> {
    i64::try_from(number).map_err(|_| Fault::Broken("a number above 2^63".to_owned()))
}

pub(super) fn unsigned(row: &Row, column: usize) -> Result<u64, Fault> {
    positive(row.try_get(column)?)
}

pub(super) fn unsigned_or_null(row: &Row, column: usize) -> Result<Option<u64>, Fault> {
    row.try_get::<_, Option<i64>>(column)?.map(positive).transpose()
}

fn positive(number: i64) -> Result<u64, Fault> {
    u64::try_from(number).map_err(|_| Fault::Broken("a stored number is negative".to_owned()))
}

/// A limit for SQL; what is above 2^63 is no limit.
pub(super) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Thirty-two bytes: an identity or a hash.
pub(super) fn hash(row: &Row, column: usize) -> Result<[u8; 32], Fault> {
    thirty_two(row.try_get(column)?)
}

pub(super) fn hash_or_null(row: &Row, column: usize) -> Result<Option<[u8; 32]>, Fault> {
    row.try_get::<_, Option<&[u8]>>(column)?.map(thirty_two).transpose()
}

pub(super) fn identity(row: &Row, column: usize) -> Result<Identity, Fault> {
    hash(row, column).map(Identity)
}

fn thirty_two(bytes: &[u8]) -> Result<[u8; 32], Fault> {
    bytes.try_into().map_err(|_| Fault::Broken("a stored hash does not have 32 bytes".to_owned()))
}

/// Identities as an array of the database.
pub(super) fn bytes(identities: &[Identity]) -> Vec<&[u8]> {
    identities.iter().map(|identity| identity.0.as_slice()).collect()
}

pub(super) fn kind(text: &str) -> Result<IntentKind, Fault> {
    [IntentKind::Create, IntentKind::Update, IntentKind::Move, IntentKind::Delete]
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or_else(|| Fault::Broken("a stored kind of intent is unknown".to_owned()))
}

/// Text for people. PostgreSQL has no NUL in texts; in one that is read it is shown as its symbol.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{2400}").into() } else { text.into() }
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

pub(super) fn fields_text(fields: &Fields) -> Result<String, Fault> {
    json::<BTreeMap<String, serde_json::Value>>(fields)
}

pub(super) fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| Fault::Broken(format!("cannot be stored: {error}")))
}

/// JSON of a column that was cast to text. Errors name the place in the text, never the text.
pub(super) fn from_json<T: DeserializeOwned>(row: &Row, column: usize) -> Result<T, Fault> {
    parsed_json(row.try_get(column)?)
}

pub(super) fn from_json_or_null<T: DeserializeOwned>(row: &Row, column: usize) -> Result<Option<T>, Fault> {
    row.try_get::<_, Option<&str>>(column)?.map(parsed_json).transpose()
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
pub(super) fn counts(row: &Row, first: usize) -> Result<Counts, Fault> {
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

/// Cuts `items` where one comes whose key was met since the last cut: a statement may touch a row only once.
pub(super) fn without_repeats<'a, T, K: Ord>(items: &'a [T], key: impl Fn(&'a T) -> K) -> Vec<&'a [T]> {
    let (mut parts, mut from, mut met) = (Vec::new(), 0, std::collections::BTreeSet::new());
    for (at, item) in items.iter().enumerate() {
        if !met.insert(key(item)) {
            parts.push(&items[from..at]);
            (from, met) = (at, std::collections::BTreeSet::from([key(item)]));
        }
    }
    if from < items.len() {
        parts.push(&items[from..]);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_lose_only_what_is_below_a_microsecond() {
        let floor = |text: &str| Time::floor(text.parse().expect("a time")).0;
        assert_eq!(floor("1970-01-01T00:00:00.0000019Z"), 1);
        assert_eq!(floor("1969-12-31T23:59:59.9999995Z"), -1);
        assert_eq!(floor("0000-01-01T00:00:00Z"), FIRST_MICROS);
        let long_ago = "-000001-01-01T00:00:00Z".parse().expect("a time");
        assert!(time(long_ago).is_err());
        assert!(bound(long_ago) < Time(FIRST_MICROS));
    }

    #[test]
    fn a_part_has_no_key_twice() {
        let parts = without_repeats(&[1, 2, 1, 1, 3], |n| *n);
        assert_eq!(parts, [&[1, 2][..], &[1], &[1, 3]]);
        assert!(without_repeats(&[] as &[i32], |n| *n).is_empty());
    }
}
