//! The `sqlite` connector: tables and views of a SQLite file as a source, opened read-only; tables as a destination of loads.
//!
//! Start reading at [`Connector`]; `describe` finds a table, `plan` decides what a listing reads, `read` reads it, `types`
//! reads cells, `sql` renders every statement. `database` is the destination, `write` fills its staging tables.
//!
//! Limits, and what a user should know:
//! - SQLite stores any value in any column. The declared type says what is meant; a cell that does not fit it makes its
//!   record a problem, and the others are read.
//! - `DATETIME` and `TIMESTAMP` columns are instants, in UTC where the text has no offset, unless they are declared
//!   `WITHOUT TIME ZONE`. ISO text and whole seconds since 1970 are understood.
//! - A cursor column of times is walked by its index when all its cells have one form (say, `2026-01-31 10:00:00`).
//!   Otherwise, and without an index, every 10,000 records sort the table once.
//! - A key that may be null or is not unique is listed by one statement, which holds a read lock until it is done. Outside
//!   WAL mode writers wait for that.
//! - SQLite does not tell who is writing. It has one writer at a time; where a transaction stamps records long before it
//!   commits, `lag` or the overlap must cover it.
//!
//! Of the destination:
//! - SQLite has one writer at a time. Rows are staged in a temporary table, which locks nothing; the merge is one transaction.
//!   In WAL mode, which new files get, readers see the old content until it commits.
//! - New columns for decimals and JSON are declared `DECIMAL_TEXT(p,s)` and `JSON_TEXT`: of a `DECIMAL` SQLite makes a double.
//!   Decimals with more digits than a double holds are refused in columns that are declared so.
//! - Times are written in one form, so that the order of texts is that of time: `2026-01-05 09:00:00.000000Z`.
//! - Foreign keys are enforced. `replace` puts off the check to its end, and deletes nothing in other tables.
//!
//! <https://www.sqlite.org/datatype3.html>, <https://www.sqlite.org/pragma.html>.

mod client;
mod compare;
mod config;
mod database;
mod describe;
mod error;
mod lock;
mod lookup;
mod plan;
mod read;
mod rows;
mod sql;
mod statements;
mod types;
mod write;

#[cfg(feature = "odbc")]
pub(crate) use types::declared;

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use syncline_core::{
    batch::Batch,
    connection::{Connection, ConnectorSpec},
    schema::Stream,
    value::Value,
};

use self::plan::Plan;
use crate::{
    Database, Error, Source, Statements,
    clock::Clock,
    compare::{Side, Subject},
    database::sql::Sql,
    error::Kind,
    registry::{self, Context},
    source::{FETCH_MAX, Fetch, Read, Reader},
};

/// The connector. It holds nothing; every question opens the file anew.
#[derive(Debug, Clone, Copy, Default)]
pub struct Connector;

#[async_trait]
impl registry::Connector for Connector {
    fn spec(&self) -> ConnectorSpec {
        config::SPEC
    }

    async fn source(&self, connection: &Connection, context: &Context) -> Result<Arc<dyn Source>, Error> {
        let path = config::file(connection, &context.directory)?;
        // the first look at the file finds out whether it is one of SQLite's
        client::ask(&path, |c| describe::names(&c).map_err(|e| error::of(&e)))
            .await
            .map_err(|e| e.context(format_args!("connection {:?}, file {path:?}", connection.name)))?;
        Ok(Arc::new(Sqlite { path, clock: Arc::clone(&context.clock) }))
    }

    async fn database(&self, connection: &Connection, context: &Context) -> Result<Arc<dyn Database>, Error> {
        let path = config::file(connection, &context.directory)?;
        Ok(Arc::new(Sql::new(database::File { path })))
    }

    async fn statements(
        &self,
        connection: &Connection,
        context: &Context,
    ) -> Result<Arc<dyn Statements>, Error> {
        Ok(Arc::new(statements::File { path: config::file(connection, &context.directory)? }))
    }
}

/// A SQLite file.
struct Sqlite {
    path: PathBuf,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Source for Sqlite {
    async fn describe(&self, stream: &str) -> Result<Stream, Error> {
        let stream = stream.to_owned();
        let describe = move |c| {
            let mut found = describe::find(&c, &stream)?;
            found.stream.records = describe::count(&c, &found).map_err(|e| error::of(&e))?;
            Ok(found.stream)
        };
        client::ask(&self.path, describe).await
    }

    async fn streams(&self) -> Result<Vec<String>, Error> {
        client::ask(&self.path, |c| describe::names(&c).map_err(|e| error::of(&e))).await
    }

    async fn read(&self, request: Read) -> Result<Box<dyn Reader>, Error> {
        let now = self.clock.now().as_microsecond();
        let stream = request.stream.clone();
        let planned = client::ask(&self.path, move |c| {
            let found = describe::find(&c, &request.stream)?;
            let plan = Plan::of(&c, &found, &request, now);
            Ok((plan.map_err(|e| e.context(format_args!("stream {:?}", request.stream)))?, c))
        });
        let (plan, connection) = planned.await?;
        Ok(Box::new(read::Open::start(connection, plan, stream)))
    }

    async fn fetch(&self, request: Fetch) -> Result<Batch, Error> {
        if request.keys.len() > FETCH_MAX {
            let message = format!("{} keys in one look-up; at most {FETCH_MAX}", request.keys.len());
            return Err(Error::new(Kind::Definition, message));
        }
        client::ask(&self.path, move |c| lookup::fetch(&c, &request)).await
    }

    async fn duplicate_keys(
        &self,
        stream: &str,
        key: &[String],
        limit: usize,
    ) -> Result<Vec<Vec<Value<'static>>>, Error> {
        let (stream, key) = (stream.to_owned(), key.to_vec());
        client::ask(&self.path, move |c| lookup::duplicates(&c, &stream, &key, limit)).await
    }

    async fn side(&self, subject: &Subject) -> Result<Option<Box<dyn Side>>, Error> {
        Ok(Some(Box::new(compare::Snapshot::open(&self.path, subject.clone()).await?)))
    }
}
