//! One session with a server: connect, ask, and the threads on which waiting does no harm.

use std::time::Duration;

use odbc_api::{
    Connection, ConnectionOptions, Cursor, CursorImpl, IntoParameter, OwnedCursor, Prepared, environment,
    handles::StatementImpl,
    parameter::{InputParameter, VarBinaryBox},
};

use super::{bind::Param, config::Settings, dialect::Dialect, error};
use crate::{Error, error::Kind};

/// A result that owns its session: dropping it closes both.
pub(super) type Owned = OwnedCursor<Connection<'static>>;

/// A row of a small answer.
pub(super) type Row = Vec<Option<String>>;

/// An open session. Its calls block.
pub(super) struct Session {
    connection: Connection<'static>,
    pub(super) dialect: Dialect,
    /// What names are quoted with.
    pub(super) quote: char,
    timeout: Option<usize>,
}

impl Session {
    /// Connects and logs in.
    ///
    /// # Errors
    /// As [`error::of`], with the connection's name.
    pub(super) fn open(settings: &Settings) -> Result<Self, Error> {
        let open = || -> Result<Self, Error> {
            let (connection, dialect) = connect(settings)?;
            let quote = connection.identifier_quote_char().map_err(|e| error::of(&e))?.unwrap_or('"');
            let timeout = settings.statement_timeout.map(seconds);
            let session = Self { connection, dialect, quote, timeout };
            for statement in dialect.facts().session {
                session.rows(statement, &[], usize::MAX)?;
            }
            Ok(session)
        };
        open().map_err(|e| e.context(format_args!("connection {:?}", settings.name)))
    }

    /// Whether the driver still believes in the connection.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.connection.is_dead(), Ok(false))
    }

    /// The rows of a statement as texts, at most `limit`; none for one that gives no rows.
    pub(super) fn rows(&self, sql: &str, params: &[Param], limit: usize) -> Result<Vec<Row>, Error> {
        let boxed = boxed(params);
        let cursor = self.connection.execute(sql, &boxed[..], self.timeout).map_err(|e| error::of(&e))?;
        cursor.map_or_else(|| Ok(Vec::new()), |cursor| texts(cursor, None, limit))
    }

    /// Runs a statement; returns how many rows it touched, as far as the driver tells, and none for one that gives rows.
    pub(super) fn execute(&self, sql: &str, params: &[Param]) -> Result<u64, Error> {
        let boxed = boxed(params);
        let mut statement = self.connection.preallocate().map_err(|e| error::of(&e))?;
        if let Some(seconds) = self.timeout {
            statement.set_query_timeout_sec(seconds).map_err(|e| error::of(&e))?;
        }
        let gives_rows = {
            let mut result = statement.execute(sql, &boxed[..]).map_err(|e| error::of(&e))?;
            let gives_rows = result.is_some();
            // of statements of users: rows are passed over, and what comes after them in a batch is run by asking for it
            while let Some(mut cursor) = result {
                while cursor.next_row().map_err(|e| error::of(&e))?.is_some() {}
                result = cursor.more_results().map_err(|e| error::of(&e))?;
            }
            gives_rows
        };
        if gives_rows {
            return Ok(0);
        }
        let rows = statement.row_count().map_err(|e| error::of(&e))?;
        Ok(rows.map_or(0, |rows| rows as u64))
    }

    /// Begins a transaction: what follows is undone when the session ends before [`commit`](Self::commit).
    pub(super) fn begin(&self) -> Result<(), Error> {
        self.connection.set_autocommit(false).map_err(|e| error::of(&e))
    }

    /// Ends the transaction; what it did is durable.
    ///
    /// # Errors
    /// [`Kind::Unanswered`] when nobody can tell whether it was.
    pub(super) fn commit(&self) -> Result<(), Error> {
        let unknown = |e: Error| match e.kind {
            Kind::Unreachable => Error { kind: Kind::Unanswered, ..e },
            _ => e,
        };
        self.connection.commit().map_err(|e| unknown(error::of(&e)))?;
        self.connection.set_autocommit(true).map_err(|e| error::of(&e))
    }

    /// Undoes the transaction.
    pub(super) fn rollback(&self) -> Result<(), Error> {
        self.connection.rollback().map_err(|e| error::of(&e))?;
        self.connection.set_autocommit(true).map_err(|e| error::of(&e))
    }

    /// A statement that is run again and again.
    pub(super) fn prepare(&self, sql: &str) -> Result<Prepared<StatementImpl<'_>>, Error> {
        self.connection.prepare(sql).map_err(|e| error::of(&e))
    }

    /// The one text of a statement.
    pub(super) fn text(&self, sql: &str) -> Result<Option<String>, Error> {
        Ok(self.rows(sql, &[], 1)?.into_iter().flatten().flatten().next())
    }

    /// The result of a statement, for as long as the session lives.
    pub(super) fn cursor(
        &self,
        sql: &str,
        params: &[Param],
    ) -> Result<Option<CursorImpl<StatementImpl<'_>>>, Error> {
        let boxed = boxed(params);
        self.connection.execute(sql, &boxed[..], self.timeout).map_err(|e| error::of(&e))
    }

    /// The result of a statement that takes the session with it.
    pub(super) fn into_cursor(self, sql: &str, params: &[Param]) -> Result<Owned, Error> {
        let boxed = boxed(params);
        match self.connection.into_cursor(sql, &boxed[..], self.timeout) {
            Ok(Some(cursor)) => Ok(cursor),
            Ok(None) => Err(Error::new(Kind::Definition, "the statement gives no records")),
            Err(failed) => Err(error::of(&failed.error)),
        }
    }

    /// What the driver tells of the columns of the tables that fit the patterns; see `describe` for the columns of it.
    pub(super) fn columns(&self, catalog: &str, schema: &str, table: &str) -> Result<Vec<Row>, Error> {
        let mut statement = self.connection.preallocate().map_err(|e| error::of(&e))?;
        let cursor = statement.columns_cursor(catalog, schema, table, "%").map_err(|e| error::of(&e))?;
        texts(cursor, Some(&[1, 2, 3, 4, 5, 6, 7, 9, 11]), usize::MAX)
    }

    /// Column and place in the primary key.
    pub(super) fn primary_key(
        &self,
        catalog: Option<&str>,
        schema: Option<&str>,
        table: &str,
    ) -> Result<Vec<Row>, Error> {
        let mut statement = self.connection.preallocate().map_err(|e| error::of(&e))?;
        let cursor = statement.primary_keys_cursor(catalog, schema, table).map_err(|e| error::of(&e))?;
        texts(cursor, Some(&[4, 5]), usize::MAX)
    }

    /// Catalog, schema and name of the tables whose names fit the pattern; `kinds`: `TABLE,VIEW`.
    pub(super) fn tables(
        &self,
        catalog: &str,
        schema: &str,
        pattern: &str,
        kinds: &str,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let mut statement = self.connection.preallocate().map_err(|e| error::of(&e))?;
        let cursor = statement.tables_cursor(catalog, schema, pattern, kinds).map_err(|e| error::of(&e))?;
        texts(cursor, Some(&[1, 2, 3]), limit)
    }
}

fn connect(settings: &Settings) -> Result<(Connection<'static>, Dialect), Error> {
    let environment = environment().map_err(|e| error::of(&e))?;
    let seconds = u32::try_from(seconds(settings.connect_timeout)).unwrap_or(u32::MAX);
    let options = ConnectionOptions { login_timeout_sec: Some(seconds), packet_size: None };
    let connect =
        |string: &str| environment.connect_with_connection_string(string, options).map_err(|e| error::of(&e));
    if let Some(dialect) = settings.dialect {
        return Ok((connect(&settings.with(dialect.facts().attributes))?, dialect));
    }
    let connection = connect(&settings.string)?;
    let name = connection.database_management_system_name().map_err(|e| error::of(&e))?;
    let dialect = Dialect::of_server(&name);
    match dialect.facts().attributes {
        [] => Ok((connection, dialect)),
        attributes => {
            drop(connection);
            Ok((connect(&settings.with(attributes))?, dialect))
        }
    }
}

/// Whole seconds, at least one: zero means for ever.
fn seconds(time: Duration) -> usize {
    usize::try_from(time.as_millis().div_ceil(1000)).unwrap_or(usize::MAX).max(1)
}

fn boxed(params: &[Param]) -> Vec<Box<dyn InputParameter>> {
    let one = |param: &Param| -> Box<dyn InputParameter> {
        match param {
            Param::Text(text) => Box::new(text.as_str().into_parameter()),
            Param::Bytes(bytes) => Box::new(VarBinaryBox::from_vec(bytes.clone())),
        }
    };
    params.iter().map(one).collect()
}

/// The cells of these columns (all, if none are named) as texts, of at most `limit` rows.
fn texts(mut cursor: impl Cursor, columns: Option<&[u16]>, limit: usize) -> Result<Vec<Row>, Error> {
    let all: Vec<u16> = match columns {
        Some(columns) => columns.to_vec(),
        None => {
            let count = cursor.num_result_cols().map_err(|e| error::of(&e))?;
            (1..=u16::try_from(count).unwrap_or(0)).collect()
        }
    };
    let (mut rows, mut units) = (Vec::new(), Vec::new());
    while rows.len() < limit
        && let Some(mut row) = cursor.next_row().map_err(|e| error::of(&e))?
    {
        let mut cells = Vec::with_capacity(all.len());
        for column in &all {
            let there = row.get_wide_text(*column, &mut units).map_err(|e| error::of(&e))?;
            cells.push(there.then(|| String::from_utf16_lossy(&units)));
        }
        rows.push(cells);
    }
    Ok(rows)
}

/// Does something on a thread where waiting does no harm.
pub(super) async fn waiting<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    #[expect(clippy::disallowed_methods, reason = "awaited here")]
    let done = tokio::task::spawn_blocking(work);
    done.await.map_err(|_| Error::new(Kind::Protocol, "the driver broke off"))?
}
