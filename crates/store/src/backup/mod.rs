//! Copies of a whole store in one file, the same for every database: to keep, and to move from one to another.
//!
//! A copy shows one state of the store, also while runs write. It is restored into an empty store or in the place of all that
//! is there, all or nothing, and only after every byte of the file has been checked. Leases are not in it.

mod file;

use std::path::Path;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::Error;

/// Version of the tables; rises with the migrations. A copy of a later one is refused.
pub(crate) const SCHEMA: u32 = 4;

/// What is copied, in an order in which it can be written: what is referred to comes first. What is not here belongs to
/// the processes of the moment (`lease`, `node`) or to the database (`tenant`, `refinery_schema_history`).
pub(crate) const TABLES: [&str; 24] = [
    "counter",
    "sync",
    "stream",
    "ledger",
    "ledger_detail",
    "intent",
    "run",
    "run_stream",
    "written",
    "parked",
    "held",
    "spent",
    "sync_success",
    "schedule",
    "paused",
    "occurrence",
    "chain_run",
    "chain_step",
    "backfill",
    "definition",
    "event",
    "token",
    "alert",
    "setting",
];

/// A table that a store has rows in from its beginning: it does not make the store "not empty".
pub(crate) const ALWAYS_THERE: &str = "counter";

/// Rows that travel together.
pub(crate) const PAGE: usize = 500;
/// Parts between reader and writer.
const PARTS: usize = 4;

/// A value of a column, in the form both databases understand. Times and JSON are text, truth is 0 or 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A whole number.
    Int(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// A piece of a copy, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The rows that follow are of this table and have these columns.
    Table {
        /// Its name.
        name: String,
        /// The columns, in the order of the rows' cells.
        columns: Vec<String>,
    },
    /// Some rows.
    Rows(Vec<Vec<Cell>>),
    /// The last number that a table gave out, which may be that of a row that is no longer there.
    Sequence {
        /// The table.
        table: String,
        /// The number.
        value: i64,
    },
    /// That was all. Without it nothing of what came before counts.
    End,
}

/// How much was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Rows of all tables.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// A store that can be copied.
#[async_trait]
pub trait Archive: Send + Sync {
    /// Sends all there is, as it is at one moment, and at the end [`Part::End`].
    async fn read_all(&self, parts: mpsc::Sender<Part>) -> Result<(), Error>;

    /// Writes what comes, in one transaction that is committed at [`Part::End`]; when the parts end without it, nothing
    /// happened.
    ///
    /// # Errors
    /// [`Error::NotEmpty`] unless `replace`, which removes all there is; [`Error::Busy`] while somebody holds a sync.
    async fn write_all(&self, parts: mpsc::Receiver<Part>, replace: bool) -> Result<(), Error>;
}

/// Copies the store into a file; one whose name ends in `.gz` is compressed. The file appears when it is whole; one of
/// that name is replaced.
///
/// # Errors
/// [`Error::Backup`] when the file cannot be written, else the store's.
pub async fn backup(store: &dyn Archive, path: &Path) -> Result<Summary, Error> {
    let (sender, receiver) = mpsc::channel(PARTS);
    let written = file::on_a_thread(path, move |path| file::write(path, receiver));
    let (read, written) = tokio::join!(store.read_all(sender), written);
    read?;
    written
}

/// Restores a store from a file that [`backup`] made, of whichever database.
///
/// # Errors
/// [`Error::Backup`] when the file is damaged, incomplete or of a later version; as [`Archive::write_all`]. Whatever the
/// error is, the store is as it was.
pub async fn restore(store: &dyn Archive, path: &Path, replace: bool) -> Result<Summary, Error> {
    let summary = file::on_a_thread(path, |path| file::read(path, |_| true)).await?;
    let (sender, receiver) = mpsc::channel(PARTS);
    // Read twice: the first time only to see that all of it is there and as it was written.
    let read =
        file::on_a_thread(path, move |path| file::read(path, |part| sender.blocking_send(part).is_ok()));
    let (written, read) = tokio::join!(store.write_all(receiver, replace), read);
    written?;
    read?;
    Ok(summary)
}
