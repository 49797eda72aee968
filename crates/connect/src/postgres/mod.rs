//! The `postgres` connector: tables, views and materialised views of PostgreSQL 14 or newer as a source, tables as a
//! destination of bulk loads (`database`).
//!
//! Start reading at [`Connector`]; `describe` finds a table, `read` lists it, `bound` says where an incremental read must
//! stop, `types` reads the server's binary values, `sql` renders every statement.
//!
//! Limits, and what a user should know:
//! - Records stamped by an application's clock, or long before their transaction, can appear below a cursor that has
//!   passed them. The overlap is there for that.
//! - A `timestamp` without zone is compared in the session's time zone. Where that zone has daylight saving time, an hour
//!   repeats in autumn: an overlap of an hour or more covers it; `timestamptz` does not have the problem.
//! - A cursor that is null, and one that is infinite or NaN, is read by full listings only.
//! - A key that may be null or is not unique is listed by one statement, which holds a snapshot until it is done. So is
//!   an incremental listing by a column without an index.
//! - Types without a field type of their own (intervals, addresses, ranges, composites …) travel as their text.
//! - Session settings do not survive a pooler in transaction mode: connect to the server itself.
//!
//! Protocol: <https://www.postgresql.org/docs/current/protocol.html>. Sessions and their transactions:
//! <https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW>.

mod bind;
mod bound;
mod client;
mod compare;
mod config;
mod database;
mod describe;
mod encode;
mod error;
mod lookup;
mod numeric;
mod read;
mod rows;
mod scan;
mod splice;
mod sql;
mod statements;
mod swap;
mod tls;
mod tuples;
mod types;
mod write;

#[cfg(feature = "odbc")]
pub(crate) use database::lock_number;

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
    Database, Error, Source, Statements,
    compare::{Side, Subject},
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

    async fn source(&self, connection: &Connection, context: &Context) -> Result<Arc<dyn Source>, Error> {
        let settings = Settings::of(connection, &context.directory)?;
        let session = Session::connect(&settings).await?;
        Ok(Arc::new(Postgres { settings, session: Mutex::new(Some(session)) }))
    }

    async fn database(&self, connection: &Connection, context: &Context) -> Result<Arc<dyn Database>, Error> {
        let settings = Settings::of(connection, &context.directory)?;
        Ok(Arc::new(Sql::new(database::Postgres { settings })))
    }

    async fn statements(
        &self,
        connection: &Connection,
        context: &Context,
    ) -> Result<Arc<dyn Statements>, Error> {
        let settings = Settings::of(connection, &context.directory)?;
        Ok(Arc::new(statements::Server { settings }))
    }
}

/// An open connection: one session for questions, and one more for each listing.
struct Postgres {
    settings: Settings,
    session: Mutex<Option<Session>>,
}

impl Postgres {
    /// The session for questions, connected anew if it was lost.
    async fn session<'a>(&self, kept: &'a mut Option<Session>) -> Result<&'a Session, Error> {
        if !kept.as_ref().is_some_and(Session::is_open) {
            *kept = Some(Session::connect(&self.settings).await?);
        }
        kept.as_ref().ok_or_else(|| Error::new(Kind::Unreachable, "no session"))
    }
}

#[async_trait]
impl Source for Postgres {
    async fn describe(&self, stream: &str) -> Result<Stream, Error> {
        let mut kept = self.session.lock().await;
        let session = self.session(&mut kept).await?;
        Ok(describe::find(session, stream).await?.stream)
    }

    async fn streams(&self) -> Result<Vec<String>, Error> {
        let mut kept = self.session.lock().await;
        let rows = self.session(&mut kept).await?.rows(describe::STREAMS, &[]).await?;
        rows.iter().map(|row| row.try_get(0).map_err(|e| error::of(&e))).collect()
    }

    async fn read(&self, request: Read) -> Result<Box<dyn Reader>, Error> {
        let session = Session::connect(&self.settings).await?;
        let found = describe::find(&session, &request.stream).await?;
        let open = read::open(session, &found, &request).await;
        Ok(Box::new(open.map_err(|e| e.context(format_args!("stream {:?}", request.stream)))?))
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Box<dyn Part>>, Error> {
        // the session for questions goes into the listing: a role may be allowed one connection only
        let session = match self.session.lock().await.take().filter(Session::is_open) {
            Some(session) => session,
            None => Session::connect(&self.settings).await?,
        };
        let parts = scan::open(&self.settings, session, &scan).await;
        parts.map_err(|e| e.context(format_args!("stream {:?}", scan.read.stream)))
    }

    async fn fetch(&self, request: Fetch) -> Result<Batch, Error> {
        if request.keys.len() > FETCH_MAX {
            let message = format!("{} keys in one look-up; at most {FETCH_MAX}", request.keys.len());
            return Err(Error::new(Kind::Definition, message));
        }
        let mut kept = self.session.lock().await;
        let session = self.session(&mut kept).await?;
        let found = describe::find(session, &request.stream).await?;
        let batch = lookup::fetch(session, &found, &request).await;
        batch.map_err(|e| e.context(format_args!("stream {:?}", request.stream)))
    }

    fn derived(&self, stream: &str, columns: &[(String, String)]) -> Result<String, Error> {
        sql::derived(stream, columns)
    }

    async fn duplicate_keys(
        &self,
        stream: &str,
        key: &[String],
        limit: usize,
    ) -> Result<Vec<Vec<Value<'static>>>, Error> {
        let mut kept = self.session.lock().await;
        let session = self.session(&mut kept).await?;
        let found = describe::find(session, stream).await?;
        let keys = lookup::duplicates(session, &found, key, limit).await;
        keys.map_err(|e| e.context(format_args!("stream {stream:?}")))
    }

    async fn side(&self, subject: &Subject) -> Result<Option<Box<dyn Side>>, Error> {
        Ok(Some(Box::new(compare::Snapshot::open(&self.settings, subject).await?)))
    }
}
