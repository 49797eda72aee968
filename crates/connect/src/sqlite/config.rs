//! The options of a `sqlite` connection.

use std::path::{Path, PathBuf};

use syncline_core::{
    connection::{Connection, ConnectorSpec, OptionKind, OptionSpec},
    sync::Write,
};

use crate::{Error, error::Kind};

/// What the connector is and takes.
pub(super) const SPEC: ConnectorSpec = ConnectorSpec {
    name: "sqlite",
    source: true,
    destination: true,
    loads: true,
    writes: &[Write::Append, Write::Upsert, Write::Mirror, Write::Replace],
    options: &[OptionSpec {
        name: "path",
        kind: OptionKind::Text,
        required: true,
        choices: &[],
        help: "The database file; relative to the project file.",
    }],
    help: "A SQLite file: its tables and views as sources, opened read-only; its tables as destinations of loads.",
};

/// The file of a connection; relative paths are relative to `directory`.
///
/// # Errors
/// [`Kind::Definition`] when none is given.
pub(super) fn file(connection: &Connection, directory: &Path) -> Result<PathBuf, Error> {
    let path = connection.options.get("path").and_then(serde_json::Value::as_str).unwrap_or_default();
    if path.is_empty() {
        return Err(Error::new(
            Kind::Definition,
            format!("connection {:?}: path is missing", connection.name),
        ));
    }
    Ok(directory.join(path))
}
