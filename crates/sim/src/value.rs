//! Values of columns: what may be written, what is stored, how it is read back (facts §2.5).

use jiff::Timestamp;
use jiff::civil;
use serde_json::Value;

use crate::answer::Refusal;
use crate::clock;
use crate::column::{Column, Facet};
use crate::json_out::JsonOut;
use crate::switches::{Hyperlinks, Switches, ZonelessDates};

/// A stored value. An empty column stores nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FieldValue {
    Text(Box<str>),
    Number(f64),
    Boolean(bool),
    /// Whole seconds since 1970, UTC.
    Time(i64),
    Choices(Vec<Box<str>>),
    Lookup(u64),
    Lookups(Vec<u64>),
    Link {
        url: Box<str>,
        description: Box<str>,
    },
}

/// Checks and converts what a caller wrote. `None` clears the column.
pub(crate) fn parse(column: &Column, given: &Value, rules: &Switches) -> Result<Option<FieldValue>, Refusal> {
    let given = if rules.lenient_types { &loosened(column, given) } else { given };
    let value = match (&column.facet, given) {
        (_, Value::Null) => return Ok(None),
        (Facet::Text { multiline, max_length, .. }, Value::String(text)) => {
            let most = if *multiline { rules.note_max_chars } else { *max_length };
            return text_value(column, text, most, *multiline, rules);
        }
        (Facet::Number { minimum, maximum }, Value::Number(_)) => {
            let number = double(column, given)?;
            if number < *minimum || number > *maximum {
                return Err(Refusal::invalid(format!(
                    "The value of field '{}' must be between {minimum} and {maximum}",
                    column.name
                )));
            }
            FieldValue::Number(number)
        }
        (Facet::Currency, Value::Number(_)) => FieldValue::Number(double(column, given)?),
        (Facet::Boolean, Value::Bool(flag)) => FieldValue::Boolean(*flag),
        (Facet::DateTime { date_only }, Value::String(text)) => {
            if text.is_empty() {
                return Ok(None);
            }
            FieldValue::Time(time_value(column, text, *date_only, rules)?)
        }
        (Facet::Choice { multiple: false, .. }, Value::String(text)) => {
            if text.is_empty() {
                return Ok(None);
            }
            check_choice(column, text)?;
            FieldValue::Text(text.as_str().into())
        }
        (Facet::Choice { multiple: true, .. }, Value::Array(given)) => {
            let choices = given.iter().map(|choice| match choice {
                Value::String(text) => check_choice(column, text).map(|()| text.as_str().into()),
                _ => Err(wrong_type(column)),
            });
            let choices = choices.collect::<Result<Vec<Box<str>>, Refusal>>()?;
            if choices.is_empty() {
                return Ok(None);
            }
            FieldValue::Choices(choices)
        }
        (Facet::Lookup { multiple, .. } | Facet::Person { multiple }, given) => {
            return lookup_value(column, given, *multiple);
        }
        (Facet::Hyperlink, given) => link_value(column, given, rules)?,
        _ => return Err(wrong_type(column)),
    };
    Ok(Some(value))
}

fn wrong_type(column: &Column) -> Refusal {
    Refusal::invalid(format!("The value of field '{}' does not fit the type of the column", column.name))
}

fn double(column: &Column, given: &Value) -> Result<f64, Refusal> {
    given.as_f64().filter(|n| n.is_finite()).ok_or_else(|| wrong_type(column))
}

/// Under `lenient_types`, scalars of another JSON type are converted before they are checked.
fn loosened(column: &Column, given: &Value) -> Value {
    match (&column.facet, given) {
        (Facet::Text { .. } | Facet::Choice { multiple: false, .. }, Value::Number(n)) => {
            n.to_string().into()
        }
        (Facet::Text { .. } | Facet::Choice { multiple: false, .. }, Value::Bool(b)) => b.to_string().into(),
        (Facet::Number { .. } | Facet::Currency, Value::String(text)) => {
            text.trim().parse::<f64>().map_or_else(|_| given.clone(), Value::from)
        }
        (Facet::Boolean, Value::String(text)) => {
            text.trim().parse::<bool>().map_or_else(|_| given.clone(), Value::from)
        }
        _ => given.clone(),
    }
}

fn text_value(
    column: &Column,
    text: &str,
    most: usize,
    multiline: bool,
    rules: &Switches,
) -> Result<Option<FieldValue>, Refusal> {
    let normalised;
    let text = if rules.trim_text {
        normalised = text.trim().replace("\r\n", "\n");
        normalised.as_str()
    } else {
        text
    };
    // An empty text is an empty column, and absent on read (facts §2.4 [O]).
    if text.is_empty() {
        return Ok(None);
    }
    // Bytes bound characters, so most texts need no count.
    if text.len() > most && text.encode_utf16().count() > most {
        return Err(Refusal::invalid(format!(
            "Invalid text value. The value of field '{}' is longer than {most} characters",
            column.name
        )));
    }
    let control = |c: char| (c as u32) < 0x20 && !(c == '\t' || c == '\n' || c == '\r');
    if text.chars().any(control) || (!multiline && text.contains(['\n', '\r'])) {
        return Err(Refusal::invalid(format!(
            "Invalid text value. The value of field '{}' holds a character that is not allowed",
            column.name
        )));
    }
    Ok(Some(FieldValue::Text(text.into())))
}

/// UTC, whole seconds; date-only columns hold midnight (facts §2.5 \[O\]).
fn time_value(column: &Column, text: &str, date_only: bool, rules: &Switches) -> Result<i64, Refusal> {
    let invalid = || {
        Refusal::invalid(format!(
            "Invalid date/time value. The value of field '{}' is not a date the list can hold",
            column.name
        ))
    };
    let has_time = text.contains(['T', 't', ' ']);
    let seconds = if let Ok(instant) = text.parse::<Timestamp>() {
        instant.as_second()
    } else if !has_time {
        let date: civil::Date = text.parse().map_err(|_| invalid())?;
        civil_seconds(date.at(0, 0, 0, 0))
    } else {
        let local: civil::DateTime = text.parse().map_err(|_| invalid())?;
        if rules.zoneless_dates == ZonelessDates::Refuse {
            return Err(invalid());
        }
        civil_seconds(local)
    };
    // The list stores 1900 to 8900 [K: the classic limits].
    if !(-2_208_988_800..=218_721_254_399).contains(&seconds) {
        return Err(invalid());
    }
    Ok(if date_only { seconds.div_euclid(86_400) * 86_400 } else { seconds })
}

fn civil_seconds(at: civil::DateTime) -> i64 {
    at.to_zoned(jiff::tz::TimeZone::UTC).map_or(i64::MIN, |zoned| zoned.timestamp().as_second())
}

/// Reads a date of a `$filter` literal, by the same rules.
pub(crate) fn filter_time(text: &str) -> Option<i64> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant.as_second());
    }
    if let Ok(local) = text.parse::<civil::DateTime>() {
        return Some(civil_seconds(local));
    }
    text.parse::<civil::Date>().ok().map(|date| civil_seconds(date.at(0, 0, 0, 0)))
}

fn check_choice(column: &Column, text: &str) -> Result<(), Refusal> {
    let Facet::Choice { choices, allow_text, .. } = &column.facet else { return Ok(()) };
    if *allow_text && text.encode_utf16().count() <= 255 || choices.iter().any(|choice| choice == text) {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "Invalid choice value. The value of field '{}' is not one of its choices",
        column.name
    )))
}

/// Written as integers, read as strings (facts §2.5 \[O\]); an id in text is accepted as the service does for its own.
fn lookup_value(column: &Column, given: &Value, multiple: bool) -> Result<Option<FieldValue>, Refusal> {
    let id = |value: &Value| -> Result<u64, Refusal> {
        let number = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        number.filter(|n| *n > 0).ok_or_else(|| wrong_type(column))
    };
    match given {
        Value::Array(ids) if multiple => {
            let ids = ids.iter().map(id).collect::<Result<Vec<u64>, Refusal>>()?;
            Ok((!ids.is_empty()).then_some(FieldValue::Lookups(ids)))
        }
        Value::Array(_) => Err(wrong_type(column)),
        one if multiple => Ok(Some(FieldValue::Lookups(vec![id(one)?]))),
        one => Ok(Some(FieldValue::Lookup(id(one)?))),
    }
}

fn link_value(column: &Column, given: &Value, rules: &Switches) -> Result<FieldValue, Refusal> {
    let refused = || Refusal::invalid(format!("Invalid request: field '{}' cannot be written", column.name));
    if rules.hyperlinks == Hyperlinks::Refuse {
        return Err(refused());
    }
    let url = given.get("Url").and_then(Value::as_str).ok_or_else(refused)?;
    let description = given.get("Description").and_then(Value::as_str).unwrap_or(url);
    Ok(FieldValue::Link { url: url.into(), description: description.into() })
}

impl FieldValue {
    /// Writes the value as it is read back. Lookups are written by the caller, which knows their names.
    pub(crate) fn write(&self, out: &mut JsonOut) {
        match self {
            Self::Text(text) => out.text(text),
            Self::Number(number) => out.number(*number),
            Self::Boolean(flag) => out.boolean(*flag),
            Self::Time(seconds) => out.text(&clock::iso_utc(seconds * 1000)),
            Self::Choices(choices) => {
                out.open_array();
                for choice in choices {
                    out.text(choice);
                }
                out.close_array();
            }
            Self::Lookup(id) => out.text(&id.to_string()),
            Self::Lookups(ids) => {
                out.open_array();
                for id in ids {
                    out.open();
                    out.key("LookupId");
                    out.integer(*id as i64);
                    out.text_field("LookupValue", &id.to_string());
                    out.close();
                }
                out.close_array();
            }
            Self::Link { url, description } => {
                out.open();
                out.text_field("Url", url);
                out.text_field("Description", description);
                out.close();
            }
        }
    }

    /// The key under which a unique column remembers the value.
    pub(crate) fn unique_key(&self, ignore_case: bool) -> String {
        match self {
            Self::Text(text) if ignore_case => text.to_lowercase(),
            Self::Text(text) => text.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Time(seconds) => seconds.to_string(),
            Self::Lookup(id) => id.to_string(),
            other => format!("{other:?}"),
        }
    }
}
