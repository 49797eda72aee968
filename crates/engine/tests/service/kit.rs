//! Definitions for the tests of the service.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use syncline_core::{
    chain::{Chain, Step, StepKind},
    project::{Project, ServerOptions, StoreOptions},
    schedule::Schedule,
    sync::{
        DeletePolicy, Deletes, Detect, From, Key, KeyColumns, Mode, OnEdit, Overlap, Sync, TableOptions, To,
        Write,
    },
};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
}

/// A sync from table `name` to table `name` of another file, by `id` and `changed`.
pub(crate) fn sync(name: &str, schedules: Vec<Schedule>) -> Sync {
    Sync {
        name: name.into(),
        from: From {
            connection: "a".into(),
            stream: name.into(),
            mass_query: None,
            key: Key { columns: KeyColumns::Columns(vec!["id".into()]), ignore_case: false },
            cursor: Some("changed".into()),
            overlap: Overlap::default(),
            lag: Duration::ZERO,
            tombstone: None,
            tombstone_values: Vec::new(),
            filter: None,
        },
        to: To { connection: "b".into(), stream: name.into(), table: TableOptions::default() },
        mode: Mode::Incremental,
        write: Write::Upsert,
        deletes: Deletes {
            policy: DeletePolicy::Ignore,
            guard_count: 10,
            guard_percent: 10.0,
            out_of_filter: false,
            detect: Detect::Listing,
        },
        fields: Vec::new(),
        routes: Vec::new(),
        adopt: None,
        on_edit: OnEdit::Overwrite,
        batch: 50,
        rest: true,
        schedules,
        params: Vec::new(),
        fresh: None,
        each: None,
    }
}

pub(crate) fn every(name: &str, every: Duration) -> Schedule {
    Schedule { name: Some(name.into()), every: Some(every), jitter: Some(Duration::ZERO), ..Schedule::EMPTY }
}

pub(crate) fn cron(name: &str, pattern: &str, zone: &str) -> Schedule {
    Schedule {
        name: Some(name.into()),
        cron: Some(pattern.into()),
        zone: Some(zone.into()),
        ..Schedule::EMPTY
    }
}

pub(crate) fn chain(name: &str, steps: Vec<Step>) -> Chain {
    Chain { name: name.into(), schedules: Vec::new(), steps }
}

pub(crate) fn step(name: &str, needs: &[&str], kind: StepKind) -> Step {
    Step {
        name: name.into(),
        needs: needs.iter().map(|need| (*need).into()).collect(),
        required: true,
        requires: Vec::new(),
        timeout: HOUR,
        kind,
    }
}

pub(crate) fn project(syncs: Vec<Sync>, chains: Vec<Chain>) -> Arc<Project> {
    Arc::new(Project {
        connections: Vec::new(),
        syncs,
        chains,
        reports: Vec::new(),
        alerts: Vec::new(),
        receivers: Vec::new(),
        store: StoreOptions {
            path: "store.db".into(),
            max_size: None,
            busy_timeout: Duration::from_secs(5),
            tenant: String::new(),
        },
        server: ServerOptions::default(),
    })
}
