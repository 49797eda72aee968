//! The arrows between the crates are those of the design's Layout table, and no others.

use super::{crates, dependencies, expect_none, short_name};

/// Crate, and the crates of ours that it may use. The same rows as in `ARCHITECTURE.md`.
const MAY_USE: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("spec", &["core"]),
    ("connect", &["core"]),
    ("store", &["core"]),
    ("engine", &["core", "connect", "store"]),
    // `connect` for what the engine's traits are made of: clocks, errors, statements. It names no connector.
    ("server", &["core", "spec", "connect", "store", "engine"]),
    // The table allows `core`. It is not used, and not listed: a simulator that shares types with the client it tests
    // shares its mistakes too.
    ("sim", &[]),
    // For tests alone: nothing uses it.
    ("simulate", &["core", "connect", "store", "engine"]),
    ("cli", &["core", "spec", "connect", "store", "engine", "server", "sim"]),
];

/// Arrows that tests alone may have, with the reason.
const TESTS_MAY_USE: &[(&str, &str, &str)] = &[
    ("connect", "sim", "a connector's conformance is shown against its simulator, over real HTTP"),
    ("engine", "sim", "the write protocol is tested end to end, with lost answers"),
];

#[test]
fn every_arrow_is_in_the_layout_table() {
    let mut problems = Vec::new();
    for dependency in dependencies().iter().filter(|dependency| dependency.package.starts_with("syncline-")) {
        let (from, to) = (dependency.from.as_str(), short_name(&dependency.package));
        let allowed = MAY_USE.iter().any(|(name, uses)| *name == from && uses.contains(&to));
        let for_tests = dependency.dev && TESTS_MAY_USE.iter().any(|(a, b, _)| (*a, *b) == (from, to));
        if !allowed && !for_tests {
            let kind = if dependency.dev { " (for tests)" } else { "" };
            problems.push(format!("{from} -> {to}{kind}"));
        }
    }
    expect_none(
        &problems,
        "These arrows are not in the design's Layout table. Move the code, or change the design first.",
    );
}

#[test]
fn every_crate_has_a_row_in_the_layout_table() {
    let mut problems = Vec::new();
    for (name, folder) in crates() {
        if !MAY_USE.iter().any(|(row, _)| *row == name) {
            problems.push(format!("the crate {name} is not in the table"));
        }
        if !folder.ends_with(format!("crates/{name}")) {
            problems.push(format!("the crate {name} does not lie in crates/{name}"));
        }
    }
    expect_none(&problems, "A new crate needs a row in the design's Layout table, and then one here.");
}
