//! Chains at work: real steps on real databases, and every way in which R3's daily chain can fail.

use std::sync::Arc;

use syncline_core::{
    chain::{Chain, ChainStatus, HttpCall, Requirement, Step, StepKind, StepStatus},
    project::Project,
    run::Status,
};
use syncline_engine::service::{Control, Local, StartOptions};
use syncline_store::service::{ChainFilter, ChainRun, Enqueued, OccurrenceState, Subject};

use super::{
    house::{House, Running, Slow, events, until},
    kit::{self, HOUR, MINUTE, project, sync},
};

/// Courses and users, as an LMS shows them.
const LMS: &str = "CREATE TABLE courses (id INTEGER PRIMARY KEY, title TEXT, changed TIMESTAMP);
    CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, changed TIMESTAMP);
    INSERT INTO courses VALUES (1, 'Rust', '2026-03-01 10:00:00'), (2, 'SQL', '2026-03-01 10:00:00');
    INSERT INTO users VALUES (1, 'Ann', '2026-03-01 10:00:00');";

fn of(sync: &str) -> StepKind {
    StepKind::Sync { sync: sync.into(), mode: None }
}

fn sql(statement: &str) -> StepKind {
    StepKind::Sql { connection: "b".into(), statements: vec![statement.into()] }
}

fn http(method: &str) -> StepKind {
    let (method, url) = (method.into(), "http://localhost/".into());
    StepKind::Http(HttpCall { method, url, headers: Vec::new(), body: None, expect: Vec::new() })
}

fn rows(query: &str, min: i64) -> Requirement {
    Requirement::Rows { connection: "b".into(), query: query.into(), min: Some(min), max: None }
}

/// Courses and users, then how many there are.
fn daily() -> Vec<Step> {
    let count = "CREATE TABLE IF NOT EXISTS counts AS SELECT count(*) AS courses FROM courses";
    vec![
        kit::step("courses", &[], of("courses")),
        kit::step("users", &[], of("users")),
        kit::step("counts", &["courses"], sql(count)),
    ]
}

fn defined(steps: Vec<Step>) -> Arc<Project> {
    let chain: Chain = kit::chain("daily", steps);
    project(vec![sync("courses", Vec::new()), sync("users", Vec::new())], vec![chain])
}

async fn start(control: &Control) {
    let asked = control.start(&Subject::chain("daily"), &StartOptions::default(), None, "ann").await;
    assert!(matches!(asked.unwrap(), Enqueued::New(_)));
}

/// Waits until the newest run of the chain has ended.
async fn ended(control: &Control) -> ChainRun {
    let newest = async || {
        let runs = control.store().chain_runs(&ChainFilter::default(), 1).await.unwrap();
        runs.into_iter().next().filter(|run| run.status != ChainStatus::Running)
    };
    until("the chain ends", || async { newest().await.is_some() }).await;
    newest().await.unwrap()
}

fn stands(run: &ChainRun) -> Vec<(&str, StepStatus)> {
    run.steps.iter().map(|step| (step.step.as_str(), step.status)).collect()
}

fn code<'r>(run: &'r ChainRun, step: &str) -> &'r str {
    let step = run.steps.iter().find(|record| record.step == step).unwrap();
    step.error.as_ref().map_or("", |(code, _)| code)
}

/// Runs a chain once on a fresh house.
async fn once(steps: Vec<Step>) -> (House, Running, ChainRun) {
    let house = House::new(&defined(steps), LMS);
    let node = house.node("one").await;
    start(&node.control).await;
    let run = ended(&node.control).await;
    (house, node, run)
}

#[tokio::test(start_paused = true)]
async fn a_chain_runs_its_steps_and_keeps_one_record() {
    let (house, node, run) = once(daily()).await;
    let succeeded = [
        ("courses", StepStatus::Succeeded),
        ("users", StepStatus::Succeeded),
        ("counts", StepStatus::Succeeded),
    ];
    assert_eq!((run.status, stands(&run)), (ChainStatus::Completed, succeeded.to_vec()));
    assert_eq!(house.number("b", "SELECT courses FROM counts"), 2);
    assert!(run.steps[0].run.is_some() && run.steps[2].run.is_none(), "a sync names its run");
    assert!(run.steps.iter().all(|step| step.attempts == 1 && step.finished_at.is_some()));
    assert!(run.finished_at.is_some() && run.error.is_none());
    let chain_events: Vec<String> =
        events(&node.control).await.into_iter().map(|e| e.kind).filter(|k| k.starts_with("chain.")).collect();
    let expected = ["chain.started", "chain.step", "chain.step", "chain.step", "chain.finished"];
    assert_eq!(chain_events, expected);
    assert_eq!(house.number("store", "SELECT count(*) FROM chain_run"), 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_step_stops_its_dependents_and_resuming_runs_exactly_those() {
    let mut steps = daily();
    steps[2].kind = sql("INSERT INTO totals SELECT count(*) FROM courses");
    steps.push(kit::step("push", &["counts"], sql("UPDATE totals SET courses = courses")));
    let (house, node, run) = once(steps).await;
    let expected = [
        ("courses", StepStatus::Succeeded),
        ("users", StepStatus::Succeeded),
        ("counts", StepStatus::Failed),
        ("push", StepStatus::Skipped),
    ];
    assert_eq!((run.status, stands(&run)), (ChainStatus::Failed, expected.to_vec()));
    assert!(run.error.as_ref().unwrap().1.starts_with("step \"counts\": "), "{:?}", run.error);
    assert_eq!(code(&run, "push"), "needs");

    house.file("b").execute_batch("CREATE TABLE totals (courses INTEGER)").unwrap();
    assert_eq!(node.control.resume_set(run.id).await.unwrap(), ["counts", "push"]);
    node.control.resume_chain(run.id, None, "ann").await.unwrap();
    until("it is taken up", || async {
        let again = node.control.store().chain_run(run.id).await.unwrap().unwrap();
        again.resumed_at.is_some() && again.status != ChainStatus::Running
    })
    .await;
    let again = ended(&node.control).await;
    assert_eq!((again.id, again.status), (run.id, ChainStatus::Completed));
    let attempts: Vec<u32> = again.steps.iter().map(|step| step.attempts).collect();
    assert_eq!(attempts, [1, 1, 2, 1], "what succeeded was not run again");
    assert_eq!(node.control.store().runs(None, None, 10).await.unwrap().len(), 2, "nor the syncs");
    let nothing = node.control.resume_chain(run.id, None, "ann").await.unwrap_err().to_string();
    assert_eq!(
        nothing,
        format!("no step of run {} failed or was stopped: there is nothing to resume", run.id)
    );
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_must_hold_before_a_step_is_looked_at_before_it() {
    let mut steps = daily();
    steps[2].requires = vec![rows("SELECT count(*) FROM courses", 3)];
    let (house, node, run) = once(steps).await;
    assert_eq!((run.status, code(&run, "counts")), (ChainStatus::Failed, "rows"));
    let made = house.number("b", "SELECT count(*) FROM sqlite_master WHERE name = 'counts'");
    assert_eq!(made, 0, "the step was not run");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn data_that_is_too_old_stops_a_step() {
    let mut steps = daily();
    let query = "SELECT max(changed) FROM courses".to_owned();
    let within = HOUR;
    steps[2].requires = vec![Requirement::Fresh { connection: "b".into(), query, within }];
    let (_house, node, run) = once(steps).await;
    assert_eq!((run.status, code(&run, "counts")), (ChainStatus::Failed, "stale"));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_did_not_run_in_time_stops_a_step() {
    let synced = |sync: &str| Requirement::Synced { sync: sync.into(), within: 5 * MINUTE };
    let steps = vec![
        kit::step("courses", &[], of("courses")),
        kit::step("fresh", &["courses"], StepKind::Check(synced("courses"))),
        kit::step("stale", &["courses"], StepKind::Check(synced("users"))),
    ];
    let (_house, node, run) = once(steps).await;
    assert_eq!(stands(&run)[1], ("fresh", StepStatus::Succeeded));
    assert_eq!((stands(&run)[2], code(&run, "stale")), (("stale", StepStatus::Failed), "stale"));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_optional_step_that_fails_leaves_the_chain_partial() {
    let mut steps = daily();
    steps.push(Step { required: false, ..kit::step("tell", &["counts"], http("POST")) });
    steps.push(kit::step("after", &["tell"], sql("CREATE TABLE told (id INTEGER)")));
    let (house, node, run) = once(steps).await;
    assert_eq!((run.status, code(&run, "tell")), (ChainStatus::Partial, "unreachable"));
    assert_eq!(house.number("b", "SELECT count(*) FROM told"), 0, "what comes after it ran");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_sync_whose_table_is_gone_fails_its_step_only() {
    let mut steps = daily();
    steps[1] = kit::step("users", &[], of("leads"));
    let (_house, node, run) = once(steps).await;
    let expected = [
        ("courses", StepStatus::Succeeded),
        ("users", StepStatus::Failed),
        ("counts", StepStatus::Succeeded),
    ];
    assert_eq!((run.status, stands(&run)), (ChainStatus::Failed, expected.to_vec()));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_step_that_takes_too_long_fails() {
    let step = Step { timeout: MINUTE, ..kit::step("tell", &[], http("GET")) };
    let house = House::new(&defined(vec![step]), LMS);
    let slow: Arc<Slow> = Arc::default();
    let outside = Arc::clone(&slow);
    let node = house.node_with("one", |control| Arc::new(Local::new(control, outside))).await;
    start(&node.control).await;
    let run = ended(&node.control).await;
    assert_eq!((run.status, code(&run, "tell")), (ChainStatus::Failed, "timeout"));
    assert!((60_000..70_000).contains(&run.worked_ms), "{}", run.worked_ms);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_chain_whose_node_dies_goes_on_elsewhere_where_it_was() {
    let mut steps = daily();
    steps.push(kit::step("tell", &["counts"], http("POST")));
    steps.push(kit::step("after", &["tell"], sql("CREATE TABLE told (id INTEGER)")));
    let house = House::new(&defined(steps), LMS);
    let slow: Arc<Slow> = Arc::default();
    let outside = Arc::clone(&slow);
    let first = house.node_with("one", |control| Arc::new(Local::new(control, outside))).await;
    start(&first.control).await;
    until("it calls", || async { slow.calls.lock().unwrap().len() == 1 }).await;
    let control = first.control.clone();
    first.kill().await;
    let outside = Arc::clone(&slow);
    let second = house.node_with("two", |control| Arc::new(Local::new(control, outside))).await;
    until("it calls again", || async { slow.calls.lock().unwrap().len() == 2 }).await;
    slow.answer.notify_waiters();
    slow.answer.notify_one();
    let run = ended(&control).await;
    assert_eq!(run.status, ChainStatus::Completed);
    let attempts: Vec<u32> = run.steps.iter().map(|step| step.attempts).collect();
    assert_eq!(attempts, [1, 1, 1, 2, 1], "only the step that was under way was begun again");
    assert_eq!(house.number("store", "SELECT count(*) FROM chain_run"), 1);
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_in_order_leaves_its_chain_to_another() {
    let steps = vec![kit::step("tell", &[], http("POST")), kit::step("after", &["tell"], http("PUT"))];
    let house = House::new(&defined(steps), LMS);
    let slow: Arc<Slow> = Arc::default();
    let outside = Arc::clone(&slow);
    let first = house.node_with("one", |control| Arc::new(Local::new(control, outside))).await;
    start(&first.control).await;
    until("it calls", || async { slow.calls.lock().unwrap().len() == 1 }).await;
    let control = first.control.clone();
    first.stop().await;
    let runs = control.store().chain_runs(&ChainFilter::default(), 1).await.unwrap();
    assert_eq!(runs[0].status, ChainStatus::Running, "nobody cancelled it");
    let outside = Arc::clone(&slow);
    let second = house.node_with("two", |control| Arc::new(Local::new(control, outside))).await;
    until("it goes on", || async {
        slow.answer.notify_one();
        slow.calls.lock().unwrap().len() >= 3
    })
    .await;
    slow.answer.notify_one();
    assert_eq!(ended(&control).await.status, ChainStatus::Completed);
    assert_eq!(*slow.calls.lock().unwrap(), ["POST", "POST", "PUT"]);
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_chain_can_be_cancelled_and_resumed() {
    let steps = vec![kit::step("courses", &[], of("courses")), kit::step("tell", &["courses"], http("POST"))];
    let house = House::new(&defined(steps), LMS);
    let slow: Arc<Slow> = Arc::default();
    let outside = Arc::clone(&slow);
    let node = house.node_with("one", |control| Arc::new(Local::new(control, outside))).await;
    start(&node.control).await;
    until("it calls", || async { slow.calls.lock().unwrap().len() == 1 }).await;
    let occurrence = house.occurrences(&node.control, &Subject::chain("daily")).await[0].id;
    node.control.cancel(occurrence).await.unwrap();
    let run = ended(&node.control).await;
    assert_eq!(run.status, ChainStatus::Cancelled);
    assert_eq!(stands(&run)[1], ("tell", StepStatus::Cancelled));
    until("its occurrence is over", || async {
        house.occurrences(&node.control, &Subject::chain("daily")).await[0].state == OccurrenceState::Done
    })
    .await;
    let over = house.occurrences(&node.control, &Subject::chain("daily")).await;
    assert_eq!(over[0].status, Some(Status::Cancelled));
    assert_eq!(node.control.resume_set(run.id).await.unwrap(), ["tell"]);
    node.control.resume_chain(run.id, None, "ann").await.unwrap();
    until("it calls again", || async { slow.calls.lock().unwrap().len() == 2 }).await;
    slow.answer.notify_one();
    let run = ended(&node.control).await;
    assert_eq!((run.status, run.steps[1].attempts), (ChainStatus::Completed, 2));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn tiers_run_side_by_side() {
    let steps = vec![kit::step("tell", &[], http("GET")), kit::step("ask", &[], http("HEAD"))];
    let house = House::new(&defined(steps), LMS);
    let slow: Arc<Slow> = Arc::default();
    let outside = Arc::clone(&slow);
    let node = house.node_with("one", |control| Arc::new(Local::new(control, outside))).await;
    start(&node.control).await;
    until("both call", || async { slow.calls.lock().unwrap().len() == 2 }).await;
    until("it ends", || async {
        slow.answer.notify_waiters();
        let runs = node.control.store().chain_runs(&ChainFilter::default(), 1).await.unwrap();
        runs[0].status == ChainStatus::Completed
    })
    .await;
    node.stop().await;
}
