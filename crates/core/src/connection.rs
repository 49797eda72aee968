//! Connections, and what a connector says about the options it takes, so that a project file can be checked without
//! knowing any connector by name.

use crate::sync::Write;

/// What kind of value an option takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OptionKind {
    /// Text.
    Text,
    /// Text that must never be shown.
    Secret,
    /// Whole number, zero or more.
    Integer,
    /// True or false.
    Boolean,
    /// A time such as `30s`, `10m`, `1h`; handed to the connector as milliseconds.
    Duration,
    /// A group of options.
    Group(&'static [OptionSpec]),
    /// A list of groups.
    List(&'static [OptionSpec]),
}

/// One option of a connector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptionSpec {
    /// Key in the file.
    pub name: &'static str,
    /// Kind of value.
    pub kind: OptionKind,
    /// Whether it must be given.
    pub required: bool,
    /// Allowed texts; empty: any.
    pub choices: &'static [&'static str],
    /// One sentence for the JSON Schema and for error messages.
    pub help: &'static str,
}

/// What a connector is and takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConnectorSpec {
    /// Value of `type:` in the file.
    pub name: &'static str,
    /// Whether it can be read from.
    pub source: bool,
    /// Whether it can be written to.
    pub destination: bool,
    /// Whether it is written by bulk loads (a database, files) instead of record by record (an API).
    pub loads: bool,
    /// The ways it can be written.
    pub writes: &'static [Write],
    /// Its options, `type` not among them.
    pub options: &'static [OptionSpec],
    /// One sentence.
    pub help: &'static str,
}

/// A configured account on a system.
#[derive(Clone)]
pub struct Connection {
    /// Unique name in the project.
    pub name: String,
    /// The connector's name.
    pub kind: String,
    /// Option values with secrets filled in; matches the connector's [`OptionSpec`]s.
    pub options: serde_json::Value,
}

impl std::fmt::Debug for Connection {
    /// Without the options: they hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
