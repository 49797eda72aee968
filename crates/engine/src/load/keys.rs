//! Which columns of both sides belong together, and which records of the table the source does not have any more.

use syncline_connect::{
    compare::{Marked, Subject},
    database::{self, Absent, Gone, Load, Shape},
};
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions, RecordOp, TypeMismatch},
    schema::{Field, FieldType},
    sync::Detect,
    value::Value,
};

use super::{
    bind::{From, Table},
    compare::{Pairing, Sides, gone_keys},
};
use crate::Error;

/// Both sides' names of the key, and with `wide` of every column that is loaded as it is. The second part: columns that
/// are computed and so cannot be compared.
///
/// # Errors
/// A column of the key is computed.
pub(super) fn pairing(
    table: &Table,
    found: Option<&database::Table>,
    wide: bool,
) -> Result<(Pairing, Vec<String>), Error> {
    let (mut key, mut columns, mut computed) = (Vec::new(), Vec::new(), Vec::new());
    let there = |name: &String| found.is_none_or(|t| t.stream.field(name).is_some());
    for name in &table.match_on {
        let field = table.fields.iter().find(|f| f.column.name == *name);
        let Some(From::Column(from)) = field.map(|f| &f.from) else {
            return Err(Error::Incomparable { column: name.clone() });
        };
        key.push((from.clone(), name.clone()));
    }
    for field in &table.fields {
        let name = &field.column.name;
        match &field.from {
            _ if table.match_on.contains(name) || !there(name) => {}
            From::Column(from) if field.default.is_none() => columns.push((from.clone(), name.clone())),
            From::Column(_) | From::Expression(_) | From::Param(_) => computed.push(name.clone()),
        }
    }
    if !wide {
        columns.clear();
    }
    let from = &table.sync.from;
    let tombstone =
        from.tombstone.clone().map(|column| Marked { column, values: from.tombstone_values.clone() });
    let mark = match table.gone(found) {
        Gone::Mark { column, .. } if there(&column) => Some(Marked { column, values: Vec::new() }),
        _ => None,
    };
    let side = |table: &str, at: fn(&(String, String)) -> &String, gone| Subject {
        table: table.to_owned(),
        key: key.iter().map(|pair| at(pair).clone()).collect(),
        columns: columns.iter().map(|pair| at(pair).clone()).collect(),
        gone,
    };
    let source = side(&table.reads_in_full, |pair| &pair.0, tombstone);
    let destination = side(&table.sync.to.stream, |pair| &pair.1, mark);
    Ok((Pairing { source, destination }, computed))
}

/// With `detect: keys`: stages the keys of records that are gone, for a commit or a look. Returns which records are gone, and
/// a sentence where that cannot be told.
pub(super) async fn stage_gone(
    table: &Table,
    load: &mut dyn Load,
) -> Result<(Absent, Option<String>), Error> {
    if table.sync.deletes.detect != Detect::Keys || load.table().is_none() {
        return Ok((Absent::Unknown, None));
    }
    let (gone, note) = gone(table, load.table()).await?;
    if gone.iter().all(Batch::is_empty) {
        return Ok((Absent::Unknown, note));
    }
    load.stage_gone(gone).await.map_err(Error::connect("staging keys of records that are gone"))?;
    Ok((Absent::Named, note))
}

/// Keys of the table that the source does not have, as batches of the key columns, and a sentence where they cannot be
/// trusted, in which case there are none.
async fn gone(table: &Table, found: Option<&database::Table>) -> Result<(Vec<Batch>, Option<String>), Error> {
    let (pairing, _) = pairing(table, found, false)?;
    let Some(mut sides) = Sides::open(&*table.source, &*table.database, &pairing).await? else {
        let note = "keys cannot be compared between these systems: what is gone is found by full runs only";
        return Ok((Vec::new(), Some(note.into())));
    };
    let gone = gone_keys(&mut sides).await?;
    if gone.unreadable > 0 {
        let note =
            format!("{} keys could not be read: nothing is deleted because of its absence", gone.unreadable);
        return Ok((Vec::new(), Some(note)));
    }
    Ok((gone.keys, None))
}

/// Keys as a batch of the shape's key columns.
pub(super) fn batch(shape: &Shape, keys: &[Vec<Value<'static>>]) -> Result<Batch, TypeMismatch> {
    let field = |name: &String| {
        let column = shape.columns.iter().find(|c| c.name == *name);
        Field::new(name.clone(), column.map_or(FieldType::Text, |c| c.kind.clone()), false)
    };
    let mut builder = BatchBuilder::new(shape.key.iter().map(field).collect());
    for key in keys {
        for (column, value) in key.iter().enumerate() {
            builder.push(column, value)?;
        }
        builder.end_record(RecordOp::Upsert);
    }
    Ok(builder.finish(Positions::None))
}
