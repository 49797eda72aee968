//! One of the stores that are compared, with the processes that work on it.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use jiff::Timestamp;
use syncline_core::seen::Seen;
use syncline_store::{Drift, Error, Lease, RunId, Store, conformance::Place};

use super::{
    facts::{BUDGETS, IDENTITIES, NATURAL, PROCESSES, STREAMS, SYNCS, identity},
    step::{Act, Step},
};

/// A store under test. What it was given (epochs, runs, drift) it shows again, so that stores are compared by what they
/// answer and not by what another one answered.
pub(super) struct Contender {
    pub(super) name: &'static str,
    place: Box<dyn Place>,
    processes: [Option<Arc<dyn Store>>; PROCESSES],
    leases: BTreeMap<(usize, &'static str), Lease>,
    epochs: BTreeMap<&'static str, u64>,
    runs: BTreeMap<&'static str, RunId>,
    drift: Vec<Drift>,
}

/// An answer as text: what was found, or the kind of error. Messages may differ from store to store.
fn told<T: Debug>(answer: Result<T, Error>) -> String {
    match answer {
        Ok(found) => format!("{found:?}"),
        Err(Error::Busy { sync, .. }) => format!("{sync} is busy"),
        Err(Error::Stale { sync, ours, found }) => format!("stale: {sync}, {ours} against {found}"),
        Err(Error::Database { .. }) => "refused".to_owned(),
        Err(other) => panic!("no store has a reason for this: {other}"),
    }
}

impl Contender {
    pub(super) fn new(name: &'static str, place: impl Place + 'static) -> Self {
        Self {
            name,
            place: Box::new(place),
            processes: [const { None }; PROCESSES],
            leases: BTreeMap::new(),
            epochs: BTreeMap::new(),
            runs: BTreeMap::new(),
            drift: Vec::new(),
        }
    }

    async fn store(&mut self, process: usize) -> Arc<dyn Store> {
        match &self.processes[process] {
            Some(store) => Arc::clone(store),
            None => Arc::clone(self.processes[process].insert(self.place.open().await)),
        }
    }

    fn crash(&mut self, process: usize) {
        self.processes[process] = None;
        self.leases.retain(|(holder, _), _| *holder != process);
    }

    pub(super) fn crash_all(&mut self) {
        (0..PROCESSES).for_each(|process| self.crash(process));
    }

    /// Takes a step; returns the answer as text.
    pub(super) async fn take(&mut self, step: &Step) -> String {
        let Step { process, sync, lease, run, act } = step;
        let store = self.store(*process).await;
        let epoch = self.epochs.get(sync).copied().unwrap_or(0).saturating_sub(*lease);
        let lease = Lease { sync: (*sync).to_owned(), epoch, guard: Box::new(()) };
        let run = self.runs.get(sync).copied().unwrap_or(0).saturating_sub(*run);
        let one = |is_one: bool| is_one.then_some(*sync);
        match act.clone() {
            Act::Crash => {
                drop(store);
                self.crash(*process);
                "dead".to_owned()
            }
            Act::Claim(now) => self.claim(&*store, *process, sync, now).await,
            Act::GiveUp => format!("gave up: {}", self.leases.remove(&(*process, sync)).is_some()),
            Act::Check => told(store.check(&lease).await),
            Act::StartRun(new) => {
                let started = store.start_run(&lease, new).await;
                if let Ok(run) = &started {
                    self.runs.insert(sync, *run);
                }
                told(started)
            }
            Act::FinishRun(end) => told(store.finish_run(&lease, run, end).await),
            Act::Intend(intents) => told(store.intend(&lease, run, &intents).await),
            Act::Checkpoint(checkpoint) => told(store.checkpoint(&lease, run, *checkpoint).await),
            Act::Reset => told(store.reset(&lease).await),
            Act::RetryParked(identities, now) => {
                told(store.retry_parked(&lease, identities.as_deref(), now).await)
            }
            Act::DropParked(identities) => told(store.drop_parked(&lease, identities.as_deref()).await),
            Act::Approve(ceiling, now) => told(store.approve(&lease, ceiling, now).await),
            Act::Reject => told(store.reject(&lease).await),
            Act::MarkDrifted(more, now) => {
                let drift: Vec<_> = self.drift.iter().cloned().chain(more).collect();
                told(store.mark_drifted(&lease, run, &drift, now).await)
            }
            Act::ScratchPut(rows) => told(store.scratch_put(&rows).await),
            Act::ScratchRemove(stream, record) => told(store.scratch_remove(&stream, &record).await),
            Act::ScratchRemoveOwned => told(store.scratch_remove_owned(sync).await),
            Act::ScratchClear => told(store.scratch_clear().await),
            Act::Compare(streams, limit) => {
                let found = store.compare(sync, &streams, limit).await;
                if let Ok(comparison) = &found {
                    self.drift.clone_from(&comparison.drift);
                }
                told(found)
            }
            Act::Find(identities) => told(store.find(sync, &identities).await),
            Act::Details(identities) => told(store.details(sync, &identities).await),
            Act::Writes(identity, limit) => told(store.writes(sync, identity, limit).await),
            Act::Unseen(bits, after, limit) => told(store.unseen(sync, &seen(bits), after, limit).await),
            Act::Runs(is_one, status, limit) => told(store.runs(one(is_one), status, limit).await),
            Act::Parked(is_one, due, limit) => told(store.parked(one(is_one), due, limit).await),
            Act::Held(is_one, limit) => told(store.held(one(is_one), limit).await),
            Act::Spent(budget, since) => told(store.spent(&budget, since).await),
            Act::ScratchByStamp(identities) => told(store.scratch_by_stamp(&identities).await),
            Act::ScratchByNatural(natural) => told(store.scratch_by_natural(&natural).await),
            Act::Everything => read_all(&*store).await,
        }
    }

    async fn claim(
        &mut self,
        store: &dyn Store,
        process: usize,
        sync: &'static str,
        now: Timestamp,
    ) -> String {
        let claimed = store.claim(sync, now).await;
        let epoch = claimed.map(|lease| {
            let epoch = lease.epoch;
            self.epochs.insert(sync, epoch);
            self.leases.insert((process, sync), lease);
            epoch
        });
        told(epoch)
    }

    /// All that the first process can read.
    pub(super) async fn everything(&mut self) -> String {
        let store = self.store(0).await;
        read_all(&*store).await
    }
}

/// The numbers below 64 whose bits are set.
fn seen(bits: u64) -> Seen {
    let mut seen = Seen::default();
    for seq in (0..64).filter(|seq| bits >> seq & 1 == 1) {
        seen.insert(seq);
    }
    seen
}

/// Everything that can be read, by every method that reads, a line each.
async fn read_all(store: &dyn Store) -> String {
    const ALL: usize = usize::MAX;
    let identities: Vec<_> = (0..IDENTITIES).map(identity).collect();
    let streams = STREAMS.map(str::to_owned);
    let mut lines = vec![
        told(store.last_seq().await),
        told(store.waiting().await),
        told(store.parked(None, None, ALL).await),
        told(store.held(None, ALL).await),
        told(store.scratch_count().await),
        told(store.scratch_by_stamp(&identities).await),
        told(store.scratch_by_natural(&NATURAL).await),
    ];
    let runs = store.runs(None, None, ALL).await;
    for run in runs.iter().flatten() {
        lines.push(told(store.run(run.id).await));
    }
    lines.push(told(runs));
    for budget in BUDGETS {
        lines.push(told(store.spent(budget, Timestamp::UNIX_EPOCH).await));
    }
    for sync in SYNCS {
        lines.push(told(store.find(sync, &identities).await));
        lines.push(told(store.details(sync, &identities).await));
        for identity in &identities {
            lines.push(told(store.writes(sync, *identity, ALL).await));
        }
        lines.push(told(store.known(sync).await));
        lines.push(told(store.unseen(sync, &Seen::default(), 0, ALL).await));
        lines.push(told(store.open_intents(sync).await));
        lines.push(told(store.cursor(sync).await));
        lines.push(told(store.approval(sync).await));
        lines.push(told(store.compare(sync, &streams, ALL).await));
    }
    lines.join("\n    ")
}
