//! The options that every connection to Graph has: who signs in, where, over which way, how often.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::SecretString;
use serde_json::Value as Json;
use syncline_core::{
    budget::Limit,
    connection::{
        Connection, OptionKind,
        OptionKind::{Duration as Time, Group, Secret, Text},
        OptionSpec,
    },
};
use url::Url;

use crate::{Error, error::Kind};

/// A request that takes longer is given up, its effect unknown.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// An option that may be left out.
pub(crate) const fn option(name: &'static str, kind: OptionKind, help: &'static str) -> OptionSpec {
    OptionSpec { name, kind, required: false, choices: &[], help }
}

const AUTH: &[OptionSpec] = &[
    OptionSpec {
        required: true,
        choices: &["client_credentials"],
        ..option("type", Text, "How to sign in: an application with its own credential.")
    },
    OptionSpec { required: true, ..option("tenant", Text, "Directory (tenant) id or domain name.") },
    OptionSpec { required: true, ..option("client_id", Text, "Application (client) id.") },
    option("client_secret", Secret, "Secret of the application; or give a certificate."),
    option("certificate_file", Text, "PEM file with the application's certificate."),
    option("private_key_file", Text, "PEM file with the certificate's RSA private key."),
];

/// How to sign in.
pub(crate) const SIGN_IN: OptionSpec =
    OptionSpec { required: true, ..option("auth", Group(AUTH), "How to sign in.") };

/// Where the token service is.
pub(crate) const AUTHORITY: OptionSpec =
    option("authority", Text, "Token service (https://login.microsoftonline.com).");

/// Where Graph is.
pub(crate) const GRAPH: OptionSpec =
    option("graph", Text, "Root of Microsoft Graph (https://graph.microsoft.com).");

/// Whom to trust.
pub(crate) const CA_FILE: OptionSpec =
    option("ca_file", Text, "PEM file with further certificate authorities to trust.");

/// The way there.
pub(crate) const PROXY: OptionSpec = option("proxy", Text, "HTTP proxy to go through.");

/// Who calls.
pub(crate) const USER_AGENT: OptionSpec =
    option("user_agent", Text, "Company named in the User-Agent, so that the service can tell who calls.");

/// When to give up.
pub(crate) const TIME_OUT: OptionSpec = option("timeout", Time, "Longest time of one request (60s).");

/// The options, checked.
pub(crate) struct Config {
    /// Name of the connection.
    pub(crate) name: String,
    /// First word of the budget's name: all connections of one application to one workload share a quota.
    pub(crate) workload: &'static str,
    pub(crate) authority: Url,
    pub(crate) graph: Url,
    pub(crate) tenant: String,
    pub(crate) client_id: String,
    pub(crate) credential: Credential,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) proxy: Option<Url>,
    pub(crate) user_agent: String,
    pub(crate) timeout: Duration,
    pub(crate) concurrency: usize,
    /// Windows of the quota; none: unlimited.
    pub(crate) windows: Vec<Limit>,
    pub(crate) extra: Vec<Extra>,
}

/// How the application proves itself.
pub(crate) enum Credential {
    Secret(SecretString),
    Certificate { certificate: PathBuf, key: PathBuf },
}

/// A limit of the user's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Extra {
    pub(crate) limit: Limit,
    /// Counts units of quota rather than requests.
    pub(crate) units: bool,
    /// Counts each list by itself.
    pub(crate) per_list: bool,
}

impl Config {
    /// Reads the options. `directory` is what relative paths are relative to, `concurrency` the requests in flight where
    /// the options do not say.
    ///
    /// # Errors
    /// [`Kind::Definition`], naming the option; never its value.
    pub(crate) fn read(
        connection: &Connection,
        directory: &Path,
        workload: &'static str,
        concurrency: u64,
    ) -> Result<Self, Error> {
        let all = Options::of(connection);
        let auth = all.group("auth");
        let company = all.text("user_agent").unwrap_or("Syncline");
        if company.is_empty() || !company.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'|') {
            return Err(all.wrong("user_agent", "must be plain ASCII text without |"));
        }
        Ok(Self {
            name: connection.name.clone(),
            workload,
            authority: all.address("authority", "https://login.microsoftonline.com")?,
            graph: all.address("graph", "https://graph.microsoft.com")?,
            tenant: auth.required("tenant")?.to_owned(),
            client_id: auth.required("client_id")?.to_owned(),
            credential: credential(&auth, directory)?,
            ca_file: all.text("ca_file").map(|file| directory.join(file)),
            proxy: match all.text("proxy") {
                Some(text) => Some(Url::parse(text).map_err(|e| all.wrong("proxy", &e.to_string()))?),
                None => None,
            },
            user_agent: format!("NONISV|{company}|Syncline/{}", env!("CARGO_PKG_VERSION")),
            timeout: all.duration("timeout")?.unwrap_or(TIMEOUT).max(Duration::from_millis(1)),
            concurrency: all.integer("concurrency")?.unwrap_or(concurrency).clamp(1, 256) as usize,
            windows: Vec::new(),
            extra: Vec::new(),
        })
    }

    /// The budget that this connection spends from.
    pub(crate) fn quota(&self) -> String {
        let authority = &self.authority[url::Position::BeforeHost..url::Position::AfterPort];
        format!("{} {authority}/{}/{}", self.workload, self.tenant, self.client_id)
    }
}

fn credential(auth: &Options<'_>, directory: &Path) -> Result<Credential, Error> {
    match (auth.text("client_secret"), auth.text("certificate_file"), auth.text("private_key_file")) {
        (Some(secret), None, None) => Ok(Credential::Secret(secret.into())),
        (None, Some(certificate), Some(key)) => {
            Ok(Credential::Certificate { certificate: directory.join(certificate), key: directory.join(key) })
        }
        _ => {
            Err(auth
                .wrong("client_secret", "give either a secret, or a certificate_file and a private_key_file"))
        }
    }
}

/// A group of options, for reading without ever quoting a value (it may be a secret in the wrong place).
pub(crate) struct Options<'a> {
    path: String,
    json: &'a Json,
}

impl<'a> Options<'a> {
    /// All of a connection's.
    pub(crate) fn of(connection: &'a Connection) -> Self {
        Self { path: String::new(), json: &connection.options }
    }

    pub(crate) fn wrong(&self, name: &str, rule: &str) -> Error {
        Error::new(Kind::Definition, format!("option {}{name}: {rule}", self.path))
    }

    pub(crate) fn group(&self, name: &str) -> Options<'a> {
        Options { path: format!("{}{name}.", self.path), json: self.json.get(name).unwrap_or(&Json::Null) }
    }

    pub(crate) fn groups(&self, name: &str) -> Vec<Options<'a>> {
        let list = self.json.get(name).and_then(Json::as_array).into_iter().flatten();
        list.enumerate()
            .map(|(i, json)| Options { path: format!("{}{name}[{i}].", self.path), json })
            .collect()
    }

    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.json.get(name).and_then(Json::as_str).filter(|text| !text.is_empty())
    }

    pub(crate) fn required(&self, name: &str) -> Result<&'a str, Error> {
        self.text(name).ok_or_else(|| self.wrong(name, "must be given"))
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.json.get(name).and_then(Json::as_bool).unwrap_or(false)
    }

    pub(crate) fn integer(&self, name: &str) -> Result<Option<u64>, Error> {
        match self.json.get(name) {
            None | Some(Json::Null) => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| self.wrong(name, "must be a whole number")),
        }
    }

    pub(crate) fn duration(&self, name: &str) -> Result<Option<Duration>, Error> {
        Ok(self.integer(name)?.map(Duration::from_millis))
    }

    /// An address that secrets may be sent to: TLS, or this machine (simulators).
    pub(crate) fn address(&self, name: &str, default: &str) -> Result<Url, Error> {
        let url = Url::parse(self.text(name).unwrap_or(default).trim_end_matches('/'))
            .map_err(|e| self.wrong(name, &e.to_string()))?;
        let local = match url.host() {
            Some(url::Host::Domain(host)) => host == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => return Err(self.wrong(name, "must name a host")),
        };
        match url.scheme() {
            "https" => Ok(url),
            "http" if local => Ok(url),
            _ => Err(self.wrong(name, "must begin with https:// (http only on this machine)")),
        }
    }
}
