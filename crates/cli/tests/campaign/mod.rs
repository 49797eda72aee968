//! The kill campaign: a living project is made to fail, is killed and held up, cycle by cycle; then everything is counted.
//!
//! A third of the cycles are at failpoints, every place with every action, in an order made from the seed; the others are
//! SIGKILLs at random moments. Several projects live side by side, for most of the time is spent waiting for answers
//! that were lost. Used by a test and by `make kill-campaign`.

pub(crate) mod count;
pub(crate) mod cycles;
pub(crate) mod living;

use std::collections::BTreeSet;

use syncline_core::failpoint::{Action, PLACES, Setting};

use self::{
    count::{Tally, count},
    cycles::Cycle,
    living::Living,
};

/// Projects side by side.
const LANES: usize = 6;

/// Cycles of a project after which everything is counted.
const COUNTED_EVERY: usize = 15;

/// Cycles of a project between two looks into its store's file.
const LOOKED_EVERY: usize = 5;

/// How often a place is reached in one run at least, for those that are reached more than once.
const HITS: &[(&str, u64)] = &[
    ("engine.send.before", 3),
    ("engine.send.after", 3),
    ("connect.sharepoint.before_send", 12),
    ("connect.sharepoint.before_read", 12),
    ("store.intend.before_commit", 3),
    ("store.intend.after_commit", 3),
    ("store.checkpoint.before_commit", 5),
    ("store.checkpoint.after_commit", 5),
    ("store.claim.before_commit", 2),
    ("store.claim.after_commit", 2),
    ("store.start_run.before_commit", 2),
    ("store.start_run.after_commit", 2),
    ("store.finish_run.before_commit", 2),
    ("store.finish_run.after_commit", 2),
];

/// How a campaign went.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) cycles: usize,
    pub(crate) tally: Tally,
    /// Processes that died of SIGKILL.
    pub(crate) kills: usize,
    /// Places that were reached, each with each action.
    pub(crate) reached: BTreeSet<(&'static str, Action)>,
    /// What was wrong besides the counts, with the cycle.
    pub(crate) problems: Vec<String>,
}

impl Outcome {
    /// Of a project whose cycle could not even be judged; the panic has said why.
    fn broken() -> Self {
        Self { problems: vec!["a project's cycles ended in a panic".to_owned()], ..Self::default() }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.tally.is_clean() && self.problems.is_empty()
    }
}

/// Every place with every action.
pub(crate) fn combinations() -> Vec<(&'static str, Action)> {
    // loads of tables have their own, and nothing serves here
    let pushed = PLACES.iter();
    let pushed =
        pushed.filter(|place| !place.starts_with("engine.load.") && !place.starts_with("store.service."));
    pushed.flat_map(|place| Action::ALL.map(|action| (*place, action))).collect()
}

/// Runs so many cycles. `say` hears how far they are.
pub(crate) fn run(cycles: usize, seed: u64, say: &(dyn Fn(String) + Sync)) -> Outcome {
    let schedule = schedule(cycles, seed);
    let lanes = std::thread::scope(|scope| {
        let start = |lane: usize| {
            let mine: Vec<_> = schedule.iter().copied().enumerate().skip(lane).step_by(LANES).collect();
            scope.spawn(move || Lane::new(lane, seed, say).run(&mine))
        };
        let lanes: Vec<_> = (0..LANES.min(cycles)).map(start).collect();
        lanes.into_iter().map(|lane| lane.join().unwrap_or_else(|_| Outcome::broken())).collect::<Vec<_>>()
    });
    let mut whole = Outcome::default();
    for lane in lanes {
        whole.cycles += lane.cycles;
        whole.kills += lane.kills;
        whole.tally.add(&lane.tally);
        whole.reached.extend(lane.reached);
        whole.problems.extend(lane.problems);
    }
    whole
}

/// The cycles in their order.
pub(crate) fn schedule(cycles: usize, seed: u64) -> Vec<Cycle> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut all = Vec::with_capacity(cycles);
    let mut left = Vec::new();
    while all.len() < cycles.div_ceil(3) {
        if left.is_empty() {
            left = combinations();
            random.shuffle(&mut left);
        }
        let Some((place, action)) = left.pop() else { break };
        let most = HITS.iter().find(|(name, _)| *name == place).map_or(1, |(_, most)| *most);
        all.push(Cycle::At(Setting { place, action, hit: random.u64(1..=most) }));
    }
    all.resize(cycles, Cycle::Kill);
    random.shuffle(&mut all);
    all
}

/// One living project, and what became of it.
struct Lane<'a> {
    name: usize,
    living: Living,
    /// Cycles since everything was counted last.
    since: Vec<String>,
    outcome: Outcome,
    say: &'a (dyn Fn(String) + Sync),
}

impl<'a> Lane<'a> {
    fn new(name: usize, seed: u64, say: &'a (dyn Fn(String) + Sync)) -> Self {
        let living = Living::new(seed.wrapping_add(name as u64));
        Self { name, living, since: Vec::new(), outcome: Outcome::default(), say }
    }

    fn run(mut self, cycles: &[(usize, Cycle)]) -> Outcome {
        for (done, (number, cycle)) in (1..).zip(cycles) {
            let name = format!("cycle {number} ({cycle})");
            self.since.push(name.clone());
            match self.living.cycle(*cycle) {
                Ok(()) => self.passed(*cycle),
                Err(why) => self.problem(&format!("{name}: {why}")),
            }
            self.outcome.cycles += 1;
            if done % LOOKED_EVERY == 0
                && let Err(why) = self.living.store_is_whole()
            {
                self.problem(&format!("after {name}: {why}"));
            }
            if done % COUNTED_EVERY == 0 || done == cycles.len() {
                self.count();
            }
        }
        self.outcome
    }

    fn passed(&mut self, cycle: Cycle) {
        match cycle {
            Cycle::At(Setting { place, action, .. }) => {
                self.outcome.kills += usize::from(action == Action::Crash);
                self.outcome.reached.insert((place, action));
            }
            Cycle::Kill => self.outcome.kills += 1,
        }
    }

    /// Brings everything to rest and counts it.
    fn count(&mut self) {
        if let Err(why) = self.living.rest() {
            self.problem(&why);
        }
        let tally = count(&self.living);
        if !tally.is_clean() {
            self.problem(&format!(
                "{} lost, {} duplicated, {} left over, {} in the wrong list, {} with wrong values:\n  {}",
                tally.lost,
                tally.duplicated,
                tally.left_over,
                tally.misplaced,
                tally.wrong,
                tally.examples.join("\n  ")
            ));
        }
        self.outcome.tally.add(&tally);
        for args in [&["plan", "--exit-code"][..], &["verify"]] {
            let ended = self.living.place.syncline(args);
            if ended.code != 0 {
                self.problem(&format!("{args:?} after everything was done: {ended:?}"));
            }
        }
        (self.say)(format!(
            "project {}: {} cycles, {} places with their actions, {} problems",
            self.name,
            self.outcome.cycles,
            self.outcome.reached.len(),
            self.outcome.problems.len()
        ));
        self.since.clear();
    }

    fn problem(&mut self, what: &str) {
        let since = self.since.join(", ");
        let text = format!("project {}: {what}\n  cycles since it was counted last: {since}", self.name);
        (self.say)(format!("PROBLEM {text}"));
        self.outcome.problems.push(text);
    }
}
