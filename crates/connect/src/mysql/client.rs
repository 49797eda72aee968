//! One session with the server: connect, log in, pin what the rendering of values depends on.

use std::{thread, time::Duration};

use mysql_async::{
    BinaryProtocol, Conn, DriverError, OptsBuilder, Params, QueryResult, Row, Statement, Value,
    prelude::Queryable,
};

use super::{
    config::{Settings, Tls},
    error, tls,
};
use crate::{Error, error::Kind};

/// Longest pause between two pages, and longest wait of the server for a reader that is slow: a day.
const PATIENCE_SECONDS: u32 = 86_400;

/// The server's view of all tables stays as it is now, until the transaction ends.
pub(super) const SNAPSHOT: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

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
        let in_connection = |e: Error| e.context(format_args!("connection {:?}", settings.name));
        let timeout = settings.connect_timeout;
        match tokio::time::timeout(timeout, Self::open(settings)).await {
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

    async fn open(settings: &Settings) -> Result<Self, Error> {
        let conn = log_in(settings).await?;
        let mut session = Self { conn: Some(conn), streaming: false, is_mariadb: false };
        let version = session.rows("SELECT VERSION()", Vec::new()).await?;
        session.is_mariadb = text(version.first(), 0)?.contains("MariaDB");
        for statement in set_up(session.is_mariadb, settings.statement_timeout) {
            session.run(&statement).await?;
        }
        Ok(session)
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

async fn log_in(settings: &Settings) -> Result<Conn, Error> {
    let login = || OptsBuilder::from_opts(settings.login.clone());
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
fn set_up(is_mariadb: bool, statement_timeout: Option<Duration>) -> Vec<String> {
    let timeout = statement_timeout.unwrap_or(Duration::ZERO);
    let own = if is_mariadb {
        format!("max_statement_time = {}", timeout.as_secs_f64())
    } else {
        // statistics are looked up, not remembered for a day
        format!("max_execution_time = {}, information_schema_stats_expiry = 0", timeout.as_millis())
    };
    vec![
        "SET NAMES utf8mb4".to_owned(),
        format!(
            "SET SESSION time_zone = '+00:00', sql_mode = '', net_write_timeout = {PATIENCE_SECONDS}, \
             net_read_timeout = {PATIENCE_SECONDS}, wait_timeout = {PATIENCE_SECONDS}, max_sort_length = 8192, {own}"
        ),
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY".to_owned(),
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
