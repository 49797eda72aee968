//! The options of a connection, and what is read out of them.

use std::{path::Path, time::Duration};

use percent_encoding::percent_decode_str;
use syncline_core::{
    budget::Limit,
    connection::{
        Connection, ConnectorSpec,
        OptionKind::{Boolean, Duration as Time, Group, Integer, List, Text},
        OptionSpec,
    },
    sync::Write,
};

use crate::{
    Error,
    graph::{
        client::segment,
        config::{
            self, AUTHORITY, CA_FILE, Defaults, Extra, GRAPH, Options, PROXY, SIGN_IN, TIME_OUT, USER_AGENT,
            option,
        },
    },
};

/// Units of the smallest tier per minute and day (facts §3.2): right for every tenant, if slow for large ones.
const UNITS_PER_MINUTE: u64 = 1_250;
const UNITS_PER_DAY: u64 = 1_200_000;

/// The vendor asks for few concurrent requests (facts §3.6).
const DEFAULTS: Defaults = Defaults { workload: "sharepoint", concurrency: 4, scopes: &[] };

/// How long a lost write may still arrive. Graph gives no figure [X]; its own gateway gives up after less.
const SETTLE: Duration = Duration::from_secs(30);

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
    source: true,
    destination: true,
    loads: false,
    writes: &[Write::Upsert, Write::Mirror],
    options: &[
        OptionSpec {
            required: true,
            ..option("site", Text, "The site: host:/sites/name, its address, or its id host,guid,guid.")
        },
        SIGN_IN,
        AUTHORITY,
        GRAPH,
        CA_FILE,
        PROXY,
        USER_AGENT,
        TIME_OUT,
        option("concurrency", Integer, "Requests in flight at once (4)."),
        option("settle", Time, "How long a write without an answer may still arrive (30s)."),
        option("limits", Group(LIMITS), "Quota to keep to."),
    ],
    help: "Lists of a SharePoint Online site, through Microsoft Graph.",
};

/// The options, checked.
pub(super) struct Config {
    pub(super) graph: config::Config,
    pub(super) site: SiteAddress,
    pub(super) settle: Duration,
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
    /// [`Kind::Definition`](crate::error::Kind::Definition), naming the option; never its value.
    pub(super) fn read(connection: &Connection, directory: &Path) -> Result<Self, Error> {
        let all = Options::of(connection);
        let limits = all.group("limits");
        let site = SiteAddress::parse(all.required("site")?)
            .ok_or_else(|| all.wrong("site", "must look like contoso.sharepoint.com:/sites/projects"))?;
        let mut graph = config::Config::read(connection, directory, &DEFAULTS)?;
        graph.windows = units(&limits)?;
        graph.extra = limits.groups("extra").iter().map(extra).collect::<Result<_, _>>()?;
        Ok(Self { graph, site, settle: all.duration("settle")?.unwrap_or(SETTLE) })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::config::TIMEOUT;
    use serde_json::{Value as Json, json};

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
        assert_eq!(config.graph.timeout, TIMEOUT);
        assert_eq!(config.graph.windows.iter().map(|l| l.units).collect::<Vec<_>>(), [1_250, 1_200_000]);
        assert!(config.graph.user_agent.starts_with("NONISV|Syncline|Syncline/"));
        assert_eq!(config.graph.graph.as_str(), "https://graph.microsoft.com/");
    }

    #[test]
    fn limits_of_the_users_own() {
        let mut options = good();
        options["limits"] = json!({ "unlimited": true, "extra": [
            { "requests": 500, "per": 10_000, "scope": "list" }, { "units": 9, "per": 1_000, "scope": "tenant" } ] });
        let config = read(options).unwrap_or_else(|e| panic!("{e}"));
        assert!(config.graph.windows.is_empty());
        let limit = |units, ms| Limit { units, window: Duration::from_millis(ms) };
        assert_eq!(
            config.graph.extra,
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
