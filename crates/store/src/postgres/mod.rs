//! The store in a PostgreSQL database, which several nodes share.
//!
//! The tables are those of SQLite, with a tenant. A bounded pool of connections; every method is one transaction, with as
//! many statements as there are tables in it, whatever the number of records: those travel as arrays. Leases have an end
//! by the database's clock and are renewed by a thread of their own (`keeper`). The scratch listing is in a temporary
//! SQLite file on this machine, so that planning writes nothing to the server.
//!
//! Deliberately absent: retries. A lost connection fails what was under way; the next call connects anew.

mod address;
mod archive;
mod checkpoint;
mod codec;
mod connection;
mod copy;
mod fault;
mod intents;
mod keeper;
mod lease;
mod ledger;
mod migrate;
mod parked;
mod runs;
mod written;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use syncline_core::{cursor::Cursor, identity::Identity, run::Status, seen::Seen};
use tokio::sync::OnceCell;

use self::{
    checkpoint::Prepared,
    codec::Wide,
    connection::{Connections, failpoints},
    keeper::Keeper,
    lease::Token,
    ledger::Streams,
};
use crate::{
    Checkpoint, Comparison, Details, Drift, Entry, Error, Held, Intent, Lease, NewRun, Parked, Run, RunEnd,
    RunId, Scratch, Store, Turn, Waiting, Write,
    service::{HEARTBEAT, LEASE},
    sqlite::Listing,
};

/// How to open a store.
#[derive(Clone)]
pub struct Options {
    /// `postgres://user:password@host:port/database`, with `sslmode` and `sslrootcert` as a connection has them.
    pub url: String,
    /// Whose part of the database it is; empty: the only one's.
    pub tenant: String,
    /// Who we are, for the people another process tells that we hold a sync: "process 17 on host a".
    pub holder: String,
    /// Connections of the pool, at most. One more keeps the leases.
    pub connections: usize,
    /// How long to wait for a row that another process changes before [`Error::Locked`].
    pub lock_timeout: Duration,
    /// How long a claim holds without being renewed.
    pub lease: Duration,
    /// How often claims are renewed.
    pub heartbeat: Duration,
}

impl Options {
    /// The usual options for an address.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tenant: String::new(),
            holder: format!("process {}", std::process::id()),
            connections: 10,
            lock_timeout: Duration::from_secs(10),
            lease: LEASE,
            heartbeat: HEARTBEAT,
        }
    }
}

// Not derived: the address has the password in it.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("tenant", &self.tenant)
            .field("holder", &self.holder)
            .finish_non_exhaustive()
    }
}

/// Whether this is the address of a PostgreSQL database, and not a path.
pub fn is_address(place: &str) -> bool {
    place.starts_with("postgres://") || place.starts_with("postgresql://")
}

/// An address as it may be shown: without user, password and parameters.
pub fn shown(url: &str) -> String {
    address::Address::of(url).map_or_else(|_| "postgres://…".to_owned(), |address| address.place)
}

/// Whether there is a store: its tables, of whichever version. Makes nothing.
///
/// # Errors
/// [`Error::Unreachable`] and [`Error::Database`].
pub async fn exists(options: &Options) -> Result<bool, Error> {
    connection::exists(options).await
}

/// Opens a store, makes its tables when they are not there, and brings them up to date.
///
/// # Errors
/// [`Error::Unreachable`] when the server does not answer or does not let us in; [`Error::Newer`] for tables of a later
/// version, which are left as they are; [`Error::Locked`], [`Error::Full`] and [`Error::Database`] as ever.
pub async fn open(options: Options) -> Result<PostgresStore, Error> {
    let connections = Connections::open(&options).await?;
    let keeper = Keeper::start(&options, connections.tenant())?;
    Ok(PostgresStore {
        connections,
        keeper,
        options,
        streams: Streams::default(),
        listing: OnceCell::new(),
        turn: Arc::default(),
    })
}

/// A store in a PostgreSQL database.
pub struct PostgresStore {
    connections: Connections,
    keeper: Keeper,
    options: Options,
    streams: Streams,
    /// Opened when it is needed.
    listing: OnceCell<Listing>,
    /// Whose turn it is to use it.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").field("place", &self.connections.place()).finish_non_exhaustive()
    }
}

/// Runs an expression in a transaction that reads, and tells its outcome as callers see it.
macro_rules! reading {
    ($store:ident, $work:ident => $done:expr) => {{
        let outcome = async {
            let mut session = $store.connections.session().await?;
            let $work = session.read().await?;
            $done.await
        };
        $store.connections.told(outcome.await)
    }};
}

/// Runs an expression in a transaction that writes under a lease. Durable once this is `Ok`.
macro_rules! writing {
    ($store:ident, $name:literal, $lease:ident, $work:ident, $token:ident => $done:expr) => {{
        let outcome = async {
            let $token = Token::of($lease, &$store.keeper)?;
            let mut session = $store.connections.session().await?;
            let $work = session.write().await?;
            let done = $done.await?;
            $work.commit(failpoints!($name)).await?;
            Ok(done)
        };
        $store.connections.told(outcome.await)
    }};
}

// After the macros, which it uses too.
mod service;

impl PostgresStore {
    async fn listing(&self) -> Result<&Listing, Error> {
        self.listing.get_or_try_init(|| Listing::open(self.connections.place())).await
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn claim(&self, sync: &str, now: Timestamp) -> Result<Lease, Error> {
        let outcome = async {
            let mut session = self.connections.session().await?;
            let work = session.write().await?;
            let since = keeper::monotonic();
            let lasts = i64::try_from(self.options.lease.as_millis()).unwrap_or(i64::MAX);
            let (number, epoch) = lease::claim(&work, sync, &self.options.holder, lasts, now).await?;
            let guard = self.keeper.guard(sync, number, epoch, since);
            work.commit(failpoints!("claim")).await?;
            Ok(Lease { sync: sync.to_owned(), epoch, guard: Box::new(guard) })
        };
        self.connections.told(outcome.await)
    }

    async fn check(&self, lease: &Lease) -> Result<(), Error> {
        let token = self.connections.told(Token::of(lease, &self.keeper))?;
        reading!(self, work => async { lease::look(&work, &token).await.map(drop) })
    }

    async fn start_run(&self, lease: &Lease, run: NewRun) -> Result<RunId, Error> {
        writing!(self, "start_run", lease, work, token => runs::start(&work, &token, &run))
    }

    async fn finish_run(&self, lease: &Lease, run: RunId, end: RunEnd) -> Result<(), Error> {
        writing!(self, "finish_run", lease, work, token => runs::finish(&work, &token, run, &end))
    }

    async fn runs(
        &self,
        sync: Option<&str>,
        status: Option<Status>,
        limit: usize,
    ) -> Result<Vec<Run>, Error> {
        reading!(self, work => runs::list(&work, sync, status, limit))
    }

    async fn run(&self, run: RunId) -> Result<Option<Run>, Error> {
        reading!(self, work => runs::get(&work, run))
    }

    async fn find(&self, sync: &str, identities: &[Identity]) -> Result<Vec<Option<Entry>>, Error> {
        reading!(self, work => ledger::find(&work, &self.streams, sync, identities))
    }

    async fn details(&self, sync: &str, identities: &[Identity]) -> Result<Vec<Option<Details>>, Error> {
        reading!(self, work => ledger::details(&work, sync, identities))
    }

    async fn writes(&self, sync: &str, identity: Identity, limit: usize) -> Result<Vec<Write>, Error> {
        reading!(self, work => written::list(&work, sync, identity, limit))
    }

    async fn known(&self, sync: &str) -> Result<Vec<(String, u64)>, Error> {
        reading!(self, work => ledger::known(&work, sync))
    }

    async fn last_seq(&self) -> Result<u64, Error> {
        reading!(self, work => ledger::last_seq(&work))
    }

    async fn unseen(
        &self,
        sync: &str,
        seen: &Seen,
        after: u64,
        limit: usize,
    ) -> Result<(Vec<(Identity, Entry)>, Option<u64>), Error> {
        reading!(self, work => ledger::unseen(&work, &self.streams, sync, seen, after, limit))
    }

    async fn intend(&self, lease: &Lease, run: RunId, intents: &[Intent]) -> Result<(), Error> {
        let wide = intents.iter().map(|intent| Wide::of(&intent.row)).collect::<Result<Vec<_>, _>>();
        writing!(self, "intend", lease, work, token => intents::intend(&work, &token, run, intents, wide))
    }

    async fn open_intents(&self, sync: &str) -> Result<Vec<Intent>, Error> {
        reading!(self, work => intents::open(&work, sync))
    }

    async fn checkpoint(&self, lease: &Lease, run: RunId, checkpoint: Checkpoint) -> Result<(), Error> {
        let prepared = Prepared::of(&checkpoint);
        writing!(self, "checkpoint", lease, work, token =>
            checkpoint::apply(&work, &token, run, &checkpoint, prepared))
    }

    async fn cursor(&self, sync: &str) -> Result<Option<Cursor>, Error> {
        reading!(self, work => runs::cursor(&work, sync))
    }

    async fn reset(&self, lease: &Lease) -> Result<bool, Error> {
        writing!(self, "reset", lease, work, token => runs::reset(&work, &token))
    }

    async fn parked(
        &self,
        sync: Option<&str>,
        due: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<Parked>, Error> {
        reading!(self, work => parked::list(&work, sync, due, limit))
    }

    async fn waiting(&self) -> Result<Vec<Waiting>, Error> {
        reading!(self, work => parked::waiting(&work))
    }

    async fn retry_parked(
        &self,
        lease: &Lease,
        identities: Option<&[Identity]>,
        now: Timestamp,
    ) -> Result<u64, Error> {
        writing!(self, "waiting", lease, work, token => parked::retry(&work, &token, identities, now))
    }

    async fn drop_parked(&self, lease: &Lease, identities: Option<&[Identity]>) -> Result<u64, Error> {
        writing!(self, "waiting", lease, work, token => parked::drop(&work, &token, identities))
    }

    async fn held(&self, sync: Option<&str>, limit: usize) -> Result<Vec<Held>, Error> {
        reading!(self, work => parked::held(&work, sync, limit))
    }

    async fn approve(&self, lease: &Lease, ceiling: u64, now: Timestamp) -> Result<(), Error> {
        writing!(self, "waiting", lease, work, token => parked::approve(&work, &token, ceiling, now))
    }

    async fn approval(&self, sync: &str) -> Result<Option<u64>, Error> {
        reading!(self, work => parked::approval(&work, sync))
    }

    async fn reject(&self, lease: &Lease) -> Result<u64, Error> {
        writing!(self, "waiting", lease, work, token => parked::reject(&work, &token))
    }

    async fn mark_drifted(
        &self,
        lease: &Lease,
        run: RunId,
        drifted: &[Drift],
        now: Timestamp,
    ) -> Result<(), Error> {
        writing!(self, "waiting", lease, work, token => parked::mark_drifted(&work, &token, run, drifted, now))
    }

    async fn spent(&self, budget: &str, since: Timestamp) -> Result<Vec<(Timestamp, u64)>, Error> {
        reading!(self, work => runs::spent(&work, budget, since))
    }

    async fn scratch_turn(&self) -> Turn {
        Box::new(Arc::clone(&self.turn).lock_owned().await)
    }

    async fn scratch_clear(&self) -> Result<(), Error> {
        self.listing().await?.clear().await
    }

    async fn scratch_put(&self, rows: &[Scratch]) -> Result<(), Error> {
        self.listing().await?.put(rows).await
    }

    async fn scratch_remove(&self, stream: &str, record_id: &str) -> Result<(), Error> {
        self.listing().await?.remove(vec![(stream.to_owned(), record_id.to_owned())]).await
    }

    async fn scratch_remove_owned(&self, sync: &str) -> Result<(), Error> {
        let listing = self.listing().await?;
        let mut session = self.connections.told(self.connections.session().await)?;
        let work = self.connections.told(session.read().await)?;
        let mut after = 0;
        while let Some((last, owned)) = self.connections.told(copy::owned(&work, sync, after).await)? {
            listing.remove(owned).await?;
            after = last;
        }
        Ok(())
    }

    async fn scratch_by_stamp(&self, identities: &[Identity]) -> Result<Vec<Vec<Scratch>>, Error> {
        self.listing().await?.by_stamp(identities).await
    }

    async fn scratch_by_natural(&self, natural: &[[u8; 32]]) -> Result<Vec<Vec<Scratch>>, Error> {
        self.listing().await?.by_natural(natural).await
    }

    async fn scratch_count(&self) -> Result<Vec<(String, u64)>, Error> {
        self.listing().await?.count().await
    }

    async fn compare(&self, sync: &str, streams: &[String], limit: usize) -> Result<Comparison, Error> {
        let listing = self.listing().await?;
        listing.begin_copy(sync).await?;
        let mut session = self.connections.told(self.connections.session().await)?;
        let work = self.connections.told(session.read().await)?;
        let mut after = 0;
        while let Some((last, rows)) = self.connections.told(copy::rows(&work, sync, after).await)? {
            listing.copy(rows).await?;
            after = last;
        }
        listing.compare(sync, streams, limit).await
    }
}
