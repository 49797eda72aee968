//! Values on their way to the server: exact, and never shown.

use std::{error::Error as StdError, fmt};

use bytes::BytesMut;
use syncline_core::value::Value;
use tokio_postgres::types::{Format, FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::types::{Codec, EPOCH_DAYS, EPOCH_MICROS};

/// A parameter in the form its type is sent in.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Param {
    /// The server's binary form.
    Binary(Vec<u8>),
    /// The type's text.
    Text(String),
}

impl fmt::Debug for Param {
    /// Without the value: the driver writes parameters into its debug log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Param")
    }
}

impl ToSql for Param {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self {
            Self::Binary(bytes) => out.extend_from_slice(bytes),
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        // the statement casts every parameter to the type it was made for
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        match self {
            Self::Binary(_) => Format::Binary,
            Self::Text(_) => Format::Text,
        }
    }

    to_sql_checked!();
}

impl Param {
    /// A value of ours as a parameter for a column of this kind. Nothing when no record can have it (an integer
    /// beyond the column's type, a NUL in a text), or the value is of another kind.
    pub(super) fn of(codec: &Codec, value: &Value<'_>) -> Option<Self> {
        let binary = |bytes: &[u8]| Some(Self::Binary(bytes.to_vec()));
        match (codec, value) {
            (Codec::Bool, Value::Boolean(v)) => binary(&[u8::from(*v)]),
            (Codec::Int2 | Codec::Int4 | Codec::Int8, Value::Int64(v)) => binary(&v.to_be_bytes()),
            (Codec::Oid, Value::Int64(v)) => binary(&u32::try_from(*v).ok()?.to_be_bytes()),
            (Codec::Float4 | Codec::Float8, Value::Float64(v)) => binary(&v.to_be_bytes()),
            (Codec::Numeric, Value::Decimal(v)) => Some(Self::Text(v.clone().into_owned())),
            (Codec::Text, Value::Text(v)) if !v.contains('\0') => binary(v.as_bytes()),
            (Codec::Bytea, Value::Binary(v)) => binary(v),
            (Codec::Date, Value::Date(v)) => binary(&days(*v).to_be_bytes()),
            (Codec::Time, Value::Time(v)) => binary(&v.to_be_bytes()),
            (Codec::Timestamp, Value::Timestamp { micros, zoned: false })
            | (Codec::Timestamptz, Value::Timestamp { micros, zoned: true }) => {
                binary(&self::micros(*micros).to_be_bytes())
            }
            (Codec::Uuid, Value::Uuid(v)) => binary(v),
            (Codec::Jsonb, Value::Json(v)) => Some(Self::Text(v.clone().into_owned())),
            _ => None,
        }
    }

    /// A value as the server sent it, as a parameter for the same column: nothing is decoded, so nothing can change.
    /// Integers are widened to what the statement compares them as.
    pub(super) fn of_raw(codec: &Codec, raw: &[u8]) -> Self {
        let widened = match codec {
            Codec::Int2 => raw.try_into().ok().map(|b| i64::from(i16::from_be_bytes(b)).to_be_bytes()),
            Codec::Int4 => raw.try_into().ok().map(|b| i64::from(i32::from_be_bytes(b)).to_be_bytes()),
            Codec::Float4 => raw.try_into().ok().map(|b| f64::from(f32::from_be_bytes(b)).to_be_bytes()),
            _ => None,
        };
        Self::Binary(widened.map_or_else(|| raw.to_vec(), |bytes| bytes.to_vec()))
    }
}

/// The first day PostgreSQL knows, 4714-11-24 BC, counted from 2000-01-01; what lies before it lies before every
/// record, and the server refuses to read it.
const FIRST_DAY: i32 = -2_451_545;

fn days(days: i32) -> i32 {
    match days {
        i32::MAX | i32::MIN => days,
        _ => days.checked_sub(EPOCH_DAYS).filter(|d| *d >= FIRST_DAY).unwrap_or(i32::MIN),
    }
}

fn micros(micros: i64) -> i64 {
    const FIRST: i64 = FIRST_DAY as i64 * syncline_core::time::DAY_MICROS;
    match micros {
        i64::MAX | i64::MIN => micros,
        _ => micros.checked_sub(EPOCH_MICROS).filter(|m| *m >= FIRST).unwrap_or(i64::MIN),
    }
}

/// The bytes of one cell, borrowed from the row.
pub(super) struct Raw<'a>(pub(super) Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinity_and_the_far_past_can_be_bound() {
        let at = |micros| Param::of(&Codec::Timestamptz, &Value::Timestamp { micros, zoned: true });
        let bytes = |v: i64| Some(Param::Binary(v.to_be_bytes().to_vec()));
        assert_eq!(at(i64::MAX), bytes(i64::MAX));
        assert_eq!(at(i64::MIN), bytes(i64::MIN));
        assert_eq!(at(i64::MIN + 1), bytes(i64::MIN));
        assert_eq!(at(EPOCH_MICROS), bytes(0));
        assert_eq!(
            Param::of(&Codec::Date, &Value::Date(i32::MAX)),
            Some(Param::Binary(i32::MAX.to_be_bytes().to_vec()))
        );
    }

    #[test]
    fn values_no_record_can_have_are_none() {
        assert_eq!(Param::of(&Codec::Oid, &Value::Int64(-1)), None);
        assert_eq!(Param::of(&Codec::Text, &Value::Text("a\0b".into())), None);
        assert_eq!(Param::of(&Codec::Text, &Value::Int64(1)), None);
        assert_eq!(Param::of(&Codec::Timestamp, &Value::Timestamp { micros: 0, zoned: true }), None);
    }

    #[test]
    fn narrow_numbers_are_widened_exactly() {
        assert_eq!(Param::of_raw(&Codec::Int2, &[0xff, 0xfe]), Param::Binary((-2i64).to_be_bytes().to_vec()));
        assert_eq!(
            Param::of_raw(&Codec::Float4, &0.1f32.to_be_bytes()),
            Param::Binary(f64::from(0.1f32).to_be_bytes().to_vec())
        );
        assert_eq!(format!("{:?}", Param::Text("hunter2".into())), "Param");
    }
}
