//! A scratch listing in a database of its own, for a store whose ledger is elsewhere.
//!
//! The database has no name, lies in a temporary file and goes with the process. For a comparison the ledger is copied
//! beside the listing, so that there is one comparison, whatever the store.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, Transaction, params};
use syncline_core::identity::Identity;

use super::{codec, compare, connection::blocking, fault::Fault, ledger::StreamNumbers, migrate, scratch};
use crate::{Comparison, Error, Scratch};

/// Page cache, in KiB: the listing may be as large as the destination.
const CACHE_KIB: i64 = 16 * 1024;

/// A scratch listing. Serves one caller at a time, on a blocking thread.
pub(crate) struct Listing {
    place: String,
    connection: Arc<Mutex<Connection>>,
}

/// A row of a ledger that is elsewhere, as its columns are stored.
pub(crate) struct Copied {
    pub(crate) identity: [u8; 32],
    pub(crate) stream: String,
    pub(crate) record_id: String,
    pub(crate) hash: Option<[u8; 32]>,
    pub(crate) gone: bool,
    pub(crate) key: String,
    pub(crate) fields: String,
}

impl Listing {
    /// Opens an empty one; `place` is that of the store, for messages.
    pub(crate) async fn open(place: &str) -> Result<Self, Error> {
        let connection = blocking(place.to_owned(), || {
            // An empty name: a temporary file that has none.
            let mut connection = Connection::open("")?;
            connection.pragma_update(None, "temp_store", "FILE")?;
            connection.pragma_update(None, "synchronous", "OFF")?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            migrate::migrate(&mut connection)?;
            scratch::create(&connection)?;
            connection.pragma_update(Some("temp"), "cache_size", -CACHE_KIB)?;
            Ok(connection)
        })
        .await?;
        Ok(Self { place: place.to_owned(), connection: Arc::new(Mutex::new(connection)) })
    }

    async fn with<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let connection = Arc::clone(&self.connection);
        blocking(self.place.clone(), move || {
            // A panic in an earlier caller has rolled its transaction back.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction()?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
        .await
    }

    /// As [`Store::scratch_clear`](crate::Store::scratch_clear).
    pub(crate) async fn clear(&self) -> Result<(), Error> {
        self.with(|transaction| scratch::clear(transaction)).await
    }

    /// As [`Store::scratch_put`](crate::Store::scratch_put).
    pub(crate) async fn put(&self, rows: &[Scratch]) -> Result<(), Error> {
        let rows = rows.iter().map(|row| Ok((row.clone(), codec::fields_text(&row.fields)?)));
        let rows = rows.collect::<Result<Vec<_>, Fault>>().map_err(|fault| fault.at(&self.place))?;
        self.with(move |transaction| scratch::put(transaction, &rows)).await
    }

    /// Withdraws records, by stream and id.
    pub(crate) async fn remove(&self, records: Vec<(String, String)>) -> Result<(), Error> {
        self.with(move |transaction| {
            records.iter().try_for_each(|(stream, record)| scratch::remove(transaction, stream, record))
        })
        .await
    }

    /// As [`Store::scratch_by_stamp`](crate::Store::scratch_by_stamp).
    pub(crate) async fn by_stamp(&self, identities: &[Identity]) -> Result<Vec<Vec<Scratch>>, Error> {
        let identities = identities.to_vec();
        self.with(move |transaction| scratch::by_stamp(transaction, &identities)).await
    }

    /// As [`Store::scratch_by_natural`](crate::Store::scratch_by_natural).
    pub(crate) async fn by_natural(&self, natural: &[[u8; 32]]) -> Result<Vec<Vec<Scratch>>, Error> {
        let natural = natural.to_vec();
        self.with(move |transaction| scratch::by_natural(transaction, &natural)).await
    }

    /// As [`Store::scratch_count`](crate::Store::scratch_count).
    pub(crate) async fn count(&self) -> Result<Vec<(String, u64)>, Error> {
        self.with(|transaction| scratch::count(transaction)).await
    }

    /// Begins a copy of a sync's ledger; an earlier copy is forgotten.
    pub(crate) async fn begin_copy(&self, sync: &str) -> Result<(), Error> {
        let sync = sync.to_owned();
        self.with(move |transaction| {
            transaction.execute_batch("DELETE FROM ledger_detail; DELETE FROM ledger; DELETE FROM sync;")?;
            transaction.execute("INSERT INTO sync (number, name) VALUES (1, ?1)", [sync])?;
            Ok(())
        })
        .await
    }

    /// Adds rows to the copy.
    pub(crate) async fn copy(&self, rows: Vec<Copied>) -> Result<(), Error> {
        self.with(move |transaction| {
            let mut streams = StreamNumbers::default();
            let mut narrow = transaction.prepare_cached(
                "INSERT INTO ledger (sync, identity, stream, record_id, hash, gone) VALUES (1, ?1, ?2, ?3, ?4, ?5)
                 RETURNING seq",
            )?;
            let mut wide = transaction
                .prepare_cached("INSERT INTO ledger_detail (seq, run, key, fields) VALUES (?1, 0, ?2, ?3)")?;
            for row in &rows {
                let stream = streams.of(transaction, &row.stream)?;
                let seq: i64 = narrow
                    .query_row(params![row.identity, stream, row.record_id, row.hash, row.gone], |row| {
                        row.get(0)
                    })?;
                wide.execute(params![seq, row.key, row.fields])?;
            }
            Ok(())
        })
        .await
    }

    /// As [`Store::compare`](crate::Store::compare), with the copy of the ledger, which is forgotten afterwards.
    pub(crate) async fn compare(
        &self,
        sync: &str,
        streams: &[String],
        limit: usize,
    ) -> Result<Comparison, Error> {
        let (sync, streams) = (sync.to_owned(), streams.to_vec());
        self.with(move |transaction| {
            let comparison = compare::compare(transaction, &sync, &streams, limit)?;
            transaction.execute_batch("DELETE FROM ledger_detail; DELETE FROM ledger; DELETE FROM sync;")?;
            Ok(comparison)
        })
        .await
    }
}
