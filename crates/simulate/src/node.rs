//! A process: the real engine with its own budgets and clock, on the world's systems and store.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc, time::Duration};

use syncline_connect::{budget::Budgets, clock::Clock};
use syncline_core::{
    expr::Expr,
    sync::{
        DeletePolicy, Deletes, Detect, Direction, FieldMap, From, Key, KeyColumns, Origin, Overlap, Route,
        Sync, TableOptions, To, Write,
    },
};
use syncline_engine::{
    Bound, Engine, Error,
    progress::Silent,
    retry::Policy,
    run::{Options, Report},
};
use syncline_store::{
    Intent, IntentKind, Store,
    memory::{Disk, MemoryStore},
};
use tokio::sync::watch;

use crate::{
    destination::FarDestination,
    far::LISTS,
    scenario::{Definition, KeyKind, Scenario},
    source::{TABLE, TableSource},
    store::FlakyStore,
    world::{Shared, WorldClock},
};

/// Name of the only sync.
pub const SYNC: &str = "projects";
/// Name of the destination's budget.
const BUDGET: &str = "far";

/// A process.
pub struct Node {
    /// Its number.
    pub process: u32,
    /// The engine.
    pub engine: Engine,
    /// The world it is in.
    pub world: Shared,
    sync: Sync,
    source: Arc<TableSource>,
    destination: Arc<FarDestination>,
    store: Arc<MemoryStore>,
}

impl Node {
    /// Starts a process.
    pub fn new(world: &Shared, disk: &Disk, process: u32, definition: &Definition) -> Self {
        let (scenario, clock) = {
            let world = world.lock();
            (Arc::clone(&world.scenario), WorldClock::of(&world))
        };
        let clock: Arc<dyn Clock> = Arc::new(clock);
        let budgets = Arc::new(Budgets::new(Arc::clone(&clock)));
        let budget = budgets.get(BUDGET, &scenario.limits);
        let store = Arc::new(MemoryStore::open(disk));
        let flaky = FlakyStore {
            inner: Arc::clone(&store),
            world: world.clone(),
            process,
            definition: definition.clone(),
        };
        let engine = Engine {
            store: Arc::new(flaky),
            clock,
            budgets,
            retry: Policy { attempts: scenario.attempts, ..Policy::default() },
            seed: scenario.seed ^ u64::from(process),
        };
        Self {
            process,
            engine,
            world: world.clone(),
            sync: sync(&scenario, definition),
            source: Arc::new(TableSource { world: world.clone() }),
            destination: Arc::new(FarDestination { world: world.clone(), process, budget }),
            store,
        }
    }

    /// The sync, bound to its systems.
    ///
    /// # Errors
    /// Those of [`Bound::open_whole`].
    pub async fn bound(&self) -> Result<Bound, Error> {
        let (source, destination) = (self.source.clone(), self.destination.clone());
        Bound::open_whole(self.sync.clone(), source, destination).await
    }

    /// A run from its beginning to its end.
    ///
    /// # Errors
    /// Those of [`syncline_engine::run::run`].
    pub async fn run(&self, options: &Options, cancel: watch::Receiver<bool>) -> Result<Report, Error> {
        let bound = self.bound().await?;
        syncline_engine::run::run(&self.engine, &bound, options, &Silent, cancel).await
    }

    /// How many deletes the next run may send, records it makes left out: what the guard lets through or a person has
    /// approved, and those that were let through before and are parked; and how many without the guard's part.
    pub async fn deletes_allowed(&self) -> (u64, u64) {
        let scenario = Arc::clone(&self.world.lock().scenario);
        let known: u64 = self.store.known(SYNC).await.unwrap_or_default().iter().map(|(_, n)| n).sum();
        // What an interrupted run made is known once recovery has found it.
        let made = |intent: &&Intent| intent.kind == IntentKind::Create;
        let open = self.store.open_intents(SYNC).await.unwrap_or_default();
        let known = known + open.iter().filter(made).count() as u64;
        let approved = self.store.approval(SYNC).await.unwrap_or_default().unwrap_or_default();
        let parked = self.store.parked(Some(SYNC), None, usize::MAX).await.unwrap_or_default().len() as u64;
        (scenario.guard_allows(known).max(approved) + parked, approved + parked)
    }
}

impl Scenario {
    /// How many of so many known records the guard lets go.
    pub fn guard_allows(&self, known: u64) -> u64 {
        let share = (known as f64 * self.guard_percent / 100.0).floor() as u64;
        self.guard_count.max(share)
    }
}

/// The definition as a user would have written it.
fn sync(scenario: &Scenario, definition: &Definition) -> Sync {
    let columns = |names: &[&str]| KeyColumns::Columns(names.iter().map(|n| (*n).to_owned()).collect());
    let key = match scenario.key {
        KeyKind::Single | KeyKind::Composite | KeyKind::IgnoreCase => KeyColumns::PrimaryKey,
        KeyKind::Loose => columns(&["code"]),
        KeyKind::Hashed => KeyColumns::Hashed(vec!["code".into(), "name".into()]),
    };
    let name = if definition.shouted { cel("name + '!'") } else { column("name") };
    let mut routes = Vec::new();
    if let Some(large) = definition.large {
        routes.push(Route { when: compiled(&format!("amount >= {large}")), stream: LISTS[1].into() });
    }
    if definition.closed {
        routes.push(Route { when: compiled("status == 'Closed'"), stream: LISTS[2].into() });
    }
    Sync {
        name: SYNC.into(),
        from: From {
            connection: "source".into(),
            stream: TABLE.into(),
            mass_query: None,
            key: Key { columns: key, ignore_case: scenario.key == KeyKind::IgnoreCase },
            cursor: Some("updated".into()),
            overlap: Overlap { time: scenario.overlap, count: 0 },
            lag: scenario.lag(),
            tombstone: scenario.tombstones.then(|| "deleted".into()),
            tombstone_values: Vec::new(),
            filter: definition.filter.then(|| compiled("status != 'Hidden'")),
        },
        to: To { connection: "far".into(), stream: LISTS[0].into(), table: TableOptions::default() },
        mode: scenario.mode,
        write: if scenario.policy == DeletePolicy::Delete { Write::Mirror } else { Write::Upsert },
        deletes: Deletes {
            policy: scenario.policy.clone(),
            guard_count: scenario.guard_count,
            guard_percent: scenario.guard_percent,
            out_of_filter: scenario.out_of_filter,
            detect: Detect::Listing,
        },
        fields: vec![
            field("Code", column("code")),
            field("Part", column("part")),
            field("Name", name),
            field("Amount", column("amount")),
            field("Status", column("status")),
            field("Owner", cel("owner.lowerAscii()")),
        ],
        routes,
        adopt: scenario.adopt.then(|| vec!["Code".to_owned()]),
        on_edit: scenario.on_edit,
        batch: scenario.batch,
        rest: false,
        schedules: Vec::new(),
        params: Vec::new(),
        fresh: None,
        each: None,
    }
}

fn field(to: &str, from: Origin) -> FieldMap {
    FieldMap { to: to.into(), from, direction: Direction::Push, required: false, default: None, kind: None }
}

fn column(name: &str) -> Origin {
    Origin::Column(name.into())
}

fn cel(text: &str) -> Origin {
    Origin::Expression(compiled(text))
}

/// Compiling costs more than a whole small run, and there are few expressions.
fn compiled(text: &str) -> Expr {
    thread_local! { static KNOWN: RefCell<BTreeMap<String, Expr>> = const { RefCell::new(BTreeMap::new()) }; }
    KNOWN.with_borrow_mut(|known| {
        if let Some(expr) = known.get(text) {
            return expr.clone();
        }
        let expr = Expr::compile(text).expect("the simulation's own expressions are right");
        known.insert(text.to_owned(), expr.clone());
        expr
    })
}

/// Longer than any parked record waits for its retry.
pub const LONGER_THAN_PARKED: Duration = Duration::from_secs(7 * 3_600);
