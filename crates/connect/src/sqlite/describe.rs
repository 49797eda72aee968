//! What SQLite tells about its tables and views.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension};
use syncline_core::schema::{Field, Stream};

use super::{
    error,
    sql::{self, Ident},
    types,
};
use crate::{Error, database::dialect::sqlite::SQLITE, error::Kind};

/// A table or view as found, with what is needed to read it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Its name in the database.
    pub(super) table: String,
    pub(super) stream: Stream,
    /// Whether it is a table, not a view.
    pub(super) is_table: bool,
    /// By the columns that a unique index makes unique: the collations it does that by.
    pub(super) collations: BTreeMap<Vec<String>, Vec<String>>,
    /// What is declared of columns, in the order of the fields.
    pub(super) declared: Vec<Declared>,
    /// Columns that the database computes.
    pub(super) generated: BTreeSet<String>,
}

/// What is declared of a column, apart from its name.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    /// The type, in whatever words.
    pub(super) words: String,
    /// Neither null nor left out.
    pub(super) required: bool,
}

impl Found {
    /// The field of `column`.
    ///
    /// # Errors
    /// [`Kind::Definition`].
    pub(super) fn field(&self, column: &str) -> Result<&Field, Error> {
        self.stream.field(column).ok_or_else(|| {
            let names: Vec<_> = self.stream.fields.iter().map(|f| f.name.as_str()).collect();
            Error::new(Kind::Definition, format!("table {:?} has no column {column:?}", self.stream.name))
                .hint(format!("its columns: {}", names.join(", ")))
        })
    }

    /// The collations by which these columns are unique, in their order.
    pub(super) fn collations(&self, key: &[String]) -> Option<Vec<String>> {
        self.collations.iter().find_map(|(columns, collations)| {
            let at = |name: &String| columns.iter().position(|c| c == name);
            let places: Vec<_> = key.iter().map(at).collect::<Option<_>>()?;
            (columns.len() == key.len()).then(|| places.iter().map(|p| collations[*p].clone()).collect())
        })
    }
}

/// Tables and views, at most 1,000.
pub(super) fn names(connection: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    let mut statement = connection.prepare(
        "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
         ORDER BY name LIMIT 1000",
    )?;
    let names = statement.query_map([], |row| row.get(0))?;
    names.collect()
}

/// Finds and describes a table or view; as it is written, or else without regard to capitals, as SQLite does.
///
/// # Errors
/// [`Kind::StreamMissing`].
pub(super) fn find(connection: &Connection, wanted: &str) -> Result<Found, Error> {
    let found = connection
        .query_row(
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name COLLATE NOCASE IN (?1, ?2)
             ORDER BY name = ?1 DESC, name = ?2 DESC LIMIT 1",
            [wanted, sql::table_name(wanted).as_str()],
            |row| row.get::<_, String>(0),
        )
        .optional()
        .map_err(|e| error::of(&e))?;
    match found {
        Some(name) => describe(connection, wanted, name).map_err(|e| error::of(&e)),
        None => Err(Error::new(Kind::StreamMissing, format!("there is no table or view {wanted:?}"))
            .hint("check the name of the table, and that the path names the right file")),
    }
}

fn describe(connection: &Connection, wanted: &str, table: String) -> Result<Found, rusqlite::Error> {
    let is_table = connection.query_row(
        "SELECT type = 'table' FROM sqlite_schema WHERE name = ?1 AND type IN ('table', 'view')",
        [&table],
        |row| row.get::<_, bool>(0),
    )?;
    let stream = Stream {
        name: wanted.to_owned(),
        id: table.clone(),
        dialect: Some(SQLITE.name),
        ..Stream::default()
    };
    let mut found = Found {
        table,
        stream,
        is_table,
        collations: BTreeMap::new(),
        declared: Vec::new(),
        generated: BTreeSet::new(),
    };
    columns(connection, &mut found)?;
    indexes(connection, &mut found)?;
    if !is_table {
        found.stream.notes.push("A view has no key of its own: name key columns that are unique.".into());
    }
    let journal: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if journal != "wal" {
        found.stream.notes.push(format!(
            "The file is in {journal} mode, in which writers wait while records are read; in WAL mode they do not."
        ));
    }
    let indexed = found.stream.indexed.clone();
    for field in &mut found.stream.fields {
        field.limits.indexed = indexed.contains(&field.name);
    }
    Ok(found)
}

/// How many records a table has: a scan of its smallest index.
pub(super) fn count(connection: &Connection, found: &Found) -> Result<Option<u64>, rusqlite::Error> {
    if !found.is_table {
        return Ok(None);
    }
    let count = format!("SELECT count(*) FROM {}", Ident(&found.table));
    let count: i64 = connection.query_row(&count, [], |row| row.get(0))?;
    Ok(u64::try_from(count).ok())
}

fn columns(connection: &Connection, found: &mut Found) -> Result<(), rusqlite::Error> {
    let mut key: Vec<(i64, usize)> = Vec::new();
    let mut rowid = None;
    // hidden: 2 and 3 are generated columns, 1 is internal to a virtual table
    let mut statement = connection.prepare(
        "SELECT name, type, \"notnull\", pk, dflt_value IS NOT NULL, hidden FROM pragma_table_xinfo(?1) WHERE hidden IN (0, 2, 3)",
    )?;
    let mut rows = statement.query([&found.table])?;
    let stream = &mut found.stream;
    while let Some(row) = rows.next()? {
        let (name, declared, not_null): (String, String, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (place, default, hidden): (i64, bool, i64) = (row.get(3)?, row.get(4)?, row.get(5)?);
        if place > 0 {
            key.push((place, stream.fields.len()));
            rowid = declared.eq_ignore_ascii_case("integer").then_some(stream.fields.len());
        }
        if hidden != 0 {
            found.generated.insert(name.clone());
        }
        let native = types::plain(&declared);
        stream.fields.push(Field { native, ..Field::new(name, types::declared(&declared), !not_null) });
        found.declared.push(Declared { words: declared, required: not_null && !default });
    }
    key.sort_unstable();
    stream.primary_key = key.iter().map(|(_, column)| stream.fields[*column].name.clone()).collect();
    // A single integer column is the rowid, which is never null. Other key columns may be, by a bug SQLite keeps for
    // compatibility; not so in a table without rowid.
    let never_null = match (key.as_slice(), rowid) {
        ([_], Some(column)) => vec![column],
        _ if without_rowid(connection, &found.table)? => key.iter().map(|(_, column)| *column).collect(),
        _ => Vec::new(),
    };
    never_null.into_iter().for_each(|column| stream.fields[column].nullable = false);
    if let ([(_, column)], Some(_)) = (key.as_slice(), rowid) {
        // the next number is taken for one that is left out
        found.declared[*column].required = false;
    }
    stream.indexed.extend(stream.primary_key.first().cloned());
    Ok(())
}

fn without_rowid(connection: &Connection, table: &str) -> Result<bool, rusqlite::Error> {
    let sql = "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?1";
    Ok(connection.query_row(sql, [table], |row| row.get(0)).optional()?.unwrap_or(false))
}

/// Indexes that are neither partial nor on expressions.
fn indexes(connection: &Connection, found: &mut Found) -> Result<(), rusqlite::Error> {
    let mut list = connection.prepare(
        "SELECT name, \"unique\", origin FROM pragma_index_list(?1) WHERE NOT partial ORDER BY seq DESC",
    )?;
    let indexes = list.query_map([&found.table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let indexes: Vec<(String, bool, String)> = indexes.collect::<Result<_, _>>()?;
    for (index, unique, origin) in indexes {
        let mut info =
            connection.prepare("SELECT name, coll FROM pragma_index_xinfo(?1) WHERE key ORDER BY seqno")?;
        let parts = info.query_map([&index], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let parts: Vec<(Option<String>, String)> = parts.collect::<Result<_, _>>()?;
        let collations: Vec<_> = parts.iter().map(|(_, collation)| collation.clone()).collect();
        let Some(columns) = parts.into_iter().map(|(name, _)| name).collect::<Option<Vec<_>>>() else {
            continue;
        };
        if let Some(first) = columns.first()
            && !found.stream.indexed.contains(first)
        {
            found.stream.indexed.push(first.clone());
        }
        if unique {
            found.collations.insert(columns.clone(), collations);
        }
        if unique && origin != "pk" {
            found.stream.unique.push((index, columns));
        }
    }
    Ok(())
}
