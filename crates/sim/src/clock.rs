//! The one place that reads the machine's clock.
//!
//! Simulated time = base instant + real time since the start × scale + what was advanced by hand. A scale of zero
//! is a frozen clock that moves only when told to: tests of windows and lifetimes need no sleeping.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// A simulated clock; milliseconds since 1970 in UTC.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    base_ms: i64,
    scale: f64,
    advanced_ms: AtomicI64,
}

impl Clock {
    /// Starts a clock at `base_ms` (now, when `None`) that runs `scale` times as fast as the machine's.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn new(base_ms: Option<i64>, scale: f64) -> Self {
        let base_ms = base_ms.unwrap_or_else(|| Timestamp::now().as_millisecond());
        let scale = if scale.is_finite() && scale > 0.0 { scale } else { 0.0 };
        Self { started: Instant::now(), base_ms, scale, advanced_ms: AtomicI64::new(0) }
    }

    /// Simulated milliseconds since 1970.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now_ms(&self) -> i64 {
        let elapsed = self.started.elapsed().as_secs_f64() * 1000.0 * self.scale;
        self.base_ms + elapsed as i64 + self.advanced_ms.load(Ordering::Relaxed)
    }

    /// Moves the clock forward by simulated time.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX / 4);
        self.advanced_ms.fetch_add(by, Ordering::Relaxed);
    }

    /// Simulated milliseconds as the caller's seconds, which is what `Retry-After` and `expires_in` speak of.
    ///
    /// A frozen clock has no rate; there one simulated second is one of the caller's.
    pub fn caller_seconds(&self, simulated_ms: i64) -> f64 {
        simulated_ms.max(0) as f64 / 1000.0 / self.rate()
    }

    /// The caller's seconds as simulated milliseconds.
    pub fn simulated_ms(&self, caller_seconds: f64) -> i64 {
        (caller_seconds * 1000.0 * self.rate()) as i64
    }

    /// The caller's own clock in seconds since 1970: client assertions and HTTP dates are written in it.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn caller_now_s(&self) -> i64 {
        Timestamp::now().as_second()
    }

    fn rate(&self) -> f64 {
        if self.scale > 0.0 { self.scale } else { 1.0 }
    }
}

/// `2026-01-31T10:17:05Z`: whole seconds, as list items show times (facts §2.5 [O]).
pub(crate) fn iso_utc(ms: i64) -> String {
    let mut text = iso_without_zone(ms);
    text.push('Z');
    text
}

/// `2026-01-31T10:17:05`: `innerError.date` carries no zone in the vendor's samples (facts §1.3 [D]).
pub(crate) fn iso_without_zone(ms: i64) -> String {
    let (date, seconds) = split(ms);
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{:04}-{:02}-{:02}T{h:02}:{m:02}:{s:02}", date.0, date.1, date.2)
}

/// `Sat, 31 Jan 2026 10:17:05 GMT`: the HTTP form of a date, for `Retry-After`.
pub(crate) fn http_date(unix_s: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (date, seconds) = split(unix_s * 1000);
    let weekday = DAYS[unix_s.div_euclid(86_400).rem_euclid(7) as usize];
    let month = MONTHS[(date.1 - 1) as usize];
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{weekday}, {:02} {month} {:04} {h:02}:{m:02}:{s:02} GMT", date.2, date.0)
}

/// Year, month, day and seconds of the day. Written out because items are stamped four times per answer and
/// this is several times faster than a general formatter.
fn split(ms: i64) -> ((i64, i64, i64), i64) {
    let seconds = ms.div_euclid(1000);
    let days = seconds.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    ((year, month, day), seconds.rem_euclid(86_400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_agree_with_a_general_formatter() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..2000 {
            let second = rng.i64(-62_000_000_000..253_000_000_000);
            let expected = Timestamp::from_second(second).expect("in range").to_string();
            assert_eq!(iso_utc(second * 1000 + 999), expected);
        }
        assert_eq!(http_date(1_769_854_625), "Sat, 31 Jan 2026 10:17:05 GMT");
    }

    #[test]
    fn a_frozen_clock_moves_only_by_hand() {
        let clock = Clock::new(Some(1_000), 0.0);
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now_ms(), 6_000);
        assert_eq!(clock.caller_seconds(5_000), 5.0);
        assert_eq!(Clock::new(Some(0), 60.0).caller_seconds(60_000), 1.0);
    }
}
