//! The store in a PostgreSQL database, each test in a schema of its own.

mod faults;
mod tenants;
mod upgrade;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use syncline_store::{
    Lease, Store,
    conformance::{Place, service::ServicePlace},
    postgres::{self, Options, PostgresStore},
    service::ServiceStore,
};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// The address of the server, which must be there: a test that is skipped tests nothing.
#[expect(clippy::disallowed_methods, reason = "tests are told of the server by the environment")]
fn server() -> String {
    std::env::var("SYNCLINE_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!(
            "SYNCLINE_TEST_POSTGRES is not set: run the tests through `make test` or `scripts/with-postgres`"
        )
    })
}

/// A schema that only one test uses. It is dropped at the end.
pub(crate) struct Schema {
    name: String,
}

impl Schema {
    pub(crate) fn new() -> Self {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("store_{}_{number}", std::process::id());
        apart(&format!("CREATE SCHEMA {name}"));
        Self { name }
    }

    fn url(&self) -> String {
        format!("{}?options=-c%20search_path%3D{}&application_name={}", server(), self.name, self.name)
    }

    fn options(&self) -> Options {
        Options { connections: 4, lock_timeout: Duration::from_secs(2), ..Options::new(self.url()) }
    }

    pub(crate) async fn store(&self) -> PostgresStore {
        postgres::open(self.options()).await.expect("the store opens")
    }

    /// The test's own session, beside those of the store.
    async fn session(&self) -> Session {
        Session::open(&self.url()).await
    }

    /// The first column of what a query finds.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        self.session().await.texts(sql).await
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        // A session may still wait for this thread to send its rollback.
        apart(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{}';
             DROP SCHEMA {} CASCADE",
            self.name, self.name
        ));
    }
}

/// Runs a statement on a thread of its own, so that it can be waited for anywhere.
fn apart(sql: &str) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let session = Session::open(&server()).await;
                session.client.batch_execute(sql).await.expect("the schema of the test");
            });
        });
    });
}

/// A session with the server.
struct Session {
    client: Client,
    _driver: JoinSet<()>,
}

impl Session {
    async fn open(url: &str) -> Self {
        let (client, connection) =
            tokio_postgres::connect(url, NoTls).await.expect("the server of the tests");
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // A session that the test kills ends with an error.
            drop(connection.await);
        });
        Self { client, _driver: driver }
    }

    /// The first column of what a query finds.
    async fn texts(&self, sql: &str) -> Vec<String> {
        let rows = self.client.query(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        rows.iter().map(|row| row.get(0)).collect()
    }
}

#[async_trait]
impl Place for Schema {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.store().await)
    }
}

mod conformance {
    syncline_store::suite!(super::Schema::new);
}

/// The same schema, for several nodes: they wait for each other.
struct Served(Schema);

fn served() -> Served {
    Served(Schema::new())
}

#[async_trait]
impl ServicePlace for Served {
    async fn open(&self) -> Arc<dyn ServiceStore> {
        let options = Options { lock_timeout: Duration::from_secs(60), ..self.0.options() };
        Arc::new(postgres::open(options).await.expect("the store opens"))
    }

    async fn expire_leases(&self, now: Timestamp) -> Timestamp {
        let sql = "UPDATE occurrence SET lease_until = clock_timestamp() - interval '1 second'
                   WHERE state = 'claimed'";
        self.0.session().await.client.batch_execute(sql).await.expect("older leases");
        now
    }

    async fn bury(&self, lease: Lease) {
        let sync = lease.sync.clone();
        drop(lease);
        let sql = "UPDATE lease SET until = clock_timestamp() - interval '1 second'
                   FROM sync WHERE sync.tenant = lease.tenant AND sync.number = lease.sync AND sync.name = $1";
        self.0.session().await.client.execute(sql, &[&sync]).await.expect("an older lease");
    }
}

mod service {
    syncline_store::service_suite!(super::served);
}
