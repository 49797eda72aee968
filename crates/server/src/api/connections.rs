//! Connections. What they are configured with is never shown: it holds secrets.

use std::time::Duration;

use axum::{extract::State, response::Response};
use serde::Serialize;
use syncline_core::project::Project;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Api,
    extract::{Name, Path},
    page::{List, Page, PageParams},
    problem::{Code, Problem, Sent},
    shown::Fault,
};

/// How long signing in may take.
const PROBE: Duration = Duration::from_secs(60);

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(test))
}

/// A connection, without what it is configured with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectionShown {
    /// Its name.
    name: String,
    /// The connector: `postgres`, `sharepoint` …
    kind: String,
    /// Syncs that read from it.
    read_by: Vec<String>,
    /// Syncs that write to it.
    written_by: Vec<String>,
}

/// What came of a test.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Tested {
    /// Whether it could be connected to and signed in.
    pub(crate) ok: bool,
    /// Seconds it took.
    pub(crate) seconds: f64,
    /// Why it could not be.
    pub(crate) error: Option<Fault>,
    /// What to do.
    pub(crate) hint: Option<String>,
}

impl ConnectionShown {
    fn of(connection: &syncline_core::connection::Connection, project: &Project) -> Self {
        let name = &connection.name;
        let using = |uses: &dyn Fn(&syncline_core::sync::Sync) -> bool| {
            project.syncs.iter().filter(|sync| uses(sync)).map(|sync| sync.name.clone()).collect()
        };
        Self {
            name: name.clone(),
            kind: connection.kind.clone(),
            read_by: using(&|sync| sync.from.connection == *name),
            written_by: using(&|sync| sync.to.connection == *name),
        }
    }
}

/// The connections, by name.
#[utoipa::path(get, path = "/connections", tag = "connections", params(PageParams), security(("token" = ["read"])),
    responses((status = 200, description = "A page", body = List<ConnectionShown>),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn list(State(api): State<Api>, page: Page) -> Result<Response, Problem> {
    let project = &api.served().project;
    let mut connections: Vec<_> = project.connections.iter().collect();
    connections.sort_by(|a, b| a.name.cmp(&b.name));
    page.by_name("connections", connections, |c| c.name.clone(), |c| ConnectionShown::of(c, project))
}

/// One connection.
#[utoipa::path(get, path = "/connections/{connection}", tag = "connections", params(("connection" = Name, Path)), security(("token" = ["read"])),
    responses((status = 200, description = "The connection", body = ConnectionShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn show(State(api): State<Api>, Path(name): Path<Name>) -> Answer<ConnectionShown> {
    let project = &api.served().project;
    let connection = project.connection(&name.0);
    let connection = connection.ok_or_else(|| Problem::missing("connection", format!("{:?}", name.0)))?;
    Ok(axum::Json(ConnectionShown::of(connection, project)))
}

/// Connects and signs in, and nothing else. That it cannot be done is an answer, not a problem.
#[utoipa::path(post, path = "/connections/{connection}/test", tag = "connections", params(("connection" = Name, Path)), security(("token" = ["run"])),
    responses((status = 200, description = "What came of it", body = Tested),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn test(State(api): State<Api>, Path(name): Path<Name>) -> Answer<Tested> {
    Ok(axum::Json(tested(&api, &name.0).await?))
}

/// What comes of a test of a connection.
///
/// # Errors
/// There is no such connection, or too many tests are under way.
pub(crate) async fn tested(api: &Api, name: &str) -> Result<Tested, Problem> {
    let served = api.served();
    let connection = served.project.connection(name);
    let connection = connection.ok_or_else(|| Problem::missing("connection", format!("{name:?}")))?;
    let _place = api.look()?;
    let began = api.clock.elapsed();
    let ended = tokio::time::timeout(PROBE, api.systems.probe(connection)).await;
    let seconds = api.clock.elapsed().saturating_sub(began).as_secs_f64();
    let (error, hint) = match ended {
        Ok(Ok(())) => (None, None),
        Ok(Err(error)) => {
            let fault = Fault { code: error.code().to_owned(), message: error.message.clone() };
            (Some(fault), error.hint)
        }
        Err(_) => {
            let message = format!("no answer within {} s", PROBE.as_secs());
            (Some(Fault { code: "too_slow".to_owned(), message }), None)
        }
    };
    Ok(Tested { ok: error.is_none(), seconds, error, hint })
}

impl Api {
    /// A place among those that ask the systems at once.
    ///
    /// # Errors
    /// There is none free.
    pub(crate) fn look(&self) -> Result<tokio::sync::OwnedSemaphorePermit, Problem> {
        std::sync::Arc::clone(&self.0.looks).try_acquire_owned().map_err(|_| {
            let problem =
                Problem::new(Code::Overloaded, "too many plans, verifications and tests are under way");
            Problem { retry_after: Some(10), ..problem.hint("wait until one of them is done") }
        })
    }
}
