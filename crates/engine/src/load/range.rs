//! A part of the past, read again beside the live cursor: by cursor value, in order, in pieces of bounded size.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use syncline_connect::{
    Error,
    source::{Part, Portion, Reader},
};
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions, RecordOp, TypeMismatch},
    convert::convert,
    cursor::{Position, ordinal},
    mapping::Problem,
    schema::Field,
    sync::Write,
    time,
    value::Value,
};

use super::bind::Table;

/// Which part of the past, and how much of it at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Cursor value it starts at, inclusive, as text of the cursor's type.
    pub from: String,
    /// Cursor value it ends before.
    pub to: String,
    /// About how many records are loaded at once; all with the same cursor value are loaded together.
    pub rows: u64,
}

/// How far a range was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Everything below this cursor value is done, as text of the cursor's type.
    pub until: String,
    /// Whether that is all of it.
    pub complete: bool,
}

/// A range that fits its sync.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) from: Value<'static>,
    to: i64,
    rows: u64,
    field: Field,
    /// Below this everything was read.
    reached: Arc<Mutex<Option<i64>>>,
}

impl Bounds {
    /// Binds a range to what the sync reads.
    ///
    /// # Errors
    /// The sync cannot be read by ranges, or an end is no value of its cursor.
    pub(super) fn of(table: &Table, range: &Range) -> Result<Self, Problem> {
        let sync = &table.sync;
        let problem = |path: &str, message: String| Problem {
            path: path.into(),
            message,
            unknown: None,
            warning: false,
        };
        if !matches!(sync.write, Write::Upsert | Write::Mirror) || table.match_on.is_empty() {
            let message = "only records that are merged by a key can be loaded again: write: upsert or mirror, with a key";
            return Err(problem("write", message.into()));
        }
        let cursor = sync.from.cursor.as_ref().and_then(|cursor| table.stream.field(cursor));
        let Some(field) = cursor else {
            return Err(problem("from.cursor", "without a cursor there are no ranges".into()));
        };
        let end = |name: &str, text: &str| {
            let value = convert(Value::Text(text.to_owned().into()), field).map(Value::into_owned);
            let value = value.map_err(|why| problem("from.cursor", format!("{name} {text:?}: {why}")))?;
            match ordinal(&value) {
                Some(place) => Ok((value, place)),
                None => Err(problem(
                    "from.cursor",
                    "ranges need a cursor of whole numbers, dates or times".into(),
                )),
            }
        };
        let ((from, first), (_, to)) = (end("from", &range.from)?, end("to", &range.to)?);
        if first >= to {
            return Err(problem(
                "from.cursor",
                format!("from {:?} is not below to {:?}", range.from, range.to),
            ));
        }
        let rows = range.rows.max(1);
        Ok(Self { from, to, rows, field: field.clone(), reached: Arc::default() })
    }

    /// Where the range is read from.
    pub(super) fn start(&self) -> Position {
        Position { cursor: self.from.clone(), key: Vec::new() }
    }

    /// How far it was read, where a piece came to its end.
    pub(super) fn reached(&self) -> Option<Reached> {
        let reached = (*self.reached.lock().unwrap_or_else(PoisonError::into_inner))?;
        let until = match self.from {
            Value::Timestamp { zoned, .. } => time::timestamp_text(reached, zoned),
            Value::Date(_) => time::date_text(i32::try_from(reached).unwrap_or(i32::MAX)),
            _ => reached.to_string(),
        };
        Some(Reached { until, complete: reached >= self.to })
    }

    /// The records of the range, of an ordered listing that begins at its start.
    pub(super) fn part(&self, reader: Box<dyn Reader>, columns: &[String]) -> Box<dyn Part> {
        let at = columns.iter().position(|column| *column == self.field.name).unwrap_or_default();
        Box::new(Piece { bounds: self.clone(), reader, at, taken: 0, last: None, over: false })
    }
}

/// One piece of a range: ends before `to`, or where the cursor value changes after enough records.
struct Piece {
    bounds: Bounds,
    reader: Box<dyn Reader>,
    /// Column of the cursor.
    at: usize,
    taken: u64,
    last: Option<i64>,
    over: bool,
}

impl Piece {
    /// How many records of a batch belong to the piece.
    fn cut(&mut self, batch: &Batch) -> usize {
        for row in 0..batch.len() {
            // infinity comes after every end
            let place = ordinal(&batch.value(row, self.at)).unwrap_or(i64::MAX);
            let enough = self.taken + row as u64 >= self.bounds.rows && self.last != Some(place);
            if place >= self.bounds.to || enough {
                self.end(place.min(self.bounds.to));
                return row;
            }
            self.last = Some(place);
        }
        batch.len()
    }

    fn end(&mut self, reached: i64) {
        self.over = true;
        *self.bounds.reached.lock().unwrap_or_else(PoisonError::into_inner) = Some(reached);
    }
}

#[async_trait]
impl Part for Piece {
    async fn next(&mut self) -> Result<Option<Portion>, Error> {
        if self.over {
            return Ok(None);
        }
        let Some(batch) = self.reader.next().await? else {
            self.end(self.bounds.to);
            return Ok(None);
        };
        let rows = self.cut(&batch);
        self.taken += rows as u64;
        if rows == batch.len() {
            return Ok(Some(Portion::from(batch)));
        }
        let kind = syncline_connect::error::Kind::Protocol;
        let head = head(&batch, rows).map_err(|mismatch| Error::new(kind, mismatch.to_string()))?;
        Ok((rows > 0).then(|| Portion::from(head)))
    }

    fn resume(&self) -> Option<Position> {
        None
    }
}

/// The first records of a batch.
fn head(batch: &Batch, rows: usize) -> Result<Batch, TypeMismatch> {
    let mut builder = BatchBuilder::new(Arc::clone(batch.fields()));
    for row in 0..rows {
        for column in 0..batch.fields().len() {
            builder.push(column, &batch.value(row, column))?;
        }
        if let Some(problem) = batch.problem(row) {
            builder.problem(problem);
        }
        builder.end_record(RecordOp::Upsert);
    }
    Ok(builder.finish(Positions::None))
}
