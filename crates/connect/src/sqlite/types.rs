//! Declared column types and stored values.
//!
//! SQLite stores any value in any column. The declared type says what is meant; a cell that does not fit it is a problem of
//! its record, never a silent change. <https://www.sqlite.org/datatype3.html>

use rusqlite::types::{Value as Stored, ValueRef};
use syncline_core::{decimal, schema::FieldType, time, value::Value};

pub(super) use crate::database::dialect::sqlite::{Affinity, affinity};

/// The field type of a declared type. Timestamps are instants in UTC unless declared without a time zone.
pub(crate) fn declared(text: &str) -> FieldType {
    let upper = text.to_ascii_uppercase();
    let (name, arguments) = upper.split_once('(').map_or((upper.as_str(), ""), |(n, a)| (n, a));
    let has = |part: &str| upper.contains(part);
    match name.trim() {
        "BOOLEAN" | "BOOL" => FieldType::Boolean,
        "DATE" => FieldType::Date,
        "TIME" => FieldType::Time,
        "UUID" | "GUID" => FieldType::Uuid,
        "JSON" | "JSONB" | "JSON_TEXT" => FieldType::Json,
        _ if has("TIMESTAMP") || has("DATETIME") => FieldType::Timestamp { zoned: !has("WITHOUT") },
        "DECIMAL" | "NUMERIC" | "DECIMAL_TEXT" => {
            let mut digits = arguments.trim_end_matches(')').split(',').map(|d| d.trim().parse().ok());
            let precision = digits.next().flatten();
            let scale = digits.next().flatten().or_else(|| precision.map(|_| 0));
            FieldType::Decimal { precision, scale }
        }
        _ if has("INT") => FieldType::Int64,
        _ if has("REAL") || has("FLOA") || has("DOUB") => FieldType::Float64,
        _ if has("BLOB") => FieldType::Binary,
        _ => FieldType::Text,
    }
}

/// Whether a column of the affinity [`Affinity::Number`] stores a number instead of this text.
pub(super) fn looks_like_a_number(text: &str) -> bool {
    decimal::is_number(text)
}

/// A declared type that may stand in a statement: words, and digits in brackets. SQLite takes anything that is quoted for a
/// type, so others are not repeated.
pub(super) fn plain(declared: &str) -> Option<String> {
    let (words, arguments) = declared.split_once('(').map_or((declared, ""), |(w, a)| (w, a));
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ' ';
    let mut bare = words.split_whitespace();
    // a word that begins a constraint is no part of the type where it stands unquoted
    let constraint = |w: &str| {
        let words = ["constraint", "primary", "not", "null", "unique", "check", "default", "collate"];
        let more = ["references", "generated", "as", "autoincrement", "on"];
        words.iter().chain(&more).any(|c| w.eq_ignore_ascii_case(c))
    };
    let words_are = !words.trim().is_empty()
        && words.starts_with(|c: char| c.is_ascii_alphabetic())
        && words.chars().all(word)
        && !bare.any(constraint);
    let arguments_are = arguments.is_empty()
        || arguments.strip_suffix(')').is_some_and(|a| {
            a.split(',').count() <= 2
                && a.split(',').all(|n| !n.trim().is_empty() && n.trim().bytes().all(|b| b.is_ascii_digit()))
        });
    (words_are && arguments_are).then(|| declared.to_owned())
}

/// The value of a cell of a column of `kind`; `None` when it does not fit.
pub(super) fn read<'a>(cell: ValueRef<'a>, kind: &FieldType) -> Option<Value<'a>> {
    let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).ok();
    Some(match (cell, kind) {
        (ValueRef::Null, _) => Value::Null,
        (ValueRef::Text(v), FieldType::Text) => Value::Text(text(v)?.into()),
        (ValueRef::Text(v), FieldType::Json) => Value::Json(text(v)?.into()),
        // columns without a declared type (expressions of views), and JSON that is a number
        (ValueRef::Integer(v), FieldType::Text) => Value::Text(v.to_string().into()),
        (ValueRef::Real(v), FieldType::Text) => Value::Text(v.to_string().into()),
        (ValueRef::Integer(v), FieldType::Json) => Value::Json(v.to_string().into()),
        (ValueRef::Real(v), FieldType::Json) if v.is_finite() => Value::Json(v.to_string().into()),
        (ValueRef::Integer(v), FieldType::Int64) => Value::Int64(v),
        (ValueRef::Integer(v @ (0 | 1)), FieldType::Boolean) => Value::Boolean(v == 1),
        (ValueRef::Text(v), FieldType::Boolean) => Value::Boolean(boolean(text(v)?)?),
        (ValueRef::Real(v), FieldType::Float64) => Value::Float64(v),
        (ValueRef::Integer(v), FieldType::Float64) if v.unsigned_abs() <= 1 << 53 => Value::Float64(v as f64),
        (ValueRef::Integer(v), FieldType::Decimal { .. }) => Value::Decimal(v.to_string().into()),
        // What SQLite made a double of is a double: its shortest text is what was written, up to 15 digits.
        (ValueRef::Real(v), FieldType::Decimal { .. }) if v.is_finite() => {
            Value::Decimal(v.to_string().into())
        }
        (ValueRef::Text(v), FieldType::Decimal { .. }) => {
            let v = text(v)?;
            // a double may not reach as far; but an exponent without a normal form is too large for a number
            let number = decimal::is_finite(v) && v.trim().parse::<f64>().is_ok();
            let plain = || !v.contains(['e', 'E']) || !decimal::normal(v).contains(['e', 'E']);
            (number && plain()).then(|| Value::Decimal(v.into()))?
        }
        (ValueRef::Blob(v), FieldType::Binary) => Value::Binary(v.into()),
        (ValueRef::Text(v), FieldType::Binary) => Value::Binary(v.into()),
        (ValueRef::Text(INFINITY), FieldType::Date) => Value::Date(i32::MAX),
        (ValueRef::Text(MINUS_INFINITY), FieldType::Date) => Value::Date(i32::MIN),
        (ValueRef::Text(INFINITY), FieldType::Timestamp { zoned }) => {
            Value::Timestamp { micros: i64::MAX, zoned: *zoned }
        }
        (ValueRef::Text(MINUS_INFINITY), FieldType::Timestamp { zoned }) => {
            Value::Timestamp { micros: i64::MIN, zoned: *zoned }
        }
        (ValueRef::Text(v), FieldType::Date) => Value::Date(date(text(v)?)?),
        (ValueRef::Integer(v), FieldType::Date) => Value::Date(i32::try_from(v.div_euclid(86_400)).ok()?),
        (ValueRef::Text(v), FieldType::Time) => {
            let v = text(v)?.trim();
            if v == END_OF_DAY {
                return Some(Value::Time(time::DAY_MICROS));
            }
            Value::Time(time::parse_time(v).filter(|_| !too_fine(v))?)
        }
        (ValueRef::Text(v), FieldType::Timestamp { zoned }) => timestamp(text(v)?, *zoned)?,
        (ValueRef::Integer(v), FieldType::Timestamp { zoned }) => {
            Value::Timestamp { micros: v.checked_mul(1_000_000)?, zoned: *zoned }
        }
        (ValueRef::Text(v), FieldType::Uuid) => {
            Value::Uuid(text(v)?.trim().parse::<uuid::Uuid>().ok()?.into_bytes())
        }
        (ValueRef::Blob(v), FieldType::Uuid) => Value::Uuid(v.try_into().ok()?),
        _ => return None,
    })
}

/// After and before every date and time, as other databases have them.
const INFINITY: &[u8] = b"infinity";
const MINUS_INFINITY: &[u8] = b"-infinity";

/// What other databases have beside the times of a day.
pub(super) const END_OF_DAY: &str = "24:00:00.000000";

fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "1" => Some(true),
        "false" | "f" | "0" => Some(false),
        _ => None,
    }
}

/// A date; with a time of day only where that is midnight, for nothing else would be left out unsaid.
fn date(text: &str) -> Option<i32> {
    let text = text.trim();
    // -000043-03-15: years before Christ have a sign and six digits
    let alone = if text.starts_with('-') { 13 } else { 10 };
    if text.len() <= alone {
        return time::parse_date(text).filter(|_| text.len() == alone);
    }
    let (micros, _) = time::parse_timestamp(text)?;
    if micros.rem_euclid(time::DAY_MICROS) != 0 {
        return None;
    }
    i32::try_from(micros.div_euclid(time::DAY_MICROS)).ok()
}

fn timestamp(text: &str, zoned: bool) -> Option<Value<'static>> {
    let text = text.trim();
    if too_fine(text) {
        return None;
    }
    let micros = match time::parse_timestamp(text) {
        Some((micros, _)) => micros,
        None => i64::from(date(text)?) * time::DAY_MICROS,
    };
    Some(Value::Timestamp { micros, zoned })
}

/// Whether digits beyond the microsecond would be lost.
fn too_fine(text: &str) -> bool {
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
    let digits = fraction.bytes().take_while(u8::is_ascii_digit);
    digits.skip(6).any(|d| d != b'0')
}

/// The condition that a stored value of `kind` is in the one form that we write; nothing where there is but one.
pub(super) fn written_form(kind: &FieldType, column: &str) -> Option<String> {
    let d = |n: usize| "[0-9]".repeat(n);
    let date = format!("{}-{}-{}", d(4), d(2), d(2));
    let time = format!("{}:{}:{}.{}", d(2), d(2), d(2), d(6));
    let pattern = match kind {
        FieldType::Boolean => return Some(format!("{column} IN (0, 1)")),
        FieldType::Uuid => {
            let condition = format!(
                "typeof({column}) = 'text' AND length({column}) = 36 AND {column} = lower({column}) COLLATE BINARY"
            );
            return Some(condition);
        }
        FieldType::Date => date,
        FieldType::Time => time,
        FieldType::Timestamp { zoned } => format!("{date} {time}{}", if *zoned { "Z" } else { "" }),
        _ => return None,
    };
    // and years before Christ, and infinity
    Some(format!(
        "({column} GLOB '{pattern}' OR {column} GLOB '-{}{pattern}' OR {column} IN ('infinity', '-infinity'))",
        d(2)
    ))
}

/// The functions by which values are compared that are not stored in one form.
pub(super) const COMPARED: [(&str, FieldType); 6] = [
    ("syncline_instant", FieldType::Timestamp { zoned: true }),
    ("syncline_wall", FieldType::Timestamp { zoned: false }),
    ("syncline_date", FieldType::Date),
    ("syncline_time", FieldType::Time),
    ("syncline_uuid", FieldType::Uuid),
    ("syncline_boolean", FieldType::Boolean),
];

/// What such a function makes of a cell; null for one that does not fit.
pub(super) fn compared(cell: ValueRef<'_>, kind: &FieldType) -> Stored {
    read(cell, kind).map_or(Stored::Null, |value| comparable(&value))
}

/// A value as the functions give it, or, for types without one, as it is stored.
pub(super) fn comparable(value: &Value<'_>) -> Stored {
    match value {
        Value::Null | Value::List(_) => Stored::Null,
        Value::Boolean(v) => Stored::Integer(i64::from(*v)),
        Value::Int64(v) | Value::Time(v) | Value::Timestamp { micros: v, .. } => Stored::Integer(*v),
        Value::Date(v) => Stored::Integer(i64::from(*v)),
        Value::Float64(v) => Stored::Real(*v),
        Value::Binary(v) => Stored::Blob(v.to_vec()),
        Value::Uuid(v) => Stored::Blob(v.to_vec()),
        Value::Text(v) | Value::Json(v) => Stored::Text(v.to_string()),
        // a number sorts before every text, whatever the affinity of what it is compared with
        Value::Decimal(v) => match (v.parse::<i64>(), v.parse::<f64>()) {
            (Ok(whole), _) => Stored::Integer(whole),
            (_, Ok(double)) => Stored::Real(double),
            _ => Stored::Text(v.to_string()),
        },
    }
}

/// The one form in which all times of a column are stored, if text or number order is then time order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// Seconds since 1970.
    Seconds,
    /// ISO text of this length, with this between date and time.
    Text {
        /// Characters.
        length: usize,
        /// Blank or `T`; empty: a date alone.
        between: String,
    },
}

impl Form {
    /// The form of a cell, and the condition that every other cell of the form fulfils: the same signs at the same
    /// places, digits elsewhere. Nothing for forms whose order is not that of time: offsets.
    pub(super) fn of(cell: ValueRef<'_>, column: &str) -> Option<(Self, String)> {
        let text = match cell {
            ValueRef::Integer(_) => return Some((Self::Seconds, format!("typeof({column}) = 'integer'"))),
            ValueRef::Text(text) => std::str::from_utf8(text).ok()?,
            _ => return None,
        };
        let sign = |at: usize, c: char| {
            c.is_ascii_digit() || ":.Z".contains(c) || at < 10 && c == '-' || at == 10 && "T ".contains(c)
        };
        if !text.chars().enumerate().all(|(at, c)| sign(at, c)) {
            return None;
        }
        let pattern: String = text
            .chars()
            .map(|c| if c.is_ascii_digit() { "[0-9]".to_owned() } else { c.to_string() })
            .collect();
        let between = text.get(10..11).unwrap_or_default().to_owned();
        Some((Self::Text { length: text.len(), between }, format!("{column} GLOB '{pattern}'")))
    }

    /// A stored value that lies at or before everything from `start` (microseconds) on, and after everything of the
    /// seconds before.
    pub(super) fn lower(&self, start: i64) -> Stored {
        // the years that ISO text of four digits has
        const FIRST: i64 = -62_167_219_200_000_000;
        const LAST: i64 = 253_402_300_799_999_999;
        match self {
            Self::Seconds => Stored::Integer(start.div_euclid(1_000_000)),
            Self::Text { .. } if start < FIRST => Stored::Text(String::new()),
            Self::Text { .. } if start > LAST => Stored::Text("\u{10ffff}".into()),
            Self::Text { length, between } => {
                let text = time::timestamp_text(start - start.rem_euclid(1_000_000), false);
                let text = text.replacen('T', between, 1);
                Stored::Text(text.chars().take((*length).min(19)).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types() {
        for (text, kind) in [
            ("INTEGER", FieldType::Int64),
            ("bigint", FieldType::Int64),
            ("DECIMAL(14,2)", FieldType::Decimal { precision: Some(14), scale: Some(2) }),
            ("NUMERIC", FieldType::Decimal { precision: None, scale: None }),
            ("numeric(5)", FieldType::Decimal { precision: Some(5), scale: Some(0) }),
            ("varchar(20)", FieldType::Text),
            ("", FieldType::Text),
            ("DOUBLE PRECISION", FieldType::Float64),
            ("TIMESTAMP", FieldType::Timestamp { zoned: true }),
            ("TIMESTAMP WITHOUT TIME ZONE", FieldType::Timestamp { zoned: false }),
            ("DATE", FieldType::Date),
            ("BLOB", FieldType::Binary),
            ("DECIMAL_TEXT(38,2)", FieldType::Decimal { precision: Some(38), scale: Some(2) }),
            ("DECIMAL_TEXT", FieldType::Decimal { precision: None, scale: None }),
            ("JSON_TEXT", FieldType::Json),
        ] {
            assert_eq!(declared(text), kind, "{text}");
        }
    }

    #[test]
    fn affinities_and_words_that_may_be_repeated() {
        use Affinity as A;
        for (declared, expected, is_plain) in [
            ("INTEGER", A::Number, true),
            ("varchar(20)", A::Text, true),
            ("DECIMAL_TEXT(38,2)", A::Text, true),
            ("JSON_TEXT", A::Text, true),
            ("STRING", A::Number, true),
            ("UUID", A::Number, true),
            ("TIMESTAMP WITHOUT TIME ZONE", A::Number, true),
            ("BLOB", A::None, true),
            ("", A::None, false),
            ("TEXT); DROP TABLE t; --", A::Text, false),
            ("TEXT DEFAULT 1", A::Text, false),
            ("a\"b", A::Number, false),
            ("NUMERIC(1,2,3)", A::Number, false),
            ("NUMERIC(a)", A::Number, false),
        ] {
            assert_eq!((affinity(declared), plain(declared).is_some()), (expected, is_plain), "{declared}");
        }
    }

    #[test]
    fn cells_fit_or_do_not() {
        let decimal = FieldType::Decimal { precision: None, scale: None };
        let cell = |text: &'static str| ValueRef::Text(text.as_bytes());
        assert_eq!(read(cell("12.50"), &decimal), Some(Value::Decimal("12.50".into())));
        assert_eq!(read(ValueRef::Real(0.1), &decimal), Some(Value::Decimal("0.1".into())));
        assert_eq!(read(cell("NaN"), &decimal), None);
        assert_eq!(read(cell("2026-01-31"), &FieldType::Date), Some(Value::Date(20_484)));
        assert_eq!(read(cell("10000-01-01"), &FieldType::Date), None);
        assert_eq!(read(cell("soon"), &FieldType::Date), None);
        let zoned = FieldType::Timestamp { zoned: true };
        let at = Value::Timestamp { micros: 1_769_854_625_500_000, zoned: true };
        for text in ["2026-01-31T10:17:05.5Z", "2026-01-31 10:17:05.5", "2026-01-31T12:17:05.500+02:00"] {
            assert_eq!(read(cell(text), &zoned), Some(at.clone()), "{text}");
        }
        assert_eq!(read(ValueRef::Integer(7), &FieldType::Boolean), None);
        assert_eq!(read(ValueRef::Text(&[0xff]), &FieldType::Text), None);
    }

    #[test]
    fn nothing_is_left_out_unsaid() {
        let read = |text: &'static str, kind| read(ValueRef::Text(text.as_bytes()), &kind);
        let zoned = FieldType::Timestamp { zoned: true };
        assert_eq!(read("2026-01-31 10:17:05.1234567", zoned.clone()), None);
        assert!(read("2026-01-31 10:17:05.1234560", zoned).is_some());
        assert_eq!(read("10:17:05.1234567", FieldType::Time), None);
        assert_eq!(read("2026-01-31 10:17:05", FieldType::Date), None);
        assert_eq!(read("2026-01-31 00:00:00", FieldType::Date), Some(Value::Date(20_484)));
    }

    #[test]
    fn bounds_sort_before_everything_they_must_include() {
        const START: i64 = 1_769_854_625_500_000;
        let form = |length, between: &str| Form::Text { length, between: between.into() };
        let text = |t: &str| Stored::Text(t.into());
        assert_eq!(form(19, " ").lower(START), text("2026-01-31 10:17:05"));
        assert_eq!(form(24, "T").lower(START), text("2026-01-31T10:17:05"));
        assert_eq!(form(16, "T").lower(START), text("2026-01-31T10:17"));
        assert_eq!(form(10, "").lower(START), text("2026-01-31"));
        assert_eq!(form(19, " ").lower(i64::MIN), text(""));
        assert_eq!(Form::Seconds.lower(START), Stored::Integer(1_769_854_625));
        assert!("2026-01-31T10:17:05" < "2026-01-31T10:17:05.500Z");
    }

    #[test]
    fn forms_are_told_from_one_cell() {
        let of = |text: &'static str| Form::of(ValueRef::Text(text.as_bytes()), "c");
        let form = |length, between: &str| Form::Text { length, between: between.into() };
        let glob = "c GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'".to_owned();
        assert_eq!(of("2026-01-31"), Some((form(10, ""), glob)));
        assert_eq!(of("2026-01-31T10:00:00.5Z").map(|f| f.0), Some(form(22, "T")));
        assert_eq!(of("2026-01-31 10:00:00+02:00"), None);
        assert_eq!(of("2026-01-31 10:00:00-02:00"), None);
        assert_eq!(of("it's"), None);
    }

    #[test]
    fn one_time_compares_equal_in_every_form() {
        let zoned = FieldType::Timestamp { zoned: true };
        let of = |cell| compared(cell, &zoned);
        let text = |t: &'static str| of(ValueRef::Text(t.as_bytes()));
        assert_eq!(text("2026-01-31T10:17:05Z"), Stored::Integer(1_769_854_625_000_000));
        assert_eq!(text("2026-01-31 12:17:05+02:00"), text("2026-01-31T10:17:05Z"));
        assert_eq!(of(ValueRef::Integer(1_769_854_625)), text("2026-01-31T10:17:05Z"));
        assert_eq!(text("soon"), Stored::Null);
    }
}
