//! The options that every connection to Graph has: who signs in, where, over which way, how often.

use std::{
    collections::BTreeSet,
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
        choices: &["client_credentials", "on_behalf_of"],
        ..option(
            "type",
            Text,
            "How to sign in: as an application (client_credentials), or as one that acts for the signed-in user who asks \
             (on_behalf_of).",
        )
    },
    OptionSpec { required: true, ..option("tenant", Text, "Directory (tenant) id or domain name.") },
    OptionSpec { required: true, ..option("client_id", Text, "Application (client) id.") },
    option("client_secret", Secret, "Secret of the application; or give a certificate."),
    option("certificate_file", Text, "PEM file with the application's certificate."),
    option("private_key_file", Text, "PEM file with the certificate's RSA private key."),
    option("scopes", Text, "For on_behalf_of: the permissions that are asked for, with blanks between."),
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

/// What a workload is, as far as options that are left out depend on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    /// First word of the budget's name.
    pub(crate) workload: &'static str,
    /// Requests in flight.
    pub(crate) concurrency: u64,
    /// Permissions asked for on behalf of a user, without the Graph root.
    pub(crate) scopes: &'static [&'static str],
}

/// In whose name tokens are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grant {
    /// The application's own.
    ClientCredentials,
    /// That of the user who asks.
    OnBehalfOf,
}

/// The options, checked.
#[derive(Clone)]
pub(crate) struct Config {
    /// Name of the connection.
    pub(crate) name: String,
    /// First word of the budget's name: all connections of one application to one workload share a quota.
    pub(crate) workload: &'static str,
    pub(crate) authority: Url,
    pub(crate) graph: Url,
    pub(crate) tenant: String,
    pub(crate) client_id: String,
    pub(crate) grant: Grant,
    /// Sorted, with blanks between.
    pub(crate) scopes: String,
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
#[derive(Clone)]
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
    /// Reads the options. `directory` is what relative paths are relative to.
    ///
    /// # Errors
    /// [`Kind::Definition`], naming the option; never its value.
    pub(crate) fn read(
        connection: &Connection,
        directory: &Path,
        defaults: &Defaults,
    ) -> Result<Self, Error> {
        let all = Options::of(connection);
        let auth = all.group("auth");
        let company = all.text("user_agent").unwrap_or("Syncline");
        if company.is_empty() || !company.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'|') {
            return Err(all.wrong("user_agent", "must be plain ASCII text without |"));
        }
        let graph = all.address("graph", "https://graph.microsoft.com")?;
        let grant = match auth.text("type") {
            None | Some("client_credentials") => Grant::ClientCredentials,
            Some("on_behalf_of") => Grant::OnBehalfOf,
            Some(_) => return Err(auth.wrong("type", "must be client_credentials or on_behalf_of")),
        };
        Ok(Self {
            name: connection.name.clone(),
            workload: defaults.workload,
            authority: all.address("authority", "https://login.microsoftonline.com")?,
            grant,
            scopes: scopes(&auth, grant, &graph, defaults.scopes)?,
            graph,
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
            concurrency: all.integer("concurrency")?.unwrap_or(defaults.concurrency).clamp(1, 256) as usize,
            windows: Vec::new(),
            extra: Vec::new(),
        })
    }

    /// The same place, signed in to as an application in its own name: that of `given`, or where nothing is given, the same
    /// one.
    ///
    /// # Errors
    /// [`Kind::Definition`]: half a credential.
    pub(crate) fn as_application(&self, given: &Options<'_>, directory: &Path) -> Result<Self, Error> {
        let same = given.json.is_null();
        Ok(Self {
            client_id: given.text("client_id").unwrap_or(&self.client_id).to_owned(),
            credential: if same { self.credential.clone() } else { credential(given, directory)? },
            grant: Grant::ClientCredentials,
            scopes: default_scope(&self.graph),
            ..self.clone()
        })
    }

    /// An address of the tenant at the token service.
    pub(crate) fn below_authority(&self, path: &[&str]) -> Result<Url, Error> {
        let mut url = self.authority.clone();
        url.path_segments_mut()
            .map_err(|()| Error::new(Kind::Definition, "option authority: cannot have a path"))?
            .pop_if_empty()
            .push(&self.tenant)
            .extend(path);
        Ok(url)
    }

    /// The budget that this connection spends from.
    pub(crate) fn quota(&self) -> String {
        let authority = &self.authority[url::Position::BeforeHost..url::Position::AfterPort];
        format!("{} {authority}/{}/{}", self.workload, self.tenant, self.client_id)
    }
}

/// Everything the application was granted.
fn default_scope(graph: &Url) -> String {
    format!("{}/.default", graph.as_str().trim_end_matches('/'))
}

/// Scopes in full and in order, so that the same ones are one token (facts §5.5).
fn scopes(auth: &Options<'_>, grant: Grant, graph: &Url, defaults: &[&str]) -> Result<String, Error> {
    let given = auth.text("scopes");
    if grant == Grant::ClientCredentials {
        // Only `.default` is granted to an application by itself (facts §5.1).
        return match given {
            None => Ok(default_scope(graph)),
            Some(_) => {
                Err(auth.wrong("scopes", "are for type on_behalf_of; an application has what it was granted"))
            }
        };
    }
    let wanted: Vec<&str> =
        given.map_or_else(|| defaults.to_vec(), |given| given.split_whitespace().collect());
    if wanted.is_empty() {
        return Ok(default_scope(graph));
    }
    let root = graph.as_str().trim_end_matches('/');
    let full =
        |scope: &&str| if scope.contains("://") { (*scope).to_owned() } else { format!("{root}/{scope}") };
    let all: BTreeSet<String> = wanted.iter().map(full).collect();
    if all.iter().any(|scope| !scope.starts_with(&format!("{root}/"))) {
        return Err(auth.wrong("scopes", "must all be of this Microsoft Graph"));
    }
    Ok(all.into_iter().collect::<Vec<_>>().join(" "))
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
