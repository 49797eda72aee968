//! Claims: who carries out what, until when, and how it ends.
//!
//! Leases are measured by the database's clock. Those who claim do it one after the other, for some milliseconds each:
//! so limits and "one at a time" are counted from what is there. Rows that somebody else changes right now (ends, cancels)
//! are not waited for.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use syncline_core::run::Status;

use super::{chains, codec, connection::Work, fault::Fault, filter, occurrences, words};
use crate::{
    RunId,
    rules::{self, Room},
    service::{
        Claim, ClaimId, Limits, NewOccurrence, OccurrenceEnd, OccurrenceId, OccurrenceState, Renewed,
        Subject, SubjectKind,
    },
};

/// Claims what is due.
pub(super) async fn claim_due(
    work: &Work<'_>,
    node: &str,
    limits: &Limits,
    max: usize,
    lease_ms: i64,
    now: Timestamp,
) -> Result<Vec<Claim>, Fault> {
    words::alone(work, "claim").await?;
    let mut room = Room::of(limits);
    let living = "SELECT connections::text FROM occurrence
                  WHERE tenant = $1 AND state = 'claimed' AND lease_until > clock_timestamp()";
    for row in work.rows(living, &[&work.tenant]).await? {
        room.take(&codec::from_json::<Vec<String>>(&row, 0)?);
    }
    if max == 0 || room.is_used_up() {
        return Ok(Vec::new());
    }
    let mut page = max.saturating_mul(2).saturating_add(16);
    let chosen = loop {
        let (chosen, looked_at) = choose(work, room.clone(), max, page, now).await?;
        if chosen.len() >= max || looked_at < page {
            break chosen;
        }
        // Much of what is due is left for later: look further.
        page = page.saturating_mul(8);
    };
    take(work, node, &chosen, lease_ms, now).await
}

/// What is to be claimed, in order; and how many that wait were looked at, at most `page`.
async fn choose(
    work: &Work<'_>,
    mut room: Room<'_>,
    max: usize,
    page: usize,
    now: Timestamp,
) -> Result<(Vec<i64>, usize), Fault> {
    // Of one subject, either its expired claim or those that wait.
    let rows = work
        .rows(
            "SELECT id, kind, subject, connections::text, waits FROM (
               (SELECT id, kind, subject, connections, weight, due_at, FALSE AS waits FROM occurrence
                WHERE tenant = $1 AND state = 'claimed' AND lease_until <= clock_timestamp())
               UNION ALL
               (SELECT id, kind, subject, connections, weight, due_at, TRUE FROM occurrence AS waiting
                WHERE tenant = $1 AND state = 'waiting' AND due_at <= $2
                  AND NOT EXISTS (SELECT FROM occurrence AS other
                    WHERE other.tenant = $1 AND other.state = 'claimed' AND other.kind = waiting.kind
                      AND other.subject = waiting.subject)
                ORDER BY weight DESC, due_at, id LIMIT $3)) AS due
             ORDER BY weight DESC, due_at, id",
            &[&work.tenant, &codec::bound(now), &codec::limit(page)],
        )
        .await?;
    let (mut chosen, mut subjects, mut looked_at) = (Vec::new(), BTreeSet::new(), 0);
    for row in &rows {
        if chosen.len() >= max || room.is_used_up() {
            return Ok((chosen, 0));
        }
        looked_at += usize::from(row.try_get::<_, bool>(4)?);
        let connections: Vec<String> = codec::from_json(row, 3)?;
        if room.fits(&connections) && subjects.insert(words::subject(row, 1)?) {
            room.take(&connections);
            chosen.push(row.try_get(0)?);
        }
    }
    Ok((chosen, looked_at))
}

async fn take(
    work: &Work<'_>,
    node: &str,
    chosen: &[i64],
    lease_ms: i64,
    now: Timestamp,
) -> Result<Vec<Claim>, Fault> {
    let asked = occurrences::ASKED;
    let rows = work
        .rows(
            &format!(
                "UPDATE occurrence SET state = 'claimed', epoch = epoch + 1, attempts = attempts + 1, node = $3,
                   claimed_at = clock.now, lease_until = clock.now + $4 * interval '1 millisecond'
                 FROM (SELECT clock_timestamp() AS now) AS clock
                 WHERE tenant = $1 AND id IN (SELECT id FROM occurrence
                   WHERE tenant = $1 AND id = ANY($2) AND (state = 'waiting' AND due_at <= $5
                     OR state = 'claimed' AND lease_until <= clock_timestamp())
                   FOR UPDATE SKIP LOCKED)
                 RETURNING id, {asked}, epoch, attempts, run"
            ),
            &[&work.tenant, &chosen, &node, &(lease_ms as f64), &codec::bound(now)],
        )
        .await?;
    let mut claims = BTreeMap::new();
    let rest = 1 + occurrences::ASKED_COLUMNS;
    for row in &rows {
        let claim = Claim {
            id: ClaimId { occurrence: codec::unsigned(row, 0)?, epoch: codec::unsigned(row, rest)? },
            asked: occurrences::asked(row, 1)?,
            attempts: words::small(row, rest + 1)?,
            run: codec::unsigned_or_null(row, rest + 2)?,
        };
        claims.insert(row.try_get::<_, i64>(0)?, claim);
    }
    Ok(chosen.iter().filter_map(|id| claims.remove(id)).collect())
}

/// Numbers and epochs of claims, as arrays of the database.
fn arrays(claims: &[ClaimId]) -> (Vec<i64>, Vec<i64>) {
    claims.iter().map(|claim| (filter::number(claim.occurrence), filter::number(claim.epoch))).unzip()
}

pub(super) async fn renew(work: &Work<'_>, claims: &[ClaimId], lease_ms: i64) -> Result<Vec<Renewed>, Fault> {
    let (ids, epochs) = arrays(claims);
    let rows = work
        .rows(
            "UPDATE occurrence SET lease_until = clock_timestamp() + $4 * interval '1 millisecond'
             FROM unnest($2::bigint[], $3::bigint[]) AS given (id, epoch)
             WHERE tenant = $1 AND occurrence.id = given.id AND occurrence.epoch = given.epoch AND state = 'claimed'
               AND lease_until > clock_timestamp()
             RETURNING occurrence.id, occurrence.epoch, cancel_requested",
            &[&work.tenant, &ids, &epochs, &(lease_ms as f64)],
        )
        .await?;
    let mut held = BTreeMap::new();
    for row in &rows {
        let claim = ClaimId { occurrence: codec::unsigned(row, 0)?, epoch: codec::unsigned(row, 1)? };
        held.insert(claim, row.try_get::<_, bool>(2)?);
    }
    let renewed = claims.iter().map(|claim| match held.get(claim) {
        Some(true) => Renewed::CancelRequested,
        Some(false) => Renewed::Held,
        None => Renewed::Lost,
    });
    Ok(renewed.collect())
}

pub(super) async fn release(work: &Work<'_>, claims: &[ClaimId], now: Timestamp) -> Result<(), Fault> {
    let (ids, epochs) = arrays(claims);
    let rows = work
        .rows(
            "UPDATE occurrence SET state = 'waiting', lease_until = NULL, due_at = least(due_at, $4)
             FROM unnest($2::bigint[], $3::bigint[]) AS given (id, epoch)
             WHERE tenant = $1 AND occurrence.id = given.id AND occurrence.epoch = given.epoch AND state = 'claimed'
             RETURNING occurrence.id, cancel_requested",
            &[&work.tenant, &ids, &epochs, &codec::time(now)?],
        )
        .await?;
    for row in &rows {
        if row.try_get(1)? {
            cancel_waiting(work, row.try_get(0)?, now).await?;
        }
    }
    Ok(())
}

/// Refuses a claim that is not in force any more; returns what it is about. First in every claimed transaction: until its
/// end nobody takes the claim over.
pub(super) async fn check(work: &Work<'_>, claim: &ClaimId) -> Result<Subject, Fault> {
    let sql =
        "SELECT kind, subject, epoch, state FROM occurrence WHERE tenant = $1 AND id = $2 FOR NO KEY UPDATE";
    let Some(row) = work.row(sql, &[&work.tenant, &filter::number(claim.occurrence)]).await? else {
        return Err(Fault::Stale { sync: String::new(), ours: claim.epoch, found: 0 });
    };
    let (subject, found) = (words::subject(&row, 0)?, codec::unsigned(&row, 2)?);
    let state = words::word(&row, 3, OccurrenceState::parse, "state of an occurrence")?;
    if found == claim.epoch && state == OccurrenceState::Claimed {
        return Ok(subject);
    }
    Err(Fault::Stale { sync: subject.name, ours: claim.epoch, found })
}

pub(super) async fn link(work: &Work<'_>, claim: &ClaimId, run: RunId) -> Result<(), Fault> {
    check(work, claim).await?;
    let sql = "UPDATE occurrence SET run = $3 WHERE tenant = $1 AND id = $2";
    work.execute(sql, &[&work.tenant, &filter::number(claim.occurrence), &codec::signed(run)?]).await?;
    Ok(())
}

pub(super) async fn finish(work: &Work<'_>, claim: &ClaimId, end: &OccurrenceEnd) -> Result<(), Fault> {
    let subject = check(work, claim).await?;
    let at = codec::time(end.at)?;
    let (code, message) = words::error_parts(end.error.as_ref());
    work.execute(
        "UPDATE occurrence SET state = 'done', status = $3, error_code = $4, error_message = $5, finished_at = $6,
           lease_until = NULL
         WHERE tenant = $1 AND id = $2",
        &[
            &work.tenant,
            &filter::number(claim.occurrence),
            &Status::as_str(end.status),
            &code,
            &message,
            &at,
        ],
    )
    .await?;
    if end.satisfied {
        work.execute(
            "UPDATE occurrence SET state = 'skipped', reason = $4, finished_at = $5
             WHERE tenant = $1 AND kind = $2 AND subject = $3 AND state = 'waiting' AND retry",
            &[&work.tenant, &subject.kind.as_str(), &subject.name, &rules::SATISFIED, &at],
        )
        .await?;
    }
    let follow: Vec<(&NewOccurrence, Option<&'static str>)> =
        end.follow.iter().map(|next| (next, None)).collect();
    occurrences::insert(work, &follow, end.at).await?;
    Ok(())
}

pub(super) async fn cancel(
    work: &Work<'_>,
    id: OccurrenceId,
    now: Timestamp,
) -> Result<Option<OccurrenceState>, Fault> {
    let id = filter::number(id);
    // Held first: between two looks at it, a waiting one could be claimed.
    let sql = "SELECT state FROM occurrence WHERE tenant = $1 AND id = $2 FOR NO KEY UPDATE";
    if work.row(sql, &[&work.tenant, &id]).await?.is_none() {
        return Ok(None);
    }
    if cancel_waiting(work, id, now).await? {
        return Ok(Some(OccurrenceState::Cancelled));
    }
    let sql =
        "UPDATE occurrence SET cancel_requested = TRUE WHERE tenant = $1 AND id = $2 AND state = 'claimed'";
    let asked = work.execute(sql, &[&work.tenant, &id]).await?;
    Ok((asked > 0).then_some(OccurrenceState::Claimed))
}

/// Cancels an occurrence if it waits, and the run of a chain that an earlier claim of it left open; whether it did.
async fn cancel_waiting(work: &Work<'_>, id: i64, now: Timestamp) -> Result<bool, Fault> {
    let sql = "UPDATE occurrence SET state = 'cancelled', cancel_requested = TRUE, finished_at = $3
               WHERE tenant = $1 AND id = $2 AND state = 'waiting' RETURNING kind, run";
    let Some(row) = work.row(sql, &[&work.tenant, &id, &codec::time(now)?]).await? else {
        return Ok(false);
    };
    let kind = words::word(&row, 0, SubjectKind::parse, "kind of subject")?;
    if let (SubjectKind::Chain, Some(run)) = (kind, codec::unsigned_or_null(&row, 1)?) {
        chains::close_cancelled(work, run, now).await?;
    }
    Ok(true)
}
