//! A store in memory, for tests and for simulating whole runs.
//!
//! It answers as the SQLite store does (one test replays random traces on both), but makes no text, starts no thread and
//! waits for nothing: a million small runs are simulated on it. What is durable is a [`Disk`], which outlives the
//! stores that are opened on it: dropping a store is the death of a process, opening another one is the next process.
//!
//! Deliberately absent: durability, and bounds on memory.

mod compare;
mod ledger;
mod listing;
mod state;
mod store;
mod waiting;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use jiff::Timestamp;

use self::{listing::Listing, state::State};
use crate::{Error, Lease};

/// What outlives a process: the durable state, and who holds which sync. Clones are the same disk; for one that changes
/// independently, see [`Disk::snapshot`].
#[derive(Clone, Default)]
pub struct Disk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    state: State,
    /// Who holds a sync, by its name: not durable, as the locks of an operating system are not.
    claims: BTreeMap<String, Claim>,
    /// Stores opened so far; numbers them, so that [`Error::Busy`] names one.
    opened: u64,
}

/// Somebody's hold on a sync. It counts while both of these live.
struct Claim {
    lease: Weak<()>,
    process: Weak<()>,
    holder: u64,
}

impl Claim {
    fn counts(&self) -> bool {
        self.lease.strong_count() > 0 && self.process.strong_count() > 0
    }
}

impl Disk {
    /// A copy of the durable state as it is now: what is written to the one is not on the other, and nobody holds a sync
    /// on the copy. To go back to it, open a store on it.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        let state = self.lock().state.clone();
        Self { inner: Arc::new(Mutex::new(Inner { state, ..Inner::default() })) }
    }

    /// The durable state as text: equal for equal states, in a stable order. For messages of failed tests and for hashing.
    #[must_use]
    pub fn dump(&self) -> String {
        format!("{:#?}", self.lock().state)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Writes are validated before they change anything, so a panic in the middle of one leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Disk {
    /// Whether the durable states are equal.
    fn eq(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.inner, &other.inner) {
            return true;
        }
        // Always the same one first, or two who compare them the other way round could wait for each other.
        let (first, second) =
            if Arc::as_ptr(&self.inner) < Arc::as_ptr(&other.inner) { (self, other) } else { (other, self) };
        let (first, second) = (first.lock(), second.lock());
        first.state == second.state
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Disk").field(&self.lock().state).finish()
    }
}

/// A store in memory: one process's view of a [`Disk`].
pub struct MemoryStore {
    disk: Disk,
    /// The number of this store among those opened on the disk.
    number: u64,
    /// Dropped with the store, and the claims of its leases with it.
    process: Arc<()>,
    /// The scratch listing: this process's alone.
    listing: Mutex<Listing>,
}

impl MemoryStore {
    /// A store on a new, empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::open(&Disk::default())
    }

    /// Opens a store on a disk. Several may be open at once, as several processes may have a file open.
    #[must_use]
    pub fn open(disk: &Disk) -> Self {
        let number = {
            let mut inner = disk.lock();
            inner.opened += 1;
            inner.opened
        };
        Self { disk: disk.clone(), number, process: Arc::new(()), listing: Mutex::default() }
    }

    /// The disk this store is open on. Keep it, drop the store and its leases, and open again: a crash.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// A copy of the durable state as it is now, see [`Disk::snapshot`].
    #[must_use]
    pub fn snapshot(&self) -> Disk {
        self.disk.snapshot()
    }

    /// The durable state as text, see [`Disk::dump`].
    #[must_use]
    pub fn dump(&self) -> String {
        self.disk.dump()
    }

    /// Makes the present hold on a sync not count any more, as if the lease had run out while its process was paused: the
    /// next claim succeeds, and from then on the old lease, which lives on, is refused everywhere. Returns whether
    /// somebody held the sync.
    pub fn seize(&self, sync: &str) -> bool {
        self.disk.lock().claims.remove(sync).is_some_and(|claim| claim.counts())
    }

    fn claim_for_us(&self, sync: &str, now: Timestamp) -> Result<Lease, Error> {
        let mut inner = self.disk.lock();
        if let Some(claim) = inner.claims.get(sync)
            && claim.counts()
        {
            return Err(Error::Busy { sync: sync.to_owned(), holder: format!("store {}", claim.holder) });
        }
        let epoch = inner.state.claim(sync, now)?;
        let guard = Arc::new(());
        let claim = Claim {
            lease: Arc::downgrade(&guard),
            process: Arc::downgrade(&self.process),
            holder: self.number,
        };
        inner.claims.insert(sync.to_owned(), claim);
        Ok(Lease { sync: sync.to_owned(), epoch, guard: Box::new(guard) })
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.disk.lock().state)
    }

    fn write<T>(&self, write: impl FnOnce(&mut State) -> T) -> T {
        write(&mut self.disk.lock().state)
    }

    fn listing(&self) -> MutexGuard<'_, Listing> {
        self.listing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").field("number", &self.number).finish_non_exhaustive()
    }
}

/// A write that the caller must not ask for, with the reason; never with a value.
fn refused(message: impl Into<String>) -> Error {
    Error::Database { place: "memory".to_owned(), message: message.into() }
}

/// A number as every store can keep it: databases count to 2^63.
fn storable(number: u64) -> Result<u64, Error> {
    if i64::try_from(number).is_ok() { Ok(number) } else { Err(refused("a number above 2^63")) }
}

/// A time as every store keeps it: without what is below a microsecond.
fn kept(time: Timestamp) -> Result<Timestamp, Error> {
    const YEAR_0: i64 = -62_167_219_200;
    if time.as_second() < YEAR_0 {
        return Err(refused("a time before year 0"));
    }
    Ok(floored(time))
}

/// A time without what is below a microsecond, for comparing with those that are kept.
fn floored(time: Timestamp) -> Timestamp {
    let below = time.as_nanosecond().rem_euclid(1000);
    // The smallest time of all has nothing below the microsecond.
    Timestamp::from_nanosecond(time.as_nanosecond() - below).unwrap_or(time)
}
