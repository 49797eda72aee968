//! One side of a comparison: the file hashes its records with functions of ours.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use md5::{Digest, Md5};
use rusqlite::{
    Connection, InterruptHandle, Row,
    functions::{Context, FunctionFlags},
    params_from_iter,
    types::ValueRef,
};
use syncline_core::{
    batch::{Batch, Positions},
    cursor::Position,
    decimal,
    schema::{Field, FieldType, Stream},
    time,
    value::{Value, hex},
};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{client, describe, error, rows::Shape, sql, sql::Ident, types};
use crate::{
    Error,
    compare::{Bucket, Extent, Form, Pass, Side, Subject, Which},
    database::dialect::compare::{Compared, SQLITE, Term},
    error::Kind,
    source::Reader,
};

/// Most records in a batch, and bytes.
const BATCH_ROWS: usize = 8_192;
const BATCH_BYTES: usize = 4 << 20;
/// Most arguments of a function.
const ARGUMENTS_MAX: usize = 100;

/// An open side. Its connection works on threads where waiting does no harm, one question at a time.
pub(super) struct Snapshot {
    connection: Arc<Mutex<Connection>>,
    found: Arc<describe::Found>,
    stream: Stream,
    key: usize,
    live: String,
    params: Vec<String>,
}

impl Snapshot {
    /// Opens the file; the snapshot is that of the first question.
    pub(super) async fn open(path: &Path, subject: Subject) -> Result<Self, Error> {
        let key = subject.key.len();
        let opened = client::ask(path, move |connection| {
            connection.execute_batch("BEGIN").map_err(|e| error::of(&e))?;
            let found = describe::find(&connection, &subject.table)?;
            let names = subject.key.iter().chain(&subject.columns);
            let fields: Vec<Field> =
                names.map(|name| found.field(name).cloned()).collect::<Result<_, _>>()?;
            let (live, params) = live(&found, &subject)?;
            Ok((connection, found, fields, live, params))
        });
        let (connection, found, fields, live, params) = opened.await?;
        let stream = Stream { fields, dialect: Some("sqlite"), ..found.stream.clone() };
        let connection = Arc::new(Mutex::new(connection));
        Ok(Self { connection, found: Arc::new(found), stream, key, live, params })
    }

    fn compared<'a>(&self, pass: &'a Pass) -> Compared<'a> {
        let term = |(field, form): (&Field, &Form)| Term {
            sql: sql::column(&field.name),
            kind: field.kind.clone(),
            declared: String::new(),
            form: *form,
        };
        let (key, columns) = self.stream.fields.split_at(self.key);
        Compared {
            digests: &SQLITE,
            from: Ident(&self.found.table).to_string(),
            key: key.iter().zip(&pass.key).map(term).collect(),
            columns: columns.iter().zip(&pass.columns).map(term).collect(),
            live: self.live.clone(),
            indexed: false,
            pass,
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let connection = Arc::clone(&self.connection);
        #[expect(clippy::disallowed_methods, reason = "awaited here")]
        let asked = tokio::task::spawn_blocking(move || {
            question(&connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        asked.await.map_err(|_| Error::new(Kind::Protocol, "the reading thread ended early"))?
    }

    /// The functions that the statements of a pass call.
    async fn register(&self, pass: &Pass) -> Result<(), Error> {
        let forms = pass.key.iter().chain(&pass.columns);
        let all: Vec<(FieldType, Form)> =
            self.stream.fields.iter().map(|f| f.kind.clone()).zip(forms.copied()).collect();
        let key = all.iter().take(self.key).cloned().collect();
        self.ask(move |connection| {
            register(connection, "syncline_key_digest", key)?;
            register(connection, "syncline_row_digest", all)
        })
        .await
    }
}

fn register(connection: &Connection, name: &str, terms: Vec<(FieldType, Form)>) -> Result<(), Error> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    let made = connection.create_scalar_function(name, -1, flags, move |call| Ok(digest(call, &terms)));
    made.map_err(|e| error::of(&e))
}

/// 60 bits of the MD5 of the texts of a record, each with its length before it.
fn digest(call: &Context<'_>, terms: &[(FieldType, Form)]) -> i64 {
    let mut text = String::new();
    for (index, (kind, form)) in terms.iter().enumerate().take(call.len()) {
        match canonical(call.get_raw(index), kind, *form) {
            Some(one) => text.push_str(&format!("{}:{one}", one.chars().count())),
            None => text.push('-'),
        }
    }
    let digest = Md5::digest(text.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    (u64::from_be_bytes(first) >> 4).cast_signed()
}

/// The canonical text of a cell; `None`: null. A cell that does not fit its column has a text that no value has.
fn canonical(cell: ValueRef<'_>, kind: &FieldType, form: Form) -> Option<String> {
    let Some(value) = types::read(cell, kind) else { return Some("\0unreadable".into()) };
    Some(match value {
        Value::Null => return None,
        Value::Boolean(v) => u8::from(v).to_string(),
        Value::Int64(v) | Value::Time(v) | Value::Timestamp { micros: v, .. } => v.to_string(),
        Value::Decimal(v) => decimal::normal(&v),
        Value::Date(v) => time::date_text(v),
        Value::Binary(v) => hex(&v),
        Value::Uuid(v) => uuid::Uuid::from_bytes(v).to_string(),
        Value::Text(v) | Value::Json(v) => v.into_owned(),
        Value::Float64(v) if form == Form::Same => format!("{v:e}"),
        Value::Float64(_) | Value::List(_) => "\0unreadable".into(),
    })
}

/// Which records are compared: those with a whole key that are not marked as gone.
fn live(found: &describe::Found, subject: &Subject) -> Result<(String, Vec<String>), Error> {
    let mut conditions: Vec<_> =
        subject.key.iter().map(|name| format!("{} IS NOT NULL", sql::column(name))).collect();
    let mut params = Vec::new();
    if let Some(gone) = &subject.gone {
        let kind = &found.field(&gone.column)?.kind;
        let name = sql::column(&gone.column);
        if !gone.values.is_empty() {
            let marks = (1..=gone.values.len()).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
            conditions.push(format!("({name} IS NULL OR CAST({name} AS TEXT) NOT IN ({marks}))"));
            params.clone_from(&gone.values);
        } else if *kind == FieldType::Boolean {
            let function = client::function(kind).unwrap_or_default();
            conditions.push(format!("({name} IS NULL OR {function}({name}) IS 0)"));
        } else {
            conditions.push(format!("{name} IS NULL"));
        }
    }
    if conditions.is_empty() {
        return Err(Error::new(Kind::Definition, "records without a key cannot be compared"));
    }
    Ok((conditions.join(" AND "), params))
}

#[async_trait]
impl Side for Snapshot {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn writes(&self, _: &Field, _: Form) -> bool {
        self.stream.fields.len() <= ARGUMENTS_MAX
    }

    async fn extent(&mut self) -> Result<Extent, Error> {
        let key = match &self.stream.fields[..self.key] {
            [field] if field.kind == FieldType::Int64 => Some(sql::column(&field.name)),
            _ => None,
        };
        let from = format!("{} AS t WHERE {}", Ident(&self.found.table), self.live);
        let params = self.params.clone();
        self.ask(move |connection| {
            let ask = |select: &str| {
                let sql = format!("SELECT {select} FROM {from}");
                let cells =
                    |row: &Row<'_>| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?));
                connection.query_row(&sql, params_from_iter(&params), cells).map_err(|e| error::of(&e))
            };
            let records = ask("count(*), 0")?.0.unwrap_or_default().unsigned_abs();
            let bounds = match key {
                // a text among the numbers sorts after them all
                Some(key) if ask(&format!("count(*), sum(typeof({key}) <> 'integer')"))?.1 == Some(0) => {
                    let (from, to) = ask(&format!("min({key}), max({key})"))?;
                    from.zip(to)
                }
                _ => None,
            };
            Ok(Extent { records, bounds })
        })
        .await
    }

    async fn summarize(&mut self, pass: &Pass) -> Result<Vec<Bucket>, Error> {
        self.register(pass).await?;
        let sql = self.compared(pass).summarize();
        let params = self.params.clone();
        self.ask(move |connection| {
            let mut statement = connection.prepare(&sql).map_err(|e| error::of(&e))?;
            let bucket = |row: &Row<'_>| {
                let rows: i64 = row.get(1)?;
                Ok(Bucket { number: row.get(0)?, rows: rows.unsigned_abs(), sum: row.get(2)? })
            };
            let rows = statement.query_map(params_from_iter(&params), bucket).map_err(|e| error::of(&e))?;
            rows.collect::<Result<_, _>>().map_err(|e| error::of(&e))
        })
        .await
    }

    async fn rows(&mut self, which: Which<'_>, columns: bool) -> Result<Box<dyn Reader>, Error> {
        let fields = self.stream.fields.iter().take(if columns { usize::MAX } else { self.key });
        let names: Vec<String> = fields.map(|f| f.name.clone()).collect();
        let select = names.iter().map(|name| sql::column(name)).collect::<Vec<_>>().join(", ");
        let sql = match which {
            Which::All => {
                format!("SELECT {select} FROM {} AS t WHERE {}", Ident(&self.found.table), self.live)
            }
            Which::Of(pass, buckets) => {
                self.register(pass).await?;
                self.compared(pass).rows(&select, buckets)
            }
        };
        let shape = Shape::new(&self.found, &names, None, Positions::None)?;
        let interrupt = self.ask(|connection| Ok(connection.get_interrupt_handle())).await?;
        let (connection, params) = (Arc::clone(&self.connection), self.params.clone());
        let (sender, steps) = mpsc::channel(1);
        let read = move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let last = pump(&connection, &sql, &params, &shape, &sender).map(|()| None);
            // nobody listens any more when the reading was given up
            drop(sender.blocking_send(last));
        };
        #[expect(clippy::disallowed_methods, reason = "awaited at the end; a drop interrupts it")]
        let thread = tokio::task::spawn_blocking(read);
        Ok(Box::new(Reading { steps, thread: Some(thread), interrupt }))
    }
}

/// What the reading thread hands over: a batch, or that there are no more.
type Step = Result<Option<Batch>, Error>;

fn pump(
    connection: &Connection,
    sql: &str,
    params: &[String],
    shape: &Shape,
    sender: &mpsc::Sender<Step>,
) -> Result<(), Error> {
    let mut statement = connection.prepare(sql).map_err(|e| error::of(&e))?;
    let mut rows = statement.query(params_from_iter(params)).map_err(|e| error::of(&e))?;
    let mut builder = shape.builder();
    loop {
        let row = rows.next().map_err(|e| error::of(&e))?;
        let over = row.is_none();
        if let Some(row) = row {
            shape.push(&mut builder, row)?;
        }
        let full = builder.len() >= BATCH_ROWS || builder.bytes() >= BATCH_BYTES;
        if (full || over && !builder.is_empty())
            && sender.blocking_send(Ok(Some(shape.finish(&mut builder)))).is_err()
        {
            return Ok(());
        }
        if over {
            return Ok(());
        }
    }
}

/// Records on their way.
struct Reading {
    steps: mpsc::Receiver<Step>,
    thread: Option<JoinHandle<()>>,
    interrupt: InterruptHandle,
}

#[async_trait]
impl Reader for Reading {
    async fn next(&mut self) -> Result<Option<Batch>, Error> {
        if self.thread.is_none() {
            return Ok(None);
        }
        let over = || Error::new(Kind::Protocol, "the reading ended before it was complete");
        let step = self.steps.recv().await.unwrap_or_else(|| Err(over()));
        if !matches!(step, Ok(Some(_)))
            && let Some(thread) = self.thread.take()
        {
            // a thread that panicked has said no end, and that is what is reported
            drop(thread.await);
        }
        step
    }

    fn resume(&self) -> Option<Position> {
        None
    }
}

impl Drop for Reading {
    /// Closing the queue ends the thread where it waits to hand over, the interrupt where it reads.
    fn drop(&mut self) {
        self.steps.close();
        if self.thread.is_some() {
            self.interrupt.interrupt();
        }
    }
}
