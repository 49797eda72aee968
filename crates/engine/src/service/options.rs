//! How a run is made: what its schedule says and what was asked for.

use std::time::Duration;

use syncline_core::{
    schedule::Schedule,
    sync::{Mode, Sync},
};
use syncline_store::service::{Subject, SubjectKind};

use super::StartOptions;
use crate::load::run::Options;

/// What a schedule makes of a run; what was asked for goes before it.
pub fn by_schedule(schedule: &Schedule, asked: Options) -> Options {
    Options {
        mode: asked.mode.or(schedule.mode),
        prepurge: asked.prepurge || schedule.prepurge,
        reindex: asked.reindex || schedule.reindex,
        lookback: asked.lookback.or_else(|| lookback(schedule)),
        ..asked
    }
}

/// How far an incremental load of this schedule looks back.
fn lookback(schedule: &Schedule) -> Option<Duration> {
    schedule.every.filter(|_| schedule.lookback > 0.0).map(|every| every.mul_f64(schedule.lookback))
}

impl StartOptions {
    /// What is stored with an occurrence of a schedule.
    pub fn of_schedule(schedule: &Schedule) -> Self {
        Self {
            mode: schedule.mode.map(|mode| word(mode).to_owned()),
            prepurge: schedule.prepurge,
            reindex: schedule.reindex,
            lookback_seconds: lookback(schedule).map(|lookback| lookback.as_secs()),
            ..Self::default()
        }
    }

    /// Reads what is stored with an occurrence.
    ///
    /// # Errors
    /// It was written by another version; one sentence.
    pub fn read(stored: &serde_json::Value) -> Result<Self, String> {
        serde_json::from_value(stored.clone())
            .map_err(|why| format!("the options that are stored cannot be read: {why}"))
    }

    /// What the engine makes of it.
    ///
    /// # Errors
    /// A mode that there is not; one sentence.
    pub fn run_options(&self) -> Result<Options, String> {
        let mode = match self.mode.as_deref() {
            None => None,
            Some("full") => Some(Mode::Full),
            Some("incremental") => Some(Mode::Incremental),
            Some(other) => return Err(format!("mode {other:?} is not known: full or incremental")),
        };
        Ok(Options {
            mode,
            only_parked: self.only_parked,
            prepurge: self.prepurge,
            reindex: self.reindex,
            lookback: self.lookback_seconds.map(Duration::from_secs),
            ..Options::default()
        })
    }

    /// Whether these options fit what they are asked for; one sentence where they do not.
    ///
    /// # Errors
    /// What does not fit.
    pub fn fit(&self, subject: &Subject, sync: Option<&Sync>) -> Result<(), String> {
        self.run_options()?;
        let plain = Self { resume: self.resume, ..Self::default() };
        match (subject.kind, sync) {
            (SubjectKind::Sync, _) if self.resume.is_some() => Err("resume is for chains".into()),
            (SubjectKind::Sync, Some(sync))
                if self.mode.as_deref() == Some("incremental") && sync.from.cursor.is_none() =>
            {
                Err(format!("sync {:?} has no cursor: it cannot be read incrementally", sync.name))
            }
            (SubjectKind::Sync, _) if self.only_parked && (self.prepurge || self.mode.is_some()) => {
                Err("only_parked reads parked records and nothing else: mode and prepurge do not go with it"
                    .into())
            }
            (SubjectKind::Sync, _) => Ok(()),
            (SubjectKind::Chain | SubjectKind::Backfill, _) if *self != plain => {
                Err("options of a sync do not go with a chain".into())
            }
            (SubjectKind::Chain | SubjectKind::Backfill, _) => Ok(()),
        }
    }
}

fn word(mode: Mode) -> &'static str {
    crate::run::mode_word(mode)
}
