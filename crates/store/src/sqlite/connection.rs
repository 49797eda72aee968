//! One connection that writes, two that read (one for runs, one for people), and the threads that wait for them.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::{Options, fault::Fault, lease, ledger::Streams, migrate, writer::Writer};
use crate::Error;

/// Page caches, in KiB. The reader's holds the inner pages of a ledger of millions of rows and little more: leaves are
/// left to the operating system, so that memory does not grow with the ledger.
const READER_CACHE_KIB: i64 = 32 * 1024;
const WRITER_CACHE_KIB: i64 = 16 * 1024;
/// Of the viewer: pages of runs and occurrences, which are small.
const VIEWER_CACHE_KIB: i64 = 4 * 1024;
/// Of the scratch listing, which may be as large as the destination.
const SCRATCH_CACHE_KIB: i64 = 16 * 1024;
/// Pages in the write-ahead log before it is written back. A batch touches one page per record, all over the ledger;
/// waiting for several batches lets pages that are hit twice be written once.
const LOG_PAGES: i64 = 4000;
/// What remains of the log's file after it was written back.
const LOG_BYTES: i64 = 64 * 1024 * 1024;
/// Prepared statements kept per connection; there are about a hundred in all.
const STATEMENTS: usize = 160;

/// The places just before and just after the commit of a write.
macro_rules! failpoints {
    ($write:literal) => {{
        let before = || {
            syncline_core::failpoint!(concat!("store.", $write, ".before_commit"), Fault::failpoint);
            Ok(())
        };
        let after = || {
            syncline_core::failpoint!(concat!("store.", $write, ".after_commit"), Fault::failpoint);
            Ok(())
        };
        (before, after)
    }};
}
pub(super) use failpoints;

/// The store's connections. Each serves one caller at a time, on a blocking thread.
pub(super) struct Connections {
    place: String,
    path: PathBuf,
    // Dropped in this order: the last to close must be able to write the log back into the file.
    reader: Arc<Mutex<Reader>>,
    viewer: Arc<Mutex<Connection>>,
    writer: Arc<Writer>,
}

/// The connection that reads. It also holds the scratch listing, in its temporary tables.
pub(super) struct Reader {
    pub(super) connection: Connection,
    pub(super) streams: Streams,
}

impl Connections {
    pub(super) async fn open(options: Options) -> Result<Self, Error> {
        let place = options.path.display().to_string();
        blocking(place, move || open(&options)).await
    }

    /// The file, free of links: locks lie beside it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `read` against one consistent state of the store.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &mut Streams) -> Result<T, Fault> + Send + 'static,
    {
        let reader = Arc::clone(&self.reader);
        blocking(self.place.clone(), move || {
            // A panic in an earlier caller has rolled its transaction back.
            let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            let Reader { connection, streams } = &mut *reader;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
            let found = read(&transaction, streams)?;
            transaction.commit()?;
            Ok(found)
        })
        .await
    }

    /// Runs `read` against one consistent state of the store, on a connection that only short questions use: it does not
    /// wait for a run that compares a million records.
    pub(super) async fn view<T, F>(&self, read: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let viewer = Arc::clone(&self.viewer);
        blocking(self.place.clone(), move || {
            let mut viewer = viewer.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = viewer.transaction_with_behavior(TransactionBehavior::Deferred)?;
            let found = read(&transaction)?;
            transaction.commit()?;
            Ok(found)
        })
        .await
    }

    /// Runs `write` as one transaction, see [`Writer::write`]. `before` and `after` the commit: its [`failpoints`].
    pub(super) async fn write<T, F, B, A>(&self, (before, after): (B, A), write: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
        B: FnOnce() -> Result<(), Fault> + Send + 'static,
        A: FnOnce() -> Result<(), Fault> + Send + 'static,
    {
        self.writer.write(before, after, write).await.map_err(|fault| fault.at(&self.place))
    }
}

/// Runs `work` where it may block, and waits for it. When the waiting is given up, the work still ends by itself, whole.
pub(super) async fn blocking<T: Send + 'static>(
    place: String,
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Error> {
    #[expect(clippy::disallowed_methods, reason = "awaited on the next line")]
    let handle = tokio::task::spawn_blocking(work);
    match handle.await {
        Ok(outcome) => outcome.map_err(|fault| fault.at(&place)),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::Database { place, message: error.to_string() }),
        },
    }
}

fn open(options: &Options) -> Result<Connections, Fault> {
    let parent = options.path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    let path = parent.canonicalize()?.join(options.path.file_name().unwrap_or_default());
    let mut writer =
        connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE, options)?;
    // The file may be a link; now that it exists, follow it.
    let path = path.canonicalize()?;
    let gate = migrate::gate(&lease::folder(&path)?.join("open"))?;
    set_up_writer(&writer, options)?;
    migrate::migrate(&mut writer)?;
    drop(gate);
    // The file's name must outlive a crash of the machine as well as its contents.
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        std::fs::File::open(folder)?.sync_all()?;
    }

    let reader = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY, options)?;
    reader.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    reader.pragma_update(None, "temp_store", "FILE")?;
    super::scratch::create(&reader)?;
    reader.pragma_update(Some("temp"), "cache_size", -SCRATCH_CACHE_KIB)?;
    let viewer = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY, options)?;
    viewer.pragma_update(None, "cache_size", -VIEWER_CACHE_KIB)?;
    tracing::debug!(place = %path.display(), "store opened");
    Ok(Connections {
        place: options.path.display().to_string(),
        path,
        writer: Arc::new(Writer::new(writer)),
        viewer: Arc::new(Mutex::new(viewer)),
        reader: Arc::new(Mutex::new(Reader { connection: reader, streams: Streams::default() })),
    })
}

fn connect(path: &Path, flags: OpenFlags, options: &Options) -> Result<Connection, Fault> {
    // No SQLITE_OPEN_URI: a path is a path. No mutex: ours is around the connection.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(options.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

fn set_up_writer(writer: &Connection, options: &Options) -> Result<(), Fault> {
    let journal: String = writer.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if journal != "wal" {
        return Err(Fault::Broken(format!("the file system has no shared memory (journal mode {journal})")));
    }
    // Every commit is flushed to the disk: an intent must be there before its request leaves.
    writer.pragma_update(None, "synchronous", "FULL")?;
    writer.pragma_update(None, "foreign_keys", true)?;
    // Only what a statement would undo if it failed half-way, a few pages: no reason to need room elsewhere.
    writer.pragma_update(None, "temp_store", "MEMORY")?;
    writer.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    writer.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    writer.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    if let Some(max_size) = options.max_size {
        let page: i64 = writer.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = i64::try_from(max_size).unwrap_or(i64::MAX) / page.max(1);
        writer.pragma_update_and_check(None, "max_page_count", pages.max(1), |_| Ok(()))?;
    }
    Ok(())
}

/// How long another process may hold the write lock, unless told otherwise. Ours hold it for milliseconds; somebody's
/// `sqlite3` shell, for as long as they think.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
