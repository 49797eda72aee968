//! What is wrong with a file, and where.

use std::fmt;

/// Longest piece of the file that is repeated in a message.
const ECHO_CHARS_MAX: usize = 60;

/// Longest word for which a near name is looked for: no key or name is longer, and the search is quadratic.
const WORD_BYTES_MAX: usize = 64;

/// Most candidates among which a near name is looked for: a thousand bad names among a thousand would take seconds.
const CANDIDATES_MAX: usize = 200;

/// A place in a file. Units: both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// It can, but probably does not mean what its author meant.
    Warning,
}

/// One thing that is wrong with a file.
///
/// Its `Display` is the line people see: `syncline.yaml:12:7: unknown key "cursr" in syncs.projects.from; did you mean
/// "cursor"?`. Neither it nor `Debug` ever shows the value of a secret or of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Name of the file, as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// What it is about: `syncs.projects.fields.Title`; empty: the file as a whole.
    pub path: String,
    /// What is wrong: lower case, no stop.
    pub message: String,
    /// What was probably meant, or what to do.
    pub hint: Option<String>,
    /// How bad it is.
    pub severity: Severity,
}

impl Problem {
    /// Where it is.
    pub fn place(&self) -> Place {
        Place { line: self.line, column: self.column }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        write!(f, "{}:{}:{}: {severity}{}", self.file, self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

/// The candidate that `word` was probably meant to be, if one is close.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > WORD_BYTES_MAX {
        return None;
    }
    let lower = word.to_lowercase();
    // A third of the letters wrong is still a slip; more is another word.
    let far = lower.chars().count().div_ceil(3).min(3);
    candidates
        .into_iter()
        .take(CANDIDATES_MAX)
        .filter(|c| c.len() <= WORD_BYTES_MAX)
        .map(|c| (strsim::damerau_levenshtein(&lower, &c.to_lowercase()), c))
        .filter(|(distance, c)| *distance <= far && *distance < c.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean "cursor"?`, when a candidate is near; else the candidates themselves when they are few.
pub fn did_you_mean(word: &str, candidates: &[&str], what: &str) -> Option<String> {
    match nearest(word, candidates.iter().copied()) {
        Some(near) => Some(format!("did you mean {near:?}?")),
        None if candidates.is_empty() || candidates.len() > 12 => None,
        None => Some(format!("{what}: {}", candidates.join(", "))),
    }
}

/// `full, incremental or changes`.
pub(crate) fn any_of(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// A piece of the file in quotes, cut to a length that fits a line.
pub(crate) fn echo(text: &str) -> String {
    match text.char_indices().nth(ECHO_CHARS_MAX) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}", format!("{}…", &text[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_close_names_are_suggested() {
        let keys = ["cursor", "key", "lag", "table"];
        for (word, expected) in [
            ("cursr", Some("cursor")),
            ("crusor", Some("cursor")),
            ("Table", Some("table")),
            ("kye", Some("key")),
            ("log", Some("lag")),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
        assert_eq!(nearest(&"cursor".repeat(1_000_000), keys), None);
    }

    #[test]
    fn echoes_are_short() {
        assert_eq!(echo("a\nb"), r#""a\nb""#);
        assert_eq!(echo(&"é".repeat(500)).chars().count(), ECHO_CHARS_MAX + 3);
    }
}
