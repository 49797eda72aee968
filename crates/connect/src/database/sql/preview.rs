//! What a commit would do, found out by comparing the staging table with the table.

use super::{Link, Server, load::Loading};
use crate::{
    Error,
    database::{Commit, Gone, How, Preview, Previewed, Shape, dialect::Which},
};

/// A record that would be added: its key, then its values.
fn created(shape: &Shape, commit: &Commit, row: Vec<Option<String>>) -> Previewed {
    let mut cells = row.into_iter();
    let key = cells.by_ref().take(shape.key.len()).map(Option::unwrap_or_default).collect();
    let changes =
        commit.merge.insert.iter().cloned().zip(cells).map(|(name, new)| (name, None, new)).collect();
    Previewed { action: "create", key, changes }
}

/// A record that would change: its key, what is there, then what would be.
fn updated(shape: &Shape, commit: &Commit, row: Vec<Option<String>>) -> Previewed {
    let columns = &commit.merge.update;
    let mut cells = row.into_iter();
    let key = cells.by_ref().take(shape.key.len()).map(Option::unwrap_or_default).collect();
    let old: Vec<_> = cells.by_ref().take(columns.len()).collect();
    let changes = columns.iter().cloned().zip(old.into_iter().zip(cells)).map(|(n, (o, w))| (n, o, w));
    Previewed { action: "update", key, changes: changes.filter(|(_, old, new)| old != new).collect() }
}

impl<S: Server> Loading<S> {
    /// Counts what would happen, and lists at most `limit` records of each kind. Writes nothing.
    pub(super) async fn compare(&mut self, commit: &Commit, limit: usize) -> Result<Preview, Error> {
        let mut preview = Preview::default();
        if self.tables.shape.tombstones {
            let count = self.merge(commit).count_tombstones();
            preview.tombstones = self.count(&count).await?;
        }
        let merge = self.merge(commit);
        if commit.merge.how == How::Append || self.tables.found.is_none() {
            preview.created = commit.staged.saturating_sub(preview.tombstones);
            // without a key every row is new
            let list = merge.list_new(limit, false);
            let rows = self.link.query(&list, &[]).await?;
            preview.records = rows.into_iter().map(|row| created(&self.tables.shape, commit, row)).collect();
            return Ok(preview);
        }
        let (new, changed) = (merge.count_new(), merge.count_changed());
        let (list_new, list_changed) = (merge.list_new(limit, true), merge.list_changed(limit));
        let removes = commit.merge.gone != Gone::Stay;
        let told = |which| (merge.count_gone(which), merge.list_gone(which, limit));
        let tombstones = (self.tables.shape.tombstones && removes).then(|| told(Which::Tombstones));
        let absent = self.which(commit.absent).filter(|_| removes).map(told);
        let known = merge.count_known();
        preview.known = self.count_in_scope(&known).await?;
        preview.created = self.count(&new).await?;
        for row in self.link.query(&list_new, &[]).await? {
            preview.records.push(created(&self.tables.shape, commit, row));
        }
        if let (Some(count), Some(list)) = (changed, list_changed) {
            preview.updated = self.count(&count).await?;
            for row in self.link.query(&list, &[]).await? {
                preview.records.push(updated(&self.tables.shape, commit, row));
            }
        }
        let mut lists = Vec::new();
        if let Some((gone, list)) = tombstones {
            preview.deleted += self.count_in_scope(&gone).await?;
            lists.push(list);
        }
        if let Some((count, list)) = absent {
            preview.absent = self.count_in_scope(&count).await?;
            preview.deleted += preview.absent;
            lists.push(list);
        }
        for list in lists {
            let keys = self.keys_in_scope(&list).await?;
            let deleted = |key| Previewed { action: "delete", key, changes: Vec::new() };
            preview.records.extend(keys.into_iter().map(deleted));
        }
        Ok(preview)
    }
}
