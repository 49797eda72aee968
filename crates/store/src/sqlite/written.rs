//! What was written to each record: appended with the outcome, forgotten with the run.

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, params};
use syncline_core::identity::Identity;

use super::{codec, fault::Fault, ledger::StreamNumbers};
use crate::{RunId, Write, WriteKind, Written};

pub(super) fn append(
    transaction: &Transaction<'_>,
    run: RunId,
    written: &[Written],
    at: Timestamp,
    streams: &mut StreamNumbers,
) -> Result<(), Fault> {
    if written.is_empty() {
        return Ok(());
    }
    let (run, at) = (codec::signed(run)?, codec::time_text(at)?);
    let mut insert = transaction.prepare_cached(
        "INSERT INTO written (run, identity, kind, stream, record_id, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for Written { identity, kind, stream, record_id } in written {
        let stream = streams.of(transaction, stream)?;
        insert.execute(params![run, identity.0, kind.as_str(), stream, record_id, at])?;
    }
    Ok(())
}

pub(super) fn list(
    connection: &Connection,
    sync: &str,
    identity: Identity,
    limit: usize,
) -> Result<Vec<Write>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT written.run, written.kind, stream.id, written.record_id, written.at
         FROM written JOIN run ON run.id = written.run JOIN stream ON stream.number = written.stream
         WHERE written.identity = ?2 AND run.sync = (SELECT number FROM sync WHERE name = ?1)
         ORDER BY written.number DESC LIMIT ?3",
    )?;
    let mut rows = statement.query(params![sync, identity.0, codec::limit(limit)])?;
    let mut writes = Vec::new();
    while let Some(row) = rows.next()? {
        let kind = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
        writes.push(Write {
            run: codec::unsigned(row, 0)?,
            kind: WriteKind::parse(kind)
                .ok_or_else(|| Fault::Broken("a stored kind of write is unknown".to_owned()))?,
            stream: row.get(2)?,
            record_id: row.get(3)?,
            at: codec::time(row, 4)?,
        });
    }
    Ok(writes)
}
