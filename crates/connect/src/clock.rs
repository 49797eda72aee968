//! The one place that reads the machine's clock.

use std::time::Duration;

/// Where time comes from. Waiting goes through tokio's timers; with tokio's clock paused, a whole run can be simulated.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Wall-clock time, for records and messages; may step.
    fn now(&self) -> jiff::Timestamp;
    /// Time since a fixed instant, which lies before everything a quota still remembers; never goes back.
    fn elapsed(&self) -> Duration;
}

/// How long before its making a clock's time begins: longer than the longest quota window, a day, so that units spent by
/// earlier processes have a place in it.
const BEFORE: Duration = Duration::from_secs(2 * 24 * 3600);

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: tokio::time::Instant,
}

impl SystemClock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    pub fn new() -> Self {
        Self { start: tokio::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        BEFORE + self.start.elapsed()
    }
}
