//! MySQL's types as ours, and the values of its binary protocol.
//!
//! A [`Codec`] is chosen once per column; [`Codec::decode`] then reads the driver's value. The table of types is in
//! `docs/types.md`. Formats: <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html>.

use std::borrow::Cow;

use mysql_async::{
    Column as Sent, Value as Raw,
    consts::{ColumnFlags, ColumnType},
};
use syncline_core::{schema::FieldType, time::DAY_MICROS, value::Value};
use uuid::Uuid;

/// The character set of bytes.
const BINARY: u16 = 63;

/// How the values of a column are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// `tinyint(1)`.
    Bool,
    /// `bit(1)`.
    Bit,
    /// Whole numbers that fit into 64 bits with a sign.
    Int,
    /// `bigint unsigned`.
    Unsigned,
    /// `bit(2)` to `bit(63)`.
    Bits,
    /// `bit(64)`.
    Bits64,
    Float,
    Decimal {
        precision: u32,
        scale: u32,
    },
    Text,
    Binary,
    Date,
    Time,
    /// `datetime`: a wall clock.
    Datetime,
    /// `timestamp`: an instant, told in UTC.
    Timestamp,
    Uuid,
    Json,
}

/// What the server can do with the values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Compare and sort in one order, so that a listing can go on behind a value.
    Keyset,
    /// Compare for equality; they are sorted otherwise than they are compared (`enum`: by number, by text).
    Sorted,
    /// Neither.
    None,
}

/// A type as this connector treats it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Native {
    pub(super) codec: Codec,
    pub(super) order: Order,
}

impl Native {
    /// By the type's name (`decimal`) and the column's whole type (`decimal(14,2) unsigned`), as `information_schema` has
    /// them. An error is the reason why a type is not carried.
    pub(super) fn of(name: &str, column_type: &str) -> Result<Self, &'static str> {
        let unsigned = column_type.contains("unsigned");
        let numbers = numbers(column_type);
        let codec = match name {
            "tinyint" if numbers.first() == Some(&1) && !unsigned => Codec::Bool,
            "bigint" if unsigned => Codec::Unsigned,
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" => Codec::Int,
            "bit" => bits(numbers.first().copied().unwrap_or(1)),
            "float" | "double" => Codec::Float,
            "decimal" => {
                let at = |i: usize, default| numbers.get(i).copied().unwrap_or(default);
                Codec::Decimal { precision: at(0, 10), scale: at(1, 0) }
            }
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "inet4" | "inet6" => {
                Codec::Text
            }
            "enum" | "set" => return Ok(Self { codec: Codec::Text, order: Order::Sorted }),
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Codec::Binary,
            "date" => Codec::Date,
            "time" => Codec::Time,
            "datetime" => Codec::Datetime,
            "timestamp" => Codec::Timestamp,
            "uuid" => Codec::Uuid,
            "json" => return Ok(Self { codec: Codec::Json, order: Order::None }),
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
            | "multipolygon" | "geomcollection" | "geometrycollection" => {
                return Err("spatial values are not carried: select ST_AsText(column) in a statement");
            }
            _ => return Err("this type is not carried: convert it to text in a statement"),
        };
        Ok(Self { codec, order: Order::Keyset })
    }

    /// By what the server says about a column of a statement, with the type in words.
    pub(super) fn of_sent(sent: &Sent) -> (Result<Self, &'static str>, String) {
        let (flags, length) = (sent.flags(), sent.column_length());
        let is_text = sent.character_set() != BINARY;
        let name = match sent.column_type() {
            ColumnType::MYSQL_TYPE_TINY => "tinyint",
            ColumnType::MYSQL_TYPE_SHORT => "smallint",
            ColumnType::MYSQL_TYPE_INT24 => "mediumint",
            ColumnType::MYSQL_TYPE_LONG => "int",
            ColumnType::MYSQL_TYPE_LONGLONG => "bigint",
            ColumnType::MYSQL_TYPE_YEAR => "year",
            ColumnType::MYSQL_TYPE_BIT => "bit",
            ColumnType::MYSQL_TYPE_FLOAT => "float",
            ColumnType::MYSQL_TYPE_DOUBLE => "double",
            ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_NEWDECIMAL => "decimal",
            ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_NEWDATE => "date",
            ColumnType::MYSQL_TYPE_TIME | ColumnType::MYSQL_TYPE_TIME2 => "time",
            ColumnType::MYSQL_TYPE_DATETIME | ColumnType::MYSQL_TYPE_DATETIME2 => "datetime",
            ColumnType::MYSQL_TYPE_TIMESTAMP | ColumnType::MYSQL_TYPE_TIMESTAMP2 => "timestamp",
            ColumnType::MYSQL_TYPE_JSON => "json",
            ColumnType::MYSQL_TYPE_GEOMETRY => "geometry",
            _ if flags.intersects(ColumnFlags::ENUM_FLAG | ColumnFlags::SET_FLAG) => "enum",
            // a literal null
            ColumnType::MYSQL_TYPE_NULL => "varchar",
            ColumnType::MYSQL_TYPE_VARCHAR
            | ColumnType::MYSQL_TYPE_VAR_STRING
            | ColumnType::MYSQL_TYPE_STRING
            | ColumnType::MYSQL_TYPE_TINY_BLOB
            | ColumnType::MYSQL_TYPE_MEDIUM_BLOB
            | ColumnType::MYSQL_TYPE_LONG_BLOB
            | ColumnType::MYSQL_TYPE_BLOB => {
                if is_text {
                    "varchar"
                } else {
                    "varbinary"
                }
            }
            _ => "unknown",
        };
        let unsigned = flags.contains(ColumnFlags::UNSIGNED_FLAG);
        let mut shown = name.to_owned();
        match name {
            "decimal" => {
                let scale = u32::from(sent.decimals());
                let extra = u32::from(scale > 0) + u32::from(!unsigned);
                shown = format!("decimal({},{scale})", length.saturating_sub(extra));
            }
            "bit" => shown = format!("bit({length})"),
            "tinyint" if length == 1 => shown = "tinyint(1)".to_owned(),
            _ => {}
        }
        if unsigned && !matches!(name, "year" | "timestamp" | "bit") {
            shown.push_str(" unsigned");
        }
        (Self::of(name, &shown), shown)
    }
}

/// The numbers in the parentheses of a column's type.
fn numbers(column_type: &str) -> Vec<u32> {
    let inner = column_type.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    inner.map_or_else(Vec::new, |(inner, _)| {
        inner.split(',').map_while(|part| part.trim().parse().ok()).collect()
    })
}

fn bits(length: u32) -> Codec {
    match length {
        0 | 1 => Codec::Bit,
        2..64 => Codec::Bits,
        _ => Codec::Bits64,
    }
}

/// Why a value cannot be carried. Completes "column x (type): …".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    /// `0000-00-00`.
    ZeroDate,
    /// `2020-00-05`, `2020-05-00`.
    PartialDate,
    /// `2020-02-31`.
    NoSuchDay,
    /// A `time` that is a span.
    NotATimeOfDay,
    /// A `tinyint(1)` that is neither 0 nor 1.
    NotABoolean,
    /// Text that is not in the connection's encoding.
    NotUnicode,
    /// Not what the protocol says.
    Malformed,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ZeroDate => "the zero date, which is no day",
            Self::PartialDate => "a date without month or day",
            Self::NoSuchDay => "a day that the calendar does not have",
            Self::NotATimeOfDay => "a time that lies outside of a day",
            Self::NotABoolean => "a number other than 0 and 1, where the type stands for a boolean",
            Self::NotUnicode => "text that is not UTF-8",
            Self::Malformed => "a value in an unknown form",
        })
    }
}

impl Codec {
    /// The field type that carries it.
    pub(super) fn field_type(self) -> FieldType {
        let decimal =
            |precision, scale| FieldType::Decimal { precision: Some(precision), scale: Some(scale) };
        match self {
            Self::Bool | Self::Bit => FieldType::Boolean,
            Self::Int | Self::Bits => FieldType::Int64,
            Self::Unsigned | Self::Bits64 => decimal(20, 0),
            Self::Float => FieldType::Float64,
            Self::Decimal { precision, scale } => decimal(precision, scale),
            Self::Text => FieldType::Text,
            Self::Binary => FieldType::Binary,
            Self::Date => FieldType::Date,
            Self::Time => FieldType::Time,
            Self::Datetime => FieldType::Timestamp { zoned: false },
            Self::Timestamp => FieldType::Timestamp { zoned: true },
            Self::Uuid => FieldType::Uuid,
            Self::Json => FieldType::Json,
        }
    }

    /// Reads one value.
    pub(super) fn decode(self, raw: &Raw) -> Result<Value<'_>, Misfit> {
        if *raw == Raw::NULL {
            return Ok(Value::Null);
        }
        Ok(match (self, raw) {
            (Self::Bool, Raw::Int(0)) => Value::Boolean(false),
            (Self::Bool, Raw::Int(1)) => Value::Boolean(true),
            (Self::Bool, Raw::Int(_)) => return Err(Misfit::NotABoolean),
            (Self::Bit, Raw::Bytes(bytes)) => Value::Boolean(number(bytes)? != 0),
            (Self::Int, Raw::Int(n)) => Value::Int64(*n),
            (Self::Unsigned, Raw::Int(n)) => Value::Decimal(n.to_string().into()),
            (Self::Unsigned, Raw::UInt(n)) => Value::Decimal(n.to_string().into()),
            (Self::Bits, Raw::Bytes(bytes)) => {
                Value::Int64(i64::try_from(number(bytes)?).map_err(|_| Misfit::Malformed)?)
            }
            (Self::Bits64, Raw::Bytes(bytes)) => Value::Decimal(number(bytes)?.to_string().into()),
            (Self::Float, Raw::Float(v)) => Value::Float64((*v).into()),
            (Self::Float, Raw::Double(v)) => Value::Float64(*v),
            (Self::Decimal { .. }, Raw::Bytes(bytes)) => Value::Decimal(Cow::Borrowed(text(bytes)?)),
            (Self::Text, Raw::Bytes(bytes)) => Value::Text(Cow::Borrowed(text(bytes)?)),
            (Self::Binary, Raw::Bytes(bytes)) => Value::Binary(Cow::Borrowed(bytes)),
            (Self::Json, Raw::Bytes(bytes)) => Value::Json(Cow::Borrowed(text(bytes)?)),
            (Self::Uuid, Raw::Bytes(bytes)) => {
                Value::Uuid(Uuid::try_parse_ascii(bytes).map_err(|_| Misfit::Malformed)?.into_bytes())
            }
            (Self::Date, Raw::Date(year, month, day, ..)) => Value::Date(days(*year, *month, *day)?),
            (Self::Datetime | Self::Timestamp, Raw::Date(year, month, day, hour, minute, second, micro)) => {
                let clock = clock(u32::from(*hour), *minute, *second, *micro);
                let micros = i64::from(days(*year, *month, *day)?) * DAY_MICROS + clock;
                Value::Timestamp { micros, zoned: self == Self::Timestamp }
            }
            (Self::Time, Raw::Time(negative, days, hour, minute, second, micro)) => {
                let micros =
                    i64::from(*days) * DAY_MICROS + clock(u32::from(*hour), *minute, *second, *micro);
                if *negative || micros > DAY_MICROS {
                    return Err(Misfit::NotATimeOfDay);
                }
                Value::Time(micros)
            }
            _ => return Err(Misfit::Malformed),
        })
    }
}

fn text(bytes: &[u8]) -> Result<&str, Misfit> {
    std::str::from_utf8(bytes).map_err(|_| Misfit::NotUnicode)
}

/// The number that bits stand for, the highest first.
pub(super) fn number(bytes: &[u8]) -> Result<u64, Misfit> {
    if bytes.len() > 8 {
        return Err(Misfit::Malformed);
    }
    Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Microseconds since midnight.
fn clock(hour: u32, minute: u8, second: u8, micro: u32) -> i64 {
    ((i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second)) * 1_000_000 + i64::from(micro)
}

/// Days since 1970-01-01 of a day of the calendar.
fn days(year: u16, month: u8, day: u8) -> Result<i32, Misfit> {
    if (year, month, day) == (0, 0, 0) {
        return Err(Misfit::ZeroDate);
    }
    if month == 0 || day == 0 {
        return Err(Misfit::PartialDate);
    }
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return Err(Misfit::Malformed),
    };
    if day > last {
        return Err(Misfit::NoSuchDay);
    }
    // The year is taken to begin in March, so that the leap day is its last.
    let (year, month) = (i32::from(year), i32::from(month));
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i32::from(day) - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Ok(year * 365 + leap_days + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn days_are_those_of_the_calendar(day in -719_528..=2_932_896_i32) {
            let date = syncline_core::time::civil_date(day).expect("a day of the years 0 to 9999");
            let (year, month) = (date.year().unsigned_abs(), date.month().unsigned_abs());
            prop_assert_eq!(days(year, month, date.day().unsigned_abs()), Ok(day));
        }
    }

    #[test]
    fn what_is_no_day_is_a_misfit() {
        assert_eq!(days(0, 0, 0), Err(Misfit::ZeroDate));
        assert_eq!(days(2020, 0, 5), Err(Misfit::PartialDate));
        assert_eq!(days(2020, 5, 0), Err(Misfit::PartialDate));
        assert_eq!(days(2021, 2, 29), Err(Misfit::NoSuchDay));
        assert_eq!(days(1900, 2, 29), Err(Misfit::NoSuchDay));
        assert_eq!(days(2000, 2, 29), Ok(11_016));
        assert_eq!(days(2020, 13, 1), Err(Misfit::Malformed));
        let zero = Raw::Date(0, 0, 0, 10, 0, 0, 0);
        assert_eq!(Codec::Timestamp.decode(&zero), Err(Misfit::ZeroDate));
    }

    #[test]
    fn types_in_the_words_of_the_catalogue() {
        let of = |name, shown| Native::of(name, shown).map(|n| n.codec);
        for (name, shown, codec) in [
            ("tinyint", "tinyint(1)", Codec::Bool),
            ("tinyint", "tinyint(4)", Codec::Int),
            ("tinyint", "tinyint", Codec::Int),
            ("tinyint", "tinyint(1) unsigned", Codec::Int),
            ("bigint", "bigint(20) unsigned", Codec::Unsigned),
            ("bigint", "bigint unsigned", Codec::Unsigned),
            ("int", "int(5) unsigned zerofill", Codec::Int),
            ("bit", "bit(1)", Codec::Bit),
            ("bit", "bit(63)", Codec::Bits),
            ("bit", "bit(64)", Codec::Bits64),
            ("decimal", "decimal(14,2)", Codec::Decimal { precision: 14, scale: 2 }),
            ("decimal", "decimal(65,0) unsigned", Codec::Decimal { precision: 65, scale: 0 }),
            ("datetime", "datetime(6)", Codec::Datetime),
            ("timestamp", "timestamp", Codec::Timestamp),
        ] {
            assert_eq!(of(name, shown), Ok(codec), "{shown}");
        }
        assert_eq!(Native::of("enum", "enum('a','b(1)')").map(|n| n.order), Ok(Order::Sorted));
        assert!(of("point", "point").is_err());
        assert!(of("vector", "vector(3)").is_err());
    }

    #[test]
    fn numbers_at_their_ends() {
        let decimal = |text: &'static str| Ok(Value::Decimal(text.into()));
        assert_eq!(Codec::Unsigned.decode(&Raw::UInt(u64::MAX)), decimal("18446744073709551615"));
        assert_eq!(Codec::Unsigned.decode(&Raw::Int(7)), decimal("7"));
        assert_eq!(Codec::Bits64.decode(&Raw::Bytes(vec![255; 8])), decimal("18446744073709551615"));
        assert_eq!(Codec::Bits.decode(&Raw::Bytes(vec![1, 0])), Ok(Value::Int64(256)));
        assert_eq!(Codec::Bit.decode(&Raw::Bytes(vec![1])), Ok(Value::Boolean(true)));
        assert_eq!(Codec::Bool.decode(&Raw::Int(2)), Err(Misfit::NotABoolean));
        assert_eq!(Codec::Float.decode(&Raw::Float(0.1)), Ok(Value::Float64(0.1_f32.into())));
        assert_eq!(Codec::Int.decode(&Raw::UInt(u64::MAX)), Err(Misfit::Malformed));
    }

    #[test]
    fn a_span_is_no_time_of_day() {
        let time = |negative, days, hour, micro| {
            Codec::Time.decode(&Raw::Time(negative, days, hour, 0, 0, micro)).ok().map(Value::into_owned)
        };
        assert_eq!(time(false, 0, 0, 0), Some(Value::Time(0)));
        assert_eq!(time(false, 1, 0, 0), Some(Value::Time(86_400_000_000)));
        assert_eq!(time(false, 1, 0, 1), None);
        assert_eq!(time(false, 0, 24, 1), None);
        assert_eq!(time(true, 0, 1, 0), None);
    }
}
