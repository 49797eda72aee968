//! Listings: pages by keyset where the key is total, else one statement that streams.

use futures::TryStreamExt;
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions},
    cursor::Position,
    failpoint,
    schema::FieldType,
    sync::Overlap,
    time::DAY_MICROS,
    value::Value,
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_postgres::{Row, Statement};

use super::{
    bind::{Param, Raw},
    bound,
    client::Session,
    describe::{Column, Found},
    error,
    rows::{Decoder, is_time, position},
    sql::{self, Listing, Upper},
};
use crate::{
    Error,
    error::Kind,
    source::{Read, Reader},
};

/// Batches of a page. At its end the server waits for our next statement and we for its answer: fewer ends, fewer waits.
/// Rows stream, so a longer page takes no memory.
const PAGE_BATCHES: usize = 4;

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
pub(super) async fn open(session: Session, found: &Found, request: &Read) -> Result<Open, Error> {
    let plan = Plan::of(found, request)?;
    let bounds = bounds(&session, found, request, &plan).await?;
    let listing = plan.listing(found, bounds.upper);
    let page = listing.page;
    let first = session.prepare(&listing.first()).await?;
    let next = match page {
        Some(_) => Some(session.prepare(&listing.next()).await?),
        None => None,
    };
    let (sender, steps) = mpsc::channel(1);
    let pump = Pump {
        session,
        first,
        next,
        page: page.unwrap_or(usize::MAX),
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

/// A request resolved against the table.
struct Plan<'a> {
    columns: Vec<&'a Column>,
    /// Indexes into `columns`.
    key: Vec<usize>,
    cursor: Option<usize>,
    tombstone: Option<usize>,
    incremental: bool,
    /// Rows of a page, where the listing has pages.
    page: Option<usize>,
    ordered: bool,
    /// The columns the listing is ordered by.
    order: Vec<usize>,
    overlap: u64,
}

impl<'a> Plan<'a> {
    fn of(found: &'a Found, request: &Read) -> Result<Self, Error> {
        let columns: Vec<_> = request.columns.iter().map(|c| found.column(c)).collect::<Result<_, _>>()?;
        let at = |name: &String| position(&request.columns, name);
        let key: Vec<_> = request.key.iter().map(at).collect::<Result<_, _>>()?;
        let cursor = request.cursor.as_ref().map(at).transpose()?;
        let tombstone = request.tombstone.as_ref().map(at).transpose()?;
        let incremental = request.from.is_some();
        if incremental && cursor.is_none() {
            return Err(Error::new(Kind::Definition, "an incremental read needs a cursor column"));
        }
        if let Some(column) = cursor.map(|c| columns[c]).filter(|c| !c.sortable) {
            let (name, shown) = (&column.field.name, &column.shown);
            return Err(Error::new(
                Kind::Definition,
                format!("column {name:?} ({shown}) cannot be a cursor"),
            )
            .hint("choose a column whose values grow with every change: a timestamp or a version number"));
        }
        let sortable = !key.is_empty() && key.iter().all(|k| columns[*k].sortable);
        // Without an index on the cursor every page would sort the table again; one statement sorts it once.
        let indexed = !incremental || cursor.is_some_and(|c| columns[c].field.limits.indexed);
        let page = (request.key_is_total && sortable && indexed)
            .then_some(request.batch_rows.max(1).saturating_mul(PAGE_BATCHES));
        let ordered = sortable && (page.is_some() || request.key_is_total || incremental);
        let leading = cursor.filter(|_| incremental);
        let order = leading.into_iter().chain(key.iter().copied().filter(|_| ordered)).collect();
        let overlap = request.overlap.count;
        Ok(Self { columns, key, cursor, tombstone, incremental, page, ordered, order, overlap })
    }

    fn listing(&self, found: &'a Found, upper: Upper) -> Listing<'a> {
        let cursor = self.cursor.filter(|_| self.incremental).map(|c| self.columns[c]);
        Listing {
            table: &found.table,
            columns: self.columns.iter().map(|c| &c.sql).collect(),
            key: self.key.iter().map(|k| &self.columns[*k].sql).collect(),
            cursor: cursor.map(|c| &c.sql),
            back: match cursor.map(|c| &c.field.kind) {
                Some(FieldType::Decimal { .. } | FieldType::Float64) => self.overlap,
                _ => 0,
            },
            upper,
            page: self.page,
            ordered: self.ordered,
        }
    }
}

/// Where a listing starts and ends, and where a later one may start.
struct Bounds {
    start: Option<Param>,
    end: Option<Param>,
    upper: Upper,
    resume: Option<Position>,
}

async fn bounds(session: &Session, found: &Found, request: &Read, plan: &Plan<'_>) -> Result<Bounds, Error> {
    let mut bounds = Bounds { start: None, end: None, upper: Upper::Open, resume: None };
    let Some(column) = plan.cursor.map(|c| plan.columns[c]) else {
        return Ok(bounds);
    };
    bounds.upper = match column.field.kind {
        ref kind if is_time(kind) => Upper::Bound,
        FieldType::Decimal { .. } | FieldType::Float64 => Upper::Infinity,
        _ => Upper::Open,
    };
    let by_time = match bounds.upper {
        Upper::Bound => Some(bound::ask(session, column, request.lag).await?),
        Upper::Infinity | Upper::Open => None,
    };
    if let Some(from) = &request.from {
        let start = start(&from.cursor, request.overlap);
        bounds.start = Some(Param::of(&column.codec, &start).ok_or_else(|| unusable(column))?);
        bounds.end = by_time.as_ref().and_then(|b| Param::of(&column.codec, &b.end));
        return Ok(bounds);
    }
    let resume = match by_time {
        Some(bound) => Some(bound.resume),
        None => greatest(session, found, column, bounds.upper).await?,
    };
    bounds.resume = resume.map(|cursor| Position { cursor, key: Vec::new() });
    // a full listing has no end
    bounds.upper = Upper::Open;
    Ok(bounds)
}

pub(super) fn unusable(column: &Column) -> Error {
    Error::new(
        Kind::Definition,
        format!("column {:?} ({}): the stored cursor is of another type", column.field.name, column.shown),
    )
    .hint("the column's type was changed: reset the cursor, which reads everything once")
}

/// The greatest value of a cursor column that a listing can start from.
pub(super) async fn greatest(
    session: &Session,
    found: &Found,
    column: &Column,
    upper: Upper,
) -> Result<Option<Value<'static>>, Error> {
    let rows = session.rows(&sql::greatest(&found.table, &column.sql, upper), &[]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let raw: Raw<'_> = row.try_get(0).map_err(|e| error::of(&e))?;
    let mut scratch = String::new();
    Ok(raw.0.and_then(|raw| column.codec.decode(raw, &mut scratch).ok().map(Value::into_owned)))
}

/// The first cursor value to read, in exact whole numbers; infinity stays where it is. Decimals and doubles are moved by
/// the statement, which has their arithmetic.
pub(super) fn start(cursor: &Value<'static>, overlap: Overlap) -> Value<'static> {
    let micros = i64::try_from(overlap.time.as_micros()).unwrap_or(i64::MAX);
    match *cursor {
        Value::Timestamp { micros: at @ (i64::MIN | i64::MAX), zoned } => {
            Value::Timestamp { micros: at, zoned }
        }
        Value::Timestamp { micros: at, zoned } => {
            Value::Timestamp { micros: at.saturating_sub(micros), zoned }
        }
        Value::Date(day @ (i32::MIN | i32::MAX)) => Value::Date(day),
        Value::Date(day) => {
            // a part of a day reaches into the day before
            let days = micros.div_euclid(DAY_MICROS) + i64::from(micros.rem_euclid(DAY_MICROS) > 0);
            Value::Date(i32::try_from(i64::from(day).saturating_sub(days)).unwrap_or(i32::MIN))
        }
        Value::Int64(n) => Value::Int64(n.saturating_sub_unsigned(overlap.count)),
        ref other => other.clone(),
    }
}

/// The reading side.
struct Pump {
    session: Session,
    first: Statement,
    next: Option<Statement>,
    page: usize,
    start: Option<Param>,
    end: Option<Param>,
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
        let mut boundary: Option<Vec<Param>> = None;
        loop {
            let mut rows = Box::pin(self.query(boundary.take()).await?);
            let mut seen = 0;
            while let Some(row) = rows.try_next().await.map_err(|e| error::of(&e))? {
                if place.is_none() {
                    let Ok(taken) = sender.reserve().await else { return Ok(()) };
                    place = Some(taken);
                }
                self.decoder.push(&row, &mut builder)?;
                seen += 1;
                if seen == self.page {
                    boundary = Some(self.order_of(&row)?);
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

    async fn query(&self, boundary: Option<Vec<Param>>) -> Result<tokio_postgres::RowStream, Error> {
        let (statement, mut params) = match (boundary, &self.next) {
            (Some(boundary), Some(next)) => (next, boundary),
            _ => (&self.first, self.start.iter().cloned().collect()),
        };
        params.extend(self.end.clone());
        self.session.stream(statement, &params).await
    }

    /// Where the next page begins: the row's own bytes.
    fn order_of(&self, row: &Row) -> Result<Vec<Param>, Error> {
        let mut params = Vec::with_capacity(self.order.len());
        for index in &self.order {
            let raw: Raw<'_> = row.try_get(*index).map_err(|e| error::of(&e))?;
            // A null here means that the key is not what the request said; rows after it would be left out.
            let raw = raw.0.ok_or_else(|| {
                Error::new(Kind::Definition, "a null in a key that should have none")
                    .hint("the table was changed; run the check again")
            })?;
            params.push(Param::of_raw(self.decoder.codec(*index), raw));
        }
        Ok(params)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn place(value: &Value<'_>) -> i64 {
        match value {
            Value::Timestamp { micros, .. } => *micros,
            Value::Date(day) => i64::from(*day),
            Value::Int64(n) => *n,
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        /// Whatever is configured: never above the stored position, of its type, and infinity stays.
        #[test]
        fn an_overlap_never_moves_up(number in any::<i64>(), end in 0..3_u8, kind in 0..3_u8, micros in any::<u64>(), count in any::<u64>()) {
            let number = [number, i64::MIN, i64::MAX][usize::from(end)];
            let day = [number as i32, i32::MIN, i32::MAX][usize::from(end)];
            let at = [Value::Timestamp { micros: number, zoned: false }, Value::Date(day), Value::Int64(number)][usize::from(kind)].clone();
            let found = start(&at, Overlap { time: Duration::from_micros(micros), count });
            prop_assert_eq!(found.type_name(), at.type_name());
            prop_assert!(place(&found) <= place(&at), "{:?} from {:?}", found, at);
            if end > 0 && kind < 2 {
                prop_assert_eq!(found, at);
            }
        }
    }

    #[test]
    fn the_overlap_keeps_precision_and_infinity() {
        let overlap = Overlap { time: Duration::from_micros(5), count: 3 };
        let at = |micros| Value::Timestamp { micros, zoned: true };
        assert_eq!(start(&at(12), overlap), at(7));
        assert_eq!(start(&at(i64::MAX), overlap), at(i64::MAX));
        assert_eq!(start(&at(i64::MIN), overlap), at(i64::MIN));
        assert_eq!(start(&Value::Date(10), overlap), Value::Date(9));
        assert_eq!(start(&Value::Date(i32::MAX), overlap), Value::Date(i32::MAX));
        assert_eq!(start(&Value::Int64(i64::MIN + 1), overlap), Value::Int64(i64::MIN));
        assert_eq!(start(&Value::Text("b".into()), overlap), Value::Text("b".into()));
        let day = Overlap { time: Duration::from_secs(86_400), count: 0 };
        assert_eq!(start(&Value::Date(10), day), Value::Date(9));
        let none = Overlap { time: Duration::ZERO, count: 0 };
        assert_eq!(start(&Value::Date(10), none), Value::Date(10));
    }
}
