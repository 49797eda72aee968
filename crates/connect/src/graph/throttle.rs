//! What the service says about its quota, in headers of answers and of batch parts (facts §3.3). Pure.

use std::time::Duration;

use jiff::Timestamp;

/// Waited when a throttled answer does not say how long.
const WAIT_UNSAID: Duration = Duration::from_secs(10);

/// The window that `RateLimit-*` speaks of (facts §3.3).
const MINUTE: Duration = Duration::from_secs(60);

/// No header makes us wait longer at once; a budget cuts it further.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// The quota headers of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Signals {
    /// `Retry-After`.
    pub(crate) retry_after: Option<Duration>,
    /// `RateLimit-Remaining`, in resource units.
    pub(crate) remaining: Option<u64>,
    /// `RateLimit-Reset`.
    pub(crate) reset: Option<Duration>,
}

impl Signals {
    /// Takes up one header; others than those of interest are ignored. `now` is what a date is relative to.
    pub(crate) fn read(&mut self, name: &str, value: &str, now: Timestamp) {
        // Most headers are none of these: their first letters tell.
        if !matches!(name.as_bytes().first(), Some(b'r' | b'R')) {
            return;
        }
        if name.eq_ignore_ascii_case("retry-after") {
            self.retry_after = wait(value, now);
        } else if name.eq_ignore_ascii_case("ratelimit-remaining") {
            self.remaining = whole(value);
        } else if name.eq_ignore_ascii_case("ratelimit-reset") {
            self.reset = seconds(value);
        }
    }

    /// How long the service asks to wait: the larger of its two words, for `Retry-After` may be the smaller one.
    /// `None` when it says nothing.
    pub(crate) fn asked(&self) -> Option<Duration> {
        // A reset alone says when the window ends, not that anybody must wait: it comes with successes too.
        self.retry_after.map(|wait| wait.max(self.reset.unwrap_or_default()))
    }

    /// How much is left of the minute's units, and until when.
    pub(crate) fn left(&self) -> Option<(u64, Duration)> {
        Some((self.remaining?, self.reset.unwrap_or(MINUTE)))
    }

    /// How long to wait after a throttled answer.
    pub(crate) fn wait(&self) -> Duration {
        self.asked().or(self.reset).unwrap_or(WAIT_UNSAID)
    }
}

/// `Retry-After`: whole seconds, fractional seconds (`2.128` in a vendor sample) or an HTTP date.
fn wait(value: &str, now: Timestamp) -> Option<Duration> {
    seconds(value).or_else(|| {
        let at = Timestamp::try_from(httpdate::parse_http_date(value.trim()).ok()?).ok()?;
        let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
        // Both dates are cut to whole seconds, so the difference may be up to a second short.
        Some((wait + Duration::from_secs(1)).min(WAIT_MAX))
    })
}

fn seconds(value: &str) -> Option<Duration> {
    let seconds: f64 = value.trim().parse().ok()?;
    let wait = Duration::try_from_secs_f64(seconds.clamp(0.0, WAIT_MAX.as_secs_f64())).ok()?;
    seconds.is_finite().then_some(wait)
}

fn whole(value: &str) -> Option<u64> {
    let number: f64 = value.trim().parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signals(headers: &[(&str, &str)]) -> Signals {
        let now: Timestamp = "2026-01-31T10:17:00Z".parse().unwrap();
        let mut signals = Signals::default();
        for (name, value) in headers {
            signals.read(name, value, now);
        }
        signals
    }

    #[test]
    fn every_form_of_retry_after() {
        let wait = |value| signals(&[("Retry-After", value)]).asked();
        assert_eq!(wait("31"), Some(Duration::from_secs(31)));
        assert_eq!(wait(" 2.128 "), Some(Duration::from_millis(2128)));
        assert_eq!(wait("Sat, 31 Jan 2026 10:17:20 GMT"), Some(Duration::from_secs(21)));
        assert_eq!(wait("Sat, 31 Jan 2026 09:00:00 GMT"), Some(Duration::from_secs(1)), "already over");
        assert_eq!(wait("-5"), Some(Duration::ZERO));
        assert_eq!(wait("1e99"), Some(WAIT_MAX));
        for nonsense in ["", "soon", "NaN", "inf"] {
            assert_eq!(wait(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn the_larger_word_counts() {
        let both = signals(&[("retry-after", "9"), ("RateLimit-Reset", "31"), ("RateLimit-Remaining", "0")]);
        assert_eq!(both.wait(), Duration::from_secs(31));
        assert_eq!(
            signals(&[("Retry-After", "40"), ("RateLimit-Reset", "31")]).wait(),
            Duration::from_secs(40)
        );
        assert_eq!(signals(&[]).wait(), WAIT_UNSAID);
        assert_eq!(
            signals(&[("RateLimit-Reset", "5")]).asked(),
            None,
            "a success with a reset is no request to wait"
        );
        let left = signals(&[("RateLimit-Remaining", "125"), ("RateLimit-Reset", "5")]).left();
        assert_eq!(left, Some((125, Duration::from_secs(5))));
    }
}
