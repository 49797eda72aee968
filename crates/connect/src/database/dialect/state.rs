//! Statements about `syncline_state`, the table in which a destination remembers what was loaded: one row per sync and table,
//! written in the transaction that merges.

use super::{Dialect, Named};

/// Name of the table.
pub(crate) const STATE: &str = "syncline_state";

impl Dialect {
    /// Makes the table of states beside the loaded tables.
    pub fn create_state(&self, state: &Named) -> String {
        let (short, long, integer) = self.own_types;
        let null = self.nullable;
        format!(
            "CREATE TABLE {} ({} {short} NOT NULL, {} {short} NOT NULL, {} {integer} NOT NULL, {} {long}{null}, {} {integer}{null}, \
             PRIMARY KEY ({}, {})){}",
            self.table(state),
            self.quote("sync"),
            self.quote("table_name"),
            self.quote("epoch"),
            self.quote("position"),
            self.quote("started_at"),
            self.quote("sync"),
            self.quote("table_name"),
            self.table_suffix,
        )
    }

    fn of_state(&self, first: usize) -> String {
        format!(
            "{} = {} AND {} = {}",
            self.quote("sync"),
            (self.parameter)(first),
            self.quote("table_name"),
            (self.parameter)(first + 1)
        )
    }

    /// Epoch, cursor and start, as texts. Parameters: sync, table.
    pub fn select_state(&self, state: &Named, locked: bool) -> String {
        let text = |name: &str| (self.as_text)(&self.quote(name));
        format!(
            "SELECT {}, {}, {} FROM {} WHERE {}{}",
            text("epoch"),
            text("position"),
            text("started_at"),
            self.table(state),
            self.of_state(1),
            if locked { self.for_update } else { "" },
        )
    }

    /// The first row of a sync, with epoch 1. Parameters: sync, table.
    pub fn insert_state(&self, state: &Named) -> String {
        format!(
            "INSERT INTO {} ({}, {}, {}) VALUES ({}, {}, 1)",
            self.table(state),
            self.quote("sync"),
            self.quote("table_name"),
            self.quote("epoch"),
            (self.parameter)(1),
            (self.parameter)(2),
        )
    }

    /// Raises the epoch. Parameters: sync, table.
    pub fn raise_epoch(&self, state: &Named) -> String {
        let epoch = self.quote("epoch");
        format!("UPDATE {} SET {epoch} = {epoch} + 1 WHERE {}", self.table(state), self.of_state(1))
    }

    /// Remembers a load, if the epoch is still `epoch`. Parameters: the cursor when `cursor`, then sync and table.
    pub fn save_state(&self, state: &Named, epoch: u64, started_at: i64, cursor: bool) -> String {
        let position = if cursor {
            format!("{} = {}, ", self.quote("position"), (self.parameter)(1))
        } else {
            String::new()
        };
        format!(
            "UPDATE {} SET {position}{} = {started_at} WHERE {} AND {} = {epoch}",
            self.table(state),
            self.quote("started_at"),
            self.of_state(if cursor { 2 } else { 1 }),
            self.quote("epoch"),
        )
    }
}
