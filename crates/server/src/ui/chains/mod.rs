//! Chains: did the last run of each come to its end, and where does it stand?
//!
//! [`list`] is the page of all of them, [`one`] that of one chain with its picture and its runs, [`act`] what can be asked
//! of it.

mod act;
mod graph;
mod list;
mod one;

use axum::{Router, routing::get};
use jiff::Timestamp;
use syncline_core::chain::{ChainStatus, StepStatus};
use syncline_store::service::{ChainRun, StepRecord};

use super::{
    Ui, needs,
    show::{Mark, seconds},
};
use crate::auth::Scope;

pub(crate) fn routes() -> Router<Ui> {
    Router::new()
        .route("/chains", get(list::show))
        .route("/chains/{chain}", get(one::show))
        .route("/ui/chains/{chain}", get(one::part_of))
        .route("/chains/{chain}/run", needs(Scope::Run, get(act::ask_run).post(act::run)))
        .route("/chain-runs/{id}/resume", needs(Scope::Run, get(act::ask_resume).post(act::resume)))
        .route("/chain-runs/{id}/cancel", needs(Scope::Run, get(act::ask_cancel).post(act::cancel)))
}

/// Of a run of a chain.
fn mark_of_run(status: ChainStatus) -> Mark {
    match status {
        ChainStatus::Running => Mark::live("running"),
        ChainStatus::Completed => Mark::ok("completed"),
        ChainStatus::Partial => Mark::warn("partial"),
        ChainStatus::Failed => Mark::bad("failed"),
        ChainStatus::Cancelled => Mark::off("cancelled"),
    }
}

/// Of a step.
fn mark_of_step(status: StepStatus) -> Mark {
    match status {
        StepStatus::Waiting => Mark::off("waiting"),
        StepStatus::Running => Mark::live("running"),
        StepStatus::Succeeded => Mark::ok("succeeded"),
        StepStatus::Partial => Mark::warn("partial"),
        StepStatus::Failed => Mark::bad("failed"),
        StepStatus::Skipped => Mark::off("skipped"),
        StepStatus::Cancelled => Mark::off("cancelled"),
    }
}

/// Seconds that a run worked, the time before it was resumed left out.
fn worked(run: &ChainRun, now: Timestamp) -> f64 {
    let since = run.resumed_at.unwrap_or(run.started_at);
    let stretch = if run.finished_at.is_none() { seconds(since, now).max(0.0) } else { 0.0 };
    run.worked_ms as f64 / 1000.0 + stretch
}

/// Seconds that a step took, or has taken so far.
fn took(step: &StepRecord, now: Timestamp) -> Option<f64> {
    let until = if step.status == StepStatus::Running { now } else { step.finished_at? };
    Some(seconds(step.started_at?, until).max(0.0))
}
