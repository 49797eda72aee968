//! Chains: steps that depend on each other, and the rules by which they are run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{schedule::Schedule, sync::Mode};

/// A DAG of steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// Unique among the project's chains.
    pub name: String,
    /// When it runs.
    pub schedules: Vec<Schedule>,
    /// In the file's order. Names are unique; `needs` names steps of the same chain and has no cycle.
    pub steps: Vec<Step>,
}

/// One step of a chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Unique in the chain.
    pub name: String,
    /// Steps that must have succeeded first (an optional one must have ended).
    pub needs: Vec<String>,
    /// Whether its failure stops its dependents and fails the chain; an optional step's failure makes it partial.
    pub required: bool,
    /// What must hold before it starts; otherwise it fails without having run.
    pub requires: Vec<Requirement>,
    /// How long it may take.
    pub timeout: Duration,
    /// What it does.
    pub kind: StepKind,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    /// Runs a sync; succeeded and partial count as success.
    Sync {
        /// Its name.
        sync: String,
        /// What it reads, where that differs from the sync's mode.
        mode: Option<Mode>,
    },
    /// Runs statements on a database, in one transaction.
    Sql {
        /// Connection.
        connection: String,
        /// Statements, in order.
        statements: Vec<String>,
    },
    /// Looks at data; its failure is the step's failure.
    Check(Requirement),
    /// Calls a web service.
    Http(HttpCall),
    /// Renders and sends a report.
    Report {
        /// Its name.
        report: String,
    },
}

/// Something that must hold of the data.
#[derive(Debug, Clone, PartialEq)]
pub enum Requirement {
    /// The query's single number is within these limits.
    Rows {
        /// Connection.
        connection: String,
        /// `select count(*) from …`.
        query: String,
        /// At least.
        min: Option<i64>,
        /// At most.
        max: Option<i64>,
    },
    /// The query's single time (null: never) is not older than this.
    Fresh {
        /// Connection.
        connection: String,
        /// `select max(updated_at) from …`.
        query: String,
        /// Limit of the data's age.
        within: Duration,
    },
    /// A sync's last complete run is not older than this.
    Synced {
        /// Its name.
        sync: String,
        /// Limit of the data's age.
        within: Duration,
    },
}

/// A call of a web service. Its answer is read up to 64 KiB and not kept.
#[derive(Clone, PartialEq)]
pub struct HttpCall {
    /// `GET`, `POST`, `PUT`, `PATCH`, `DELETE`.
    pub method: String,
    /// Address; may hold a secret, so it is shown without its query.
    pub url: String,
    /// Headers; values are secrets.
    pub headers: Vec<(String, String)>,
    /// Body, sent as it is.
    pub body: Option<String>,
    /// Statuses that mean success; empty: 200-299.
    pub expect: Vec<u16>,
}

impl std::fmt::Debug for HttpCall {
    /// Without the address, the headers and the body: they may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpCall").field("method", &self.method).finish_non_exhaustive()
    }
}

/// Where a step of a chain's run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Waits for others.
    Waiting,
    /// Under way.
    Running,
    /// Done.
    Succeeded,
    /// Done, with something left for a person or the next run (parked records).
    Partial,
    /// Ended with an error, or a requirement did not hold.
    Failed,
    /// A step that it needs failed; it was not run.
    Skipped,
    /// Stopped by a person, or with the process that ran it.
    Cancelled,
}

/// Where a chain's run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainStatus {
    /// Under way.
    Running,
    /// Every step succeeded.
    Completed,
    /// Every required step succeeded, an optional one did not.
    Partial,
    /// A required step failed.
    Failed,
    /// Stopped by a person.
    Cancelled,
}

impl StepStatus {
    /// Every status.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Running,
        Self::Succeeded,
        Self::Partial,
        Self::Failed,
        Self::Skipped,
        Self::Cancelled,
    ];

    /// The word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads [`StepStatus::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

impl ChainStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Running, Self::Completed, Self::Partial, Self::Failed, Self::Cancelled];

    /// The word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads [`ChainStatus::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }
}
