//! Answers to calls on webinars: who may ask, what is found, pages (facts §4.1, §4.5).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::route::EventRoute;
use super::{Report, Session, Webinar};
use crate::answer::{Refusal, Reply};
use crate::graph::Call;
use crate::json_out::JsonOut;
use crate::query::without_option;
use crate::state::State;
use crate::switches::{NoLicence, RegistrationsList, Switches};

/// Only the newest reports of a session are shown (facts §4.5 \[D\]).
const REPORTS_SHOWN: usize = 50;

const READ: &[&str] = &["VirtualEvent.Read", "VirtualEvent.ReadWrite"];
const ARTIFACTS: &[&str] = &["OnlineMeetingArtifact.Read.All"];

/// Answers a call on virtual events; all of them are reads.
pub(crate) fn answer(state: &State, call: &Call, route: &EventRoute) -> Result<Reply, Refusal> {
    if call.method != hyper::Method::GET {
        return Err(Refusal::new(
            405,
            "Request_BadRequest",
            "Specified HTTP method is not allowed for the request target.",
        ));
    }
    check_permission(state, call, route)?;
    check_licence(state, call)?;
    match route {
        EventRoute::Webinars => {
            let client_id = &state.apps[call.caller.app].client_id;
            let named = |webinar: &Webinar| state.people.policy_names(client_id, &webinar.spec.organizer);
            listed_webinars(state, call, named)
        }
        EventRoute::ByUserRole(role) => {
            let oid = call.caller.user.as_ref().map_or("", |user| user.oid.as_str());
            by_role(state, call, oid, role)
        }
        EventRoute::ByUserIdAndRole { user, role } => by_role(state, call, user, role),
        EventRoute::Webinar(id) => Ok(one(state, &webinars_context(call), &webinar(state, call, id)?.json)),
        EventRoute::Sessions(id) => {
            let webinar = webinar(state, call, id)?;
            page(&state.rules, call, &context(call, id, "sessions"), |after| {
                numbered(&webinar.sessions, after, |session| Cow::from(&session.brief))
            })
        }
        EventRoute::Session(id, session) => {
            let found = session_of(webinar(state, call, id)?, session)?;
            Ok(one(state, &context(call, id, "sessions"), &found.full))
        }
        EventRoute::Registrations(id) => {
            let webinar = webinar(state, call, id)?;
            page(&state.rules, call, &context(call, id, "registrations"), |after| {
                let rest = webinar.registrations.range(after.saturating_add(1)..);
                rest.map(|(number, registration)| (*number, Cow::from(&registration.json)))
            })
        }
        EventRoute::Registration(id, registration) => {
            let found = webinar(state, call, id)?.registration(registration);
            let found = found.ok_or_else(|| not_found("registration"))?;
            Ok(one(state, &context(call, id, "registrations"), &found.json))
        }
        EventRoute::Reports(..) | EventRoute::Report(..) | EventRoute::Records(..) => {
            attendance(state, call, route)
        }
    }
}

fn attendance(state: &State, call: &Call, route: &EventRoute) -> Result<Reply, Refusal> {
    let (id, session, report) = match route {
        EventRoute::Reports(id, session) => (id, session, None),
        EventRoute::Report(id, session, report) | EventRoute::Records(id, session, report) => {
            (id, session, Some(report))
        }
        _ => return Err(not_found("report")),
    };
    let session = session_of(webinar(state, call, id)?, session)?;
    if !session.has_run() {
        // 404 before the event has run (facts §4.5 [O]).
        return Err(not_found("attendance report"));
    }
    let context = context(call, id, "attendanceReports");
    let newest = session.reports.len().saturating_sub(REPORTS_SHOWN);
    let shown = &session.reports[newest..];
    let Some(report) = report else {
        return page(&state.rules, call, &context, |after| {
            // The newest first; which order the service has is [X].
            let reports = shown.iter().rev().enumerate().skip(usize::try_from(after).unwrap_or(usize::MAX));
            reports.map(|(at, report)| (at as u64 + 1, Cow::from(report.closed(false))))
        });
    };
    let report = shown.iter().find(|shown| shown.id.eq_ignore_ascii_case(report));
    let report = report.ok_or_else(|| not_found("attendance report"))?;
    if matches!(route, EventRoute::Records(..)) {
        return page(&state.rules, call, &format!("{context}/attendanceRecords"), |after| {
            numbered(&report.records, after, Cow::from)
        });
    }
    let expanded = call.query.expands("attendanceRecords");
    Ok(one(state, &context, &report.closed(expanded)))
}

impl Report {
    /// The report with its closing bracket; records only when expanded (facts §4.5 \[D\]).
    fn closed(&self, expanded: bool) -> Vec<u8> {
        let mut json = self.json.clone();
        if expanded {
            json.extend_from_slice(b",\"attendanceRecords\":[");
            json.extend(self.records.join(&b','));
            json.push(b']');
        }
        json.push(b'}');
        json
    }
}

/// What facts §4.1 asks for a call: delegated scopes, or application roles. Nothing: not supported.
fn needed(route: &EventRoute, delegated: bool, rules: &Switches) -> &'static [&'static str] {
    match (route, delegated) {
        (EventRoute::Webinars | EventRoute::ByUserIdAndRole { .. }, true) => &[],
        (EventRoute::ByUserRole(_), false) => &[],
        (EventRoute::Registrations(_), true) => match rules.registrations_list_delegated {
            RegistrationsList::Allow => READ,
            RegistrationsList::Deny => &[],
        },
        (EventRoute::Registrations(_), false) => &["VirtualEvent.Read.Chat"],
        (EventRoute::Reports(..) | EventRoute::Report(..) | EventRoute::Records(..), true) => ARTIFACTS,
        (EventRoute::Reports(..) | EventRoute::Report(..) | EventRoute::Records(..), false) => {
            &["OnlineMeetingArtifact.Read.All", "OnlineMeetingArtifact.Read.Chat"]
        }
        (_, true) => READ,
        (EventRoute::Webinar(_), false) => &["VirtualEvent.Read.Chat", "VirtualEvent.Read.All"],
        (EventRoute::Registration(..), false) => &[
            "VirtualEvent.Read.Chat",
            "VirtualEvent.Read.All",
            "VirtualEventRegistration-Anon.ReadWrite.All",
        ],
        (_, false) => &["VirtualEvent.Read.All"],
    }
}

/// A 403 gives no reason (facts §4.6 \[O\]).
fn forbidden() -> Refusal {
    Refusal::new(403, "Forbidden", "Forbidden")
}

fn check_permission(state: &State, call: &Call, route: &EventRoute) -> Result<(), Refusal> {
    let needed = needed(route, call.caller.user.is_some(), &state.rules);
    let powers = state.powers(&call.caller);
    let allowed = powers.iter().any(|power| needed.contains(&power.as_str()));
    if allowed { Ok(()) } else { Err(forbidden()) }
}

/// What a missing licence answers is \[X\]; the inner code is invented (facts §4.6).
fn check_licence(state: &State, call: &Call) -> Result<(), Refusal> {
    let user = call.caller.user.as_ref().and_then(|user| state.people.user(&user.oid));
    match (user, state.rules.no_licence) {
        (Some(user), NoLicence::LicenseRequired) if !user.licence => {
            Err(forbidden().with_inner("licenseRequired"))
        }
        (Some(user), NoLicence::BareForbidden) if !user.licence => Err(forbidden()),
        _ => Ok(()),
    }
}

fn not_found(what: &str) -> Refusal {
    Refusal::not_found(format!("The {what} could not be found."))
}

/// A webinar the caller may see: its organizers alone (facts §4.1 \[D\]), or an application that the organizer's
/// access policy names.
fn webinar<'a>(state: &'a State, call: &Call, id: &str) -> Result<&'a Webinar, Refusal> {
    let webinar = state.webinars.find(id).ok_or_else(|| not_found("webinar"))?;
    let client_id = &state.apps[call.caller.app].client_id;
    let allowed = match &call.caller.user {
        Some(user) => webinar.is_run_by(&user.oid),
        None => state.people.policy_names(client_id, &webinar.spec.organizer),
    };
    if allowed { Ok(webinar) } else { Err(forbidden()) }
}

fn session_of<'a>(webinar: &'a Webinar, id: &str) -> Result<&'a Session, Refusal> {
    webinar.session(id).ok_or_else(|| not_found("session"))
}

fn by_role(state: &State, call: &Call, oid: &str, role: &str) -> Result<Reply, Refusal> {
    let client_id = &state.apps[call.caller.app].client_id;
    let named = |webinar: &Webinar| {
        call.caller.user.is_some() || state.people.policy_names(client_id, &webinar.spec.organizer)
    };
    match role {
        "organizer" => listed_webinars(state, call, |webinar| {
            webinar.spec.organizer.eq_ignore_ascii_case(oid) && named(webinar)
        }),
        "coOrganizer" => {
            listed_webinars(state, call, |webinar| webinar.has_co_organizer(oid) && named(webinar))
        }
        _ => Err(Refusal::invalid(format!("The role '{role}' is not valid"))),
    }
}

fn listed_webinars(state: &State, call: &Call, shown: impl Fn(&Webinar) -> bool) -> Result<Reply, Refusal> {
    page(&state.rules, call, &webinars_context(call), |after| {
        let all = state.webinars.all().iter().enumerate().skip(usize::try_from(after).unwrap_or(usize::MAX));
        all.filter(|(_, webinar)| shown(webinar))
            .map(|(at, webinar)| (at as u64 + 1, Cow::from(&webinar.json)))
    })
}

fn webinars_context(call: &Call) -> String {
    format!("{}/v1.0/$metadata#solutions/virtualEvents/webinars", call.base)
}

fn context(call: &Call, id: &str, what: &str) -> String {
    format!("{}('{}')/{what}", webinars_context(call), id.replace('@', "%40"))
}

/// One entity: bare, or wrapped in `value` as the samples show it (facts §4.5 \[O\]).
fn one(state: &State, context: &str, json: &[u8]) -> Reply {
    let mut out = JsonOut::with_capacity(json.len() + 256);
    out.open();
    out.text_field("@odata.context", &format!("{context}/$entity"));
    if state.rules.wrapped_single_events {
        out.key("value");
        out.raw(json);
    } else {
        // The members of an object that was written here.
        out.raw(&json[1..json.len() - 1]);
    }
    out.close();
    Reply::json(200, out.into_bytes())
}

fn numbered<'a, T>(
    all: &'a [T],
    after: u64,
    json: impl Fn(&'a T) -> Cow<'a, [u8]> + 'a,
) -> impl Iterator<Item = (u64, Cow<'a, [u8]>)> {
    let rest = all.iter().enumerate().skip(usize::try_from(after).unwrap_or(usize::MAX));
    rest.map(move |(at, entry)| (at as u64 + 1, json(entry)))
}

/// One page of a collection. `from` gives the entries after a number, each with its own.
fn page<'a, I: Iterator<Item = (u64, Cow<'a, [u8]>)>>(
    rules: &Switches,
    call: &Call,
    context: &str,
    from: impl FnOnce(u64) -> I,
) -> Result<Reply, Refusal> {
    let token = call.query.skip_token.as_deref();
    let after = token.map(skipped).transpose()?.unwrap_or(0);
    let size = call.query.top.unwrap_or(usize::MAX).min(rules.virtual_event_page_size.max(1));
    let mut entries = from(after).peekable();
    let mut out = JsonOut::with_capacity(32 * 1024);
    out.open();
    out.text_field("@odata.context", context);
    out.key("value");
    out.open_array();
    let mut last = after;
    // A page can be empty and still go on (facts §1.5 [D]).
    let taken = if rules.virtual_event_empty_page && token.is_none() { 0 } else { size };
    for (number, json) in entries.by_ref().take(taken) {
        out.raw(&json);
        last = number;
    }
    out.close_array();
    if entries.peek().is_some() {
        let kept = without_option(&call.raw_query, "skiptoken");
        let joint = if kept.is_empty() { "" } else { "&" };
        let path = crate::route::encoded(&call.path);
        let token = URL_SAFE_NO_PAD.encode(format!("after={last}"));
        out.text_field(
            "@odata.nextLink",
            &format!("{}/v1.0{path}?{kept}{joint}$skiptoken={token}", call.base),
        );
    }
    out.close();
    Ok(Reply::json(200, out.into_bytes()))
}

fn skipped(token: &str) -> Result<u64, Refusal> {
    let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let number = text.as_deref().and_then(|text| text.strip_prefix("after=")?.parse().ok());
    number.ok_or_else(|| Refusal::invalid("The skiptoken is not valid").with_inner("invalidQueryOption"))
}
