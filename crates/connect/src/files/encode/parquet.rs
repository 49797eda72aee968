//! Parquet files, in types that other readers know.
//!
//! What Parquet has no type for (decimals of any length, numbers in lists that are decimals) is text there, and the schema
//! beside the file says what it means.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use arrow_array::{
    ArrayRef, ArrowPrimitiveType, RecordBatch,
    builder::{Decimal128Builder, Decimal256Builder},
    cast::AsArray,
    types::Decimal256Type,
};
use arrow_schema::{DataType, Schema};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical},
    errors::ParquetError,
    file::properties::WriterProperties,
    schema::types::{SchemaDescriptor, Type},
};
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions, RecordOp},
    schema::{Field, FieldType},
    value::Value,
};

use super::unfit;
use crate::{Error, error::Kind};

/// About how many bytes of a row group are kept before they are written.
const GROUP_BYTES: usize = 16 << 20;
/// Records that are turned into columns at once.
const ROWS: usize = 4_096;

/// Whole numbers of 256 bits.
type Wide = <Decimal256Type as ArrowPrimitiveType>::Native;

/// A file that is being made.
pub(in crate::files) struct Parquet {
    fields: Arc<[Field]>,
    schema: Arc<Schema>,
    builder: BatchBuilder,
    writer: ArrowWriter<Shared>,
    out: Shared,
}

impl Parquet {
    pub(super) fn new(fields: &[Field]) -> Result<Self, Error> {
        let out = Shared::default();
        let root = Type::group_type_builder("schema")
            .with_fields(
                fields
                    .iter()
                    .map(|f| stored(&f.name, &f.kind, f.nullable).map(Arc::new))
                    .collect::<Result<_, _>>()
                    .map_err(|e| failed(&e))?,
            )
            .build()
            .map_err(|e| failed(&e))?;
        let columns = fields.iter().map(|f| arrow_schema::Field::new(&f.name, arrow(&f.kind), f.nullable));
        let schema = Arc::new(Schema::new(columns.collect::<Vec<_>>()));
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_skip_arrow_metadata(true)
            .with_parquet_schema(SchemaDescriptor::new(Arc::new(root)));
        let writer = ArrowWriter::try_new_with_options(out.clone(), Arc::clone(&schema), options);
        let fields: Arc<[Field]> = fields.into();
        Ok(Self {
            builder: BatchBuilder::new(Arc::clone(&fields)),
            fields,
            schema,
            writer: writer.map_err(|e| failed(&e))?,
            out,
        })
    }

    pub(super) fn record<'v>(&mut self, values: impl Iterator<Item = Value<'v>>) -> Result<(), Error> {
        for (column, value) in values.enumerate() {
            self.builder.push(column, &value).map_err(|e| Error::new(Kind::Protocol, e.to_string()))?;
        }
        self.builder.end_record(RecordOp::Upsert);
        if self.builder.len() >= ROWS || self.builder.bytes() >= GROUP_BYTES / 4 {
            self.write()?;
        }
        Ok(())
    }

    /// What is ready to be sent.
    pub(super) fn take(&self) -> Vec<u8> {
        self.out.take()
    }

    pub(super) fn finish(mut self) -> Result<Vec<u8>, Error> {
        self.write()?;
        self.writer.close().map_err(|e| failed(&e))?;
        Ok(self.out.take())
    }

    fn write(&mut self) -> Result<(), Error> {
        if self.builder.is_empty() {
            return Ok(());
        }
        let batch = self.builder.finish(Positions::None);
        let columns = self.fields.iter().enumerate().map(|(at, field)| column(&batch, at, field));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let records = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|_| Error::new(Kind::Rejected, "a null in a column that is never null"))?;
        self.writer.write(&records).map_err(|e| failed(&e))?;
        if self.writer.in_progress_size() >= GROUP_BYTES {
            self.writer.flush().map_err(|e| failed(&e))?;
        }
        Ok(())
    }
}

/// A column as it is stored. All but decimals are stored as they travel.
fn column(batch: &Batch, at: usize, field: &Field) -> Result<ArrayRef, Error> {
    let array = batch.records().column(at);
    let (DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)) =
        arrow(&field.kind)
    else {
        return Ok(Arc::clone(array));
    };
    let texts = array.as_string::<i32>().iter();
    let digits = |text: &str| unscaled(text, precision, scale).ok_or_else(|| unfit(field));
    if matches!(arrow(&field.kind), DataType::Decimal128(..)) {
        let mut builder = Decimal128Builder::with_capacity(batch.len())
            .with_precision_and_scale(precision, scale)
            .map_err(|_| unfit(field))?;
        for text in texts {
            let value = text.map(digits).transpose()?;
            builder.append_option(value.map(|v| v.parse().map_err(|_| unfit(field))).transpose()?);
        }
        return Ok(Arc::new(builder.finish()));
    }
    let mut builder = Decimal256Builder::with_capacity(batch.len())
        .with_precision_and_scale(precision, scale)
        .map_err(|_| unfit(field))?;
    for text in texts {
        let value = text.map(digits).transpose()?;
        let value = value.map(|v| Wide::from_string(&v).ok_or_else(|| unfit(field)));
        builder.append_option(value.transpose()?);
    }
    Ok(Arc::new(builder.finish()))
}

/// The digits of a decimal without its point, if it has no more of them than the type.
fn unscaled(text: &str, precision: u8, scale: i8) -> Option<String> {
    let normal = syncline_core::decimal::normal(text);
    let (sign, digits) = normal.strip_prefix('-').map_or(("", normal.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = usize::try_from(scale).ok()?;
    let numeric = whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
    if !numeric || fraction.len() > scale {
        return None;
    }
    let all = format!("{whole}{fraction:0<scale$}");
    let significant = all.trim_start_matches('0');
    (significant.len() <= usize::from(precision))
        .then(|| format!("{sign}{}", if significant.is_empty() { "0" } else { significant }))
}

/// The Arrow type of a stored column.
fn arrow(kind: &FieldType) -> DataType {
    let FieldType::Decimal { precision: Some(precision), scale: Some(scale) } = kind else {
        return syncline_core::batch::arrow_type(kind);
    };
    match (u8::try_from(*precision), i8::try_from(*scale)) {
        (Ok(p @ 1..=38), Ok(s)) if i16::from(s) <= i16::from(p) => DataType::Decimal128(p, s),
        (Ok(p @ 39..=76), Ok(s)) if i16::from(s) <= i16::from(p) => DataType::Decimal256(p, s),
        _ => DataType::Utf8,
    }
}

/// The Parquet type of a column.
fn stored(name: &str, kind: &FieldType, nullable: bool) -> Result<Type, ParquetError> {
    let repetition = if nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    if let FieldType::List(of) = kind {
        let item = stored("element", &plain(of), true)?;
        let list = Type::group_type_builder("list")
            .with_repetition(Repetition::REPEATED)
            .with_fields(vec![Arc::new(item)])
            .build()?;
        return Type::group_type_builder(name)
            .with_repetition(repetition)
            .with_logical_type(Some(LogicalType::List))
            .with_fields(vec![Arc::new(list)])
            .build();
    }
    let unit = || TimeUnit::MICROS;
    let (physical, logical, length) = match kind {
        FieldType::Boolean => (Physical::BOOLEAN, None, 0),
        FieldType::Int64 => (Physical::INT64, None, 0),
        FieldType::Float64 => (Physical::DOUBLE, None, 0),
        FieldType::Binary => (Physical::BYTE_ARRAY, None, 0),
        FieldType::Date => (Physical::INT32, Some(LogicalType::Date), 0),
        FieldType::Time => (Physical::INT64, Some(LogicalType::time(false, unit())), 0),
        FieldType::Timestamp { zoned } => (Physical::INT64, Some(LogicalType::timestamp(*zoned, unit())), 0),
        FieldType::Uuid => (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Uuid), 16),
        FieldType::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json), 0),
        FieldType::Decimal { .. } | FieldType::Text | FieldType::List(_) => match arrow(kind) {
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
                let (physical, length) = decimal_bytes(precision);
                return Type::primitive_type_builder(name, physical)
                    .with_repetition(repetition)
                    .with_length(length)
                    .with_precision(precision.into())
                    .with_scale(scale.into())
                    .with_logical_type(Some(LogicalType::decimal(scale.into(), precision.into())))
                    .build();
            }
            _ => (Physical::BYTE_ARRAY, Some(LogicalType::String), 0),
        },
    };
    let builder = Type::primitive_type_builder(name, physical).with_repetition(repetition);
    builder.with_length(length).with_logical_type(logical).build()
}

/// How a decimal is stored, and in how many bytes: as few as hold its digits and a sign.
fn decimal_bytes(precision: u8) -> (Physical, i32) {
    match precision {
        ..=9 => (Physical::INT32, 0),
        10..=18 => (Physical::INT64, 0),
        _ => {
            let bits = 10_f64.powi(i32::from(precision)).log2() + 1.0;
            (Physical::FIXED_LEN_BYTE_ARRAY, (bits / 8.0).ceil() as i32)
        }
    }
}

/// An element of a list: decimals travel there as text.
fn plain(of: &FieldType) -> FieldType {
    if matches!(of, FieldType::Decimal { .. }) { FieldType::Text } else { of.clone() }
}

fn failed(error: &ParquetError) -> Error {
    Error::new(Kind::Protocol, format!("Parquet cannot be written: {error}"))
}

/// Where the library writes, and where we take it from.
#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_lose_their_point_and_nothing_else() {
        for (text, expected) in [
            ("1.5", Some("150")),
            ("-0.05", Some("-5")),
            ("0", Some("0")),
            ("1e2", Some("10000")),
            ("123.45", Some("12345")),
            ("1234.5", None),
            ("0.001", None),
            ("NaN", None),
        ] {
            assert_eq!(unscaled(text, 5, 2).as_deref(), expected, "{text}");
        }
        assert_eq!(unscaled("1000", 6, 2).as_deref(), Some("100000"));
    }
}
