//! One session with the server: connect, log in, pin what the rendering of values depends on.

use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio_postgres::{Client, CopyInSink, CopyOutStream, Row, RowStream, Statement, error::SqlState};

use super::{bind::Param, config::Settings, error, tls};
use crate::{Error, error::Kind};

/// What a session may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing can be written, not even by mistake.
    Read,
    /// Loads.
    Write,
}

/// Whether to wait when the server takes no more connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// For a moment: a session that was just closed counts until its process is gone.
    Some,
    /// It is one more than needed.
    None,
}

/// How often, and how long each time.
const FULL_TRIES: usize = 20;
const FULL_WAIT: Duration = Duration::from_millis(50);

/// An open session. Dropping it closes the connection: the task that drives it belongs to the session.
pub(super) struct Session {
    client: Client,
    driver: JoinSet<()>,
}

impl Session {
    /// Connects and logs in.
    ///
    /// # Errors
    /// As [`error::of_connect`]; `Unreachable` when it takes longer than the time-out.
    pub(super) async fn connect(settings: &Settings) -> Result<Self, Error> {
        Self::connect_for(settings, Access::Read, Patience::Some).await
    }

    /// As [`connect`](Self::connect), for reading or writing.
    pub(super) async fn connect_for(
        settings: &Settings,
        access: Access,
        patience: Patience,
    ) -> Result<Self, Error> {
        let in_connection = |e: Error| e.context(format_args!("connection {:?}", settings.name));
        let timeout = settings.connect_timeout;
        match tokio::time::timeout(timeout, Self::open(settings, access, patience)).await {
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

    async fn open(settings: &Settings, access: Access, patience: Patience) -> Result<Self, Error> {
        let tls = tls::connector(&settings.trust)?;
        let mut tries = if patience == Patience::Some { FULL_TRIES } else { 0 };
        let (client, connection) = loop {
            match settings.login.connect(tls.clone()).await {
                Ok(connected) => break connected,
                Err(full) if full.code() == Some(&SqlState::TOO_MANY_CONNECTIONS) && tries > 0 => {
                    tries -= 1;
                    tokio::time::sleep(FULL_WAIT).await;
                }
                Err(error) => return Err(error::of_connect(&error, &settings.host())),
            }
        };
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // What ends the connection reaches the client as the failure of its next statement.
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "connection ended");
            }
        });
        let session = Self { client, driver };
        session.batch(&set_up(settings.statement_timeout, access)).await?;
        Ok(session)
    }

    /// Whether the server is still there, as far as we know.
    pub(super) fn is_open(&self) -> bool {
        !self.client.is_closed() && !self.driver.is_empty()
    }

    /// Prepares a statement.
    pub(super) async fn prepare(&self, sql: &str) -> Result<Statement, Error> {
        self.client.prepare(sql).await.map_err(|e| error::of(&e))
    }

    /// Runs a prepared statement; rows come as the server sends them, and no faster than they are taken.
    pub(super) async fn stream(&self, statement: &Statement, params: &[Param]) -> Result<RowStream, Error> {
        self.client.query_raw(statement, params).await.map_err(|e| error::of(&e))
    }

    /// Runs a statement with few rows.
    pub(super) async fn rows(&self, sql: &str, params: &[Param]) -> Result<Vec<Row>, Error> {
        use futures::TryStreamExt;
        let statement = self.prepare(sql).await?;
        let rows = self.stream(&statement, params).await?;
        rows.try_collect().await.map_err(|e| error::of(&e))
    }

    /// Runs a statement with few rows, all of whose columns are texts or counts.
    pub(super) async fn texts(&self, sql: &str, params: &[Param]) -> Result<Vec<Vec<Option<String>>>, Error> {
        super::database::texts(&self.rows(sql, params).await?)
    }

    /// Runs statements that answer nothing.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await.map_err(|e| error::of(&e))
    }

    /// Runs a statement; returns how many rows it touched.
    pub(super) async fn execute(&self, sql: &str, params: &[Param]) -> Result<u64, Error> {
        if params.is_empty() {
            // one round trip; a statement of users may be several
            return self.execute_simple(sql).await;
        }
        let statement = self.prepare(sql).await?;
        self.client.execute_raw(&statement, params).await.map_err(|e| error::of(&e))
    }

    /// Runs a statement, which can be one only; returns how many rows it touched.
    pub(super) async fn execute_one(&self, sql: &str) -> Result<u64, Error> {
        let statement = self.prepare(sql).await?;
        self.client.execute(&statement, &[]).await.map_err(|e| error::of(&e))
    }

    async fn execute_simple(&self, sql: &str) -> Result<u64, Error> {
        use tokio_postgres::SimpleQueryMessage::CommandComplete;
        let messages = self.client.simple_query(sql).await.map_err(|e| error::of(&e))?;
        let touched =
            messages.iter().filter_map(|m| if let CommandComplete(n) = m { Some(*n) } else { None });
        Ok(touched.last().unwrap_or_default())
    }

    /// Begins a `COPY … TO STDOUT`.
    pub(super) async fn copy_out(&self, sql: &str) -> Result<CopyOutStream, Error> {
        self.client.copy_out(sql).await.map_err(|e| error::of(&e))
    }

    /// Begins a `COPY … FROM STDIN`.
    pub(super) async fn copy_in(&self, sql: &str) -> Result<CopyInSink<Bytes>, Error> {
        self.client.copy_in(sql).await.map_err(|e| error::of(&e))
    }
}

/// What is carried as text (intervals, ranges, composites) is written in one form whatever the role's defaults are;
/// compiling a page's plan costs more than running it. The time zone stays the session's own: columns without a zone are
/// compared in it.
fn set_up(statement_timeout: Option<Duration>, access: Access) -> String {
    let timeout = statement_timeout.map_or(0, |t| t.as_millis());
    let access = match access {
        Access::Read => "SET default_transaction_read_only = on; ",
        Access::Write => "SET client_min_messages = warning; ",
    };
    format!(
        "{access}SET statement_timeout = {timeout}; SET DateStyle = 'ISO'; \
         SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1; SET standard_conforming_strings = on; \
         SET jit = off"
    )
}
