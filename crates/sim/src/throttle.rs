//! Resource units, windows and blocks (facts §3).

use std::collections::{BTreeMap, HashMap, VecDeque};

use uuid::Uuid;

use crate::options::{ExtraLimit, LimitScope, Tier};
use crate::route::OpKind;
use crate::switches::{RateLimitReset, Switches, WindowKind};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// A sliding window is kept in this many grains, so its memory does not grow with traffic.
const GRAINS: i64 = 600;

/// Minutes of usage that are kept for reports: three days.
const MINUTES_MAX: usize = 4_320;

/// The cost of an operation (facts §3.1 \[D\]).
pub(crate) fn cost(kind: OpKind, delta_with_token: bool, permissions: bool) -> u64 {
    if permissions {
        return 5;
    }
    match kind {
        OpKind::Token | OpKind::Batch => 0,
        OpKind::Webinars | OpKind::Registrations | OpKind::Attendance => 0,
        OpKind::Get => 1,
        OpKind::Delta if delta_with_token => 1,
        _ => 2,
    }
}

/// Units used within a span of time.
#[derive(Debug)]
pub(crate) struct Window {
    span_ms: i64,
    limit: u64,
    kind: WindowKind,
    /// Start of a grain and what was used in it.
    grains: VecDeque<(i64, u64)>,
    used: u64,
}

impl Window {
    pub(crate) fn new(span_ms: i64, limit: u64, kind: WindowKind) -> Self {
        Self { span_ms, limit, kind, grains: VecDeque::new(), used: 0 }
    }

    fn grain_start(&self, now_ms: i64) -> i64 {
        let grain = match self.kind {
            WindowKind::Sliding => (self.span_ms / GRAINS).max(1),
            WindowKind::Fixed => self.span_ms,
        };
        now_ms.div_euclid(grain) * grain
    }

    fn roll(&mut self, now_ms: i64) {
        while let Some((start, used)) = self.grains.front().copied() {
            if start + self.span_ms > now_ms {
                break;
            }
            self.used -= used;
            self.grains.pop_front();
        }
    }

    fn add(&mut self, units: u64, now_ms: i64) {
        let start = self.grain_start(now_ms);
        match self.grains.back_mut() {
            Some((last, used)) if *last >= start => *used += units,
            _ => self.grains.push_back((start, units)),
        }
        self.used += units;
    }

    fn fits(&self, units: u64) -> bool {
        self.used + units <= self.limit
    }

    /// Counts one request, also one over the limit; for that, simulated milliseconds until one fits.
    pub(crate) fn take(&mut self, now_ms: i64) -> Option<i64> {
        self.roll(now_ms);
        let wait_ms = (!self.fits(1)).then(|| self.wait_ms(1, now_ms));
        self.add(1, now_ms);
        wait_ms
    }

    /// Simulated milliseconds until `units` more would fit.
    fn wait_ms(&self, units: u64, now_ms: i64) -> i64 {
        let mut excess = (self.used + units).saturating_sub(self.limit);
        for (start, used) in &self.grains {
            if excess <= *used {
                return (start + self.span_ms - now_ms).max(1);
            }
            excess -= used;
        }
        self.span_ms
    }

    /// Simulated milliseconds until the oldest or the newest use leaves the window.
    fn reset_ms(&self, now_ms: i64, meaning: RateLimitReset) -> i64 {
        let grain = match meaning {
            RateLimitReset::OldestLeaves => self.grains.front(),
            RateLimitReset::WindowEmpty => self.grains.back(),
        };
        grain.map_or(0, |(start, _)| (start + self.span_ms - now_ms).max(0))
    }
}

/// What the `RateLimit-*` headers say; times in simulated milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RateSignal {
    pub(crate) limit: u64,
    pub(crate) remaining: u64,
    pub(crate) reset_ms: i64,
}

/// Whether an operation may go on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verdict {
    Admitted(Option<RateSignal>),
    Throttled { wait_ms: i64, signal: Option<RateSignal> },
    Blocked { wait_ms: i64 },
}

#[derive(Debug)]
struct AppWindows {
    minute: Window,
    day: Window,
    throttled: Window,
    blocked_until_ms: i64,
}

/// The limits of one tenant and what was used of them.
#[derive(Debug)]
pub(crate) struct Throttle {
    tier: Tier,
    extra: Vec<ExtraLimit>,
    apps: HashMap<String, AppWindows>,
    tenant: Option<Window>,
    extra_windows: HashMap<(usize, String, Option<Uuid>), Window>,
    /// Units used per simulated minute.
    pub(crate) by_minute: BTreeMap<i64, u64>,
    pub(crate) used: u64,
}

/// One operation as the throttle sees it.
pub(crate) struct Charge<'a> {
    pub(crate) app: &'a str,
    pub(crate) kind: OpKind,
    pub(crate) list: Option<Uuid>,
    pub(crate) units: u64,
    pub(crate) now_ms: i64,
}

impl Throttle {
    pub(crate) fn new(tier: Tier, extra: Vec<ExtraLimit>) -> Self {
        Self {
            tier,
            extra,
            apps: HashMap::new(),
            tenant: None,
            extra_windows: HashMap::new(),
            by_minute: BTreeMap::new(),
            used: 0,
        }
    }

    pub(crate) fn set_tier(&mut self, tier: Tier) {
        self.tier = tier;
        self.apps.clear();
        self.tenant = None;
    }

    pub(crate) fn tier(&self) -> Tier {
        self.tier
    }

    /// Charges an operation. Throttled ones are charged too (facts §3.3 \[D\]).
    pub(crate) fn charge(&mut self, charge: &Charge<'_>, rules: &Switches) -> Verdict {
        let verdict = self.decide(charge, rules);
        let counted = matches!(verdict, Verdict::Admitted(_)) || rules.charge_throttled;
        if counted {
            self.count(charge);
        }
        verdict
    }

    fn count(&mut self, charge: &Charge<'_>) {
        self.used += charge.units;
        *self.by_minute.entry(charge.now_ms.div_euclid(MINUTE_MS)).or_default() += charge.units;
        if self.by_minute.len() > MINUTES_MAX {
            self.by_minute.pop_first();
        }
    }

    fn decide(&mut self, charge: &Charge<'_>, rules: &Switches) -> Verdict {
        let now = charge.now_ms;
        if let Some(wait_ms) = self.extra_wait(charge, rules) {
            return Verdict::Throttled { wait_ms, signal: None };
        }
        let Some([per_minute, per_day, per_tenant]) = self.tier.limits() else {
            return Verdict::Admitted(None);
        };
        let kind = rules.throttle_window;
        let tenant = self.tenant.get_or_insert_with(|| Window::new(5 * MINUTE_MS, per_tenant, kind));
        if !self.apps.contains_key(charge.app) {
            let windows = AppWindows {
                minute: Window::new(MINUTE_MS, per_minute, kind),
                day: Window::new(DAY_MS, per_day, kind),
                throttled: Window::new(MINUTE_MS, u64::MAX, WindowKind::Sliding),
                blocked_until_ms: i64::MIN,
            };
            self.apps.insert(charge.app.to_owned(), windows);
        }
        let Some(app) = self.apps.get_mut(charge.app) else { return Verdict::Admitted(None) };
        if now < app.blocked_until_ms {
            return Verdict::Blocked { wait_ms: app.blocked_until_ms - now };
        }
        let mut windows = [&mut app.minute, &mut app.day, tenant];
        for window in &mut windows {
            window.roll(now);
        }
        let fits = windows.iter().all(|window| window.fits(charge.units));
        if fits || rules.charge_throttled {
            for window in &mut windows {
                window.add(charge.units, now);
            }
        }
        if fits {
            return Verdict::Admitted(signal(&app.minute, now, rules));
        }
        let wait_ms = windows.iter().map(|window| window.wait_ms(charge.units, now).max(1));
        let over = windows.iter().map(|window| !window.fits(0) || !window.fits(charge.units));
        let wait_ms = wait_ms.zip(over).filter(|(_, over)| *over).map(|(wait, _)| wait).max().unwrap_or(1);
        let by_minute = !app.minute.fits(charge.units);
        app.throttled.roll(now);
        app.throttled.add(1, now);
        if rules.block_after.is_some_and(|most| app.throttled.used > u64::from(most)) {
            app.blocked_until_ms = now + i64::from(rules.block_seconds) * 1000;
        }
        let minute = signal(&app.minute, now, rules).map(|s| RateSignal { reset_ms: wait_ms, ..s });
        Verdict::Throttled { wait_ms, signal: minute.filter(|_| by_minute) }
    }

    /// Limits the user set on item operations, counted per list or per app.
    fn extra_wait(&mut self, charge: &Charge<'_>, rules: &Switches) -> Option<i64> {
        let on_items = charge.kind.is_write() || matches!(charge.kind, OpKind::Get | OpKind::List);
        if !on_items {
            return None;
        }
        let mut wait = None;
        for (number, limit) in self.extra.iter().enumerate() {
            let list = (limit.per == LimitScope::List).then_some(charge.list).flatten();
            let window =
                self.extra_windows.entry((number, charge.app.to_owned(), list)).or_insert_with(|| {
                    let span_ms = i64::try_from(limit.window_s).unwrap_or(DAY_MS).saturating_mul(1000);
                    Window::new(span_ms, limit.operations, rules.throttle_window)
                });
            window.roll(charge.now_ms);
            let fits = window.fits(1);
            if fits || rules.charge_throttled {
                window.add(1, charge.now_ms);
            }
            if !fits {
                wait = wait.max(Some(window.wait_ms(1, charge.now_ms)));
            }
        }
        wait
    }

    /// Units used in the last minute and day by an application.
    pub(crate) fn usage(&mut self, app: &str, now_ms: i64) -> (u64, u64) {
        let Some(windows) = self.apps.get_mut(app) else { return (0, 0) };
        windows.minute.roll(now_ms);
        windows.day.roll(now_ms);
        (windows.minute.used, windows.day.used)
    }
}

/// Headers from 80 % of the minute limit on, on successes too (facts §3.3 \[D\]).
fn signal(minute: &Window, now_ms: i64, rules: &Switches) -> Option<RateSignal> {
    if (minute.used as f64) < minute.limit as f64 * rules.ratelimit_headers_from {
        return None;
    }
    Some(RateSignal {
        limit: minute.limit,
        remaining: minute.limit.saturating_sub(minute.used),
        reset_ms: minute.reset_ms(now_ms, rules.ratelimit_reset),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sliding_window_frees_what_is_a_minute_old() {
        let mut window = Window::new(MINUTE_MS, 10, WindowKind::Sliding);
        window.add(6, 0);
        window.add(4, 30_000);
        window.roll(30_000);
        assert!(!window.fits(2));
        assert_eq!(window.wait_ms(2, 30_000), 30_000);
        assert_eq!(window.wait_ms(8, 30_000), 60_000);
        window.roll(60_000);
        assert!(window.fits(6) && !window.fits(7));
    }

    #[test]
    fn a_fixed_window_empties_on_the_minute() {
        let mut window = Window::new(MINUTE_MS, 10, WindowKind::Fixed);
        window.add(10, 59_000);
        window.roll(59_999);
        assert!(!window.fits(1));
        assert_eq!(window.wait_ms(1, 59_999), 1);
        window.roll(60_000);
        assert!(window.fits(10));
    }

    /// The day limit is the tighter one, and throttles without `RateLimit-*` (facts §3.2, §3.3).
    #[test]
    fn the_day_ends_before_its_minutes() {
        let rules = Switches::default();
        let mut throttle = Throttle::new(Tier::Smallest, Vec::new());
        let mut now_ms = 0;
        let charge = |throttle: &mut Throttle, now_ms| {
            throttle.charge(&Charge { app: "a", kind: OpKind::Create, list: None, units: 2, now_ms }, &rules)
        };
        // One write in 100 ms is 1,200 units a minute, just below that limit, and the day's are gone in 1,000 minutes.
        for _ in 0..600_000 {
            let verdict = charge(&mut throttle, now_ms);
            assert!(matches!(verdict, Verdict::Admitted(_)), "{verdict:?} at {now_ms}");
            now_ms += 100;
        }
        let Verdict::Throttled { wait_ms, signal: None } = charge(&mut throttle, now_ms) else {
            panic!("the day is used up")
        };
        assert_eq!(now_ms + wait_ms, DAY_MS, "the first grain leaves a day after it came");
    }

    /// All applications together have five-minute units of their own (facts §3.2).
    #[test]
    fn tenants_have_a_limit_too() {
        let rules = Switches::default();
        let mut throttle = Throttle::new(Tier::Smallest, Vec::new());
        let mut admitted = 0;
        for app in 0..20 {
            for _ in 0..600 {
                let app = app.to_string();
                let charge = Charge { app: &app, kind: OpKind::Create, list: None, units: 2, now_ms: 0 };
                admitted += u32::from(matches!(throttle.charge(&charge, &rules), Verdict::Admitted(_)));
            }
        }
        assert_eq!(admitted, 18_750 / 2);
    }
}
