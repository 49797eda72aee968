//! The `files` source and destination: CSV, JSON Lines and Parquet files of a local directory or an object store.
//!
//! Start reading at [`Connector`]; `find` turns the name of a stream into files, `describe` tells their fields, `scan` walks
//! their records whatever the format, `csv`, `jsonl` and `parquet` read one file each, `types` reads cells, `read` and
//! `lookup` answer the questions of the trait. `load` writes: `encode` and `texts` make the bytes, `state` remembers. `store`,
//! `put` and `claim` are the only places that touch a disk or a network.
//!
//! Limits, and what a user should know:
//! - A stream is a file (`orders.csv`) or a directory (`orders/`): all its files of one format, in the order of their names,
//!   those that begin with `_` or `.` left out, and not those of directories inside it.
//! - Files keep no order and promise no key. A full listing comes in the order of the files; key columns may be null and may
//!   repeat, whatever the schema beside them says.
//! - An incremental listing is a scan that keeps the wanted records only, and hands them over in the order of (cursor, key),
//!   50,000 or 32 MiB per pass over the files. It ends at the machine's clock, as those of databases do.
//! - Where records may come only once (`append`), the next listing goes on behind the highest cursor: the cursor has to grow
//!   with every record.
//! - Columns of CSV are text, those of JSON Lines what the first 1,000 records are, unless a schema lies beside the file
//!   (`orders.csv.schema.json`; module `schema`).
//! - A record that cannot be read (wrong number of cells, no JSON, not UTF-8, longer than 16 MiB) is a problem of its own; the
//!   others are read. A quote that is never closed leaves no records to tell apart: the listing fails.
//! - A file that changes while it is read makes the listing fail. It is told by the store's tag (local: inode, size, and time
//!   of change to the microsecond).
//! - A look-up by key scans all files. Looking for keys that repeat remembers 2,000,000 keys and no more.
//! - Parquet: uncompressed and Snappy; no nested columns but lists of scalars.
//!
//! <https://www.rfc-editor.org/rfc/rfc4180>, <https://jsonlines.org>,
//! <https://github.com/apache/parquet-format/blob/master/LogicalTypes.md>.

mod blocks;
mod bound;
#[cfg(feature = "object-stores")]
mod buckets;
mod claim;
mod config;
mod csv;
mod describe;
mod encode;
mod error;
mod find;
mod jsonl;
mod load;
mod lookup;
mod order;
mod parquet;
mod put;
mod read;
mod scan;
mod schema;
mod state;
mod store;
mod texts;
mod types;

use std::sync::Arc;

use async_trait::async_trait;
use syncline_core::{
    batch::Batch,
    connection::{Connection, ConnectorSpec},
    schema::Stream,
    value::Value,
};
use tokio::runtime::Handle;

use self::{config::Settings, find::Format, read::Plan, store::Store};
use crate::{
    Database, Error, Source,
    clock::Clock,
    error::Kind,
    registry::{self, Context},
    source::{FETCH_MAX, Fetch, Part, Read, Reader, Scan},
};

/// The connector. It holds nothing; every question looks at the files anew.
#[derive(Debug, Clone, Copy, Default)]
pub struct Connector;

#[async_trait]
impl registry::Connector for Connector {
    fn spec(&self) -> ConnectorSpec {
        config::SPEC
    }

    async fn source(&self, connection: &Connection, context: &Context) -> Result<Arc<dyn Source>, Error> {
        Ok(Arc::new(Files::open(connection, context)?))
    }

    async fn database(&self, connection: &Connection, context: &Context) -> Result<Arc<dyn Database>, Error> {
        Ok(Arc::new(Files::open(connection, context)?))
    }
}

/// A place with files.
struct Files {
    store: store::Root,
    settings: Arc<Settings>,
    clock: Arc<dyn Clock>,
}

impl Files {
    fn open(connection: &Connection, context: &Context) -> Result<Self, Error> {
        let settings = Settings::of(connection, &context.directory)?;
        let store = store::open(&settings.place).map_err(|e| error::at(e, connection))?;
        Ok(Self { store, settings: Arc::new(settings), clock: Arc::clone(&context.clock) })
    }

    async fn list(&self, request: Read, once: bool) -> Result<read::Open, Error> {
        let now = self.clock.now().as_microsecond();
        let name = request.stream.clone();
        let planned = self.ask(move |store, settings| {
            let found = describe::found(&store, settings, &request.stream)?;
            let plan = Plan::of(store, found, &request, once, now);
            plan.map_err(|e| e.context(format_args!("stream {:?}", request.stream)))
        });
        Ok(read::Open::start(planned.await?, name))
    }

    /// Answers a question on a thread where waiting does no harm.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(Store, &Settings) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = Store::new(self.store.clone(), Handle::current());
        let settings = Arc::clone(&self.settings);
        #[expect(clippy::disallowed_methods, reason = "awaited here")]
        let asked = tokio::task::spawn_blocking(move || question(store, &settings));
        asked.await.map_err(|_| Error::new(Kind::Protocol, "the reading thread ended early"))?
    }
}

#[async_trait]
impl Source for Files {
    async fn describe(&self, stream: &str) -> Result<Stream, Error> {
        let stream = stream.to_owned();
        self.ask(move |store, settings| Ok(describe::found(&store, settings, &stream)?.stream)).await
    }

    async fn streams(&self) -> Result<Vec<String>, Error> {
        self.ask(|store, _| find::names(&store)).await
    }

    async fn read(&self, request: Read) -> Result<Box<dyn Reader>, Error> {
        Ok(Box::new(self.list(request, false).await?))
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Box<dyn Part>>, Error> {
        Ok(vec![Box::new(self.list(scan.read, scan.once).await?)])
    }

    async fn fetch(&self, request: Fetch) -> Result<Batch, Error> {
        if request.keys.len() > FETCH_MAX {
            let message = format!("{} keys in one look-up; at most {FETCH_MAX}", request.keys.len());
            return Err(Error::new(Kind::Definition, message));
        }
        self.ask(move |store, settings| lookup::fetch(store, settings, &request)).await
    }

    async fn duplicate_keys(
        &self,
        stream: &str,
        key: &[String],
        limit: usize,
    ) -> Result<Vec<Vec<Value<'static>>>, Error> {
        let (stream, key) = (stream.to_owned(), key.to_vec());
        self.ask(move |store, settings| lookup::duplicates(store, settings, &stream, &key, limit)).await
    }
}
