//! Parquet: types by the file's own schema, values without a detour over text.
//!
//! <https://github.com/apache/parquet-format/blob/master/LogicalTypes.md>

mod cells;
mod chunks;

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    },
    errors::ParquetError,
};
use syncline_core::schema::Field;

use self::{cells::Native, chunks::Chunks};
use super::{
    error,
    scan::Row,
    schema::COLUMNS_MAX,
    store::{Entry, Store},
    types,
};
use crate::Error;

/// Most records that are decoded at once …
const ROWS: usize = 1_024;
/// … and about how many bytes of them.
const BYTES: u64 = 4 << 20;

/// The fields of a file, and what else it says about itself.
pub(super) struct Described {
    pub(super) fields: Vec<Field>,
    pub(super) unsupported: Vec<(String, String)>,
    pub(super) records: u64,
}

/// Reads a file's schema.
pub(super) fn describe(store: &Store, entry: &Entry) -> Result<Described, Error> {
    let (builder, _) = builder(store, entry)?;
    let mut described = Described {
        fields: Vec::new(),
        unsupported: Vec::new(),
        records: u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0),
    };
    for column in columns(&builder) {
        match column.kind {
            Ok((kind, _)) => described.fields.push(Field::new(column.name, kind, column.nullable)),
            Err(reason) => described.unsupported.push((column.name, reason)),
        }
    }
    Ok(described)
}

/// An open file.
pub(super) struct Parquet {
    name: String,
    chunks: Chunks,
    builder: Option<ParquetRecordBatchReaderBuilder<Chunks>>,
    reader: Option<ParquetRecordBatchReader>,
    batch: RecordBatch,
    /// Record in hand, in the batch and in the file, from 1 there.
    at: usize,
    number: u64,
    /// Of each wanted column, its place in the batch and how it is stored.
    wanted: Vec<(usize, Native)>,
}

impl Parquet {
    pub(super) fn open(store: &Store, entry: &Entry) -> Result<Self, Error> {
        let (builder, chunks) = builder(store, entry)?;
        Ok(Self {
            name: entry.name.clone(),
            chunks,
            builder: Some(builder),
            reader: None,
            batch: RecordBatch::new_empty(Arc::new(arrow_schema::Schema::empty())),
            at: 0,
            number: 0,
            wanted: Vec::new(),
        })
    }

    /// Chooses the columns to give; no others are decoded.
    pub(super) fn choose(&mut self, fields: &[Field]) -> Result<(), Error> {
        let Some(builder) = self.builder.take() else { return Ok(()) };
        let columns = columns(&builder);
        let mut places = Vec::with_capacity(fields.len());
        for field in fields {
            let found = columns.iter().enumerate().find(|(_, c)| c.name == field.name);
            let native = found.and_then(|(at, c)| Some((at, c.kind.as_ref().ok()?.1.clone())));
            places.push(native.ok_or_else(|| {
                error::malformed(
                    &self.name,
                    format_args!("there is no column {:?} that can be read", field.name),
                )
                .hint("all files of a stream have the same columns, in any order")
            })?);
        }
        // the batch has the chosen columns in the order of the file
        let mut order: Vec<usize> = places.iter().map(|(at, _)| *at).collect();
        order.sort_unstable();
        order.dedup();
        self.wanted = places
            .into_iter()
            .map(|(at, native)| (order.binary_search(&at).unwrap_or_default(), native))
            .collect();
        let rows = rows_at_once(&builder);
        let mask = ProjectionMask::roots(builder.parquet_schema(), order);
        let built = builder.with_projection(mask).with_batch_size(rows).build();
        self.reader = Some(built.map_err(|e| failed(&self.name, &self.chunks, &e))?);
        Ok(())
    }

    /// Goes to the next record; whether there is one.
    pub(super) fn advance(&mut self) -> Result<bool, Error> {
        self.number += 1;
        if self.at + 1 < self.batch.num_rows() {
            self.at += 1;
            return Ok(true);
        }
        let Some(reader) = &mut self.reader else { return Ok(false) };
        for batch in reader {
            self.batch = batch.map_err(|e| broken(&self.name, &self.chunks, &e))?;
            self.at = 0;
            if self.batch.num_rows() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The record in hand.
    pub(super) fn row(&self, columns: &[Field]) -> Row<'_> {
        let mut row = Row::with_capacity(columns.len());
        for (field, (at, native)) in columns.iter().zip(&self.wanted) {
            let value = cells::value(self.batch.column(*at).as_ref(), native, self.at);
            row.push(value.and_then(|v| types::of_native(v, &field.kind)), field, "value");
        }
        row
    }

    /// Where the record in hand is.
    pub(super) fn place(&self) -> String {
        format!("file {:?}, record {}", self.name, self.number)
    }
}

fn builder(store: &Store, entry: &Entry) -> Result<(ParquetRecordBatchReaderBuilder<Chunks>, Chunks), Error> {
    let chunks = Chunks::new(store.clone(), entry.clone());
    // The Arrow schema that some writers add says how their memory looked; the file's own types are all that matters here.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(chunks.clone(), options)
        .map_err(|e| failed(&entry.name, &chunks, &e))?;
    if builder.schema().fields().len() > COLUMNS_MAX {
        return Err(error::malformed(&entry.name, format_args!("more than {COLUMNS_MAX} columns")));
    }
    Ok((builder, chunks))
}

/// A column as it is stored.
struct Column {
    name: String,
    nullable: bool,
    kind: Result<(syncline_core::schema::FieldType, Native), String>,
}

fn columns(builder: &ParquetRecordBatchReaderBuilder<Chunks>) -> Vec<Column> {
    let roots = builder.parquet_schema().root_schema().get_fields();
    let column = |(arrow, stored): (&arrow_schema::FieldRef, &parquet::schema::types::TypePtr)| Column {
        name: arrow.name().clone(),
        nullable: arrow.is_nullable(),
        kind: cells::kind(arrow.data_type(), stored),
    };
    builder.schema().fields().iter().zip(roots).map(column).collect()
}

/// As many records as are about the bytes that are decoded at once, by the largest of the file's row groups.
fn rows_at_once(builder: &ParquetRecordBatchReaderBuilder<Chunks>) -> usize {
    let groups = builder.metadata().row_groups().iter();
    let size = |group: &parquet::file::metadata::RowGroupMetaData| {
        let bytes = u64::try_from(group.total_byte_size()).unwrap_or(0);
        bytes / u64::try_from(group.num_rows()).unwrap_or(1).max(1)
    };
    let largest = groups.map(size).max().unwrap_or(1).max(1);
    usize::try_from(BYTES / largest).unwrap_or(ROWS).clamp(1, ROWS)
}

/// An error of the library: the store's own, if it began there.
fn failed(name: &str, chunks: &Chunks, error: &ParquetError) -> Error {
    if let Some(error) = chunks.failure() {
        return error;
    }
    let text = error.to_string();
    told(name, &text)
}

fn broken(name: &str, chunks: &Chunks, error: &ArrowError) -> Error {
    chunks.failure().unwrap_or_else(|| told(name, &error.to_string()))
}

/// Of the library's words, only what is about features of the format: others may hold parts of the file.
fn told(name: &str, text: &str) -> Error {
    if text.contains("Disabled feature") || text.contains("compression") {
        return error::malformed(name, "it is compressed in a way that this binary does not read")
            .hint("write it uncompressed or with Snappy");
    }
    if text.contains("encrypt") {
        return error::malformed(name, "it is encrypted");
    }
    error::malformed(name, "it is not Parquet, or it is damaged").hint("check the file with another reader")
}
