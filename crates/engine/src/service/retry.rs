//! How a claim ends: what is recorded, and whether it is tried again.

use std::time::Duration;

use jiff::Timestamp;
use syncline_core::{
    calendar::{self, Timing},
    precedence,
    project::Project,
    run::Status,
    schedule::{Overlap, Schedule},
};
use syncline_store::service::{Claim, NewOccurrence, OccurrenceEnd, SubjectKind};

use super::{Done, StartOptions, agenda::schedules, control::Control};

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
    let succeeded = matches!(done.status, Status::Succeeded | Status::Partial);
    OccurrenceEnd {
        satisfied: succeeded && covers_all(&claim.asked, &project),
        status: done.status,
        error: done.error,
        follow: follow.into_iter().collect(),
        at: now,
    }
}

/// Whether what ran did as much as any schedule of its subject does. A lighter run leaves the retry of a heavier one waiting.
fn covers_all(ran: &NewOccurrence, project: &Project) -> bool {
    let Some(sync) = project.sync(&ran.subject.name).filter(|_| ran.subject.kind == SubjectKind::Sync) else {
        return true;
    };
    let Ok(options) = StartOptions::read(&ran.options) else { return false };
    let Ok(made) = options.run_options() else { return false };
    let as_schedule = Schedule { mode: made.mode, prepurge: made.prepurge, ..Schedule::EMPTY };
    let in_force = sync.schedules.iter().filter(|schedule| schedule.enabled);
    let heaviest = in_force.map(|schedule| precedence::weight(schedule, sync)).max();
    !made.only_parked && Some(precedence::weight(&as_schedule, sync)) >= heaviest
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
