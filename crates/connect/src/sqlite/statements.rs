//! Single statements. Each call opens the file anew, and runs on a thread where waiting does no harm; when it is given up, the
//! statement is interrupted, and the transaction is rolled back.

use std::{
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{
    Connection, InterruptHandle, OpenFlags, Statement, TransactionBehavior, params_from_iter, types::ValueRef,
};
use syncline_core::{schema::FieldType, value::Value};

use super::{client, error, types};
use crate::{
    Error,
    database::dialect::sqlite::SQLITE,
    error::Kind,
    statements::{Gathered, Params, Rows, Statements, bound, in_one_transaction, of_statement, overtime},
};

/// How often a statement that took too long is interrupted, until it has noticed: what begins just then does not.
const AGAIN: Duration = Duration::from_millis(20);

/// A file that takes statements.
pub(super) struct File {
    pub(super) path: PathBuf,
}

/// How often a statement that was given up is interrupted, at most: ten seconds.
const AGAIN_MAX: usize = 500;

/// Ends the work when it is dropped.
struct Stop {
    interrupt: Arc<InterruptHandle>,
    asked: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl Stop {
    fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.interrupt.interrupt();
    }
}

impl Drop for Stop {
    /// An interruption reaches only a statement that has begun; one that begins in this very moment needs another.
    fn drop(&mut self) {
        self.ask();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (interrupt, ended) = (Arc::clone(&self.interrupt), Arc::clone(&self.ended));
        #[expect(clippy::disallowed_methods, reason = "it ends with the statement that it interrupts")]
        runtime.spawn(async move {
            for _ in 0..AGAIN_MAX {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                interrupt.interrupt();
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
}

/// Says that the work is over, however it ended.
struct Ended(Arc<AtomicBool>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does `work` on a connection, for `timeout` at most.
async fn run<T: Send + 'static>(
    connection: Connection,
    timeout: Duration,
    work: impl FnOnce(Connection, &AtomicBool) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (asked, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let interrupt = Arc::new(connection.get_interrupt_handle());
    let stop = Stop { interrupt, asked: Arc::clone(&asked), ended: Arc::clone(&ended) };
    let ended = Ended(ended);
    let mut working = pin!(client::blocking(move || {
        let _ended = ended;
        work(connection, &asked)
    }));
    if let Ok(done) = tokio::time::timeout(timeout, &mut working).await {
        return done;
    }
    // what it comes to is told as it is: it may have been done in the last moment
    let done = loop {
        stop.ask();
        if let Ok(done) = tokio::time::timeout(AGAIN, &mut working).await {
            break done;
        }
    };
    done.map_err(|error| match error.kind {
        Kind::Unanswered | Kind::Locked => overtime(timeout),
        _ => error,
    })
}

fn open(path: &Path, flags: OpenFlags, timeout: Duration) -> Result<Connection, Error> {
    let open = || {
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        client::prepare(&connection)?;
        connection.busy_timeout(timeout.min(client::BUSY))?;
        connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")?;
        Ok(connection)
    };
    open().map_err(|e: rusqlite::Error| error::of(&e))
}

#[async_trait]
impl Statements for File {
    async fn execute(&self, statements: &[String], timeout: Duration) -> Result<Vec<u64>, Error> {
        in_one_transaction(statements)?;
        let (path, statements) = (self.path.clone(), statements.to_vec());
        let write = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let connection = client::blocking(move || open(&path, write, timeout)).await?;
        run(connection, timeout, move |mut connection, stop| all(&mut connection, &statements, stop)).await
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
        let (sql, texts) = bound(statement, SQLITE.name, SQLITE.parameter, params)?;
        self.ask(&sql, texts, limit, timeout).await
    }
}

impl File {
    async fn ask(
        &self,
        statement: &str,
        texts: Vec<String>,
        limit: usize,
        timeout: Duration,
    ) -> Result<Rows, Error> {
        in_one_transaction(&[statement.to_owned()])?;
        let (path, statement) = (self.path.clone(), statement.to_owned());
        let read = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let connection = client::blocking(move || open(&path, read, timeout)).await?;
        run(connection, timeout, move |connection, _| rows(&connection, &statement, &texts, limit)).await
    }
}

fn all(connection: &mut Connection, statements: &[String], stop: &AtomicBool) -> Result<Vec<u64>, Error> {
    let stopped = || match stop.load(Ordering::Relaxed) {
        true => Err(Error::new(Kind::Unanswered, "the statements were given up")),
        false => Ok(()),
    };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let transaction = transaction.map_err(|e| error::of(&e))?;
    let mut changed = Vec::with_capacity(statements.len());
    for (at, statement) in statements.iter().enumerate() {
        stopped()?;
        let done = one(&transaction, statement);
        changed.push(done.map_err(|e| of_statement(at, statements.len(), e))?);
    }
    stopped()?;
    transaction.commit().map_err(|e| error::of(&e))?;
    Ok(changed)
}

/// Runs a statement to its end, whether or not it gives rows.
fn one(connection: &Connection, text: &str) -> Result<u64, Error> {
    let before = connection.total_changes();
    let mut statement = prepare(connection, text)?;
    let mut rows = statement.query([]).map_err(|e| error::of(&e))?;
    while rows.next().map_err(|e| error::of(&e))?.is_some() {}
    // what the last statement that changed something did is still told after one that changed nothing
    Ok(if connection.total_changes() == before { 0 } else { connection.changes() })
}

fn rows(connection: &Connection, text: &str, values: &[String], limit: usize) -> Result<Rows, Error> {
    let mut statement = prepare(connection, text)?;
    if !statement.readonly() {
        return Err(Error::new(Kind::Definition, "the query would write")
            .hint("a query only reads: use a step of kind sql"));
    }
    let columns: Vec<(String, Option<FieldType>)> = statement
        .columns()
        .map(|c| (c.name().to_owned(), c.decl_type().filter(|d| !d.is_empty()).map(types::declared)))
        .collect();
    let mut gathered = Gathered::new(columns.iter().map(|(name, _)| name.clone()).collect(), limit);
    let mut sent = statement.query(params_from_iter(values)).map_err(|e| error::of(&e))?;
    while let Some(row) = sent.next().map_err(|e| error::of(&e))? {
        let mut values = Vec::with_capacity(columns.len());
        for (at, (name, kind)) in columns.iter().enumerate() {
            let cell = row.get_ref(at).map_err(|e| error::of(&e))?;
            let value = value(cell, kind.as_ref()).map(Value::into_owned);
            values.push(value.ok_or_else(|| {
                Error::new(Kind::Definition, format!("column {name:?}: text that is not UTF-8"))
            })?);
        }
        gathered.push(values)?;
    }
    Ok(gathered.finish())
}

fn prepare<'c>(connection: &'c Connection, text: &str) -> Result<Statement<'c>, Error> {
    connection.prepare(text).map_err(|e| match e {
        rusqlite::Error::MultipleStatement => Error::new(Kind::Definition, "several statements in one text")
            .hint("give each statement an entry of its own"),
        e => error::of(&e),
    })
}

/// A cell as its column is declared; as it is stored where nothing is declared or it does not fit.
fn value<'a>(cell: ValueRef<'a>, kind: Option<&FieldType>) -> Option<Value<'a>> {
    kind.and_then(|kind| types::read(cell, kind)).or_else(|| {
        Some(match cell {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(v) => Value::Int64(v),
            ValueRef::Real(v) => Value::Float64(v),
            ValueRef::Text(v) => Value::Text(std::str::from_utf8(v).ok()?.into()),
            ValueRef::Blob(v) => Value::Binary(v.into()),
        })
    })
}
