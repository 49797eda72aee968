//! What every source must do.
//!
//! A connector's tests give a [`Kit`], which makes tables in a real system from a portable description, and call [`run`].
//! A broken promise panics with the promise. Values in panics are the suite's own.

mod changes;
mod facts;
mod listing;
mod values;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use syncline_core::{
    batch::{Batch, RecordOp},
    cursor::Position,
    schema::{Field, FieldType},
    sync::Overlap,
    value::Value,
};

use crate::{
    Error, Source,
    source::{Read, Reader},
};

/// 2026-01-31T10:00:00Z: in the past for every clock a test may have.
pub const START: i64 = 1_769_853_600_000_000;

/// A table to make, in portable terms.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name, exactly; may hold anything.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Field>,
    /// Its primary key; empty: none.
    pub primary_key: Vec<String>,
    /// Unique constraints.
    pub unique: Vec<Vec<String>>,
    /// Other indexes.
    pub indexes: Vec<Vec<String>>,
}

impl Table {
    /// A table of these columns; a `!` at the end of a name makes the column not null.
    pub fn new(name: &str, columns: &[(&str, FieldType)]) -> Self {
        let columns = columns.iter().map(|(name, kind)| {
            let bare = name.strip_suffix('!').unwrap_or(name);
            Field::new(bare, kind.clone(), bare == *name)
        });
        Self {
            name: name.into(),
            columns: columns.collect(),
            primary_key: Vec::new(),
            unique: Vec::new(),
            indexes: Vec::new(),
        }
    }

    /// With this primary key.
    #[must_use]
    pub fn key(mut self, columns: &[&str]) -> Self {
        self.primary_key = columns.iter().map(|c| (*c).to_owned()).collect();
        self
    }

    /// With an index on these columns.
    #[must_use]
    pub fn index(mut self, columns: &[&str]) -> Self {
        self.indexes.push(columns.iter().map(|c| (*c).to_owned()).collect());
        self
    }

    fn at(&self, column: &str) -> usize {
        self.columns.iter().position(|f| f.name == column).expect("a column of the table")
    }
}

/// What a system guarantees beyond its records. A database guarantees all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guarantees {
    /// It keeps keys unique and whole, lists in their order, and tells its constraints and indexes.
    pub keys: bool,
    /// It can be read while it changes; otherwise a listing that a change falls into is an error.
    pub snapshots: bool,
}

/// A real system to make tables in. Its methods panic when the system does not play along.
#[async_trait]
pub trait Kit: Send + Sync {
    /// Makes a table; returns its name as a user would write it.
    async fn create(&self, table: &Table) -> String;

    /// Adds rows, each with one value per column.
    async fn insert(&self, table: &Table, rows: &[Vec<Value<'static>>]);

    /// Sets `column` to `value` in the rows in which the integer column `by` is `equals`.
    async fn set(&self, table: &Table, column: &str, value: &Value<'static>, by: &str, equals: i64);

    /// Deletes the rows in which the integer column `by` is `equals`.
    async fn delete(&self, table: &Table, by: &str, equals: i64);

    /// Opens the system.
    async fn source(&self) -> Arc<dyn Source>;

    /// Every table and row of the system as text, to see whether anything was written.
    async fn contents(&self) -> String;

    /// Values of `kind` that the system stores and orders as given: ascending, no two equal, extremes included.
    /// Empty: the system has no such type.
    fn values(&self, kind: &FieldType) -> Vec<Value<'static>>;

    /// A column name of signs beyond ASCII, as far as the system has them in names.
    fn odd_name(&self) -> &'static str {
        "Größe 🙂"
    }

    /// What the system guarantees.
    fn guarantees(&self) -> Guarantees {
        Guarantees { keys: true, snapshots: true }
    }

    /// Whether names may hold any character. False where the way to the system is not Unicode (some ODBC drivers).
    fn takes_any_name(&self) -> bool {
        true
    }
}

/// Runs the suite.
pub async fn run(kit: &dyn Kit) {
    listing::run(kit).await;
    changes::run(kit).await;
    facts::run(kit).await;
    values::run(kit).await;
}

/// Random ties on the cursor, read with random batch sizes, give every row exactly once; a failure names the seed.
pub async fn ties(kit: &dyn Kit, seed: u64) {
    listing::random_ties(kit, seed).await;
}

/// A table that was made, with its rows and the source that reads it.
struct Bench {
    source: Arc<dyn Source>,
    table: Table,
    stream: String,
    rows: Vec<Vec<Value<'static>>>,
    keys: bool,
}

impl Bench {
    async fn new(kit: &dyn Kit, table: Table, rows: Vec<Vec<Value<'static>>>) -> Self {
        let stream = kit.create(&table).await;
        kit.insert(&table, &rows).await;
        Self { source: kit.source().await, table, stream, rows, keys: kit.guarantees().keys }
    }

    /// A full read of all columns by the table's primary key.
    fn full(&self) -> Read {
        Read {
            stream: self.stream.clone(),
            columns: self.table.columns.iter().map(|f| f.name.clone()).collect(),
            key: self.table.primary_key.clone(),
            key_is_total: self.keys && !self.table.primary_key.is_empty(),
            cursor: None,
            tombstone: None,
            from: None,
            overlap: Overlap { time: Duration::ZERO, count: 0 },
            lag: Duration::ZERO,
            batch_rows: 100,
            batch_bytes: 1 << 20,
            params: crate::source::Params::new(),
        }
    }

    /// An incremental read from a cursor value, inclusive.
    fn incremental(&self, cursor: &str, from: Value<'static>) -> Read {
        let from = Some(Position { cursor: from, key: Vec::new() });
        Read { cursor: Some(cursor.into()), from, ..self.full() }
    }

    async fn open(&self, request: &Read) -> Box<dyn Reader> {
        fine(self.source.read(request.clone()).await, "open a listing")
    }

    /// Reads to the end.
    async fn read(&self, request: &Read) -> Listing {
        let mut reader = self.open(request).await;
        let mut listing = Listing::default();
        while let Some(batch) = fine(reader.next().await, "read a batch") {
            assert!(!batch.is_empty(), "{}: a batch is never empty", self.stream);
            assert!(
                batch.len() <= request.batch_rows,
                "{}: a batch has at most batch_rows records",
                self.stream
            );
            listing.add(&batch);
        }
        let again = fine(reader.next().await, "ask a finished listing");
        assert!(again.is_none(), "{}: a finished listing stays finished", self.stream);
        listing.resume = reader.resume();
        listing
    }

    /// Rows of a full listing as they are compared: in the order in which they came, unless the system keeps none.
    fn in_order(&self, rows: Vec<Vec<Value<'static>>>) -> Vec<Vec<Value<'static>>> {
        if self.keys { rows } else { sort_any(rows) }
    }

    /// The rows ordered by these columns, without those in which the first is null.
    fn sorted(&self, columns: &[&str]) -> Vec<Vec<Value<'static>>> {
        let at: Vec<_> = columns.iter().map(|c| self.table.at(c)).collect();
        let mut rows: Vec<_> = self.rows.iter().filter(|r| !r[at[0]].is_null()).cloned().collect();
        rows.sort_by(|a, b| {
            at.iter()
                .map(|c| compare(&a[*c], &b[*c]))
                .find(|o| o.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        rows
    }
}

/// What a listing gave.
#[derive(Debug, Default)]
struct Listing {
    rows: Vec<Vec<Value<'static>>>,
    ops: Vec<RecordOp>,
    positions: Vec<Option<Position>>,
    batches: Vec<usize>,
    bytes: Vec<usize>,
    resume: Option<Position>,
}

impl Listing {
    fn add(&mut self, batch: &Batch) {
        self.batches.push(batch.len());
        self.bytes.push(batch.bytes());
        for row in 0..batch.len() {
            assert_eq!(batch.problem(row), None, "a value that fits is no problem");
            let values = (0..batch.fields().len()).map(|c| batch.value(row, c).into_owned());
            self.rows.push(values.collect());
            self.ops.push(batch.op(row));
            self.positions.push(batch.position(row));
        }
    }

    /// The values of one column.
    fn column(&self, index: usize) -> Vec<Value<'static>> {
        self.rows.iter().map(|r| r[index].clone()).collect()
    }
}

fn fine<T>(result: Result<T, Error>, what: &str) -> T {
    result.unwrap_or_else(|e| panic!("cannot {what}: {e} ({:?}; {:?})", e.kind, e.hint))
}

/// Order of values of one simple type; null first. Texts of the suite sort the same by every collation.
fn compare(a: &Value<'_>, b: &Value<'_>) -> std::cmp::Ordering {
    match (a, b) {
        (Value::Int64(a), Value::Int64(b))
        | (Value::Timestamp { micros: a, .. }, Value::Timestamp { micros: b, .. }) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Date(a), Value::Date(b)) => a.cmp(b),
        _ => b.is_null().cmp(&a.is_null()),
    }
}

fn sort_any(mut rows: Vec<Vec<Value<'static>>>) -> Vec<Vec<Value<'static>>> {
    rows.sort_by_key(|r| format!("{r:?}"));
    rows
}

fn int(n: i64) -> Value<'static> {
    Value::Int64(n)
}

fn text(text: &str) -> Value<'static> {
    Value::Text(text.to_owned().into())
}

/// `seconds` after [`START`].
fn at(seconds: i64) -> Value<'static> {
    Value::Timestamp { micros: START + seconds * 1_000_000, zoned: true }
}

const TIME: FieldType = FieldType::Timestamp { zoned: true };
