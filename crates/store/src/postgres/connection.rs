//! The pool of connections, and transactions on them.

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Transaction,
};
use tokio::task::JoinSet;
use tokio_postgres::{Client, IsolationLevel, Row, types::ToSql};

use super::{Options, address::Address, fault::Fault, migrate};
use crate::Error;

/// Longest time to connect and log in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a connection that others of this process use.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time of one statement. The longest of ours walks a ledger.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a transaction may wait for its client. A node that was stopped in one must not keep its successor from the
/// rows when its lease is over.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// The places just before and just after the commit of a write.
macro_rules! failpoints {
    ($write:literal) => {{
        let before = || {
            syncline_core::failpoint!(
                concat!("store.", $write, ".before_commit"),
                $crate::postgres::fault::Fault::failpoint
            );
            Ok(())
        };
        let after = || {
            syncline_core::failpoint!(
                concat!("store.", $write, ".after_commit"),
                $crate::postgres::fault::Fault::failpoint
            );
            Ok(())
        };
        (before, after)
    }};
}
pub(super) use failpoints;

/// The store's connections, each with the settings of the session and the tenant.
pub(super) struct Connections {
    place: String,
    pool: Pool,
    tenant: i32,
}

impl Connections {
    /// Connects, brings the schema up to date, and finds the tenant, or makes it.
    pub(super) async fn open(options: &Options) -> Result<Self, Error> {
        let address = Address::of(&options.url)
            .map_err(|message| Error::Database { place: "at this address".to_owned(), message })?;
        let place = address.place.clone();
        Self::connect(address, options).await.map_err(|fault| fault.at(&place))
    }

    async fn connect(mut address: Address, options: &Options) -> Result<Self, Fault> {
        address.login.connect_timeout(CONNECT_TIMEOUT).keepalives_idle(CONNECT_TIMEOUT);
        let set_up = set_up(options);
        let tenant = {
            let mut first = Single::connect(&address, &set_up).await?;
            migrate::migrate(&mut first.client).await?;
            tenant(&first.client, &options.tenant).await?
        };
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(address.login, address.tls, config);
        let pool = Pool::builder(manager)
            .max_size(options.connections.max(1))
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(CONNECT_TIMEOUT))
            .wait_timeout(Some(WAIT_TIMEOUT))
            .post_create(Hook::async_fn(move |client, _| {
                let set_up = set_up.clone();
                Box::pin(async move { client.batch_execute(&set_up).await.map_err(HookError::Backend) })
            }))
            .build()
            .map_err(|error| Fault::Broken(error.to_string()))?;
        tracing::debug!(place = %address.place, "store opened");
        Ok(Self { place: address.place, pool, tenant })
    }

    /// The store's address, without a login.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// The number of the tenant.
    pub(super) fn tenant(&self) -> i32 {
        self.tenant
    }

    /// A connection of the pool; a new one where those that were there are lost.
    pub(super) async fn session(&self) -> Result<Session, Fault> {
        Ok(Session { client: self.pool.get().await?, tenant: self.tenant })
    }

    /// An outcome as callers see it.
    pub(super) fn told<T>(&self, outcome: Result<T, Fault>) -> Result<T, Error> {
        outcome.map_err(|fault| fault.at(&self.place))
    }
}

/// A connection, until it is dropped.
pub(super) struct Session {
    client: Object,
    tenant: i32,
}

impl Session {
    /// Begins a transaction that reads one consistent state of the store. Dropping it ends it.
    pub(super) async fn read(&mut self) -> Result<Work<'_>, Fault> {
        let builder = self.client.build_transaction();
        let transaction =
            builder.isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
        Ok(Work { transaction, tenant: self.tenant })
    }

    /// Begins a transaction that writes. Dropping it undoes it.
    pub(super) async fn write(&mut self) -> Result<Work<'_>, Fault> {
        Ok(Work { transaction: self.client.transaction().await?, tenant: self.tenant })
    }
}

/// A transaction of a tenant.
pub(super) struct Work<'s> {
    transaction: Transaction<'s>,
    /// The first wall: every statement names it, as its first parameter.
    pub(super) tenant: i32,
}

/// What a statement is given.
pub(super) type Params<'p> = &'p [&'p (dyn ToSql + Sync)];

impl<'s> Work<'s> {
    /// Runs a statement; its rows.
    pub(super) async fn rows(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Fault> {
        let statement = self.transaction.prepare_cached(sql).await?;
        Ok(self.transaction.query(&statement, params).await?)
    }

    /// Runs a statement; its first row, if there is one.
    pub(super) async fn row(&self, sql: &str, params: Params<'_>) -> Result<Option<Row>, Fault> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// Runs a statement that always gives a row.
    pub(super) async fn one(&self, sql: &str, params: Params<'_>) -> Result<Row, Fault> {
        self.row(sql, params).await?.ok_or_else(|| Fault::Broken("a row is missing in the store".to_owned()))
    }

    /// Runs a statement; how many rows it touched.
    pub(super) async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64, Fault> {
        let statement = self.transaction.prepare_cached(sql).await?;
        Ok(self.transaction.execute(&statement, params).await?)
    }

    /// Begins a statement whose rows are taken page by page.
    pub(super) async fn portal(&self, sql: &str, params: Params<'_>) -> Result<Portal<'_, 's>, Fault> {
        let statement = self.transaction.prepare_cached(sql).await?;
        Ok(Portal { portal: self.transaction.bind(&statement, params).await?, work: self })
    }

    /// Makes it durable. `before` and `after`: its [`failpoints`].
    pub(super) async fn commit<B, A>(self, (before, after): (B, A)) -> Result<(), Fault>
    where
        B: FnOnce() -> Result<(), Fault>,
        A: FnOnce() -> Result<(), Fault>,
    {
        before()?;
        self.transaction.commit().await?;
        after()
    }
}

/// A statement under way.
pub(super) struct Portal<'w, 's> {
    work: &'w Work<'s>,
    portal: tokio_postgres::Portal,
}

impl Portal<'_, '_> {
    /// The next rows, at most so many; none at the end.
    pub(super) async fn next(&mut self, rows: usize) -> Result<Vec<Row>, Fault> {
        let rows = i32::try_from(rows).unwrap_or(i32::MAX);
        Ok(self.work.transaction.query_portal(&self.portal, rows).await?)
    }
}

/// A connection outside of the pool. Dropping it closes it.
pub(super) struct Single {
    pub(super) client: Client,
    _driver: JoinSet<()>,
}

impl Single {
    pub(super) async fn connect(address: &Address, set_up: &str) -> Result<Self, Fault> {
        let connecting = address.login.connect(address.tls.clone());
        let too_long = |_| Fault::Unreachable("the server did not answer in time".to_owned());
        let (client, connection) =
            tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(too_long)??;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // What ends the connection reaches the client as the failure of its next statement.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection of the store ended");
            }
        });
        client.batch_execute(set_up).await?;
        Ok(Self { client, _driver: driver })
    }
}

/// Whether there are tables of a store.
pub(super) async fn exists(options: &Options) -> Result<bool, Error> {
    let address = Address::of(&options.url)
        .map_err(|message| Error::Database { place: "at this address".to_owned(), message })?;
    let asked = async {
        let single = Single::connect(&address, &set_up(options)).await?;
        Ok(migrate::last_applied(&single.client).await? > 0)
    };
    asked.await.map_err(|fault: Fault| fault.at(&address.place))
}

/// What every session begins with. A commit is on the disk when it is answered, whatever the server's default is.
pub(super) fn set_up(options: &Options) -> String {
    let tenant = options.tenant.replace('\'', "''");
    format!(
        "SET syncline.tenant = '{tenant}'; SET standard_conforming_strings = on; SET TimeZone = 'UTC'; SET jit = off; \
         SET lock_timeout = {}; SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}; \
         SET client_min_messages = warning; SET default_transaction_isolation = 'read committed'; \
         SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
        options.lock_timeout.as_millis().max(1),
        STATEMENT_TIMEOUT.as_millis(),
        IDLE_TIMEOUT.as_millis(),
    )
}

/// The number of a tenant; a new one gets one.
async fn tenant(client: &Client, name: &str) -> Result<i32, Fault> {
    let sql = "SELECT number FROM tenant WHERE name = $1";
    if let Some(row) = client.query_opt(sql, &[&name]).await? {
        return Ok(row.try_get(0)?);
    }
    client.execute("INSERT INTO tenant (name) VALUES ($1) ON CONFLICT (name) DO NOTHING", &[&name]).await?;
    let row = client.query_one(sql, &[&name]).await?;
    client
        .execute(
            "INSERT INTO counter (tenant, name, value) VALUES ($1, 'ledger_seq', 0) ON CONFLICT DO NOTHING",
            &[&row.try_get::<_, i32>(0)?],
        )
        .await?;
    Ok(row.try_get(0)?)
}
