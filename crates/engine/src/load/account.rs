//! The account of a load: what became of its records, and what is recorded about them.

use std::time::Duration;

use syncline_connect::{
    database::{self, Outcome},
    source::Failed,
};
use syncline_core::{cursor::Cursor, identity::Identity, run::Status, sync::Mode, value::Value};
use syncline_store::{Checkpoint, Held, Parked, RunEnd};

use super::{range::Bounds, reading::Reading, run::Session};
use crate::{
    Error,
    planner::label,
    progress::Event,
    retry::parked_for,
    run::{PARKED_MAX, Report},
};

impl Session<'_> {
    pub(super) fn account(&mut self, outcome: &Outcome, staged: u64, tombstones_stay: bool) {
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
    pub(super) async fn record(
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
        let parked = self.engine.store.parked(Some(&self.name), None, PARKED_MAX).await?;
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
                sync: self.name.clone(),
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
    pub(super) async fn park(&mut self, failed: Vec<Failed>, from_source: bool) -> Result<(), Error> {
        if failed.is_empty() {
            return Ok(());
        }
        let now = self.engine.clock.now();
        let ignore_case = self.table.sync.from.key.ignore_case;
        let mut parked = Vec::new();
        for Failed { key, problem } in failed {
            let identity = Identity::of(&key, ignore_case).ok();
            // retried by its key, and read once more with the others: one record is parked once
            if identity.is_some_and(|id| !self.failed_now.insert(id)) {
                self.counts.skipped += 1;
                continue;
            }
            self.counts.parked += 1;
            let known = identity.and_then(|id| self.earlier.iter().find(|p| p.identity == id));
            let attempts = known.map_or(0, |p| p.attempts) + 1;
            parked.push(Parked {
                sync: self.name.clone(),
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
            });
        }
        let checkpoint = Checkpoint { parked, counts: self.counts, at: now, ..Checkpoint::default() };
        Ok(self.engine.store.checkpoint(self.lease, self.run, checkpoint).await?)
    }

    /// Closes the account and the run.
    pub(super) async fn close(mut self, result: Result<(), Error>, took: Duration) -> Result<Report, Error> {
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
            (error, _) => {
                let reached = self.bounds.as_ref().filter(|_| error.is_none()).and_then(Bounds::reached);
                Ok(Report { run: self.run, status, counts, error, reached })
            }
        }
    }
}
