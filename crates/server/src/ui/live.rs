//! A run as it goes on: its part of the page, sent again whenever it is another one.

use std::{convert::Infallible, time::Duration};

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use futures::Stream;
use tokio::sync::OwnedSemaphorePermit;

use super::{Ui, fault::Fault, run::RunPart};

/// How often is looked.
const POLL: Duration = Duration::from_millis(700);
/// How long nothing may be sent: proxies close connections that are silent.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Looks at a store that fails, in a row, until the stream ends and the browser begins anew.
const FAILURES_MAX: u32 = 20;

/// One stream.
struct Feed {
    ui: Ui,
    id: String,
    /// What was sent last.
    last: String,
    silent: Duration,
    failures: u32,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

/// Server-sent events: `run` with the part as HTML, and `ended` when there will be no other.
pub(super) async fn stream(State(ui): State<Ui>, Path(id): Path<String>) -> Result<Response, Fault> {
    ui.run(&id).await?;
    let place = ui.api.stream_place()?;
    let feed = Feed {
        ui,
        id,
        last: String::new(),
        silent: Duration::ZERO,
        failures: 0,
        ended: false,
        _place: place,
    };
    let mut response = Response::new(Body::from_stream(feed.into_stream()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
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
            if self.ended {
                return None;
            }
            match self.look().await {
                Ok((html, over)) => {
                    self.failures = 0;
                    if over {
                        self.ended = true;
                        return Some(Bytes::from(event("run", &html) + &event("ended", "over")));
                    }
                    if html != self.last {
                        let sent = event("run", &html);
                        (self.last, self.silent) = (html, Duration::ZERO);
                        return Some(Bytes::from(sent));
                    }
                }
                Err(_) => {
                    self.failures += 1;
                    if self.failures > FAILURES_MAX {
                        return None;
                    }
                }
            }
            if self.silent >= HEARTBEAT {
                self.silent = Duration::ZERO;
                return Some(Bytes::from_static(b": alive\n\n"));
            }
            tokio::time::sleep(POLL).await;
            self.silent += POLL;
        }
    }

    /// The part as it is now, and whether the run is over.
    async fn look(&self) -> Result<(String, bool), Fault> {
        let run = self.ui.run(&self.id).await?;
        let live = self.ui.api.control.progress(run.id);
        let part = RunPart::of(&run, live.as_ref(), self.ui.api.clock.now());
        let html = part.render().map_err(|error| Fault::internal(&error.to_string()))?;
        Ok((html, run.status.is_final()))
    }
}

/// An event on the wire: each line of its text in a field of its own.
fn event(name: &str, text: &str) -> String {
    let mut out = format!("event: {name}\n");
    for line in text.lines() {
        out.push_str("data: ");
        out.push_str(line);
        out.push('\n');
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_lines() {
        assert_eq!(event("run", "<p>\n</p>\r\n"), "event: run\ndata: <p>\ndata: </p>\n\n");
    }
}
