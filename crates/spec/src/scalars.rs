//! Reading single values: each reader reports what the value must be and gives `None`.

use std::{collections::BTreeSet, time::Duration};

use syncline_core::expr::Expr;

use crate::{
    keys::Words,
    problem::{any_of, echo, nearest},
    reader::{Reader, Spot},
    source::place_in,
    tree::{Scalar, Value},
    units,
};

/// Functions of the expression language, to suggest from.
const FUNCTIONS: &[&str] = &[
    "all",
    "base64",
    "bool",
    "bytes",
    "charAt",
    "contains",
    "domain",
    "double",
    "duration",
    "email",
    "endsWith",
    "exists",
    "exists_one",
    "filter",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "has",
    "indexOf",
    "int",
    "is_email",
    "join",
    "lastIndexOf",
    "lower",
    "lowerAscii",
    "map",
    "matches",
    "nfc",
    "replace",
    "size",
    "split",
    "startsWith",
    "string",
    "substring",
    "timestamp",
    "trim",
    "type",
    "uint",
    "upperAscii",
];

/// Longest explanation of the expression compiler that is repeated; it may list every token it would have taken.
const EXPLANATION_CHARS_MAX: usize = 160;

impl Reader<'_> {
    /// Reports `{path} {must}, not {what is there}`.
    pub(crate) fn wrong(&mut self, spot: &Spot<'_>, must: &str) {
        self.wrong_with(spot, must, None);
    }

    pub(crate) fn wrong_with(&mut self, spot: &Spot<'_>, must: &str, hint: Option<String>) {
        let seen = match &spot.node.value {
            Value::Scalar(scalar) if !scalar.is_null() => echo(&scalar.written),
            _ => spot.node.describe().to_owned(),
        };
        let called = if spot.path.is_empty() { "a project" } else { &spot.path };
        self.error(spot.node.place, &spot.path, format!("{called} {must}, not {seen}"), hint);
    }

    /// The scalar and its text; silently nothing where a variable is missing, which was reported.
    pub(crate) fn scalar<'t>(&mut self, spot: &Spot<'t>, must: &str) -> Option<(&'t Scalar, &'t str)> {
        match &spot.node.value {
            Value::Scalar(scalar) if !scalar.is_null() => scalar.text.as_deref().map(|text| (scalar, text)),
            _ => {
                self.wrong(spot, must);
                None
            }
        }
    }

    pub(crate) fn text(&mut self, spot: &Spot<'_>) -> Option<String> {
        let (scalar, text) = self.scalar(spot, "must be a text")?;
        if !scalar.filled && scalar.is_plain() && boolean(text).is_some() {
            self.wrong_with(spot, "must be a text", Some("if it is one, put it in quotes".to_owned()));
            return None;
        }
        self.check_text(spot, text).then(|| text.to_owned())
    }

    /// A statement or an expression in SQL, without the space around it and without the semicolon at its end.
    pub(crate) fn sql(&mut self, spot: &Spot<'_>) -> Option<String> {
        let text = self.text(spot)?;
        let sql = text.trim_end_matches(|c: char| c == ';' || c.is_whitespace()).trim_start();
        if sql.is_empty() {
            self.error(spot.node.place, &spot.path, format!("{} must not be empty", spot.path), None);
            return None;
        }
        Some(sql.to_owned())
    }

    /// What every text must be, whatever it is for. Never repeats the text.
    pub(crate) fn check_text(&mut self, spot: &Spot<'_>, text: &str) -> bool {
        let filled = self.is_filled(spot);
        let message = if text.trim().is_empty() && filled {
            "is empty when its variables are filled in"
        } else if text.trim().is_empty() {
            "must not be empty"
        } else if text.contains('\0') {
            "must not contain NUL"
        } else {
            return true;
        };
        self.error(spot.node.place, &spot.path, format!("{} {message}", spot.path), None);
        false
    }

    /// Texts, at least one, each once.
    pub(crate) fn texts(&mut self, spot: &Spot<'_>) -> Option<Vec<String>> {
        let texts: Vec<String> = self.texts_at(spot).into_iter().map(|(_, text)| text).collect();
        (!texts.is_empty()).then_some(texts)
    }

    /// Texts, each once and with its place; empty when that was reported.
    pub(crate) fn texts_at<'t>(&mut self, spot: &Spot<'t>) -> Vec<(Spot<'t>, String)> {
        if let Value::Scalar(scalar) = &spot.node.value
            && !scalar.is_null()
        {
            let hint = format!("write [{}] for a list of one", echo(&scalar.written).trim_matches('"'));
            self.wrong_with(spot, "must be a list of names", Some(hint));
            return Vec::new();
        }
        let mut seen = BTreeSet::new();
        let mut texts = Vec::new();
        for item in self.items(spot, "names").unwrap_or_default() {
            let Some(text) = self.text(&item) else { continue };
            if seen.insert(text.clone()) {
                texts.push((item, text));
            } else {
                let message = format!("{} names {} twice", spot.path, self.shown(&item));
                self.error(item.node.place, &item.path, message, None);
            }
        }
        texts
    }

    /// The value in quotes as it stands in the file.
    pub(crate) fn shown(&self, spot: &Spot<'_>) -> String {
        match &spot.node.value {
            Value::Scalar(scalar) => echo(&scalar.written),
            _ => spot.node.describe().to_owned(),
        }
    }

    /// Whether the value came from variables: then it is not repeated, nor what others say about it.
    pub(crate) fn is_filled(&self, spot: &Spot<'_>) -> bool {
        matches!(&spot.node.value, Value::Scalar(scalar) if scalar.filled)
    }

    pub(crate) fn boolean(&mut self, spot: &Spot<'_>) -> Option<bool> {
        const MUST: &str = "must be true or false";
        let (scalar, text) = self.scalar(spot, MUST)?;
        let value = if scalar.is_plain() { boolean(text) } else { None };
        if value.is_none() {
            self.wrong_with(spot, MUST, unquote(scalar, boolean(text).is_some()));
        }
        value
    }

    pub(crate) fn integer(&mut self, spot: &Spot<'_>, min: u64, max: u64) -> Option<u64> {
        let must = match (min, max) {
            (0, max) if max >= i64::MAX as u64 => "must be a whole number, zero or more".to_owned(),
            _ => format!("must be a whole number from {min} to {max}"),
        };
        let (scalar, text) = self.scalar(spot, &must)?;
        let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        let value = if scalar.is_plain() && digits { text.parse().ok() } else { None };
        let value = value.filter(|v| (min..=max).contains(v));
        if value.is_none() {
            self.wrong_with(spot, &must, unquote(scalar, digits));
        }
        value
    }

    pub(crate) fn number(&mut self, spot: &Spot<'_>, min: f64, max: f64) -> Option<f64> {
        let must = format!("must be a number from {min} to {max}");
        let (scalar, text) = self.scalar(spot, &must)?;
        let value = if scalar.is_plain() && is_decimal(text) { text.parse().ok() } else { None };
        let value = value.filter(|v| (min..=max).contains(v));
        if value.is_none() {
            self.wrong_with(spot, &must, unquote(scalar, is_decimal(text)));
        }
        value
    }

    pub(crate) fn duration(&mut self, spot: &Spot<'_>) -> Option<Duration> {
        self.unit(spot, "must be a duration with its unit, such as 30s or 15m", units::duration)
    }

    pub(crate) fn size(&mut self, spot: &Spot<'_>) -> Option<u64> {
        self.unit(spot, "must be a size with its unit, such as 4GiB", units::size)
    }

    fn unit<T>(
        &mut self,
        spot: &Spot<'_>,
        must: &str,
        parse: fn(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        let (_, text) = self.scalar(spot, must)?;
        parse(text).map_err(|must| self.wrong(spot, must)).ok()
    }

    /// One of a choice of words.
    pub(crate) fn word(&mut self, spot: &Spot<'_>, words: &'static Words) -> Option<&'static str> {
        let must = format!("must be {}", any_of(words.words));
        let (_, text) = self.scalar(spot, &must)?;
        if let Some(word) = words.words.iter().find(|w| **w == text) {
            return Some(word);
        }
        match words.refused.iter().find(|(word, _)| *word == text) {
            Some((_, why)) => self.wrong_with(spot, &must, Some((*why).to_owned())),
            None => {
                let near = nearest(text, words.words.iter().copied());
                self.wrong_with(spot, &must, near.map(|near| format!("did you mean {near:?}?")));
            }
        }
        None
    }

    /// A CEL expression. A mistake is reported at its own character where that is known.
    pub(crate) fn expression(&mut self, spot: &Spot<'_>) -> Option<Expr> {
        let (scalar, text) = self.scalar(spot, "must be an expression")?;
        if !self.check_text(spot, text) {
            return None;
        }
        // A block scalar ends in a line end, which is no part of the expression.
        let error = match Expr::compile(text.trim_end()) {
            Ok(expr) => return Some(expr),
            Err(error) => error,
        };
        if scalar.filled {
            // The compiler's words may quote the values of the variables.
            let message = format!("{} does not compile with its variables filled in", spot.path);
            self.error(spot.node.place, &spot.path, message, None);
            return None;
        }
        let offset = error.offset.filter(|_| scalar.written == text);
        let at = offset.map_or(spot.node.place, |o| place_in(self.text, scalar, spot.node.place, o));
        let hint = repair(&error.message);
        let why = explanation(&error.message);
        self.error(at, &spot.path, format!("{} is not an expression: {why}", spot.path), hint);
        None
    }

    /// A single value as JSON; `None` also for null.
    pub(crate) fn json(&mut self, spot: &Spot<'_>) -> Option<serde_json::Value> {
        if matches!(&spot.node.value, Value::Scalar(scalar) if scalar.is_null()) {
            return None;
        }
        let (scalar, text) = self.scalar(spot, "must be a single value")?;
        if !scalar.is_plain() {
            return Some(text.into());
        }
        if let Some(value) = boolean(text) {
            return Some(value.into());
        }
        if let Ok(value) = text.parse::<i64>() {
            return Some(value.into());
        }
        if !is_decimal(text) {
            return Some(text.into());
        }
        let exact = text.parse::<f64>().ok().filter(|v| digits(&v.to_string()) == digits(text));
        let value = exact.and_then(serde_json::Number::from_f64).map(serde_json::Value::Number);
        if value.is_none() {
            let must = "must be a number that needs no more than 15 digits";
            self.wrong_with(spot, must, Some("put it in quotes to keep every digit".to_owned()));
        }
        value
    }
}

/// What the compiler says, without the tokens it would rather have seen: they are names of its grammar.
fn explanation(message: &str) -> String {
    let why = message.strip_prefix("Syntax error: ").unwrap_or(message);
    let why = why.split_once(" expecting ").map_or(why, |(why, _)| why);
    if why.contains("'<EOF>'") {
        return "it ends too early".to_owned();
    }
    if why.contains("Recursion limit") {
        return "it is nested too deeply".to_owned();
    }
    // Names a rule of the grammar that found nothing to match.
    if why.starts_with("No `") {
        return "it is not complete".to_owned();
    }
    let why: String = why.split_whitespace().collect::<Vec<_>>().join(" ");
    match why.char_indices().nth(EXPLANATION_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &why[..end]),
        None => why,
    }
}

/// What was probably meant.
fn repair(message: &str) -> Option<String> {
    if let Some(function) = message.strip_prefix("unknown function ") {
        let near = nearest(function.trim_end_matches("()"), FUNCTIONS.iter().copied())?;
        return Some(format!("did you mean {near:?}?"));
    }
    message.contains("token recognition error at: '= ").then(|| "did you mean \"==\"?".to_owned())
}

/// What to do about a value that would do if it were not a text.
fn unquote(scalar: &Scalar, would_do: bool) -> Option<String> {
    (would_do && !scalar.is_plain()).then(|| "remove the quotes".to_owned())
}

/// The core schema's truth values.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Digits with at most one point among them and a sign before: no exponent, no infinity.
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    digits(whole) && digits(fraction)
}

/// A decimal without what does not change its value.
fn digits(text: &str) -> String {
    let text = text.strip_prefix('+').unwrap_or(text);
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |t| ("-", t));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{sign}{}.{}", whole.trim_start_matches('0'), fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        for (a, b) in [("0.10", "0.1"), ("007", "7.0"), ("+1.50", "1.5"), ("-0.5", "-.5")] {
            assert_eq!(digits(a), digits(b), "{a} {b}");
        }
        for text in ["1", "1.5", "-0.10", "+3"] {
            assert!(is_decimal(text), "{text}");
        }
        for text in ["", "1e5", ".5", "5.", "inf", "NaN", "1.2.3", "0x10", "--1"] {
            assert!(!is_decimal(text), "{text}");
        }
    }
}
