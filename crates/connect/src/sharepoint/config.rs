//! The options of a connection, and what is read out of them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use serde_json::Value as Json;
use syncline_core::{
    budget::Limit,
    connection::{
        Connection, ConnectorSpec,
        OptionKind::{Boolean, Duration as Time, Group, Integer, List, Secret, Text},
        OptionSpec,
    },
    sync::Write,
};
use url::Url;

use super::client::segment;
use crate::{Error, error::Kind};

/// Units of the smallest tier per minute and day (facts §3.2): right for every tenant, if slow for large ones.
const UNITS_PER_MINUTE: u64 = 1_250;
const UNITS_PER_DAY: u64 = 1_200_000;

/// A request that takes longer is given up, its effect unknown.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The vendor asks for few concurrent requests (facts §3.6).
const CONCURRENCY: u64 = 4;

/// How long a lost write may still arrive. Graph gives no figure [X]; its own gateway gives up after less.
const SETTLE: Duration = Duration::from_secs(30);

const fn option(
    name: &'static str,
    kind: syncline_core::connection::OptionKind,
    help: &'static str,
) -> OptionSpec {
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

const EXTRA: &[OptionSpec] = &[
    option("requests", Integer, "At most this many requests (each part of a batch counts) per window."),
    option("units", Integer, "At most this many resource units per window."),
    OptionSpec { required: true, ..option("per", Time, "Length of the window.") },
    OptionSpec {
        required: true,
        choices: &["tenant", "list"],
        ..option("scope", Text, "What is counted together: everything, or each list by itself.")
    },
];

const LIMITS: &[OptionSpec] = &[
    option(
        "units_per_minute",
        Integer,
        "Resource units per minute of the application in this tenant (1250).",
    ),
    option(
        "units_per_day",
        Integer,
        "Resource units in 24 hours of the application in this tenant (1200000).",
    ),
    option("unlimited", Boolean, "No unit windows of our own: for simulators only."),
    option("extra", List(EXTRA), "Further limits, for example 500 requests per 10s in each list."),
];

/// What the connector is and takes.
pub(super) const SPEC: ConnectorSpec = ConnectorSpec {
    name: "sharepoint",
    source: false,
    destination: true,
    loads: false,
    writes: &[Write::Upsert, Write::Mirror],
    options: &[
        OptionSpec {
            required: true,
            ..option("site", Text, "The site: host:/sites/name, its address, or its id host,guid,guid.")
        },
        OptionSpec { required: true, ..option("auth", Group(AUTH), "How to sign in.") },
        option("authority", Text, "Token service (https://login.microsoftonline.com)."),
        option("graph", Text, "Root of Microsoft Graph (https://graph.microsoft.com)."),
        option("ca_file", Text, "PEM file with further certificate authorities to trust."),
        option("proxy", Text, "HTTP proxy to go through."),
        option(
            "user_agent",
            Text,
            "Company named in the User-Agent, so that the service can tell who calls.",
        ),
        option("timeout", Time, "Longest time of one request (60s)."),
        option("concurrency", Integer, "Requests in flight at once (4)."),
        option("settle", Time, "How long a write without an answer may still arrive (30s)."),
        option("limits", Group(LIMITS), "Quota to keep to."),
    ],
    help: "Lists of a SharePoint Online site, through Microsoft Graph.",
};

/// The options, checked.
pub(super) struct Config {
    pub(super) name: String,
    pub(super) site: SiteAddress,
    pub(super) authority: Url,
    pub(super) graph: Url,
    pub(super) tenant: String,
    pub(super) client_id: String,
    pub(super) credential: Credential,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) proxy: Option<Url>,
    pub(super) user_agent: String,
    pub(super) timeout: Duration,
    pub(super) concurrency: usize,
    pub(super) settle: Duration,
    /// Windows of resource units; none when `unlimited`.
    pub(super) units: Vec<Limit>,
    pub(super) extra: Vec<Extra>,
}

/// How the application proves itself.
pub(super) enum Credential {
    Secret(SecretString),
    Certificate { certificate: PathBuf, key: PathBuf },
}

/// A limit of the user's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Extra {
    pub(super) limit: Limit,
    /// Counts resource units rather than requests.
    pub(super) units: bool,
    /// Counts each list by itself.
    pub(super) per_list: bool,
}

/// Where the site is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SiteAddress {
    /// `host,guid,guid`.
    Id(String),
    /// Host name and server-relative path without slashes at the ends; empty for the root site.
    Path { host: String, path: String },
}

impl SiteAddress {
    /// Reads `host:/sites/x`, `https://host/sites/x[/Lists/…]`, `host,guid,guid` or `host`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.split(',').count() == 3 && !text.contains('/') {
            return Some(Self::Id(text.to_owned()));
        }
        let (host, path) = match text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) {
            // People paste the address of a list they look at.
            Some(address) => {
                let address = address.split(['?', '#']).next()?;
                let (host, path) = address.split_once('/').unwrap_or((address, ""));
                let path = percent_decode_str(path).decode_utf8().ok()?.into_owned();
                let end = [path.find("/Lists/"), path.find("/SitePages/"), path.find("/_layouts/")];
                let end = end.into_iter().flatten().min().unwrap_or(path.len());
                (host, path[..end].to_owned())
            }
            None => {
                let (host, path) = text.split_once(':').unwrap_or((text, ""));
                (host, path.to_owned())
            }
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let path = path.trim_matches('/').to_owned();
        (!host.is_empty() && host.chars().all(plain)).then(|| Self::Path { host: host.to_owned(), path })
    }

    /// Path of the request that finds it (facts §2.1).
    pub(super) fn request(&self) -> String {
        match self {
            Self::Id(id) => format!("/sites/{}", segment(id)),
            Self::Path { host, path } if path.is_empty() => format!("/sites/{host}"),
            Self::Path { host, path } => {
                let segments: Vec<_> = path.split('/').map(|s| segment(s).to_string()).collect();
                format!("/sites/{host}:/{}", segments.join("/"))
            }
        }
    }
}

impl std::fmt::Display for SiteAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => f.write_str(id),
            Self::Path { host, path } => write!(f, "{host}:/{path}"),
        }
    }
}

impl Config {
    /// Reads the options. `directory` is what relative paths are relative to.
    ///
    /// # Errors
    /// [`Kind::Definition`], naming the option; never its value.
    pub(super) fn read(connection: &Connection, directory: &Path) -> Result<Self, Error> {
        let all = Options { path: String::new(), json: &connection.options };
        let auth = all.group("auth");
        let limits = all.group("limits");
        let credential = match (
            auth.text("client_secret"),
            auth.text("certificate_file"),
            auth.text("private_key_file"),
        ) {
            (Some(secret), None, None) => Credential::Secret(secret.into()),
            (None, Some(certificate), Some(key)) => {
                Credential::Certificate { certificate: directory.join(certificate), key: directory.join(key) }
            }
            _ => {
                return Err(auth.wrong(
                    "client_secret",
                    "give either a secret, or a certificate_file and a private_key_file",
                ));
            }
        };
        let company = all.text("user_agent").unwrap_or("Syncline");
        if company.is_empty() || !company.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'|') {
            return Err(all.wrong("user_agent", "must be plain ASCII text without |"));
        }
        let site = SiteAddress::parse(all.required("site")?)
            .ok_or_else(|| all.wrong("site", "must look like contoso.sharepoint.com:/sites/projects"))?;
        Ok(Self {
            name: connection.name.clone(),
            site,
            authority: all.address("authority", "https://login.microsoftonline.com")?,
            graph: all.address("graph", "https://graph.microsoft.com")?,
            tenant: auth.required("tenant")?.to_owned(),
            client_id: auth.required("client_id")?.to_owned(),
            credential,
            ca_file: all.text("ca_file").map(|file| directory.join(file)),
            proxy: match all.text("proxy") {
                Some(text) => Some(Url::parse(text).map_err(|e| all.wrong("proxy", &e.to_string()))?),
                None => None,
            },
            user_agent: format!("NONISV|{company}|Syncline/{}", env!("CARGO_PKG_VERSION")),
            timeout: all.duration("timeout")?.unwrap_or(TIMEOUT).max(Duration::from_millis(1)),
            concurrency: all.integer("concurrency")?.unwrap_or(CONCURRENCY).clamp(1, 256) as usize,
            settle: all.duration("settle")?.unwrap_or(SETTLE),
            units: units(&limits)?,
            extra: limits.groups("extra").iter().map(extra).collect::<Result<_, _>>()?,
        })
    }
}

fn units(limits: &Options<'_>) -> Result<Vec<Limit>, Error> {
    if limits.flag("unlimited") {
        return Ok(Vec::new());
    }
    let minute = limits.integer("units_per_minute")?.unwrap_or(UNITS_PER_MINUTE);
    let day = limits.integer("units_per_day")?.unwrap_or(UNITS_PER_DAY);
    if minute == 0 || day == 0 {
        return Err(limits.wrong("units_per_minute", "must be above zero, like units_per_day"));
    }
    Ok(vec![
        Limit { units: minute, window: Duration::from_secs(60) },
        Limit { units: day, window: Duration::from_secs(24 * 3600) },
    ])
}

fn extra(given: &Options<'_>) -> Result<Extra, Error> {
    let (units, counts_units) = match (given.integer("requests")?, given.integer("units")?) {
        (Some(requests), None) => (requests, false),
        (None, Some(units)) => (units, true),
        _ => return Err(given.wrong("requests", "give either requests or units")),
    };
    let window = given.duration("per")?.unwrap_or_default();
    if units == 0 || window.is_zero() {
        return Err(given.wrong("per", "limit and window must be above zero"));
    }
    let per_list = match given.required("scope")? {
        "list" => true,
        "tenant" => false,
        _ => return Err(given.wrong("scope", "must be tenant or list")),
    };
    Ok(Extra { limit: Limit { units, window }, units: counts_units, per_list })
}

/// A group of options, for reading without ever quoting a value (it may be a secret in the wrong place).
struct Options<'a> {
    path: String,
    json: &'a Json,
}

impl<'a> Options<'a> {
    fn wrong(&self, name: &str, rule: &str) -> Error {
        Error::new(Kind::Definition, format!("option {}{name}: {rule}", self.path))
    }

    fn group(&self, name: &str) -> Options<'a> {
        Options { path: format!("{}{name}.", self.path), json: self.json.get(name).unwrap_or(&Json::Null) }
    }

    fn groups(&self, name: &str) -> Vec<Options<'a>> {
        let list = self.json.get(name).and_then(Json::as_array).into_iter().flatten();
        list.enumerate()
            .map(|(i, json)| Options { path: format!("{}{name}[{i}].", self.path), json })
            .collect()
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.json.get(name).and_then(Json::as_str).filter(|text| !text.is_empty())
    }

    fn required(&self, name: &str) -> Result<&'a str, Error> {
        self.text(name).ok_or_else(|| self.wrong(name, "must be given"))
    }

    fn flag(&self, name: &str) -> bool {
        self.json.get(name).and_then(Json::as_bool).unwrap_or(false)
    }

    fn integer(&self, name: &str) -> Result<Option<u64>, Error> {
        match self.json.get(name) {
            None | Some(Json::Null) => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| self.wrong(name, "must be a whole number")),
        }
    }

    fn duration(&self, name: &str) -> Result<Option<Duration>, Error> {
        Ok(self.integer(name)?.map(Duration::from_millis))
    }

    /// An address that secrets may be sent to: TLS, or this machine (simulators).
    fn address(&self, name: &str, default: &str) -> Result<Url, Error> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(options: Json) -> Result<Config, String> {
        let connection = Connection { name: "c".into(), kind: "sharepoint".into(), options };
        Config::read(&connection, Path::new("/project")).map_err(|e| e.message)
    }

    fn good() -> Json {
        json!({ "site": "contoso.sharepoint.com:/sites/projects",
                "auth": { "type": "client_credentials", "tenant": "t", "client_id": "c", "client_secret": "s3cret" } })
    }

    #[test]
    fn defaults() {
        let config = read(good()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(config.timeout, TIMEOUT);
        assert_eq!(config.units.iter().map(|l| l.units).collect::<Vec<_>>(), [1_250, 1_200_000]);
        assert!(config.user_agent.starts_with("NONISV|Syncline|Syncline/"));
        assert_eq!(config.graph.as_str(), "https://graph.microsoft.com/");
    }

    #[test]
    fn limits_of_the_users_own() {
        let mut options = good();
        options["limits"] = json!({ "unlimited": true, "extra": [
            { "requests": 500, "per": 10_000, "scope": "list" }, { "units": 9, "per": 1_000, "scope": "tenant" } ] });
        let config = read(options).unwrap_or_else(|e| panic!("{e}"));
        assert!(config.units.is_empty());
        let limit = |units, ms| Limit { units, window: Duration::from_millis(ms) };
        assert_eq!(
            config.extra,
            [
                Extra { limit: limit(500, 10_000), units: false, per_list: true },
                Extra { limit: limit(9, 1_000), units: true, per_list: false },
            ]
        );
    }

    #[test]
    fn refuses_without_quoting() {
        for (change, rule) in [
            (json!({ "site": "" }), "option site: must be given"),
            (json!({ "graph": "http://graph.example.com" }), "option graph: must begin with https"),
            (json!({ "timeout": "s3cret" }), "option timeout: must be a whole number"),
            (json!({ "user_agent": "a|b" }), "option user_agent"),
            (
                json!({ "auth": { "tenant": "t", "client_id": "c" } }),
                "option auth.client_secret: give either",
            ),
            (
                json!({ "limits": { "extra": [ { "per": 1, "scope": "list" } ] } }),
                "option limits.extra[0].requests",
            ),
        ] {
            let mut options = good();
            for (name, value) in change.as_object().unwrap() {
                options[name] = value.clone();
            }
            let message = read(options).err().unwrap();
            assert!(message.starts_with(rule), "{message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
    }

    #[test]
    fn sites() {
        let path = |host: &str, path: &str| Some(SiteAddress::Path { host: host.into(), path: path.into() });
        for (text, expected) in [
            ("contoso.sharepoint.com:/sites/ops", path("contoso.sharepoint.com", "sites/ops")),
            ("https://contoso.sharepoint.com/sites/ops/", path("contoso.sharepoint.com", "sites/ops")),
            (
                "https://contoso.sharepoint.com/sites/My%20Ops/Lists/Active/AllItems.aspx?a=b",
                path("contoso.sharepoint.com", "sites/My Ops"),
            ),
            ("contoso.sharepoint.com", path("contoso.sharepoint.com", "")),
            (
                "contoso.sharepoint.com,1-2,3-4",
                Some(SiteAddress::Id("contoso.sharepoint.com,1-2,3-4".into())),
            ),
            ("not a host", None),
        ] {
            assert_eq!(SiteAddress::parse(text), expected, "{text}");
        }
        assert_eq!(
            SiteAddress::parse("h.example:/sites/My Ops").map(|s| s.request()).as_deref(),
            Some("/sites/h.example:/sites/My%20Ops")
        );
    }
}
