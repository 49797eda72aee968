//! Problems of a project, with the line they are about.
//!
//! ```text
//! syncline.yaml:12:34: error: unknown key "cursr" in syncs.projects.from; did you mean "cursor"?
//!    12 |     from: { connection: erp, cursr: updated_at }
//!       |                              ^
//! ```
//!
//! A line of the `connections` and the like may hold a secret that somebody wrote down in clear, so of those lines only the
//! key at the problem's own place is shown.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use syncline_core::mapping;
use syncline_spec::{Loaded, Places, Problem, Severity, did_you_mean};

use crate::{output, show};

/// Most of a line that is shown; long lines are cut around the place.
const LINE_CHARS_MAX: usize = 120;

/// The sections of the file that may hold secrets.
const SECRET_SECTIONS: [&str; 4] = ["connections", "receivers", "server", "store"];

/// Prints problems, in the order given. `text` is the file's.
pub(crate) fn print(problems: &[Problem], text: &str) {
    let secret = secret_lines(text);
    for problem in problems {
        output::line(headline(problem));
        for line in excerpt(problem, text, &secret) {
            output::line(line);
        }
    }
}

fn headline(problem: &Problem) -> String {
    let Problem { file, line, column, message, .. } = problem;
    let place = output::paint_result("1", &format!("{file}:{line}:{column}:"));
    let severity = match problem.severity {
        Severity::Error => output::paint_result("1;31", "error:"),
        Severity::Warning => output::paint_result("1;33", "warning:"),
    };
    let hint = problem.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{place} {severity} {message}{hint}")
}

/// The line of the problem and a mark below its place; nothing for an empty line.
fn excerpt(problem: &Problem, text: &str, secret: &BTreeSet<usize>) -> Vec<String> {
    let Some(line) = text.lines().nth(problem.line.saturating_sub(1)) else { return Vec::new() };
    let at = problem.column.saturating_sub(1);
    let (shown, at) =
        if secret.contains(&problem.line) { masked(line, at) } else { window(line.trim_end(), at) };
    if shown.trim().is_empty() {
        return Vec::new();
    }
    // Tabs stay tabs, so that the mark stands where the terminal puts the place.
    let pad: String = shown.chars().take(at).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let mark = output::paint_result("1;31", "^");
    vec![format!("{:>5} | {shown}", problem.line), format!("      | {pad}{mark}")]
}

/// The part of a long line around a place, and the place in it.
fn window(line: &str, at: usize) -> (String, usize) {
    let length = line.chars().count();
    if length <= LINE_CHARS_MAX {
        return (line.to_owned(), at);
    }
    let start = at.saturating_sub(LINE_CHARS_MAX / 2).min(length - LINE_CHARS_MAX);
    let part: String = line.chars().skip(start).take(LINE_CHARS_MAX).collect();
    (part, at.saturating_sub(start))
}

/// Only the key at the place, or the variable there; any other value could be a secret.
fn masked(line: &str, at: usize) -> (String, usize) {
    let rest: String = line.chars().skip(at).collect();
    let indent: String = line.chars().take(at).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let shown = key_of(&rest).map(|key| format!("{key}: …")).or_else(|| variable_of(&rest));
    (shown.map(|shown| format!("{indent}{shown}")).unwrap_or_default(), at)
}

/// The key that a piece of a line begins with.
fn key_of(rest: &str) -> Option<&str> {
    let end = rest.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.'))?;
    (end > 0 && rest[end..].trim_start().starts_with(':')).then(|| &rest[..end])
}

/// The variable that a piece of a line begins with: `${NAME}`, and nothing that could be more than a name.
fn variable_of(rest: &str) -> Option<String> {
    let name = rest.trim_start_matches('"').strip_prefix("${")?.split_once('}')?.0;
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    plain.then(|| format!("${{{name}}}"))
}

/// The lines that may hold secrets, from 1: those of the sections, and whatever stands before any section that is none of
/// them. Rather too many than too few.
fn secret_lines(text: &str) -> BTreeSet<usize> {
    // A section whose name is misspelt is no section: everything may be secret.
    let misspelt = !text.contains(SECRET_SECTIONS[0]);
    let mut secret = true;
    let mut lines = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        if line.contains(SECRET_SECTIONS[0]) {
            secret = true;
        } else if line.starts_with(|c: char| c.is_alphabetic()) && line.contains(':') {
            secret = SECRET_SECTIONS.iter().any(|section| line.starts_with(section));
        }
        if secret || misspelt {
            lines.insert(index + 1);
        }
    }
    lines
}

/// `3 errors and 1 warning`.
pub(crate) fn total(errors: usize, warnings: usize) -> String {
    let some = |n: usize, one, many| show::some(n as u64, one, many);
    match (errors, warnings) {
        (_, 0) => some(errors, "error", "errors"),
        (0, _) => some(warnings, "warning", "warnings"),
        _ => format!("{} and {}", some(errors, "error", "errors"), some(warnings, "warning", "warnings")),
    }
}

/// A problem as a JSON object.
pub(crate) fn as_json(problem: &Problem) -> Json {
    json!({
        "severity": match problem.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "message": problem.message,
        "hint": problem.hint,
    })
}

/// Puts a problem that was found against the live systems at its place in the file.
pub(crate) fn located(loaded: &Loaded, sync: &str, problem: &mapping::Problem) -> Problem {
    let (path, at_key) = place(&loaded.places, sync, &problem.path);
    let hint = problem.unknown.as_ref().and_then(|(name, known)| {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        did_you_mean(name, &known, "there are")
    });
    let message = problem.message.clone();
    match (problem.warning, at_key) {
        (true, true) => loaded.warning_at_key(&path, message, hint),
        (true, false) => loaded.warning(&path, message, hint),
        (false, true) => loaded.error_at_key(&path, message, hint),
        (false, false) => loaded.error(&path, message, hint),
    }
}

/// The path in the file of a place in a sync (`route.0.list` is `route[0].list`), and whether the key is meant: the
/// destination field of a mapping is its key.
fn place(places: &Places, sync: &str, within: &str) -> (String, bool) {
    let base = ["syncs", sync];
    if let Some(field) = within.strip_prefix("fields.") {
        return (Places::path(&[&base[..], &["fields", field]].concat()), true);
    }
    let mut path = Places::path(&base);
    for part in within.split('.').filter(|part| !part.is_empty()) {
        match part.parse::<usize>() {
            Ok(index) => path = format!("{path}[{index}]"),
            Err(_) => path = format!("{path}.{part}"),
        }
    }
    // `adopt` and `deletes` have long forms whose parts are meant.
    let deeper = [format!("{path}.by"), format!("{path}.policy")].into_iter().find(|p| places.contains(p));
    (deeper.unwrap_or(path), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "connections:\n  erp: { type: postgres, url: \"postgres://u:hunter2@h/d\" }\n\
                        syncs:\n  projects:\n    from: { cursr: a }\n";

    fn problem(line: usize, column: usize) -> Problem {
        Problem {
            file: "syncline.yaml".into(),
            line,
            column,
            path: String::new(),
            message: "m".into(),
            hint: None,
            severity: Severity::Error,
        }
    }

    fn shown(line: usize, column: usize) -> Vec<String> {
        excerpt(&problem(line, column), FILE, &secret_lines(FILE))
    }

    #[test]
    fn the_line_is_shown_with_a_mark() {
        assert_eq!(shown(5, 13), ["    5 |     from: { cursr: a }", "      |             ^"]);
        assert_eq!(shown(99, 1), [""; 0]);
    }

    #[test]
    fn lines_of_connections_show_a_key_at_most() {
        assert_eq!(
            shown(2, 26),
            ["    2 |                          url: …", "      |                          ^"]
        );
        // the place of the value itself
        assert_eq!(shown(2, 31), [""; 0]);
        assert_eq!(masked("  a: ${NAME}", 5).0, "     ${NAME}");
        assert_eq!(masked("  a: ${NAME:-hunter2}", 5).0, "");
        for text in [FILE, "a: b\nconnections: { x: y }", "- broken\n- too\n", "{\nconnections: { x: y }"] {
            assert!(secret_lines(text).contains(&2), "{text}");
        }
        let served = "connections: {}\nsyncs: {}\nserver:\n  mail: x\nchains: {}\n";
        assert_eq!(secret_lines(served).into_iter().collect::<Vec<_>>(), [1, 3, 4]);
        assert!(!secret_lines(FILE).contains(&3));
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let line = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let (part, at) = window(&line, 500);
        assert_eq!((part.chars().count(), part.chars().nth(at)), (LINE_CHARS_MAX, Some('X')));
    }

    #[test]
    fn totals() {
        assert_eq!(total(1, 0), "1 error");
        assert_eq!(total(0, 2), "2 warnings");
        assert_eq!(total(2, 1), "2 errors and 1 warning");
    }
}
