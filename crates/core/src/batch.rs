//! A bounded group of records: an Arrow record batch with an operation per record and the position at its end.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, FixedSizeBinaryArray, Float64Array, Int64Array,
    ListArray, RecordBatch, RecordBatchOptions, StringArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
    builder::{
        BinaryBuilder, BooleanBuilder, Date32Builder, FixedSizeBinaryBuilder, Float64Builder, Int64Builder,
        StringBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
    },
    cast::AsArray,
    types::{Date32Type, Float64Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType},
};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};
use arrow_schema::{DataType, Schema as ArrowSchema, TimeUnit};

use crate::{
    cursor::Position,
    schema::{Field, FieldType},
    value::Value,
};

/// What the source says happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordOp {
    /// The record exists with these values.
    Upsert,
    /// The source holds a tombstone: the record is gone.
    Delete,
}

/// A bounded group of records in source order.
///
/// Shape: one Arrow column per field of `fields`; decimals and JSON travel as exact text, uuids as 16 bytes.
#[derive(Debug, Clone)]
pub struct Batch {
    fields: Arc<[Field]>,
    records: RecordBatch,
    ops: Vec<RecordOp>,
    problems: BTreeMap<usize, String>,
    positions: Positions,
}

/// How to find the position of a record inside a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Positions {
    /// The listing has no resumable position (a full read by key keeps none).
    None,
    /// The cursor is this column; with the key columns it gives each record's position.
    Columns {
        /// Index of the cursor column.
        cursor: usize,
        /// Indexes of the key columns.
        key: Vec<usize>,
    },
}

impl Batch {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.num_rows()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held by the columns.
    pub fn bytes(&self) -> usize {
        self.records.get_array_memory_size()
    }

    /// The fields, in column order.
    pub fn fields(&self) -> &Arc<[Field]> {
        &self.fields
    }

    /// The Arrow form.
    pub fn records(&self) -> &RecordBatch {
        &self.records
    }

    /// What happened to record `row`.
    pub fn op(&self, row: usize) -> RecordOp {
        self.ops.get(row).copied().unwrap_or(RecordOp::Upsert)
    }

    /// Why record `row` could not be read whole, without values: a cell that its column's type cannot carry. The cell is
    /// null in the batch, but the record must not be written.
    pub fn problem(&self, row: usize) -> Option<&str> {
        self.problems.get(&row).map(String::as_str)
    }

    /// The value of `column` in record `row`. Panics when out of range, as slices do.
    pub fn value(&self, row: usize, column: usize) -> Value<'_> {
        read(self.records.column(column).as_ref(), &self.fields[column].kind, row)
    }

    /// The position of record `row` in the source's order, if the listing has one.
    pub fn position(&self, row: usize) -> Option<Position> {
        match &self.positions {
            Positions::None => None,
            Positions::Columns { cursor, key } => Some(Position {
                cursor: self.value(row, *cursor).into_owned(),
                key: key.iter().map(|k| self.value(row, *k).into_owned()).collect(),
            }),
        }
    }
}

fn read<'a>(array: &'a dyn Array, kind: &FieldType, row: usize) -> Value<'a> {
    if array.is_null(row) {
        return Value::Null;
    }
    match kind {
        FieldType::Boolean => Value::Boolean(array.as_boolean().value(row)),
        FieldType::Int64 => Value::Int64(array.as_primitive::<Int64Type>().value(row)),
        FieldType::Float64 => Value::Float64(array.as_primitive::<Float64Type>().value(row)),
        FieldType::Decimal { .. } => Value::Decimal(Cow::Borrowed(array.as_string::<i32>().value(row))),
        FieldType::Text => Value::Text(Cow::Borrowed(array.as_string::<i32>().value(row))),
        FieldType::Json => Value::Json(Cow::Borrowed(array.as_string::<i32>().value(row))),
        FieldType::Binary => Value::Binary(Cow::Borrowed(array.as_binary::<i32>().value(row))),
        FieldType::Date => Value::Date(array.as_primitive::<Date32Type>().value(row)),
        FieldType::Time => Value::Time(array.as_primitive::<Time64MicrosecondType>().value(row)),
        FieldType::Timestamp { zoned } => Value::Timestamp {
            micros: array.as_primitive::<TimestampMicrosecondType>().value(row),
            zoned: *zoned,
        },
        FieldType::Uuid => {
            let mut id = [0; 16];
            id.copy_from_slice(array.as_fixed_size_binary().value(row));
            Value::Uuid(id)
        }
        FieldType::List(of) => {
            let list = array.as_list::<i32>();
            let offsets = list.value_offsets();
            let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
            Value::List((start..end).map(|i| read(list.values().as_ref(), of, i)).collect())
        }
    }
}

/// The Arrow type that carries a field type.
pub fn arrow_type(kind: &FieldType) -> DataType {
    match kind {
        FieldType::Boolean => DataType::Boolean,
        FieldType::Int64 => DataType::Int64,
        FieldType::Float64 => DataType::Float64,
        FieldType::Decimal { .. } | FieldType::Text | FieldType::Json => DataType::Utf8,
        FieldType::Binary => DataType::Binary,
        FieldType::Date => DataType::Date32,
        FieldType::Time => DataType::Time64(TimeUnit::Microsecond),
        FieldType::Timestamp { zoned } => {
            DataType::Timestamp(TimeUnit::Microsecond, zoned.then(|| Arc::from("UTC")))
        }
        FieldType::Uuid => DataType::FixedSizeBinary(16),
        FieldType::List(of) => DataType::List(arrow_item(of)),
    }
}

fn arrow_item(of: &FieldType) -> Arc<arrow_schema::Field> {
    Arc::new(arrow_schema::Field::new("item", arrow_type(of), true))
}

/// A value was pushed that its column cannot hold: a fault of the connector, not of the data.
#[derive(Debug, thiserror::Error)]
#[error("column {column}: a {found} value in a {expected} column")]
pub struct TypeMismatch {
    /// Column index.
    pub column: usize,
    /// Type of the value.
    pub found: &'static str,
    /// Type of the column.
    pub expected: String,
}

/// Collects records into a [`Batch`].
///
/// Push one value per column, in column order, then [`BatchBuilder::end_record`].
#[derive(Debug)]
pub struct BatchBuilder {
    fields: Arc<[Field]>,
    arrow: Arc<ArrowSchema>,
    columns: Vec<ColumnBuilder>,
    ops: Vec<RecordOp>,
    has_deletes: bool,
    problems: BTreeMap<usize, String>,
    rows: usize,
    bytes: usize,
}

impl BatchBuilder {
    /// An empty builder for these fields.
    pub fn new(fields: Arc<[Field]>) -> Self {
        let arrow = ArrowSchema::new(
            fields
                .iter()
                .map(|f| arrow_schema::Field::new(&f.name, arrow_type(&f.kind), true))
                .collect::<Vec<_>>(),
        );
        let columns = fields.iter().map(|f| ColumnBuilder::new(&f.kind)).collect();
        Self {
            fields,
            arrow: Arc::new(arrow),
            columns,
            ops: Vec::new(),
            problems: BTreeMap::new(),
            has_deletes: false,
            rows: 0,
            bytes: 0,
        }
    }

    /// Appends a value to `column`.
    ///
    /// # Errors
    /// [`TypeMismatch`]; the builder is then unusable.
    pub fn push(&mut self, column: usize, value: &Value<'_>) -> Result<(), TypeMismatch> {
        self.bytes += match value {
            Value::Text(v) | Value::Decimal(v) | Value::Json(v) => v.len() + 4,
            Value::Binary(v) => v.len() + 4,
            Value::List(v) => v.len() * 16 + 4,
            _ => 8,
        };
        if self.columns[column].push(value) {
            return Ok(());
        }
        Err(TypeMismatch { column, found: value.type_name(), expected: self.fields[column].kind.to_string() })
    }

    /// Notes why the record being collected cannot be read whole; push [`Value::Null`] for the cell. The first reason
    /// stays.
    pub fn problem(&mut self, message: impl Into<String>) {
        self.problems.entry(self.rows).or_insert_with(|| message.into());
    }

    /// Ends the record whose values were pushed.
    pub fn end_record(&mut self, op: RecordOp) {
        self.has_deletes |= op == RecordOp::Delete;
        self.ops.push(op);
        self.rows += 1;
    }

    /// Records so far.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no records yet.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// About how many bytes the values take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The batch of what was collected; the builder is empty afterwards and can be used again.
    pub fn finish(&mut self, positions: Positions) -> Batch {
        let arrays: Vec<ArrayRef> = self.columns.iter_mut().map(ColumnBuilder::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let records = RecordBatch::try_new_with_options(Arc::clone(&self.arrow), arrays, &options)
            .expect("every record has one value per column, of the column's type");
        let ops = if self.has_deletes { std::mem::take(&mut self.ops) } else { Vec::new() };
        self.ops.clear();
        (self.rows, self.bytes, self.has_deletes) = (0, 0, false);
        let problems = std::mem::take(&mut self.problems);
        Batch { fields: Arc::clone(&self.fields), records, ops, problems, positions }
    }
}

#[derive(Debug)]
enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Decimal(StringBuilder),
    Text(StringBuilder),
    Json(StringBuilder),
    Binary(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder, bool),
    Uuid(FixedSizeBinaryBuilder),
    List {
        item: Arc<arrow_schema::Field>,
        offsets: Vec<i32>,
        nulls: NullBufferBuilder,
        values: Box<ColumnBuilder>,
    },
}

impl ColumnBuilder {
    fn new(kind: &FieldType) -> Self {
        match kind {
            FieldType::Boolean => Self::Boolean(BooleanBuilder::new()),
            FieldType::Int64 => Self::Int64(Int64Builder::new()),
            FieldType::Float64 => Self::Float64(Float64Builder::new()),
            FieldType::Decimal { .. } => Self::Decimal(StringBuilder::new()),
            FieldType::Text => Self::Text(StringBuilder::new()),
            FieldType::Json => Self::Json(StringBuilder::new()),
            FieldType::Binary => Self::Binary(BinaryBuilder::new()),
            FieldType::Date => Self::Date(Date32Builder::new()),
            FieldType::Time => Self::Time(Time64MicrosecondBuilder::new()),
            FieldType::Timestamp { zoned } => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(arrow_type(kind)), *zoned)
            }
            FieldType::Uuid => Self::Uuid(FixedSizeBinaryBuilder::new(16)),
            FieldType::List(of) => Self::List {
                item: arrow_item(of),
                offsets: vec![0],
                nulls: NullBufferBuilder::new(0),
                values: Box::new(Self::new(of)),
            },
        }
    }

    fn push(&mut self, value: &Value<'_>) -> bool {
        match (self, value) {
            (column, Value::Null) => column.push_null(),
            (Self::Boolean(b), Value::Boolean(v)) => b.append_value(*v),
            (Self::Int64(b), Value::Int64(v)) => b.append_value(*v),
            (Self::Float64(b), Value::Float64(v)) => b.append_value(*v),
            (Self::Decimal(b), Value::Decimal(v))
            | (Self::Text(b), Value::Text(v))
            | (Self::Json(b), Value::Json(v)) => b.append_value(v),
            (Self::Binary(b), Value::Binary(v)) => b.append_value(v),
            (Self::Date(b), Value::Date(v)) => b.append_value(*v),
            (Self::Time(b), Value::Time(v)) => b.append_value(*v),
            (Self::Timestamp(b, z), Value::Timestamp { micros, zoned }) if z == zoned => {
                b.append_value(*micros);
            }
            (Self::Uuid(b), Value::Uuid(v)) => return b.append_value(v).is_ok(),
            (Self::List { offsets, nulls, values, .. }, Value::List(items)) => {
                if !items.iter().all(|item| values.push(item)) {
                    return false;
                }
                offsets.push(offsets.last().copied().unwrap_or(0) + items.len() as i32);
                nulls.append_non_null();
            }
            _ => return false,
        }
        true
    }

    fn push_null(&mut self) {
        match self {
            Self::Boolean(b) => b.append_null(),
            Self::Int64(b) => b.append_null(),
            Self::Float64(b) => b.append_null(),
            Self::Decimal(b) | Self::Text(b) | Self::Json(b) => b.append_null(),
            Self::Binary(b) => b.append_null(),
            Self::Date(b) => b.append_null(),
            Self::Time(b) => b.append_null(),
            Self::Timestamp(b, _) => b.append_null(),
            Self::Uuid(b) => b.append_null(),
            Self::List { offsets, nulls, .. } => {
                offsets.push(offsets.last().copied().unwrap_or(0));
                nulls.append_null();
            }
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(b) => Arc::<BooleanArray>::new(b.finish()),
            Self::Int64(b) => Arc::<Int64Array>::new(b.finish()),
            Self::Float64(b) => Arc::<Float64Array>::new(b.finish()),
            Self::Decimal(b) | Self::Text(b) | Self::Json(b) => Arc::<StringArray>::new(b.finish()),
            Self::Binary(b) => Arc::<BinaryArray>::new(b.finish()),
            Self::Date(b) => Arc::<Date32Array>::new(b.finish()),
            Self::Time(b) => Arc::<Time64MicrosecondArray>::new(b.finish()),
            Self::Timestamp(b, _) => Arc::<TimestampMicrosecondArray>::new(b.finish()),
            Self::Uuid(b) => Arc::<FixedSizeBinaryArray>::new(b.finish()),
            Self::List { item, offsets, nulls, values } => {
                let offsets = OffsetBuffer::new(std::mem::replace(offsets, vec![0]).into());
                Arc::new(ListArray::new(Arc::clone(item), offsets, values.finish(), nulls.finish()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_comes_back_as_it_was_pushed() {
        let list = FieldType::List(Box::new(FieldType::Text));
        let cases: Vec<(FieldType, Value<'static>)> = vec![
            (FieldType::Boolean, Value::Boolean(true)),
            (FieldType::Int64, Value::Int64(i64::MIN)),
            (FieldType::Float64, Value::Float64(0.1)),
            (
                FieldType::Decimal { precision: None, scale: None },
                Value::Decimal("123456789012345678901234.50".into()),
            ),
            (FieldType::Text, Value::Text("naïve 🙂".into())),
            (FieldType::Binary, Value::Binary(vec![0, 255].into())),
            (FieldType::Date, Value::Date(-1)),
            (FieldType::Time, Value::Time(1)),
            (FieldType::Timestamp { zoned: true }, Value::Timestamp { micros: -5, zoned: true }),
            (FieldType::Timestamp { zoned: false }, Value::Timestamp { micros: i64::MAX, zoned: false }),
            (FieldType::Uuid, Value::Uuid([7; 16])),
            (FieldType::Json, Value::Json("{\"a\":1}".into())),
            (list, Value::List(vec![Value::Text("a".into()), Value::Null])),
        ];
        let fields: Arc<[Field]> = cases
            .iter()
            .enumerate()
            .map(|(i, (k, _))| Field::new(format!("c{i}"), k.clone(), true))
            .collect();
        let mut builder = BatchBuilder::new(fields);
        for round in 0..2 {
            for (column, (_, value)) in cases.iter().enumerate() {
                builder.push(column, if round == 0 { value } else { &Value::Null }).unwrap();
            }
            builder.end_record(RecordOp::Upsert);
        }
        let batch = builder.finish(Positions::None);
        assert_eq!(batch.len(), 2);
        for (column, (_, value)) in cases.iter().enumerate() {
            assert_eq!(&batch.value(0, column), value);
            assert_eq!(batch.value(1, column), Value::Null);
        }
        assert!(builder.push(0, &Value::Int64(1)).is_err());
    }

    #[test]
    fn a_problem_stays_with_its_record() {
        let mut builder = BatchBuilder::new(Arc::new([Field::new("a", FieldType::Int64, true)]));
        for row in 0..3 {
            builder.push(0, &Value::Null).unwrap();
            if row == 1 {
                builder.problem("column \"a\": text in an integer column");
                builder.problem("a later one");
            }
            builder.end_record(RecordOp::Upsert);
        }
        let batch = builder.finish(Positions::None);
        assert_eq!(batch.problem(1), Some("column \"a\": text in an integer column"));
        assert_eq!((batch.problem(0), batch.problem(2)), (None, None));
    }
}
