//! The scheduler: keeps an [`Agenda`], and records what it decides. Every node may run one; the store sees to it that each
//! instant is decided about once.

use std::{sync::Arc, time::Duration};

use syncline_core::project::Project;
use syncline_store::service::{Decision, NewEvent};
use tokio::sync::watch;

use super::{agenda::Agenda, control::Control, node::Settings, persist::persist};

/// Decisions of one transaction.
const BATCH: usize = 500;
/// The longest sleep: a clock that was set is noticed by then.
const LOOK: Duration = Duration::from_secs(1);

/// Decides until it is dropped. Definitions that change are taken over at once; what was decided before stays decided.
pub(super) async fn run(control: &Control, settings: watch::Receiver<Settings>) {
    let mut served = control.served.clone();
    loop {
        let project = Arc::clone(&served.borrow_and_update().project);
        tokio::select! {
            () = follow(control, project, &settings) => {}
            changed = served.changed() => {
                // nobody serves definitions any more: those there are stay in force
                if changed.is_err() {
                    let project = Arc::clone(&served.borrow().project);
                    follow(control, project, &settings).await;
                }
            }
        }
    }
}

/// Follows the schedules of one project for ever.
async fn follow(control: &Control, project: Arc<Project>, settings: &watch::Receiver<Settings>) {
    let (mut agenda, first) = begin(control, &project).await;
    for decisions in first.chunks(BATCH) {
        decide(control, decisions).await;
    }
    loop {
        let now = control.clock.now();
        let mut decisions = agenda.due(now, BATCH, &mut || control.correlation());
        if decisions.is_empty() {
            let next =
                agenda.next().map(|next| Duration::try_from(next.duration_since(now)).unwrap_or_default());
            let wait = next.unwrap_or(LOOK).clamp(Duration::from_millis(1), LOOK);
            tokio::time::sleep(wait).await;
            continue;
        }
        if settings.borrow().paused {
            decisions.iter_mut().for_each(|decision| decision.occurrences.clear());
        }
        decide(control, &decisions).await;
    }
}

async fn begin(control: &Control, project: &Arc<Project>) -> (Agenda, Vec<Decision>) {
    let states = persist!("reading the schedules", control.store.schedule_states());
    let summaries = persist!("reading what succeeded", control.store.summaries());
    let succeeded: std::collections::BTreeSet<&str> = summaries
        .iter()
        .filter(|summary| summary.last_success_at.is_some())
        .map(|summary| summary.sync.as_str())
        .collect();
    let succeeded = |sync: &str| succeeded.contains(sync);
    let mut correlation = || control.correlation();
    Agenda::new(project, &states, succeeded, &mut correlation, control.clock.now())
}

async fn decide(control: &Control, decisions: &[Decision]) {
    let now = control.clock.now();
    let decided = persist!("recording decisions", control.store.decide(decisions, now));
    if decided.added > 0 {
        control.wake();
    }
    if decided.skipped > 0 {
        let event = NewEvent {
            at: now,
            kind: "occurrence.skipped".to_owned(),
            subject: None,
            run: None,
            correlation: None,
            message: format!("{} occurrences were left out: what they are about was busy", decided.skipped),
            data: serde_json::json!({ "skipped": decided.skipped }),
        };
        control.tell(event).await;
    }
}
