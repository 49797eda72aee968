//! Records by key, and keys that are not unique.

use mysql_async::Value as Raw;
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions},
    value::Value,
};

use super::{
    bind,
    client::Session,
    describe::{Column, Found},
    rows::{Decoder, cell, position},
    sql,
    types::Order,
};
use crate::{Error, error::Kind, source::Fetch};

/// The records with the requested keys. Keys that are equal to the server (by its collation) are one key.
pub(super) async fn fetch(session: &mut Session, found: &Found, request: &Fetch) -> Result<Batch, Error> {
    let columns: Vec<_> = request.columns.iter().map(|c| found.column(c)).collect::<Result<_, _>>()?;
    let key: Vec<_> = request.key.iter().map(|c| found.column(c)).collect::<Result<Vec<_>, _>>()?;
    let tombstone = request.tombstone.as_ref().map(|t| position(&request.columns, t)).transpose()?;
    let decoder = Decoder::new(columns.iter().map(|c| (*c).clone()).collect(), tombstone);
    let mut builder = BatchBuilder::new(decoder.fields());
    let keys: Vec<Option<Vec<Raw>>> =
        request.keys.iter().map(|k| params(&key, k)).collect::<Result<_, _>>()?;
    let keys: Vec<Vec<Raw>> = keys.into_iter().flatten().collect();
    if !keys.is_empty() {
        let selected: Vec<_> = columns.iter().map(|c| &c.sql).collect();
        let by: Vec<_> = key.iter().map(|c| &c.sql).collect();
        let statement = session.prepare(&sql::fetch(&found.origin, &selected, &by, keys.len())).await?;
        let mut rows = session.stream(&statement, keys.into_iter().flatten().collect()).await?;
        while let Some(row) = rows.next().await? {
            decoder.push(&row, &mut builder)?;
        }
    }
    Ok(builder.finish(Positions::None))
}

/// A key as parameters; nothing when no record can have it.
fn params(columns: &[&Column], key: &[Value<'static>]) -> Result<Option<Vec<Raw>>, Error> {
    if key.len() != columns.len() || columns.is_empty() {
        return Err(Error::new(
            Kind::Definition,
            format!("a key of {} values for {} key columns", key.len(), columns.len()),
        ));
    }
    if key.iter().any(Value::is_null) {
        return Ok(None);
    }
    for (column, value) in columns.iter().zip(key) {
        if !value.fits(&column.field.kind) || column.order == Order::None {
            return Err(Error::new(
                Kind::Definition,
                format!(
                    "column {:?} ({}) cannot be looked up by a {} value",
                    column.field.name,
                    column.shown,
                    value.type_name()
                ),
            )
            .hint("the column's type was changed, or it cannot be a key"));
        }
    }
    Ok(columns.iter().zip(key).map(|(column, value)| bind::exact(column.codec, value)).collect())
}

/// Keys that more than one record has.
pub(super) async fn duplicates(
    session: &mut Session,
    found: &Found,
    key: &[String],
    limit: usize,
) -> Result<Vec<Vec<Value<'static>>>, Error> {
    let columns: Vec<_> = key.iter().map(|c| found.column(c)).collect::<Result<_, _>>()?;
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let by: Vec<_> = columns.iter().map(|c| &c.sql).collect();
    let mut keys = Vec::new();
    for row in session.rows(&sql::duplicates(&found.origin, &by, limit), Vec::new()).await? {
        let mut values = Vec::with_capacity(columns.len());
        for (index, column) in columns.iter().enumerate() {
            let value = column.codec.decode(cell(&row, index)?);
            values.push(value.map_or(Value::Null, Value::into_owned));
        }
        keys.push(values);
    }
    Ok(keys)
}
