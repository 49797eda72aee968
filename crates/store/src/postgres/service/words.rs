//! Stored words that become facts again, and the locks of the service.

use std::borrow::Cow;

use tokio_postgres::Row;

use super::{codec, connection::Work, fault::Fault};
use crate::service::{Subject, SubjectKind};

/// A word of a column, as `parse` knows it.
pub(super) fn word<T>(
    row: &Row,
    column: usize,
    parse: impl Fn(&str) -> Option<T>,
    what: &str,
) -> Result<T, Fault> {
    parse(row.try_get(column)?).ok_or_else(|| unknown(what))
}

/// The same, of a column that may be null.
pub(super) fn word_or_null<T>(
    row: &Row,
    column: usize,
    parse: impl Fn(&str) -> Option<T>,
    what: &str,
) -> Result<Option<T>, Fault> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| parse(text).ok_or_else(|| unknown(what))).transpose()
}

fn unknown(what: &str) -> Fault {
    Fault::Broken(format!("a stored {what} is unknown"))
}

/// A subject, of two columns.
pub(super) fn subject(row: &Row, first: usize) -> Result<Subject, Fault> {
    let kind = word(row, first, SubjectKind::parse, "kind of subject")?;
    Ok(Subject { kind, name: row.try_get(first + 1)? })
}

/// Code and message, of two columns that are null together.
pub(super) fn error(row: &Row, first: usize) -> Result<Option<(String, String)>, Fault> {
    let (code, message): (Option<String>, Option<String>) = (row.try_get(first)?, row.try_get(first + 1)?);
    Ok(code.zip(message))
}

/// The other way.
pub(super) fn error_parts(error: Option<&(String, String)>) -> (Option<&str>, Option<Cow<'_, str>>) {
    error.map(|(code, message)| (code.as_str(), codec::text(message))).unzip()
}

/// A small number that is stored as a large one.
pub(super) fn small(row: &Row, column: usize) -> Result<u32, Fault> {
    u32::try_from(row.try_get::<_, i64>(column)?)
        .map_err(|_| Fault::Broken("a stored number is out of its range".to_owned()))
}

/// A time that may be absent.
pub(super) fn time_or_null(time: Option<jiff::Timestamp>) -> Result<Option<codec::Time>, Fault> {
    time.map(codec::time).transpose()
}

/// A number that may be absent.
pub(super) fn number_or_null(number: Option<u64>) -> Result<Option<i64>, Fault> {
    number.map(codec::signed).transpose()
}

/// Waits until nobody else of the tenant does what this names; until the transaction ends, others wait for us.
pub(super) async fn alone(work: &Work<'_>, what: &str) -> Result<(), Fault> {
    work.rows("SELECT pg_advisory_xact_lock(hashtextextended($2, 5) + $1::integer)", &[&work.tenant, &what])
        .await?;
    Ok(())
}
