//! Listings for bulk loads: binary COPY, cut into ranges of the table's blocks that are read at once under one exported
//! snapshot.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use syncline_core::{
    batch::{BatchBuilder, Positions},
    cursor::{Position, ordinal},
    failpoint,
    value::Value,
};

use super::{
    bind::Param,
    bound,
    client::{Access, Patience, Session},
    config::Settings,
    describe::{self, Column, Found},
    read::{greatest, start, unusable},
    rows::{Decoder, is_time, position},
    splice::Splicer,
    sql::Upper,
    tuples::{CHUNK_BYTES, Fields, Tuples, tuple_length},
};
use crate::{
    Error,
    database::Rows,
    error::Kind,
    source::{Part, Portion, Scan},
};

/// Ranges per part: enough that no part waits long for the last one, few enough that each is a long walk.
const RANGES_PER_PART: u64 = 8;

/// Blocks below which a table is not worth cutting up.
const BLOCKS_MIN: u64 = 1_000;

/// Settings in which the ends of a listing are kept: COPY takes no parameters.
const FROM: &str = "syncline.from";
const UNTIL: &str = "syncline.until";

/// Opens a listing, in `session` and, for its further parts, in others.
pub(super) async fn open(
    settings: &Settings,
    session: Session,
    scan: &Scan,
) -> Result<Vec<Box<dyn Part>>, Error> {
    let found = describe::find(&session, &scan.read.stream).await?;
    let columns: Vec<Column> =
        scan.read.columns.iter().map(|c| found.column(c).cloned()).collect::<Result<_, _>>()?;
    let cursor = scan.read.cursor.as_ref().map(|c| found.column(c)).transpose()?.cloned();
    // asked before the snapshot: a transaction that ends in between is then seen by both
    let bound = match cursor.as_ref().filter(|c| is_time(&c.field.kind)) {
        Some(column) => Some(bound::ask(&session, column, scan.read.lag).await?),
        None => None,
    };
    session.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let mut conditions = Vec::new();
    if let (Some(from), Some(column)) = (&scan.read.from, &cursor) {
        let start = start(&from.cursor, scan.read.overlap);
        set(&session, FROM, column, &start).await?;
        conditions.push(format!("{} >= {}", column.sql.plain(), column.sql.setting(FROM)));
    }
    let mut until = None;
    if let (Some(bound), Some(column), true) = (&bound, &cursor, scan.read.from.is_some() || scan.once) {
        // what is read once stops exactly where the next listing starts
        let end = if scan.once { &bound.resume } else { &bound.end };
        set(&session, UNTIL, column, end).await?;
        until = Some(end.clone());
        let below = format!("{} < {}", column.sql.plain(), column.sql.setting(UNTIL));
        conditions.push(match scan.read.from {
            Some(_) => below,
            // no later listing shows those without a cursor
            None => format!("({below} OR {} IS NULL)", column.sql.plain()),
        });
    }
    let resume = resume(&session, &found, cursor.as_ref(), bound.map(|b| b.resume), scan.once).await?;
    let form = Form::of(&found, columns, scan)?;
    let statement = Statement { select: form.select(), table: found.table.to_string(), conditions };
    let (ranges, others) = divide(settings, &session, &found, scan).await?;
    // a setting is its session's own
    if let (Some(end), Some(column)) = (&until, &cursor) {
        for other in &others {
            set(other, UNTIL, column, end).await?;
        }
    }
    let ranges = Arc::new(ranges);
    let mut parts: Vec<Box<dyn Part>> = Vec::new();
    for session in [session].into_iter().chain(others) {
        parts.push(Box::new(CopyPart {
            session,
            statement: statement.clone(),
            ranges: Arc::clone(&ranges),
            tuples: None,
            form: form.clone(),
            resume: resume.clone(),
        }));
    }
    Ok(parts)
}

/// Puts a value into a setting of the session, as the text that the server itself writes.
async fn set(session: &Session, name: &str, column: &Column, value: &Value<'static>) -> Result<(), Error> {
    let param = Param::of(&column.codec, value).ok_or_else(|| unusable(column))?;
    let sql = format!("SELECT set_config('{name}', ($1::{})::text, false)", column.sql.bind_as);
    session.rows(&sql, &[param]).await.map(drop)
}

/// Where a later incremental read starts: at the bound, or at the highest cursor there is when that is lower, so that
/// records are found that a clock behind the server's stamps. Integers: one above the highest.
async fn resume(
    session: &Session,
    found: &Found,
    cursor: Option<&Column>,
    bound: Option<Value<'static>>,
    once: bool,
) -> Result<Option<Position>, Error> {
    let Some(column) = cursor else { return Ok(None) };
    let at = |cursor| Some(Position { cursor, key: Vec::new() });
    if let (Some(bound), true) = (&bound, once) {
        return Ok(at(bound.clone()));
    }
    let upper = if column.sql.bind_as == "float8" { Upper::Infinity } else { Upper::Open };
    let highest = greatest(session, found, column, upper).await?;
    Ok(match (bound, highest) {
        (Some(bound), highest) => Position::after_full(at(bound), highest.as_ref().and_then(ordinal)),
        (None, Some(Value::Int64(n))) => at(Value::Int64(n.saturating_add(1))),
        (None, Some(highest)) => at(highest),
        (None, None) => None,
    })
}

/// Ranges of blocks, each read by whoever comes first.
struct Ranges {
    next: AtomicU64,
    /// Blocks of a range; 0: the whole table is one.
    blocks: u64,
    count: u64,
}

impl Ranges {
    /// The condition of the next range.
    fn take(&self) -> Option<Option<String>> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        if index >= self.count {
            return None;
        }
        if self.blocks == 0 {
            return Some(None);
        }
        let from = index * self.blocks;
        let mut condition = format!("t.ctid >= '({from},0)'::tid");
        // the last one has no end: blocks that are added meanwhile hold nothing of the snapshot, and do no harm
        if index + 1 < self.count {
            condition.push_str(&format!(" AND t.ctid < '({},0)'::tid", from + self.blocks));
        }
        Some(Some(condition))
    }
}

/// Cuts a full listing of a table into ranges, with a session for each further part in the same snapshot.
async fn divide(
    settings: &Settings,
    session: &Session,
    found: &Found,
    scan: &Scan,
) -> Result<(Ranges, Vec<Session>), Error> {
    let whole = Ranges { next: AtomicU64::new(0), blocks: 0, count: 1 };
    if scan.parts <= 1 || scan.read.from.is_some() || !found.ordinary {
        return Ok((whole, Vec::new()));
    }
    let sql = format!(
        "SELECT (pg_relation_size('{}'::regclass) / current_setting('block_size')::int8)::text, pg_export_snapshot()",
        found.table.to_string().replace('\'', "''")
    );
    let rows = session.rows(&sql, &[]).await?;
    let cell = |i: usize| rows.first().and_then(|row| row.try_get::<_, String>(i).ok()).unwrap_or_default();
    let blocks: u64 = cell(0).parse().unwrap_or_default();
    if blocks < BLOCKS_MIN {
        return Ok((whole, Vec::new()));
    }
    let snapshot = cell(1).replace('\'', "''");
    let mut others = Vec::new();
    for _ in 1..scan.parts {
        let other = match Session::connect_for(settings, Access::Read, Patience::None).await {
            Ok(other) => other,
            // as many as the server takes: one is enough
            Err(error) if error.kind == Kind::Unreachable => break,
            Err(error) => return Err(error),
        };
        other
            .batch(&format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{snapshot}'"
            ))
            .await?;
        others.push(other);
    }
    let count = (others.len() as u64 + 1) * RANGES_PER_PART;
    Ok((Ranges { next: AtomicU64::new(0), blocks: blocks.div_ceil(count), count }, others))
}

#[derive(Clone)]
struct Statement {
    select: String,
    table: String,
    conditions: Vec<String>,
}

impl Statement {
    fn of(&self, range: Option<String>) -> String {
        let conditions: Vec<_> = self.conditions.iter().cloned().chain(range).collect();
        let clause = if conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", conditions.join(" AND "))
        };
        format!("COPY (SELECT {} FROM {} AS t{clause}) TO STDOUT (FORMAT binary)", self.select, self.table)
    }
}

/// What becomes of the server's tuples.
#[derive(Clone)]
enum Form {
    /// They are handed on as they are.
    Relayed(String),
    /// Fields are computed, records left out.
    Spliced(Box<Splicer>),
    /// They are decoded.
    Decoded(Box<Decoding>),
}

#[derive(Clone)]
struct Decoding {
    columns: Vec<Column>,
    tombstone: Option<usize>,
    positions: Positions,
    rows_max: usize,
    bytes_max: usize,
}

impl Form {
    fn of(found: &Found, columns: Vec<Column>, scan: &Scan) -> Result<Self, Error> {
        let Some(plan) = &scan.copy else {
            let names = &scan.read.columns;
            let at = |name: &String| position(names, name);
            let tombstone = scan.read.tombstone.as_ref().map(at).transpose()?;
            let positions = match (&scan.read.cursor, &scan.read.from) {
                (Some(cursor), Some(_)) => Positions::Columns {
                    cursor: at(cursor)?,
                    key: scan.read.key.iter().map(at).collect::<Result<_, _>>()?,
                },
                _ => Positions::None,
            };
            let (rows_max, bytes_max) = (scan.read.batch_rows.max(1), scan.read.batch_bytes);
            return Ok(Self::Decoded(Box::new(Decoding {
                columns,
                tombstone,
                positions,
                rows_max,
                bytes_max,
            })));
        };
        let splicer = Splicer::new(found, plan, &scan.read.key)?;
        Ok(match splicer.relayed() {
            Some(select) => Self::Relayed(select),
            None => Self::Spliced(Box::new(splicer)),
        })
    }

    fn select(&self) -> String {
        match self {
            Self::Relayed(select) => select.clone(),
            Self::Spliced(splicer) => splicer.select(),
            Self::Decoded(decoding) => {
                decoding.columns.iter().map(|c| c.sql.selected()).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

/// One session's share of the ranges.
struct CopyPart {
    session: Session,
    statement: Statement,
    ranges: Arc<Ranges>,
    tuples: Option<Tuples>,
    form: Form,
    resume: Option<Position>,
}

impl CopyPart {
    /// The next tuples of this range or of the next one.
    async fn tuples(&mut self) -> Result<Option<(Bytes, u64)>, Error> {
        loop {
            if let Some(tuples) = &mut self.tuples {
                if let Some(found) = tuples.next().await? {
                    return Ok(Some(found));
                }
                self.tuples = None;
                failpoint!("connect.source.between_pages", |place| Error::failpoint(Kind::Unanswered, place));
            }
            let Some(range) = self.ranges.take() else {
                failpoint!("connect.source.before_end", |place| Error::failpoint(Kind::Unanswered, place));
                return Ok(None);
            };
            self.tuples = Some(Tuples::new(self.session.copy_out(&self.statement.of(range)).await?));
        }
    }

    async fn relayed(&mut self) -> Result<Option<Portion>, Error> {
        let (mut chunk, mut count) = (BytesMut::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8), 0);
        while chunk.len() < CHUNK_BYTES {
            let Some((tuples, n)) = self.tuples().await? else { break };
            chunk.extend_from_slice(&tuples);
            count += n;
        }
        let rows = Rows::Copy(chunk.freeze(), count);
        Ok((count > 0).then_some(Portion { rows, read: count, skipped: 0, failed: Vec::new() }))
    }

    async fn spliced(&mut self, mut splicer: Box<Splicer>) -> Result<Option<Portion>, Error> {
        splicer.begin(CHUNK_BYTES);
        while splicer.len() < CHUNK_BYTES && splicer.failed() < super::splice::FAILED_MAX {
            let Some((mut tuples, _)) = self.tuples().await? else { break };
            while let Some(length) = tuple_length(&tuples)? {
                splicer.take(&tuples.split_to(length))?;
            }
        }
        let portion = splicer.portion();
        self.form = Form::Spliced(splicer);
        Ok(portion)
    }

    async fn decoded(&mut self, decoding: &Decoding) -> Result<Option<Portion>, Error> {
        let mut decoder = Decoder::new(decoding.columns.clone(), decoding.tombstone);
        let mut builder = BatchBuilder::new(decoder.fields());
        while builder.len() < decoding.rows_max && builder.bytes() < decoding.bytes_max {
            let Some((mut tuples, _)) = self.tuples().await? else { break };
            while let Some(length) = tuple_length(&tuples)? {
                decoder.push_fields(Fields::of(&tuples.split_to(length)), &mut builder)?;
            }
        }
        Ok((!builder.is_empty()).then(|| builder.finish(decoding.positions.clone()).into()))
    }
}

#[async_trait]
impl Part for CopyPart {
    async fn next(&mut self) -> Result<Option<Portion>, Error> {
        match std::mem::replace(&mut self.form, Form::Relayed(String::new())) {
            Form::Relayed(_) => self.relayed().await,
            Form::Spliced(splicer) => self.spliced(splicer).await,
            Form::Decoded(decoding) => {
                let portion = self.decoded(&decoding).await;
                self.form = Form::Decoded(decoding);
                portion
            }
        }
    }

    fn resume(&self) -> Option<Position> {
        self.resume.clone()
    }
}
