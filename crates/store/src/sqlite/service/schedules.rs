//! What the scheduler decided, and what is paused.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{codec, fault::Fault, occurrences, words};
use crate::{
    rules::{self, Busy},
    service::{Decided, Decision, ScheduleState, Subject},
};

pub(super) fn states(connection: &Connection) -> Result<Vec<ScheduleState>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT kind, subject, label, considered, paused_at FROM schedule ORDER BY kind, subject, label",
    )?;
    let mut rows = statement.query([])?;
    let mut states = Vec::new();
    while let Some(row) = rows.next()? {
        states.push(ScheduleState {
            subject: words::subject(row, 0)?,
            schedule: row.get(2)?,
            considered: codec::time(row, 3)?,
            paused_at: codec::time_or_null(row, 4)?,
        });
    }
    Ok(states)
}

pub(super) fn decide(
    transaction: &Transaction<'_>,
    decisions: &[Decision],
    now: Timestamp,
) -> Result<Decided, Fault> {
    let mut decided = Decided::default();
    for decision in decisions {
        if !advance(transaction, decision)? {
            continue;
        }
        // Asked once: what one decision adds does not stand in its own way.
        let busy = busy(transaction, &decision.subject, now)?;
        for occurrence in &decision.occurrences {
            rules::decided_about(decision, occurrence).map_err(|why| Fault::Broken(why.to_owned()))?;
            let skip = rules::skipped(occurrence.overlap, busy);
            if occurrences::insert(transaction, occurrence, skip, now)?.is_some() {
                *(if skip.is_some() { &mut decided.skipped } else { &mut decided.added }) += 1;
            }
        }
    }
    Ok(decided)
}

/// Moves a schedule forward; whether its occurrences are to be added.
fn advance(transaction: &Transaction<'_>, decision: &Decision) -> Result<bool, Fault> {
    let (kind, subject) = (decision.subject.kind.as_str(), &decision.subject.name);
    let considered = codec::time_text(decision.considered)?;
    let moved = transaction
        .prepare_cached(
            "UPDATE schedule SET considered = ?4
             WHERE kind = ?1 AND subject = ?2 AND label = ?3 AND considered < ?4 AND paused_at IS NULL",
        )?
        .execute(params![kind, subject, decision.schedule, considered])?;
    if moved > 0 {
        return Ok(true);
    }
    transaction
        .prepare_cached(
            "INSERT INTO schedule (kind, subject, label, considered, paused_at)
             VALUES (?1, ?2, ?3, ?4, (SELECT since FROM paused WHERE kind = ?1 AND subject = ?2))
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![kind, subject, decision.schedule, considered])?;
    Ok(false)
}

fn busy(connection: &Connection, subject: &Subject, now: Timestamp) -> Result<Option<Busy>, Fault> {
    let state: Option<String> = connection
        .prepare_cached(
            "SELECT state FROM (
               SELECT 'claimed' AS state FROM occurrence WHERE kind = ?1 AND subject = ?2 AND state = 'claimed'
               UNION ALL
               SELECT 'waiting' FROM occurrence
               WHERE kind = ?1 AND subject = ?2 AND state = 'waiting' AND due_at <= ?3)
             ORDER BY state DESC LIMIT 1",
        )?
        .query_row(params![subject.kind.as_str(), subject.name, codec::bound_text(now)], |row| row.get(0))
        .optional()?;
    Ok(state.map(|state| if state == "waiting" { Busy::Waiting } else { Busy::Claimed }))
}

pub(super) fn pause(
    transaction: &Transaction<'_>,
    subject: &Subject,
    schedule: Option<&str>,
    now: Timestamp,
) -> Result<bool, Fault> {
    let (kind, name, now) = (subject.kind.as_str(), &subject.name, codec::time_text(now)?);
    let changed = match schedule {
        Some(label) => transaction
            .prepare_cached(
                "INSERT INTO schedule (kind, subject, label, considered, paused_at) VALUES (?1, ?2, ?3, ?4, ?4)
                 ON CONFLICT DO UPDATE SET paused_at = excluded.paused_at WHERE paused_at IS NULL",
            )?
            .execute(params![kind, name, label, now])?,
        None => {
            let whole = transaction
                .prepare_cached("INSERT INTO paused VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
                .execute(params![kind, name, now])?;
            let each = transaction
                .prepare_cached(
                    "UPDATE schedule SET paused_at = ?3
                     WHERE kind = ?1 AND subject = ?2 AND paused_at IS NULL",
                )?
                .execute(params![kind, name, now])?;
            whole + each
        }
    };
    let skipped = transaction
        .prepare_cached(
            "UPDATE occurrence SET state = 'skipped', reason = ?4, finished_at = ?5
             WHERE kind = ?1 AND subject = ?2 AND state = 'waiting'
               AND schedule IS NOT NULL AND (?3 IS NULL OR schedule = ?3)",
        )?
        .execute(params![kind, name, schedule, rules::PAUSED, now])?;
    Ok(changed + skipped > 0)
}

pub(super) fn resume(
    transaction: &Transaction<'_>,
    subject: &Subject,
    schedule: Option<&str>,
    now: Timestamp,
) -> Result<bool, Fault> {
    let (kind, name, now) = (subject.kind.as_str(), &subject.name, codec::time_text(now)?);
    let whole = match schedule {
        Some(_) => 0,
        None => transaction
            .prepare_cached("DELETE FROM paused WHERE kind = ?1 AND subject = ?2")?
            .execute(params![kind, name])?,
    };
    let each = transaction
        .prepare_cached(
            "UPDATE schedule SET paused_at = NULL, considered = max(considered, ?4)
             WHERE kind = ?1 AND subject = ?2 AND (?3 IS NULL OR label = ?3) AND paused_at IS NOT NULL",
        )?
        .execute(params![kind, name, schedule, now])?;
    Ok(whole + each > 0)
}
