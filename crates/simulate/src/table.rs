//! The source's table: rows, transactions that commit late, and a clock that steps.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use fastrand::Rng;
use syncline_core::value::Value;

use crate::scenario::{KeyKind, Scenario};

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Key column; null only where nothing forbids it.
    pub code: Option<String>,
    /// Second key column of composite keys.
    pub part: i64,
    /// Free text.
    pub name: Option<String>,
    /// In cents.
    pub cents: i64,
    /// One of [`STATUSES`], or something that no destination accepts.
    pub status: String,
    /// Mixed case; mapped by an expression.
    pub owner: String,
    /// Microseconds on the source's clock; the cursor column.
    pub updated: Option<i64>,
    /// Tombstone column.
    pub deleted: bool,
}

/// What the destination's choice accepts.
pub const STATUSES: [&str; 3] = ["Active", "Closed", "Hidden"];
/// A name that the destination refuses.
pub const REFUSED: &str = "refused by the far side";
/// A status that no mapping can write.
pub const NO_CHOICE: &str = "No such choice";

/// A transaction that is open: what it will do, since when it runs, when it commits.
#[derive(Debug)]
struct Open {
    row: u64,
    becomes: Option<Row>,
    since: i64,
    commits: Duration,
}

/// The table.
#[derive(Debug)]
pub struct Table {
    /// Committed rows by an internal number.
    pub rows: BTreeMap<u64, Row>,
    open: Vec<Open>,
    next: u64,
    next_key: i64,
    /// How far the source's clock is behind.
    behind: Duration,
    /// Codes that were in the table once.
    past: Vec<(Option<String>, i64)>,
}

impl Table {
    /// A table with the scenario's first rows.
    pub fn new(scenario: &Scenario, random: &mut Rng) -> Self {
        let mut table = Self {
            rows: BTreeMap::new(),
            open: Vec::new(),
            next: 1,
            next_key: 0,
            behind: Duration::ZERO,
            past: Vec::new(),
        };
        for _ in 0..scenario.rows {
            table.insert(scenario, random, Duration::ZERO);
        }
        table
    }

    /// The source's clock, in microseconds since an arbitrary instant.
    pub fn clock(&self, now: Duration) -> i64 {
        now.saturating_sub(self.behind).as_micros() as i64
    }

    /// What an incremental read must stay below.
    pub fn bound(&self, scenario: &Scenario, now: Duration) -> i64 {
        let clock = self.clock(now);
        if scenario.tells_oldest {
            return self.open.iter().map(|o| o.since).min().map_or(clock, |oldest| oldest.min(clock));
        }
        clock - scenario.lag().as_micros() as i64
    }

    /// Commits what is due.
    pub fn advance(&mut self, now: Duration) {
        let (due, open): (Vec<Open>, Vec<Open>) =
            std::mem::take(&mut self.open).into_iter().partition(|o| o.commits <= now);
        self.open = open;
        for Open { row, becomes, .. } in due {
            self.put(row, becomes);
        }
    }

    /// Commits everything and sets the clock right.
    pub fn settle(&mut self) {
        self.advance(Duration::MAX);
        self.behind = Duration::ZERO;
    }

    fn put(&mut self, number: u64, becomes: Option<Row>) {
        match becomes {
            Some(row) => {
                self.past.push((row.code.clone(), row.part));
                self.rows.insert(number, row);
            }
            None => {
                self.rows.remove(&number);
            }
        }
    }

    /// Somebody changes something. Says what, for the timeline.
    pub fn churn(&mut self, scenario: &Scenario, random: &mut Rng, now: Duration) -> String {
        self.advance(now);
        let chance = |random: &mut Rng, n: u32| random.u32(0..1000) < n;
        if chance(random, scenario.chaos.clock) {
            return self.step_clock(scenario, random);
        }
        let free: Vec<u64> =
            self.rows.keys().copied().filter(|n| self.open.iter().all(|o| o.row != *n)).collect();
        let action = random.u8(0..12);
        let Some(number) = (!free.is_empty()).then(|| free[random.usize(0..free.len())]) else {
            return self.insert(scenario, random, now);
        };
        match action {
            0..3 => self.insert(scenario, random, now),
            3 if !scenario.tombstones => self.commit(scenario, random, now, number, None),
            3 | 4 => {
                let deleted = scenario.tombstones && !self.rows[&number].deleted;
                self.change(scenario, random, now, number, |row, _| row.deleted = deleted)
            }
            5 => self.change_key(scenario, random, now, number),
            6 => self.change(scenario, random, now, number, |row, random| {
                row.status = STATUSES[random.usize(0..STATUSES.len())].to_owned();
            }),
            7 => self.change(scenario, random, now, number, |row, random| row.cents = random.i64(0..100_000)),
            8 if chance(random, scenario.chaos.poison * 3) => {
                self.change(scenario, random, now, number, poison)
            }
            9 => self.touch_several(scenario.tombstones, random, now, &free),
            _ => self.change(scenario, random, now, number, |row, random| {
                row.name = name(random);
                row.status = STATUSES[random.usize(0..2)].to_owned();
            }),
        }
    }

    fn step_clock(&mut self, scenario: &Scenario, random: &mut Rng) -> String {
        let most = scenario.overlap.as_millis() as u64;
        self.behind = if self.behind.is_zero() && most > 0 {
            Duration::from_millis(random.u64(0..most))
        } else {
            Duration::ZERO
        };
        format!("the source's clock is now {:?} behind", self.behind)
    }

    fn insert(&mut self, scenario: &Scenario, random: &mut Rng, now: Duration) -> String {
        let mut row = Row {
            code: None,
            part: 0,
            name: name(random),
            cents: random.i64(0..100_000),
            status: STATUSES[if random.u8(0..6) == 0 { 2 } else { random.usize(0..2) }].to_owned(),
            owner: format!("Owner{}@Example.com", random.u8(0..5)),
            updated: None,
            deleted: false,
        };
        if random.u32(0..1000) < scenario.chaos.poison {
            poison(&mut row, random);
        }
        (row.code, row.part) = self.new_key(scenario, random);
        let number = self.next;
        self.next += 1;
        self.commit(scenario, random, now, number, Some(row))
    }

    /// A key that the table's constraints allow: new, or one that was there before.
    fn new_key(&mut self, scenario: &Scenario, random: &mut Rng) -> (Option<String>, i64) {
        if !self.past.is_empty() && random.u8(0..4) == 0 {
            let (code, part) = self.past[random.usize(0..self.past.len())].clone();
            if scenario.key == KeyKind::Loose || !self.taken(scenario, code.as_deref(), part) {
                return (code, part);
            }
        }
        if scenario.key == KeyKind::Loose && random.u8(0..20) == 0 {
            return (None, 0);
        }
        self.next_key += 1;
        let shared = scenario.key == KeyKind::Composite && random.bool();
        let number = if shared { self.next_key / 3 } else { self.next_key };
        (Some(format!("P{number}")), self.next_key)
    }

    fn taken(&self, scenario: &Scenario, code: Option<&str>, part: i64) -> bool {
        let same = |row: &Row| match scenario.key {
            KeyKind::Composite => row.code.as_deref() == code && row.part == part,
            _ => row.code.as_ref().map(|c| c.to_lowercase()) == code.map(str::to_lowercase),
        };
        let opening = self.open.iter().filter_map(|o| o.becomes.as_ref());
        self.rows.values().chain(opening).any(same)
    }

    fn change_key(&mut self, scenario: &Scenario, random: &mut Rng, now: Duration, number: u64) -> String {
        if scenario.key == KeyKind::IgnoreCase && random.bool() {
            return self.change(scenario, random, now, number, |row, random| {
                let upper = random.bool();
                row.code = row.code.take().map(|c| if upper { c.to_uppercase() } else { c.to_lowercase() });
            });
        }
        let (code, part) = self.new_key(scenario, random);
        self.change(scenario, random, now, number, |row, _| (row.code, row.part) = (code, part))
    }

    /// Several rows in one instant: ties.
    fn touch_several(&mut self, tombstones: bool, random: &mut Rng, now: Duration, free: &[u64]) -> String {
        let updated = self.clock(now);
        let count = random.usize(1..=free.len().min(7));
        let gone = random.u8(0..3) == 0;
        if gone && !tombstones {
            free.iter().take(count).for_each(|number| self.put(*number, None));
            return format!("{count} rows are deleted at once");
        }
        for number in free.iter().take(count) {
            let mut row = self.rows[number].clone();
            (row.updated, row.cents, row.deleted) = (Some(updated), random.i64(0..100_000), gone);
            self.put(*number, Some(row));
        }
        format!("{count} rows are changed in one instant ({updated})")
    }

    fn change(
        &mut self,
        scenario: &Scenario,
        random: &mut Rng,
        now: Duration,
        number: u64,
        change: impl FnOnce(&mut Row, &mut Rng),
    ) -> String {
        let mut row = self.rows[&number].clone();
        change(&mut row, random);
        self.commit(scenario, random, now, number, Some(row))
    }

    /// Writes a row, at once or in a transaction that commits late.
    fn commit(
        &mut self,
        scenario: &Scenario,
        random: &mut Rng,
        now: Duration,
        number: u64,
        mut becomes: Option<Row>,
    ) -> String {
        let since = self.clock(now);
        if let Some(row) = &mut becomes {
            row.updated = Some(since);
        }
        let what = match &becomes {
            Some(row) => format!("row {number} becomes {}", shown(row)),
            None => format!("row {number} is deleted"),
        };
        let most = if scenario.tells_oldest { Duration::from_secs(600) } else { scenario.lag() };
        if !most.is_zero() && random.u32(0..1000) < scenario.chaos.late {
            let commits = now + Duration::from_micros(random.u64(1..most.as_micros() as u64));
            self.open.push(Open { row: number, becomes, since, commits });
            return format!("{what}, committed at {:.3} s", commits.as_secs_f64());
        }
        self.put(number, becomes);
        what
    }
}

impl Scenario {
    /// How far below "now" an incremental read stops where the source cannot tell its oldest transaction.
    pub fn lag(&self) -> Duration {
        if self.tells_oldest { Duration::ZERO } else { self.overlap / 2 }
    }
}

fn name(random: &mut Rng) -> Option<String> {
    Some(match random.u8(0..12) {
        0 => return None,
        1 => String::new(),
        2 => "  padded ".to_owned(),
        3 => "Caf\u{e9}".to_owned(),
        4 => "Cafe\u{301}".to_owned(),
        _ => format!("name {}", random.u8(0..40)),
    })
}

fn poison(row: &mut Row, random: &mut Rng) {
    if random.bool() {
        row.status = NO_CHOICE.to_owned();
    } else {
        row.name = Some(REFUSED.to_owned());
    }
}

fn shown(row: &Row) -> String {
    format!(
        "{}/{} {:?} {} {} at {}{}",
        row.code.as_deref().unwrap_or("null"),
        row.part,
        row.name.as_deref().unwrap_or("null"),
        row.cents,
        row.status,
        row.updated.unwrap_or_default(),
        if row.deleted { " (tombstone)" } else { "" }
    )
}

impl Row {
    /// The value of a column.
    pub fn value(&self, column: &str) -> Value<'static> {
        let text = |text: &Option<String>| match text {
            Some(text) => Value::Text(Cow::Owned(text.clone())),
            None => Value::Null,
        };
        match column {
            "code" => text(&self.code),
            "part" => Value::Int64(self.part),
            "name" => text(&self.name),
            "amount" => Value::Decimal(Cow::Owned(format!("{}.{:02}", self.cents / 100, self.cents % 100))),
            "status" => Value::Text(Cow::Owned(self.status.clone())),
            "owner" => Value::Text(Cow::Owned(self.owner.clone())),
            "updated" => self.updated.map_or(Value::Null, |micros| Value::Timestamp { micros, zoned: true }),
            "deleted" => Value::Boolean(self.deleted),
            _ => Value::Null,
        }
    }
}
