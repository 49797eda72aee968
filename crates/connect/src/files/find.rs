//! From the name of a stream to its files.

use std::collections::BTreeSet;

use super::{
    error,
    store::{Entry, Store},
};
use crate::{Error, error::Kind};

/// Most names that are listed.
const NAMES_MAX: usize = 1_000;
/// What the name of a schema ends with.
pub(super) const SCHEMA: &str = ".schema.json";

/// How records are written into files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Jsonl,
    Parquet,
}

impl Format {
    /// The format of this name, as the options have it.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "csv" => Some(Self::Csv),
            "jsonl" => Some(Self::Jsonl),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }

    /// What names of its files end with.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
        }
    }

    /// The format by the ending of a file's name.
    pub(super) fn of(file: &str) -> Option<Self> {
        let (_, ending) = file.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// The files of a stream.
#[derive(Debug)]
pub(super) struct Files {
    /// The name in its one form: a directory ends with `/`.
    pub(super) id: String,
    pub(super) format: Format,
    /// In the order of their names; may be none where a schema says what the columns are.
    pub(super) entries: Vec<Entry>,
    /// Name of the schema beside it.
    pub(super) schema: String,
}

/// Finds a stream.
///
/// # Errors
/// [`Kind::StreamMissing`]; [`Kind::Definition`] where the format cannot be told.
pub(super) fn files(store: &Store, format: Option<Format>, wanted: &str) -> Result<Files, Error> {
    if wanted.starts_with('(') {
        return Err(Error::new(Kind::Definition, "files cannot run a statement")
            .hint("name a file or a directory, and choose records with a filter"));
    }
    let name = wanted.trim_matches('/');
    if name.is_empty() {
        return Err(missing(wanted));
    }
    if !wanted.ends_with('/')
        && let Some(entry) = store.head(name)?
    {
        let format = format.or_else(|| Format::of(name)).ok_or_else(|| {
            error::malformed(name, "its format cannot be told by its name")
                .hint("give format, one of csv, jsonl and parquet")
        })?;
        let (id, schema) = (name.to_owned(), format!("{name}{SCHEMA}"));
        return Ok(Files { id, format, entries: vec![entry], schema });
    }
    directory(store, format, wanted, name)
}

fn directory(store: &Store, format: Option<Format>, wanted: &str, name: &str) -> Result<Files, Error> {
    let (id, schema) = (format!("{name}/"), format!("{name}{SCHEMA}"));
    let mut entries = store.list(name)?;
    entries.retain(|entry| {
        let inside = entry.name.strip_prefix(&id).unwrap_or_default();
        let known = Format::of(inside);
        is_data(inside) && known.is_some() && (format.is_none() || known == format)
    });
    let told = entries.first().and_then(|e| Format::of(&e.name));
    let Some(format) = format.or(told) else { return Err(missing(wanted)) };
    if let Some(other) = entries.iter().find(|e| Format::of(&e.name) != Some(format)) {
        return Err(Error::new(
            Kind::Definition,
            format!(
                "the directory {id:?} holds files of several formats: {:?}, {:?}",
                entries[0].name, other.name
            ),
        )
        .hint("give format, or a directory of its own to each"));
    }
    // An empty directory is a stream only where something else says what it will hold.
    if entries.is_empty() && store.head(&schema)?.is_none() {
        return Err(missing(wanted));
    }
    Ok(Files { id, format, entries, schema })
}

/// Whether a name inside a directory is that of a file with records.
fn is_data(inside: &str) -> bool {
    !inside.is_empty() && !inside.contains('/') && !inside.starts_with(['_', '.'])
}

fn missing(wanted: &str) -> Error {
    Error::new(Kind::StreamMissing, format!("there is no file and no directory with files {wanted:?}"))
        .hint("files end with .csv, .jsonl, .ndjson or .parquet; a directory is named with a / at its end")
}

/// Files and directories that are streams, at most 1,000.
pub(super) fn names(store: &Store) -> Result<Vec<String>, Error> {
    let mut names = BTreeSet::new();
    for entry in store.list("")? {
        let (name, inside) = match entry.name.split_once('/') {
            None => (entry.name.clone(), entry.name.as_str()),
            Some((folder, inside)) => (format!("{folder}/"), inside),
        };
        if is_data(inside) && is_data(name.trim_end_matches('/')) && Format::of(inside).is_some() {
            names.insert(name);
        }
        if names.len() == NAMES_MAX {
            break;
        }
    }
    Ok(names.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_endings() {
        for (name, expected) in [
            ("orders.csv", Some(Format::Csv)),
            ("a.b.CSV", Some(Format::Csv)),
            ("orders.jsonl", Some(Format::Jsonl)),
            ("orders.ndjson", Some(Format::Jsonl)),
            ("part-0.parquet", Some(Format::Parquet)),
            ("orders.csv.schema.json", None),
            ("orders", None),
            ("orders.txt", None),
        ] {
            assert_eq!(Format::of(name), expected, "{name}");
        }
    }

    #[test]
    fn marked_names_are_no_data() {
        for (inside, data) in
            [("a.csv", true), ("_SUCCESS", false), (".a.csv", false), ("x/a.csv", false), ("", false)]
        {
            assert_eq!(is_data(inside), data, "{inside:?}");
        }
    }
}
