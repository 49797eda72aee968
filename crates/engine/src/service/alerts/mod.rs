//! Alerts: who is told of which change of state. A change is told once, not at every run; so is the recovery.
//!
//! [`judge`] says what holds now, [`change`] what that changes and whom it concerns: both are pure. [`deliver`] looks every few
//! seconds, on any node: of several nodes one takes a message on, and a message that was taken on is delivered at least once.

pub mod change;
pub mod deliver;
pub mod judge;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_core::{
    alert::{AlertKind, Receiver},
    project::Project,
};
use syncline_store::{RunId, service::Subject};

/// What somebody is told; the body of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The rule that says so.
    pub rule: String,
    /// What it is about.
    pub subject: Subject,
    /// What.
    pub kind: AlertKind,
    /// Whether it holds now.
    pub state: NoticeState,
    /// Since when it holds, or does not.
    pub since: Timestamp,
    /// The run that shows it.
    pub run: Option<RunId>,
    /// One line: `sync "orders" failed`.
    pub title: String,
    /// What, since when, which run, and what to do; a sentence in each line.
    pub text: String,
}

/// Whether what is told holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeState {
    /// It holds.
    Active,
    /// It held, and does not any more.
    Recovered,
    /// Nothing happened: somebody tries whether messages arrive.
    Test,
}

impl Notice {
    /// A message that says that messages arrive.
    pub fn test(receiver: &str, now: Timestamp) -> Self {
        Self {
            rule: "test".to_owned(),
            subject: Subject::sync("test"),
            kind: AlertKind::Failed,
            state: NoticeState::Test,
            since: now,
            run: None,
            title: format!("test of receiver {receiver:?}"),
            text: "This is a test: nothing happened, and messages arrive.".to_owned(),
        }
    }
}

/// A message that waits for its delivery; stored as JSON with the state of its alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// What is told.
    pub notice: Notice,
    /// Names of the receivers that have not been told yet.
    pub to: Vec<String>,
}

/// How receivers are reached. The server crate implements it.
#[async_trait]
pub trait Messenger: Send + Sync {
    /// Tells a receiver; `Ok` when the far side took it.
    ///
    /// # Errors
    /// Code and message, without addresses and keys.
    async fn tell(
        &self,
        project: &Project,
        receiver: &Receiver,
        notice: &Notice,
        now: Timestamp,
    ) -> Result<(), (String, String)>;
}
