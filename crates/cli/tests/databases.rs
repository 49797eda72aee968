//! Real databases for the tests: one of its own for each.

use mysql_async::prelude::Queryable;
use tokio::runtime::Runtime;
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// Rows as the databases write them as text, in no order.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

#[expect(clippy::print_stdout, reason = "a test that did nothing says so")]
fn skipped(system: &str, script: &str) {
    println!("skipped: no {system}; run it with {script}");
}

#[expect(clippy::disallowed_methods, reason = "where the test's servers are")]
fn server(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A PostgreSQL database.
pub(crate) struct Postgres {
    runtime: Runtime,
    pub(crate) url: String,
}

impl Postgres {
    /// `None` without a PostgreSQL: then the test says so and does nothing.
    pub(crate) fn create(name: &str) -> Option<Self> {
        let Some(server) = server("SYNCLINE_TEST_POSTGRES") else {
            skipped("PostgreSQL", "scripts/with-postgres");
            return None;
        };
        let (root, _) = server.rsplit_once('/').unwrap();
        let database = Self { runtime: runtime(), url: format!("{root}/{name}") };
        database.query_at(&server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        database.query_at(&server, &format!("CREATE DATABASE {name}"));
        Some(database)
    }

    pub(crate) fn execute(&self, sql: &str) {
        self.query(sql);
    }

    pub(crate) fn query(&self, sql: &str) -> Rows {
        self.query_at(&self.url, sql)
    }

    /// A connection that stays, so that a transaction can be left open.
    pub(crate) fn session(&self) -> Session {
        let runtime = runtime();
        let client = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
            #[expect(clippy::disallowed_methods, reason = "it ends with the session's runtime")]
            tokio::spawn(connection);
            client
        });
        Session { runtime, client }
    }

    fn query_at(&self, url: &str, sql: &str) -> Rows {
        self.runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
            let work = async {
                let answers = client.simple_query(sql).await;
                drop(client);
                answers.unwrap_or_else(|error| panic!("{error:?}\nin {sql}"))
            };
            let (answers, ended) = tokio::join!(work, connection);
            ended.unwrap();
            let row = |answer| match answer {
                SimpleQueryMessage::Row(row) => {
                    Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect())
                }
                _ => None,
            };
            answers.into_iter().filter_map(row).collect()
        })
    }
}

/// A connection to a PostgreSQL database.
pub(crate) struct Session {
    runtime: Runtime,
    client: tokio_postgres::Client,
}

impl Session {
    pub(crate) fn execute(&self, sql: &str) {
        self.runtime
            .block_on(self.client.batch_execute(sql))
            .unwrap_or_else(|error| panic!("{error:?}\nin {sql}"));
    }
}

/// A MariaDB database. Whoever has one has the server: where a listing stops depends on every transaction in it.
pub(crate) struct MariaDb {
    runtime: Runtime,
    pub(crate) url: String,
    /// Holds the lock.
    _alone: mysql_async::Conn,
}

impl MariaDb {
    /// `None` without a MariaDB: then the test says so and does nothing.
    pub(crate) fn create(name: &str) -> Option<Self> {
        let Some(server) = server("SYNCLINE_TEST_MARIADB") else {
            skipped("MariaDB", "scripts/with-mariadb");
            return None;
        };
        let (root, _) = server.rsplit_once('/').unwrap();
        let runtime = runtime();
        let alone = runtime.block_on(async {
            let mut conn = mysql_async::Conn::from_url(&server).await.unwrap();
            let taken: Option<u8> =
                conn.query_first("SELECT GET_LOCK('syncline tests', 200)").await.unwrap().unwrap();
            assert_eq!(taken, Some(1), "the server is for us alone");
            conn.query_drop(format!("DROP DATABASE IF EXISTS {name}")).await.unwrap();
            conn.query_drop(format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await.unwrap();
            conn
        });
        Some(Self { runtime, url: format!("{root}/{name}"), _alone: alone })
    }

    /// Runs statements.
    pub(crate) fn execute(&self, sql: &str) {
        self.runtime.block_on(async {
            let mut conn = self.connect().await;
            conn.query_drop(sql).await.unwrap_or_else(|error| panic!("{error}\nin {sql}"));
            conn.disconnect().await.unwrap();
        });
    }

    pub(crate) fn query(&self, sql: &str) -> Rows {
        self.runtime.block_on(async {
            let mut conn = self.connect().await;
            let rows: Vec<mysql_async::Row> =
                conn.query(sql).await.unwrap_or_else(|error| panic!("{error}\nin {sql}"));
            conn.disconnect().await.unwrap();
            rows.into_iter().map(|row| row.unwrap().into_iter().map(text).collect()).collect()
        })
    }

    async fn connect(&self) -> mysql_async::Conn {
        let mut conn = mysql_async::Conn::from_url(&self.url).await.unwrap();
        conn.query_drop("SET NAMES utf8mb4, time_zone = '+00:00'").await.unwrap();
        conn
    }
}

/// What the text protocol sends.
fn text(cell: mysql_async::Value) -> Option<String> {
    match cell {
        mysql_async::Value::NULL => None,
        mysql_async::Value::Bytes(bytes) => Some(String::from_utf8(bytes).unwrap()),
        other => panic!("not a text: {other:?}"),
    }
}
