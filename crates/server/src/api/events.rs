//! Events: what happened, in order.

use axum::{extract::State, response::Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_store::service::{Event, EventFilter, Subject};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    extract::{Id, Name, Query},
    page::{List, Page, PageParams},
    problem::{Code, Problem, Sent},
    shown::SubjectShown,
};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventShown {
    /// Number; rises in the order in which events become visible.
    pub(crate) id: u64,
    /// When.
    at: Timestamp,
    /// Stable word: `run.started`, `run.finished`, `definition.stored` …
    pub(crate) kind: String,
    /// What it is about.
    subject: Option<SubjectShown>,
    /// The run it belongs to.
    run: Option<u64>,
    /// Links log lines, events and runs.
    correlation: Option<String>,
    /// One sentence.
    message: String,
    /// More.
    data: serde_json::Value,
}

impl From<Event> for EventShown {
    fn from(Event { id, event }: Event) -> Self {
        Self {
            id,
            at: event.at,
            kind: event.kind,
            subject: event.subject.map(Into::into),
            run: event.run,
            correlation: event.correlation,
            message: event.message,
            data: event.data,
        }
    }
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// After this number; left out: from the oldest that is kept (of a stream: from now on).
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9_223_372_036_854_775_807_i64)]
    pub(crate) after: Option<Id>,
    /// About this sync.
    #[param(value_type = Option<String>, max_length = 200)]
    sync: Option<Name>,
    /// About this chain.
    #[param(value_type = Option<String>, max_length = 200)]
    chain: Option<Name>,
    /// Whose kind begins with this: `run.`
    #[param(value_type = Option<String>, max_length = 200)]
    kind: Option<Name>,
    /// Of this run.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9_223_372_036_854_775_807_i64)]
    run: Option<Id>,
}

impl Which {
    /// As the store takes it.
    ///
    /// # Errors
    /// A sync and a chain are named.
    pub(crate) fn filter(&self) -> Result<EventFilter, Problem> {
        let subject = match (&self.sync, &self.chain) {
            (Some(_), Some(_)) => return Err(Problem::new(Code::BadQuery, "either sync or chain, not both")),
            (Some(sync), None) => Some(Subject::sync(sync.0.clone())),
            (None, chain) => chain.as_ref().map(|chain| Subject::chain(chain.0.clone())),
        };
        Ok(EventFilter {
            subject,
            kind: self.kind.as_ref().map(|kind| kind.0.clone()),
            run: self.run.map(|run| run.0),
        })
    }
}

/// What happened, the oldest first.
#[utoipa::path(get, path = "/events", tag = "events", params(PageParams, Which), security(("token" = ["read"])),
    responses((status = 200, description = "A page", body = List<EventShown>),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn list(State(api): State<Api>, page: Page, Query(which): Query<Which>) -> Result<Response, Problem> {
    let after = page.before("events")?.or(which.after.map(|after| after.0)).unwrap_or(0);
    let found = api.store.events(&which.filter()?, after, page.limit + 1).await?;
    Ok(page.answer("events", found, |event| event.id, EventShown::from))
}
