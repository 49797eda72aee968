//! The `mysql` connector: tables, views and statements of MySQL 8 or newer and MariaDB 10.6 or newer as a source, tables as a
//! destination of bulk loads (`database`).
//!
//! Start reading at [`Connector`]; `describe` finds a table, `plan` says what a listing reads, `read` lists it, `bound`
//! says where an incremental read must stop, `types` reads the server's values (the table of types is in
//! `docs/types.md`), `sql` renders every statement.
//!
//! Limits, and what a user should know:
//! - A listing is one snapshot (InnoDB). While it lasts, the server keeps old versions of changed rows, and statements
//!   that change the table's definition wait for it.
//! - Records stamped by an application's clock, or long before their statement, can appear below a cursor that has
//!   passed them; so can records that a replica receives late. The overlap is there for that.
//! - A `datetime` is compared in the server's time zone. Where that zone has daylight saving time, an hour repeats in
//!   autumn: an overlap of an hour or more covers it; `timestamp` does not have the problem.
//! - A cursor that is null, a zero date or a date without month or day is read by full listings only.
//! - What is equal is for the collation of the column to say: `a` and `A` may be one key.
//! - A key that may be null or is not unique, or is an `enum`, is listed by one statement. So is an incremental listing by
//!   a column without an index.
//! - A listing that is given up closes its connection; the server ends its statement when it next sends a row.
//!
//! Protocol: <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>. Transactions:
//! <https://dev.mysql.com/doc/refman/8.4/en/information-schema-innodb-trx-table.html>.

mod bind;
mod bound;
mod client;
mod config;
mod database;
mod describe;
mod encode;
mod error;
mod lookup;
mod plan;
mod read;
mod rows;
mod sql;
mod statements;
mod swap;
mod tls;
mod types;
mod write;

#[cfg(feature = "odbc")]
pub(crate) use database::lock_name;

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
    database::sql::Sql,
    error::Kind,
    registry::{self, Context},
    source::{FETCH_MAX, Fetch, Read, Reader},
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
        Ok(Arc::new(MySql { settings, session: Mutex::new(Some(session)) }))
    }

    async fn database(&self, connection: &Connection, context: &Context) -> Result<Arc<dyn Database>, Error> {
        let settings = Settings::of(connection, &context.directory)?;
        Ok(Arc::new(Sql::new(database::Tables::open(settings).await?)))
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
struct MySql {
    settings: Settings,
    session: Mutex<Option<Session>>,
}

impl MySql {
    /// The session for questions, connected anew if it was lost.
    async fn session<'a>(&self, kept: &'a mut Option<Session>) -> Result<&'a mut Session, Error> {
        if !kept.as_ref().is_some_and(Session::is_open) {
            *kept = Some(Session::connect(&self.settings).await?);
        }
        kept.as_mut().ok_or_else(|| Error::new(Kind::Unreachable, "no session"))
    }
}

#[async_trait]
impl Source for MySql {
    async fn describe(&self, stream: &str) -> Result<Stream, Error> {
        let mut kept = self.session.lock().await;
        let session = self.session(&mut kept).await?;
        Ok(describe::find(session, stream).await?.stream)
    }

    async fn streams(&self) -> Result<Vec<String>, Error> {
        let mut kept = self.session.lock().await;
        describe::streams(self.session(&mut kept).await?).await
    }

    async fn read(&self, request: Read) -> Result<Box<dyn Reader>, Error> {
        let mut session = Session::connect(&self.settings).await?;
        let found = describe::find(&mut session, &request.stream).await?;
        let open = read::open(session, &found, &request).await;
        Ok(Box::new(open.map_err(|e| e.context(format_args!("stream {:?}", request.stream)))?))
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
}
