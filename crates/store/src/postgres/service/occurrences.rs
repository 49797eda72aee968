//! Occurrences: how one is stored, asked for, and shown.

use jiff::Timestamp;
use syncline_core::run::Status;
use tokio_postgres::Row;

use super::{
    codec,
    connection::Work,
    fault::Fault,
    filter::{self, Filter},
    schedules, words,
};
use crate::{
    rules,
    service::{
        Enqueued, NewOccurrence, Occurrence, OccurrenceFilter, OccurrenceId, OccurrenceState, WAITING_MAX,
    },
};

/// What was asked for, for [`asked`].
pub(super) const ASKED: &str =
    "kind, subject, schedule, instant, due_at, overlap, weight, retry, options::text,
    connections::text, requested_by, idempotency_key, correlation";
/// Columns of [`ASKED`].
pub(super) const ASKED_COLUMNS: usize = 13;

/// Adds occurrences in their order, waiting or skipped for a reason; of those that were added, the number and whether it
/// was skipped. One whose schedule has this instant already is passed over.
pub(super) async fn insert(
    work: &Work<'_>,
    occurrences: &[(&NewOccurrence, Option<&'static str>)],
    now: Timestamp,
) -> Result<Vec<(OccurrenceId, bool)>, Fault> {
    if occurrences.is_empty() {
        return Ok(Vec::new());
    }
    let mut columns = Columns::default();
    for (occurrence, skip) in occurrences {
        columns.push(occurrence, *skip)?;
    }
    let rows = work
        .rows(
            "INSERT INTO occurrence (tenant, kind, subject, schedule, instant, due_at, overlap, weight, retry, options,
               connections, requested_by, idempotency_key, correlation, created_at, state, reason, finished_at)
             SELECT $1, kind, subject, schedule, instant, due_at, overlap, weight, retry, options::json,
               connections::json, requested_by, key, correlation, $16::timestamptz,
               CASE WHEN reason IS NULL THEN 'waiting' ELSE 'skipped' END, reason,
               CASE WHEN reason IS NULL THEN NULL ELSE $16::timestamptz END
             FROM unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::text[],
               $8::integer[], $9::boolean[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[],
               $15::text[]) WITH ORDINALITY AS given (kind, subject, schedule, instant, due_at, overlap, weight, retry,
               options, connections, requested_by, key, correlation, reason, place)
             ORDER BY place
             ON CONFLICT (tenant, kind, subject, schedule, instant) WHERE schedule IS NOT NULL AND NOT retry DO NOTHING
             RETURNING id, state = 'skipped'",
            &[
                &work.tenant,
                &columns.kinds,
                &columns.subjects,
                &columns.schedules,
                &columns.instants,
                &columns.due,
                &columns.overlaps,
                &columns.weights,
                &columns.retries,
                &columns.options,
                &columns.connections,
                &columns.requested_by,
                &columns.keys,
                &columns.correlations,
                &columns.reasons,
                &codec::time(now)?,
            ],
        )
        .await?;
    rows.iter().map(|row| Ok((codec::unsigned(row, 0)?, row.try_get(1)?))).collect()
}

/// Occurrences as arrays of the database.
#[derive(Default)]
struct Columns<'a> {
    kinds: Vec<&'static str>,
    subjects: Vec<&'a str>,
    schedules: Vec<Option<&'a str>>,
    instants: Vec<codec::Time>,
    due: Vec<codec::Time>,
    overlaps: Vec<&'static str>,
    weights: Vec<i32>,
    retries: Vec<bool>,
    options: Vec<String>,
    connections: Vec<String>,
    requested_by: Vec<&'a str>,
    keys: Vec<Option<&'a str>>,
    correlations: Vec<&'a str>,
    reasons: Vec<Option<&'static str>>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, occurrence: &'a NewOccurrence, skip: Option<&'static str>) -> Result<(), Fault> {
        self.kinds.push(occurrence.subject.kind.as_str());
        self.subjects.push(&occurrence.subject.name);
        self.schedules.push(occurrence.schedule.as_deref());
        self.instants.push(codec::time(occurrence.instant)?);
        self.due.push(codec::time(occurrence.due_at)?);
        self.overlaps.push(rules::overlap_word(occurrence.overlap));
        self.weights.push(occurrence.weight);
        self.retries.push(occurrence.retry);
        self.options.push(codec::json(&occurrence.options)?);
        self.connections.push(codec::json(&occurrence.connections)?);
        self.requested_by.push(&occurrence.requested_by);
        self.keys.push(occurrence.idempotency_key.as_deref());
        self.correlations.push(&occurrence.correlation);
        self.reasons.push(skip);
        Ok(())
    }
}

/// Adds what somebody asks for. Who asks with the same key, or about the same subject, waits for us.
pub(super) async fn enqueue(
    work: &Work<'_>,
    occurrence: &NewOccurrence,
    now: Timestamp,
) -> Result<Enqueued, Fault> {
    if let Some(key) = &occurrence.idempotency_key {
        words::alone(work, &format!("key {key}")).await?;
        forget_old_key(work, key, now).await?;
        let sql = format!(
            "SELECT id, {ASKED}, {OCCURRENCE} FROM occurrence WHERE tenant = $1 AND idempotency_key = $2"
        );
        if let Some(row) = work.row(&sql, &[&work.tenant, key]).await? {
            let earlier = read(&row)?;
            let same = rules::asks_the_same(&earlier.asked, occurrence);
            return Ok(if same { Enqueued::Existing(earlier.id) } else { Enqueued::KeyReused });
        }
    }
    let (kind, name) = (occurrence.subject.kind.as_str(), &occurrence.subject.name);
    words::alone(work, &format!("{kind} {name}")).await?;
    let sql = "SELECT count(*) FROM occurrence
               WHERE tenant = $1 AND kind = $2 AND subject = $3 AND state = 'waiting'";
    if codec::unsigned(&work.one(sql, &[&work.tenant, &kind, name]).await?, 0)? >= WAITING_MAX as u64 {
        return Ok(Enqueued::Full);
    }
    match insert(work, &[(occurrence, None)], now).await?.first() {
        Some((id, _)) => Ok(Enqueued::New(*id)),
        None => Err(Fault::Broken("the schedule has an occurrence for this instant already".to_owned())),
    }
}

async fn forget_old_key(work: &Work<'_>, key: &str, now: Timestamp) -> Result<(), Fault> {
    if let Ok(before) = now.checked_sub(rules::KEYS_KEPT) {
        work.execute(
            "UPDATE occurrence SET idempotency_key = NULL
             WHERE tenant = $1 AND idempotency_key = $2 AND created_at < $3",
            &[&work.tenant, &key, &codec::bound(before)],
        )
        .await?;
    }
    Ok(())
}

/// Everything of an occurrence, for [`read`].
const OCCURRENCE: &str =
    "created_at, state, reason, epoch, attempts, node, claimed_at, lease_until, cancel_requested,
    run, status, error_code, error_message, finished_at";

pub(super) async fn get(work: &Work<'_>, id: OccurrenceId) -> Result<Option<Occurrence>, Fault> {
    let sql = format!("SELECT id, {ASKED}, {OCCURRENCE} FROM occurrence WHERE tenant = $1 AND id = $2");
    work.row(&sql, &[&work.tenant, &filter::number(id)]).await?.map(|row| read(&row)).transpose()
}

pub(super) async fn list(
    work: &Work<'_>,
    wanted: &OccurrenceFilter,
    limit: usize,
) -> Result<Vec<Occurrence>, Fault> {
    let subject = wanted.subject.as_ref();
    let select = format!("SELECT id, {ASKED}, {OCCURRENCE} FROM occurrence");
    let rows = Filter::of(work, "tenant")
        .and("kind = $$", subject.map(|s| s.kind.as_str()))
        .and("subject = $$", subject.map(|s| s.name.clone()))
        .and("state = $$", wanted.state.map(OccurrenceState::as_str))
        .and("id < $$", wanted.before.map(filter::number))
        .rows(work, &select, "id DESC", limit)
        .await?;
    rows.iter().map(read).collect()
}

/// What was asked for, of columns [`ASKED`] that begin at `first`.
pub(super) fn asked(row: &Row, first: usize) -> Result<NewOccurrence, Fault> {
    Ok(NewOccurrence {
        subject: words::subject(row, first)?,
        schedule: row.try_get(first + 2)?,
        instant: codec::stored_time(row, first + 3)?,
        due_at: codec::stored_time(row, first + 4)?,
        overlap: schedules::overlap(row, first + 5)?,
        weight: row.try_get(first + 6)?,
        retry: row.try_get(first + 7)?,
        options: codec::from_json(row, first + 8)?,
        connections: codec::from_json(row, first + 9)?,
        requested_by: row.try_get(first + 10)?,
        idempotency_key: row.try_get(first + 11)?,
        correlation: row.try_get(first + 12)?,
    })
}

fn read(row: &Row) -> Result<Occurrence, Fault> {
    let rest = 1 + ASKED_COLUMNS;
    Ok(Occurrence {
        id: codec::unsigned(row, 0)?,
        asked: asked(row, 1)?,
        created_at: codec::stored_time(row, rest)?,
        state: words::word(row, rest + 1, OccurrenceState::parse, "state of an occurrence")?,
        reason: row.try_get(rest + 2)?,
        epoch: codec::unsigned(row, rest + 3)?,
        attempts: words::small(row, rest + 4)?,
        node: row.try_get(rest + 5)?,
        claimed_at: codec::stored_time_or_null(row, rest + 6)?,
        lease_until: codec::stored_time_or_null(row, rest + 7)?,
        cancel_requested: row.try_get(rest + 8)?,
        run: codec::unsigned_or_null(row, rest + 9)?,
        status: words::word_or_null(row, rest + 10, Status::parse, "status")?,
        error: words::error(row, rest + 11)?,
        finished_at: codec::stored_time_or_null(row, rest + 13)?,
    })
}

/// When the next waiting occurrence is due or the next lease ends.
pub(super) async fn next_due(work: &Work<'_>) -> Result<Option<Timestamp>, Fault> {
    let sql = "SELECT least(
                 (SELECT min(due_at) FROM occurrence WHERE tenant = $1 AND state = 'waiting'),
                 (SELECT min(lease_until) FROM occurrence WHERE tenant = $1 AND state = 'claimed'))";
    codec::stored_time_or_null(&work.one(sql, &[&work.tenant]).await?, 0)
}
