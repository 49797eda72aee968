//! A sync whose systems have answered: described, bound, ready to run.

use std::sync::Arc;

use syncline_connect::{
    Destination, Source,
    destination::Stamp,
    error::Kind,
    source::{Fetch, Params, Read},
};
use syncline_core::{
    cursor::Position,
    mapping::{Mapping, Problem},
    mutant,
    schema::Stream,
    sync::{Mode, Overlap, Sync},
    value::Value,
};

use crate::Error;

/// Most records in a source batch, and most bytes: what bounds a run's memory.
pub(crate) const BATCH_ROWS: usize = 8_192;
pub(crate) const BATCH_BYTES: usize = 8 << 20;

/// A sync bound to its systems.
pub struct Bound {
    /// The definition.
    pub sync: Sync,
    /// Names resolved.
    pub mapping: Mapping,
    /// The source's description.
    pub stream: Stream,
    /// Where records come from.
    pub source: Arc<dyn Source>,
    /// Where they go.
    pub destination: Arc<dyn Destination>,
    /// Sentences an operator should read.
    pub notes: Vec<String>,
}

impl Bound {
    /// Describes the systems of `sync` and binds it to them.
    ///
    /// Returns `None` when the definition does not fit; every problem and warning in any case. Reads only.
    ///
    /// # Errors
    /// A system that cannot be reached or refuses us.
    pub async fn open(
        sync: Sync,
        source: Arc<dyn Source>,
        destination: Arc<dyn Destination>,
    ) -> Result<(Option<Self>, Vec<Problem>), Error> {
        let mut problems = Vec::new();
        let described = source.describe(&sync.from.stream).await;
        let stream = match described {
            Ok(stream) => Some(stream),
            Err(error) if error.kind == Kind::StreamMissing => {
                let known = source.streams().await.unwrap_or_default();
                problems.push(missing("from.table", error, &sync.from.stream, known));
                None
            }
            Err(error) => return Err(Error::connect(format!("reading sync {:?}", sync.name))(error)),
        };
        let mut streams = Vec::new();
        for (index, name) in sync.streams().into_iter().enumerate() {
            match destination.describe(name).await {
                Ok(stream) => streams.push(stream),
                Err(error) if error.kind == Kind::StreamMissing => match destination.streams().await {
                    Ok(known) => {
                        problems.push(missing(&place_of_list(&sync, name, index), error, name, known));
                    }
                    // Where even the lists cannot be listed, what holds them is missing: said once, not for each.
                    Err(_) => {
                        problems.push(missing("to.connection", error, name, Vec::new()));
                        break;
                    }
                },
                Err(error) => return Err(Error::connect(format!("writing sync {:?}", sync.name))(error)),
            }
        }
        let (Some(stream), true) = (stream, streams.len() == sync.streams().len()) else {
            return Ok((None, problems));
        };
        let (mapping, found) = Mapping::bind(&sync, &stream, &streams);
        problems.extend(found);
        problems.extend(stream.notes.iter().map(|note| warning("from", note)));
        let stamp_field = destination.facts().stamp_field;
        for (index, described) in streams.iter().enumerate() {
            let path = place_of_list(&sync, &described.name, index);
            let stamp = stamp_problem(destination.stamp(described), &described.name, &path);
            // The connector's own words about the stamp would only repeat ours.
            let told = |note: &&String| stamp.is_none() || !note.contains(stamp_field);
            problems.extend(described.notes.iter().filter(told).map(|note| warning(&path, note)));
            problems.extend(stamp);
        }
        let Some(mapping) = mapping else { return Ok((None, problems)) };
        let notes = problems.iter().map(|p| p.message.clone()).collect();
        Ok((Some(Self { sync, mapping, stream, source, destination, notes }), problems))
    }

    /// As [`Bound::open`], for those who cannot go on without.
    ///
    /// # Errors
    /// Also [`Error::Definition`].
    pub async fn open_whole(
        sync: Sync,
        source: Arc<dyn Source>,
        destination: Arc<dyn Destination>,
    ) -> Result<Self, Error> {
        let name = sync.name.clone();
        match Self::open(sync, source, destination).await? {
            (Some(bound), _) => Ok(bound),
            (None, problems) => {
                let problems = problems.into_iter().filter(|p| !p.warning).collect();
                Err(Error::Definition { sync: name, problems })
            }
        }
    }

    /// Whether every stream lets the system itself enforce identities.
    pub fn exactly_once(&self) -> bool {
        self.mapping.streams.iter().all(|s| self.destination.stamp(&s.stream) == Stamp::Unique)
    }

    /// What to read in a mode.
    pub(crate) fn read(&self, mode: Mode, from: Option<Position>) -> Read {
        Read {
            stream: self.sync.from.stream.clone(),
            columns: self.mapping.columns.clone(),
            key: self.mapping.key.clone(),
            key_is_total: self.mapping.key_is_total,
            cursor: self.sync.from.cursor.clone(),
            tombstone: self.sync.from.tombstone.clone(),
            from: if mode == Mode::Incremental { from } else { None },
            overlap: if mutant!(OverlapForgotten) { Overlap::default() } else { self.sync.from.overlap },
            lag: self.sync.from.lag,
            batch_rows: BATCH_ROWS,
            batch_bytes: BATCH_BYTES,
            params: Params::new(),
        }
    }

    /// How to fetch single records.
    pub(crate) fn fetch(&self, keys: Vec<Vec<Value<'static>>>) -> Fetch {
        Fetch {
            stream: self.sync.from.stream.clone(),
            columns: self.mapping.columns.clone(),
            key: self.mapping.key.clone(),
            tombstone: self.sync.from.tombstone.clone(),
            keys,
            params: Params::new(),
        }
    }
}

fn place_of_list(sync: &Sync, name: &str, index: usize) -> String {
    if index == 0 {
        return "to.list".into();
    }
    let route = sync.routes.iter().position(|r| r.stream == name).unwrap_or_default();
    format!("route.{route}.list")
}

fn missing(path: &str, error: syncline_connect::Error, name: &str, known: Vec<String>) -> Problem {
    Problem {
        path: path.into(),
        message: error.message,
        unknown: Some((name.to_owned(), known)),
        warning: false,
    }
}

fn warning(path: &str, message: &str) -> Problem {
    Problem { path: path.into(), message: message.to_owned(), unknown: None, warning: true }
}

fn stamp_problem(stamp: Stamp, list: &str, path: &str) -> Option<Problem> {
    let message = match stamp {
        Stamp::Unique => return None,
        Stamp::Indexed => format!(
            "list {list:?}: SynclineKey is indexed but not unique; a create applied after its answer was lost and its \
             settle time passed may double. `syncline check --fix` makes it unique"
        ),
        Stamp::None => format!(
            "list {list:?} has no indexed SynclineKey column: writes are at-least-once, a lost answer may make a \
             duplicate. `syncline check --fix` creates it (needs Sites.Manage.All)"
        ),
    };
    Some(warning(path, &message))
}
