//! Occurrences: how one is stored, asked for, and shown.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params, params_from_iter};
use syncline_core::run::Status;

use super::{
    codec,
    fault::Fault,
    filter::{self, Filter},
    words,
};
use crate::{
    rules,
    service::{
        Enqueued, NewOccurrence, Occurrence, OccurrenceFilter, OccurrenceId, OccurrenceState, Subject,
        WAITING_MAX,
    },
};

/// What was asked for, for [`asked`].
pub(super) const ASKED: &str =
    "kind, subject, schedule, instant, due_at, overlap, weight, retry, options, connections,
    requested_by, idempotency_key, correlation";
/// Columns of [`ASKED`].
const ASKED_COLUMNS: usize = 13;

/// Adds an occurrence, waiting or skipped for a reason; `None` when its schedule has this instant already.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    occurrence: &NewOccurrence,
    skip: Option<&'static str>,
    now: Timestamp,
) -> Result<Option<OccurrenceId>, Fault> {
    let now = codec::time_text(now)?;
    let state = if skip.is_some() { OccurrenceState::Skipped } else { OccurrenceState::Waiting };
    let sql = format!(
        "INSERT INTO occurrence ({ASKED}, created_at, state, reason, finished_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
         ON CONFLICT (kind, subject, schedule, instant) WHERE schedule IS NOT NULL AND retry = 0 DO NOTHING
         RETURNING id"
    );
    let id: Option<i64> = transaction
        .prepare_cached(&sql)?
        .query_row(
            params![
                occurrence.subject.kind.as_str(),
                occurrence.subject.name,
                occurrence.schedule,
                codec::time_text(occurrence.instant)?,
                codec::time_text(occurrence.due_at)?,
                rules::overlap_word(occurrence.overlap),
                occurrence.weight,
                occurrence.retry,
                codec::json(&occurrence.options)?,
                codec::json(&occurrence.connections)?,
                occurrence.requested_by,
                occurrence.idempotency_key,
                occurrence.correlation,
                now,
                state.as_str(),
                skip,
                skip.map(|_| &now),
            ],
            |row| row.get(0),
        )
        .optional()?;
    id.map(|id| u64::try_from(id).map_err(|_| Fault::Broken("a number below zero".to_owned()))).transpose()
}

pub(super) fn enqueue(
    transaction: &Transaction<'_>,
    occurrence: &NewOccurrence,
    now: Timestamp,
) -> Result<Enqueued, Fault> {
    if let Some(key) = &occurrence.idempotency_key {
        forget_old_key(transaction, key, now)?;
        let earlier = with_key(transaction, key)?;
        if let Some(earlier) = earlier {
            let same = rules::asks_the_same(&earlier.asked, occurrence);
            return Ok(if same { Enqueued::Existing(earlier.id) } else { Enqueued::KeyReused });
        }
    }
    if waiting(transaction, &occurrence.subject)? >= WAITING_MAX as u64 {
        return Ok(Enqueued::Full);
    }
    match insert(transaction, occurrence, None, now)? {
        Some(id) => Ok(Enqueued::New(id)),
        None => Err(Fault::Broken("the schedule has an occurrence for this instant already".to_owned())),
    }
}

fn forget_old_key(transaction: &Transaction<'_>, key: &str, now: Timestamp) -> Result<(), Fault> {
    if let Ok(before) = now.checked_sub(rules::KEYS_KEPT) {
        transaction
            .prepare_cached(
                "UPDATE occurrence SET idempotency_key = NULL WHERE idempotency_key = ?1 AND created_at < ?2",
            )?
            .execute(params![key, codec::bound_text(before)])?;
    }
    Ok(())
}

fn waiting(connection: &Connection, subject: &Subject) -> Result<u64, Fault> {
    connection
        .prepare_cached(
            "SELECT count(*) FROM occurrence WHERE kind = ?1 AND subject = ?2 AND state = 'waiting'",
        )?
        .query_row(params![subject.kind.as_str(), subject.name], |row| Ok(codec::unsigned(row, 0)))?
}

/// Everything of an occurrence, for [`read`].
const OCCURRENCE: &str =
    "created_at, state, reason, epoch, attempts, node, claimed_at, lease_until, cancel_requested,
    run, status, error_code, error_message, finished_at";

pub(super) fn get(connection: &Connection, id: OccurrenceId) -> Result<Option<Occurrence>, Fault> {
    let sql = format!("SELECT id, {ASKED}, {OCCURRENCE} FROM occurrence WHERE id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([filter::number(id)])?;
    rows.next()?.map(read).transpose()
}

fn with_key(connection: &Connection, key: &str) -> Result<Option<Occurrence>, Fault> {
    let sql = format!("SELECT id, {ASKED}, {OCCURRENCE} FROM occurrence WHERE idempotency_key = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([key])?;
    rows.next()?.map(read).transpose()
}

pub(super) fn list(
    connection: &Connection,
    wanted: &OccurrenceFilter,
    limit: usize,
) -> Result<Vec<Occurrence>, Fault> {
    let subject = wanted.subject.as_ref();
    let filter = Filter::default()
        .and("kind = ?", subject.map(|s| s.kind.as_str().to_owned()))
        .and("subject = ?", subject.map(|s| s.name.clone()))
        .and("state = ?", wanted.state.map(|s| s.as_str().to_owned()))
        .and("id < ?", wanted.before.map(filter::number));
    let sql = format!("SELECT id, {ASKED}, {OCCURRENCE} FROM occurrence {filter} ORDER BY id DESC LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(filter.values(limit)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// What was asked for, of columns [`ASKED`] that begin at `first`.
pub(super) fn asked(row: &Row<'_>, first: usize) -> Result<NewOccurrence, Fault> {
    Ok(NewOccurrence {
        subject: words::subject(row, first)?,
        schedule: row.get(first + 2)?,
        instant: codec::time(row, first + 3)?,
        due_at: codec::time(row, first + 4)?,
        overlap: words::overlap(row, first + 5)?,
        weight: row.get(first + 6)?,
        retry: row.get(first + 7)?,
        options: codec::from_json(row, first + 8)?,
        connections: codec::from_json(row, first + 9)?,
        requested_by: row.get(first + 10)?,
        idempotency_key: row.get(first + 11)?,
        correlation: row.get(first + 12)?,
    })
}

fn read(row: &Row<'_>) -> Result<Occurrence, Fault> {
    let rest = 1 + ASKED_COLUMNS;
    Ok(Occurrence {
        id: codec::unsigned(row, 0)?,
        asked: asked(row, 1)?,
        created_at: codec::time(row, rest)?,
        state: words::word(row, rest + 1, OccurrenceState::parse, "state of an occurrence")?,
        reason: row.get(rest + 2)?,
        epoch: codec::unsigned(row, rest + 3)?,
        attempts: row.get(rest + 4)?,
        node: row.get(rest + 5)?,
        claimed_at: codec::time_or_null(row, rest + 6)?,
        lease_until: codec::time_or_null(row, rest + 7)?,
        cancel_requested: row.get(rest + 8)?,
        run: codec::unsigned_or_null(row, rest + 9)?,
        status: words::word_or_null(row, rest + 10, Status::parse, "status")?,
        error: words::error(row, rest + 11)?,
        finished_at: codec::time_or_null(row, rest + 13)?,
    })
}

/// When the next waiting occurrence is due or the next lease ends.
pub(super) fn next_due(connection: &Connection) -> Result<Option<Timestamp>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT min(at) FROM (
           SELECT min(due_at) AS at FROM occurrence WHERE state = 'waiting'
           UNION ALL SELECT min(lease_until) FROM occurrence WHERE state = 'claimed')",
    )?;
    statement.query_row([], |row| Ok(codec::time_or_null(row, 0)))?
}
