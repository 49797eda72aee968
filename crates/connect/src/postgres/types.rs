//! PostgreSQL types as ours, and the binary form of their values.
//!
//! A [`Codec`] is chosen once per column; [`Codec::decode`] then reads straight from the row's buffer. Formats: the
//! `*_send` functions of the server, <https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES>.

use std::borrow::Cow;

use syncline_core::{schema::FieldType, time::DAY_MICROS, value::Value};

use super::numeric;

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL counts from.
pub(super) const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
pub(super) const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * DAY_MICROS;

/// How the values of a column are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Codec {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    Text,
    Bytea,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Uuid,
    Json,
    Jsonb,
    List(Box<Codec>),
}

/// A base type (domains resolved) as this connector treats it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Native {
    pub(super) codec: Codec,
    /// What the server turns the value into before it is sent: `text`, `numeric`.
    pub(super) select_as: Option<&'static str>,
    /// Whether values can be sorted, as keys and cursors are.
    pub(super) sortable: bool,
}

impl Native {
    /// By the type's name in the catalog; `builtin`: in `pg_catalog`. Whatever is not listed is carried as its text.
    pub(super) fn of(name: &str, builtin: bool, is_enum: bool) -> Self {
        let codec = match name {
            _ if is_enum => Codec::Text,
            "citext" if !builtin => Codec::Text,
            _ if !builtin => return Self::as_text(false),
            "bool" => Codec::Bool,
            "int2" => Codec::Int2,
            "int4" => Codec::Int4,
            "int8" => Codec::Int8,
            "oid" => Codec::Oid,
            "float4" => Codec::Float4,
            "float8" => Codec::Float8,
            "numeric" => Codec::Numeric,
            "text" | "varchar" | "bpchar" | "name" => Codec::Text,
            "bytea" => Codec::Bytea,
            "date" => Codec::Date,
            "time" => Codec::Time,
            "timestamp" => Codec::Timestamp,
            "timestamptz" => Codec::Timestamptz,
            "uuid" => Codec::Uuid,
            "json" => return Self { codec: Codec::Json, select_as: None, sortable: false },
            "jsonb" => Codec::Jsonb,
            // its text is written with the currency of the session
            "money" => return Self { codec: Codec::Numeric, select_as: Some("numeric"), sortable: true },
            "char" | "interval" | "timetz" | "inet" | "cidr" | "macaddr" | "macaddr8" | "bit" | "varbit"
            | "tsvector" | "pg_lsn" => return Self::as_text(true),
            _ => return Self::as_text(false),
        };
        Self { codec, select_as: None, sortable: true }
    }

    fn as_text(sortable: bool) -> Self {
        Self { codec: Codec::Text, select_as: Some("text"), sortable }
    }

    /// The one-dimensional array of this.
    pub(super) fn list(self) -> Self {
        let select_as = self.select_as.map(|kind| if kind == "text" { "text[]" } else { "numeric[]" });
        Self { codec: Codec::List(Box::new(self.codec)), select_as, sortable: self.sortable }
    }
}

/// Precision and scale of a declared `numeric(p, s)`; a negative scale rounds before the point, so the digits are whole.
pub(super) fn numeric_limits(modifier: i32) -> (Option<u32>, Option<u32>) {
    if modifier < 4 {
        return (None, None);
    }
    let precision = ((modifier - 4) >> 16) & 0xffff;
    let scale = ((modifier - 4) & 0x7ff ^ 0x400) - 0x400;
    let whole = precision - scale.min(0);
    (u32::try_from(whole).ok(), u32::try_from(scale.max(0)).ok())
}

/// Why a value cannot be carried. Completes "column x (type): …".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    /// An array of arrays.
    ManyDimensions,
    /// A timestamp our microseconds do not reach.
    TooFar,
    /// Text of a database without an encoding.
    NotUnicode,
    /// Not what the type's documentation says.
    Malformed,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ManyDimensions => "an array with more than one dimension",
            Self::TooFar => "a point in time after the year 294246",
            Self::NotUnicode => "text that is not UTF-8",
            Self::Malformed => "a value in an unknown form",
        })
    }
}

impl Codec {
    /// The field type that carries it; `modifier` is the declared one.
    pub(super) fn field_type(&self, modifier: i32) -> FieldType {
        match self {
            Self::Bool => FieldType::Boolean,
            Self::Int2 | Self::Int4 | Self::Int8 | Self::Oid => FieldType::Int64,
            Self::Float4 | Self::Float8 => FieldType::Float64,
            Self::Numeric => {
                let (precision, scale) = numeric_limits(modifier);
                FieldType::Decimal { precision, scale }
            }
            Self::Text => FieldType::Text,
            Self::Bytea => FieldType::Binary,
            Self::Date => FieldType::Date,
            Self::Time => FieldType::Time,
            Self::Timestamp => FieldType::Timestamp { zoned: false },
            Self::Timestamptz => FieldType::Timestamp { zoned: true },
            Self::Uuid => FieldType::Uuid,
            Self::Json | Self::Jsonb => FieldType::Json,
            Self::List(of) => FieldType::List(Box::new(of.field_type(modifier))),
        }
    }

    /// Reads one value. `scratch` holds the text of a number, which is not in the buffer.
    pub(super) fn decode<'a>(&self, raw: &'a [u8], scratch: &'a mut String) -> Result<Value<'a>, Misfit> {
        if *self == Self::Numeric {
            numeric::decode(raw, scratch).ok_or(Misfit::Malformed)?;
            return Ok(Value::Decimal(Cow::Borrowed(scratch)));
        }
        self.element(raw)
    }

    fn element<'a>(&self, raw: &'a [u8]) -> Result<Value<'a>, Misfit> {
        let timestamp =
            |zoned| Ok(Value::Timestamp { micros: micros(i64::from_be_bytes(fixed(raw)?))?, zoned });
        Ok(match self {
            Self::Bool => Value::Boolean(fixed::<1>(raw)? != [0]),
            Self::Int2 => Value::Int64(i16::from_be_bytes(fixed(raw)?).into()),
            Self::Int4 => Value::Int64(i32::from_be_bytes(fixed(raw)?).into()),
            Self::Int8 => Value::Int64(i64::from_be_bytes(fixed(raw)?)),
            Self::Oid => Value::Int64(u32::from_be_bytes(fixed(raw)?).into()),
            Self::Float4 => Value::Float64(f32::from_be_bytes(fixed(raw)?).into()),
            Self::Float8 => Value::Float64(f64::from_be_bytes(fixed(raw)?)),
            Self::Numeric => {
                let mut text = String::new();
                numeric::decode(raw, &mut text).ok_or(Misfit::Malformed)?;
                Value::Decimal(Cow::Owned(text))
            }
            Self::Text => Value::Text(Cow::Borrowed(text(raw)?)),
            Self::Bytea => Value::Binary(Cow::Borrowed(raw)),
            Self::Date => Value::Date(date(i32::from_be_bytes(fixed(raw)?))?),
            Self::Time => Value::Time(i64::from_be_bytes(fixed(raw)?)),
            Self::Timestamp => return timestamp(false),
            Self::Timestamptz => return timestamp(true),
            Self::Uuid => Value::Uuid(fixed(raw)?),
            Self::Json => Value::Json(Cow::Borrowed(text(raw)?)),
            Self::Jsonb => match raw.split_first() {
                Some((1, json)) => Value::Json(Cow::Borrowed(text(json)?)),
                _ => return Err(Misfit::Malformed),
            },
            Self::List(of) => Value::List(list(of, raw)?),
        })
    }
}

fn fixed<const N: usize>(raw: &[u8]) -> Result<[u8; N], Misfit> {
    raw.try_into().map_err(|_| Misfit::Malformed)
}

fn text(raw: &[u8]) -> Result<&str, Misfit> {
    std::str::from_utf8(raw).map_err(|_| Misfit::NotUnicode)
}

/// Infinity is the same number on both sides.
fn date(days: i32) -> Result<i32, Misfit> {
    match days {
        i32::MAX | i32::MIN => Ok(days),
        _ => days.checked_add(EPOCH_DAYS).filter(|d| *d != i32::MAX).ok_or(Misfit::TooFar),
    }
}

fn micros(micros: i64) -> Result<i64, Misfit> {
    match micros {
        i64::MAX | i64::MIN => Ok(micros),
        _ => micros.checked_add(EPOCH_MICROS).filter(|m| *m != i64::MAX).ok_or(Misfit::TooFar),
    }
}

/// Dimensions, flags, element type; per dimension length and first index; then the elements, each with its length.
fn list<'a>(of: &Codec, raw: &'a [u8]) -> Result<Vec<Value<'a>>, Misfit> {
    let mut rest = raw;
    let dimensions = int(&mut rest)?;
    let (_has_nulls, _element_type) = (int(&mut rest)?, int(&mut rest)?);
    match dimensions {
        0 => return Ok(Vec::new()),
        1 => {}
        _ => return Err(Misfit::ManyDimensions),
    }
    let (length, _first_index) = (int(&mut rest)?, int(&mut rest)?);
    // an element takes four bytes at least: a length that lies reserves no memory
    let mut values = Vec::with_capacity(usize::try_from(length).unwrap_or(0).min(rest.len() / 4));
    for _ in 0..length {
        let Ok(size) = usize::try_from(int(&mut rest)?) else {
            values.push(Value::Null);
            continue;
        };
        let (element, after) = rest.split_at_checked(size).ok_or(Misfit::Malformed)?;
        rest = after;
        values.push(of.element(element)?);
    }
    Ok(values)
}

fn int(rest: &mut &[u8]) -> Result<i32, Misfit> {
    let (head, tail) = rest.split_first_chunk::<4>().ok_or(Misfit::Malformed)?;
    *rest = tail;
    Ok(i32::from_be_bytes(*head))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(codec: &Codec, raw: &[u8]) -> Result<Value<'static>, Misfit> {
        let mut scratch = String::new();
        codec.decode(raw, &mut scratch).map(Value::into_owned)
    }

    #[test]
    fn time_is_counted_from_1970_and_infinity_stays() {
        let at = |micros: i64| decoded(&Codec::Timestamptz, &micros.to_be_bytes());
        let instant = |micros| Ok(Value::Timestamp { micros, zoned: true });
        assert_eq!(at(0), instant(946_684_800_000_000));
        assert_eq!(at(i64::MAX), instant(i64::MAX));
        assert_eq!(at(i64::MIN), instant(i64::MIN));
        assert_eq!(at(i64::MAX - 1), Err(Misfit::TooFar));
        assert_eq!(at(i64::MAX - EPOCH_MICROS), Err(Misfit::TooFar), "would read as infinity");
        assert_eq!(decoded(&Codec::Date, &(-EPOCH_DAYS).to_be_bytes()), Ok(Value::Date(0)));
        assert_eq!(decoded(&Codec::Date, &i32::MIN.to_be_bytes()), Ok(Value::Date(i32::MIN)));
    }

    #[test]
    fn declared_digits() {
        assert_eq!(numeric_limits(-1), (None, None));
        assert_eq!(numeric_limits((12 << 16 | 2) + 4), (Some(12), Some(2)));
        assert_eq!(numeric_limits((3 << 16 | (-2 & 0x7ff)) + 4), (Some(5), Some(0)));
        assert_eq!(numeric_limits((1000 << 16 | 1000) + 4), (Some(1000), Some(1000)));
    }

    #[test]
    fn arrays_have_one_dimension_or_are_refused() {
        let ints = |words: &[i32]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<_>>();
        let codec = Codec::List(Box::new(Codec::Int4));
        assert_eq!(decoded(&codec, &ints(&[0, 0, 23])), Ok(Value::List(vec![])));
        assert_eq!(
            decoded(&codec, &ints(&[1, 1, 23, 2, 1, 4, 7, -1])),
            Ok(Value::List(vec![Value::Int64(7), Value::Null]))
        );
        assert_eq!(decoded(&codec, &ints(&[2, 0, 23, 1, 1, 1, 1, 4, 7])), Err(Misfit::ManyDimensions));
        assert_eq!(decoded(&codec, &ints(&[1, 0, 23, i32::MAX, 1, 4])), Err(Misfit::Malformed));
    }

    #[test]
    fn broken_buffers_are_misfits_not_panics() {
        let codecs = [
            Codec::Bool,
            Codec::Int2,
            Codec::Int8,
            Codec::Numeric,
            Codec::Date,
            Codec::Uuid,
            Codec::Jsonb,
            Codec::List(Box::new(Codec::Text)),
        ];
        for codec in codecs {
            for length in 0..40 {
                let _either = decoded(&codec, &vec![0xff; length]);
            }
        }
        assert_eq!(decoded(&Codec::Text, &[0xff]), Err(Misfit::NotUnicode));
    }
}
