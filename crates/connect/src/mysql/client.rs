//! One session with the server: connect, log in, pin what the rendering of values depends on.

use std::{thread, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use mysql_async::{
    BinaryProtocol, Conn, DriverError, OptsBuilder, Params, QueryResult, Row, Statement, Value,
    prelude::Queryable,
};
use tokio::sync::mpsc;

use super::{
    config::{Settings, Tls},
    error, tls,
};
use crate::{Error, error::Kind};

/// Longest pause between two pages, and longest wait of the server for a reader that is slow: a day.
const PATIENCE_SECONDS: u32 = 86_400;

/// The server's view of all tables stays as it is now, until the transaction ends.
pub(super) const SNAPSHOT: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Reading: nothing can be written by mistake.
    Read,
    /// Loads.
    Write,
}

/// What a session for loads does with values: nothing is changed silently, and a zero in a key is a zero.
const STRICT: &str = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,\
                      NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO";

/// An open session. Dropping it closes the connection; a statement that still sends rows ends with it.
pub(super) struct Session {
    /// There until the session is dropped.
    conn: Option<Conn>,
    /// Whether a statement may still have rows to send.
    streaming: bool,
    /// Whether the server is a MariaDB.
    pub(super) is_mariadb: bool,
}

impl Session {
    /// Connects and logs in.
    ///
    /// # Errors
    /// As [`error::of_connect`]; `Unreachable` when it takes longer than the time-out.
    pub(super) async fn connect(settings: &Settings) -> Result<Self, Error> {
        Self::connect_for(settings, Access::Read).await
    }

    /// As [`connect`](Self::connect), for reading or writing.
    pub(super) async fn connect_for(settings: &Settings, access: Access) -> Result<Self, Error> {
        let in_connection = |e: Error| e.context(format_args!("connection {:?}", settings.name));
        let timeout = settings.connect_timeout;
        match tokio::time::timeout(timeout, Self::open(settings, access)).await {
            Ok(session) => session.map_err(in_connection),
            Err(_) => Err(in_connection(
                Error::new(
                    Kind::Unreachable,
                    format!("{} did not answer within {} ms", settings.host(), timeout.as_millis()),
                )
                .hint("check host, port and firewall, or raise connect_timeout"),
            )),
        }
    }

    async fn open(settings: &Settings, access: Access) -> Result<Self, Error> {
        let conn = log_in(settings, access).await?;
        let mut session = Self { conn: Some(conn), streaming: false, is_mariadb: false };
        let version = session.rows("SELECT VERSION()", Vec::new()).await?;
        session.is_mariadb = text(version.first(), 0)?.contains("MariaDB");
        // the limit of one statement is for questions: a load may be one statement
        let timeout = settings.statement_timeout.filter(|_| access == Access::Read);
        for statement in set_up(session.is_mariadb, timeout, access) {
            session.run(&statement).await?;
        }
        if access == Access::Write {
            session.plain_timestamps().await?;
        }
        Ok(session)
    }

    /// Without this, old servers make a nullable `timestamp` a column that is never null and sets itself.
    async fn plain_timestamps(&mut self) -> Result<(), Error> {
        let row = self.rows("SELECT CAST(@@explicit_defaults_for_timestamp AS CHAR)", Vec::new()).await?;
        if text(row.first(), 0)? == "1" {
            return Ok(());
        }
        let set = self.run("SET SESSION explicit_defaults_for_timestamp = 1").await;
        set.map_err(|e| {
            e.context("the server fills timestamps by itself")
                .hint("set explicit_defaults_for_timestamp = ON in the server's configuration")
        })
    }

    /// Whether the server is still there, as far as we know.
    pub(super) fn is_open(&self) -> bool {
        self.conn.as_ref().is_some_and(|c| !c.is_disconnected())
    }

    fn conn(&mut self) -> Result<&mut Conn, Error> {
        self.conn.as_mut().ok_or_else(|| Error::new(Kind::Unanswered, "the session is closed"))
    }

    /// Runs a statement without rows.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), Error> {
        self.conn()?.query_drop(sql).await.map_err(|e| error::of(&e))
    }

    /// Prepares a statement.
    pub(super) async fn prepare(&mut self, sql: &str) -> Result<Statement, Error> {
        self.conn()?.prep(sql).await.map_err(|e| error::of(&e))
    }

    /// Runs a prepared statement; rows come as the server sends them, and no faster than they are taken.
    pub(super) async fn stream(
        &mut self,
        statement: &Statement,
        params: Vec<Value>,
    ) -> Result<Rows<'_>, Error> {
        self.streaming = true;
        let Self { conn, streaming, .. } = self;
        let conn = conn.as_mut().ok_or_else(|| Error::new(Kind::Unanswered, "the session is closed"))?;
        let params = if params.is_empty() { Params::Empty } else { Params::Positional(params) };
        let result = conn.exec_iter(statement, params).await.map_err(|e| error::of(&e))?;
        Ok(Rows { result, streaming })
    }

    /// Runs a statement; returns how many rows it found.
    pub(super) async fn execute(&mut self, sql: &str, params: Vec<Value>) -> Result<u64, Error> {
        let conn = self.conn()?;
        let done = if params.is_empty() {
            // what cannot be prepared can be run, too; a statement of users may answer with rows
            conn.query_drop(sql).await
        } else {
            conn.exec_drop(sql, params).await
        };
        done.map_err(|e| error::of(&e))?;
        Ok(self.conn()?.affected_rows())
    }

    /// Runs a statement, which can be one only; returns how many rows it found. Given up in the middle, the connection is closed
    /// at once.
    pub(super) async fn execute_one(&mut self, sql: &str) -> Result<u64, Error> {
        self.streaming = true;
        let done = self.conn()?.exec_drop(sql, Params::Empty).await.map_err(|e| error::of(&e));
        self.streaming = false;
        done?;
        Ok(self.conn()?.affected_rows())
    }

    /// Limits how long a statement may take: any in MariaDB, those that read in MySQL.
    pub(super) async fn limit(&mut self, timeout: Duration) -> Result<(), Error> {
        let limit = if self.is_mariadb {
            // a year is more than the server takes
            format!("max_statement_time = {}", timeout.as_secs_f64().min(31_000_000.0))
        } else {
            format!("max_execution_time = {}", timeout.as_millis().min(u32::MAX.into()))
        };
        self.run(&format!("SET SESSION {limit}")).await
    }

    /// Its number in the server's list of connections.
    pub(super) fn id(&self) -> u32 {
        self.conn.as_ref().map_or(0, Conn::id)
    }

    /// Runs a `LOAD DATA LOCAL` whose file is what comes through `data`; returns how many rows were added. The name in the
    /// statement means nothing: no file of this machine can be asked for.
    pub(super) async fn load(&mut self, sql: &str, data: mpsc::Receiver<Bytes>) -> Result<u64, Error> {
        // given up in the middle, the connection is closed at once, and the server undoes what it has
        self.streaming = true;
        let conn = self.conn()?;
        conn.set_infile_handler(async move {
            let chunks = futures::stream::unfold(data, |mut data| async move {
                let chunk = data.recv().await?;
                Some((Ok(chunk), data))
            });
            Ok(chunks.boxed())
        });
        let loaded = conn.query_drop(sql).await.map_err(|e| error::of(&e));
        let rows = conn.affected_rows();
        self.streaming = false;
        loaded.map(|()| rows)
    }

    /// # Errors
    /// [`Kind::Rejected`] when the last statement was done with a warning: a value was changed, or a row left out.
    pub(super) async fn no_warnings(&mut self) -> Result<(), Error> {
        let count = self.conn()?.get_warnings();
        if count == 0 {
            return Ok(());
        }
        let rows: Vec<Row> = self.conn()?.query("SHOW WARNINGS LIMIT 1").await.map_err(|e| error::of(&e))?;
        let code = rows.first().and_then(|row| match row.as_ref(1) {
            Some(Value::Bytes(digits)) => std::str::from_utf8(digits).ok()?.parse().ok(),
            Some(Value::UInt(code)) => u16::try_from(*code).ok(),
            Some(Value::Int(code)) => u16::try_from(*code).ok(),
            _ => None,
        });
        let message = rows.first().and_then(|row| match row.as_ref(2) {
            Some(Value::Bytes(text)) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        });
        Err(error::of_warning(code.unwrap_or_default(), message.as_deref().unwrap_or_default(), count))
    }

    /// Runs a statement with few rows.
    pub(super) async fn rows(&mut self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>, Error> {
        let statement = self.prepare(sql).await?;
        let mut rows = self.stream(&statement, params).await?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().await? {
            found.push(row);
        }
        Ok(found)
    }
}

impl Drop for Session {
    /// The driver would read what a statement still sends before it says good-bye, which may be a whole table. Where it
    /// finds no runtime it closes the socket at once, and the server ends the statement when it cannot send its rows.
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take().filter(|_| self.streaming) {
            thread::scope(|scope| {
                scope.spawn(move || drop(conn));
            });
        }
    }
}

/// The rows of a running statement.
pub(super) struct Rows<'a> {
    result: QueryResult<'a, 'static, BinaryProtocol>,
    streaming: &'a mut bool,
}

impl Rows<'_> {
    /// The next row; `None`: the statement is done.
    pub(super) async fn next(&mut self) -> Result<Option<Row>, Error> {
        let row = self.result.next().await.map_err(|e| error::of(&e))?;
        *self.streaming = row.is_some();
        Ok(row)
    }
}

async fn log_in(settings: &Settings, access: Access) -> Result<Conn, Error> {
    // an update counts the rows it is about, whether or not it changes them
    let found = access == Access::Write;
    let login = || OptsBuilder::from_opts(settings.login.clone()).client_found_rows(found);
    let failed = |e: mysql_async::Error| error::of_connect(&e, &settings.host());
    let (trust, required) = match &settings.tls {
        Tls::Off => return Conn::new(login()).await.map_err(failed),
        Tls::Preferred(trust) => (trust, false),
        Tls::Required(trust) => (trust, true),
    };
    let encrypted = login().ssl_opts(tls::options(trust)?);
    match Conn::new(encrypted).await {
        Err(mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer)) if !required => {
            Conn::new(login()).await.map_err(failed)
        }
        other => other.map_err(failed),
    }
}

/// Nothing can be written by mistake; instants are told in UTC; literals and comparisons mean the same whatever the
/// server's defaults are; a reader that waits for a slow destination is not cut off.
fn set_up(is_mariadb: bool, statement_timeout: Option<Duration>, access: Access) -> Vec<String> {
    let timeout = statement_timeout.unwrap_or(Duration::ZERO);
    let own = if is_mariadb {
        format!("max_statement_time = {}", timeout.as_secs_f64())
    } else {
        // statistics are looked up, not remembered for a day
        format!("max_execution_time = {}, information_schema_stats_expiry = 0", timeout.as_millis())
    };
    let (sql_mode, transactions) = match access {
        Access::Read => ("", "REPEATABLE READ, READ ONLY"),
        // every statement of a merge sees what others have committed before it
        Access::Write => (STRICT, "READ COMMITTED, READ WRITE"),
    };
    vec![
        "SET NAMES utf8mb4".to_owned(),
        format!(
            "SET SESSION time_zone = '+00:00', sql_mode = '{sql_mode}', max_error_count = 64, sql_notes = 1, net_write_timeout = {PATIENCE_SECONDS}, \
             net_read_timeout = {PATIENCE_SECONDS}, wait_timeout = {PATIENCE_SECONDS}, max_sort_length = 8192, {own}"
        ),
        format!("SET SESSION TRANSACTION ISOLATION LEVEL {transactions}"),
    ]
}

/// A text of an answer about the database.
pub(super) fn text(row: Option<&Row>, index: usize) -> Result<String, Error> {
    text_or_null(row, index)?
        .ok_or_else(|| Error::new(Kind::Protocol, "a null where the server never has one"))
}

/// A text of an answer about the database, which may be null.
pub(super) fn text_or_null(row: Option<&Row>, index: usize) -> Result<Option<String>, Error> {
    match row.and_then(|r| r.as_ref(index)) {
        Some(Value::NULL) => Ok(None),
        Some(Value::Bytes(bytes)) => Ok(Some(String::from_utf8_lossy(bytes).into_owned())),
        _ => Err(Error::new(Kind::Protocol, "an answer about the database in an unknown form")),
    }
}

/// A whole number of an answer about the database, which may be null.
pub(super) fn number(row: Option<&Row>, index: usize) -> Result<Option<i64>, Error> {
    match row.and_then(|r| r.as_ref(index)) {
        Some(Value::NULL) => Ok(None),
        Some(Value::Int(n)) => Ok(Some(*n)),
        Some(Value::UInt(n)) => Ok(Some(i64::try_from(*n).unwrap_or(i64::MAX))),
        // a sum of whole numbers is a decimal
        Some(Value::Bytes(digits)) => {
            let digits = std::str::from_utf8(digits).ok().and_then(|t| t.parse().ok());
            digits.map(Some).ok_or_else(|| Error::new(Kind::Protocol, "a number in an unknown form"))
        }
        _ => Err(Error::new(Kind::Protocol, "an answer about the database in an unknown form")),
    }
}
