//! Listings: pages by key where the key is total, one statement where it is not, on a thread of their own.

use async_trait::async_trait;
use rusqlite::{Connection, InterruptHandle, Row, params_from_iter, types::Value as Stored};
use syncline_core::{
    batch::{Batch, BatchBuilder},
    cursor::Position,
    failpoint,
};
use tokio::{runtime::Handle, sync::mpsc, task::JoinHandle};

use super::{
    error,
    plan::{Plan, Side},
    sql::Listing,
};
use crate::{Error, error::Kind, source::Reader};

/// What the reading thread hands over: a batch, or that the listing is complete.
type Step = Result<Option<Batch>, Error>;
/// The place of a batch on its way to the reader.
type Place<'a> = mpsc::Permit<'a, Step>;

/// An open listing.
pub(super) struct Open {
    steps: mpsc::Receiver<Step>,
    thread: Option<JoinHandle<()>>,
    interrupt: InterruptHandle,
    resume: Option<Position>,
    started: bool,
    complete: bool,
}

impl Open {
    /// Starts to read.
    pub(super) fn start(connection: Connection, mut plan: Plan, stream: String) -> Self {
        let interrupt = connection.get_interrupt_handle();
        let resume = plan.resume.take();
        let (sender, steps) = mpsc::channel(1);
        let runtime = Handle::current();
        let read = move || {
            let pump = Pump { connection, plan, sender: &sender, runtime: &runtime };
            let last = pump.run().map(|()| None).map_err(|e| e.context(format_args!("stream {stream:?}")));
            // nobody listens any more when the listing was given up
            drop(sender.blocking_send(last));
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "awaited at the end of the listing; a drop interrupts it"
        )]
        let thread = tokio::task::spawn_blocking(read);
        Self { steps, thread: Some(thread), interrupt, resume, started: false, complete: false }
    }

    async fn ended(&mut self) {
        if let Some(thread) = self.thread.take() {
            // a thread that panicked has said no end, and that is what is reported
            drop(thread.await);
        }
    }
}

impl Drop for Open {
    /// Closing the queue ends the thread where it waits to hand over, the interrupt where it reads.
    fn drop(&mut self) {
        self.steps.close();
        if self.thread.is_some() {
            self.interrupt.interrupt();
        }
    }
}

#[async_trait]
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

fn over() -> Error {
    Error::new(Kind::Protocol, "the listing ended before it was complete")
}

/// The reading side.
struct Pump<'a> {
    connection: Connection,
    plan: Plan,
    sender: &'a mpsc::Sender<Step>,
    runtime: &'a Handle,
}

/// How a statement ended.
enum End {
    /// Of a full page: the terms of its last row.
    Page(Vec<Stored>),
    /// There is no more, or nobody wants it.
    Listing,
}

impl<'a> Pump<'a> {
    fn run(&self) -> Result<(), Error> {
        let plan = &self.plan;
        let listing = Listing {
            table: &plan.table,
            columns: &plan.columns,
            order: &plan.order,
            always: plan.always.clone(),
            page: plan.page,
        };
        let mut builder = plan.shape.builder();
        let mut place = None;
        let mut sql = listing.first(plan.start.is_some());
        let mut bound: Vec<Stored> = plan.start.iter().cloned().collect();
        while let End::Page(last) = self.statement(&sql, &bound, &mut builder, &mut place)? {
            failpoint!("connect.source.between_pages", |place| Error::failpoint(Kind::Unanswered, place));
            (sql, bound) = (listing.next(), last);
        }
        if let Some(place) = place.filter(|_| !builder.is_empty()) {
            place.send(Ok(Some(plan.shape.finish(&mut builder))));
        }
        failpoint!("connect.source.before_end", |place| Error::failpoint(Kind::Unanswered, place));
        Ok(())
    }

    /// Reads one statement. A place for a batch is taken before its first record is read: at most one batch ahead.
    fn statement(
        &self,
        sql: &str,
        bound: &[Stored],
        builder: &mut BatchBuilder,
        place: &mut Option<Place<'a>>,
    ) -> Result<End, Error> {
        let plan = &self.plan;
        let mut statement = self.connection.prepare(sql).map_err(|e| error::of(&e))?;
        let mut rows = statement.query(params_from_iter(bound)).map_err(|e| error::of(&e))?;
        let mut seen = 0;
        while let Some(row) = rows.next().map_err(|e| error::of(&e))? {
            seen += 1;
            let last = if Some(seen) == plan.page { Some(self.terms(row)?) } else { None };
            match self.where_in_window(row)? {
                Side::Before => {}
                Side::After => return Ok(End::Listing),
                Side::Inside => {
                    if place.is_none() {
                        let Ok(taken) = self.runtime.block_on(self.sender.reserve()) else {
                            return Ok(End::Listing);
                        };
                        *place = Some(taken);
                    }
                    plan.shape.push(builder, row)?;
                }
            }
            if (builder.len() >= plan.batch_rows || builder.bytes() >= plan.batch_bytes)
                && let Some(place) = place.take()
            {
                place.send(Ok(Some(plan.shape.finish(builder))));
            }
            if let Some(last) = last {
                return Ok(End::Page(last));
            }
        }
        Ok(End::Listing)
    }

    /// The cells the listing is ordered by, as they are stored or computed: bound again, they cannot have changed.
    fn terms(&self, row: &Row<'_>) -> Result<Vec<Stored>, Error> {
        let first = self.plan.columns.len();
        let cells = (first..first + self.plan.order.len()).map(|i| row.get(i));
        cells.collect::<Result<_, _>>().map_err(|e| error::of(&e))
    }

    fn where_in_window(&self, row: &Row<'_>) -> Result<Side, Error> {
        let Some(window) = &self.plan.window else { return Ok(Side::Inside) };
        let cell = row.get_ref(window.column).map_err(|e| error::of(&e))?;
        Ok(window.side(cell))
    }
}
