//! What Syncline remembers: ledger, intents, cursors, runs, parked and held records.
//!
//! One trait, [`Store`]; one implementation per database ([`sqlite`], [`postgres`]) and one in [`memory`] for tests and simulation; one
//! [`conformance`] suite. The store decides nothing: it keeps facts, in transactions, and refuses writes of an old epoch.
//!
//! Deliberately absent: knowledge of connectors, clocks (times come in), retries.
#![warn(missing_docs)]

pub mod backup;
pub mod conformance;
pub mod facts;
pub mod memory;
pub mod postgres;
mod rules;
pub mod service;
pub mod sqlite;

use async_trait::async_trait;
use jiff::Timestamp;
use syncline_core::{cursor::Cursor, identity::Identity, run::Status, seen::Seen};

pub use facts::*;

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process holds the lease of this sync.
    #[error("sync {sync:?} is being run by another process ({holder})")]
    Busy {
        /// The sync.
        sync: String,
        /// Who holds it (process id), as far as is known.
        holder: String,
    },
    /// The lease was taken over; nothing was written.
    #[error("the lease of sync {sync:?} {}; nothing was written", lost(*.ours, *.found))]
    Stale {
        /// The sync.
        sync: String,
        /// Epoch of our lease.
        ours: u64,
        /// Epoch in the store; ours: nobody took it over yet, but this process could not renew it in time.
        found: u64,
    },
    /// The store is locked by another process longer than we wait.
    #[error("store {place}: the database is locked by another process")]
    Locked {
        /// File or address.
        place: String,
    },
    /// No space left.
    #[error("store {place}: no space left; nothing of the last step was recorded")]
    Full {
        /// File or address.
        place: String,
    },
    /// The store was made by a newer Syncline.
    #[error("store {place}: written by a newer version of Syncline")]
    Newer {
        /// File or address.
        place: String,
    },
    /// The database of the store does not answer or does not let us in. What was being written may have been recorded:
    /// the answer to a commit can get lost.
    #[error("store {place}: {message}")]
    Unreachable {
        /// File or address.
        place: String,
        /// Why.
        message: String,
    },
    /// A backup is restored into an empty store, unless it is to be replaced.
    #[error("store {place}: it is not empty; nothing was restored")]
    NotEmpty {
        /// File or address.
        place: String,
    },
    /// A backup cannot be written, or not be used.
    #[error("backup {file}: {message}")]
    Backup {
        /// The file.
        file: String,
        /// Why.
        message: String,
    },
    /// Anything else the database says.
    #[error("store {place}: {message}")]
    Database {
        /// File or address.
        place: String,
        /// The database's own words.
        message: String,
    },
}

/// How a lease was lost.
fn lost(ours: u64, found: u64) -> String {
    if ours == found {
        return format!("(epoch {ours}) could not be renewed in time");
    }
    format!("was taken over by a newer process (epoch {found}, ours is {ours})")
}

/// The right to write for one sync, until a newer lease is claimed. Dropping it gives up the claim.
pub struct Lease {
    /// The sync.
    pub sync: String,
    /// Rises at each claim; every write checks it.
    pub epoch: u64,
    /// What keeps others out while this process lives (for SQLite: a locked file; for PostgreSQL: a
    /// row that is renewed).
    pub guard: Box<dyn Send + Sync>,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("sync", &self.sync).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// The right to use the scratch listing, until it is dropped.
pub type Turn = Box<dyn Send + Sync>;

/// Durable memory of syncs and runs.
///
/// Every method that writes is one transaction: when it returns `Ok`, all of it survives a crash of process and
/// machine; when it returns an error, none of it happened (unless the error is the loss of the connection to a remote
/// store). Methods taking a [`Lease`] fail with [`Error::Stale`] and write nothing when a newer lease exists; that is told
/// before anything else that may be wrong.
///
/// What a caller must not ask for is refused with [`Error::Database`]: a write for a run that is not running, an account
/// that does not close, a second owner of a destination record, empty names, ids and codes, doubles in keys and cursors that
/// are not finite, numbers above 2^63, times before the year 0. Times are kept to the microsecond; what is below is dropped,
/// also of times that are asked with. Names sort by their bytes.
#[async_trait]
pub trait Store: Send + Sync {
    /// Claims a sync for this process: raises the epoch, and turns runs that a dead process left `queued` or `running`
    /// into `interrupted` (finished at `now`).
    ///
    /// # Errors
    /// [`Error::Busy`] while another living process holds it.
    async fn claim(&self, sync: &str, now: Timestamp) -> Result<Lease, Error>;

    /// Whether this lease is still the newest of its sync. Reads only: whoever is about to overwrite what it looked at a
    /// while ago asks here first, so that a process that was paused does not undo what its successor did.
    ///
    /// # Errors
    /// [`Error::Stale`] when a newer lease exists.
    async fn check(&self, lease: &Lease) -> Result<(), Error>;

    /// Opens a run in status running; returns its id, which rises with every run of the store.
    async fn start_run(&self, lease: &Lease, run: NewRun) -> Result<RunId, Error>;

    /// Closes a run, and forgets what is too old to be of use: runs that ended and began more than 90 days before, units spent
    /// more than two days before.
    async fn finish_run(&self, lease: &Lease, run: RunId, end: RunEnd) -> Result<(), Error>;

    /// Runs, newest first; at most `limit`, of one sync or of all, with a status or any.
    async fn runs(&self, sync: Option<&str>, status: Option<Status>, limit: usize)
    -> Result<Vec<Run>, Error>;

    /// One run.
    async fn run(&self, run: RunId) -> Result<Option<Run>, Error>;

    /// The ledger's view of these identities, in their order. Bulk path: ten thousand at once, tens of bytes each.
    async fn find(&self, sync: &str, identities: &[Identity]) -> Result<Vec<Option<Entry>>, Error>;

    /// What only writes need of these identities: key and last written fields; in order.
    async fn details(&self, sync: &str, identities: &[Identity]) -> Result<Vec<Option<Details>>, Error>;

    /// What was written to a record, the newest first, at most `limit`. Remembered as long as the run that did it.
    async fn writes(&self, sync: &str, identity: Identity, limit: usize) -> Result<Vec<Write>, Error>;

    /// Ledger records that are live, per destination stream id.
    async fn known(&self, sync: &str) -> Result<Vec<(String, u64)>, Error>;

    /// The highest sequence number given to a ledger row so far; 0 when there is none. Later rows get higher ones.
    async fn last_seq(&self) -> Result<u64, Error>;

    /// Live records whose sequence number is not in `seen`, after `after` in sequence order, at most `limit`; the second
    /// part is where to go on, `None` at the end.
    async fn unseen(
        &self,
        sync: &str,
        seen: &Seen,
        after: u64,
        limit: usize,
    ) -> Result<(Vec<(Identity, Entry)>, Option<u64>), Error>;

    /// Records intents before anything is sent. An open intent of the same identity is an error of the caller.
    async fn intend(&self, lease: &Lease, run: RunId, intents: &[Intent]) -> Result<(), Error>;

    /// Intents whose outcome is not recorded, oldest first.
    async fn open_intents(&self, sync: &str) -> Result<Vec<Intent>, Error>;

    /// Records outcomes: ledger rows, writes, intents, parked records, held deletes, counts, cursor, quota used: all or
    /// nothing.
    async fn checkpoint(&self, lease: &Lease, run: RunId, checkpoint: Checkpoint) -> Result<(), Error>;

    /// The stored cursor of a sync.
    async fn cursor(&self, sync: &str) -> Result<Option<Cursor>, Error>;

    /// Forgets the cursor's position (the next run reads in full); the ledger stays, and the cursor's fingerprint with it: that
    /// there is a cursor says that a full run has matched the destination since the ledger began. Returns whether there
    /// was one.
    async fn reset(&self, lease: &Lease) -> Result<bool, Error>;

    /// Parked records: of one sync or all, oldest first, at most `limit`; with `due`, only those whose retry time is not
    /// after it.
    async fn parked(
        &self,
        sync: Option<&str>,
        due: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<Parked>, Error>;

    /// How many records are parked and how many deletes are held, per sync.
    async fn waiting(&self) -> Result<Vec<Waiting>, Error>;

    /// Makes parked records due now (all of the sync, or these); returns how many.
    async fn retry_parked(
        &self,
        lease: &Lease,
        identities: Option<&[Identity]>,
        now: Timestamp,
    ) -> Result<u64, Error>;

    /// Forgets parked records (all of the sync, or these); returns how many. The records themselves are not touched.
    async fn drop_parked(&self, lease: &Lease, identities: Option<&[Identity]>) -> Result<u64, Error>;

    /// Held deletes of one sync or all, by sync, then the oldest first, at most `limit`.
    async fn held(&self, sync: Option<&str>, limit: usize) -> Result<Vec<Held>, Error>;

    /// Approves deleting up to `ceiling` records at the next complete listing; replaces an earlier approval.
    async fn approve(&self, lease: &Lease, ceiling: u64, now: Timestamp) -> Result<(), Error>;

    /// The standing approval.
    async fn approval(&self, sync: &str) -> Result<Option<u64>, Error>;

    /// Rejects the held deletes: the records stay where they are and leave the ledger, so Syncline never touches them
    /// again. A standing approval goes too. Returns how many records were held.
    async fn reject(&self, lease: &Lease) -> Result<u64, Error>;

    /// Marks ledger records as drifted, so that the next plan rewrites or remakes them, and parks them due at once.
    /// Used by `verify --repair`.
    ///
    /// Edited: the hash becomes unknown, the version the one that was seen, and a record that was gone counts as live, so that
    /// the next complete listing marks it again. Missing: the record leaves the ledger (its key stays with the parked
    /// record), so that the next plan says create. Other kinds, and records that were moved or made anew since, are passed
    /// over. A record that is parked already keeps its key, label, attempts and first failure.
    async fn mark_drifted(
        &self,
        lease: &Lease,
        run: RunId,
        drifted: &[Drift],
        now: Timestamp,
    ) -> Result<(), Error>;

    /// Units spent from a budget since `since`: (when, units), oldest first.
    async fn spent(&self, budget: &str, since: Timestamp) -> Result<Vec<(Timestamp, u64)>, Error>;

    /// Waits until nobody else of this process uses the scratch listing. There is one, and runs that are under way at the same
    /// time would fill and empty it for each other: whoever uses it takes a turn first, and keeps it until done. A store
    /// with a single user has nobody to wait for.
    async fn scratch_turn(&self) -> Turn {
        Box::new(())
    }

    /// Forgets the scratch listing. The scratch listing belongs to this process, is not durable and not in the store's
    /// file: planning may use it and still writes nothing.
    async fn scratch_clear(&self) -> Result<(), Error>;

    /// Adds to the scratch listing; a record that is there already is replaced (the last one counts).
    async fn scratch_put(&self, rows: &[Scratch]) -> Result<(), Error>;

    /// Withdraws a record from the scratch listing.
    async fn scratch_remove(&self, stream: &str, record_id: &str) -> Result<(), Error>;

    /// Withdraws every record that the ledger of `sync` names, gone ones too: what is left is new to us.
    async fn scratch_remove_owned(&self, sync: &str) -> Result<(), Error>;

    /// Scratch records with these stamps, in any stream: for each identity at most 3, the first that were put.
    async fn scratch_by_stamp(&self, identities: &[Identity]) -> Result<Vec<Vec<Scratch>>, Error>;

    /// Scratch records without a stamp, with these natural keys: for each at most 3, the first that were put.
    async fn scratch_by_natural(&self, natural: &[[u8; 32]]) -> Result<Vec<Vec<Scratch>>, Error>;

    /// How many scratch records there are, per stream.
    async fn scratch_count(&self) -> Result<Vec<(String, u64)>, Error>;

    /// Compares ledger and scratch listing of the streams listed completely: drift first by kind, then by key; at most
    /// `limit` of each kind, and the true number of each kind.
    ///
    /// Keys sort by their first value (numbers and times by size, before text), then as they are stored; records with the
    /// same key or none by record id, the shorter first, then by stream id.
    ///
    /// A record whose stamp is not its identity counts as edited; where nothing in its stream has a stamp, stamps are not
    /// compared. A record that is gone counts as equal when it is no longer there, or when it is marked and nobody knows what
    /// else it held.
    /// A stamped record that is not the one in the ledger is a duplicate when the ledger knows the identity, else an orphan.
    async fn compare(&self, sync: &str, streams: &[String], limit: usize) -> Result<Comparison, Error>;
}
