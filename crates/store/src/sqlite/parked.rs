//! What waits for something: parked records for their retry, held deletes for approval.

use jiff::Timestamp;
use rusqlite::{Connection, Row, Transaction, params};
use syncline_core::identity::Identity;

use super::{
    codec,
    fault::Fault,
    lease::{self, Token},
    ledger,
};
use crate::{
    Drift, DriftKind, Held, IntentKind, Parked, RunId, Waiting,
    rules::{self, CONFLICT, DRIFT},
};

pub(super) fn list(
    connection: &Connection,
    sync: Option<&str>,
    due: Option<Timestamp>,
    limit: usize,
) -> Result<Vec<Parked>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT sync.name, parked.identity, parked.key, parked.label, parked.kind, parked.code, parked.message,
           parked.attempts, parked.first_at, parked.last_at, parked.retry_at, parked.run
         FROM parked JOIN sync ON sync.number = parked.sync
         WHERE (?1 IS NULL OR sync.name = ?1) AND (?2 IS NULL OR parked.retry_at <= ?2)
         ORDER BY parked.first_at, sync.name, parked.identity LIMIT ?3",
    )?;
    let due = due.map(codec::bound_text);
    let mut rows = statement.query(params![sync, due, codec::limit(limit)])?;
    let mut parked = Vec::new();
    while let Some(row) = rows.next()? {
        parked.push(read(row)?);
    }
    Ok(parked)
}

fn read(row: &Row<'_>) -> Result<Parked, Fault> {
    let kind = row.get_ref(4)?.as_str_or_null().map_err(rusqlite::Error::from)?;
    Ok(Parked {
        sync: row.get(0)?,
        identity: codec::identity(row, 1)?,
        key: codec::from_json_or_null(row, 2)?,
        label: row.get(3)?,
        kind: kind.map(codec::kind).transpose()?,
        code: row.get(5)?,
        message: row.get(6)?,
        attempts: row.get(7)?,
        first_at: codec::time(row, 8)?,
        last_at: codec::time(row, 9)?,
        retry_at: codec::time(row, 10)?,
        run: codec::unsigned(row, 11)?,
    })
}

/// Parks a record; one that is parked already is replaced as a whole.
pub(super) fn put(connection: &Connection, sync: i64, parked: &Parked) -> Result<(), Fault> {
    let key = parked.key.as_deref().map(codec::key_text).transpose()?;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO parked
               (sync, identity, key, label, kind, code, message, attempts, first_at, last_at, retry_at, run)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            sync,
            parked.identity.0,
            key,
            parked.label,
            parked.kind.map(IntentKind::as_str),
            parked.code,
            parked.message,
            parked.attempts,
            codec::time_text(parked.first_at)?,
            codec::time_text(parked.last_at)?,
            codec::time_text(parked.retry_at)?,
            codec::signed(parked.run)?,
        ])?;
    Ok(())
}

/// Takes records out of the parked; returns how many there were.
pub(super) fn unpark(connection: &Connection, sync: i64, identities: &[Identity]) -> Result<u64, Fault> {
    let mut delete = connection.prepare_cached("DELETE FROM parked WHERE sync = ?1 AND identity = ?2")?;
    let mut count = 0;
    for identity in identities {
        count += delete.execute(params![sync, identity.0])? as u64;
    }
    Ok(count)
}

pub(super) fn retry(
    transaction: &Transaction<'_>,
    lease: &Token,
    identities: Option<&[Identity]>,
    now: Timestamp,
) -> Result<u64, Fault> {
    let sync = lease::check(transaction, lease)?.sync;
    let now = codec::time_text(now)?;
    let Some(identities) = identities else {
        let all = transaction
            .prepare_cached("UPDATE parked SET retry_at = ?2 WHERE sync = ?1")?
            .execute(params![sync, now])?;
        return Ok(all as u64);
    };
    let mut update =
        transaction.prepare_cached("UPDATE parked SET retry_at = ?3 WHERE sync = ?1 AND identity = ?2")?;
    let mut count = 0;
    for identity in identities {
        count += update.execute(params![sync, identity.0, now])? as u64;
    }
    Ok(count)
}

pub(super) fn drop(
    transaction: &Transaction<'_>,
    lease: &Token,
    identities: Option<&[Identity]>,
) -> Result<u64, Fault> {
    let sync = lease::check(transaction, lease)?.sync;
    match identities {
        Some(identities) => unpark(transaction, sync, identities),
        None => Ok(transaction.prepare_cached("DELETE FROM parked WHERE sync = ?1")?.execute([sync])? as u64),
    }
}

pub(super) fn waiting(connection: &Connection) -> Result<Vec<Waiting>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT sync.name,
           (SELECT count(*) FROM parked WHERE parked.sync = sync.number AND parked.code <> ?1),
           (SELECT count(*) FROM parked WHERE parked.sync = sync.number AND parked.code = ?1),
           (SELECT count(*) FROM held WHERE held.sync = sync.number),
           (SELECT count(*) FROM ledger WHERE ledger.sync = sync.number AND ledger.gone = 0),
           (SELECT count(*) FROM intent WHERE intent.sync = sync.number)
         FROM sync ORDER BY sync.name",
    )?;
    let mut rows = statement.query([CONFLICT])?;
    let mut waiting = Vec::new();
    while let Some(row) = rows.next()? {
        waiting.push(Waiting {
            sync: row.get(0)?,
            parked: codec::unsigned(row, 1)?,
            conflicted: codec::unsigned(row, 2)?,
            held: codec::unsigned(row, 3)?,
            known: codec::unsigned(row, 4)?,
            intents: codec::unsigned(row, 5)?,
        });
    }
    Ok(rules::by_sync(waiting))
}

pub(super) fn held(connection: &Connection, sync: Option<&str>, limit: usize) -> Result<Vec<Held>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT sync.name, held.identity, held.label, stream.id, held.record_id, held.reason, held.since, held.run
         FROM held JOIN sync ON sync.number = held.sync JOIN stream ON stream.number = held.stream
         WHERE ?1 IS NULL OR sync.name = ?1
         ORDER BY sync.name, held.since, held.label, held.identity LIMIT ?2",
    )?;
    let mut rows = statement.query(params![sync, codec::limit(limit)])?;
    let mut held = Vec::new();
    while let Some(row) = rows.next()? {
        held.push(Held {
            sync: row.get(0)?,
            identity: codec::identity(row, 1)?,
            label: row.get(2)?,
            stream: row.get(3)?,
            record_id: row.get(4)?,
            reason: row.get(5)?,
            since: codec::time(row, 6)?,
            run: codec::unsigned(row, 7)?,
        });
    }
    Ok(held)
}

pub(super) fn approve(
    transaction: &Transaction<'_>,
    lease: &Token,
    ceiling: u64,
    now: Timestamp,
) -> Result<(), Fault> {
    let sync = lease::check(transaction, lease)?.sync;
    transaction
        .prepare_cached("UPDATE sync SET approved = ?2, approved_at = ?3 WHERE number = ?1")?
        .execute(params![sync, codec::signed(ceiling)?, codec::time_text(now)?])?;
    Ok(())
}

pub(super) fn approval(connection: &Connection, sync: &str) -> Result<Option<u64>, Fault> {
    let mut statement = connection.prepare_cached("SELECT approved FROM sync WHERE name = ?1")?;
    let mut rows = statement.query([sync])?;
    match rows.next()? {
        Some(row) => codec::unsigned_or_null(row, 0),
        None => Ok(None),
    }
}

pub(super) fn forget_approval(connection: &Connection, sync: i64) -> Result<(), Fault> {
    connection
        .prepare_cached("UPDATE sync SET approved = NULL, approved_at = NULL WHERE number = ?1")?
        .execute([sync])?;
    Ok(())
}

/// Rejects held deletes. A standing approval goes too: whoever rejects does not want the next listing to delete.
pub(super) fn reject(transaction: &Transaction<'_>, lease: &Token) -> Result<u64, Fault> {
    let sync = lease::check(transaction, lease)?.sync;
    transaction
        .prepare_cached(
            "DELETE FROM ledger WHERE sync = ?1 AND identity IN (SELECT identity FROM held WHERE sync = ?1)",
        )?
        .execute([sync])?;
    forget_approval(transaction, sync)?;
    Ok(transaction.prepare_cached("DELETE FROM held WHERE sync = ?1")?.execute([sync])? as u64)
}

/// Makes the next plan rewrite what was edited and remake what is missing.
pub(super) fn mark_drifted(
    transaction: &Transaction<'_>,
    lease: &Token,
    run: RunId,
    drifted: &[Drift],
    now: Timestamp,
) -> Result<(), Fault> {
    let sync = lease::check(transaction, lease)?.sync;
    let (now, run) = (codec::time_text(now)?, codec::signed(run)?);
    for drift in drifted {
        let Some(identity) = &drift.identity else { continue };
        let Some((kind, message)) = rules::repair(drift.kind) else { continue };
        // Parked with the key of the ledger, while the ledger still has it.
        let known = transaction
            .prepare_cached(
                "INSERT INTO parked
                   (sync, identity, key, label, kind, code, message, attempts, first_at, last_at, retry_at, run)
                 SELECT ?1, ?2, detail.key, ?3, ?4, ?9, ?5, 0, ?6, ?6, ?6, ?7
                 FROM ledger JOIN ledger_detail AS detail ON detail.seq = ledger.seq
                 WHERE ledger.sync = ?1 AND ledger.identity = ?2 AND ledger.record_id = ?8
                   AND ledger.stream = (SELECT number FROM stream WHERE id = ?10)
                 ON CONFLICT (sync, identity) DO UPDATE SET kind = excluded.kind, code = excluded.code,
                   message = excluded.message, last_at = excluded.last_at, retry_at = excluded.retry_at,
                   run = excluded.run",
            )?
            .execute(params![
                sync,
                identity.0,
                drift.label,
                kind.as_str(),
                message,
                now,
                run,
                drift.record_id,
                DRIFT,
                drift.stream,
            ])?;
        if known == 0 {
            // Removed from the ledger, moved or made anew since it was compared.
            continue;
        }
        if drift.kind == DriftKind::Missing {
            ledger::remove(transaction, sync, identity)?;
            continue;
        }
        // With the version that was seen, so that only an edit after this one stands in the way of the rewrite.
        transaction
            .prepare_cached(
                "UPDATE ledger SET hash = NULL, gone = 0, version = coalesce(?3, version)
                 WHERE sync = ?1 AND identity = ?2",
            )?
            .execute(params![sync, identity.0, drift.version])?;
    }
    Ok(())
}
