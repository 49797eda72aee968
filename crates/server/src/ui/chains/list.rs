//! The page of all chains.

use std::cmp::Reverse;

use askama::Template;
use axum::{Extension, extract::State};
use jiff::Timestamp;
use syncline_core::chain::Chain;
use syncline_engine::service::health::Level;
use syncline_store::service::{ChainFilter, ChainRun, Subject};

use super::{
    super::{
        Page, Shown, Ui,
        form::Asked,
        layout::{Frame, Tab},
        session::Visitor,
        show::{Mark, When, count, part, span},
    },
    mark_of_run, worked,
};
use crate::api::Standing;

/// Chains of a page.
const ROWS: usize = 50;

/// The page.
#[derive(Template)]
#[template(path = "chains.html")]
pub(crate) struct Chains {
    frame: Frame,
    headline: String,
    rows: Vec<Row>,
    text: String,
    /// The same as a part of an address.
    query: String,
    page: usize,
    pages: usize,
}

/// One chain.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    name: String,
    href: String,
    steps: usize,
    mark: Mark,
    reason: String,
    last: Option<Last>,
    schedules: String,
    paused: bool,
}

/// The newest run of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Last {
    mark: Mark,
    at: When,
    took: String,
}

/// Chains of the page, those that need a person first, and how many pages there are.
fn chosen<'a>(standing: &'a Standing, text: &str, page: usize) -> (Vec<&'a Chain>, usize, usize) {
    let wanted = text.to_lowercase();
    let all = standing.served.project.chains.iter();
    let mut found: Vec<&Chain> = all.filter(|chain| chain.name.to_lowercase().contains(&wanted)).collect();
    found.sort_by_key(|chain| (Reverse(level(standing, chain)), chain.name.clone()));
    let pages = found.len().div_ceil(ROWS).max(1);
    let page = page.clamp(1, pages);
    (found.into_iter().skip((page - 1) * ROWS).take(ROWS).collect(), page, pages)
}

fn level(standing: &Standing, chain: &Chain) -> Level {
    standing.health(&Subject::chain(chain.name.clone())).map_or(Level::Healthy, |health| health.level)
}

fn headline(well: usize, all: usize) -> String {
    let number = |n: usize| count(n as u64);
    match (all, all - well) {
        (0, _) => "No chain is defined.".to_owned(),
        (1, 0) => "The one chain is well.".to_owned(),
        (_, 0) => format!("All {} chains are well.", number(all)),
        (_, 1) => format!("{} of {} chains are well; 1 needs you.", number(well), number(all)),
        (_, rest) => {
            format!("{} of {} chains are well; {} need you.", number(well), number(all), number(rest))
        }
    }
}

fn row(standing: &Standing, chain: &Chain, last: Option<&ChainRun>, now: Timestamp) -> Row {
    let subject = Subject::chain(chain.name.clone());
    let health = standing.health(&subject);
    let schedules: Vec<String> =
        chain.schedules.iter().map(syncline_core::schedule::Schedule::label).collect();
    let shown = |run: &ChainRun| Last {
        mark: mark_of_run(run.status),
        at: When::of(run.finished_at.unwrap_or(run.started_at), now),
        took: span(worked(run, now)),
    };
    Row {
        name: chain.name.clone(),
        href: format!("/chains/{}", part(&chain.name)),
        steps: chain.steps.len(),
        mark: Mark::level(health.map_or(Level::Healthy, |health| health.level)),
        reason: health.map(|health| health.reason.clone()).unwrap_or_default(),
        last: last.map(shown),
        schedules: schedules.join(", "),
        paused: !standing.paused(&subject).is_empty(),
    }
}

pub(super) async fn show(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    asked: Asked,
) -> Shown<Chains> {
    let frame = ui.frame(&visitor, Tab::Chains, "Chains").await?;
    let standing = ui.api.standing().await?;
    let text = asked.get("text").unwrap_or_default();
    let page = asked.get("page").and_then(|page| page.parse().ok()).unwrap_or(1);
    let (chains, page, pages) = chosen(&standing, text, page);
    let mut rows = Vec::with_capacity(chains.len());
    for chain in chains {
        let filter = ChainFilter { chain: Some(chain.name.clone()), ..ChainFilter::default() };
        let last = ui.api.store.chain_runs(&filter, 1).await?;
        rows.push(row(&standing, chain, last.first(), standing.at));
    }
    let all = &standing.served.project.chains;
    let well = all.iter().filter(|chain| level(&standing, chain) == Level::Healthy).count();
    let headline = headline(well, all.len());
    Ok(Page(Chains { frame, headline, rows, text: text.to_owned(), query: part(text), page, pages }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headline_answers_the_question() {
        let said = [(0, 0), (1, 1), (3, 3), (2, 3), (1, 3)].map(|(well, all)| headline(well, all));
        assert_eq!(
            said,
            [
                "No chain is defined.",
                "The one chain is well.",
                "All 3 chains are well.",
                "2 of 3 chains are well; 1 needs you.",
                "1 of 3 chains are well; 2 need you.",
            ]
        );
    }
}
