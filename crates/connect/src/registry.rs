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
    /// For whom connections are opened.
    pub caller: Caller,
}

/// For whom a connection is opened, and as part of what.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// The user in whose name it is used, where the connection's credential is on behalf of one.
    pub user: Option<Arc<User>>,
    /// Links requests with the run: 32 hexadecimal digits, sent as the client's request id where the system takes one.
    pub correlation: Option<String>,
}

/// A user who asked, with the token that says so. Lives in memory only: neither stored nor logged.
pub struct User {
    /// The object id, unique within the tenant: owner of what is loaded.
    pub owner: String,
    /// The tenant.
    pub tenant: String,
    /// The access token that was presented to us, which can be exchanged for one of another service.
    pub assertion: secrecy::SecretString,
}

impl std::fmt::Debug for User {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("owner", &self.owner)
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
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
