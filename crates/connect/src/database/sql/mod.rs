//! The load that all SQL databases share. What is different comes in as a [`Server`].

mod change;
mod load;
mod preview;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::{
    Claim, Database, Facts, Load, Shape, State, Table, Writer,
    dialect::{Dialect, Named},
};
use crate::{
    Error,
    compare::{Side, Subject},
};

/// A session with a database. All statements of a load go through one.
#[async_trait]
pub trait Link: Send + Sync {
    /// Runs a statement; returns how many rows it touched.
    async fn execute(&mut self, sql: &str, parameters: &[&str]) -> Result<u64, Error>;

    /// Whether the session can still be used, as far as is known.
    fn is_open(&self) -> bool {
        true
    }

    /// Runs a query whose columns are texts; at most [`super::NAMED_MAX`] rows and some, by its own `LIMIT`.
    async fn query(&mut self, sql: &str, parameters: &[&str]) -> Result<Vec<Vec<Option<String>>>, Error>;
}

/// What is different between SQL databases beyond their dialect: sessions, locks, catalogues, the bulk protocol.
#[async_trait]
pub trait Server: Send + Sync + 'static {
    /// Its session.
    type Link: Link;

    /// Facts and rendering.
    fn dialect(&self) -> &'static Dialect;

    /// See [`Facts`].
    fn facts(&self) -> Facts;

    /// Opens a session.
    async fn connect(&self) -> Result<Self::Link, Error>;

    /// Finds the table that the user calls `table`: its real name, and its description if it is there.
    async fn find(&self, link: &mut Self::Link, table: &str) -> Result<(Named, Option<Table>), Error>;

    /// The real name of a table, without its description.
    async fn locate(&self, link: &mut Self::Link, table: &str) -> Result<Named, Error> {
        Ok(self.find(link, table).await?.0)
    }

    /// What hangs on the table and would not survive a swap, as far as [`find`](Self::find) does not tell.
    async fn dependents(&self, _link: &mut Self::Link, _table: &Named) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    /// Names of at most 1,000 tables.
    async fn tables(&self, link: &mut Self::Link) -> Result<Vec<String>, Error>;

    /// Takes the lock that says "I load this table", or a part of it, held by the session until it ends; waits at most `timeout`, which also
    /// holds for every lock that later statements of this session wait for.
    ///
    /// # Errors
    /// [`Kind::Locked`](crate::error::Kind::Locked), naming the holder.
    async fn lock(
        &self,
        link: &mut Self::Link,
        table: &Named,
        hold: Hold<'_>,
        timeout: Duration,
    ) -> Result<(), Error>;

    /// Names of the tables beside `table` that begin with `prefix`.
    async fn beginning_with(
        &self,
        link: &mut Self::Link,
        table: &Named,
        prefix: &str,
    ) -> Result<Vec<String>, Error>;

    /// Makes the staging table; by default an ordinary one.
    async fn make_staging(&self, link: &mut Self::Link, stage: &Stage<'_>) -> Result<(), Error> {
        let dialect = self.dialect();
        let Shape { columns, tombstones, .. } = stage.shape;
        let sql = dialect.create_staging(stage.staging, columns, *tombstones, stage.in_session);
        link.execute(&sql, &[]).await.map(drop)
    }

    /// Opens `writers` streams into the staging table.
    async fn writers(
        &self,
        link: &mut Self::Link,
        stage: &Stage<'_>,
        writers: usize,
    ) -> Result<Vec<Box<dyn Writer>>, Error>;

    /// Prepares the merge: statistics of the staging table.
    async fn staged(&self, _link: &mut Self::Link, _stage: &Stage<'_>) -> Result<(), Error> {
        Ok(())
    }

    /// In the transaction, after the merge of a staging table that goes with its session: takes back what
    /// [`staged`](Self::staged) set for it, before the user's statements run.
    async fn merged(&self, _link: &mut Self::Link) -> Result<(), Error> {
        Ok(())
    }

    /// Before the transaction: whatever can be done to the staging table that will take the table's place (indexes).
    async fn before_swap(&self, _link: &mut Self::Link, _stage: &Stage<'_>) -> Result<(), Error> {
        Ok(())
    }

    /// In the transaction: the staging table takes the place of the table.
    async fn swap(&self, link: &mut Self::Link, stage: &Stage<'_>) -> Result<(), Error>;

    /// In the transaction, before the merge: keeps other writers out of the table; readers go on. Unless only a part of it is
    /// loaded, beside which others load theirs (`whole`).
    async fn keep_writers_out(
        &self,
        _link: &mut Self::Link,
        _table: &Named,
        _whole: bool,
    ) -> Result<(), Error> {
        Ok(())
    }

    /// In the transaction: runs [`MergeSql::upsert`](super::dialect::MergeSql::upsert) where that is the fastest way. Returns how
    /// many rows were added and how many changed; `None`: it was not run.
    async fn upsert(
        &self,
        _link: &mut Self::Link,
        _stage: &Stage<'_>,
        _sql: &str,
    ) -> Result<Option<(u64, u64)>, Error> {
        Ok(None)
    }

    /// Rebuilds the table's indexes, outside a transaction.
    async fn reindex(&self, link: &mut Self::Link, table: &Named) -> Result<(), Error>;

    /// Opens one side of a comparison, see [`Database::side`].
    async fn side(&self, _subject: &Subject) -> Result<Option<Box<dyn Side>>, Error> {
        Ok(None)
    }

    /// Names who keeps a lock on the table, for the message of a time-out.
    async fn blocker(&self, _table: &Named) -> Option<String> {
        None
    }
}

/// What a load keeps for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold<'a> {
    /// The table: no other load of it is under way, nor of a part of it.
    Table,
    /// The part with this text: no other load of it is under way, nor of the whole table. A database that cannot lock so takes
    /// the table.
    Part(&'a str),
    /// Beside a part that is held: changing the table. Nothing else is kept out by it.
    Change,
}

/// A staging table and what it is for.
#[derive(Debug, Clone, Copy)]
pub struct Stage<'a> {
    /// The table.
    pub table: &'a Named,
    /// Whether it exists.
    pub exists: bool,
    /// Whether it has a unique index on exactly the shape's key.
    pub indexed: bool,
    /// The staging table.
    pub staging: &'a Named,
    /// What is staged.
    pub shape: &'a Shape,
    /// It goes with the session that makes it, and only that session sees it.
    pub in_session: bool,
}

/// A [`Database`] over a [`Server`].
pub struct Sql<S: Server> {
    server: Arc<S>,
    /// The session that asked last: a load that follows goes on with it.
    idle: Mutex<Option<S::Link>>,
}

impl<S: Server> Sql<S> {
    /// Connects to nothing yet.
    pub fn new(server: S) -> Self {
        Self { server: Arc::new(server), idle: Mutex::new(None) }
    }

    async fn link(&self) -> Result<S::Link, Error> {
        let idle = self.idle.lock().await.take();
        match idle.filter(Link::is_open) {
            Some(link) => Ok(link),
            None => self.server.connect().await,
        }
    }

    async fn keep(&self, link: S::Link) {
        *self.idle.lock().await = Some(link);
    }
}

#[async_trait]
impl<S: Server> Database for Sql<S> {
    fn facts(&self) -> Facts {
        self.server.facts()
    }

    async fn describe(&self, table: &str) -> Result<Option<Table>, Error> {
        let mut link = self.link().await?;
        let (_, found) = self.server.find(&mut link, table).await?;
        self.keep(link).await;
        Ok(found)
    }

    async fn tables(&self) -> Result<Vec<String>, Error> {
        let mut link = self.link().await?;
        let tables = self.server.tables(&mut link).await?;
        self.keep(link).await;
        Ok(tables)
    }

    async fn state(&self, sync: &str, table: &str) -> Result<Option<State>, Error> {
        let mut link = self.link().await?;
        let table = self.server.locate(&mut link, table).await?;
        let state = load::state(&*self.server, &mut link, sync, &table).await?;
        self.keep(link).await;
        Ok(state)
    }

    async fn side(&self, subject: &Subject) -> Result<Option<Box<dyn Side>>, Error> {
        self.server.side(subject).await
    }

    async fn open(&self, claim: &Claim) -> Result<Box<dyn Load>, Error> {
        Ok(Box::new(load::Loading::open(Arc::clone(&self.server), self.link().await?, claim).await?))
    }
}
