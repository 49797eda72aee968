//! What happens next in a run of a chain: pure, from the definition and where its steps stand.

use std::collections::BTreeSet;

use syncline_core::chain::{Chain, ChainStatus, Step, StepStatus};
use syncline_store::service::StepRecord;

/// What happens next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Next {
    /// Steps that can begin now.
    pub start: Vec<String>,
    /// Steps that are not run, and the step whose failure is why.
    pub skip: Vec<(String, String)>,
    /// How it ended; only when nothing is under way and nothing can begin.
    pub ended: Option<ChainStatus>,
}

/// Decides what happens next. Steps without a record wait; records of steps that the definition does not have any more
/// count for nothing.
///
/// A step begins when each step that it needs succeeded, or is optional and ended. It is skipped when a required one failed
/// or was stopped, or when any was itself skipped; nothing else is touched by a failure.
pub fn advance(chain: &Chain, records: &[StepRecord]) -> Next {
    let mut next = Next::default();
    // a step that is skipped now skips its dependents now
    let mut skipped: BTreeSet<&str> = BTreeSet::new();
    let stands = |name: &str, skipped: &BTreeSet<&str>| {
        if skipped.contains(name) { StepStatus::Skipped } else { status(records, name) }
    };
    loop {
        let before = skipped.len();
        for step in &chain.steps {
            if stands(&step.name, &skipped) != StepStatus::Waiting {
                continue;
            }
            let blocks = |need: &&Step| match stands(&need.name, &skipped) {
                StepStatus::Skipped => true,
                StepStatus::Failed | StepStatus::Cancelled => need.required,
                StepStatus::Waiting | StepStatus::Running | StepStatus::Succeeded | StepStatus::Partial => {
                    false
                }
            };
            if let Some(why) = needs(chain, step).find(blocks) {
                next.skip.push((step.name.clone(), why.name.clone()));
                skipped.insert(&step.name);
            }
        }
        if skipped.len() == before {
            break;
        }
    }
    let over =
        |need: &Step| !matches!(stands(&need.name, &skipped), StepStatus::Waiting | StepStatus::Running);
    let waits = |step: &&Step| stands(&step.name, &skipped) == StepStatus::Waiting;
    let ready = chain.steps.iter().filter(waits).filter(|step| needs(chain, step).all(over));
    next.start = ready.map(|step| step.name.clone()).collect();
    let stands: Vec<(bool, StepStatus)> =
        chain.steps.iter().map(|step| (step.required, stands(&step.name, &skipped))).collect();
    if stands.iter().all(|(_, status)| !matches!(status, StepStatus::Waiting | StepStatus::Running)) {
        next.ended = Some(ended(&stands));
    }
    next
}

/// How a chain ended whose steps ended so.
fn ended(steps: &[(bool, StepStatus)]) -> ChainStatus {
    let any = |required: Option<bool>, status: StepStatus| {
        steps.iter().any(|(r, s)| *s == status && required.is_none_or(|required| *r == required))
    };
    if any(Some(true), StepStatus::Failed) {
        ChainStatus::Failed
    } else if any(None, StepStatus::Cancelled) {
        ChainStatus::Cancelled
    } else if any(None, StepStatus::Skipped) {
        ChainStatus::Failed
    } else if any(None, StepStatus::Failed) {
        ChainStatus::Partial
    } else {
        ChainStatus::Completed
    }
}

/// The steps that are begun again when an ended run is resumed, in the order of the definition: those that failed, were
/// stopped, were skipped or never began, and what depends on them. Everything else stays as it is.
pub fn resume_set(chain: &Chain, records: &[StepRecord]) -> Vec<String> {
    let mut again: BTreeSet<&str> = BTreeSet::new();
    loop {
        let before = again.len();
        for step in &chain.steps {
            let unfinished =
                !matches!(status(records, &step.name), StepStatus::Succeeded | StepStatus::Partial);
            if unfinished || step.needs.iter().any(|need| again.contains(need.as_str())) {
                again.insert(&step.name);
            }
        }
        if again.len() == before {
            break;
        }
    }
    chain
        .steps
        .iter()
        .filter(|step| again.contains(step.name.as_str()))
        .map(|step| step.name.clone())
        .collect()
}

fn needs<'c>(chain: &'c Chain, step: &'c Step) -> impl Iterator<Item = &'c Step> {
    step.needs.iter().filter_map(|need| chain.steps.iter().find(|other| other.name == *need))
}

fn status(records: &[StepRecord], name: &str) -> StepStatus {
    records.iter().find(|record| record.step == name).map_or(StepStatus::Waiting, |record| record.status)
}
