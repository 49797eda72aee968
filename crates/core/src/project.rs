//! A project: everything that its files define.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use crate::{
    alert::{AlertRule, Receiver},
    chain::Chain,
    connection::Connection,
    report::Report,
    sync::Sync,
};

/// Everything a project defines. Every name that is used in it exists in it.
#[derive(Debug, Clone)]
pub struct Project {
    /// In the file's order; variables are filled in.
    pub connections: Vec<Connection>,
    /// In the file's order. Every connection they name is among `connections` and can play its role.
    pub syncs: Vec<Sync>,
    /// In the file's order.
    pub chains: Vec<Chain>,
    /// In the file's order.
    pub reports: Vec<Report>,
    /// In the file's order.
    pub alerts: Vec<AlertRule>,
    /// Where alerts go, in the file's order.
    pub receivers: Vec<Receiver>,
    /// Where the ledger is kept.
    pub store: StoreOptions,
    /// How `serve` serves.
    pub server: ServerOptions,
}

impl Project {
    /// The connection called `name`.
    pub fn connection(&self, name: &str) -> Option<&Connection> {
        self.connections.iter().find(|c| c.name == name)
    }

    /// The sync called `name`.
    pub fn sync(&self, name: &str) -> Option<&Sync> {
        self.syncs.iter().find(|s| s.name == name)
    }

    /// The chain called `name`.
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|c| c.name == name)
    }

    /// The report called `name`.
    pub fn report(&self, name: &str) -> Option<&Report> {
        self.reports.iter().find(|r| r.name == name)
    }
}

/// Where and how the ledger is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// SQLite file, relative to the project file; or the address of a PostgreSQL database (`postgres://…`).
    pub path: String,
    /// The file never grows beyond this many bytes.
    pub max_size: Option<u64>,
    /// How long to wait for another process that writes to the file.
    pub busy_timeout: Duration,
    /// Whose part of a PostgreSQL store it is; empty: the only one's.
    pub tenant: String,
}

impl StoreOptions {
    /// Whether it is the address of a PostgreSQL database, and not a file.
    pub fn is_postgres(&self) -> bool {
        self.path.starts_with("postgres://") || self.path.starts_with("postgresql://")
    }
}

impl std::fmt::Debug for StoreOptions {
    /// Without the address of a database: it may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = if self.is_postgres() { "postgres://…" } else { &self.path };
        f.debug_struct("StoreOptions")
            .field("path", &path)
            .field("max_size", &self.max_size)
            .field("busy_timeout", &self.busy_timeout)
            .field("tenant", &self.tenant)
            .finish()
    }
}

/// How `serve` serves.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerOptions {
    /// Where the API listens. Anything but loopback needs `tls` and a token.
    pub bind: SocketAddr,
    /// Certificate chain and key.
    pub tls: Option<Tls>,
    /// Runs of this node at once.
    pub parallel: usize,
    /// Runs of all nodes at once that use the connection.
    pub limits: BTreeMap<String, usize>,
    /// How long what is forgotten is kept.
    pub retention: Retention,
    /// How mail leaves.
    pub mail: Option<Mail>,
    /// How long a stop waits for the batches in hand.
    pub grace: Duration,
    /// Whose users may start runs in their own name; none: nobody but those with a token of ours.
    pub users: Option<Users>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 8450)),
            tls: None,
            parallel: 8,
            limits: BTreeMap::new(),
            retention: Retention::default(),
            mail: None,
            grace: Duration::from_secs(30),
            users: None,
        }
    }
}

/// Which access tokens of an identity provider name a user whom we serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users {
    /// Who issues them: their `iss`, and the root of the provider's OpenID configuration.
    pub issuer: String,
    /// For whom they are issued: one of these is their `aud`.
    pub audience: Vec<String>,
    /// Where the provider's keys are; none: its OpenID configuration says so.
    pub jwks: Option<String>,
    /// The only tenant whose users are served; none: those of every tenant that the issuer speaks for.
    pub tenant: Option<String>,
    /// How far the provider's clock and ours may be apart.
    pub clock_skew: Duration,
    /// A scope that every token must have.
    pub required_scope: Option<String>,
}

/// Files of a certificate, relative to the project file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM: the chain, the server's own first.
    pub certificate: String,
    /// PEM: its key.
    pub key: String,
}

/// How long what is forgotten is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Ended runs, of syncs and chains, and their occurrences.
    pub runs: Duration,
    /// Events.
    pub events: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        Self { runs: days(90), events: days(30) }
    }
}

/// How mail leaves.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// `smtp://` (STARTTLS where offered), `smtps://`, with user and password where needed.
    pub url: String,
    /// Sender.
    pub from: String,
    /// How long one message may take.
    pub timeout: Duration,
}

impl std::fmt::Debug for Mail {
    /// Without the address: it holds a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("from", &self.from).finish_non_exhaustive()
    }
}
