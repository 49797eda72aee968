//! What must hold of every page, whatever is on it.

use serde_json::{Value as Json, json};

use super::driver::Browser;

const AXE: &str = include_str!("vendor/axe.min.js");
/// Rules of WCAG 2.2, levels A and AA, and of the versions it includes.
const TAGS: &[&str] = &["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"];

/// Insists that the page in the window is one that anybody can use, that its console is silent, and that nothing was asked
/// of anybody but the service.
#[track_caller]
pub(crate) fn audit(browser: &Browser) {
    quiet(browser);
    let place = browser.path();
    assert_eq!(barriers(browser), Vec::<String>::new(), "barriers on {place}");
    assert_eq!(browser.count("h1"), 1, "a page has one heading of the first level: {place}");
    // what the audit itself did is not the page's
    browser.complaints();
}

/// Insists that the console is silent and that nothing was asked of anybody but the service.
#[track_caller]
pub(crate) fn quiet(browser: &Browser) {
    let place = browser.path();
    assert_eq!(browser.complaints(), Vec::<String>::new(), "the console of {place}");
    assert_eq!(browser.strangers(), Vec::<String>::new(), "asked of others by {place}");
}

/// Insists that the page is as wide as the window, and no wider.
#[track_caller]
pub(crate) fn fits(browser: &Browser) {
    let script = "const d = document.documentElement;
        if (d.scrollWidth <= d.clientWidth) return null;
        const wide = [...document.body.querySelectorAll('*')]
            .filter(e => e.getBoundingClientRect().right > d.clientWidth + 1)
            .map(e => e.tagName + '.' + e.className);
        return [d.scrollWidth, d.clientWidth, wide.slice(0, 5)]";
    let found = browser.run(script, &[]);
    assert_eq!(found, Json::Null, "{} is wider than the window", browser.path());
}

/// What axe-core found, one line per rule and place.
fn barriers(browser: &Browser) -> Vec<String> {
    browser.run(AXE, &[]);
    let script = "const done = arguments[arguments.length - 1];
        axe.run(document, { runOnly: { type: 'tag', values: arguments[0] }, resultTypes: ['violations'] })
            .then(r => done(r.violations.flatMap(v => v.nodes.map(n =>
                v.id + ': ' + n.target.join(' ') + ': ' + n.html.slice(0, 200) + ' ' + (n.any[0] || {}).message))),
            e => done(['axe-core failed: ' + e]))";
    let found = browser.run_async(script, &[json!(TAGS)]);
    serde_json::from_value(found).unwrap()
}
