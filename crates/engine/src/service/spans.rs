//! Spans around what a node does: they give lines of the log, and traces, the numbers that link them.

use syncline_store::service::{Claim, SubjectKind};
use tracing::{Span, field::Empty, info_span};

/// Around an occurrence, from its claim to its recorded end.
pub(super) fn occurrence(claim: &Claim) -> Span {
    let asked = &claim.asked;
    let span = info_span!(
        "occurrence",
        occurrence = claim.id.occurrence,
        attempt = claim.attempts,
        sync = Empty,
        chain = Empty,
        backfill = Empty,
        schedule = asked.schedule.as_deref(),
        correlation = asked.correlation,
        run = Empty,
        status = Empty,
    );
    let field = match asked.subject.kind {
        SubjectKind::Sync => "sync",
        SubjectKind::Chain => "chain",
        SubjectKind::Backfill => "backfill",
    };
    span.record(field, asked.subject.name.as_str());
    span
}

/// Around a step of a run of a chain, within its occurrence.
pub(super) fn step(claim: &Claim, chain_run: u64, step: &str) -> Span {
    let (chain, correlation) = (claim.asked.subject.name.as_str(), claim.asked.correlation.as_str());
    info_span!(
        "step",
        occurrence = claim.id.occurrence,
        chain,
        chain_run,
        step,
        correlation,
        run = Empty,
        status = Empty
    )
}

/// The run that the present span is about.
pub(super) fn run(number: u64) {
    Span::current().record("run", number);
}

/// How what the span is about ended.
pub(super) fn status(span: &Span, word: &str) {
    span.record("status", word);
}
