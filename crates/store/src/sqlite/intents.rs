//! Intents: what was about to be done. Written before anything is sent, gone when its outcome is recorded.

use rusqlite::{Connection, Row, Transaction, params};
use syncline_core::identity::Identity;

use super::{
    codec::{self, Wide},
    fault::Fault,
    lease::{self, Token},
    ledger::StreamNumbers,
    runs,
};
use crate::{Intent, LedgerRow, RunId};

/// Adds intents, each with its JSON. What could not be made into JSON is told only to who still holds the sync.
pub(super) fn intend(
    transaction: &Transaction<'_>,
    lease: &Token,
    run: RunId,
    intents: Result<Vec<(Intent, Wide)>, Fault>,
) -> Result<(), Fault> {
    let claimed = lease::check(transaction, lease)?;
    let intents = intents?;
    runs::expect_running(transaction, &claimed, run)?;
    let run = codec::signed(run)?;
    let mut streams = StreamNumbers::default();
    let mut insert = transaction.prepare_cached(
        "INSERT INTO intent (sync, identity, run, kind, stream, record_id, version, hash, gone, key, fields,
           from_stream, from_record, created)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    for (Intent { kind, row, from, created }, wide) in &intents {
        let from_stream = match from {
            Some((stream, _)) => Some(streams.of(transaction, stream)?),
            None => None,
        };
        insert.execute(params![
            claimed.sync,
            row.identity.0,
            run,
            kind.as_str(),
            streams.of(transaction, &row.stream)?,
            row.record_id,
            row.version,
            row.hash,
            row.gone,
            wide.key,
            wide.fields,
            from_stream,
            from.as_ref().map(|(_, record)| record),
            created,
        ])?;
    }
    Ok(())
}

pub(super) fn open(connection: &Connection, sync: &str) -> Result<Vec<Intent>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT intent.kind, intent.identity, place.id, intent.record_id, intent.version, intent.hash, intent.gone,
           intent.key, intent.fields, origin.id, intent.from_record, intent.created
         FROM sync JOIN intent ON intent.sync = sync.number
         JOIN stream AS place ON place.number = intent.stream
         LEFT JOIN stream AS origin ON origin.number = intent.from_stream
         WHERE sync.name = ?1
         ORDER BY intent.number",
    )?;
    let mut rows = statement.query([sync])?;
    let mut intents = Vec::new();
    while let Some(row) = rows.next()? {
        intents.push(intent(row)?);
    }
    Ok(intents)
}

fn intent(row: &Row<'_>) -> Result<Intent, Fault> {
    let from_stream: Option<String> = row.get(9)?;
    let from_record: Option<String> = row.get(10)?;
    Ok(Intent {
        kind: codec::kind(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?,
        row: LedgerRow {
            identity: codec::identity(row, 1)?,
            stream: row.get(2)?,
            record_id: row.get(3)?,
            version: row.get(4)?,
            hash: row.get(5)?,
            gone: row.get(6)?,
            key: codec::from_json(row, 7)?,
            fields: codec::from_json(row, 8)?,
        },
        from: from_stream.zip(from_record),
        created: row.get(11)?,
    })
}

/// Forgets intents whose outcome is recorded. One that is not open is no error: a record may be closed that never
/// needed an intent.
pub(super) fn close(connection: &Connection, sync: i64, closed: &[Identity]) -> Result<(), Fault> {
    let mut delete = connection.prepare_cached("DELETE FROM intent WHERE sync = ?1 AND identity = ?2")?;
    for identity in closed {
        delete.execute(params![sync, identity.0])?;
    }
    Ok(())
}

/// Marks moves as half done. Here an intent that is not open is an error: nobody would remove the old record.
pub(super) fn half_done(connection: &Connection, sync: i64, created: &[Identity]) -> Result<(), Fault> {
    let mut update =
        connection.prepare_cached("UPDATE intent SET created = 1 WHERE sync = ?1 AND identity = ?2")?;
    for identity in created {
        if update.execute(params![sync, identity.0])? != 1 {
            return Err(Fault::Broken("a half-done move has no open intent".to_owned()));
        }
    }
    Ok(())
}
