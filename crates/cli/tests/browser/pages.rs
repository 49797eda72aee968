//! Every page, with what a company has on it: anybody can use it, in light and in dark, on a narrow and on a wide screen.
//!
//! With `SYNCLINE_SCREENS` naming a directory, each page is left there as a picture (`make screenshots`).

use std::path::PathBuf;

use super::{
    audit::{audit, fits, quiet},
    driver::{Browser, Scheme},
    world::World,
};

/// Address and name of each page of the world that is lived in.
const PAGES: &[(&str, &str)] = &[
    ("/", "overview"),
    ("/syncs/projects", "sync"),
    ("/syncs/projects/plan", "plan"),
    ("/syncs/projects/definition", "definition"),
    ("/runs/6", "run"),
    ("/held", "held"),
    ("/parked", "parked"),
    ("/chains", "chains"),
    ("/chains/nightly", "chain"),
    ("/connections", "connections"),
    ("/events", "events"),
    ("/syncs/projects/record?key=P-1007", "record"),
];

/// Where pictures go, if they are wanted.
fn screens() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "make screenshots says where they go")]
    std::env::var_os("SYNCLINE_SCREENS").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

#[test]
fn every_page_is_for_everybody() {
    let world = World::with_history();
    let browser = Browser::start(world.address());
    browser.open("/syncs/projects/plan");
    browser.press("Make a plan");
    browser.says("Run exactly this plan");
    let screens = screens();
    for (path, name) in PAGES {
        for scheme in Scheme::BOTH {
            browser.prefer(scheme);
            browser.size(1280, 800);
            browser.open(path);
            audit(&browser);
            if let Some(folder) = &screens {
                let file = folder.join(format!("{name}-{}.png", scheme.as_str()));
                std::fs::write(file, browser.picture()).unwrap();
            }
        }
        for (width, height) in [(360, 740), (2560, 1440)] {
            browser.size(width, height);
            browser.open(path);
            fits(&browser);
        }
        quiet(&browser);
    }
}

#[test]
fn pages_say_so_where_there_is_nothing_or_no_such_thing() {
    let world = World::fresh();
    let browser = Browser::start(world.address());
    for (path, words) in [
        ("/", "syncs"),
        ("/held", "No delete waits for you."),
        ("/parked", "No record is parked."),
        ("/chains/nightly", "It has not run yet."),
        ("/connections", "no run has used it yet"),
        ("/events?text=nothing+like+this", "Nothing here"),
    ] {
        browser.open(path);
        browser.says(words);
        audit(&browser);
    }
    for (path, words) in [
        ("/nowhere", "There is no such page."),
        ("/syncs/project", "Did you mean projects?"),
        ("/chains/nightli", "Did you mean nightly?"),
        ("/chains/nightly?run=999", "There is no run of this chain"),
        ("/runs/999", "There is no run"),
        ("/events?since=yesterday", "A time is written"),
    ] {
        browser.open(path);
        browser.says(words);
        // the console tells that a page was answered with an error; nothing else may be told
        let told = browser.complaints();
        assert!(told.iter().all(|one| one.contains("Failed to load resource")), "{path}: {told:?}");
    }
}
