//! Opening the file, and the functions our statements use.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, functions::FunctionFlags};
use syncline_core::schema::FieldType;

use super::{error, types};
use crate::{Error, error::Kind};

/// How long to wait for a writer's lock.
pub(super) const BUSY: Duration = Duration::from_secs(10);

/// Opens the file for reading. It is never created and never written.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| error::of(&e))?;
    prepare(&connection).map_err(|e| error::of(&e))?;
    Ok(connection)
}

/// Sets the time-out, and makes our functions known.
pub(super) fn prepare(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY)?;
    for (name, kind) in types::COMPARED {
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        connection.create_scalar_function(name, 1, flags, move |call| {
            Ok(types::compared(call.get_raw(0), &kind))
        })?;
    }
    Ok(())
}

/// The function by which values of `kind` are compared, whatever form they are stored in; nothing where what is stored
/// compares by itself.
pub(super) fn function(kind: &FieldType) -> Option<&'static str> {
    types::COMPARED.iter().find(|(_, of)| of == kind).map(|(name, _)| *name)
}

/// Asks the database something on a thread where waiting does no harm.
pub(super) async fn ask<T: Send + 'static>(
    path: &Path,
    question: impl FnOnce(Connection) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let path: PathBuf = path.to_owned();
    blocking(move || question(open(&path)?)).await
}

/// Does something on a thread where waiting does no harm.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    #[expect(clippy::disallowed_methods, reason = "awaited here")]
    let done = tokio::task::spawn_blocking(work);
    done.await.map_err(|_| Error::new(Kind::Protocol, "the thread of the database ended early"))?
}
