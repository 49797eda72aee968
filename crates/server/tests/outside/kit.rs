//! A project directory with a database, and a way out of the process.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use syncline_connect::{
    Statements,
    budget::Budgets,
    clock::SystemClock,
    registry::{Connector as _, Context},
    sqlite::Connector,
};
use syncline_core::{
    connection::Connection,
    project::{Mail, Project, ServerOptions, StoreOptions},
    report::Report,
};
use syncline_server::outside::Reach;
use tempfile::TempDir;

pub(crate) struct World {
    pub(crate) directory: TempDir,
    pub(crate) reach: Reach,
}

impl World {
    /// A project with a database that holds what `sql` makes.
    pub(crate) async fn new(sql: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let reach = Reach::new(directory.path().to_owned(), Arc::new(SystemClock::new())).expect("a way out");
        let world = Self { directory, reach };
        std::fs::write(world.directory.path().join("data.db"), "").expect("a file");
        let sql: Vec<String> = sql.iter().map(|s| (*s).to_owned()).collect();
        if !sql.is_empty() {
            let made = world.statements().await.execute(&sql, Duration::from_secs(60)).await;
            made.unwrap_or_else(|e| panic!("{e}"));
        }
        world
    }

    pub(crate) async fn statements(&self) -> Arc<dyn Statements> {
        let clock = Arc::new(SystemClock::new());
        let context = Context {
            clock: clock.clone(),
            budgets: Arc::new(Budgets::new(clock)),
            seed: 1,
            directory: self.directory.path().to_owned(),
            caller: Default::default(),
        };
        let connection = Connection {
            name: "data".into(),
            kind: "sqlite".into(),
            options: serde_json::json!({ "path": "data.db" }),
        };
        Connector.statements(&connection, &context).await.unwrap_or_else(|e| panic!("{e}"))
    }

    pub(crate) fn read(&self, path: impl AsRef<Path>) -> String {
        std::fs::read_to_string(self.directory.path().join(path)).expect("a file")
    }
}

/// A project that sends its mail to `url`.
pub(crate) fn project(url: Option<String>, timeout: Duration) -> Project {
    let mail = url.map(|url| Mail { url, from: "Syncline <sync@example.com>".into(), timeout });
    Project {
        connections: Vec::new(),
        syncs: Vec::new(),
        chains: Vec::new(),
        reports: Vec::new(),
        alerts: Vec::new(),
        receivers: Vec::new(),
        store: StoreOptions {
            path: String::new(),
            max_size: None,
            busy_timeout: Duration::ZERO,
            tenant: String::new(),
        },
        server: ServerOptions { mail, limits: BTreeMap::new(), ..ServerOptions::default() },
    }
}

/// A report of one query.
pub(crate) fn report(query: &str) -> Report {
    Report {
        name: "weekly".into(),
        connection: "data".into(),
        queries: vec![("rows".into(), query.into())],
        group_by: None,
        subject: "Weekly".into(),
        html: "<p>{{ rows | length }} rows</p>".into(),
        text: None,
        to: Vec::new(),
        file: None,
    }
}

/// Friday, 27 November 2026, 08:00 UTC.
pub(crate) fn now() -> Timestamp {
    "2026-11-27T08:00:00Z".parse().expect("a time")
}
