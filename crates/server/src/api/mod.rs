//! The REST API, below `/api/v1`, and beside it what probes and scrapers ask.
//!
//! Each resource has a file: what is shown of it, its handlers, and its routes. The OpenAPI document is made from the
//! handlers; `guard` reads from it who may call what, so that the two cannot differ. Errors are [`problem`] details with
//! the stable codes of [`codes`].
//!
//! Start reading at [`router`].
#![expect(unused_qualifications, reason = "what `utoipa::path` makes of its parameters")]

mod backfills;
mod board;
mod chains;
pub mod codes;
pub(crate) mod connections;
pub(crate) mod cursors;
pub(crate) mod decisions;
pub mod definitions;
mod delegated;
pub(crate) mod drift;
mod events;
mod extract;
pub(crate) mod guard;
mod health;
mod held;
mod nodes;
pub(crate) mod occurrences;
mod openapi;
pub(crate) mod page;
mod parked;
mod plan;
pub mod problem;
pub(crate) mod records;
pub(crate) mod runs;
mod schedules;
mod settings;
pub(crate) mod shown;
mod stream;
mod syncs;
mod tokens;

use std::sync::Arc;

use axum::Router;
use syncline_connect::clock::Clock;
use syncline_engine::service::{Served, Systems, control::Control};
use syncline_store::service::ServiceStore;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;

pub use openapi::document;

pub(crate) use self::board::Standing;
use self::{board::Board, definitions::Definitions, drift::Verifications, problem::Problem};
use crate::{auth::Access, metrics::Metrics, users::Users};

/// Where the API lives.
pub(crate) const PREFIX: &str = "/api/v1";
/// Streams of events that are open at once.
const STREAMS_MAX: usize = 100;
/// Plans, verifications and tests of connections that are under way at once: each connects to the systems.
const LOOKS_MAX: usize = 4;

/// An answer as JSON.
type Answer<T> = Result<axum::Json<T>, Problem>;

/// What the API works with. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Parts>);

/// What [`Api`] is made of.
pub struct Parts {
    /// Facts.
    pub store: Arc<dyn ServiceStore>,
    /// What people may ask for, and the definitions that are served.
    pub control: Control,
    /// The concrete systems.
    pub systems: Arc<dyn Systems>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Checks definitions before they are stored.
    pub definitions: Arc<dyn Definitions>,
    /// Whether requests without a token are let in.
    pub access: Access,
    /// Whose users may ask with their own tokens; none: nobody's.
    pub users: Option<Users>,
    /// What this process counts.
    pub metrics: Arc<Metrics>,
    /// This node, whose signs of life say that it works.
    pub node: String,
    /// Summaries and health of everything, a second old at most.
    board: Board,
    verifications: Verifications,
    streams: Arc<Semaphore>,
    looks: Arc<Semaphore>,
}

/// What [`Api::new`] takes.
pub struct Setup {
    /// Facts.
    pub store: Arc<dyn ServiceStore>,
    /// What people may ask for.
    pub control: Control,
    /// The concrete systems.
    pub systems: Arc<dyn Systems>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Checks definitions before they are stored.
    pub definitions: Arc<dyn Definitions>,
    /// Whether requests without a token are let in.
    pub access: Access,
    /// Whose users may ask with their own tokens; none: nobody's.
    pub users: Option<Users>,
    /// What this process counts.
    pub metrics: Arc<Metrics>,
    /// This node, as it signs its signs of life.
    pub node: String,
}

impl Api {
    /// An API over these parts.
    pub fn new(setup: Setup) -> Self {
        let Setup { store, control, systems, clock, definitions, access, users, metrics, node } = setup;
        Self(Arc::new(Parts {
            store,
            control,
            systems,
            clock,
            definitions,
            access,
            users,
            metrics,
            node,
            board: Board::default(),
            verifications: Verifications::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            looks: Arc::new(Semaphore::new(LOOKS_MAX)),
        }))
    }

    fn served(&self) -> Arc<Served> {
        self.0.control.served()
    }
}

impl std::ops::Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Everything that is served over HTTP.
pub fn router(api: &Api) -> Router {
    let (router, document) = open_router().split_for_parts();
    guard::around(router, api, &document).with_state(api.clone())
}

/// Every route with its description.
fn open_router() -> OpenApiRouter<Api> {
    let v1 = OpenApiRouter::new()
        .merge(syncs::routes())
        .merge(definitions::routes())
        .merge(plan::routes())
        .merge(drift::routes())
        .merge(records::routes())
        .merge(cursors::routes())
        .merge(connections::routes())
        .merge(runs::routes())
        .merge(occurrences::routes())
        .merge(chains::routes())
        .merge(schedules::routes())
        .merge(parked::routes())
        .merge(held::routes())
        .merge(events::routes())
        .merge(stream::routes())
        .merge(backfills::routes())
        .merge(settings::routes())
        .merge(tokens::routes())
        .merge(nodes::routes())
        .merge(openapi::routes());
    OpenApiRouter::with_openapi(openapi::base())
        .nest(PREFIX, v1)
        .merge(openapi::pages())
        .merge(health::routes())
        .merge(crate::metrics::routes())
}
