//! Listings, on a thread of their own: a full one in the order of the files, an incremental one in that of (cursor, key).

use std::{cmp::Ordering, collections::BinaryHeap};

use async_trait::async_trait;
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions},
    cursor::Position,
    failpoint,
    schema::FieldType,
    value::Value,
};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    bound::{Window, behind, lowest},
    describe::Found,
    order::{compare, compare_all},
    scan::{Row, Scanned, Shape, position},
    store::Store,
};
use crate::{
    Error,
    error::Kind,
    source::{Part, Portion, Read, Reader},
};

/// Most records that a pass over the files keeps …
const PASS_ROWS: usize = 50_000;
/// … and about how many bytes of them.
const PASS_BYTES: usize = 32 << 20;
/// Records between two looks at whether anybody still wants the listing.
const LOOK: u64 = 4_096;

/// A request resolved against the files.
pub(super) struct Plan {
    scanned: Scanned,
    shape: Shape,
    cursor: Option<Cursor>,
    incremental: bool,
    once: bool,
    batch_rows: usize,
    batch_bytes: usize,
}

/// The cursor column, and what of it is wanted.
struct Cursor {
    column: usize,
    kind: FieldType,
    key: Vec<usize>,
    window: Window,
}

impl Plan {
    /// `once`: see [`Scan::once`](crate::source::Scan::once). `now` in microseconds since 1970.
    pub(super) fn of(
        store: Store,
        found: Found,
        request: &Read,
        once: bool,
        now: i64,
    ) -> Result<Self, Error> {
        if request.from.is_some() && request.cursor.is_none() {
            return Err(Error::new(Kind::Definition, "an incremental read needs a cursor column"));
        }
        let fields = found.fields(&request.columns)?;
        let at = |name: &str| position(&request.columns, name);
        let key: Vec<_> = request.key.iter().map(|k| at(k)).collect::<Result<_, _>>()?;
        let tombstone = request.tombstone.as_deref().map(at).transpose()?;
        let mut positions = Positions::None;
        let mut cursor = None;
        if let Some(name) = &request.cursor {
            let column = at(name)?;
            let kind = fields[column].kind.clone();
            let mut window = Window::until(now, &kind);
            if let Some(from) = &request.from {
                if !from.cursor.fits(&kind) || from.cursor.is_null() {
                    let message = format!("column {name:?} ({kind}): the stored cursor is of another type");
                    return Err(Error::new(Kind::Definition, message).hint(
                        "the column's type was changed: reset the cursor, which reads everything once",
                    ));
                }
                window = window.from(&from.cursor, request.overlap);
                positions = Positions::Columns { cursor: column, key: key.clone() };
            }
            cursor = Some(Cursor { column, kind, key, window });
        }
        Ok(Self {
            shape: Shape::new(fields.clone(), tombstone, positions),
            scanned: Scanned::new(store, found, fields),
            cursor,
            incremental: request.from.is_some(),
            once,
            batch_rows: request.batch_rows.max(1),
            batch_bytes: request.batch_bytes,
        })
    }
}

/// What the reading thread hands over.
enum Step {
    Batch(Batch),
    /// The listing is complete; where an incremental one may start.
    End(Option<Position>),
}

type Sent = Result<Step, Error>;

/// An open listing.
pub(super) struct Open {
    steps: mpsc::Receiver<Sent>,
    thread: Option<JoinHandle<()>>,
    resume: Option<Position>,
    complete: bool,
}

impl Open {
    /// Starts to read.
    pub(super) fn start(plan: Plan, stream: String) -> Self {
        let (sender, steps) = mpsc::channel(1);
        let read = move || {
            // what it has not sent goes with it: a place that is kept would leave none for the error
            let pump = Pump { plan: &plan, sender: &sender, builder: plan.shape.builder(), place: None };
            let last = pump.run().map(Step::End).map_err(|e| e.context(format_args!("stream {stream:?}")));
            // nobody listens any more when the listing was given up
            drop(sender.blocking_send(last));
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "awaited at the end of the listing; a drop closes the queue, which ends it"
        )]
        let thread = tokio::task::spawn_blocking(read);
        Self { steps, thread: Some(thread), resume: None, complete: false }
    }

    async fn ended(&mut self) {
        self.steps.close();
        if let Some(thread) = self.thread.take() {
            // a thread that panicked has said no end, and that is what is reported
            drop(thread.await);
        }
    }
}

#[async_trait]
impl Reader for Open {
    async fn next(&mut self) -> Result<Option<Batch>, Error> {
        if self.complete {
            return Ok(None);
        }
        // The end is said, never inferred: a reader that dies must not look like a complete listing.
        match self.steps.recv().await {
            Some(Ok(Step::Batch(batch))) => Ok(Some(batch)),
            Some(Ok(Step::End(resume))) => {
                (self.complete, self.resume) = (true, resume);
                self.ended().await;
                Ok(None)
            }
            Some(Err(error)) => {
                self.ended().await;
                Err(error)
            }
            None => {
                self.ended().await;
                Err(Error::new(Kind::Protocol, "the listing ended before it was complete"))
            }
        }
    }

    /// Known at the end only: the highest cursor that the files hold.
    fn resume(&self) -> Option<Position> {
        self.resume.clone()
    }
}

#[async_trait]
impl Part for Open {
    async fn next(&mut self) -> Result<Option<Portion>, Error> {
        Ok(Reader::next(self).await?.map(Portion::from))
    }

    fn resume(&self) -> Option<Position> {
        self.resume.clone()
    }
}

/// The reading side.
struct Pump<'a> {
    plan: &'a Plan,
    sender: &'a mpsc::Sender<Sent>,
    builder: BatchBuilder,
    /// The place of the batch that is being built: at most one batch is read ahead.
    place: Option<mpsc::Permit<'a, Sent>>,
}

/// Nobody wants the rest.
struct GivenUp;

impl<'a> Pump<'a> {
    fn run(mut self) -> Result<Option<Position>, Error> {
        let resume = match &self.plan.cursor {
            Some(cursor) if self.plan.incremental => {
                let last = self.incremental(cursor)?;
                last.filter(|_| self.plan.once)
            }
            cursor => self.full(cursor.as_ref())?,
        };
        let resume = if self.plan.once { resume.map(behind) } else { resume };
        let resume = resume.map(|cursor| Position { cursor, key: Vec::new() });
        self.send();
        failpoint!("connect.source.before_end", |place| Error::failpoint(Kind::Unanswered, place));
        Ok(resume)
    }

    /// Everything, in the order of the files. Returns the highest cursor, or else the lowest that there can be.
    fn full(&mut self, cursor: Option<&Cursor>) -> Result<Option<Value<'static>>, Error> {
        let plan = self.plan;
        let mut highest: Option<Value<'static>> = None;
        let mut walk = plan.scanned.walk();
        while walk.advance()? {
            let row = walk.row();
            if let Some(cursor) = cursor {
                let here = &row.values[cursor.column];
                let higher = highest.as_ref().is_none_or(|h| compare(here, h).is_gt());
                if higher && cursor.window.holds(here) {
                    highest = Some(here.clone().into_owned());
                }
            }
            if self.give(row)?.is_err() {
                return Ok(None);
            }
        }
        Ok(cursor.and_then(|cursor| highest.or_else(|| lowest(&cursor.kind))))
    }

    /// As many passes over the files as it takes to hand over the wanted records in order, a bounded number in each.
    /// Returns the cursor of the last one.
    fn incremental(&mut self, cursor: &Cursor) -> Result<Option<Value<'static>>, Error> {
        let mut after: Option<Order> = None;
        loop {
            let Some(pass) = self.pass(cursor, after.as_ref())? else { return Ok(None) };
            let rest = pass.cut.is_some();
            let kept = pass.kept.into_sorted_vec();
            after = kept.last().map(|last| last.order.clone()).or(after);
            for kept in kept {
                if self.give(kept.row)?.is_err() {
                    return Ok(None);
                }
            }
            if !rest {
                return Ok(after.map(|last| last.cursor));
            }
            failpoint!("connect.source.between_pages", |place| Error::failpoint(Kind::Unanswered, place));
        }
    }

    /// One pass: the first wanted records behind `after`. `None`: nobody wants them.
    fn pass(&self, cursor: &Cursor, after: Option<&Order>) -> Result<Option<Pass>, Error> {
        let mut pass = Pass::default();
        let mut walk = self.plan.scanned.walk();
        let mut number = 0;
        while walk.advance()? {
            number += 1;
            if number % LOOK == 0 && self.sender.is_closed() {
                return Ok(None);
            }
            let row = walk.row();
            let here = &row.values[cursor.column];
            if !cursor.window.holds(here) {
                continue;
            }
            let key = cursor.key.iter().map(|k| row.values[*k].clone().into_owned());
            let order = Order { cursor: here.clone().into_owned(), key: key.collect(), number };
            if after.is_none_or(|after| order > *after) && pass.cut.as_ref().is_none_or(|cut| order < *cut) {
                pass.keep(Kept { bytes: size(&row), row: row.into_owned(), order });
            }
        }
        Ok(Some(pass))
    }

    /// Adds a record to the batch, and sends the batch when it is full.
    fn give(&mut self, row: Row<'_>) -> Result<Result<(), GivenUp>, Error> {
        if self.place.is_none() {
            let taken = self.plan.scanned.store().runtime().block_on(self.sender.reserve());
            let Ok(taken) = taken else { return Ok(Err(GivenUp)) };
            self.place = Some(taken);
        }
        self.plan.shape.push(&mut self.builder, row)?;
        if self.builder.len() >= self.plan.batch_rows || self.builder.bytes() >= self.plan.batch_bytes {
            self.send();
        }
        Ok(Ok(()))
    }

    fn send(&mut self) {
        if let Some(place) = self.place.take()
            && !self.builder.is_empty()
        {
            place.send(Ok(Step::Batch(self.plan.shape.finish(&mut self.builder))));
        }
    }
}

/// Where a record comes in an incremental listing; its number makes it one of its kind.
#[derive(Debug, Clone)]
struct Order {
    cursor: Value<'static>,
    key: Vec<Value<'static>>,
    number: u64,
}

impl Ord for Order {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.cursor, &other.cursor)
            .then_with(|| compare_all(&self.key, &other.key))
            .then_with(|| self.number.cmp(&other.number))
    }
}

impl PartialOrd for Order {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Order {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Order {}

/// A record that a pass keeps, in its order.
struct Kept {
    order: Order,
    row: Row<'static>,
    bytes: usize,
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order.cmp(&other.order)
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Kept {}

/// The first records of what a pass has seen.
#[derive(Default)]
struct Pass {
    kept: BinaryHeap<Kept>,
    bytes: usize,
    /// The first record for which there was no room: from there on the next pass goes on.
    cut: Option<Order>,
}

impl Pass {
    fn keep(&mut self, record: Kept) {
        self.bytes += record.bytes;
        self.kept.push(record);
        while self.kept.len() > 1 && (self.kept.len() > PASS_ROWS || self.bytes > PASS_BYTES) {
            let Some(last) = self.kept.pop() else { break };
            self.bytes -= last.bytes;
            self.cut = Some(last.order);
        }
    }
}

/// About how many bytes a kept record takes.
fn size(row: &Row<'_>) -> usize {
    let value = |value: &Value<'_>| match value {
        Value::Text(v) | Value::Decimal(v) | Value::Json(v) => v.len(),
        Value::Binary(v) => v.len(),
        Value::List(v) => v.len() * 64,
        _ => 0,
    };
    200 + row.values.len() * size_of::<Value<'static>>() + row.values.iter().map(value).sum::<usize>()
}
