//! Times as Graph writes them: with and without a zone, a fraction, an object around them (facts §4.5). Pure.

use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};
use serde::Deserialize;

use super::zones;

/// A moment in an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum When {
    /// Not said.
    #[default]
    Unsaid,
    /// Microseconds since 1970, UTC.
    At(i64),
    /// Said in a way that is not understood, and why.
    Unclear(&'static str),
}

impl When {
    /// Microseconds since 1970, where it is known.
    pub(super) fn micros(&self) -> Option<i64> {
        match self {
            Self::At(micros) => Some(*micros),
            Self::Unsaid | Self::Unclear(_) => None,
        }
    }
}

/// `dateTimeTimeZone`, or a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Zoned {
        #[serde(rename = "dateTime")]
        time: Option<String>,
        #[serde(rename = "timeZone")]
        zone: Option<String>,
    },
    Text(String),
    Other(serde::de::IgnoredAny),
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::<Written>::deserialize(deserializer)? {
            None | Some(Written::Zoned { time: None, .. }) => Self::Unsaid,
            Some(Written::Text(text)) => read(&text, None),
            Some(Written::Zoned { time: Some(time), zone }) => read(&time, zone.as_deref()),
            Some(Written::Other(_)) => Self::Unclear("a time is neither a text nor an object with dateTime"),
        })
    }
}

/// A time that says its offset is taken at its word; another is of `zone`, and of UTC where none is named.
fn read(text: &str, zone: Option<&str>) -> When {
    let text = text.trim();
    if text.is_empty() {
        return When::Unsaid;
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return When::At(instant.as_microsecond());
    }
    let Ok(wall) = text.parse::<DateTime>() else {
        return When::Unclear("a time cannot be read");
    };
    let zone = match zone.map(str::trim).filter(|zone| !zone.is_empty()) {
        None => TimeZone::UTC,
        Some(name) => match zones::find(name) {
            Some(zone) => zone,
            None => return When::Unclear("the zone of a time is not known"),
        },
    };
    // In a gap or a fold the earlier offset counts, as RFC 5545 says.
    let ambiguous = zone.to_ambiguous_timestamp(wall);
    let shifted = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. } | AmbiguousOffset::Fold { .. });
    match ambiguous.compatible() {
        Ok(instant) => When::At(instant.as_microsecond()),
        Err(_) if shifted => When::Unclear("a time does not exist in its zone"),
        Err(_) => When::Unclear("a time is out of range"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn when(json: &str) -> When {
        serde_json::from_str(json).unwrap()
    }

    fn at(instant: &str) -> When {
        When::At(instant.parse::<Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn every_form_that_was_seen() {
        for (json, instant) in [
            (r#""2026-03-30T10:00:00Z""#, "2026-03-30T10:00:00Z"),
            (r#""2026-03-30T10:01:52.2782182Z""#, "2026-03-30T10:01:52.278218Z"),
            (r#""2026-03-07T22:04:17""#, "2026-03-07T22:04:17Z"),
            (r#""2026-03-07T22:04:17+02:00""#, "2026-03-07T20:04:17Z"),
            (r#"{"dateTime":"2026-03-30T10:00:00","timeZone":"UTC"}"#, "2026-03-30T10:00:00Z"),
            (r#"{"dateTime":"2026-03-30T10:00:00.0000000","timeZone":"utc"}"#, "2026-03-30T10:00:00Z"),
            (r#"{"dateTime":"2026-03-30T10:00:00"}"#, "2026-03-30T10:00:00Z"),
            (
                r#"{"dateTime":"2026-03-30T10:00:00","timeZone":"Pacific Standard Time"}"#,
                "2026-03-30T17:00:00Z",
            ),
            (
                r#"{"dateTime":"2026-01-30T10:00:00","timeZone":"Pacific Standard Time"}"#,
                "2026-01-30T18:00:00Z",
            ),
            (r#"{"dateTime":"2026-03-30T10:00:00","timeZone":"Europe/Berlin"}"#, "2026-03-30T08:00:00Z"),
            (
                r#"{"dateTime":"2026-03-30T10:00:00Z","timeZone":"Pacific Standard Time"}"#,
                "2026-03-30T10:00:00Z",
            ),
            // The clock went from 02:00 to 03:00.
            (r#"{"dateTime":"2026-03-29T02:30:00","timeZone":"Europe/Berlin"}"#, "2026-03-29T01:30:00Z"),
        ] {
            assert_eq!(when(json), at(instant), "{json}");
        }
    }

    #[test]
    fn what_is_not_said_and_what_is_not_understood() {
        for json in ["null", r#""""#, r#"{"dateTime":null,"timeZone":"UTC"}"#, r#"{"timeZone":"UTC"}"#] {
            assert_eq!(when(json), When::Unsaid, "{json}");
        }
        for json in [
            r#"{"dateTime":"2026-03-30T10:00:00","timeZone":"PacificSt"}"#,
            r#""soon""#,
            "17",
            r#"["2026-03-30T10:00:00Z"]"#,
        ] {
            assert!(matches!(when(json), When::Unclear(_)), "{json}");
        }
    }
}
