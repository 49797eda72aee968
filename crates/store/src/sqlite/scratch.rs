//! The scratch listing: what a destination holds, for matching and comparing.
//!
//! It lives in temporary tables of the connection that reads. SQLite keeps those in a file of its own that has no name
//! and goes with the process, so a plan may fill them and the store's file is not touched.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};
use syncline_core::identity::Identity;

use super::{codec, fault::Fault};
use crate::{Scratch, rules::SAME_SHOWN};

pub(super) fn create(connection: &Connection) -> Result<(), Fault> {
    connection.execute_batch(
        "CREATE TEMP TABLE scratch_stream (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE) STRICT;
         CREATE TEMP TABLE scratch (
           number    INTEGER PRIMARY KEY,
           stream    INTEGER NOT NULL,
           record_id TEXT NOT NULL,
           version   TEXT,
           stamp     BLOB CHECK (length(stamp) = 32),
           natural   BLOB CHECK (length(natural) = 32),
           hash      BLOB NOT NULL CHECK (length(hash) = 32),
           gone      INTEGER NOT NULL CHECK (gone IN (0, 1)),
           fields    TEXT NOT NULL,
           UNIQUE (stream, record_id)
         ) STRICT;
         CREATE INDEX temp.scratch_stamp ON scratch (stamp) WHERE stamp IS NOT NULL;
         CREATE INDEX temp.scratch_natural ON scratch (natural) WHERE natural IS NOT NULL AND stamp IS NULL;
         -- the streams of one comparison: number in the ledger, number in the scratch listing, whether it has stamps
         CREATE TEMP TABLE listed (
           number INTEGER PRIMARY KEY, ledger INTEGER, scratch INTEGER, stamped INTEGER NOT NULL
         ) STRICT;",
    )?;
    Ok(())
}

pub(super) fn clear(connection: &Connection) -> Result<(), Fault> {
    connection.execute_batch("DELETE FROM temp.scratch; DELETE FROM temp.scratch_stream;")?;
    Ok(())
}

/// Adds rows, each with its fields as JSON.
pub(super) fn put(connection: &Connection, rows: &[(Scratch, String)]) -> Result<(), Fault> {
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO temp.scratch (stream, record_id, version, stamp, natural, hash, gone, fields)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let mut last: Option<(&str, i64)> = None;
    for (row, fields) in rows {
        let stream = match last {
            Some((id, number)) if id == row.stream => number,
            _ => stream_number(connection, &row.stream)?,
        };
        last = Some((&row.stream, stream));
        let stamp = row.stamp.map(|identity| identity.0);
        insert.execute(params![
            stream,
            row.record_id,
            row.version,
            stamp,
            row.natural,
            row.hash,
            row.gone,
            fields
        ])?;
    }
    Ok(())
}

fn stream_number(connection: &Connection, id: &str) -> Result<i64, Fault> {
    let known = known_stream(connection, id)?;
    if let Some(number) = known {
        return Ok(number);
    }
    let mut insert =
        connection.prepare_cached("INSERT INTO temp.scratch_stream (id) VALUES (?1) RETURNING number")?;
    Ok(insert.query_row([id], |row| row.get(0))?)
}

/// The number of a stream in the scratch listing, if it has records there.
pub(super) fn known_stream(connection: &Connection, id: &str) -> Result<Option<i64>, Fault> {
    let mut select = connection.prepare_cached("SELECT number FROM temp.scratch_stream WHERE id = ?1")?;
    Ok(select.query_row([id], |row| row.get(0)).optional()?)
}

pub(super) fn remove(connection: &Connection, stream: &str, record_id: &str) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "DELETE FROM temp.scratch
             WHERE stream = (SELECT number FROM temp.scratch_stream WHERE id = ?1) AND record_id = ?2",
        )?
        .execute([stream, record_id])?;
    Ok(())
}

pub(super) fn remove_owned(connection: &Connection, sync: &str) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "DELETE FROM temp.scratch WHERE number IN (
               SELECT scratch.number
               FROM temp.scratch JOIN temp.scratch_stream AS place ON place.number = scratch.stream
               JOIN main.stream ON main.stream.id = place.id
               JOIN main.sync ON main.sync.name = ?1
               JOIN main.ledger ON ledger.sync = main.sync.number AND ledger.stream = main.stream.number
                 AND ledger.record_id = scratch.record_id)",
        )?
        .execute([sync])?;
    Ok(())
}

pub(super) fn by_stamp(connection: &Connection, identities: &[Identity]) -> Result<Vec<Vec<Scratch>>, Fault> {
    let mut select = select(connection, "scratch.stamp = ?1")?;
    identities.iter().map(|identity| same(&mut select, &identity.0)).collect()
}

pub(super) fn by_natural(connection: &Connection, natural: &[[u8; 32]]) -> Result<Vec<Vec<Scratch>>, Fault> {
    let mut select = select(connection, "scratch.natural = ?1 AND scratch.stamp IS NULL")?;
    natural.iter().map(|natural| same(&mut select, natural)).collect()
}

fn select<'c>(connection: &'c Connection, condition: &str) -> Result<CachedStatement<'c>, Fault> {
    Ok(connection.prepare_cached(&format!(
        "SELECT place.id, scratch.record_id, scratch.version, scratch.stamp, scratch.natural, scratch.hash,
           scratch.gone, scratch.fields
         FROM temp.scratch JOIN temp.scratch_stream AS place ON place.number = scratch.stream
         WHERE {condition} ORDER BY scratch.number LIMIT ?2"
    ))?)
}

fn same(select: &mut CachedStatement<'_>, hash: &[u8; 32]) -> Result<Vec<Scratch>, Fault> {
    let mut rows = select.query(params![hash, codec::limit(SAME_SHOWN)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<Scratch, Fault> {
    let stamp: Option<[u8; 32]> = row.get(3)?;
    Ok(Scratch {
        stream: row.get(0)?,
        record_id: row.get(1)?,
        version: row.get(2)?,
        stamp: stamp.map(Identity),
        natural: row.get(4)?,
        hash: row.get(5)?,
        gone: row.get(6)?,
        fields: codec::from_json(row, 7)?,
    })
}

pub(super) fn count(connection: &Connection) -> Result<Vec<(String, u64)>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT place.id, count(*) FROM temp.scratch JOIN temp.scratch_stream AS place
           ON place.number = scratch.stream
         GROUP BY place.number ORDER BY place.id",
    )?;
    let mut rows = statement.query([])?;
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        counts.push((row.get(0)?, codec::unsigned(row, 1)?));
    }
    Ok(counts)
}
