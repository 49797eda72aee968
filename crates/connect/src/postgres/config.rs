//! The options of a `postgres` connection, read and checked.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use syncline_core::{
    connection::{Connection, ConnectorSpec, OptionKind, OptionSpec},
    sync::Write,
};
use tokio_postgres::config::{Host, SslMode};

use crate::{Error, error::Kind};

/// A server that has not answered by then will not; the run is tried again anyway.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Shown with every complaint about the address.
const URL_FORM: &str = "write postgres://user:password@host:5432/database?sslmode=require, with special characters of \
                        the password percent-encoded (@ is %40, / is %2F)";

const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        name: "url",
        kind: OptionKind::Secret,
        required: true,
        choices: &[],
        help: "Address of the database: postgres://user:password@host:5432/database?sslmode=require.",
    },
    OptionSpec {
        name: "ca_file",
        kind: OptionKind::Text,
        required: false,
        choices: &[],
        help: "PEM file with the certificate authorities that may sign the server's certificate; default: the system's.",
    },
    OptionSpec {
        name: "statement_timeout",
        kind: OptionKind::Duration,
        required: false,
        choices: &[],
        help: "Longest time for one statement; default: no limit. One statement may list a whole table without a key.",
    },
    OptionSpec {
        name: "connect_timeout",
        kind: OptionKind::Duration,
        required: false,
        choices: &[],
        help: "Longest time to connect and log in; default: 10s.",
    },
];

/// What the connector is and takes.
pub(super) const SPEC: ConnectorSpec = ConnectorSpec {
    name: "postgres",
    source: true,
    destination: true,
    loads: true,
    writes: &[Write::Append, Write::Upsert, Write::Mirror, Write::Replace],
    options: OPTIONS,
    help: "PostgreSQL 14 or newer: tables, views and materialised views.",
};

/// How far the server must prove who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// Encrypted where the server can, whoever it is: what `sslmode=prefer` means everywhere.
    Anyone,
    /// Certificate and host name are checked against the system's authorities.
    System,
    /// Certificate and host name are checked against the authorities of this PEM file.
    File(PathBuf),
}

/// The options, ready to use. No `Debug`: the login is in it.
#[derive(Clone)]
pub(super) struct Settings {
    /// Name of the connection, for messages.
    pub(super) name: String,
    pub(super) login: tokio_postgres::Config,
    pub(super) trust: Trust,
    pub(super) connect_timeout: Duration,
    pub(super) statement_timeout: Option<Duration>,
}

impl Settings {
    /// Reads the options of `connection`; relative paths are relative to `directory`.
    ///
    /// # Errors
    /// [`Kind::Definition`], never with the address in it.
    pub(super) fn of(connection: &Connection, directory: &Path) -> Result<Self, Error> {
        let wrong = |what: &str| {
            Error::new(Kind::Definition, format!("connection {:?}: {what}", connection.name)).hint(URL_FORM)
        };
        let text = |name: &str| connection.options.get(name).and_then(serde_json::Value::as_str);
        let duration = |name: &str| {
            connection.options.get(name).and_then(serde_json::Value::as_u64).map(Duration::from_millis)
        };
        let url = text("url").ok_or_else(|| wrong("url is missing"))?;
        let address = Address::of(url);
        let mut login: tokio_postgres::Config =
            address.rest.parse().map_err(|_| wrong("url is not a PostgreSQL address"))?;
        if login.get_hosts().is_empty() {
            return Err(wrong("url names no host"));
        }
        let ca_file = text("ca_file").map(str::to_owned).or(address.root_certificate);
        let (mode, trust) = tls(address.mode.as_deref(), ca_file.map(|f| directory.join(f)))
            .ok_or_else(|| wrong("sslmode must be disable, prefer, require, verify-ca or verify-full"))?;
        login.ssl_mode(mode).application_name("syncline").keepalives_idle(Duration::from_secs(30));
        Ok(Self {
            name: connection.name.clone(),
            login,
            trust,
            connect_timeout: duration("connect_timeout").unwrap_or(CONNECT_TIMEOUT),
            statement_timeout: duration("statement_timeout"),
        })
    }

    /// `host:port`, for messages.
    pub(super) fn host(&self) -> String {
        let ports = self.login.get_ports();
        let hosts = self.login.get_hosts().iter().enumerate().map(|(i, host)| {
            let port = ports.get(i).or(ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                Host::Unix(path) => format!("{} (port {port})", path.display()),
            }
        });
        hosts.collect::<Vec<_>>().join(", ")
    }
}

/// `require` is as strict as `verify-full` elsewhere: encryption to an unknown server protects nothing. A file of
/// authorities without a mode means `require`, or it would be without effect.
fn tls(mode: Option<&str>, ca_file: Option<PathBuf>) -> Option<(SslMode, Trust)> {
    let strict = |ca_file: Option<PathBuf>| ca_file.map_or(Trust::System, Trust::File);
    Some(match (mode, ca_file) {
        (Some("disable"), _) => (SslMode::Disable, Trust::Anyone),
        (Some("require" | "verify-ca" | "verify-full"), file) => (SslMode::Require, strict(file)),
        (Some("prefer" | "allow") | None, None) => (SslMode::Prefer, Trust::Anyone),
        (Some("prefer"), file) => (SslMode::Prefer, strict(file)),
        (None, file) => (SslMode::Require, strict(file)),
        (Some(_), _) => return None,
    })
}

/// An address without the parameters that the driver does not know.
struct Address {
    rest: String,
    mode: Option<String>,
    root_certificate: Option<String>,
}

impl Address {
    fn of(url: &str) -> Self {
        // the password may hold a raw question mark; parameters come after the host
        let host = url.rfind('@').unwrap_or(0);
        let Some(query) = url[host..].find('?').map(|at| host + at) else {
            return Self { rest: url.to_owned(), mode: None, root_certificate: None };
        };
        let (mut mode, mut root_certificate, mut kept) = (None, None, Vec::new());
        for pair in url[query + 1..].split('&') {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value.to_owned()),
                Some(("sslrootcert", value)) => {
                    root_certificate =
                        Some(percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned());
                }
                _ => kept.push(pair),
            }
        }
        let mut rest = url[..query].to_owned();
        if !kept.is_empty() {
            rest = format!("{rest}?{}", kept.join("&"));
        }
        Self { rest, mode, root_certificate }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(options: serde_json::Value) -> Result<Settings, Error> {
        let connection = Connection { name: "erp".into(), kind: "postgres".into(), options };
        Settings::of(&connection, Path::new("/project"))
    }

    fn trust(options: serde_json::Value) -> (SslMode, Trust) {
        let settings = settings(options).unwrap_or_else(|e| panic!("{e}"));
        (settings.login.get_ssl_mode(), settings.trust)
    }

    #[test]
    fn sslmode_decides_what_is_checked() {
        let ca = Trust::File("/project/ca.pem".into());
        let url = |query: &str| format!("postgres://u:p@h/d{query}");
        for (query, ca_file, expected) in [
            ("", None, (SslMode::Prefer, Trust::Anyone)),
            ("?sslmode=disable", None, (SslMode::Disable, Trust::Anyone)),
            ("?sslmode=prefer", None, (SslMode::Prefer, Trust::Anyone)),
            ("?sslmode=require", None, (SslMode::Require, Trust::System)),
            ("?sslmode=verify-full", Some("ca.pem"), (SslMode::Require, ca.clone())),
            ("", Some("ca.pem"), (SslMode::Require, ca.clone())),
            ("?sslmode=prefer", Some("ca.pem"), (SslMode::Prefer, ca.clone())),
            ("?sslmode=require&sslrootcert=ca.pem", None, (SslMode::Require, ca)),
        ] {
            assert_eq!(trust(json!({"url": url(query), "ca_file": ca_file})), expected, "{query}");
        }
        assert!(settings(json!({"url": url("?sslmode=maybe")})).is_err());
    }

    #[test]
    fn other_parameters_reach_the_driver_and_defaults_hold() {
        let settings = settings(json!({
            "url": "postgresql://u:p%40%3F@h:6543/d?options=-c%20search_path%3Dapp&sslmode=require",
            "statement_timeout": 1500,
        }))
        .unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(settings.login.get_options(), Some("-c search_path=app"));
        assert_eq!(settings.login.get_password(), Some("p@?".as_bytes()));
        assert_eq!(settings.host(), "h:6543");
        assert_eq!(settings.connect_timeout, Duration::from_secs(10));
        assert_eq!(settings.statement_timeout, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn a_bad_address_is_not_repeated() {
        for url in ["postgres://u:hunter2@h:port/d", "mysql://u:hunter2@h/d", "hunter2", "postgres:///d", ""]
        {
            let Err(error) = settings(json!({"url": url})) else { panic!("{url} was accepted") };
            assert_eq!(error.kind, Kind::Definition);
            assert!(!format!("{error} {:?}", error.hint).contains("hunter2"), "{error}");
        }
        assert!(settings(json!({})).is_err());
    }
}
