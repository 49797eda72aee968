//! The options of an `odbc` connection, read and checked.

use std::time::Duration;

use syncline_core::{
    connection::{Connection, ConnectorSpec, OptionKind, OptionSpec},
    sync::Write,
};

use super::dialect::{Dialect, NAMES};
use crate::{Error, error::Kind};

/// A server that has not answered by then will not; the run is tried again anyway.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

const fn option(name: &'static str, kind: OptionKind, help: &'static str) -> OptionSpec {
    OptionSpec { name, kind, required: false, choices: &[], help }
}

const OPTIONS: &[OptionSpec] = &[
    option(
        "dsn",
        OptionKind::Text,
        "Name of a data source of this machine (odbc.ini). Give this or connection_string.",
    ),
    option(
        "connection_string",
        OptionKind::Secret,
        "What the driver needs to connect: Driver={ODBC Driver 18 for SQL Server};Server=host;Database=name.",
    ),
    option("user", OptionKind::Text, "User; added to the connection string as UID."),
    option("password", OptionKind::Secret, "Password; added to the connection string as PWD."),
    OptionSpec {
        choices: NAMES,
        ..option(
            "dialect",
            OptionKind::Text,
            "SQL that the server speaks; default: by the name that the driver tells.",
        )
    },
    option("connect_timeout", OptionKind::Duration, "Longest time to connect and log in; default: 15s."),
    option(
        "statement_timeout",
        OptionKind::Duration,
        "Longest time for one statement, in whole seconds; default: no limit.",
    ),
];

/// What the connector is and takes.
pub(super) const SPEC: ConnectorSpec = ConnectorSpec {
    name: "odbc",
    source: true,
    destination: true,
    loads: true,
    writes: &[Write::Append, Write::Upsert, Write::Mirror, Write::Replace],
    options: OPTIONS,
    help: "Tables and views of any database with an ODBC driver: Oracle, SQL Server, Sybase ASE, DB2 and others.",
};

/// The options, ready to use. No `Debug`: the login is in it.
#[derive(Clone)]
pub(super) struct Settings {
    /// Name of the connection, for messages.
    pub(super) name: String,
    /// What the driver manager is given.
    pub(super) string: String,
    /// As the user wrote it; otherwise the driver is asked.
    pub(super) dialect: Option<Dialect>,
    pub(super) connect_timeout: Duration,
    pub(super) statement_timeout: Option<Duration>,
}

impl Settings {
    /// Reads the options of `connection`.
    ///
    /// # Errors
    /// [`Kind::Definition`], never with the connection string in it.
    pub(super) fn of(connection: &Connection) -> Result<Self, Error> {
        let wrong = |what: &str| {
            Error::new(Kind::Definition, format!("connection {:?}: {what}", connection.name))
                .hint("give either dsn or connection_string; user and password may be options of their own")
        };
        let text = |name: &str| connection.options.get(name).and_then(serde_json::Value::as_str);
        let duration = |name: &str| {
            connection.options.get(name).and_then(serde_json::Value::as_u64).map(Duration::from_millis)
        };
        let mut string = match (text("dsn"), text("connection_string")) {
            (Some(dsn), None) => attribute("DSN", dsn),
            (None, Some(string)) => string.trim().trim_end_matches(';').to_owned(),
            (Some(_), Some(_)) => return Err(wrong("dsn and connection_string exclude each other")),
            (None, None) => return Err(wrong("dsn or connection_string is missing")),
        };
        for (option, keyword, other) in [("user", "UID", "USER"), ("password", "PWD", "PASSWORD")] {
            if let Some(value) = text(option) {
                if says(&string, keyword) || says(&string, other) {
                    return Err(wrong(&format!(
                        "{option} is given twice, as an option and in connection_string"
                    )));
                }
                string = format!("{string};{}", attribute(keyword, value));
            }
        }
        let dialect = text("dialect").map(|name| {
            Dialect::named(name).ok_or_else(|| wrong(&format!("dialect must be one of {}", NAMES.join(", "))))
        });
        Ok(Self {
            name: connection.name.clone(),
            string,
            dialect: dialect.transpose()?,
            connect_timeout: duration("connect_timeout").unwrap_or(CONNECT_TIMEOUT),
            statement_timeout: duration("statement_timeout"),
        })
    }

    /// The string with these attributes added, where it does not say anything about them.
    pub(super) fn with(&self, attributes: &[(&str, &str)]) -> String {
        let added = attributes.iter().filter(|(keyword, _)| !says(&self.string, keyword));
        added.fold(self.string.clone(), |string, (keyword, value)| format!("{string};{keyword}={value}"))
    }
}

/// `keyword=value`, in braces where the value holds what has a meaning there.
fn attribute(keyword: &str, value: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_.@/:\\".contains(c);
    if value.chars().all(plain) {
        format!("{keyword}={value}")
    } else {
        format!("{keyword}={{{}}}", value.replace('}', "}}"))
    }
}

/// Whether a connection string has this keyword; what stands in braces is a value.
fn says(string: &str, keyword: &str) -> bool {
    let mut depth = false;
    string
        .split(|c| {
            depth = (depth || c == '{') && c != '}';
            c == ';' && !depth
        })
        .filter_map(|part| part.split_once('='))
        .any(|(key, _)| key.trim().eq_ignore_ascii_case(keyword))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(options: serde_json::Value) -> Result<Settings, Error> {
        Settings::of(&Connection { name: "erp".into(), kind: "odbc".into(), options })
    }

    fn string(options: serde_json::Value) -> String {
        settings(options).map_or_else(|e| e.message, |s| s.string)
    }

    #[test]
    fn the_connection_string_is_put_together() {
        assert_eq!(
            string(json!({"dsn": "erp", "user": "app", "password": "a;b}c"})),
            "DSN=erp;UID=app;PWD={a;b}}c}"
        );
        assert_eq!(
            string(json!({"connection_string": " Driver={My SQL; 8};Server=h; "})),
            "Driver={My SQL; 8};Server=h"
        );
        for options in [
            json!({}),
            json!({"dsn": "a", "connection_string": "Driver=b"}),
            json!({"connection_string": "Driver=b;uid=hunter2", "user": "x"}),
            json!({"dsn": "a", "dialect": "klingon"}),
        ] {
            let Err(error) = settings(options) else { panic!("it was accepted") };
            assert_eq!(error.kind, Kind::Definition);
            assert!(!error.message.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_the_user_says_stays() {
        let Ok(settings) = settings(json!({"connection_string": "Driver={x;Fetch=1};usedeclarefetch=0"}))
        else {
            panic!("it was refused")
        };
        assert_eq!(
            settings.with(&[("UseDeclareFetch", "1"), ("Fetch", "500")]),
            "Driver={x;Fetch=1};usedeclarefetch=0;Fetch=500"
        );
        assert_eq!(settings.connect_timeout, Duration::from_secs(15));
    }
}
