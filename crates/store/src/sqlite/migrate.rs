//! Brings the file's schema up to date; forward only.

use std::{fs::File, path::Path};

use rusqlite::Connection;

use super::fault::Fault;

refinery::embed_migrations!("migrations/sqlite");

/// Waits for the gate: a file that is locked while a store is opened, so that two processes do not both make it.
///
/// SQLite looks whether the file is in write-ahead mode and then changes it, refinery looks which tables there are and then
/// creates them, both without a lock in between. Of two that met in SQLite's gap, one would be told at once that the
/// database is locked, whatever its busy time-out.
pub(super) fn gate(path: &Path) -> Result<File, Fault> {
    let gate = File::options().create(true).truncate(false).write(true).open(path)?;
    gate.lock()?;
    Ok(gate)
}

/// Applies the migrations that the file does not have yet, all or none. The caller holds the gate.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Fault> {
    let runner = migrations::runner().set_grouped(true);
    let newest = runner.get_migrations().iter().map(refinery::Migration::version).max().unwrap_or(0);
    let found = last_applied(connection)?;
    if found > newest.into() {
        return Err(Fault::Newer);
    }
    if found < newest.into() {
        runner.run(connection).map_err(|error| fault_of(&error))?;
    }
    Ok(())
}

/// The newest version in the file, 0 in a new one. Asked for by hand: refinery would create its table for the answer,
/// and opening an existing store must not need the write lock.
fn last_applied(connection: &Connection) -> Result<i64, Fault> {
    let known: bool = connection.query_row(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'refinery_schema_history'",
        [],
        |row| row.get(0),
    )?;
    if !known {
        return Ok(0);
    }
    let last: Option<i64> =
        connection.query_row("SELECT max(version) FROM refinery_schema_history", [], |row| row.get(0))?;
    Ok(last.unwrap_or(0))
}

/// What SQLite said, if it was SQLite: refinery wraps it, and a full disk must stay a full disk.
fn fault_of(error: &refinery::Error) -> Fault {
    use refinery::error::Kind;
    if let Kind::Connection(_, source) = error.kind()
        && let Some(rusqlite::Error::SqliteFailure(code, message)) = source.downcast_ref()
    {
        return Fault::Sql(rusqlite::Error::SqliteFailure(*code, message.clone()));
    }
    Fault::Broken(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_migration_is_never_edited() {
        // refinery's checksums; an edited migration is refused by every store that has it. Add a new file instead.
        let published: Vec<_> = migrations::runner()
            .get_migrations()
            .iter()
            .map(|migration| (migration.version(), migration.name().to_owned(), migration.checksum()))
            .collect();
        let expected = [
            (1, "first".to_owned(), 4_736_396_178_675_115_498),
            (2, "service".to_owned(), 9_452_895_326_324_049_285),
            (3, "partition".to_owned(), 12_995_205_394_441_448_729),
            (4, "written".to_owned(), 2_655_194_663_209_690_698),
        ];
        assert_eq!(published, expected);
    }
}
