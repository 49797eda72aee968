//! Tests of the repository itself: what the design says about its shape, and what a reader relies on.
//!
//! They read files and `cargo metadata` and nothing else. Each reports all it finds at once. `make check` runs them.

mod arrows;
mod dependencies;
mod documents;
mod sizes;
mod words;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The root of the workspace.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A file of the repository: its path from the root, with `/`, and its text.
struct File {
    path: String,
    text: String,
}

/// Every text file of the repository, sorted by path. Leaves out what git leaves out.
fn files() -> Vec<File> {
    let mut found = Vec::new();
    collect(root(), "", &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<File>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository can be listed") {
        let entry = entry.expect("a folder of the repository can be listed");
        let name = entry.file_name().into_string().expect("names in the repository are UTF-8");
        let kind = entry.file_type().expect("the kind of an entry can be read");
        let path = format!("{prefix}{name}");
        if kind.is_dir() {
            if !matches!(name.as_str(), ".git" | ".syncline" | "target" | "__pycache__") {
                collect(&entry.path(), &format!("{path}/"), found);
            }
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            found.push(File { path, text });
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The workspace as cargo sees it, without the network and without the packages of others.
fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

/// One entry of a `[dependencies]` section of a workspace crate.
struct Dependency {
    /// The crate that has it, without `syncline-`.
    from: String,
    /// The package it names.
    package: String,
    dev: bool,
    default_features: bool,
}

fn dependencies() -> Vec<Dependency> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("metadata lists the packages");
    let mut found = Vec::new();
    for package in packages {
        let from = short_name(text(&package["name"]));
        for dependency in package["dependencies"].as_array().expect("a package lists its dependencies") {
            found.push(Dependency {
                from: from.to_owned(),
                package: text(&dependency["name"]).to_owned(),
                dev: dependency["kind"] == "dev",
                default_features: dependency["uses_default_features"] == true,
            });
        }
    }
    found
}

fn text(value: &Value) -> &str {
    value.as_str().expect("cargo metadata has a text here")
}

/// `syncline-core` is `core` in the design's table.
fn short_name(package: &str) -> &str {
    package.strip_prefix("syncline-").unwrap_or(package)
}

/// The crates of the workspace by their folders: name as in the design's table, and path.
fn crates() -> Vec<(String, PathBuf)> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("metadata lists the packages");
    packages
        .iter()
        .map(|package| {
            let manifest = Path::new(text(&package["manifest_path"]));
            let folder = manifest.parent().expect("a manifest lies in a folder");
            (short_name(text(&package["name"])).to_owned(), folder.to_owned())
        })
        .collect()
}

/// Fails with every problem found, and with what to do about them.
#[track_caller]
fn expect_none(problems: &[String], advice: &str) {
    assert!(problems.is_empty(), "\n  {}\n{advice}\n", problems.join("\n  "));
}
