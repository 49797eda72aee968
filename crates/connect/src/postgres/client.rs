//! One session with the server: connect, log in, pin what the rendering of values depends on.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_postgres::{Client, Row, RowStream, Statement};

use super::{bind::Param, config::Settings, error, tls};
use crate::{Error, error::Kind};

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
        let tls = tls::connector(&settings.trust)?;
        let (client, connection) =
            settings.login.connect(tls).await.map_err(|e| error::of_connect(&e, &settings.host()))?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // What ends the connection reaches the client as the failure of its next statement.
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "connection ended");
            }
        });
        let session = Self { client, driver };
        session.client.batch_execute(&set_up(settings.statement_timeout)).await.map_err(|e| error::of(&e))?;
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
}

/// Nothing can be written by mistake; what is carried as text (intervals, ranges, composites) is written in one form
/// whatever the role's defaults are; compiling a page's plan costs more than running it. The time zone stays the
/// session's own: columns without a zone are compared in it.
fn set_up(statement_timeout: Option<Duration>) -> String {
    let timeout = statement_timeout.map_or(0, |t| t.as_millis());
    format!(
        "SET default_transaction_read_only = on; SET statement_timeout = {timeout}; SET DateStyle = 'ISO'; \
         SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1; SET jit = off"
    )
}
