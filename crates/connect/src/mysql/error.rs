//! Failures of the driver and the server as ours: kind, message without data, hint.

use std::error::Error as _;

use mysql_async::{DriverError, Error as Failure, IoError, ServerError};

use crate::{Error, error::Kind};

/// Turns a failure of a statement into ours.
///
/// The server's own words are kept only where they cannot hold values of records: names of tables, columns and users
/// may be shown, a value that did not convert may not.
pub(super) fn of(error: &Failure) -> Error {
    match error {
        Failure::Server(server) => of_server(server),
        Failure::Io(_) | Failure::Driver(DriverError::ConnectionClosed) => {
            Error::new(Kind::Unanswered, "the connection to the server was lost")
                .hint("the next attempt connects anew; if it happens again, look into the server's log")
        }
        Failure::Driver(DriverError::StmtParamsNumberExceedsLimit { .. }) => {
            Error::new(Kind::Definition, "too many key columns for one statement")
        }
        // these may hold what was sent or received
        Failure::Driver(_) | Failure::Other(_) | Failure::Url(_) => {
            Error::new(Kind::Protocol, "the server's answer makes no sense")
        }
    }
}

/// Turns a failure to connect into ours; `host` for the message.
pub(super) fn of_connect(error: &Failure, host: &str) -> Error {
    match error {
        Failure::Server(server) => of_server(server),
        Failure::Driver(DriverError::NoClientSslFlagFromServer) => Error::new(
            Kind::Unreachable,
            format!("the server {host} does not offer TLS"),
        )
        .hint(
            "switch TLS on in the server, or set ssl-mode=DISABLED in the url if the network may be trusted",
        ),
        Failure::Io(IoError::Tls(cause)) => tls(&cause.to_string(), host),
        Failure::Io(IoError::Io(cause)) if is_tls(cause) => tls(&innermost(cause), host),
        Failure::Driver(
            DriverError::UnknownAuthPlugin { .. }
            | DriverError::MysqlOldPasswordDisabled
            | DriverError::CleartextPluginDisabled,
        ) => Error::new(Kind::Unauthenticated, format!("cannot log in to {host}: {error}"))
            .hint("let the user log in with caching_sha2_password, mysql_native_password or ed25519"),
        Failure::Io(IoError::Io(cause)) => {
            Error::new(Kind::Unreachable, format!("cannot connect to {host}: {}", innermost(cause)))
                .hint("check host and port, and that the server runs and accepts connections from here")
        }
        Failure::Driver(_) | Failure::Other(_) | Failure::Url(_) => {
            Error::new(Kind::Unreachable, format!("cannot log in to {host}: the answer makes no sense"))
                .hint("check that a MySQL or MariaDB server listens at this host and port")
        }
    }
}

fn is_tls(error: &std::io::Error) -> bool {
    matches!(error.get_ref(), Some(cause) if cause.is::<rustls::Error>())
}

fn tls(cause: &str, host: &str) -> Error {
    Error::new(Kind::Unreachable, format!("TLS with the server {host} failed: {cause}")).hint(
        "the server's certificate must be valid for the host name in the url and signed by an authority of ca_file \
         (default: the system's)",
    )
}

/// The innermost cause, which says what happened.
fn innermost(error: &std::io::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = source.to_string();
        next = source.source();
    }
    text
}

fn of_server(server: &ServerError) -> Error {
    let message = if tells_no_data(server.code) {
        server.message.clone()
    } else {
        // the message of such an error may quote a value
        format!("the server refused the statement (error {}, SQLSTATE {})", server.code, server.state)
    };
    let error = Error::new(kind(server.code, &server.state), message);
    match hint(server.code) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// A warning of a statement that may not have any: `count` of them, the first with this code and message.
pub(super) fn of_warning(code: u16, message: &str, count: u16) -> Error {
    let column = column_of(message).map_or_else(String::new, |column| format!("column {column:?}: "));
    let what = match code {
        1062 => "two records have the same key, as the table compares it",
        1048 | 1263 => "a null where none may be",
        1264 | 1690 => "a number out of range",
        1265 | 1292 | 1366 | 1406 | 4025 => "a value that the column does not hold",
        1114 => "the table is full",
        _ => "a row was changed or left out",
    };
    let kind = match code {
        1062 => Kind::Duplicate,
        1114 => Kind::StreamFull,
        _ => Kind::Rejected,
    };
    Error::new(kind, format!("{column}{what} (warning {code}, {count} in all)")).hint(
        "nothing was loaded: map the column to a wider type, or see docs/types.md for what each type holds",
    )
}

/// The column that a message names: `… for column 'a' at row 1`, with the table before it in MariaDB. A value before that
/// may say the same, so only the last one counts.
fn column_of(message: &str) -> Option<&str> {
    let (_, rest) = message.rsplit_once(" column ")?;
    let (name, _) = rest.rsplit_once(" at row ")?;
    let name = name.trim_matches(['\'', '`']);
    Some(name.rsplit_once("`.`").map_or(name, |(_, column)| column))
}

/// Errors whose messages name objects, users, limits and the statement as it was written only.
fn tells_no_data(code: u16) -> bool {
    matches!(
        code,
        1040 | 1044
            | 1045
            | 1046
            | 1049
            | 1052
            | 1053
            | 1054
            | 1060
            | 1064
            | 1129
            | 1130
            | 1142
            | 1143
            | 1146
            | 1205
            | 1213
            | 1227
            | 1248
            | 1295
            | 1305
            | 1317
            | 1356
            | 1370
            | 1412
            | 1698
            | 1792
            | 1820
            | 1862
            | 1927
            | 1969
            | 3024
            | 3159
            | 4151
    )
}

/// Codes: <https://mariadb.com/docs/server/reference/error-codes> and
/// <https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html>.
fn kind(code: u16, state: &str) -> Kind {
    match code {
        // no such database, no such table
        1049 | 1051 | 1146 => Kind::StreamMissing,
        // this user may not
        1044 | 1142 | 1143 | 1227 | 1290 | 1370 | 1836 => Kind::Forbidden,
        // wrong password, host not allowed, password expired, account locked, TLS demanded
        1045 | 1130 | 1698 | 1820 | 1862 | 3118 | 3159 | 4151 => Kind::Unauthenticated,
        // no free connection, blocked for a while, going down
        1040 | 1053 | 1129 | 1203 => Kind::Unreachable,
        // lock not available in time, deadlock
        1205 | 1213 => Kind::Locked,
        // disk full, table full
        1021 | 1114 => Kind::StreamFull,
        1062 | 1586 => Kind::Duplicate,
        // interrupted, killed, over the time limit, out of memory, disk or files
        1028 | 1030 | 1037 | 1041 | 1158..=1161 | 1317 | 1927 | 1969 | 3024 => Kind::Unanswered,
        // no database chosen, broken view, definition changed, a value that does not convert, a statement that cannot be
        // prepared, a write where none may be
        1046 | 1292 | 1295 | 1356 | 1366 | 1412 | 1792 => Kind::Definition,
        _ => match state.get(..2).unwrap_or_default() {
            "28" => Kind::Unauthenticated,
            "08" | "40" => Kind::Unanswered,
            // not null, foreign keys, checks
            "23" => Kind::Rejected,
            "21" | "22" | "42" | "0A" => Kind::Definition,
            _ => Kind::Protocol,
        },
    }
}

fn hint(code: u16) -> Option<&'static str> {
    Some(match code {
        1045 | 1698 => "check user and password in the url, and from which hosts the user may log in",
        1130 => "the user may not log in from this host: CREATE USER user@host, or connect from another host",
        1129 => "too many failed connections from here: run FLUSH HOSTS on the server",
        1820 | 1862 => "the password has expired: set a new one",
        3118 | 4151 => "the account is locked: ALTER USER … ACCOUNT UNLOCK",
        3159 => "the server wants TLS from here: set ssl-mode=REQUIRED in the url",
        1046 => "name the database at the end of the url, or write database.table",
        1049 => "check the database at the end of the url",
        1051 | 1146 => "check the name of the table and its database; names may be case-sensitive",
        1054 | 1412 => "the columns of the table were changed; run the check again",
        1044 | 1142 | 1143 | 1227 | 1370 => "grant SELECT on the table to the user",
        1356 => "the view names a table, column or function that is not there, or may not be used",
        1040 | 1203 => "the server has no free connections; close some or raise max_connections",
        1021 | 1114 => "make room, or raise the limit of the table or tablespace",
        1062 | 1586 => {
            "two records have the same key as the table compares it (case, accents, another unique index): make the key's \
             collation binary, or drop that index"
        }
        1290 | 1836 => "the server is read-only: name the one that may be written",
        1118 => {
            "the row is too wide for InnoDB: leave columns out, or make the table by hand with shorter types"
        }
        1205 | 1213 => "another transaction holds the table; the next attempt may find it free",
        1317 | 1927 => "the statement was killed; the next attempt starts anew",
        1969 | 3024 => "raise or remove statement_timeout, or make the statement faster with an index",
        1064 => "check the statement in the sync",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_failure() {
        for (code, state, expected) in [
            (1045, "28000", Kind::Unauthenticated),
            (1049, "42000", Kind::StreamMissing),
            (1146, "42S02", Kind::StreamMissing),
            (1054, "42S22", Kind::Definition),
            (1064, "42000", Kind::Definition),
            (1142, "42000", Kind::Forbidden),
            (1053, "08S01", Kind::Unreachable),
            (1317, "70100", Kind::Unanswered),
            (1927, "70100", Kind::Unanswered),
            (1969, "70100", Kind::Unanswered),
            (3024, "HY000", Kind::Unanswered),
            (1213, "40001", Kind::Locked),
            (1690, "22003", Kind::Definition),
            (1114, "HY000", Kind::StreamFull),
            (1062, "23000", Kind::Duplicate),
            (1048, "23000", Kind::Rejected),
            (1452, "23000", Kind::Rejected),
            (1290, "HY000", Kind::Forbidden),
            (9999, "HY000", Kind::Protocol),
        ] {
            assert_eq!(kind(code, state), expected, "{code}");
        }
    }

    #[test]
    fn warnings_name_the_column_and_no_value() {
        for (message, column) in [
            ("Data truncated for column 'name' at row 7", "name"),
            (
                "Incorrect string value: ' column `x` at row 1' for column `shop`.`t`.`na me` at row 1",
                "na me",
            ),
        ] {
            let error = of_warning(1366, message, 3);
            assert_eq!(
                error.message,
                format!("column {column:?}: a value that the column does not hold (warning 1366, 3 in all)")
            );
        }
        let error = of_warning(1062, "Duplicate entry 'hunter2' for key 'PRIMARY'", 1);
        assert_eq!((error.kind, error.message.contains("hunter2")), (Kind::Duplicate, false), "{error}");
    }

    #[test]
    fn messages_that_may_quote_values_are_withheld() {
        for (code, shown) in [(1292, false), (1366, false), (1062, false), (1690, false), (1054, true)] {
            assert_eq!(tells_no_data(code), shown, "{code}");
            let server = ServerError { code, message: "hunter2".into(), state: "22007".into() };
            assert_eq!(of_server(&server).message.contains("hunter2"), shown, "{code}");
        }
    }
}
