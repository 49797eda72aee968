//! Rows of a preview: what the statements that list them select, taken apart.

use crate::database::{Commit, Previewed, Shape};

/// A record that would be added: its key, then its values.
pub(super) fn created(shape: &Shape, commit: &Commit, row: Vec<Option<String>>) -> Previewed {
    let mut cells = row.into_iter();
    let key = cells.by_ref().take(shape.key.len()).map(Option::unwrap_or_default).collect();
    let changes =
        commit.merge.insert.iter().cloned().zip(cells).map(|(name, new)| (name, None, new)).collect();
    Previewed { action: "create", key, changes }
}

/// A record that would change: its key, what is there, then what would be.
pub(super) fn updated(shape: &Shape, commit: &Commit, row: Vec<Option<String>>) -> Previewed {
    let columns = &commit.merge.update;
    let mut cells = row.into_iter();
    let key = cells.by_ref().take(shape.key.len()).map(Option::unwrap_or_default).collect();
    let old: Vec<_> = cells.by_ref().take(columns.len()).collect();
    let changes = columns.iter().cloned().zip(old.into_iter().zip(cells)).map(|(n, (o, w))| (n, o, w));
    Previewed { action: "update", key, changes: changes.filter(|(_, old, new)| old != new).collect() }
}
