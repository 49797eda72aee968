//! Connectors by name.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use syncline_core::connection::{Connection, ConnectorSpec};

use crate::{Database, Destination, Error, Source, Statements, budget::Budgets, clock::Clock, error::Kind};

/// What every connector is handed.
#[derive(Debug, Clone)]
pub struct Context {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Quotas shared by all connections of one account.
    pub budgets: Arc<Budgets>,
    /// Seed for jitter and request ids.
    pub seed: u64,
    /// Directory that relative paths in connections are relative to (that of the project file).
    pub directory: std::path::PathBuf,
}

/// The code for a kind of system. Opening may connect; each call opens anew.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Name and options.
    fn spec(&self) -> ConnectorSpec;

    /// Opens a connection for reading.
    async fn source(&self, connection: &Connection, _context: &Context) -> Result<Arc<dyn Source>, Error> {
        Err(cannot(connection, "source"))
    }

    /// Opens a connection for writing.
    async fn destination(
        &self,
        connection: &Connection,
        _context: &Context,
    ) -> Result<Arc<dyn Destination>, Error> {
        Err(cannot(connection, "destination"))
    }

    /// Opens a connection for bulk loads.
    async fn database(
        &self,
        connection: &Connection,
        _context: &Context,
    ) -> Result<Arc<dyn Database>, Error> {
        Err(cannot(connection, "destination of tables"))
    }

    /// Opens a connection for single statements.
    async fn statements(
        &self,
        connection: &Connection,
        _context: &Context,
    ) -> Result<Arc<dyn Statements>, Error> {
        Err(cannot(connection, "place for SQL statements"))
    }
}

fn cannot(connection: &Connection, role: &str) -> Error {
    Error::new(
        Kind::Definition,
        format!("connection {:?}: type {} cannot be a {role}", connection.name, connection.kind),
    )
}

/// The connectors of this binary.
#[derive(Default)]
pub struct Registry {
    connectors: BTreeMap<&'static str, Box<dyn Connector>>,
}

impl Registry {
    /// Adds a connector under the name in its spec.
    #[must_use]
    pub fn with(mut self, connector: impl Connector + 'static) -> Self {
        self.connectors.insert(connector.spec().name, Box::new(connector));
        self
    }

    /// What each connector is and takes.
    pub fn specs(&self) -> Vec<ConnectorSpec> {
        self.connectors.values().map(|c| c.spec()).collect()
    }

    /// The connector of a connection.
    ///
    /// # Errors
    /// [`Kind::Definition`], naming the known types.
    pub fn of(&self, connection: &Connection) -> Result<&dyn Connector, Error> {
        self.connectors.get(connection.kind.as_str()).map(AsRef::as_ref).ok_or_else(|| {
            let known: Vec<_> = self.connectors.keys().copied().collect();
            Error::new(
                Kind::Definition,
                format!(
                    "connection {:?}: unknown type {:?}; known: {}",
                    connection.name,
                    connection.kind,
                    known.join(", ")
                ),
            )
        })
    }
}
