//! `syncline check`: the file first, then every sync against its systems, each connection tried once.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use syncline_connect::{Database, Destination, Source};
use syncline_core::{connection::Connection, sync::Sync};
use syncline_engine::{Bound, load};
use syncline_spec::{Loaded, Places, Problem, Severity};

use crate::{
    args::{CheckArgs, Global},
    exit::{Exit, Failure},
    output, problems,
    project::{self, Opened},
    show,
    wiring::{Systems, ends},
};

/// Keys named in a finding about duplicate keys.
const DUPLICATES_SHOWN: usize = 3;

/// Duplicate keys looked for.
const DUPLICATES_MAX: usize = 100;

pub(crate) async fn run(global: &Global, args: &CheckArgs) -> Result<Exit, Failure> {
    let read = project::read(global, false)?;
    let loaded = match read.parsed {
        Ok(loaded) => loaded,
        Err(found) => return Ok(tell(args, found, &read.text, "nothing was connected to")),
    };
    let mut found = loaded.warnings.clone();
    let subject = format!(
        "{}, {}",
        show::some(loaded.project.connections.len() as u64, "connection", "connections"),
        show::some(loaded.project.syncs.len() as u64, "sync", "syncs")
    );
    if args.offline {
        return Ok(tell(args, found, &read.text, &format!("{subject}; nothing was connected to")));
    }
    let directory = project::directory(global);
    let mut checking = Checking {
        systems: Systems::new(&directory),
        loaded: &loaded,
        sources: BTreeMap::new(),
        destinations: BTreeMap::new(),
        databases: BTreeMap::new(),
        found: Vec::new(),
        done: Vec::new(),
        fix: args.fix,
    };
    for sync in &loaded.project.syncs {
        Box::pin(checking.sync(sync)).await;
    }
    let Checking { found: later, done, .. } = checking;
    for sentence in done {
        if args.json {
            output::json(&json!({ "fixed": sentence }));
        } else {
            output::line(format!("fixed: {sentence}"));
        }
    }
    found.extend(later);
    Ok(tell(args, found, &read.text, &subject))
}

/// Prints every problem in the file's order and what they add up to.
fn tell(args: &CheckArgs, mut found: Vec<Problem>, text: &str, subject: &str) -> Exit {
    found.sort_by_key(|problem| (problem.line, problem.column, problem.severity == Severity::Warning));
    found.dedup();
    let errors = found.iter().filter(|p| p.severity == Severity::Error).count();
    let warnings = found.len() - errors;
    if args.json {
        found.iter().for_each(|problem| output::json(&problems::as_json(problem)));
        output::json(&json!({ "summary": { "errors": errors, "warnings": warnings } }));
    } else {
        problems::print(&found, text);
        let verdict = match (errors, warnings) {
            (0, 0) => "everything is fine".to_owned(),
            _ => problems::total(errors, warnings),
        };
        output::line(format!("{verdict} ({subject})"));
    }
    if errors > 0 { Exit::Usage } else { Exit::Done }
}

/// What is known of a connection: open, or broken and reported.
type Tried<T> = BTreeMap<String, Option<Arc<T>>>;

struct Checking<'p> {
    systems: Systems,
    loaded: &'p Loaded,
    sources: Tried<dyn Source>,
    destinations: Tried<dyn Destination>,
    databases: Tried<dyn Database>,
    found: Vec<Problem>,
    /// What was created.
    done: Vec<String>,
    fix: bool,
}

impl Checking<'_> {
    /// Checks a sync as far as its systems answer; what was found is in `self`.
    async fn sync(&mut self, sync: &Sync) {
        let (from, to) = match ends(&self.loaded.project, sync) {
            Ok(ends) => ends,
            Err(failure) => return self.sync_failed(sync, failure),
        };
        let source = self.source(from).await;
        if self.systems.loads(to) {
            let database = self.database(to).await;
            let (Some(source), Some(database)) = (source, database) else { return };
            return self.table(sync, source, database).await;
        }
        let destination = self.destination(to).await;
        let (Some(source), Some(destination)) = (source, destination) else { return };
        if self.fix {
            self.prepare(sync, to, &*destination).await;
        }
        let opened = Bound::open(sync.clone(), Arc::clone(&source), destination).await;
        match opened {
            Err(error) => self.sync_failed(sync, error.into()),
            Ok((bound, problems)) => {
                let located = problems.iter().map(|p| problems::located(self.loaded, &sync.name, p));
                self.found.extend(located);
                if let Some(bound) = bound {
                    self.duplicate_keys(&bound, &*source).await;
                }
            }
        }
    }

    /// Checks a sync into a table.
    async fn table(&mut self, sync: &Sync, source: Arc<dyn Source>, database: Arc<dyn Database>) {
        match load::Table::open(sync.clone(), Arc::clone(&source), database).await {
            Err(error) => self.sync_failed(sync, error.into()),
            Ok((table, problems)) => {
                let located = problems.iter().map(|p| problems::located(self.loaded, &sync.name, p));
                self.found.extend(located);
                if let Some(table) = table.filter(|t| !t.key_is_total && !t.key.is_empty()) {
                    self.duplicates(sync, &table.reads, &table.key, &*source).await;
                }
            }
        }
    }

    async fn database(&mut self, connection: &Connection) -> Option<Arc<dyn Database>> {
        if let Some(tried) = self.databases.get(&connection.name) {
            return tried.clone();
        }
        let opened = match self.systems.database(connection).await {
            Ok(database) => database.tables().await.map(|_| database),
            Err(error) => Err(error),
        };
        let opened = opened.map_err(|error| self.connection_failed(connection, error)).ok();
        self.databases.insert(connection.name.clone(), opened.clone());
        opened
    }

    async fn source(&mut self, connection: &Connection) -> Option<Arc<dyn Source>> {
        if let Some(tried) = self.sources.get(&connection.name) {
            return tried.clone();
        }
        let opened =
            match self.systems.source(connection, &syncline_connect::registry::Caller::default()).await {
                Ok(source) => source.streams().await.map(|_| source),
                Err(error) => Err(error),
            };
        let opened = opened.map_err(|error| self.connection_failed(connection, error)).ok();
        self.sources.insert(connection.name.clone(), opened.clone());
        opened
    }

    async fn destination(&mut self, connection: &Connection) -> Option<Arc<dyn Destination>> {
        if let Some(tried) = self.destinations.get(&connection.name) {
            return tried.clone();
        }
        let opened = match self.systems.destination(connection).await {
            Ok(destination) => destination.streams().await.map(|_| destination),
            Err(error) => Err(error),
        };
        let opened = opened.map_err(|error| self.connection_failed(connection, error)).ok();
        self.destinations.insert(connection.name.clone(), opened.clone());
        opened
    }

    fn connection_failed(&mut self, connection: &Connection, error: syncline_connect::Error) {
        let named = format!("connection {:?}", connection.name);
        let message = if error.message.starts_with(&named) {
            error.message
        } else {
            format!("{named}: {}", error.message)
        };
        let path = Places::path(&["connections", &connection.name]);
        self.found.push(self.loaded.error_at_key(&path, message, error.hint));
    }

    fn sync_failed(&mut self, sync: &Sync, failure: Failure) {
        let path = Places::path(&["syncs", &sync.name]);
        self.found.push(self.loaded.error_at_key(&path, failure.what, failure.hint));
    }

    /// Creates what the lists of a sync lack. A list that is not there is reported when the sync is bound.
    async fn prepare(&mut self, sync: &Sync, to: &Connection, destination: &dyn Destination) {
        for list in sync.streams() {
            let Ok(stream) = destination.describe(list).await else { continue };
            match destination.prepare(&stream).await {
                Ok(done) => self.done.extend(done.into_iter().map(|what| format!("{}: {what}", to.name))),
                Err(error) => {
                    let path = Places::path(&["syncs", &sync.name, "to"]);
                    let message = format!("list {list:?} cannot be prepared: {}", error.message);
                    self.found.push(self.loaded.error(&path, message, error.hint));
                }
            }
        }
    }

    /// Keys that occur twice, where nothing in the source forbids it. The records would be parked.
    async fn duplicate_keys(&mut self, bound: &Bound, source: &dyn Source) {
        let mapping = &bound.mapping;
        if mapping.key_is_total || mapping.hashed {
            return;
        }
        self.duplicates(&bound.sync, &bound.sync.from.stream, &mapping.key, source).await;
    }

    async fn duplicates(&mut self, sync: &Sync, stream: &str, key: &[String], source: &dyn Source) {
        let path = Places::path(&["syncs", &sync.name, "from", "key"]);
        match source.duplicate_keys(stream, key, DUPLICATES_MAX).await {
            Err(error) => {
                let message = format!("whether keys are unique cannot be seen: {}", error.message);
                self.found.push(self.loaded.warning(&path, message, error.hint));
            }
            Ok(keys) if keys.is_empty() => {}
            Ok(keys) => {
                let shown = keys.iter().take(DUPLICATES_SHOWN).map(|key| {
                    let values: Vec<_> = key.iter().map(|value| show::value(&value.to_json())).collect();
                    values.join(", ")
                });
                let shown = shown.collect::<Vec<_>>().join("; ");
                let more = if keys.len() >= DUPLICATES_MAX { "at least " } else { "" };
                let message = format!(
                    "{more}{} in more than one record of {stream:?} ({shown}{}); those records would be parked",
                    show::some(keys.len() as u64, "key occurs", "keys occur"),
                    if keys.len() > DUPLICATES_SHOWN { "; …" } else { "" },
                );
                self.found.push(self.loaded.warning(&path, message, None));
            }
        }
    }
}

/// For commands that need a sync to fit: prints what does not, in the same form as `check`.
pub(crate) fn refuse(opened: &Opened, sync: &Sync, found: &[syncline_core::mapping::Problem]) -> Failure {
    let located: Vec<Problem> = found
        .iter()
        .filter(|problem| !problem.warning)
        .map(|problem| problems::located(&opened.loaded, &sync.name, problem))
        .collect();
    problems::print(&located, &opened.text);
    Failure {
        exit: Exit::Usage,
        what: format!("sync {:?} does not fit its systems; nothing was read or written", sync.name),
        hint: Some("`syncline check` shows every problem and warning".to_owned()),
    }
}
