//! Which records failed, for which reasons, and what is to become of them?

use std::{cmp::Reverse, collections::BTreeMap};

use askama::Template;
use axum::{
    Extension, Router,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
    routing::get,
};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use syncline_core::identity::Identity;
use syncline_engine::service::StartOptions;
use syncline_store::{Parked, service::Subject};

use super::{
    Page, Shown, Ui,
    confirm::{Confirm, Field},
    fault::Fault,
    flash::{self, Done},
    form::{Asked, Form},
    layout::{Frame, Tab},
    needs,
    session::Visitor,
    show::{When, count, key_text, part, record_href, some},
};
use crate::{api::decisions, auth::Scope};

/// Parked records that are looked at, the oldest first.
const WALKED_MAX: usize = 5_000;
/// Groups of a page.
const GROUPS: usize = 50;
/// Records that a group names.
const EXAMPLES: usize = 5;

pub(crate) fn routes() -> Router<Ui> {
    Router::new()
        .route("/parked", get(show))
        .route("/syncs/{sync}/parked/retry", needs(Scope::Write, get(ask_retry).post(retry)))
        .route("/syncs/{sync}/parked/drop", needs(Scope::Write, get(ask_drop).post(forget)))
}

/// The page.
#[derive(Template)]
#[template(path = "parked.html")]
struct ParkedPage {
    frame: Frame,
    /// `31 records of 2 syncs failed, for 3 reasons.`
    headline: String,
    /// The one sync that is looked at.
    only: Option<String>,
    groups: Vec<Group>,
    /// What is not on this page.
    rest: Option<String>,
}

/// Records of one sync that failed for the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    sync: String,
    /// Part of a path.
    part: String,
    /// Names the group in addresses.
    id: String,
    code: String,
    message: String,
    /// What is to be done about it, where the code alone tells.
    advice: Option<&'static str>,
    number: String,
    examples: Vec<Example>,
    /// Records that are not among the examples.
    rest: u64,
    first: When,
    last: When,
    /// Before when none of them is tried again; none: they are due.
    retry: Option<When>,
}

/// One record of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Example {
    key: String,
    /// Its story; none: it has no key to be found by.
    href: Option<String>,
    attempts: u32,
}

/// What names a group of a sync: it changes with code and message.
fn group_id(code: &str, message: &str) -> String {
    let hash = Sha256::digest(format!("{code}\n{message}").as_bytes());
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// `found`: the oldest parked records; `total`: how many there are, of how many syncs.
fn view(
    frame: Frame,
    found: Vec<Parked>,
    only: Option<String>,
    total: (u64, usize),
    now: Timestamp,
) -> ParkedPage {
    let seen = found.len() as u64;
    let mut by_reason: BTreeMap<(String, String, String), Vec<Parked>> = BTreeMap::new();
    for parked in found {
        let reason = (parked.sync.clone(), parked.code.clone(), parked.message.clone());
        by_reason.entry(reason).or_default().push(parked);
    }
    let mut groups: Vec<_> = by_reason.into_iter().collect();
    groups.sort_by_key(|(_, of)| Reverse(of.len()));
    let reasons = groups.len();
    let groups: Vec<Group> =
        groups.into_iter().take(GROUPS).filter_map(|(reason, of)| group(reason, &of, now)).collect();
    let rest = match (total.0.saturating_sub(seen), reasons.saturating_sub(groups.len())) {
        (0, 0) => None,
        (0, more) => Some(format!("{} are not shown.", some(more as u64, "reason", "reasons"))),
        (more, _) => Some(format!(
            "This is of the {} oldest; {} are behind them.",
            count(seen),
            some(more, "record", "records")
        )),
    };
    ParkedPage { frame, headline: headline(total, reasons), only, groups, rest }
}

fn headline((records, syncs): (u64, usize), reasons: usize) -> String {
    if records == 0 {
        return "No record is parked.".to_owned();
    }
    let (records, syncs) = (some(records, "record", "records"), some(syncs as u64, "sync", "syncs"));
    format!("{records} of {syncs} failed, for {}.", some(reasons as u64, "reason", "reasons"))
}

fn group((sync, code, message): (String, String, String), of: &[Parked], now: Timestamp) -> Option<Group> {
    let example = |parked: &Parked| Example {
        key: parked.label.clone(),
        href: parked.key.as_ref().map(|key| record_href(&sync, &key_text(key))),
        attempts: parked.attempts,
    };
    let first = of.iter().map(|parked| parked.first_at).min()?;
    let last = of.iter().map(|parked| parked.last_at).max()?;
    let retry = of.iter().map(|parked| parked.retry_at).min()?;
    Some(Group {
        part: part(&sync),
        id: group_id(&code, &message),
        advice: advice(&code),
        number: some(of.len() as u64, "record", "records"),
        examples: of.iter().take(EXAMPLES).map(example).collect(),
        rest: of.len().saturating_sub(EXAMPLES) as u64,
        first: When::of(first, now),
        last: When::of(last, now),
        retry: (retry > now).then(|| When::of(retry, now)),
        sync,
        code,
        message,
    })
}

/// What a person can do, where the code alone tells.
fn advice(code: &str) -> Option<&'static str> {
    match code {
        "conflict" => Some("Both sides were edited: make one agree with the other, then retry."),
        "quarantined" => {
            Some("Several records in the destination carry the same stamp: remove all but one, then retry.")
        }
        "value" | "rejected" | "duplicate" => {
            Some("The destination does not take these values: correct them in the source, then retry.")
        }
        "stream_full" => Some("The destination is full: make room, or route records elsewhere, then retry."),
        _ => None,
    }
}

async fn show(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    asked: Asked,
) -> Shown<ParkedPage> {
    let frame = ui.frame(&visitor, Tab::Parked, "Parked records").await?.done(asked.get("done"));
    let standing = ui.api.standing().await?;
    let only = asked.get("sync").map(str::to_owned);
    let wanted = standing.summaries.values().filter(|s| only.as_ref().is_none_or(|only| *only == s.sync));
    let waiting: Vec<u64> = wanted.map(|s| s.parked + s.conflicted).filter(|n| *n > 0).collect();
    let found = ui.api.store.parked(only.as_deref(), None, WALKED_MAX).await?;
    // the board is a moment old
    let syncs: std::collections::BTreeSet<&str> = found.iter().map(|parked| parked.sync.as_str()).collect();
    let total = if found.len() < WALKED_MAX {
        (found.len() as u64, syncs.len())
    } else {
        (waiting.iter().sum::<u64>().max(found.len() as u64), waiting.len().max(syncs.len()))
    };
    Ok(Page(view(frame, found, only, total, standing.at)))
}

/// Which records a form is about: all of a sync, or those of a group.
struct Meant {
    /// `None`: all of the sync.
    identities: Option<Vec<Identity>>,
    /// `31 records of projects`.
    words: String,
}

async fn meant(ui: &Ui, sync: &str, group: Option<&str>) -> Result<Meant, Fault> {
    let mut found = ui.api.store.parked(Some(sync), None, WALKED_MAX).await?;
    if let Some(group) = group {
        found.retain(|parked| group_id(&parked.code, &parked.message) == group);
    }
    if found.is_empty() {
        return Err(Fault::conflict(format!("No record of {sync:?} is parked for this reason any more.")));
    }
    let all = group.is_none();
    let words = match found.len() {
        n if all && n >= WALKED_MAX => format!("All parked records of {sync}"),
        n => format!("{} of {sync}", some(n as u64, "record", "records")),
    };
    let identities = (!all).then(|| found.into_iter().map(|parked| parked.identity).collect());
    Ok(Meant { identities, words })
}

fn hidden(group: Option<&str>) -> Vec<(&'static str, String)> {
    group.map(|group| ("group", group.to_owned())).into_iter().collect()
}

async fn ask_retry(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(sync): Path<String>,
    asked: Asked,
) -> Shown<Confirm> {
    let meant = meant(&ui, &sync, asked.get("group")).await?;
    let frame = ui.frame(&visitor, Tab::Parked, "Retry").await?.crumb("Parked records", "/parked");
    Ok(Page(Confirm {
        frame,
        question: format!("Retry {}?", lower(&meant.words)),
        means: vec![
            "They become due now, and a run that tries only parked records is asked for.".to_owned(),
            "Each is read from the source again. What fails again waits longer the next time.".to_owned(),
        ],
        action: format!("/syncs/{}/parked/retry", part(&sync)),
        hidden: hidden(asked.get("group")),
        fields: Vec::new(),
        button: "Retry now",
        grave: false,
        back: "/parked".to_owned(),
    }))
}

async fn retry(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(sync): Path<String>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Fault> {
    let meant = meant(&ui, &sync, form.get("group")).await?;
    let by = &visitor.caller.name;
    decisions::retry(&ui.api, &sync, meant.identities.as_deref(), by).await?;
    // one that left the definitions has no run to ask for
    if ui.api.control.served().project.sync(&sync).is_some() {
        let options = StartOptions { only_parked: true, ..StartOptions::default() };
        ui.api.control.start(&Subject::sync(sync), &options, None, by).await?;
    }
    Ok(flash::back(&headers, "/parked", Done::Retried))
}

async fn ask_drop(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(sync): Path<String>,
    asked: Asked,
) -> Shown<Confirm> {
    let meant = meant(&ui, &sync, asked.get("group")).await?;
    let frame = ui.frame(&visitor, Tab::Parked, "Drop").await?.crumb("Parked records", "/parked");
    Ok(Page(Confirm {
        frame,
        question: format!("Drop {}?", lower(&meant.words)),
        means: vec![
            "They are not tried again by themselves. Source and destination stay as they are.".to_owned(),
            "A record comes back when it changes in the source, or with the next full run. The reason is kept with the events.".to_owned(),
        ],
        action: format!("/syncs/{}/parked/drop", part(&sync)),
        hidden: hidden(asked.get("group")),
        fields: vec![Field::Text { name: "reason", label: "Why", required: true }],
        button: "Drop them",
        grave: true,
        back: "/parked".to_owned(),
    }))
}

async fn forget(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(sync): Path<String>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Fault> {
    let reason = form.get("reason").ok_or_else(|| Fault::bad("Say why these records are dropped."))?;
    let meant = meant(&ui, &sync, form.get("group")).await?;
    decisions::forget(&ui.api, &sync, meant.identities.as_deref(), Some(reason), &visitor.caller.name)
        .await?;
    Ok(flash::back(&headers, "/parked", Done::Dropped))
}

/// For the middle of a sentence.
fn lower(words: &str) -> String {
    words.strip_prefix("All").map_or_else(|| words.to_owned(), |rest| format!("all{rest}"))
}

#[cfg(test)]
mod tests {
    use syncline_core::value::Value;

    use super::*;

    fn parked(key: &str, code: &str, message: &str, seconds: i64) -> Parked {
        let at = Timestamp::from_second(seconds).unwrap();
        Parked {
            sync: "projects".to_owned(),
            identity: Identity::of(&[Value::Text(key.to_owned().into())], false).unwrap(),
            key: None,
            label: key.to_owned(),
            kind: None,
            code: code.to_owned(),
            message: message.to_owned(),
            attempts: 2,
            first_at: at,
            last_at: at,
            retry_at: at,
            run: 3,
        }
    }

    #[test]
    fn records_are_grouped_by_reason_and_the_largest_group_is_first() {
        let found = vec![
            parked("A", "invalid", "field Status: not a choice", 10),
            parked("B", "conflict", "edited on both sides", 20),
            parked("C", "invalid", "field Status: not a choice", 30),
        ];
        let now = Timestamp::from_second(60).unwrap();
        let page = view(Frame::bare(None, Tab::Parked, "Parked"), found, None, (3, 1), now);
        assert_eq!(page.headline, "3 records of 1 sync failed, for 2 reasons.");
        let shown: Vec<_> = page.groups.iter().map(|g| (g.code.as_str(), g.number.as_str())).collect();
        assert_eq!(shown, [("invalid", "2 records"), ("conflict", "1 record")]);
        assert_eq!((&*page.groups[0].first.words, &*page.groups[0].last.words), ("50 s ago", "30 s ago"));
        assert_ne!(page.groups[0].id, page.groups[1].id);
        assert_eq!(page.rest, None);
    }

    #[test]
    fn what_is_not_shown_is_said() {
        let frame = || Frame::bare(None, Tab::Parked, "Parked");
        let found = vec![parked("A", "x", "y", 1)];
        let page = view(frame(), found, None, (7000, 2), Timestamp::UNIX_EPOCH);
        assert_eq!(page.rest.as_deref(), Some("This is of the 1 oldest; 6,999 records are behind them."));
        let empty = view(frame(), Vec::new(), None, (0, 0), Timestamp::UNIX_EPOCH);
        assert_eq!(empty.headline, "No record is parked.");
    }

    #[test]
    fn what_others_wrote_stays_text() {
        let found = vec![parked("<img src=x>", "x\"y", "<script>alert(1)</script>", 1)];
        let page = view(Frame::bare(None, Tab::Parked, "Parked"), found, None, (1, 1), Timestamp::UNIX_EPOCH);
        let html = page.render().unwrap();
        assert!(!html.contains("<img src=x>") && !html.contains("<script>alert"), "{html}");
    }
}
