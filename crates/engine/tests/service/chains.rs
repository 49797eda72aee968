//! What happens next in a chain, for every way in which R3's daily chain can fail.

use syncline_core::chain::{Chain, ChainStatus, StepKind, StepStatus};
use syncline_engine::service::chain::{advance, resume_set};
use syncline_store::service::StepRecord;

use super::kit;

/// Courses, partners and contacts at once; values after courses; users, groups, members in a row; enrolments after courses and
/// members; counts after enrolments and partners; the push of the counts; a report that may fail, and what is sent after it.
fn daily() -> Chain {
    let sync = |name: &str| StepKind::Sync { sync: name.into(), mode: None };
    let step = |name: &str, needs: &[&str]| kit::step(name, needs, sync(name));
    let mut chain = kit::chain(
        "daily",
        vec![
            step("courses", &[]),
            step("partners", &[]),
            step("contacts", &[]),
            step("values", &["courses"]),
            step("users", &["courses"]),
            step("groups", &["users"]),
            step("members", &["groups"]),
            step("enrolments", &["members", "values"]),
            step("counts", &["enrolments", "partners"]),
            step("push", &["counts"]),
            step("report", &["counts"]),
            step("archive", &["report"]),
        ],
    );
    chain.steps[10].required = false;
    chain
}

fn record(step: &str, status: StepStatus) -> StepRecord {
    StepRecord {
        step: step.into(),
        required: step != "report",
        status,
        run: None,
        attempts: 1,
        started_at: None,
        finished_at: None,
        error: None,
        detail: None,
    }
}

fn records(statuses: &[(&str, StepStatus)]) -> Vec<StepRecord> {
    statuses.iter().map(|(step, status)| record(step, *status)).collect()
}

/// Everything before `but` succeeded, in the order of the definition; then these.
fn up_to(chain: &Chain, last: &str, and: &[(&str, StepStatus)]) -> Vec<StepRecord> {
    let before = chain.steps.iter().take_while(|step| step.name != last);
    let mut all: Vec<StepRecord> = before.map(|step| record(&step.name, StepStatus::Succeeded)).collect();
    all.extend(records(and));
    all
}

/// Runs a chain to its end; these steps fail when they are run. Returns what was begun, in order, and the records.
fn play(
    chain: &Chain,
    mut records: Vec<StepRecord>,
    fail: &[&str],
) -> (Vec<String>, Vec<StepRecord>, ChainStatus) {
    let mut begun = Vec::new();
    for _ in 0..100 {
        let next = advance(chain, &records);
        let mut set = |step: &str, status| {
            records.retain(|record| record.step != step);
            records.push(record(step, status));
        };
        for (step, _) in &next.skip {
            set(step, StepStatus::Skipped);
        }
        for step in &next.start {
            begun.push(step.clone());
            set(step, if fail.contains(&step.as_str()) { StepStatus::Failed } else { StepStatus::Succeeded });
        }
        if let Some(status) = next.ended {
            return (begun, records, status);
        }
    }
    panic!("the chain does not end: {records:?}")
}

fn skipped(records: &[StepRecord]) -> Vec<&str> {
    let mut names: Vec<&str> =
        records.iter().filter(|r| r.status == StepStatus::Skipped).map(|r| r.step.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn tiers_begin_together() {
    let chain = daily();
    assert_eq!(advance(&chain, &[]).start, ["courses", "partners", "contacts"]);
    let next =
        advance(&chain, &records(&[("courses", StepStatus::Succeeded), ("partners", StepStatus::Running)]));
    assert_eq!(next.start, ["contacts", "values", "users"]);
    assert_eq!(next.ended, None);
}

#[test]
fn a_chain_whose_steps_all_succeed_is_completed() {
    let (begun, _, status) = play(&daily(), Vec::new(), &[]);
    assert_eq!(begun.len(), 12);
    assert_eq!(status, ChainStatus::Completed);
}

#[test]
fn parked_records_do_not_stop_a_chain() {
    let mut all = up_to(&daily(), "counts", &[]);
    all[0].status = StepStatus::Partial;
    assert_eq!(advance(&daily(), &all).start, ["counts"]);
}

#[test]
fn a_failed_required_step_stops_its_dependents_and_nothing_else() {
    let (begun, records, status) = play(&daily(), Vec::new(), &["groups"]);
    assert_eq!(begun, ["courses", "partners", "contacts", "values", "users", "groups"]);
    assert_eq!(skipped(&records), ["archive", "counts", "enrolments", "members", "push", "report"]);
    assert_eq!(status, ChainStatus::Failed);
}

#[test]
fn dependents_of_dependents_are_skipped_for_the_step_that_stopped_them() {
    let next = advance(&daily(), &up_to(&daily(), "enrolments", &[("enrolments", StepStatus::Failed)]));
    let because: Vec<(&str, &str)> = next.skip.iter().map(|(s, b)| (s.as_str(), b.as_str())).collect();
    let expected =
        [("counts", "enrolments"), ("push", "counts"), ("report", "counts"), ("archive", "report")];
    assert_eq!(because, expected);
    assert_eq!(next.ended, Some(ChainStatus::Failed));
}

#[test]
fn steps_beside_a_failure_still_run_to_their_end() {
    let all = records(&[
        ("courses", StepStatus::Failed),
        ("partners", StepStatus::Running),
        ("contacts", StepStatus::Waiting),
    ]);
    let next = advance(&daily(), &all);
    assert_eq!(next.start, ["contacts"]);
    assert_eq!(next.ended, None, "partners is under way");
}

#[test]
fn an_optional_step_that_fails_makes_the_chain_partial_and_stops_nobody() {
    let (begun, records, status) = play(&daily(), Vec::new(), &["report"]);
    assert_eq!(begun.last().map(String::as_str), Some("archive"), "what needs it runs after its end");
    assert_eq!(skipped(&records), Vec::<&str>::new());
    assert_eq!(status, ChainStatus::Partial);
}

#[test]
fn a_required_failure_counts_more_than_an_optional_one() {
    let (_, _, status) = play(&daily(), Vec::new(), &["report", "push"]);
    assert_eq!(status, ChainStatus::Failed);
}

#[test]
fn a_step_that_was_stopped_cancels_the_chain_and_stops_its_dependents() {
    let all = up_to(&daily(), "counts", &[("counts", StepStatus::Cancelled)]);
    let next = advance(&daily(), &all);
    assert_eq!(next.start, Vec::<String>::new());
    assert_eq!(next.ended, Some(ChainStatus::Cancelled));
}

#[test]
fn resuming_runs_exactly_the_failed_step_and_what_depends_on_it() {
    let (_, records, _) = play(&daily(), Vec::new(), &["groups"]);
    let again = resume_set(&daily(), &records);
    let expected = ["groups", "members", "enrolments", "counts", "push", "report", "archive"];
    assert_eq!(again, expected);
    let mut reopened = records;
    reopened.retain(|record| !again.contains(&record.step));
    let (begun, _, status) = play(&daily(), reopened, &[]);
    assert_eq!(begun, expected);
    assert_eq!(status, ChainStatus::Completed);
}

#[test]
fn resuming_after_an_optional_failure_runs_it_and_what_came_after_it() {
    let (_, records, _) = play(&daily(), Vec::new(), &["report"]);
    assert_eq!(resume_set(&daily(), &records), ["report", "archive"]);
}

#[test]
fn resuming_after_two_failures_runs_both() {
    let (_, records, _) = play(&daily(), Vec::new(), &["contacts", "push"]);
    assert_eq!(resume_set(&daily(), &records), ["contacts", "push"]);
}

#[test]
fn a_completed_chain_has_nothing_to_resume() {
    let (_, records, _) = play(&daily(), Vec::new(), &[]);
    assert_eq!(resume_set(&daily(), &records), Vec::<String>::new());
}

#[test]
fn resuming_a_stopped_chain_runs_what_had_not_ended() {
    let all = up_to(&daily(), "push", &[("push", StepStatus::Cancelled), ("report", StepStatus::Succeeded)]);
    assert_eq!(resume_set(&daily(), &all), ["push", "archive"]);
}

#[test]
fn a_step_that_is_new_in_the_definition_runs_when_the_chain_is_resumed() {
    let (_, mut records, _) = play(&daily(), Vec::new(), &["contacts"]);
    records.retain(|record| record.step != "archive");
    assert_eq!(resume_set(&daily(), &records), ["contacts", "archive"]);
}

#[test]
fn records_of_steps_that_are_gone_count_for_nothing() {
    let (_, mut records, _) = play(&daily(), Vec::new(), &[]);
    records.push(record("leads", StepStatus::Failed));
    assert_eq!(advance(&daily(), &records).ended, Some(ChainStatus::Completed));
}
