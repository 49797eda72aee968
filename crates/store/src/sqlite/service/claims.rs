//! Claims: who carries out what, until when, and how it ends.
//!
//! Leases are measured by the `now` that comes in: the nodes of a file share a machine and its clock.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{chains, codec, fault::Fault, filter, occurrences, words};
use crate::{
    RunId,
    rules::{self, Room},
    service::{
        Claim, ClaimId, LEASE, Limits, OccurrenceEnd, OccurrenceId, OccurrenceState, Renewed, Subject,
        SubjectKind,
    },
};

fn lease_until(now: Timestamp) -> Result<String, Fault> {
    let until =
        now.checked_add(LEASE).map_err(|_| Fault::Broken("a time too late to be stored".to_owned()))?;
    codec::time_text(until)
}

/// Claims what is due. One pass over the index of what waits, at most, and one write per claim.
pub(super) fn claim_due(
    transaction: &Transaction<'_>,
    node: &str,
    limits: &Limits,
    max: usize,
    now: Timestamp,
) -> Result<Vec<Claim>, Fault> {
    let mut room = Room::of(limits);
    let now_text = codec::time_text(now)?;
    let mut living = transaction
        .prepare_cached("SELECT connections FROM occurrence WHERE state = 'claimed' AND lease_until > ?1")?;
    let mut rows = living.query([&now_text])?;
    while let Some(row) = rows.next()? {
        room.take(&codec::from_json::<Vec<String>>(row, 0)?);
    }

    // Of one subject, either its expired claim or those that wait.
    let mut due = transaction.prepare_cached(
        "SELECT id, kind, subject, connections, weight, due_at FROM occurrence
         WHERE state = 'claimed' AND lease_until <= ?1
         UNION ALL
         SELECT id, kind, subject, connections, weight, due_at FROM occurrence AS waiting
         WHERE state = 'waiting' AND due_at <= ?1 AND NOT EXISTS (SELECT 1 FROM occurrence AS other
           WHERE other.state = 'claimed' AND other.kind = waiting.kind AND other.subject = waiting.subject)
         ORDER BY weight DESC, due_at, id",
    )?;
    let mut rows = due.query([&now_text])?;
    let mut chosen: Vec<i64> = Vec::new();
    let mut subjects = std::collections::BTreeSet::new();
    while chosen.len() < max && !room.is_used_up() {
        let Some(row) = rows.next()? else { break };
        let connections: Vec<String> = codec::from_json(row, 3)?;
        if room.fits(&connections) && subjects.insert(words::subject(row, 1)?) {
            room.take(&connections);
            chosen.push(row.get(0)?);
        }
    }

    let sql = format!(
        "UPDATE occurrence SET state = 'claimed', epoch = epoch + 1, attempts = attempts + 1, node = ?2,
           claimed_at = ?3, lease_until = ?4
         WHERE id = ?1 RETURNING id, {}, epoch, attempts, run",
        occurrences::ASKED
    );
    let mut take = transaction.prepare_cached(&sql)?;
    let until = lease_until(now)?;
    let mut claims = Vec::with_capacity(chosen.len());
    for id in chosen {
        let mut rows = take.query(params![id, node, now_text, until])?;
        while let Some(row) = rows.next()? {
            claims.push(Claim {
                id: ClaimId { occurrence: codec::unsigned(row, 0)?, epoch: codec::unsigned(row, 14)? },
                asked: occurrences::asked(row, 1)?,
                attempts: row.get(15)?,
                run: codec::unsigned_or_null(row, 16)?,
            });
        }
    }
    Ok(claims)
}

pub(super) fn renew(
    transaction: &Transaction<'_>,
    claims: &[ClaimId],
    now: Timestamp,
) -> Result<Vec<Renewed>, Fault> {
    let (now_text, until) = (codec::time_text(now)?, lease_until(now)?);
    let mut renew = transaction.prepare_cached(
        "UPDATE occurrence SET lease_until = ?4
         WHERE id = ?1 AND epoch = ?2 AND state = 'claimed' AND lease_until > ?3 RETURNING cancel_requested",
    )?;
    let mut renewed = Vec::with_capacity(claims.len());
    for claim in claims {
        let cancel: Option<bool> = renew
            .query_row(
                params![filter::number(claim.occurrence), filter::number(claim.epoch), now_text, until],
                |row| row.get(0),
            )
            .optional()?;
        renewed.push(match cancel {
            Some(true) => Renewed::CancelRequested,
            Some(false) => Renewed::Held,
            None => Renewed::Lost,
        });
    }
    Ok(renewed)
}

pub(super) fn release(
    transaction: &Transaction<'_>,
    claims: &[ClaimId],
    now: Timestamp,
) -> Result<(), Fault> {
    let mut give_back = transaction.prepare_cached(
        "UPDATE occurrence SET state = 'waiting', lease_until = NULL, due_at = min(due_at, ?3)
         WHERE id = ?1 AND epoch = ?2 AND state = 'claimed' RETURNING cancel_requested",
    )?;
    let now_text = codec::time_text(now)?;
    for claim in claims {
        let id = filter::number(claim.occurrence);
        let cancel: Option<bool> = give_back
            .query_row(params![id, filter::number(claim.epoch), now_text], |row| row.get(0))
            .optional()?;
        if cancel == Some(true) {
            cancel_waiting(transaction, id, now)?;
        }
    }
    Ok(())
}

/// Refuses a claim that is not in force any more; returns what it is about. First in every claimed transaction.
pub(super) fn check(connection: &Connection, claim: &ClaimId) -> Result<Subject, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT kind, subject, epoch, state FROM occurrence WHERE id = ?1")?;
    let mut rows = statement.query([filter::number(claim.occurrence)])?;
    let Some(row) = rows.next()? else {
        return Err(Fault::Stale { sync: String::new(), ours: claim.epoch, found: 0 });
    };
    let (subject, found) = (words::subject(row, 0)?, codec::unsigned(row, 2)?);
    let state = words::word(row, 3, OccurrenceState::parse, "state of an occurrence")?;
    if found == claim.epoch && state == OccurrenceState::Claimed {
        return Ok(subject);
    }
    Err(Fault::Stale { sync: subject.name, ours: claim.epoch, found })
}

pub(super) fn link(connection: &Connection, claim: &ClaimId, run: RunId) -> Result<(), Fault> {
    check(connection, claim)?;
    connection
        .prepare_cached("UPDATE occurrence SET run = ?2 WHERE id = ?1")?
        .execute(params![filter::number(claim.occurrence), codec::signed(run)?])?;
    Ok(())
}

pub(super) fn finish(
    transaction: &Transaction<'_>,
    claim: &ClaimId,
    end: &OccurrenceEnd,
) -> Result<(), Fault> {
    let subject = check(transaction, claim)?;
    let at = codec::time_text(end.at)?;
    let (code, message) = words::error_parts(end.error.as_ref());
    transaction
        .prepare_cached(
            "UPDATE occurrence SET state = 'done', status = ?2, error_code = ?3, error_message = ?4,
               finished_at = ?5, lease_until = NULL
             WHERE id = ?1",
        )?
        .execute(params![filter::number(claim.occurrence), end.status.as_str(), code, message, at])?;
    if end.satisfied {
        transaction
            .prepare_cached(
                "UPDATE occurrence SET state = 'skipped', reason = ?3, finished_at = ?4
                 WHERE kind = ?1 AND subject = ?2 AND state = 'waiting' AND retry = 1",
            )?
            .execute(params![subject.kind.as_str(), subject.name, rules::SATISFIED, at])?;
    }
    for next in &end.follow {
        occurrences::insert(transaction, next, None, end.at)?;
    }
    Ok(())
}

pub(super) fn cancel(
    transaction: &Transaction<'_>,
    id: OccurrenceId,
    now: Timestamp,
) -> Result<Option<OccurrenceState>, Fault> {
    let id = filter::number(id);
    if cancel_waiting(transaction, id, now)? {
        return Ok(Some(OccurrenceState::Cancelled));
    }
    let asked = transaction
        .prepare_cached("UPDATE occurrence SET cancel_requested = 1 WHERE id = ?1 AND state = 'claimed'")?
        .execute([id])?;
    Ok((asked > 0).then_some(OccurrenceState::Claimed))
}

/// Cancels an occurrence if it waits, and the run of a chain that an earlier claim of it left open; whether it did.
fn cancel_waiting(transaction: &Transaction<'_>, id: i64, now: Timestamp) -> Result<bool, Fault> {
    let mut statement = transaction.prepare_cached(
        "UPDATE occurrence SET state = 'cancelled', cancel_requested = 1, finished_at = ?2
         WHERE id = ?1 AND state = 'waiting' RETURNING kind, run",
    )?;
    let mut rows = statement.query(params![id, codec::time_text(now)?])?;
    let Some(row) = rows.next()? else { return Ok(false) };
    let kind = words::word(row, 0, SubjectKind::parse, "kind of subject")?;
    if let (SubjectKind::Chain, Some(run)) = (kind, codec::unsigned_or_null(row, 1)?) {
        chains::close_cancelled(transaction, run, now)?;
    }
    Ok(true)
}
