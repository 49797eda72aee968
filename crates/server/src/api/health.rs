//! What probes and people ask: does it live, can it serve, how is everything.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::Serialize;
use syncline_engine::service::health::Level;
use syncline_store::service::LEASE;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Api,
    problem::{Code, Problem, Sent},
    shown::{HealthShown, SubjectShown},
};

/// Syncs and chains that are named; the worst first.
const NAMED_MAX: usize = 1000;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(livez)).routes(routes!(readyz)).routes(routes!(health))
}

/// A word.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Word {
    /// `ok`
    status: &'static str,
}

/// How everything is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Overall {
    /// The worst of all: `healthy`, `degraded` or `unhealthy`.
    #[schema(value_type = String)]
    level: Level,
    /// When it was looked at.
    at: Timestamp,
    /// Why newer definitions are not served.
    broken: Option<String>,
    /// How many there are of each level.
    healthy: usize,
    degraded: usize,
    unhealthy: usize,
    /// The worst of them, at most a thousand.
    subjects: Vec<SubjectHealth>,
}

/// How a sync or chain is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SubjectHealth {
    /// Which.
    subject: SubjectShown,
    /// How it is.
    #[serde(flatten)]
    health: HealthShown,
}

/// Whether the process lives. Needs no token.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, description = "It lives", body = Word)))]
async fn livez() -> axum::Json<Word> {
    axum::Json(Word { status: "ok" })
}

/// Whether the node can serve: definitions are loaded, the store answers, and the node works. Needs no token.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, description = "It can", body = Word),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn readyz(State(api): State<Api>) -> Answer<Word> {
    let began = api.clock.elapsed();
    let answered = api.store.ping().await;
    api.metrics.store_answered(api.clock.elapsed().saturating_sub(began), answered.is_ok());
    if let Err(error) = answered {
        tracing::warn!(%error, "the store does not answer");
        return Err(Problem::new(Code::NotReady, "the store does not answer"));
    }
    let now = api.clock.now();
    let nodes = api.store.nodes().await?;
    let silent = |seen: jiff::Timestamp| now.duration_since(seen).as_secs_f64() > 2.0 * LEASE.as_secs_f64();
    if !nodes.iter().any(|(node, seen)| node.node == api.node && !silent(*seen)) {
        return Err(Problem::new(Code::NotReady, "the node gives no sign of life yet, or no longer"));
    }
    Ok(axum::Json(Word { status: "ok" }))
}

/// How every sync and chain is, with the reason. 503 when one is unhealthy.
#[utoipa::path(get, path = "/health", tag = "health", security(("token" = ["read"])),
    responses((status = 200, description = "Nothing is unhealthy", body = Overall), (status = 503, description = "Something is", body = Overall),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn health(State(api): State<Api>) -> Result<Response, Problem> {
    let standing = api.standing().await?;
    let count = |level| standing.health.values().filter(|health| health.level == level).count();
    let mut worst: Vec<_> = standing.health.iter().collect();
    worst.sort_by(|a, b| b.1.level.cmp(&a.1.level).then_with(|| a.0.cmp(b.0)));
    worst.truncate(NAMED_MAX);
    let subjects = worst
        .into_iter()
        .map(|(subject, health)| SubjectHealth { subject: subject.clone().into(), health: health.into() });
    let overall = Overall {
        level: standing.overall,
        at: standing.at,
        broken: standing.served.broken.clone(),
        healthy: count(Level::Healthy),
        degraded: count(Level::Degraded),
        unhealthy: count(Level::Unhealthy),
        subjects: subjects.collect(),
    };
    let status =
        if standing.overall == Level::Unhealthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    Ok((status, axum::Json(overall)).into_response())
}
