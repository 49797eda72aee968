//! What goes wrong inside, and the one place where SQLite's codes become the store's errors.

use std::io;

use rusqlite::{ErrorCode, ffi};

use crate::Error;

/// A failure that does not know yet which store it happened in.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(rusqlite::Error),
    Io(io::Error),
    Busy {
        sync: String,
        holder: String,
    },
    Stale {
        sync: String,
        ours: u64,
        found: u64,
    },
    Newer,
    /// A restore found something.
    NotEmpty,
    /// Something that cannot be stored, or was stored by nobody we know. Never with a value in it.
    Broken(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Fault {
    /// The error of a failpoint.
    #[cfg(debug_assertions)]
    pub(super) fn failpoint(place: &str) -> Self {
        Self::Broken(format!("failpoint {place}: an error was asked for"))
    }

    /// The same failure once more, for another write that failed because of it.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Sql(rusqlite::Error::SqliteFailure(code, message)) => {
                Self::Sql(rusqlite::Error::SqliteFailure(*code, message.clone()))
            }
            Self::Sql(other) => Self::Broken(other.to_string()),
            Self::Io(error) => Self::Io(error.kind().into()),
            Self::Busy { sync, holder } => Self::Busy { sync: sync.clone(), holder: holder.clone() },
            Self::Stale { sync, ours, found } => {
                Self::Stale { sync: sync.clone(), ours: *ours, found: *found }
            }
            Self::Newer => Self::Newer,
            Self::NotEmpty => Self::NotEmpty,
            Self::Broken(message) => Self::Broken(message.clone()),
        }
    }

    /// The error that callers see.
    pub(super) fn at(self, place: &str) -> Error {
        let place = place.to_owned();
        match self {
            Self::Sql(rusqlite::Error::SqliteFailure(code, message)) => of_code(code, message, place),
            Self::Sql(other) => Error::Database { place, message: other.to_string() },
            Self::Io(error) if is_full(&error) => Error::Full { place },
            Self::Io(error) => Error::Database { place, message: error.to_string() },
            Self::Busy { sync, holder } => Error::Busy { sync, holder },
            Self::Stale { sync, ours, found } => Error::Stale { sync, ours, found },
            Self::Newer => Error::Newer { place },
            Self::NotEmpty => Error::NotEmpty { place },
            Self::Broken(message) => Error::Database { place, message },
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

fn of_code(code: ffi::Error, message: Option<String>, place: String) -> Error {
    match (code.code, code.extended_code) {
        // SQLite turns ENOSPC of a write into FULL. Growing the shared-memory file of the write-ahead log fails with a
        // code of its own, and for want of space only.
        (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => Error::Full { place },
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => Error::Locked { place },
        _ => Error::Database { place, message: message.unwrap_or_else(|| code.to_string()) },
    }
}
