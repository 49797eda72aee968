//! The options of a connection, and what is read out of them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use syncline_core::{
    budget::Limit,
    connection::{
        Connection, ConnectorSpec,
        OptionKind::{Boolean, Group, Integer, Secret, Text},
        OptionSpec,
    },
};

use crate::{
    Error,
    graph::config::{
        self, AUTHORITY, CA_FILE, Defaults, GRAPH, Grant, Options, PROXY, SIGN_IN, TIME_OUT, USER_AGENT,
        option,
    },
};

/// No limit is published for virtual events; Teams allows 30 other reads a second per application and tenant (facts §3.4).
const REQUESTS_PER_10S: u64 = 300;

const DEFAULTS: Defaults = Defaults {
    workload: "teams",
    concurrency: 8,
    scopes: &["VirtualEvent.Read", "OnlineMeetingArtifact.Read.All"],
};

const APPLICATION: &[OptionSpec] = &[
    option("client_id", Text, "Application (client) id (that of auth)."),
    option("client_secret", Secret, "Secret of the application; or give a certificate."),
    option("certificate_file", Text, "PEM file with the application's certificate."),
    option("private_key_file", Text, "PEM file with the certificate's RSA private key."),
];

const LIMITS: &[OptionSpec] = &[
    option("requests_per_10s", Integer, "Requests per 10 seconds of the application in this tenant (300)."),
    option(
        "requests_per_minute",
        Integer,
        "Requests per minute of the application in this tenant (no limit).",
    ),
    option("unlimited", Boolean, "No windows of our own: for simulators only."),
];

/// What the connector is and takes.
pub(super) const SPEC: ConnectorSpec = ConnectorSpec {
    name: "teams_webinars",
    source: true,
    destination: false,
    loads: false,
    writes: &[],
    options: &[
        SIGN_IN,
        AUTHORITY,
        GRAPH,
        CA_FILE,
        PROXY,
        USER_AGENT,
        TIME_OUT,
        option("concurrency", Integer, "Requests in flight at once (8)."),
        option(
            "roles",
            Text,
            "Whose webinars are listed: organizer, coOrganizer or both, with a comma (organizer,coOrganizer).",
        ),
        option(
            "users",
            Text,
            "For an application: object ids of the organizers whose webinars are listed, with commas (all of the tenant).",
        ),
        option("unpublished", Boolean, "Read drafts and cancelled webinars too (false)."),
        OptionSpec {
            choices: &["delegated", "application", "notified"],
            ..option(
                "registrations",
                Text,
                "How registrations are read: listed as the connection signs in (delegated), listed as an application \
                 (application), or one by one by the ids in registration_ids_file (notified).",
            )
        },
        option(
            "application",
            Group(APPLICATION),
            "The application that lists registrations, with registrations: application (that of auth).",
        ),
        option(
            "registration_ids_file",
            Text,
            "File of registrations known from notifications, a webinar id and a registration id on each line.",
        ),
        option("limits", Group(LIMITS), "Quota to keep to."),
    ],
    help: "Webinars of Microsoft Teams, who registered and who attended, through Microsoft Graph.",
};

/// The options, checked.
pub(super) struct Config {
    pub(super) graph: config::Config,
    /// Roles in the words of the service.
    pub(super) roles: Vec<&'static str>,
    pub(super) users: Vec<String>,
    pub(super) unpublished: bool,
    pub(super) registrations: Registrations,
}

/// How registrations are read (facts §4.3: whether a user may list them is disputed).
pub(super) enum Registrations {
    /// Listed in the name the connection has.
    Listed,
    /// Listed by an application in its own name.
    Application(Box<config::Config>),
    /// Read one by one, by the ids in this file.
    Notified(PathBuf),
}

impl Config {
    /// Reads the options. `directory` is what relative paths are relative to.
    ///
    /// # Errors
    /// [`Kind::Definition`](crate::error::Kind::Definition), naming the option; never its value.
    pub(super) fn read(connection: &Connection, directory: &Path) -> Result<Self, Error> {
        let all = Options::of(connection);
        let mut graph = config::Config::read(connection, directory, &DEFAULTS)?;
        graph.windows = windows(&all.group("limits"))?;
        let users = list(all.text("users"));
        if !users.is_empty() && graph.grant == Grant::OnBehalfOf {
            return Err(all.wrong("users", "a connection that acts for a user lists that user's webinars"));
        }
        Ok(Self {
            roles: roles(&all)?,
            users,
            unpublished: all.flag("unpublished"),
            registrations: registrations(&all, &graph, directory)?,
            graph,
        })
    }
}

fn windows(limits: &Options<'_>) -> Result<Vec<Limit>, Error> {
    if limits.flag("unlimited") {
        return Ok(Vec::new());
    }
    let short = Some(limits.integer("requests_per_10s")?.unwrap_or(REQUESTS_PER_10S));
    let windows = [
        ("requests_per_10s", short, 10),
        ("requests_per_minute", limits.integer("requests_per_minute")?, 60),
    ];
    let mut found = Vec::new();
    for (name, units, seconds) in windows {
        match units {
            Some(0) => return Err(limits.wrong(name, "must be above zero")),
            Some(units) => found.push(Limit { units, window: Duration::from_secs(seconds) }),
            None => {}
        }
    }
    Ok(found)
}

fn roles(all: &Options<'_>) -> Result<Vec<&'static str>, Error> {
    let mut roles = Vec::new();
    for role in list(all.text("roles").or(Some("organizer,coOrganizer"))) {
        let known = ["organizer", "coOrganizer"].into_iter().find(|known| known.eq_ignore_ascii_case(&role));
        let role =
            known.ok_or_else(|| all.wrong("roles", "must be organizer, coOrganizer or both with a comma"))?;
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    Ok(roles)
}

fn registrations(
    all: &Options<'_>,
    graph: &config::Config,
    directory: &Path,
) -> Result<Registrations, Error> {
    Ok(match all.text("registrations").unwrap_or("delegated") {
        "delegated" => Registrations::Listed,
        "application" => {
            Registrations::Application(Box::new(graph.as_application(&all.group("application"), directory)?))
        }
        "notified" => Registrations::Notified(directory.join(all.required("registration_ids_file")?)),
        _ => return Err(all.wrong("registrations", "must be delegated, application or notified")),
    })
}

fn list(text: Option<&str>) -> Vec<String> {
    text.into_iter()
        .flat_map(|text| text.split(','))
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn read(change: &Json) -> Result<Config, String> {
        let mut options = json!({
            "auth": { "type": "on_behalf_of", "tenant": "t", "client_id": "c", "client_secret": "s3cret" }
        });
        for (name, value) in change.as_object().unwrap() {
            options[name] = value.clone();
        }
        let connection = Connection { name: "c".into(), kind: "teams_webinars".into(), options };
        Config::read(&connection, Path::new("/project")).map_err(|e| e.message)
    }

    fn good(change: &Json) -> Config {
        read(change).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn defaults() {
        let config = good(&json!({}));
        assert_eq!(config.roles, ["organizer", "coOrganizer"]);
        assert_eq!(
            config.graph.scopes,
            "https://graph.microsoft.com/OnlineMeetingArtifact.Read.All https://graph.microsoft.com/VirtualEvent.Read"
        );
        assert_eq!(config.graph.concurrency, 8);
        assert_eq!(config.graph.windows, [Limit { units: 300, window: Duration::from_secs(10) }]);
        assert_eq!(config.graph.quota(), "teams login.microsoftonline.com/t/c");
        assert!(matches!(config.registrations, Registrations::Listed) && !config.unpublished);
    }

    #[test]
    fn ways_to_read_registrations() {
        let Registrations::Application(own) =
            good(&json!({ "registrations": "application", "application": { "client_id": "other", "client_secret": "x" } }))
                .registrations
        else {
            panic!("an application")
        };
        assert_eq!((own.client_id.as_str(), own.grant), ("other", Grant::ClientCredentials));
        assert_eq!(own.scopes, "https://graph.microsoft.com/.default");
        let Registrations::Application(same) = good(&json!({ "registrations": "application" })).registrations
        else {
            panic!("an application")
        };
        assert_eq!(same.client_id, "c");
        let notified = good(&json!({ "registrations": "notified", "registration_ids_file": "ids.txt" }));
        assert!(
            matches!(notified.registrations, Registrations::Notified(file) if file == Path::new("/project/ids.txt"))
        );
    }

    #[test]
    fn refuses_without_quoting() {
        for (change, rule) in [
            (json!({ "roles": "s3cret" }), "option roles: must be organizer"),
            (json!({ "users": "u1" }), "option users: a connection that acts"),
            (json!({ "registrations": "notified" }), "option registration_ids_file: must be given"),
            (
                json!({ "limits": { "requests_per_10s": 0 } }),
                "option limits.requests_per_10s: must be above zero",
            ),
            (
                json!({ "registrations": "application", "application": { "client_id": "other" } }),
                "option application.client_secret: give either",
            ),
        ] {
            let message = read(&change).err().unwrap();
            assert!(message.starts_with(rule) && !message.contains("s3cret"), "{message}");
        }
    }
}
