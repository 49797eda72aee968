//! The script of one simulation: trouble for some rounds, then peace, and then everything must agree.

use std::{future::Future, panic::AssertUnwindSafe, pin::Pin, sync::Arc, task::Poll, time::Duration};

use syncline_core::{identity::Identity, run::Status, sync::Mode};
use syncline_engine::{
    Error,
    run::{Options, Report},
};
use syncline_store::{
    Store,
    memory::{Disk, MemoryStore},
};
use tokio::sync::watch;

use crate::{
    node::{Node, SYNC},
    rest,
    scenario::{Definition, Scenario},
    world::{Shared, Violation, World},
};

/// What came of a simulation.
#[derive(Debug)]
pub struct Outcome {
    /// The timeline as a number.
    pub hash: u64,
    /// How many things happened.
    pub events: u64,
    /// Runs that were begun.
    pub runs: u32,
    /// What must never happen, and did.
    pub violations: Vec<Violation>,
    /// What the far side held of ours at the end, without ids and versions: list and values by key.
    pub held: Vec<String>,
    /// The timeline as text, where it was asked for.
    pub lines: Vec<String>,
}

/// Simulates a scenario from beginning to end. The same scenario gives the same outcome, down to the hash.
pub fn simulate(scenario: &Scenario, keep_trace: bool) -> Outcome {
    let lived = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime of one thread needs nothing that can be missing");
        runtime.block_on(live(scenario.clone(), keep_trace))
    }));
    lived.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        let violation = Violation { invariant: "no panic", what: text.unwrap_or_default() };
        Outcome {
            hash: 0,
            events: 0,
            runs: 0,
            violations: vec![violation],
            held: Vec::new(),
            lines: Vec::new(),
        }
    })
}

async fn live(scenario: Scenario, keep_trace: bool) -> Outcome {
    let world = Shared::new(World::new(scenario, keep_trace));
    let scenario = Arc::clone(&world.lock().scenario);
    let mut life = Life { world: world.clone(), scenario, disk: Disk::default(), processes: 0 };
    for round in 0..life.scenario.rounds {
        life.between(round).await;
        life.round(round).await;
        if !world.lock().violations.is_empty() {
            break;
        }
    }
    if world.lock().violations.is_empty() {
        rest::come_to_rest(&mut life).await;
    }
    let runs = life.processes;
    drop(life);
    let mut world = world.lock();
    let ours = world.far.items.values().filter(|item| item.owner.is_some());
    let mut held: Vec<String> = ours.map(|item| format!("{:?} in {}", item.values, item.list)).collect();
    held.sort_unstable();
    let trace = std::mem::replace(&mut world.trace, crate::trace::Trace::new(false));
    Outcome {
        hash: trace.hash(),
        events: trace.events(),
        runs,
        violations: std::mem::take(&mut world.violations),
        held,
        lines: trace.into_lines(),
    }
}

/// A simulation under way.
pub struct Life {
    /// The world.
    pub world: Shared,
    /// What it is about.
    pub scenario: Arc<Scenario>,
    /// What the store keeps.
    pub disk: Disk,
    /// Processes started so far.
    pub processes: u32,
}

/// How a process ended.
pub enum Ended {
    /// By itself.
    Finished(Box<Result<Report, Error>>),
    /// It was killed.
    Killed,
}

/// How often a run may be polled before it is said to hang. Runs of the largest scenarios stay far below.
const POLLS_MAX: usize = 200_000;

impl Life {
    fn draw(&self, range: std::ops::Range<u32>) -> u32 {
        self.world.lock().random.u32(range)
    }

    fn chance(&self, per_thousand: u32) -> bool {
        self.world.lock().chance(per_thousand)
    }

    /// A new process with its own view of the world.
    pub fn node(&mut self, round: usize) -> Node {
        self.processes += 1;
        Node::new(&self.world, &self.disk, self.processes, self.scenario.definition(round))
    }

    /// What happens between two runs.
    async fn between(&self, round: usize) {
        let pause = match self.draw(0..4) {
            0 => Duration::from_millis(u64::from(self.draw(1..2_000))),
            1 => Duration::from_secs(u64::from(self.draw(1..300))),
            2 => Duration::from_secs(u64::from(self.draw(300..7_200))),
            _ => Duration::from_secs(7 * 3_600),
        };
        tokio::time::sleep(pause).await;
        {
            let mut world = self.world.lock();
            world.say("time", format_args!("round {round}"));
            for _ in 0..world.random.u8(0..8) {
                world.churn();
            }
            world.advance();
        }
        self.person().await;
    }

    /// What a person does with the store between two runs.
    async fn person(&self) {
        let act = self.draw(0..20);
        if act > 3 {
            return;
        }
        let store = MemoryStore::open(&self.disk);
        let clock = crate::world::WorldClock::of(&self.world.lock());
        let now = syncline_connect::clock::Clock::now(&clock);
        let Ok(lease) = store.claim(SYNC, now).await else { return };
        let (what, done) = match act {
            0 => ("resets the cursor", store.reset(&lease).await.map(|_| ())),
            1 => {
                let ceiling = u64::from(self.draw(0..40));
                self.world.lock().say("person", format_args!("approves {ceiling} deletes"));
                ("has approved", store.approve(&lease, ceiling, now).await)
            }
            2 => {
                let held = store.held(Some(SYNC), usize::MAX).await.unwrap_or_default();
                for held in &held {
                    self.world.lock().let_go(held.identity);
                }
                ("rejects the held deletes", store.reject(&lease).await.map(|_| ()))
            }
            _ => ("retries what is parked", store.retry_parked(&lease, None, now).await.map(|_| ())),
        };
        let mut world = self.world.lock();
        world.say("person", format_args!("{what}"));
        if let Err(error) = done {
            world.violate("a person's act", error.to_string());
        }
    }

    /// One round: a run with everything that may happen to it.
    async fn round(&mut self, round: usize) {
        if self.chance(self.scenario.chaos.lost_stores) {
            self.lose_store();
        }
        if self.chance(250) {
            rest::plan_and_run(self, round).await;
            return;
        }
        let options = self.options();
        if self.chance(self.scenario.chaos.pauses) {
            self.pause(round, &options).await;
            return;
        }
        let killed_after = if self.chance(self.scenario.chaos.crashes) { Some(self.polls()) } else { None };
        let cancelled_after =
            if self.chance(self.scenario.chaos.cancels) { Some(self.polls()) } else { None };
        self.process(round, &options, killed_after, cancelled_after).await;
    }

    fn options(&self) -> Options {
        let mode = match self.draw(0..6) {
            0 => Some(Mode::Full),
            1 => Some(Mode::Incremental),
            _ => None,
        };
        Options { mode, only_parked: self.draw(0..20) == 0, ..Options::default() }
    }

    /// After how many steps something happens to a run: early or late, wherever it then is.
    fn polls(&self) -> usize {
        let scale = [10, 30, 100, 300][self.draw(0..4) as usize];
        self.draw(1..scale) as usize
    }

    fn lose_store(&mut self) {
        self.disk = Disk::default();
        let mut world = self.world.lock();
        world.say("store", format_args!("is lost"));
        world.forget_ledger();
    }

    /// A run as a process of its own.
    pub async fn process(
        &mut self,
        round: usize,
        options: &Options,
        killed_after: Option<usize>,
        cancelled_after: Option<usize>,
    ) -> Option<Report> {
        let node = self.node(round);
        self.before(&node, options).await;
        let (cancel, cancelled) = watch::channel(false);
        let mut run = Box::pin(node.run(options, cancelled));
        let mut left = killed_after.unwrap_or(POLLS_MAX);
        if let Some(polls) = cancelled_after.filter(|polls| *polls < left) {
            left -= polls;
            if let Some(ended) = polled(run.as_mut(), polls).await {
                drop(run);
                return self.ended(&node, Ended::Finished(Box::new(ended))).await;
            }
            self.world.lock().say("person", format_args!("cancels node {}", node.process));
            cancel.send_replace(true);
        }
        let ended = polled(run.as_mut(), left).await;
        drop(run);
        let ended = match ended {
            Some(ended) => Ended::Finished(Box::new(ended)),
            None if killed_after.is_some() => Ended::Killed,
            None => {
                self.world.lock().violate("every run ends", format!("node {} goes on and on", node.process));
                Ended::Killed
            }
        };
        self.ended(&node, ended).await
    }

    /// A node is paused for longer than its lease; another one takes over; then the first one wakes up.
    async fn pause(&mut self, round: usize, options: &Options) {
        let node = self.node(round);
        self.before(&node, options).await;
        let (_cancel, cancelled) = watch::channel(false);
        let mut run = Box::pin(node.run(options, cancelled));
        let polls = self.polls();
        let ended = polled(run.as_mut(), polls).await;
        if let Some(ended) = ended {
            drop(run);
            self.ended(&node, Ended::Finished(Box::new(ended))).await;
            return;
        }
        let had_lease = MemoryStore::open(&self.disk).seize(SYNC);
        {
            let mut world = self.world.lock();
            let lease = if had_lease { "and loses its lease" } else { "before it has a lease" };
            world.say("time", format_args!("node {} stands still {lease}", node.process));
            world.two_nodes |= had_lease;
            // A unique stamp stops the second of two creates in one list, not in two.
            let lists = |d: &Definition| d.large.is_some() || d.closed;
            world.doubled |= had_lease && self.scenario.definitions.iter().any(lists);
        }
        let claims = self.world.lock().claims;
        let killed_after = if self.chance(200) { Some(self.polls()) } else { None };
        Box::pin(self.process(round, options, killed_after, None)).await;
        let claimed = self.world.lock().claims > claims;
        let before = self.disk.snapshot();
        self.world.lock().say("time", format_args!("node {} wakes up", node.process));
        let items = self.world.lock().far.items.clone();
        let woken = polled(run.as_mut(), POLLS_MAX).await;
        drop(run);
        if had_lease {
            self.world.lock().stray_since(&items);
        }
        if had_lease && claimed && before != self.disk {
            self.world.lock().violate("a stale epoch writes nothing", format!("node {} wrote", node.process));
        }
        let ended = woken.map_or(Ended::Killed, |ended| Ended::Finished(Box::new(ended)));
        self.ended(&node, ended).await;
    }

    /// Notes what a run may do.
    async fn before(&self, node: &Node, options: &Options) {
        let (allowed, without_guard) = node.deletes_allowed().await;
        let mut world = self.world.lock();
        let mode = options.mode.map_or("usual", |m| if m == Mode::Full { "full" } else { "incremental" });
        world.say("time", format_args!("node {} begins a run, mode {mode}", node.process));
        let now = world.now();
        world.run_began = world.table.clock(now);
        world.deleted.clear();
        world.created = 0;
        world.deletes_allowed = allowed;
        world.deletes_of_empty = world.table.rows.is_empty().then_some(without_guard);
    }

    /// A process is over, one way or the other.
    async fn ended(&mut self, node: &Node, ended: Ended) -> Option<Report> {
        // What the dropped run had spawned is gone before anything else happens.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        self.world.lock().forget_unsaved(node.process);
        let store = MemoryStore::open(&self.disk);
        let running = store.runs(Some(SYNC), Some(Status::Running), 10).await.unwrap_or_default().len();
        let mut world = self.world.lock();
        world.check_deletes();
        match ended {
            Ended::Killed => {
                world.say("time", format_args!("node {} is killed", node.process));
                None
            }
            Ended::Finished(report) => match *report {
                Ok(report) => {
                    world.say(
                        "time",
                        format_args!(
                            "node {} ends: {:?} {:?} {:?}",
                            node.process,
                            report.status,
                            report.counts,
                            report.error.as_ref().map(Error::chain)
                        ),
                    );
                    let complete = matches!(report.status, Status::Succeeded | Status::Partial);
                    if complete && !report.counts.closed() {
                        world.violate("the account closes", format!("{:?}", report.counts));
                    }
                    if complete && running > 0 && !world.two_nodes {
                        world.violate("every run ends", "a finished run is still running in the store");
                    }
                    if let Some(error @ Error::Unbalanced { .. }) = &report.error {
                        world.violate("the account closes", error.to_string());
                    }
                    Some(report)
                }
                Err(error) => {
                    world.say("time", format_args!("node {} fails: {}", node.process, error.chain()));
                    None
                }
            },
        }
    }

    /// Identities that are parked, each with its code.
    pub async fn parked(&self) -> Vec<(Identity, String)> {
        let store = MemoryStore::open(&self.disk);
        let parked = store.parked(Some(SYNC), None, usize::MAX).await.unwrap_or_default();
        parked.into_iter().map(|p| (p.identity, p.code)).collect()
    }
}

/// Polls a future so many times; `None` when it was not done by then. Dropping it then is a crash at that await point.
async fn polled<F: Future>(mut future: Pin<&mut F>, polls: usize) -> Option<F::Output> {
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}
