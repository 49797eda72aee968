//! Numbers, times and values as people read them.

use std::time::Duration;

use jiff::{Timestamp, Unit};
use serde_json::Value as Json;
use syncline_core::counts::Counts;

/// Longest value shown in a difference.
const VALUE_CHARS_MAX: usize = 80;

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

/// `0.42 s`, `12.3 s`, `4m 12s`, `2h 05m`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.2} s", time.as_secs_f64()),
        10..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// The time between two instants.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// `2026-08-22 14:05:09Z`.
pub(crate) fn time(at: Timestamp) -> String {
    let seconds = at.round(Unit::Second).unwrap_or(at);
    seconds.to_string().replacen('T', " ", 1)
}

/// `just now`, `12 minutes ago`, `in 30 s`.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    if at > now {
        return format!("in {}", span(between(now, at)));
    }
    let ago = between(at, now);
    if ago < Duration::from_secs(2) { "just now".to_owned() } else { format!("{} ago", span(ago)) }
}

fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (n, one, many) = match seconds {
        0..60 => return format!("{seconds} s"),
        60..3600 => (seconds / 60, "minute", "minutes"),
        3600..86_400 => (seconds / 3600, "hour", "hours"),
        _ => (seconds / 86_400, "day", "days"),
    };
    some(n, one, many)
}

/// The outcomes in the order of the account, zeros included.
pub(crate) fn outcomes(counts: &Counts) -> [(&'static str, u64); 9] {
    [
        ("created", counts.created),
        ("updated", counts.updated),
        ("moved", counts.moved),
        ("deleted", counts.deleted),
        ("unchanged", counts.unchanged),
        ("skipped", counts.skipped),
        ("parked", counts.parked),
        ("held", counts.held),
        ("conflicted", counts.conflicted),
    ]
}

/// `9,850 created, 150 unchanged`: what is not zero.
pub(crate) fn counts(counts: &Counts) -> String {
    let parts = outcomes(counts).into_iter().filter(|(_, n)| *n > 0);
    let parts: Vec<_> = parts.map(|(word, n)| format!("{} {word}", count(n))).collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

/// The account: `10,000 read = 9,850 created + 150 unchanged`.
pub(crate) fn account(counts: &Counts) -> String {
    let parts = outcomes(counts).into_iter().filter(|(_, n)| *n > 0);
    let parts: Vec<_> = parts.map(|(word, n)| format!("{} {word}", count(n))).collect();
    if parts.is_empty() && counts.read == 0 {
        return "nothing new".to_owned();
    }
    let parts = if parts.is_empty() { "0".to_owned() } else { parts.join(" + ") };
    // A run that was stopped has read more than it dealt with.
    let sign = if counts.closed() { " =" } else { ", so far" };
    format!("{} read{sign} {parts}", count(counts.read))
}

/// A value in a difference: text without quotes would be taken for something else, so it has them.
pub(crate) fn value(value: &Json) -> String {
    let text = match value {
        Json::Null => return "(empty)".to_owned(),
        other => other.to_string(),
    };
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        None => text,
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], count(text.chars().count() as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(n), text);
        }
        assert_eq!(some(1, "record", "records"), "1 record");
    }

    #[test]
    fn times() {
        for (ms, text) in [(42, "0.04 s"), (12_300, "12.3 s"), (252_000, "4m 12s"), (7_500_000, "2h 05m")] {
            assert_eq!(duration(Duration::from_millis(ms)), text);
        }
        let at: Timestamp = "2026-08-22T14:05:09.4Z".parse().unwrap();
        let later = |seconds| at + jiff::SignedDuration::from_secs(seconds);
        assert_eq!(time(at), "2026-08-22 14:05:09Z");
        assert_eq!(relative(at, later(1)), "just now");
        assert_eq!(relative(at, later(59)), "59 s ago");
        assert_eq!(relative(at, later(60)), "1 minute ago");
        assert_eq!(relative(later(7_200), at), "in 2 hours");
    }

    #[test]
    fn accounts() {
        let counts = Counts { read: 10, created: 7, unchanged: 3, ..Counts::default() };
        assert_eq!(account(&counts), "10 read = 7 created + 3 unchanged");
        assert_eq!(account(&Counts::default()), "nothing new");
        assert_eq!(account(&Counts { read: 1, ..Counts::default() }), "1 read, so far 0");
        assert_eq!(super::counts(&counts), "7 created, 3 unchanged");
    }

    #[test]
    fn values() {
        assert_eq!(value(&Json::Null), "(empty)");
        assert_eq!(value(&"a".into()), "\"a\"");
        assert!(value(&"x".repeat(200).into()).ends_with("… (202 characters)"));
    }
}
