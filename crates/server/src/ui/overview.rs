//! Is everything in agreement? And what needs a person, if not.

use std::{cmp::Reverse, collections::BTreeSet};

use askama::Template;
use axum::{Extension, Router, extract::State, routing::get};
use jiff::Timestamp;
use syncline_connect::budget::Budgets;
use syncline_core::{calendar::Timing, run::Status, sync::Sync};
use syncline_engine::service::health::Level;
use syncline_store::service::{Subject, Summary};

use super::{
    Page, Shown, Ui,
    chart::{Svg, sparkline},
    form::Asked,
    layout::{Frame, Tab},
    session::Visitor,
    show::{Link, Mark, When, count, part, some, span},
};
use crate::api::Standing;

/// Syncs of a page.
const ROWS: usize = 50;
/// Entries of a list that is shown in part.
const NAMED: usize = 5;

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
    /// What needs a person, the worst first.
    needs: Vec<Need>,
    /// What is wrong with newer definitions.
    broken: Option<String>,
    quotas: Vec<Quota>,
    list: Listed,
}

/// The part of the page that filters change.
struct Listed {
    rows: Vec<Row>,
    /// What was looked for.
    text: String,
    choices: Vec<(&'static str, &'static str, bool)>,
    /// `Syncs 51 to 100 of 10,000`.
    place: String,
    previous: Option<String>,
    next: Option<String>,
    nothing_defined: bool,
}

/// Something that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Need {
    mark: Mark,
    /// `3 syncs failed`.
    text: String,
    href: String,
    /// Some of them.
    of: Vec<Link>,
}

/// How much of a quota is left.
#[derive(Debug, Clone, PartialEq)]
struct Quota {
    name: String,
    /// `1,180 of 1,200 per min`.
    text: String,
    used: u64,
    limit: u64,
}

/// One sync.
struct Row {
    name: String,
    href: String,
    /// `erp → intranet`.
    ends: String,
    mark: Mark,
    reason: String,
    fresh: Option<When>,
    /// How it ended, when, and where it is shown.
    last: Option<(Mark, When, String)>,
    next: Option<When>,
    bars: Option<Svg>,
    parked: String,
    held: String,
    conflicts: String,
}

/// Which syncs are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    All,
    Attention,
    Failed,
    Late,
    Parked,
    Held,
    Conflicts,
    Running,
    Paused,
}

impl Choice {
    const ALL: [(Self, &'static str, &'static str); 9] = [
        (Self::All, "all", "All"),
        (Self::Attention, "attention", "That need you"),
        (Self::Failed, "failed", "Failed"),
        (Self::Late, "late", "Late"),
        (Self::Parked, "parked", "With parked records"),
        (Self::Held, "held", "With held deletes"),
        (Self::Conflicts, "conflicts", "With conflicts"),
        (Self::Running, "running", "Running"),
        (Self::Paused, "paused", "Paused"),
    ];

    fn parse(word: Option<&str>) -> Self {
        Self::ALL.into_iter().find(|(_, w, _)| Some(*w) == word).map_or(Self::All, |(choice, _, _)| choice)
    }

    fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(choice, _, _)| *choice == self).map_or("all", |(_, word, _)| word)
    }

    fn fits(self, fact: &Fact<'_>) -> bool {
        let summary = |of: fn(&Summary) -> bool| fact.summary.is_some_and(of);
        match self {
            Self::All => true,
            Self::Attention => fact.needs_a_person(),
            Self::Failed => fact.status() == Some(Status::Failed),
            Self::Late => fact.late,
            Self::Parked => summary(|s| s.parked > 0),
            Self::Held => summary(|s| s.held > 0),
            Self::Conflicts => summary(|s| s.conflicted > 0),
            Self::Running => fact.status() == Some(Status::Running),
            Self::Paused => fact.paused,
        }
    }
}

/// What is known of a sync.
struct Fact<'a> {
    sync: &'a Sync,
    level: Level,
    reason: &'a str,
    late: bool,
    paused: bool,
    summary: Option<&'a Summary>,
}

impl<'a> Fact<'a> {
    fn of(sync: &'a Sync, standing: &'a Standing) -> Self {
        let subject = Subject::sync(sync.name.clone());
        let health = standing.health(&subject);
        Self {
            sync,
            level: health.map_or(Level::Healthy, |health| health.level),
            reason: health.map_or("", |health| &health.reason),
            late: health.is_some_and(|health| health.late),
            paused: standing.paused.get(&subject).is_some_and(|paused| !paused.is_empty()),
            summary: standing.summaries.get(&sync.name),
        }
    }

    fn status(&self) -> Option<Status> {
        Some(self.summary?.last.as_ref()?.status)
    }

    /// Whether no run of it has come to a good end yet.
    fn is_new(&self) -> bool {
        self.summary.is_none_or(|summary| summary.last_success_at.is_none())
    }

    fn needs_a_person(&self) -> bool {
        let waiting = self.summary.is_some_and(|s| s.held + s.parked + s.conflicted > 0);
        self.level != Level::Healthy || waiting
    }
}

/// What is asked for.
struct Wanted<'a> {
    text: &'a str,
    choice: Choice,
    page: usize,
}

/// The page from facts; its rows without their bars.
fn view(frame: Frame, standing: &Standing, budgets: &Budgets, wanted: &Wanted<'_>) -> Overview {
    let facts: Vec<Fact<'_>> =
        standing.served.project.syncs.iter().map(|sync| Fact::of(sync, standing)).collect();
    let need = facts.iter().filter(|fact| fact.needs_a_person()).count();
    let new = facts.iter().filter(|fact| !fact.needs_a_person() && fact.is_new()).count();
    Overview {
        frame,
        headline: headline(facts.len(), need, new),
        needs: needs(&facts),
        broken: standing.served.broken.clone(),
        quotas: quotas(budgets),
        list: list(&facts, standing, wanted),
    }
}

/// Of `all` syncs, `need` wait for a person and `new` have not come to an end yet.
fn headline(all: usize, need: usize, new: usize) -> String {
    let number = |n: usize| count(n as u64);
    let mut said = match all - need - new {
        _ if all == 0 => return "Nothing is defined yet.".to_owned(),
        1 if all == 1 => return "The one sync agrees.".to_owned(),
        agree if agree == all => return format!("All {} syncs agree.", number(all)),
        agree => format!("{} of {} agree", number(agree), some(all as u64, "sync", "syncs")),
    };
    match need {
        0 => {}
        1 => said.push_str("; 1 needs you"),
        need => said.push_str(&format!("; {} need you", number(need))),
    }
    match new {
        0 => {}
        1 => said.push_str("; 1 has not run yet"),
        new => said.push_str(&format!("; {} have not run yet", number(new))),
    }
    said + "."
}

fn needs(facts: &[Fact<'_>]) -> Vec<Need> {
    let of = |choice: Choice| facts.iter().filter(move |fact| choice.fits(fact));
    let syncs = |choice: Choice, mark: Mark, verb: &str| {
        let n = of(choice).count() as u64;
        let named = of(choice).take(NAMED).map(|fact| link(&fact.sync.name)).collect();
        let href = format!("/?show={}", choice.word());
        (n > 0).then(|| Need { mark, text: format!("{} {verb}", some(n, "sync", "syncs")), href, of: named })
    };
    let records =
        |choice: Choice, mark: Mark, (one, many): (&str, &str), number: fn(&Summary) -> u64, href: &str| {
            let n: u64 = of(choice).filter_map(|fact| fact.summary).map(number).sum();
            let named = of(choice).take(NAMED).map(|fact| link(&fact.sync.name)).collect();
            (n > 0).then(|| Need { mark, text: some(n, one, many), href: href.to_owned(), of: named })
        };
    [
        syncs(Choice::Failed, Mark::bad("failed"), "failed"),
        records(
            Choice::Held,
            Mark::warn("held"),
            ("delete waits for approval", "deletes wait for approval"),
            |s| s.held,
            "/held",
        ),
        records(
            Choice::Conflicts,
            Mark::warn("conflict"),
            ("record was edited on both sides", "records were edited on both sides"),
            |s| s.conflicted,
            "/parked",
        ),
        records(
            Choice::Parked,
            Mark::warn("parked"),
            ("record is parked", "records are parked"),
            |s| s.parked,
            "/parked",
        ),
        syncs(Choice::Late, Mark::warn("late"), "late"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn link(name: &str) -> Link {
    Link { text: name.to_owned(), href: format!("/syncs/{}", part(name)) }
}

fn quotas(budgets: &Budgets) -> Vec<Quota> {
    let all = budgets.all();
    let windows =
        all.iter().flat_map(|budget| budget.windows().into_iter().map(move |window| (budget.name(), window)));
    let quota = |(name, (limit, used)): (&str, (syncline_core::budget::Limit, u64))| {
        let left = limit.units.saturating_sub(used);
        let window = match limit.window.as_secs() {
            60 => "a minute".to_owned(),
            3_600 => "an hour".to_owned(),
            86_400 => "a day".to_owned(),
            _ => format!("in {}", span(limit.window.as_secs_f64())),
        };
        let text = format!("{} of {} {window}", count(left), count(limit.units));
        Quota { name: name.to_owned(), text, used: used.min(limit.units), limit: limit.units }
    };
    windows.map(quota).collect()
}

fn list(facts: &[Fact<'_>], standing: &Standing, wanted: &Wanted<'_>) -> Listed {
    let needle = wanted.text.to_lowercase();
    let contains = |text: &str| text.to_lowercase().contains(&needle);
    let text_fits = |fact: &&Fact<'_>| {
        let Sync { name, from, to, .. } = fact.sync;
        needle.is_empty()
            || [name, &from.connection, &from.stream, &to.connection, &to.stream]
                .into_iter()
                .any(|t| contains(t))
    };
    let mut found: Vec<&Fact<'_>> =
        facts.iter().filter(|fact| wanted.choice.fits(fact)).filter(text_fits).collect();
    let order = |fact: &Fact<'_>| (Reverse(fact.level), Reverse(fact.needs_a_person()));
    found.sort_by(|a, b| (order(a), &a.sync.name).cmp(&(order(b), &b.sync.name)));
    let pages = found.len().div_ceil(ROWS).max(1);
    let page = wanted.page.clamp(1, pages);
    let first = (page - 1) * ROWS;
    let rows: Vec<Row> = found.iter().skip(first).take(ROWS).map(|fact| row(fact, standing)).collect();
    let text = form_encoded(wanted.text);
    let to = |page: usize| format!("/?show={}&text={text}&page={page}", wanted.choice.word());
    Listed {
        place: match rows.len() {
            0 => "No sync".to_owned(),
            n => format!(
                "Syncs {} to {} of {}",
                count(first as u64 + 1),
                count((first + n) as u64),
                count(found.len() as u64)
            ),
        },
        rows,
        text: wanted.text.to_owned(),
        choices: Choice::ALL
            .into_iter()
            .map(|(choice, word, words)| (word, words, choice == wanted.choice))
            .collect(),
        previous: (page > 1).then(|| to(page - 1)),
        next: (page < pages).then(|| to(page + 1)),
        nothing_defined: facts.is_empty(),
    }
}

fn form_encoded(text: &str) -> String {
    part(text)
}

fn row(fact: &Fact<'_>, standing: &Standing) -> Row {
    let now = standing.at;
    let Fact { sync, summary, .. } = fact;
    let number = |of: fn(&Summary) -> u64| summary.map(of).filter(|n| *n > 0).map(count).unwrap_or_default();
    let last = summary.and_then(|s| s.last.as_ref()).map(|run| {
        let at = run.finished_at.unwrap_or(run.started_at);
        (Mark::run(run.status), When::of(at, now), format!("/runs/{}", run.id))
    });
    Row {
        name: sync.name.clone(),
        href: format!("/syncs/{}", part(&sync.name)),
        ends: format!("{} → {}", sync.from.connection, sync.to.connection),
        mark: Mark::level(fact.level),
        reason: fact.reason.to_owned(),
        fresh: summary.and_then(|s| s.last_success_at).map(|at| When::of(at, now)),
        last,
        next: next(sync, standing).map(|at| When::of(at, now)),
        bars: None,
        parked: number(|s| s.parked),
        held: number(|s| s.held),
        conflicts: number(|s| s.conflicted),
    }
}

/// When a schedule starts it next.
fn next(sync: &Sync, standing: &Standing) -> Option<Timestamp> {
    let none = BTreeSet::new();
    let paused = standing.paused.get(&Subject::sync(sync.name.clone())).unwrap_or(&none);
    let active =
        sync.schedules.iter().filter(|schedule| schedule.enabled && !paused.contains(&schedule.label()));
    active.filter_map(|schedule| Timing::of(schedule).ok()?.after(standing.at)).min()
}

async fn show(State(ui): State<Ui>, Extension(visitor): Extension<Visitor>, asked: Asked) -> Shown<Overview> {
    let frame = ui.frame(&visitor, Tab::Overview, "Overview").await?.done(asked.get("done"));
    let standing = ui.api.standing().await?;
    let wanted = Wanted {
        text: asked.get("text").unwrap_or_default(),
        choice: Choice::parse(asked.get("show")),
        page: asked.get("page").and_then(|page| page.parse().ok()).unwrap_or(1),
    };
    let mut page = view(frame, &standing, &ui.api.systems.engine().budgets, &wanted);
    for row in &mut page.list.rows {
        let newest = standing.summaries.get(&row.name).and_then(|summary| summary.last.as_ref());
        row.bars = Some(ui.bars(&row.name, newest).await?)
            .filter(|bars| !bars.is_empty())
            .map(|bars| sparkline(&bars));
    }
    Ok(Page(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headline_answers_the_question() {
        let facts = [(0, 0, 0), (1, 0, 0), (1, 0, 1), (14, 0, 0), (14, 1, 0), (10_000, 2, 3)];
        let said = facts.map(|(all, need, new)| headline(all, need, new));
        assert_eq!(
            said,
            [
                "Nothing is defined yet.",
                "The one sync agrees.",
                "0 of 1 sync agree; 1 has not run yet.",
                "All 14 syncs agree.",
                "13 of 14 syncs agree; 1 needs you.",
                "9,995 of 10,000 syncs agree; 2 need you; 3 have not run yet."
            ]
        );
    }

    #[test]
    fn choices_are_read_back() {
        for (choice, word, _) in Choice::ALL {
            assert_eq!((Choice::parse(Some(word)), choice.word()), (choice, word));
        }
        assert_eq!(Choice::parse(Some("<b>")), Choice::All);
    }
}
