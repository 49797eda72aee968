//! Lists of one SharePoint Online site, as source and as destination, through Microsoft Graph v1.0.
//!
//! What it does: finds lists by title, name, path or id; describes their columns; creates, updates and deletes items
//! in `$batch` requests of 20; finds items by the identity stamped into the column `SynclineKey`; lists everything
//! through a delta enumeration. One connection is one site and one application, by itself or on
//! behalf of the user who asks.
//!
//! Limits, all the service's own (facts: `microsoft-graph.md`):
//! - quota in resource units per application and tenant, a write costs 2 (§3); the smallest tier is the default here;
//! - numbers are doubles, times are whole seconds of the years 1900 to 8900 (§2.5);
//! - lookup, person, calculated, term and location columns and columns without a facet are not carried (§2.3);
//! - nothing in Graph makes a create idempotent: only a unique `SynclineKey` gives exactly once (§2.6).
//!
//! Vendor pages: <https://learn.microsoft.com/graph/api/resources/list>,
//! <https://learn.microsoft.com/graph/json-batching>, <https://learn.microsoft.com/graph/throttling>,
//! <https://learn.microsoft.com/sharepoint/dev/general-development/how-to-avoid-getting-throttled-or-blocked-in-sharepoint-online>.
//!
//! Where to start: `config` (options), `graph::client` (one request), `batch` (twenty), `write` and `read` (the contract),
//! `graph::errors` (every status, in one place), `doing` (what is asked of lists, and the permission for it).

mod batch;
mod changes;
mod columns;
mod config;
mod describe;
mod doing;
#[cfg(test)]
mod fuzz;
mod item;
mod listing;
mod read;
mod source;
mod stamp;
mod types;
mod whole;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use syncline_core::{
    connection::{Connection, ConnectorSpec},
    identity::Identity,
    schema::{Field, Stream},
};

use crate::{
    Destination, Error, Source,
    destination::{Applied, Facts, Lister, Operation, Record, Stamp},
    graph::{
        Tokens,
        client::{Client, segment},
        errors,
    },
    registry::{self, Context},
};

/// Most parts of one `$batch` request (facts §2.10).
pub const BATCH_MAX: usize = 20;

/// Internal name of the column that carries the identity.
pub const STAMP_FIELD: &str = "SynclineKey";

/// Resource units (facts §3.1): reading one item, or a delta page by its token.
const COST_SINGLE: u64 = 1;

/// Resource units of everything else that is used here.
const COST_OTHER: u64 = 2;

/// The code for SharePoint.
#[derive(Default)]
pub struct Connector {
    tokens: Tokens,
    broken_deltas: listing::BrokenDeltas,
}

impl Connector {
    /// One that has its tokens with other connectors to Microsoft Graph.
    pub fn sharing(tokens: &Tokens) -> Self {
        Self { tokens: tokens.clone(), broken_deltas: listing::BrokenDeltas::default() }
    }

    fn site(&self, connection: &Connection, context: &Context) -> Result<Site, Error> {
        let named = |e: Error| e.context(format_args!("connection {:?}", connection.name));
        let config = config::Config::read(connection, &context.directory).map_err(named)?;
        let client = Client::open(&config.graph, &self.tokens, context).map_err(named)?;
        Ok(Site {
            client: Arc::new(client),
            address: config.site,
            id: tokio::sync::OnceCell::new(),
            concurrency: config.graph.concurrency,
            settle: config.settle,
            broken_deltas: Arc::clone(&self.broken_deltas),
        })
    }
}

#[async_trait]
impl registry::Connector for Connector {
    fn spec(&self) -> ConnectorSpec {
        config::SPEC
    }

    async fn source(&self, connection: &Connection, context: &Context) -> Result<Arc<dyn Source>, Error> {
        Ok(Arc::new(source::Lists::of(self.site(connection, context)?)))
    }

    async fn destination(
        &self,
        connection: &Connection,
        context: &Context,
    ) -> Result<Arc<dyn Destination>, Error> {
        Ok(Arc::new(self.site(connection, context)?))
    }
}

/// An open connection: one site.
struct Site {
    client: Arc<Client>,
    address: config::SiteAddress,
    /// The site's id, once it was asked for.
    id: tokio::sync::OnceCell<String>,
    concurrency: usize,
    settle: std::time::Duration,
    /// Lists whose delta enumeration was found broken (facts §2.9); they are listed page by page instead.
    broken_deltas: listing::BrokenDeltas,
}

impl Site {
    /// Path of the site below the Graph root: `/sites/{id}`.
    async fn path(&self) -> Result<String, Error> {
        let id = self.id.get_or_try_init(|| describe::site_id(&self.client, &self.address)).await?;
        Ok(format!("/sites/{id}"))
    }

    /// Path of a list: `/sites/{id}/lists/{list}`.
    async fn list_path(&self, stream: &Stream) -> Result<String, Error> {
        Ok(format!("{}/lists/{}", self.path().await?, segment(&stream.id)))
    }
}

#[async_trait]
impl Destination for Site {
    fn facts(&self) -> Facts {
        Facts {
            batch_max: BATCH_MAX,
            concurrency: self.concurrency,
            settle: self.settle,
            stamp_field: STAMP_FIELD,
        }
    }

    async fn describe(&self, stream: &str) -> Result<Stream, Error> {
        let site = self.path().await?;
        describe::stream(&self.client, &site, stream).await
    }

    async fn streams(&self) -> Result<Vec<String>, Error> {
        let site = self.path().await?;
        describe::names(&self.client, &site).await
    }

    fn stamp(&self, stream: &Stream) -> Stamp {
        stamp::of(stream)
    }

    async fn prepare(&self, stream: &Stream) -> Result<Vec<String>, Error> {
        let list = self.list_path(stream).await?;
        stamp::prepare(&self.client, &list, stream).await
    }

    async fn write(
        &self,
        stream: &Stream,
        fields: &[Field],
        operations: &[Operation],
    ) -> Vec<Result<Applied, Error>> {
        match self.list_path(stream).await {
            Ok(list) => write::write(&self.client, &list, stream, fields, operations).await,
            // The site could not be resolved, so nothing was sent.
            Err(e) => operations.iter().map(|_| Err(errors::nothing_sent(e.clone()))).collect(),
        }
    }

    async fn lookup(
        &self,
        stream: &Stream,
        fields: &[Field],
        identities: &[Identity],
    ) -> Result<Vec<Record>, Error> {
        let list = self.list_path(stream).await?;
        read::lookup(&self.client, &list, stream, fields, identities).await
    }

    async fn get(
        &self,
        stream: &Stream,
        fields: &[Field],
        ids: &[String],
    ) -> Result<Vec<Option<Record>>, Error> {
        let list = self.list_path(stream).await?;
        read::get(&self.client, &list, stream, fields, ids).await
    }

    async fn link(&self, stream: &Stream, id: &str) -> Result<Option<String>, Error> {
        let list = self.list_path(stream).await?;
        let named = |e: Error| e.context(format_args!("list {:?}", stream.name));
        describe::link(&self.client, &list, id).await.map_err(named)
    }

    async fn list(&self, stream: &Stream, fields: &[Field]) -> Result<Box<dyn Lister>, Error> {
        let list = self.list_path(stream).await?;
        let client = Arc::clone(&self.client);
        Ok(Box::new(listing::Listing::open(client, &list, stream, fields, &self.broken_deltas)))
    }
}
