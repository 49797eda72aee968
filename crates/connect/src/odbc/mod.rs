//! The `odbc` source: tables, views and statements of any database that has an ODBC driver. This is how Oracle, SQL
//! Server, Sybase ASE and DB2 are reached. SQL Server, Oracle, PostgreSQL and MySQL can be loaded through it as well.
//! Built with the cargo feature `odbc`, which needs unixODBC.
//!
//! Start reading at [`Connector`]; `dialect` is what is known about each kind of server, `describe` finds a table, `read`
//! decides where a listing starts and stops, `rows` fetches it, `types` reads cells, `sql` renders every statement;
//! `database` and `write` are the destination.
//!
//! Limits, and what a user should know:
//! - A driver does not tell who is writing: an incremental read stops at the server's time less `lag`, which must cover
//!   the longest transaction that stamps records.
//! - A listing is one statement. How long the server keeps a snapshot for it, and whether readers block writers, is the
//!   server's matter (SQL Server: switch on READ_COMMITTED_SNAPSHOT).
//! - Texts whose longest length is known are fetched in blocks; longer ones cell by cell, which is slower.
//! - Times have microseconds. A value with more digits (Oracle's `timestamp(9)`, SQL Server's `datetime2(7)`) makes its
//!   record a problem; cast it in a source statement.
//! - Columns with a time zone are instants where the driver tells the type's name; the result of a source statement has
//!   no names of types (but in PostgreSQL), and its times are wall-clock times.
//! - Memory is bounded where the driver hands rows over as they come. MariaDB's driver (3.1) holds the whole answer of a
//!   statement: use a connection of type `mysql`.
//! - A statement cannot be cancelled: giving up a listing waits for the driver. `statement_timeout` bounds that.
//! - Texts and names go to the driver as UTF-16. To a driver without functions for that (Debian's for SQLite) the driver
//!   manager hands them in the process's locale, and what is not ASCII is lost on the way.
//! - SQLite and PostgreSQL have connectors of their own, which know more. Through ODBC a time of SQLite is compared by
//!   milliseconds.
//!
//! <https://learn.microsoft.com/sql/odbc/reference/syntax/odbc-api-reference>.

mod bind;
mod client;
mod config;
mod database;
mod describe;
mod dialect;
mod error;
mod lookup;
mod read;
mod rows;
mod sql;
mod types;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use syncline_core::{
    batch::Batch,
    connection::{Connection, ConnectorSpec},
    schema::Stream,
    value::Value,
};
use tokio::sync::Mutex;

use self::{client::Session, config::Settings};
use crate::{
    Database, Error, Source,
    database::sql::Sql,
    error::Kind,
    registry::{self, Context},
    source::{FETCH_MAX, Fetch, Part, Read, Reader, Scan},
};

/// The connector. It holds nothing; each opened source has its own sessions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Connector;

#[async_trait]
impl registry::Connector for Connector {
    fn spec(&self) -> ConnectorSpec {
        config::SPEC
    }

    async fn source(&self, connection: &Connection, _: &Context) -> Result<Arc<dyn Source>, Error> {
        let mut settings = Settings::of(connection)?;
        let asked = settings.clone();
        let session = client::waiting(move || Session::open(&asked)).await?;
        // known from now on: later sessions need not ask
        settings.dialect = Some(session.dialect);
        let quote = session.quote;
        Ok(Arc::new(Odbc {
            settings: Arc::new(settings),
            quote,
            session: Arc::new(Mutex::new(Some(session))),
        }))
    }

    async fn database(&self, connection: &Connection, _: &Context) -> Result<Arc<dyn Database>, Error> {
        let loads = database::Loads::of(Settings::of(connection)?).await?;
        Ok(Arc::new(Sql::new(loads)))
    }
}

/// An open connection: one session for questions, and one more for each listing.
struct Odbc {
    settings: Arc<Settings>,
    quote: char,
    session: Arc<Mutex<Option<Session>>>,
}

impl Odbc {
    /// Asks on the session for questions, connected anew if it was lost. One question at a time.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let mut kept = Arc::clone(&self.session).lock_owned().await;
        let settings = Arc::clone(&self.settings);
        client::waiting(move || {
            let session = match kept.take().filter(Session::is_open) {
                Some(session) => session,
                None => Session::open(&settings)?,
            };
            let answer = question(&session);
            // a session that failed in an unknown way is not worth keeping
            let usable = answer.as_ref().err().is_none_or(|e| {
                matches!(e.kind, Kind::StreamMissing | Kind::Definition | Kind::Forbidden | Kind::Locked)
            });
            *kept = Some(session).filter(|_| usable);
            answer
        })
        .await
    }
}

impl Odbc {
    /// Opens a listing on a session of its own.
    async fn open(&self, request: Read, once: bool) -> Result<read::Open, Error> {
        let settings = Arc::clone(&self.settings);
        let plan = client::waiting(move || {
            let session = Session::open(&settings)?;
            let found = describe::find(&session, &request.stream)?;
            let plan = read::plan(session, &found, &request, once);
            plan.map_err(|e| e.context(format_args!("stream {:?}", request.stream)))
        });
        Ok(read::Open::start(plan.await?))
    }
}

#[async_trait]
impl Source for Odbc {
    async fn describe(&self, stream: &str) -> Result<Stream, Error> {
        let stream = stream.to_owned();
        self.ask(move |session| Ok(describe::find(session, &stream)?.stream)).await
    }

    async fn streams(&self) -> Result<Vec<String>, Error> {
        self.ask(describe::names).await
    }

    async fn read(&self, request: Read) -> Result<Box<dyn Reader>, Error> {
        Ok(Box::new(self.open(request, false).await?))
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Box<dyn Part>>, Error> {
        Ok(vec![Box::new(read::Whole(self.open(scan.read, scan.once).await?))])
    }

    fn derived(&self, stream: &str, columns: &[(String, String)]) -> Result<String, Error> {
        sql::derived(stream, columns, self.quote)
    }

    async fn fetch(&self, request: Fetch) -> Result<Batch, Error> {
        if request.keys.len() > FETCH_MAX {
            let message = format!("{} keys in one look-up; at most {FETCH_MAX}", request.keys.len());
            return Err(Error::new(Kind::Definition, message));
        }
        self.ask(move |session| {
            let batch = lookup::fetch(session, &request);
            batch.map_err(|e| e.context(format_args!("stream {:?}", request.stream)))
        })
        .await
    }

    async fn duplicate_keys(
        &self,
        stream: &str,
        key: &[String],
        limit: usize,
    ) -> Result<Vec<Vec<Value<'static>>>, Error> {
        let (stream, key) = (stream.to_owned(), key.to_vec());
        self.ask(move |session| {
            let keys = lookup::duplicates(session, &stream, &key, limit);
            keys.map_err(|e| e.context(format_args!("stream {stream:?}")))
        })
        .await
    }
}
