//! Single statements on a database, outside any sync: what steps, checks and reports need.

use std::{collections::BTreeMap, future::Future, time::Duration};

use async_trait::async_trait;
use syncline_core::{
    convert::convert,
    placeholder::{Syntax, rendered},
    schema::{Field, FieldType},
    value::Value,
};

use crate::{Error, error::Kind};

/// Most rows that a query gives.
pub const ROWS_MAX: usize = 100_000;
/// Most bytes that the values of a query's rows may have, about.
pub const BYTES_MAX: usize = 64 << 20;

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
    /// (MySQL commits DDL by itself, as ever; an error of the kind [`Kind::Unanswered`] at the very end leaves it unknown).
    /// Dropping the future rolls back. Each text is one statement, and none of them begins or ends a transaction.
    async fn execute(&self, statements: &[String], timeout: Duration) -> Result<Vec<u64>, Error>;

    /// Reads rows, in a transaction that cannot write. More than `limit` rows, or more than [`BYTES_MAX`], are an error,
    /// not a cut.
    async fn query(&self, statement: &str, limit: usize, timeout: Duration) -> Result<Rows, Error>;

    /// As [`query`](Self::query); the values of `:name` in the statement are bound, and have the types that the database gives
    /// to their places.
    ///
    /// # Errors
    /// Also [`Kind::Definition`] where the statement names a parameter that has no value.
    async fn query_with(
        &self,
        statement: &str,
        params: &Params,
        limit: usize,
        timeout: Duration,
    ) -> Result<Rows, Error>;
}

/// Values of parameters by name.
pub type Params = BTreeMap<String, Value<'static>>;

/// A statement with the database's own marks in the place of names, and the texts that are bound to them, in order.
/// `database`: the name of its dialect.
///
/// # Errors
/// [`Kind::Definition`]: a parameter has no value. It is named; values never are.
pub(crate) fn bound(
    statement: &str,
    database: &str,
    mark: impl Fn(usize) -> String,
    params: &Params,
) -> Result<(String, Vec<String>), Error> {
    let (sql, names) = rendered(statement, Syntax::named(database), mark);
    let value = |name: &str| {
        let given = params.get(name).and_then(|value| bound_text(value, database));
        given.ok_or_else(|| {
            let known: Vec<_> = params.keys().map(String::as_str).collect();
            let hint = match known.as_slice() {
                [] => "no parameter has a value here".to_owned(),
                known => format!("those that have one: {}", known.join(", ")),
            };
            Error::new(Kind::Definition, format!("there is no value for the parameter {name:?}")).hint(hint)
        })
    };
    let values = names.into_iter().map(value).collect::<Result<_, _>>()?;
    Ok((sql, values))
}

/// A value as the text that a database reads as one of its own; nothing for null and lists.
fn bound_text(value: &Value<'static>, database: &str) -> Option<String> {
    let text = match convert(value.clone(), &Field::new("", FieldType::Text, false)) {
        Ok(Value::Text(text)) => text.into_owned(),
        _ => return None,
    };
    match value {
        // its times have no zone; sessions are in UTC
        Value::Timestamp { .. } if matches!(database, "mysql" | "mariadb") => {
            Some(text.trim_end_matches('Z').replacen('T', " ", 1))
        }
        // as loads store them
        Value::Timestamp { .. } if database == "sqlite" => Some(text.replacen('T', " ", 1)),
        _ => Some(text),
    }
}

/// Work that ends with an error when it takes longer than `timeout`.
pub(crate) async fn within<T>(
    timeout: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| Err(overtime(timeout)))
}

/// What is said of statements that took too long.
pub(crate) fn overtime(timeout: Duration) -> Error {
    Error::new(Kind::Unanswered, format!("not done within {} s, and stopped", timeout.as_secs_f64()))
        .hint("make the statement faster with an index, or give it more time")
}

/// Names the statement that failed, where there are several.
pub(crate) fn of_statement(at: usize, of: usize, error: Error) -> Error {
    if of == 1 { error } else { error.context(format_args!("statement {} of {of}", at + 1)) }
}

/// Rows on their way, up to the limits.
pub(crate) struct Gathered {
    rows: Rows,
    limit: usize,
    bytes: usize,
}

impl Gathered {
    pub(crate) fn new(columns: Vec<String>, limit: usize) -> Self {
        Self { rows: Rows { columns, rows: Vec::new() }, limit, bytes: 0 }
    }

    /// # Errors
    /// [`Kind::Definition`] when it is a row too many.
    pub(crate) fn push(&mut self, row: Vec<Value<'static>>) -> Result<(), Error> {
        if self.rows.rows.len() == self.limit {
            return Err(Error::new(
                Kind::Definition,
                format!("the query gives more than {} rows", self.limit),
            )
            .hint("add a condition, aggregate, or say LIMIT"));
        }
        self.bytes += row.iter().map(size).sum::<usize>();
        if self.bytes > BYTES_MAX {
            let message = format!("the query gives more than {} MiB", BYTES_MAX >> 20);
            return Err(Error::new(Kind::Definition, message).hint("select fewer columns or rows"));
        }
        self.rows.rows.push(row);
        Ok(())
    }

    pub(crate) fn finish(self) -> Rows {
        self.rows
    }
}

/// Memory of a value, about.
fn size(value: &Value<'_>) -> usize {
    size_of::<Value<'_>>()
        + match value {
            Value::Decimal(v) | Value::Text(v) | Value::Json(v) => v.len(),
            Value::Binary(v) => v.len(),
            Value::List(v) => v.iter().map(size).sum(),
            _ => 0,
        }
}

/// # Errors
/// [`Kind::Definition`] when a statement is empty, or begins or ends a transaction: all or nothing would not hold.
pub(crate) fn in_one_transaction(statements: &[String]) -> Result<(), Error> {
    for (at, statement) in statements.iter().enumerate() {
        let words = first_words(statement);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let why = match words[..] {
            [] => "is empty",
            ["ROLLBACK", "TO", ..] | ["ROLLBACK", _, "TO", ..] => continue,
            ["BEGIN" | "COMMIT" | "ROLLBACK" | "END" | "ABORT" | "XA", ..]
            | ["START" | "PREPARE", "TRANSACTION", ..]
            | ["SET", "AUTOCOMMIT", ..] => "begins or ends a transaction",
            _ => continue,
        };
        let error = Error::new(Kind::Definition, format!("statement {} {why}", at + 1));
        return Err(error.hint("all statements run in one transaction, which Syncline begins and ends"));
    }
    Ok(())
}

/// The first three words, in capitals. Comments are passed over, but for those that MySQL runs.
fn first_words(statement: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = statement;
    while words.len() < 3 {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ';' | '(' | '@'));
        if rest.starts_with("--") || rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(run) = rest.strip_prefix("/*!").or_else(|| rest.strip_prefix("/*M!")) {
            rest = run.trim_start_matches(|c: char| c.is_ascii_digit());
        } else if rest.starts_with("/*") {
            rest = after_comment(rest);
        } else {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if word.is_empty() {
                // `SELECT *`, or nothing left
                if !rest.is_empty() {
                    words.push(rest.chars().take(1).collect());
                }
                break;
            }
            words.push(word.to_uppercase());
            rest = after;
        }
    }
    words
}

/// What stands behind a comment; comments nest.
fn after_comment(text: &str) -> &str {
    let mut depth = 0_usize;
    for (at, pair) in text.as_bytes().windows(2).enumerate() {
        match pair {
            b"/*" => depth += 1,
            b"*/" => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return text.get(at + 2..).unwrap_or_default();
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(statement: &str) -> bool {
        in_one_transaction(&[statement.to_owned()]).is_err()
    }

    #[test]
    fn statements_may_not_end_the_transaction() {
        for statement in [
            "COMMIT",
            "commit;",
            " -- soon\n Commit work",
            "/* a /* nested */ one */ROLLBACK",
            "# a line\nEND",
            "/*!50000 COMMIT */",
            "START TRANSACTION",
            "begin",
            "SET @@autocommit = 1",
            "",
            " -- nothing",
            "/* open",
        ] {
            assert!(refused(statement), "{statement:?}");
        }
        for statement in [
            "ROLLBACK TO SAVEPOINT a",
            "ROLLBACK TO a",
            "SELECT 'COMMIT'",
            "UPDATE commit SET a = 1",
            "(SELECT 1)",
            "SELECT * FROM t",
            "*",
            "SET search_path = a",
        ] {
            assert!(!refused(statement), "{statement:?}");
        }
    }

    #[test]
    fn what_is_bound_is_never_in_the_statement() {
        let params = Params::from([
            ("who".to_owned(), Value::Text("o'hara".into())),
            ("run".to_owned(), Value::Int64(7)),
            ("at".to_owned(), Value::Timestamp { micros: 1_769_854_625_500_000, zoned: true }),
            ("none".to_owned(), Value::Null),
        ]);
        let of = |sql: &str, database: &str| bound(sql, database, |n| format!("${n}"), &params);
        let (sql, values) = of("SELECT :who, :run, :who WHERE a::int = 1", "postgres").expect("values");
        assert_eq!(sql, "SELECT $1, $2, $3 WHERE a::int = 1");
        assert_eq!(values, ["o'hara", "7", "o'hara"]);
        for (database, text) in [
            ("postgres", "2026-01-31T10:17:05.500000Z"),
            ("mysql", "2026-01-31 10:17:05.500000"),
            ("sqlite", "2026-01-31 10:17:05.500000Z"),
        ] {
            assert_eq!(of(":at", database).expect("a time").1, [text], "{database}");
        }
        for sql in ["SELECT :nobody", "SELECT :none"] {
            let error = of(sql, "postgres").expect_err("no value");
            assert_eq!(error.kind, Kind::Definition);
            let (message, hint) = (error.message, error.hint.unwrap_or_default());
            assert!(message.contains(&sql[8..]) && hint.contains("at, none, run, who"), "{message} {hint}");
            assert!(!message.contains("hara") && !hint.contains("hara"));
        }
    }

    #[test]
    fn a_row_too_many_is_an_error() {
        let mut rows = Gathered::new(vec!["a".into()], 1);
        rows.push(vec![Value::Int64(1)]).expect("the first");
        assert_eq!(rows.push(vec![Value::Int64(2)]).expect_err("the second").code(), "definition");
        let mut rows = Gathered::new(vec!["a".into()], 10);
        let large = || vec![Value::Text("x".repeat(BYTES_MAX / 2).into())];
        rows.push(large()).expect("half of what is allowed");
        assert!(rows.push(large()).is_err());
    }
}
