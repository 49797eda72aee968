//! What the files of a stream hold.

use syncline_core::schema::{Field, Stream};

use super::{
    Format,
    config::{self, Settings},
    csv::Csv,
    error, find,
    jsonl::{Jsonl, SAMPLE},
    parquet,
    schema::{self, COLUMNS_MAX, Schema},
    store::{Entry, Store},
};
use crate::{Error, error::Kind};

/// A stream as found, with what is needed to read it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) stream: Stream,
    pub(super) layout: Layout,
    pub(super) entries: Vec<Entry>,
}

/// How the files of a stream are read.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) format: Format,
    pub(super) csv: config::Csv,
    /// The columns of CSV without a header, where a schema names them.
    pub(super) known: Vec<Field>,
}

impl Found {
    /// The field of `column`.
    ///
    /// # Errors
    /// [`Kind::Definition`].
    pub(super) fn field(&self, column: &str) -> Result<&Field, Error> {
        self.stream.field(column).ok_or_else(|| {
            let names: Vec<_> = self.stream.fields.iter().map(|f| f.name.as_str()).collect();
            Error::new(Kind::Definition, format!("{:?} has no column {column:?}", self.stream.name))
                .hint(format!("its columns: {}", names.join(", ")))
        })
    }

    /// The fields of `columns`, in their order.
    pub(super) fn fields(&self, columns: &[String]) -> Result<Vec<Field>, Error> {
        columns.iter().map(|c| self.field(c).cloned()).collect()
    }
}

/// Finds and describes a stream by its first file and the schema beside it.
///
/// # Errors
/// [`Kind::StreamMissing`]; [`Kind::Definition`] for a file or a schema that makes no sense.
pub(super) fn found(store: &Store, settings: &Settings, wanted: &str) -> Result<Found, Error> {
    let files = find::files(store, settings.format, wanted)?;
    let schema = match store.small(&files.schema, schema::BYTES_MAX)? {
        Some(bytes) => Some(schema::read(&files.schema, &bytes)?),
        None => None,
    };
    let known = schema.as_ref().map(|s| s.fields.clone()).unwrap_or_default();
    let mut found = Found {
        stream: Stream { name: wanted.to_owned(), id: files.id, ..Stream::default() },
        layout: Layout { format: files.format, csv: settings.csv.clone(), known },
        entries: files.entries,
    };
    let first = found.entries.first().cloned();
    match (first, &schema) {
        (Some(first), _) => found.columns(store, first, schema.as_ref(), &files.schema)?,
        (None, Some(schema)) => found.stream.fields.clone_from(&schema.fields),
        (None, None) => {}
    }
    if found.stream.fields.len() > COLUMNS_MAX {
        return Err(error::malformed(wanted, format_args!("more than {COLUMNS_MAX} columns")));
    }
    if let Some(schema) = schema {
        promise_no_key(&mut found.stream, schema.primary_key);
    }
    Ok(found)
}

/// Nothing makes a file keep a key unique or whole: what a schema calls the key is described, and may be null.
fn promise_no_key(stream: &mut Stream, primary_key: Vec<String>) {
    for field in stream.fields.iter_mut().filter(|f| primary_key.contains(&f.name)) {
        field.nullable = true;
    }
    stream.primary_key = primary_key;
}

impl Found {
    fn columns(
        &mut self,
        store: &Store,
        first: Entry,
        schema: Option<&Schema>,
        schema_name: &str,
    ) -> Result<(), Error> {
        let name = first.name.clone();
        let stream = &mut self.stream;
        match self.layout.format {
            Format::Csv => {
                let file = Csv::open(store.clone(), first, &self.layout.csv, &self.layout.known)?;
                for (index, name) in file.names().iter().enumerate() {
                    match name {
                        Some(name) => stream.fields.push(Field::new(name, text(), true)),
                        None => stream
                            .unsupported
                            .push((format!("column {}", index + 1), "it has no name in the header".into())),
                    }
                }
                if schema.is_none() {
                    stream.notes.push(format!(
                        "Columns of CSV files are text; a file {schema_name:?} beside them can give their types."
                    ));
                }
            }
            Format::Jsonl if schema.is_none() => {
                stream.fields = Jsonl::open(store.clone(), first).sample()?;
                stream.notes.push(format!(
                    "Columns and types are those of the first {SAMPLE} records; a file {schema_name:?} beside them can \
                     give them."
                ));
            }
            // an object need not have all of its fields
            Format::Jsonl => stream.fields = schema.map(|s| s.fields.clone()).unwrap_or_default(),
            Format::Parquet => {
                let described = parquet::describe(store, &first)?;
                (stream.fields, stream.unsupported) = (described.fields, described.unsupported);
                if self.entries.len() == 1 {
                    stream.records = Some(described.records);
                }
            }
        }
        for field in schema.map(|s| s.fields.as_slice()).unwrap_or_default() {
            match stream.fields.iter_mut().find(|f| f.name == field.name) {
                Some(found) => found.clone_from(field),
                None => {
                    let what = format_args!("field {:?}: the file {name:?} has no such column", field.name);
                    return Err(error::malformed(schema_name, what));
                }
            }
        }
        Ok(())
    }
}

fn text() -> syncline_core::schema::FieldType {
    syncline_core::schema::FieldType::Text
}
