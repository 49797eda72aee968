//! Runs of chains and their steps.

use std::collections::BTreeMap;

use jiff::Timestamp;
use syncline_core::chain::{ChainStatus, StepStatus};
use tokio_postgres::Row;

use super::{
    claims, codec,
    connection::Work,
    fault::Fault,
    filter::{self, Filter},
    words,
};
use crate::service::{
    ChainEnd, ChainFilter, ChainRun, ChainRunId, ClaimId, NewChainRun, StepRecord, Subject, SubjectKind,
};

pub(super) async fn start(
    work: &Work<'_>,
    claim: &ClaimId,
    chain: &NewChainRun,
) -> Result<ChainRunId, Fault> {
    let subject = claims::check(work, claim).await?;
    expect_chain(&subject, &chain.chain)?;
    let row = work
        .one(
            "INSERT INTO chain_run (tenant, chain, status, schedule, correlation, started_at)
             VALUES ($1, $2, 'running', $3, $4, $5) RETURNING id",
            &[&work.tenant, &chain.chain, &chain.schedule, &chain.correlation, &codec::time(chain.at)?],
        )
        .await?;
    let run = codec::unsigned(&row, 0)?;
    let (steps, required): (Vec<&str>, Vec<bool>) =
        chain.steps.iter().map(|(step, required)| (step.as_str(), *required)).unzip();
    work.execute(
        "INSERT INTO chain_step (tenant, chain_run, position, step, required, status, attempts)
         SELECT $1, $2, place - 1, step, required, 'waiting', 0
         FROM unnest($3::text[], $4::boolean[]) WITH ORDINALITY AS given (step, required, place)",
        &[&work.tenant, &filter::number(run), &steps, &required],
    )
    .await?;
    claims::link(work, claim, run).await?;
    Ok(run)
}

fn expect_chain(subject: &Subject, chain: &str) -> Result<(), Fault> {
    if subject.kind == SubjectKind::Chain && subject.name == chain {
        return Ok(());
    }
    Err(Fault::Broken(format!("a claim of {subject} is none of chain {chain:?}")))
}

/// What a claimed write looks at first: the claim, and that the run is one of its chain. Returns the run's status.
async fn check(work: &Work<'_>, claim: &ClaimId, run: ChainRunId) -> Result<ChainStatus, Fault> {
    let subject = claims::check(work, claim).await?;
    let sql = "SELECT chain, status FROM chain_run WHERE tenant = $1 AND id = $2 FOR NO KEY UPDATE";
    let Some(row) = work.row(sql, &[&work.tenant, &filter::number(run)]).await? else {
        return Err(Fault::Broken(format!("there is no run {run} of a chain")));
    };
    expect_chain(&subject, row.try_get(0)?)?;
    words::word(&row, 1, ChainStatus::parse, "status of a chain")
}

async fn expect_running(work: &Work<'_>, claim: &ClaimId, run: ChainRunId) -> Result<(), Fault> {
    match check(work, claim, run).await? {
        ChainStatus::Running => Ok(()),
        _ => Err(Fault::Broken(format!("run {run} of the chain is over"))),
    }
}

pub(super) async fn record_step(
    work: &Work<'_>,
    claim: &ClaimId,
    run: ChainRunId,
    step: &StepRecord,
) -> Result<(), Fault> {
    expect_running(work, claim, run).await?;
    let (code, message) = words::error_parts(step.error.as_ref());
    work.execute(
        "INSERT INTO chain_step (tenant, chain_run, position, step, required, status, run, attempts, started_at,
           finished_at, error_code, error_message, detail)
         VALUES ($1, $2,
           (SELECT coalesce(max(position), -1) + 1 FROM chain_step WHERE tenant = $1 AND chain_run = $2),
           $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (tenant, chain_run, step) DO UPDATE SET required = excluded.required, status = excluded.status,
           run = excluded.run, attempts = excluded.attempts, started_at = excluded.started_at,
           finished_at = excluded.finished_at, error_code = excluded.error_code,
           error_message = excluded.error_message, detail = excluded.detail",
        &[
            &work.tenant,
            &filter::number(run),
            &step.step,
            &step.required,
            &step.status.as_str(),
            &words::number_or_null(step.run)?,
            &i64::from(step.attempts),
            &words::time_or_null(step.started_at)?,
            &words::time_or_null(step.finished_at)?,
            &code,
            &message,
            &step.detail.as_deref().map(codec::text),
        ],
    )
    .await?;
    Ok(())
}

pub(super) async fn reopen(
    work: &Work<'_>,
    claim: &ClaimId,
    run: ChainRunId,
    steps: &[String],
    now: Timestamp,
) -> Result<(), Fault> {
    let id = filter::number(run);
    if check(work, claim, run).await? != ChainStatus::Running {
        work.execute(
            "UPDATE chain_run SET status = 'running', resumed_at = $3, finished_at = NULL, error_code = NULL,
               error_message = NULL
             WHERE tenant = $1 AND id = $2",
            &[&work.tenant, &id, &codec::time(now)?],
        )
        .await?;
    }
    for step in steps {
        let waits = work
            .execute(
                "UPDATE chain_step SET status = 'waiting', run = NULL, started_at = NULL, finished_at = NULL,
                   error_code = NULL, error_message = NULL, detail = NULL
                 WHERE tenant = $1 AND chain_run = $2 AND step = $3",
                &[&work.tenant, &id, step],
            )
            .await?;
        if waits == 0 {
            return Err(Fault::Broken(format!("run {run} of the chain has no step {step:?}")));
        }
    }
    claims::link(work, claim, run).await
}

pub(super) async fn finish(
    work: &Work<'_>,
    claim: &ClaimId,
    run: ChainRunId,
    end: &ChainEnd,
) -> Result<(), Fault> {
    expect_running(work, claim, run).await?;
    close(work, run, end).await
}

/// Closes a run that nobody carries out any more, if it is open.
pub(super) async fn close_cancelled(work: &Work<'_>, run: ChainRunId, now: Timestamp) -> Result<(), Fault> {
    close(work, run, &ChainEnd { status: ChainStatus::Cancelled, error: None, at: now }).await
}

async fn close(work: &Work<'_>, run: ChainRunId, end: &ChainEnd) -> Result<(), Fault> {
    let (id, at) = (filter::number(run), codec::time(end.at)?);
    let (code, message) = words::error_parts(end.error.as_ref());
    let closed = work
        .execute(
            "UPDATE chain_run SET status = $3, error_code = $4, error_message = $5, finished_at = $6,
               worked_ms = worked_ms
                 + greatest(0, floor(extract(epoch FROM $6::timestamptz - coalesce(resumed_at, started_at)) * 1000))::bigint
             WHERE tenant = $1 AND id = $2 AND status = 'running'",
            &[&work.tenant, &id, &end.status.as_str(), &code, &message, &at],
        )
        .await?;
    if closed > 0 {
        work.execute(
            "UPDATE chain_step SET status = 'cancelled', finished_at = $3
             WHERE tenant = $1 AND chain_run = $2 AND status IN ('waiting', 'running')",
            &[&work.tenant, &id, &at],
        )
        .await?;
    }
    Ok(())
}

/// Columns of a [`ChainRun`], for [`read`].
const RUN: &str =
    "SELECT id, chain, status, schedule, correlation, started_at, resumed_at, finished_at, worked_ms,
    error_code, error_message FROM chain_run";

pub(super) async fn get(work: &Work<'_>, run: ChainRunId) -> Result<Option<ChainRun>, Fault> {
    let sql = format!("{RUN} WHERE tenant = $1 AND id = $2");
    let rows = work.rows(&sql, &[&work.tenant, &filter::number(run)]).await?;
    Ok(read(work, &rows).await?.pop())
}

pub(super) async fn list(
    work: &Work<'_>,
    wanted: &ChainFilter,
    limit: usize,
) -> Result<Vec<ChainRun>, Fault> {
    let rows = Filter::of(work, "tenant")
        .and("chain = $$", wanted.chain.clone())
        .and("status = $$", wanted.status.map(ChainStatus::as_str))
        .and("id < $$", wanted.before.map(filter::number))
        .rows(work, RUN, "id DESC", limit)
        .await?;
    read(work, &rows).await
}

async fn read(work: &Work<'_>, rows: &[Row]) -> Result<Vec<ChainRun>, Fault> {
    let ids = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    let mut steps = steps(work, &ids).await?;
    let run = |(row, id): (&Row, i64)| {
        Ok(ChainRun {
            id: codec::unsigned(row, 0)?,
            chain: row.try_get(1)?,
            status: words::word(row, 2, ChainStatus::parse, "status of a chain")?,
            schedule: row.try_get(3)?,
            correlation: row.try_get(4)?,
            started_at: codec::stored_time(row, 5)?,
            resumed_at: codec::stored_time_or_null(row, 6)?,
            finished_at: codec::stored_time_or_null(row, 7)?,
            worked_ms: codec::unsigned(row, 8)?,
            error: words::error(row, 9)?,
            steps: steps.remove(&id).unwrap_or_default(),
        })
    };
    rows.iter().zip(ids).map(run).collect()
}

/// Steps of these runs, in the order of the definition.
async fn steps(work: &Work<'_>, runs: &[i64]) -> Result<BTreeMap<i64, Vec<StepRecord>>, Fault> {
    let rows = work
        .rows(
            "SELECT chain_run, step, required, status, run, attempts, started_at, finished_at, error_code, error_message,
               detail
             FROM chain_step WHERE tenant = $1 AND chain_run = ANY($2) ORDER BY chain_run, position",
            &[&work.tenant, &runs],
        )
        .await?;
    let mut steps: BTreeMap<i64, Vec<StepRecord>> = BTreeMap::new();
    for row in &rows {
        steps.entry(row.try_get(0)?).or_default().push(StepRecord {
            step: row.try_get(1)?,
            required: row.try_get(2)?,
            status: words::word(row, 3, StepStatus::parse, "status of a step")?,
            run: codec::unsigned_or_null(row, 4)?,
            attempts: words::small(row, 5)?,
            started_at: codec::stored_time_or_null(row, 6)?,
            finished_at: codec::stored_time_or_null(row, 7)?,
            error: words::error(row, 8)?,
            detail: row.try_get(10)?,
        });
    }
    Ok(steps)
}
