//! SQLite's errors as ours.

use rusqlite::{Error as Sqlite, ErrorCode};

use crate::{Error, error::Kind};

/// What an error of the database means.
pub(super) fn of(error: &Sqlite) -> Error {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::new(Kind::Unreachable, "the database is locked by another program")
        }
        Some(ErrorCode::CannotOpen) => Error::new(Kind::Unreachable, "the database file cannot be opened")
            .hint("check the path, and that this user may read the file and its folder"),
        Some(ErrorCode::NotADatabase) => Error::new(Kind::Definition, "the file is not a SQLite database"),
        Some(ErrorCode::DatabaseCorrupt) => Error::new(Kind::Definition, "the database file is damaged"),
        _ if text.contains("no such table") => Error::new(Kind::StreamMissing, text),
        _ if text.contains("no such column") => Error::new(Kind::Definition, text),
        _ => Error::new(Kind::Definition, format!("SQLite: {text}")),
    }
}
