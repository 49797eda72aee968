//! Where everything stands, as numbers.

use jiff::Timestamp;
use syncline_core::{cursor::ordinal, value::Value};
use syncline_engine::service::health::Level;
use syncline_store::{
    Error,
    service::{LEASE, OccurrenceFilter, OccurrenceState, Subject, Summary},
};

use super::{
    OTHERS, SYNCS_MAX,
    text::{Kind, Page},
};
use crate::api::{Api, Standing};

/// Waiting occurrences that are counted.
const WAITING_MAX: usize = 1000;

/// How the numbers of syncs that have none of their own are told together.
#[derive(Clone, Copy)]
enum Together {
    Sum,
    Greatest,
}

pub(super) async fn write(api: &Api, page: &mut Page) -> Result<(), Error> {
    let standing = api.standing().await?;
    let at = standing.at;
    each(page, &standing, "syncline_parked", "Parked records.", Together::Sum, |s| Some(s.parked as f64));
    each(page, &standing, "syncline_held", "Held deletes.", Together::Sum, |s| Some(s.held as f64));
    each(page, &standing, "syncline_conflicts", "Records edited on both sides.", Together::Sum, |s| {
        Some(s.conflicted as f64)
    });
    each(
        page,
        &standing,
        "syncline_failures",
        "Runs that failed since the last success.",
        Together::Sum,
        |s| Some(s.failures as f64),
    );
    let fresh = "Seconds since the start of the last run that completed: how old the destination may be.";
    each(page, &standing, "syncline_freshness_seconds", fresh, Together::Greatest, |s| {
        Some(seconds(s.last_success_started_at?, at))
    });
    let lag = "Seconds between now and the stored cursor, where that is a time.";
    each(page, &standing, "syncline_cursor_lag_seconds", lag, Together::Greatest, |s| cursor_lag(s, at));
    let took = "Seconds that the newest ended run took.";
    each(page, &standing, "syncline_last_run_seconds", took, Together::Greatest, |s| {
        let last = s.last.as_ref()?;
        Some(seconds(last.started_at, last.finished_at?))
    });
    health(page, &standing);
    budgets(api, page);
    let filter = OccurrenceFilter { state: Some(OccurrenceState::Waiting), ..OccurrenceFilter::default() };
    let waiting = api.store.occurrences(&filter, WAITING_MAX).await?.len();
    page.family("syncline_occurrences_waiting", Kind::Gauge, "Occurrences that wait, counted up to 1000.");
    page.sample("syncline_occurrences_waiting", &[], waiting as f64);
    let nodes = api.store.nodes().await?;
    let alive = nodes.iter().filter(|(_, seen)| seconds(*seen, at) <= LEASE.as_secs_f64());
    let (count, running) = alive.fold((0_u64, 0), |(n, running), (node, _)| (n + 1, running + node.running));
    page.family("syncline_nodes", Kind::Gauge, "Nodes that live.");
    page.sample("syncline_nodes", &[], count as f64);
    page.family("syncline_running", Kind::Gauge, "Operations under way on all nodes.");
    page.sample("syncline_running", &[], running as f64);
    Ok(())
}

fn each(
    page: &mut Page,
    standing: &Standing,
    name: &str,
    help: &str,
    together: Together,
    value: impl Fn(&Summary) -> Option<f64>,
) {
    page.family(name, Kind::Gauge, help);
    let mut others: Option<f64> = None;
    let defined = standing.summaries.values().filter(|s| standing.served.project.sync(&s.sync).is_some());
    for (index, summary) in defined.enumerate() {
        let Some(value) = value(summary) else { continue };
        if index < SYNCS_MAX {
            page.sample(name, &[("sync", &summary.sync)], value);
            continue;
        }
        others = Some(match (others, together) {
            (None, _) => value,
            (Some(before), Together::Sum) => before + value,
            (Some(before), Together::Greatest) => before.max(value),
        });
    }
    if let Some(value) = others {
        page.sample(name, &[("sync", OTHERS)], value);
    }
}

fn health(page: &mut Page, standing: &Standing) {
    let number = |level| match level {
        Level::Healthy => 0.0,
        Level::Degraded => 1.0,
        Level::Unhealthy => 2.0,
    };
    page.family("syncline_health", Kind::Gauge, "0 healthy, 1 degraded, 2 unhealthy.");
    for (Subject { kind, name }, health) in standing.health.iter().take(SYNCS_MAX) {
        page.sample("syncline_health", &[("kind", kind.as_str()), ("name", name)], number(health.level));
    }
    page.family("syncline_health_overall", Kind::Gauge, "The worst of all.");
    page.sample("syncline_health_overall", &[], number(standing.overall));
    let broken = standing.served.broken.is_some();
    page.family(
        "syncline_definitions_broken",
        Kind::Gauge,
        "Whether newer definitions are broken and not served.",
    );
    page.sample("syncline_definitions_broken", &[], f64::from(u8::from(broken)));
}

fn budgets(api: &Api, page: &mut Page) {
    let budgets = api.systems.engine().budgets.all();
    page.family(
        "syncline_quota_headroom_ratio",
        Kind::Gauge,
        "Share of a quota's window that is left, 0 to 1.",
    );
    for budget in &budgets {
        for (limit, used) in budget.windows() {
            let window = limit.window.as_secs().to_string();
            let left = 1.0 - used as f64 / limit.units.max(1) as f64;
            let labels = [("quota", budget.name()), ("window_seconds", window.as_str())];
            page.sample("syncline_quota_headroom_ratio", &labels, left.max(0.0));
        }
    }
    page.family("syncline_quota_throttled_total", Kind::Counter, "Answers that closed a quota.");
    for budget in &budgets {
        page.sample(
            "syncline_quota_throttled_total",
            &[("quota", budget.name())],
            budget.usage().throttled as f64,
        );
    }
}

fn cursor_lag(summary: &Summary, now: Timestamp) -> Option<f64> {
    let position = summary.cursor.as_ref()?.position.as_ref()?;
    let at = match &position.cursor {
        value @ Value::Timestamp { .. } => Timestamp::from_microsecond(ordinal(value)?).ok()?,
        value @ Value::Date(_) => Timestamp::from_second(ordinal(value)?.checked_mul(86_400)?).ok()?,
        _ => return None,
    };
    Some(seconds(at, now))
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}
