//! Traces: what may happen, in which proportion.

use std::collections::BTreeMap;

use syncline_core::{run::Status, sync::Mode};
use syncline_store::{About, Checkpoint, IntentKind, NewRun, RunEnd};

use super::{
    facts::{BUDGETS, Facts, NATURAL, PROCESSES, STREAMS, SYNCS, identity},
    step::{Act, Step},
};

const STATUSES: [Status; 7] = [
    Status::Succeeded,
    Status::Partial,
    Status::Failed,
    Status::Cancelled,
    Status::Interrupted,
    Status::Running,
    Status::Queued,
];

/// The trace of a seed: of at least so many steps.
pub(super) fn of_seed(seed: u64, steps: usize) -> Vec<Step> {
    let facts = Facts { random: fastrand::Rng::with_seed(seed) };
    let mut maker = Maker { facts, trace: Vec::new(), moves: Vec::new() };
    for sync in SYNCS {
        maker.begin(0, sync);
    }
    while maker.trace.len() < steps {
        let process = maker.facts.random.usize(..PROCESSES);
        // One sync is busier, so that its records meet more often.
        let sync = if maker.facts.one_in(4) { SYNCS[1] } else { SYNCS[0] };
        match maker.facts.random.u8(..100) {
            0..10 => maker.upheaval(process, sync),
            10..55 => maker.work(process, sync),
            55..65 => maker.decide(process, sync),
            65..80 => maker.compare(process, sync),
            _ => maker.ask(process, sync),
        }
    }
    maker.trace
}

struct Maker {
    facts: Facts,
    trace: Vec<Step>,
    /// Identities that were about to move.
    moves: Vec<u64>,
}

impl Maker {
    /// Adds a step, mostly with the newest lease and run.
    fn step(&mut self, process: usize, sync: &'static str, act: Act) {
        let older = |facts: &mut Facts| if facts.one_in(16) { 1 + facts.random.u64(..2) } else { 0 };
        let (lease, run) = (older(&mut self.facts), older(&mut self.facts));
        self.trace.push(Step { process, sync, lease, run, act });
    }

    fn begin(&mut self, process: usize, sync: &'static str) {
        let now = self.facts.time();
        self.step(process, sync, Act::Claim(now));
        self.start(process, sync);
    }

    fn start(&mut self, process: usize, sync: &'static str) {
        let mode = self.facts.pick(&[Mode::Full, Mode::Incremental]);
        let reason = self.facts.pick(&[None, Some("the mapping changed".to_owned())]);
        let run = NewRun { mode, reason, about: About::default(), at: self.facts.time() };
        self.step(process, sync, Act::StartRun(run));
    }

    /// Processes die, leases change hands, runs end.
    fn upheaval(&mut self, process: usize, sync: &'static str) {
        match self.facts.random.u8(..10) {
            0..2 => self.step(process, sync, Act::Crash),
            2..4 => self.step(process, sync, Act::GiveUp),
            4 => return self.begin(process, sync),
            _ => {
                let facts = &mut self.facts;
                let mut streams = facts.several(2, |facts| (facts.stream(), facts.counts()));
                let end = RunEnd {
                    status: facts.pick(&STATUSES),
                    counts: facts.counts(),
                    by_stream: streams.drain(..).collect(),
                    error: facts.pick(&[None, Some(("graph.full".to_owned(), "it is full".to_owned()))]),
                    notes: facts.pick(&[vec![], vec!["at least once: \u{1F980}".to_owned()]]),
                    at: facts.time(),
                };
                self.step(process, sync, Act::FinishRun(end));
            }
        }
        // Mostly somebody goes on.
        if !self.facts.one_in(4) {
            let process = self.facts.random.usize(..PROCESSES);
            self.begin(process, sync);
        }
    }

    /// What a run does.
    fn work(&mut self, process: usize, sync: &'static str) {
        if self.facts.one_in(3) {
            let intents = self.facts.several(3, Facts::intent);
            for n in 0..super::facts::IDENTITIES {
                let moves = |intent: &syncline_store::Intent| {
                    intent.kind == IntentKind::Move && intent.row.identity == identity(n)
                };
                if intents.iter().any(moves) {
                    self.moves.push(n);
                }
            }
            return self.step(process, sync, Act::Intend(intents));
        }
        if self.facts.one_in(10) {
            return self.step(process, sync, Act::Check);
        }
        let checkpoint = self.checkpoint(sync);
        self.step(process, sync, Act::Checkpoint(Box::new(checkpoint)));
    }

    /// Mostly one that is fine.
    fn checkpoint(&mut self, sync: &str) -> Checkpoint {
        let facts = &mut self.facts;
        let mut created = Vec::new();
        if !self.moves.is_empty() && facts.one_in(3) {
            created.push(identity(facts.pick(&self.moves)));
        } else if facts.one_in(40) {
            created.push(facts.identity());
        }
        let by_stream: BTreeMap<_, _> =
            facts.several(2, |facts| (facts.stream(), facts.counts())).into_iter().collect();
        Checkpoint {
            ledger: facts.several(4, Facts::change),
            written: facts.several(3, Facts::written),
            closed: facts.several(3, Facts::identity),
            created,
            parked: facts.several(2, |facts| facts.parked(sync)),
            unparked: facts.several(2, Facts::identity),
            held: if facts.one_in(5) { Some(facts.several(3, |facts| facts.held(sync))) } else { None },
            approval_used: facts.one_in(8),
            counts: facts.counts(),
            by_stream,
            cursor: if facts.one_in(3) { Some(facts.cursor()) } else { None },
            spent: facts.several(2, |facts| {
                let units = if facts.one_in(60) { i64::MAX.unsigned_abs() } else { facts.random.u64(..9) };
                let budget = if facts.one_in(60) { "" } else { facts.pick(&BUDGETS) };
                (budget.to_owned(), units)
            }),
            at: facts.time(),
        }
    }

    /// What people do.
    fn decide(&mut self, process: usize, sync: &'static str) {
        let facts = &mut self.facts;
        let identities = if facts.one_in(3) { None } else { Some(facts.several(3, Facts::identity)) };
        let act = match facts.random.u8(..10) {
            0..2 => Act::Reset,
            2..5 => Act::RetryParked(identities, facts.time()),
            5..7 => Act::DropParked(identities),
            7..9 => {
                let ceiling = if facts.one_in(9) { u64::MAX } else { facts.random.u64(..9) };
                Act::Approve(ceiling, facts.time())
            }
            _ => Act::Reject,
        };
        self.step(process, sync, act);
    }

    /// A destination is listed and compared; perhaps what differs is marked, a while later.
    fn compare(&mut self, process: usize, sync: &'static str) {
        let facts = &mut self.facts;
        let act = match facts.random.u8(..10) {
            0..5 => Act::ScratchPut(facts.several(6, Facts::scratch)),
            5 => Act::ScratchRemove(facts.stream(), facts.number().to_string()),
            6 if facts.one_in(3) => Act::ScratchClear,
            6 if facts.one_in(3) => Act::ScratchRemoveOwned,
            6..9 => {
                let streams = facts.several(4, Facts::stream);
                Act::Compare(streams, facts.limit())
            }
            _ => Act::MarkDrifted(facts.several(3, Facts::drift), facts.time()),
        };
        self.step(process, sync, act);
    }

    fn ask(&mut self, process: usize, sync: &'static str) {
        let facts = &mut self.facts;
        let act = match facts.random.u8(..13) {
            0 => Act::Find(facts.several(9, Facts::identity)),
            1 => Act::Details(facts.several(5, Facts::identity)),
            2 => Act::Unseen(facts.random.u64(..), facts.random.u64(..20), facts.limit()),
            3 => {
                let status = if facts.one_in(2) { None } else { Some(facts.pick(&STATUSES)) };
                Act::Runs(facts.random.bool(), status, facts.limit())
            }
            4 => {
                let due = if facts.one_in(3) { None } else { Some(facts.time()) };
                Act::Parked(facts.random.bool(), due, facts.limit())
            }
            5 => Act::Held(facts.random.bool(), facts.limit()),
            6 => Act::Spent(facts.pick(&BUDGETS).to_owned(), facts.time()),
            7 => Act::ScratchByStamp(facts.several(3, Facts::identity)),
            8 => Act::ScratchByNatural(NATURAL.to_vec()),
            9 => Act::Compare(STREAMS.map(str::to_owned).to_vec(), facts.limit()),
            10 => Act::Writes(facts.identity(), facts.limit()),
            _ => Act::Everything,
        };
        self.step(process, sync, act);
    }
}
