//! Alerts: who is told of which change of state.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What is worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// A run or a required step failed.
    Failed,
    /// Nothing completed for longer than its schedule allows, also when nothing ran at all.
    Late,
    /// A run ended with records left over.
    Partial,
    /// More records are parked than allowed.
    Parked,
    /// Deletes wait for approval.
    Held,
    /// A run read far fewer or far more records than those before.
    Anomaly,
}

impl AlertKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Failed, Self::Late, Self::Partial, Self::Parked, Self::Held, Self::Anomaly];

    /// The word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Late => "late",
            Self::Partial => "partial",
            Self::Parked => "parked",
            Self::Held => "held",
            Self::Anomaly => "anomaly",
        }
    }

    /// Reads [`AlertKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

/// Who is told of what.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRule {
    /// Unique among the project's alerts.
    pub name: String,
    /// Which changes; never empty.
    pub on: Vec<AlertKind>,
    /// Syncs and chains it is about; empty: all.
    pub about: Vec<String>,
    /// Names of receivers.
    pub to: Vec<String>,
    /// At most one message per sync and kind in this time; a recovery is always told.
    pub throttle: Duration,
    /// `Parked`: more than so many.
    pub parked_max: u64,
    /// `Anomaly`: a full run that reads this many percent fewer or more than the median of the ten before.
    pub anomaly_percent: f64,
}

/// Where messages go.
#[derive(Clone, PartialEq)]
pub struct Receiver {
    /// Unique among the project's receivers.
    pub name: String,
    /// How it is reached.
    pub kind: ReceiverKind,
}

/// How a receiver is reached.
#[derive(Clone, PartialEq)]
pub enum ReceiverKind {
    /// JSON by POST, signed with HMAC-SHA256 over time stamp and body.
    Webhook {
        /// Address.
        url: String,
        /// Key of the signature.
        secret: String,
    },
    /// A webhook that takes what Slack's do.
    Slack {
        /// Address; it is a secret.
        url: String,
    },
    /// Mail through the project's server.
    Email {
        /// Addresses.
        to: Vec<String>,
    },
}

impl std::fmt::Debug for Receiver {
    /// Without addresses and keys: they are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("name", &self.name).finish_non_exhaustive()
    }
}
