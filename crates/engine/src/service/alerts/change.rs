//! What changes, and what is told of it: pure.
//!
//! A state is told when it begins and when it ends. A beginning waits until the rule's throttle is over, and is left out when it
//! has ended by then; the end of something that was told, or is being told, always follows.

use std::time::Duration;

use jiff::Timestamp;
use syncline_core::alert::{AlertKind, AlertRule};
use syncline_store::service::{AlertState, Subject, SubjectKind};

use super::{
    Notice, NoticeState, Pending,
    judge::{Condition, Holds, Known, holds},
};

/// A change of an alert's state.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What is stored.
    pub previous: Option<AlertState>,
    /// What is to be stored, if that is still so.
    pub next: AlertState,
}

/// What has to be stored, given what is stored. `served`: since when these definitions are served.
pub fn changes(
    rules: &[AlertRule],
    known: &[Known<'_>],
    states: &[AlertState],
    served: Timestamp,
    now: Timestamp,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut asked = Vec::new();
    for rule in rules {
        for known in known.iter().filter(|known| concerns(rule, &known.subject)) {
            for kind in &rule.on {
                let state = find(states, rule, &known.subject, *kind);
                asked.extend(state);
                let held = holds(rule, *kind, known, served, now);
                if let Some(next) = next(rule, *kind, &known.subject, state, held, now) {
                    changes.push(Change { previous: state.cloned(), next });
                }
            }
        }
    }
    // what nobody asks for any more ends without a word
    for state in states.iter().filter(|s| s.active && !asked.iter().any(|a: &&AlertState| same(a, s))) {
        let next = AlertState {
            active: false,
            since: now,
            message: None,
            attempts: 0,
            try_at: None,
            ..state.clone()
        };
        changes.push(Change { previous: Some(state.clone()), next });
    }
    changes
}

fn concerns(rule: &AlertRule, subject: &Subject) -> bool {
    rule.about.is_empty() || rule.about.contains(&subject.name)
}

fn find<'s>(
    states: &'s [AlertState],
    rule: &AlertRule,
    subject: &Subject,
    kind: AlertKind,
) -> Option<&'s AlertState> {
    states.iter().find(|s| s.rule == rule.name && s.subject == *subject && s.kind == kind)
}

fn same(a: &AlertState, b: &AlertState) -> bool {
    (&a.rule, &a.subject, a.kind) == (&b.rule, &b.subject, b.kind)
}

/// The next state of one alert; `None`: it stays.
fn next(
    rule: &AlertRule,
    kind: AlertKind,
    subject: &Subject,
    state: Option<&AlertState>,
    held: Holds,
    now: Timestamp,
) -> Option<AlertState> {
    let active = state.filter(|s| s.active);
    match (held, active) {
        (Holds::Unknown, _) | (Holds::No { .. }, None) => None,
        (Holds::Yes(condition), None) => {
            let told_at = state.and_then(|s| s.told_at);
            let notice = allowed(rule, told_at, now).then(|| begun(rule, kind, subject, &condition, now));
            Some(stored(rule, subject, kind, true, now, told_at, notice))
        }
        (Holds::Yes(condition), Some(state)) => {
            let silent = state.message.is_none() && !told(state) && state.attempts == 0;
            (silent && allowed(rule, state.told_at, now)).then(|| {
                let notice = Some(begun(rule, kind, subject, &condition, state.since));
                stored(rule, subject, kind, true, state.since, state.told_at, notice)
            })
        }
        (Holds::No { run }, Some(state)) => {
            let follows = told(state) || state.message.is_some();
            let notice = follows.then(|| ended(rule, kind, subject, state.since, run, now));
            Some(stored(rule, subject, kind, false, now, state.told_at, notice))
        }
    }
}

/// Whether somebody was told of what holds now.
fn told(state: &AlertState) -> bool {
    state.told_at.is_some_and(|at| at >= state.since)
}

fn allowed(rule: &AlertRule, told_at: Option<Timestamp>, now: Timestamp) -> bool {
    told_at.is_none_or(|at| Duration::try_from(now.duration_since(at)).is_ok_and(|age| age >= rule.throttle))
}

fn stored(
    rule: &AlertRule,
    subject: &Subject,
    kind: AlertKind,
    active: bool,
    since: Timestamp,
    told_at: Option<Timestamp>,
    notice: Option<Notice>,
) -> AlertState {
    let pending = notice.map(|notice| Pending { notice, to: rule.to.clone() });
    AlertState {
        rule: rule.name.clone(),
        subject: subject.clone(),
        kind,
        active,
        since,
        told_at,
        // plain data with texts as keys: there is nothing that JSON could not hold
        message: pending.and_then(|p| serde_json::to_value(p).ok()),
        attempts: 0,
        try_at: None,
    }
}

fn begun(
    rule: &AlertRule,
    kind: AlertKind,
    subject: &Subject,
    condition: &Condition,
    since: Timestamp,
) -> Notice {
    let since = condition.since.unwrap_or(since);
    Notice {
        rule: rule.name.clone(),
        subject: subject.clone(),
        kind,
        state: NoticeState::Active,
        since,
        run: condition.run,
        title: format!("{subject} {}", words(kind, subject.kind)),
        text: format!("{}\nSince {}.\n{}", condition.what, shown(since), condition.advice),
    }
}

fn ended(
    rule: &AlertRule,
    kind: AlertKind,
    subject: &Subject,
    since: Timestamp,
    run: Option<syncline_store::RunId>,
    now: Timestamp,
) -> Notice {
    let by = run.map_or_else(String::new, |run| format!(" Run {run} shows it."));
    Notice {
        rule: rule.name.clone(),
        subject: subject.clone(),
        kind,
        state: NoticeState::Recovered,
        since: now,
        run,
        title: format!("{subject} recovered: no longer {}", over(kind)),
        text: format!("It was so from {} to {}.{by}\nNothing is to be done.", shown(since), shown(now)),
    }
}

fn words(kind: AlertKind, of: SubjectKind) -> &'static str {
    match (kind, of) {
        (AlertKind::Failed, _) => "failed",
        (AlertKind::Late, _) => "is late",
        (AlertKind::Partial, SubjectKind::Chain) => "ended in part",
        (AlertKind::Partial, _) => "left records over",
        (AlertKind::Parked, _) => "has many parked records",
        (AlertKind::Held, _) => "has held deletes",
        (AlertKind::Anomaly, _) => "read an unusual number of records",
    }
}

fn over(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::Failed => "failing",
        AlertKind::Late => "late",
        AlertKind::Partial => "partial",
        AlertKind::Parked => "over the limit of parked records",
        AlertKind::Held => "holding deletes",
        AlertKind::Anomaly => "reading an unusual number of records",
    }
}

/// To the second, in UTC.
fn shown(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
