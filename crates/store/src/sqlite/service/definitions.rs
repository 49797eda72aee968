//! Definitions and their versions.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params, params_from_iter};

use super::{
    codec,
    fault::Fault,
    filter::{self, Filter},
    words,
};
use crate::service::{Definition, DefinitionKind, NewDefinition};

pub(super) fn put(
    transaction: &Transaction<'_>,
    definition: &NewDefinition,
    expected: Option<u64>,
) -> Result<Option<u64>, Fault> {
    let newest: Option<(i64, bool)> = transaction
        .prepare_cached(
            "SELECT version, body IS NOT NULL FROM definition WHERE kind = ?1 AND name = ?2
             ORDER BY version DESC LIMIT 1",
        )?
        .query_row(params![definition.kind.as_str(), definition.name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    // What was removed is not there.
    let there = newest.filter(|(_, there)| *there).map_or(0, |(version, _)| version);
    let nothing_to_remove = definition.body.is_none() && there == 0;
    if nothing_to_remove || expected.is_some_and(|expected| filter::number(expected) != there) {
        return Ok(None);
    }
    let version = newest.map_or(0, |(version, _)| version) + 1;
    transaction
        .prepare_cached(
            "INSERT INTO definition (kind, name, version, body, by, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            definition.kind.as_str(),
            definition.name,
            version,
            definition.body,
            definition.by,
            codec::time_text(definition.at)?,
        ])?;
    transaction
        .prepare_cached("UPDATE counter SET value = value + 1 WHERE name = 'definitions'")?
        .execute([])?;
    Ok(u64::try_from(version).ok())
}

/// Columns of a [`Definition`], for [`read`].
const DEFINITION: &str = "kind, name, version, body, by, at FROM definition";

pub(super) fn newest(connection: &Connection) -> Result<Vec<Definition>, Fault> {
    let sql = format!(
        "SELECT {DEFINITION} AS newest WHERE body IS NOT NULL AND version = (SELECT max(version)
           FROM definition WHERE kind = newest.kind AND name = newest.name)
         ORDER BY kind, name"
    );
    read_all(connection, &sql, [])
}

pub(super) fn versions(
    connection: &Connection,
    kind: DefinitionKind,
    name: &str,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<Definition>, Fault> {
    let filter = Filter::default()
        .and("kind = ?", Some(kind.as_str().to_owned()))
        .and("name = ?", Some(name.to_owned()))
        .and("version < ?", before.map(filter::number));
    let sql = format!("SELECT {DEFINITION} {filter} ORDER BY version DESC LIMIT ?");
    read_all(connection, &sql, params_from_iter(filter.values(limit)))
}

pub(super) fn revision(connection: &Connection) -> Result<u64, Fault> {
    connection
        .prepare_cached("SELECT value FROM counter WHERE name = 'definitions'")?
        .query_row([], |row| Ok(codec::unsigned(row, 0)))?
}

fn read_all(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<Definition>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<Definition, Fault> {
    Ok(Definition {
        version: codec::unsigned(row, 2)?,
        stored: NewDefinition {
            kind: words::word(row, 0, DefinitionKind::parse, "kind of definition")?,
            name: row.get(1)?,
            body: row.get(3)?,
            by: row.get(4)?,
            at: codec::time(row, 5)?,
        },
    })
}
