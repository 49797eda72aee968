//! The options of a `mysql` connection, read and checked.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use mysql_async::{Opts, OptsBuilder};
use syncline_core::{
    connection::{Connection, ConnectorSpec, OptionKind, OptionSpec},
    sync::Write,
};

use crate::{Error, error::Kind};

/// A server that has not answered by then will not; the run is tried again anyway.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The protocol's own largest packet: how long a row may be is for the server to say.
const PACKET_BYTES_MAX: usize = 1 << 30;

/// Shown with every complaint about the address.
const URL_FORM: &str = "write mysql://user:password@host:3306/database?ssl-mode=REQUIRED, with special characters of the \
                        password percent-encoded (@ is %40, / is %2F)";

const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        name: "url",
        kind: OptionKind::Secret,
        required: true,
        choices: &[],
        help: "Address of the database: mysql://user:password@host:3306/database?ssl-mode=REQUIRED.",
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
    name: "mysql",
    source: true,
    destination: true,
    loads: true,
    writes: &[Write::Append, Write::Upsert, Write::Mirror, Write::Replace],
    options: OPTIONS,
    help: "MySQL 8 or newer, MariaDB 10.6 or newer: tables, views and statements.",
};

/// How far the server must prove who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// Encrypted, whoever it is.
    Anyone,
    /// Certificate and host name are checked against the system's authorities.
    System,
    /// Certificate and host name are checked against the authorities of this PEM file.
    File(PathBuf),
}

/// Whether a connection is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tls {
    /// Never.
    Off,
    /// Where the server can: what `PREFERRED` means everywhere.
    Preferred(Trust),
    /// Always.
    Required(Trust),
}

/// The options, ready to use. No `Debug`: the login is in it.
#[derive(Clone)]
pub(super) struct Settings {
    /// Name of the connection, for messages.
    pub(super) name: String,
    /// Without TLS, which is added when the connection is made.
    pub(super) login: Opts,
    pub(super) tls: Tls,
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
        let login = Opts::from_url(&address.rest).map_err(|_| wrong("url is not a MySQL address"))?;
        if login.ip_or_hostname().is_empty() {
            return Err(wrong("url names no host"));
        }
        let ca_file = text("ca_file").map(str::to_owned).or(address.authorities);
        let tls = tls(address.mode.as_deref(), ca_file.map(|f| directory.join(f))).ok_or_else(|| {
            wrong("ssl-mode must be DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY")
        })?;
        // A literal IPv6 address stands in brackets in an address only. What the driver would ask the server for is said
        // here: the socket (which has no TLS), the packet size, the time-out.
        let host = login.ip_or_hostname().trim_matches(['[', ']']).to_owned();
        let login = OptsBuilder::from_opts(login)
            .ip_or_hostname(host)
            .prefer_socket(false)
            .max_allowed_packet(Some(PACKET_BYTES_MAX))
            .wait_timeout(Some(0))
            .tcp_keepalive(Some(Duration::from_secs(30)))
            .ssl_opts(None);
        Ok(Self {
            name: connection.name.clone(),
            login: login.into(),
            tls,
            connect_timeout: duration("connect_timeout").unwrap_or(CONNECT_TIMEOUT),
            statement_timeout: duration("statement_timeout"),
        })
    }

    /// `host:port`, for messages.
    pub(super) fn host(&self) -> String {
        match self.login.socket() {
            Some(path) => path.to_owned(),
            None => format!("{}:{}", self.login.ip_or_hostname(), self.login.tcp_port()),
        }
    }
}

/// `REQUIRED` is as strict as `VERIFY_IDENTITY` elsewhere: encryption to an unknown server protects nothing. A file of
/// authorities without a mode means `REQUIRED`, or it would be without effect. PostgreSQL's words are taken too.
fn tls(mode: Option<&str>, ca_file: Option<PathBuf>) -> Option<Tls> {
    let mode = mode.map(|m| m.to_ascii_lowercase().replace('-', "_"));
    let strict = |ca_file: Option<PathBuf>| ca_file.map_or(Trust::System, Trust::File);
    Some(match (mode.as_deref(), ca_file) {
        (Some("disabled" | "disable"), _) => Tls::Off,
        (Some("required" | "require" | "verify_ca" | "verify_identity" | "verify_full"), file) => {
            Tls::Required(strict(file))
        }
        (Some("preferred" | "prefer") | None, None) => Tls::Preferred(Trust::Anyone),
        (Some("preferred" | "prefer"), file) => Tls::Preferred(strict(file)),
        (None, file) => Tls::Required(strict(file)),
        (Some(_), _) => return None,
    })
}

/// An address without the parameters that the driver does not know.
struct Address {
    rest: String,
    mode: Option<String>,
    authorities: Option<String>,
}

impl Address {
    fn of(url: &str) -> Self {
        let url = match url.strip_prefix("mariadb://") {
            Some(rest) => format!("mysql://{rest}"),
            None => url.to_owned(),
        };
        // the password may hold a raw question mark; parameters come after the host
        let host = url.rfind('@').unwrap_or(0);
        let Some(query) = url[host..].find('?').map(|at| host + at) else {
            return Self { rest: url, mode: None, authorities: None };
        };
        let (mut mode, mut authorities, mut kept) = (None, None, Vec::new());
        for pair in url[query + 1..].split('&') {
            match pair.split_once('=') {
                Some(("ssl-mode" | "ssl_mode" | "sslmode", value)) => mode = Some(value.to_owned()),
                Some(("ssl-ca" | "ssl_ca", value)) => {
                    authorities =
                        Some(percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned());
                }
                _ => kept.push(pair),
            }
        }
        let mut rest = url[..query].to_owned();
        if !kept.is_empty() {
            rest = format!("{rest}?{}", kept.join("&"));
        }
        Self { rest, mode, authorities }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(options: serde_json::Value) -> Result<Settings, Error> {
        let connection = Connection { name: "cms".into(), kind: "mysql".into(), options };
        Settings::of(&connection, Path::new("/project"))
    }

    #[test]
    fn ssl_mode_decides_what_is_checked() {
        let ca = || Trust::File("/project/ca.pem".into());
        let url = |query: &str| format!("mysql://u:p@h/d{query}");
        for (query, ca_file, expected) in [
            ("", None, Tls::Preferred(Trust::Anyone)),
            ("?ssl-mode=DISABLED", None, Tls::Off),
            ("?ssl-mode=PREFERRED", None, Tls::Preferred(Trust::Anyone)),
            ("?ssl-mode=REQUIRED", None, Tls::Required(Trust::System)),
            ("?sslmode=require", None, Tls::Required(Trust::System)),
            ("?ssl-mode=VERIFY_IDENTITY", Some("ca.pem"), Tls::Required(ca())),
            ("", Some("ca.pem"), Tls::Required(ca())),
            ("?ssl-mode=preferred", Some("ca.pem"), Tls::Preferred(ca())),
            ("?ssl-mode=REQUIRED&ssl-ca=ca.pem", None, Tls::Required(ca())),
        ] {
            let settings = settings(json!({"url": url(query), "ca_file": ca_file}));
            assert_eq!(settings.unwrap_or_else(|e| panic!("{e}")).tls, expected, "{query}");
        }
        assert!(settings(json!({"url": url("?ssl-mode=maybe")})).is_err());
    }

    #[test]
    fn the_address_reaches_the_driver_and_defaults_hold() {
        let settings = settings(json!({
            "url": "mariadb://u:p%40%3F@h:3307/d?ssl-mode=REQUIRED",
            "statement_timeout": 1500,
        }))
        .unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(settings.login.pass(), Some("p@?"));
        assert_eq!(settings.login.db_name(), Some("d"));
        assert_eq!(settings.host(), "h:3307");
        assert_eq!(settings.connect_timeout, Duration::from_secs(10));
        assert_eq!(settings.statement_timeout, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn a_bad_address_is_not_repeated() {
        for url in [
            "mysql://u:hunter2@h:port/d",
            "postgres://u:hunter2@h/d",
            "hunter2",
            "mysql:///d",
            "mysql://u:hunter2@h/d?hunter2=1",
            "",
        ] {
            let Err(error) = settings(json!({"url": url})) else { panic!("{url} was accepted") };
            assert_eq!(error.kind, Kind::Definition);
            assert!(!format!("{error} {:?}", error.hint).contains("hunter2"), "{error}");
        }
        assert!(settings(json!({})).is_err());
    }
}
