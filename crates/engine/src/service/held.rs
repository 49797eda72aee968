//! The claims that a node holds, and the runs that carry them out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use syncline_store::service::{ClaimId, LEASE, OccurrenceId, Renewed};
use tokio::{sync::watch, task::AbortHandle};

/// The claims of a node.
#[derive(Debug, Default)]
pub(super) struct Held {
    claims: Mutex<BTreeMap<OccurrenceId, Holding>>,
}

#[derive(Debug)]
struct Holding {
    claim: ClaimId,
    /// Asks the run to stop after the batch in hand.
    cancel: watch::Sender<bool>,
    /// Whether a person asked for that.
    by_person: bool,
    /// Drops the run.
    abort: Option<AbortHandle>,
    /// When the claim was known to hold, by the clock that never goes back.
    renewed: Duration,
}

/// One claim in hand. Dropping it lets go of it: it is renewed no more.
pub(super) struct InHand {
    held: Arc<Held>,
    pub(super) claim: ClaimId,
    pub(super) cancel: watch::Receiver<bool>,
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut claims = self.held.lock();
        if claims.get(&self.claim.occurrence).is_some_and(|holding| holding.claim == self.claim) {
            claims.remove(&self.claim.occurrence);
        }
    }
}

impl InHand {
    /// Whether a person asked to stop it.
    pub(super) fn stopped_by_person(&self) -> bool {
        self.held.lock().get(&self.claim.occurrence).is_some_and(|holding| holding.by_person)
    }
}

impl Held {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<OccurrenceId, Holding>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a claim in hand, made just before `now`.
    pub(super) fn take(self: &Arc<Self>, claim: ClaimId, now: Duration) -> InHand {
        let (sender, cancel) = watch::channel(false);
        let holding = Holding { claim, cancel: sender, by_person: false, abort: None, renewed: now };
        self.lock().insert(claim.occurrence, holding);
        InHand { held: Arc::clone(self), claim, cancel }
    }

    /// Says how the run of a claim is dropped.
    pub(super) fn carried_out_by(&self, claim: ClaimId, abort: AbortHandle) {
        if let Some(holding) = self.lock().get_mut(&claim.occurrence).filter(|holding| holding.claim == claim)
        {
            holding.abort = Some(abort);
        }
    }

    pub(super) fn claims(&self) -> Vec<ClaimId> {
        self.lock().values().map(|holding| holding.claim).collect()
    }

    /// Asks every run to stop after the batch in hand.
    pub(super) fn stop_all(&self) {
        for holding in self.lock().values() {
            holding.cancel.send_replace(true);
        }
    }

    /// Takes over what became of claims at a renewal that was asked for at `asked`. Runs of lost claims are dropped.
    pub(super) fn renewed(&self, claims: &[ClaimId], renewed: &[Renewed], asked: Duration) {
        let mut held = self.lock();
        for (claim, renewed) in claims.iter().zip(renewed) {
            let Some(holding) = held.get_mut(&claim.occurrence).filter(|holding| holding.claim == *claim)
            else {
                continue;
            };
            match renewed {
                Renewed::Held => holding.renewed = asked,
                Renewed::CancelRequested => {
                    holding.renewed = asked;
                    holding.by_person = true;
                    holding.cancel.send_replace(true);
                }
                Renewed::Lost => holding.drop_run(),
            }
        }
    }

    /// Drops the runs of claims that could not be renewed for as long as they hold; returns how many.
    pub(super) fn drop_expired(&self, now: Duration) -> usize {
        let held = self.lock();
        let expired = held.values().filter(|holding| now.saturating_sub(holding.renewed) >= LEASE);
        expired.map(Holding::drop_run).count()
    }
}

impl Holding {
    fn drop_run(&self) {
        if let Some(abort) = &self.abort {
            abort.abort();
        }
    }
}
