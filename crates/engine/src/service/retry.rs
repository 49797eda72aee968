//! How a claim ends: what is recorded, and whether it is tried again.

use std::time::Duration;

use jiff::Timestamp;
use syncline_core::{
    calendar::{self, Timing},
    run::Status,
    schedule::{Overlap, Schedule},
};
use syncline_store::service::{Claim, NewOccurrence, OccurrenceEnd};

use super::{Done, agenda::schedules, control::Control};

/// The end of a claim. What failed by schedule is tried again after its interval, at most half an hour later, unless the
/// schedule itself comes first.
pub(super) fn end(control: &Control, claim: &Claim, done: Done) -> OccurrenceEnd {
    let now = control.clock.now();
    let project = control.served().project.clone();
    let schedules = schedules(&project, &claim.asked.subject);
    let again = (done.status == Status::Failed).then(|| next_try(&claim.asked, schedules, now)).flatten();
    let follow = again.map(|due_at| NewOccurrence {
        instant: now,
        due_at,
        overlap: Overlap::Skip,
        retry: true,
        requested_by: "retry".to_owned(),
        idempotency_key: None,
        ..claim.asked.clone()
    });
    OccurrenceEnd {
        satisfied: matches!(done.status, Status::Succeeded | Status::Partial),
        status: done.status,
        error: done.error,
        follow: follow.into_iter().collect(),
        at: now,
    }
}

/// When what failed is tried again; `None`: it was not asked for by a schedule that is in force, or one comes by itself
/// before that.
fn next_try(failed: &NewOccurrence, schedules: &[Schedule], now: Timestamp) -> Option<Timestamp> {
    let label = failed.schedule.as_deref()?;
    let in_force = |schedule: &&Schedule| schedule.enabled;
    let schedule = schedules.iter().filter(in_force).find(|schedule| schedule.label() == label)?;
    let timing = Timing::of(schedule).ok()?;
    let interval: Duration = timing.interval(now);
    let again = calendar::after_failure(Some(interval), now);
    let by_itself = timing.after(now).is_some_and(|next| next <= again);
    (!by_itself).then_some(again)
}
