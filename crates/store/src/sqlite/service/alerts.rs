//! Where alerts stand.

use rusqlite::{Connection, Row, Transaction, params};
use syncline_core::alert::AlertKind;

use super::{codec, fault::Fault, words};
use crate::{rules, service::AlertState};

/// Columns of an [`AlertState`], for [`read`].
const ALERT: &str =
    "rule, subject_kind, subject, kind, active, since, told_at, message, attempts, try_at FROM alert";

pub(super) fn states(connection: &Connection) -> Result<Vec<AlertState>, Fault> {
    let sql = format!("SELECT {ALERT} ORDER BY rule, subject_kind, subject, kind");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    let mut states = Vec::new();
    while let Some(row) = rows.next()? {
        states.push(read(row)?);
    }
    Ok(states)
}

pub(super) fn swap(
    transaction: &Transaction<'_>,
    previous: Option<&AlertState>,
    next: &AlertState,
) -> Result<bool, Fault> {
    let found = get(transaction, next)?;
    if found != previous.map(rules::stored_alert) {
        return Ok(false);
    }
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO alert
               (rule, subject_kind, subject, kind, active, since, told_at, message, attempts, try_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            next.rule,
            next.subject.kind.as_str(),
            next.subject.name,
            next.kind.as_str(),
            next.active,
            codec::time_text(next.since)?,
            words::time_or_null(next.told_at)?,
            next.message.as_ref().map(codec::json).transpose()?,
            next.attempts,
            words::time_or_null(next.try_at)?,
        ])?;
    Ok(true)
}

fn get(connection: &Connection, of: &AlertState) -> Result<Option<AlertState>, Fault> {
    let sql = format!("SELECT {ALERT} WHERE rule = ?1 AND subject_kind = ?2 AND subject = ?3 AND kind = ?4");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows =
        statement.query(params![of.rule, of.subject.kind.as_str(), of.subject.name, of.kind.as_str()])?;
    rows.next()?.map(read).transpose()
}

fn read(row: &Row<'_>) -> Result<AlertState, Fault> {
    Ok(AlertState {
        rule: row.get(0)?,
        subject: words::subject(row, 1)?,
        kind: words::word(row, 3, AlertKind::parse, "kind of alert")?,
        active: row.get(4)?,
        since: codec::time(row, 5)?,
        told_at: codec::time_or_null(row, 6)?,
        message: codec::from_json_or_null(row, 7)?,
        attempts: row.get(8)?,
        try_at: codec::time_or_null(row, 9)?,
    })
}
