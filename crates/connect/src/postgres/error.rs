//! Failures of the driver and the server as ours: kind, message without data, hint.

use std::error::Error as _;

use tokio_postgres::error::{DbError, SqlState};

use crate::{Error, error::Kind};

/// Turns a failure of a statement into ours.
///
/// The server's own words are kept only where they cannot hold values of records: names of tables, columns and roles
/// may be shown, a value that did not parse may not.
pub(super) fn of(error: &tokio_postgres::Error) -> Error {
    if let Some(db) = error.as_db_error() {
        return of_server(db);
    }
    if error.is_closed() {
        return lost("the connection to the server was lost");
    }
    match error.to_string().as_str() {
        "error communicating with the server" => lost("the connection to the server was lost"),
        what => Error::new(Kind::Protocol, what.to_owned()),
    }
}

fn lost(message: &str) -> Error {
    Error::new(Kind::Unanswered, message)
        .hint("the next attempt connects anew; if it happens again, look into the server's log")
}

/// Turns a failure to connect into ours; `host` for the message.
pub(super) fn of_connect(error: &tokio_postgres::Error, host: &str) -> Error {
    if let Some(db) = error.as_db_error() {
        return of_server(db);
    }
    let cause = cause(error);
    match error.to_string().as_str() {
        "error performing TLS handshake" if cause.contains("does not support TLS") => {
            Error::new(Kind::Unreachable, format!("the server {host} does not offer TLS")).hint(
                "switch TLS on in the server, or set sslmode=disable in the url if the network may be trusted",
            )
        }
        "error performing TLS handshake" => {
            Error::new(Kind::Unreachable, format!("TLS with the server {host} failed: {cause}")).hint(
                "the server's certificate must be valid for the host name in the url and signed by an authority of \
                 ca_file (default: the system's)",
            )
        }
        "authentication error" | "invalid configuration" => {
            Error::new(Kind::Unauthenticated, format!("cannot log in to {host}: {cause}"))
                .hint("the server asks for a password: give it in the url")
        }
        _ => Error::new(Kind::Unreachable, format!("cannot connect to {host}: {cause}"))
            .hint("check host and port, and that the server runs and accepts connections from here"),
    }
}

/// The innermost cause, which says what happened.
fn cause(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = source.to_string();
        next = source.source();
    }
    text
}

fn of_server(db: &DbError) -> Error {
    let code = db.code();
    let kind = kind(code);
    let message = if tells_no_data(code) {
        db.message().to_owned()
    } else if let (Some(table), Some(rule)) = (db.table(), db.constraint().or(db.column())) {
        // names, whatever the message quotes
        format!("{rule:?} of table {table:?} refuses a record (SQLSTATE {})", code.code())
    } else {
        // the message of such an error may quote a value
        format!("the server refused the statement (SQLSTATE {})", code.code())
    };
    let error = Error::new(kind, message);
    match hint(code, db.message()) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn class(code: &SqlState) -> &str {
    code.code().get(..2).unwrap_or_default()
}

/// Classes whose messages name objects, roles and limits only.
fn tells_no_data(code: &SqlState) -> bool {
    matches!(class(code), "08" | "0A" | "25" | "28" | "2B" | "3D" | "3F" | "42" | "53" | "55" | "57" | "58")
}

fn kind(code: &SqlState) -> Kind {
    match code {
        c if *c == SqlState::UNDEFINED_TABLE
            || *c == SqlState::INVALID_CATALOG_NAME
            || *c == SqlState::INVALID_SCHEMA_NAME =>
        {
            Kind::StreamMissing
        }
        c if *c == SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE => Kind::Definition,
        c if *c == SqlState::INSUFFICIENT_PRIVILEGE => Kind::Forbidden,
        c if *c == SqlState::LOCK_NOT_AVAILABLE => Kind::Locked,
        // the server is going down or not up yet: what was asked is gone, the next attempt connects anew
        c if *c == SqlState::ADMIN_SHUTDOWN
            || *c == SqlState::CRASH_SHUTDOWN
            || *c == SqlState::CANNOT_CONNECT_NOW
            || *c == SqlState::TOO_MANY_CONNECTIONS =>
        {
            Kind::Unreachable
        }
        _ => match class(code) {
            "28" => Kind::Unauthenticated,
            "23" => Kind::Rejected,
            "08" | "40" | "53" | "57" | "58" => Kind::Unanswered,
            "22" | "2B" | "42" | "0A" | "25" => Kind::Definition,
            _ => Kind::Protocol,
        },
    }
}

fn hint(code: &SqlState, message: &str) -> Option<&'static str> {
    Some(match code {
        c if *c == SqlState::INVALID_PASSWORD => "check user and password in the url",
        c if class(c) == "28" && message.contains("no encryption") => {
            "the server wants TLS from here: set sslmode=require in the url"
        }
        c if class(c) == "28" => "check the user in the url and the server's pg_hba.conf",
        c if *c == SqlState::INVALID_CATALOG_NAME => "check the database at the end of the url",
        c if *c == SqlState::UNDEFINED_TABLE => "check the name of the table, and its schema",
        c if *c == SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE => {
            "fill the materialised view first: REFRESH MATERIALIZED VIEW"
        }
        c if *c == SqlState::FEATURE_NOT_SUPPORTED && message.contains("used by") => {
            "drop what uses the column, change its type by hand and make it again, or set to.schema: freeze"
        }
        c if *c == SqlState::UNDEFINED_COLUMN || *c == SqlState::FEATURE_NOT_SUPPORTED => {
            "the columns of the table were changed; run the check again"
        }
        c if *c == SqlState::UNDEFINED_FUNCTION => {
            "a column of this type can be neither sorted nor compared, so it can be neither key nor cursor"
        }
        c if *c == SqlState::INSUFFICIENT_PRIVILEGE => {
            "grant SELECT on the table and USAGE on its schema to the role"
        }
        c if *c == SqlState::QUERY_CANCELED => {
            "raise or remove statement_timeout, or make the statement faster with an index"
        }
        c if *c == SqlState::DISK_FULL => {
            "make room on the server's disk, then run again; nothing was changed"
        }
        c if class(c) == "23" => {
            "mend the record in the source, leave it out with from.filter, or drop the constraint"
        }
        c if class(c) == "2B" => "drop what depends on it, or run again: it is then written in another way",
        c if *c == SqlState::TOO_MANY_CONNECTIONS => {
            "the server has no free connections; close some or raise max_connections"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_failure() {
        for (code, expected) in [
            ("28P01", Kind::Unauthenticated),
            ("28000", Kind::Unauthenticated),
            ("3D000", Kind::StreamMissing),
            ("42P01", Kind::StreamMissing),
            ("42703", Kind::Definition),
            ("0A000", Kind::Definition),
            ("42501", Kind::Forbidden),
            ("57P01", Kind::Unreachable),
            ("57014", Kind::Unanswered),
            ("40001", Kind::Unanswered),
            ("55P03", Kind::Locked),
            ("22P02", Kind::Definition),
            ("XX000", Kind::Protocol),
        ] {
            assert_eq!(kind(&SqlState::from_code(code)), expected, "{code}");
        }
    }

    #[test]
    fn messages_that_may_quote_values_are_withheld() {
        for (code, shown) in
            [("22P02", false), ("P0001", false), ("23505", false), ("42703", true), ("28P01", true)]
        {
            assert_eq!(tells_no_data(&SqlState::from_code(code)), shown, "{code}");
        }
    }
}
