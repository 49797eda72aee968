//! Two databases, a project between them, and what is looked at afterwards.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStderr, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::kit::{Ended, Place};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// Drives the connections of all tests.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
});

/// The address of the server, which must be there: a test that is skipped tests nothing.
#[expect(clippy::disallowed_methods, reason = "tests are told of the server by the environment")]
pub(super) fn server() -> String {
    std::env::var("SYNCLINE_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!(
            "SYNCLINE_TEST_POSTGRES is not set: run the tests through `make test` or `scripts/with-postgres`"
        )
    })
}

/// The authority that signed the server's certificate.
#[expect(clippy::disallowed_methods, reason = "tests are told of the server by the environment")]
pub(super) fn authority() -> std::path::PathBuf {
    std::env::var_os("SYNCLINE_TEST_POSTGRES_CA").map(Into::into).expect("tests of TLS need openssl")
}

/// A session with a database.
pub(super) struct Db {
    pub(super) url: String,
    client: Client,
}

impl Db {
    pub(super) fn open(url: &str) -> Self {
        Self::try_open(url).unwrap_or_else(|error| panic!("{error}"))
    }

    #[expect(clippy::disallowed_methods, reason = "it ends with the session")]
    pub(super) fn try_open(url: &str) -> Result<Self, tokio_postgres::Error> {
        let client = RUNTIME.block_on(async {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
            RUNTIME.spawn(async { drop(connection.await) });
            Ok(client)
        })?;
        Ok(Self { url: url.to_owned(), client })
    }

    /// A database that only this test uses, on the server of `server`; it goes with the server.
    pub(super) fn create(server: &str) -> Self {
        let name = format!("loads_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        Self::open(server).sql(&format!("CREATE DATABASE {name}"));
        let (base, _) = server.rsplit_once('/').expect("an address with a database");
        Self::open(&format!("{base}/{name}"))
    }

    /// One more session with the same database.
    pub(super) fn again(&self) -> Self {
        Self::open(&self.url)
    }

    #[track_caller]
    pub(super) fn sql(&self, sql: &str) {
        self.try_sql(sql).unwrap_or_else(|error| panic!("{error} in {sql}"));
    }

    pub(super) fn try_sql(&self, sql: &str) -> Result<(), String> {
        RUNTIME.block_on(self.client.batch_execute(sql)).map_err(|error| {
            error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned())
        })
    }

    /// Rows, the columns of each joined by `|`, null as `-`.
    #[track_caller]
    pub(super) fn rows(&self, sql: &str) -> Vec<String> {
        let messages = RUNTIME
            .block_on(self.client.simple_query(sql))
            .unwrap_or_else(|error| panic!("{:?} in {sql}", error.as_db_error()));
        let row = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => {
                let cells: Vec<_> = (0..row.len()).map(|i| row.get(i).unwrap_or("-")).collect();
                Some(cells.join("|"))
            }
            _ => None,
        };
        messages.iter().filter_map(row).collect()
    }

    #[track_caller]
    pub(super) fn one(&self, sql: &str) -> String {
        self.rows(sql).first().cloned().unwrap_or_default()
    }

    /// Everything in a table, in one line; the same on both sides means the same rows.
    #[track_caller]
    pub(super) fn digest(&self, table: &str) -> String {
        self.one(&format!(
            "SELECT count(*) || ' rows, ' || md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '')) FROM {table} t"
        ))
    }

    /// Whatever loads have left behind but for their state.
    #[track_caller]
    pub(super) fn leftovers(&self) -> Vec<String> {
        self.rows(
            "SELECT relname FROM pg_class WHERE starts_with(relname, 'syncline_') AND relname NOT IN \
             ('syncline_state', 'syncline_state_pkey') ORDER BY 1",
        )
    }
}

/// Two databases, and a directory with a project.
pub(super) struct Loads {
    pub(super) place: Place,
    pub(super) from: Db,
    pub(super) to: Db,
}

impl Loads {
    /// On the shared server.
    pub(super) fn new() -> Self {
        Self::on(&server())
    }

    pub(super) fn on(server: &str) -> Self {
        Self { place: Place::empty(), from: Db::create(server), to: Db::create(server) }
    }

    /// Writes a project with these syncs, indented by two.
    pub(super) fn project(&self, syncs: &str) {
        self.project_between(&self.from.url, &self.to.url, syncs);
    }

    pub(super) fn project_between(&self, from: &str, to: &str, syncs: &str) {
        self.place.write("syncline.yaml", project(from, to, syncs));
    }

    /// The table `things` on the source's side, with `rows` rows, ids from 1.
    pub(super) fn things(&self, rows: u32) {
        self.from.sql(&format!(
            "CREATE TABLE things (id bigint PRIMARY KEY, name text, amount numeric(12,2), \
               updated_at timestamptz NOT NULL DEFAULT now()); \
             INSERT INTO things SELECT i, 'thing ' || i, i * 1.25, now() - interval '1 day' FROM generate_series(1, {rows}) i"
        ));
    }

    pub(super) fn run(&self, args: &[&str]) -> Ended {
        self.place.syncline(&[&["run"], args].concat())
    }

    /// The table is the same on both sides, and nothing is left behind.
    #[track_caller]
    pub(super) fn same(&self, table: &str) {
        assert_eq!(self.from.digest(table), self.to.digest(table), "{table}");
        assert_eq!(self.to.leftovers(), Vec::<String>::new());
    }

    /// A child whose standard error is read.
    pub(super) fn start(&self, args: &[&str]) -> (Child, BufReader<ChildStderr>) {
        start(&self.place, args)
    }
}

pub(super) fn project(from: &str, to: &str, syncs: &str) -> String {
    format!(
        "connections:\n  source: {{ type: postgres, url: \"{from}\" }}\n  cache: {{ type: postgres, url: \"{to}\" }}\n\
         syncs:\n{syncs}\n"
    )
}

pub(super) fn start(place: &Place, args: &[&str]) -> (Child, BufReader<ChildStderr>) {
    let mut command = place.command(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(child.stderr.take().unwrap());
    (child, said)
}

/// Reads until the process says that it is at its failpoint.
#[track_caller]
pub(super) fn at_failpoint(said: &mut BufReader<ChildStderr>) {
    let mut all = String::new();
    loop {
        let start = all.len();
        assert!(said.read_line(&mut all).unwrap() > 0, "it ended without reaching the place: {all}");
        if all[start..].starts_with("syncline failpoint ") {
            return;
        }
    }
}

/// Lets a waiting process go on; its exit code and what it said.
pub(super) fn go_on(mut child: Child, mut said: BufReader<ChildStderr>) -> Ended {
    drop(child.stdin.take());
    let mut err = String::new();
    said.read_to_string(&mut err).unwrap();
    Ended { code: child.wait().unwrap().code().unwrap_or(-1), out: String::new(), err }
}

pub(super) const FAILPOINT: &str = "SYNCLINE_FAILPOINT";

/// The usual sync of `things`.
pub(super) const MIRROR: &str = r"  things:
    from: { connection: source, table: public.things, cursor: updated_at }
    to: { connection: cache, table: public.things }
    write: mirror
    deletes: { policy: delete, guard: { count: 100000, percent: 100 } }";
