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
        1044 | 1142 | 1143 | 1227 | 1370 => Kind::Forbidden,
        // wrong password, host not allowed, password expired, account locked, TLS demanded
        1045 | 1130 | 1698 | 1820 | 1862 | 3118 | 3159 | 4151 => Kind::Unauthenticated,
        // no free connection, blocked for a while, going down
        1040 | 1053 | 1129 | 1203 => Kind::Unreachable,
        // lock not available in time, deadlock
        1205 | 1213 => Kind::Locked,
        // interrupted, killed, over the time limit, out of memory, disk or files
        1021 | 1028 | 1030 | 1037 | 1041 | 1114 | 1158..=1161 | 1317 | 1927 | 1969 | 3024 => Kind::Unanswered,
        // no database chosen, broken view, definition changed, a value that does not convert
        1046 | 1292 | 1356 | 1366 | 1412 => Kind::Definition,
        _ => match state.get(..2).unwrap_or_default() {
            "28" => Kind::Unauthenticated,
            "08" | "40" => Kind::Unanswered,
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
            (9999, "HY000", Kind::Protocol),
        ] {
            assert_eq!(kind(code, state), expected, "{code}");
        }
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
