//! Definitions and their versions.

use tokio_postgres::Row;

use super::{
    codec,
    connection::Work,
    fault::Fault,
    filter::{self, Filter},
    words,
};
use crate::service::{Definition, DefinitionKind, NewDefinition};

pub(super) async fn put(
    work: &Work<'_>,
    definition: &NewDefinition,
    expected: Option<u64>,
) -> Result<Option<u64>, Fault> {
    words::alone(work, "definitions").await?;
    let kind = definition.kind.as_str();
    let newest = work
        .row(
            "SELECT version, body IS NOT NULL FROM definition WHERE tenant = $1 AND kind = $2 AND name = $3
             ORDER BY version DESC LIMIT 1",
            &[&work.tenant, &kind, &definition.name],
        )
        .await?;
    let newest: Option<(i64, bool)> =
        newest.map(|row| Ok::<_, Fault>((row.try_get(0)?, row.try_get(1)?))).transpose()?;
    // What was removed is not there.
    let there = newest.filter(|(_, there)| *there).map_or(0, |(version, _)| version);
    let nothing_to_remove = definition.body.is_none() && there == 0;
    if nothing_to_remove || expected.is_some_and(|expected| filter::number(expected) != there) {
        return Ok(None);
    }
    let version = newest.map_or(0, |(version, _)| version) + 1;
    work.execute(
        "INSERT INTO definition (tenant, kind, name, version, body, by, at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &[
            &work.tenant,
            &kind,
            &definition.name,
            &version,
            &definition.body,
            &definition.by,
            &codec::time(definition.at)?,
        ],
    )
    .await?;
    work.execute(
        "INSERT INTO counter (tenant, name, value) VALUES ($1, 'definitions', 1)
         ON CONFLICT (tenant, name) DO UPDATE SET value = counter.value + 1",
        &[&work.tenant],
    )
    .await?;
    Ok(u64::try_from(version).ok())
}

/// Columns of a [`Definition`], for [`read`].
const DEFINITION: &str = "SELECT kind, name, version, body, by, at FROM definition";

pub(super) async fn newest(work: &Work<'_>) -> Result<Vec<Definition>, Fault> {
    let sql =
        "SELECT * FROM (SELECT DISTINCT ON (kind, name) kind, name, version, body, by, at FROM definition
                 WHERE tenant = $1 ORDER BY kind, name, version DESC) AS newest
               WHERE body IS NOT NULL ORDER BY kind, name";
    work.rows(sql, &[&work.tenant]).await?.iter().map(read).collect()
}

pub(super) async fn versions(
    work: &Work<'_>,
    kind: DefinitionKind,
    name: &str,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<Definition>, Fault> {
    let rows = Filter::of(work, "tenant")
        .and("kind = $$", Some(kind.as_str()))
        .and("name = $$", Some(name.to_owned()))
        .and("version < $$", before.map(filter::number))
        .rows(work, DEFINITION, "version DESC", limit)
        .await?;
    rows.iter().map(read).collect()
}

pub(super) async fn revision(work: &Work<'_>) -> Result<u64, Fault> {
    let sql = "SELECT coalesce((SELECT value FROM counter WHERE tenant = $1 AND name = 'definitions'), 0)";
    codec::unsigned(&work.one(sql, &[&work.tenant]).await?, 0)
}

fn read(row: &Row) -> Result<Definition, Fault> {
    Ok(Definition {
        version: codec::unsigned(row, 2)?,
        stored: NewDefinition {
            kind: words::word(row, 0, DefinitionKind::parse, "kind of definition")?,
            name: row.try_get(1)?,
            body: row.try_get(3)?,
            by: row.try_get(4)?,
            at: codec::stored_time(row, 5)?,
        },
    })
}
