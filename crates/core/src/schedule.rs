//! When something is to run: the definition of a schedule. Its arithmetic is pure and stands beside it.

use std::time::Duration;

use crate::sync::Mode;

/// When a sync or a chain runs, and what is different then.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Name, for `run --schedule` and for overriding a default; unique within the sync.
    pub name: Option<String>,
    /// Interval. Exactly one of `every` and `cron` is given.
    pub every: Option<Duration>,
    /// Five fields.
    pub cron: Option<String>,
    /// IANA zone of `cron`; none: UTC.
    pub zone: Option<String>,
    /// Mode of these runs, where it differs from the sync's (syncs only).
    pub mode: Option<Mode>,
    /// An incremental run reads from the last successful start less `every` times this, where that is below the cursor; 0: off.
    pub lookback: f64,
    /// A full run replaces the table as a whole instead of merging into it.
    pub prepurge: bool,
    /// The table's indexes are rebuilt after the run.
    pub reindex: bool,
    /// What becomes of instants that passed while nothing could run.
    pub misfire: Misfire,
    /// What becomes of an instant that comes while the sync or chain is still running.
    pub overlap: Overlap,
    /// Starts are spread over this span, by a hash of the names, so that what is due at the same instant does not start at the
    /// same moment. `None`: a tenth of `every`, at most a minute; nothing for `cron`.
    pub jitter: Option<Duration>,
    /// Whether it is in force.
    pub enabled: bool,
}

impl Schedule {
    /// A schedule without a time: neither `every` nor `cron`; for literals that fill in the rest.
    pub const EMPTY: Self = Self {
        name: None,
        every: None,
        cron: None,
        zone: None,
        mode: None,
        lookback: 0.0,
        prepurge: false,
        reindex: false,
        misfire: Misfire::Latest,
        overlap: Overlap::Skip,
        jitter: None,
        enabled: true,
    };

    /// The name under which its occurrences are stored: its own, or its time (`every 15m`, `0 2 * * * Europe/Berlin`), so that an
    /// unnamed schedule whose time is edited begins anew.
    pub fn label(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        match (&self.every, &self.cron) {
            (Some(every), _) => format!("every {}s", every.as_secs_f64()),
            (None, Some(cron)) => format!("{cron} {}", self.zone.as_deref().unwrap_or("UTC")),
            (None, None) => "manual".to_owned(),
        }
    }
}

/// What becomes of instants that passed while nothing could run (the service was down, the clock stepped).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfire {
    /// They are left out; the next one to come runs.
    Skip,
    /// One run, for the latest of them.
    Latest,
    /// A run for each, the latest so many.
    All(u32),
}

/// What becomes of an instant that comes while an earlier one still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// It is left out, and recorded as such.
    Skip,
    /// It runs afterwards; at most one waits.
    Queue,
}
