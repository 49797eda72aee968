//! A source over the simulated table, as a correct connector would read it: keyset pages in (cursor, key) order below an upper
//! bound. The table changes under its hands.

use std::time::Duration;

use async_trait::async_trait;
use syncline_connect::{
    Error, Source,
    error::Kind,
    source::{Fetch, Read, Reader},
};
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions, RecordOp},
    cursor::{Position, ordinal},
    identity::Identity,
    schema::{Field, FieldType, Stream},
    value::Value,
};

use crate::{
    oracle,
    scenario::KeyKind,
    table::Row,
    world::{Shared, World},
};

/// Name of the source's only table.
pub const TABLE: &str = "projects";

/// The source as one process sees it.
pub struct TableSource {
    /// The world it is in.
    pub world: Shared,
}

impl World {
    /// Description of the table.
    pub fn table_stream(&self) -> Stream {
        let loose = self.scenario.key == KeyKind::Loose || self.scenario.key == KeyKind::Hashed;
        let key = match self.scenario.key {
            KeyKind::Composite => vec!["code".to_owned(), "part".to_owned()],
            _ => vec!["code".to_owned()],
        };
        let decimal = FieldType::Decimal { precision: Some(14), scale: Some(2) };
        Stream {
            name: TABLE.into(),
            id: TABLE.into(),
            fields: vec![
                Field::new("code", FieldType::Text, loose),
                Field::new("part", FieldType::Int64, false),
                Field::new("name", FieldType::Text, true),
                Field::new("amount", decimal, false),
                Field::new("status", FieldType::Text, false),
                Field::new("owner", FieldType::Text, false),
                Field::new("updated", FieldType::Timestamp { zoned: true }, false),
                Field::new("deleted", FieldType::Boolean, false),
            ],
            primary_key: if loose { Vec::new() } else { key },
            indexed: vec!["updated".into()],
            ..Stream::default()
        }
    }
}

#[async_trait]
impl Source for TableSource {
    async fn describe(&self, stream: &str) -> Result<Stream, Error> {
        tokio::task::yield_now().await;
        if stream != TABLE {
            return Err(Error::new(Kind::StreamMissing, "no such table"));
        }
        Ok(self.world.lock().table_stream())
    }

    async fn streams(&self) -> Result<Vec<String>, Error> {
        Ok(vec![TABLE.into()])
    }

    async fn read(&self, request: Read) -> Result<Box<dyn Reader>, Error> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut world = self.world.lock();
        world.source_fault("opening the listing")?;
        world.commit();
        let now = world.now();
        let bound = world.table.bound(&world.scenario, now);
        let lies = world.strikes(|c| c.lies);
        let rows: Vec<(u64, Row)> = world.table.rows.iter().map(|(n, row)| (*n, row.clone())).collect();
        let live = request.key_is_total || request.from.is_some();
        world.say(
            "source",
            format_args!("opens a listing below {bound}{}", if lies { ", which will lie" } else { "" }),
        );
        if lies {
            world.lied = true;
        }
        world.shown.clear();
        let listing = Listing {
            world: self.world.clone(),
            resume: request.cursor.is_some().then(|| Position {
                cursor: Value::Timestamp { micros: bound, zoned: true },
                key: Vec::new(),
            }),
            start: request.from.as_ref().map(|from| {
                ordinal(&from.cursor).unwrap_or(i64::MIN) - request.overlap.time.as_micros() as i64
            }),
            snapshot: (!live).then_some(rows),
            request,
            bound,
            lies,
            after: None,
            started: false,
            over: false,
        };
        Ok(Box::new(listing))
    }

    async fn fetch(&self, request: Fetch) -> Result<Batch, Error> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut world = self.world.lock();
        world.source_fault("fetching records")?;
        world.commit();
        let wanted = |row: &Row| {
            let key: Vec<Value<'_>> = request.key.iter().map(|k| row.value(k)).collect();
            request.keys.contains(&key)
        };
        let rows: Vec<Row> = world.table.rows.values().filter(|row| wanted(row)).cloned().collect();
        world.say("source", format_args!("fetches {} of {} keys", rows.len(), request.keys.len()));
        batch(&world, &rows, &request.columns, request.tombstone.as_deref(), Positions::None)
    }

    async fn duplicate_keys(
        &self,
        _: &str,
        _: &[String],
        _: usize,
    ) -> Result<Vec<Vec<Value<'static>>>, Error> {
        Ok(Vec::new())
    }
}

struct Listing {
    world: Shared,
    request: Read,
    bound: i64,
    /// Of an incremental listing.
    start: Option<i64>,
    resume: Option<Position>,
    /// Rows of a listing that cannot be paged by key.
    snapshot: Option<Vec<(u64, Row)>>,
    lies: bool,
    /// The place of the last row that was shown.
    after: Option<Place>,
    started: bool,
    over: bool,
}

/// The place of a row in the order of the listing.
type Place = (i64, Option<String>, i64, u64);

impl Listing {
    fn place(&self, number: u64, row: &Row) -> Place {
        let cursor = if self.start.is_some() { row.updated.unwrap_or(i64::MIN) } else { 0 };
        if self.snapshot.is_some() {
            return (0, None, 0, number);
        }
        (cursor, row.code.clone(), row.part, number)
    }

    fn page(&mut self, world: &World) -> Vec<Row> {
        let live;
        let rows: &[(u64, Row)] = match &self.snapshot {
            Some(rows) => rows,
            None => {
                live = world.table.rows.iter().map(|(n, row)| (*n, row.clone())).collect::<Vec<_>>();
                &live
            }
        };
        let inside = |row: &Row| match (self.start, row.updated) {
            (None, _) => true,
            (Some(start), Some(updated)) => start <= updated && updated < self.bound,
            (Some(_), None) => false,
        };
        let mut found: Vec<(Place, &Row)> = rows
            .iter()
            .filter(|(_, row)| inside(row))
            .map(|(n, row)| (self.place(*n, row), row))
            .filter(|(place, _)| self.after.as_ref().is_none_or(|after| place > after))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found.truncate(self.request.batch_rows.min(world.scenario.page));
        let page = found.iter().map(|(_, row)| (*row).clone()).collect();
        if let Some((place, _)) = found.pop() {
            self.after = Some(place);
        }
        page
    }
}

#[async_trait]
impl Reader for Listing {
    async fn next(&mut self) -> Result<Option<Batch>, Error> {
        tokio::time::sleep(Duration::from_millis(3)).await;
        let shared = self.world.clone();
        let mut world = shared.lock();
        if self.over {
            return Ok(None);
        }
        world.churn();
        world.source_fault("reading a page").inspect_err(|_| self.over = true)?;
        self.started = true;
        let mut rows = self.page(&world);
        if self.lies && rows.len() > 1 {
            rows.truncate(rows.len() / 2);
            self.over = true;
        }
        world.say("source", format_args!("shows {} rows", rows.len()));
        let shown = rows.iter().filter_map(|row| oracle::identity(&world.scenario, row));
        let shown: Vec<Identity> = shown.collect();
        world.shown.extend(shown);
        if rows.is_empty() {
            self.over = true;
            return Ok(None);
        }
        let position = |name: &String| self.request.columns.iter().position(|c| c == name);
        let positions = match (&self.request.cursor, self.start) {
            (Some(cursor), Some(_)) => Positions::Columns {
                cursor: position(cursor).unwrap_or_default(),
                key: self.request.key.iter().filter_map(position).collect(),
            },
            _ => Positions::None,
        };
        batch(&world, &rows, &self.request.columns, self.request.tombstone.as_deref(), positions).map(Some)
    }

    fn resume(&self) -> Option<Position> {
        if self.start.is_some() || !self.started { None } else { self.resume.clone() }
    }
}

/// Rows as a batch.
fn batch(
    world: &World,
    rows: &[Row],
    columns: &[String],
    tombstone: Option<&str>,
    positions: Positions,
) -> Result<Batch, Error> {
    let stream = world.table_stream();
    let fields: Vec<Field> = columns.iter().filter_map(|c| stream.field(c).cloned()).collect();
    let mut builder = BatchBuilder::new(fields.into());
    for row in rows {
        for (index, column) in columns.iter().enumerate() {
            let pushed = builder.push(index, &row.value(column));
            pushed.map_err(|wrong| Error::new(Kind::Definition, wrong.to_string()))?;
        }
        let gone = tombstone.is_some() && row.deleted;
        builder.end_record(if gone { RecordOp::Delete } else { RecordOp::Upsert });
    }
    Ok(builder.finish(positions))
}
