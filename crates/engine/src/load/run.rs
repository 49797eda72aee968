//! The life of a load: lease, table, staging, one transaction, the closed account.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use syncline_connect::{
    database::{self, Absent, Claim, Gone, How, Load, Writer},
    source::{FETCH_MAX, Failed, Fetch, Params, Part, Scan},
};
use syncline_core::{
    counts::Counts,
    cursor::{Cursor, Position},
    failpoint,
    guard::{self, Verdict},
    identity::Identity,
    mapping::{Problem, RecordProblem},
    partition::Partition,
    run::Phase,
    sync::{Mode, Write},
    value::Value,
};
use syncline_store::{About, Checkpoint, Lease, NewRun, Parked, RunId};
use tokio::sync::watch;

use super::{
    bind::Table,
    keys, params,
    prepare::{Prepared, prepare, read},
    project::Projection,
    range::{Bounds, Range},
    reading::{self, NEW_COLUMN, Reading},
    stage::{self, Moved, Moving, Progress},
    verify::Repair,
};
use crate::{
    Engine, Error,
    progress::{Event, Observer},
    reading::POSITION_LOST,
    run::{PARKED_MAX, Report, about, mode_word},
};

/// How a load is to be made.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Read more (or less) than the sync says.
    pub mode: Option<Mode>,
    /// Only retry parked records; read nothing else.
    pub only_parked: bool,
    /// An incremental load reads from the start of the last one less this, where that is below the cursor.
    pub lookback: Option<Duration>,
    /// A full load replaces the table as a whole.
    pub prepurge: bool,
    /// The table's indexes are rebuilt afterwards.
    pub reindex: bool,
    /// Only this part of the past is read again: upserts, and nothing else changes, the cursor least of all.
    pub range: Option<Range>,
    /// Only these records are loaded again and removed; nothing else is read.
    pub repair: Option<Repair>,
    /// Ranges that may be read and staged at once, where the sync does not say.
    pub parallel: usize,
    /// What the run is part of; source and destination are filled in.
    pub about: About,
    /// Which records it is about.
    pub partition: Partition,
}

/// Loads a table once. `cancel` turning true stops it; nothing of it is then in the table.
///
/// Durable: when this returns, everything the report says is in the destination and in the store; whatever stopped the
/// load, the next one goes on from the cursor that committed last.
///
/// # Errors
/// Only when no run could be opened (lease, store); otherwise the error is in the report.
pub async fn run(
    engine: &Engine,
    table: &Table,
    options: &Options,
    observer: &dyn Observer,
    cancel: watch::Receiver<bool>,
) -> Result<Report, Error> {
    let sync = &table.sync;
    params::check(sync, &options.partition)?;
    let name = options.partition.name(&sync.name);
    let lease = engine.store.claim(&name, engine.clock.now()).await?;
    let started = engine.clock.elapsed();
    // what is likely to be read; the claim looks again
    let state = table.database.state(&name, &sync.to.stream).await;
    let cursor = match &state {
        Ok(state) => reading::cursor(state.as_ref()),
        Err(_) => None,
    };
    let reading = match &options.range {
        Some(range) => reading::again(range),
        None => reading::decide(sync, options.mode, cursor.as_ref(), true),
    };
    let new = NewRun {
        mode: reading.mode,
        reason: reading.reason.clone(),
        about: about(sync, &options.about, &options.partition),
        at: engine.clock.now(),
    };
    let run = engine.store.start_run(&lease, new).await?;
    observer.event(&Event::Started {
        sync: sync.name.clone(),
        run,
        mode: mode_word(reading.mode).into(),
        reason: reading.reason.clone(),
        total: if reading.mode == Mode::Full && !options.only_parked { table.stream.records } else { None },
    });
    let mut session = Session {
        engine,
        table,
        options,
        name,
        lease: &lease,
        run,
        mode: reading.mode,
        observer,
        cancel,
        counts: Counts::default(),
        notes: table.notes.clone(),
        earlier: Vec::new(),
        failed_now: HashSet::new(),
        bounds: None,
    };
    let result = Box::pin(session.execute()).await;
    session.close(result, engine.clock.elapsed() - started).await
}

/// A load in progress.
pub(super) struct Session<'a> {
    pub(super) engine: &'a Engine,
    pub(super) table: &'a Table,
    pub(super) options: &'a Options,
    /// Under which it is remembered: that of the partition.
    pub(super) name: String,
    pub(super) lease: &'a Lease,
    pub(super) run: RunId,
    /// What was said at the beginning that would be read.
    mode: Mode,
    pub(super) observer: &'a dyn Observer,
    pub(super) cancel: watch::Receiver<bool>,
    pub(super) counts: Counts,
    pub(super) notes: Vec<String>,
    /// Records that were parked when the run began.
    pub(super) earlier: Vec<Parked>,
    /// Records that were parked by this run.
    pub(super) failed_now: HashSet<Identity>,
    /// The part of the past that is read again.
    pub(super) bounds: Option<Bounds>,
}

impl Session<'_> {
    async fn execute(&mut self) -> Result<(), Error> {
        self.phase(Phase::Fetch);
        for note in self.notes.clone() {
            self.observer.event(&Event::Note { text: note });
        }
        self.earlier = self.engine.store.parked(Some(&self.name), None, PARKED_MAX).await?;
        if let Some(repair) = &self.options.repair {
            return self.repair(repair).await;
        }
        if let Some(range) = &self.options.range {
            let bounds = Bounds::of(self.table, range).map_err(|problem| self.unfit(problem))?;
            self.bounds = Some(bounds);
        } else {
            self.retry_parked().await?;
        }
        if self.options.only_parked {
            return Ok(());
        }
        let mut load = self.open().await?;
        let mut loaded = self.load(&mut *load, None).await;
        // what could not be removed is removed by the next load
        let mut closed = load.close().await;
        if let Err(error) = &loaded
            && error.position_lost()
        {
            let mut load = self.open().await?;
            loaded = self.load(&mut *load, Some(reading::whole(POSITION_LOST))).await;
            closed = load.close().await;
        }
        loaded?;
        if let Err(error) = closed {
            self.note(format!("the staging table is left behind: {error}; the next load removes it"));
        }
        Ok(())
    }

    async fn open(&self) -> Result<Box<dyn Load>, Error> {
        let sync = &self.table.sync;
        let claim = Claim {
            sync: self.name.clone(),
            table: sync.to.stream.clone(),
            lock_timeout: sync.to.table.lock_timeout,
            replaces: sync.write == Write::Replace || self.options.prepurge,
            partition: params::scope(self.table, &self.options.partition)?,
            dry: false,
        };
        self.table.database.open(&claim).await.map_err(Error::connect(format!("taking {:?}", sync.to.stream)))
    }

    /// The cursor: the destination's, or the store's where the destination remembers nothing.
    async fn cursor(&self, load: &mut dyn Load) -> Result<Option<Cursor>, Error> {
        if load.remembers() {
            return Ok(reading::cursor(load.state()));
        }
        Ok(self.engine.store.cursor(&self.name).await?)
    }

    /// `instead`: what is read, whatever the cursor says.
    async fn load(&mut self, load: &mut dyn Load, instead: Option<Reading>) -> Result<(), Error> {
        let sync = &self.table.sync;
        if !load.remembers() {
            self.note(
                "the destination may not remember the cursor (no right to make syncline_state): it is kept in the store, \
                 and a load that dies at its end is done again"
                    .into(),
            );
        }
        let cursor = self.cursor(&mut *load).await?;
        let mut reading = match &self.options.range {
            Some(range) => self.reads_again(range, load.table())?,
            None => reading::decide(sync, self.options.mode, cursor.as_ref(), load.table().is_some()),
        };
        if let (Some(from), Some(lookback)) = (&reading.from, self.options.lookback) {
            let last_start = load.state().and_then(|state| state.started_at);
            reading.overlap = reading::look_back(from, reading.overlap, last_start, lookback);
        }
        if reading.mode == Mode::Incremental && self.table.adds_columns(load.table()) {
            reading = reading::whole(NEW_COLUMN);
        }
        if let Some(instead) = instead {
            reading = instead;
        }
        if let Some(reason) = reading.reason.clone().filter(|_| reading.mode != self.mode) {
            self.note(reason);
        }
        let mut prepared = self.prepare(load.table(), &reading)?;
        if self.bounds.is_some() {
            prepared.only_upserts(load.state());
        }
        let parallel = if reading.mode == Mode::Full { self.parallel() } else { 1 };
        let mut parts = self.parts(&reading, &prepared, parallel).await?;
        let doing = || Error::connect(format!("reading {:?}", sync.from.stream));
        // most incremental loads find nothing: then nothing is staged
        let nothing = reading.mode == Mode::Incremental
            && prepared.shape.changes.is_empty()
            && !stage::any(&mut parts).await.map_err(doing())?;
        let moved = if nothing {
            stage::nothing(&parts)
        } else {
            let writers =
                load.stage(&prepared.shape, parts.len()).await.map_err(Error::connect("staging"))?;
            self.phase(Phase::Write);
            self.move_rows(&mut prepared, parts, writers).await?
        };
        self.phase(Phase::Finish);
        self.finish(load, &reading, prepared, moved, cursor).await
    }

    /// What the source is given.
    fn params(&self) -> Params {
        params::of_source(&self.table.stream, &self.options.partition)
    }

    fn parallel(&self) -> usize {
        self.table.sync.to.table.parallel.unwrap_or(self.options.parallel.clamp(1, 4))
    }

    async fn parts(
        &self,
        reading: &Reading,
        prepared: &Prepared,
        parallel: usize,
    ) -> Result<Vec<Box<dyn Part>>, Error> {
        let scan = Scan {
            read: read(self.table, reading, &prepared.projection.columns, self.params()),
            parts: parallel.min(self.table.database.facts().writers_max),
            copy: prepared.copy.clone(),
            once: self.table.sync.write == Write::Append,
        };
        let doing = format!("reading {:?}", scan.read.stream);
        if let Some(bounds) = &self.bounds {
            let listing = self.table.source.read(scan.read).await.map_err(Error::connect(doing))?;
            return Ok(vec![bounds.part(listing, &prepared.projection.columns)]);
        }
        self.table.source.scan(scan).await.map_err(Error::connect(doing))
    }

    /// Moves rows, and tells how far it is.
    async fn move_rows(
        &mut self,
        prepared: &mut Prepared,
        parts: Vec<Box<dyn Part>>,
        writers: Vec<Box<dyn Writer>>,
    ) -> Result<Moved, Error> {
        let progress = Arc::new(Progress::default());
        let columns = &prepared.projection.columns;
        let cursor = self.table.sync.from.cursor.as_ref().and_then(|c| columns.iter().position(|n| n == c));
        let empty = Projection::empty(prepared.projection.columns.clone());
        let moving = Moving {
            projection: std::mem::replace(&mut prepared.projection, empty),
            cursor,
            progress: Arc::clone(&progress),
            cancel: self.cancel.clone(),
            stream: self.table.sync.from.stream.clone(),
        };
        let (observer, counts) = (self.observer, self.counts);
        let tick = || {
            let read = counts.read + progress.read.load(Ordering::Relaxed);
            observer.event(&Event::Progress { counts: Counts { read, ..counts } });
        };
        let moved = stage::move_rows(moving, parts, writers, tick).await?;
        self.counts.read += moved.read;
        self.counts.skipped += moved.skipped;
        self.counts.unchanged += moved.read_before;
        Ok(moved)
    }

    /// Everything after the last row was staged.
    async fn finish(
        &mut self,
        load: &mut dyn Load,
        reading: &Reading,
        mut prepared: Prepared,
        mut moved: Moved,
        cursor: Option<Cursor>,
    ) -> Result<(), Error> {
        let sync = &self.table.sync;
        let failed = std::mem::take(&mut moved.failed);
        let mut staged = moved.staged;
        let keyed = !self.table.match_on.is_empty() && sync.write != Write::Append;
        if staged > 0 && keyed && !prepared.shape.key_is_total {
            staged -= self.exclude_doubtful(load).await?;
        }
        prepared.commit.staged = staged;
        let approved = self.engine.store.approval(&self.name).await?;
        prepared.commit.approved = approved;
        if let Some(why) = moved.shortfall.take() {
            self.fall_short(load, &mut prepared, why)?;
        }
        self.guard_replace(load, &mut prepared, staged).await?;
        if prepared.commit.absent == Absent::Unknown && prepared.commit.merge.how != How::Replace {
            let (absent, note) = keys::stage_gone(self.table, load).await?;
            prepared.commit.absent = absent;
            if let Some(note) = note {
                self.note(note);
            }
        }
        self.park(failed, true).await?;
        let position = position(&moved, cursor.as_ref(), sync.write == Write::Append);
        let stored = Cursor { position, fingerprint: sync.fingerprint() };
        let text = serde_json::to_string(&stored).unwrap_or_default();
        prepared.commit.cursor = (load.remembers() && self.bounds.is_none()).then_some(text);
        failpoint!("engine.load.before_commit", Error::failpoint);
        let outcome = load
            .commit(&prepared.commit)
            .await
            .map_err(Error::connect(format!("loading {:?}", sync.to.stream)))?;
        failpoint!("engine.load.committed", Error::failpoint);
        for note in outcome.notes.clone() {
            self.note(note);
        }
        let tombstones_stay = prepared.commit.merge.gone == Gone::Stay;
        self.account(&outcome, staged, tombstones_stay);
        let removed = outcome.absent_deleted > 0 || prepared.commit.merge.how == How::Replace;
        let cursor = (!load.remembers() && self.bounds.is_none()).then_some(stored);
        self.record(outcome.held, cursor, approved.is_some() && removed, reading).await
    }

    /// The listing is not the whole of what was asked for: nothing is gone because it was not shown.
    fn fall_short(&mut self, load: &dyn Load, prepared: &mut Prepared, why: String) -> Result<(), Error> {
        if prepared.commit.merge.how == How::Replace && load.table().is_some() {
            if self.table.match_on.is_empty() || !self.table.database.facts().merges {
                return Err(Error::Held { gone: 0, reason: why });
            }
            prepared.commit.merge.how = How::Merge;
        }
        prepared.commit.absent = Absent::Unknown;
        self.note(format!("nothing is said to be gone: {why}"));
        Ok(())
    }

    /// Replacing a table removes what was not staged: when that is too much for the guard, rows are merged instead, and the
    /// merge holds what is gone, record by record.
    async fn guard_replace(
        &mut self,
        load: &mut dyn Load,
        prepared: &mut Prepared,
        staged: u64,
    ) -> Result<(), Error> {
        if prepared.commit.merge.how != How::Replace || load.table().is_none() {
            return Ok(());
        }
        let known = load.known().await.map_err(Error::connect("counting the table's records"))?;
        let gone = known.saturating_sub(staged);
        let deletes = &self.table.sync.deletes;
        let Verdict::Hold(reason) = guard::judge(deletes, gone, known, staged, prepared.commit.approved)
        else {
            return Ok(());
        };
        if self.table.match_on.is_empty() || !self.table.database.facts().merges {
            return Err(Error::Held { gone, reason });
        }
        self.note(
            "the table is not replaced, because too many records are gone: rows are merged instead".into(),
        );
        prepared.commit.merge.how = How::Merge;
        prepared.commit.absent = Absent::Unstaged;
        Ok(())
    }

    /// Takes out rows that cannot be told apart; returns how many.
    async fn exclude_doubtful(&mut self, load: &mut dyn Load) -> Result<u64, Error> {
        let doubtful =
            load.exclude_doubtful().await.map_err(Error::connect("looking for keys that come twice"))?;
        let mut failed = Vec::new();
        let problem = |code, message: &str| RecordProblem { code, message: message.into() };
        for key in &doubtful.keys {
            let key = key.iter().map(|text| Value::Text(text.clone().into())).collect();
            failed.push(Failed {
                key,
                problem: problem("duplicate_key", "several records have this key; none was loaded"),
            });
        }
        let excluded = doubtful.keyless + doubtful.doubled;
        let named = failed.len() as u64;
        self.park(failed, false).await?;
        self.counts.parked += excluded - named;
        if doubtful.keyless > 0 {
            self.note(format!("{} records have a null in their key and were not loaded", doubtful.keyless));
        }
        Ok(excluded)
    }

    /// Records that failed earlier are fetched by their keys and merged by a load of their own, which leaves the cursor
    /// where it is.
    async fn retry_parked(&mut self) -> Result<(), Error> {
        // a look-up by key costs a database nothing, so nobody has to wait as in front of an API
        let due: Vec<Parked> = self.earlier.iter().filter(|p| p.key.is_some()).cloned().collect();
        // a full load shows them all the same, and what is appended twice is there twice
        let full = self.table.sync.mode == Mode::Full || self.options.mode == Some(Mode::Full);
        if due.is_empty() || self.table.sync.write == Write::Append || (full && !self.options.only_parked) {
            return Ok(());
        }
        let mut load = self.open().await?;
        let keys: Vec<_> = due.iter().filter_map(|p| p.key.clone()).collect();
        let retried = self.merge_keys(&mut *load, &keys, &[]).await;
        let closed = load.close().await;
        let failed = retried?;
        let unparked = due.iter().map(|p| p.identity).collect();
        let at = self.engine.clock.now();
        let checkpoint = Checkpoint { unparked, counts: self.counts, at, ..Checkpoint::default() };
        self.engine.store.checkpoint(self.lease, self.run, checkpoint).await?;
        self.park(failed, true).await?;
        closed.map_err(Error::connect("ending the retry of parked records"))
    }

    /// Loads records again that drifted, and removes those that the source does not have, as the sync's policy says.
    async fn repair(&mut self, repair: &Repair) -> Result<(), Error> {
        let mut load = self.open().await?;
        let stays = self.table.gone(load.table()) == Gone::Stay;
        let remove = if stays { &[] } else { repair.remove.as_slice() };
        if remove.len() < repair.remove.len() {
            let extra = repair.remove.len();
            self.note(format!(
                "{extra} records that the source does not have stay: this sync deletes nothing"
            ));
        }
        let repaired = self.merge_keys(&mut *load, &repair.load, remove).await;
        let closed = load.close().await;
        let failed = repaired?;
        self.park(failed, true).await?;
        closed.map_err(Error::connect("ending the repair"))
    }

    /// Fetches records by their keys and merges them; removes those with the keys `remove`. The cursor stays where it is.
    /// Returns the records that cannot be loaded.
    async fn merge_keys(
        &mut self,
        load: &mut dyn Load,
        keys: &[Vec<Value<'static>>],
        remove: &[Vec<Value<'static>>],
    ) -> Result<Vec<Failed>, Error> {
        if load.table().is_none() {
            return Ok(Vec::new());
        }
        let reading =
            Reading { mode: Mode::Incremental, reason: None, from: None, overlap: Default::default() };
        let mut prepared = self.prepare(load.table(), &reading)?;
        prepared.shape.relayed = false;
        let mut writers = load.stage(&prepared.shape, 1).await.map_err(Error::connect("staging"))?;
        let Some(mut writer) = writers.pop() else { return Ok(Vec::new()) };
        let (mut staged, mut failed) = (0, Vec::new());
        for group in keys.chunks(FETCH_MAX) {
            let fetch = Fetch {
                stream: self.table.reads.clone(),
                columns: prepared.projection.columns.clone(),
                key: self.table.key.clone(),
                tombstone: read(self.table, &reading, &[], Params::new()).tombstone,
                keys: group.to_vec(),
                params: self.params(),
            };
            let doing = "fetching records by key";
            let batch = self.table.source.fetch(fetch).await.map_err(Error::connect(doing))?;
            let read = batch.len() as u64;
            self.counts.read += read;
            // the source has them no more: nothing is left to be retried
            let gone = (group.len() as u64).saturating_sub(read);
            self.counts.read += gone;
            self.counts.skipped += gone;
            let projected = prepared.projection.project(&batch).map_err(|e| Error::mismatch(&e))?;
            self.counts.skipped += projected.skipped;
            failed.extend(projected.failed);
            staged += projected.rows.len() as u64;
            writer
                .write(database::Rows::Batch(projected.rows))
                .await
                .map_err(Error::connect("staging rows"))?;
        }
        writer.finish().await.map_err(Error::connect("staging rows"))?;
        prepared.commit.staged = staged;
        if !remove.is_empty() {
            let batch = keys::batch(&prepared.shape, remove).map_err(|e| Error::mismatch(&e))?;
            let doing = "staging keys of records that are gone";
            load.stage_gone(vec![batch]).await.map_err(Error::connect(doing))?;
            prepared.commit.absent = Absent::Named;
        }
        let outcome =
            load.commit(&prepared.commit).await.map_err(Error::connect("merging records by key"))?;
        self.account(&outcome, staged, prepared.commit.merge.gone == Gone::Stay);
        if let Some(held) = outcome.held {
            self.counts.held += held.count;
            self.counts.read += held.count;
            self.note(format!("deletes are held: {}", held.reason));
        }
        Ok(failed)
    }

    fn prepare(&mut self, found: Option<&database::Table>, reading: &Reading) -> Result<Prepared, Error> {
        let started_at = self.engine.clock.now().as_microsecond();
        let prepared = prepare(self.table, found, reading, self.options, Some(self.run), started_at)?;
        Ok(prepared)
    }

    /// What a range reads, where the table can take it.
    fn reads_again(&self, range: &Range, found: Option<&database::Table>) -> Result<Reading, Error> {
        if found.is_none() || self.table.adds_columns(found) {
            let message =
                "the table is not there, or lacks a column: run the sync first, then read the past again";
            let problem =
                Problem { path: "to.table".into(), message: message.into(), unknown: None, warning: false };
            return Err(self.unfit(problem));
        }
        let from = self.bounds.as_ref().map(Bounds::start);
        Ok(Reading { from, ..reading::again(range) })
    }

    fn unfit(&self, problem: Problem) -> Error {
        Error::Definition { sync: self.table.sync.name.clone(), problems: vec![problem] }
    }

    fn phase(&self, phase: Phase) {
        self.observer.event(&Event::Phase { phase });
    }

    pub(super) fn note(&mut self, text: String) {
        self.observer.event(&Event::Note { text: text.clone() });
        self.notes.push(text);
    }
}

/// Where the next incremental load starts: as the source says, else behind the last record, else where this one began.
/// `once`: not at what was read, where that is below what the source says; it would come twice.
fn position(moved: &Moved, before: Option<&Cursor>, once: bool) -> Option<Position> {
    let highest = moved.highest.filter(|_| moved.last.is_none() && !once);
    let told = match (&moved.resume, moved.highest) {
        // a number that batches showed is read: the next one is not
        (Some(Position { cursor: Value::Int64(_), .. }), Some(highest)) if once => {
            Some(Position { cursor: Value::Int64(highest.saturating_add(1)), key: Vec::new() })
        }
        _ => Position::after_full(moved.resume.clone(), highest),
    };
    told.or_else(|| moved.last.clone()).or_else(|| before.and_then(|c| c.position.clone()))
}
