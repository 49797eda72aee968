//! What every store does alike, as plain functions and numbers: what is kept how long, what cannot be kept, and the words.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use syncline_core::{cursor::Cursor, partition::Partition, schedule::Overlap, sync::Mode, value::Value};

use crate::{
    DriftKind, IntentKind, Run, Waiting,
    service::{AlertState, Decision, Limits, NewOccurrence, Summary},
};

/// How long a run is remembered: a quarter, so that a monthly review finds all of the month before.
pub(crate) const RUNS_KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How long spent units are remembered: the longest budget is a day; two cover any offset between clocks.
pub(crate) const SPENT_KEPT: SignedDuration = SignedDuration::from_hours(2 * 24);
/// Rows forgotten per finished run, at most, so that finishing stays quick after a long pause. More than a run adds.
pub(crate) const FORGOTTEN_MAX: usize = 5_000;
/// Scratch records that are shown of those with the same stamp or natural key: three tell "one", "two" and "more".
pub(crate) const SAME_SHOWN: usize = 3;

/// Code of a parked record that was edited on both sides.
pub(crate) const CONFLICT: &str = "conflict";
/// Code of a parked record whose drift is to be repaired.
pub(crate) const DRIFT: &str = "drift";

/// Where each sync stands: its partitions count as it. What is told of a newest run or success is that of the newest of all;
/// failures are those of the partition that ran last.
pub(crate) fn summaries_by_sync(summaries: Vec<Summary>) -> Vec<Summary> {
    let mut syncs: BTreeMap<String, Summary> = BTreeMap::new();
    for part in summaries {
        let sync = Partition::sync_of(&part.sync).to_owned();
        let Some(all) = syncs.get_mut(&sync) else {
            // a position is that of one partition
            let cursor = part.cursor.filter(|_| part.sync == sync);
            syncs.insert(sync.clone(), Summary { sync, cursor, ..part });
            continue;
        };
        all.parked += part.parked;
        all.conflicted += part.conflicted;
        all.held += part.held;
        let number = |run: &Option<Run>| run.as_ref().map(|run| run.id);
        if number(&part.last) > number(&all.last) {
            (all.last, all.failures) = (part.last, part.failures);
        }
        if part.last_success_at > all.last_success_at {
            (all.last_success_started_at, all.last_success_at) =
                (part.last_success_started_at, part.last_success_at);
        }
        for (schedule, span) in part.by_schedule {
            let newest = all.by_schedule.entry(schedule).or_insert(span);
            *newest = (*newest).max(span);
        }
    }
    syncs.into_values().collect()
}

/// Whether a stored name is that of `sync`, or of one of its partitions.
pub(crate) fn is_of(name: &str, sync: &str) -> bool {
    name == sync || Partition::sync_of(name) == sync
}

/// What waits, by sync: that of its partitions is added up. In order of names, which are sorted.
pub(crate) fn by_sync(waiting: impl IntoIterator<Item = Waiting>) -> Vec<Waiting> {
    let mut syncs: BTreeMap<String, Waiting> = BTreeMap::new();
    for part in waiting {
        let sync = Partition::sync_of(&part.sync).to_owned();
        match syncs.get_mut(&sync) {
            None => {
                syncs.insert(sync.clone(), Waiting { sync, ..part });
            }
            Some(all) => {
                all.parked += part.parked;
                all.conflicted += part.conflicted;
                all.held += part.held;
                all.known += part.known;
                all.intents += part.intents;
            }
        }
    }
    syncs.into_values().collect()
}

/// The word for a mode in a [`Run`](crate::Run).
pub(crate) fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Full => "full",
        Mode::Incremental => "incremental",
    }
}

/// What is to be done about drift of this kind, and the message of the parked record; `None` for what is no record of
/// the ledger: there is nothing to rewrite.
pub(crate) fn repair(kind: DriftKind) -> Option<(IntentKind, &'static str)> {
    match kind {
        DriftKind::Edited => Some((IntentKind::Update, "edited in the destination")),
        DriftKind::Missing => Some((IntentKind::Create, "missing in the destination")),
        DriftKind::Duplicate | DriftKind::Orphan | DriftKind::Stranger => None,
    }
}

/// A key as people know it: its values, joined.
pub(crate) fn label(key: &[Value<'static>]) -> String {
    let values = key.iter().map(|value| match value.to_json() {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    });
    values.collect::<Vec<_>>().join(", ")
}

/// Refuses a key that would not come back: JSON has no word for some doubles.
pub(crate) fn storable_key(key: &[Value<'static>]) -> Result<(), &'static str> {
    if key.iter().any(is_not_finite) {
        return Err("a key holds a double that is not a number or infinite");
    }
    Ok(())
}

/// Refuses a cursor that would not come back, as [`storable_key`] does.
pub(crate) fn storable_cursor(cursor: &Cursor) -> Result<(), &'static str> {
    let position = cursor.position.as_ref();
    if position.is_some_and(|p| is_not_finite(&p.cursor) || p.key.iter().any(is_not_finite)) {
        return Err("a cursor holds a double that is not a number or infinite");
    }
    Ok(())
}

fn is_not_finite(value: &Value<'_>) -> bool {
    match value {
        Value::Float64(number) => !number.is_finite(),
        Value::List(values) => values.iter().any(is_not_finite),
        _ => false,
    }
}

// ---- the service

/// Rows that one call of [`forget`](crate::service::ServiceStore::forget) deletes, at most.
pub(crate) const FORGOTTEN_AT_ONCE: usize = 5_000;
/// How long an idempotency key is remembered.
pub(crate) const KEYS_KEPT: SignedDuration = SignedDuration::from_hours(24);
/// How long a node that is silent is remembered.
pub(crate) const NODES_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// Why an occurrence was skipped: its schedule was paused while it waited.
pub(crate) const PAUSED: &str = "the schedule was paused";
/// Why a retry was skipped.
pub(crate) const SATISFIED: &str = "another run succeeded first";

/// What keeps a subject busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Busy {
    /// An occurrence is claimed, and none waits and is due.
    Claimed,
    /// An occurrence waits and is due.
    Waiting,
}

/// Why an occurrence is stored as skipped, if it is.
pub(crate) fn skipped(overlap: Overlap, busy: Option<Busy>) -> Option<&'static str> {
    match (overlap, busy) {
        (_, None) | (Overlap::Queue, Some(Busy::Claimed)) => None,
        (Overlap::Skip, Some(Busy::Claimed)) => Some("an earlier one was still running"),
        (_, Some(Busy::Waiting)) => Some("an earlier one was still waiting"),
    }
}

/// Refuses an occurrence that its decision is not about.
pub(crate) fn decided_about(decision: &Decision, occurrence: &NewOccurrence) -> Result<(), &'static str> {
    if occurrence.subject == decision.subject && occurrence.schedule.as_ref() == Some(&decision.schedule) {
        return Ok(());
    }
    Err("a decision about one schedule holds an occurrence of another")
}

/// Whether two requests with the same idempotency key ask for the same.
pub(crate) fn asks_the_same(one: &NewOccurrence, other: &NewOccurrence) -> bool {
    one.subject == other.subject && one.schedule == other.schedule && one.options == other.options
}

/// The word for an overlap.
pub(crate) fn overlap_word(overlap: Overlap) -> &'static str {
    match overlap {
        Overlap::Skip => "skip",
        Overlap::Queue => "queue",
    }
}

/// Reads [`overlap_word`].
pub(crate) fn parse_overlap(word: &str) -> Option<Overlap> {
    [Overlap::Skip, Overlap::Queue].into_iter().find(|overlap| overlap_word(*overlap) == word)
}

/// What is left of the limits while claims are handed out.
#[derive(Clone)]
pub(crate) struct Room<'a> {
    total: Option<usize>,
    connections: BTreeMap<&'a str, usize>,
}

impl<'a> Room<'a> {
    /// Everything.
    pub(crate) fn of(limits: &'a Limits) -> Self {
        let connections = limits.connections.iter().map(|(name, limit)| (name.as_str(), *limit));
        Self { total: limits.total, connections: connections.collect() }
    }

    /// Takes what a living claim uses, also where there is not enough: a limit may have been lowered.
    pub(crate) fn take(&mut self, connections: &[String]) {
        if let Some(total) = &mut self.total {
            *total = total.saturating_sub(1);
        }
        // A connection that is both source and destination is used once.
        for connection in connections.iter().collect::<BTreeSet<_>>() {
            if let Some(left) = self.connections.get_mut(connection.as_str()) {
                *left = left.saturating_sub(1);
            }
        }
    }

    /// Whether nothing more can be claimed at all.
    pub(crate) fn is_used_up(&self) -> bool {
        self.total == Some(0)
    }

    /// Whether one more that uses these fits.
    pub(crate) fn fits(&self, connections: &[String]) -> bool {
        !self.is_used_up() && connections.iter().all(|name| self.connections.get(name.as_str()) != Some(&0))
    }
}

/// A time as it comes back from a store: what is below the microsecond is dropped.
pub(crate) fn stored_time(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_nanosecond().div_euclid(1_000).try_into().unwrap_or(i64::MAX))
        .unwrap_or(time)
}

/// The state of an alert as it comes back from a store.
pub(crate) fn stored_alert(state: &AlertState) -> AlertState {
    AlertState {
        since: stored_time(state.since),
        told_at: state.told_at.map(stored_time),
        try_at: state.try_at.map(stored_time),
        ..state.clone()
    }
}
