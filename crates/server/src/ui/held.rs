//! Which deletes wait for a person, why, and what is to become of them?

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    Extension, Router,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
    routing::get,
};
use jiff::Timestamp;
use syncline_core::identity::Identity;
use syncline_store::Held;

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

/// Deletes of a sync that are named where all syncs are shown.
const EACH: usize = 10;
/// Deletes that are named where one sync is shown.
const ROWS: usize = 200;
/// Syncs of a page.
const GROUPS: usize = 20;

pub(crate) fn routes() -> Router<Ui> {
    Router::new()
        .route("/held", get(show))
        .route("/syncs/{sync}/held/approve", needs(Scope::Write, get(ask_approve).post(approve)))
        .route("/syncs/{sync}/held/reject", needs(Scope::Write, get(ask_reject).post(reject)))
}

/// The page.
#[derive(Template)]
#[template(path = "held.html")]
struct HeldPage {
    frame: Frame,
    /// `14 deletes of 2 syncs wait for you.`
    headline: String,
    /// The one sync that is looked at.
    only: Option<String>,
    groups: Vec<Group>,
    /// Syncs with held deletes that are not on this page.
    more: usize,
}

/// What is held of one sync.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    sync: String,
    /// Part of a path.
    part: String,
    number: String,
    /// Why; usually the same for all.
    reasons: Vec<String>,
    /// Standing approval.
    approved: Option<String>,
    rows: Vec<Row>,
    /// Those that are not named here.
    rest: u64,
}

/// One record that is gone in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    key: String,
    /// Its story; none: it left the ledger meanwhile.
    href: Option<String>,
    record: String,
    since: When,
    run: u64,
}

/// What the page is made from: of each sync how many are held, the first of them, and a standing approval.
struct Facts {
    sync: String,
    total: u64,
    /// With their keys, as the page of a record reads them.
    first: Vec<(Held, Option<String>)>,
    approved: Option<u64>,
}

fn view(
    frame: Frame,
    facts: Vec<Facts>,
    only: Option<String>,
    total: (u64, usize),
    now: Timestamp,
) -> HeldPage {
    let more = total.1.saturating_sub(facts.len());
    let headline = match total {
        (0, _) => "No delete waits for you.".to_owned(),
        (held, syncs) => {
            let deletes = some(held, "delete", "deletes");
            let syncs = some(syncs as u64, "sync", "syncs");
            let wait = if held == 1 { "waits" } else { "wait" };
            format!("{deletes} of {syncs} {wait} for you.")
        }
    };
    HeldPage {
        frame,
        headline,
        only,
        groups: facts.into_iter().map(|facts| group(facts, now)).collect(),
        more,
    }
}

fn group(facts: Facts, now: Timestamp) -> Group {
    let Facts { sync, total, first, approved } = facts;
    let mut reasons: Vec<String> = first.iter().map(|(held, _)| held.reason.clone()).collect();
    reasons.sort();
    reasons.dedup();
    let rest = total.saturating_sub(first.len() as u64);
    let row = |(held, key): (Held, Option<String>)| Row {
        href: key.map(|key| record_href(&held.sync, &key)),
        key: held.label,
        record: held.record_id,
        since: When::of(held.since, now),
        run: held.run,
    };
    Group {
        part: part(&sync),
        sync,
        number: some(total, "delete", "deletes"),
        reasons,
        approved: approved.map(count),
        rows: first.into_iter().map(row).collect(),
        rest,
    }
}

async fn show(State(ui): State<Ui>, Extension(visitor): Extension<Visitor>, asked: Asked) -> Shown<HeldPage> {
    let frame = ui.frame(&visitor, Tab::Held, "Held deletes").await?.done(asked.get("done"));
    let standing = ui.api.standing().await?;
    let waiting: BTreeMap<&str, u64> = standing
        .summaries
        .values()
        .filter(|summary| summary.held > 0)
        .map(|summary| (summary.sync.as_str(), summary.held))
        .collect();
    let (mut seen, mut unseen): (u64, u64) = (0, waiting.values().sum());
    let only = asked.get("sync").map(str::to_owned);
    let (syncs, rows) = match &only {
        Some(sync) => (vec![sync.as_str()], ROWS),
        None => (waiting.keys().copied().take(GROUPS).collect(), EACH),
    };
    let mut facts = Vec::new();
    for sync in syncs {
        let first = ui.api.store.held(Some(sync), rows).await?;
        let approved = ui.api.store.approval(sync).await?;
        // the board is a moment old: it counts only what is not listed here
        let listed = first.len() as u64;
        let counted = waiting.get(sync).copied().unwrap_or_default();
        let total = if first.len() < rows { listed } else { counted.max(listed) };
        seen += total;
        unseen -= counted;
        let identities: Vec<Identity> = first.iter().map(|held| held.identity).collect();
        let details = ui.api.store.details(sync, &identities).await?;
        let keys = details.into_iter().map(|details| details.map(|details| key_text(&details.key)));
        let first = first.into_iter().zip(keys).collect::<Vec<_>>();
        facts.push(Facts { sync: sync.to_owned(), total, first, approved });
    }
    let listed = facts.len();
    facts.retain(|facts| facts.total > 0);
    let others = waiting.len().saturating_sub(listed);
    let total = (seen + unseen, facts.len() + others);
    Ok(Page(view(frame, facts, only, total, standing.at)))
}

/// How many are held of a sync, for the pages that ask first.
async fn waiting(ui: &Ui, sync: &str) -> Result<u64, Fault> {
    let held = ui.api.store.waiting().await?.into_iter().find(|waiting| waiting.sync == sync);
    match held.map(|waiting| waiting.held) {
        Some(held) if held > 0 => Ok(held),
        _ => Err(Fault::conflict(format!("No delete of {sync:?} is held any more."))),
    }
}

async fn ask_approve(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(sync): Path<String>,
) -> Shown<Confirm> {
    let held = waiting(&ui, &sync).await?;
    let frame = ui.frame(&visitor, Tab::Held, "Approve").await?.crumb("Held deletes", "/held");
    Ok(Page(Confirm {
        frame,
        question: format!("Let {sync} delete these records?"),
        means: vec![
            format!(
                "{} held. The next full run may delete at most as many records as you say here.",
                some(held, "delete is", "deletes are")
            ),
            "If more are gone by then, all of them are held again. The approval is used up by that run."
                .to_owned(),
        ],
        action: format!("/syncs/{}/held/approve", part(&sync)),
        hidden: Vec::new(),
        fields: vec![Field::Number {
            name: "max",
            label: "At most this many",
            value: held.to_string(),
            min: 1,
            max: i64::MAX as u64,
        }],
        button: "Approve the deletes",
        grave: true,
        back: "/held".to_owned(),
    }))
}

async fn approve(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(sync): Path<String>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Fault> {
    let max: Option<u64> =
        form.get("max").and_then(|max| max.parse().ok()).filter(|max| *max <= i64::MAX as u64);
    let max = max.ok_or_else(|| Fault::bad("The most that may be deleted is a number, 1 or more."))?;
    decisions::approve(&ui.api, &sync, max, &visitor.caller.name).await?;
    Ok(flash::back(&headers, "/held", Done::Approved))
}

async fn ask_reject(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(sync): Path<String>,
) -> Shown<Confirm> {
    let held = waiting(&ui, &sync).await?;
    let frame = ui.frame(&visitor, Tab::Held, "Reject").await?.crumb("Held deletes", "/held");
    Ok(Page(Confirm {
        frame,
        question: format!("Keep these records of {sync}?"),
        means: vec![
            format!(
                "{} stay in the destination and leave the ledger.",
                some(held, "record will", "records will")
            ),
            "Syncline never touches them again. A standing approval of deletes goes too.".to_owned(),
        ],
        action: format!("/syncs/{}/held/reject", part(&sync)),
        hidden: Vec::new(),
        fields: Vec::new(),
        button: "Keep the records",
        grave: false,
        back: "/held".to_owned(),
    }))
}

async fn reject(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(sync): Path<String>,
    headers: HeaderMap,
    _: Form,
) -> Result<Response, Fault> {
    decisions::reject(&ui.api, &sync, &visitor.caller.name).await?;
    Ok(flash::back(&headers, "/held", Done::Rejected))
}

#[cfg(test)]
mod tests {
    use syncline_core::value::Value;

    use super::*;

    fn held(key: &str, reason: &str) -> Held {
        Held {
            sync: "projects".to_owned(),
            identity: Identity::of(&[Value::Text(key.to_owned().into())], false).unwrap(),
            label: key.to_owned(),
            stream: "s".to_owned(),
            record_id: "7".to_owned(),
            reason: reason.to_owned(),
            since: Timestamp::UNIX_EPOCH,
            run: 3,
        }
    }

    fn frame() -> Frame {
        Frame::bare(None, Tab::Held, "Held deletes")
    }

    #[test]
    fn the_headline_counts() {
        let said = [(0, 0), (1, 1), (1400, 2)]
            .map(|total| view(frame(), Vec::new(), None, total, Timestamp::UNIX_EPOCH).headline);
        assert_eq!(
            said,
            [
                "No delete waits for you.",
                "1 delete of 1 sync waits for you.",
                "1,400 deletes of 2 syncs wait for you."
            ]
        );
    }

    #[test]
    fn a_reason_is_told_once_and_the_rest_is_counted() {
        let first = vec![(held("A<b>", "too many"), Some("A<b>".to_owned())), (held("B", "too many"), None)];
        let facts = Facts { sync: "projects".to_owned(), total: 30, first, approved: Some(5000) };
        let page = view(frame(), vec![facts], None, (30, 1), Timestamp::UNIX_EPOCH);
        let group = &page.groups[0];
        assert_eq!((&group.reasons[..], group.rest), (&["too many".to_owned()][..], 28));
        assert_eq!(group.approved.as_deref(), Some("5,000"));
        let html = page.render().unwrap();
        assert!(html.contains("A&#60;b&#62;") && !html.contains("A<b>"), "{html}");
    }
}
