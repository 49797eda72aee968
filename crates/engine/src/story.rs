//! Everything that is known of one record: what the source says now, what that should become, what was written when, and
//! what waits. Reads only, and asks each system once.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use syncline_connect::{
    Source,
    source::{Fetch, Params},
};
use syncline_core::{
    batch::Batch,
    convert::convert,
    decimal,
    identity::Identity,
    schema::{Field, FieldType, Stream},
    value::Value,
};
use syncline_store::{Details, Entry, Held, KeyValues, Parked, Store, Write};

use crate::{
    Bound, Engine, Error, Flow,
    load::{Table, bind::From},
};

/// Most parked records and held deletes of a sync that are looked through.
const WAITING_MAX: usize = 100_000;
/// Writes that are told.
const WRITES_MAX: usize = 200;

/// Values by name.
pub type Values = BTreeMap<String, Json>;

/// What is known of one record.
#[derive(Debug)]
pub struct Story {
    /// Who it is.
    pub identity: Identity,
    /// Values of its key.
    pub key: KeyValues,
    /// The columns that the sync reads, as the source holds them now; `None`: the source has no such record.
    pub source: Option<Values>,
    /// What becomes of that.
    pub mapped: Mapped,
    /// Where it is, and what was written last; of loads into tables nothing is kept.
    pub ledger: Option<(Entry, Details)>,
    /// Where people find it in the destination.
    pub link: Option<String>,
    /// The row of the destination's table with its key.
    pub row: Option<Values>,
    /// Its failure that waits for a retry.
    pub parked: Option<Parked>,
    /// Its delete that waits for approval.
    pub held: Option<Held>,
    /// What was written to it, the newest first, of runs that are still remembered.
    pub writes: Vec<Write>,
}

/// What the definition makes of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Mapped {
    /// There is no record.
    Absent,
    /// The filter leaves it out.
    LeftOut,
    /// It cannot be written: why, without values.
    Refused(String),
    /// What the destination should hold, and, where that is an API, the stream it belongs to.
    Fields(Option<String>, Values),
}

/// Reads the values of a key, as people write them, by the types of its columns.
///
/// # Errors
/// What is wrong, in words.
pub fn key_of(flow: &Flow, texts: &[String]) -> Result<KeyValues, String> {
    let (stream, key): (&Stream, &[String]) = match flow {
        Flow::Push(bound) if bound.mapping.hashed => {
            return Err("records of a sync with a hashed key cannot be named".into());
        }
        Flow::Push(bound) => (&bound.stream, &bound.mapping.key),
        Flow::Load(table) => (&table.stream, &table.key),
    };
    if key.is_empty() {
        return Err("the sync has no key".into());
    }
    if key.len() != texts.len() {
        return Err(format!("the key has {} values: {}", key.len(), key.join(", ")));
    }
    let value = |(name, text): (&String, &String)| {
        let kind = stream.field(name).map_or(FieldType::Text, |field| field.kind.clone());
        read(text, kind).ok_or_else(|| format!("the value of {name:?} cannot be read as its type"))
    };
    key.iter().zip(texts).map(value).collect()
}

fn read(text: &str, kind: FieldType) -> Option<Value<'static>> {
    match kind {
        FieldType::Int64 => text.parse().ok().map(Value::Int64),
        FieldType::Boolean => text.parse().ok().map(Value::Boolean),
        FieldType::Float64 => text.parse().ok().filter(|n: &f64| n.is_finite()).map(Value::Float64),
        FieldType::Decimal { .. } => {
            decimal::is_finite(text).then(|| Value::Decimal(decimal::normal(text).into()))
        }
        other => convert(Value::Text(text.to_owned().into()), &Field::new("key", other, false)).ok(),
    }
}

/// Tells what is known of the record with this key. `destination`: where the rows of a loaded table can be fetched.
///
/// # Errors
/// A system or the store failed.
pub async fn story(
    engine: &Engine,
    flow: &Flow,
    key: KeyValues,
    destination: Option<&dyn Source>,
) -> Result<Story, Error> {
    let sync = flow.sync();
    // Keys that people write hold no null.
    let identity =
        Identity::of(&key, sync.from.key.ignore_case).unwrap_or_else(|_| Identity::of_keyless("null", &key));
    let mut story = Story {
        identity,
        key: key.clone(),
        source: None,
        mapped: Mapped::Absent,
        ledger: None,
        link: None,
        row: None,
        parked: None,
        held: None,
        writes: engine.store.writes(&sync.name, identity, WRITES_MAX).await?,
    };
    match flow {
        Flow::Push(bound) => pushed(&*engine.store, bound, &mut story).await?,
        Flow::Load(table) => loaded(table, destination, &mut story).await?,
    }
    let parked = engine.store.parked(Some(&sync.name), None, WAITING_MAX).await?;
    story.parked = parked.into_iter().find(|parked| parked.identity == identity);
    let held = engine.store.held(Some(&sync.name), WAITING_MAX).await?;
    story.held = held.into_iter().find(|held| held.identity == identity);
    Ok(story)
}

fn record(batch: &Batch, row: usize) -> Values {
    let value = |(at, field): (usize, &Field)| (field.name.clone(), batch.value(row, at).to_json());
    batch.fields().iter().enumerate().map(value).collect()
}

/// A record that goes into an API.
async fn pushed(store: &dyn Store, bound: &Bound, story: &mut Story) -> Result<(), Error> {
    let fetch = bound.fetch(vec![story.key.clone()]);
    let batch = bound.source.fetch(fetch).await.map_err(Error::connect("fetching the record"))?;
    if !batch.is_empty() {
        story.source = Some(record(&batch, 0));
        story.mapped = match bound.mapping.map(&batch, 0, &mut Vec::new()) {
            Ok(None) => Mapped::LeftOut,
            Err(problem) => Mapped::Refused(problem.message),
            Ok(Some(mapped)) => {
                let stream = &bound.mapping.streams[mapped.stream];
                let named = stream.fields.iter().zip(&mapped.values);
                let values = named.map(|(field, value)| (field.name.clone(), value.to_json())).collect();
                Mapped::Fields(Some(stream.name.clone()), values)
            }
        };
    }
    let identities = [story.identity];
    let entry = store.find(&bound.sync.name, &identities).await?.pop().flatten();
    let details = store.details(&bound.sync.name, &identities).await?.pop().flatten();
    if let Some((entry, stream)) = entry.as_ref().and_then(|e| Some((e, bound.mapping.stream_of(&e.stream)?)))
    {
        let stream = &bound.mapping.streams[stream].stream;
        let link = bound.destination.link(stream, &entry.record_id).await;
        story.link = link.map_err(Error::connect("asking where the record is"))?;
    }
    story.ledger = entry.zip(details);
    Ok(())
}

/// A record that goes into a table.
async fn loaded(table: &Table, destination: Option<&dyn Source>, story: &mut Story) -> Result<(), Error> {
    let fetch = Fetch {
        stream: table.reads.clone(),
        columns: table.columns(),
        key: table.key.clone(),
        tombstone: table.sync.from.tombstone.clone(),
        keys: vec![story.key.clone()],
        params: Params::new(),
    };
    let batch = table.source.fetch(fetch).await.map_err(Error::connect("fetching the record"))?;
    if batch.is_empty() {
        return Ok(());
    }
    story.source = Some(record(&batch, 0));
    let row = match map(table, &batch) {
        Ok(Some(row)) => row,
        Ok(None) => {
            story.mapped = Mapped::LeftOut;
            return Ok(());
        }
        Err(why) => {
            story.mapped = Mapped::Refused(why);
            return Ok(());
        }
    };
    let shown = row.iter().map(|(name, value)| (name.clone(), value.to_json())).collect();
    story.mapped = Mapped::Fields(None, shown);
    let key: Option<Vec<_>> = table.match_on.iter().map(|name| row.get(name).cloned()).collect();
    if let (Some(destination), Some(key)) = (destination, key.filter(|key| !key.is_empty())) {
        story.row = row_of(table, destination, key).await?;
    }
    Ok(())
}

/// The columns of a record's row by name; `None`: the filter leaves it out.
fn map(table: &Table, batch: &Batch) -> Result<Option<BTreeMap<String, Value<'static>>>, String> {
    if let Some(why) = batch.problem(0) {
        return Err(why.to_owned());
    }
    let at = |name: &str| batch.fields().iter().position(|field| field.name == name);
    let column = |name: &str| at(name).map_or(Value::Null, |at| batch.value(0, at));
    if let Some(filter) = &table.sync.from.filter
        && !filter.test(column)?
    {
        return Ok(None);
    }
    let mut row = BTreeMap::new();
    for loaded in &table.fields {
        let value = match &loaded.from {
            From::Column(name) => column(name).into_owned(),
            From::Expression(expr) => expr.evaluate(column)?,
            // No run gave it a value.
            From::Param(_) => Value::Null,
        };
        let value = if value.is_null() { loaded.default.clone().unwrap_or(Value::Null) } else { value };
        row.insert(loaded.column.name.clone(), value);
    }
    Ok(Some(row))
}

/// The row of the table with this key, where there is a table.
async fn row_of(table: &Table, destination: &dyn Source, key: KeyValues) -> Result<Option<Values>, Error> {
    use syncline_connect::error::Kind;
    let name = &table.sync.to.stream;
    let doing = || Error::connect("fetching the row of the destination");
    let stream = match destination.describe(name).await {
        Ok(stream) => stream,
        Err(missing) if missing.kind == Kind::StreamMissing => return Ok(None),
        Err(error) => return Err(doing()(error)),
    };
    let fetch = Fetch {
        stream: name.clone(),
        columns: stream.fields.iter().map(|field| field.name.clone()).collect(),
        key: table.match_on.clone(),
        tombstone: None,
        keys: vec![key],
        params: Params::new(),
    };
    let batch = destination.fetch(fetch).await.map_err(doing())?;
    Ok((!batch.is_empty()).then(|| record(&batch, 0)))
}
