//! Listings: pages by key where the key is total, one statement where it is not.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rusqlite::{Connection, Row, params_from_iter, types::Value as Stored};
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions, RecordOp},
    cursor::Position,
    schema::{Field, FieldType, Stream},
    sync::Overlap,
    value::Value,
};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    error, sql,
    sql::After,
    types::{self, Storage},
};
use crate::{
    Error,
    error::Kind,
    source::{Read, Reader},
};

/// What a listing or look-up turns rows into.
pub(super) struct Shape {
    fields: Arc<[Field]>,
    tombstone: Option<usize>,
    positions: Positions,
}

impl Shape {
    pub(super) fn of(
        stream: &Stream,
        columns: &[String],
        key: &[String],
        cursor: Option<&str>,
        tombstone: Option<&str>,
    ) -> Result<Self, Error> {
        let at = |name: &str| columns.iter().position(|c| c == name).ok_or_else(|| missing(stream, name));
        let fields = columns.iter().map(|c| stream.field(c).cloned().ok_or_else(|| missing(stream, c)));
        let positions = match cursor {
            Some(cursor) => Positions::Columns {
                cursor: at(cursor)?,
                key: key.iter().map(|k| at(k)).collect::<Result<_, _>>()?,
            },
            None => Positions::None,
        };
        let tombstone = tombstone.map(at).transpose()?;
        Ok(Self { fields: fields.collect::<Result<_, _>>()?, tombstone, positions })
    }

    pub(super) fn builder(&self) -> BatchBuilder {
        BatchBuilder::new(Arc::clone(&self.fields))
    }

    pub(super) fn finish(&self, builder: &mut BatchBuilder) -> Batch {
        builder.finish(self.positions.clone())
    }

    /// Adds a row whose first cells are the fields.
    pub(super) fn push(&self, builder: &mut BatchBuilder, row: &Row<'_>) -> Result<(), Error> {
        let mut op = RecordOp::Upsert;
        for (column, field) in self.fields.iter().enumerate() {
            let cell = row.get_ref(column).map_err(|e| error::of(&e))?;
            let value = types::read(cell, &field.kind).unwrap_or_else(|| {
                let stored = cell.data_type();
                builder.problem(format!(
                    "column {:?}: a stored {stored} value is not a {}",
                    field.name, field.kind
                ));
                Value::Null
            });
            if self.tombstone == Some(column) && !matches!(value, Value::Null | Value::Boolean(false)) {
                op = RecordOp::Delete;
            }
            let pushed = builder.push(column, &value);
            pushed.map_err(|e| Error::new(Kind::Protocol, e.to_string()))?;
        }
        builder.end_record(op);
        Ok(())
    }
}

fn missing(stream: &Stream, column: &str) -> Error {
    Error::new(Kind::Definition, format!("table {:?} has no column {column:?}", stream.name))
}

/// A listing that is read on a thread of its own. Dropping the reader closes its queue, and with it ends the thread at its
/// next batch.
pub(super) struct SqliteReader {
    batches: mpsc::Receiver<Result<Batch, Error>>,
    thread: Option<JoinHandle<Option<Position>>>,
    resume: Option<Position>,
}

impl SqliteReader {
    pub(super) fn start(connection: Connection, stream: Stream, request: Read) -> Result<Self, Error> {
        let positions = request.from.is_some().then_some(request.cursor.as_deref()).flatten();
        let shape =
            Shape::of(&stream, &request.columns, &request.key, positions, request.tombstone.as_deref())?;
        let (sender, batches) = mpsc::channel(1);
        let listing = Listing { connection, stream, request, shape, sender };
        #[expect(
            clippy::disallowed_methods,
            reason = "awaited when the listing ends; its queue bounds its life"
        )]
        let thread = tokio::task::spawn_blocking(move || listing.run());
        Ok(Self { batches, thread: Some(thread), resume: None })
    }
}

#[async_trait]
impl Reader for SqliteReader {
    async fn next(&mut self) -> Result<Option<Batch>, Error> {
        if let Some(batch) = self.batches.recv().await.transpose()? {
            return Ok(Some(batch));
        }
        if let Some(thread) = self.thread.take() {
            let ended =
                thread.await.map_err(|_| Error::new(Kind::Protocol, "the reading thread ended early"))?;
            self.resume = ended;
        }
        Ok(None)
    }

    fn resume(&self) -> Option<Position> {
        self.resume.clone()
    }
}

struct Listing {
    connection: Connection,
    stream: Stream,
    request: Read,
    shape: Shape,
    sender: mpsc::Sender<Result<Batch, Error>>,
}

/// The reader was dropped.
struct Dropped;

impl Listing {
    fn run(self) -> Option<Position> {
        let resume = self.top();
        let read = resume.and_then(|resume| {
            if self.request.key_is_total {
                self.pages()?
            } else {
                self.one_statement()?
            };
            Ok(resume)
        });
        match read {
            Ok(resume) => resume,
            Err(error) => {
                // A reader that is gone does not want to hear it.
                drop(self.sender.blocking_send(Err(error)));
                None
            }
        }
    }

    /// The highest cursor at the start of a full listing: from there on an incremental one misses nothing, for SQLite has one
    /// writer at a time.
    fn top(&self) -> Result<Option<Position>, Error> {
        let (Some(cursor), None) = (&self.request.cursor, &self.request.from) else { return Ok(None) };
        let Some(field) = self.stream.field(cursor) else { return Ok(None) };
        let sql = format!("SELECT max({}) FROM {}", sql::Ident(cursor), sql::Ident(&self.stream.id));
        let highest = self
            .connection
            .query_row(&sql, [], |row| Ok(types::read(row.get_ref(0)?, &field.kind).map(Value::into_owned)));
        let highest = highest.map_err(|e| error::of(&e))?;
        Ok(highest.filter(|v| !v.is_null()).map(|cursor| Position { cursor, key: Vec::new() }))
    }

    /// What the listing is ordered by.
    fn order(&self) -> Vec<String> {
        let cursor = self.request.cursor.iter().filter(|_| self.request.from.is_some());
        cursor.chain(self.request.key.iter().filter(|_| self.request.key_is_total)).cloned().collect()
    }

    /// The first cell of the order at which an incremental listing starts.
    fn start(&self) -> Result<Option<Stored>, Error> {
        let (Some(from), Some(cursor)) = (&self.request.from, &self.request.cursor) else { return Ok(None) };
        let sql = format!(
            "SELECT {0} FROM {1} WHERE {0} IS NOT NULL ORDER BY {0} DESC LIMIT 1",
            sql::Ident(cursor),
            sql::Ident(&self.stream.id)
        );
        let sample = match self.connection.query_row(&sql, [], |row| row.get::<_, Stored>(0)) {
            Ok(sample) => sample,
            Err(rusqlite::Error::QueryReturnedNoRows) => Stored::Null,
            Err(other) => return Err(error::of(&other)),
        };
        let start = before(&from.cursor, &self.request.overlap);
        Ok(Some(types::lower_bound(&start, Storage::of(&sample))))
    }

    fn pages(&self) -> Result<(), Error> {
        let order = self.order();
        let limit = self.request.batch_rows.max(1);
        let mut bound: Vec<Stored> = self.start()?.into_iter().collect();
        let mut after = if bound.is_empty() { After::Start } else { After::From };
        loop {
            let sql = sql::page(&self.stream.id, &self.request.columns, &order, after, Some(limit));
            let mut last = None;
            let (rows, dropped) = self.stream_rows(&sql, &bound, order.len(), &mut last)?;
            match last {
                Some(row) if rows == limit && dropped.is_none() => (bound, after) = (row, After::Row),
                _ => return Ok(()),
            }
        }
    }

    fn one_statement(&self) -> Result<(), Error> {
        let order = self.order();
        let start: Vec<Stored> = self.start()?.into_iter().collect();
        let after = if start.is_empty() { After::Start } else { After::From };
        let sql = sql::page(&self.stream.id, &self.request.columns, &order, after, None);
        self.stream_rows(&sql, &start, 0, &mut None).map(|_| ())
    }

    /// Sends the rows of a statement in batches; `last` becomes the order cells of its last row.
    fn stream_rows(
        &self,
        sql: &str,
        bound: &[Stored],
        order: usize,
        last: &mut Option<Vec<Stored>>,
    ) -> Result<(usize, Option<Dropped>), Error> {
        let mut statement = self.connection.prepare(sql).map_err(|e| error::of(&e))?;
        let mut rows = statement.query(params_from_iter(bound)).map_err(|e| error::of(&e))?;
        let mut builder = self.shape.builder();
        let mut count = 0;
        while let Some(row) = rows.next().map_err(|e| error::of(&e))? {
            self.shape.push(&mut builder, row)?;
            count += 1;
            if order > 0 {
                let first = self.request.columns.len();
                let cells = (first..first + order).map(|i| row.get::<_, Stored>(i));
                *last = Some(cells.collect::<Result<_, _>>().map_err(|e| error::of(&e))?);
            }
            let full = builder.len() >= self.request.batch_rows.max(1)
                || builder.bytes() >= self.request.batch_bytes;
            if full && self.send(&mut builder).is_some() {
                return Ok((count, Some(Dropped)));
            }
        }
        let dropped = if builder.is_empty() { None } else { self.send(&mut builder) };
        Ok((count, dropped))
    }

    fn send(&self, builder: &mut BatchBuilder) -> Option<Dropped> {
        self.sender.blocking_send(Ok(self.shape.finish(builder))).is_err().then_some(Dropped)
    }
}

/// A position less the overlap, in the cursor's own unit.
fn before(cursor: &Value<'static>, overlap: &Overlap) -> Value<'static> {
    let micros = |d: Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
    match cursor {
        Value::Timestamp { micros: at, zoned } => {
            Value::Timestamp { micros: at.saturating_sub(micros(overlap.time)), zoned: *zoned }
        }
        Value::Date(day) => {
            let days = overlap.time.as_secs().div_ceil(86_400);
            Value::Date(day.saturating_sub(i32::try_from(days).unwrap_or(i32::MAX)))
        }
        Value::Int64(n) => Value::Int64(n.saturating_sub(i64::try_from(overlap.count).unwrap_or(i64::MAX))),
        other => other.clone(),
    }
}

/// The kind of the first column of a key, for look-ups.
pub(super) fn kinds(stream: &Stream, key: &[String]) -> Result<Vec<FieldType>, Error> {
    key.iter().map(|k| stream.field(k).map(|f| f.kind.clone()).ok_or_else(|| missing(stream, k))).collect()
}
