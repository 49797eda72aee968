//! Loading tables in bulk: rows go into a staging table first, then everything happens in one transaction of the
//! destination: merge, deletes, `after` statements, cursor and epoch. So a load has happened exactly once, or not at all.
//!
//! [`Database`] and [`Load`] are the contract that the engine works with. What all SQL databases share is in [`sql`]; what
//! is different is a [`dialect`] (facts and pure rendering) and a [`sql::Server`] (sessions, locks, the bulk protocol).
//!
//! Start reading at [`Load`]: its methods, in their order, are the life of a load.

pub mod dialect;
pub mod evolve;
pub mod sql;

use async_trait::async_trait;
use bytes::Bytes;
use syncline_core::{
    batch::Batch,
    schema::{FieldType, Stream},
    sync::Deletes,
    value::Value,
};

use crate::{
    Error,
    compare::{Side, Subject},
};

/// A destination of tables (or files), opened on one connection.
#[async_trait]
pub trait Database: Send + Sync {
    /// What it can do.
    fn facts(&self) -> Facts;

    /// Finds a table (as the user wrote its name) and describes it; `None`: there is none.
    ///
    /// # Errors
    /// [`Kind::Definition`](crate::error::Kind::Definition) when this is not the name of a table.
    async fn describe(&self, table: &str) -> Result<Option<Table>, Error>;

    /// Names of at most 1,000 tables, for "did you mean".
    async fn tables(&self) -> Result<Vec<String>, Error>;

    /// What the destination remembers of a sync's loads into `table`; `None`: nothing yet, or it may not remember. Reads only.
    async fn state(&self, sync: &str, table: &str) -> Result<Option<State>, Error>;

    /// Opens one side of a comparison, in a snapshot of its own. `None`: it cannot count and hash by itself.
    async fn side(&self, _subject: &Subject) -> Result<Option<Box<dyn Side>>, Error> {
        Ok(None)
    }

    /// Takes `table` for one load: waits (at most `claim.lock_timeout`) until no other load of this table is under way,
    /// removes what dead loads left behind, and raises the epoch.
    ///
    /// Durable: the epoch. A load of an older epoch can no longer commit.
    ///
    /// # Errors
    /// [`Kind::Locked`](crate::error::Kind::Locked), naming who holds the table.
    async fn open(&self, claim: &Claim) -> Result<Box<dyn Load>, Error>;
}

/// What a destination can do.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Whose types [`Column::declared`] is in.
    pub dialect: &'static dialect::Dialect,
    /// Whether [`Rows::Copy`] can be written: PostgreSQL's binary COPY tuples, as they come.
    pub copies: bool,
    /// Writers of one load that may work at once.
    pub writers_max: usize,
    /// Whether rows can be compared and merged by key; else only whole contents are written (files).
    pub merges: bool,
}

/// A table of the destination.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Fields with their limits, keys, estimated number of records.
    pub stream: Stream,
    /// What hangs on it and would not survive a swap by rename (views, foreign keys …), one name each.
    pub dependents: Vec<String>,
}

/// What the destination remembers of a sync, in the row that commits with the data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// Rises with each claim.
    pub epoch: u64,
    /// The cursor, as JSON; `None`: no load has been complete yet, or it was reset.
    pub cursor: Option<String>,
    /// Start of the last load that committed, in microseconds since 1970 UTC by our clock.
    pub started_at: Option<i64>,
}

/// Who wants a table.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Name of the sync.
    pub sync: String,
    /// The table as the user wrote it.
    pub table: String,
    /// How long to wait for locks.
    pub lock_timeout: std::time::Duration,
    /// The table may be replaced as a whole: what hangs on it matters.
    pub replaces: bool,
    /// Only rows of this partition are loaded: others may load theirs at the same time, and the state is kept per partition
    /// (the claim's `sync` is then the partition's name). Empty: the whole table.
    pub partition: Vec<(String, String)>,
    /// Look only: nothing outlives the session, nothing is claimed, and [`Load::commit`] is refused.
    pub dry: bool,
}

/// A column of the staging table, and of the destination's table once that exists.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Type of the values that are staged.
    pub kind: FieldType,
    /// Type in the destination's words.
    pub declared: String,
    /// Whether null is allowed when the table is created.
    pub nullable: bool,
}

/// What is staged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shape {
    /// In the order in which rows carry them.
    pub columns: Vec<Column>,
    /// Columns that say "same record", by name, in key order; empty: none.
    pub key: Vec<String>,
    /// No two rows have the same key, for the destination too, and none has a null in it: the staging table may rely on it.
    pub key_is_total: bool,
    /// Whether every row has one more value at its end, a boolean: the record is gone (tombstone).
    pub tombstones: bool,
    /// Only [`Rows::Copy`] will come.
    pub relayed: bool,
    /// The staging table will take the place of the table: it is made like it, and kept.
    pub takes_place: bool,
    /// Changes that the table needs before it can take the rows.
    pub changes: Vec<Change>,
}

/// Rows on their way into the staging table.
#[derive(Debug)]
pub enum Rows {
    /// Values; the fields are the shape's columns, in their order and of their types. With [`Shape::tombstones`] the
    /// batch's operations say which records are gone.
    Batch(Batch),
    /// Whole tuples of PostgreSQL's binary COPY format, without header and trailer, and how many.
    Copy(Bytes, u64),
}

/// One stream of rows into the staging table. Dropping it gives up what was not finished.
#[async_trait]
pub trait Writer: Send {
    /// Takes rows on. Waits while the destination is slower.
    async fn write(&mut self, rows: Rows) -> Result<(), Error>;

    /// Ends the stream; returns how many rows the destination says it staged.
    async fn finish(self: Box<Self>) -> Result<u64, Error>;
}

/// How staged rows become the table's.
#[derive(Debug, Clone, PartialEq)]
pub struct Merge {
    /// In what way.
    pub how: How,
    /// Columns that are updated.
    pub update: Vec<String>,
    /// Columns that are given at insertion.
    pub insert: Vec<String>,
    /// SQL condition over `s` (staged) and `d` (destination): only then is a record updated.
    pub update_when: Option<String>,
    /// What happens to records that are gone.
    pub gone: Gone,
}

/// Ways to bring rows into the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Every row is added.
    Append,
    /// Rows that differ are updated, new ones added.
    Merge,
    /// The staged rows become the table.
    Replace,
}

/// What happens to a record that is gone from the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gone {
    /// It stays.
    Stay,
    /// It is deleted.
    Delete,
    /// This column receives the time, or true; it is cleared when the record comes back.
    Mark {
        /// The column.
        column: String,
        /// Whether it is a boolean.
        flag: bool,
    },
}

/// Which records are gone, apart from staged tombstones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// Nobody knows: the listing was not complete.
    Unknown,
    /// Those of the table that were not staged: the listing was complete.
    Unstaged,
    /// Those whose keys were staged with [`Load::stage_gone`].
    Named,
}

/// A change to the table itself, made before the merge.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The table is made, with the shape's columns, and these as its primary key (empty: none).
    Create {
        /// Columns of the primary key.
        key: Vec<String>,
    },
    /// A nullable column is added.
    Add(Column),
    /// A column's type becomes a wider one.
    Widen(Column),
}

/// Everything that is to happen in one transaction.
#[derive(Debug, Clone)]
pub struct Commit {
    /// How rows become the table's.
    pub merge: Merge,
    /// Which records are gone.
    pub absent: Absent,
    /// When that many would go that a person must look.
    pub guard: Deletes,
    /// A person's standing approval: as many may go.
    pub approved: Option<u64>,
    /// Statements to run after the merge.
    pub after: Vec<String>,
    /// Values that stand for `:name` in them.
    pub params: std::collections::BTreeMap<String, Value<'static>>,
    /// Whether the table's indexes are rebuilt, after the transaction.
    pub reindex: bool,
    /// The cursor to remember, as JSON; `None`: the one there is stays.
    pub cursor: Option<String>,
    /// When this load began, in microseconds since 1970 UTC.
    pub started_at: i64,
    /// How many rows were staged, by our count.
    pub staged: u64,
}

/// What a commit did. Rows staged = created + updated + unchanged + tombstones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Rows added.
    pub created: u64,
    /// Rows changed.
    pub updated: u64,
    /// Rows deleted or marked because they were absent.
    pub absent_deleted: u64,
    /// Rows deleted or marked because of a staged tombstone.
    pub tombstones_deleted: u64,
    /// Staged tombstones, also those of records that were not there.
    pub tombstones: u64,
    /// Absent rows that wait for a person, why, and the keys of the first of them as texts.
    pub held: Option<Held>,
    /// Sentences an operator should read.
    pub notes: Vec<String>,
}

/// Deletes that wait for a person.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// How many.
    pub count: u64,
    /// Why.
    pub reason: String,
    /// Keys of at most [`NAMED_MAX`] of them, each as the texts of its columns.
    pub keys: Vec<Vec<String>>,
}

/// Most records that are named one by one where their number is not bounded.
pub const NAMED_MAX: usize = 1_000;

/// Staged rows that cannot be told apart or have no key; they were taken out of the staging table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Doubtful {
    /// Rows with a null in their key.
    pub keyless: u64,
    /// Rows that share their key with another.
    pub doubled: u64,
    /// Keys of at most [`NAMED_MAX`] of the latter, each as the texts of its columns.
    pub keys: Vec<Vec<String>>,
}

/// What a commit would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preview {
    /// Rows that would be added.
    pub created: u64,
    /// Rows that would be changed.
    pub updated: u64,
    /// Rows that would be deleted or marked: staged tombstones and absent records.
    pub deleted: u64,
    /// Absent records among them.
    pub absent: u64,
    /// Records of the table.
    pub known: u64,
    /// Staged tombstones.
    pub tombstones: u64,
    /// The first of them, in no order.
    pub records: Vec<Previewed>,
}

/// One record of a preview, with its values as the destination writes them as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previewed {
    /// What would happen: `create`, `update`, `delete`.
    pub action: &'static str,
    /// Key as texts.
    pub key: Vec<String>,
    /// Column, what is there, what would be.
    pub changes: Vec<(String, Option<String>, Option<String>)>,
}

/// A load under way. Its methods are called in this order; each may be left out.
#[async_trait]
pub trait Load: Send {
    /// The table as it is now that nobody else loads it; `None`: there is none.
    fn table(&self) -> Option<&Table>;

    /// What was remembered before this load.
    fn state(&self) -> Option<&State>;

    /// Whether the cursor commits with the data. False where we may not make the table `syncline_state`.
    fn remembers(&self) -> bool;

    /// Counts the living records of the table; 0 where there is none.
    async fn known(&mut self) -> Result<u64, Error>;

    /// Makes the staging table and opens `writers` streams into it (at most [`Facts::writers_max`]). To be called once.
    async fn stage(&mut self, shape: &Shape, writers: usize) -> Result<Vec<Box<dyn Writer>>, Error>;

    /// Takes rows out of the staging table whose key is null or occurs more than once. Only needed where the source does
    /// not guarantee that the key is unique and not null.
    async fn exclude_doubtful(&mut self) -> Result<Doubtful, Error>;

    /// Stages keys of records that are gone ([`Absent::Named`]): the batches' fields are the shape's key columns.
    async fn stage_gone(&mut self, keys: Vec<Batch>) -> Result<(), Error>;

    /// What [`commit`](Load::commit) would do, and at most `limit` records of each kind. Writes nothing but what goes with the
    /// session.
    async fn preview(&mut self, commit: &Commit, limit: usize) -> Result<Preview, Error>;

    /// Does everything in one transaction.
    ///
    /// Durable when it returns `Ok`: all of it. After an error: nothing of it, except where the answer to the commit itself was
    /// lost ([`Kind::Unanswered`](crate::error::Kind::Unanswered)); the next load sees which from the cursor. Where the
    /// database commits changes of tables by themselves (MySQL), those of [`Shape::changes`] stay, and a swap ([`How::Replace`])
    /// is durable shortly before the cursor is: what fails between the two leaves the new rows with the old cursor.
    ///
    /// # Errors
    /// [`Kind::Locked`](crate::error::Kind::Locked) when the epoch is no longer ours, or a lock did not come in time.
    async fn commit(&mut self, commit: &Commit) -> Result<Outcome, Error>;

    /// Removes the staging tables and gives the table back. Dropping a load does the latter only; what it leaves is removed by
    /// the next one.
    async fn close(self: Box<Self>) -> Result<(), Error>;
}
