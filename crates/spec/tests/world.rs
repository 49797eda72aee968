//! Connectors and surroundings for the tests, and the helpers that everything goes through.

use syncline_core::{
    connection::{ConnectorSpec, OptionKind, OptionSpec},
    sync::{Sync, Write},
};
use syncline_spec::{Environment, Loaded, Problem, parse};

const fn option(name: &'static str, kind: OptionKind, required: bool) -> OptionSpec {
    OptionSpec { name, kind, required, choices: &[], help: "An option." }
}

static AUTH: &[OptionSpec] = &[
    OptionSpec {
        name: "type",
        kind: OptionKind::Text,
        required: true,
        choices: &["client_credentials", "certificate"],
        help: "How to sign in.",
    },
    option("tenant", OptionKind::Text, true),
    option("client_id", OptionKind::Text, true),
    option("client_secret", OptionKind::Secret, false),
];

static LIMITS: &[OptionSpec] =
    &[option("requests", OptionKind::Integer, true), option("per", OptionKind::Duration, true)];

/// One that reads, one that writes, one that does both; with every kind of option.
pub(crate) static CONNECTORS: &[ConnectorSpec] = &[
    ConnectorSpec {
        name: "postgres",
        source: true,
        destination: false,
        loads: false,
        writes: &[],
        options: &[
            option("url", OptionKind::Secret, true),
            option("timeout", OptionKind::Duration, false),
            option("tls", OptionKind::Boolean, false),
        ],
        help: "PostgreSQL.",
    },
    ConnectorSpec {
        name: "sharepoint",
        source: false,
        destination: true,
        loads: false,
        writes: &[Write::Upsert, Write::Mirror],
        options: &[
            option("site", OptionKind::Text, true),
            option("auth", OptionKind::Group(AUTH), true),
            option("limits", OptionKind::List(LIMITS), false),
        ],
        help: "SharePoint lists.",
    },
    ConnectorSpec {
        name: "sqlite",
        source: true,
        destination: true,
        loads: false,
        writes: &[Write::Upsert, Write::Mirror],
        options: &[option("path", OptionKind::Text, true)],
        help: "A SQLite file.",
    },
];

/// Value of every secret; it must appear in no message.
pub(crate) const SECRET: &str = "hunter2";

pub(crate) struct World;

impl Environment for World {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "ERP_URL" => Some(format!("postgres://app:{SECRET}@db/erp")),
            "TENANT" | "CLIENT_ID" => Some(format!("id of {name}")),
            "CLIENT_SECRET" => Some(SECRET.into()),
            "EMPTY" => Some(String::new()),
            "FIFTY" => Some("50".into()),
            "BROKEN_CEL" => Some(format!("{SECRET} ===")),
            _ => None,
        }
    }

    fn file(&self, path: &str) -> Result<String, String> {
        if path == "/run/secrets/x" { Ok(format!("{SECRET}\n")) } else { Err("not found".into()) }
    }
}

/// Reads a file that must be good.
pub(crate) fn load(yaml: &str) -> Loaded {
    match parse("p.yaml", yaml, CONNECTORS, &World) {
        Ok(loaded) => loaded,
        Err(problems) => panic!("{}", rendered(&problems)),
    }
}

/// Problems of a file as people see them, one a line; of a good file, its warnings.
pub(crate) fn problems(yaml: &str) -> String {
    let problems = match parse("p.yaml", yaml, CONNECTORS, &World) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    };
    let text = rendered(&problems);
    assert!(
        !text.contains(SECRET) && !format!("{problems:?}").contains(SECRET),
        "a secret is shown:\n{text}"
    );
    text
}

pub(crate) fn rendered(problems: &[Problem]) -> String {
    problems.iter().map(|p| format!("{p}\n")).collect()
}

/// A sync with the given lines (indented by four) instead of the ones with the same keys, and its connections.
pub(crate) fn project(sync: &str) -> String {
    format!(
        "connections:
  a: {{ type: sqlite, path: a.db }}
  b: {{ type: sharepoint, site: s, auth: {{ type: certificate, tenant: t, client_id: c }} }}
syncs:
  s:
{}",
        with_defaults(sync)
    )
}

fn with_defaults(sync: &str) -> String {
    let mut text = String::new();
    for (key, line) in [
        ("from:", "    from: { connection: a, table: t }\n"),
        ("to:", "    to: { connection: b, list: l }\n"),
        ("fields:", "    fields: { F: c }\n"),
    ] {
        if !sync.lines().any(|l| l.trim_start().starts_with(key)) {
            text.push_str(line);
        }
    }
    // What a test is about comes first, so that its lines do not depend on the defaults: it starts in line 6.
    format!("{sync}{text}")
}

/// The only sync of [`project`].
pub(crate) fn sync(text: &str) -> Sync {
    load(&project(text)).project.syncs.remove(0)
}
