//! The first records of a source and what becomes of them, for people who look at a mapping. Reads one small batch and
//! writes nothing.

use syncline_connect::source::{Params, Read, Reader};
use syncline_core::{
    batch::Batch,
    mapping::RecordProblem,
    plan::Fields,
    sync::{Mode, Overlap},
    value::Value,
};

use crate::{
    Bound, Error, Flow,
    load::{
        Table,
        bind::{From, Loaded},
    },
};

/// Most records of a sample.
pub const SAMPLE_MAX: usize = 20;
/// A batch of a sample ends early when it holds about this many bytes.
const SAMPLE_BYTES: usize = 256 * 1024;

/// One record, and what becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// Columns of the source, those that the sync reads.
    pub source: Fields,
    /// What the destination would hold.
    pub becomes: Becomes,
}

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Becomes {
    /// It is written to a stream with these fields. Of a table, before they are made the types of its columns.
    Written {
        /// Destination stream.
        stream: String,
        /// Fields.
        fields: Fields,
    },
    /// The filter leaves it out.
    LeftOut,
    /// It would be parked, for this reason.
    Parked {
        /// What keeps it from being written.
        message: String,
    },
}

/// Reads the first `limit` records of a sync's source, at most [`SAMPLE_MAX`], and maps them.
///
/// # Errors
/// The source failed.
pub async fn sample(flow: &Flow, limit: usize) -> Result<Vec<Sampled>, Error> {
    let limit = limit.clamp(1, SAMPLE_MAX);
    match flow {
        Flow::Push(bound) => {
            let request = bound.read(Mode::Full, None);
            let batch = first(flow, Read { batch_rows: limit, batch_bytes: SAMPLE_BYTES, ..request }).await?;
            Ok(batch.map(|batch| pushed(bound, &batch, limit)).unwrap_or_default())
        }
        Flow::Load(table) => {
            let columns = table.columns();
            let batch = first(flow, read(table, columns.clone(), limit)).await?;
            Ok(batch.map(|batch| loaded(table, &columns, &batch, limit)).unwrap_or_default())
        }
    }
}

async fn first(flow: &Flow, request: Read) -> Result<Option<Batch>, Error> {
    let (source, sync) = match flow {
        Flow::Push(bound) => (&bound.source, &bound.sync),
        Flow::Load(table) => (&table.source, &table.sync),
    };
    let doing = format!("reading a sample of {:?}", sync.name);
    let mut reader: Box<dyn Reader> = source.read(request).await.map_err(Error::connect(doing.clone()))?;
    reader.next().await.map_err(Error::connect(doing))
}

fn read(table: &Table, columns: Vec<String>, limit: usize) -> Read {
    Read {
        stream: table.reads.clone(),
        columns,
        key: table.key.clone(),
        key_is_total: table.key_is_total,
        cursor: table.sync.from.cursor.clone(),
        // a status column is read like any other
        tombstone: None,
        from: None,
        overlap: Overlap::default(),
        lag: table.sync.from.lag,
        batch_rows: limit,
        batch_bytes: SAMPLE_BYTES,
        params: Params::new(),
    }
}

/// The columns of a record.
fn source(batch: &Batch, row: usize) -> Fields {
    let columns = batch.fields().iter().enumerate();
    columns.map(|(column, field)| (field.name.clone(), batch.value(row, column).to_json())).collect()
}

fn parked(problem: RecordProblem) -> Becomes {
    Becomes::Parked { message: problem.message }
}

fn pushed(bound: &Bound, batch: &Batch, limit: usize) -> Vec<Sampled> {
    let mut scratch = Vec::new();
    let mut becomes = |row: usize| match bound.mapping.map(batch, row, &mut scratch) {
        Ok(None) => Becomes::LeftOut,
        Err(problem) => parked(problem),
        Ok(Some(mapped)) => {
            let stream = &bound.mapping.streams[mapped.stream];
            let fields = stream.fields.iter().zip(&mapped.values);
            let fields = fields.map(|(field, value)| (field.name.clone(), value.to_json())).collect();
            Becomes::Written { stream: stream.name.clone(), fields }
        }
    };
    (0..batch.len().min(limit))
        .map(|row| Sampled { source: source(batch, row), becomes: becomes(row) })
        .collect()
}

fn loaded(table: &Table, columns: &[String], batch: &Batch, limit: usize) -> Vec<Sampled> {
    let becomes = |row: usize| {
        let variable = |name: &str| match columns.iter().position(|column| column == name) {
            Some(at) => batch.value(row, at),
            None => Value::Null,
        };
        if let Some(problem) = batch.problem(row) {
            return Becomes::Parked { message: problem.to_owned() };
        }
        match table.sync.from.filter.as_ref().map(|filter| filter.test(variable)) {
            Some(Ok(false)) => return Becomes::LeftOut,
            Some(Err(why)) => return Becomes::Parked { message: why },
            Some(Ok(true)) | None => {}
        }
        let mut fields = Fields::new();
        for Loaded { column, from, default, .. } in &table.fields {
            let value = match from {
                From::Column(name) => variable(name),
                // No run gives it a value.
                From::Param(_) => Value::Null,
                From::Expression(expression) => match expression.evaluate(variable) {
                    Ok(value) => value,
                    Err(why) => {
                        return Becomes::Parked { message: format!("field {:?}: {why}", column.name) };
                    }
                },
            };
            let value = default.as_ref().filter(|_| value.is_null()).cloned().unwrap_or(value);
            fields.insert(column.name.clone(), value.to_json());
        }
        Becomes::Written { stream: table.sync.to.stream.clone(), fields }
    };
    (0..batch.len().min(limit))
        .map(|row| Sampled { source: source(batch, row), becomes: becomes(row) })
        .collect()
}
