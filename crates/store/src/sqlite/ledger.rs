//! The ledger: which destination record belongs to which identity, and what was last written to it.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, Transaction, params};
use syncline_core::{identity::Identity, seen::Seen};

use super::{
    codec::{self, Wide},
    fault::Fault,
    lease,
};
use crate::{Details, Entry, LedgerRow, RunId};

/// Ids of destination streams by their number. Numbers are never reused and never change, so what is known stays true.
#[derive(Default)]
pub(super) struct Streams {
    known: HashMap<i64, Arc<str>>,
}

impl Streams {
    fn id(&mut self, connection: &Connection, number: i64) -> Result<Arc<str>, Fault> {
        if let Some(id) = self.known.get(&number) {
            return Ok(Arc::clone(id));
        }
        let id: Arc<str> = connection
            .prepare_cached("SELECT id FROM stream WHERE number = ?1")?
            .query_row([number], |row| row.get(0))?;
        self.known.insert(number, Arc::clone(&id));
        Ok(id)
    }
}

/// Columns of an [`Entry`], for [`entry`].
const ENTRY: &str = "seq, stream, record_id, version, hash, gone";

fn entry(row: &Row<'_>, connection: &Connection, streams: &mut Streams) -> Result<Entry, Fault> {
    Ok(Entry {
        seq: codec::unsigned(row, 0)?,
        stream: streams.id(connection, row.get(1)?)?,
        record_id: row.get(2)?,
        version: row.get(3)?,
        hash: row.get(4)?,
        gone: row.get(5)?,
    })
}

fn one_entry<'c>(connection: &'c Connection) -> Result<CachedStatement<'c>, Fault> {
    let sql = format!("SELECT {ENTRY} FROM ledger WHERE sync = ?1 AND identity = ?2");
    Ok(connection.prepare_cached(&sql)?)
}

pub(super) fn find(
    connection: &Connection,
    streams: &mut Streams,
    sync: &str,
    identities: &[Identity],
) -> Result<Vec<Option<Entry>>, Fault> {
    let mut found = vec![None; identities.len()];
    let Some(sync) = lease::number(connection, sync)? else { return Ok(found) };
    let mut statement = one_entry(connection)?;
    // In the order of the tree, so that a page is visited once and its neighbours are near.
    let mut order: Vec<usize> = (0..identities.len()).collect();
    order.sort_unstable_by_key(|&index| identities[index]);
    for index in order {
        let mut rows = statement.query(params![sync, identities[index].0])?;
        if let Some(row) = rows.next()? {
            found[index] = Some(entry(row, connection, streams)?);
        }
    }
    Ok(found)
}

pub(super) fn details(
    connection: &Connection,
    sync: &str,
    identities: &[Identity],
) -> Result<Vec<Option<Details>>, Fault> {
    let mut found = vec![None; identities.len()];
    let Some(sync) = lease::number(connection, sync)? else { return Ok(found) };
    let mut statement = connection.prepare_cached(
        "SELECT detail.key, detail.fields, detail.run
         FROM ledger JOIN ledger_detail AS detail ON detail.seq = ledger.seq
         WHERE ledger.sync = ?1 AND ledger.identity = ?2",
    )?;
    for (identity, details) in identities.iter().zip(&mut found) {
        let mut rows = statement.query(params![sync, identity.0])?;
        if let Some(row) = rows.next()? {
            *details = Some(Details {
                key: codec::from_json(row, 0)?,
                fields: codec::from_json(row, 1)?,
                run: codec::unsigned(row, 2)?,
            });
        }
    }
    Ok(found)
}

pub(super) fn known(connection: &Connection, sync: &str) -> Result<Vec<(String, u64)>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT stream.id, live.records
         FROM (SELECT ledger.stream, count(*) AS records FROM ledger JOIN sync ON sync.number = ledger.sync
               WHERE sync.name = ?1 AND NOT ledger.gone GROUP BY ledger.stream) AS live
         JOIN stream ON stream.number = live.stream
         ORDER BY stream.id",
    )?;
    let mut rows = statement.query([sync])?;
    let mut known = Vec::new();
    while let Some(row) = rows.next()? {
        known.push((row.get(0)?, codec::unsigned(row, 1)?));
    }
    Ok(known)
}

/// Unseen records, and where to go on.
type UnseenPage = (Vec<(Identity, Entry)>, Option<u64>);

/// Walks the index on seq, which is a tenth of the ledger, and reads the rows of the unseen alone. Fills its page unless
/// the ledger ends, so an empty page is the last one.
pub(super) fn unseen(
    connection: &Connection,
    streams: &mut Streams,
    sync: &str,
    seen: &Seen,
    after: u64,
    limit: usize,
) -> Result<UnseenPage, Fault> {
    let mut found = Vec::new();
    let Some(sync) = lease::number(connection, sync)? else { return Ok((found, None)) };
    if limit == 0 {
        return Ok((found, Some(after)));
    }
    let mut all = connection
        .prepare_cached("SELECT seq, identity FROM ledger WHERE sync = ?1 AND seq > ?2 ORDER BY seq")?;
    let mut one = one_entry(connection)?;
    // No row has a seq above 2^63.
    let mut rows = all.query(params![sync, i64::try_from(after).unwrap_or(i64::MAX)])?;
    while let Some(row) = rows.next()? {
        let seq = codec::unsigned(row, 0)?;
        if seen.contains(seq) {
            continue;
        }
        let identity = codec::identity(row, 1)?;
        let mut entries = one.query(params![sync, identity.0])?;
        let Some(row) = entries.next()? else { continue };
        let entry = entry(row, connection, streams)?;
        if entry.gone {
            continue;
        }
        found.push((identity, entry));
        if found.len() == limit {
            return Ok((found, Some(seq)));
        }
    }
    Ok((found, None))
}

/// The last number given out, 0 in a new store.
pub(super) fn last_seq(connection: &Connection) -> Result<u64, Fault> {
    let mut statement = connection.prepare_cached("SELECT value FROM counter WHERE name = 'ledger_seq'")?;
    let mut rows = statement.query([])?;
    let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    codec::unsigned(row, 0)
}

/// Numbers of destination streams within one transaction; rolled back with it, hence not kept.
#[derive(Default)]
pub(super) struct StreamNumbers {
    known: HashMap<String, i64>,
}

impl StreamNumbers {
    pub(super) fn of(&mut self, connection: &Connection, id: &str) -> Result<i64, Fault> {
        if let Some(number) = self.known.get(id) {
            return Ok(*number);
        }
        let known = connection
            .prepare_cached("SELECT number FROM stream WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        let number = match known {
            Some(number) => number,
            None => connection
                .prepare_cached("INSERT INTO stream (id) VALUES (?1) RETURNING number")?
                .query_row([id], |row| row.get(0))?,
        };
        self.known.insert(id.to_owned(), number);
        Ok(number)
    }
}

/// Writes ledger rows within one transaction, giving out sequence numbers.
pub(super) struct LedgerWriter<'t> {
    transaction: &'t Transaction<'t>,
    sync: i64,
    run: i64,
    last_seq: i64,
    stored_seq: i64,
}

impl<'t> LedgerWriter<'t> {
    pub(super) fn new(transaction: &'t Transaction<'t>, sync: i64, run: RunId) -> Result<Self, Fault> {
        let last_seq = transaction
            .prepare_cached("SELECT value FROM counter WHERE name = 'ledger_seq'")?
            .query_row([], |row| row.get(0))?;
        Ok(Self { transaction, sync, run: codec::signed(run)?, last_seq, stored_seq: last_seq })
    }

    pub(super) fn put(
        &mut self,
        row: &LedgerRow,
        wide: &Wide,
        streams: &mut StreamNumbers,
    ) -> Result<(), Fault> {
        let stream = streams.of(self.transaction, &row.stream)?;
        // A record that is known keeps its number.
        let seq: i64 = self
            .transaction
            .prepare_cached(
                "INSERT INTO ledger (sync, identity, seq, stream, record_id, version, hash, gone)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (sync, identity) DO UPDATE SET stream = excluded.stream,
                   record_id = excluded.record_id, version = excluded.version, hash = excluded.hash,
                   gone = excluded.gone
                 RETURNING seq",
            )?
            .query_row(
                params![
                    self.sync,
                    row.identity.0,
                    self.last_seq + 1,
                    stream,
                    row.record_id,
                    row.version,
                    row.hash,
                    row.gone
                ],
                |row| row.get(0),
            )?;
        self.last_seq = self.last_seq.max(seq);
        self.transaction
            .prepare_cached(
                "INSERT INTO ledger_detail (seq, sync, run, key, fields) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (seq) DO UPDATE SET run = excluded.run, key = excluded.key, fields = excluded.fields",
            )?
            .execute(params![seq, self.sync, self.run, wide.key, wide.fields])?;
        Ok(())
    }

    pub(super) fn remove(&mut self, identity: &Identity) -> Result<(), Fault> {
        remove(self.transaction, self.sync, identity)
    }

    /// Records which numbers were given out.
    pub(super) fn finish(self) -> Result<(), Fault> {
        if self.last_seq > self.stored_seq {
            self.transaction
                .prepare_cached("UPDATE counter SET value = ?1 WHERE name = 'ledger_seq'")?
                .execute([self.last_seq])?;
        }
        Ok(())
    }
}

/// Takes a record out of the ledger; its details go with it.
pub(super) fn remove(connection: &Connection, sync: i64, identity: &Identity) -> Result<(), Fault> {
    connection
        .prepare_cached("DELETE FROM ledger WHERE sync = ?1 AND identity = ?2")?
        .execute(params![sync, identity.0])?;
    Ok(())
}
