//! What a person decides about records that wait, for the API and the web UI alike: done in the store, and told as an
//! event that says who did it.

use serde_json::{Value as Json, json};
use syncline_core::identity::Identity;
use syncline_store::{
    Lease,
    service::{NewEvent, Subject},
};

use super::{
    Api,
    parked::known,
    problem::{Code, Problem},
};

/// Longest reason for dropping, in characters.
pub(crate) const REASON_CHARS_MAX: usize = 500;

/// Lets the next full run of a sync delete up to `ceiling` records. Durable.
///
/// # Errors
/// The ceiling is zero, there is no such sync, a run of it is under way, or the store failed.
pub(crate) async fn approve(api: &Api, sync: &str, ceiling: u64, by: &str) -> Result<(), Problem> {
    if ceiling == 0 {
        return Err(Problem::new(Code::BadBody, "max is at least 1"));
    }
    let lease = claim(api, sync).await?;
    api.store.approve(&lease, ceiling, api.clock.now()).await?;
    let message = format!("up to {ceiling} deletes of sync {sync:?} were approved by {by:?}");
    tell(api, sync, "held.approved", message, json!({ "max": ceiling, "by": by })).await;
    Ok(())
}

/// Keeps the records whose deletes are held: they leave the ledger. Returns how many were held. Durable.
///
/// # Errors
/// There is no such sync, a run of it is under way, or the store failed.
pub(crate) async fn reject(api: &Api, sync: &str, by: &str) -> Result<u64, Problem> {
    let lease = claim(api, sync).await?;
    let changed = api.store.reject(&lease).await?;
    let message = format!("{changed} held deletes of sync {sync:?} were rejected by {by:?}");
    tell(api, sync, "held.rejected", message, json!({ "records": changed, "by": by })).await;
    Ok(changed)
}

/// Makes parked records due now: these, or all of the sync. Returns how many. Durable.
///
/// # Errors
/// There is no such sync, a run of it is under way, or the store failed.
pub(crate) async fn retry(
    api: &Api,
    sync: &str,
    identities: Option<&[Identity]>,
    by: &str,
) -> Result<u64, Problem> {
    let lease = claim(api, sync).await?;
    let changed = api.store.retry_parked(&lease, identities, api.clock.now()).await?;
    let message = format!("{changed} parked records of sync {sync:?} were made due by {by:?}");
    tell(api, sync, "parked.retried", message, json!({ "records": changed, "by": by })).await;
    Ok(changed)
}

/// Forgets parked records: these, or all of the sync. Returns how many. Durable; neither side is touched.
///
/// # Errors
/// The reason is too long, there is no such sync, a run of it is under way, or the store failed.
pub(crate) async fn forget(
    api: &Api,
    sync: &str,
    identities: Option<&[Identity]>,
    reason: Option<&str>,
    by: &str,
) -> Result<u64, Problem> {
    if reason.is_some_and(|reason| reason.chars().count() > REASON_CHARS_MAX) {
        let detail = format!("a reason has at most {REASON_CHARS_MAX} characters");
        return Err(Problem::new(Code::BadBody, detail));
    }
    let lease = claim(api, sync).await?;
    let changed = api.store.drop_parked(&lease, identities).await?;
    let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let message = format!("{changed} parked records of sync {sync:?} were dropped by {by:?}{why}");
    tell(api, sync, "parked.dropped", message, json!({ "records": changed, "by": by, "reason": reason }))
        .await;
    Ok(changed)
}

async fn claim(api: &Api, sync: &str) -> Result<Lease, Problem> {
    known(api, sync).await?;
    Ok(api.store.claim(sync, api.clock.now()).await?)
}

/// The decision stands when this fails: it is logged as well.
async fn tell(api: &Api, sync: &str, kind: &str, message: String, data: Json) {
    tracing::info!(event = kind, "{message}");
    api.look_again().await;
    let event = NewEvent {
        at: api.clock.now(),
        kind: kind.to_owned(),
        subject: Some(Subject::sync(sync)),
        run: None,
        correlation: None,
        message,
        data,
    };
    if let Err(error) = api.store.append_events(&[event]).await {
        tracing::warn!(%error, "an event could not be recorded");
    }
}
