//! What a process costs, and what several measurements of the same thing amount to.

use std::{
    process::{Command, ExitStatus},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Ticks of `/proc/PID/stat` in a second: the same on every Linux that people run databases on.
const TICKS: f64 = 100.0;

/// What one process needed, or one pipe of processes: time on the wall, time on the processors (user and system, of the
/// process and what it waited for, to 10 ms), and the most memory that it had resident. The database's own work is not in
/// the last two.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    pub(crate) cpu: f64,
    pub(crate) peak_mb: f64,
}

impl Cost {
    /// One after the other.
    pub(crate) fn then(self, next: Self) -> Self {
        Self {
            seconds: self.seconds + next.seconds,
            cpu: self.cpu + next.cpu,
            peak_mb: self.peak_mb.max(next.peak_mb),
        }
    }
}

/// Runs a command to its end. Nothing else may be started meanwhile.
///
/// # Panics
///
/// When the command fails.
pub(crate) fn run(command: &mut Command) -> Cost {
    let (cost, status) = time(command);
    assert!(status.success(), "{command:?}: {status}");
    cost
}

/// The same for a command that may fail.
pub(crate) fn time(command: &mut Command) -> (Cost, ExitStatus) {
    let before = cpu_of_children();
    let begun = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (process, ended) = (child.id(), AtomicBool::new(false));
    let (status, seconds, peak_kb) = thread::scope(|scope| {
        let peak = scope.spawn(|| {
            let mut peak = 0;
            while !ended.load(Ordering::Relaxed) {
                peak = high_water_kb(process).max(peak);
                thread::sleep(Duration::from_millis(5));
            }
            peak
        });
        let status = child.wait().unwrap();
        let seconds = begun.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        (status, seconds, peak.join().unwrap())
    });
    (Cost { seconds, cpu: cpu_of_children() - before, peak_mb: peak_kb as f64 / 1024.0 }, status)
}

/// Seconds that the children which have ended were on a processor: fields 16 and 17 of `stat`, the second of which
/// follows the name in brackets.
fn cpu_of_children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    let ticks: u64 =
        after_name.split_whitespace().skip(13).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    ticks as f64 / TICKS
}

/// Most memory the process has had resident so far.
fn high_water_kb(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}

/// The middle one; of an even number, the mean of the two in the middle. None of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 0 => Some(f64::midpoint(values[middle - 1], values[middle])),
        _ => Some(values[middle]),
    }
}
