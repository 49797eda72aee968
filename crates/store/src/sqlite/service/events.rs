//! Events. Writes are one at a time in SQLite, so numbers rise in the order in which events become visible.

use rusqlite::{Connection, Row, Transaction, params, params_from_iter};

use super::{
    codec,
    fault::Fault,
    filter::{self, Filter},
    words,
};
use crate::service::{Event, EventFilter, EventSearch, NewEvent, go_on, searched};

pub(super) fn append(transaction: &Transaction<'_>, events: &[NewEvent]) -> Result<u64, Fault> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO event (at, kind, subject_kind, subject, run, correlation, message, data)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for event in events {
        insert.execute(params![
            codec::time_text(event.at)?,
            event.kind,
            event.subject.as_ref().map(|subject| subject.kind.as_str()),
            event.subject.as_ref().map(|subject| &subject.name),
            words::number_or_null(event.run)?,
            event.correlation,
            event.message,
            codec::json(&event.data)?,
        ])?;
    }
    Ok(range(transaction)?.0)
}

pub(super) fn list(
    connection: &Connection,
    wanted: &EventFilter,
    after: u64,
    limit: usize,
) -> Result<Vec<Event>, Fault> {
    rows(connection, about(wanted).and("id > ?", Some(filter::number(after))), "id", limit)
}

pub(super) fn search(
    connection: &Connection,
    wanted: &EventSearch,
    limit: usize,
) -> Result<(Vec<Event>, Option<u64>), Fault> {
    let range = range(connection)?;
    let searched = searched(wanted, range);
    let filter = about(&wanted.filter)
        .and("id >= ?", Some(filter::number(searched.start)))
        .and("id < ?", Some(filter::number(searched.end)))
        .and("at >= ?", wanted.since.map(codec::time_text).transpose()?)
        .and("at <= ?", wanted.until.map(codec::time_text).transpose()?)
        .and(
            "instr(lower(kind || ' ' || coalesce(subject, '') || ' ' || message), ?) > 0",
            wanted.text.as_deref().map(str::to_ascii_lowercase),
        );
    let found = rows(connection, filter, "id DESC", limit)?;
    let next = go_on(&searched, range.1, &found, limit);
    Ok((found, next))
}

fn about(wanted: &EventFilter) -> Filter {
    let subject = wanted.subject.as_ref();
    Filter::default()
        .and("subject_kind = ?", subject.map(|s| s.kind.as_str().to_owned()))
        .and("subject = ?", subject.map(|s| s.name.clone()))
        .and("run = ?", wanted.run.map(filter::number))
        .and("instr(kind, ?) = 1", wanted.kind.clone())
}

fn rows(connection: &Connection, filter: Filter, order: &str, limit: usize) -> Result<Vec<Event>, Fault> {
    let sql = format!(
        "SELECT id, at, kind, subject_kind, subject, run, correlation, message, data FROM event
         {filter} ORDER BY {order} LIMIT ?"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(filter.values(limit)))?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(read(row)?);
    }
    Ok(events)
}

fn read(row: &Row<'_>) -> Result<Event, Fault> {
    let about = row.get_ref(4)? != rusqlite::types::ValueRef::Null;
    Ok(Event {
        id: codec::unsigned(row, 0)?,
        event: NewEvent {
            at: codec::time(row, 1)?,
            kind: row.get(2)?,
            subject: about.then(|| words::subject(row, 3)).transpose()?,
            run: codec::unsigned_or_null(row, 5)?,
            correlation: row.get(6)?,
            message: row.get(7)?,
            data: codec::from_json(row, 8)?,
        },
    })
}

pub(super) fn range(connection: &Connection) -> Result<(u64, u64), Fault> {
    // Two looks at the ends of the index; one query for both would walk it.
    let mut statement = connection.prepare_cached(
        "SELECT coalesce((SELECT max(id) FROM event), 0), coalesce((SELECT min(id) FROM event), 0)",
    )?;
    statement
        .query_row([], |row| Ok((codec::unsigned(row, 0), codec::unsigned(row, 1))))
        .map_err(Fault::from)
        .and_then(|(newest, oldest)| Ok((newest?, oldest?)))
}
