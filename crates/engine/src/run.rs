//! The life of a run: lease, recovery, first contact, retries, reading and writing, deletes, the closed account.

use std::{collections::BTreeSet, time::Duration};

use syncline_connect::source::FETCH_MAX;
use syncline_core::{
    counts::Counts,
    cursor::{Cursor, Position, ordinal},
    failpoint,
    identity::Identity,
    mutant,
    partition::Partition,
    run::{Phase, Status},
    seen::Seen,
    sync::{Mode, OnEdit},
    value::Value,
};
use syncline_store::{About, Held, Intent, IntentKind, Lease, LedgerChange, NewRun, Parked, RunEnd, RunId};
use tokio::sync::watch;

use crate::{
    Bound, Engine, Error,
    account::Account,
    contact, deletes,
    load::range::Reached,
    planner::{BatchPlan, Planner, Step, Work},
    progress::{Event, Observer},
    read::{self, ReadAhead},
    reading::{self, Reading},
    recover,
    units::{restore_budgets, spent},
    writer::{End, Left, Writer, conflict},
};

/// Most parked records a run loads; more are handled by later runs.
pub(crate) const PARKED_MAX: usize = 100_000;

/// How a run is to be made.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Read more (or less) than the sync says.
    pub mode: Option<Mode>,
    /// Only retry parked records; read nothing else.
    pub only_parked: bool,
    /// What the run is part of; source and destination are filled in.
    pub about: About,
}

/// How a run ended.
#[derive(Debug)]
pub struct Report {
    /// Its number.
    pub run: RunId,
    /// How it ended.
    pub status: Status,
    /// Totals.
    pub counts: Counts,
    /// What stopped it.
    pub error: Option<Error>,
    /// How far a part of the past was read again.
    pub reached: Option<Reached>,
}

/// What a run is part of, with what it reads and writes.
pub(crate) fn about(sync: &syncline_core::sync::Sync, given: &About, partition: &Partition) -> About {
    About {
        source: Some(sync.from.connection.clone()),
        table: Some(sync.to.stream.clone()),
        owner: partition.owner.clone(),
        params: partition.params.clone(),
        ..given.clone()
    }
}

/// Runs a sync once. `cancel` turning true stops it after the batch in hand.
///
/// Durable: when this returns, everything the report says is in the store; whatever stopped the run, the next one goes on.
///
/// # Errors
/// Only when no run could be opened (lease, store); otherwise the error is in the report.
pub async fn run(
    engine: &Engine,
    bound: &Bound,
    options: &Options,
    observer: &dyn Observer,
    cancel: watch::Receiver<bool>,
) -> Result<Report, Error> {
    let lease = engine.store.claim(&bound.sync.name, engine.clock.now()).await?;
    restore_budgets(engine).await?;
    let cursor = engine.store.cursor(&bound.sync.name).await?;
    let reading = reading::decide(&bound.sync, options.mode, cursor.as_ref());
    let started = engine.clock.elapsed();
    let new = NewRun {
        mode: reading.mode,
        reason: reading.reason.clone(),
        about: about(&bound.sync, &options.about, &Partition::default()),
        at: engine.clock.now(),
    };
    let run = engine.store.start_run(&lease, new).await?;
    observer.event(&Event::Started {
        sync: bound.sync.name.clone(),
        run,
        mode: mode_word(reading.mode).into(),
        reason: reading.reason.clone(),
        total: if reading.mode == Mode::Full && !options.only_parked { bound.stream.records } else { None },
    });
    let parked = engine.store.parked(Some(&bound.sync.name), None, PARKED_MAX).await?;
    let mut session = Session {
        engine,
        bound,
        lease: &lease,
        run,
        observer,
        cancel,
        account: Account::new(bound, run, &parked),
        planner: Planner::new(engine, bound),
        writer: Writer::new(engine, bound, Some(&lease)),
        read: 0,
        held: Vec::new(),
        pending: Vec::new(),
        notes: Vec::new(),
    };
    let result = session.execute(options, &reading, parked).await;
    session.close(result, engine.clock.elapsed() - started).await
}

pub(crate) fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Full => "full",
        Mode::Incremental => "incremental",
    }
}

/// A run in progress.
pub(crate) struct Session<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) bound: &'a Bound,
    lease: &'a Lease,
    pub(crate) run: RunId,
    observer: &'a dyn Observer,
    cancel: watch::Receiver<bool>,
    pub(crate) account: Account<'a>,
    pub(crate) planner: Planner<'a>,
    writer: Writer<'a>,
    /// Records read, counted apart from their outcomes.
    pub(crate) read: u64,
    /// Deletes that wait for approval because of this run.
    pub(crate) held: Vec<Held>,
    pending: Vec<Work>,
    /// What was found out on the way and is kept with the run.
    notes: Vec<String>,
}

impl Session<'_> {
    async fn execute(
        &mut self,
        options: &Options,
        reading: &Reading,
        parked: Vec<Parked>,
    ) -> Result<(), Error> {
        self.phase(Phase::Fetch);
        for note in &self.bound.notes {
            self.note(note.clone());
        }
        self.planner.parked = self.account.parked();
        self.recover().await?;
        if contact::wanted(reading, &parked, self.engine.clock.now()) {
            let (found, turn) = contact::first(self.engine, self.bound).await?;
            (self.planner.contact, self.planner.turn) = (found, Some(turn));
        } else {
            self.planner.unsure = contact::unsure(&parked);
        }
        self.planner.full = reading.mode == Mode::Full;
        self.planner.known = deletes::known(self.engine, self.bound).await?;
        self.retry_parked(parked).await?;
        if options.only_parked {
            return Ok(());
        }
        self.planner.last_seq = self.engine.store.last_seq().await?;
        if reading.mode == Mode::Full {
            self.planner.seen = Some(Seen::default());
        }
        let (reading, (listed, end)) = match self.read(reading).await {
            Err(error) if error.position_lost() && reading.mode == Mode::Incremental => {
                let whole = reading::lost();
                self.tell(reading::POSITION_LOST.to_owned());
                self.planner.full = true;
                self.planner.seen = Some(Seen::default());
                let read = self.read(&whole).await?;
                (whole, read)
            }
            read => (reading.clone(), read?),
        };
        self.phase(Phase::Finish);
        if let Some(why) = end.shortfall {
            self.tell(format!("nothing is said to be gone: {why}"));
            self.keep_held().await?;
        } else if reading.mode == Mode::Full {
            self.delete_absent(listed).await?;
            self.forget_absent_parked();
        } else {
            self.keep_held().await?;
        }
        if self.planner.contact {
            self.report_strangers().await?;
        }
        failpoint!("engine.cursor.before", Error::failpoint);
        // a token of the source moves at the end of incremental runs, too: records have no positions of their own
        let told = self.bound.stream.tells_changes && end.resume.is_some();
        let cursor = (reading.mode == Mode::Full || told)
            .then(|| Cursor { position: end.resume, fingerprint: self.bound.sync.fingerprint() });
        self.checkpoint(cursor).await
    }

    /// Resolves what an interrupted run left open.
    async fn recover(&mut self) -> Result<(), Error> {
        let resolution = recover::resolve(self.engine, self.bound, &mut self.writer).await?;
        failpoint!("engine.recover.looked", Error::failpoint);
        let moved: Vec<Work> = resolution
            .moved
            .iter()
            .map(|intent| old_record(intent.row.clone(), intent.from.clone()))
            .collect();
        let sheet = self.account.sheet();
        sheet.ledger = resolution.ledger;
        sheet.written = resolution.written;
        sheet.closed = resolution.closed;
        sheet.created = resolution.moved.iter().filter(|i| !i.created).map(|i| i.row.identity).collect();
        let found = sheet.closed.len() + resolution.moved.len();
        if found > 0 {
            self.note(format!(
                "an interrupted run left {found} operations open; each was looked up in the destination"
            ));
        }
        self.planner.quarantined =
            resolution.quarantined.into_iter().map(|(i, n)| (i.row.identity, n)).collect();
        if !self.account.is_empty() {
            self.checkpoint(None).await?;
        }
        self.remove_old(moved).await
    }

    /// Retries the parked records that are due, by fetching them by key.
    async fn retry_parked(&mut self, parked: Vec<Parked>) -> Result<(), Error> {
        let now = self.engine.clock.now();
        let due: Vec<Parked> = parked.into_iter().filter(|p| is_due(p, now)).collect();
        for group in due.chunks(FETCH_MAX) {
            self.stop_if_cancelled()?;
            let keys = group.iter().filter_map(|p| p.key.clone()).collect();
            let doing = "fetching parked records";
            let batch =
                self.bound.source.fetch(self.bound.fetch(keys)).await.map_err(Error::connect(doing))?;
            self.planner.retried.extend(group.iter().map(|p| p.identity));
            let found: BTreeSet<Identity> =
                (0..batch.len()).filter_map(|row| self.bound.mapping.identity(&batch, row).ok()).collect();
            self.read += batch.len() as u64;
            let plan = self.planner.batch(&batch).await?;
            self.work_off(plan, |_| None).await?;
            self.retry_gone(group.iter().filter(|p| !found.contains(&p.identity))).await?;
            failpoint!("engine.parked.retried", Error::failpoint);
            self.checkpoint(None).await?;
        }
        Ok(())
    }

    /// Parked records whose source record is gone: a parked delete is tried again, anything else is settled.
    async fn retry_gone(&mut self, gone: impl Iterator<Item = &Parked>) -> Result<(), Error> {
        for parked in gone {
            self.read += 1;
            match deletes::of_parked(self.engine, self.bound, parked).await? {
                Some(work) => self.write(work, None).await?,
                None => {
                    self.account.counts.skipped += 1;
                    self.account.cleared(vec![parked.identity]);
                }
            }
        }
        self.flush(None).await
    }

    /// Reads the listing to its end. Returns how many records it showed, and what it told then.
    async fn read(&mut self, reading: &Reading) -> Result<(u64, read::End), Error> {
        let doing = format!("reading {:?}", self.bound.sync.from.stream);
        let request = self.bound.read(reading.mode, reading.from.clone());
        let listing = self.bound.source.read(request).await.map_err(Error::connect(doing.clone()))?;
        let mut listing = ReadAhead::start(listing);
        let (mut listed, mut highest) = (0, None);
        let cursor_at = self
            .bound
            .sync
            .from
            .cursor
            .as_ref()
            .and_then(|c| self.bound.mapping.columns.iter().position(|m| m == c));
        self.phase(Phase::Write);
        while let Some(batch) = listing.next().await.map_err(Error::connect(doing.clone()))? {
            self.stop_if_cancelled()?;
            listed += batch.len() as u64;
            self.read += batch.len() as u64;
            let here = cursor_at
                .and_then(|c| (0..batch.len()).filter_map(|row| ordinal(&batch.value(row, c))).max());
            highest = highest.max(here);
            let plan = self.planner.batch(&batch).await?;
            let incremental = reading.mode == Mode::Incremental;
            let position = |row: usize| if incremental { batch.position(row) } else { None };
            let worked_off = self.work_off(plan, position).await;
            let cursor = position(batch.len() - 1).map(|p| self.cursor(p));
            if mutant!(CursorPastStop) && worked_off.is_err() {
                self.checkpoint(cursor.clone()).await?;
            }
            worked_off?;
            if cursor.is_some() || !self.account.is_empty() {
                self.checkpoint(cursor).await?;
            }
            self.observer.event(&Event::Progress { counts: self.account.totals() });
        }
        let end = listing.finish().await;
        let resume = Position::after_full(end.resume, highest);
        let resume = if mutant!(CursorAboveBound) { resume.map(above) } else { resume };
        Ok((listed, read::End { resume, ..end }))
    }

    fn cursor(&self, position: Position) -> Cursor {
        Cursor { position: Some(position), fingerprint: self.bound.sync.fingerprint() }
    }

    /// Carries out a batch's plan. Whenever a batch of writes is full it is written and checkpointed, with the position of
    /// its last record.
    async fn work_off(
        &mut self,
        plan: BatchPlan,
        position: impl Fn(usize) -> Option<Position>,
    ) -> Result<(), Error> {
        self.account.counts.unchanged += plan.unchanged;
        self.account.counts.skipped += plan.skipped;
        self.account.cleared(plan.cleared);
        self.account.sheet().ledger.extend(plan.found.into_iter().map(LedgerChange::Put));
        for (row, step) in plan.steps {
            match step {
                Step::Write(work) => {
                    let at = || position(row).map(|p| self.cursor(p));
                    let cursor = if self.pending.len() + 1 >= self.bound.sync.batch { at() } else { None };
                    self.write(*work, cursor).await?;
                }
                Step::Adopt(row) => self.account.adopted(*row),
                Step::Hold(gone) => self.hold(*gone),
                Step::Park(failed) => {
                    let now = self.engine.clock.now();
                    self.account.park(failed, None, now);
                    if mutant!(PoisonEndsBatch) {
                        break;
                    }
                }
            }
        }
        self.flush(None).await
    }

    /// Takes one write on; every full batch is written.
    pub(crate) async fn write(&mut self, work: Work, cursor: Option<Cursor>) -> Result<(), Error> {
        self.pending.push(work);
        if self.pending.len() >= self.bound.sync.batch {
            self.flush(cursor).await?;
            self.stop_if_cancelled()?;
        }
        Ok(())
    }

    /// Writes what is pending: intents, then the far side, then the outcomes with the cursor. What stops the run stops it
    /// after the outcomes known by then are recorded.
    pub(crate) async fn flush(&mut self, cursor: Option<Cursor>) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let works = std::mem::take(&mut self.pending);
        let works = self.without_edited_moves(works).await?;
        let intents: Vec<Intent> = works.iter().map(intent).collect();
        if !mutant!(IntentAfterSending) {
            self.engine.store.intend(self.lease, self.run, &intents).await?;
        }
        if mutant!(CursorBeforeWrite) {
            self.checkpoint(cursor.clone()).await?;
        }
        if mutant!(DeleteBeforeCreate) {
            let moves = works.iter().filter(|w| w.from.is_some());
            let old = moves.map(|w| old_record(w.row.clone(), w.from.clone().map(|(s, id, _)| (s, id))));
            self.remove_old(old.collect()).await?;
        }
        failpoint!("engine.send.before", Error::failpoint);
        let (ended, stop) = self.writer.send(works).await;
        failpoint!("engine.send.after", Error::failpoint);
        let now = self.engine.clock.now();
        let moved: Vec<Work> =
            ended.into_iter().filter_map(|(work, end)| self.account.ended(work, end, now)).collect();
        if mutant!(IntentAfterSending) {
            self.engine.store.intend(self.lease, self.run, &intents).await?;
        }
        if stop.is_some() || !moved.is_empty() {
            self.checkpoint(None).await?;
        }
        if let Some(stop) = stop {
            return Err(stop);
        }
        let old = moved.into_iter().map(|work| {
            let from = work.from.map(|(stream, id, _)| (stream, id));
            old_record(work.row, from)
        });
        self.remove_old(old.collect()).await?;
        self.checkpoint(cursor).await?;
        self.observer.event(&Event::Progress { counts: self.account.totals() });
        Ok(())
    }

    /// Under the policy `report`, a record that somebody edited is not moved: its edits would be lost with the old place.
    async fn without_edited_moves(&mut self, works: Vec<Work>) -> Result<Vec<Work>, Error> {
        if self.bound.sync.on_edit == OnEdit::Overwrite || works.iter().all(|w| w.from.is_none()) {
            return Ok(works);
        }
        let mut kept = Vec::with_capacity(works.len());
        for work in works {
            let Some((stream, id, version)) = work.from.clone() else {
                kept.push(work);
                continue;
            };
            let stream =
                self.writer.stream(&stream, None).await.map_err(Error::connect("moving a record"))?;
            let ids = [id];
            let fields = recover::fields(self.bound, &stream);
            let destination = &self.bound.destination;
            let found = recover::patiently(self.engine, || destination.get(&stream, &fields, &ids)).await?;
            match found.into_iter().flatten().next() {
                Some(record)
                    if version.is_some()
                        && record.version != version
                        && !self.writer.untouched(&work, &stream.id, &record) =>
                {
                    let now = self.engine.clock.now();
                    let message = "edited in the destination since the last run; it was to be moved";
                    self.account.ended(work, conflict(message, Left::Nothing), now);
                }
                _ => kept.push(work),
            }
        }
        Ok(kept)
    }

    /// The last part of a move. An old record that cannot be removed now keeps its intent open, and the next run tries again.
    async fn remove_old(&mut self, old: Vec<Work>) -> Result<(), Error> {
        if mutant!(OldRecordLeft) {
            self.account.sheet().closed.extend(old.iter().map(|work| work.row.identity));
            return self.checkpoint(None).await;
        }
        if old.is_empty() {
            return Ok(());
        }
        failpoint!("engine.move.created", Error::failpoint);
        let (ended, stop) = self.writer.send(old).await;
        let mut left = 0;
        for (work, end) in ended {
            match end {
                End::Removed => self.account.sheet().closed.push(work.row.identity),
                _ => left += 1,
            }
        }
        if left > 0 {
            self.note(format!(
                "{left} moved records could not be removed from their old list yet; the next run goes on"
            ));
        }
        self.checkpoint(None).await?;
        stop.map_or(Ok(()), Err)
    }

    /// A complete listing did not show these parked records: they are gone, and nothing is left to be retried.
    fn forget_absent_parked(&mut self) {
        let absent = std::mem::take(&mut self.account.unmet);
        self.account.cleared(absent.into_iter().collect());
    }

    async fn report_strangers(&mut self) -> Result<(), Error> {
        let left: u64 = self.engine.store.scratch_count().await?.iter().map(|(_, n)| n).sum();
        if left > 0 {
            self.note(format!(
                "{left} records in the destination belong to no source record; they are left alone"
            ));
        }
        self.engine.store.scratch_clear().await?;
        Ok(())
    }

    async fn checkpoint(&mut self, cursor: Option<Cursor>) -> Result<(), Error> {
        let mut checkpoint = self.account.take(self.engine.clock.now());
        checkpoint.cursor = cursor;
        checkpoint.spent = spent(self.engine);
        Ok(self.engine.store.checkpoint(self.lease, self.run, checkpoint).await?)
    }

    fn stop_if_cancelled(&self) -> Result<(), Error> {
        if *self.cancel.borrow() { Err(Error::Cancelled) } else { Ok(()) }
    }

    fn phase(&self, phase: Phase) {
        self.observer.event(&Event::Phase { phase });
    }

    /// A note that is kept with the run.
    fn tell(&mut self, text: String) {
        self.note(text.clone());
        self.notes.push(text);
    }

    pub(crate) fn note(&self, text: String) {
        self.observer.event(&Event::Note { text });
    }

    /// Closes the account and the run.
    async fn close(mut self, result: Result<(), Error>, took: Duration) -> Result<Report, Error> {
        let mut counts = self.account.counts;
        counts.read = self.read;
        let result = result.and_then(|()| {
            let (read, accounted) = (counts.read, counts.accounted());
            if counts.closed() { Ok(()) } else { Err(Error::Unbalanced { read, accounted }) }
        });
        let status = match &result {
            Ok(()) if counts.parked + counts.held + counts.conflicted == 0 => Status::Succeeded,
            Ok(()) => Status::Partial,
            Err(Error::Cancelled) => Status::Cancelled,
            Err(_) => Status::Failed,
        };
        let error = result.err();
        let end = RunEnd {
            status,
            counts,
            by_stream: std::mem::take(&mut self.account.by_stream),
            error: error.as_ref().map(|e| (e.code().to_owned(), e.chain())),
            notes: self.bound.notes.iter().cloned().chain(std::mem::take(&mut self.notes)).collect(),
            at: self.engine.clock.now(),
        };
        self.writer.settle().await;
        let closed = self.engine.store.finish_run(self.lease, self.run, end).await;
        self.observer.event(&Event::Finished {
            sync: self.bound.sync.name.clone(),
            run: self.run,
            status,
            counts,
            seconds: took.as_secs_f64(),
            error: error.as_ref().map(Error::chain),
        });
        // What stopped the run says more than that it could not be closed for the same reason.
        match (error, closed) {
            (None, Err(store)) => Err(store.into()),
            (error, _) => Ok(Report { run: self.run, status, counts, error, reached: None }),
        }
    }
}

fn intent(work: &Work) -> Intent {
    Intent {
        kind: work.kind,
        row: work.row.clone(),
        from: work.from.as_ref().map(|(stream, id, _)| (stream.clone(), id.clone())),
        created: false,
    }
}

/// The removal of the old record of a move.
fn old_record(row: syncline_store::LedgerRow, from: Option<(String, String)>) -> Work {
    let (stream, record_id) = from.unwrap_or_default();
    Work {
        kind: IntentKind::Delete,
        outcome: crate::planner::Outcome::Deleted,
        row: syncline_store::LedgerRow { stream, record_id, version: None, ..row },
        stream: None,
        from: None,
        values: Vec::new(),
        changed: Vec::new(),
        old: Default::default(),
        written: Default::default(),
        stamp: false,
        note: None,
    }
}

/// A minute above a position: for the harness.
fn above(position: Position) -> Position {
    let cursor = match position.cursor {
        Value::Timestamp { micros, zoned } => Value::Timestamp { micros: micros + 60_000_000, zoned },
        other => other,
    };
    Position { cursor, ..position }
}

/// Whether a parked record is to be retried now. One without a usable key can only come back by itself.
pub(crate) fn is_due(parked: &Parked, now: jiff::Timestamp) -> bool {
    parked.retry_at <= now && parked.key.is_some() && !mutant!(ParkedForgotten)
}
