//! Errors of the store as ours, and those that all formats share.

use std::io;

use object_store::Error as Stored;
use syncline_core::connection::Connection;

use crate::{Error, error::Kind};

/// What an error of the store about `name` means. Its own words are left out: they hold addresses and answers of servers.
pub(super) fn of(error: &Stored, name: &str) -> Error {
    match error {
        Stored::NotFound { .. } => missing(name),
        Stored::Precondition { .. } | Stored::NotModified { .. } => changed(name),
        Stored::PermissionDenied { .. } => forbidden(name),
        Stored::Unauthenticated { .. } => {
            Error::new(Kind::Unauthenticated, format!("{name:?}: the credential was refused"))
                .hint("check the credential of the connection, and that it has not expired")
        }
        Stored::InvalidPath { .. } => {
            Error::new(Kind::StreamMissing, format!("{name:?} cannot be the name of a file"))
        }
        Stored::UnknownConfigurationKey { .. }
        | Stored::NotSupported { .. }
        | Stored::NotImplemented { .. } => {
            Error::new(Kind::Definition, format!("{name:?}: the store does not offer what was asked"))
        }
        other => match io_error(other).map(io::Error::kind) {
            Some(io::ErrorKind::PermissionDenied) => forbidden(name),
            Some(io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => missing(name),
            Some(kind) => Error::new(Kind::Unanswered, format!("{name:?} cannot be read: {kind}")),
            None => Error::new(Kind::Unanswered, format!("{name:?}: the store gave no usable answer")),
        },
    }
}

/// The operating system's reason, where there is one below.
fn io_error(error: &Stored) -> Option<&io::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    // as deep as errors are nested, and no deeper
    for _ in 0..16 {
        let here = cause?;
        if let Some(io) = here.downcast_ref::<io::Error>() {
            return Some(io);
        }
        cause = here.source();
    }
    None
}

fn missing(name: &str) -> Error {
    Error::new(Kind::StreamMissing, format!("there is no file {name:?}"))
        .hint("check the name, and that path or url of the connection names the right place")
}

fn forbidden(name: &str) -> Error {
    Error::new(Kind::Forbidden, format!("{name:?} may not be read"))
        .hint("give this user, or the credential of the connection, the right to read it")
}

/// A file is no longer what it was when it was opened.
pub(super) fn changed(name: &str) -> Error {
    Error::new(Kind::Locked, format!("the file {name:?} changed while it was read"))
        .hint("write files under another name and rename them when they are complete")
}

/// A file that is not what its format demands, so that its records cannot be told apart.
pub(super) fn malformed(name: &str, what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Definition, format!("file {name:?}: {what}"))
}

/// Names the connection.
pub(super) fn at(error: Error, connection: &Connection) -> Error {
    error.context(format_args!("connection {:?}", connection.name))
}

/// What an error of the disk about a file that is written means.
pub(super) fn of_disk(error: &io::Error, name: &str) -> Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => unwritable(name),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::new(Kind::StreamFull, format!("{name:?} cannot be written: the disk is full"))
                .hint("make room, and run again")
        }
        kind => Error::new(Kind::Unanswered, format!("{name:?} cannot be written: {kind}")),
    }
}

/// What an error of the store about a file that is written means.
pub(super) fn of_write(error: &Stored, name: &str) -> Error {
    match error {
        Stored::PermissionDenied { .. } => unwritable(name),
        other => match io_error(other) {
            Some(io) => of_disk(io, name),
            None => of(other, name),
        },
    }
}

fn unwritable(name: &str) -> Error {
    Error::new(Kind::Forbidden, format!("{name:?} may not be written"))
        .hint("give this user, or the credential of the connection, the right to write there")
}
