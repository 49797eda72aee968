//! Results into batches: in blocks where every cell has a known longest length, else cell by cell.

use std::sync::Arc;

use odbc_api::{
    Bit, BlockCursor, Cursor, CursorRow, Nullable,
    buffers::{BinColumnSlice, BufferDesc, ColumnarDynBuffer, NullableSlice, TextColumnSlice},
    sys::{Date, NULL_DATA, Timestamp},
};
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions, RecordOp},
    schema::Field,
    value::Value,
};

use super::{
    client::Owned,
    describe::Column,
    error,
    types::{self, Raw, Wire},
};
use crate::{Error, error::Kind};

/// Longest text or binary that is fetched in blocks, in characters or bytes; longer ones cell by cell.
const BLOCK_CELL: usize = 4000;
/// Bytes of a block. A block of wide records has few of them.
const BLOCK_BYTES: usize = 2 << 20;
/// Records of a block: more gain nothing.
const BLOCK_ROWS: usize = 1000;

/// What a result is turned into.
pub(super) struct Shape {
    columns: Vec<Column>,
    fields: Arc<[Field]>,
    tombstone: Option<usize>,
    positions: Positions,
}

impl Shape {
    /// For results of these columns, in this order.
    pub(super) fn new(columns: Vec<Column>, tombstone: Option<usize>, positions: Positions) -> Self {
        let fields = columns.iter().map(|c| c.field.clone()).collect();
        Self { columns, fields, tombstone, positions }
    }

    pub(super) fn builder(&self) -> BatchBuilder {
        BatchBuilder::new(Arc::clone(&self.fields))
    }

    pub(super) fn finish(&self, builder: &mut BatchBuilder) -> Batch {
        builder.finish(self.positions.clone())
    }

    /// The buffers of a block of at most `rows` records; nothing when a column's longest value is not known.
    pub(super) fn block(&self, rows: usize) -> Option<ColumnarDynBuffer> {
        let descriptions: Vec<_> = self.columns.iter().map(buffer).collect::<Option<_>>()?;
        let width: usize = descriptions.iter().map(BufferDesc::bytes_per_row).sum();
        let rows = rows.min(BLOCK_ROWS).min(BLOCK_BYTES / width.max(1)).max(1);
        ColumnarDynBuffer::try_from_descs(rows, descriptions).ok()
    }

    /// Appends the record whose cells `cell` gives. A cell that cannot be carried makes its record a problem, not the
    /// listing.
    fn push<'c>(
        &self,
        builder: &mut BatchBuilder,
        mut cell: impl FnMut(usize) -> Result<Option<Raw<'c>>, Error>,
    ) -> Result<(), Error> {
        let mut op = RecordOp::Upsert;
        let mut scratch = String::new();
        for (index, column) in self.columns.iter().enumerate() {
            let raw = cell(index)?;
            self.push_cell(builder, index, column, raw, &mut scratch, &mut op)?;
        }
        builder.end_record(op);
        Ok(())
    }

    fn push_cell(
        &self,
        builder: &mut BatchBuilder,
        index: usize,
        column: &Column,
        raw: Option<Raw<'_>>,
        scratch: &mut String,
        op: &mut RecordOp,
    ) -> Result<(), Error> {
        let value = match raw.map(|raw| types::decode(raw, &column.field.kind, scratch)) {
            None => Value::Null,
            Some(Ok(value)) => value,
            Some(Err(misfit)) => {
                let name = &column.field.name;
                builder.problem(format!("column {name:?} ({}): {misfit}", column.native.shown()));
                Value::Null
            }
        };
        if self.tombstone == Some(index) && raw.is_some() && value != Value::Boolean(false) {
            *op = RecordOp::Delete;
        }
        builder.push(index, &value).map_err(|e| Error::new(Kind::Protocol, e.to_string()))
    }

    /// Appends the record that a cursor stands at, cell by cell.
    pub(super) fn push_row(
        &self,
        builder: &mut BatchBuilder,
        row: &mut CursorRow<'_>,
        spare: &mut Spare,
    ) -> Result<(), Error> {
        let mut op = RecordOp::Upsert;
        let mut scratch = String::new();
        for (index, column) in self.columns.iter().enumerate() {
            let number = u16::try_from(index + 1)
                .map_err(|_| Error::new(Kind::Definition, "more columns than a statement can have"))?;
            let raw = spare.cell(row, number, column.wire).map_err(|e| error::of(&e))?;
            self.push_cell(builder, index, column, raw, &mut scratch, &mut op)?;
        }
        builder.end_record(op);
        Ok(())
    }
}

/// The buffer of a column whose longest value is known.
fn buffer(column: &Column) -> Option<BufferDesc> {
    let nullable = true;
    let holds = column.dialect.facts().lengths_hold;
    let size = column.native.size.filter(|size| (1..=BLOCK_CELL).contains(size));
    Some(match column.wire {
        Wire::Bit => BufferDesc::Bit { nullable },
        Wire::Int => BufferDesc::I64 { nullable },
        Wire::Double => BufferDesc::F64 { nullable },
        Wire::Date => BufferDesc::Date { nullable },
        Wire::Timestamp => BufferDesc::Timestamp { nullable },
        // a character may take two units; numbers have a sign, a point and a zero before it
        Wire::Text => BufferDesc::WText { max_str_len: size.filter(|_| holds)? * 2 + 8 },
        Wire::Bytes => BufferDesc::Binary { max_bytes: size.filter(|_| holds)? },
    })
}

/// Buffers of one cell, used again and again.
#[derive(Default)]
pub(super) struct Spare {
    units: Vec<u16>,
    bytes: Vec<u8>,
}

impl Spare {
    fn cell(
        &mut self,
        row: &mut CursorRow<'_>,
        number: u16,
        wire: Wire,
    ) -> Result<Option<Raw<'_>>, odbc_api::Error> {
        Ok(match wire {
            Wire::Bit => {
                let mut cell = Nullable::<Bit>::null();
                row.get_data(number, &mut cell)?;
                cell.into_opt().map(|bit| Raw::Int(i64::from(bit.0)))
            }
            Wire::Int => {
                let mut cell = Nullable::<i64>::null();
                row.get_data(number, &mut cell)?;
                cell.into_opt().map(Raw::Int)
            }
            Wire::Double => {
                let mut cell = Nullable::<f64>::null();
                row.get_data(number, &mut cell)?;
                cell.into_opt().map(Raw::Double)
            }
            Wire::Date => {
                let mut cell = Nullable::<Date>::null();
                row.get_data(number, &mut cell)?;
                cell.into_opt().map(Raw::Date)
            }
            Wire::Timestamp => {
                let mut cell = Nullable::<Timestamp>::null();
                row.get_data(number, &mut cell)?;
                cell.into_opt().map(Raw::Timestamp)
            }
            Wire::Text => row.get_wide_text(number, &mut self.units)?.then_some(Raw::Text(&self.units)),
            Wire::Bytes => row.get_binary(number, &mut self.bytes)?.then_some(Raw::Bytes(&self.bytes)),
        })
    }
}

/// A column of a block.
enum Cells<'b> {
    Bit(NullableSlice<'b, Bit>),
    Int(NullableSlice<'b, i64>),
    Double(NullableSlice<'b, f64>),
    Date(NullableSlice<'b, Date>),
    Timestamp(NullableSlice<'b, Timestamp>),
    Text(TextColumnSlice<'b, u16>),
    Bytes(BinColumnSlice<'b>),
}

impl<'b> Cells<'b> {
    fn of(block: &'b ColumnarDynBuffer, index: usize, wire: Wire) -> Option<Self> {
        let slice = block.column(index);
        Some(match wire {
            Wire::Bit => Self::Bit(slice.as_nullable_slice()?),
            Wire::Int => Self::Int(slice.as_nullable_slice()?),
            Wire::Double => Self::Double(slice.as_nullable_slice()?),
            Wire::Date => Self::Date(slice.as_nullable_slice()?),
            Wire::Timestamp => Self::Timestamp(slice.as_nullable_slice()?),
            Wire::Text => Self::Text(slice.as_wide_text()?),
            Wire::Bytes => Self::Bytes(slice.as_binary()?),
        })
    }

    fn is_cut_off(&self) -> bool {
        match self {
            Self::Text(cells) => cells.has_truncated_values().is_some(),
            Self::Bytes(cells) => cells.has_truncated_values().is_some(),
            _ => false,
        }
    }

    fn get(&self, row: usize) -> Option<Raw<'b>> {
        fn fixed<T: Copy>(cells: &NullableSlice<'_, T>, row: usize) -> Option<T> {
            let (values, indicators) = cells.raw_values();
            (indicators[row] != NULL_DATA).then(|| values[row])
        }
        match self {
            Self::Bit(cells) => fixed(cells, row).map(|bit| Raw::Int(i64::from(bit.0))),
            Self::Int(cells) => fixed(cells, row).map(Raw::Int),
            Self::Double(cells) => fixed(cells, row).map(Raw::Double),
            Self::Date(cells) => fixed(cells, row).map(Raw::Date),
            Self::Timestamp(cells) => fixed(cells, row).map(Raw::Timestamp),
            Self::Text(cells) => cells.get(row).map(Raw::Text),
            Self::Bytes(cells) => cells.get(row).map(Raw::Bytes),
        }
    }
}

/// A result being fetched.
pub(super) enum Fetch {
    /// In blocks.
    Blocks(BlockCursor<Owned, ColumnarDynBuffer>),
    /// Cell by cell.
    Cells(Owned),
}

impl Fetch {
    /// `rows`: most records that one block needs to have.
    pub(super) fn new(cursor: Owned, shape: &Shape, rows: usize) -> Result<Self, Error> {
        match shape.block(rows) {
            Some(block) => Ok(Self::Blocks(cursor.bind_buffer(block).map_err(|e| error::of(&e))?)),
            None => Ok(Self::Cells(cursor)),
        }
    }

    /// Appends every record, one after the other. `before` is asked before a record, `after` told behind it; both end the
    /// listing with `false`.
    pub(super) fn each(
        self,
        shape: &Shape,
        builder: &mut BatchBuilder,
        mut before: impl FnMut(&mut BatchBuilder) -> bool,
        mut after: impl FnMut(&mut BatchBuilder),
    ) -> Result<(), Error> {
        match self {
            Self::Blocks(mut blocks) => {
                while let Some(block) = blocks.fetch().map_err(|e| error::of(&e))? {
                    let cells = cells(shape, block)?;
                    for row in 0..block.num_rows() {
                        if !before(builder) {
                            return Ok(());
                        }
                        shape.push(builder, |column| Ok(cells[column].get(row)))?;
                        after(builder);
                    }
                }
            }
            Self::Cells(mut cursor) => {
                let mut spare = Spare::default();
                while let Some(mut row) = cursor.next_row().map_err(|e| error::of(&e))? {
                    if !before(builder) {
                        return Ok(());
                    }
                    shape.push_row(builder, &mut row, &mut spare)?;
                    after(builder);
                }
            }
        }
        Ok(())
    }
}

/// The columns of a block, none of them cut off.
fn cells<'b>(shape: &Shape, block: &'b ColumnarDynBuffer) -> Result<Vec<Cells<'b>>, Error> {
    let one = |(index, column): (usize, &Column)| {
        let cells = Cells::of(block, index, column.wire)
            .ok_or_else(|| Error::new(Kind::Protocol, "a buffer of another type than was bound"))?;
        if cells.is_cut_off() {
            let (name, shown) = (&column.field.name, column.native.shown());
            let message = format!("column {name:?} ({shown}) holds a longer value than its type allows");
            return Err(Error::new(Kind::Definition, message)
                .hint("set dialect: generic for this connection, and its lengths will not be relied on"));
        }
        Ok(cells)
    };
    shape.columns.iter().enumerate().map(one).collect()
}
