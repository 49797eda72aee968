//! Connections: options follow from the connector's own description, so no connector is known here by name.

use serde_json::{Map, Value as Json};
use syncline_core::connection::{Connection, ConnectorSpec, OptionKind, OptionSpec};

use crate::{
    keys::CONNECTION,
    problem::{any_of, did_you_mean, echo, nearest},
    reader::{Reader, Record, Spot},
    tree::{Scalar, Value},
};

/// Most connections, syncs, chains and so on, of each.
pub(crate) const NAMED_MAX: usize = 20_000;

/// Longest name.
const NAME_CHARS_MAX: usize = 63;

/// A connection that the file names, whether or not it could be read.
#[derive(Debug)]
pub(crate) struct Named<'c> {
    pub(crate) name: String,
    /// `None`: its type is missing or unknown, which was reported.
    pub(crate) connector: Option<&'c ConnectorSpec>,
    /// `None`: there is a problem in it.
    pub(crate) connection: Option<Connection>,
}

/// Reads all connections.
pub(crate) fn read<'c>(
    reader: &mut Reader<'_>,
    spot: &Spot<'_>,
    connectors: &'c [ConnectorSpec],
) -> Vec<Named<'c>> {
    let Some(entries) = reader.named(spot, "connections") else { return Vec::new() };
    check_count(reader, spot, entries.len(), "connections");
    let read = entries.iter().take(NAMED_MAX).map(|(name, spot)| {
        check_name(reader, spot, name, &echo(name));
        connection(reader, spot, name, connectors)
    });
    read.collect()
}

fn connection<'c>(
    reader: &mut Reader<'_>,
    spot: &Spot<'_>,
    name: &str,
    connectors: &'c [ConnectorSpec],
) -> Named<'c> {
    let mut named = Named { name: name.to_owned(), connector: None, connection: None };
    let Value::Map(entries) = &spot.node.value else {
        reader.wrong(spot, "must be a map with the key type and the options of that type");
        return named;
    };
    let type_key = &CONNECTION.keys[0];
    let Some(entry) = entries.iter().find(|e| e.key == type_key.name) else {
        reader.missing_key(spot, type_key.name);
        return named;
    };
    let type_spot = spot.child(entry);
    let Some(kind) = reader.text(&type_spot) else { return named };
    named.connector = connectors.iter().find(|c| c.name == kind);
    let Some(connector) = named.connector else {
        let known: Vec<&str> = connectors.iter().map(|c| c.name).collect();
        let message = format!("{} {} is not a type of connection", type_spot.path, reader.shown(&type_spot));
        let hint = did_you_mean(&kind, &known, "known types");
        reader.error(type_spot.node.place, &type_spot.path, message, hint);
        return named;
    };
    named.connection = options(reader, spot, connector.options, &[type_key.name]).map(|options| Connection {
        name: name.to_owned(),
        kind,
        options: Json::Object(options),
    });
    named
}

/// Reads a group of options; `None` when something in it is wrong. `own` keys are not options.
fn options(
    reader: &mut Reader<'_>,
    spot: &Spot<'_>,
    specs: &[OptionSpec],
    own: &[&str],
) -> Option<Map<String, Json>> {
    let Value::Map(entries) = &spot.node.value else {
        let names: Vec<&str> = specs.iter().map(|s| s.name).collect();
        reader.wrong(spot, &format!("must be a map with the keys {}", names.join(", ")));
        return None;
    };
    let known: Vec<&str> = own.iter().copied().chain(specs.iter().map(|s| s.name)).collect();
    let mut options = Some(Map::new());
    let mut meant = Vec::new();
    for entry in entries.iter().filter(|e| !own.contains(&e.key.as_str())) {
        let Some(spec) = specs.iter().find(|s| s.name == entry.key) else {
            let near = nearest(&entry.key, known.iter().copied());
            meant.extend(near);
            reader.unknown_key(spot, entry, near, &known);
            options = None;
            continue;
        };
        match (option(reader, &spot.child(entry), spec), &mut options) {
            (Some(value), Some(options)) => {
                options.insert(spec.name.to_owned(), value);
            }
            (Some(_), None) => {}
            (None, _) => options = None,
        }
    }
    for spec in specs.iter().filter(|s| s.required && !entries.iter().any(|e| e.key == s.name)) {
        if !meant.contains(&spec.name) {
            reader.missing_key(spot, spec.name);
        }
        options = None;
    }
    options
}

fn option(reader: &mut Reader<'_>, spot: &Spot<'_>, spec: &OptionSpec) -> Option<Json> {
    Some(match spec.kind {
        OptionKind::Text => choice(reader, spot, spec.choices)?.into(),
        OptionKind::Secret => secret(reader, spot)?.into(),
        OptionKind::Integer => reader.integer(spot, 0, i64::MAX as u64)?.into(),
        OptionKind::Boolean => reader.boolean(spot)?.into(),
        OptionKind::Duration => u64::try_from(reader.duration(spot)?.as_millis()).ok()?.into(),
        OptionKind::Group(specs) => options(reader, spot, specs, &[])?.into(),
        OptionKind::List(specs) => {
            let items = reader.items(spot, "maps")?;
            let groups: Vec<_> = items.iter().map(|item| options(reader, item, specs, &[])).collect();
            groups.into_iter().map(|group| group.map(Json::Object)).collect::<Option<Vec<_>>>()?.into()
        }
    })
}

fn choice(reader: &mut Reader<'_>, spot: &Spot<'_>, choices: &[&str]) -> Option<String> {
    let text = reader.text(spot)?;
    if choices.is_empty() || choices.contains(&text.as_str()) {
        return Some(text);
    }
    let message = format!("{} must be {}, not {}", spot.path, any_of(choices), reader.shown(spot));
    let hint = nearest(&text, choices.iter().copied()).map(|near| format!("did you mean {near:?}?"));
    reader.error(spot.node.place, &spot.path, message, hint);
    None
}

/// A secret. Whatever is wrong with it, it is not repeated.
pub(crate) fn secret(reader: &mut Reader<'_>, spot: &Spot<'_>) -> Option<String> {
    let (scalar, text) = match &spot.node.value {
        Value::Scalar(scalar) if !scalar.is_null() => (scalar, scalar.text.as_deref()?),
        _ => {
            reader.wrong(spot, "must be a text");
            return None;
        }
    };
    if !reader.check_text(spot, text) {
        return None;
    }
    if stands_in_clear(scalar) {
        let message = format!("{} holds a secret that everybody who reads this file can see", spot.path);
        let hint = "use ${NAME} for an environment variable or ${file:path} for a file".to_owned();
        reader.warning(spot.node.place, &spot.path, message, Some(hint));
    }
    Some(text.to_owned())
}

/// Whether the secret itself is in the file. An address is secret only for the password in it.
fn stands_in_clear(scalar: &Scalar) -> bool {
    let Some((_, rest)) = scalar.written.split_once("://") else { return !scalar.filled };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let password = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map(|(_, p)| p);
    password.is_some_and(|p| !p.is_empty() && !p.contains("${"))
}

/// What a connection is used for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    Source,
    Destination,
}

impl Role {
    fn fits(self, connector: &ConnectorSpec) -> bool {
        match self {
            Self::Source => connector.source,
            Self::Destination => connector.destination,
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Source => "read from",
            Self::Destination => "written to",
        }
    }
}

/// The connection that one side of a sync names, when it exists and can play the role.
pub(crate) fn used<'n, 'c>(
    reader: &mut Reader<'_>,
    side: &Record<'_>,
    named: &'n [Named<'c>],
    role: Role,
) -> Option<&'n Named<'c>> {
    let name = side.text(reader, "connection")?;
    let spot = side.get("connection")?;
    let fitting: Vec<&str> =
        named.iter().filter(|n| n.connector.is_none_or(|c| role.fits(c))).map(|n| n.name.as_str()).collect();
    let what = format!("connections that can be {}", role.verb());
    let Some(found) = named.iter().find(|n| n.name == name) else {
        let message = format!("{} {} is not a connection", spot.path, reader.shown(&spot));
        reader.error(spot.node.place, &spot.path, message, did_you_mean(&name, &fitting, &what));
        return None;
    };
    match found.connector {
        Some(connector) if !role.fits(connector) => {
            let message = format!(
                "{} {} is of type {}, which cannot be {}",
                spot.path,
                reader.shown(&spot),
                connector.name,
                role.verb()
            );
            let hint = (!fitting.is_empty()).then(|| format!("{what}: {}", fitting.join(", ")));
            reader.error(spot.node.place, &spot.path, message, hint);
            None
        }
        _ => Some(found),
    }
}

/// Whether a name can be used on a command line, as a file name and in a path, without quotes. `shown` is how the file
/// has it.
pub(crate) fn check_name(reader: &mut Reader<'_>, spot: &Spot<'_>, name: &str, shown: &str) {
    let valid = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= NAME_CHARS_MAX;
    if !valid {
        let message = format!("{shown} is not a name");
        let hint = format!(
            "names are made of letters, digits, _, - and ., start with a letter, a digit or _, and have at most {NAME_CHARS_MAX} characters"
        );
        reader.error(spot.key, &spot.path, message, Some(hint));
    }
}

pub(crate) fn check_count(reader: &mut Reader<'_>, spot: &Spot<'_>, count: usize, what: &str) {
    if count > NAMED_MAX {
        let message = format!("{count} {what}; at most {NAMED_MAX} are allowed");
        reader.error(spot.key, &spot.path, message, None);
    }
}
