//! What the documents promise is there: files, links, make targets. And nothing in them belongs to one machine.

use std::path::Path;

use super::{File, crates, expect_none, files, read, root};

#[test]
fn the_files_that_people_look_for_exist() {
    let wanted = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "docs/adding-a-connector.md",
        "examples",
    ];
    let problems: Vec<_> =
        wanted.iter().filter(|path| !root().join(path).exists()).map(|path| (*path).to_owned()).collect();
    expect_none(&problems, "These are missing.");
}

#[test]
fn the_licences_are_the_ones_the_manifest_names() {
    assert!(read("Cargo.toml").contains("license = \"MIT OR Apache-2.0\""));
    let mit = read("LICENSE-MIT");
    assert!(mit.starts_with("MIT License\n") && mit.contains("The Syncline developers"), "LICENSE-MIT");
    let apache = read("LICENSE-APACHE");
    let whole =
        apache.contains("Version 2.0, January 2004") && apache.contains("END OF TERMS AND CONDITIONS");
    assert!(whole, "LICENSE-APACHE");
}

#[test]
fn every_crate_says_what_it_is() {
    let mut problems = Vec::new();
    for (name, folder) in crates() {
        let entry = ["src/lib.rs", "src/main.rs"]
            .map(|path| folder.join(path))
            .into_iter()
            .find(|path| path.exists());
        let entry = entry.expect("a crate has a lib.rs or a main.rs");
        let text = std::fs::read_to_string(&entry).expect("a source file can be read");
        if !text.starts_with("//! ") {
            problems.push(name);
        }
    }
    expect_none(
        &problems,
        "Begin lib.rs or main.rs with `//!`: what it is, what it is not, where to start reading.",
    );
}

#[test]
fn internal_links_lead_somewhere() {
    let mut problems = Vec::new();
    for file in markdown(&files()) {
        let folder = Path::new(&file.path).parent().expect("a file lies in a folder");
        for (number, link) in links(&file.text) {
            let path = link.split('#').next().expect("a split has a first part");
            let outside = link.contains("://") || link.starts_with("mailto:");
            if !outside && !path.is_empty() && !root().join(folder).join(path).exists() {
                problems.push(format!("{}:{number}: {link}", file.path));
            }
        }
    }
    expect_none(&problems, "These links lead nowhere.");
}

#[test]
fn make_targets_in_the_documents_exist() {
    let makefile = read("Makefile");
    let targets: Vec<_> =
        makefile.lines().filter_map(|line| line.split_once(": ##")).map(|(name, _)| name).collect();
    let mut problems = Vec::new();
    for file in markdown(&files()) {
        for (number, code) in code(&file.text) {
            for target in made_targets(code).filter(|target| !targets.contains(target)) {
                problems.push(format!("{}:{number}: make {target}", file.path));
            }
        }
    }
    expect_none(&problems, "The Makefile has no such target.");
}

#[test]
fn no_path_belongs_to_one_machine() {
    // Written apart, so that this file does not find itself.
    let private = [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];
    let mut problems = Vec::new();
    for file in files() {
        for (number, line) in (1..).zip(file.text.lines()) {
            if private.iter().any(|path| holds_absolute(line, path)) {
                problems.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    expect_none(&problems, "A path like this exists on one machine only.");
}

/// Whether a path begins here, instead of going on: `/x/` in `cat /x/y`, but not in `https://host/x/y`.
fn holds_absolute(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        !line[..at].ends_with(|before: char| {
            before.is_alphanumeric() || matches!(before, '.' | '_' | '-' | '}' | '/')
        })
    })
}

fn markdown(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| file.path.ends_with(".md"))
}

/// The lines of a document, each with whether it stands in a fenced block of code.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str, bool)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter_map(move |(number, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        Some((number, line, fenced))
    })
}

/// The destinations of `[text](destination)`, with their lines.
fn links(text: &str) -> Vec<(usize, &str)> {
    let prose = lines(text).filter(|(_, _, fenced)| !fenced);
    prose
        .flat_map(|(number, line, _)| {
            line.split("](").skip(1).filter_map(move |rest| Some((number, rest.split_once(')')?.0)))
        })
        .collect()
}

/// What stands in a document as code: lines of fenced blocks, and `spans` of the others.
fn code(text: &str) -> Vec<(usize, &str)> {
    lines(text)
        .flat_map(|(number, line, fenced)| {
            let spans: Vec<_> =
                if fenced { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
            spans.into_iter().map(move |span| (number, span))
        })
        .collect()
}

/// The targets of `make TARGET` in a line of code.
fn made_targets(code: &str) -> impl Iterator<Item = &str> {
    let is_target = |c: char| c.is_ascii_lowercase() || c == '-';
    let starts = code.match_indices("make ").filter(|(at, _)| {
        code[..*at].trim_end().is_empty() || code[..*at].trim_end().ends_with(['$', '&', ';'])
    });
    starts.filter_map(move |(at, found)| {
        let target = code[at + found.len()..].split(|c| !is_target(c)).next()?;
        (!target.is_empty()).then_some(target)
    })
}

#[test]
fn the_document_reader_tells_code_from_prose() {
    let text = "Run `make one`, and make haste: [here](a.md#b), [there](https://x.y).\n```sh\n$ make two ARGS=x\n[not](this)\n```\n";
    assert_eq!(links(text), [(1, "a.md#b"), (1, "https://x.y")]);
    let made: Vec<_> = code(text).into_iter().flat_map(|(_, code)| made_targets(code)).collect();
    assert_eq!(made, ["one", "two"]);
    assert!(holds_absolute("cat '/x/y'", "/x/") && !holds_absolute("https://host/x/y", "/x/"));
}
