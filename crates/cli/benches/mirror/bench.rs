//! One benchmark: the server, the source, and what the cases share.

use std::{cell::Cell, path::Path};

use crate::{
    measure::Cost,
    place::{Database, Place, pipe},
    settings::Settings,
    table,
};

pub(crate) struct Bench<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) directory: &'a Path,
    pub(crate) source: Database,
    round: Cell<u64>,
}

/// Measurements of one thing beside its limit, in pairs.
pub(crate) struct Case {
    pub(crate) name: String,
    /// The figure's name in the JSON file.
    pub(crate) key: String,
    /// No peer's.
    pub(crate) is_ours: bool,
    /// What the limit is, in a few words.
    pub(crate) beside: &'static str,
    pub(crate) goal: Goal,
    /// Empty when only the limits are measured.
    pub(crate) ours: Vec<Cost>,
    pub(crate) limit: Vec<Cost>,
}

impl Case {
    /// One of ours, with nothing measured yet.
    pub(crate) fn new(name: String, key: &str, beside: &'static str, goal: Goal) -> Self {
        Self { name, key: key.to_owned(), is_ours: true, beside, goal, ours: Vec::new(), limit: Vec::new() }
    }
}

/// What is to be reached.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// At most so many times the limit.
    Ratio(f64),
    /// At most so many seconds.
    Seconds(f64),
    /// At most so many megabytes.
    Peak(f64),
    /// Only told.
    None,
}

impl<'a> Bench<'a> {
    /// Makes the source, and copies it once for the server to make its log files, which it uses again from then on.
    pub(crate) fn new(settings: &'a Settings, directory: &'a Path) -> Self {
        let source = Database::new(&settings.postgres, "source");
        println!("{} rows are made", settings.rows);
        source.execute(&[&table::fill(settings.rows)]);
        source.execute(&["VACUUM (FREEZE, ANALYZE) projects"]);
        let bench = Self { settings, directory, source, round: Cell::new(0) };
        bench.raw_copy(&bench.database("raw"), &table::names());
        bench
    }

    /// An empty database on the same server.
    pub(crate) fn database(&self, name: &str) -> Database {
        Database::new(&self.settings.postgres, name)
    }

    /// A place that is filled from a PostgreSQL database into another one.
    pub(crate) fn place(&self, source: &Database, destination: &Database, rest: &str) -> Place {
        let (from, to) = (("postgres", source.url.as_str()), ("postgres", destination.url.as_str()));
        Place::new(&self.directory.join("place"), from, to, rest)
    }

    /// Another number each time, for changes that were not made before.
    pub(crate) fn next_round(&self) -> u64 {
        self.round.replace(self.round.get() + 1)
    }

    /// Does both, ours first in every second repetition only. What one of them leaves to be written is written before the
    /// other one begins.
    pub(crate) fn in_turn(&self, repetition: usize, ours: impl FnOnce(), limit: impl FnOnce()) {
        let settle = || self.source.execute(&["CHECKPOINT"]);
        settle();
        if repetition.is_multiple_of(2) {
            ours();
            settle();
            limit();
        } else {
            limit();
            settle();
            ours();
        }
    }

    /// The raw copy of the whole source into a new table, and what its key takes after that.
    pub(crate) fn raw_copy(&self, to: &Database, select: &str) -> (Cost, Cost) {
        to.execute(&[&table::create()]);
        let copied = pipe(&self.source, &format!("SELECT {select} FROM projects"), to, &[], "projects", &[]);
        (copied, to.execute(&[table::KEY]))
    }

    /// One load, unless it is ours and only the limits are asked for.
    pub(crate) fn load(&self, is_ours: bool, run: impl FnOnce() -> Cost) -> Option<Cost> {
        (!is_ours || !self.settings.limits_only).then(run)
    }

    /// # Panics
    ///
    /// When the destination does not hold what is selected from the source.
    pub(crate) fn expect_equal(&self, case: &str, destination: &Database, select: &str) {
        let wanted = self.source.ask(&table::checksum(select));
        let found = destination.ask(&table::checksum(&table::names()));
        assert_eq!(found, wanted, "{case}: the destination differs from the source (rows, checksum)");
    }

    /// What the server is and how it is set, in words.
    pub(crate) fn server_settings(&self) -> Vec<(String, String)> {
        let names = "'server_version', 'shared_buffers', 'max_wal_size', 'maintenance_work_mem', 'work_mem', 'fsync', \
                     'full_page_writes', 'autovacuum', 'wal_level', 'max_parallel_maintenance_workers'";
        let question = format!(
            "SELECT name || '=' || current_setting(name) FROM pg_settings WHERE name IN ({names}) ORDER BY 1"
        );
        let answer = self.source.ask(&question);
        answer
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .collect()
    }
}
