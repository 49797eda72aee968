//! Single statements. Each call has a session of its own: when it is given up, the session is closed, which rolls back. A
//! server that is at work does not see that, so that what takes too long is killed from another session; MariaDB's own
//! limit holds for what is given up otherwise.

use std::time::Duration;

use async_trait::async_trait;
use mysql_async::Value as Raw;
use syncline_core::value::Value;

use super::{
    client::{Access, Session},
    config::Settings,
    rows::cell,
    types::Native,
};
use crate::{
    Error,
    database::dialect::mysql::MYSQL,
    error::Kind,
    statements::{
        Gathered, Params, Rows, Statements, bound, in_one_transaction, of_statement, overtime, within,
    },
};

/// How long to try to kill a statement.
const KILL: Duration = Duration::from_secs(10);

/// A server that takes statements.
pub(super) struct Server {
    pub(super) settings: Settings,
}

impl Server {
    async fn session(&self, access: Access, timeout: Duration) -> Result<Session, Error> {
        let mut session = Session::connect_for(&self.settings, access).await?;
        // a second later than ours, whose message says more
        session.limit(timeout.saturating_add(Duration::from_secs(1))).await?;
        Ok(session)
    }

    async fn ask(
        &self,
        statement: &str,
        values: Vec<Raw>,
        limit: usize,
        timeout: Duration,
    ) -> Result<Rows, Error> {
        in_one_transaction(&[statement.to_owned()])?;
        let mut session = self.session(Access::Read, timeout).await?;
        let id = session.id();
        let done = tokio::time::timeout(timeout, rows(&mut session, statement, values, limit)).await;
        match done {
            Ok(done) => done,
            Err(_) => {
                self.kill(id).await;
                Err(overtime(timeout))
            }
        }
    }

    /// Ends a session of ours, and what it is doing.
    async fn kill(&self, id: u32) {
        let killed = within(KILL, async {
            let mut session = Session::connect(&self.settings).await?;
            session.run(&format!("KILL CONNECTION {id}")).await
        });
        if let Err(error) = killed.await {
            // it may have ended by itself; otherwise the server's own limit is left
            tracing::debug!(error = %error, "a statement that took too long was not killed");
        }
    }
}

#[async_trait]
impl Statements for Server {
    async fn execute(&self, statements: &[String], timeout: Duration) -> Result<Vec<u64>, Error> {
        in_one_transaction(statements)?;
        let mut session = self.session(Access::Write, timeout).await?;
        let id = session.id();
        let done = tokio::time::timeout(timeout, all(&mut session, statements)).await;
        match done {
            Ok(done) => done,
            Err(_) => {
                self.kill(id).await;
                Err(overtime(timeout))
            }
        }
    }

    async fn query(&self, statement: &str, limit: usize, timeout: Duration) -> Result<Rows, Error> {
        self.ask(statement, Vec::new(), limit, timeout).await
    }

    async fn query_with(
        &self,
        statement: &str,
        params: &Params,
        limit: usize,
        timeout: Duration,
    ) -> Result<Rows, Error> {
        let (sql, texts) = bound(statement, MYSQL.name, MYSQL.parameter, params)?;
        let values = texts.into_iter().map(|text| Raw::Bytes(text.into_bytes())).collect();
        self.ask(&sql, values, limit, timeout).await
    }
}

async fn all(session: &mut Session, statements: &[String]) -> Result<Vec<u64>, Error> {
    session.run("START TRANSACTION").await?;
    let mut changed = Vec::with_capacity(statements.len());
    for (at, statement) in statements.iter().enumerate() {
        let done = session.execute_one(statement).await;
        changed.push(done.map_err(|e| of_statement(at, statements.len(), e))?);
    }
    session.run("COMMIT").await?;
    Ok(changed)
}

async fn rows(session: &mut Session, text: &str, values: Vec<Raw>, limit: usize) -> Result<Rows, Error> {
    session.run("START TRANSACTION READ ONLY").await?;
    let statement = session.prepare(text).await?;
    if usize::from(statement.num_params()) != values.len() {
        return Err(Error::new(Kind::Definition, "the statement has a ? of its own")
            .hint("name the value, as in :name"));
    }
    let mut columns = Vec::new();
    for sent in statement.columns().iter() {
        let name = sent.name_str().into_owned();
        let (native, shown) = Native::of_sent(sent);
        let native = native
            .map_err(|reason| Error::new(Kind::Definition, format!("column {name:?} ({shown}): {reason}")))?;
        columns.push((name, native.codec, shown));
    }
    let mut gathered = Gathered::new(columns.iter().map(|(name, ..)| name.clone()).collect(), limit);
    let mut sent = session.stream(&statement, values).await?;
    while let Some(row) = sent.next().await? {
        let mut values = Vec::with_capacity(columns.len());
        for (at, (name, codec, shown)) in columns.iter().enumerate() {
            let value = codec.decode(cell(&row, at)?).map(Value::into_owned).map_err(|misfit| {
                Error::new(Kind::Definition, format!("column {name:?} ({shown}): {misfit}"))
                    .hint("cast the column to char in the query")
            });
            values.push(value?);
        }
        gathered.push(values)?;
    }
    Ok(gathered.finish())
}
