//! Rules about the packages of others. `deny.toml` has the same bans, and the licences, for those who have cargo-deny.

use std::collections::BTreeSet;

use super::{crates, dependencies, expect_none, read};

/// How many packages the lock file may name, ours included. Raised by an edit that a reviewer sees; the reason belongs
/// into the commit.
const PACKAGES_MAX: usize = 492;

/// Package, and why it may not come in, not even as somebody else's dependency.
const BANNED: &[(&str, &str)] = &[
    ("async-std", "discontinued, and a second async runtime"),
    ("native-tls", "a second TLS library; TLS is rustls"),
    ("openssl", "needs the system's OpenSSL headers; TLS is rustls"),
    ("openssl-sys", "needs the system's OpenSSL headers; TLS is rustls"),
    ("serde_yaml", "archived; serde-saphyr keeps the place of each value"),
    ("serde_yml", "unsound fork of an archived crate; use serde-saphyr"),
    ("sqlx", "its libsqlite3-sys and rusqlite's cannot be linked together"),
];

/// Package, and why two versions of it in one program do harm.
const SINGLE: &[(&str, &str)] = &[
    ("arrow-array", "a batch of one arrow is not a batch of another"),
    ("arrow-schema", "a batch of one arrow is not a batch of another"),
    ("libsqlite3-sys", "one SQLite in the process"),
    ("rusqlite", "one SQLite in the process"),
    ("rustls", "one default crypto provider"),
    ("tokio", "a task of one runtime cannot wait for another's timer"),
];

/// Packages whose default features we take: each has none, or `std` and the like, which we would switch on anyway.
const DEFAULTS_WANTED: &[&str] = &[
    "async-trait",
    "bytes",
    "fallible-iterator",
    "httpdate",
    "percent-encoding",
    "rustls-native-certs",
    "rustls-pki-types",
    "secrecy",
    "sha2",
    "strsim",
    "tempfile",
    "thiserror",
    "unicode-normalization",
    "url",
];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

struct Locked {
    name: String,
    version: String,
    /// Absent for the crates of the workspace.
    source: Option<String>,
}

/// The packages of a `Cargo.lock`.
fn locked(lock: &str) -> Vec<Locked> {
    lock.split("[[package]]")
        .skip(1)
        .map(|entry| {
            let field = |name: &str| {
                entry.lines().find_map(|line| {
                    line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"').map(str::to_owned)
                })
            };
            Locked {
                name: field("name").expect("a locked package has a name"),
                version: field("version").expect("a locked package has a version"),
                source: field("source"),
            }
        })
        .collect()
}

#[test]
fn the_lock_file_stays_under_its_ceiling() {
    let count = locked(&read("Cargo.lock")).len();
    assert!(
        count <= PACKAGES_MAX,
        "Cargo.lock names {count} packages, the ceiling is {PACKAGES_MAX}: do without the new one, or raise the \
         ceiling in crates/cli/tests/repo/dependencies.rs and say in the commit what it buys"
    );
}

#[test]
fn banned_packages_stay_out() {
    let packages = locked(&read("Cargo.lock"));
    let problems: Vec<_> = BANNED
        .iter()
        .filter(|(name, _)| packages.iter().any(|package| package.name == *name))
        .map(|(name, reason)| format!("{name}: {reason}"))
        .collect();
    expect_none(&problems, "`cargo tree --invert NAME --target all` says who brought it in.");
}

#[test]
fn packages_that_must_be_single_are() {
    let packages = locked(&read("Cargo.lock"));
    let mut problems = Vec::new();
    for (name, reason) in SINGLE {
        let versions: BTreeSet<_> = packages
            .iter()
            .filter(|package| package.name == *name)
            .map(|package| package.version.as_str())
            .collect();
        if versions.len() > 1 {
            problems.push(format!("{name} {versions:?}: {reason}"));
        }
    }
    expect_none(&problems, "`cargo tree --invert NAME@VERSION` says who brought each in.");
}

#[test]
fn every_package_comes_from_crates_io() {
    let problems: Vec<_> = locked(&read("Cargo.lock"))
        .iter()
        .filter(|package| package.source.as_deref().is_some_and(|source| source != CRATES_IO))
        .map(|package| format!("{} {}: {:?}", package.name, package.version, package.source))
        .collect();
    expect_none(&problems, "What is reviewed is what is built: no git and no other registries.");
}

#[test]
fn default_features_are_off() {
    let dependencies = dependencies();
    let problems: BTreeSet<_> = dependencies
        .iter()
        .filter(|dependency| dependency.default_features && !dependency.package.starts_with("syncline-"))
        .filter(|dependency| !DEFAULTS_WANTED.contains(&dependency.package.as_str()))
        .map(|dependency| format!("{} in {}", dependency.package, dependency.from))
        .collect();
    let problems: Vec<_> = problems.into_iter().collect();
    expect_none(
        &problems,
        "Say `default-features = false` in the root Cargo.toml and name the features that are used.",
    );
}

#[test]
fn versions_live_in_the_root_manifest() {
    let mut problems = Vec::new();
    for (name, folder) in crates() {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).expect("a crate has a manifest");
        problems.extend(
            own_versions(&manifest).into_iter().map(|line| format!("crates/{name}/Cargo.toml:{line}")),
        );
    }
    expect_none(
        &problems,
        "Put the version into [workspace.dependencies] and write `NAME.workspace = true`.",
    );
}

/// The lines of a manifest's dependency sections that do not inherit from the workspace.
fn own_versions(manifest: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut in_dependencies = false;
    let mut open_brackets = 0;
    for (number, line) in (1..).zip(manifest.lines()) {
        let line = line.trim();
        if line.starts_with('[') && open_brackets == 0 {
            in_dependencies = line.ends_with("dependencies]");
        } else if in_dependencies && !line.is_empty() && !line.starts_with('#') {
            if open_brackets == 0 && !line.contains("workspace = true") {
                problems.push(format!("{number}: {line}"));
            }
            open_brackets += line.matches('[').count();
            open_brackets = open_brackets.saturating_sub(line.matches(']').count());
        }
    }
    problems
}

#[test]
fn the_manifest_reader_tells_inherited_from_own() {
    let manifest = "[package]\nversion = \"1\"\n[dev-dependencies]\na.workspace = true\n\
                    b = { workspace = true, features = [\n  \"x\",\n] }\nc = \"1.0\"\n\n[lints]\nworkspace = true\n";
    assert_eq!(own_versions(manifest), ["8: c = \"1.0\""]);
}

#[test]
fn the_lock_reader_finds_names_versions_and_sources() {
    let packages = locked(
        "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.2.3\"\nsource = \"git+https://example.com\"\n\
         dependencies = [\n \"b\",\n]\n\n[[package]]\nname = \"b\"\nversion = \"0.1.0\"\n",
    );
    let read: Vec<_> =
        packages.iter().map(|p| (p.name.as_str(), p.version.as_str(), p.source.as_deref())).collect();
    assert_eq!(read, [("a", "1.2.3", Some("git+https://example.com")), ("b", "0.1.0", None)]);
}
