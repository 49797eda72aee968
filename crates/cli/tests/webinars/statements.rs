//! The example's own statements on both databases, without the rest of a run.

use std::path::Path;

use granit_parser::{Event, Parser};
use rusqlite::types::Value;

use super::read;
use crate::databases::{Postgres, Rows};

/// The statements of `after`, as the project file has them.
fn after(file: &str) -> Vec<String> {
    let text = read(file);
    let events = Parser::new_from_str(&text).map(|event| event.unwrap().0);
    let mut statements = Vec::new();
    let mut inside = None;
    for event in events {
        match (inside, event) {
            (None, Event::Scalar(word, ..)) if word == "after" => inside = Some(false),
            (Some(false), Event::SequenceStart(..)) => inside = Some(true),
            (Some(true), Event::Scalar(statement, ..)) => statements.push(statement.into_owned()),
            (Some(true), Event::SequenceEnd) => break,
            _ => {}
        }
    }
    assert_eq!(statements.len(), 4, "{file}: {statements:?}");
    statements
}

/// One of the two databases, with the example's tables.
pub(super) enum Database {
    Postgres(Postgres, Vec<String>),
    Sqlite(rusqlite::Connection, Vec<String>),
}

impl Database {
    /// `None` without a PostgreSQL.
    pub(super) fn postgres(name: &str) -> Option<Self> {
        let database = Postgres::create(name)?;
        database.execute(&read("schema.sql"));
        Some(Self::Postgres(database, after("syncline.yaml")))
    }

    /// In this file.
    pub(super) fn sqlite(file: &Path) -> Self {
        let database = rusqlite::Connection::open(file).unwrap();
        database.execute_batch(&read("schema-sqlite.sql")).unwrap();
        Self::Sqlite(database, after("syncline-sqlite.yaml"))
    }

    pub(super) fn execute(&self, sql: &str) {
        match self {
            Self::Postgres(database, _) => database.execute(sql),
            Self::Sqlite(database, _) => {
                database.execute_batch(sql).unwrap_or_else(|error| panic!("{error}\nin {sql}"));
            }
        }
    }

    pub(super) fn query(&self, sql: &str) -> Rows {
        let Self::Sqlite(database, _) = self else {
            let Self::Postgres(database, _) = self else { unreachable!() };
            return database.query(sql);
        };
        let mut statement = database.prepare(sql).unwrap_or_else(|error| panic!("{error}\nin {sql}"));
        let columns = statement.column_count();
        let text = |value: Value| match value {
            Value::Null => None,
            Value::Integer(n) => Some(n.to_string()),
            Value::Real(n) => Some(n.to_string()),
            Value::Text(text) => Some(text),
            Value::Blob(_) => panic!("no column has bytes"),
        };
        let rows = statement.query_map([], |row| (0..columns).map(|i| row.get(i).map(text)).collect());
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// The statements of `after` with their parameters written into them.
    pub(super) fn after(&self, owner: &str, session: &str, run_at: &str) -> Vec<String> {
        let (Self::Postgres(_, statements) | Self::Sqlite(_, statements)) = self;
        let filled = |statement: &String| {
            let values = [(":owner", owner), (":session", session), (":run_at", run_at)];
            values
                .iter()
                .fold(statement.clone(), |sql, (name, value)| sql.replace(name, &format!("'{value}'")))
        };
        statements.iter().map(filled).collect()
    }

    /// What follows a load of a session, in one transaction.
    pub(super) fn recompute(&self, owner: &str, session: &str, run_at: &str) {
        self.execute(&format!("BEGIN; {}; COMMIT", self.after(owner, session, run_at).join(";\n")));
    }
}
