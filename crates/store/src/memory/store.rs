//! The trait, in terms of the state. Every method ends without waiting for anything.

use async_trait::async_trait;
use jiff::Timestamp;
use syncline_core::{cursor::Cursor, identity::Identity, run::Status, seen::Seen};

use super::{MemoryStore, compare, ledger::Ledger, listing::Listing, state};
use crate::{
    Checkpoint, Comparison, Details, Drift, Entry, Error, Held, Intent, Lease, NewRun, Parked, Run, RunEnd,
    RunId, Scratch, Store, Waiting, Write,
};

#[async_trait]
impl Store for MemoryStore {
    async fn claim(&self, sync: &str, now: Timestamp) -> Result<Lease, Error> {
        self.claim_for_us(sync, now)
    }

    async fn check(&self, lease: &Lease) -> Result<(), Error> {
        self.write(|state| state::newest(&mut state.syncs, lease).map(drop))
    }

    async fn start_run(&self, lease: &Lease, run: NewRun) -> Result<RunId, Error> {
        self.write(|state| state.start_run(lease, run))
    }

    async fn finish_run(&self, lease: &Lease, run: RunId, end: RunEnd) -> Result<(), Error> {
        self.write(|state| state.finish_run(lease, run, end))
    }

    async fn runs(
        &self,
        sync: Option<&str>,
        status: Option<Status>,
        limit: usize,
    ) -> Result<Vec<Run>, Error> {
        Ok(self.read(|state| state.runs(sync, status, limit)))
    }

    async fn run(&self, run: RunId) -> Result<Option<Run>, Error> {
        Ok(self.read(|state| state.runs.get(&run).cloned()))
    }

    async fn find(&self, sync: &str, identities: &[Identity]) -> Result<Vec<Option<Entry>>, Error> {
        Ok(self.read(|state| {
            let ledger = state.syncs.get(sync).map(|sync| &sync.ledger);
            let find = |identity| Some(ledger?.get(identity)?.entry.clone());
            identities.iter().map(find).collect()
        }))
    }

    async fn details(&self, sync: &str, identities: &[Identity]) -> Result<Vec<Option<Details>>, Error> {
        Ok(self.read(|state| {
            let ledger = state.syncs.get(sync).map(|sync| &sync.ledger);
            let details = |identity| Some(ledger?.get(identity)?.details.as_ref().clone());
            identities.iter().map(details).collect()
        }))
    }

    async fn writes(&self, sync: &str, identity: Identity, limit: usize) -> Result<Vec<Write>, Error> {
        Ok(self.read(|state| state.writes(sync, identity, limit)))
    }

    async fn known(&self, sync: &str) -> Result<Vec<(String, u64)>, Error> {
        Ok(self.read(|state| state.syncs.get(sync).map(|sync| sync.ledger.known()).unwrap_or_default()))
    }

    async fn unseen(
        &self,
        sync: &str,
        seen: &Seen,
        after: u64,
        limit: usize,
    ) -> Result<(Vec<(Identity, Entry)>, Option<u64>), Error> {
        Ok(self.read(|state| match state.syncs.get(sync) {
            Some(sync) => sync.ledger.unseen(seen, after, limit),
            None => (Vec::new(), None),
        }))
    }

    async fn last_seq(&self) -> Result<u64, Error> {
        Ok(self.read(|state| state.last_seq))
    }

    async fn intend(&self, lease: &Lease, run: RunId, intents: &[Intent]) -> Result<(), Error> {
        self.write(|state| state.intend(lease, run, intents))
    }

    async fn open_intents(&self, sync: &str) -> Result<Vec<Intent>, Error> {
        Ok(self.read(|state| state.open_intents(sync)))
    }

    async fn checkpoint(&self, lease: &Lease, run: RunId, checkpoint: Checkpoint) -> Result<(), Error> {
        self.write(|state| state.checkpoint(lease, run, checkpoint))
    }

    async fn cursor(&self, sync: &str) -> Result<Option<Cursor>, Error> {
        Ok(self.read(|state| state.syncs.get(sync)?.cursor.clone()))
    }

    async fn reset(&self, lease: &Lease) -> Result<bool, Error> {
        self.write(|state| state.reset(lease))
    }

    async fn parked(
        &self,
        sync: Option<&str>,
        due: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<Parked>, Error> {
        Ok(self.read(|state| state.parked(sync, due, limit)))
    }

    async fn waiting(&self) -> Result<Vec<Waiting>, Error> {
        Ok(self.read(state::State::waiting))
    }

    async fn retry_parked(
        &self,
        lease: &Lease,
        identities: Option<&[Identity]>,
        now: Timestamp,
    ) -> Result<u64, Error> {
        self.write(|state| state.retry_parked(lease, identities, now))
    }

    async fn drop_parked(&self, lease: &Lease, identities: Option<&[Identity]>) -> Result<u64, Error> {
        self.write(|state| state.drop_parked(lease, identities))
    }

    async fn held(&self, sync: Option<&str>, limit: usize) -> Result<Vec<Held>, Error> {
        Ok(self.read(|state| state.held(sync, limit)))
    }

    async fn approve(&self, lease: &Lease, ceiling: u64, now: Timestamp) -> Result<(), Error> {
        self.write(|state| state.approve(lease, ceiling, now))
    }

    async fn approval(&self, sync: &str) -> Result<Option<u64>, Error> {
        Ok(self.read(|state| state.syncs.get(sync)?.approved.map(|(ceiling, _)| ceiling)))
    }

    async fn reject(&self, lease: &Lease) -> Result<u64, Error> {
        self.write(|state| state.reject(lease))
    }

    async fn mark_drifted(
        &self,
        lease: &Lease,
        run: RunId,
        drifted: &[Drift],
        now: Timestamp,
    ) -> Result<(), Error> {
        self.write(|state| state.mark_drifted(lease, run, drifted, now))
    }

    async fn spent(&self, budget: &str, since: Timestamp) -> Result<Vec<(Timestamp, u64)>, Error> {
        Ok(self.read(|state| state.spent(budget, since)))
    }

    async fn scratch_clear(&self) -> Result<(), Error> {
        *self.listing() = Listing::default();
        Ok(())
    }

    async fn scratch_put(&self, rows: &[Scratch]) -> Result<(), Error> {
        let mut listing = self.listing();
        rows.iter().for_each(|row| listing.put(row));
        Ok(())
    }

    async fn scratch_remove(&self, stream: &str, record_id: &str) -> Result<(), Error> {
        self.listing().remove(stream, record_id);
        Ok(())
    }

    async fn scratch_remove_owned(&self, sync: &str) -> Result<(), Error> {
        let owned = self.read(|state| state.syncs.get(sync).map(|s| s.ledger.owned()).unwrap_or_default());
        let mut listing = self.listing();
        owned.iter().for_each(|(stream, record_id)| listing.remove(stream, record_id));
        Ok(())
    }

    async fn scratch_by_stamp(&self, identities: &[Identity]) -> Result<Vec<Vec<Scratch>>, Error> {
        let listing = self.listing();
        Ok(identities.iter().map(|identity| listing.by_stamp(identity)).collect())
    }

    async fn scratch_by_natural(&self, natural: &[[u8; 32]]) -> Result<Vec<Vec<Scratch>>, Error> {
        let listing = self.listing();
        Ok(natural.iter().map(|natural| listing.by_natural(natural)).collect())
    }

    async fn scratch_count(&self) -> Result<Vec<(String, u64)>, Error> {
        Ok(self.listing().count())
    }

    async fn compare(&self, sync: &str, streams: &[String], limit: usize) -> Result<Comparison, Error> {
        let listing = self.listing();
        Ok(self.read(|state| {
            let empty = Ledger::default();
            let ledger = state.syncs.get(sync).map_or(&empty, |sync| &sync.ledger);
            compare::compare(ledger, &listing, streams, limit)
        }))
    }
}
