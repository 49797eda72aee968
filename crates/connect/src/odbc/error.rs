//! Failures of the driver manager, the drivers and the servers as ours: kind, message without data, hint.

use odbc_api::handles::Record;

use crate::{Error, error::Kind};

/// Turns a failure of a statement into ours.
///
/// The driver's own words are kept only where they cannot hold values of records: names of tables, columns and users may
/// be shown, a value that did not parse may not.
pub(super) fn of(error: &odbc_api::Error) -> Error {
    use odbc_api::Error as Odbc;
    match error {
        Odbc::Diagnostics { record, .. }
        | Odbc::InvalidRowArraySize { record, .. }
        | Odbc::OracleOdbcDriverDoesNotSupport64Bit(record)
        | Odbc::UnableToRepresentNull(record)
        | Odbc::UnsupportedOdbcApiVersion(record) => of_record(record),
        Odbc::NoDiagnostics { function } => {
            Error::new(Kind::Protocol, format!("the driver failed in {function} and does not say why"))
                .hint("check that the driver's own libraries are installed: ldd on the driver's file names what is missing")
        }
        Odbc::TooLargeColumnBufferSize { .. } => Error::new(Kind::Definition, "a column is too wide to be read"),
        _ => Error::new(Kind::Protocol, "the ODBC driver manager failed"),
    }
}

fn of_record(record: &Record) -> Error {
    let message = String::from_utf16_lossy(&record.message);
    of_state(record.state.as_str(), record.native_error, &message)
}

/// A failure with this SQLSTATE and code of the server. Not every driver translates the server's codes, so words are looked at as well.
fn of_state(state: &str, code: i32, message: &str) -> Error {
    let kind = kind(state, message);
    let told = if tells_no_data(state, kind) {
        format!("{} (SQLSTATE {state})", bare(message))
    } else {
        format!("the server refused the statement (SQLSTATE {state}, code {code})")
    };
    let error = Error::new(kind, told);
    match hint(state, kind) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Without the names of the parts that the message went through, and on one line.
fn bare(message: &str) -> String {
    let mut rest = message.trim();
    while let Some((_, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
        rest = after.trim_start();
    }
    rest.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Classes whose messages name objects, users and limits only.
fn tells_no_data(state: &str, kind: Kind) -> bool {
    matches!(kind, Kind::Unauthenticated | Kind::StreamMissing | Kind::Unreachable)
        || (state, kind) == ("01000", Kind::Definition)
        || ["08", "28", "IM", "42S"].iter().any(|class| state.starts_with(class))
}

fn kind(state: &str, message: &str) -> Kind {
    let says = |words: &[&str]| {
        let message = message.to_ascii_lowercase();
        words.iter().any(|word| message.contains(word))
    };
    match state {
        "IM002" | "IM003" | "IM001" | "IM012" | "HYC00" => Kind::Definition,
        "01000" if says(&["can't open lib"]) => Kind::Definition,
        _ if says(&[
            "password authentication failed",
            "no password supplied",
            "access denied for user",
            "login failed",
            "invalid username/password",
            "ora-01017",
        ]) =>
        {
            Kind::Unauthenticated
        }
        _ if state.starts_with("28") => Kind::Unauthenticated,
        "HYT00" | "HYT01" | "HY008" | "08S01" | "08007" | "57014" => Kind::Unanswered,
        "3D000" | "3F000" | "42S02" | "42P01" => Kind::StreamMissing,
        _ if says(&["no such table", "does not exist, or is not valid", "ora-00942", "unknown database"])
            || (state.starts_with("08") && says(&["database \"", "cannot open database"])) =>
        {
            Kind::StreamMissing
        }
        "42501" => Kind::Forbidden,
        _ if says(&["permission denied", "ora-01031", "permission was denied", "command denied"]) => {
            Kind::Forbidden
        }
        "55P03" => Kind::Locked,
        _ if says(&["database is locked", "lock wait timeout", "lock request time out"]) => Kind::Locked,
        _ => match state.get(..2).unwrap_or_default() {
            "08" => Kind::Unreachable,
            "40" | "53" | "57" | "58" => Kind::Unanswered,
            "22" | "42" | "0A" | "07" | "21" | "37" | "S0" => Kind::Definition,
            _ => Kind::Protocol,
        },
    }
}

fn hint(state: &str, kind: Kind) -> Option<&'static str> {
    Some(match (state, kind) {
        ("IM002", _) => {
            "no data source or driver of this name: `odbcinst -q -d` lists the drivers and `odbcinst -q -s` the data \
             sources of this machine"
        }
        ("IM003" | "IM012" | "01000", _) => {
            "no driver of this name, or its file cannot be loaded: `odbcinst -q -d` lists the drivers of this machine; \
             install it, or correct its path in odbcinst.ini"
        }
        ("HYC00", _) => "the driver cannot do this; a newer one may",
        ("HYT00" | "HYT01", _) => {
            "raise or remove statement_timeout, or make the statement faster with an index"
        }
        (_, Kind::Unauthenticated) => "check user and password",
        (_, Kind::Unreachable) => {
            "check host and port, and that the server runs and accepts connections from here"
        }
        (_, Kind::Unanswered) => {
            "the next attempt connects anew; if it happens again, look into the server's log"
        }
        (_, Kind::StreamMissing) => "check the name of the table and its schema, and the database",
        (_, Kind::Forbidden) => "grant SELECT on the table to the user",
        (_, Kind::Locked) => "try again when the other session has finished",
        (_, Kind::Definition) => {
            "the columns of the table were changed, or it cannot be read in this way; run the check again"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_failure() {
        for (state, message, expected) in [
            ("28000", "", Kind::Unauthenticated),
            ("08001", "FATAL:  password authentication failed for user \"x\"", Kind::Unauthenticated),
            ("HY000", "Access denied for user 'x'@'y'", Kind::Unauthenticated),
            ("IM002", "Data source name not found", Kind::Definition),
            ("01000", "[unixODBC][Driver Manager]Can't open lib 'x' : file not found", Kind::Definition),
            ("08001", "connection refused", Kind::Unreachable),
            ("08S01", "", Kind::Unanswered),
            ("HYT00", "", Kind::Unanswered),
            ("42S02", "", Kind::StreamMissing),
            ("42S22", "", Kind::Definition),
            ("HY000", "no such table: x (1)", Kind::StreamMissing),
            ("HY000", "database is locked (5)", Kind::Locked),
            ("22018", "", Kind::Definition),
            ("HY000", "", Kind::Protocol),
        ] {
            assert_eq!(kind(state, message), expected, "{state} {message}");
        }
    }

    #[test]
    fn messages_that_may_quote_values_are_withheld() {
        let shown = |state, message| of_state(state, 7, message).message;
        assert_eq!(
            shown("42S02", "[unixODBC][Driver 1] table \"x\"\n is missing"),
            "table \"x\" is missing (SQLSTATE 42S02)"
        );
        assert_eq!(
            shown("22018", "invalid number: hunter2"),
            "the server refused the statement (SQLSTATE 22018, code 7)"
        );
        assert_eq!(
            shown("HY000", "duplicate hunter2"),
            "the server refused the statement (SQLSTATE HY000, code 7)"
        );
    }
}
