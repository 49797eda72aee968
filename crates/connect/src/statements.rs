//! Single statements on a database, outside any sync: what steps, checks and reports need.

use std::time::Duration;

use async_trait::async_trait;
use syncline_core::value::Value;

use crate::Error;

/// Most rows that a query gives.
pub const ROWS_MAX: usize = 100_000;

/// What a query gave.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    /// Names of the columns, in order.
    pub columns: Vec<String>,
    /// Values, row by row, each as long as `columns`.
    pub rows: Vec<Vec<Value<'static>>>,
}

/// A connection that takes statements in its database's own words.
#[async_trait]
pub trait Statements: Send + Sync {
    /// Runs the statements in one transaction; returns how many rows each changed. On an error none of them took effect
    /// (MySQL commits DDL by itself, as ever). Dropping the future rolls back.
    async fn execute(&self, statements: &[String], timeout: Duration) -> Result<Vec<u64>, Error>;

    /// Reads rows, in a transaction that cannot write. More than `limit` rows are an error, not a cut.
    async fn query(&self, statement: &str, limit: usize, timeout: Duration) -> Result<Rows, Error>;
}
