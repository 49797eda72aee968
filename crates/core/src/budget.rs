//! Quota arithmetic: how many units may be spent when, without a clock of its own.
//!
//! A unit counts from the moment it is reserved until a whole window has passed after its request was answered. The
//! far side charges a request somewhere between those two moments, so whatever kind of window it keeps (fixed or
//! sliding), it never sees more than the limit in one: provided both clocks run at the same rate.

use std::{collections::VecDeque, time::Duration};

/// At most `units` in any `window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Units allowed.
    pub units: u64,
    /// Window length.
    pub window: Duration,
}

/// Slots a window is cut into. A unit is forgotten only when its whole slot has left the window, so the price of
/// bounded memory is at most 1/256 of the quota.
const SLOTS: u32 = 256;

/// Spending against one [`Limit`]. Times are durations since an arbitrary fixed instant and must not go back.
#[derive(Debug, Clone)]
pub struct Window {
    limit: Limit,
    slot: Duration,
    /// Answered units by slot number, oldest first.
    answered: VecDeque<(u64, u64)>,
    answered_units: u64,
    in_flight: u64,
}

impl Window {
    /// An unused window.
    pub fn new(limit: Limit) -> Self {
        let slot = (limit.window / SLOTS).max(Duration::from_nanos(1));
        Self { limit, slot, answered: VecDeque::new(), answered_units: 0, in_flight: 0 }
    }

    /// The limit.
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// Units that count at `now`, reserved ones included.
    pub fn used(&mut self, now: Duration) -> u64 {
        self.expire(now);
        self.counted()
    }

    /// Reserves `units` at `now`.
    ///
    /// # Errors
    /// The earliest time at which trying again can succeed, as far as is known now; nothing is reserved. More than
    /// the whole limit at once is let through when nothing else counts, for otherwise it would wait for ever.
    pub fn reserve(&mut self, units: u64, now: Duration) -> Result<(), Duration> {
        self.expire(now);
        let used = self.counted();
        if used == 0 || used.checked_add(units).is_some_and(|sum| sum <= self.limit.units) {
            self.in_flight = units.saturating_add(self.in_flight);
            return Ok(());
        }
        let mut missing = used.saturating_add(units).saturating_sub(self.limit.units);
        for (slot, spent) in &self.answered {
            missing = missing.saturating_sub(*spent);
            if missing == 0 {
                return Err(self.leaves_at(*slot));
            }
        }
        // Only requests in flight stand in the way: their answers will tell more.
        Err(now.saturating_add(self.slot))
    }

    /// Gives back units reserved for a request that was not sent.
    pub fn cancel(&mut self, units: u64) {
        self.in_flight = self.in_flight.saturating_sub(units);
    }

    /// Turns `units` reserved earlier into spent ones, their request having been answered (or given up) at `now`.
    pub fn answer(&mut self, units: u64, now: Duration) {
        self.in_flight = self.in_flight.saturating_sub(units);
        self.spend(units, now);
    }

    /// Counts units that were spent elsewhere or by an earlier process, at `at`.
    pub fn spend(&mut self, units: u64, at: Duration) {
        if units == 0 {
            return;
        }
        let slot = self.slot_of(at);
        // What others say they spent may be any number; their sum stays one.
        let units = units.min(u64::MAX - self.answered_units);
        self.answered_units += units;
        let after = self.answered.partition_point(|(known, _)| *known <= slot);
        match after.checked_sub(1).and_then(|last| self.answered.get_mut(last)) {
            Some((known, spent)) if *known == slot => *spent += units,
            _ => self.answered.insert(after, (slot, units)),
        }
    }

    fn counted(&self) -> u64 {
        self.answered_units.saturating_add(self.in_flight)
    }

    fn expire(&mut self, now: Duration) {
        while let Some((slot, spent)) = self.answered.front().copied() {
            if self.leaves_at(slot) > now {
                break;
            }
            self.answered.pop_front();
            self.answered_units -= spent;
        }
    }

    fn slot_of(&self, at: Duration) -> u64 {
        u64::try_from(at.as_nanos() / self.slot.as_nanos()).unwrap_or(u64::MAX - 1)
    }

    fn leaves_at(&self, slot: u64) -> Duration {
        let end = u64::try_from(u128::from(slot + 1) * self.slot.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(end).saturating_add(self.limit.window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn window(units: u64) -> Window {
        Window::new(Limit { units, window: Duration::from_millis(2560) })
    }

    #[test]
    fn a_unit_counts_until_a_window_after_its_answer() {
        let mut w = window(10);
        assert_eq!(w.reserve(10, MS), Ok(()));
        assert!(w.reserve(1, 5000 * MS).is_err(), "in flight counts however long it takes");
        w.answer(10, 5000 * MS);
        assert_eq!(w.reserve(1, 7559 * MS), Err(7570 * MS));
        assert_eq!(w.reserve(1, 7570 * MS), Ok(()));
        assert_eq!(w.used(7570 * MS), 1);
    }

    #[test]
    fn waits_for_as_many_as_it_needs() {
        let mut w = window(10);
        for at in [0, 100, 200] {
            w.reserve(3, at * MS).unwrap();
            w.answer(3, at * MS);
        }
        assert_eq!(w.reserve(4, 300 * MS), Err(2570 * MS), "the first three are enough");
        assert_eq!(w.reserve(5, 300 * MS), Err(2670 * MS), "the second three are needed");
        assert_eq!(w.reserve(99, 9000 * MS), Ok(()), "more than the limit goes alone");
    }

    #[test]
    fn what_was_spent_earlier_leaves_earlier() {
        let mut w = window(10);
        w.spend(3, 2000 * MS);
        w.spend(6, 500 * MS);
        assert_eq!(w.used(2000 * MS), 9);
        assert_eq!(w.used(3070 * MS), 3, "500 ms and its slot, plus the window");
        assert_eq!(w.used(4570 * MS), 0);
    }

    proptest! {
        /// Charged at any moment between reservation and answer, no window of the far side exceeds the limit.
        #[test]
        fn no_window_is_ever_exceeded(steps in prop::collection::vec((1u64..6, 0u32..400, 0u32..300, 0u32..=100), 1..120)) {
            let mut w = window(10);
            let mut now = Duration::ZERO;
            let mut charged: Vec<(Duration, u64)> = Vec::new();
            for (units, gap, latency, when) in steps {
                now += gap * MS;
                if let Err(at) = w.reserve(units, now) {
                    prop_assert!(at > now);
                    now = at;
                    prop_assert!(w.reserve(units, now).is_ok(), "the promised time holds when nothing is in flight");
                }
                charged.push((now + latency * MS * when / 100, units));
                now += latency * MS;
                w.answer(units, now);
            }
            for (start, _) in &charged {
                let sum: u64 = charged.iter()
                    .filter(|(at, _)| at >= start && *at < *start + Duration::from_millis(2560))
                    .map(|(_, units)| units).sum();
                prop_assert!(sum <= 10, "{} units in one window", sum);
            }
        }
    }
}
