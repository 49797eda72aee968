//! Values of ours in the forms in which PostgreSQL takes them: its binary form, or the text of COPY for types whose
//! binary form is their own business.

use bytes::{BufMut, BytesMut};
use syncline_core::{time, value::Value};

use super::types::{Codec, EPOCH_DAYS, EPOCH_MICROS};

/// The codec for a column that is declared as `declared` (as `format_type` shows it); `None`: it is sent as text.
pub(super) fn codec(declared: &str) -> Option<Codec> {
    if let Some(element) = declared.strip_suffix("[]") {
        return codec(element).map(|c| Codec::List(Box::new(c)));
    }
    let name = declared.split('(').next().unwrap_or_default();
    Some(match name {
        "boolean" => Codec::Bool,
        "smallint" => Codec::Int2,
        "integer" => Codec::Int4,
        "bigint" => Codec::Int8,
        "oid" => Codec::Oid,
        "real" => Codec::Float4,
        "double precision" => Codec::Float8,
        "numeric" => Codec::Numeric,
        "text" | "character varying" | "character" | "name" | "citext" => Codec::Text,
        "bytea" => Codec::Bytea,
        "date" => Codec::Date,
        "uuid" => Codec::Uuid,
        "json" => Codec::Json,
        "jsonb" => Codec::Jsonb,
        "time" | "time without time zone" if !declared.contains("with time zone") => Codec::Time,
        "timestamp" | "timestamp without time zone" if !declared.contains("with time zone") => {
            Codec::Timestamp
        }
        "timestamp" | "timestamp with time zone" => Codec::Timestamptz,
        _ => return None,
    })
}

/// The number of an element's type, which an array names.
fn element_oid(codec: &Codec) -> u32 {
    match codec {
        Codec::Bool => 16,
        Codec::Bytea => 17,
        Codec::Int8 => 20,
        Codec::Int2 => 21,
        Codec::Int4 => 23,
        Codec::Text | Codec::List(_) => 25,
        Codec::Oid => 26,
        Codec::Json => 114,
        Codec::Float4 => 700,
        Codec::Float8 => 701,
        Codec::Date => 1082,
        Codec::Time => 1083,
        Codec::Timestamp => 1114,
        Codec::Timestamptz => 1184,
        Codec::Numeric => 1700,
        Codec::Uuid => 2950,
        Codec::Jsonb => 3802,
    }
}

/// A value that the column cannot hold. It was converted for the column before, so this is a fault of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unfit;

/// Appends the binary form of `value`, which is not null.
pub(super) fn binary(codec: &Codec, value: &Value<'_>, out: &mut BytesMut) -> Result<(), Unfit> {
    match (codec, value) {
        (Codec::Bool, Value::Boolean(v)) => out.put_u8(u8::from(*v)),
        (Codec::Int2, Value::Int64(v)) => out.put_i16(i16::try_from(*v).map_err(|_| Unfit)?),
        (Codec::Int4, Value::Int64(v)) => out.put_i32(i32::try_from(*v).map_err(|_| Unfit)?),
        (Codec::Int8, Value::Int64(v)) => out.put_i64(*v),
        (Codec::Oid, Value::Int64(v)) => out.put_u32(u32::try_from(*v).map_err(|_| Unfit)?),
        (Codec::Float4, Value::Float64(v)) => out.put_f32(*v as f32),
        (Codec::Float8, Value::Float64(v)) => out.put_f64(*v),
        // integers and exact decimals go through where a double is kept
        (Codec::Float8, Value::Int64(v)) => out.put_f64(*v as f64),
        (Codec::Float8 | Codec::Float4, Value::Decimal(v)) => {
            let number: f64 = v.trim().parse().map_err(|_| Unfit)?;
            if *codec == Codec::Float8 { out.put_f64(number) } else { out.put_f32(number as f32) }
        }
        (Codec::Numeric, Value::Decimal(v)) => super::numeric::encode(v, out).ok_or(Unfit)?,
        (Codec::Text, Value::Text(v)) | (Codec::Json, Value::Json(v)) => out.extend_from_slice(v.as_bytes()),
        (Codec::Jsonb, Value::Json(v)) => {
            out.put_u8(1);
            out.extend_from_slice(v.as_bytes());
        }
        (Codec::Bytea, Value::Binary(v)) => out.extend_from_slice(v),
        (Codec::Date, Value::Date(v)) => out.put_i32(days(*v)?),
        (Codec::Time, Value::Time(v)) => out.put_i64(*v),
        (Codec::Timestamp, Value::Timestamp { micros, zoned: false })
        | (Codec::Timestamptz, Value::Timestamp { micros, zoned: true }) => {
            out.put_i64(self::micros(*micros)?);
        }
        (Codec::Uuid, Value::Uuid(v)) => out.extend_from_slice(v),
        (Codec::List(of), Value::List(values)) => return list(of, values, out),
        _ => return Err(Unfit),
    }
    Ok(())
}

fn list(of: &Codec, values: &[Value<'_>], out: &mut BytesMut) -> Result<(), Unfit> {
    let nulls = values.iter().any(Value::is_null);
    out.put_i32(i32::from(!values.is_empty()));
    out.put_i32(i32::from(nulls));
    out.put_u32(element_oid(of));
    if values.is_empty() {
        return Ok(());
    }
    out.put_i32(i32::try_from(values.len()).map_err(|_| Unfit)?);
    out.put_i32(1);
    for value in values {
        match value {
            Value::Null => super::tuples::put_null(out),
            value => super::tuples::put_field(out, |out| binary(of, value, out))?,
        }
    }
    Ok(())
}

/// The first day PostgreSQL knows, 4714-11-24 BC, and the last, 5874897-12-31; from 2000-01-01.
const DAYS: std::ops::RangeInclusive<i32> = -2_451_545..=2_145_031_948;

fn days(day: i32) -> Result<i32, Unfit> {
    match day {
        i32::MAX | i32::MIN => Ok(day),
        _ => day.checked_sub(EPOCH_DAYS).filter(|d| DAYS.contains(d)).ok_or(Unfit),
    }
}

fn micros(micros: i64) -> Result<i64, Unfit> {
    // 294276-12-31 is the last day of timestamps
    const LAST: i64 = 9_223_371_331_200_000_000;
    const FIRST: i64 = -2_451_545 * time::DAY_MICROS;
    match micros {
        i64::MAX | i64::MIN => Ok(micros),
        _ => micros.checked_sub(EPOCH_MICROS).filter(|m| (FIRST..LAST).contains(m)).ok_or(Unfit),
    }
}

/// Appends a field of COPY's text format.
pub(super) fn copy_text(value: &Value<'_>, out: &mut BytesMut) -> Result<(), Unfit> {
    let text = match value {
        Value::Null => {
            out.extend_from_slice(b"\\N");
            return Ok(());
        }
        value => text(value)?,
    };
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => out.put_u8(byte),
        }
    }
    Ok(())
}

/// The server's input text of a value that is not null.
fn text(value: &Value<'_>) -> Result<String, Unfit> {
    Ok(match value {
        Value::Null => return Err(Unfit),
        Value::Text(v) | Value::Decimal(v) | Value::Json(v) => v.to_string(),
        Value::Boolean(v) => v.to_string(),
        Value::Int64(v) => v.to_string(),
        Value::Float64(v) if v.is_nan() => "NaN".into(),
        Value::Float64(v) if v.is_infinite() => (if *v > 0.0 { "Infinity" } else { "-Infinity" }).into(),
        Value::Float64(v) => format!("{v:?}"),
        Value::Binary(v) => format!("\\x{}", syncline_core::value::hex(v)),
        Value::Date(i32::MAX) | Value::Timestamp { micros: i64::MAX, .. } => "infinity".into(),
        Value::Date(i32::MIN) | Value::Timestamp { micros: i64::MIN, .. } => "-infinity".into(),
        Value::Date(v) => bc(&time::date_text(*v)),
        Value::Time(v) => time::time_text(*v),
        Value::Timestamp { micros, zoned } => bc(&time::timestamp_text(*micros, *zoned)),
        Value::Uuid(v) => uuid::Uuid::from_bytes(*v).to_string(),
        Value::List(values) => list_text(values)?,
    })
}

/// Years before 1 as the server reads them: astronomical year 0 is 1 BC.
fn bc(iso: &str) -> String {
    if let Some(rest) = iso.strip_prefix("0000-") {
        return format!("0001-{rest} BC");
    }
    let Some(rest) = iso.strip_prefix('-') else { return iso.trim_start_matches('+').to_owned() };
    let Some((year, rest)) = rest.split_once('-') else { return iso.to_owned() };
    match year.parse::<i64>() {
        Ok(year) => format!("{:04}-{rest} BC", year + 1),
        Err(_) => iso.to_owned(),
    }
}

fn list_text(values: &[Value<'_>]) -> Result<String, Unfit> {
    let mut out = String::from("{");
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match value {
            Value::Null => out.push_str("NULL"),
            value => {
                out.push('"');
                for c in text(value)?.chars() {
                    if matches!(c, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(c);
                }
                out.push('"');
            }
        }
    }
    out.push('}');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(codec: &Codec, value: &Value<'_>) -> Result<Value<'static>, Unfit> {
        let mut out = BytesMut::new();
        binary(codec, value, &mut out)?;
        let mut scratch = String::new();
        Ok(codec.decode(&out, &mut scratch).expect("what is encoded can be decoded").into_owned())
    }

    #[test]
    fn what_is_encoded_is_decoded_again() {
        let decimal = |v: &'static str| Value::Decimal(v.into());
        for (codec, value) in [
            (Codec::Bool, Value::Boolean(true)),
            (Codec::Int2, Value::Int64(-32_768)),
            (Codec::Int8, Value::Int64(i64::MIN)),
            (Codec::Float8, Value::Float64(-0.1)),
            (Codec::Numeric, decimal("-12345678901234567890123456789012345678.000100")),
            (Codec::Numeric, decimal("0.00000000000000000001")),
            (Codec::Numeric, decimal("450000.00")),
            (Codec::Numeric, decimal("0")),
            (Codec::Numeric, decimal("0.000")),
            (Codec::Numeric, decimal("NaN")),
            (Codec::Numeric, decimal("-Infinity")),
            (Codec::Text, Value::Text("a\u{1F600}".into())),
            (Codec::Date, Value::Date(i32::MIN)),
            (Codec::Date, Value::Date(-719_163)),
            (Codec::Timestamptz, Value::Timestamp { micros: i64::MAX, zoned: true }),
            (Codec::Timestamp, Value::Timestamp { micros: -62_135_596_800_000_001, zoned: false }),
            (Codec::Uuid, Value::Uuid([7; 16])),
            (Codec::Jsonb, Value::Json("{\"a\": 1}".into())),
            (Codec::List(Box::new(Codec::Int4)), Value::List(vec![Value::Int64(1), Value::Null])),
            (Codec::List(Box::new(Codec::Text)), Value::List(vec![])),
        ] {
            assert_eq!(encoded(&codec, &value), Ok(value), "{codec:?}");
        }
        assert_eq!(encoded(&Codec::Int2, &Value::Int64(32_768)), Err(Unfit));
        assert_eq!(encoded(&Codec::Text, &Value::Int64(1)), Err(Unfit));
    }

    #[test]
    fn texts_of_copy_are_escaped() {
        let text = |value: &Value<'_>| {
            let mut out = BytesMut::new();
            copy_text(value, &mut out).expect("fits");
            String::from_utf8(out.to_vec()).expect("text")
        };
        assert_eq!(text(&Value::Text("a\tb\\c\n".into())), "a\\tb\\\\c\\n");
        assert_eq!(text(&Value::Null), "\\N");
        assert_eq!(text(&Value::List(vec![Value::Text("a\"b".into()), Value::Null])), "{\"a\\\\\"b\",NULL}");
        assert_eq!(text(&Value::Date(i32::MAX)), "infinity");
        assert_eq!(text(&Value::Date(-719_163)), "0001-12-31 BC", "ISO 8601 has a year 0");
        assert_eq!(text(&Value::Date(-719_529)), "0002-12-31 BC");
    }

    #[test]
    fn declared_types_have_a_codec_or_travel_as_text() {
        assert_eq!(codec("numeric(14,2)"), Some(Codec::Numeric));
        assert_eq!(codec("timestamp(3) with time zone"), Some(Codec::Timestamptz));
        assert_eq!(codec("timestamp(3) without time zone"), Some(Codec::Timestamp));
        assert_eq!(codec("time(3) with time zone"), None);
        assert_eq!(codec("time without time zone"), Some(Codec::Time));
        assert_eq!(codec("character varying(10)[]"), Some(Codec::List(Box::new(Codec::Text))));
        assert_eq!(codec("inet"), None);
    }
}
