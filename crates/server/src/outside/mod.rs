//! What leaves the process: calls of web services, reports, mail and alerts.
//!
//! [`Reach`] is the one that services use. A report goes three ways: its queries are asked ([`report`]), the rows become text
//! ([`render`]), and the texts are delivered to files and by mail. Errors name what happened and where; addresses and values
//! that come from records are in none of them.

mod alert;
mod chart;
mod figures;
mod file;
pub(crate) mod http;
mod mail;
mod plain;
pub mod render;
pub mod report;
pub mod sign;

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use syncline_connect::{clock::Clock, statements::Statements};
use syncline_core::{alert::Receiver, chain::HttpCall, project::Project, report::Report};
use syncline_engine::service::{
    Outside,
    alerts::{Messenger, Notice},
};

/// The way out of this process.
pub struct Reach {
    directory: PathBuf,
    clock: Arc<dyn Clock>,
    client: reqwest::Client,
}

/// Why something did not get out: a stable code, and a message for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// `definition`, `query`, `template`, `unreachable`, `timeout`, `refused`, `partly`, `file`.
    pub code: &'static str,
    /// What happened, in lower case.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<Failure> for (String, String) {
    fn from(failure: Failure) -> Self {
        (failure.code.to_owned(), failure.message)
    }
}

impl Reach {
    /// Files of reports stay within `directory`, that of the project file.
    ///
    /// # Errors
    /// TLS cannot be set up on this machine.
    pub fn new(directory: PathBuf, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        Ok(Self { directory, clock, client: http::client()? })
    }
}

#[async_trait]
impl Outside for Reach {
    async fn http(&self, call: &HttpCall) -> Result<String, (String, String)> {
        Ok(http::call(&self.client, &*self.clock, call).await?)
    }

    async fn report(
        &self,
        project: &Project,
        report: &Report,
        statements: &dyn Statements,
        now: Timestamp,
    ) -> Result<String, (String, String)> {
        let messages = report::prepare(report, statements, now).await?;
        Ok(report::deliver(project.server.mail.as_ref(), &self.directory, report, messages, now).await?)
    }
}

#[async_trait]
impl Messenger for Reach {
    async fn tell(
        &self,
        project: &Project,
        receiver: &Receiver,
        notice: &Notice,
        now: Timestamp,
    ) -> Result<(), (String, String)> {
        let mail = project.server.mail.as_ref();
        Ok(alert::tell(&self.client, mail, &self.directory, receiver, notice, now).await?)
    }
}
