//! What happened, and who did it? A search of the events, the newest first.

use askama::Template;
use axum::{Extension, Router, extract::State, routing::get};
use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use syncline_store::service::{Event, EventFilter, EventSearch, Subject, SubjectKind};

use super::{
    Page, Shown, Ui,
    fault::Fault,
    form::Asked,
    layout::{Frame, Tab},
    session::Visitor,
    show::{Link, When, part},
};

/// Events of a page.
const ROWS: usize = 100;
/// Longest text that is looked for, in characters.
const TEXT_CHARS_MAX: usize = 200;

/// What people look for, as kinds begin; and the words for it.
const KINDS: &[(&str, &str)] = &[
    ("", "everything"),
    ("run.", "runs"),
    ("chain.", "chains"),
    ("parked.", "decisions about parked records"),
    ("held.", "decisions about held deletes"),
    ("schedule.", "schedules"),
    ("definition", "definitions"),
    ("alert.", "alerts"),
    ("token.", "tokens"),
];

pub(crate) fn routes() -> Router<Ui> {
    Router::new().route("/events", get(show)).route("/ui/events", get(newer))
}

/// The page.
#[derive(Template)]
#[template(path = "events.html")]
struct Events {
    frame: Frame,
    asked: Wanted,
    kinds: Vec<(&'static str, &'static str, bool)>,
    rows: Vec<Row>,
    /// Where older ones are.
    older: Option<String>,
    /// Where newer ones are asked for; only of the newest page.
    newer: Option<String>,
}

/// Rows that came since the page was made.
#[derive(Template)]
#[template(path = "events_newer.html")]
struct Newer {
    rows: Vec<Row>,
    newer: String,
}

/// What is looked for, as it stands in the form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Wanted {
    text: String,
    kind: String,
    sync: String,
    chain: String,
    run: String,
    /// Days or instants, as they were typed.
    since: String,
    until: String,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    id: u64,
    at: When,
    kind: String,
    subject: Option<Link>,
    run: Option<Link>,
    message: String,
    /// Who did it, where somebody did.
    by: Option<String>,
}

impl Wanted {
    fn of(asked: &Asked) -> Self {
        let text = |name| asked.get(name).unwrap_or_default().chars().take(TEXT_CHARS_MAX).collect();
        Self {
            text: text("text"),
            kind: text("kind"),
            sync: text("sync"),
            chain: text("chain"),
            run: text("run"),
            since: text("since"),
            until: text("until"),
        }
    }

    /// As the store takes it.
    fn search(&self, before: Option<u64>) -> Result<EventSearch, Fault> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let subject = match (some(&self.sync), some(&self.chain)) {
            (Some(_), Some(_)) => return Err(Fault::bad("Look for a sync or for a chain, not for both.")),
            (Some(sync), None) => Some(Subject::sync(sync)),
            (None, chain) => chain.map(Subject::chain),
        };
        let run =
            some(&self.run).map(|run| run.parse().map_err(|_| Fault::bad("A run is named by its number.")));
        Ok(EventSearch {
            filter: EventFilter { subject, kind: some(&self.kind), run: run.transpose()? },
            text: some(&self.text),
            since: some(&self.since).map(|text| instant(&text, false)).transpose()?,
            until: some(&self.until).map(|text| instant(&text, true)).transpose()?,
            before,
        })
    }

    /// As a query, with one field more.
    fn query(&self, name: &str, value: u64) -> String {
        let fields = [
            ("text", &self.text),
            ("kind", &self.kind),
            ("sync", &self.sync),
            ("chain", &self.chain),
            ("run", &self.run),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let set = fields.into_iter().filter(|(_, value)| !value.is_empty());
        let pairs: String = set.map(|(name, value)| format!("{name}={}&", part(value))).collect();
        format!("{pairs}{name}={value}")
    }
}

/// A day, a day with its time, or an instant with its offset; without one it is UTC. Of a day, its `end` or its start.
fn instant(text: &str, end: bool) -> Result<Timestamp, Fault> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let utc = |at: civil::DateTime| at.to_zoned(TimeZone::UTC).map(|at| at.timestamp()).ok();
    let day = text.parse::<civil::Date>().ok().and_then(|day| utc(day.to_datetime(civil::Time::midnight())));
    // a date alone is read as a date with a time, too
    let found = if text.len() == "2026-01-31".len() {
        day.and_then(|at| if end { at.checked_add(SignedDuration::from_secs(86_400)).ok() } else { Some(at) })
    } else {
        text.parse::<civil::DateTime>().ok().and_then(utc)
    };
    found.ok_or_else(|| Fault::bad("A time is written 2026-01-31 or 2026-01-31T09:30, in UTC."))
}

fn row(event: Event, now: Timestamp) -> Row {
    let Event { id, event } = event;
    let subject = event.subject.map(|subject| {
        let href = match subject.kind {
            SubjectKind::Sync => format!("/syncs/{}", part(&subject.name)),
            SubjectKind::Chain => format!("/chains/{}", part(&subject.name)),
            SubjectKind::Backfill => String::new(),
        };
        Link { text: format!("{} {}", subject.kind.as_str(), subject.name), href }
    });
    let of_chain = subject.as_ref().is_some_and(|subject| subject.href.starts_with("/chains/"));
    let run = event.run.map(|run| {
        let href = match &subject {
            Some(chain) if of_chain => format!("{}?run={run}", chain.href),
            _ => format!("/runs/{run}"),
        };
        Link { text: format!("run {run}"), href }
    });
    Row {
        id,
        at: When::of(event.at, now),
        by: event.data["by"].as_str().map(str::to_owned),
        kind: event.kind,
        message: event.message,
        subject,
        run,
    }
}

fn view(
    frame: Frame,
    wanted: Wanted,
    found: Vec<Event>,
    next: Option<u64>,
    newest: Option<u64>,
    now: Timestamp,
) -> Events {
    let kinds = KINDS.iter().map(|&(kind, words)| (kind, words, kind == wanted.kind)).collect();
    Events {
        frame,
        kinds,
        rows: found.into_iter().map(|event| row(event, now)).collect(),
        older: next.map(|next| format!("/events?{}", wanted.query("before", next))),
        newer: newest.map(|newest| format!("/ui/events?{}", wanted.query("after", newest))),
        asked: wanted,
    }
}

async fn show(State(ui): State<Ui>, Extension(visitor): Extension<Visitor>, asked: Asked) -> Shown<Events> {
    let frame = ui.frame(&visitor, Tab::Events, "Events").await?;
    let wanted = Wanted::of(&asked);
    let before = asked.get("before").and_then(|before| before.parse().ok());
    let (newest, _) = ui.api.store.event_range().await?;
    let (found, next) = ui.api.store.search_events(&wanted.search(before)?, ROWS).await?;
    let live = before.is_none() && wanted.until.is_empty();
    Ok(Page(view(frame, wanted, found, next, live.then_some(newest), ui.api.clock.now())))
}

/// Rows that came after the page was made, and where to ask for the next ones.
async fn newer(State(ui): State<Ui>, asked: Asked) -> Shown<Newer> {
    let wanted = Wanted::of(&asked);
    let after: u64 = asked.get("after").and_then(|after| after.parse().ok()).unwrap_or(u64::MAX);
    let (newest, _) = ui.api.store.event_range().await?;
    let (mut found, _) = match newest > after {
        true => ui.api.store.search_events(&wanted.search(None)?, ROWS).await?,
        false => (Vec::new(), None),
    };
    found.retain(|event| event.id > after);
    let now = ui.api.clock.now();
    let last = newest.max(found.first().map_or(0, |event| event.id));
    let rows = found.into_iter().map(|event| row(event, now)).collect();
    Ok(Page(Newer { rows, newer: format!("/ui/events?{}", wanted.query("after", last)) }))
}

#[cfg(test)]
mod tests {
    use syncline_store::service::NewEvent;

    use super::*;

    #[test]
    fn times_are_days_or_instants() {
        let read = |text: &str, end| instant(text, end).map(|at| at.to_string()).ok();
        assert_eq!(read("2026-01-31", false).as_deref(), Some("2026-01-31T00:00:00Z"));
        assert_eq!(read("2026-01-31", true).as_deref(), Some("2026-02-01T00:00:00Z"));
        assert_eq!(read("2026-01-31T09:30", true).as_deref(), Some("2026-01-31T09:30:00Z"));
        assert_eq!(read("2026-01-31T09:30:00+02:00", true).as_deref(), Some("2026-01-31T07:30:00Z"));
        assert_eq!(read("yesterday", false), None);
    }

    #[test]
    fn what_was_looked_for_goes_with_the_next_page() {
        let wanted = Wanted { text: "a&b=c".to_owned(), kind: "run.".to_owned(), ..Wanted::default() };
        assert_eq!(wanted.query("before", 7), "text=a%26b%3Dc&kind=run.&before=7");
        let both = Wanted { sync: "a".to_owned(), chain: "b".to_owned(), ..Wanted::default() };
        assert!(both.search(None).is_err());
    }

    #[test]
    fn an_event_leads_to_what_it_is_about_and_stays_text() {
        let event = NewEvent {
            at: Timestamp::UNIX_EPOCH,
            kind: "chain.step".to_owned(),
            subject: Some(Subject::chain("night<ly")),
            run: Some(4),
            correlation: None,
            message: "<script>alert(1)</script>".to_owned(),
            data: serde_json::json!({ "by": "<i>ops" }),
        };
        let found = vec![Event { id: 9, event }];
        let frame = Frame::bare(None, Tab::Events, "Events");
        let page = view(frame, Wanted::default(), found, Some(9), Some(9), Timestamp::UNIX_EPOCH);
        assert_eq!(page.rows[0].run.as_ref().unwrap().href, "/chains/night%3Cly?run=4");
        assert_eq!(page.older.as_deref(), Some("/events?before=9"));
        let html = page.render().unwrap();
        assert!(
            !html.contains("<script>alert") && !html.contains("<i>ops") && !html.contains("night<ly"),
            "{html}"
        );
    }
}
