//! One word, one thing: the words that the design does not use, and what it says instead.

use super::{expect_none, files};

/// Word or words, in lower case, and what to say instead. Found in prose and as parts of names: `JobRunner`, `job_id`.
const NOT_OURS: &[(&[&str], &str)] = &[
    (&["dlq"], "parked"),
    (&["dead", "letter"], "parked"),
    (&["job"], "sync (what is configured) or run (one execution)"),
    (&["jobs"], "syncs (what is configured) or runs (executions)"),
    (&["pipeline"], "sync"),
    (&["pipelines"], "syncs"),
    (&["workflow"], "chain"),
    (&["workflows"], "chains"),
    (&["watermark"], "cursor"),
];

/// Words that have another, honest meaning in prose (a tokio task, a build target), but name none of our types.
const NOT_OUR_TYPES: &[(&str, &str)] =
    &[("task", "step or run"), ("target", "destination"), ("sink", "destination"), ("bookmark", "cursor")];

/// Where a word is another's name for a thing of theirs: file, word, and whose it is.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "crates/spec/src/keys/mod.rs",
        "pipelines",
        "what a user of another tool may type; the answer names our word",
    ),
    (
        "crates/spec/src/keys/mod.rs",
        "jobs",
        "what a user of another tool may type; the answer names our word",
    ),
    ("crates/server/src/api/mod.rs", "target", "the name that `Deref` gives to what it leads to"),
    ("crates/server/src/ui/mod.rs", "target", "the name that `Deref` gives to what it leads to"),
];

fn is_ours(path: &str) -> bool {
    let code = path.starts_with("crates/") && path.contains("/src/") && path.ends_with(".rs");
    code || path.ends_with(".md") || path.starts_with("examples/")
}

#[test]
fn the_words_are_those_of_the_design() {
    let mut problems = Vec::new();
    for file in files().iter().filter(|file| is_ours(&file.path)) {
        for (number, line) in (1..).zip(file.text.lines()) {
            for (word, instead) in foreign_words(line) {
                if !EXCEPTIONS.iter().any(|(path, excepted, _)| (*path, *excepted) == (&file.path, &word)) {
                    problems.push(format!("{}:{number}: \"{word}\": say {instead}", file.path));
                }
            }
        }
    }
    expect_none(&problems, "The design's words are used everywhere: code, tables, config, API, documents.");
}

/// The words in a line that are not ours, each with what to say instead.
fn foreign_words(line: &str) -> Vec<(String, &'static str)> {
    let words = split_words(line);
    let mut found = Vec::new();
    for (foreign, instead) in NOT_OURS {
        if words.windows(foreign.len()).any(|window| window == *foreign) {
            found.push((foreign.join(" "), *instead));
        }
    }
    if let Some(name) = declared_type(line) {
        let words = split_words(name);
        for (foreign, instead) in NOT_OUR_TYPES {
            if words.iter().any(|word| word == foreign) {
                found.push(((*foreign).to_owned(), *instead));
            }
        }
    }
    found
}

/// The name in a line that declares a type.
fn declared_type(line: &str) -> Option<&str> {
    let mut tokens = line.split_whitespace().skip_while(|token| token.starts_with("pub"));
    matches!(tokens.next()?, "struct" | "enum" | "trait" | "type").then(|| tokens.next())?
}

/// Splits at everything that is not a letter, and inside names where a capital begins: `JobRunner`, `job_id`.
fn split_words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for letter in line.chars() {
        if !letter.is_alphabetic() || (letter.is_uppercase() && after_small) {
            words.push(String::new());
        }
        if letter.is_alphabetic() {
            words.last_mut().expect("there is always a last word").extend(letter.to_lowercase());
        }
        after_small = letter.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn the_word_finder_reads_names_and_prose() {
    let found = |line| foreign_words(line).into_iter().map(|(word, _)| word).collect::<Vec<_>>();
    assert_eq!(found("let job_id = next();"), ["job"]);
    assert_eq!(found("run_all(JobRunner::new())"), ["job"]);
    assert_eq!(found("// the dead-letter queue (DLQ)"), ["dlq", "dead letter"]);
    assert_eq!(found("pub struct SyncTarget {"), ["target"]);
    assert_eq!(found("pub(crate) enum Sink<T> {"), ["sink"]);
    assert_eq!(found("#[cfg(target_os = \"linux\")] // a tokio task, pipelined, jobless"), [""; 0]);
}
