//! A store that can fail before anything is durable, or lose the acknowledgement of what is; and the checks that belong to the
//! moment of a commit.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use syncline_connect::destination::{Operation, OperationKind, Stamp};
use syncline_core::{
    cursor::{Cursor, ordinal},
    identity::Identity,
    run::Status,
    seen::Seen,
};
use syncline_store::{
    Checkpoint, Comparison, Details, Drift, Entry, Error, Held, Intent, IntentKind, Lease, LedgerChange,
    LedgerRow, NewRun, Parked, Run, RunEnd, RunId, Scratch, Store, Waiting, Write, memory::MemoryStore,
};

use crate::{
    far::Item,
    oracle::{self, Expected},
    scenario::{Definition, KeyKind},
    table::Row,
    world::{Shared, World},
};

/// The store as one process sees it.
pub struct FlakyStore {
    /// The real one.
    pub inner: Arc<MemoryStore>,
    /// The world it is in.
    pub world: Shared,
    /// Which process.
    pub process: u32,
    /// The definition the process runs.
    pub definition: Definition,
}

fn broken(what: &str) -> Error {
    Error::Database { place: "simulated".into(), message: what.into() }
}

impl FlakyStore {
    /// Before something is durable.
    async fn before(&self, what: &str) -> Result<(), Error> {
        tokio::task::yield_now().await;
        let mut world = self.world.lock();
        if world.strikes(|c| c.store) {
            world.say("store", format_args!("{what} fails"));
            return Err(broken("the disk failed"));
        }
        Ok(())
    }

    /// After something is durable.
    async fn after<T>(&self, what: &str, done: Result<T, Error>) -> Result<T, Error> {
        {
            let mut world = self.world.lock();
            match &done {
                Ok(_) => world.say("store", format_args!("{what} for node {}", self.process)),
                Err(error) => {
                    world.say("store", format_args!("{what} refused to node {}: {error}", self.process));
                }
            }
            if done.is_ok() && world.strikes(|c| c.store) {
                world.say("store", format_args!("the acknowledgement is lost"));
                return Err(broken("the connection was lost"));
            }
        }
        tokio::task::yield_now().await;
        done
    }
}

impl World {
    /// What is sent has an open intent; of one identity only one.
    pub fn check_intended(&mut self, operations: &[Operation]) {
        for operation in operations {
            let intent = self.intents.get(&operation.identity).copied();
            self.check_delete(operation, intent);
            match intent {
                Some((IntentKind::Delete, _)) | Some((IntentKind::Update, true)) => {
                    self.deleted.insert(operation.identity);
                }
                Some((IntentKind::Create, _)) => self.created += 1,
                Some((IntentKind::Update | IntentKind::Move, _)) => {}
                // Another node may have closed it meanwhile.
                None if self.two_nodes => {}
                None => {
                    let what = crate::far::told(operation);
                    self.violate("intent before sending", format!("{what} has no open intent"));
                }
            }
        }
    }

    /// A record is deleted only when it is gone from the source, and the old record of a move only when the new one is there.
    fn check_delete(&mut self, operation: &Operation, intent: Option<(IntentKind, bool)>) {
        let OperationKind::Delete { id, .. } = &operation.kind else { return };
        if self.two_nodes {
            return;
        }
        match intent {
            Some((IntentKind::Move, _)) if !self.meddled && !self.doubled => {
                let other = |(other, item): (&u64, &Item)| {
                    item.owner == Some(operation.identity) && other.to_string() != *id
                };
                if !self.far.items.iter().any(other) {
                    let what = format!("{} while it is nowhere else", crate::far::told(operation));
                    self.violate("a moved record is never in none", what);
                }
            }
            // A row that is committed late, or by a clock that was set back, looks older than the run and is not.
            Some((IntentKind::Delete, _))
                if !self.lied
                    && self.scenario.key != KeyKind::Loose
                    && self.scenario.chaos.late + self.scenario.chaos.clock == 0 =>
            {
                let scenario = Arc::clone(&self.scenario);
                let same = |row: &&Row| oracle::identity(&scenario, row) == Some(operation.identity);
                let began = self.run_began;
                let lives = |row: &Row| {
                    // What left the filter counts as gone where the sync says so.
                    !row.deleted
                        && row.updated.is_some_and(|at| at < began)
                        && !(scenario.out_of_filter && row.status == "Hidden")
                };
                if self.table.rows.values().find(same).is_some_and(lives) {
                    let what = format!("{} while its row lives", crate::far::told(operation));
                    self.violate("only what is gone is deleted", what);
                }
            }
            _ => {}
        }
    }

    /// Without stamps, an item that is adopted and holds the right values already is ours by the ledger alone.
    fn own(&mut self, row: &LedgerRow) {
        let adopts = self.scenario.adopt && self.scenario.stamp == Stamp::None;
        let item = row.record_id.parse().ok().and_then(|id: u64| self.far.items.get_mut(&id));
        if let Some(item) = item.filter(|item| adopts && item.owner.is_none()) {
            item.owner = Some(row.identity);
        }
    }

    /// What a checkpoint says was done, was done.
    fn check_done(&mut self, checkpoint: &Checkpoint) {
        if checkpoint.parked.iter().any(|parked| parked.code == "throttled") {
            self.violate("throttling is no failure", "a record was parked for it");
        }
        for change in &checkpoint.ledger {
            match change {
                LedgerChange::Put(row) => {
                    self.ledger.insert(row.identity);
                    self.own(row);
                    let version = row.version.as_deref().and_then(|v| v.parse().ok());
                    let Some((id, version)) = row.record_id.parse().ok().zip(version) else {
                        self.violate("done was observed", "a ledger row without item or version");
                        continue;
                    };
                    let held = self.far.history.get(&(id, version));
                    let agrees = held.is_some_and(|held| oracle::agrees(&row.fields, held));
                    if row.hash.is_some() && !agrees {
                        let text = format!(
                            "item {id} version {version} never held what the ledger says: {held:?} {:?}",
                            row.fields
                        );
                        self.violate("done was observed", text);
                    }
                }
                LedgerChange::Remove(identity) => {
                    self.ledger.remove(identity);
                    let stamp = identity.stamp();
                    self.say("store", format_args!("{} leaves the ledger", &stamp[..6]));
                }
            }
        }
    }
}

impl FlakyStore {
    /// No record below the stored cursor is unrecorded.
    async fn check_cursor(&self, sync: &str, cursor: &Cursor) {
        let Some(at) = cursor.position.as_ref().and_then(|p| ordinal(&p.cursor)) else { return };
        let (rows, scenario, all) = {
            let world = self.world.lock();
            // Where a key may come twice, the ledger holds the one or the other row.
            if world.lied || world.scenario.key == KeyKind::Loose {
                return;
            }
            let all: Vec<Identity> =
                world.table.rows.values().filter_map(|row| oracle::identity(&world.scenario, row)).collect();
            let below = at - world.scenario.overlap.as_micros() as i64;
            let rows: Vec<_> =
                world.table.rows.values().filter(|r| r.updated.is_some_and(|u| u < below)).cloned().collect();
            (rows, Arc::clone(&world.scenario), all)
        };
        let identities: Vec<Identity> = rows.iter().filter_map(|r| oracle::identity(&scenario, r)).collect();
        let (Ok(entries), Ok(details), Ok(parked)) = (
            self.inner.find(sync, &identities).await,
            self.inner.details(sync, &identities).await,
            self.inner.parked(Some(sync), None, usize::MAX).await,
        ) else {
            return;
        };
        let mut known = entries.into_iter().zip(details);
        for row in &rows {
            let Some(identity) = oracle::identity(&scenario, row) else { continue };
            let (entry, details) = known.next().unwrap_or_default();
            let shared = all.iter().filter(|i| **i == identity).count() > 1;
            let excused = shared
                || (scenario.tombstones && row.deleted)
                || parked.iter().any(|p| p.identity == identity);
            let Expected::Item(list, values) = oracle::expected(&self.definition, row) else { continue };
            if excused {
                continue;
            }
            let right = entry.as_ref().is_some_and(|e| {
                // Without a hash it is known to be wrong, and will be written.
                *e.stream == *format!("list-{list}")
                    && (e.hash.is_none() || details.is_some_and(|d| oracle::agrees(&d.fields, &values)))
            });
            if !right {
                let text = format!(
                    "the cursor is at {at}, {row:?} should be in list {list}, the ledger has {entry:?}"
                );
                self.world.lock().violate("cursor", text);
            }
        }
    }
}

#[async_trait]
impl Store for FlakyStore {
    async fn claim(&self, sync: &str, now: Timestamp) -> Result<Lease, Error> {
        self.before("claim").await?;
        let claimed = self.inner.claim(sync, now).await;
        self.world.lock().claims += u64::from(claimed.is_ok());
        self.after("claim", claimed).await
    }

    async fn check(&self, lease: &Lease) -> Result<(), Error> {
        self.before("check").await?;
        self.inner.check(lease).await
    }

    async fn start_run(&self, lease: &Lease, run: NewRun) -> Result<RunId, Error> {
        self.before("start_run").await?;
        self.after("start_run", self.inner.start_run(lease, run).await).await
    }

    async fn finish_run(&self, lease: &Lease, run: RunId, end: RunEnd) -> Result<(), Error> {
        self.before("finish_run").await?;
        self.after("finish_run", self.inner.finish_run(lease, run, end).await).await
    }

    async fn runs(
        &self,
        sync: Option<&str>,
        status: Option<Status>,
        limit: usize,
    ) -> Result<Vec<Run>, Error> {
        self.inner.runs(sync, status, limit).await
    }

    async fn run(&self, run: RunId) -> Result<Option<Run>, Error> {
        self.inner.run(run).await
    }

    async fn find(&self, sync: &str, identities: &[Identity]) -> Result<Vec<Option<Entry>>, Error> {
        self.before("find").await?;
        self.inner.find(sync, identities).await
    }

    async fn details(&self, sync: &str, identities: &[Identity]) -> Result<Vec<Option<Details>>, Error> {
        self.before("details").await?;
        self.inner.details(sync, identities).await
    }

    async fn writes(&self, sync: &str, identity: Identity, limit: usize) -> Result<Vec<Write>, Error> {
        self.inner.writes(sync, identity, limit).await
    }

    async fn known(&self, sync: &str) -> Result<Vec<(String, u64)>, Error> {
        self.inner.known(sync).await
    }

    async fn last_seq(&self) -> Result<u64, Error> {
        self.inner.last_seq().await
    }

    async fn unseen(
        &self,
        sync: &str,
        seen: &Seen,
        after: u64,
        limit: usize,
    ) -> Result<(Vec<(Identity, Entry)>, Option<u64>), Error> {
        self.before("unseen").await?;
        self.inner.unseen(sync, seen, after, limit).await
    }

    async fn intend(&self, lease: &Lease, run: RunId, intents: &[Intent]) -> Result<(), Error> {
        self.before("intend").await?;
        let done = self.inner.intend(lease, run, intents).await;
        if done.is_ok() {
            self.world.lock().intents.extend(intents.iter().map(|i| (i.row.identity, (i.kind, i.row.gone))));
        }
        self.after(&format!("intend {}", intents.len()), done).await
    }

    async fn open_intents(&self, sync: &str) -> Result<Vec<Intent>, Error> {
        self.before("open_intents").await?;
        self.inner.open_intents(sync).await
    }

    async fn checkpoint(&self, lease: &Lease, run: RunId, checkpoint: Checkpoint) -> Result<(), Error> {
        self.before("checkpoint").await?;
        let first = checkpoint.cursor.is_some() && self.inner.cursor(&lease.sync).await?.is_none();
        let done = self.inner.checkpoint(lease, run, checkpoint.clone()).await;
        if done.is_ok() {
            let mut world = self.world.lock();
            let now = world.now();
            world.saved.insert(self.process, now);
            world.check_done(&checkpoint);
            for identity in &checkpoint.closed {
                world.intents.remove(identity);
            }
            if first {
                world.end_contact();
            }
        }
        if let (Ok(()), Some(cursor)) = (&done, &checkpoint.cursor) {
            self.check_cursor(&lease.sync, cursor).await;
        }
        let what = format!(
            "checkpoint: {} rows, {} closed, {} parked, cursor {}",
            checkpoint.ledger.len(),
            checkpoint.closed.len(),
            checkpoint.parked.len(),
            match checkpoint.cursor.as_ref().map(|c| c.position.as_ref().and_then(|p| ordinal(&p.cursor))) {
                None => "stays".to_owned(),
                Some(at) => format!("{at:?}"),
            }
        );
        self.after(&what, done).await
    }

    async fn cursor(&self, sync: &str) -> Result<Option<Cursor>, Error> {
        self.before("cursor").await?;
        self.inner.cursor(sync).await
    }

    async fn reset(&self, lease: &Lease) -> Result<bool, Error> {
        self.before("reset").await?;
        self.after("reset", self.inner.reset(lease).await).await
    }

    async fn parked(
        &self,
        sync: Option<&str>,
        due: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<Parked>, Error> {
        self.before("parked").await?;
        self.inner.parked(sync, due, limit).await
    }

    async fn waiting(&self) -> Result<Vec<Waiting>, Error> {
        self.inner.waiting().await
    }

    async fn retry_parked(
        &self,
        lease: &Lease,
        identities: Option<&[Identity]>,
        now: Timestamp,
    ) -> Result<u64, Error> {
        self.inner.retry_parked(lease, identities, now).await
    }

    async fn drop_parked(&self, lease: &Lease, identities: Option<&[Identity]>) -> Result<u64, Error> {
        self.inner.drop_parked(lease, identities).await
    }

    async fn held(&self, sync: Option<&str>, limit: usize) -> Result<Vec<Held>, Error> {
        self.inner.held(sync, limit).await
    }

    async fn approve(&self, lease: &Lease, ceiling: u64, now: Timestamp) -> Result<(), Error> {
        self.inner.approve(lease, ceiling, now).await
    }

    async fn approval(&self, sync: &str) -> Result<Option<u64>, Error> {
        self.inner.approval(sync).await
    }

    async fn reject(&self, lease: &Lease) -> Result<u64, Error> {
        self.inner.reject(lease).await
    }

    async fn mark_drifted(
        &self,
        lease: &Lease,
        run: RunId,
        drifted: &[Drift],
        now: Timestamp,
    ) -> Result<(), Error> {
        self.before("mark_drifted").await?;
        self.after("mark_drifted", self.inner.mark_drifted(lease, run, drifted, now).await).await
    }

    async fn spent(&self, budget: &str, since: Timestamp) -> Result<Vec<(Timestamp, u64)>, Error> {
        self.inner.spent(budget, since).await
    }

    async fn scratch_clear(&self) -> Result<(), Error> {
        self.inner.scratch_clear().await
    }

    async fn scratch_put(&self, rows: &[Scratch]) -> Result<(), Error> {
        self.inner.scratch_put(rows).await
    }

    async fn scratch_remove(&self, stream: &str, record_id: &str) -> Result<(), Error> {
        self.inner.scratch_remove(stream, record_id).await
    }

    async fn scratch_remove_owned(&self, sync: &str) -> Result<(), Error> {
        self.inner.scratch_remove_owned(sync).await
    }

    async fn scratch_by_stamp(&self, identities: &[Identity]) -> Result<Vec<Vec<Scratch>>, Error> {
        self.inner.scratch_by_stamp(identities).await
    }

    async fn scratch_by_natural(&self, natural: &[[u8; 32]]) -> Result<Vec<Vec<Scratch>>, Error> {
        self.inner.scratch_by_natural(natural).await
    }

    async fn scratch_count(&self) -> Result<Vec<(String, u64)>, Error> {
        self.inner.scratch_count().await
    }

    async fn compare(&self, sync: &str, streams: &[String], limit: usize) -> Result<Comparison, Error> {
        self.inner.compare(sync, streams, limit).await
    }
}
