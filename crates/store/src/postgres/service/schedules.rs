//! What the scheduler decided, and what is paused. Deciding and pausing wait for each other, so that nothing is added
//! behind a pause; and the nodes that decide at the same time do so one after the other.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use syncline_core::schedule::Overlap;

use super::{codec, connection::Work, fault::Fault, occurrences, words};
use crate::{
    rules::{self, Busy},
    service::{Decided, Decision, NewOccurrence, ScheduleState, Subject},
};

/// The lock of those who decide.
const DECIDING: &str = "decide";

pub(super) async fn states(work: &Work<'_>) -> Result<Vec<ScheduleState>, Fault> {
    let sql = "SELECT kind, subject, label, considered, paused_at FROM schedule WHERE tenant = $1
               ORDER BY kind, subject, label";
    let rows = work.rows(sql, &[&work.tenant]).await?;
    let state = |row: &tokio_postgres::Row| {
        Ok(ScheduleState {
            subject: words::subject(row, 0)?,
            schedule: row.try_get(2)?,
            considered: codec::stored_time(row, 3)?,
            paused_at: codec::stored_time_or_null(row, 4)?,
        })
    };
    rows.iter().map(state).collect()
}

pub(super) async fn decide(
    work: &Work<'_>,
    decisions: &[Decision],
    now: Timestamp,
) -> Result<Decided, Fault> {
    for decision in decisions {
        for occurrence in &decision.occurrences {
            rules::decided_about(decision, occurrence).map_err(|why| Fault::Broken(why.to_owned()))?;
        }
    }
    words::alone(work, DECIDING).await?;
    let mut decided = Decided::default();
    // A subject once in each part: what one of its schedules adds is seen by the next.
    for part in codec::without_repeats(decisions, |decision| &decision.subject) {
        let moved = advance(work, part).await?;
        let of_moved = || part.iter().filter(|decision| moved.contains(&decision.subject));
        let busy = busy(work, of_moved().map(|decision| &decision.subject), now).await?;
        let chosen: Vec<(&NewOccurrence, Option<&'static str>)> = of_moved()
            .flat_map(|decision| &decision.occurrences)
            .map(|new| (new, rules::skipped(new.overlap, busy.get(&new.subject).copied())))
            .collect();
        for (_, skipped) in occurrences::insert(work, &chosen, now).await? {
            *(if skipped { &mut decided.skipped } else { &mut decided.added }) += 1;
        }
    }
    Ok(decided)
}

/// Moves schedules forward; those that moved, by subject. Each subject is there once.
async fn advance(work: &Work<'_>, decisions: &[Decision]) -> Result<BTreeSet<Subject>, Fault> {
    let kinds: Vec<&str> = decisions.iter().map(|decision| decision.subject.kind.as_str()).collect();
    let subjects: Vec<&str> = decisions.iter().map(|decision| decision.subject.name.as_str()).collect();
    let labels: Vec<&str> = decisions.iter().map(|decision| decision.schedule.as_str()).collect();
    let considered: Vec<_> =
        decisions.iter().map(|decision| codec::time(decision.considered)).collect::<Result<_, _>>()?;
    let given = "unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[]) AS given (kind, subject, label, considered)";
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&work.tenant, &kinds, &subjects, &labels, &considered];
    let moved = work
        .rows(
            &format!(
                "UPDATE schedule SET considered = given.considered FROM {given}
                 WHERE schedule.tenant = $1 AND schedule.kind = given.kind AND schedule.subject = given.subject
                   AND schedule.label = given.label AND schedule.considered < given.considered
                   AND schedule.paused_at IS NULL
                 RETURNING schedule.kind, schedule.subject"
            ),
            &params,
        )
        .await?;
    work.execute(
        &format!(
            "INSERT INTO schedule (tenant, kind, subject, label, considered, paused_at)
             SELECT $1, given.kind, given.subject, given.label, given.considered, paused.since
             FROM {given} LEFT JOIN paused
               ON paused.tenant = $1 AND paused.kind = given.kind AND paused.subject = given.subject
             ON CONFLICT DO NOTHING"
        ),
        &params,
    )
    .await?;
    moved.iter().map(|row| words::subject(row, 0)).collect()
}

async fn busy(
    work: &Work<'_>,
    subjects: impl Iterator<Item = &Subject>,
    now: Timestamp,
) -> Result<BTreeMap<Subject, Busy>, Fault> {
    let (kinds, names): (Vec<&str>, Vec<&str>) =
        subjects.map(|subject| (subject.kind.as_str(), subject.name.as_str())).unzip();
    let rows = work
        .rows(
            "SELECT kind, subject, bool_or(state = 'waiting')
             FROM occurrence JOIN unnest($2::text[], $3::text[]) AS given (kind, subject) USING (kind, subject)
             WHERE tenant = $1 AND (state = 'claimed' OR state = 'waiting' AND due_at <= $4)
             GROUP BY kind, subject",
            &[&work.tenant, &kinds, &names, &codec::bound(now)],
        )
        .await?;
    let busy = |waits| if waits { Busy::Waiting } else { Busy::Claimed };
    rows.iter().map(|row| Ok((words::subject(row, 0)?, busy(row.try_get(2)?)))).collect()
}

pub(super) async fn pause(
    work: &Work<'_>,
    subject: &Subject,
    schedule: Option<&str>,
    now: Timestamp,
) -> Result<bool, Fault> {
    words::alone(work, DECIDING).await?;
    let (kind, name, now) = (subject.kind.as_str(), &subject.name, codec::time(now)?);
    let changed = match schedule {
        Some(label) => {
            work.execute(
                "INSERT INTO schedule (tenant, kind, subject, label, considered, paused_at)
                 VALUES ($1, $2, $3, $4, $5, $5)
                 ON CONFLICT (tenant, kind, subject, label) DO UPDATE SET paused_at = excluded.paused_at
                 WHERE schedule.paused_at IS NULL",
                &[&work.tenant, &kind, name, &label, &now],
            )
            .await?
        }
        None => {
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] = [&work.tenant, &kind, name, &now];
            let whole = work
                .execute(
                    "INSERT INTO paused (tenant, kind, subject, since) VALUES ($1, $2, $3, $4)
                     ON CONFLICT DO NOTHING",
                    &params,
                )
                .await?;
            let each = work
                .execute(
                    "UPDATE schedule SET paused_at = $4
                     WHERE tenant = $1 AND kind = $2 AND subject = $3 AND paused_at IS NULL",
                    &params,
                )
                .await?;
            whole + each
        }
    };
    let skipped = work
        .execute(
            "UPDATE occurrence SET state = 'skipped', reason = $5, finished_at = $6
             WHERE tenant = $1 AND kind = $2 AND subject = $3 AND state = 'waiting'
               AND schedule IS NOT NULL AND ($4::text IS NULL OR schedule = $4)",
            &[&work.tenant, &kind, name, &schedule, &rules::PAUSED, &now],
        )
        .await?;
    Ok(changed + skipped > 0)
}

pub(super) async fn resume(
    work: &Work<'_>,
    subject: &Subject,
    schedule: Option<&str>,
    now: Timestamp,
) -> Result<bool, Fault> {
    words::alone(work, DECIDING).await?;
    let (kind, name, now) = (subject.kind.as_str(), &subject.name, codec::time(now)?);
    let whole = match schedule {
        Some(_) => 0,
        None => {
            let sql = "DELETE FROM paused WHERE tenant = $1 AND kind = $2 AND subject = $3";
            work.execute(sql, &[&work.tenant, &kind, name]).await?
        }
    };
    let each = work
        .execute(
            "UPDATE schedule SET paused_at = NULL, considered = greatest(considered, $5)
             WHERE tenant = $1 AND kind = $2 AND subject = $3 AND ($4::text IS NULL OR label = $4)
               AND paused_at IS NOT NULL",
            &[&work.tenant, &kind, name, &schedule, &now],
        )
        .await?;
    Ok(whole + each > 0)
}

/// Reads an overlap.
pub(super) fn overlap(row: &tokio_postgres::Row, column: usize) -> Result<Overlap, Fault> {
    words::word(row, column, rules::parse_overlap, "overlap")
}
