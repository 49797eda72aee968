//! Moving rows: parts of the source's listing into streams of the destination, all at once.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use syncline_connect::{
    database::{Rows, Writer},
    source::{Failed, Part, Portion},
};
use syncline_core::{
    cursor::{Position, ordinal},
    failpoint,
};
use tokio::{
    sync::{Mutex, watch},
    task::JoinSet,
};

use super::project::Projection;
use crate::{Error, run::PARKED_MAX};

/// What was moved.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Records read.
    pub(super) read: u64,
    /// Records that are not wanted.
    pub(super) skipped: u64,
    /// Records that an earlier load has appended.
    pub(super) read_before: u64,
    /// Rows staged.
    pub(super) staged: u64,
    /// Records that cannot be loaded.
    pub(super) failed: Vec<Failed>,
    /// The position of the last record, where the listing has one.
    pub(super) last: Option<Position>,
    /// The highest cursor value read, where batches told.
    pub(super) highest: Option<i64>,
    /// Where a later incremental read may start.
    pub(super) resume: Option<Position>,
    /// Why the listing was not the whole of what was asked for.
    pub(super) shortfall: Option<String>,
}

/// Totals while rows are moved.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) read: AtomicU64,
}

/// What all streams share.
pub(super) struct Moving {
    pub(super) projection: Projection,
    pub(super) cursor: Option<usize>,
    pub(super) progress: Arc<Progress>,
    pub(super) cancel: watch::Receiver<bool>,
    pub(super) stream: String,
}

/// A part whose first portion was looked at.
struct Begun {
    first: Option<Portion>,
    rest: Box<dyn Part>,
}

#[async_trait]
impl Part for Begun {
    async fn next(&mut self) -> Result<Option<Portion>, syncline_connect::Error> {
        match self.first.take() {
            Some(portion) => Ok(Some(portion)),
            None => self.rest.next().await,
        }
    }

    fn resume(&self) -> Option<Position> {
        self.rest.resume()
    }
}

/// Whether the first part holds anything; what was read to find out is not lost.
pub(super) async fn any(parts: &mut Vec<Box<dyn Part>>) -> Result<bool, syncline_connect::Error> {
    let [_] = parts.as_slice() else { return Ok(true) };
    let Some(mut rest) = parts.pop() else { return Ok(true) };
    let first = rest.next().await?;
    let any = first.is_some();
    parts.push(if any { Box::new(Begun { first, rest }) } else { rest });
    Ok(any)
}

/// What is known of parts that had nothing to move.
pub(super) fn nothing(parts: &[Box<dyn Part>]) -> Moved {
    Moved {
        resume: parts.first().and_then(|part| part.resume()),
        shortfall: parts.iter().find_map(|part| part.shortfall()),
        ..Moved::default()
    }
}

/// Moves every part into a stream: each stream takes the next part when it is done with one, so that fewer streams than
/// asked for lose nothing. The first failure stops all.
pub(super) async fn move_rows(
    moving: Moving,
    parts: Vec<Box<dyn Part>>,
    writers: Vec<Box<dyn Writer>>,
    mut tick: impl FnMut(),
) -> Result<Moved, Error> {
    let moving = Arc::new(moving);
    let mut moves = JoinSet::new();
    // the last one first, as they are taken from the end
    let parts = Arc::new(Mutex::new(parts.into_iter().rev().collect::<Vec<_>>()));
    for writer in writers {
        moves.spawn(one(Arc::clone(&moving), Arc::clone(&parts), writer));
    }
    let mut moved = Moved::default();
    loop {
        tokio::select! {
            ended = moves.join_next() => match ended {
                // leaving drops the others, and with them their sessions
                Some(ended) => moved.add(ended.map_err(|_| Error::Interrupted)??)?,
                None => break,
            },
            () = tokio::time::sleep(crate::progress::TICK) => tick(),
        }
    }
    Ok(moved)
}

impl Moved {
    fn add(&mut self, other: Self) -> Result<(), Error> {
        self.read += other.read;
        self.skipped += other.skipped;
        self.read_before += other.read_before;
        self.staged += other.staged;
        self.failed.extend(other.failed);
        self.last = other.last.or(self.last.take());
        self.highest = self.highest.max(other.highest);
        self.resume = other.resume.or(self.resume.take());
        self.shortfall = other.shortfall.or(self.shortfall.take());
        too_many(self.failed.len())
    }
}

/// Records that cannot be loaded are kept one by one: more of them is no slip but a wrong definition.
fn too_many(failed: usize) -> Result<(), Error> {
    if failed <= PARKED_MAX { Ok(()) } else { Err(Error::TooManyParked { limit: PARKED_MAX }) }
}

/// Parts that nobody has taken yet.
type Parts = Arc<Mutex<Vec<Box<dyn Part>>>>;

/// Moves one part after the other into a stream.
async fn one(moving: Arc<Moving>, parts: Parts, mut writer: Box<dyn Writer>) -> Result<Moved, Error> {
    let writing = || Error::connect("staging rows");
    let mut moved = Moved::default();
    loop {
        let next = parts.lock().await.pop();
        let Some(part) = next else { break };
        part_into(&moving, part, &mut *writer, &mut moved).await?;
    }
    let counted = writer.finish().await.map_err(writing())?;
    if counted != moved.staged {
        return Err(Error::Miscounted { sent: moved.staged, counted });
    }
    Ok(moved)
}

async fn part_into(
    moving: &Moving,
    mut part: Box<dyn Part>,
    writer: &mut dyn Writer,
    moved: &mut Moved,
) -> Result<(), Error> {
    let reading = || Error::connect(format!("reading {:?}", moving.stream));
    let writing = || Error::connect("staging rows");
    while let Some(portion) = part.next().await.map_err(reading())? {
        if *moving.cancel.borrow() {
            return Err(Error::Cancelled);
        }
        moved.read += portion.read;
        moved.skipped += portion.skipped;
        moving.progress.read.fetch_add(portion.read, Ordering::Relaxed);
        moved.failed.extend(portion.failed);
        let rows = match portion.rows {
            Rows::Copy(tuples, count) => {
                moved.staged += count;
                Rows::Copy(tuples, count)
            }
            Rows::Batch(batch) => {
                if let Some(position) = batch.len().checked_sub(1).and_then(|last| batch.position(last)) {
                    moved.last = Some(position);
                }
                if let Some(at) = moving.cursor {
                    let here = (0..batch.len()).filter_map(|row| ordinal(&batch.value(row, at))).max();
                    moved.highest = moved.highest.max(here);
                }
                let projected = moving.projection.project(&batch).map_err(|e| Error::mismatch(&e))?;
                moved.skipped += projected.skipped;
                moved.read_before += projected.read_before;
                moved.failed.extend(projected.failed);
                moved.staged += projected.rows.len() as u64;
                Rows::Batch(projected.rows)
            }
        };
        too_many(moved.failed.len())?;
        writer.write(rows).await.map_err(writing())?;
        failpoint!("engine.load.staging", Error::failpoint);
    }
    moved.resume = part.resume().or(moved.resume.take());
    moved.shortfall = part.shortfall().or(moved.shortfall.take());
    Ok(())
}
