//! Events as they happen: server-sent events, with replay.
//!
//! A stream asks the store for what came after the last event it sent, and is asked itself only when the connection can
//! take more. So it holds one page however slow the client is, and misses nothing that the store still has. A client that
//! takes nothing at all is cut off by the connection ([`serve`](crate::serve)).

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use futures::Stream;
use syncline_store::service::{Event, EventFilter};
use tokio::sync::OwnedSemaphorePermit;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    events::{EventShown, Which},
    extract::{Query, header_text},
    problem::{Code, Problem, Sent},
};

/// How often the store is asked for more.
const POLL: Duration = Duration::from_millis(500);
/// How long nothing may be sent: proxies close connections that are silent.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events asked for at once.
const PAGE: usize = 100;
/// Polls of a store that fails, in a row, until the stream ends and the client begins anew.
const FAILURES_MAX: u32 = 20;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(stream))
}

/// What happens, as it happens.
///
/// Server-sent events: `id` is the number of the event, `event` its kind, `data` the event as JSON. A client that connects
/// again sends `Last-Event-ID`, or `after`, and gets what it missed. Comments are sent while nothing happens.
#[utoipa::path(get, path = "/events/stream", tag = "events", security(("token" = ["read"])),
    params(Which, ("Last-Event-ID" = Option<String>, Header, description = "Number of the last event that was seen")),
    responses((status = 200, description = "The stream", content_type = "text/event-stream", body = String),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn stream(
    State(api): State<Api>,
    headers: HeaderMap,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    let last = match header_text(&headers, "last-event-id", 20)? {
        Some(text) => Some(
            text.parse()
                .ok()
                .filter(|n: &u64| i64::try_from(*n).is_ok())
                .ok_or_else(|| Problem::new(Code::BadHeader, "Last-Event-ID is the number of an event"))?,
        ),
        None => which.after.map(|after| after.0),
    };
    let filter = which.filter()?;
    let place = api.stream_place()?;
    let (newest, oldest) = api.store.event_range().await?;
    let after = last.unwrap_or(newest);
    api.metrics.stream_opened();
    let mut feed = Feed {
        api,
        filter,
        after,
        waiting: VecDeque::new(),
        silent: Duration::ZERO,
        failures: 0,
        _place: place,
    };
    if after > newest || (after != 0 && after.saturating_add(1) < oldest) {
        // numbers of another store, or events that were forgotten: say so, and go on from what there is
        feed.after = if after > newest { newest } else { oldest.saturating_sub(1) };
        feed.waiting.push_back(Bytes::from_static(b"event: gap\ndata: {}\n\n"));
    }
    feed.waiting.push_back(Bytes::from_static(b"retry: 2000\n: open\n\n"));
    let mut response = Response::new(Body::from_stream(feed.into_stream()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

impl Api {
    /// A place among the streams that are open at once.
    ///
    /// # Errors
    /// There is none free.
    pub(crate) fn stream_place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        std::sync::Arc::clone(&self.0.streams).try_acquire_owned().map_err(|_| {
            let problem = Problem::new(Code::Overloaded, "too many streams of events are open on this node");
            Problem { retry_after: Some(10), ..problem }
        })
    }
}

/// One stream.
struct Feed {
    api: Api,
    filter: EventFilter,
    /// Number of the last event that was put into `waiting`.
    after: u64,
    /// What is to be sent next; a page at most.
    waiting: VecDeque<Bytes>,
    /// How long nothing was sent.
    silent: Duration,
    failures: u32,
    _place: OwnedSemaphorePermit,
}

impl Feed {
    fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        futures::stream::unfold(self, |mut feed| async move {
            let bytes = feed.next().await?;
            Some((Ok(bytes), feed))
        })
    }

    /// What is sent next; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.waiting.pop_front() {
                self.silent = Duration::ZERO;
                return Some(bytes);
            }
            match self.api.store.events(&self.filter, self.after, PAGE).await {
                Ok(events) if events.is_empty() => self.failures = 0,
                Ok(events) => {
                    self.failures = 0;
                    self.after = events.last().map_or(self.after, |event| event.id);
                    self.waiting.extend(events.into_iter().map(rendered));
                    continue;
                }
                Err(error) => {
                    tracing::debug!(%error, "a stream of events could not be read on");
                    self.failures += 1;
                    if self.failures > FAILURES_MAX {
                        return None;
                    }
                }
            }
            if self.silent >= HEARTBEAT {
                self.waiting.push_back(Bytes::from_static(b": alive\n\n"));
                continue;
            }
            tokio::time::sleep(POLL).await;
            self.silent += POLL;
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.api.metrics.stream_closed();
    }
}

/// An event on the wire. JSON has no line feeds of its own, and a kind is a word.
fn rendered(event: Event) -> Bytes {
    let shown = EventShown::from(event);
    let kind: String = shown.kind.chars().filter(|c| !c.is_control()).collect();
    let data = serde_json::to_string(&shown).unwrap_or_default();
    Bytes::from(format!("id: {}\nevent: {kind}\ndata: {data}\n\n", shown.id))
}
