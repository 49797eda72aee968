//! Single statements. Each call has a session of its own: when it is given up, the session is closed, which rolls back, and
//! the server looks every second whether its client is still there.

use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;
use syncline_core::value::Value;

use super::{
    bind::{Param, Raw},
    client::{Access, Patience, Session},
    config::Settings,
    describe::{self, Column},
    error,
};
use crate::{
    Error,
    database::dialect::postgres::POSTGRES,
    error::Kind,
    statements::{Gathered, Params, Rows, Statements, bound, in_one_transaction, of_statement, within},
};

/// How often the server looks whether its client is still there.
const WATCH: &str = "SET client_connection_check_interval = '1s'";

/// A server that takes statements.
pub(super) struct Server {
    pub(super) settings: Settings,
}

impl Server {
    async fn session(&self, access: Access, timeout: Duration) -> Result<Session, Error> {
        let session = Session::connect_for(&self.settings, access, Patience::Some).await?;
        // a second later than ours, whose message says more
        let limit = timeout.saturating_add(Duration::from_secs(1)).as_millis().min(i32::MAX as u128);
        session.batch(&format!("SET statement_timeout = {limit}")).await?;
        if let Err(error) = session.batch(WATCH).await {
            // on Windows: what is given up goes on until the time-out
            tracing::debug!(error = %error, "the server does not watch its clients");
        }
        Ok(session)
    }

    /// Parameters are texts: the server reads each as the type that it gives to its place.
    async fn ask(
        &self,
        statement: &str,
        params: &[Param],
        limit: usize,
        timeout: Duration,
    ) -> Result<Rows, Error> {
        in_one_transaction(&[statement.to_owned()])?;
        let work = async {
            let session = self.session(Access::Read, timeout).await?;
            session.batch("BEGIN READ ONLY").await?;
            rows(&session, statement, params, limit).await
        };
        within(timeout, work).await
    }
}

#[async_trait]
impl Statements for Server {
    async fn execute(&self, statements: &[String], timeout: Duration) -> Result<Vec<u64>, Error> {
        in_one_transaction(statements)?;
        let work = async {
            let session = self.session(Access::Write, timeout).await?;
            session.batch("BEGIN").await?;
            let mut changed = Vec::with_capacity(statements.len());
            for (at, statement) in statements.iter().enumerate() {
                let done = session.execute_one(statement).await;
                changed.push(done.map_err(|e| of_statement(at, statements.len(), e))?);
            }
            session.batch("COMMIT").await?;
            Ok(changed)
        };
        within(timeout, work).await
    }

    async fn query(&self, statement: &str, limit: usize, timeout: Duration) -> Result<Rows, Error> {
        self.ask(statement, &[], limit, timeout).await
    }

    async fn query_with(
        &self,
        statement: &str,
        params: &Params,
        limit: usize,
        timeout: Duration,
    ) -> Result<Rows, Error> {
        let (sql, texts) = bound(statement, POSTGRES.name, POSTGRES.parameter, params)?;
        let params: Vec<_> = texts.into_iter().map(Param::Text).collect();
        self.ask(&sql, &params, limit, timeout).await
    }
}

async fn rows(session: &Session, text: &str, params: &[Param], limit: usize) -> Result<Rows, Error> {
    let mut statement = session.prepare(text).await?;
    let columns = describe::of_statement(session, &statement).await?;
    if let Some(cast) = cast(text, &columns) {
        statement = session.prepare(&cast).await?;
    }
    let mut gathered = Gathered::new(columns.iter().map(|c| c.field.name.clone()).collect(), limit);
    let mut sent = Box::pin(session.stream(&statement, params).await?);
    while let Some(row) = sent.try_next().await.map_err(|e| error::of(&e))? {
        let value = |(at, column)| {
            let raw: Raw<'_> = row.try_get(at).map_err(|e| error::of(&e))?;
            value(column, raw.0)
        };
        gathered.push(columns.iter().enumerate().map(value).collect::<Result<_, _>>()?)?;
    }
    Ok(gathered.finish())
}

/// The statement with its columns turned into what can be read (`interval` into text), where one needs it. Columns are
/// named anew, for two may have one name.
fn cast(statement: &str, columns: &[Column]) -> Option<String> {
    if columns.iter().all(|c| c.sql.select_as.is_none()) {
        return None;
    }
    let names: Vec<_> = (0..columns.len()).map(|at| format!("c{at}")).collect();
    let selected = columns.iter().zip(&names).map(|(column, name)| match column.sql.select_as {
        Some(kind) => format!("{name}::{kind}"),
        None => name.clone(),
    });
    let selected = selected.collect::<Vec<_>>().join(", ");
    let statement = statement.trim_end().trim_end_matches(';');
    // a comment at the end would take the bracket with it
    Some(format!("SELECT {selected} FROM ({statement}\n) AS t({})", names.join(", ")))
}

fn value(column: &Column, raw: Option<&[u8]>) -> Result<Value<'static>, Error> {
    let mut scratch = String::new();
    let decoded = raw.map(|raw| column.codec.decode(raw, &mut scratch).map(Value::into_owned));
    decoded.transpose().map(|value| value.unwrap_or(Value::Null)).map_err(|misfit| {
        let (name, shown) = (&column.field.name, &column.shown);
        Error::new(Kind::Definition, format!("column {name:?} ({shown}): {misfit}"))
            .hint("cast the column to text in the query")
    })
}
