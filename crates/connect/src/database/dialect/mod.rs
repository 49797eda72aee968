//! What is different between databases, as a plain record of facts, and SQL rendered from it: pure functions over plain
//! data. One file per database.
//!
//! Names go through [`Dialect::quote`] and nothing else; values never appear in a statement (they are bound, or staged).

pub mod compare;
pub mod files;
mod merge;
pub mod mysql;
pub mod oracle;
pub mod postgres;
pub mod sqlite;
mod state;
mod tables;
pub mod tsql;

use syncline_core::schema::FieldType;

pub(crate) use self::{merge::TOMBSTONE, state::STATE};
pub use self::{
    merge::{MergeSql, Named, Which},
    tables::Layout,
};

/// Facts about a database.
#[derive(Debug)]
pub struct Dialect {
    /// Its name, as in [`Stream::dialect`](syncline_core::schema::Stream::dialect).
    pub name: &'static str,
    /// Quotes around names; inside, the closing one is doubled.
    pub quotes: (char, char),
    /// Longest name.
    pub name_max: Length,
    /// Whether `CREATE TABLE` and the like are part of a transaction; otherwise each commits by itself.
    pub transactional_ddl: bool,
    /// The mark of parameter `n`, from 1.
    pub parameter: fn(usize) -> String,
    /// The type a column of this kind is created with; `key`: it will be part of a key.
    pub declare: fn(&FieldType, key: bool) -> String,
    /// What a column that is created so demands of its values.
    pub limits: fn(&super::Column) -> syncline_core::schema::Limits,
    /// Whether two values differ, where null is a value like others: a condition.
    pub differ: fn(left: &str, right: &str, column: &super::Column) -> String,
    /// Whether the values of a key column, never null, are the same: a condition that can use an index.
    pub same: fn(left: &str, right: &str) -> String,
    /// A value as text.
    pub as_text: fn(value: &str) -> String,
    /// How an `UPDATE` sees a second table.
    pub update: UpdateForm,
    /// How a `DELETE` names its table: `DELETE FROM t AS d` or `DELETE d FROM t AS d`.
    pub delete_names_alias: bool,
    /// What stands between a table and its alias: `AS ` or nothing (Oracle).
    pub alias: &'static str,
    /// The first rows of `SELECT {select}`.
    pub limited: fn(select: &str, limit: usize) -> String,
    /// Words before a staging table: `CREATE UNLOGGED TABLE`, and those of one that goes with its session.
    pub create_staging: (&'static str, &'static str),
    /// What the name of a table that goes with its session begins with, and what follows its columns.
    pub session_table: (&'static str, &'static str),
    /// What follows the type of a column that may be null, where that is not what a database takes for granted.
    pub nullable: &'static str,
    /// What follows the columns of a created table.
    pub table_suffix: &'static str,
    /// How a column's type is changed.
    pub retype: fn(table: &str, column: &str, declared: &str, nullable: bool) -> String,
    /// Removes a table, quoted already; if it is there, where a database can say that.
    pub drop_table: fn(table: &str) -> String,
    /// Renders one statement that updates what differs and adds what is new; without columns to insert, the update alone.
    pub merge: Option<fn(&MergeSql<'_>) -> String>,
    /// Renders "the time now" for marks.
    pub now: &'static str,
    /// Renders true and false, for marks and tombstones.
    pub truth: &'static str,
    /// See `truth`.
    pub falsehood: &'static str,
    /// The type of flags.
    pub boolean: &'static str,
    /// Type for short texts in keys, long texts and 64-bit integers of our own tables.
    pub own_types: (&'static str, &'static str, &'static str),
    /// Begins a transaction that writes.
    pub begin: &'static str,
    /// Makes what the state's row says fixed until the end of the transaction (`FOR UPDATE`).
    pub for_update: &'static str,
    /// Whether one type holds every value of another, both in this database's words.
    pub widens: fn(from: &str, to: &str) -> bool,
}

/// A length with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Bytes of UTF-8.
    Bytes(usize),
    /// Characters.
    Chars(usize),
}

impl Length {
    /// Whether a name is short enough.
    pub fn holds(self, name: &str) -> bool {
        match self {
            Self::Bytes(max) => name.len() <= max,
            Self::Chars(max) => name.chars().count() <= max,
        }
    }
}

impl std::fmt::Display for Length {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(max) => write!(f, "{max} bytes"),
            Self::Chars(max) => write!(f, "{max} characters"),
        }
    }
}

/// How an `UPDATE` sees a second table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateForm {
    /// `UPDATE t AS d SET c = s.c FROM stage AS s WHERE …` (PostgreSQL, SQLite).
    From,
    /// `UPDATE t AS d JOIN stage AS s ON … SET d.c = s.c WHERE …` (MySQL).
    Join,
    /// It does not: [`Dialect::merge`] is there instead (SQL Server, Sybase, Oracle).
    None {
        /// `UPDATE d SET … FROM t AS d` (SQL Server), not `UPDATE t d SET …`.
        names_alias: bool,
    },
}

impl Dialect {
    /// A name as it stands in a statement.
    pub fn quote(&self, name: &str) -> String {
        let (open, close) = self.quotes;
        let mut quoted = String::with_capacity(name.len() + 2);
        quoted.push(open);
        for c in name.chars() {
            if c == close {
                quoted.push(close);
            }
            quoted.push(c);
        }
        quoted.push(close);
        quoted
    }

    /// A table as it stands in a statement.
    pub fn table(&self, name: &Named) -> String {
        match &name.schema {
            Some(schema) => format!("{}.{}", self.quote(schema), self.quote(&name.name)),
            None => self.quote(&name.name),
        }
    }

    fn quoted(&self, prefix: &str, names: &[String]) -> Vec<String> {
        names.iter().map(|name| format!("{prefix}{}", self.quote(name))).collect()
    }
}
