//! Rows into batches.

use std::sync::Arc;

use rusqlite::Row;
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions, RecordOp},
    schema::Field,
    value::Value,
};

use super::{describe::Found, error, types};
use crate::{Error, error::Kind};

/// What a listing or look-up turns rows into.
pub(super) struct Shape {
    fields: Arc<[Field]>,
    tombstone: Option<usize>,
    positions: Positions,
}

impl Shape {
    /// For rows whose first cells are `columns`.
    pub(super) fn new(
        found: &Found,
        columns: &[String],
        tombstone: Option<&str>,
        positions: Positions,
    ) -> Result<Self, Error> {
        let fields = columns.iter().map(|c| found.field(c).cloned()).collect::<Result<_, _>>()?;
        let tombstone = tombstone.map(|t| position(columns, t)).transpose()?;
        Ok(Self { fields, tombstone, positions })
    }

    pub(super) fn builder(&self) -> BatchBuilder {
        BatchBuilder::new(Arc::clone(&self.fields))
    }

    pub(super) fn finish(&self, builder: &mut BatchBuilder) -> Batch {
        builder.finish(self.positions.clone())
    }

    /// Appends a row. A cell that is not of its column's type makes its record a problem, not the listing.
    pub(super) fn push(&self, builder: &mut BatchBuilder, row: &Row<'_>) -> Result<(), Error> {
        let mut op = RecordOp::Upsert;
        for (column, field) in self.fields.iter().enumerate() {
            let cell = row.get_ref(column).map_err(|e| error::of(&e))?;
            let value = types::read(cell, &field.kind);
            let deleted = !matches!(value, Some(Value::Null | Value::Boolean(false)));
            if self.tombstone == Some(column) && deleted {
                op = RecordOp::Delete;
            }
            let value = value.unwrap_or_else(|| {
                let (name, stored) = (&field.name, cell.data_type());
                builder.problem(format!("column {name:?} ({}): a {stored} that is none", field.kind));
                Value::Null
            });
            builder.push(column, &value).map_err(|e| Error::new(Kind::Protocol, e.to_string()))?;
        }
        builder.end_record(op);
        Ok(())
    }
}

/// Position of `name` among the columns wanted.
///
/// # Errors
/// [`Kind::Definition`]: a key, cursor or tombstone column has to be listed too.
pub(super) fn position(columns: &[String], name: &str) -> Result<usize, Error> {
    columns.iter().position(|c| c == name).ok_or_else(|| {
        Error::new(Kind::Definition, format!("column {name:?} is needed and is not among the columns read"))
    })
}
