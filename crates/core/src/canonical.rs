//! Canonical form: the one form in which values are hashed and compared, whichever side they come from.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::{decimal, schema::Field, value::Value};

/// Version of the byte form; part of every content hash. Raising it makes every record compare as changed once.
pub const VERSION: u8 = 1;

/// A BLAKE3 hash over canonical bytes.
pub type ContentHash = [u8; 32];

/// The canonical form of a value that `field` holds: what is left when everything the system may change by itself
/// (white space, kind of line end, order of multi-values, insignificant zeros, Unicode form) is taken away.
///
/// `value` must already be of the field's type ([`crate::convert`]); both the value about to be sent and the value
/// read back go through here, so that an echo compares equal.
pub fn canonical<'a>(value: Value<'a>, field: &Field) -> Value<'a> {
    match value {
        Value::Text(text) => {
            let text = normal_text(text, field.limits.loose_space);
            if text.is_empty() && field.limits.empty_is_null { Value::Null } else { Value::Text(text) }
        }
        Value::Decimal(text) => Value::Decimal(Cow::Owned(decimal::normal(&text))),
        Value::Float64(v) if field.limits.as_double => Value::Decimal(Cow::Owned(decimal::of_double(v))),
        Value::Int64(v) if field.limits.as_double => Value::Decimal(Cow::Owned(v.to_string())),
        Value::Timestamp { micros, zoned } if field.limits.whole_seconds => {
            Value::Timestamp { micros: micros.div_euclid(1_000_000).saturating_mul(1_000_000), zoned }
        }
        Value::List(values) => {
            let mut values: Vec<Value<'a>> = values.into_iter().map(|v| canonical(v, field)).collect();
            values.sort_by_cached_key(|v| {
                let mut bytes = Vec::new();
                write(v, &mut bytes);
                bytes
            });
            if values.is_empty() && field.limits.empty_is_null { Value::Null } else { Value::List(values) }
        }
        other => other,
    }
}

fn normal_text(text: Cow<'_, str>, loose_space: bool) -> Cow<'_, str> {
    let text = if text.is_ascii() || is_nfc(&text) { text } else { Cow::Owned(text.nfc().collect()) };
    if !loose_space {
        return text;
    }
    let clean = !text.contains('\r') && text.trim().len() == text.len();
    if clean { text } else { Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n").trim().to_owned()) }
}

/// Appends the bytes of a canonical value: a type tag, then the payload, with its length where it varies.
///
/// Infallible and unambiguous: two values have the same bytes only when they are the same value.
pub fn write(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0),
        Value::Boolean(v) => out.extend([1, u8::from(*v)]),
        Value::Int64(v) => fixed(2, &v.to_le_bytes(), out),
        Value::Float64(v) => fixed(3, &normal_double(*v).to_le_bytes(), out),
        Value::Decimal(v) => sized(4, decimal::normal(v).as_bytes(), out),
        Value::Text(v) => sized(5, v.as_bytes(), out),
        Value::Binary(v) => sized(6, v, out),
        Value::Date(v) => fixed(7, &v.to_le_bytes(), out),
        Value::Time(v) => fixed(8, &v.to_le_bytes(), out),
        Value::Timestamp { micros, zoned } => {
            fixed(9 + u8::from(*zoned), &micros.to_le_bytes(), out);
        }
        Value::Uuid(v) => fixed(11, v, out),
        Value::Json(v) => sized(12, v.as_bytes(), out),
        Value::List(values) => {
            fixed(13, &(values.len() as u64).to_le_bytes(), out);
            for value in values {
                write(value, out);
            }
        }
    }
}

/// One zero and one NaN.
fn normal_double(v: f64) -> f64 {
    if v.is_nan() {
        f64::NAN
    } else if v == 0.0 {
        0.0
    } else {
        v
    }
}

fn fixed(tag: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(payload);
}

fn sized(tag: u8, payload: &[u8], out: &mut Vec<u8>) {
    fixed(tag, &(payload.len() as u64).to_le_bytes(), out);
    out.extend_from_slice(payload);
}

/// The content hash of canonical values; `scratch` is cleared and reused.
///
/// Absent fields must not be among `values`; null ones must. The names are part of the hash through `names`, the
/// hash of the mapped field names, so that swapping two fields of equal values is a change.
pub fn content_hash(names: &ContentHash, values: &[Value<'_>], scratch: &mut Vec<u8>) -> ContentHash {
    scratch.clear();
    scratch.push(VERSION);
    scratch.extend_from_slice(names);
    for value in values {
        write(value, scratch);
    }
    *blake3::hash(scratch).as_bytes()
}

/// The hash of field names that [`content_hash`] wants.
pub fn names_hash<'a>(names: impl IntoIterator<Item = &'a str>) -> ContentHash {
    let mut bytes = Vec::new();
    for name in names {
        sized(5, name.as_bytes(), &mut bytes);
    }
    *blake3::hash(&bytes).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::FieldType;

    fn field(change: impl FnOnce(&mut Field)) -> Field {
        let mut field = Field::new("F", FieldType::Text, true);
        change(&mut field);
        field
    }

    #[test]
    fn an_echo_compares_equal() {
        let loose = field(|f| {
            f.limits.loose_space = true;
            f.limits.empty_is_null = true;
        });
        let same =
            |a: Value<'static>, b: Value<'static>, f: &Field| assert_eq!(canonical(a, f), canonical(b, f));
        same(Value::Text("a\r\nb ".into()), Value::Text("a\nb".into()), &loose);
        same(Value::Text("".into()), Value::Null, &loose);
        same(Value::Text("cafe\u{301}".into()), Value::Text("café".into()), &loose);
        let number = field(|f| f.limits.as_double = true);
        same(Value::Decimal("450000.00".into()), Value::Float64(450_000.0), &number);
        same(Value::Int64(3), Value::Float64(3.0), &number);
        same(Value::Decimal("0.10".into()), Value::Float64(0.1), &number);
        let seconds = field(|f| f.limits.whole_seconds = true);
        let at = |micros| Value::Timestamp { micros, zoned: true };
        same(at(-1), at(-1_000_000), &seconds);
        let many = |items: [&'static str; 2]| Value::List(items.map(|i| Value::Text(i.into())).to_vec());
        same(many(["b", "a"]), many(["a", "b"]), &loose);
    }

    #[test]
    fn differences_stay_different() {
        let strict = field(|_| {});
        assert_ne!(canonical(Value::Text("a ".into()), &strict), canonical(Value::Text("a".into()), &strict));
        assert_ne!(canonical(Value::Text("".into()), &strict), Value::Null);
        let names = names_hash(["A", "B"]);
        let mut scratch = Vec::new();
        let mut hash = |v: &[Value<'_>]| content_hash(&names, v, &mut scratch);
        let text = |s: &'static str| Value::Text(s.into());
        assert_ne!(hash(&[text("ab"), text("c")]), hash(&[text("a"), text("bc")]));
        assert_ne!(hash(&[Value::Null, text("")]), hash(&[text(""), Value::Null]));
        assert_ne!(names_hash(["A", "B"]), names_hash(["B", "A"]));
    }
}
