//! Rate budgets: quota shared by everything that talks to one account.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use syncline_core::{
    budget::{Limit, Window},
    mutant,
};

use crate::clock::Clock;

/// Longest single wait for a budget; after it the caller looks again. Keeps a lost wake-up from lasting for ever.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Longest time a far side may close a budget at once; anything longer is cut to this and asked again.
const CLOSED_MAX: Duration = Duration::from_secs(3600);

/// All budgets of a process, by name (for SharePoint: tenant and application).
#[derive(Debug)]
pub struct Budgets {
    clock: Arc<dyn Clock>,
    budgets: Mutex<BTreeMap<String, Arc<Budget>>>,
}

impl Budgets {
    /// No budgets yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, budgets: Mutex::default() }
    }

    /// The budget called `name`, made with `limits` when it is new.
    pub fn get(&self, name: &str, limits: &[Limit]) -> Arc<Budget> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(Budget::new(name, limits, Arc::clone(&self.clock)));
        Arc::clone(budgets.entry(name.to_owned()).or_insert_with(make))
    }

    /// Every budget, by name.
    pub fn all(&self) -> Vec<Arc<Budget>> {
        self.budgets.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// Quota of one account: any number of windows, and an instant before which nothing is sent.
#[derive(Debug)]
pub struct Budget {
    name: String,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    windows: Vec<Window>,
    not_before: Duration,
    throttled: u64,
    spent: u64,
    /// Spent since [`Budget::take_unsaved`] was last called.
    unsaved: u64,
    /// Whether what earlier processes spent was counted.
    restored: bool,
}

/// What a budget has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Units spent by this process.
    pub spent: u64,
    /// Answers that closed the budget.
    pub throttled: u64,
}

impl Budget {
    fn new(name: &str, limits: &[Limit], clock: Arc<dyn Clock>) -> Self {
        let windows = limits.iter().map(|l| Window::new(*l)).collect();
        let state = State {
            windows,
            not_before: Duration::ZERO,
            throttled: 0,
            spent: 0,
            unsaved: 0,
            restored: false,
        };
        Self { name: name.to_owned(), clock, state: Mutex::new(state) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until `units` may be spent in every window and reserves them. Call before every request, and
    /// [`Permit::answered`] when its answer is there; dropping the permit counts as answered.
    pub async fn acquire(self: &Arc<Self>, units: u64) -> Permit {
        loop {
            let now = self.clock.elapsed();
            let wait = match self.try_reserve(units, now) {
                Ok(()) => return Permit { budget: Arc::clone(self), units },
                Err(at) => at.saturating_sub(now),
            };
            tokio::time::sleep(wait.clamp(Duration::from_millis(1), WAIT_MAX)).await;
        }
    }

    fn try_reserve(&self, units: u64, now: Duration) -> Result<(), Duration> {
        if mutant!(BudgetAfterAnswer) {
            let mut state = self.lock();
            let full = state.windows.iter_mut().any(|w| w.used(now) >= w.limit().units);
            return if full { Err(now + Duration::from_millis(50)) } else { Ok(()) };
        }
        let mut state = self.lock();
        if now < state.not_before {
            return Err(state.not_before);
        }
        for reserved in 0..state.windows.len() {
            if let Err(at) = state.windows[reserved].reserve(units, now) {
                for window in &mut state.windows[..reserved] {
                    window.cancel(units);
                }
                return Err(at);
            }
        }
        Ok(())
    }

    /// The far side said to wait: nobody spends from this budget before then.
    pub fn close_for(&self, wait: Duration) {
        let until = self.clock.elapsed() + wait.min(CLOSED_MAX);
        let mut state = self.lock();
        state.throttled += 1;
        state.not_before = state.not_before.max(until);
    }

    /// The far side said that only `remaining` units are left until `reset`: somebody else spends too. What our own count
    /// would still allow beyond that is counted as spent, in the shortest window: such words are about the near future,
    /// and taken for a day's quota they would stop us until tomorrow.
    pub fn observe(&self, remaining: u64, reset: Duration) {
        let now = self.clock.elapsed();
        let mut state = self.lock();
        let shortest = state.windows.iter_mut().min_by_key(|w| w.limit().window);
        if let Some(window) = shortest.filter(|w| w.limit().window >= reset) {
            let own = window.limit().units.saturating_sub(window.used(now));
            if own > remaining {
                window.spend(own - remaining, now);
            }
        }
    }

    /// Whether this is the first call for this budget: then what earlier processes spent is still to be
    /// [restored](Budget::restore).
    pub fn first_use(&self) -> bool {
        !std::mem::replace(&mut self.lock().restored, true)
    }

    /// Counts units an earlier process spent `ago`.
    pub fn restore(&self, units: u64, ago: Duration) {
        if mutant!(BudgetForgetsPast) {
            return;
        }
        let at = self.clock.elapsed().saturating_sub(ago);
        for window in &mut self.lock().windows {
            if ago < window.limit().window {
                window.spend(units, at);
            }
        }
    }

    /// Units spent since the last call, to be remembered across processes.
    pub fn take_unsaved(&self) -> u64 {
        std::mem::take(&mut self.lock().unsaved)
    }

    /// The windows' limits and what counts in them now.
    pub fn windows(&self) -> Vec<(Limit, u64)> {
        let now = self.clock.elapsed();
        self.lock().windows.iter_mut().map(|w| (w.limit(), w.used(now))).collect()
    }

    /// Totals of this process.
    pub fn usage(&self) -> Usage {
        let state = self.lock();
        Usage { spent: state.spent, throttled: state.throttled }
    }

    fn answer(&self, units: u64) {
        let now = self.clock.elapsed();
        let mut state = self.lock();
        state.spent += units;
        state.unsaved += units;
        for window in &mut state.windows {
            window.answer(units, now);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Units reserved for a request that is about to be sent.
#[derive(Debug)]
#[must_use = "dropping it means the request was answered"]
pub struct Permit {
    budget: Arc<Budget>,
    units: u64,
}

impl Permit {
    /// The request was answered, or given up.
    pub fn answered(self) {}
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.answer(self.units);
    }
}
