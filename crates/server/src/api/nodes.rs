//! Nodes: the processes that share the store.

use axum::{extract::State, response::Response};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    page::{List, Page, PageParams},
    problem::{Problem, Sent},
};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A process that serves.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NodeShown {
    /// Unique per process.
    node: String,
    /// Version of the program.
    version: String,
    /// When the process started.
    started_at: Timestamp,
    /// Runs at the moment.
    running: u64,
    /// Its last sign of life.
    seen_at: Timestamp,
}

/// The nodes that gave a sign of life within a day, by name.
#[utoipa::path(get, path = "/nodes", tag = "nodes", params(PageParams), security(("token" = ["read"])),
    responses((status = 200, description = "A page", body = List<NodeShown>),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn list(State(api): State<Api>, page: Page) -> Result<Response, Problem> {
    let nodes = api.store.nodes().await?;
    page.by_name(
        "nodes",
        nodes,
        |(node, _)| node.node.clone(),
        |(node, seen_at)| NodeShown {
            node: node.node,
            version: node.version,
            started_at: node.started_at,
            running: node.running,
            seen_at,
        },
    )
}
