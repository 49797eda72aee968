//! Runs of chains and their steps.

use jiff::Timestamp;
use rusqlite::{Connection, Row, Transaction, params, params_from_iter};
use syncline_core::chain::{ChainStatus, StepStatus};

use super::{
    claims, codec,
    fault::Fault,
    filter::{self, Filter},
    words,
};
use crate::service::{
    ChainEnd, ChainFilter, ChainRun, ChainRunId, ClaimId, NewChainRun, StepRecord, Subject, SubjectKind,
};

pub(super) fn start(
    transaction: &Transaction<'_>,
    claim: &ClaimId,
    chain: &NewChainRun,
) -> Result<ChainRunId, Fault> {
    let subject = claims::check(transaction, claim)?;
    expect_chain(&subject, &chain.chain)?;
    let id: i64 = transaction
        .prepare_cached(
            "INSERT INTO chain_run (chain, status, schedule, correlation, started_at)
             VALUES (?1, 'running', ?2, ?3, ?4) RETURNING id",
        )?
        .query_row(
            params![chain.chain, chain.schedule, chain.correlation, codec::time_text(chain.at)?],
            |row| row.get(0),
        )?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO chain_step (chain_run, position, step, required, status, attempts)
         VALUES (?1, ?2, ?3, ?4, 'waiting', 0)",
    )?;
    for (position, (step, required)) in chain.steps.iter().enumerate() {
        insert.execute(params![id, codec::limit(position), step, required])?;
    }
    let run = u64::try_from(id).map_err(|_| Fault::Broken("a number below zero".to_owned()))?;
    claims::link(transaction, claim, run)?;
    Ok(run)
}

fn expect_chain(subject: &Subject, chain: &str) -> Result<(), Fault> {
    if subject.kind == SubjectKind::Chain && subject.name == chain {
        return Ok(());
    }
    Err(Fault::Broken(format!("a claim of {subject} is none of chain {chain:?}")))
}

/// What a claimed write looks at first: the claim, and that the run is one of its chain. Returns the run's status.
fn check(connection: &Connection, claim: &ClaimId, run: ChainRunId) -> Result<ChainStatus, Fault> {
    let subject = claims::check(connection, claim)?;
    let mut statement = connection.prepare_cached("SELECT chain, status FROM chain_run WHERE id = ?1")?;
    let mut rows = statement.query([filter::number(run)])?;
    let Some(row) = rows.next()? else {
        return Err(Fault::Broken(format!("there is no run {run} of a chain")));
    };
    expect_chain(&subject, &row.get::<_, String>(0)?)?;
    words::word(row, 1, ChainStatus::parse, "status of a chain")
}

fn expect_running(connection: &Connection, claim: &ClaimId, run: ChainRunId) -> Result<(), Fault> {
    match check(connection, claim, run)? {
        ChainStatus::Running => Ok(()),
        _ => Err(Fault::Broken(format!("run {run} of the chain is over"))),
    }
}

pub(super) fn record_step(
    transaction: &Transaction<'_>,
    claim: &ClaimId,
    run: ChainRunId,
    step: &StepRecord,
) -> Result<(), Fault> {
    expect_running(transaction, claim, run)?;
    let (code, message) = words::error_parts(step.error.as_ref());
    transaction
        .prepare_cached(
            "INSERT INTO chain_step (chain_run, position, step, required, status, run, attempts, started_at,
               finished_at, error_code, error_message, detail)
             VALUES (?1, (SELECT coalesce(max(position), -1) + 1 FROM chain_step WHERE chain_run = ?1),
               ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT (chain_run, step) DO UPDATE SET required = excluded.required, status = excluded.status,
               run = excluded.run, attempts = excluded.attempts, started_at = excluded.started_at,
               finished_at = excluded.finished_at, error_code = excluded.error_code,
               error_message = excluded.error_message, detail = excluded.detail",
        )?
        .execute(params![
            filter::number(run),
            step.step,
            step.required,
            step.status.as_str(),
            words::number_or_null(step.run)?,
            step.attempts,
            words::time_or_null(step.started_at)?,
            words::time_or_null(step.finished_at)?,
            code,
            message,
            step.detail,
        ])?;
    Ok(())
}

pub(super) fn reopen(
    transaction: &Transaction<'_>,
    claim: &ClaimId,
    run: ChainRunId,
    steps: &[String],
    now: Timestamp,
) -> Result<(), Fault> {
    if check(transaction, claim, run)? != ChainStatus::Running {
        transaction
            .prepare_cached(
                "UPDATE chain_run SET status = 'running', resumed_at = ?2, finished_at = NULL,
                   error_code = NULL, error_message = NULL
                 WHERE id = ?1",
            )?
            .execute(params![filter::number(run), codec::time_text(now)?])?;
    }
    let mut wait = transaction.prepare_cached(
        "UPDATE chain_step SET status = 'waiting', run = NULL, started_at = NULL,
           finished_at = NULL, error_code = NULL, error_message = NULL, detail = NULL
         WHERE chain_run = ?1 AND step = ?2",
    )?;
    for step in steps {
        if wait.execute(params![filter::number(run), step])? == 0 {
            return Err(Fault::Broken(format!("run {run} of the chain has no step {step:?}")));
        }
    }
    claims::link(transaction, claim, run)
}

pub(super) fn finish(
    transaction: &Transaction<'_>,
    claim: &ClaimId,
    run: ChainRunId,
    end: &ChainEnd,
) -> Result<(), Fault> {
    expect_running(transaction, claim, run)?;
    close(transaction, run, end)
}

/// Closes a run that nobody carries out any more, if it is open.
pub(super) fn close_cancelled(
    transaction: &Transaction<'_>,
    run: ChainRunId,
    now: Timestamp,
) -> Result<(), Fault> {
    close(transaction, run, &ChainEnd { status: ChainStatus::Cancelled, error: None, at: now })
}

fn close(transaction: &Transaction<'_>, run: ChainRunId, end: &ChainEnd) -> Result<(), Fault> {
    let (id, at) = (filter::number(run), codec::time_text(end.at)?);
    let mut statement = transaction.prepare_cached(
        "SELECT coalesce(resumed_at, started_at) FROM chain_run WHERE id = ?1 AND status = 'running'",
    )?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else { return Ok(()) };
    let began = codec::time(row, 0)?;
    let worked = i64::try_from(end.at.duration_since(began).as_millis()).unwrap_or(0).max(0);
    let (code, message) = words::error_parts(end.error.as_ref());
    transaction
        .prepare_cached(
            "UPDATE chain_run SET status = ?2, error_code = ?3, error_message = ?4, finished_at = ?5,
               worked_ms = worked_ms + ?6
             WHERE id = ?1",
        )?
        .execute(params![id, end.status.as_str(), code, message, at, worked])?;
    transaction
        .prepare_cached(
            "UPDATE chain_step SET status = 'cancelled', finished_at = ?2
             WHERE chain_run = ?1 AND status IN ('waiting', 'running')",
        )?
        .execute(params![id, at])?;
    Ok(())
}

/// Columns of a [`ChainRun`], for [`read`].
const RUN: &str = "id, chain, status, schedule, correlation, started_at, resumed_at, finished_at, worked_ms,
    error_code, error_message FROM chain_run";

pub(super) fn get(connection: &Connection, run: ChainRunId) -> Result<Option<ChainRun>, Fault> {
    let mut statement = connection.prepare_cached(&format!("SELECT {RUN} WHERE id = ?1"))?;
    let mut rows = statement.query([filter::number(run)])?;
    rows.next()?.map(|row| read(connection, row)).transpose()
}

pub(super) fn list(
    connection: &Connection,
    wanted: &ChainFilter,
    limit: usize,
) -> Result<Vec<ChainRun>, Fault> {
    let filter = Filter::default()
        .and("chain = ?", wanted.chain.clone())
        .and("status = ?", wanted.status.map(|status| status.as_str().to_owned()))
        .and("id < ?", wanted.before.map(filter::number));
    let sql = format!("SELECT {RUN} {filter} ORDER BY id DESC LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(filter.values(limit)))?;
    let mut runs = Vec::new();
    while let Some(row) = rows.next()? {
        runs.push(read(connection, row)?);
    }
    Ok(runs)
}

fn read(connection: &Connection, row: &Row<'_>) -> Result<ChainRun, Fault> {
    let id = codec::unsigned(row, 0)?;
    Ok(ChainRun {
        id,
        chain: row.get(1)?,
        status: words::word(row, 2, ChainStatus::parse, "status of a chain")?,
        schedule: row.get(3)?,
        correlation: row.get(4)?,
        started_at: codec::time(row, 5)?,
        resumed_at: codec::time_or_null(row, 6)?,
        finished_at: codec::time_or_null(row, 7)?,
        worked_ms: codec::unsigned(row, 8)?,
        error: words::error(row, 9)?,
        steps: steps(connection, id)?,
    })
}

fn steps(connection: &Connection, run: ChainRunId) -> Result<Vec<StepRecord>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT step, required, status, run, attempts, started_at, finished_at, error_code, error_message, detail
         FROM chain_step WHERE chain_run = ?1 ORDER BY position",
    )?;
    let mut rows = statement.query([filter::number(run)])?;
    let mut steps = Vec::new();
    while let Some(row) = rows.next()? {
        steps.push(StepRecord {
            step: row.get(0)?,
            required: row.get(1)?,
            status: words::word(row, 2, StepStatus::parse, "status of a step")?,
            run: codec::unsigned_or_null(row, 3)?,
            attempts: row.get(4)?,
            started_at: codec::time_or_null(row, 5)?,
            finished_at: codec::time_or_null(row, 6)?,
            error: words::error(row, 7)?,
            detail: row.get(9)?,
        });
    }
    Ok(steps)
}
