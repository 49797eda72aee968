//! Statements that make and change tables.

use super::{Dialect, Named};
use crate::database::{Column, dialect::merge::TOMBSTONE};

/// What a created table looks like.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a> {
    /// Its columns.
    pub columns: &'a [Column],
    /// Its primary key; empty: none.
    pub key: &'a [String],
}

impl Dialect {
    fn column(&self, column: &Column, required: bool) -> String {
        let not_null = if required || !column.nullable { " NOT NULL" } else { self.nullable };
        format!("{} {}{not_null}", self.quote(&column.name), column.declared)
    }

    /// A table for records.
    pub fn create_table(&self, table: &Named, layout: Layout<'_>) -> String {
        let mut parts: Vec<_> =
            layout.columns.iter().map(|c| self.column(c, layout.key.contains(&c.name))).collect();
        if !layout.key.is_empty() {
            parts.push(format!("PRIMARY KEY ({})", self.quoted("", layout.key).join(", ")));
        }
        format!("CREATE TABLE {} ({}){}", self.table(table), parts.join(", "), self.table_suffix)
    }

    /// The name of a table that goes with its session.
    pub fn in_session(&self, table: &Named) -> Named {
        Named { schema: None, name: format!("{}{}", self.session_table.0, table.name) }
    }

    /// A staging table: everything may be null in it, since what is not is found out by the merge.
    pub fn create_staging(
        &self,
        table: &Named,
        columns: &[Column],
        tombstones: bool,
        in_session: bool,
    ) -> String {
        let null = self.nullable;
        let mut parts: Vec<_> =
            columns.iter().map(|c| format!("{} {}{null}", self.quote(&c.name), c.declared)).collect();
        if tombstones {
            parts.push(format!("{} {}{null}", self.quote(TOMBSTONE), self.boolean));
        }
        let (shared, own) = self.create_staging;
        let (create, after) = if in_session { (own, self.session_table.1) } else { (shared, "") };
        format!("{create} {} ({}){after}{}", self.table(table), parts.join(", "), self.table_suffix)
    }

    /// One more column, which may be null: there are records already.
    pub fn add_column(&self, table: &Named, column: &Column) -> String {
        let (name, declared, null) = (self.quote(&column.name), &column.declared, self.nullable);
        format!("ALTER TABLE {} ADD {name} {declared}{null}", self.table(table))
    }

    /// Another type for a column.
    pub fn widen_column(&self, table: &Named, column: &Column) -> String {
        (self.retype)(&self.table(table), &self.quote(&column.name), &column.declared, column.nullable)
    }

    /// Allows null in a column of the type `declared`.
    pub fn allow_null(&self, table: &Named, column: &str, declared: &str) -> String {
        let (table, column) = (self.table(table), self.quote(column));
        match self.update {
            // MySQL's family says all of a column again
            super::UpdateForm::Join => (self.retype)(&table, &column, declared, true),
            _ => format!("ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL"),
        }
    }

    /// Removes a table that is there.
    pub fn drop_table(&self, table: &Named) -> String {
        (self.drop_table)(&self.table(table))
    }
}
