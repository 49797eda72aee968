//! Rows into batches.

use std::sync::Arc;

use syncline_core::{
    batch::{BatchBuilder, RecordOp},
    schema::{Field, FieldType},
    value::Value,
};
use tokio_postgres::Row;

use super::{bind::Raw, describe::Column, error, types::Codec};
use crate::{Error, error::Kind};

/// Turns rows into records, cell by cell from the row's own buffer.
pub(super) struct Decoder {
    columns: Vec<Column>,
    tombstone: Option<usize>,
    scratch: String,
}

impl Decoder {
    /// For rows of these columns, in this order.
    pub(super) fn new(columns: Vec<Column>, tombstone: Option<usize>) -> Self {
        Self { columns, tombstone, scratch: String::new() }
    }

    /// The fields of the batches.
    pub(super) fn fields(&self) -> Arc<[Field]> {
        self.columns.iter().map(|c| c.field.clone()).collect()
    }

    /// How column `index` is sent.
    pub(super) fn codec(&self, index: usize) -> &Codec {
        &self.columns[index].codec
    }

    /// Appends one row. A cell that cannot be carried makes its record a problem, not the listing.
    pub(super) fn push(&mut self, row: &Row, builder: &mut BatchBuilder) -> Result<(), Error> {
        let mut cells = Vec::with_capacity(self.columns.len());
        for index in 0..self.columns.len() {
            let raw: Raw<'_> = row.try_get(index).map_err(|e| error::of(&e))?;
            cells.push(raw.0);
        }
        self.push_fields(cells.into_iter(), builder)
    }

    /// Appends one record from the binary forms of its cells.
    pub(super) fn push_fields<'r>(
        &mut self,
        fields: impl Iterator<Item = Option<&'r [u8]>>,
        builder: &mut BatchBuilder,
    ) -> Result<(), Error> {
        let mut op = RecordOp::Upsert;
        let mut pushed = 0;
        for (index, (column, raw)) in self.columns.iter().zip(fields).enumerate() {
            let value = match raw.map(|raw| column.codec.decode(raw, &mut self.scratch)) {
                None => Value::Null,
                Some(Ok(value)) => value,
                Some(Err(misfit)) => {
                    let name = &column.field.name;
                    builder.problem(format!("column {name:?} ({}): {misfit}", column.shown));
                    Value::Null
                }
            };
            if self.tombstone == Some(index) && raw.is_some() && value != Value::Boolean(false) {
                op = RecordOp::Delete;
            }
            builder.push(index, &value).map_err(|e| Error::new(Kind::Protocol, e.to_string()))?;
            pushed += 1;
        }
        if pushed != self.columns.len() {
            return Err(Error::new(Kind::Protocol, "a record with another number of cells"));
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

/// Whether values of this type are points in time, which the oldest writer bounds.
pub(super) fn is_time(kind: &FieldType) -> bool {
    matches!(kind, FieldType::Date | FieldType::Timestamp { .. })
}
