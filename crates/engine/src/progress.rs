//! What a run tells while it works.

use std::time::Duration;

use serde::Serialize;
use syncline_core::{counts::Counts, run::Phase};

/// How often a load tells how far it is.
pub(crate) const TICK: Duration = Duration::from_millis(500);

/// Something happened that a person may want to see.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run began. Sent once.
    Started {
        /// The sync.
        sync: String,
        /// Number of the run.
        run: u64,
        /// `full` or `incremental`.
        mode: String,
        /// Why this mode, where it is not the configured one.
        reason: Option<String>,
        /// About how many records the source holds.
        total: Option<u64>,
    },
    /// The run does something else now.
    Phase {
        /// What.
        phase: Phase,
    },
    /// Something an operator should read.
    Note {
        /// One sentence.
        text: String,
    },
    /// Records were accounted for. The counts are totals.
    Progress {
        /// Totals so far.
        counts: Counts,
    },
    /// The run ended.
    Finished {
        /// The sync.
        sync: String,
        /// Number of the run.
        run: u64,
        /// How.
        status: syncline_core::run::Status,
        /// Totals.
        counts: Counts,
        /// Wall-clock seconds.
        seconds: f64,
        /// What stopped it.
        error: Option<String>,
    },
}

/// Where events go. Called from the run itself: must not block.
pub trait Observer: Send + Sync {
    /// Takes an event.
    fn event(&self, event: &Event);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _: &Event) {}
}
