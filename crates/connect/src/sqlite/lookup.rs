//! Records by key, and keys that are not unique.

use rusqlite::{Connection, params_from_iter};
use syncline_core::{
    batch::{Batch, Positions},
    schema::FieldType,
    value::Value,
};

use super::{
    client, describe, error,
    rows::Shape,
    sql::{self, Term},
    types,
};
use crate::{Error, error::Kind, source::Fetch};

/// Keys of one statement: SQLite's limit is a depth of 1,000 in an expression.
const KEYS: usize = 100;

/// Key columns as they are compared; texts exactly, whatever the column's collation.
fn terms(found: &describe::Found, key: &[String]) -> Result<Vec<Term>, Error> {
    let term = |name: &String| {
        let kind = &found.field(name)?.kind;
        let exact = matches!(kind, FieldType::Text | FieldType::Json);
        Ok(Term {
            name: name.clone(),
            function: client::function(kind),
            collation: exact.then(|| "BINARY".to_owned()),
        })
    };
    key.iter().map(term).collect()
}

/// The records with the requested keys.
pub(super) fn fetch(connection: &Connection, request: &Fetch) -> Result<Batch, Error> {
    let found = describe::find(connection, &request.stream)?;
    let terms = terms(&found, &request.key)?;
    let shape = Shape::new(&found, &request.columns, request.tombstone.as_deref(), Positions::None)?;
    let mut builder = shape.builder();
    let mut keys: Vec<&Vec<Value<'static>>> = Vec::new();
    for key in &request.keys {
        if key.len() != terms.len() || key.is_empty() {
            let message = format!("a key of {} values for {} key columns", key.len(), terms.len());
            return Err(Error::new(Kind::Definition, message));
        }
        // a key that is asked for twice, in two statements, would be found twice
        if !key.iter().any(Value::is_null) && !keys.contains(&key) {
            keys.push(key);
        }
    }
    for keys in keys.chunks(KEYS) {
        let sql = sql::fetch(&found.table, &request.columns, &terms, keys.len());
        let mut statement = connection.prepare(&sql).map_err(|e| error::of(&e))?;
        let values = params_from_iter(keys.iter().flat_map(|key| key.iter().map(types::comparable)));
        let mut rows = statement.query(values).map_err(|e| error::of(&e))?;
        while let Some(row) = rows.next().map_err(|e| error::of(&e))? {
            shape.push(&mut builder, row)?;
        }
    }
    Ok(shape.finish(&mut builder))
}

/// Keys that more than one record has.
pub(super) fn duplicates(
    connection: &Connection,
    stream: &str,
    key: &[String],
    limit: usize,
) -> Result<Vec<Vec<Value<'static>>>, Error> {
    let found = describe::find(connection, stream)?;
    let terms = terms(&found, key)?;
    if terms.is_empty() {
        return Ok(Vec::new());
    }
    let kinds: Vec<_> = key.iter().map(|k| found.field(k).map(|f| &f.kind)).collect::<Result<_, _>>()?;
    let sql = sql::duplicates(&found.table, key, &terms, limit);
    let mut statement = connection.prepare(&sql).map_err(|e| error::of(&e))?;
    let mut rows = statement.query([]).map_err(|e| error::of(&e))?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next().map_err(|e| error::of(&e))? {
        let cells = kinds.iter().enumerate().map(|(i, kind)| {
            let cell = row.get_ref(i).map_err(|e| error::of(&e))?;
            Ok(types::read(cell, kind).map_or(Value::Null, Value::into_owned))
        });
        keys.push(cells.collect::<Result<_, Error>>()?);
    }
    Ok(keys)
}
