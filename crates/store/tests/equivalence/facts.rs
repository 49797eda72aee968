//! Facts from small pools, so that traces meet the same records again and again.

use jiff::{SignedDuration, Timestamp};
use syncline_core::{
    counts::Counts,
    cursor::{Cursor, Position},
    identity::Identity,
    value::Value,
};
use syncline_store::{
    Drift, DriftKind, Fields, Held, Intent, IntentKind, KeyValues, LedgerChange, LedgerRow, Parked, Scratch,
    WriteKind, Written,
};

pub(super) const PROCESSES: usize = 2;
pub(super) const SYNCS: [&str; 2] = ["projects", "Büro/Größe"];
pub(super) const STREAMS: [&str; 3] = ["site/active", "site/closed", "site/large"];
pub(super) const BUDGETS: [&str; 2] = ["tenant", "app"];
pub(super) const IDENTITIES: u64 = 10;
pub(super) const NATURAL: [[u8; 32]; 2] = [[1; 32], [2; 32]];

pub(super) fn identity(n: u64) -> Identity {
    let mut bytes = [0x5a; 32];
    // Not in the order of the numbers.
    bytes[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Identity(bytes)
}

/// Makes facts from random numbers.
pub(super) struct Facts {
    pub(super) random: fastrand::Rng,
}

impl Facts {
    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.random.u64(..n) == 0
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.random.usize(..from.len())].clone()
    }

    pub(super) fn several<T>(&mut self, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.random.usize(..=most)).map(|_| make(self)).collect()
    }

    pub(super) fn number(&mut self) -> u64 {
        self.random.u64(..IDENTITIES)
    }

    pub(super) fn identity(&mut self) -> Identity {
        identity(self.number())
    }

    pub(super) fn stream(&mut self) -> String {
        self.pick(&STREAMS).to_owned()
    }

    pub(super) fn limit(&mut self) -> usize {
        self.pick(&[0, 1, 2, 3, 9, usize::MAX])
    }

    /// Mostly one of a few seconds, so that times meet; also as many days later as things are kept, between two microseconds,
    /// before 1970, and before the year 0.
    pub(super) fn time(&mut self) -> Timestamp {
        let second =
            Timestamp::from_second(1_795_000_000 + self.random.i64(0..6)).expect("a time of our era");
        match self.random.u8(..100) {
            0..70 => second,
            70..85 => second + SignedDuration::from_hours(24 * self.pick(&[1, 2, 3, 89, 90, 91, 180])),
            85..95 => second + SignedDuration::from_nanos(self.random.i64(0..4) * 500),
            95..99 => Timestamp::from_nanosecond(-1_000_000_000_500).expect("a time of our era"),
            _ => "-000001-01-01T00:00:00Z".parse().expect("a time before our era"),
        }
    }

    /// The record of an identity: mostly its own.
    fn record_id(&mut self, n: u64) -> String {
        match self.random.u8(..100) {
            0..85 => n.to_string(),
            85..98 => self.number().to_string(),
            _ => String::new(),
        }
    }

    fn version(&mut self) -> Option<String> {
        self.pick(&[None, Some("\"1\"".to_owned()), Some("\"2\"".to_owned())])
    }

    fn hash(&mut self) -> [u8; 32] {
        [self.random.u8(..3); 32]
    }

    /// The key of an identity: mostly the same one.
    fn key(&mut self, n: u64) -> KeyValues {
        let text = |text: String| Value::Text(text.into());
        if self.one_in(150) {
            return vec![Value::List(vec![Value::Float64(f64::NAN)])];
        }
        if self.one_in(20) {
            return vec![Value::Int64(7), Value::Null];
        }
        let first = match n {
            0 => Value::Int64(100),
            1 => Value::Int64(-9_007_199_254_740_993),
            2 => Value::Float64(99.5),
            3 => Value::Decimal("450000.00".into()),
            4 => Value::Timestamp { micros: 999_999, zoned: true },
            5 => Value::Timestamp { micros: 1_000_000, zoned: true },
            6 => Value::Uuid([0xab; 16]),
            7 => return Vec::new(),
            n => text(format!("PRJ-{n} \"\u{1F980}\"")),
        };
        vec![first, text("€".to_owned())]
    }

    fn fields(&mut self) -> Fields {
        let mut fields = Fields::new();
        for name in ["Title", "Größe"] {
            if !self.one_in(3) {
                let values = [serde_json::Value::Null, 0.1.into(), u64::MAX.into(), "a \\ \"b\"".into()];
                fields.insert(name.to_owned(), self.pick(&values));
            }
        }
        fields
    }

    pub(super) fn row(&mut self, n: u64) -> LedgerRow {
        LedgerRow {
            identity: identity(n),
            stream: self.stream(),
            record_id: self.record_id(n),
            version: self.version(),
            hash: if self.one_in(6) { None } else { Some(self.hash()) },
            gone: self.one_in(5),
            key: self.key(n),
            fields: self.fields(),
        }
    }

    pub(super) fn change(&mut self) -> LedgerChange {
        let n = self.number();
        if self.one_in(5) { LedgerChange::Remove(identity(n)) } else { LedgerChange::Put(self.row(n)) }
    }

    pub(super) fn kind(&mut self) -> IntentKind {
        self.pick(&[IntentKind::Create, IntentKind::Update, IntentKind::Move, IntentKind::Delete])
    }

    /// Mostly of a record with an id.
    pub(super) fn written(&mut self) -> Written {
        let n = self.number();
        let record_id = if self.one_in(90) { String::new() } else { n.to_string() };
        Written { identity: identity(n), kind: self.pick(&WriteKind::ALL), stream: self.stream(), record_id }
    }

    /// Mostly possible.
    pub(super) fn intent(&mut self) -> Intent {
        let (n, kind) = (self.number(), self.kind());
        let mut row = self.row(n);
        if matches!(kind, IntentKind::Create | IntentKind::Move) && !self.one_in(4) {
            row.record_id = String::new();
        }
        let comes_from = (kind == IntentKind::Move) != self.one_in(40);
        let from = comes_from.then(|| (self.stream(), self.record_id(n)));
        Intent { kind, row, from, created: self.one_in(60) }
    }

    pub(super) fn parked(&mut self, sync: &str) -> Parked {
        let n = self.number();
        Parked {
            sync: self.sync_of(sync),
            identity: identity(n),
            key: if self.one_in(5) { None } else { Some(self.key(n)) },
            label: self.pick(&["PRJ-1", "PRJ-2", ""]).to_owned(),
            kind: if self.one_in(5) { None } else { Some(self.kind()) },
            code: if self.one_in(80) {
                String::new()
            } else {
                self.pick(&["rejected", "conflict"]).to_owned()
            },
            message: "the title is too long".to_owned(),
            attempts: self.random.u32(..3),
            first_at: self.time(),
            last_at: self.time(),
            retry_at: self.time(),
            run: self.random.u64(..5),
        }
    }

    pub(super) fn held(&mut self, sync: &str) -> Held {
        let n = self.number();
        Held {
            sync: self.sync_of(sync),
            identity: identity(n),
            label: self.pick(&["PRJ-1", "PRJ-2"]).to_owned(),
            stream: self.stream(),
            record_id: self.record_id(n),
            reason: "60 of 100 records would go".to_owned(),
            since: self.time(),
            run: self.random.u64(..5),
        }
    }

    /// Mostly the same one.
    fn sync_of(&mut self, sync: &str) -> String {
        if self.one_in(100) { self.pick(&SYNCS).to_owned() } else { sync.to_owned() }
    }

    pub(super) fn cursor(&mut self) -> Cursor {
        let n = self.number();
        let position = Position { cursor: Value::Int64(self.random.i64(0..9)), key: self.key(n) };
        Cursor {
            position: if self.one_in(4) { None } else { Some(position) },
            fingerprint: self.pick(&["one", "two"]).to_owned(),
        }
    }

    /// Mostly an account that closes.
    pub(super) fn counts(&mut self) -> Counts {
        let mut number = || self.random.u64(..4);
        let mut counts = Counts {
            created: number(),
            updated: number(),
            moved: number(),
            deleted: number(),
            unchanged: number(),
            skipped: number(),
            parked: number(),
            held: number(),
            conflicted: number(),
            read: 0,
        };
        counts.read = counts.accounted();
        if self.one_in(5) {
            counts.read += 1;
        }
        if self.one_in(100) {
            counts.read = u64::MAX;
        }
        counts
    }

    pub(super) fn scratch(&mut self) -> Scratch {
        let n = self.number();
        let foreign = self.identity();
        Scratch {
            stream: self.stream(),
            record_id: self.record_id(n),
            version: self.version(),
            stamp: self.pick(&[Some(identity(n)), Some(identity(n)), Some(foreign), None]),
            natural: self.pick(&[None, Some(NATURAL[0]), Some(NATURAL[1])]),
            hash: self.hash(),
            gone: self.random.bool(),
            fields: self.fields(),
        }
    }

    /// Drift that nobody found.
    pub(super) fn drift(&mut self) -> Drift {
        use DriftKind::{Duplicate, Edited, Missing, Orphan, Stranger};
        let n = self.number();
        Drift {
            kind: self.pick(&[Missing, Edited, Edited, Duplicate, Orphan, Stranger]),
            identity: if self.one_in(9) { None } else { Some(identity(n)) },
            label: format!("PRJ-{n}"),
            stream: self.stream(),
            record_id: self.record_id(n),
            version: self.version(),
            expected: Fields::new(),
            found: Fields::new(),
        }
    }
}
