//! Rows into a staging table: `LOAD DATA LOCAL INFILE`, whose file is a stream in memory, where the server allows it; else
//! `INSERT` of many rows at once. One transaction for each stream.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mysql_async::Value as Raw;
use syncline_core::batch::{Batch, RecordOp};
use tokio::{
    sync::{Mutex, OwnedMutexGuard, mpsc},
    task::JoinSet,
};

use super::{
    client::Session,
    encode::{Form, Unfit},
};
use crate::{
    Error,
    database::{
        Rows, Writer,
        dialect::{TOMBSTONE, mysql::MYSQL},
        sql::Stage,
    },
    error::Kind,
};

/// What is sent at once. A packet may have as many bytes everywhere.
const CHUNK_BYTES: usize = 128 << 10;
/// Chunks that wait for the server.
const CHUNKS_MAX: usize = 8;
/// Parameters of one statement; the protocol allows 65,535.
const PARAMETERS_MAX: usize = 20_000;
/// Rows of one statement.
const ROWS_MAX: usize = 500;

/// How rows reach the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bulk {
    /// Whether it takes `LOAD DATA LOCAL`.
    pub(super) local_infile: bool,
    /// Bytes of one statement.
    pub(super) packet_bytes: usize,
}

/// The staging table as its rows are written.
struct Plan {
    table: String,
    names: Vec<String>,
    forms: Vec<Form>,
    /// What becomes of each field of `LOAD DATA`; `None`: it goes into its column.
    assignments: Vec<Option<String>>,
    tombstones: bool,
}

impl Plan {
    fn of(stage: &Stage<'_>) -> Self {
        let columns = &stage.shape.columns;
        let forms: Vec<_> = columns.iter().map(Form::of).collect();
        let assignment = |(at, form): (usize, &Form)| form.assignment(&columns[at], &format!("@v{at}"));
        let assignments = forms.iter().enumerate().map(assignment).collect();
        let tombstone = stage.shape.tombstones.then_some(TOMBSTONE);
        let names = columns.iter().map(|c| c.name.as_str()).chain(tombstone);
        Self {
            table: MYSQL.table(stage.staging),
            names: names.map(|name| MYSQL.quote(name)).collect(),
            forms,
            assignments,
            tombstones: stage.shape.tombstones,
        }
    }

    /// Everything about the form of the file is said here, whatever the server's defaults are.
    fn load(&self) -> String {
        let field = |(at, name): (usize, &String)| match self.assignments.get(at) {
            Some(Some(_)) => format!("@v{at}"),
            _ => name.clone(),
        };
        let fields: Vec<_> = self.names.iter().enumerate().map(field).collect();
        let set = self.names.iter().zip(&self.assignments);
        let set: Vec<_> = set.filter_map(|(name, a)| a.as_ref().map(|a| format!("{name} = {a}"))).collect();
        let set = if set.is_empty() { String::new() } else { format!(" SET {}", set.join(", ")) };
        format!(
            r"LOAD DATA LOCAL INFILE 'rows' INTO TABLE {} CHARACTER SET utf8mb4 FIELDS TERMINATED BY '\t' ENCLOSED BY '' ESCAPED BY '\\' LINES STARTING BY '' TERMINATED BY '\n' ({}){set}",
            self.table,
            fields.join(", ")
        )
    }

    fn insert(&self, rows: usize) -> String {
        let row = format!("({})", vec!["?"; self.names.len()].join(", "));
        format!(
            "INSERT INTO {} ({}) VALUES {}",
            self.table,
            self.names.join(", "),
            vec![row.as_str(); rows].join(", ")
        )
    }

    fn unfit(batch: &Batch, column: usize) -> Error {
        let name = &batch.fields()[column].name;
        Error::new(Kind::Rejected, format!("column {name:?}: a value does not fit the staging table"))
    }

    /// Appends a line of `LOAD DATA`.
    fn line(&self, batch: &Batch, row: usize, out: &mut Vec<u8>) -> Result<(), Error> {
        for (column, form) in self.forms.iter().enumerate() {
            if column > 0 {
                out.push(b'\t');
            }
            form.field(&batch.value(row, column), out).map_err(|Unfit| Self::unfit(batch, column))?;
        }
        if self.tombstones {
            let gone = batch.op(row) == RecordOp::Delete;
            out.extend_from_slice(if gone { b"\t1" } else { b"\t0" });
        }
        out.push(b'\n');
        Ok(())
    }

    /// Appends the parameters of a row; returns about how many bytes they have.
    fn parameters(&self, batch: &Batch, row: usize, out: &mut Vec<Raw>) -> Result<usize, Error> {
        let mut bytes = 0;
        for (column, form) in self.forms.iter().enumerate() {
            let parameter =
                form.parameter(&batch.value(row, column)).map_err(|Unfit| Self::unfit(batch, column))?;
            bytes += if let Raw::Bytes(b) = &parameter { b.len() + 9 } else { 12 };
            out.push(parameter);
        }
        if self.tombstones {
            out.push(Raw::Int(i64::from(batch.op(row) == RecordOp::Delete)));
        }
        Ok(bytes)
    }
}

/// Opens a stream of rows on a session, which nobody else uses until the stream ends.
pub(super) async fn open(
    session: Arc<Mutex<Session>>,
    bulk: Bulk,
    stage: &Stage<'_>,
) -> Result<Box<dyn Writer>, Error> {
    let mut session = session.lock_owned().await;
    session.run("START TRANSACTION").await?;
    let plan = Plan::of(stage);
    if bulk.local_infile {
        return Ok(Box::new(Loading::begin(session, plan)));
    }
    Ok(Box::new(Inserting { session, plan, bulk, parameters: Vec::new(), rows: 0, bytes: 0, inserted: 0 }))
}

/// A running `LOAD DATA`. Dropping it closes the session in the middle of the statement, which undoes it.
struct Loading {
    plan: Plan,
    chunk: Vec<u8>,
    chunks: Option<mpsc::Sender<Bytes>>,
    statement: JoinSet<Result<u64, Error>>,
}

impl Loading {
    fn begin(mut session: OwnedMutexGuard<Session>, plan: Plan) -> Self {
        let (chunks, data) = mpsc::channel(CHUNKS_MAX);
        let sql = plan.load();
        let mut statement = JoinSet::new();
        statement.spawn(async move {
            let rows = session.load(&sql, data).await?;
            // with LOCAL, what is an error elsewhere is a warning
            session.no_warnings().await?;
            session.run("COMMIT").await?;
            Ok(rows)
        });
        Self { plan, chunk: Vec::with_capacity(CHUNK_BYTES), chunks: Some(chunks), statement }
    }

    async fn send(&mut self) -> Result<(), Error> {
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES));
        let mut chunk = Bytes::from(chunk);
        while !chunk.is_empty() {
            let part = chunk.split_to(chunk.len().min(CHUNK_BYTES));
            let sent = match &self.chunks {
                Some(chunks) => chunks.send(part).await.is_ok(),
                None => false,
            };
            if !sent {
                // the statement has ended, and says why
                return self
                    .end()
                    .await
                    .and(Err(Error::new(Kind::Protocol, "the server ended a load early")));
            }
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<u64, Error> {
        self.chunks = None;
        match self.statement.join_next().await {
            Some(Ok(rows)) => rows,
            _ => Err(Error::new(Kind::Protocol, "a load ended without an answer")),
        }
    }
}

#[async_trait]
impl Writer for Loading {
    async fn write(&mut self, rows: Rows) -> Result<(), Error> {
        let batch = values(rows)?;
        for row in 0..batch.len() {
            self.plan.line(&batch, row, &mut self.chunk)?;
            if self.chunk.len() >= CHUNK_BYTES - CHUNK_BYTES / 8 {
                self.send().await?;
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, Error> {
        self.send().await?;
        self.end().await
    }
}

/// `INSERT`s of many rows.
struct Inserting {
    session: OwnedMutexGuard<Session>,
    plan: Plan,
    bulk: Bulk,
    parameters: Vec<Raw>,
    rows: usize,
    bytes: usize,
    inserted: u64,
}

impl Inserting {
    async fn send(&mut self) -> Result<(), Error> {
        if self.rows == 0 {
            return Ok(());
        }
        let sql = self.plan.insert(self.rows);
        self.inserted += self.session.execute(&sql, std::mem::take(&mut self.parameters)).await?;
        (self.rows, self.bytes) = (0, 0);
        // a decimal that loses digits is a note only
        self.session.no_warnings().await
    }
}

#[async_trait]
impl Writer for Inserting {
    async fn write(&mut self, rows: Rows) -> Result<(), Error> {
        let batch = values(rows)?;
        let rows_max = (PARAMETERS_MAX / self.plan.names.len().max(1)).clamp(1, ROWS_MAX);
        for row in 0..batch.len() {
            let before = self.parameters.len();
            let bytes = self.plan.parameters(&batch, row, &mut self.parameters)?;
            if self.rows > 0 && self.bytes + bytes > self.bulk.packet_bytes / 4 {
                let this = self.parameters.split_off(before);
                self.send().await?;
                self.parameters = this;
            }
            (self.rows, self.bytes) = (self.rows + 1, self.bytes + bytes);
            if self.rows == rows_max {
                self.send().await?;
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, Error> {
        self.send().await?;
        self.session.run("COMMIT").await?;
        Ok(self.inserted)
    }
}

fn values(rows: Rows) -> Result<Batch, Error> {
    match rows {
        Rows::Batch(batch) => Ok(batch),
        Rows::Copy(..) => {
            Err(Error::new(Kind::Protocol, "MySQL takes batches, no tuples of another database"))
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use syncline_core::schema::FieldType;

    use super::*;
    use crate::database::{Column, Shape, dialect::Named};

    #[test]
    fn statements() {
        let column = |name: &str, kind, declared: &str| Column {
            name: name.into(),
            kind,
            declared: declared.into(),
            nullable: true,
        };
        let shape = Shape {
            columns: vec![
                column("id", FieldType::Int64, "bigint"),
                column("b`in", FieldType::Binary, "longblob"),
                column("bits", FieldType::Int64, "bit(8)"),
            ],
            tombstones: true,
            ..Shape::default()
        };
        let table = Named { schema: Some("shop".into()), name: "s".into() };
        let plan = Plan::of(&Stage {
            table: &table,
            exists: true,
            indexed: true,
            staging: &table,
            shape: &shape,
            in_session: false,
        });
        assert_snapshot!(plan.load(), @r#"LOAD DATA LOCAL INFILE 'rows' INTO TABLE `shop`.`s` CHARACTER SET utf8mb4 FIELDS TERMINATED BY '\t' ENCLOSED BY '' ESCAPED BY '\\' LINES STARTING BY '' TERMINATED BY '\n' (`id`, @v1, @v2, `syncline_tombstone`) SET `b``in` = UNHEX(@v1), `bits` = CAST(@v2 AS UNSIGNED)"#);
        assert_snapshot!(plan.insert(2), @"INSERT INTO `shop`.`s` (`id`, `b``in`, `bits`, `syncline_tombstone`) VALUES (?, ?, ?, ?), (?, ?, ?, ?)");
    }
}
