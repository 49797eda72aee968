//! Rows into a staging table: one prepared statement with arrays of parameters, one transaction for each batch.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use odbc_api::BindParamDesc;
use syncline_core::{
    batch::{Batch, RecordOp},
    schema::{Field, FieldType},
};
use tokio::task::JoinHandle;

use super::{
    bind::Param,
    client::{Session, waiting},
    describe::Column,
    error,
    types::Native,
};
use crate::{
    Error,
    database::{
        Rows, Writer,
        dialect::{Dialect, TOMBSTONE},
        sql::Stage,
    },
    error::Kind,
};

/// Bytes of the parameters of one execution.
const BLOCK_BYTES: usize = 2 << 20;
/// Records of one execution: more gain nothing.
const BLOCK_ROWS: usize = 1000;

/// A session that is used by one statement after the other.
pub(super) type Shared = Arc<Mutex<Session>>;

/// Uses a session on a thread where waiting does no harm.
pub(super) async fn with<T: Send + 'static>(
    session: &Shared,
    work: impl FnOnce(&Session) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let session = Arc::clone(session);
    // a thread that panicked in the driver has left the session as the driver left it
    waiting(move || work(&session.lock().unwrap_or_else(PoisonError::into_inner))).await
}

/// How rows become parameters.
struct Plan {
    insert: String,
    columns: Vec<Column>,
    tombstones: bool,
}

impl Plan {
    fn of(dialect: &'static Dialect, session: &Session, stage: &Stage<'_>) -> Self {
        let shape = stage.shape;
        let column = |c: &crate::database::Column| {
            let native = Native { name: c.declared.to_ascii_lowercase(), ..Native::default() };
            Column::new(
                session.dialect,
                session.quote,
                Field::new(c.name.clone(), c.kind.clone(), true),
                native,
            )
        };
        let mut columns: Vec<_> = shape.columns.iter().map(column).collect();
        let mut values: Vec<_> =
            columns.iter().zip(&shape.columns).map(|(column, c)| column.stored(&c.declared)).collect();
        if shape.tombstones {
            let field = Field::new(TOMBSTONE, FieldType::Boolean, false);
            let column = Column::new(session.dialect, session.quote, field, Native::default());
            values.push(column.stored(dialect.boolean));
            columns.push(column);
        }
        let names: Vec<_> = columns.iter().map(|c| dialect.quote(&c.field.name)).collect();
        let insert = format!(
            "INSERT INTO {} ({}) VALUES ({})",
            dialect.table(stage.staging),
            names.join(", "),
            values.join(", ")
        );
        Self { insert, columns, tombstones: shape.tombstones }
    }

    fn insert(&self, session: &Session, batch: &Batch) -> Result<(), Error> {
        let mut prepared = session.prepare(&self.insert)?;
        let mut row = 0;
        while row < batch.len() {
            let block = self.block(batch, row)?;
            row += block.rows;
            let descriptions = block.columns.iter().map(|column| match column {
                Cells::Texts { longest, .. } => BindParamDesc::wide_text((*longest).max(1)),
                Cells::Bytes { longest, .. } => BindParamDesc::binary((*longest).max(1)),
            });
            let mut inserter =
                prepared.column_inserter(block.rows, descriptions).map_err(|e| error::of(&e))?;
            inserter.set_num_rows(block.rows);
            let lost = || Error::new(Kind::Protocol, "a buffer of another type than was bound");
            for (index, column) in block.columns.iter().enumerate() {
                match column {
                    Cells::Texts { cells, .. } => {
                        let mut buffer = inserter.column_mut(index).as_wide_text().ok_or_else(lost)?;
                        for (row, cell) in cells.iter().enumerate() {
                            buffer.set_cell(row, cell.as_deref());
                        }
                    }
                    Cells::Bytes { cells, .. } => {
                        let mut buffer = inserter.column_mut(index).as_binary().ok_or_else(lost)?;
                        for (row, cell) in cells.iter().enumerate() {
                            buffer.set_cell(row, cell.as_deref());
                        }
                    }
                }
            }
            inserter.execute().map_err(|e| error::of(&e))?;
        }
        Ok(())
    }

    /// The rows from `first` on that fit into one execution, at least one. Every cell of a column has the room of its longest.
    fn block(&self, batch: &Batch, first: usize) -> Result<Block, Error> {
        let mut columns: Vec<_> = self.columns.iter().map(Cells::of).collect();
        let mut rows = 0;
        while first + rows < batch.len() && rows < BLOCK_ROWS {
            let row = first + rows;
            let mut cells = Vec::with_capacity(columns.len());
            for (index, column) in self.columns.iter().enumerate() {
                cells.push(self.param(batch, row, index, column)?);
            }
            let widths = columns.iter().zip(&cells).map(|(column, cell)| column.width_with(cell));
            if rows > 0 && widths.sum::<usize>() * (rows + 1) > BLOCK_BYTES {
                break;
            }
            columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
            rows += 1;
        }
        Ok(Block { rows, columns })
    }

    fn param(
        &self,
        batch: &Batch,
        row: usize,
        index: usize,
        column: &Column,
    ) -> Result<Option<Param>, Error> {
        if self.tombstones && index + 1 == self.columns.len() {
            let gone = u8::from(batch.op(row) == RecordOp::Delete);
            return Ok(Some(Param::Text(gone.to_string())));
        }
        let value = batch.value(row, index);
        if value.is_null() {
            return Ok(None);
        }
        Param::of(column, &value).map(Some).ok_or_else(|| {
            let name = &column.field.name;
            Error::new(
                Kind::Rejected,
                format!("column {name:?}: a {} value that it cannot hold", value.type_name()),
            )
        })
    }
}

/// Rows for one execution, column by column.
struct Block {
    rows: usize,
    columns: Vec<Cells>,
}

enum Cells {
    /// UTF-16.
    Texts {
        longest: usize,
        cells: Vec<Option<Vec<u16>>>,
    },
    Bytes {
        longest: usize,
        cells: Vec<Option<Vec<u8>>>,
    },
}

impl Cells {
    fn of(column: &Column) -> Self {
        match column.field.kind {
            FieldType::Binary => Self::Bytes { longest: 0, cells: Vec::new() },
            _ => Self::Texts { longest: 0, cells: Vec::new() },
        }
    }

    /// Bytes of a cell of this column, if this one were among them.
    fn width_with(&self, cell: &Option<Param>) -> usize {
        let length = match cell {
            None => 0,
            // never fewer than its units
            Some(Param::Text(text)) => text.len(),
            Some(Param::Bytes(bytes)) => bytes.len(),
        };
        match self {
            Self::Texts { longest, .. } => 10 + 2 * length.max(*longest),
            Self::Bytes { longest, .. } => 8 + length.max(*longest),
        }
    }

    fn push(&mut self, cell: Option<Param>) {
        match (self, cell) {
            (Self::Texts { longest, cells }, Some(Param::Text(text))) => {
                let units: Vec<u16> = text.encode_utf16().collect();
                *longest = units.len().max(*longest);
                cells.push(Some(units));
            }
            (Self::Bytes { longest, cells }, Some(Param::Bytes(bytes))) => {
                *longest = bytes.len().max(*longest);
                cells.push(Some(bytes));
            }
            (Self::Texts { cells, .. }, _) => cells.push(None),
            (Self::Bytes { cells, .. }, _) => cells.push(None),
        }
    }
}

/// One stream of rows. While a batch is written, the next one can be read.
pub(super) struct Staging {
    session: Shared,
    plan: Arc<Plan>,
    rows: u64,
    pending: Option<JoinHandle<Result<(), Error>>>,
}

impl Staging {
    /// A stream that nobody else writes through at the same time.
    pub(super) fn open(session: Shared, dialect: &'static Dialect, stage: &Stage<'_>) -> Self {
        let plan = Plan::of(dialect, &session.lock().unwrap_or_else(PoisonError::into_inner), stage);
        Self { session, plan: Arc::new(plan), rows: 0, pending: None }
    }

    async fn done(&mut self) -> Result<(), Error> {
        match self.pending.take() {
            Some(pending) => pending.await.map_err(|_| Error::new(Kind::Protocol, "the driver broke off"))?,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Writer for Staging {
    async fn write(&mut self, rows: Rows) -> Result<(), Error> {
        let Rows::Batch(batch) = rows else {
            return Err(Error::new(Kind::Protocol, "tuples of PostgreSQL were not asked for"));
        };
        self.done().await?;
        self.rows += batch.len() as u64;
        let (session, plan) = (Arc::clone(&self.session), Arc::clone(&self.plan));
        let write = move || {
            let session = session.lock().unwrap_or_else(PoisonError::into_inner);
            session.begin()?;
            match plan.insert(&session, &batch) {
                Ok(()) => session.commit(),
                Err(error) => {
                    // what ended the session has undone it already
                    drop(session.rollback());
                    Err(error.context("staging rows"))
                }
            }
        };
        #[expect(clippy::disallowed_methods, reason = "awaited before the next batch and at the end")]
        let pending = tokio::task::spawn_blocking(write);
        self.pending = Some(pending);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, Error> {
        self.done().await?;
        Ok(self.rows)
    }
}
