//! Numbers, times and states as people read them. What is here is plain data and words; the templates draw it.

use jiff::{Timestamp, Unit};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;
use syncline_core::{run::Status, value::Value};
use syncline_engine::service::health::Level;

/// A part of a path that is not changed by encoding.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Text that leads somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) text: String,
    pub(crate) href: String,
}

/// `1,234,567`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 record`, `2 records`.
pub(crate) fn some(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// A part of a path, such as the name of a sync.
pub(crate) fn part(name: &str) -> String {
    utf8_percent_encode(name, PART).to_string()
}

/// A key as the page of a record reads it: the text of one column, a JSON list of several.
pub(crate) fn key_text(key: &[Value<'_>]) -> String {
    match key {
        [Value::Text(text)] if !text.starts_with('[') => text.to_string(),
        [one] => match one.to_json() {
            Json::String(text) if !text.starts_with('[') => text,
            Json::Number(number) => number.to_string(),
            other => Json::Array(vec![other]).to_string(),
        },
        several => Json::Array(several.iter().map(Value::to_json).collect()).to_string(),
    }
}

/// Where the story of a record is told.
pub(crate) fn record_href(sync: &str, key: &str) -> String {
    format!("/syncs/{}/record?key={}", part(sync), part(key))
}

/// Characters that are shown of a value.
const VALUE_CHARS: usize = 200;

/// A value, cut where it is long.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// `0.4 s`, `12 s`, `4 min 12 s`, `2 h 05 min`, `3 d 4 h`.
pub(crate) fn span(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{:.1} s", seconds.max(0.0));
    }
    let whole = seconds as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// Seconds between two instants.
pub(crate) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// An instant, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct When {
    /// `2026-08-22T14:05:09Z`.
    pub(crate) iso: String,
    /// `2026-08-22 14:05:09 UTC`.
    pub(crate) utc: String,
    /// `12 min ago`, `in 3 h`.
    pub(crate) words: String,
}

impl When {
    /// `at`, as seen at `now`.
    pub(crate) fn of(at: Timestamp, now: Timestamp) -> Self {
        let iso = at.round(Unit::Second).unwrap_or(at).to_string();
        let utc = iso.replacen('T', " ", 1).replacen('Z', " UTC", 1);
        Self { iso, utc, words: relative(at, now) }
    }
}

fn relative(at: Timestamp, now: Timestamp) -> String {
    let away = seconds(at, now);
    if away < -0.5 {
        return format!("in {}", about(-away));
    }
    if away < 2.0 { "just now".to_owned() } else { format!("{} ago", about(away)) }
}

/// One unit is enough to judge by.
fn about(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min", whole / 60),
        3600..172_800 => format!("{} h", whole / 3600),
        _ => format!("{} days", count(whole / 86_400)),
    }
}

/// A state: by colour, by shape and by word, so that none of them is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Class of the colour: `ok`, `warn`, `bad`, `live` or `off`.
    pub(crate) class: &'static str,
    /// Shape.
    pub(crate) shape: &'static str,
    /// Word.
    pub(crate) word: &'static str,
}

impl Mark {
    const fn new(class: &'static str, shape: &'static str, word: &'static str) -> Self {
        Self { class, shape, word }
    }

    /// All is well.
    pub(crate) const fn ok(word: &'static str) -> Self {
        Self::new("ok", "✓", word)
    }

    /// Somebody should look.
    pub(crate) const fn warn(word: &'static str) -> Self {
        Self::new("warn", "▲", word)
    }

    /// Something failed.
    pub(crate) const fn bad(word: &'static str) -> Self {
        Self::new("bad", "✕", word)
    }

    /// It is going on.
    pub(crate) const fn live(word: &'static str) -> Self {
        Self::new("live", "▶", word)
    }

    /// Nothing is to be said.
    pub(crate) const fn off(word: &'static str) -> Self {
        Self::new("off", "○", word)
    }

    /// Of a run.
    pub(crate) fn run(status: Status) -> Self {
        match status {
            Status::Queued => Self::off("queued"),
            Status::Running => Self::live("running"),
            Status::Succeeded => Self::ok("succeeded"),
            Status::Partial => Self::warn("partial"),
            Status::Failed => Self::bad("failed"),
            Status::Cancelled => Self::new("off", "■", "cancelled"),
            Status::Interrupted => Self::new("warn", "◆", "interrupted"),
        }
    }

    /// Of a sync or chain.
    pub(crate) fn level(level: Level) -> Self {
        match level {
            Level::Healthy => Self::ok("healthy"),
            Level::Degraded => Self::warn("degraded"),
            Level::Unhealthy => Self::bad("unhealthy"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let shown = [0, 999, 1000, 1_234_567, u64::MAX].map(count);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567", "18,446,744,073,709,551,615"]);
        assert_eq!([some(1, "run", "runs"), some(2000, "run", "runs")], ["1 run", "2,000 runs"]);
    }

    #[test]
    fn keys_are_written_as_they_are_read() {
        let text = |text: &'static str| Value::Text(text.into());
        assert_eq!(key_text(&[text("P-1")]), "P-1");
        assert_eq!(key_text(&[Value::Int64(7)]), "7");
        assert_eq!(key_text(&[text("[x")]), r#"["[x"]"#);
        assert_eq!(key_text(&[text("a"), Value::Int64(7)]), r#"["a",7]"#);
        assert_eq!(record_href("a", "b c"), "/syncs/a/record?key=b%20c");
    }

    #[test]
    fn times_are_told_in_one_unit() {
        let now: Timestamp = "2026-08-22T14:05:09Z".parse().unwrap();
        let shown = |text: &str| When::of(text.parse().unwrap(), now).words;
        assert_eq!(shown("2026-08-22T14:05:08.5Z"), "just now");
        assert_eq!(shown("2026-08-22T14:04:09Z"), "1 min ago");
        assert_eq!(shown("2026-08-21T14:05:09Z"), "24 h ago");
        assert_eq!(shown("2026-08-19T14:05:09Z"), "3 days ago");
        assert_eq!(shown("2026-08-22T17:05:09Z"), "in 3 h");
        let when = When::of(now, now);
        assert_eq!((&*when.iso, &*when.utc), ("2026-08-22T14:05:09Z", "2026-08-22 14:05:09 UTC"));
    }

    #[test]
    fn spans() {
        let shown = [0.04, 9.99, 12.0, 252.0, 7500.0, 270_000.0].map(span);
        assert_eq!(shown, ["0.0 s", "10.0 s", "12 s", "4 min 12 s", "2 h 05 min", "3 d 3 h"]);
    }

    #[test]
    fn parts_of_paths_stay_parts() {
        assert_eq!(part("a b/c?d#é\"<"), "a%20b%2Fc%3Fd%23%C3%A9%22%3C");
        assert_eq!(part("active-projects_2.x"), "active-projects_2.x");
    }
}
