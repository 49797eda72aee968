//! The life of a load: lease, table, staging, one transaction, the closed account.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use syncline_connect::{
    database::{self, Absent, Claim, Commit, Gone, How, Load, Merge, Outcome, Shape},
    source::{Computed, CopyPlan, FETCH_MAX, Failed, Fetch, Output, Portion, Read, Scan},
};
use syncline_core::{
    counts::Counts,
    cursor::{Cursor, Position},
    failpoint,
    guard::{self, Verdict},
    identity::Identity,
    run::{Phase, Status},
    sync::{Detect, Mode, Write},
    value::Value,
};
use syncline_store::{Checkpoint, Held, Lease, NewRun, Parked, RunEnd, RunId};
use tokio::sync::watch;

use super::{
    bind::{From, Table},
    project::{self, Projection},
    reading::{self, Reading},
    stage::{self, Moved, Moving, Progress},
};
use crate::{
    Engine, Error,
    bind::{BATCH_BYTES, BATCH_ROWS},
    planner::label,
    progress::{Event, Observer},
    retry::parked_for,
    run::{PARKED_MAX, Report, is_due, mode_word},
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
    /// Ranges that may be read and staged at once, where the sync does not say.
    pub parallel: usize,
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
    let lease = engine.store.claim(&sync.name, engine.clock.now()).await?;
    let started = engine.clock.elapsed();
    // what is likely to be read; the claim looks again
    let state = table.database.state(&sync.name, &sync.to.stream).await;
    let cursor = match &state {
        Ok(state) => reading::cursor(state.as_ref()),
        Err(_) => None,
    };
    let reading = reading::decide(sync, options.mode, cursor.as_ref(), true);
    let new = NewRun { mode: reading.mode, reason: reading.reason.clone(), at: engine.clock.now() };
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
        lease: &lease,
        run,
        observer,
        cancel,
        counts: Counts::default(),
        notes: table.notes.clone(),
        earlier: Vec::new(),
    };
    let result = Box::pin(session.execute()).await;
    session.close(result, engine.clock.elapsed() - started).await
}

/// A load in progress.
struct Session<'a> {
    engine: &'a Engine,
    table: &'a Table,
    options: &'a Options,
    lease: &'a Lease,
    run: RunId,
    observer: &'a dyn Observer,
    cancel: watch::Receiver<bool>,
    counts: Counts,
    notes: Vec<String>,
    /// Records that were parked when the run began.
    earlier: Vec<Parked>,
}

/// What is about to be committed.
pub(super) struct Prepared {
    pub(super) shape: Shape,
    pub(super) commit: Commit,
    pub(super) projection: Projection,
    pub(super) copy: Option<CopyPlan>,
}

impl Session<'_> {
    async fn execute(&mut self) -> Result<(), Error> {
        self.phase(Phase::Fetch);
        for note in self.notes.clone() {
            self.observer.event(&Event::Note { text: note });
        }
        self.earlier = self.engine.store.parked(Some(&self.table.sync.name), None, PARKED_MAX).await?;
        self.retry_parked().await?;
        if self.options.only_parked {
            return Ok(());
        }
        let mut load = self.open().await?;
        let loaded = self.load(&mut *load).await;
        // what could not be removed is removed by the next load
        let closed = load.close().await;
        loaded?;
        if let Err(error) = closed {
            self.note(format!("the staging table is left behind: {error}; the next load removes it"));
        }
        Ok(())
    }

    async fn open(&self) -> Result<Box<dyn Load>, Error> {
        let sync = &self.table.sync;
        let claim = Claim {
            sync: sync.name.clone(),
            table: sync.to.stream.clone(),
            lock_timeout: sync.to.table.lock_timeout,
            dry: false,
        };
        self.table.database.open(&claim).await.map_err(Error::connect(format!("taking {:?}", sync.to.stream)))
    }

    /// The cursor: the destination's, or the store's where the destination remembers nothing.
    async fn cursor(&self, load: &dyn Load) -> Result<Option<Cursor>, Error> {
        if load.remembers() {
            return Ok(reading::cursor(load.state()));
        }
        Ok(self.engine.store.cursor(&self.table.sync.name).await?)
    }

    async fn load(&mut self, load: &mut dyn Load) -> Result<(), Error> {
        let sync = &self.table.sync;
        if !load.remembers() {
            self.note(
                "the destination may not remember the cursor (no right to make syncline_state): it is kept in the store, \
                 and a load that dies at its end is done again"
                    .into(),
            );
        }
        let cursor = self.cursor(load).await?;
        let mut reading = reading::decide(sync, self.options.mode, cursor.as_ref(), load.table().is_some());
        if let (Some(from), Some(lookback)) = (&reading.from, self.options.lookback) {
            let last_start = load.state().and_then(|state| state.started_at);
            reading.overlap = reading::look_back(from, reading.overlap, last_start, lookback);
        }
        let mut prepared = self.prepare(load.table(), &reading)?;
        let parallel = if reading.mode == Mode::Full { self.parallel() } else { 1 };
        let parts = self.parts(&reading, &prepared, parallel).await?;
        let writers = load.stage(&prepared.shape, parts.len()).await.map_err(Error::connect("staging"))?;
        self.phase(Phase::Write);
        let moved = self.move_rows(&mut prepared, parts, writers).await?;
        self.phase(Phase::Finish);
        self.finish(load, &reading, prepared, moved, cursor).await
    }

    fn parallel(&self) -> usize {
        self.table.sync.to.table.parallel.unwrap_or(self.options.parallel.clamp(1, 4))
    }

    async fn parts(
        &self,
        reading: &Reading,
        prepared: &Prepared,
        parallel: usize,
    ) -> Result<Vec<Box<dyn syncline_connect::source::Part>>, Error> {
        let scan = Scan {
            read: read(self.table, reading, &prepared.projection.columns),
            parts: parallel.min(self.table.database.facts().writers_max),
            copy: prepared.copy.clone(),
            once: self.table.sync.write == Write::Append,
        };
        let doing = format!("reading {:?}", scan.read.stream);
        self.table.source.scan(scan).await.map_err(Error::connect(doing))
    }

    /// Moves rows, and tells how far it is.
    async fn move_rows(
        &mut self,
        prepared: &mut Prepared,
        parts: Vec<Box<dyn syncline_connect::source::Part>>,
        writers: Vec<Box<dyn database::Writer>>,
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
        if keyed && !prepared.shape.key_is_total {
            staged -= self.exclude_doubtful(load).await?;
        }
        prepared.commit.staged = staged;
        let approved = self.engine.store.approval(&sync.name).await?;
        prepared.commit.approved = approved;
        let held = self.guard_replace(load, &mut prepared, staged).await?;
        if sync.deletes.detect == Detect::Keys && prepared.commit.absent == Absent::Unknown {
            self.stage_gone(load, &mut prepared).await?;
        }
        self.park(failed, true).await?;
        let position = position(&moved, cursor.as_ref());
        let stored = Cursor { position, fingerprint: sync.fingerprint() };
        let text = serde_json::to_string(&stored).unwrap_or_default();
        prepared.commit.cursor = load.remembers().then_some(text);
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
        let held = held.or(outcome.held);
        let removed = outcome.absent_deleted > 0 || prepared.commit.merge.how == How::Replace;
        self.record(held, (!load.remembers()).then_some(stored), approved.is_some() && removed, reading).await
    }

    /// Replacing a table removes what was not staged: when that is too much for the guard, rows are merged and nothing is
    /// removed.
    async fn guard_replace(
        &mut self,
        load: &mut dyn Load,
        prepared: &mut Prepared,
        staged: u64,
    ) -> Result<Option<database::Held>, Error> {
        if prepared.commit.merge.how != How::Replace || load.table().is_none() {
            return Ok(None);
        }
        let known = load.known().await.map_err(Error::connect("counting the table's records"))?;
        let gone = known.saturating_sub(staged);
        let deletes = &self.table.sync.deletes;
        let Verdict::Hold(reason) = guard::judge(deletes, gone, known, staged, prepared.commit.approved)
        else {
            return Ok(None);
        };
        if self.table.match_on.is_empty() {
            return Err(Error::Held { gone, reason });
        }
        self.note(
            "the table is not replaced, because too many records are gone: rows are merged instead".into(),
        );
        prepared.commit.merge.how = How::Merge;
        prepared.commit.absent = Absent::Unknown;
        Ok(Some(database::Held { count: gone, reason, keys: Vec::new() }))
    }

    async fn stage_gone(&mut self, load: &mut dyn Load, prepared: &mut Prepared) -> Result<(), Error> {
        if load.table().is_none() {
            return Ok(());
        }
        let gone = super::keys::gone(self.table, &prepared.shape).await?;
        if gone.iter().any(|batch| !batch.is_empty()) {
            load.stage_gone(gone).await.map_err(Error::connect("staging keys of records that are gone"))?;
            prepared.commit.absent = Absent::Named;
        }
        Ok(())
    }

    /// Takes out rows that cannot be told apart; returns how many.
    async fn exclude_doubtful(&mut self, load: &mut dyn Load) -> Result<u64, Error> {
        let doubtful =
            load.exclude_doubtful().await.map_err(Error::connect("looking for keys that come twice"))?;
        let mut failed = Vec::new();
        let problem =
            |code, message: &str| syncline_core::mapping::RecordProblem { code, message: message.into() };
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

    fn account(&mut self, outcome: &Outcome, staged: u64, tombstones_stay: bool) {
        let counts = &mut self.counts;
        counts.created += outcome.created;
        counts.updated += outcome.updated;
        counts.deleted += outcome.tombstones_deleted + outcome.absent_deleted;
        counts.read += outcome.absent_deleted;
        let quiet = outcome.tombstones - outcome.tombstones_deleted;
        if tombstones_stay {
            counts.skipped += quiet;
        } else {
            counts.unchanged += quiet;
        }
        counts.unchanged += staged.saturating_sub(outcome.tombstones + outcome.created + outcome.updated);
    }

    /// Records what the load did, after it committed.
    async fn record(
        &mut self,
        held: Option<database::Held>,
        cursor: Option<Cursor>,
        approval_used: bool,
        reading: &Reading,
    ) -> Result<(), Error> {
        let now = self.engine.clock.now();
        if let Some(held) = &held {
            self.counts.held += held.count;
            self.counts.read += held.count;
        }
        let rows = held.map(|held| self.held(&held, now)).unwrap_or_default();
        let parked = self.engine.store.parked(Some(&self.table.sync.name), None, PARKED_MAX).await?;
        // a complete listing has shown every record that is still there; what did not fail again is done
        let settled = |p: &&Parked| p.run != self.run && reading.mode == Mode::Full;
        let checkpoint = Checkpoint {
            unparked: parked.iter().filter(settled).map(|p| p.identity).collect(),
            held: (reading.mode == Mode::Full || !rows.is_empty()).then_some(rows),
            approval_used,
            counts: self.counts,
            cursor,
            at: now,
            ..Checkpoint::default()
        };
        Ok(self.engine.store.checkpoint(self.lease, self.run, checkpoint).await?)
    }

    /// The held records, as far as they are known one by one.
    fn held(&self, held: &database::Held, now: jiff::Timestamp) -> Vec<Held> {
        let one = |key: &Vec<String>| {
            let values: Vec<_> = key.iter().map(|text| Value::Text(text.clone().into())).collect();
            Some(Held {
                sync: self.table.sync.name.clone(),
                identity: Identity::of(&values, false).ok()?,
                label: key.join(", "),
                stream: self.table.sync.to.stream.clone(),
                record_id: key.join(", "),
                reason: held.reason.clone(),
                since: now,
                run: self.run,
            })
        };
        held.keys.iter().filter_map(one).collect()
    }

    /// Records that failed are recorded before the cursor passes them.
    async fn park(&mut self, failed: Vec<Failed>, from_source: bool) -> Result<(), Error> {
        if failed.is_empty() {
            return Ok(());
        }
        let now = self.engine.clock.now();
        self.counts.parked += failed.len() as u64;
        let ignore_case = self.table.sync.from.key.ignore_case;
        let parked = failed.into_iter().map(|Failed { key, problem }| {
            let identity = Identity::of(&key, ignore_case).ok();
            let known = identity.and_then(|id| self.earlier.iter().find(|p| p.identity == id));
            let attempts = known.map_or(0, |p| p.attempts) + 1;
            Parked {
                sync: self.table.sync.name.clone(),
                identity: identity.unwrap_or_else(|| Identity::of_keyless(problem.code, &key)),
                label: label(&key),
                key: (identity.is_some() && from_source).then_some(key),
                kind: None,
                code: problem.code.into(),
                message: problem.message,
                attempts,
                first_at: known.map_or(now, |p| p.first_at),
                last_at: now,
                retry_at: now.checked_add(parked_for(attempts)).unwrap_or(now),
                run: self.run,
            }
        });
        let parked = parked.collect();
        let checkpoint = Checkpoint { parked, counts: self.counts, at: now, ..Checkpoint::default() };
        Ok(self.engine.store.checkpoint(self.lease, self.run, checkpoint).await?)
    }

    /// Records that failed earlier are fetched by their keys and merged by a load of their own, which leaves the cursor
    /// where it is.
    async fn retry_parked(&mut self) -> Result<(), Error> {
        let now = self.engine.clock.now();
        let due: Vec<Parked> = self.earlier.iter().filter(|p| is_due(p, now)).cloned().collect();
        // a full load shows them all the same, and what is appended twice is there twice
        let full = self.table.sync.mode == Mode::Full || self.options.mode == Some(Mode::Full);
        if due.is_empty() || self.table.sync.write == Write::Append || (full && !self.options.only_parked) {
            return Ok(());
        }
        let mut load = self.open().await?;
        let retried = self.retry(&mut *load, &due).await;
        let closed = load.close().await;
        retried?;
        closed.map_err(Error::connect("ending the retry of parked records"))
    }

    async fn retry(&mut self, load: &mut dyn Load, due: &[Parked]) -> Result<(), Error> {
        if load.table().is_none() {
            return Ok(());
        }
        let reading =
            Reading { mode: Mode::Incremental, reason: None, from: None, overlap: Default::default() };
        let mut prepared = self.prepare(load.table(), &reading)?;
        prepared.shape.relayed = false;
        let mut writers = load.stage(&prepared.shape, 1).await.map_err(Error::connect("staging"))?;
        let Some(mut writer) = writers.pop() else { return Ok(()) };
        let (mut staged, mut failed) = (0, Vec::new());
        for group in due.chunks(FETCH_MAX) {
            let fetch = Fetch {
                stream: self.table.reads.clone(),
                columns: prepared.projection.columns.clone(),
                key: self.table.key.clone(),
                tombstone: read(self.table, &reading, &[]).tombstone,
                keys: group.iter().filter_map(|p| p.key.clone()).collect(),
            };
            let batch =
                self.table.source.fetch(fetch).await.map_err(Error::connect("fetching parked records"))?;
            let Portion { read, .. } = Portion::from(batch.clone());
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
        let outcome =
            load.commit(&prepared.commit).await.map_err(Error::connect("loading parked records"))?;
        self.account(&outcome, staged, prepared.commit.merge.gone == Gone::Stay);
        let unparked = due.iter().map(|p| p.identity).collect();
        let at = self.engine.clock.now();
        let checkpoint = Checkpoint { unparked, counts: self.counts, at, ..Checkpoint::default() };
        self.engine.store.checkpoint(self.lease, self.run, checkpoint).await?;
        self.park(failed, true).await
    }

    fn prepare(&mut self, found: Option<&database::Table>, reading: &Reading) -> Result<Prepared, Error> {
        let started_at = self.engine.clock.now().as_microsecond();
        let prepared = prepare(self.table, found, reading, self.options, started_at)?;
        Ok(prepared)
    }

    fn phase(&self, phase: Phase) {
        self.observer.event(&Event::Phase { phase });
    }

    fn note(&mut self, text: String) {
        self.observer.event(&Event::Note { text: text.clone() });
        self.notes.push(text);
    }

    /// Closes the account and the run.
    async fn close(mut self, result: Result<(), Error>, took: Duration) -> Result<Report, Error> {
        let counts = self.counts;
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
            by_stream: Default::default(),
            error: error.as_ref().map(|e| (e.code().to_owned(), e.chain())),
            notes: std::mem::take(&mut self.notes),
            at: self.engine.clock.now(),
        };
        let closed = self.engine.store.finish_run(self.lease, self.run, end).await;
        self.observer.event(&Event::Finished {
            sync: self.table.sync.name.clone(),
            run: self.run,
            status,
            counts,
            seconds: took.as_secs_f64(),
            error: error.as_ref().map(Error::chain),
        });
        match (error, closed) {
            (None, Err(store)) => Err(store.into()),
            (error, _) => Ok(Report { run: self.run, status, counts, error }),
        }
    }
}

/// Where the next incremental load starts: as the source says, else behind the last record, else where this one began.
fn position(moved: &Moved, before: Option<&Cursor>) -> Option<Position> {
    let told = Position::after_full(moved.resume.clone(), moved.highest.filter(|_| moved.last.is_none()));
    told.or_else(|| moved.last.clone()).or_else(|| before.and_then(|c| c.position.clone()))
}

/// What to list.
pub(super) fn read(table: &Table, reading: &Reading, columns: &[String]) -> Read {
    let from = &table.sync.from;
    let full = reading.mode == Mode::Full;
    Read {
        stream: if full { table.reads_in_full.clone() } else { table.reads.clone() },
        columns: columns.to_vec(),
        key: table.key.clone(),
        key_is_total: table.key_is_total,
        cursor: from.cursor.clone(),
        tombstone: from.tombstone.clone().filter(|_| from.tombstone_values.is_empty()),
        from: reading.from.clone(),
        overlap: reading.overlap,
        lag: from.lag,
        batch_rows: BATCH_ROWS,
        batch_bytes: BATCH_BYTES,
    }
}

/// Decides how the table is loaded: pure.
///
/// # Errors
/// [`Error::Definition`]: the table does not fit any more.
pub(super) fn prepare(
    table: &Table,
    found: Option<&database::Table>,
    reading: &Reading,
    options: &Options,
    started_at: i64,
) -> Result<Prepared, Error> {
    let sync = &table.sync;
    let decision = table.decide(found);
    if !decision.problems.is_empty() {
        let problem = |(column, message): &(String, String)| syncline_core::mapping::Problem {
            path: format!("fields.{column}"),
            message: format!("column {column:?} {message}"),
            unknown: None,
            warning: false,
        };
        let problems = decision.problems.iter().map(problem).collect();
        return Err(Error::Definition { sync: sync.name.clone(), problems });
    }
    let full = reading.mode == Mode::Full;
    let replaces = full && (sync.write == Write::Replace || options.prepurge);
    // a swap would lose what hangs on the table, and marks that others or we have set
    let marks = matches!(table.gone(found), Gone::Mark { .. }) && found.is_some();
    let swaps =
        replaces && !marks && sync.from.tombstone.is_none() && found.is_none_or(|t| t.dependents.is_empty());
    let merges = table.database.facts().merges;
    let first = full && found.is_none() && sync.from.tombstone.is_none();
    // where a swap commits by itself, one whose cursor is lost would be followed by a second append of the same rows
    let swap_is_safe = !merges || table.database.facts().dialect.transactional_ddl;
    let how = if swaps || first || !merges {
        let appends = sync.write == Write::Append && (found.is_some() || !swap_is_safe);
        if appends { How::Append } else { How::Replace }
    } else if sync.write == Write::Append {
        How::Append
    } else {
        How::Merge
    };
    let mut shape = table.shape(&decision);
    shape.takes_place = how == How::Replace;
    let mirrors = sync.write == Write::Mirror || replaces;
    // records that leave the filter are not read, so they look absent; they stay unless the sync says otherwise
    let filtered = sync.from.filter.is_some() && !sync.deletes.out_of_filter && !replaces;
    let absent = if full && how == How::Merge && !filtered && (mirrors || deletes(sync)) {
        Absent::Unstaged
    } else {
        Absent::Unknown
    };
    let gone = match table.gone(found) {
        Gone::Stay if replaces => Gone::Delete,
        gone => gone,
    };
    let names: Vec<String> = shape.columns.iter().map(|c| c.name.clone()).collect();
    let keep = |wanted: &Option<Vec<String>>, default: &dyn Fn(&String) -> bool| {
        let listed = |name: &&String| wanted.as_ref().map_or_else(|| default(name), |w| w.contains(name));
        names.iter().filter(listed).cloned().collect::<Vec<_>>()
    };
    let options_of = &sync.to.table;
    let merge = Merge {
        how,
        update: keep(&options_of.update, &|name| !table.match_on.contains(name)),
        insert: keep(&options_of.insert, &|_| true),
        update_when: options_of.update_when.clone(),
        gone,
    };
    let fields = table.destination_fields(&decision, found);
    shape.key_is_total = table.keys_stay_apart(&fields);
    let copy = copy_plan(table, &decision, &fields);
    shape.relayed = copy.is_some();
    let projection = projection(table, &decision, fields, reading);
    let commit = Commit {
        merge,
        absent,
        guard: sync.deletes.clone(),
        approved: None,
        after: options_of.after.clone(),
        reindex: options.reindex,
        cursor: None,
        started_at,
        staged: 0,
    };
    Ok(Prepared { shape, commit, projection, copy })
}

fn deletes(sync: &syncline_core::sync::Sync) -> bool {
    sync.deletes.policy != syncline_core::sync::DeletePolicy::Ignore
}

/// How tuples can be relayed: when the destination takes them, and every column that is not computed has the same type on
/// both sides.
fn copy_plan(
    table: &Table,
    decision: &database::evolve::Decision,
    fields: &[syncline_core::schema::Field],
) -> Option<CopyPlan> {
    let facts = table.database.facts();
    if !facts.copies || table.stream.dialect != Some(facts.dialect.name) {
        return None;
    }
    let mut outputs = Vec::new();
    for ((from, column), field) in decision.from.iter().zip(&decision.columns).zip(fields) {
        let loaded = &table.fields[*from];
        match &loaded.from {
            From::Column(name) => {
                let native = table.stream.field(name)?.native.as_deref()?;
                if native != column.declared || loaded.default.is_some() || loaded.required {
                    return None;
                }
                outputs.push(Output::Column(name.clone()));
            }
            From::Expression(expr) => {
                let usual = (facts.dialect.declare)(&column.kind, false);
                let plain = usual == column.declared || column.declared.starts_with("character varying");
                if !plain || loaded.required {
                    return None;
                }
                outputs.push(Output::Computed(Box::new(Computed {
                    expr: expr.clone(),
                    field: field.clone(),
                    declared: column.declared.clone(),
                    default: loaded.default.clone(),
                })));
            }
        }
    }
    let sync = &table.sync;
    let tombstone = sync.from.tombstone.clone().map(|column| (column, sync.from.tombstone_values.clone()));
    Some(CopyPlan { outputs, filter: sync.from.filter.clone(), tombstone })
}

fn projection(
    table: &Table,
    decision: &database::evolve::Decision,
    fields: Vec<syncline_core::schema::Field>,
    reading: &Reading,
) -> Projection {
    let columns = table.columns();
    let at = |name: &String| columns.iter().position(|c| c == name);
    let output = |from: &usize| {
        let loaded = &table.fields[*from];
        let from = project::Origin::of(&loaded.from, &columns)?;
        Some(project::Output { from, default: loaded.default.clone(), required: loaded.required })
    };
    let sync = &table.sync;
    let status = sync.from.tombstone.as_ref().filter(|_| !sync.from.tombstone_values.is_empty());
    let read_before = match (&sync.write, &reading.from) {
        (Write::Append, Some(Position { cursor, key })) if !key.is_empty() => {
            sync.from.cursor.as_ref().and_then(at).map(|column| (column, cursor.clone()))
        }
        _ => None,
    };
    Projection {
        fields: fields.into(),
        outputs: decision.from.iter().filter_map(output).collect(),
        filter: sync.from.filter.clone(),
        key: table.key.iter().filter_map(at).collect(),
        status: status.and_then(at).map(|at| (at, sync.from.tombstone_values.clone())),
        read_before,
        columns,
    }
}
