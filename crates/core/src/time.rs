//! Dates and times as text and back, without a clock or a zone database.

use jiff::civil;

/// Microseconds in a day.
pub const DAY_MICROS: i64 = 86_400_000_000;

/// `2026-01-31`; years outside 1..=9999 and infinity print as `year N`, `infinity`, `-infinity`.
pub fn date_text(days: i32) -> String {
    match days {
        i32::MAX => "infinity".into(),
        i32::MIN => "-infinity".into(),
        _ => civil_date(days).map_or_else(|| format!("day {days}"), |d| d.to_string()),
    }
}

/// `10:00:00` or `10:00:00.123456`.
pub fn time_text(micros: i64) -> String {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let hms = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction == 0 { hms } else { format!("{hms}.{fraction:06}") }
}

/// `2026-01-31T10:00:00Z` (with `Z` only when zoned), the fraction only where there is one.
pub fn timestamp_text(micros: i64, zoned: bool) -> String {
    match micros {
        i64::MAX => return "infinity".into(),
        i64::MIN => return "-infinity".into(),
        _ => {}
    }
    let days = micros.div_euclid(DAY_MICROS);
    let date = i32::try_from(days).map_or_else(|_| format!("day {days}"), date_text);
    format!("{date}T{}{}", time_text(micros.rem_euclid(DAY_MICROS)), if zoned { "Z" } else { "" })
}

/// The calendar date, or nothing when it is outside the years -9999..=9999.
pub fn civil_date(days: i32) -> Option<civil::Date> {
    civil::date(1970, 1, 1).checked_add(jiff::Span::new().try_days(days).ok()?).ok()
}

/// Year of a day, for range checks; `None` when outside -9999..=9999.
pub fn year_of_day(days: i64) -> Option<i32> {
    civil_date(i32::try_from(days).ok()?).map(|d| i32::from(d.year()))
}

/// Days since 1970-01-01 of `2026-01-31`.
pub fn parse_date(text: &str) -> Option<i32> {
    let date: civil::Date = text.parse().ok()?;
    Some(date.since(civil::date(1970, 1, 1)).ok()?.get_days())
}

/// Microseconds since the epoch of an ISO 8601 timestamp, and whether it carried a zone or offset.
///
/// Up to the last moment of 9999, which systems use for "never" and which the library's instants do not reach.
pub fn parse_timestamp(text: &str) -> Option<(i64, bool)> {
    let pieces = jiff::fmt::temporal::Pieces::parse(text).ok()?;
    let days = i64::from(pieces.date().since(civil::date(1970, 1, 1)).ok()?.get_days());
    let time = pieces.time().map_or(0, micros_of);
    let offset = pieces.to_numeric_offset();
    if offset.is_none() && pieces.time_zone_annotation().is_some() {
        return None; // a zone's name alone tells no instant without a zone database
    }
    let shift = offset.map_or(0, |o| i64::from(o.seconds()) * 1_000_000);
    Some((days * DAY_MICROS + time - shift, offset.is_some()))
}

/// Microseconds since midnight of `10:00:00.5`.
pub fn parse_time(text: &str) -> Option<i64> {
    text.parse().ok().map(micros_of)
}

fn micros_of(time: civil::Time) -> i64 {
    i64::from(time.hour()) * 3_600_000_000
        + i64::from(time.minute()) * 60_000_000
        + i64::from(time.second()) * 1_000_000
        + i64::from(time.subsec_nanosecond()) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_edges() {
        assert_eq!(date_text(0), "1970-01-01");
        assert_eq!(date_text(-719_163), "0000-12-31");
        assert_eq!(date_text(i32::MAX), "infinity");
        assert_eq!(date_text(10_000_000), "day 10000000");
        assert_eq!(timestamp_text(-1, true), "1969-12-31T23:59:59.999999Z");
        assert_eq!(timestamp_text(1_769_854_625_000_000, true), "2026-01-31T10:17:05Z");
        assert_eq!(time_text(3_600_000_000 * 10 + 5), "10:00:00.000005");
    }

    #[test]
    fn parses_what_it_prints() {
        for days in [-719_162, -1, 0, 1, 20_484, 2_932_896] {
            assert_eq!(parse_date(&date_text(days)), Some(days), "{days}");
        }
        for micros in [-1, 0, 1_769_854_625_123_456] {
            assert_eq!(parse_timestamp(&timestamp_text(micros, true)), Some((micros, true)));
            assert_eq!(parse_timestamp(&timestamp_text(micros, false)), Some((micros, false)));
        }
        assert_eq!(parse_timestamp("2026-01-31T10:17:05+02:00"), Some((1_769_847_425_000_000, true)));
        assert_eq!(parse_timestamp("2026-01-31 10:17:05.5"), Some((1_769_854_625_500_000, false)));
        assert_eq!(parse_timestamp("9999-12-31T23:59:59.999999Z"), Some((253_402_300_799_999_999, true)));
        assert_eq!(parse_timestamp("2026-01-31T10:17:05[Europe/Vienna]"), None);
        assert_eq!(parse_timestamp("soon"), None);
        assert_eq!(parse_time("10:00:00.5"), Some(36_000_500_000));
    }
}
