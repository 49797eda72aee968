//! The store in one SQLite file.
//!
//! The file is in write-ahead mode and every commit is flushed to the disk. Beside it lie the log (`-wal`, `-shm`) and a
//! folder of locks (`.locks`): one locked file per sync that is being run. One connection writes, one reads for runs, one for
//! people; all work on blocking threads.
//!
//! Deliberately absent: a pool (writes are one at a time in SQLite anyway), and retries beyond the busy time-out.

mod archive;
mod checkpoint;
mod codec;
mod compare;
mod connection;
mod fault;
mod intents;
mod lease;
mod ledger;
mod listing;
mod migrate;
mod parked;
mod runs;
mod scratch;
mod service;
mod writer;
mod written;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use syncline_core::{cursor::Cursor, identity::Identity, run::Status, seen::Seen};

pub(crate) use self::listing::{Copied, Listing};
use self::{
    checkpoint::Prepared,
    codec::Wide,
    connection::{Connections, failpoints},
    fault::Fault,
    lease::Token,
};
use crate::{
    Checkpoint, Comparison, Details, Drift, Entry, Error, Held, Intent, Lease, NewRun, Parked, Run, RunEnd,
    RunId, Scratch, Store, Turn, Waiting, Write,
};

/// How to open a store.
#[derive(Debug, Clone)]
pub struct Options {
    /// The file. It and its folder are made when they are not there.
    pub path: PathBuf,
    /// Bytes the file may grow to; none: as large as the disk. Beyond it, [`Error::Full`].
    pub max_size: Option<u64>,
    /// How long to wait for another process's lock before [`Error::Locked`].
    pub busy_timeout: Duration,
}

impl Options {
    /// The usual options for a file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), max_size: None, busy_timeout: connection::BUSY_TIMEOUT }
    }
}

/// Opens a store, makes it when it is not there, and brings its schema up to date.
///
/// # Errors
/// [`Error::Newer`] for a file of a later version, which is left as it is; [`Error::Locked`], [`Error::Full`] and
/// [`Error::Database`] as ever.
pub async fn open(options: Options) -> Result<SqliteStore, Error> {
    Ok(SqliteStore { connections: Connections::open(options).await?, scratch: Arc::default() })
}

/// A store in a SQLite file.
pub struct SqliteStore {
    connections: Connections,
    /// Whose turn it is to use the scratch listing.
    scratch: Arc<tokio::sync::Mutex<()>>,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.connections.path()).finish_non_exhaustive()
    }
}

impl SqliteStore {
    fn broken(&self) -> impl Fn(Fault) -> Error {
        let place = self.connections.path().display().to_string();
        move |fault| fault.at(&place)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn claim(&self, sync: &str, now: Timestamp) -> Result<Lease, Error> {
        let (name, path) = (sync.to_owned(), self.connections.path().to_owned());
        // The file is locked first: without it we have no business closing anybody's runs.
        let (epoch, file) = self
            .connections
            .write(failpoints!("claim"), move |transaction| {
                let file = lease::lock(&path, &name)?;
                Ok((lease::claim(transaction, &name, now)?, file))
            })
            .await?;
        Ok(Lease { sync: sync.to_owned(), epoch, guard: Box::new(file) })
    }

    async fn check(&self, lease: &Lease) -> Result<(), Error> {
        let token = Token::from(lease);
        self.connections.read(move |connection, _| lease::check(connection, &token).map(drop)).await
    }

    async fn start_run(&self, lease: &Lease, run: NewRun) -> Result<RunId, Error> {
        let token = Token::from(lease);
        self.connections
            .write(failpoints!("start_run"), move |transaction| runs::start(transaction, &token, &run))
            .await
    }

    async fn finish_run(&self, lease: &Lease, run: RunId, end: RunEnd) -> Result<(), Error> {
        let token = Token::from(lease);
        self.connections
            .write(failpoints!("finish_run"), move |transaction| runs::finish(transaction, &token, run, &end))
            .await
    }

    async fn runs(
        &self,
        sync: Option<&str>,
        status: Option<Status>,
        limit: usize,
    ) -> Result<Vec<Run>, Error> {
        let sync = sync.map(str::to_owned);
        self.connections.view(move |connection| runs::list(connection, sync.as_deref(), status, limit)).await
    }

    async fn run(&self, run: RunId) -> Result<Option<Run>, Error> {
        self.connections.view(move |connection| runs::get(connection, run)).await
    }

    async fn find(&self, sync: &str, identities: &[Identity]) -> Result<Vec<Option<Entry>>, Error> {
        let (sync, identities) = (sync.to_owned(), identities.to_vec());
        self.connections
            .read(move |connection, streams| ledger::find(connection, streams, &sync, &identities))
            .await
    }

    async fn details(&self, sync: &str, identities: &[Identity]) -> Result<Vec<Option<Details>>, Error> {
        let (sync, identities) = (sync.to_owned(), identities.to_vec());
        self.connections.read(move |connection, _| ledger::details(connection, &sync, &identities)).await
    }

    async fn writes(&self, sync: &str, identity: Identity, limit: usize) -> Result<Vec<Write>, Error> {
        let sync = sync.to_owned();
        self.connections.view(move |connection| written::list(connection, &sync, identity, limit)).await
    }

    async fn known(&self, sync: &str) -> Result<Vec<(String, u64)>, Error> {
        let sync = sync.to_owned();
        self.connections.read(move |connection, _| ledger::known(connection, &sync)).await
    }

    async fn unseen(
        &self,
        sync: &str,
        seen: &Seen,
        after: u64,
        limit: usize,
    ) -> Result<(Vec<(Identity, Entry)>, Option<u64>), Error> {
        let (sync, seen) = (sync.to_owned(), seen.clone());
        self.connections
            .read(move |connection, streams| ledger::unseen(connection, streams, &sync, &seen, after, limit))
            .await
    }

    async fn last_seq(&self) -> Result<u64, Error> {
        self.connections.read(|connection, _| ledger::last_seq(connection)).await
    }

    async fn intend(&self, lease: &Lease, run: RunId, intents: &[Intent]) -> Result<(), Error> {
        let token = Token::from(lease);
        let intents = intents.iter().map(|intent| Ok((intent.clone(), Wide::of(&intent.row)?)));
        let intents = intents.collect::<Result<Vec<_>, _>>();
        self.connections
            .write(failpoints!("intend"), move |transaction| {
                intents::intend(transaction, &token, run, intents)
            })
            .await
    }

    async fn open_intents(&self, sync: &str) -> Result<Vec<Intent>, Error> {
        let sync = sync.to_owned();
        self.connections.read(move |connection, _| intents::open(connection, &sync)).await
    }

    async fn checkpoint(&self, lease: &Lease, run: RunId, checkpoint: Checkpoint) -> Result<(), Error> {
        let token = Token::from(lease);
        let prepared = Prepared::of(&checkpoint);
        self.connections
            .write(failpoints!("checkpoint"), move |transaction| {
                checkpoint::apply(transaction, &token, run, &checkpoint, prepared)
            })
            .await
    }

    async fn cursor(&self, sync: &str) -> Result<Option<Cursor>, Error> {
        let sync = sync.to_owned();
        self.connections.read(move |connection, _| runs::cursor(connection, &sync)).await
    }

    async fn reset(&self, lease: &Lease) -> Result<bool, Error> {
        let token = Token::from(lease);
        self.connections
            .write(failpoints!("reset"), move |transaction| runs::reset(transaction, &token))
            .await
    }

    async fn parked(
        &self,
        sync: Option<&str>,
        due: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<Parked>, Error> {
        let sync = sync.map(str::to_owned);
        self.connections.view(move |connection| parked::list(connection, sync.as_deref(), due, limit)).await
    }

    async fn waiting(&self) -> Result<Vec<Waiting>, Error> {
        self.connections.view(parked::waiting).await
    }

    async fn retry_parked(
        &self,
        lease: &Lease,
        identities: Option<&[Identity]>,
        now: Timestamp,
    ) -> Result<u64, Error> {
        let (token, identities) = (Token::from(lease), identities.map(<[_]>::to_vec));
        self.connections
            .write(failpoints!("waiting"), move |transaction| {
                parked::retry(transaction, &token, identities.as_deref(), now)
            })
            .await
    }

    async fn drop_parked(&self, lease: &Lease, identities: Option<&[Identity]>) -> Result<u64, Error> {
        let (token, identities) = (Token::from(lease), identities.map(<[_]>::to_vec));
        self.connections
            .write(failpoints!("waiting"), move |transaction| {
                parked::drop(transaction, &token, identities.as_deref())
            })
            .await
    }

    async fn held(&self, sync: Option<&str>, limit: usize) -> Result<Vec<Held>, Error> {
        let sync = sync.map(str::to_owned);
        self.connections.view(move |connection| parked::held(connection, sync.as_deref(), limit)).await
    }

    async fn approve(&self, lease: &Lease, ceiling: u64, now: Timestamp) -> Result<(), Error> {
        let token = Token::from(lease);
        self.connections
            .write(failpoints!("waiting"), move |transaction| {
                parked::approve(transaction, &token, ceiling, now)
            })
            .await
    }

    async fn approval(&self, sync: &str) -> Result<Option<u64>, Error> {
        let sync = sync.to_owned();
        self.connections.view(move |connection| parked::approval(connection, &sync)).await
    }

    async fn reject(&self, lease: &Lease) -> Result<u64, Error> {
        let token = Token::from(lease);
        self.connections
            .write(failpoints!("waiting"), move |transaction| parked::reject(transaction, &token))
            .await
    }

    async fn mark_drifted(
        &self,
        lease: &Lease,
        run: RunId,
        drifted: &[Drift],
        now: Timestamp,
    ) -> Result<(), Error> {
        let (token, drifted) = (Token::from(lease), drifted.to_vec());
        self.connections
            .write(failpoints!("waiting"), move |transaction| {
                parked::mark_drifted(transaction, &token, run, &drifted, now)
            })
            .await
    }

    async fn spent(&self, budget: &str, since: Timestamp) -> Result<Vec<(Timestamp, u64)>, Error> {
        let budget = budget.to_owned();
        self.connections.read(move |connection, _| runs::spent(connection, &budget, since)).await
    }

    async fn scratch_turn(&self) -> Turn {
        Box::new(Arc::clone(&self.scratch).lock_owned().await)
    }

    async fn scratch_clear(&self) -> Result<(), Error> {
        self.connections.read(|connection, _| scratch::clear(connection)).await
    }

    async fn scratch_put(&self, rows: &[Scratch]) -> Result<(), Error> {
        let rows = rows.iter().map(|row| Ok((row.clone(), codec::fields_text(&row.fields)?)));
        let rows: Vec<_> = rows.collect::<Result<_, _>>().map_err(self.broken())?;
        self.connections.read(move |connection, _| scratch::put(connection, &rows)).await
    }

    async fn scratch_remove(&self, stream: &str, record_id: &str) -> Result<(), Error> {
        let (stream, record_id) = (stream.to_owned(), record_id.to_owned());
        self.connections.read(move |connection, _| scratch::remove(connection, &stream, &record_id)).await
    }

    async fn scratch_remove_owned(&self, sync: &str) -> Result<(), Error> {
        let sync = sync.to_owned();
        self.connections.read(move |connection, _| scratch::remove_owned(connection, &sync)).await
    }

    async fn scratch_by_stamp(&self, identities: &[Identity]) -> Result<Vec<Vec<Scratch>>, Error> {
        let identities = identities.to_vec();
        self.connections.read(move |connection, _| scratch::by_stamp(connection, &identities)).await
    }

    async fn scratch_by_natural(&self, natural: &[[u8; 32]]) -> Result<Vec<Vec<Scratch>>, Error> {
        let natural = natural.to_vec();
        self.connections.read(move |connection, _| scratch::by_natural(connection, &natural)).await
    }

    async fn scratch_count(&self) -> Result<Vec<(String, u64)>, Error> {
        self.connections.read(|connection, _| scratch::count(connection)).await
    }

    async fn compare(&self, sync: &str, streams: &[String], limit: usize) -> Result<Comparison, Error> {
        let (sync, streams) = (sync.to_owned(), streams.to_vec());
        self.connections.read(move |connection, _| compare::compare(connection, &sync, &streams, limit)).await
    }
}
