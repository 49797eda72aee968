//! Is everything in agreement? And what needs a person, if not.

use std::cmp::Reverse;

use askama::Template;
use axum::{Extension, Router, extract::State, routing::get};
use jiff::Timestamp;
use syncline_core::sync::Sync;
use syncline_engine::service::health::Level;
use syncline_store::service::{Subject, Summary};

use super::{
    Page, Shown, Ui,
    form::Asked,
    layout::{Frame, Tab},
    session::Visitor,
    show::{Mark, When, count, part},
};
use crate::api::Standing;

/// Syncs of a page.
const ROWS: usize = 50;

pub(crate) fn routes() -> Router<Ui> {
    Router::new().route("/", get(show))
}

/// The page.
#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    /// `12 of 14 syncs agree; 2 need you.`
    headline: String,
    /// Whether all do.
    agree: bool,
    /// What is wrong with newer definitions.
    broken: Option<String>,
    /// The syncs of this page, those that need a person first.
    rows: Vec<Row>,
    /// What was looked for.
    text: String,
    /// Which page, from 1, and how many there are.
    page: usize,
    pages: usize,
}

/// One sync.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    name: String,
    href: String,
    /// `erp → intranet`.
    ends: String,
    mark: Mark,
    reason: String,
    last_success: Option<When>,
    last_run: Option<(Mark, When, String)>,
    parked: String,
    held: String,
    conflicted: String,
}

/// The page from facts.
fn view(frame: Frame, standing: &Standing, text: &str, page: usize) -> Overview {
    let all: Vec<(&Sync, Level)> =
        standing.served.project.syncs.iter().map(|sync| (sync, level(standing, sync))).collect();
    let agree = all.iter().filter(|(_, level)| *level == Level::Healthy).count();
    let wanted = text.to_lowercase();
    let mut found: Vec<_> =
        all.iter().filter(|(sync, _)| sync.name.to_lowercase().contains(&wanted)).collect();
    found.sort_by(|a, b| (Reverse(a.1), &a.0.name).cmp(&(Reverse(b.1), &b.0.name)));
    let pages = found.len().div_ceil(ROWS).max(1);
    let page = page.clamp(1, pages);
    let rows = found.iter().skip((page - 1) * ROWS).take(ROWS);
    Overview {
        frame,
        headline: headline(agree, all.len()),
        agree: agree == all.len(),
        broken: standing.served.broken.clone(),
        rows: rows.map(|(sync, _)| row(standing, sync)).collect(),
        text: text.to_owned(),
        page,
        pages,
    }
}

fn level(standing: &Standing, sync: &Sync) -> Level {
    standing.health(&Subject::sync(sync.name.clone())).map_or(Level::Healthy, |health| health.level)
}

fn headline(agree: usize, all: usize) -> String {
    let number = |n: usize| count(n as u64);
    match (all, all - agree) {
        (0, _) => "Nothing is defined yet.".to_owned(),
        (1, 0) => "The one sync agrees.".to_owned(),
        (_, 0) => format!("All {} syncs agree.", number(all)),
        (_, 1) => format!("{} of {} syncs agree; 1 needs you.", number(agree), number(all)),
        (_, rest) => format!("{} of {} syncs agree; {} need you.", number(agree), number(all), number(rest)),
    }
}

fn row(standing: &Standing, sync: &Sync) -> Row {
    let now = standing.at;
    let health = standing.health(&Subject::sync(sync.name.clone()));
    let summary = standing.summaries.get(&sync.name);
    let number = |of: fn(&Summary) -> u64| summary.map(of).filter(|n| *n > 0).map(count).unwrap_or_default();
    let last_run = summary.and_then(|s| s.last.as_ref()).map(|run| {
        let at: Timestamp = run.finished_at.unwrap_or(run.started_at);
        (Mark::run(run.status), When::of(at, now), format!("/runs/{}", run.id))
    });
    Row {
        name: sync.name.clone(),
        href: format!("/syncs/{}", part(&sync.name)),
        ends: format!("{} → {}", sync.from.connection, sync.to.connection),
        mark: Mark::level(health.map_or(Level::Healthy, |health| health.level)),
        reason: health.map(|health| health.reason.clone()).unwrap_or_default(),
        last_success: summary.and_then(|s| s.last_success_at).map(|at| When::of(at, now)),
        last_run,
        parked: number(|s| s.parked),
        held: number(|s| s.held),
        conflicted: number(|s| s.conflicted),
    }
}

async fn show(State(ui): State<Ui>, Extension(visitor): Extension<Visitor>, asked: Asked) -> Shown<Overview> {
    let frame = ui.frame(&visitor, Tab::Overview, "Overview").await?.done(asked.get("done"));
    let standing = ui.api.standing().await?;
    let page = asked.get("page").and_then(|page| page.parse().ok()).unwrap_or(1);
    Ok(Page(view(frame, &standing, asked.get("text").unwrap_or_default(), page)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headline_answers_the_question() {
        let said =
            [(0, 0), (1, 1), (14, 14), (13, 14), (9_998, 10_000)].map(|(agree, all)| headline(agree, all));
        assert_eq!(
            said,
            [
                "Nothing is defined yet.",
                "The one sync agrees.",
                "All 14 syncs agree.",
                "13 of 14 syncs agree; 1 needs you.",
                "9,998 of 10,000 syncs agree; 2 need you."
            ]
        );
    }
}
