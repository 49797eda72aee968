//! Rows into batches.

use std::sync::Arc;

use mysql_async::{Row, Value as Raw};
use syncline_core::{
    batch::{BatchBuilder, RecordOp},
    schema::{Field, FieldType},
    value::Value,
};

use super::{describe::Column, types::Codec};
use crate::{Error, error::Kind};

/// Turns rows into records, cell by cell.
pub(super) struct Decoder {
    columns: Vec<Column>,
    tombstone: Option<usize>,
}

impl Decoder {
    /// For rows of these columns, in this order.
    pub(super) fn new(columns: Vec<Column>, tombstone: Option<usize>) -> Self {
        Self { columns, tombstone }
    }

    /// The fields of the batches.
    pub(super) fn fields(&self) -> Arc<[Field]> {
        self.columns.iter().map(|c| c.field.clone()).collect()
    }

    /// How column `index` is sent.
    pub(super) fn codec(&self, index: usize) -> Codec {
        self.columns[index].codec
    }

    /// Appends one row. A cell that cannot be carried makes its record a problem, not the listing.
    pub(super) fn push(&self, row: &Row, builder: &mut BatchBuilder) -> Result<(), Error> {
        let mut op = RecordOp::Upsert;
        for (index, column) in self.columns.iter().enumerate() {
            let raw = cell(row, index)?;
            let value = column.codec.decode(raw).unwrap_or_else(|misfit| {
                builder.problem(format!("column {:?} ({}): {misfit}", column.field.name, column.shown));
                Value::Null
            });
            if self.tombstone == Some(index) && *raw != Raw::NULL && value != Value::Boolean(false) {
                op = RecordOp::Delete;
            }
            builder.push(index, &value).map_err(|e| Error::new(Kind::Protocol, e.to_string()))?;
        }
        builder.end_record(op);
        Ok(())
    }
}

/// A cell as the server sent it.
pub(super) fn cell(row: &Row, index: usize) -> Result<&Raw, Error> {
    row.as_ref(index).ok_or_else(|| Error::new(Kind::Protocol, "a row with fewer columns than asked for"))
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
