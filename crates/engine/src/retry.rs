//! How long to wait before trying again: pure arithmetic.

use std::time::Duration;

/// How often a request is tried, and how long apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Attempts before a failure is final.
    pub attempts: u32,
    /// Wait after the first failure; it doubles.
    pub first: Duration,
    /// Longest wait.
    pub longest: Duration,
}

impl Default for Policy {
    /// 3 attempts, 1 s doubling to 30 s.
    fn default() -> Self {
        Self { attempts: 3, first: Duration::from_secs(1), longest: Duration::from_secs(30) }
    }
}

/// First wait of a parked record that failed again after its retry at the next run.
const PARKED_FIRST: Duration = Duration::from_secs(60);
const PARKED_LONGEST: Duration = Duration::from_secs(6 * 3600);

impl Policy {
    /// The wait after failed attempt number `attempt` (1, 2 …), at least `asked`, with ±20 % jitter.
    ///
    /// `random` is uniform in 0..1.
    pub fn backoff(&self, attempt: u32, asked: Duration, random: f64) -> Duration {
        let wait = self.first.saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(self.longest);
        // Jitter never shortens what the far side asked for.
        wait.mul_f64(0.8 + 0.4 * random.clamp(0.0, 1.0)).max(asked)
    }
}

/// How long a record stays parked after `attempts` failed runs: retried by the very next run at first, then 1 min
/// doubling to 6 h.
pub fn parked_for(attempts: u32) -> Duration {
    match attempts {
        0 | 1 => Duration::ZERO,
        n => PARKED_FIRST.saturating_mul(1 << (n - 2).min(10)).min(PARKED_LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_their_bounds() {
        let at = |attempt, random| Policy::default().backoff(attempt, Duration::ZERO, random).as_millis();
        assert_eq!([at(1, 0.5), at(2, 0.5), at(3, 0.5), at(9, 0.5)], [1000, 2000, 4000, 30_000]);
        assert_eq!([at(1, 0.0), at(1, 1.0)], [800, 1200]);
        assert_eq!(Policy::default().backoff(1, Duration::from_secs(7), 0.0), Duration::from_secs(7));
        let parked = [0, 1, 2, 3, 20].map(|n| parked_for(n).as_secs());
        assert_eq!(parked, [0, 0, 60, 120, 21_600]);
    }
}
