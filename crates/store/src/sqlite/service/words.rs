//! Stored words that become facts again.

use rusqlite::Row;
use syncline_core::schedule::Overlap;

use super::{codec, fault::Fault};
use crate::{
    rules,
    service::{Subject, SubjectKind},
};

/// A word of a column, as `parse` knows it.
pub(super) fn word<T>(
    row: &Row<'_>,
    column: usize,
    parse: impl Fn(&str) -> Option<T>,
    what: &str,
) -> Result<T, Fault> {
    let text = row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?;
    parse(text).ok_or_else(|| Fault::Broken(format!("a stored {what} is unknown")))
}

/// The same, of a column that may be null.
pub(super) fn word_or_null<T>(
    row: &Row<'_>,
    column: usize,
    parse: impl Fn(&str) -> Option<T>,
    what: &str,
) -> Result<Option<T>, Fault> {
    if row.get_ref(column)? == rusqlite::types::ValueRef::Null {
        return Ok(None);
    }
    word(row, column, parse, what).map(Some)
}

/// A subject, of two columns.
pub(super) fn subject(row: &Row<'_>, first: usize) -> Result<Subject, Fault> {
    Ok(Subject { kind: word(row, first, SubjectKind::parse, "kind of subject")?, name: row.get(first + 1)? })
}

pub(super) fn overlap(row: &Row<'_>, column: usize) -> Result<Overlap, Fault> {
    word(row, column, rules::parse_overlap, "overlap")
}

/// Code and message, of two columns that are null together.
pub(super) fn error(row: &Row<'_>, first: usize) -> Result<Option<(String, String)>, Fault> {
    let (code, message): (Option<String>, Option<String>) = (row.get(first)?, row.get(first + 1)?);
    Ok(code.zip(message))
}

/// The other way.
pub(super) fn error_parts(error: Option<&(String, String)>) -> (Option<&String>, Option<&String>) {
    error.map(|(code, message)| (code, message)).unzip()
}

/// A time that may be absent.
pub(super) fn time_or_null(time: Option<jiff::Timestamp>) -> Result<Option<String>, Fault> {
    time.map(codec::time_text).transpose()
}

/// A number that may be absent.
pub(super) fn number_or_null(number: Option<u64>) -> Result<Option<i64>, Fault> {
    number.map(codec::signed).transpose()
}
