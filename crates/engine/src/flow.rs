//! A sync that fits its systems, whichever way it is written.

use syncline_core::{mapping::Problem, plan::Planned, sync::Sync};
use tokio::sync::watch;

use crate::{
    Bound, Engine, Error, load, plan,
    progress::Observer,
    run::{self, Report},
};

/// A sync that fits its systems, by how it is written.
pub enum Flow {
    /// Record by record, into an API.
    Push(Bound),
    /// In bulk, into a table or file.
    Load(load::Table),
}

impl Flow {
    /// The sync.
    pub fn sync(&self) -> &Sync {
        match self {
            Self::Push(bound) => &bound.sync,
            Self::Load(table) => &table.sync,
        }
    }

    /// Runs the sync once: [`run::run`] or [`load::run::run`]. What an API has no use for in `options` is passed over, but for
    /// a range, which is refused.
    ///
    /// # Errors
    /// Only when no run could be opened (lease, store); otherwise the error is in the report.
    pub async fn run(
        &self,
        engine: &Engine,
        options: &load::run::Options,
        observer: &dyn Observer,
        cancel: watch::Receiver<bool>,
    ) -> Result<Report, Error> {
        match self {
            Self::Push(bound) if options.range.is_some() => {
                let problem = Problem {
                    path: "to".into(),
                    message: "a part of the past can be read again into tables only, not into an API".into(),
                    unknown: None,
                    warning: false,
                };
                Err(Error::Definition { sync: bound.sync.name.clone(), problems: vec![problem] })
            }
            Self::Push(bound) => Box::pin(run::run(engine, bound, &push(options), observer, cancel)).await,
            Self::Load(table) => Box::pin(load::run::run(engine, table, options, observer, cancel)).await,
        }
    }

    /// What a run would do; hands each planned record to `each`, of a table at most `limit` of each kind. Writes nothing.
    ///
    /// # Errors
    /// A system or the store failed.
    pub async fn plan(
        &self,
        engine: &Engine,
        options: &load::run::Options,
        limit: usize,
        observer: &dyn Observer,
        each: &mut (dyn FnMut(Planned) + Send),
    ) -> Result<plan::Summary, Error> {
        match self {
            Self::Push(bound) => Box::pin(plan::plan(engine, bound, &push(options), observer, each)).await,
            Self::Load(table) => {
                Box::pin(load::plan::plan(engine, table, options, limit, observer, each)).await
            }
        }
    }
}

fn push(options: &load::run::Options) -> run::Options {
    run::Options { mode: options.mode, only_parked: options.only_parked, about: options.about.clone() }
}
