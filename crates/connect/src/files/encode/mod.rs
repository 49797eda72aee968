//! Records as the bytes of a file, one batch after the other.

mod parquet;

use syncline_core::{batch::RecordOp, schema::Field, value::Value};

use self::parquet::Parquet;
use super::{Format, config, texts};
use crate::{Error, error::Kind};

/// A file that is being made.
pub(super) enum Encoder {
    Csv(Csv),
    Jsonl(Vec<String>),
    Parquet(Box<Parquet>),
}

/// A CSV file.
pub(super) struct Csv {
    options: config::Csv,
    names: Vec<String>,
    begun: bool,
}

/// Where the value of each of a file's fields comes from: a column of the batches, or null.
pub(super) type Sources = Vec<Option<usize>>;

impl Encoder {
    pub(super) fn new(format: Format, options: &config::Csv, fields: &[Field]) -> Result<Self, Error> {
        let names = || fields.iter().map(|f| f.name.clone()).collect::<Vec<_>>();
        Ok(match format {
            Format::Csv => Self::Csv(Csv { options: options.clone(), names: names(), begun: false }),
            Format::Jsonl => Self::Jsonl(names()),
            Format::Parquet => Self::Parquet(Box::new(Parquet::new(fields)?)),
        })
    }

    /// The bytes of a batch's records; those that are gone are left out.
    pub(super) fn batch(
        &mut self,
        batch: &syncline_core::batch::Batch,
        sources: &Sources,
    ) -> Result<Vec<u8>, Error> {
        let rows = (0..batch.len()).filter(|row| batch.op(*row) == RecordOp::Upsert);
        let values = |row: usize| {
            sources.iter().map(move |at| at.map_or(Value::Null, |column| batch.value(row, column)))
        };
        match self {
            Self::Csv(csv) => {
                let mut out = csv.begin();
                rows.for_each(|row| csv.line(&mut out, values(row)));
                Ok(out.into_bytes())
            }
            Self::Jsonl(names) => {
                let mut out = String::new();
                rows.for_each(|row| object(&mut out, names, values(row)));
                Ok(out.into_bytes())
            }
            Self::Parquet(file) => {
                for row in rows {
                    file.record(values(row))?;
                }
                Ok(file.take())
            }
        }
    }

    /// The last bytes.
    pub(super) fn finish(self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Csv(mut csv) => Ok(csv.begin().into_bytes()),
            Self::Jsonl(_) => Ok(Vec::new()),
            Self::Parquet(file) => file.finish(),
        }
    }
}

impl Csv {
    /// The header, once.
    fn begin(&mut self) -> String {
        let mut out = String::new();
        if !std::mem::replace(&mut self.begun, true) && self.options.header {
            let names = self.names.iter().map(|name| Value::Text(name.as_str().into()));
            self.line(&mut out, names);
        }
        out
    }

    fn line<'v>(&self, out: &mut String, values: impl Iterator<Item = Value<'v>>) {
        for (index, value) in values.enumerate() {
            if index > 0 {
                out.push(char::from(self.options.delimiter));
            }
            match &value {
                Value::Null => out.push_str(&self.options.null),
                Value::Text(text) | Value::Decimal(text) | Value::Json(text) => self.cell(out, text),
                other => self.cell(out, &texts::text(other).unwrap_or_default()),
            }
        }
        out.push('\n');
    }

    /// A cell that is not null: in quotes where it would be read as something else.
    fn cell(&self, out: &mut String, text: &str) {
        let special = |c: char| matches!(c, '"' | '\n' | '\r') || c == char::from(self.options.delimiter);
        if !text.is_empty() && text != self.options.null && !text.contains(special) {
            return out.push_str(text);
        }
        out.push('"');
        for c in text.chars() {
            if c == '"' {
                out.push('"');
            }
            out.push(c);
        }
        out.push('"');
    }
}

fn object<'v>(out: &mut String, names: &[String], values: impl Iterator<Item = Value<'v>>) {
    for (index, (name, value)) in names.iter().zip(values).enumerate() {
        out.push(if index == 0 { '{' } else { ',' });
        out.push_str(&serde_json::Value::from(name.as_str()).to_string());
        out.push(':');
        out.push_str(&texts::json(&value));
    }
    out.push_str(if names.is_empty() { "{}\n" } else { "}\n" });
}

/// A value that the format cannot hold: a fault of ours, for the limits of the field refuse it before.
fn unfit(field: &Field) -> Error {
    Error::new(
        Kind::Rejected,
        format!("column {:?} ({}): a value that the file cannot hold", field.name, field.kind),
    )
}
