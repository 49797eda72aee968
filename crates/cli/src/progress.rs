//! What a run tells while it works: a bar on a terminal, lines in a pipe, JSON events on request.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde_json::json;
use syncline_connect::{budget::Budgets, clock::Clock};
use syncline_core::counts::Counts;
use syncline_engine::progress::{Event, Observer};

use crate::{output, show};

/// How often a piped run says how far it is, and any run looks whether it waits for quota.
pub(crate) const TICK: Duration = Duration::from_secs(5);

/// Updates of the bar in a second; more is not seen and costs time.
const DRAWS_PER_SECOND: u8 = 10;

/// How a run is watched.
pub(crate) enum Watcher {
    Bar(Bar),
    Lines(Box<Lines>),
    Json { sync: String },
}

impl Watcher {
    pub(crate) fn new(sync: &str, json: bool, clock: Arc<dyn Clock>, budgets: Arc<Budgets>) -> Self {
        if json {
            Self::Json { sync: sync.to_owned() }
        } else if output::is_terminal() && !output::is_quiet() {
            Self::Bar(Bar::new(sync))
        } else {
            Self::Lines(Box::new(Lines::new(sync, clock, budgets)))
        }
    }

    /// To be called every [`TICK`].
    pub(crate) fn tick(&self) {
        if let Self::Lines(lines) = self {
            lines.tell();
        }
    }
}

impl Observer for Watcher {
    fn event(&self, event: &Event) {
        match self {
            Self::Bar(bar) => bar.event(event),
            Self::Lines(lines) => lines.event(event),
            Self::Json { sync } => print_json(sync, event),
        }
    }
}

/// Every event names its sync, so that the lines of several syncs can be told apart.
fn print_json(sync: &str, event: &Event) {
    let mut value = json!(event);
    if let Some(object) = value.as_object_mut() {
        object.entry("sync").or_insert_with(|| sync.into());
    }
    output::json(&value);
}

/// `projects: run 3, full: the definition changed`.
fn headline(sync: &str, run: u64, mode: &str, reason: Option<&str>) -> String {
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{sync}: run {run}, {mode}{reason}")
}

/// A progress bar on standard error.
pub(crate) struct Bar {
    bar: ProgressBar,
    phase: Mutex<&'static str>,
}

impl Bar {
    fn new(sync: &str) -> Self {
        // Hidden until it looks as it should.
        let bar = ProgressBar::hidden();
        bar.set_style(style("{spinner} {prefix} {wide_msg}"));
        bar.set_prefix(sync.to_owned());
        bar.set_message("connected");
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, phase: Mutex::new("") }
    }

    fn event(&self, event: &Event) {
        match event {
            Event::Started { sync, run, mode, reason, total } => {
                self.bar.suspend(|| output::chat(headline(sync, *run, mode, reason.as_deref())));
                match total.filter(|total| *total > 0) {
                    Some(total) => {
                        self.bar.set_length(total);
                        let template = "{spinner} {prefix} {bar:24} {human_pos}/{human_len}  {rate}  ETA {eta}  {wide_msg}";
                        self.bar.set_style(style(template));
                    }
                    None => self.bar.set_style(style("{spinner} {prefix} {human_pos}  {rate}  {wide_msg}")),
                }
            }
            Event::Phase { phase } => {
                *self.phase() = phase.as_str();
                self.bar.set_message(phase.as_str());
            }
            Event::Note { text } => self.bar.suspend(|| output::note(text)),
            Event::Progress { counts } => {
                // The total is an estimate of the source: a bar beyond its end helps nobody.
                if self.bar.length().is_some_and(|length| counts.read > length) {
                    self.bar.set_length(counts.read);
                }
                self.bar.set_position(counts.read);
                self.bar.set_message(format!("{}: {}", *self.phase(), show::counts(counts)));
            }
            Event::Finished { .. } => self.bar.finish_and_clear(),
        }
    }

    fn phase(&self) -> std::sync::MutexGuard<'_, &'static str> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A wrong template is a mistake in this file; the plain bar is then good enough.
fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    // Fractions of records mean nothing.
    style.with_key("rate", |state: &ProgressState, text: &mut dyn std::fmt::Write| {
        write!(text, "{}/s", show::count(state.per_sec().round() as u64)).ok();
    })
}

/// Plain lines on standard error.
pub(crate) struct Lines {
    sync: String,
    clock: Arc<dyn Clock>,
    budgets: Arc<Budgets>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    started: Option<Duration>,
    total: Option<u64>,
    counts: Counts,
    told: Option<Counts>,
}

impl Lines {
    fn new(sync: &str, clock: Arc<dyn Clock>, budgets: Arc<Budgets>) -> Self {
        Self { sync: sync.to_owned(), clock, budgets, state: Mutex::default() }
    }

    fn event(&self, event: &Event) {
        match event {
            Event::Started { sync, run, mode, reason, total } => {
                output::chat(headline(sync, *run, mode, reason.as_deref()));
                let mut state = self.lock();
                state.started = Some(self.clock.elapsed());
                state.total = *total;
            }
            Event::Note { text } => output::note(text),
            Event::Progress { counts } => self.lock().counts = *counts,
            Event::Phase { .. } | Event::Finished { .. } => {}
        }
    }

    /// Says how far the run is, or what it waits for.
    fn tell(&self) {
        let mut state = self.lock();
        let Some(started) = state.started else { return };
        if state.told == Some(state.counts) {
            if let Some(waiting) = self.waiting() {
                output::chat(format!("{}: {waiting}", self.sync));
            }
            return;
        }
        state.told = Some(state.counts);
        let elapsed = self.clock.elapsed().saturating_sub(started);
        output::chat(format!("{}: {}", self.sync, so_far(&state.counts, state.total, elapsed)));
    }

    /// What a run without progress may be waiting for: a quota window with little left.
    fn waiting(&self) -> Option<String> {
        let budgets = self.budgets.all();
        let windows = budgets.iter().flat_map(|budget| budget.windows());
        let (limit, used) = windows.max_by_key(|(limit, used)| used * 100 / limit.units.max(1))?;
        (used * 10 >= limit.units * 9).then(|| {
            format!(
                "waiting for quota: {} of {} units used in {}",
                show::count(used),
                show::count(limit.units),
                show::duration(limit.window)
            )
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `2,500 of 10,000 (25 %), 1,250/s, 6.00 s left: 2,500 created`.
fn so_far(counts: &Counts, total: Option<u64>, elapsed: Duration) -> String {
    let read = counts.read;
    let rate = read as f64 / elapsed.as_secs_f64().max(0.001);
    let rate_text = format!("{}/s", show::count(rate.round() as u64));
    // Before anything is counted nobody knows how long it takes.
    let place = match total.filter(|total| *total >= read && *total > 0 && read > 0) {
        Some(total) => {
            let left = Duration::from_secs_f64((total - read) as f64 / rate.max(0.001));
            let percent = read * 100 / total;
            let (read, total) = (show::count(read), show::count(total));
            format!("{read} of {total} ({percent} %), {rate_text}, {} left", show::duration(left))
        }
        None => format!("{} records, {rate_text}", show::count(read)),
    };
    format!("{place}: {}", show::counts(counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_lines() {
        let counts = Counts { read: 2_500, created: 2_500, ..Counts::default() };
        let elapsed = Duration::from_secs(2);
        assert_eq!(
            so_far(&counts, Some(10_000), elapsed),
            "2,500 of 10,000 (25 %), 1,250/s, 6.00 s left: 2,500 created"
        );
        assert_eq!(so_far(&counts, None, elapsed), "2,500 records, 1,250/s: 2,500 created");
        assert_eq!(so_far(&counts, Some(1), elapsed), "2,500 records, 1,250/s: 2,500 created");
        assert_eq!(so_far(&Counts::default(), Some(9), elapsed), "0 records, 0/s: nothing");
    }

    #[test]
    fn headlines_say_why() {
        assert_eq!(headline("p", 3, "full", Some("because")), "p: run 3, full: because");
        assert_eq!(headline("p", 3, "incremental", None), "p: run 3, incremental");
    }
}
