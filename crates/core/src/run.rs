//! Status and phases of a run.

use serde::{Deserialize, Serialize};

/// Where a run stands.
///
/// `queued → running → succeeded | partial | failed | cancelled`; `running → interrupted` at the start-up after its
/// process died. Only `queued` and `running` can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted, not started. Set by the scheduler.
    Queued,
    /// A process works on it. Set when the lease is claimed.
    Running,
    /// Every record is done.
    Succeeded,
    /// Every record is accounted for, some are parked, held or conflicted.
    Partial,
    /// Stopped by an error; what was done is recorded.
    Failed,
    /// Stopped by a person.
    Cancelled,
    /// Its process died; the next run resolves its open intents.
    Interrupted,
}

impl Status {
    /// The word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }

    /// Reads [`Status::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Queued,
            Self::Running,
            Self::Succeeded,
            Self::Partial,
            Self::Failed,
            Self::Cancelled,
            Self::Interrupted,
        ]
        .into_iter()
        .find(|s| s.as_str() == text)
    }

    /// Whether nothing more will happen to the run.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Connecting, resolving what an earlier run left open, first contact, reading.
    Fetch,
    /// Mapping records.
    Transform,
    /// Comparing with the ledger.
    Plan,
    /// Sending operations.
    Write,
    /// Deletes, last checkpoint, closing the account.
    Finish,
}

impl Phase {
    /// The word that is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Transform => "transform",
            Self::Plan => "plan",
            Self::Write => "write",
            Self::Finish => "finish",
        }
    }
}
