//! What goes wrong inside, and the one place where PostgreSQL's codes become the store's errors.

use std::error::Error as _;

use deadpool_postgres::{HookError, PoolError};
use tokio_postgres::error::{DbError, SqlState};

use crate::Error;

/// A failure that does not know yet which store it happened in.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(tokio_postgres::Error),
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
    /// Nobody answers.
    Unreachable(String),
    /// Something that cannot be stored, or was stored by nobody we know. Never with a value in it.
    Broken(String),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<PoolError> for Fault {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                Self::Sql(error)
            }
            PoolError::Timeout(_) => Self::Unreachable("no connection became free in time".to_owned()),
            other => Self::Unreachable(other.to_string()),
        }
    }
}

impl Fault {
    /// The error of a failpoint.
    #[cfg(debug_assertions)]
    pub(super) fn failpoint(place: &str) -> Self {
        Self::Broken(format!("failpoint {place}: an error was asked for"))
    }

    /// The error that callers see.
    pub(super) fn at(self, place: &str) -> Error {
        let place = place.to_owned();
        match self {
            Self::Sql(error) => match error.as_db_error() {
                Some(error) => of_server(error, place),
                None => Error::Unreachable { place, message: cause(&error) },
            },
            Self::Busy { sync, holder } => Error::Busy { sync, holder },
            Self::Stale { sync, ours, found } => Error::Stale { sync, ours, found },
            Self::Newer => Error::Newer { place },
            Self::NotEmpty => Error::NotEmpty { place },
            Self::Unreachable(message) => Error::Unreachable { place, message },
            Self::Broken(message) => Error::Database { place, message },
        }
    }
}

fn of_server(error: &DbError, place: String) -> Error {
    let code = error.code();
    let class = code.code().get(..2).unwrap_or_default();
    match code {
        c if *c == SqlState::DISK_FULL => return Error::Full { place },
        // Who waits for a lock too long, or in a circle, may try again.
        c if *c == SqlState::LOCK_NOT_AVAILABLE || *c == SqlState::T_R_DEADLOCK_DETECTED => {
            return Error::Locked { place };
        }
        _ => {}
    }
    // Messages of these classes may quote a value; what a constraint says names tables and rules only.
    let message = if matches!(class, "22" | "P0" | "XX") {
        format!("the server refused the statement (SQLSTATE {})", code.code())
    } else {
        error.message().to_owned()
    };
    match class {
        // Not connected, not let in, shutting down, too many connections.
        "08" | "28" | "57" | "3D" => Error::Unreachable { place, message },
        _ if *code == SqlState::TOO_MANY_CONNECTIONS => Error::Unreachable { place, message },
        _ => Error::Database { place, message },
    }
}

/// The innermost cause, which says what happened. The driver's causes hold no values.
fn cause(error: &tokio_postgres::Error) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(source) = next {
        text = source.to_string();
        next = source.source();
    }
    text
}
