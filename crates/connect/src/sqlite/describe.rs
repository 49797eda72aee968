//! What SQLite tells about its tables and views.

use rusqlite::Connection;
use syncline_core::schema::{Field, Stream};

use super::{error, sql::Ident, types};
use crate::{Error, error::Kind};

/// Tables and views, at most 1,000.
pub(super) fn names(connection: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    let mut statement = connection.prepare(
        "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
         ORDER BY name LIMIT 1000",
    )?;
    let names = statement.query_map([], |row| row.get(0))?;
    names.collect()
}

/// Describes a table or view. A name may be given in double quotes, and with `main.` before it.
pub(super) fn find(connection: &Connection, wanted: &str) -> Result<Stream, Error> {
    let bare = wanted.strip_prefix("main.").unwrap_or(wanted);
    let bare = bare.strip_prefix('"').and_then(|b| b.strip_suffix('"')).unwrap_or(bare).replace("\"\"", "\"");
    let found = connection.query_row(
        "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name IN (?1, ?2)
         ORDER BY name = ?1 DESC LIMIT 1",
        [wanted, bare.as_str()],
        |row| row.get::<_, String>(0),
    );
    match found {
        Ok(name) => describe(connection, wanted, name).map_err(|e| error::of(&e)),
        Err(rusqlite::Error::QueryReturnedNoRows) => {
            Err(Error::new(Kind::StreamMissing, format!("table {wanted:?} does not exist")))
        }
        Err(other) => Err(error::of(&other)),
    }
}

fn describe(connection: &Connection, wanted: &str, name: String) -> Result<Stream, rusqlite::Error> {
    let mut stream = Stream { name: wanted.to_owned(), ..Stream::default() };
    let mut key: Vec<(i64, usize)> = Vec::new();
    let mut aliases = Vec::new();
    let mut columns = connection.prepare("SELECT name, type, \"notnull\", pk FROM pragma_table_info(?1)")?;
    let mut rows = columns.query([&name])?;
    while let Some(row) = rows.next()? {
        let (column, declared, not_null): (String, String, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let place = row.get(3)?;
        if place > 0 {
            key.push((place, stream.fields.len()));
            aliases.extend(declared.eq_ignore_ascii_case("integer").then_some(stream.fields.len()));
        }
        stream.fields.push(Field::new(column, types::declared(&declared), !not_null));
    }
    drop(rows);
    key.sort_unstable();
    // The single integer column of a primary key is the rowid, which is never null; other key columns may be null, unless
    // they say otherwise.
    if let ([_], [alias]) = (key.as_slice(), aliases.as_slice()) {
        stream.fields[*alias].nullable = false;
    }
    stream.primary_key = key.iter().map(|(_, column)| stream.fields[*column].name.clone()).collect();
    // The primary key of a table without rowid is never null.
    if without_rowid(connection, &name)? {
        let key = stream.primary_key.clone();
        stream.fields.iter_mut().filter(|f| key.contains(&f.name)).for_each(|f| f.nullable = false);
    }
    indexes(connection, &name, &mut stream)?;
    stream.records = count(connection, &name)?;
    stream.id = name;
    Ok(stream)
}

fn without_rowid(connection: &Connection, table: &str) -> Result<bool, rusqlite::Error> {
    let mut statement =
        connection.prepare("SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?1")?;
    let mut rows = statement.query([table])?;
    rows.next()?.map_or(Ok(false), |row| row.get(0))
}

/// Indexes that are neither partial nor on expressions.
fn indexes(connection: &Connection, table: &str, stream: &mut Stream) -> Result<(), rusqlite::Error> {
    stream.indexed.extend(stream.primary_key.first().cloned());
    let mut list =
        connection.prepare("SELECT name, \"unique\", origin FROM pragma_index_list(?1) WHERE NOT partial")?;
    let found = list.query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let found: Vec<(String, bool, String)> = found.collect::<Result<_, _>>()?;
    for (index, unique, origin) in found {
        let mut info = connection.prepare("SELECT name FROM pragma_index_info(?1) ORDER BY seqno")?;
        let names = info.query_map([&index], |row| row.get::<_, Option<String>>(0))?;
        let Some(columns) = names.collect::<Result<Option<Vec<String>>, _>>()? else { continue };
        if let Some(first) = columns.first()
            && !stream.indexed.contains(first)
        {
            stream.indexed.push(first.clone());
        }
        if unique && origin != "pk" {
            stream.unique.push((index, columns));
        }
    }
    Ok(())
}

/// How many records; counting is a scan of the smallest index.
fn count(connection: &Connection, table: &str) -> Result<Option<u64>, rusqlite::Error> {
    let sql = format!("SELECT count(*) FROM {}", Ident(table));
    connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).map(|n| u64::try_from(n).ok())
}
