//! Records by key, and keys that are not unique.

use odbc_api::Cursor;
use syncline_core::{
    batch::{Batch, Positions},
    value::Value,
};

use super::{
    bind::Param,
    client::Session,
    describe::{self, Column},
    error,
    read::position,
    rows::{Shape, Spare},
    sql,
};
use crate::{Error, error::Kind, source::Fetch};

/// Parameters of one statement: SQL Server's limit is 2,100, and long chains of `OR` are slow everywhere.
const PARAMS: usize = 200;

/// The records with the requested keys.
pub(super) fn fetch(session: &Session, request: &Fetch) -> Result<Batch, Error> {
    let found = describe::find(session, &request.stream)?;
    let columns: Vec<_> = request.columns.iter().map(|c| found.column(c)).collect::<Result<_, _>>()?;
    let key: Vec<_> = request.key.iter().map(|c| found.column(c)).collect::<Result<Vec<_>, _>>()?;
    let tombstone = request.tombstone.as_ref().map(|t| position(&request.columns, t)).transpose()?;
    let shape = Shape::new(columns.iter().map(|c| (*c).clone()).collect(), tombstone, Positions::None);
    let mut builder = shape.builder();
    let mut keys: Vec<Vec<Param>> = Vec::new();
    for values in &request.keys {
        // a key that is asked for twice, in two statements, would be found twice
        if let Some(params) = params(&key, values)?
            && !keys.contains(&params)
        {
            keys.push(params);
        }
    }
    let mut spare = Spare::default();
    for keys in keys.chunks((PARAMS / key.len().max(1)).max(1)) {
        let statement = sql::fetch(&found.table, &columns, &key, keys.len());
        let Some(mut cursor) = session.cursor(&statement, &keys.concat())? else { continue };
        while let Some(mut row) = cursor.next_row().map_err(|e| error::of(&e))? {
            shape.push_row(&mut builder, &mut row, &mut spare)?;
        }
    }
    Ok(shape.finish(&mut builder))
}

/// A key as parameters; nothing when no record can have it.
fn params(columns: &[&Column], key: &[Value<'static>]) -> Result<Option<Vec<Param>>, Error> {
    if key.len() != columns.len() || columns.is_empty() {
        let message = format!("a key of {} values for {} key columns", key.len(), columns.len());
        return Err(Error::new(Kind::Definition, message));
    }
    if key.iter().any(Value::is_null) {
        return Ok(None);
    }
    for (column, value) in columns.iter().zip(key) {
        if !value.fits(&column.field.kind) {
            let (name, shown) = (&column.field.name, column.native.shown());
            let message =
                format!("column {name:?} ({shown}) cannot be looked up by a {} value", value.type_name());
            return Err(Error::new(Kind::Definition, message).hint("the column's type was changed"));
        }
    }
    Ok(columns.iter().zip(key).map(|(column, value)| Param::of(column, value)).collect())
}

/// Keys that more than one record has.
pub(super) fn duplicates(
    session: &Session,
    stream: &str,
    key: &[String],
    limit: usize,
) -> Result<Vec<Vec<Value<'static>>>, Error> {
    let found = describe::find(session, stream)?;
    let columns: Vec<_> = key.iter().map(|c| found.column(c)).collect::<Result<_, _>>()?;
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let statement = sql::duplicates(&found.table, &columns, limit, session.dialect.facts().first);
    values(session, &columns, &statement, limit)
}

/// The first `limit` records of a statement.
pub(super) fn values(
    session: &Session,
    columns: &[&Column],
    statement: &str,
    limit: usize,
) -> Result<Vec<Vec<Value<'static>>>, Error> {
    let shape = Shape::new(columns.iter().map(|c| (*c).clone()).collect(), None, Positions::None);
    let (mut builder, mut spare) = (shape.builder(), Spare::default());
    let Some(mut cursor) = session.cursor(statement, &[])? else { return Ok(Vec::new()) };
    while builder.len() < limit
        && let Some(mut row) = cursor.next_row().map_err(|e| error::of(&e))?
    {
        shape.push_row(&mut builder, &mut row, &mut spare)?;
    }
    let batch = shape.finish(&mut builder);
    let row = |row| (0..columns.len()).map(|column| batch.value(row, column).into_owned()).collect();
    Ok((0..batch.len()).map(row).collect())
}
