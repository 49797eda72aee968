//! The `sqlite` source: tables and views of a SQLite file, opened read-only.
//!
//! Start reading at [`Connector`]; `describe` finds a table, `read` lists it, `types` reads its cells, `sql` renders every
//! statement.
//!
//! Limits, and what a user should know:
//! - `DATETIME` and `TIMESTAMP` columns are instants in UTC unless declared `WITHOUT TIME ZONE`; ISO text and seconds since
//!   1970 are understood. A cursor column must keep one form throughout: SQLite orders text as text.
//! - A cell that does not fit its column's declared type parks its record.
//! - A key that may be null or is not unique is listed by one statement, which holds a read lock until it is done.
//!
//! <https://www.sqlite.org/datatype3.html>, <https://www.sqlite.org/pragma.html>.

mod describe;
mod error;
mod read;
mod sql;
mod types;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use rusqlite::{OpenFlags, params_from_iter};
use syncline_core::{
    batch::Batch,
    connection::{Connection, ConnectorSpec, OptionKind, OptionSpec},
    schema::Stream,
    value::Value,
};

use self::read::{Shape, SqliteReader};
use crate::{
    Error, Source,
    error::Kind,
    registry::{self, Context},
    source::{FETCH_MAX, Fetch, Read, Reader},
};

/// How long to wait for a writer's lock.
const BUSY: Duration = Duration::from_secs(10);

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "sqlite",
    source: true,
    destination: false,
    options: &[OptionSpec {
        name: "path",
        kind: OptionKind::Text,
        required: true,
        choices: &[],
        help: "The database file; relative to the project file.",
    }],
    help: "Tables and views of a SQLite file, opened read-only.",
};

/// The connector. It holds nothing; every question opens the file anew.
#[derive(Debug, Clone, Copy, Default)]
pub struct Connector;

#[async_trait]
impl registry::Connector for Connector {
    fn spec(&self) -> ConnectorSpec {
        SPEC
    }

    async fn source(&self, connection: &Connection, context: &Context) -> Result<Arc<dyn Source>, Error> {
        let path = connection.options.get("path").and_then(serde_json::Value::as_str).unwrap_or_default();
        let source = Sqlite { path: context.directory.join(path) };
        let name = connection.name.clone();
        source
            .ask(|connection| describe::names(connection).map_err(|e| error::of(&e)))
            .await
            .map_err(|e| e.context(format_args!("connection {name:?}, file {path:?}")))?;
        Ok(Arc::new(source))
    }
}

/// A SQLite file.
struct Sqlite {
    path: PathBuf,
}

impl Sqlite {
    /// Asks the database something on a thread where waiting does no harm.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&rusqlite::Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let path = self.path.clone();
        #[expect(clippy::disallowed_methods, reason = "awaited here")]
        let asked = tokio::task::spawn_blocking(move || question(&open(&path)?));
        asked.await.map_err(|_| Error::new(Kind::Protocol, "the reading thread ended early"))?
    }
}

fn open(path: &std::path::Path) -> Result<rusqlite::Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(path, flags).map_err(|e| error::of(&e))?;
    connection.busy_timeout(BUSY).map_err(|e| error::of(&e))?;
    Ok(connection)
}

#[async_trait]
impl Source for Sqlite {
    async fn describe(&self, stream: &str) -> Result<Stream, Error> {
        let stream = stream.to_owned();
        self.ask(move |connection| describe::find(connection, &stream)).await
    }

    async fn streams(&self) -> Result<Vec<String>, Error> {
        self.ask(|connection| describe::names(connection).map_err(|e| error::of(&e))).await
    }

    async fn read(&self, request: Read) -> Result<Box<dyn Reader>, Error> {
        let path = self.path.clone();
        let name = request.stream.clone();
        let found = self.ask(move |connection| describe::find(connection, &name)).await?;
        #[expect(clippy::disallowed_methods, reason = "awaited here")]
        let opened = tokio::task::spawn_blocking(move || open(&path));
        let connection =
            opened.await.map_err(|_| Error::new(Kind::Protocol, "the reading thread ended early"))??;
        Ok(Box::new(SqliteReader::start(connection, found, request)?))
    }

    async fn fetch(&self, request: Fetch) -> Result<Batch, Error> {
        if request.keys.len() > FETCH_MAX {
            let message = format!("{} keys in one look-up; at most {FETCH_MAX}", request.keys.len());
            return Err(Error::new(Kind::Definition, message));
        }
        self.ask(move |connection| fetch(connection, &request)).await
    }

    async fn duplicate_keys(
        &self,
        stream: &str,
        key: &[String],
        limit: usize,
    ) -> Result<Vec<Vec<Value<'static>>>, Error> {
        let (stream, key) = (stream.to_owned(), key.to_vec());
        self.ask(move |connection| duplicates(connection, &stream, &key, limit)).await
    }
}

fn fetch(connection: &rusqlite::Connection, request: &Fetch) -> Result<Batch, Error> {
    let stream = describe::find(connection, &request.stream)?;
    let shape = Shape::of(&stream, &request.columns, &request.key, None, request.tombstone.as_deref())?;
    let mut builder = shape.builder();
    // SQLite takes at most 32,766 parameters and a depth of 1,000 in an expression.
    for keys in request.keys.chunks(100) {
        let sql = sql::fetch(&stream.id, &request.columns, &request.key, keys.len());
        let mut statement = connection.prepare(&sql).map_err(|e| error::of(&e))?;
        let values = params_from_iter(keys.iter().flatten().map(types::stored));
        let mut rows = statement.query(values).map_err(|e| error::of(&e))?;
        while let Some(row) = rows.next().map_err(|e| error::of(&e))? {
            shape.push(&mut builder, row)?;
        }
    }
    Ok(shape.finish(&mut builder))
}

fn duplicates(
    connection: &rusqlite::Connection,
    stream: &str,
    key: &[String],
    limit: usize,
) -> Result<Vec<Vec<Value<'static>>>, Error> {
    let stream = describe::find(connection, stream)?;
    let kinds = read::kinds(&stream, key)?;
    let mut statement =
        connection.prepare(&sql::duplicates(&stream.id, key, limit)).map_err(|e| error::of(&e))?;
    let mut rows = statement.query([]).map_err(|e| error::of(&e))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(|e| error::of(&e))? {
        let cells = kinds.iter().enumerate().map(|(i, kind)| {
            let cell = row.get_ref(i).map_err(|e| error::of(&e))?;
            Ok(types::read(cell, kind).map_or(Value::Null, Value::into_owned))
        });
        found.push(cells.collect::<Result<_, Error>>()?);
    }
    Ok(found)
}
