//! One side of a comparison: counts and hashes computed by the server, in one snapshot.

use std::pin::Pin;

use async_trait::async_trait;
use futures::TryStreamExt;
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions},
    cursor::Position,
    schema::{Field, FieldType, Stream},
};
use tokio_postgres::RowStream;

use super::{
    bind::Param,
    client::Session,
    config::Settings,
    describe::{self, Column, Found},
    error,
    rows::Decoder,
};
use crate::{
    Error,
    compare::{Bucket, Extent, Form, Pass, Side, Subject, Which},
    database::dialect::compare::{Compared, POSTGRES, Term},
    error::Kind,
    source::Reader,
};

/// Most records in a batch, and bytes.
const BATCH_ROWS: usize = 8_192;
const BATCH_BYTES: usize = 4 << 20;

/// One snapshot for all answers. What values look like as text is pinned. The planner does not know how many buckets there
/// are and would sort the whole table by them; they fit into memory.
const BEGIN: [&str; 6] = [
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL DateStyle = 'ISO'",
    "SET LOCAL IntervalStyle = 'postgres'",
    "SET LOCAL work_mem = '64MB'",
    "SET LOCAL enable_sort = off",
];

/// What the server's own hashes depend on: its version, and the machine's order of bytes.
const OWN_HASH: &str = "SELECT 'postgres ' || current_setting('server_version_num')::integer / 10000 || ' ' || \
    current_setting('server_encoding') || ' ' || hashtextextended('syncline' COLLATE \"C\", 1) || ' ' || \
    hashint8extended(-5, 1) || ' ' || hash_numeric_extended(1.50, 1) || ' ' || \
    uuid_hash_extended('00000000-0000-0001-0000-000000000002', 1) || ' ' || time_hash_extended('10:00', 1) || ' ' || \
    timestamp_hash_extended('2026-01-31', 1)";

/// An open side.
pub(super) struct Snapshot {
    session: Session,
    found: Found,
    stream: Stream,
    key: Vec<Column>,
    columns: Vec<Column>,
    own: Option<String>,
    live: String,
    params: Vec<Param>,
}

impl Snapshot {
    /// Opens a session and its snapshot.
    pub(super) async fn open(settings: &Settings, subject: &Subject) -> Result<Self, Error> {
        let session = Session::connect(settings).await?;
        for statement in BEGIN {
            session.rows(statement, &[]).await?;
        }
        let found = describe::find(&session, &subject.table).await?;
        let all = |names: &[String]| -> Result<Vec<Column>, Error> {
            names.iter().map(|name| Ok(with_native(found.column(name)?))).collect()
        };
        let (key, columns) = (all(&subject.key)?, all(&subject.columns)?);
        let own = session.rows(OWN_HASH, &[]).await.ok();
        let own = own.and_then(|rows| rows.first().and_then(|row| row.try_get(0).ok()));
        let (live, params) = live(&found, subject, &key)?;
        let fields = key.iter().chain(&columns).map(|c| c.field.clone()).collect();
        let stream = Stream { fields, dialect: Some("postgres"), ..found.stream.clone() };
        Ok(Self { session, found, stream, key, columns, own, live, params })
    }

    fn compared<'a>(&self, pass: &'a Pass) -> Compared<'a> {
        let terms = |columns: &[Column], forms: &[Form]| columns.iter().zip(forms).map(term).collect();
        Compared {
            digests: &POSTGRES,
            from: self.found.table.to_string(),
            key: terms(&self.key, &pass.key),
            columns: terms(&self.columns, &pass.columns),
            live: self.live.clone(),
            indexed: self.walks(),
            pass,
        }
    }

    /// Whether the planner is to take an index for our ranges even where it takes the table for small.
    async fn by_index(&self, by_index: bool) -> Result<(), Error> {
        let setting = if by_index { "off" } else { "on" };
        self.session.rows(&format!("SET LOCAL enable_seqscan = {setting}"), &[]).await.map(drop)
    }

    async fn stream_of(&self, sql: &str) -> Result<Pin<Box<RowStream>>, Error> {
        let statement = self.session.prepare(sql).await?;
        Ok(Box::pin(self.session.stream(&statement, &self.params).await?))
    }
}

/// The column with its type in the server's words.
fn with_native(column: &Column) -> Column {
    let mut column = column.clone();
    column.field.native = Some(column.shown.clone());
    column
}

fn term((column, form): (&Column, &Form)) -> Term {
    Term {
        sql: column.sql.plain(),
        kind: column.field.kind.clone(),
        declared: column.shown.clone(),
        form: *form,
    }
}

/// Which records are compared: those with a whole key that are not marked as gone.
fn live(found: &Found, subject: &Subject, key: &[Column]) -> Result<(String, Vec<Param>), Error> {
    let mut conditions: Vec<_> = key.iter().map(|c| format!("{} IS NOT NULL", c.sql.plain())).collect();
    let mut params = Vec::new();
    if let Some(gone) = &subject.gone {
        let column = found.column(&gone.column)?;
        let name = column.sql.plain();
        if gone.values.is_empty() && column.field.kind == FieldType::Boolean {
            conditions.push(format!("{name} IS NOT TRUE"));
        } else if gone.values.is_empty() {
            conditions.push(format!("{name} IS NULL"));
        } else {
            let marks = (1..=gone.values.len()).map(|n| format!("${n}::text")).collect::<Vec<_>>().join(", ");
            conditions.push(format!("({name} IS NULL OR {name}::text NOT IN ({marks}))"));
            params.extend(gone.values.iter().cloned().map(Param::Text));
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
        true
    }

    fn own_hash(&self) -> Option<&str> {
        self.own.as_deref()
    }

    fn walks(&self) -> bool {
        self.key.first().is_some_and(|c| self.found.stream.indexed.contains(&c.field.name))
    }

    async fn extent(&mut self) -> Result<Extent, Error> {
        let Self { found, live, key, .. } = &*self;
        // an estimate is as good, where there is one
        let records = match found.stream.records {
            Some(records) if records > 0 => records,
            _ => {
                let sql = format!("SELECT count(*) FROM {} AS t WHERE {live}", found.table);
                number(&self.stream_of(&sql).await?.try_next().await.map_err(|e| error::of(&e))?, 0)?
                    .unwrap_or_default()
                    .unsigned_abs()
            }
        };
        let bounds = match key.as_slice() {
            [column] if column.field.kind == FieldType::Int64 && column.sql.select_as.is_none() => {
                let key = column.sql.plain();
                let sql = format!(
                    "SELECT min({key})::bigint, max({key})::bigint FROM {} AS t WHERE {live}",
                    found.table
                );
                let row = self.stream_of(&sql).await?.try_next().await.map_err(|e| error::of(&e))?;
                number(&row, 0)?.zip(number(&row, 1)?)
            }
            _ => None,
        };
        Ok(Extent { records, bounds })
    }

    async fn summarize(&mut self, pass: &Pass) -> Result<Vec<Bucket>, Error> {
        let compared = self.compared(pass);
        self.by_index(compared.walks() && pass.columns.is_empty()).await?;
        let mut rows = self.stream_of(&compared.summarize()).await?;
        let mut buckets = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(|e| error::of(&e))? {
            let row = Some(row);
            let cell = |index| Ok::<_, Error>(number(&row, index)?.unwrap_or_default());
            let (n, rows, sum) = (cell(0)?, cell(1)?, cell(2)?);
            let n = u32::try_from(n).map_err(|_| Error::new(Kind::Protocol, "a bucket without a number"))?;
            buckets.push(Bucket { number: n, rows: rows.unsigned_abs(), sum });
        }
        Ok(buckets)
    }

    async fn rows(&mut self, which: Which<'_>, columns: bool) -> Result<Box<dyn Reader>, Error> {
        let mut read = self.key.clone();
        if columns {
            read.extend(self.columns.iter().cloned());
        }
        let select = read.iter().map(|c| c.sql.selected()).collect::<Vec<_>>().join(", ");
        let sql = match which {
            Which::All => {
                self.by_index(false).await?;
                format!("SELECT {select} FROM {} AS t WHERE {}", self.found.table, self.live)
            }
            Which::Of(pass, buckets) => {
                let compared = self.compared(pass);
                self.by_index(compared.walks()).await?;
                compared.rows(&select, buckets)
            }
        };
        let rows = self.stream_of(&sql).await?;
        let decoder = Decoder::new(read, None);
        let builder = BatchBuilder::new(decoder.fields());
        Ok(Box::new(Reading { rows, decoder, builder, over: false }))
    }
}

fn number(row: &Option<tokio_postgres::Row>, index: usize) -> Result<Option<i64>, Error> {
    match row {
        Some(row) => row.try_get(index).map_err(|e| error::of(&e)),
        None => Ok(None),
    }
}

/// Records on their way.
struct Reading {
    rows: Pin<Box<RowStream>>,
    decoder: Decoder,
    builder: BatchBuilder,
    over: bool,
}

#[async_trait]
impl Reader for Reading {
    async fn next(&mut self) -> Result<Option<Batch>, Error> {
        // to ask again after the end is an error
        while !self.over {
            let Some(row) = self.rows.try_next().await.map_err(|e| error::of(&e))? else {
                self.over = true;
                break;
            };
            self.decoder.push(&row, &mut self.builder)?;
            if self.builder.len() >= BATCH_ROWS || self.builder.bytes() >= BATCH_BYTES {
                break;
            }
        }
        Ok((!self.builder.is_empty()).then(|| self.builder.finish(Positions::None)))
    }

    fn resume(&self) -> Option<Position> {
        None
    }
}
