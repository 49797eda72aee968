//! What one simulation is about, drawn from its seed: the definition of the sync, the nature of both systems, and how much
//! goes wrong. Plain data, so that a failing one can be made smaller piece by piece.

use std::time::Duration;

use fastrand::Rng;
use syncline_connect::destination::Stamp;
use syncline_core::{
    budget::Limit,
    sync::{DeletePolicy, Mode, OnEdit},
};

/// One simulation.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Everything that is drawn later is drawn from this.
    pub seed: u64,
    /// Rows at the beginning.
    pub rows: usize,
    /// Runs during which things go wrong.
    pub rounds: usize,
    /// Which columns say "same record".
    pub key: KeyKind,
    /// What an ordinary run reads.
    pub mode: Mode,
    /// The definition, and what it is changed to in the middle of its life.
    pub definitions: Vec<Definition>,
    /// Delete policy and guard.
    pub policy: DeletePolicy,
    /// See [`syncline_core::sync::Deletes`].
    pub guard_count: u64,
    /// In percent.
    pub guard_percent: f64,
    /// Whether leaving the filter counts as gone.
    pub out_of_filter: bool,
    /// Whether existing records are paired by their `Code`.
    pub adopt: bool,
    /// What to do about edits in the destination.
    pub on_edit: OnEdit,
    /// Operations between two checkpoints.
    pub batch: usize,
    /// Rows in a page of the source.
    pub page: usize,
    /// Whether the source has a column that marks deleted rows.
    pub tombstones: bool,
    /// Whether the source knows its oldest open transaction; otherwise a lag stands in.
    pub tells_oldest: bool,
    /// How far back an incremental read starts. Clock steps and, where the source cannot tell, commits stay within it.
    pub overlap: Duration,
    /// How well the destination carries identities.
    pub stamp: Stamp,
    /// Operations in one request.
    pub batch_max: usize,
    /// Requests in flight.
    pub concurrency: usize,
    /// How long after a lost answer a write may still be applied, and how long a new record may be invisible to searches.
    pub settle: Duration,
    /// Quotas of the destination; one unit for each request and each operation.
    pub limits: Vec<Limit>,
    /// Attempts before a failure is final.
    pub attempts: u32,
    /// What goes wrong, and how often.
    pub chaos: Chaos,
}

/// Which columns say "same record".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// `code`, the primary key.
    Single,
    /// `code` and `part`, the primary key.
    Composite,
    /// `code`, the primary key, without regard to case.
    IgnoreCase,
    /// `code`, which nothing guarantees to be unique or not null.
    Loose,
    /// A hash over `code` and `name`.
    Hashed,
}

/// The part of the definition that changes in mid-life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Only rows that are not hidden.
    pub filter: bool,
    /// Rows of at least this amount go to the list of large ones.
    pub large: Option<i64>,
    /// Closed rows go to the list of closed ones.
    pub closed: bool,
    /// Whether the name is an expression.
    pub shouted: bool,
}

/// How often things go wrong, each per thousand occasions; 0 switches it off.
#[derive(Debug, Clone, Default)]
pub struct Chaos {
    /// Requests to the destination that meet a fault.
    pub requests: u32,
    /// Reads from the source that fail.
    pub source: u32,
    /// Changes to the source while it is being read.
    pub churn: u32,
    /// Transactions of the source that commit late.
    pub late: u32,
    /// Steps of the source's clock.
    pub clock: u32,
    /// Complete-looking listings of the source that lack rows.
    pub lies: u32,
    /// Store operations that fail, before or after they are durable.
    pub store: u32,
    /// Runs that die at some await point.
    pub crashes: u32,
    /// Runs that are paused for longer than their lease while another node takes over.
    pub pauses: u32,
    /// Runs that are cancelled.
    pub cancels: u32,
    /// Acts of a second user between and during requests.
    pub user: u32,
    /// Rows that no destination accepts.
    pub poison: u32,
    /// Stores that are lost and begin anew.
    pub lost_stores: u32,
}

impl Scenario {
    /// The scenario of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed ^ 0x5ce7_a210);
        let r = &mut random;
        let stamp = match r.u8(0..10) {
            0..6 => Stamp::Unique,
            6..9 => Stamp::Indexed,
            _ => Stamp::None,
        };
        let mode = if r.bool() { Mode::Full } else { Mode::Incremental };
        let key = match r.u8(0..10) {
            0..4 => KeyKind::Single,
            4..6 => KeyKind::Composite,
            6 => KeyKind::IgnoreCase,
            7..9 => KeyKind::Loose,
            _ => KeyKind::Hashed,
        };
        let first = Definition::drawn(r);
        let mut definitions = vec![first];
        if r.u8(0..4) == 0 {
            definitions.push(Definition::drawn(r));
        }
        Self {
            seed,
            rows: if r.u8(0..12) == 0 { r.usize(30..90) } else { r.usize(0..16) },
            rounds: r.usize(1..6),
            key,
            mode,
            definitions,
            policy: match r.u8(0..6) {
                0 => DeletePolicy::Ignore,
                1 | 2 => DeletePolicy::Soft { field: "DeletedAt".into() },
                _ => DeletePolicy::Delete,
            },
            guard_count: r.u64(0..6),
            guard_percent: f64::from(r.u32(0..60)),
            out_of_filter: r.bool(),
            adopt: r.u8(0..4) == 0,
            on_edit: if r.bool() { OnEdit::Overwrite } else { OnEdit::Report },
            batch: if r.bool() { r.usize(1..8) } else { r.usize(8..201) },
            page: if r.bool() { r.usize(1..6) } else { r.usize(6..100) },
            tombstones: r.u8(0..3) == 0,
            tells_oldest: r.bool(),
            overlap: Duration::from_secs(if r.u8(0..3) == 0 { 0 } else { r.u64(1..120) }),
            stamp,
            batch_max: r.usize(1..8),
            concurrency: r.usize(1..4),
            settle: Duration::from_millis(r.u64(200..20_000)),
            limits: limits(r),
            attempts: r.u32(2..5),
            chaos: Chaos::drawn(r),
        }
    }

    /// The definition in force in a round.
    pub fn definition(&self, round: usize) -> &Definition {
        let changed = self.definitions.len() > 1 && round * 2 >= self.rounds;
        &self.definitions[usize::from(changed)]
    }
}

impl Definition {
    fn drawn(r: &mut Rng) -> Self {
        Self {
            filter: r.u8(0..3) == 0,
            large: r.bool().then(|| r.i64(1..9) * 100),
            closed: r.bool(),
            shouted: r.u8(0..3) == 0,
        }
    }
}

impl Chaos {
    /// Most worlds have a few kinds of trouble, some have none, some have all.
    fn drawn(r: &mut Rng) -> Self {
        let level = r.u32(0..4);
        let mut some = |most: u32| if r.u32(0..4) < level { r.u32(0..most) } else { 0 };
        Self {
            requests: some(350),
            source: some(60),
            churn: some(700),
            late: some(500),
            clock: some(100),
            lies: some(40),
            store: some(25),
            crashes: some(900),
            pauses: some(400),
            cancels: some(200),
            user: some(60),
            poison: some(150),
            lost_stores: some(60),
        }
    }
}

fn limits(r: &mut Rng) -> Vec<Limit> {
    let short = Limit { units: r.u64(12..200), window: Duration::from_secs(r.u64(1..20)) };
    let long = Limit { units: r.u64(300..2_000), window: Duration::from_secs(3_600) };
    match r.u8(0..3) {
        0 => Vec::new(),
        1 => vec![short],
        _ => vec![short, long],
    }
}
