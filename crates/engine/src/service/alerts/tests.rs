//! What holds, what changes, and what is told of it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use syncline_core::{
    alert::{AlertKind, AlertRule},
    chain::{ChainStatus, StepStatus},
    counts::Counts,
    run::Status,
    schedule::Schedule,
};
use syncline_store::{
    About, Run,
    service::{AlertState, ChainRun, StepRecord, Subject, Summary},
};

use super::{
    Notice, NoticeState, Pending,
    change::changes,
    judge::{Known, Past},
};
use crate::service::health::{Health, Level};

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_764_230_400 + minute * 60).expect("a time")
}

fn rule(on: &[AlertKind]) -> AlertRule {
    AlertRule {
        name: "ops".into(),
        on: on.to_vec(),
        about: Vec::new(),
        to: vec!["chat".into()],
        throttle: Duration::from_secs(3600),
        parked_max: 100,
        anomaly_percent: 50.0,
    }
}

fn run(id: u64, status: Status, counts: Counts) -> Run {
    let error =
        (status == Status::Failed).then(|| ("unreachable".into(), "no answer from db.example".into()));
    Run {
        id,
        sync: "orders".into(),
        mode: "full".into(),
        reason: None,
        about: About::default(),
        status,
        started_at: at(0),
        finished_at: status.is_final().then(|| at(1)),
        counts,
        by_stream: BTreeMap::new(),
        error,
        notes: Vec::new(),
    }
}

fn summary(last: Run) -> Summary {
    let good = matches!(last.status, Status::Succeeded | Status::Partial);
    Summary {
        sync: "orders".into(),
        failures: u64::from(last.status == Status::Failed),
        last_success_started_at: good.then(|| at(0)),
        last_success_at: good.then(|| at(1)),
        last: Some(last),
        by_schedule: BTreeMap::new(),
        cursor: None,
        parked: 0,
        conflicted: 0,
        held: 0,
    }
}

fn health(late: bool) -> Health {
    Health {
        level: Level::Degraded,
        reason: "late: schedule \"every 60s\" succeeded last 9 min ago".into(),
        late,
    }
}

/// A world of one subject and one rule, and the states that its changes leave.
struct World {
    rule: AlertRule,
    states: Vec<AlertState>,
    told: Vec<Notice>,
}

impl World {
    fn new(on: &[AlertKind]) -> Self {
        Self { rule: rule(on), states: Vec::new(), told: Vec::new() }
    }

    /// Looks, stores, and tells what waits; returns the titles of what was told.
    fn look(&mut self, past: Past<'_>, late: bool, minute: i64) -> Vec<String> {
        let before = self.told.len();
        self.store(past, late, minute);
        for state in &mut self.states {
            if let Some(message) = state.message.take() {
                let pending: Pending = serde_json::from_value(message).expect("a message");
                assert_eq!(pending.to, ["chat"]);
                self.told.push(pending.notice);
                state.told_at = Some(at(minute));
            }
        }
        self.told[before..].iter().map(|n| n.title.clone()).collect()
    }

    fn store(&mut self, past: Past<'_>, late: bool, minute: i64) {
        let subject = match past {
            Past::Sync { .. } => Subject::sync("orders"),
            Past::Chain(_) => Subject::chain("daily"),
        };
        let schedule = Schedule { every: Some(Duration::from_secs(600)), ..Schedule::EMPTY };
        let known = [Known { subject, schedules: &[schedule], health: health(late), past }];
        let rules = [self.rule.clone()];
        for change in changes(&rules, &known, &self.states, at(0), at(minute)) {
            match change.previous {
                None => self.states.push(change.next),
                Some(previous) => {
                    let stored = self.states.iter_mut().find(|s| **s == previous).expect("what was stored");
                    *stored = change.next;
                }
            }
        }
        let again = changes(&rules, &known, &self.states, at(0), at(minute));
        assert_eq!(again, [], "a second look changes nothing");
    }
}

fn sync(summary: &Summary) -> Past<'_> {
    Past::Sync { summary: Some(summary), full: &[] }
}

#[test]
fn a_failure_is_told_once_and_so_is_the_recovery() {
    let mut world = World::new(&[AlertKind::Failed]);
    let counts = Counts::default();
    let (good, bad) = (summary(run(1, Status::Succeeded, counts)), summary(run(2, Status::Failed, counts)));
    let running = summary(run(3, Status::Running, counts));
    assert_eq!(world.look(sync(&good), false, 1), [] as [&str; 0]);
    assert_eq!(world.look(sync(&bad), false, 2), ["sync \"orders\" failed"]);
    assert_eq!(world.look(sync(&bad), false, 3), [] as [&str; 0], "not at every look");
    assert_eq!(world.look(sync(&running), false, 4), [] as [&str; 0], "a run under way says nothing");
    assert_eq!(world.look(sync(&good), false, 5), ["sync \"orders\" recovered: no longer failing"]);
    assert_eq!(world.look(sync(&good), false, 6), [] as [&str; 0]);
    let [failed, recovered] = &world.told[..] else { panic!("two messages: {:?}", world.told) };
    assert_eq!(
        failed.text,
        "Run 2 failed: no answer from db.example (unreachable).\nSince 2025-11-27 08:01:00 UTC.\n\
         See what happened with `syncline show 2`."
    );
    assert_eq!((failed.run, failed.state), (Some(2), NoticeState::Active));
    assert_eq!(
        recovered.text,
        "It was so from 2025-11-27 08:02:00 UTC to 2025-11-27 08:05:00 UTC. Run 1 shows it.\nNothing is to be done."
    );
}

#[test]
fn what_flaps_is_throttled_and_its_recovery_is_not() {
    let mut world = World::new(&[AlertKind::Failed]);
    let counts = Counts::default();
    let (good, bad) = (summary(run(1, Status::Succeeded, counts)), summary(run(2, Status::Failed, counts)));
    assert_eq!(world.look(sync(&bad), false, 0).len(), 1);
    assert_eq!(world.look(sync(&good), false, 1).len(), 1, "a recovery is always told");
    assert_eq!(world.look(sync(&bad), false, 2).len(), 0, "within the hour");
    assert_eq!(world.look(sync(&good), false, 3).len(), 0, "of what nobody was told of");
    assert_eq!(world.look(sync(&bad), false, 4).len(), 0);
    assert_eq!(world.look(sync(&bad), false, 60).len(), 0);
    assert_eq!(
        world.look(sync(&bad), false, 61),
        ["sync \"orders\" failed"],
        "it holds, and the hour is over"
    );
    assert_eq!(world.look(sync(&bad), false, 600).len(), 0);
}

#[test]
fn a_recovery_replaces_a_message_that_was_not_delivered() {
    let mut world = World::new(&[AlertKind::Failed]);
    let counts = Counts::default();
    let (good, bad) = (summary(run(1, Status::Succeeded, counts)), summary(run(2, Status::Failed, counts)));
    world.store(sync(&bad), false, 1);
    assert_eq!(world.look(sync(&good), false, 2), ["sync \"orders\" recovered: no longer failing"]);
}

#[test]
fn late_is_told_even_when_nothing_ran() {
    let mut world = World::new(&[AlertKind::Late]);
    let never = || Past::Sync { summary: None, full: &[] };
    assert_eq!(world.look(never(), true, 9).len(), 0, "its first interval of ten minutes is not over");
    assert_eq!(world.look(never(), true, 10), ["sync \"orders\" is late"]);
    let good = summary(run(1, Status::Succeeded, Counts::default()));
    assert_eq!(world.look(sync(&good), false, 11), ["sync \"orders\" recovered: no longer late"]);
}

#[test]
fn records_left_over_parked_and_held() {
    let mut world = World::new(&[AlertKind::Partial, AlertKind::Parked, AlertKind::Held]);
    let counts = Counts { read: 200, created: 90, parked: 101, held: 9, ..Counts::default() };
    let mut left = summary(run(1, Status::Partial, counts));
    (left.parked, left.held) = (100, 0);
    assert_eq!(world.look(sync(&left), false, 1), ["sync \"orders\" left records over"], "100 are allowed");
    (left.parked, left.held) = (101, 9);
    assert_eq!(
        world.look(sync(&left), false, 2),
        ["sync \"orders\" has many parked records", "sync \"orders\" has held deletes"]
    );
    assert_eq!(world.told[0].text.lines().next(), Some("Run 1 left records over: 101 parked, 9 held."));
    assert_eq!(world.told[1].text.lines().next(), Some("101 records are parked; 100 are allowed."));
    let good = summary(run(2, Status::Succeeded, Counts::default()));
    assert_eq!(world.look(sync(&good), false, 3).len(), 3);
    assert!(world.states.iter().all(|s| !s.active));
}

#[test]
fn a_full_run_is_compared_with_the_median_of_those_before() {
    let of = |reads: &[u64]| {
        let mut world = World::new(&[AlertKind::Anomaly]);
        let full: Vec<_> = reads.iter().enumerate().map(|(i, read)| (100 - i as u64, *read)).collect();
        let last = summary(run(100, Status::Succeeded, Counts::default()));
        world.look(Past::Sync { summary: Some(&last), full: &full }, false, 1);
        world.told.first().map(|n| n.text.lines().next().unwrap_or_default().to_owned())
    };
    assert_eq!(of(&[50, 100, 90, 110]), None, "half is allowed");
    assert_eq!(
        of(&[49, 100, 90, 110]).as_deref(),
        Some("Run 100 read 49 records, fewer than the usual 100 (median of 3 full runs).")
    );
    assert!(of(&[200, 100, 100, 100, 100]).is_some_and(|text| text.contains("more than the usual 100")));
    assert_eq!(of(&[0, 100, 100]), None, "two say nothing");
    assert_eq!(of(&[0, 1, 0, 0, 0]), None, "as usual");
    assert!(of(&[5, 0, 0, 0]).is_some());
    let before: Vec<u64> = [1].into_iter().chain([10; 10]).chain([1_000_000; 20]).collect();
    assert!(of(&before).is_some_and(|text| text.contains("usual 10 (median of 10 full runs)")));
}

#[test]
fn a_required_step_is_told_at_once() {
    let step = |name: &str, status, required| StepRecord {
        step: name.into(),
        required,
        status,
        run: None,
        attempts: 1,
        started_at: Some(at(0)),
        finished_at: Some(at(1)),
        error: (status == StepStatus::Failed).then(|| ("query".into(), "no such table".into())),
        detail: None,
    };
    let chain = |status, steps| {
        [ChainRun {
            id: 7,
            chain: "daily".into(),
            status,
            schedule: None,
            correlation: "c".into(),
            started_at: at(0),
            resumed_at: None,
            finished_at: None,
            worked_ms: 0,
            error: None,
            steps,
        }]
    };
    let mut world = World::new(&[AlertKind::Failed, AlertKind::Partial]);
    let optional = chain(ChainStatus::Running, vec![step("mail", StepStatus::Failed, false)]);
    assert_eq!(world.look(Past::Chain(&optional), false, 1).len(), 0);
    let running = chain(
        ChainStatus::Running,
        vec![step("users", StepStatus::Failed, true), step("other", StepStatus::Running, true)],
    );
    assert_eq!(world.look(Past::Chain(&running), false, 2), ["chain \"daily\" failed"]);
    assert_eq!(
        world.told[0].text,
        "Run 7 failed at step \"users\": no such table (query).\nSince 2025-11-27 08:02:00 UTC.\n\
         When it is mended, `syncline chains resume 7` goes on from there."
    );
    let resumed = chain(ChainStatus::Running, vec![step("users", StepStatus::Running, true)]);
    assert_eq!(world.look(Past::Chain(&resumed), false, 3).len(), 0, "it is being tried again");
    let partial = chain(ChainStatus::Partial, vec![step("mail", StepStatus::Failed, false)]);
    assert_eq!(
        world.look(Past::Chain(&partial), false, 4),
        ["chain \"daily\" recovered: no longer failing", "chain \"daily\" ended in part"]
    );
}

#[test]
fn rules_that_are_gone_end_without_a_word() {
    let mut world = World::new(&[AlertKind::Failed]);
    let bad = summary(run(2, Status::Failed, Counts::default()));
    world.look(sync(&bad), false, 1);
    world.rule.about = vec!["customers".into()];
    assert_eq!(world.look(sync(&bad), false, 2).len(), 0);
    assert!(!world.states[0].active);
}
