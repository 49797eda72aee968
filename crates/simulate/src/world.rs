//! The simulated world: everything that outlives a process, and everything that goes wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use jiff::Timestamp;
use syncline_connect::{Error, clock::Clock, destination::Stamp, error::Kind};
use syncline_core::{budget::Limit, identity::Identity, value::Value};
use syncline_store::IntentKind;
use tokio::time::Instant;

use crate::{
    far::{FIELDS, Far, Item, LISTS},
    scenario::{Chaos, Scenario},
    table::Table,
    trace::Trace,
};

/// The world begins two days into its clock, so that quotas have a past.
const BEGIN: Duration = Duration::from_secs(2 * 24 * 3600);

/// Everything that outlives a process.
pub struct World {
    /// What the simulation is about.
    pub scenario: Arc<Scenario>,
    /// The source.
    pub table: Table,
    /// The destination.
    pub far: Far,
    /// Chance.
    pub random: Rng,
    /// The timeline.
    pub trace: Trace,
    /// Faults are over.
    pub quiet: bool,
    /// Nothing moves but the run itself.
    pub still: bool,
    /// A listing of the source lacked rows.
    pub lied: bool,
    /// The second user did something to an item of ours that no run is told about.
    pub meddled: bool,
    /// Records may double by the nature of the destination: no stamp and a lost answer, a create delivered twice without a
    /// unique stamp, and the like.
    pub doubled: bool,
    /// What must never happen, and did.
    pub violations: Vec<Violation>,
    /// Open intents as the store has them: whose, what kind, and whether a record is to be marked as gone.
    pub intents: BTreeMap<Identity, (IntentKind, bool)>,
    /// Identities that left the ledger without leaving the destination: rejected deletes, lost stores.
    pub released: BTreeSet<Identity>,
    /// Identities in the ledger.
    pub ledger: BTreeSet<Identity>,
    /// Identities that the present listing of the source has shown.
    pub shown: BTreeSet<Identity>,
    /// Identities of which an item exists that nothing leads to any more, so that a second one may be made: deletes that were
    /// rejected, stamps that were cleared before the ledger knew the item, and what no source record claimed when a lost ledger
    /// was rebuilt.
    pub strayed: BTreeSet<Identity>,
    /// Leases claimed so far.
    pub claims: u64,
    /// Two nodes have worked at once.
    pub two_nodes: bool,
    /// Records the present run has tried to delete or mark as gone.
    pub deleted: BTreeSet<Identity>,
    /// The source's clock when the present run began.
    pub run_began: i64,
    /// Records the present run has tried to create.
    pub created: u64,
    /// How many records the present run may delete, those it created left out.
    pub deletes_allowed: u64,
    /// How many it may delete when the source was empty from its beginning to its end.
    pub deletes_of_empty: Option<u64>,
    /// Units charged: when, how many, by which process.
    pub charges: Vec<(Duration, u64, u32)>,
    /// When each process last recorded what it spent.
    pub saved: BTreeMap<u32, Duration>,
    start: Instant,
}

/// Something that must never happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// The world, as processes share it.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<World>>);

impl Shared {
    /// Puts a world where processes can share it.
    pub fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    /// The world, for a moment without waiting.
    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// The world of a scenario at its beginning.
    #[expect(clippy::disallowed_methods, reason = "tokio's paused clock is the clock of this world")]
    pub fn new(scenario: Scenario, keep_trace: bool) -> Self {
        let mut random = Rng::with_seed(scenario.seed);
        let chaos = &scenario.chaos;
        let trouble = chaos.requests + chaos.crashes + chaos.store + chaos.pauses > 0;
        let doubled = match scenario.stamp {
            Stamp::Unique => false,
            // Nothing stops a node that wakes up late from making what another has made.
            Stamp::Indexed => chaos.pauses > 0,
            Stamp::None => trouble,
        };
        let table = Table::new(&scenario, &mut random);
        let mut world = Self {
            scenario: Arc::new(scenario),
            table,
            far: Far::default(),
            random,
            trace: Trace::new(keep_trace),
            quiet: false,
            still: false,
            lied: false,
            meddled: false,
            doubled,
            violations: Vec::new(),
            intents: BTreeMap::new(),
            released: BTreeSet::new(),
            ledger: BTreeSet::new(),
            shown: BTreeSet::new(),
            strayed: BTreeSet::new(),
            claims: 0,
            two_nodes: false,
            deleted: BTreeSet::new(),
            run_began: 0,
            created: 0,
            deletes_allowed: 0,
            deletes_of_empty: None,
            charges: Vec::new(),
            saved: BTreeMap::new(),
            start: Instant::now(),
        };
        let strangers =
            if world.scenario.adopt || world.random.u8(0..3) == 0 { world.random.usize(0..8) } else { 0 };
        (0..strangers).for_each(|_| world.add_stranger());
        world
    }

    /// Virtual time since the world began.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Writes into the timeline.
    pub fn say(&mut self, who: &str, what: fmt::Arguments<'_>) {
        let now = self.now();
        self.trace.say(now, who, what);
    }

    /// Records what must never happen.
    pub fn violate(&mut self, invariant: &'static str, what: impl Into<String>) {
        let violation = Violation { invariant, what: what.into() };
        self.say("CHECK", format_args!("{violation}"));
        self.violations.push(violation);
    }

    /// Holds in so many of a thousand cases; never when faults are over.
    pub fn chance(&mut self, per_thousand: u32) -> bool {
        !self.quiet && per_thousand > 0 && self.random.u32(0..1000) < per_thousand
    }

    /// Whether a kind of trouble strikes now.
    pub fn strikes(&mut self, kind: fn(&Chaos) -> u32) -> bool {
        let per_thousand = kind(&self.scenario.chaos);
        self.chance(per_thousand)
    }

    /// A time up to `most`.
    pub fn moment(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.random.u64(0..=most.as_micros() as u64))
    }

    /// Commits what the source's transactions have come to.
    pub fn commit(&mut self) {
        if !self.still {
            let now = self.now();
            self.table.advance(now);
        }
    }

    /// Perhaps changes the source.
    pub fn churn(&mut self) {
        let now = self.now();
        self.commit();
        if self.still || !self.strikes(|c| c.churn) {
            return;
        }
        let scenario = Arc::clone(&self.scenario);
        let what = self.table.churn(&scenario, &mut self.random, now);
        self.say("source", format_args!("{what}"));
    }

    /// Perhaps fails a read of the source.
    pub fn source_fault(&mut self, doing: &str) -> Result<(), Error> {
        if !self.strikes(|c| c.source) {
            return Ok(());
        }
        let kind = if self.random.bool() { Kind::Unreachable } else { Kind::Unanswered };
        self.say("source", format_args!("{doing} fails: {kind:?}"));
        Err(Error::new(kind, "the source is away"))
    }

    /// Applies what has arrived at the far side, and lets the second user act.
    pub fn advance(&mut self) {
        let now = self.now();
        let scenario = Arc::clone(&self.scenario);
        self.far.advance(now, &scenario);
        for what in std::mem::take(&mut self.far.applied) {
            self.say("far", format_args!("{what}"));
        }
        for what in std::mem::take(&mut self.far.wrongs) {
            self.violate("only what is ours", what);
        }
        if !self.still && self.strikes(|c| c.user) {
            self.user_acts();
        }
    }

    /// The second user edits, deletes or adds.
    pub fn user_acts(&mut self) {
        let ids: Vec<u64> = self.far.items.keys().copied().collect();
        if ids.is_empty() || self.random.u8(0..5) == 0 {
            self.add_stranger();
            return;
        }
        let id = ids[self.random.usize(0..ids.len())];
        self.meddled |= self.far.items[&id].owner.is_some();
        match self.random.u8(0..8) {
            0 => {
                self.far.items.remove(&id);
                self.say("user", format_args!("deletes item {id}"));
            }
            1 => {
                let owner = self.far.items[&id].owner;
                // Recovery looks for the stamp of an interrupted create.
                self.doubled |= owner.is_some_and(|owner| self.intents.contains_key(&owner));
                if let Some(owner) = owner.filter(|owner| !self.ledger.contains(owner)) {
                    // Only the stamp led to it.
                    self.strayed.insert(owner);
                    self.released.insert(owner);
                }
                self.far.edit(id, |item| item.stamp = None);
                self.say("user", format_args!("clears the stamp of item {id}"));
            }
            2 => {
                self.far.edit(id, |_| {});
                self.say("user", format_args!("saves item {id} as it is"));
            }
            _ => {
                let name = format!("edited {}", self.random.u8(..));
                self.say("user", format_args!("renames item {id} to {name:?}"));
                self.far.edit(id, |item| item.values[2] = Value::Text(name.into()));
            }
        }
    }

    fn add_stranger(&mut self) {
        let rows: Vec<&str> = self.table.rows.values().filter_map(|row| row.code.as_deref()).collect();
        let code = match rows.len() {
            n if n > 0 && self.random.u8(0..4) > 0 => rows[self.random.usize(0..n)].to_owned(),
            _ => format!("S{}", self.random.u8(..)),
        };
        let mut values = vec![Value::Null; FIELDS.len()];
        values[0] = Value::Text(code.clone().into());
        values[2] = Value::Text("a stranger".into());
        let list = self.random.usize(0..LISTS.len());
        let id = self.far.put(list, values, None, None, Duration::ZERO);
        self.say("user", format_args!("adds item {id} with code {code} to {}", LISTS[list]));
    }

    /// The store is gone with everything it knew; what the far side holds stays, and what carries no stamp is a stranger.
    pub fn forget_ledger(&mut self) {
        self.intents.clear();
        self.ledger.clear();
        // With it goes what was spent.
        self.charges.clear();
        // Without a stamp nothing tells which items were ours; and only lists that the definition names are looked into.
        self.doubled |= self.scenario.stamp == Stamp::None || self.scenario.definitions.len() > 1;
        self.released.extend(self.far.items.values().filter_map(|item| item.owner));
        for item in self.far.items.values_mut().filter(|item| item.stamp.is_none()) {
            item.owner = None;
        }
    }

    /// A first complete run has come to its end: what carries a stamp that no record of the listing has is left alone from now
    /// on, as its plan says. Should the source show such a record later, and in another list, nothing leads to the item.
    pub fn end_contact(&mut self) {
        let owners =
            self.far.items.values().filter(|item| item.stamp.is_some()).filter_map(|item| item.owner);
        let left = owners.filter(|owner| !self.ledger.contains(owner) && !self.shown.contains(owner));
        let left: Vec<Identity> = left.collect();
        self.strayed.extend(left);
    }

    /// A node that had lost its lease has sent what it had in hand: nothing at the far side could stop it. What it made and the
    /// other node does not want any more belongs to nobody; what the other node had made too was not in its way once a user had
    /// cleared the stamp.
    pub fn stray_since(&mut self, before: &BTreeMap<u64, Item>) {
        let made = self.far.items.iter().filter(|(id, _)| !before.contains_key(id));
        let cleared = |owner: &Identity| {
            self.far.items.values().any(|item| item.owner == Some(*owner) && item.stamp.is_none())
        };
        let owners = made.filter_map(|(_, item)| item.owner);
        let owners = owners.filter(|owner| !self.ledger.contains(owner) || cleared(owner));
        let owners: Vec<Identity> = owners.collect();
        self.strayed.extend(&owners);
        self.released.extend(owners);
    }

    /// A person has rejected a delete: the item stays, and leaves the ledger.
    pub fn let_go(&mut self, identity: Identity) {
        self.released.insert(identity);
        self.strayed.insert(identity);
        self.ledger.remove(&identity);
    }

    /// A run deletes no more than the guard lets through or a person has approved.
    pub fn check_deletes(&mut self) {
        let deleted = self.deleted.len() as u64;
        // An empty source deletes nothing without a person's word.
        let empty = self.deletes_of_empty.filter(|_| self.table.rows.is_empty());
        let allowed = empty.unwrap_or(self.deletes_allowed + self.created);
        if deleted > allowed && !self.two_nodes {
            self.violate("the guard", format!("{deleted} deletes were sent, {allowed} were allowed"));
        }
    }

    /// A request arrives at the far side.
    pub fn charge(&mut self, at: Duration, units: u64, process: u32) {
        self.charges.push((at, units, process));
    }

    /// A process has ended: what it spent since it last recorded that is known to nobody, and forgiven.
    pub fn forget_unsaved(&mut self, process: u32) {
        let saved = self.saved.get(&process).copied().unwrap_or_default();
        self.charges.retain(|(at, _, by)| *by != process || *at < saved);
    }

    /// The most units charged in any window of a limit.
    pub fn most_charged(&self, limit: Limit) -> u64 {
        let mut charges: Vec<(Duration, u64)> = self.charges.iter().map(|(at, n, _)| (*at, *n)).collect();
        charges.sort_unstable();
        let (mut first, mut sum, mut most) = (0, 0, 0);
        for (at, units) in &charges {
            sum += units;
            while *at - charges[first].0 >= limit.window {
                sum -= charges[first].1;
                first += 1;
            }
            most = most.max(sum);
        }
        most
    }
}

/// The clock of the world as the engine sees it.
#[derive(Debug)]
pub struct WorldClock {
    start: Instant,
}

impl WorldClock {
    /// The clock of a world.
    pub fn of(world: &World) -> Self {
        Self { start: world.start }
    }
}

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        let elapsed = jiff::SignedDuration::try_from(self.start.elapsed()).unwrap_or_default();
        Timestamp::UNIX_EPOCH
            .checked_add(jiff::SignedDuration::from_secs(1_795_000_000))
            .and_then(|begin| begin.checked_add(elapsed))
            .unwrap_or(Timestamp::MAX)
    }

    fn elapsed(&self) -> Duration {
        BEGIN + self.start.elapsed()
    }
}
