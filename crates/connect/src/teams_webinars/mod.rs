//! The `teams_webinars` source: webinars of Microsoft Teams, who registered and who attended, through Microsoft Graph v1.0.
//!
//! What it does: lists the webinars that a user organizes (on behalf of that user) or those of a tenant (as an application),
//! their sessions, registrations and attendance; and joins the registrations of a webinar with all attendance reports of one
//! of its sessions into one list of people (`participants`). A listing is complete, or an error: everything is fetched
//! before the first record is given.
//!
//! Limits, all the service's own (facts: `microsoft-graph.md` §4):
//! - global cloud only; only the organizer and co-organizers may read attendance (§4.1);
//! - whether a user may list registrations is disputed: see the option `registrations` (§4.3);
//! - the 50 latest reports of a session, kept for one year; breakout rooms are not in them (§4.5);
//! - no limit on requests is published, so a moderate one is the default (§3.4);
//! - nothing tells what changed: each reading is a whole one.
//!
//! Vendor pages: <https://learn.microsoft.com/graph/api/resources/virtualeventwebinar>,
//! <https://learn.microsoft.com/graph/api/virtualeventwebinar-list-registrations>,
//! <https://learn.microsoft.com/graph/api/meetingattendancereport-list>.
//!
//! Where to start: `config` (options), `describe` (streams), `fetch` (the requests), `read` (listings), `attendance` and
//! `participants` (who is who, and how long they stayed).

mod attendance;
mod config;
mod describe;
mod doing;
mod fetch;
#[cfg(test)]
mod fuzz;
mod notified;
mod participants;
mod read;
mod rows;
mod times;
mod types;
mod zones;

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use syncline_core::{
    batch::Batch,
    connection::{Connection, ConnectorSpec},
    schema::Stream,
    value::Value,
};

use crate::{
    Error, Source,
    graph::{Tokens, client::Client, config::Grant},
    registry::{self, Context},
    source::{Fetch, Read, Reader},
};
use config::{Config, Registrations};

/// The code for Teams webinars.
#[derive(Default)]
pub struct Connector {
    tokens: Tokens,
}

impl Connector {
    /// One that has its tokens with other connectors to Microsoft Graph.
    pub fn sharing(tokens: &Tokens) -> Self {
        Self { tokens: tokens.clone() }
    }
}

#[async_trait]
impl registry::Connector for Connector {
    fn spec(&self) -> ConnectorSpec {
        config::SPEC
    }

    async fn source(&self, connection: &Connection, context: &Context) -> Result<Arc<dyn Source>, Error> {
        let named = |e: Error| e.context(format_args!("connection {:?}", connection.name));
        let config = Config::read(connection, &context.directory).map_err(named)?;
        let open = |config| Client::open(config, &self.tokens, context).map(Arc::new).map_err(named);
        let client = open(&config.graph)?;
        let registrar = match &config.registrations {
            Registrations::Application(own) => open(own)?,
            Registrations::Listed | Registrations::Notified(_) => Arc::clone(&client),
        };
        let delegated = config.graph.grant == Grant::OnBehalfOf;
        Ok(Arc::new(Webinars(Arc::new(Account {
            delegated,
            fetcher: fetch::Fetcher { config, client, registrar },
        }))))
    }
}

/// An open connection.
struct Account {
    /// Acts for a user, whose webinars are listed.
    delegated: bool,
    fetcher: fetch::Fetcher,
}

struct Webinars(Arc<Account>);

#[async_trait]
impl Source for Webinars {
    async fn describe(&self, stream: &str) -> Result<Stream, Error> {
        describe::stream(stream)
    }

    async fn streams(&self) -> Result<Vec<String>, Error> {
        Ok(describe::NAMES.iter().map(|&name| name.to_owned()).collect())
    }

    async fn read(&self, request: Read) -> Result<Box<dyn Reader>, Error> {
        Ok(Box::new(read::Listing::open(Arc::clone(&self.0), request)?))
    }

    async fn fetch(&self, request: Fetch) -> Result<Batch, Error> {
        read::fetch(&self.0, &request).await
    }

    /// None: the service's ids are unique, and people are brought together under their key.
    async fn duplicate_keys(
        &self,
        _stream: &str,
        _key: &[String],
        _limit: usize,
    ) -> Result<Vec<Vec<Value<'static>>>, Error> {
        Ok(Vec::new())
    }
}

/// Does something with each of `items`, at most `concurrency` at once: the results in order, or the first error.
async fn all<T, R, F: Future<Output = Result<R, Error>>>(
    concurrency: usize,
    items: Vec<T>,
    work: impl Fn(T) -> F,
) -> Result<Vec<R>, Error> {
    stream::iter(items).map(work).buffered(concurrency.max(1)).try_collect().await
}
