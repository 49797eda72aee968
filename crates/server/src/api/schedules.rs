//! Schedules of syncs and chains: when they fire next, and stopping them for a while.

use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_core::{
    calendar::Timing,
    schedule::{Misfire, Overlap, Schedule},
};
use syncline_store::service::{ScheduleState, Subject, SubjectKind};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Api,
    extract::{Json, Name, Query},
    page::{List, Page, PageParams},
    problem::{Code, Problem, Sent},
    shown::SubjectShown,
};

/// Instants that are shown.
const INSTANTS: usize = 5;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(pause)).routes(routes!(resume))
}

/// A schedule.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScheduleShown {
    /// Whose.
    subject: SubjectShown,
    /// Its label: its name, or its time.
    schedule: String,
    /// Seconds between two instants; none: it has a cron.
    every_seconds: Option<f64>,
    /// Five fields.
    cron: Option<String>,
    /// IANA zone of the cron.
    zone: Option<String>,
    /// Whether the definition has it in force.
    enabled: bool,
    /// What becomes of instants that passed while nothing could run: `skip`, `latest` or `all`.
    misfire: &'static str,
    /// What becomes of an instant while the one before still runs: `skip` or `queue`.
    overlap: &'static str,
    /// Since when it is paused.
    paused_at: Option<Timestamp>,
    /// Up to where instants were decided about.
    considered: Option<Timestamp>,
    /// The next instants, before their jitter; none while it is paused.
    next: Vec<InstantShown>,
}

/// An instant of a schedule.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InstantShown {
    /// In UTC.
    utc: Timestamp,
    /// By the clocks of the schedule's zone, with its offset.
    local: String,
}

/// Which schedules.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Of this sync.
    #[param(value_type = Option<String>, max_length = 200)]
    sync: Option<Name>,
    /// Of this chain.
    #[param(value_type = Option<String>, max_length = 200)]
    chain: Option<Name>,
}

/// What is to be paused or resumed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Switch {
    /// The sync; or `chain`.
    #[schema(value_type = Option<String>)]
    sync: Option<Name>,
    /// The chain; or `sync`.
    #[schema(value_type = Option<String>)]
    chain: Option<Name>,
    /// Label of one schedule; none: all of them.
    #[schema(value_type = Option<String>)]
    schedule: Option<Name>,
}

/// Whether it made a difference.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Switched {
    /// Whether anything changed.
    changed: bool,
}

impl Switch {
    fn subject(&self) -> Result<Subject, Problem> {
        match (&self.sync, &self.chain) {
            (Some(sync), None) => Ok(Subject::sync(sync.0.clone())),
            (None, Some(chain)) => Ok(Subject::chain(chain.0.clone())),
            _ => Err(Problem::new(Code::BadBody, "name a sync or a chain, one of them")),
        }
    }
}

/// The schedules, by sync or chain, with their next five instants.
#[utoipa::path(get, path = "/schedules", tag = "schedules", params(PageParams, Which), security(("token" = ["read"])),
    responses((status = 200, description = "A page", body = List<ScheduleShown>),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn list(State(api): State<Api>, page: Page, Query(which): Query<Which>) -> Result<Response, Problem> {
    let after: Option<(String, String, String)> = page.after("schedules")?;
    let served = api.served();
    let wanted = |subject: &Subject| match (&which.sync, &which.chain) {
        (None, None) => true,
        (sync, chain) => {
            let name = if subject.kind == SubjectKind::Sync { sync } else { chain };
            name.as_ref().is_some_and(|name| name.0 == subject.name)
        }
    };
    let syncs = served.project.syncs.iter().map(|sync| (Subject::sync(sync.name.clone()), &sync.schedules));
    let chains =
        served.project.chains.iter().map(|chain| (Subject::chain(chain.name.clone()), &chain.schedules));
    let mut all: Vec<((String, String, String), &Schedule, Subject)> = syncs
        .chain(chains)
        .filter(|(subject, _)| wanted(subject))
        .flat_map(|(subject, schedules)| {
            schedules.iter().map(move |s| (place(&subject, s), s, subject.clone()))
        })
        .filter(|(place, _, _)| after.as_ref().is_none_or(|after| place > after))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.truncate(page.limit + 1);
    let states: BTreeMap<(Subject, String), ScheduleState> = api
        .store
        .schedule_states()
        .await?
        .into_iter()
        .map(|state| ((state.subject.clone(), state.schedule.clone()), state))
        .collect();
    let now = api.clock.now();
    Ok(page.answer(
        "schedules",
        all,
        |(place, _, _)| place.clone(),
        |(_, schedule, subject)| {
            let state = states.get(&(subject.clone(), schedule.label()));
            shown(subject, schedule, state, now)
        },
    ))
}

fn place(subject: &Subject, schedule: &Schedule) -> (String, String, String) {
    (subject.kind.as_str().to_owned(), subject.name.clone(), schedule.label())
}

fn shown(
    subject: Subject,
    schedule: &Schedule,
    state: Option<&ScheduleState>,
    now: Timestamp,
) -> ScheduleShown {
    let paused_at = state.and_then(|state| state.paused_at);
    let quiet = paused_at.is_some() || !schedule.enabled;
    let timing = Timing::of(schedule).ok().filter(|_| !quiet);
    let next = timing.map(|timing| {
        let zone = timing.zone();
        let instants = timing.next(now, INSTANTS).into_iter();
        instants.map(|utc| InstantShown { utc, local: local(utc, &zone) }).collect()
    });
    ScheduleShown {
        subject: subject.into(),
        schedule: schedule.label(),
        every_seconds: schedule.every.map(|every| every.as_secs_f64()),
        cron: schedule.cron.clone(),
        zone: schedule.zone.clone(),
        enabled: schedule.enabled,
        misfire: match schedule.misfire {
            Misfire::Skip => "skip",
            Misfire::Latest => "latest",
            Misfire::All(_) => "all",
        },
        overlap: match schedule.overlap {
            Overlap::Skip => "skip",
            Overlap::Queue => "queue",
        },
        paused_at,
        considered: state.map(|state| state.considered),
        next: next.unwrap_or_default(),
    }
}

fn local(utc: Timestamp, zone: &jiff::tz::TimeZone) -> String {
    utc.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// Pauses a schedule, or all of a sync or chain. What waits by schedule is left out; what runs, runs on.
#[utoipa::path(post, path = "/schedules/pause", tag = "schedules", security(("token" = ["write"])), request_body = Switch,
    responses((status = 200, description = "It is paused", body = Switched),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn pause(State(api): State<Api>, Json(switch): Json<Switch>) -> Answer<Switched> {
    let label = switch.schedule.as_ref().map(|label| label.0.as_str());
    let changed = api.control.pause(&switch.subject()?, label).await?;
    Ok(axum::Json(Switched { changed }))
}

/// Resumes what was paused. Instants that passed meanwhile never fire.
#[utoipa::path(post, path = "/schedules/resume", tag = "schedules", security(("token" = ["write"])), request_body = Switch,
    responses((status = 200, description = "It is in force", body = Switched),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn resume(State(api): State<Api>, Json(switch): Json<Switch>) -> Answer<Switched> {
    let label = switch.schedule.as_ref().map(|label| label.0.as_str());
    let changed = api.control.resume(&switch.subject()?, label).await?;
    Ok(axum::Json(Switched { changed }))
}
