//! Records by key, and keys that are not unique.

use futures::TryStreamExt;
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions},
    value::Value,
};

use super::{
    bind::{Param, Raw},
    client::Session,
    describe::{Column, Found},
    error,
    rows::{Decoder, position},
    sql,
};
use crate::{Error, error::Kind, source::Fetch};

/// The records with the requested keys.
pub(super) async fn fetch(session: &Session, found: &Found, request: &Fetch) -> Result<Batch, Error> {
    let columns: Vec<_> = request.columns.iter().map(|c| found.column(c)).collect::<Result<_, _>>()?;
    let key: Vec<_> = request.key.iter().map(|c| found.column(c)).collect::<Result<Vec<_>, _>>()?;
    let tombstone = request.tombstone.as_ref().map(|t| position(&request.columns, t)).transpose()?;
    let mut decoder = Decoder::new(columns.iter().map(|c| (*c).clone()).collect(), tombstone);
    let mut builder = BatchBuilder::new(decoder.fields());
    let keys: Vec<Vec<Param>> = request
        .keys
        .iter()
        .map(|k| params(&key, k))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .collect();
    if !keys.is_empty() {
        let selected: Vec<_> = columns.iter().map(|c| &c.sql).collect();
        let by: Vec<_> = key.iter().map(|c| &c.sql).collect();
        let statement = session.prepare(&sql::fetch(&found.table, &selected, &by, keys.len())).await?;
        let params: Vec<Param> = keys.into_iter().flatten().collect();
        let mut rows = Box::pin(session.stream(&statement, &params).await?);
        while let Some(row) = rows.try_next().await.map_err(|e| error::of(&e))? {
            decoder.push(&row, &mut builder)?;
        }
    }
    Ok(builder.finish(Positions::None))
}

/// A key as parameters; nothing when no record can have it.
fn params(columns: &[&Column], key: &[Value<'static>]) -> Result<Option<Vec<Param>>, Error> {
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
        if !value.fits(&column.field.kind) || !column.sortable {
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
    Ok(columns.iter().zip(key).map(|(column, value)| Param::of(&column.codec, value)).collect())
}

/// Keys that more than one record has.
pub(super) async fn duplicates(
    session: &Session,
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
    for row in session.rows(&sql::duplicates(&found.table, &by, limit), &[]).await? {
        let mut values = Vec::with_capacity(columns.len());
        for (index, column) in columns.iter().enumerate() {
            let raw: Raw<'_> = row.try_get(index).map_err(|e| error::of(&e))?;
            let mut scratch = String::new();
            let value = raw.0.and_then(|raw| column.codec.decode(raw, &mut scratch).ok());
            values.push(value.map_or(Value::Null, Value::into_owned));
        }
        keys.push(values);
    }
    Ok(keys)
}
