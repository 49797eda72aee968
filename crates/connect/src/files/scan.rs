//! The records of a stream, file after file, whatever the format.

use std::sync::Arc;

use syncline_core::{
    batch::{Batch, BatchBuilder, Positions, RecordOp},
    schema::Field,
    value::Value,
};

use super::{
    Format,
    csv::Csv,
    describe::{Found, Layout},
    jsonl::Jsonl,
    parquet::Parquet,
    store::{Entry, Store},
};
use crate::{Error, error::Kind};

/// A record: one value per column wanted.
#[derive(Debug, Clone, Default)]
pub(super) struct Row<'a> {
    pub(super) values: Vec<Value<'a>>,
    /// Why it cannot be read whole, without values of the record; those that cannot be read are null.
    pub(super) problem: Option<String>,
}

impl<'a> Row<'a> {
    pub(super) fn with_capacity(columns: usize) -> Self {
        Self { values: Vec::with_capacity(columns), problem: None }
    }

    /// A record of which nothing can be read.
    pub(super) fn broken(columns: usize, problem: Option<String>) -> Self {
        Self { values: vec![Value::Null; columns], problem }
    }

    /// Adds a value, or, where there is none, says that the `stored` one does not fit its field.
    pub(super) fn push(&mut self, value: Option<Value<'a>>, field: &Field, stored: &str) {
        match value {
            Some(value) => self.values.push(value),
            None => self.misfit(format!("column {:?} ({}): a {stored} that is none", field.name, field.kind)),
        }
    }

    /// Adds null for a value that cannot be read.
    pub(super) fn misfit(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
        self.values.push(Value::Null);
    }

    pub(super) fn into_owned(self) -> Row<'static> {
        Row { values: self.values.into_iter().map(Value::into_owned).collect(), problem: self.problem }
    }
}

/// A file of any format.
enum Opened {
    Csv(Csv),
    Jsonl(Jsonl),
    Parquet(Box<Parquet>),
}

impl Opened {
    fn open(store: &Store, entry: &Entry, layout: &Layout, columns: &[Field]) -> Result<Self, Error> {
        Ok(match layout.format {
            Format::Csv => {
                let mut file = Csv::open(store.clone(), entry.clone(), &layout.csv, &layout.known)?;
                file.choose(layout, columns)?;
                Self::Csv(file)
            }
            Format::Jsonl => {
                let mut file = Jsonl::open(store.clone(), entry.clone());
                file.choose(columns);
                Self::Jsonl(file)
            }
            Format::Parquet => {
                let mut file = Parquet::open(store, entry)?;
                file.choose(columns)?;
                Self::Parquet(Box::new(file))
            }
        })
    }

    fn advance(&mut self) -> Result<bool, Error> {
        match self {
            Self::Csv(file) => file.advance(),
            Self::Jsonl(file) => file.advance(),
            Self::Parquet(file) => file.advance(),
        }
    }

    fn row(&self, columns: &[Field]) -> Row<'_> {
        match self {
            Self::Csv(file) => file.row(columns),
            Self::Jsonl(file) => file.row(columns),
            Self::Parquet(file) => file.row(columns),
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Csv(file) => file.place(),
            Self::Jsonl(file) => file.place(),
            Self::Parquet(file) => file.place(),
        }
    }
}

/// What is scanned: some columns of some files. Can be walked several times.
pub(super) struct Scanned {
    store: Store,
    layout: Layout,
    entries: Vec<Entry>,
    columns: Arc<[Field]>,
}

impl Scanned {
    pub(super) fn new(store: Store, found: Found, columns: Vec<Field>) -> Self {
        Self { store, layout: found.layout, entries: found.entries, columns: columns.into() }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// From the first record on.
    pub(super) fn walk(&self) -> Walk<'_> {
        Walk { scanned: self, next: 0, opened: None }
    }
}

/// A place in a scan.
pub(super) struct Walk<'s> {
    scanned: &'s Scanned,
    next: usize,
    opened: Option<Opened>,
}

impl Walk<'_> {
    /// Goes to the next record; whether there is one. When there is none, every file is still what it was at the beginning.
    ///
    /// # Errors
    /// Also when a file changed; the scan was not complete then.
    pub(super) fn advance(&mut self) -> Result<bool, Error> {
        let Scanned { store, layout, entries, columns } = self.scanned;
        loop {
            if let Some(opened) = &mut self.opened
                && opened.advance()?
            {
                return Ok(true);
            }
            self.opened = None;
            let Some(entry) = entries.get(self.next) else { break };
            self.opened = Some(Opened::open(store, entry, layout, columns)?);
            self.next += 1;
        }
        entries.iter().try_for_each(|entry| store.unchanged(entry))?;
        Ok(false)
    }

    /// The record in hand; call it after [`Walk::advance`] said that there is one.
    pub(super) fn row(&self) -> Row<'_> {
        let columns = &self.scanned.columns;
        let Some(opened) = &self.opened else { return Row::broken(columns.len(), None) };
        let mut row = opened.row(columns);
        if row.problem.is_none() {
            let mut cells = columns.iter().zip(&row.values);
            let missing = cells.find(|(field, value)| !field.nullable && value.is_null());
            row.problem =
                missing.map(|(field, _)| format!("column {:?}: null, which it never is", field.name));
        }
        row.problem = row.problem.map(|problem| format!("{}: {problem}", opened.place()));
        row
    }
}

/// What a listing or look-up turns records into.
pub(super) struct Shape {
    fields: Arc<[Field]>,
    tombstone: Option<usize>,
    positions: Positions,
}

impl Shape {
    pub(super) fn new(fields: Vec<Field>, tombstone: Option<usize>, positions: Positions) -> Self {
        Self { fields: fields.into(), tombstone, positions }
    }

    pub(super) fn builder(&self) -> BatchBuilder {
        BatchBuilder::new(Arc::clone(&self.fields))
    }

    pub(super) fn finish(&self, builder: &mut BatchBuilder) -> Batch {
        builder.finish(self.positions.clone())
    }

    /// Appends a record whose first values are those of the batch's fields.
    pub(super) fn push(&self, builder: &mut BatchBuilder, row: Row<'_>) -> Result<(), Error> {
        for (column, value) in row.values.iter().take(self.fields.len()).enumerate() {
            builder.push(column, value).map_err(|e| Error::new(Kind::Protocol, e.to_string()))?;
        }
        let gone = self
            .tombstone
            .is_some_and(|column| !matches!(row.values[column], Value::Null | Value::Boolean(false)));
        if let Some(problem) = row.problem {
            builder.problem(problem);
        }
        builder.end_record(if gone { RecordOp::Delete } else { RecordOp::Upsert });
        Ok(())
    }
}

/// Position of `name` among the columns wanted.
///
/// # Errors
/// [`Kind::Definition`]: a key, cursor or tombstone column has to be listed too.
pub(super) fn position(columns: &[String], name: &str) -> Result<usize, Error> {
    columns.iter().position(|c| c == name).ok_or_else(|| {
        Error::new(Kind::Definition, format!("column {name:?} is needed and is not among the columns read"))
    })
}
