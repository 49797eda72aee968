//! What people ask for and decide: listings of runs, parked and held records, approvals, repairs.

use jiff::Timestamp;
use syncline_core::{identity::Identity, run::Status};

use super::{
    floored, kept,
    state::{OfSync, State, newest},
    storable,
};
use crate::{
    Drift, DriftKind, Error, Held, Intent, Lease, Parked, Run, RunId, Waiting,
    rules::{self, CONFLICT, DRIFT},
};

impl State {
    pub(super) fn runs(&self, sync: Option<&str>, status: Option<Status>, limit: usize) -> Vec<Run> {
        let newest_first = self.runs.values().rev();
        let asked = newest_first.filter(|run| {
            sync.is_none_or(|sync| rules::is_of(&run.sync, sync))
                && status.is_none_or(|status| run.status == status)
        });
        asked.take(limit).cloned().collect()
    }

    pub(super) fn spent(&self, budget: &str, since: Timestamp) -> Vec<(Timestamp, u64)> {
        let from = (budget.to_owned(), floored(since));
        let spent = self.spent.range(from..).take_while(|((of, _), _)| of == budget);
        spent.map(|((_, at), units)| (*at, *units)).collect()
    }

    pub(super) fn open_intents(&self, sync: &str) -> Vec<Intent> {
        let mut open: Vec<_> = self.syncs.get(sync).into_iter().flat_map(|s| s.intents.values()).collect();
        open.sort_unstable_by_key(|(place, _)| *place);
        open.into_iter().map(|(_, intent)| intent.clone()).collect()
    }

    /// The syncs that are asked for: one, or all by name.
    fn of(&self, sync: Option<&str>) -> impl Iterator<Item = &OfSync> {
        self.syncs.iter().filter(move |(name, _)| sync.is_none_or(|sync| sync == *name)).map(|(_, sync)| sync)
    }

    pub(super) fn parked(&self, sync: Option<&str>, due: Option<Timestamp>, limit: usize) -> Vec<Parked> {
        let due = due.map(floored);
        let all = self.of(sync).flat_map(|sync| sync.parked.values());
        let mut asked: Vec<_> = all.filter(|record| due.is_none_or(|due| record.retry_at <= due)).collect();
        asked.sort_by(|a, b| (a.first_at, &a.sync, a.identity).cmp(&(b.first_at, &b.sync, b.identity)));
        asked.into_iter().take(limit).cloned().collect()
    }

    pub(super) fn held(&self, sync: Option<&str>, limit: usize) -> Vec<Held> {
        let mut asked: Vec<_> = self.of(sync).flat_map(|sync| sync.held.values()).collect();
        asked.sort_by(|a, b| {
            (&a.sync, a.since, &a.label, a.identity).cmp(&(&b.sync, b.since, &b.label, b.identity))
        });
        asked.into_iter().take(limit).cloned().collect()
    }

    pub(super) fn waiting(&self) -> Vec<Waiting> {
        let count = |sync: &OfSync, conflicts: bool| {
            sync.parked.values().filter(|record| (record.code == CONFLICT) == conflicts).count() as u64
        };
        let waiting = self.syncs.iter().map(|(name, sync)| Waiting {
            sync: name.clone(),
            parked: count(sync, false),
            conflicted: count(sync, true),
            held: sync.held.len() as u64,
            known: sync.ledger.living(),
            intents: sync.intents.len() as u64,
        });
        rules::by_sync(waiting)
    }

    pub(super) fn reset(&mut self, lease: &Lease) -> Result<bool, Error> {
        let cursor = &mut newest(&mut self.syncs, lease)?.cursor;
        Ok(cursor.as_mut().map(|cursor| cursor.position = None).is_some())
    }

    pub(super) fn retry_parked(
        &mut self,
        lease: &Lease,
        identities: Option<&[Identity]>,
        now: Timestamp,
    ) -> Result<u64, Error> {
        let sync = newest(&mut self.syncs, lease)?;
        let now = kept(now)?;
        let Some(identities) = identities else {
            sync.parked.values_mut().for_each(|record| record.retry_at = now);
            return Ok(sync.parked.len() as u64);
        };
        let mut count = 0;
        for identity in identities {
            if let Some(record) = sync.parked.get_mut(identity) {
                record.retry_at = now;
                count += 1;
            }
        }
        Ok(count)
    }

    pub(super) fn drop_parked(
        &mut self,
        lease: &Lease,
        identities: Option<&[Identity]>,
    ) -> Result<u64, Error> {
        let parked = &mut newest(&mut self.syncs, lease)?.parked;
        let before = parked.len();
        match identities {
            Some(identities) => identities.iter().for_each(|identity| drop(parked.remove(identity))),
            None => parked.clear(),
        }
        Ok((before - parked.len()) as u64)
    }

    pub(super) fn approve(&mut self, lease: &Lease, ceiling: u64, now: Timestamp) -> Result<(), Error> {
        let sync = newest(&mut self.syncs, lease)?;
        sync.approved = Some((storable(ceiling)?, kept(now)?));
        Ok(())
    }

    /// Rejects held deletes. A standing approval goes too: whoever rejects does not want the next listing to delete.
    pub(super) fn reject(&mut self, lease: &Lease) -> Result<u64, Error> {
        let sync = newest(&mut self.syncs, lease)?;
        sync.approved = None;
        let held = std::mem::take(&mut sync.held);
        held.keys().for_each(|identity| sync.ledger.remove(identity));
        Ok(held.len() as u64)
    }

    /// Makes the next plan rewrite what was edited and remake what is missing.
    pub(super) fn mark_drifted(
        &mut self,
        lease: &Lease,
        run: RunId,
        drifted: &[Drift],
        now: Timestamp,
    ) -> Result<(), Error> {
        let sync = newest(&mut self.syncs, lease)?;
        let (run, now) = (storable(run)?, kept(now)?);
        for drift in drifted {
            let (Some(identity), Some((kind, message))) = (drift.identity, rules::repair(drift.kind)) else {
                continue;
            };
            // Removed from the ledger, moved or made anew since it was compared.
            let is_same = sync.ledger.owner(&drift.stream, &drift.record_id) == Some(&identity);
            let Some(known) = sync.ledger.get(&identity).filter(|_| is_same) else { continue };
            let record = sync.parked.entry(identity).or_insert_with(|| Parked {
                sync: lease.sync.clone(),
                identity,
                // The key of the ledger, while the ledger still has it.
                key: Some(known.details.key.clone()),
                label: drift.label.clone(),
                kind: None,
                code: String::new(),
                message: String::new(),
                attempts: 0,
                first_at: now,
                last_at: now,
                retry_at: now,
                run,
            });
            (record.kind, record.code, record.message) = (Some(kind), DRIFT.to_owned(), message.to_owned());
            (record.last_at, record.retry_at, record.run) = (now, now, run);
            match drift.kind {
                DriftKind::Missing => sync.ledger.remove(&identity),
                _ => sync.ledger.forget_hash(&identity, drift.version.as_ref()),
            }
        }
        Ok(())
    }
}
