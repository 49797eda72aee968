//! SQLite's errors as ours.

use rusqlite::{Error as Sqlite, ErrorCode};

use crate::{Error, error::Kind};

/// What an error of the database means. Its own words are kept only where they name tables and columns.
pub(super) fn of(error: &Sqlite) -> Error {
    let text = match error {
        Sqlite::SqliteFailure(_, Some(text)) => text.as_str(),
        Sqlite::SqlInputError { msg, .. } => msg.as_str(),
        _ => "",
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::new(Kind::Locked, "the database is locked by another program").hint(
                "try again when the other program has finished writing; WAL mode lets both work at once",
            )
        }
        Some(ErrorCode::CannotOpen) => Error::new(Kind::Unreachable, "the database file cannot be opened")
            .hint("check the path, and that this user may read the file and its folder"),
        Some(ErrorCode::PermissionDenied) => Error::new(Kind::Forbidden, "the database file may not be read")
            .hint("check the file's permissions"),
        Some(ErrorCode::ReadOnly) => Error::new(Kind::Forbidden, "the database file may not be written")
            .hint("check the permissions of the file and its folder"),
        Some(ErrorCode::DiskFull) => Error::new(Kind::StreamFull, "the disk of the database is full").hint(
            "free space where the file is, and where temporary files go (SQLITE_TMPDIR); nothing was changed",
        ),
        Some(ErrorCode::OperationInterrupted) => {
            Error::new(Kind::Unanswered, "the statement was interrupted; nothing of it was done")
        }
        Some(ErrorCode::TooBig) => {
            Error::new(Kind::Rejected, "a text or a row is larger than SQLite allows (1,000,000,000 bytes)")
        }
        Some(ErrorCode::ConstraintViolation) => constraint(error, text),
        Some(ErrorCode::NotADatabase) => {
            Error::new(Kind::Definition, "the file is not a SQLite database").hint("check the path")
        }
        Some(ErrorCode::DatabaseCorrupt) => Error::new(Kind::Definition, "the database file is damaged")
            .hint("restore it from a backup, or try sqlite3's .recover"),
        Some(ErrorCode::SystemIoFailure) => Error::new(Kind::Unanswered, "the database file cannot be read"),
        _ if text.starts_with("no such table") => {
            Error::new(Kind::StreamMissing, text).hint("check the name of the table")
        }
        _ if text.starts_with("no such column") => Error::new(Kind::Definition, text)
            .hint("the columns of the table were changed; run the check again"),
        // a statement that is refused before it runs holds names, no values
        _ if matches!(error, Sqlite::SqlInputError { .. }) => Error::new(Kind::Definition, text),
        Some(code) => Error::new(Kind::Protocol, format!("SQLite failed: {code:?}")),
        None => Error::new(Kind::Protocol, "SQLite gave an unexpected answer"),
    }
}

/// Which rule a row breaks. SQLite names tables, columns and rules, but a trigger says what it likes.
fn constraint(error: &Sqlite, text: &str) -> Error {
    let by_trigger = match error {
        Sqlite::SqliteFailure(error, _) => error.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_TRIGGER,
        _ => false,
    };
    let what = if by_trigger || text.is_empty() { "a trigger refuses a row" } else { text };
    Error::new(Kind::Rejected, what)
        .hint("map a value that the table allows, or change the table; nothing was changed")
}
