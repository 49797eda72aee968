//! Forgetting where a sync's loads were.

use syncline_connect::{
    Database,
    database::{Absent, Claim, Commit, Gone, How, Merge},
};
use syncline_core::{cursor::Cursor, sync::Sync};

use super::reading;
use crate::{Engine, Error};

/// Forgets the position that the destination remembers, so that the next load reads everything. Returns whether there was
/// one. Waits until no load of the table is under way.
///
/// Durable when it returns.
///
/// # Errors
/// The destination failed, or the table is being loaded.
pub async fn reset(engine: &Engine, sync: &Sync, database: &dyn Database) -> Result<bool, Error> {
    let doing = || Error::connect(format!("forgetting the position of {:?}", sync.name));
    let claim = Claim {
        sync: sync.name.clone(),
        table: sync.to.stream.clone(),
        lock_timeout: sync.to.table.lock_timeout,
        replaces: false,
        partition: Vec::new(),
        dry: false,
    };
    let mut load = database.open(&claim).await.map_err(doing())?;
    let cursor = reading::cursor(load.state());
    let had = cursor.as_ref().is_some_and(|c| c.position.is_some());
    if let Some(cursor) = cursor {
        let commit = Commit {
            merge: Merge {
                how: How::Merge,
                update: Vec::new(),
                insert: Vec::new(),
                update_when: None,
                gone: Gone::Stay,
            },
            absent: Absent::Unknown,
            guard: sync.deletes.clone(),
            approved: None,
            after: Vec::new(),
            params: std::collections::BTreeMap::new(),
            reindex: false,
            cursor: serde_json::to_string(&Cursor { position: None, ..cursor }).ok(),
            started_at: load
                .state()
                .and_then(|s| s.started_at)
                .unwrap_or(engine.clock.now().as_microsecond()),
            staged: 0,
        };
        load.commit(&commit).await.map_err(doing())?;
    }
    load.close().await.map_err(doing())?;
    Ok(had)
}
