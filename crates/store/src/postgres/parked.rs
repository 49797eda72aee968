//! What waits for something: parked records for their retry, held deletes for approval.

use jiff::Timestamp;
use syncline_core::identity::Identity;
use tokio_postgres::Row;

use super::{
    codec,
    connection::Work,
    fault::Fault,
    lease::{self, Token},
    ledger,
};
use crate::{
    Drift, DriftKind, Held, IntentKind, Parked, RunId, Waiting,
    rules::{self, CONFLICT, DRIFT},
};

pub(super) async fn list(
    work: &Work<'_>,
    sync: Option<&str>,
    due: Option<Timestamp>,
    limit: usize,
) -> Result<Vec<Parked>, Fault> {
    let rows = work
        .rows(
            "SELECT sync.name, parked.identity, parked.key::text, parked.label, parked.kind, parked.code,
               parked.message, parked.attempts, parked.first_at, parked.last_at, parked.retry_at, parked.run
             FROM parked JOIN sync ON sync.tenant = $1 AND sync.number = parked.sync
             WHERE parked.tenant = $1 AND ($2::text IS NULL OR sync.name = $2)
               AND ($3::timestamptz IS NULL OR parked.retry_at <= $3)
             ORDER BY parked.first_at, sync.name, parked.identity LIMIT $4",
            &[&work.tenant, &sync, &due.map(codec::bound), &codec::limit(limit)],
        )
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Parked, Fault> {
    let kind: Option<&str> = row.try_get(4)?;
    Ok(Parked {
        sync: row.try_get(0)?,
        identity: codec::identity(row, 1)?,
        key: codec::from_json_or_null(row, 2)?,
        label: row.try_get(3)?,
        kind: kind.map(codec::kind).transpose()?,
        code: row.try_get(5)?,
        message: row.try_get(6)?,
        attempts: u32::try_from(codec::unsigned(row, 7)?)
            .map_err(|_| Fault::Broken("a stored number of attempts is too large".to_owned()))?,
        first_at: codec::stored_time(row, 8)?,
        last_at: codec::stored_time(row, 9)?,
        retry_at: codec::stored_time(row, 10)?,
        run: codec::unsigned(row, 11)?,
    })
}

/// Parks records; one that is parked already is replaced as a whole, and of one that comes twice the last one counts.
pub(super) async fn put(work: &Work<'_>, sync: i32, parked: &[Parked]) -> Result<(), Fault> {
    for part in codec::without_repeats(parked, |parked| parked.identity) {
        put_part(work, sync, part).await?;
    }
    Ok(())
}

async fn put_part(work: &Work<'_>, sync: i32, parked: &[Parked]) -> Result<(), Fault> {
    let times = |time: fn(&Parked) -> Timestamp| {
        parked.iter().map(|parked| codec::time(time(parked))).collect::<Result<Vec<_>, _>>()
    };
    let identities: Vec<&[u8]> = parked.iter().map(|parked| parked.identity.0.as_slice()).collect();
    let keys = parked.iter().map(|parked| parked.key.as_deref().map(codec::key_text).transpose());
    let keys = keys.collect::<Result<Vec<Option<String>>, _>>()?;
    let labels: Vec<_> = parked.iter().map(|parked| codec::text(&parked.label)).collect();
    let kinds: Vec<Option<&str>> = parked.iter().map(|parked| parked.kind.map(IntentKind::as_str)).collect();
    let codes: Vec<&str> = parked.iter().map(|parked| parked.code.as_str()).collect();
    let messages: Vec<_> = parked.iter().map(|parked| codec::text(&parked.message)).collect();
    let attempts: Vec<i64> = parked.iter().map(|parked| i64::from(parked.attempts)).collect();
    let (first, last) = (times(|parked| parked.first_at)?, times(|parked| parked.last_at)?);
    let retry = times(|parked| parked.retry_at)?;
    let runs = parked.iter().map(|parked| codec::signed(parked.run)).collect::<Result<Vec<_>, _>>()?;
    work.execute(
        "INSERT INTO parked (tenant, sync, identity, key, label, kind, code, message, attempts, first_at, last_at,
           retry_at, run)
         SELECT $1, $2, identity, key::json, label, kind, code, message, attempts, first_at, last_at, retry_at, run
         FROM unnest($3::bytea[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[],
             $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::bigint[])
           AS given (identity, key, label, kind, code, message, attempts, first_at, last_at, retry_at, run)
         ON CONFLICT (tenant, sync, identity) DO UPDATE SET key = excluded.key, label = excluded.label,
           kind = excluded.kind, code = excluded.code, message = excluded.message, attempts = excluded.attempts,
           first_at = excluded.first_at, last_at = excluded.last_at, retry_at = excluded.retry_at, run = excluded.run",
        &[
            &work.tenant,
            &sync,
            &identities,
            &keys,
            &labels,
            &kinds,
            &codes,
            &messages,
            &attempts,
            &first,
            &last,
            &retry,
            &runs,
        ],
    )
    .await?;
    Ok(())
}

/// Takes records out of the parked; returns how many there were.
pub(super) async fn unpark(work: &Work<'_>, sync: i32, identities: &[Identity]) -> Result<u64, Fault> {
    let sql = "DELETE FROM parked WHERE tenant = $1 AND sync = $2 AND identity = ANY($3)";
    work.execute(sql, &[&work.tenant, &sync, &codec::bytes(identities)]).await
}

pub(super) async fn retry(
    work: &Work<'_>,
    lease: &Token,
    identities: Option<&[Identity]>,
    now: Timestamp,
) -> Result<u64, Fault> {
    let sync = lease::hold(work, lease).await?.sync;
    let now = codec::time(now)?;
    let Some(identities) = identities else {
        let sql = "UPDATE parked SET retry_at = $3 WHERE tenant = $1 AND sync = $2";
        return work.execute(sql, &[&work.tenant, &sync, &now]).await;
    };
    let rows = work
        .rows(
            "UPDATE parked SET retry_at = $3 WHERE tenant = $1 AND sync = $2 AND identity = ANY($4)
             RETURNING identity",
            &[&work.tenant, &sync, &now, &codec::bytes(identities)],
        )
        .await?;
    let due = rows.iter().map(|row| codec::identity(row, 0)).collect::<Result<Vec<_>, _>>()?;
    // One that was named twice was made due twice.
    Ok(identities.iter().filter(|identity| due.contains(identity)).count() as u64)
}

pub(super) async fn drop(
    work: &Work<'_>,
    lease: &Token,
    identities: Option<&[Identity]>,
) -> Result<u64, Fault> {
    let sync = lease::hold(work, lease).await?.sync;
    match identities {
        Some(identities) => unpark(work, sync, identities).await,
        None => {
            let sql = "DELETE FROM parked WHERE tenant = $1 AND sync = $2";
            work.execute(sql, &[&work.tenant, &sync]).await
        }
    }
}

pub(super) async fn waiting(work: &Work<'_>) -> Result<Vec<Waiting>, Fault> {
    let rows = work
        .rows(
            "SELECT sync.name, coalesce(parked.others, 0), coalesce(parked.conflicts, 0), coalesce(held.records, 0),
               coalesce(living.records, 0), coalesce(open.intents, 0)
             FROM sync
             LEFT JOIN (SELECT sync, count(*) FILTER (WHERE code <> $2) AS others,
                          count(*) FILTER (WHERE code = $2) AS conflicts
                        FROM parked WHERE tenant = $1 GROUP BY sync) AS parked ON parked.sync = sync.number
             LEFT JOIN (SELECT sync, count(*) AS records FROM held WHERE tenant = $1 GROUP BY sync) AS held
               ON held.sync = sync.number
             LEFT JOIN (SELECT sync, count(*) AS records FROM ledger WHERE tenant = $1 AND NOT gone GROUP BY sync)
               AS living ON living.sync = sync.number
             LEFT JOIN (SELECT sync, count(*) AS intents FROM intent WHERE tenant = $1 GROUP BY sync) AS open
               ON open.sync = sync.number
             WHERE sync.tenant = $1 ORDER BY sync.name",
            &[&work.tenant, &CONFLICT],
        )
        .await?;
    let waiting = |row: &Row| {
        Ok(Waiting {
            sync: row.try_get(0)?,
            parked: codec::unsigned(row, 1)?,
            conflicted: codec::unsigned(row, 2)?,
            held: codec::unsigned(row, 3)?,
            known: codec::unsigned(row, 4)?,
            intents: codec::unsigned(row, 5)?,
        })
    };
    let waiting = rows.iter().map(waiting).collect::<Result<Vec<_>, Fault>>()?;
    Ok(rules::by_sync(waiting))
}

pub(super) async fn held(work: &Work<'_>, sync: Option<&str>, limit: usize) -> Result<Vec<Held>, Fault> {
    let rows = work
        .rows(
            "SELECT sync.name, held.identity, held.label, stream.id, held.record_id, held.reason, held.since, held.run
             FROM held JOIN sync ON sync.tenant = $1 AND sync.number = held.sync
             JOIN stream ON stream.tenant = $1 AND stream.number = held.stream
             WHERE held.tenant = $1 AND ($2::text IS NULL OR sync.name = $2)
             ORDER BY sync.name, held.since, held.label, held.identity LIMIT $3",
            &[&work.tenant, &sync, &codec::limit(limit)],
        )
        .await?;
    let held = |row: &Row| {
        Ok(Held {
            sync: row.try_get(0)?,
            identity: codec::identity(row, 1)?,
            label: row.try_get(2)?,
            stream: row.try_get(3)?,
            record_id: row.try_get(4)?,
            reason: row.try_get(5)?,
            since: codec::stored_time(row, 6)?,
            run: codec::unsigned(row, 7)?,
        })
    };
    rows.iter().map(held).collect()
}

pub(super) async fn approve(
    work: &Work<'_>,
    lease: &Token,
    ceiling: u64,
    now: Timestamp,
) -> Result<(), Fault> {
    let sync = lease::hold(work, lease).await?.sync;
    let sql = "UPDATE sync SET approved = $3, approved_at = $4 WHERE tenant = $1 AND number = $2";
    work.execute(sql, &[&work.tenant, &sync, &codec::signed(ceiling)?, &codec::time(now)?]).await?;
    Ok(())
}

pub(super) async fn approval(work: &Work<'_>, sync: &str) -> Result<Option<u64>, Fault> {
    let row =
        work.row("SELECT approved FROM sync WHERE tenant = $1 AND name = $2", &[&work.tenant, &sync]).await?;
    row.map_or(Ok(None), |row| codec::unsigned_or_null(&row, 0))
}

pub(super) async fn forget_approval(work: &Work<'_>, sync: i32) -> Result<(), Fault> {
    let sql = "UPDATE sync SET approved = NULL, approved_at = NULL WHERE tenant = $1 AND number = $2";
    work.execute(sql, &[&work.tenant, &sync]).await?;
    Ok(())
}

/// Rejects held deletes. A standing approval goes too: whoever rejects does not want the next listing to delete.
pub(super) async fn reject(work: &Work<'_>, lease: &Token) -> Result<u64, Fault> {
    let sync = lease::hold(work, lease).await?.sync;
    work.execute(
        "DELETE FROM ledger USING held WHERE ledger.tenant = $1 AND ledger.sync = $2
           AND held.tenant = $1 AND held.sync = $2 AND held.identity = ledger.identity",
        &[&work.tenant, &sync],
    )
    .await?;
    forget_approval(work, sync).await?;
    work.execute("DELETE FROM held WHERE tenant = $1 AND sync = $2", &[&work.tenant, &sync]).await
}

/// Makes the next plan rewrite what was edited and remake what is missing.
pub(super) async fn mark_drifted(
    work: &Work<'_>,
    lease: &Token,
    run: RunId,
    drifted: &[Drift],
    now: Timestamp,
) -> Result<(), Fault> {
    let sync = lease::hold(work, lease).await?.sync;
    let (now, run) = (codec::time(now)?, codec::signed(run)?);
    let marks: Vec<Mark<'_>> = drifted.iter().filter_map(Mark::of).collect();
    for part in codec::without_repeats(&marks, |mark| *mark.identity) {
        mark(work, sync, run, part, now).await?;
    }
    Ok(())
}

/// Drift of a record of the ledger, and what is to be done about it.
struct Mark<'d> {
    identity: &'d Identity,
    kind: IntentKind,
    message: &'static str,
    drift: &'d Drift,
}

impl<'d> Mark<'d> {
    fn of(drift: &'d Drift) -> Option<Self> {
        let (kind, message) = rules::repair(drift.kind)?;
        Some(Self { identity: drift.identity.as_ref()?, kind, message, drift })
    }
}

async fn mark(
    work: &Work<'_>,
    sync: i32,
    run: i64,
    marks: &[Mark<'_>],
    now: codec::Time,
) -> Result<(), Fault> {
    let identities: Vec<&[u8]> = marks.iter().map(|mark| mark.identity.0.as_slice()).collect();
    let labels: Vec<_> = marks.iter().map(|mark| codec::text(&mark.drift.label)).collect();
    let kinds: Vec<&str> = marks.iter().map(|mark| mark.kind.as_str()).collect();
    let messages: Vec<&str> = marks.iter().map(|mark| mark.message).collect();
    let records: Vec<&str> = marks.iter().map(|mark| mark.drift.record_id.as_str()).collect();
    let streams: Vec<&str> = marks.iter().map(|mark| mark.drift.stream.as_str()).collect();
    // Parked with the key of the ledger, while the ledger still has it. What was removed from it, moved or made anew
    // since it was compared is not among the known.
    let known = work
        .rows(
            "INSERT INTO parked (tenant, sync, identity, key, label, kind, code, message, attempts, first_at, last_at,
               retry_at, run)
             SELECT $1, $2, ledger.identity, detail.key, given.label, given.kind, $3, given.message, 0, $4, $4, $4, $5
             FROM unnest($6::bytea[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[])
               AS given (identity, label, kind, message, record_id, stream)
             JOIN stream ON stream.tenant = $1 AND stream.id = given.stream
             JOIN ledger ON ledger.tenant = $1 AND ledger.sync = $2 AND ledger.identity = given.identity
               AND ledger.record_id = given.record_id AND ledger.stream = stream.number
             JOIN ledger_detail AS detail ON detail.tenant = $1 AND detail.seq = ledger.seq
             ON CONFLICT (tenant, sync, identity) DO UPDATE SET kind = excluded.kind, code = excluded.code,
               message = excluded.message, last_at = excluded.last_at, retry_at = excluded.retry_at,
               run = excluded.run
             RETURNING identity",
            &[
                &work.tenant,
                &sync,
                &DRIFT,
                &now,
                &run,
                &identities,
                &labels,
                &kinds,
                &messages,
                &records,
                &streams,
            ],
        )
        .await?;
    let known = known.iter().map(|row| codec::identity(row, 0)).collect::<Result<Vec<_>, _>>()?;
    let of_kind = |kind| marks.iter().filter(move |mark| mark.drift.kind == kind);
    let missing = of_kind(DriftKind::Missing).filter(|mark| known.contains(mark.identity));
    let missing: Vec<&[u8]> = missing.map(|mark| mark.identity.0.as_slice()).collect();
    ledger::remove(work, sync, &missing).await?;
    // With the version that was seen, so that only an edit after this one stands in the way of the rewrite.
    let edited = of_kind(DriftKind::Edited).filter(|mark| known.contains(mark.identity));
    let (edited, versions): (Vec<&[u8]>, Vec<Option<&str>>) =
        edited.map(|mark| (mark.identity.0.as_slice(), mark.drift.version.as_deref())).unzip();
    work.execute(
        "UPDATE ledger SET hash = NULL, gone = FALSE, version = coalesce(given.version, ledger.version)
         FROM unnest($3::bytea[], $4::text[]) AS given (identity, version)
         WHERE ledger.tenant = $1 AND ledger.sync = $2 AND ledger.identity = given.identity",
        &[&work.tenant, &sync, &edited, &versions],
    )
    .await?;
    Ok(())
}
