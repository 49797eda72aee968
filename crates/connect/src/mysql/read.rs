//! Listings: pages by keyset where the key is total, else one statement that streams; all in one snapshot.

use mysql_async::{Row, Statement, Value as Raw};
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions},
    cursor::Position,
    failpoint,
    value::Value,
};
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    bind, bound,
    client::{SNAPSHOT, Session},
    describe::{Column, Found},
    plan::Plan,
    rows::{Decoder, cell},
    sql,
};
use crate::{
    Error,
    error::Kind,
    source::{Read, Reader},
};

/// What the reading task hands over: a batch, or that the listing is complete.
type Step = Result<Option<Batch>, Error>;

/// An open listing. The task that reads belongs to it and ends with it.
pub(super) struct Open {
    steps: mpsc::Receiver<Step>,
    task: JoinSet<()>,
    resume: Option<Position>,
    started: bool,
    complete: bool,
}

#[async_trait::async_trait]
impl Reader for Open {
    async fn next(&mut self) -> Result<Option<Batch>, Error> {
        if self.complete {
            return Ok(None);
        }
        self.started = true;
        // The end is said, never inferred: a reader that dies must not look like a complete listing.
        let step = self.steps.recv().await.unwrap_or_else(|| Err(over()));
        match &step {
            Ok(Some(_)) => {}
            Ok(None) => self.complete = true,
            Err(_) => {
                self.steps.close();
                self.task.abort_all();
            }
        }
        step
    }

    fn resume(&self) -> Option<Position> {
        self.resume.clone().filter(|_| self.started)
    }
}

fn over() -> Error {
    Error::new(Kind::Protocol, "the listing ended before it was complete")
}

/// Opens a listing on a session of its own.
pub(super) async fn open(mut session: Session, found: &Found, request: &Read) -> Result<Open, Error> {
    let plan = Plan::of(found, request)?;
    let bounds = bounds(&mut session, found, request, &plan).await?;
    let listing = plan.listing(found);
    let first = session.prepare(&listing.first()).await?;
    let next = match plan.page {
        Some(_) => Some(session.prepare(&listing.next()).await?),
        None => None,
    };
    let (sender, steps) = mpsc::channel(1);
    let pump = Pump {
        session,
        first,
        next,
        page: plan.page.unwrap_or(usize::MAX),
        start: bounds.start,
        end: bounds.end,
        order: plan.order.clone(),
        decoder: Decoder::new(plan.columns.into_iter().cloned().collect(), plan.tombstone),
        positions: match &request.from {
            Some(_) => Positions::Columns { cursor: plan.cursor.unwrap_or_default(), key: plan.key },
            None => Positions::None,
        },
        batch_rows: request.batch_rows.max(1),
        batch_bytes: request.batch_bytes,
    };
    let mut task = JoinSet::new();
    let stream = request.stream.clone();
    task.spawn(async move {
        let last = pump.run(&sender).await.map(|()| None);
        let last = last.map_err(|e| e.context(format_args!("stream {stream:?}")));
        // nobody listens any more when the listing was given up
        drop(sender.send(last).await);
    });
    Ok(Open { steps, task, resume: bounds.resume, started: false, complete: false })
}

/// Where a listing starts and ends, and where a later one may start.
#[derive(Default)]
struct Bounds {
    start: Option<Raw>,
    end: Option<Raw>,
    resume: Option<Position>,
}

/// Asks for the writers, then takes the snapshot, then looks at what it holds.
async fn bounds(
    session: &mut Session,
    found: &Found,
    request: &Read,
    plan: &Plan<'_>,
) -> Result<Bounds, Error> {
    let mut bounds = Bounds::default();
    let by_time = match plan.cursor_column() {
        Some(column) if plan.by_time() => Some(bound::ask(session, column, request.lag).await?),
        _ => None,
    };
    session.run(SNAPSHOT).await?;
    let Some(column) = plan.cursor_column() else { return Ok(bounds) };
    if let Some(from) = &request.from {
        let start = bind::position(column.codec, &plan.start(from)).ok_or_else(|| unusable(column))?;
        bounds.start = Some(start);
        bounds.end = by_time.and_then(|b| bind::position(column.codec, &b.end));
        return Ok(bounds);
    }
    let resume = match by_time {
        Some(bound) => Some(bound.resume),
        None => greatest(session, found, column).await?,
    };
    bounds.resume = resume.map(|cursor| Position { cursor, key: Vec::new() });
    Ok(bounds)
}

fn unusable(column: &Column) -> Error {
    Error::new(
        Kind::Definition,
        format!("column {:?} ({}): the stored cursor is of another type", column.field.name, column.shown),
    )
    .hint("the column's type was changed: reset the cursor, which reads everything once")
}

async fn greatest(
    session: &mut Session,
    found: &Found,
    column: &Column,
) -> Result<Option<Value<'static>>, Error> {
    let rows = session.rows(&sql::greatest(&found.origin, &column.sql), Vec::new()).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(column.codec.decode(cell(row, 0)?).ok().map(Value::into_owned))
}

/// The reading side.
struct Pump {
    session: Session,
    first: Statement,
    next: Option<Statement>,
    page: usize,
    start: Option<Raw>,
    end: Option<Raw>,
    order: Vec<usize>,
    decoder: Decoder,
    positions: Positions,
    batch_rows: usize,
    batch_bytes: usize,
}

impl Pump {
    /// Reads to the end, at most one batch ahead of whoever takes them: the place for a batch is taken before its first
    /// record is read.
    async fn run(mut self, sender: &mpsc::Sender<Step>) -> Result<(), Error> {
        let mut builder = BatchBuilder::new(self.decoder.fields());
        let mut place = None;
        let mut boundary: Option<Vec<Raw>> = None;
        loop {
            let (statement, params) = self.query(boundary.take());
            let mut rows = self.session.stream(&statement, params).await?;
            let mut seen = 0;
            while let Some(row) = rows.next().await? {
                if place.is_none() {
                    let Ok(taken) = sender.reserve().await else { return Ok(()) };
                    place = Some(taken);
                }
                self.decoder.push(&row, &mut builder)?;
                seen += 1;
                if seen == self.page {
                    boundary = Some(order_of(&row, &self.order, &self.decoder)?);
                }
                if (builder.len() >= self.batch_rows || builder.bytes() >= self.batch_bytes)
                    && let Some(place) = place.take()
                {
                    place.send(Ok(Some(builder.finish(self.positions.clone()))));
                }
            }
            if boundary.is_none() {
                break;
            }
            failpoint!("connect.source.between_pages", |place| Error::failpoint(Kind::Unanswered, place));
        }
        if let Some(place) = place.filter(|_| !builder.is_empty()) {
            place.send(Ok(Some(builder.finish(self.positions))));
        }
        failpoint!("connect.source.before_end", |place| Error::failpoint(Kind::Unanswered, place));
        Ok(())
    }

    fn query(&self, boundary: Option<Vec<Raw>>) -> (Statement, Vec<Raw>) {
        let (statement, mut params) = match (boundary, &self.next) {
            (Some(boundary), Some(next)) => (next, sql::after_params(&boundary)),
            _ => (&self.first, self.start.iter().cloned().collect()),
        };
        params.extend(self.end.clone());
        (statement.clone(), params)
    }
}

/// Where the next page begins: the row's own values.
fn order_of(row: &Row, order: &[usize], decoder: &Decoder) -> Result<Vec<Raw>, Error> {
    let mut values = Vec::with_capacity(order.len());
    for index in order {
        let value = bind::of_raw(decoder.codec(*index), cell(row, *index)?);
        // A null here means that the key is not what the request said; rows after it would be left out.
        if value == Raw::NULL {
            return Err(Error::new(Kind::Definition, "a null in a key that should have none")
                .hint("the table was changed; run the check again"));
        }
        values.push(value);
    }
    Ok(values)
}
