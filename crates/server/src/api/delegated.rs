//! Runs whose end is answered: of one partition of a sync, or of every partition of a series; in the name of a user, or as the
//! application.
//!
//! What a failure means for who asked is one table, [`of_connection`]: codes follow from the kind of the failure alone.

use std::{collections::BTreeMap, time::Duration};

use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use syncline_connect::{error::Kind, registry::Caller as For};
use syncline_engine::{
    Error,
    load::params::takes_values,
    service::{
        control::Refused,
        delegated::{Asked, Ended, Failed, Outcome, Part},
    },
};
use utoipa::ToSchema;

use super::{
    Api,
    problem::{Code, Problem},
    runs::RunWanted,
    shown::CountsShown,
};
use crate::{auth::Caller, users};

/// Seconds after which it is worth asking again, where nobody says better.
const RETRY_AFTER: u32 = 5;

/// How a run ended whose end was waited for. What it says is durable.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunEnded {
    /// `synced`; `partial`: some records could not be loaded; `fresh`: it was loaded lately, so nothing was read.
    outcome: &'static str,
    /// The run; none where nothing was to be done.
    run: Option<u64>,
    /// When the load that committed last began.
    synced_at: Timestamp,
    /// What this run did.
    counts: CountsShown,
    /// Links log lines, events, runs and requests to the source.
    correlation: String,
    /// What people should read.
    notes: Vec<String>,
}

/// What became of the partitions of a series.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeriesEnded {
    /// So many were loaded, those with records that could not be among them.
    synced: usize,
    /// So many had been loaded lately.
    fresh: usize,
    /// So many could not be loaded; each says why.
    failed: usize,
    /// Each, in the order of the series.
    results: Vec<PartEnded>,
}

/// How runs ended whose end was waited for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Answered {
    /// With `params`.
    Run(RunEnded),
    /// With `each`.
    Series(SeriesEnded),
}

/// What became of one partition of a series.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartEnded {
    /// Which.
    params: BTreeMap<String, String>,
    /// `synced`, `partial`, `fresh` or `failed`.
    outcome: &'static str,
    /// The run, where there was one.
    run: Option<u64>,
    /// When the load that committed last began; none where it failed.
    synced_at: Option<Timestamp>,
    /// What this run did.
    counts: Option<CountsShown>,
    /// Why it failed.
    error: Option<Trouble>,
}

/// Why one partition could not be loaded: what a problem would say.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Trouble {
    /// Stable word for programs.
    code: &'static str,
    /// What happened.
    detail: String,
    /// What to do.
    hint: Option<String>,
    /// Whether asking again, the same way, may work.
    retry: bool,
    /// Seconds after which it is worth asking again.
    retry_after: Option<u32>,
    /// Links log lines, events, runs and requests to the source.
    correlation: Option<String>,
    /// What the user's client must satisfy first: claims as JSON.
    claims: Option<String>,
}

/// Makes what is asked for now and answers how it ended. One that goes away does not stop it.
pub(super) async fn run(
    api: &Api,
    caller: &Caller,
    sync: String,
    wanted: RunWanted,
) -> Result<Response, Problem> {
    let correlation = api.control.correlation();
    let tagged = |problem: Problem| Problem { correlation: Some(correlation.clone()), ..problem };
    admitted(api, caller, &sync).map_err(tagged)?;
    let insist = wanted.insist;
    let (params, each) = wanted.values().map_err(tagged)?;
    let on_behalf = For { user: caller.user.clone(), correlation: Some(correlation.clone()) };
    let asked = |params| Asked { sync: sync.clone(), params, caller: on_behalf, insist };
    let answered = match each {
        None => Box::pin(api.control.run_now(asked(params))).await.map(|ended| {
            api.metrics.records(&sync, ended.counts);
            Answered::Run(ended.into())
        }),
        Some(values) => Box::pin(api.control.run_each(asked(values))).await.map(|parts| {
            for ended in parts.iter().filter_map(|(_, ended)| ended.as_ref().ok()) {
                api.metrics.records(&sync, ended.counts);
            }
            Answered::Series(SeriesEnded::of(parts, api.clock.now()))
        }),
    };
    match answered {
        Ok(answered) => Ok(axum::Json(answered).into_response()),
        Err(failed) => Err(problem(failed, api.clock.now())),
    }
}

/// Users run what takes values, of parameters or of the owner, and nothing else.
fn admitted(api: &Api, caller: &Caller, sync: &str) -> Result<(), Problem> {
    let served = api.served();
    let found = served.project.sync(sync).ok_or_else(|| Problem::missing("sync", format!("{sync:?}")))?;
    if caller.user.is_some() && !takes_values(found) {
        let detail = format!("sync {sync:?} has no parameters and names no owner: it is not run for a user");
        return Err(Problem::new(Code::Forbidden, detail).hint("take a token of `syncline tokens create`"));
    }
    Ok(())
}

impl From<Ended> for RunEnded {
    fn from(ended: Ended) -> Self {
        let Ended { outcome, run, synced_at, counts, correlation, notes } = ended;
        Self { outcome: word(outcome), run, synced_at, counts: counts.into(), correlation, notes }
    }
}

impl SeriesEnded {
    fn of(parts: Vec<Part>, now: Timestamp) -> Self {
        let results: Vec<PartEnded> = parts.into_iter().map(|part| PartEnded::of(part, now)).collect();
        let count = |words: &[&str]| results.iter().filter(|part| words.contains(&part.outcome)).count();
        Self {
            synced: count(&["synced", "partial"]),
            fresh: count(&["fresh"]),
            failed: count(&["failed"]),
            results,
        }
    }
}

impl PartEnded {
    fn of((params, ended): Part, now: Timestamp) -> Self {
        match ended {
            Ok(ended) => Self {
                params,
                outcome: word(ended.outcome),
                run: ended.run,
                synced_at: Some(ended.synced_at),
                counts: Some(ended.counts.into()),
                error: None,
            },
            Err(failed) => Self {
                params,
                outcome: "failed",
                run: failed.run,
                synced_at: None,
                counts: None,
                error: Some(problem(failed, now).into()),
            },
        }
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        let Problem { code, detail, hint, retry, retry_after, correlation, claims, .. } = problem;
        Self { code: code.as_str(), detail, hint, retry, retry_after, correlation, claims }
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Synced => "synced",
        Outcome::Partial => "partial",
        Outcome::Fresh => "fresh",
    }
}

/// Why a run did not do what it was to do, for the one who asked.
fn problem(failed: Failed, now: Timestamp) -> Problem {
    let problem = match failed.why {
        Refused::Engine(Error::Connect { doing, source }) => of_connection(&doing, source, now),
        why => why.into(),
    };
    Problem { correlation: Some(failed.correlation), ..problem }
}

/// What the failure of a connection means for who asked. Only Microsoft Graph names its requests.
fn of_connection(doing: &str, error: syncline_connect::Error, now: Timestamp) -> Problem {
    let code = match error.kind {
        Kind::StreamMissing | Kind::RecordMissing => Code::SessionNotFound,
        Kind::Unpublished => Code::SessionNotPublished,
        Kind::LicenceRequired => Code::LicenceRequired,
        Kind::ConsentRequired => Code::ConsentRequired,
        Kind::Forbidden => Code::PermissionMissing,
        Kind::UserTokenRefused => Code::UserTokenRefused,
        Kind::Challenged => Code::InteractionRequired,
        Kind::Throttled { .. } => Code::Throttled,
        Kind::Unreachable | Kind::Unanswered | Kind::Protocol if error.request.is_some() => {
            Code::GraphUnavailable
        }
        _ => Code::ConnectionFailed,
    };
    let retry_after = match error.kind {
        Kind::Throttled { retry_after } => Some(seconds(retry_after)),
        Kind::Unreachable | Kind::Unanswered | Kind::Protocol | Kind::Locked => Some(RETRY_AFTER),
        _ => None,
    };
    let detail = match code {
        Code::ConnectionFailed => format!("{doing}: {error}"),
        _ => error.to_string(),
    };
    let again = |after: u32| now.saturating_add(Duration::from_secs(after.into())).ok();
    let hint = match (error.hint, retry_after.and_then(again)) {
        (None, Some(at)) => Some(format!("ask again after {at:.0}; nothing was changed")),
        (hint, _) => hint,
    };
    let (request, claims, retry) = (error.request, error.claims, retry_after.is_some());
    Problem { hint, retry_after, retry, request, claims, ..Problem::new(code, detail) }
}

/// Whole seconds, at least one.
fn seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}

/// Why the token of a user does not let it in.
pub(super) fn refused(why: users::Refused, correlation: String) -> Problem {
    let problem = match why {
        users::Refused::Token(why) => {
            Problem::new(Code::UserTokenRefused, format!("the user's token is refused: {why}"))
                .hint("sign the user in again and send a fresh access token that is issued for this service")
        }
        users::Refused::Unavailable(why) => {
            tracing::warn!(why, correlation, "the token of a user cannot be checked");
            let problem = Problem::new(Code::UserKeysUnavailable, "the keys of the issuer cannot be fetched");
            Problem {
                retry: true,
                retry_after: Some(RETRY_AFTER),
                ..problem.hint("the log of the server says why")
            }
        }
    };
    Problem { correlation: Some(correlation), ..problem }
}

#[cfg(test)]
mod tests {
    use syncline_connect::Error as Broken;

    use super::*;

    const NOW: &str = "2026-03-01T12:00:00Z";

    fn shown(kind: Kind, request: Option<&str>) -> Problem {
        let error = Broken { request: request.map(str::to_owned), ..Broken::new(kind, "Teams answered 5") };
        of_connection("reading \"participants\"", error, NOW.parse().expect("a time"))
    }

    #[test]
    fn each_kind_of_failure_has_its_code() {
        let throttled = Kind::Throttled { retry_after: Duration::from_millis(6200) };
        let expected = [
            (Kind::StreamMissing, "session_not_found", 404, None),
            (Kind::RecordMissing, "session_not_found", 404, None),
            (Kind::Unpublished, "session_not_published", 409, None),
            (Kind::LicenceRequired, "licence_required", 403, None),
            (Kind::ConsentRequired, "consent_required", 403, None),
            (Kind::Forbidden, "permission_missing", 403, None),
            (Kind::UserTokenRefused, "user_token_refused", 401, None),
            (Kind::Challenged, "interaction_required", 401, None),
            (throttled, "throttled", 429, Some(7)),
            (Kind::Unreachable, "graph_unavailable", 502, Some(5)),
            (Kind::Unanswered, "graph_unavailable", 502, Some(5)),
            (Kind::Protocol, "graph_unavailable", 502, Some(5)),
            (Kind::Unauthenticated, "connection_failed", 502, None),
            (Kind::Definition, "connection_failed", 502, None),
        ];
        for (kind, code, status, after) in expected {
            let problem = shown(kind, Some("r-1"));
            let got = (problem.code.as_str(), problem.code.status().as_u16(), problem.retry_after);
            assert_eq!(got, (code, status, after), "{kind:?}");
            assert_eq!(
                (problem.retry, problem.request.as_deref()),
                (after.is_some(), Some("r-1")),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn another_source_than_graph_is_not_called_so() {
        let problem = shown(Kind::Unreachable, None);
        assert_eq!((problem.code.as_str(), problem.retry), ("connection_failed", true));
        assert_eq!(problem.detail, "reading \"participants\": Teams answered 5");
        let hint = "ask again after 2026-03-01T12:00:05Z; nothing was changed";
        assert_eq!(problem.hint.as_deref(), Some(hint));
    }

    #[test]
    fn a_challenge_is_handed_on_as_it_came() {
        let claims = r#"{"access_token":{"acrs":{"essential":true,"value":"cp1"}}}"#;
        let error =
            Broken { claims: Some(claims.to_owned()), ..Broken::new(Kind::Challenged, "more is asked for") };
        let problem = of_connection("reading", error, NOW.parse().expect("a time"));
        let response = problem.into_response();
        assert_eq!(response.status(), 401);
        // the very one that the vendor shows (facts §5.6)
        let expected = "Bearer realm=\"\", error=\"insufficient_claims\", \
             claims=\"eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoiY3AxIn19fQ==\"";
        assert_eq!(response.headers()["www-authenticate"], expected);
    }
}
