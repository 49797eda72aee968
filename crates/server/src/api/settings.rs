//! Settings that are changed while serving: how much runs at once, and whether anything does.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Api,
    extract::Json,
    problem::{Code, Problem, Sent},
};
use crate::auth::Caller;

/// The setting of the limits.
const LIMITS: &str = "limits";
/// The setting of how much a node runs at once.
const PARALLEL: &str = "parallel";
/// The setting that stops everything.
const PAUSED: &str = "paused";
/// Most connections that are limited.
const CONNECTIONS_MAX: usize = 1000;
/// Most runs of a node at once.
const PARALLEL_MAX: u32 = 1000;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(put_limits))
        .routes(routes!(put_parallel))
        .routes(routes!(put_paused))
}

/// The settings in force on top of the project's.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct SettingsShown {
    /// Limits that go before the project's; none: the project's hold.
    limits: Option<LimitsGiven>,
    /// Runs of each node at once; none: as the project says.
    parallel: Option<u64>,
    /// Whether nothing new is begun.
    paused: bool,
}

/// How many runs there may be at once, over all nodes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsGiven {
    /// In all; null: any number.
    #[serde(default)]
    total: Option<u32>,
    /// Per connection; one that is not named has the project's limit.
    #[serde(default)]
    connections: BTreeMap<String, u32>,
}

/// Limits, or none of their own.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutLimits {
    /// The limits; null: the project's hold.
    limits: Option<LimitsGiven>,
}

/// How much a node runs at once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutParallel {
    /// Runs of each node at once, 1 to 1000; null: as the project says.
    #[schema(minimum = 1, maximum = 1000)]
    parallel: Option<u32>,
}

/// Whether nothing new is begun.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutPaused {
    /// Whether nothing new is begun. What runs, runs on.
    paused: bool,
}

/// The settings that were changed while serving.
#[utoipa::path(get, path = "/settings", tag = "settings", security(("token" = ["read"])),
    responses((status = 200, description = "The settings", body = SettingsShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn show(State(api): State<Api>) -> Answer<SettingsShown> {
    shown(&api).await.map(axum::Json)
}

/// Sets how much runs at once, over all nodes.
#[utoipa::path(put, path = "/settings/limits", tag = "settings", security(("token" = ["write"])), request_body = PutLimits,
    responses((status = 200, description = "The settings", body = SettingsShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn put_limits(
    State(api): State<Api>,
    axum::Extension(caller): axum::Extension<Caller>,
    Json(put): Json<PutLimits>,
) -> Answer<SettingsShown> {
    let served = api.served();
    if let Some(limits) = &put.limits {
        let unknown = limits.connections.keys().find(|name| served.project.connection(name).is_none());
        if let Some(unknown) = unknown {
            return Err(Problem::new(Code::Unfit, format!("there is no connection {unknown:?}")));
        }
        if limits.connections.len() > CONNECTIONS_MAX {
            return Err(Problem::new(
                Code::Unfit,
                format!("at most {CONNECTIONS_MAX} connections are limited"),
            ));
        }
    }
    let value = put.limits.map(|limits| serde_json::to_value(limits).unwrap_or_default());
    api.store.set_setting(LIMITS, value.as_ref(), &caller.name, api.clock.now()).await?;
    api.control.wake();
    shown(&api).await.map(axum::Json)
}

/// Sets how much each node runs at once.
#[utoipa::path(put, path = "/settings/parallel", tag = "settings", security(("token" = ["write"])), request_body = PutParallel,
    responses((status = 200, description = "The settings", body = SettingsShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn put_parallel(
    State(api): State<Api>,
    axum::Extension(caller): axum::Extension<Caller>,
    Json(put): Json<PutParallel>,
) -> Answer<SettingsShown> {
    if put.parallel.is_some_and(|parallel| !(1..=PARALLEL_MAX).contains(&parallel)) {
        return Err(Problem::new(Code::Unfit, format!("parallel is a number from 1 to {PARALLEL_MAX}")));
    }
    let value = put.parallel.map(serde_json::Value::from);
    api.store.set_setting(PARALLEL, value.as_ref(), &caller.name, api.clock.now()).await?;
    api.control.wake();
    shown(&api).await.map(axum::Json)
}

/// Pauses everything, or lets it go on: while it is paused no node begins anything. What runs, runs on.
#[utoipa::path(put, path = "/settings/paused", tag = "settings", security(("token" = ["write"])), request_body = PutPaused,
    responses((status = 200, description = "The settings", body = SettingsShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn put_paused(
    State(api): State<Api>,
    axum::Extension(caller): axum::Extension<Caller>,
    Json(put): Json<PutPaused>,
) -> Answer<SettingsShown> {
    let value = put.paused.then_some(serde_json::Value::Bool(true));
    api.store.set_setting(PAUSED, value.as_ref(), &caller.name, api.clock.now()).await?;
    api.control.wake();
    shown(&api).await.map(axum::Json)
}

async fn shown(api: &Api) -> Result<SettingsShown, Problem> {
    let mut shown = SettingsShown::default();
    for (name, value) in api.store.settings().await? {
        match name.as_str() {
            LIMITS => shown.limits = serde_json::from_value(value).ok(),
            PARALLEL => shown.parallel = value.as_u64(),
            PAUSED => shown.paused = value.as_bool().unwrap_or(false),
            _ => {}
        }
    }
    Ok(shown)
}
