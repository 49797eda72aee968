//! Listings: one statement each, fetched on a thread that belongs to the listing.

use syncline_core::{
    batch::{Batch, Positions},
    cursor::Position,
    failpoint,
    schema::FieldType,
    sync::Overlap,
    time::DAY_MICROS,
    value::Value,
};
use tokio::{runtime::Handle, sync::mpsc, task::JoinHandle};

use super::{
    bind::Param,
    client::{Owned, Session},
    describe::{Column, Found},
    lookup,
    rows::{Fetch, Shape},
    sql::{self, Listing, Upper},
    types,
};
use crate::{
    Error,
    error::Kind,
    source::{Part, Portion, Read, Reader},
};

/// What the reading thread hands over: a batch, or that the listing is complete.
type Step = Result<Option<Batch>, Error>;

/// A listing whose statement runs: what there is to read, and how.
pub(super) struct Plan {
    cursor: Owned,
    shape: Shape,
    resume: Option<Position>,
    stream: String,
    batch_rows: usize,
    batch_bytes: usize,
}

/// An open listing.
pub(super) struct Open {
    steps: mpsc::Receiver<Step>,
    thread: Option<JoinHandle<()>>,
    resume: Option<Position>,
    started: bool,
    complete: bool,
}

impl Open {
    /// Starts to read. Dropping it ends the thread where it hands over; the driver finishes what it is fetching first.
    pub(super) fn start(mut plan: Plan) -> Self {
        let resume = plan.resume.take();
        let (sender, steps) = mpsc::channel(1);
        let runtime = Handle::current();
        let read = move || {
            let stream = plan.stream.clone();
            let last = pump(plan, &sender, &runtime).map(|()| None);
            let last = last.map_err(|e| e.context(format_args!("stream {stream:?}")));
            // nobody listens any more when the listing was given up
            drop(sender.blocking_send(last));
        };
        #[expect(clippy::disallowed_methods, reason = "awaited at the end of the listing; a drop ends it")]
        let thread = tokio::task::spawn_blocking(read);
        Self { steps, thread: Some(thread), resume, started: false, complete: false }
    }

    async fn ended(&mut self) {
        if let Some(thread) = self.thread.take() {
            // a thread that panicked has said no end, and that is what is reported
            drop(thread.await);
        }
    }
}

#[async_trait::async_trait]
impl Reader for Open {
    async fn next(&mut self) -> Result<Option<Batch>, Error> {
        if self.complete {
            return Ok(None);
        }
        self.started = true;
        // The end is said, never inferred: a reader that dies must not look like a complete listing.
        let over = || Err(Error::new(Kind::Protocol, "the listing ended before it was complete"));
        let step = self.steps.recv().await.unwrap_or_else(over);
        match &step {
            Ok(Some(_)) => {}
            Ok(None) => {
                self.complete = true;
                self.ended().await;
            }
            Err(_) => {
                self.steps.close();
                self.ended().await;
            }
        }
        step
    }

    fn resume(&self) -> Option<Position> {
        self.resume.clone().filter(|_| self.started)
    }
}

/// A listing as the one part of a scan.
pub(super) struct Whole(pub(super) Open);

#[async_trait::async_trait]
impl Part for Whole {
    async fn next(&mut self) -> Result<Option<Portion>, Error> {
        Ok(Reader::next(&mut self.0).await?.map(Portion::from))
    }

    fn resume(&self) -> Option<Position> {
        Reader::resume(&self.0)
    }
}

/// Reads to the end, at most one batch ahead of whoever takes them: the place for a batch is taken before its first record
/// is kept.
fn pump(plan: Plan, sender: &mpsc::Sender<Step>, runtime: &Handle) -> Result<(), Error> {
    let Plan { cursor, shape, batch_rows, batch_bytes, .. } = plan;
    let fetch = Fetch::new(cursor, &shape, batch_rows)?;
    let mut builder = shape.builder();
    let place = std::cell::RefCell::new(None);
    let mut given_up = false;
    fetch.each(
        &shape,
        &mut builder,
        |_| {
            let mut place = place.borrow_mut();
            if place.is_none() {
                *place = runtime.block_on(sender.reserve()).ok();
            }
            given_up = place.is_none();
            !given_up
        },
        |builder| {
            if (builder.len() >= batch_rows || builder.bytes() >= batch_bytes)
                && let Some(place) = place.borrow_mut().take()
            {
                place.send(Ok(Some(shape.finish(builder))));
            }
        },
    )?;
    if let Some(place) = place.into_inner().filter(|_| !builder.is_empty() && !given_up) {
        place.send(Ok(Some(shape.finish(&mut builder))));
    }
    failpoint!("connect.source.before_end", |place| Error::failpoint(Kind::Unanswered, place));
    Ok(())
}

/// Finds out where to start and to stop, and runs the statement. The session goes into the plan.
///
/// `once`: a full listing by a time stops where the next one starts, so that no record is in both.
pub(super) fn plan(session: Session, found: &Found, request: &Read, once: bool) -> Result<Plan, Error> {
    let columns: Vec<_> = request.columns.iter().map(|c| found.column(c)).collect::<Result<_, _>>()?;
    let at = |name: &String| position(&request.columns, name);
    let key: Vec<_> = request.key.iter().map(at).collect::<Result<_, _>>()?;
    let cursor = request.cursor.as_ref().map(at).transpose()?;
    let tombstone = request.tombstone.as_ref().map(at).transpose()?;
    let incremental = request.from.is_some();
    if incremental && cursor.is_none() {
        return Err(Error::new(Kind::Definition, "an incremental read needs a cursor column"));
    }
    let mut bounds = bounds(&session, found, request, cursor.map(|c| columns[c]))?;
    let below = match (&bounds.resume, cursor) {
        (Some(resume), Some(cursor)) if once && is_time(columns[cursor]) => {
            bounds.end =
                Some(Param::of(columns[cursor], &resume.cursor).ok_or_else(|| unusable(columns[cursor]))?);
            Some(columns[cursor])
        }
        _ => None,
    };
    let leading = cursor.filter(|_| incremental);
    let ordered = request.key_is_total || incremental;
    let order = leading.into_iter().chain(key.iter().copied().filter(|k| ordered && Some(*k) != leading));
    let listing = Listing {
        table: &found.table,
        order: order.map(|index| columns[index]).collect(),
        cursor: leading.map(|c| columns[c]),
        below,
        back: match leading.map(|c| &columns[c].field.kind) {
            Some(FieldType::Decimal { .. } | FieldType::Float64) => request.overlap.count,
            _ => 0,
        },
        upper: bounds.upper,
        columns: columns.clone(),
    };
    let params: Vec<_> = bounds.start.into_iter().chain(bounds.end).collect();
    let positions = match leading {
        Some(cursor) => Positions::Columns { cursor, key },
        None => Positions::None,
    };
    Ok(Plan {
        cursor: session.into_cursor(&listing.render(), &params)?,
        shape: Shape::new(columns.into_iter().cloned().collect(), tombstone, positions),
        resume: bounds.resume,
        stream: request.stream.clone(),
        batch_rows: request.batch_rows.max(1),
        batch_bytes: request.batch_bytes,
    })
}

fn is_time(column: &Column) -> bool {
    matches!(column.field.kind, FieldType::Date | FieldType::Timestamp { .. })
}

/// Position of `name` among the columns wanted.
///
/// # Errors
/// [`Kind::Definition`]: a key, cursor or tombstone column has to be listed too.
pub(super) fn position(columns: &[String], name: &str) -> Result<usize, Error> {
    columns.iter().position(|c| c == name).ok_or_else(|| {
        Error::new(Kind::Definition, format!("column {name:?} is needed and is not among the columns read"))
    })
}

/// Where a listing starts and ends, and where a later one may start.
struct Bounds {
    start: Option<Param>,
    end: Option<Param>,
    upper: Upper,
    resume: Option<Position>,
}

fn bounds(
    session: &Session,
    found: &Found,
    request: &Read,
    cursor: Option<&Column>,
) -> Result<Bounds, Error> {
    let mut bounds = Bounds { start: None, end: None, upper: Upper::Open, resume: None };
    let Some(column) = cursor else { return Ok(bounds) };
    let upper = match column.field.kind {
        _ if is_time(column) => Upper::Bound,
        FieldType::Decimal { .. } | FieldType::Float64 => Upper::Infinity,
        _ => Upper::Open,
    };
    let now = match upper {
        Upper::Bound => Some(now(session, column, request.lag)?),
        Upper::Infinity | Upper::Open => None,
    };
    if let Some(from) = &request.from {
        let param = |value: &Value<'static>| Param::of(column, value).ok_or_else(|| unusable(column));
        bounds.start = Some(param(&start(&from.cursor, request.overlap))?);
        // of a day that is not over, what is there is read; the next read starts at this day again
        bounds.end = match now {
            Some(Value::Date(day)) => Some(param(&Value::Date(day.saturating_add(1)))?),
            Some(end) => Some(param(&end)?),
            None => None,
        };
        bounds.upper = upper;
        return Ok(bounds);
    }
    // a full listing has no end
    let resume = match now {
        Some(now) => Some(now),
        None => {
            let first = session.dialect.facts().first;
            let greatest = sql::greatest(&found.table, column, upper, first);
            lookup::values(session, &[column], &greatest, 1)?
                .into_iter()
                .flatten()
                .next()
                .filter(|v| !v.is_null())
        }
    };
    bounds.resume = resume.map(|cursor| Position { cursor, key: Vec::new() });
    Ok(bounds)
}

fn unusable(column: &Column) -> Error {
    let message = format!(
        "column {:?} ({}): the stored cursor is of another type, or the column cannot be one",
        column.field.name,
        column.native.shown()
    );
    Error::new(Kind::Definition, message)
        .hint("if the column's type was changed, reset the cursor, which reads everything once")
}

/// The server's time less `lag`, as a value of the column: below it everything is there or was given up waiting for.
fn now(session: &Session, column: &Column, lag: std::time::Duration) -> Result<Value<'static>, Error> {
    let facts = session.dialect.facts();
    let zoned = matches!(column.field.kind, FieldType::Timestamp { zoned: true });
    let sql = if zoned { facts.now } else { facts.wall }.ok_or_else(|| {
        Error::new(Kind::Definition, "how this server is asked for its time is not known")
            .hint("set dialect for this connection, or take a cursor column of numbers")
    })?;
    let text = session.text(sql)?.unwrap_or_default();
    let (micros, _) = types::timestamp(text.trim())
        .ok_or_else(|| Error::new(Kind::Protocol, "the server's time has an unknown form"))?;
    let micros = micros.saturating_sub(i64::try_from(lag.as_micros()).unwrap_or(i64::MAX));
    Ok(match column.field.kind {
        FieldType::Date => Value::Date(i32::try_from(micros.div_euclid(DAY_MICROS)).unwrap_or(i32::MIN)),
        _ => Value::Timestamp { micros, zoned },
    })
}

/// The first cursor value to read, in exact whole numbers; infinity stays where it is. Decimals and doubles are moved by
/// the statement, which has their arithmetic.
fn start(cursor: &Value<'static>, overlap: Overlap) -> Value<'static> {
    let micros = i64::try_from(overlap.time.as_micros()).unwrap_or(i64::MAX);
    match *cursor {
        Value::Timestamp { micros: at, zoned } if !matches!(at, i64::MIN | i64::MAX) => {
            Value::Timestamp { micros: at.saturating_sub(micros), zoned }
        }
        Value::Date(day) if !matches!(day, i32::MIN | i32::MAX) => {
            // a part of a day reaches into the day before
            let days = micros.div_euclid(DAY_MICROS) + i64::from(micros.rem_euclid(DAY_MICROS) > 0);
            Value::Date(i32::try_from(i64::from(day).saturating_sub(days)).unwrap_or(i32::MIN))
        }
        Value::Int64(n) => Value::Int64(n.saturating_sub_unsigned(overlap.count)),
        ref other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_overlap_keeps_precision_and_infinity() {
        let overlap = Overlap { time: Duration::from_micros(5), count: 3 };
        let at = |micros| Value::Timestamp { micros, zoned: true };
        assert_eq!(start(&at(12), overlap), at(7));
        assert_eq!(start(&at(i64::MAX), overlap), at(i64::MAX));
        assert_eq!(start(&Value::Date(10), overlap), Value::Date(9));
        assert_eq!(start(&Value::Int64(i64::MIN + 1), overlap), Value::Int64(i64::MIN));
        assert_eq!(start(&Value::Text("b".into()), overlap), Value::Text("b".into()));
    }
}
