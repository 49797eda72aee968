//! The durable state, and the writes of a run: claim, start, intents, checkpoint, end. Each write looks first whether all of it
//! can be done, then does it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use syncline_core::{counts::Counts, cursor::Cursor, identity::Identity, mutant, run::Status};

use super::{kept, ledger::Ledger, refused, storable};
use crate::{
    Checkpoint, Error, Held, Intent, IntentKind, Lease, NewRun, Parked, Run, RunEnd, RunId, Write, Written,
    rules::{self, FORGOTTEN_MAX, RUNS_KEPT, SPENT_KEPT},
};

/// Everything durable.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct State {
    pub(super) syncs: BTreeMap<String, OfSync>,
    pub(super) runs: BTreeMap<RunId, Run>,
    /// What each run wrote, in order.
    writes: BTreeMap<RunId, Vec<(Identity, Write)>>,
    last_run: RunId,
    pub(super) last_seq: u64,
    pub(super) spent: BTreeMap<(String, Timestamp), u64>,
}

/// What is known of one sync.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct OfSync {
    pub(super) epoch: u64,
    pub(super) cursor: Option<Cursor>,
    pub(super) approved: Option<(u64, Timestamp)>,
    pub(super) ledger: Ledger,
    /// Open intents, each with its place in their order.
    pub(super) intents: BTreeMap<Identity, (u64, Intent)>,
    pub(super) parked: BTreeMap<Identity, Parked>,
    pub(super) held: BTreeMap<Identity, Held>,
}

/// The sync of a lease, if no newer lease exists.
pub(super) fn newest<'s>(
    syncs: &'s mut BTreeMap<String, OfSync>,
    lease: &Lease,
) -> Result<&'s mut OfSync, Error> {
    let (sync, ours) = (&lease.sync, lease.epoch);
    match syncs.get_mut(sync) {
        Some(found) if found.epoch == ours || mutant!(EpochUnchecked) => Ok(found),
        other => Err(Error::Stale { sync: sync.clone(), ours, found: other.map_or(0, |found| found.epoch) }),
    }
}

/// A run of this sync that is running.
fn running<'s>(runs: &'s mut BTreeMap<RunId, Run>, sync: &str, run: RunId) -> Result<&'s mut Run, Error> {
    runs.get_mut(&run)
        .filter(|run| run.sync == sync && run.status == Status::Running)
        .ok_or_else(|| refused(format!("run {run} is not a running run of this sync")))
}

impl State {
    /// Raises the epoch and closes what a dead process left; returns the new epoch.
    pub(super) fn claim(&mut self, sync: &str, now: Timestamp) -> Result<u64, Error> {
        let now = kept(now)?;
        if sync.is_empty() {
            return Err(refused("a sync without a name"));
        }
        for run in self.runs.values_mut().filter(|run| run.sync == sync && !run.status.is_final()) {
            (run.status, run.finished_at) = (Status::Interrupted, Some(now));
        }
        let of_sync = self.syncs.entry(sync.to_owned()).or_default();
        of_sync.epoch += 1;
        Ok(of_sync.epoch)
    }

    pub(super) fn start_run(&mut self, lease: &Lease, run: NewRun) -> Result<RunId, Error> {
        newest(&mut self.syncs, lease)?;
        let started_at = kept(run.at)?;
        if self.runs.values().any(|run| run.sync == lease.sync && run.status == Status::Running) {
            return Err(refused("a sync has one running run at a time"));
        }
        self.last_run += 1;
        let run = Run {
            id: self.last_run,
            sync: lease.sync.clone(),
            mode: rules::mode_word(run.mode).to_owned(),
            reason: run.reason,
            about: run.about,
            status: Status::Running,
            started_at,
            finished_at: None,
            counts: Counts::default(),
            by_stream: BTreeMap::new(),
            error: None,
            notes: Vec::new(),
        };
        self.runs.insert(run.id, run);
        Ok(self.last_run)
    }

    pub(super) fn finish_run(&mut self, lease: &Lease, run: RunId, end: RunEnd) -> Result<(), Error> {
        newest(&mut self.syncs, lease)?;
        let run = running(&mut self.runs, &lease.sync, run)?;
        storable_account(&end.counts, &end.by_stream)?;
        let now = kept(end.at)?;
        if !end.status.is_final() {
            return Err(refused("a run does not end in this status"));
        }
        if matches!(end.status, Status::Succeeded | Status::Partial) && !end.counts.closed() {
            return Err(refused("every record is accounted for"));
        }
        (run.status, run.finished_at) = (end.status, Some(now));
        run.counts = end.counts;
        run.by_stream.extend(end.by_stream);
        (run.error, run.notes) = (end.error, end.notes);
        self.forget(now);
        Ok(())
    }

    /// Forgets what is too old to be of use, the oldest first.
    fn forget(&mut self, now: Timestamp) {
        // A clock at the beginning of time has nothing behind it.
        if let Ok(before) = now.checked_sub(RUNS_KEPT) {
            let old = self.runs.values().filter(|run| run.started_at < before && run.finished_at.is_some());
            let mut old: Vec<_> = old.map(|run| (run.started_at, run.id)).collect();
            old.sort_unstable();
            for (_, id) in old.into_iter().take(FORGOTTEN_MAX) {
                self.runs.remove(&id);
                self.writes.remove(&id);
            }
        }
        if let Ok(before) = now.checked_sub(SPENT_KEPT) {
            let old = self.spent.keys().filter(|(_, at)| *at < before);
            let mut old: Vec<_> = old.map(|(budget, at)| (*at, budget.clone())).collect();
            old.sort_unstable();
            for (at, budget) in old.into_iter().take(FORGOTTEN_MAX) {
                self.spent.remove(&(budget, at));
            }
        }
    }

    pub(super) fn intend(&mut self, lease: &Lease, run: RunId, intents: &[Intent]) -> Result<(), Error> {
        let sync = newest(&mut self.syncs, lease)?;
        running(&mut self.runs, &lease.sync, run)?;
        let mut order = sync.intents.values().map(|(place, _)| *place).max().unwrap_or(0);
        let mut new = BTreeMap::new();
        for intent in intents {
            possible(intent)?;
            let identity = intent.row.identity;
            order += 1;
            if sync.intents.contains_key(&identity) || new.insert(identity, (order, intent.clone())).is_some()
            {
                return Err(refused("a record has one open intent at a time"));
            }
        }
        sync.intents.append(&mut new);
        Ok(())
    }

    /// Everything after a batch. The ledger comes first of what is changed: it alone can still refuse, and then takes back what
    /// it did.
    pub(super) fn checkpoint(
        &mut self,
        lease: &Lease,
        run: RunId,
        checkpoint: Checkpoint,
    ) -> Result<(), Error> {
        let sync = newest(&mut self.syncs, lease)?;
        let running = running(&mut self.runs, &lease.sync, run)?;
        storable_account(&checkpoint.counts, &checkpoint.by_stream)?;
        if !checkpoint.created.iter().all(|identity| is_open_move(sync, identity)) {
            return Err(refused("a half-done move has no open intent"));
        }
        let parked = checkpoint.parked.into_iter().map(|record| storable_parked(record, lease));
        let parked: Vec<_> = parked.collect::<Result<_, _>>()?;
        let held = checkpoint.held.map(|held| storable_held(held, lease)).transpose()?;
        if let Some(cursor) = &checkpoint.cursor {
            rules::storable_cursor(cursor).map_err(refused)?;
        }
        let spent = totals(&self.spent, checkpoint.spent, checkpoint.at)?;
        let written = storable_writes(checkpoint.written, run, checkpoint.at)?;
        self.last_seq = sync.ledger.apply(checkpoint.ledger, run, self.last_seq)?;

        running.counts = checkpoint.counts;
        running.by_stream.extend(checkpoint.by_stream);
        for identity in &checkpoint.created {
            if let Some((_, intent)) = sync.intents.get_mut(identity) {
                intent.created = true;
            }
        }
        for identity in &checkpoint.closed {
            sync.intents.remove(identity);
        }
        // Unparked first: a record that is in both has failed again.
        for identity in &checkpoint.unparked {
            sync.parked.remove(identity);
        }
        sync.parked.extend(parked.into_iter().map(|record| (record.identity, record)));
        sync.held = held.unwrap_or_else(|| std::mem::take(&mut sync.held));
        if checkpoint.approval_used {
            sync.approved = None;
        }
        sync.cursor = checkpoint.cursor.or(sync.cursor.take());
        self.spent.extend(spent);
        if !written.is_empty() {
            self.writes.entry(run).or_default().extend(written);
        }
        Ok(())
    }

    /// What was written to a record, the newest first.
    pub(super) fn writes(&self, sync: &str, identity: Identity, limit: usize) -> Vec<Write> {
        let of_sync = |run: &RunId| self.runs.get(run).is_some_and(|run| run.sync == sync);
        let runs = self.writes.iter().rev().filter(|(run, _)| of_sync(run));
        let writes = runs.flat_map(|(_, writes)| writes.iter().rev());
        let of_record = writes.filter(|(whose, _)| *whose == identity);
        of_record.take(limit).map(|(_, write)| write.clone()).collect()
    }
}

/// Refuses numbers that no database holds.
fn storable_account(counts: &Counts, by_stream: &BTreeMap<String, Counts>) -> Result<(), Error> {
    for counts in std::iter::once(counts).chain(by_stream.values()) {
        let Counts { read, created, updated, moved, deleted, unchanged, skipped, parked, held, conflicted } =
            *counts;
        for number in [read, created, updated, moved, deleted, unchanged, skipped, parked, held, conflicted] {
            storable(number)?;
        }
    }
    Ok(())
}

/// Refuses what cannot be about to happen: an update of nothing, a move from nowhere, half a create.
fn possible(intent: &Intent) -> Result<(), Error> {
    rules::storable_key(&intent.row.key).map_err(refused)?;
    let is_new = matches!(intent.kind, IntentKind::Create | IntentKind::Move);
    let is_move = intent.kind == IntentKind::Move;
    let from_nowhere = intent.from.as_ref().is_some_and(|(_, record)| record.is_empty());
    if intent.row.record_id.is_empty() && !is_new {
        return Err(refused("only a new record has no id"));
    }
    if intent.from.is_some() != is_move || from_nowhere {
        return Err(refused("a move has an origin, and nothing else has"));
    }
    if intent.created && !is_move {
        return Err(refused("only a move is half done"));
    }
    Ok(())
}

fn is_open_move(sync: &OfSync, identity: &Identity) -> bool {
    sync.intents.get(identity).is_some_and(|(_, intent)| intent.kind == IntentKind::Move)
}

/// A lease gives the right to write for one sync.
fn expect_own(lease: &Lease, sync: &str) -> Result<(), Error> {
    if lease.sync == sync {
        return Ok(());
    }
    Err(refused(format!("a checkpoint of sync {:?} holds a record of sync {sync:?}", lease.sync)))
}

fn storable_parked(mut record: Parked, lease: &Lease) -> Result<Parked, Error> {
    expect_own(lease, &record.sync)?;
    rules::storable_key(record.key.as_deref().unwrap_or_default()).map_err(refused)?;
    if record.code.is_empty() {
        return Err(refused("a parked record without a code"));
    }
    storable(record.run)?;
    for time in [&mut record.first_at, &mut record.last_at, &mut record.retry_at] {
        *time = kept(*time)?;
    }
    Ok(record)
}

fn storable_held(held: Vec<Held>, lease: &Lease) -> Result<BTreeMap<Identity, Held>, Error> {
    let mut all = BTreeMap::new();
    for mut record in held {
        expect_own(lease, &record.sync)?;
        storable(record.run)?;
        record.since = kept(record.since)?;
        if record.record_id.is_empty() {
            return Err(refused("a held delete without a record id"));
        }
        if all.insert(record.identity, record).is_some() {
            return Err(refused("a record is held once"));
        }
    }
    Ok(all)
}

fn storable_writes(
    written: Vec<Written>,
    run: RunId,
    at: Timestamp,
) -> Result<Vec<(Identity, Write)>, Error> {
    let write = |Written { identity, kind, stream, record_id }| {
        if record_id.is_empty() {
            return Err(refused("a write to a record without an id"));
        }
        Ok((identity, Write { run, kind, stream, record_id, at: kept(at)? }))
    };
    written.into_iter().map(write).collect()
}

/// The new totals of the budgets of which units were spent.
fn totals(
    stored: &BTreeMap<(String, Timestamp), u64>,
    spent: Vec<(String, u64)>,
    at: Timestamp,
) -> Result<BTreeMap<(String, Timestamp), u64>, Error> {
    let mut totals = BTreeMap::new();
    for (budget, units) in spent {
        if budget.is_empty() {
            return Err(refused("units of no budget"));
        }
        let place = (budget, kept(at)?);
        let before = totals.get(&place).or_else(|| stored.get(&place)).copied().unwrap_or(0);
        let total = before.checked_add(units).ok_or_else(|| refused("a number above 2^63"))?;
        totals.insert(place, storable(total)?);
    }
    Ok(totals)
}
