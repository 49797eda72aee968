//! The connection that writes. Writes that come while one is being flushed to the disk are committed together: one flush for
//! all of them. Each is whole or not at all, whatever becomes of the others.

use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::fault::Fault;

/// Most writes that are committed together: the last of them waits for the first.
const TOGETHER_MAX: usize = 64;

/// The connection, and the writes that wait for it.
pub(super) struct Writer {
    connection: Mutex<Connection>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Box<dyn Write>>,
    /// A thread is at work, and looks again before it ends.
    worked: bool,
}

impl Writer {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection: Mutex::new(connection), queue: Mutex::default() }
    }

    /// Runs `write` in a transaction that has the write lock from its beginning. Durable once this returns `Ok`; nothing of
    /// it has happened when it returns an error. `before` and `after` the commit: its failpoints. When the waiting is given
    /// up, the write still ends by itself, whole.
    pub(super) async fn write<T, F, B, A>(self: &Arc<Self>, before: B, after: A, write: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
        B: FnOnce() -> Result<(), Fault> + Send + 'static,
        A: FnOnce() -> Result<(), Fault> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let write = move |transaction: &Transaction<'_>| {
            let done = write(transaction)?;
            before()?;
            Ok(done)
        };
        let one = One { write: Some(write), after: Some(after), done: None, answer };
        if self.enqueue(Box::new(one)) {
            let turn = Turn { writer: Arc::clone(self), ended: false };
            #[expect(clippy::disallowed_methods, reason = "its answers are awaited by those who wrote")]
            drop(tokio::task::spawn_blocking(move || turn.work()));
        }
        match answered.await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(Fault::Broken("the write was given up".to_owned())),
        }
    }

    /// Returns whether nobody is at work: the caller is to see to it.
    fn enqueue(&self, write: Box<dyn Write>) -> bool {
        let mut queue = self.queue();
        queue.waiting.push_back(write);
        !std::mem::replace(&mut queue.worked, true)
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next writes; none: the work has ended.
    fn next(&self) -> Vec<Box<dyn Write>> {
        let mut queue = self.queue();
        let some = queue.waiting.len().min(TOGETHER_MAX);
        queue.worked = some > 0;
        queue.waiting.drain(..some).collect()
    }

    fn commit(&self, writes: &mut [Box<dyn Write>]) -> Result<(), Fault> {
        together(&mut self.connection.lock().unwrap_or_else(PoisonError::into_inner), writes)
    }
}

/// Tells those who wrote what became of it.
fn tell(writes: Vec<Box<dyn Write>>, committed: &Result<(), Fault>) {
    for write in writes {
        write.end(committed.as_ref().err().map(Fault::again));
    }
}

/// Runs writes one after the other in one transaction, and commits what succeeded.
fn together(connection: &mut Connection, writes: &mut [Box<dyn Write>]) -> Result<(), Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let alone = writes.len() == 1;
    let mut any = false;
    for write in writes {
        if alone {
            any = write.run(&transaction);
            continue;
        }
        transaction.execute_batch("SAVEPOINT one")?;
        if write.run(&transaction) {
            transaction.execute_batch("RELEASE one")?;
            any = true;
        } else if transaction.is_autocommit() {
            // SQLite itself undoes everything when the disk is full or fails.
            return Err(write.fault());
        } else {
            transaction.execute_batch("ROLLBACK TO one; RELEASE one")?;
        }
    }
    if any { Ok(transaction.commit()?) } else { Ok(transaction.rollback()?) }
}

/// The right to work. When it is never used, because its runtime ends, the next write takes it.
struct Turn {
    writer: Arc<Writer>,
    ended: bool,
}

impl Turn {
    /// Commits what waits, until nothing does.
    fn work(mut self) {
        let mut writes = self.writer.next();
        loop {
            let committed = self.writer.commit(&mut writes);
            let next = self.writer.next();
            if next.is_empty() {
                // Whoever is answered may drop the store, which closes its file: this thread must not keep it open.
                self.ended = true;
                drop(self);
                return tell(writes, &committed);
            }
            tell(writes, &committed);
            writes = next;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.ended {
            self.writer.queue().worked = false;
        }
    }
}

/// A write that waits, whatever it returns.
trait Write: Send {
    /// Runs it. False: it failed, and what it did is to be undone.
    fn run(&mut self, transaction: &Transaction<'_>) -> bool;

    /// Its failure, for those that fail with it.
    fn fault(&self) -> Fault;

    /// Answers who waits. `fault`: nothing was committed, because of this.
    fn end(self: Box<Self>, fault: Option<Fault>);
}

/// What a write gave, or the panic it ended in.
type Answer<T> = Result<Result<T, Fault>, Box<dyn Any + Send>>;

struct One<T, F, A> {
    write: Option<F>,
    after: Option<A>,
    done: Option<Answer<T>>,
    answer: oneshot::Sender<Answer<T>>,
}

impl<T, F, A> Write for One<T, F, A>
where
    T: Send,
    F: FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send,
    A: FnOnce() -> Result<(), Fault> + Send,
{
    fn run(&mut self, transaction: &Transaction<'_>) -> bool {
        let Some(write) = self.write.take() else { return false };
        let done = catch_unwind(AssertUnwindSafe(|| write(transaction)));
        self.done.insert(done).as_ref().is_ok_and(Result::is_ok)
    }

    fn fault(&self) -> Fault {
        match &self.done {
            Some(Ok(Err(fault))) => fault.again(),
            _ => Fault::Broken("a write beside this one failed".to_owned()),
        }
    }

    fn end(self: Box<Self>, fault: Option<Fault>) {
        let Self { after, done, answer, .. } = *self;
        let answered = match (done, fault) {
            (Some(Ok(Ok(_))) | None, Some(fault)) => Ok(Err(fault)),
            (Some(Ok(Ok(done))), None) => {
                let after = || after.map_or(Ok(()), |after| after());
                catch_unwind(AssertUnwindSafe(after)).map(|passed| passed.map(|()| done))
            }
            (Some(failed), _) => failed,
            (None, None) => Ok(Err(Fault::Broken("the write was not run".to_owned()))),
        };
        // Whoever asked may have gone.
        answer.send(answered).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Result<(), Fault> {
        Ok(())
    }

    fn writer() -> Arc<Writer> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT").unwrap();
        Arc::new(Writer::new(connection))
    }

    fn insert(n: i64) -> impl FnOnce(&Transaction<'_>) -> Result<i64, Fault> + Send + 'static {
        move |transaction| {
            transaction.execute("INSERT INTO t VALUES (?1)", [n])?;
            if n == 13 { Err(Fault::NotEmpty) } else { Ok(n * 10) }
        }
    }

    fn held(writer: &Writer) -> Vec<i64> {
        let connection = writer.connection.lock().unwrap();
        let mut found = connection.prepare("SELECT n FROM t ORDER BY n").unwrap();
        found.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// Writes that wait for the same flush are as apart as if each had one of its own.
    #[test]
    fn writes_that_are_committed_together_fail_alone() {
        let writer = writer();
        let mut writes: Vec<Box<dyn Write>> = Vec::new();
        let mut answers = Vec::new();
        for n in [1, 2, 13, 3, 2] {
            let (answer, answered) = oneshot::channel();
            let after = Some(nothing as fn() -> _);
            writes.push(Box::new(One { write: Some(insert(n)), after, done: None, answer }));
            answers.push(answered);
        }
        let committed = writer.commit(&mut writes);
        tell(writes, &committed);
        let outcomes = answers.into_iter().map(|answered| match answered.blocking_recv().unwrap().unwrap() {
            Ok(done) => done.to_string(),
            Err(Fault::NotEmpty) => "refused".to_owned(),
            Err(Fault::Sql(_)) => "there already".to_owned(),
            Err(other) => format!("{other:?}"),
        });
        assert_eq!(outcomes.collect::<Vec<_>>(), ["10", "20", "refused", "30", "there already"]);
        assert_eq!(held(&writer), [1, 2, 3]);
    }

    #[test]
    fn none_has_happened_when_the_commit_fails() {
        let writer = writer();
        let setting = "PRAGMA foreign_keys = ON; CREATE TABLE late (n INTEGER REFERENCES t DEFERRABLE INITIALLY DEFERRED)";
        writer.connection.lock().unwrap().execute_batch(setting).unwrap();
        let (answer, first) = oneshot::channel();
        let after = Some(nothing as fn() -> _);
        let good = One { write: Some(insert(1)), after, done: None, answer };
        let (answer, second) = oneshot::channel();
        let dangling =
            |transaction: &Transaction<'_>| Ok(transaction.execute("INSERT INTO late VALUES (7)", [])?);
        let bad = One { write: Some(dangling), after, done: None, answer };
        let mut writes: Vec<Box<dyn Write>> = vec![Box::new(good), Box::new(bad)];
        let committed = writer.commit(&mut writes);
        tell(writes, &committed);
        assert!(matches!(first.blocking_recv(), Ok(Ok(Err(Fault::Sql(_))))));
        assert!(matches!(second.blocking_recv(), Ok(Ok(Err(Fault::Sql(_))))));
        assert_eq!(held(&writer), [0; 0]);
    }

    #[tokio::test]
    async fn a_panic_and_a_failpoint_undo_their_own_write_only() {
        let writer = writer();
        let broken = || Err(Fault::Newer);
        let refused = writer.write(broken, nothing, insert(1)).await;
        assert!(matches!(refused, Err(Fault::Newer)));
        let told = writer.write(nothing, broken, insert(2)).await;
        assert!(matches!(told, Err(Fault::Newer)), "after the commit");
        let mut panicked = tokio::task::JoinSet::new();
        let other = Arc::clone(&writer);
        panicked.spawn(async move {
            let write = |transaction: &Transaction<'_>| {
                transaction.execute("INSERT INTO t VALUES (3)", [])?;
                panic!("on purpose")
            };
            other.write::<(), _, _, _>(nothing, nothing, write).await
        });
        assert!(panicked.join_next().await.unwrap().unwrap_err().is_panic());
        writer.write(nothing, nothing, insert(4)).await.unwrap();
        assert_eq!(held(&writer), [2, 4]);
    }

    /// A runtime that ends before its thread began does not keep the others from writing.
    #[test]
    fn work_that_was_never_begun_is_done_by_the_next() {
        let writer = writer();
        let turn = Turn { writer: Arc::clone(&writer), ended: false };
        let (answer, answered) = oneshot::channel();
        let one = One { write: Some(insert(1)), after: Some(nothing as fn() -> _), done: None, answer };
        assert!(writer.enqueue(Box::new(one)));
        drop(turn);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(writer.write(nothing, nothing, insert(2))).unwrap();
        assert!(matches!(answered.blocking_recv(), Ok(Ok(Ok(10)))));
        assert_eq!(held(&writer), [1, 2]);
    }
}
