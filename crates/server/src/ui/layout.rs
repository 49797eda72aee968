//! What every page has around it: the header with what waits for a person, the way here, who looks.

use super::{
    Ui, assets,
    fault::Fault,
    flash::Done,
    session::Visitor,
    show::{Link, count},
};
use crate::auth::Scope;

/// Which entry of the header a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    Overview,
    Chains,
    Parked,
    Held,
    Connections,
    Events,
    /// None of them.
    None,
}

/// An entry of the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) text: &'static str,
    pub(crate) href: &'static str,
    /// How many wait there; empty: none, or it has no number.
    pub(crate) number: String,
    /// Whether the page is in it.
    pub(crate) here: bool,
}

/// What is around a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Title of the page, in the browser's tab.
    pub(crate) title: String,
    /// Entries of the header; none for who may not look.
    pub(crate) entries: Vec<Entry>,
    /// The way here, the page itself not among it.
    pub(crate) crumbs: Vec<Link>,
    /// What was just done.
    pub(crate) done: Option<&'static str>,
    /// Who looks.
    pub(crate) name: Option<String>,
    /// Whether there is a session to end.
    pub(crate) signed_in: bool,
    /// What every form carries as `csrf`.
    pub(crate) csrf: String,
    /// Whether they may start, retry, plan and cancel.
    pub(crate) may_run: bool,
    /// Whether they may pause, reset, approve and drop.
    pub(crate) may_write: bool,
    /// Where stylesheet, scripts and icon are.
    pub(crate) style: String,
    pub(crate) htmx: String,
    pub(crate) htmx_sse: String,
    pub(crate) icon: String,
}

impl Frame {
    /// The frame of a page that asks the store for nothing. `visitor`: none for who is not known.
    pub(crate) fn bare(visitor: Option<&Visitor>, tab: Tab, title: &str) -> Self {
        Self {
            title: title.to_owned(),
            entries: visitor.map(|_| entries(tab, 0, 0)).unwrap_or_default(),
            crumbs: Vec::new(),
            done: None,
            name: visitor.map(|visitor| visitor.caller.name.clone()),
            signed_in: visitor.is_some_and(|visitor| visitor.signed_in),
            csrf: visitor.map(|visitor| visitor.csrf.clone()).unwrap_or_default(),
            may_run: visitor.is_some_and(|visitor| visitor.may(Scope::Run)),
            may_write: visitor.is_some_and(|visitor| visitor.may(Scope::Write)),
            style: assets::STYLE.url(),
            htmx: assets::HTMX.url(),
            htmx_sse: assets::HTMX_SSE.url(),
            icon: assets::ICON.url(),
        }
    }

    /// With a step of the way here.
    #[must_use]
    pub(crate) fn crumb(mut self, text: impl Into<String>, href: impl Into<String>) -> Self {
        self.crumbs.push(Link { text: text.into(), href: href.into() });
        self
    }

    /// With what the address says was done.
    #[must_use]
    pub(crate) fn done(mut self, word: Option<&str>) -> Self {
        self.done = word.and_then(Done::parse).map(Done::sentence);
        self
    }
}

impl Ui {
    /// The frame of a page, with what waits for a person.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn frame(&self, visitor: &Visitor, tab: Tab, title: &str) -> Result<Frame, Fault> {
        let standing = self.api.standing().await?;
        let sum =
            |of: fn(&syncline_store::service::Summary) -> u64| standing.summaries.values().map(of).sum();
        let entries = entries(tab, sum(|s| s.parked + s.conflicted), sum(|s| s.held));
        Ok(Frame { entries, ..Frame::bare(Some(visitor), tab, title) })
    }
}

fn entries(tab: Tab, parked: u64, held: u64) -> Vec<Entry> {
    let number = |n: u64| if n == 0 { String::new() } else { count(n) };
    let all = [
        (Tab::Overview, "Overview", "/", 0),
        (Tab::Chains, "Chains", "/chains", 0),
        (Tab::Parked, "Parked", "/parked", parked),
        (Tab::Held, "Held", "/held", held),
        (Tab::Connections, "Connections", "/connections", 0),
        (Tab::Events, "Events", "/events", 0),
    ];
    let entry = |(of, text, href, n)| Entry { text, href, number: number(n), here: of == tab };
    all.into_iter().map(entry).collect()
}
