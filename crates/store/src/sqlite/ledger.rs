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

pub(super) fn find(
    connection: &Connection,
    streams: &mut Streams,
    sync: &str,
    identities: &[Identity],
) -> Result<Vec<Option<Entry>>, Fault> {
    let Some(sync) = lease::number(connection, sync)? else { return Ok(vec![None; identities.len()]) };
    let mut search = Search::new(connection, streams, sync, identities)?;
    search.along_the_ledger()?;
    search.one_by_one()?;
    Ok(search.found)
}

/// A walk along the ledger ends after so many neighbours in a row that are not asked for: about two pages.
const STRAY: u32 = 64;
/// Of all the neighbours walked over, this many more may be in vain than were asked for; then the order of the question
/// is not that of the ledger.
const PATIENCE: u32 = 2 * STRAY;

/// One call of [`find`].
struct Search<'a> {
    connection: &'a Connection,
    streams: &'a mut Streams,
    sync: i64,
    identities: &'a [Identity],
    found: Vec<Option<Entry>>,
    /// Looked up and not there.
    absent: Vec<bool>,
    one: CachedStatement<'a>,
}

impl<'a> Search<'a> {
    fn new(
        connection: &'a Connection,
        streams: &'a mut Streams,
        sync: i64,
        identities: &'a [Identity],
    ) -> Result<Self, Fault> {
        let sql = format!("SELECT {ENTRY} FROM ledger WHERE sync = ?1 AND identity = ?2");
        let one = connection.prepare_cached(&sql)?;
        let (found, absent) = (vec![None; identities.len()], vec![false; identities.len()]);
        Ok(Self { connection, streams, sync, identities, found, absent, one })
    }

    /// Looks one identity up, then walks on from there as long as its neighbours are asked for too; again for the next
    /// that was not met on the way. Where a source lists records in the order in which they came into the ledger, this
    /// finds nearly all, several times faster than one by one; where it does not, this gives up soon.
    fn along_the_ledger(&mut self) -> Result<(), Fault> {
        let places: HashMap<&Identity, usize> = self.identities.iter().zip(0..).collect();
        let sql = format!("SELECT {ENTRY}, identity, sync FROM ledger WHERE seq > ?1 ORDER BY seq");
        let mut next = self.connection.prepare_cached(&sql)?;
        let mut patience = PATIENCE;
        for place in 0..self.identities.len() {
            if patience == 0 {
                break;
            }
            if self.found[place].is_some() {
                continue;
            }
            self.look_up(place)?;
            let Some(anchor) = &self.found[place] else {
                patience -= 1;
                continue;
            };
            let mut rows = next.query([codec::signed(anchor.seq)?])?;
            let mut stray = 0;
            while stray < STRAY && patience > 0 {
                let Some(row) = rows.next()? else { break };
                match places.get(&codec::identity(row, 6)?) {
                    Some(&place) if self.found[place].is_none() && row.get::<_, i64>(7)? == self.sync => {
                        self.found[place] = Some(entry(row, self.connection, self.streams)?);
                        (stray, patience) = (0, patience.saturating_add(1));
                    }
                    _ => (stray, patience) = (stray + 1, patience - 1),
                }
            }
        }
        Ok(())
    }

    /// Looks up what is still open, in the order of the index: a page is visited once, and the next one is near.
    fn one_by_one(&mut self) -> Result<(), Fault> {
        let mut open: Vec<usize> = (0..self.identities.len())
            .filter(|place| self.found[*place].is_none() && !self.absent[*place])
            .collect();
        open.sort_unstable_by_key(|place| self.identities[*place]);
        open.into_iter().try_for_each(|place| self.look_up(place))
    }

    fn look_up(&mut self, place: usize) -> Result<(), Fault> {
        let mut rows = self.one.query(params![self.sync, self.identities[place].0])?;
        match rows.next()? {
            Some(row) => self.found[place] = Some(entry(row, self.connection, self.streams)?),
            None => self.absent[place] = true,
        }
        Ok(())
    }
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
               WHERE sync.name = ?1 AND ledger.gone = 0 GROUP BY ledger.stream) AS live
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

/// Walks the index of the living, which is a few bytes a row, and reads the rows of the unseen alone. Fills its page unless
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
        .prepare_cached("SELECT seq FROM ledger WHERE sync = ?1 AND gone = 0 AND seq > ?2 ORDER BY seq")?;
    let sql = format!("SELECT {ENTRY}, identity FROM ledger WHERE seq = ?1");
    let mut one = connection.prepare_cached(&sql)?;
    // No row has a seq above 2^63.
    let mut rows = all.query(params![sync, i64::try_from(after).unwrap_or(i64::MAX)])?;
    while let Some(row) = rows.next()? {
        let seq = codec::unsigned(row, 0)?;
        if seen.contains(seq) {
            continue;
        }
        let mut entries = one.query([codec::signed(seq)?])?;
        let Some(row) = entries.next()? else { continue };
        let (identity, entry) = (codec::identity(row, 6)?, entry(row, connection, streams)?);
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
                "INSERT INTO ledger_detail (seq, run, key, fields) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (seq) DO UPDATE SET run = excluded.run, key = excluded.key, fields = excluded.fields",
            )?
            .execute(params![seq, self.run, wide.key, wide.fields])?;
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
