//! The service: decides what is due, records it, claims it, and hands it to who executes it.
//!
//! Two halves with a trait between them. **Decide and record** works on the
//! [`ServiceStore`](syncline_store::service::ServiceStore) alone: schedules become occurrences, occurrences are claimed,
//! renewed and finished. **Who executes** is an [`Executor`]: it is handed an [`Order`] and answers how it ended; the one
//! that is built in runs the engine in this process.
//!
//! Correctness never depends on the scheduler being right: a run holds the lease of its sync, and every write carries an
//! epoch.

pub mod agenda;
pub mod alerts;
mod backfill;
pub mod chain;
pub mod control;
pub mod delegated;
mod gate;
pub mod health;
mod held;
pub mod live;
mod local;
pub mod node;
mod once;
pub mod options;
mod persist;
mod requirement;
mod retry;
mod scheduler;
mod spans;
mod steps;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_connect::{Database, Source, registry::Caller, statements::Statements};
use syncline_core::{
    chain::HttpCall, connection::Connection, counts::Counts, project::Project, report::Report, run::Phase,
    run::Status, sync::Sync,
};
use syncline_store::{
    RunId,
    service::{Claim, Subject},
};
use tokio::sync::watch;

pub use control::Control;
pub use local::Local;
pub use node::Node;

use crate::{Engine, Error, Flow};

/// The definitions that are being served.
#[derive(Debug, Clone)]
pub struct Served {
    /// The last good ones.
    pub project: Arc<Project>,
    /// Rises with every change that was taken over.
    pub number: u64,
    /// When they were taken over.
    pub since: Timestamp,
    /// Where each sync and chain is defined.
    pub origins: BTreeMap<Subject, Origin>,
    /// What is wrong with newer definitions, which therefore are not served: every problem, for people.
    pub broken: Option<String>,
}

/// Where a definition comes from: one place for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The project file of this node.
    File,
    /// A project that was stored by `syncline apply`.
    Applied,
    /// The API.
    Api,
}

/// How a service reaches concrete systems. The binary implements it over its connectors.
#[async_trait]
pub trait Systems: Send + std::marker::Sync {
    /// What runs share: store, clock, quotas.
    fn engine(&self) -> Engine;

    /// Opens both connections of a sync and binds it; `caller`: for whom, and as part of what.
    ///
    /// # Errors
    /// [`Error::Definition`] with every problem, or [`Error::Connect`].
    async fn open(&self, project: &Project, sync: &Sync, caller: &Caller) -> Result<Flow, Error>;

    /// Opens a connection for reading; `caller`: for whom.
    ///
    /// # Errors
    /// Those of the connector; [`Kind::Definition`](syncline_connect::error::Kind) where it cannot be read.
    async fn source(
        &self,
        connection: &Connection,
        caller: &Caller,
    ) -> Result<Arc<dyn Source>, syncline_connect::Error>;

    /// Opens the database that syncs into a connection load into, and nothing else.
    ///
    /// # Errors
    /// Those of the connector; it is not one that is loaded into.
    async fn database(&self, connection: &Connection) -> Result<Arc<dyn Database>, syncline_connect::Error>;

    /// Opens a connection for single statements.
    ///
    /// # Errors
    /// Those of the connector.
    async fn statements(
        &self,
        connection: &Connection,
    ) -> Result<Arc<dyn Statements>, syncline_connect::Error>;

    /// Connects and signs in, and nothing else.
    ///
    /// # Errors
    /// Those of the connector.
    async fn probe(&self, connection: &Connection) -> Result<(), syncline_connect::Error>;
}

/// What steps do beyond databases. The server crate implements it.
#[async_trait]
pub trait Outside: Send + std::marker::Sync {
    /// Calls a web service; returns a line for people (`200 OK in 35 ms`).
    ///
    /// # Errors
    /// Code and message; neither holds the query of the address, headers or bodies.
    async fn http(&self, call: &HttpCall) -> Result<String, (String, String)>;

    /// Renders and delivers a report; returns a line for people (`3 messages, reports/weekly.html`).
    ///
    /// # Errors
    /// Code and message. What was delivered before stays delivered.
    async fn report(
        &self,
        project: &Project,
        report: &Report,
        statements: &dyn Statements,
        now: Timestamp,
    ) -> Result<String, (String, String)>;
}

/// Who executes what was decided and recorded.
#[async_trait]
pub trait Executor: Send + std::marker::Sync {
    /// Carries out an order to its end. `cancel` turning true asks to stop after the batch in hand. Dropping the future
    /// is as a crash of the process: nothing is lost, the claim ends by itself.
    async fn execute(&self, order: Order, cancel: watch::Receiver<bool>) -> Done;
}

/// Something that was claimed, and is to be carried out now.
#[derive(Debug, Clone)]
pub struct Order {
    /// The claim. Its options are [`StartOptions`] as JSON.
    pub claim: Claim,
    /// The definitions in force when it was claimed.
    pub project: Arc<Project>,
    /// Turns true when the node stops. What is asked to stop then answers [`Status::Interrupted`] rather than
    /// [`Status::Cancelled`].
    pub stopping: watch::Receiver<bool>,
}

/// How an order ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// A final status. [`Status::Interrupted`]: it was stopped with the node and is to be claimed again.
    pub status: Status,
    /// Code and message of what stopped it.
    pub error: Option<(String, String)>,
}

/// What is asked for with an occurrence; stored with it as JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct StartOptions {
    /// `full` or `incremental`, where it differs from the sync's.
    pub mode: Option<String>,
    /// Only retry parked records (syncs).
    pub only_parked: bool,
    /// Replace the table as a whole (syncs into tables).
    pub prepurge: bool,
    /// Rebuild the table's indexes afterwards (syncs into tables).
    pub reindex: bool,
    /// Seconds that an incremental load looks back (syncs into tables).
    pub lookback_seconds: Option<u64>,
    /// The run that is retried (syncs).
    pub retry_of: Option<RunId>,
    /// The run of the chain that is resumed.
    pub resume: Option<u64>,
    /// Digest of the plan that was looked at (syncs): the run plans again first, and is refused when it would do anything
    /// else.
    pub plan_digest: Option<String>,
}

/// How far a run of this process is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Progress {
    /// The sync.
    pub sync: String,
    /// The run.
    pub run: RunId,
    /// What it is doing.
    pub phase: Phase,
    /// About how many records the source holds.
    pub total: Option<u64>,
    /// Totals so far.
    pub counts: Counts,
    /// Seconds since it began.
    pub seconds: f64,
    /// Records read per second.
    pub rate: f64,
    /// Seconds left, where the total is known.
    pub eta_seconds: Option<f64>,
    /// What it told.
    pub notes: Vec<String>,
}
