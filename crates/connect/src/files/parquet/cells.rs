//! How Parquet stores values, as field types and values of ours; exactly, or not at all.

use arrow_array::{
    Array,
    cast::AsArray,
    types::{
        Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type, Time32MillisecondType, Time64MicrosecondType, Time64NanosecondType,
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, UInt8Type, UInt16Type,
        UInt32Type, UInt64Type,
    },
};
use arrow_schema::{DataType, TimeUnit};
use parquet::{
    basic::{ConvertedType, LogicalType, Type as Physical},
    schema::types::Type,
};
use syncline_core::{schema::FieldType, value::Value};

/// How a column is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Native {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float32,
    Float64,
    Decimal128,
    Decimal256,
    Text,
    Json,
    /// Bytes that are text: an enumeration.
    Enum,
    Binary,
    Fixed,
    Uuid,
    Date,
    TimeMillis,
    TimeMicros,
    TimeNanos,
    Timestamp(TimeUnit, bool),
    List(Box<Native>),
}

/// The field type of a column, and how it is stored.
///
/// # Errors
/// Why it is not carried.
pub(super) fn kind(arrow: &DataType, stored: &Type) -> Result<(FieldType, Native), String> {
    let info = stored.get_basic_info();
    let logical = info.logical_type_ref();
    let pair = match arrow {
        DataType::Boolean => (FieldType::Boolean, Native::Boolean),
        DataType::Int8 => (FieldType::Int64, Native::Int8),
        DataType::Int16 => (FieldType::Int64, Native::Int16),
        DataType::Int32 => (FieldType::Int64, Native::Int32),
        DataType::Int64 => (FieldType::Int64, Native::Int64),
        DataType::UInt8 => (FieldType::Int64, Native::UInt8),
        DataType::UInt16 => (FieldType::Int64, Native::UInt16),
        DataType::UInt32 => (FieldType::Int64, Native::UInt32),
        DataType::UInt64 => (decimal(20, 0), Native::UInt64),
        DataType::Float32 => (FieldType::Float64, Native::Float32),
        DataType::Float64 => (FieldType::Float64, Native::Float64),
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            (decimal(*precision, *scale), Native::Decimal128)
        }
        DataType::Decimal256(precision, scale) if *scale >= 0 => {
            (decimal(*precision, *scale), Native::Decimal256)
        }
        DataType::Utf8 if matches!(logical, Some(LogicalType::Json)) => (FieldType::Json, Native::Json),
        DataType::Utf8 if info.converted_type() == ConvertedType::JSON => (FieldType::Json, Native::Json),
        DataType::Utf8 => (FieldType::Text, Native::Text),
        DataType::Binary
            if matches!(logical, Some(LogicalType::Enum)) || info.converted_type() == ConvertedType::ENUM =>
        {
            (FieldType::Text, Native::Enum)
        }
        DataType::Binary => (FieldType::Binary, Native::Binary),
        DataType::FixedSizeBinary(16) if matches!(logical, Some(LogicalType::Uuid)) => {
            (FieldType::Uuid, Native::Uuid)
        }
        DataType::FixedSizeBinary(_) => (FieldType::Binary, Native::Fixed),
        DataType::Date32 => (FieldType::Date, Native::Date),
        DataType::Time32(TimeUnit::Millisecond) => (FieldType::Time, Native::TimeMillis),
        DataType::Time64(TimeUnit::Microsecond) => (FieldType::Time, Native::TimeMicros),
        DataType::Time64(TimeUnit::Nanosecond) => (FieldType::Time, Native::TimeNanos),
        DataType::Timestamp(_, _)
            if stored.is_primitive() && stored.get_physical_type() == Physical::INT96 =>
        {
            return Err("an INT96 timestamp, which the format has given up for TIMESTAMP".into());
        }
        DataType::Timestamp(unit, zone) => {
            let zoned = zone.is_some();
            (FieldType::Timestamp { zoned }, Native::Timestamp(*unit, zoned))
        }
        DataType::List(item) => {
            let stored = element(stored).ok_or("a list in a form of its own")?;
            let (of, native) = kind(item.data_type(), stored)?;
            if matches!(of, FieldType::List(_)) {
                return Err("a list of lists".into());
            }
            (FieldType::List(Box::new(of)), Native::List(Box::new(native)))
        }
        DataType::Struct(_) | DataType::Map(_, _) => return Err("a nested column".into()),
        other => return Err(format!("a column of type {other}")),
    };
    Ok(pair)
}

fn decimal(precision: u8, scale: i8) -> FieldType {
    FieldType::Decimal { precision: Some(precision.into()), scale: u32::try_from(scale).ok() }
}

/// The element of a list, in the three levels of the format or in the older two.
fn element(list: &Type) -> Option<&Type> {
    let only = |group: &'_ Type| (group.is_group() && group.get_fields().len() == 1).then_some(());
    if list.is_primitive() {
        return Some(list);
    }
    only(list)?;
    let repeated = list.get_fields().first()?;
    match repeated.is_primitive() {
        true => Some(repeated),
        false => {
            only(repeated)?;
            repeated.get_fields().first().map(AsRef::as_ref)
        }
    }
}

/// The value of a cell; `None` when it does not fit exactly.
pub(super) fn value<'a>(array: &'a dyn Array, native: &Native, row: usize) -> Option<Value<'a>> {
    if array.is_null(row) {
        return Some(Value::Null);
    }
    macro_rules! primitive {
        ($type:ty) => {
            array.as_primitive::<$type>().value(row)
        };
    }
    Some(match native {
        Native::Boolean => Value::Boolean(array.as_boolean().value(row)),
        Native::Int8 => Value::Int64(primitive!(Int8Type).into()),
        Native::Int16 => Value::Int64(primitive!(Int16Type).into()),
        Native::Int32 => Value::Int64(primitive!(Int32Type).into()),
        Native::Int64 => Value::Int64(primitive!(Int64Type)),
        Native::UInt8 => Value::Int64(primitive!(UInt8Type).into()),
        Native::UInt16 => Value::Int64(primitive!(UInt16Type).into()),
        Native::UInt32 => Value::Int64(primitive!(UInt32Type).into()),
        Native::UInt64 => Value::Decimal(primitive!(UInt64Type).to_string().into()),
        Native::Float32 => Value::Float64(primitive!(Float32Type).into()),
        Native::Float64 => Value::Float64(primitive!(Float64Type)),
        Native::Decimal128 => {
            Value::Decimal(array.as_primitive::<Decimal128Type>().value_as_string(row).into())
        }
        Native::Decimal256 => {
            Value::Decimal(array.as_primitive::<Decimal256Type>().value_as_string(row).into())
        }
        Native::Text => Value::Text(array.as_string::<i32>().value(row).into()),
        Native::Json => Value::Json(array.as_string::<i32>().value(row).into()),
        Native::Enum => Value::Text(std::str::from_utf8(array.as_binary::<i32>().value(row)).ok()?.into()),
        Native::Binary => Value::Binary(array.as_binary::<i32>().value(row).into()),
        Native::Fixed => Value::Binary(array.as_fixed_size_binary().value(row).into()),
        Native::Uuid => Value::Uuid(array.as_fixed_size_binary().value(row).try_into().ok()?),
        Native::Date => Value::Date(primitive!(Date32Type)),
        Native::TimeMillis => Value::Time(i64::from(primitive!(Time32MillisecondType)) * 1_000),
        Native::TimeMicros => Value::Time(primitive!(Time64MicrosecondType)),
        Native::TimeNanos => Value::Time(whole_micros(primitive!(Time64NanosecondType))?),
        Native::Timestamp(unit, zoned) => {
            let micros = match unit {
                TimeUnit::Millisecond => primitive!(TimestampMillisecondType).checked_mul(1_000)?,
                TimeUnit::Microsecond => primitive!(TimestampMicrosecondType),
                TimeUnit::Nanosecond => whole_micros(primitive!(TimestampNanosecondType))?,
                TimeUnit::Second => return None,
            };
            Value::Timestamp { micros, zoned: *zoned }
        }
        Native::List(of) => {
            let list = array.as_list::<i32>();
            let offset = |at: usize| usize::try_from(list.value_offsets()[at]).ok();
            let items = offset(row)?..offset(row + 1)?;
            let values = list.values().as_ref();
            Value::List(items.map(|item| value(values, of, item)).collect::<Option<_>>()?)
        }
    })
}

/// Nanoseconds as microseconds, if none would be lost.
fn whole_micros(nanos: i64) -> Option<i64> {
    (nanos % 1_000 == 0).then_some(nanos / 1_000)
}
