//! Numbers for Prometheus: what this process counts ([`Metrics`]), and where everything stands in the store.
//!
//! What is counted begins anew with the process, as is the custom; what is looked up is the same on every node. Labels are
//! bounded: syncs beyond `SYNCS_MAX` are told together.

mod measured;
mod standing;
mod text;

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use syncline_core::{counts::Counts, run::Status};
use syncline_store::service::SubjectKind;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use measured::Measured;

use self::text::{Histogram, Kind, MEDIA_TYPE, Page};
use crate::api::{
    Api,
    problem::{Problem, Sent},
};

/// Syncs that have numbers of their own.
const SYNCS_MAX: usize = 2000;
/// The name under which the others are told together.
const OTHERS: &str = "_other";

/// Seconds: of a request, of an answer of the store.
const SHORT: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// Seconds: of an operation.
const LONG: &[f64] = &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0];

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// What this process counts.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Counted>);

#[derive(Debug)]
struct Counted {
    /// By class of their status.
    requests: BTreeMap<&'static str, u64>,
    request_seconds: Histogram,
    given_up: u64,
    streams: i64,
    store_seconds: Histogram,
    store_failures: u64,
    started: BTreeMap<SubjectKind, u64>,
    ended: BTreeMap<(SubjectKind, &'static str), u64>,
    operation_seconds: BTreeMap<SubjectKind, Histogram>,
    /// By sync and outcome.
    records: BTreeMap<String, Counts>,
}

impl Default for Counted {
    fn default() -> Self {
        Self {
            requests: BTreeMap::new(),
            request_seconds: Histogram::new(SHORT),
            given_up: 0,
            streams: 0,
            store_seconds: Histogram::new(SHORT),
            store_failures: 0,
            started: BTreeMap::new(),
            ended: BTreeMap::new(),
            operation_seconds: BTreeMap::new(),
            records: BTreeMap::new(),
        }
    }
}

impl Metrics {
    fn change(&self, change: impl FnOnce(&mut Counted)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn request(&self, status: StatusCode, took: Duration) {
        let class = match status.as_u16() {
            0..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        self.change(|counted| {
            *counted.requests.entry(class).or_default() += 1;
            counted.request_seconds.observe(took.as_secs_f64());
        });
    }

    pub(crate) fn slow(&self) {
        self.change(|counted| counted.given_up += 1);
    }

    pub(crate) fn stream_opened(&self) {
        self.change(|counted| counted.streams += 1);
    }

    pub(crate) fn stream_closed(&self) {
        self.change(|counted| counted.streams -= 1);
    }

    pub(crate) fn store_answered(&self, took: Duration, well: bool) {
        self.change(|counted| {
            counted.store_seconds.observe(took.as_secs_f64());
            counted.store_failures += u64::from(!well);
        });
    }

    fn operation_started(&self, kind: SubjectKind) {
        self.change(|counted| *counted.started.entry(kind).or_default() += 1);
    }

    fn operation_ended(&self, kind: SubjectKind, status: Status, took: Duration) {
        self.change(|counted| {
            *counted.ended.entry((kind, status.as_str())).or_default() += 1;
            let histogram = counted.operation_seconds.entry(kind).or_insert_with(|| Histogram::new(LONG));
            histogram.observe(took.as_secs_f64());
        });
    }

    pub(crate) fn records(&self, sync: &str, counts: Counts) {
        self.change(|counted| {
            let known = counted.records.contains_key(sync) || counted.records.len() < SYNCS_MAX;
            *counted.records.entry(if known { sync } else { OTHERS }.to_owned()).or_default() += counts;
        });
    }
}

/// Numbers for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", security(("token" = ["read"])),
    responses((status = 200, description = "Text, version 0.0.4", content_type = "text/plain", body = String),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn metrics(State(api): State<Api>) -> Result<impl IntoResponse, Problem> {
    let began = api.clock.elapsed();
    let answered = api.store.ping().await;
    api.metrics.store_answered(api.clock.elapsed().saturating_sub(began), answered.is_ok());
    let mut page = Page::default();
    api.metrics.write(&mut page);
    // a store that does not answer is told by the numbers of this process
    page.family("syncline_store_up", Kind::Gauge, "Whether the store answers.");
    page.sample("syncline_store_up", &[], f64::from(u8::from(answered.is_ok())));
    if answered.is_ok() {
        standing::write(&api, &mut page).await?;
    }
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], page.finish()))
}

impl Metrics {
    fn write(&self, page: &mut Page) {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        page.family(
            "syncline_http_requests_total",
            Kind::Counter,
            "Requests answered, by class of their status.",
        );
        for (class, n) in &counted.requests {
            page.sample("syncline_http_requests_total", &[("class", class)], *n as f64);
        }
        page.family(
            "syncline_http_request_seconds",
            Kind::Histogram,
            "Seconds until a request was answered.",
        );
        page.histogram("syncline_http_request_seconds", &[], &counted.request_seconds);
        page.family("syncline_http_given_up_total", Kind::Counter, "Requests that took too long.");
        page.sample("syncline_http_given_up_total", &[], counted.given_up as f64);
        page.family("syncline_event_streams", Kind::Gauge, "Streams of events that are open.");
        page.sample("syncline_event_streams", &[], counted.streams as f64);
        page.family(
            "syncline_store_seconds",
            Kind::Histogram,
            "Seconds until the store answered the smallest question.",
        );
        page.histogram("syncline_store_seconds", &[], &counted.store_seconds);
        page.family(
            "syncline_store_failures_total",
            Kind::Counter,
            "Smallest questions that the store did not answer.",
        );
        page.sample("syncline_store_failures_total", &[], counted.store_failures as f64);
        counted.write_operations(page);
    }
}

impl Counted {
    fn write_operations(&self, page: &mut Page) {
        page.family(
            "syncline_operations_started_total",
            Kind::Counter,
            "Operations this node began, by kind.",
        );
        for (kind, n) in &self.started {
            page.sample("syncline_operations_started_total", &[("kind", kind.as_str())], *n as f64);
        }
        let ended = "syncline_operations_ended_total";
        page.family(ended, Kind::Counter, "Operations this node ended, by kind and status.");
        for ((kind, status), n) in &self.ended {
            page.sample(ended, &[("kind", kind.as_str()), ("status", status)], *n as f64);
        }
        page.family("syncline_operation_seconds", Kind::Histogram, "Seconds that operations took, by kind.");
        for (kind, histogram) in &self.operation_seconds {
            page.histogram("syncline_operation_seconds", &[("kind", kind.as_str())], histogram);
        }
        page.family(
            "syncline_records_total",
            Kind::Counter,
            "Records of runs that this node ended, by sync and outcome.",
        );
        for (sync, counts) in &self.records {
            for (outcome, n) in outcomes(counts) {
                page.sample("syncline_records_total", &[("sync", sync), ("outcome", outcome)], n as f64);
            }
        }
    }
}

fn outcomes(counts: &Counts) -> [(&'static str, u64); 9] {
    [
        ("created", counts.created),
        ("updated", counts.updated),
        ("moved", counts.moved),
        ("deleted", counts.deleted),
        ("unchanged", counts.unchanged),
        ("skipped", counts.skipped),
        ("parked", counts.parked),
        ("held", counts.held),
        ("conflicted", counts.conflicted),
    ]
}
