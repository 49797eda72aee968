//! The account of a run: every record read ends in one place, and what must be recorded about it is collected here.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use syncline_connect::destination::Applied;
use syncline_core::{counts::Counts, identity::Identity, mutant};
use syncline_store::{Checkpoint, IntentKind, LedgerChange, LedgerRow, Parked, RunId, WriteKind, Written};

use crate::{
    Bound,
    planner::{Failed, Outcome, Work, label},
    recover::unsettled,
    retry::parked_for,
    writer::{End, Left},
};

/// Running totals, and what the next checkpoint will record.
pub(crate) struct Account<'a> {
    bound: &'a Bound,
    run: RunId,
    /// Totals; `read` is filled in by the run.
    pub counts: Counts,
    /// Totals per destination stream name.
    pub by_stream: BTreeMap<String, Counts>,
    /// Parked records as the run found them: attempts and first failure.
    parked: BTreeMap<Identity, (u32, Timestamp)>,
    /// Parked records the run has not met yet.
    pub unmet: BTreeSet<Identity>,
    next: Checkpoint,
}

impl<'a> Account<'a> {
    pub(crate) fn new(bound: &'a Bound, run: RunId, parked: &[Parked]) -> Self {
        Self {
            bound,
            run,
            counts: Counts::default(),
            by_stream: BTreeMap::new(),
            parked: parked.iter().map(|p| (p.identity, (p.attempts, p.first_at))).collect(),
            unmet: parked.iter().map(|p| p.identity).collect(),
            next: Checkpoint::default(),
        }
    }

    /// Identities that are parked now.
    pub(crate) fn parked(&self) -> BTreeSet<Identity> {
        self.parked.keys().copied().collect()
    }

    /// Whether there is anything to record.
    pub(crate) fn is_empty(&self) -> bool {
        let next = &self.next;
        next.ledger.is_empty()
            && next.closed.is_empty()
            && next.created.is_empty()
            && next.parked.is_empty()
            && next.unparked.is_empty()
            && next.held.is_none()
    }

    /// What is to be recorded now; the account goes on with an empty sheet.
    pub(crate) fn take(&mut self, at: Timestamp) -> Checkpoint {
        let mut checkpoint = std::mem::take(&mut self.next);
        checkpoint.counts = self.totals();
        checkpoint.by_stream.clone_from(&self.by_stream);
        checkpoint.at = at;
        checkpoint
    }

    /// Totals of what is accounted for so far.
    pub(crate) fn totals(&self) -> Counts {
        Counts { read: self.counts.accounted(), ..self.counts }
    }

    /// For what does not belong to a single record.
    pub(crate) fn sheet(&mut self) -> &mut Checkpoint {
        &mut self.next
    }

    /// A record is already right and enters the ledger.
    pub(crate) fn adopted(&mut self, row: LedgerRow) {
        self.counts.unchanged += 1;
        self.done(row.identity);
        self.next.written.push(written(WriteKind::Adopt, &row));
        self.next.ledger.push(LedgerChange::Put(row));
    }

    /// Records that were not parked for a reason any more.
    pub(crate) fn cleared(&mut self, identities: Vec<Identity>) {
        for identity in identities {
            self.done(identity);
        }
    }

    /// A write ended. Returns the work when it was a move whose old record must still be removed.
    pub(crate) fn ended(&mut self, mut work: Work, end: End, at: Timestamp) -> Option<Work> {
        let identity = work.row.identity;
        match end {
            End::Written { applied, created } => {
                work.row.record_id = applied.id;
                work.row.version = applied.version;
                let recreated = work.kind == IntentKind::Update && created;
                let outcome = if recreated { Outcome::Created } else { work.outcome };
                self.count(&work, outcome);
                self.done(identity);
                self.next.written.push(written(kind_of(outcome, work.stamp), &work.row));
                self.next.ledger.push(LedgerChange::Put(work.row.clone()));
                if work.kind == IntentKind::Move {
                    self.next.created.push(identity);
                    return Some(work);
                }
                self.next.closed.push(identity);
            }
            End::Removed => {
                self.count(&work, Outcome::Deleted);
                self.done(identity);
                self.next.written.push(written(WriteKind::Delete, &work.row));
                self.next.ledger.push(LedgerChange::Remove(identity));
                self.next.closed.push(identity);
            }
            End::Failed { .. } if mutant!(FailureCountsAsUpdate) => {
                self.count(&work, Outcome::Updated);
                self.done(identity);
                self.next.closed.push(identity);
            }
            End::Failed { code, message, left } => {
                self.park(work_failed(&work, code, message), Some(&work), at);
                // Of a move that has half arrived, recovery takes care.
                if !(work.kind == IntentKind::Move && matches!(left, Left::Record(_))) {
                    let kind = kind_of(work.outcome, work.stamp);
                    let ours = matches!(left, Left::Record(_));
                    let left = left_over(work, left);
                    self.next.written.extend(left.iter().filter(|_| ours).map(|row| written(kind, row)));
                    self.next.ledger.extend(left.map(LedgerChange::Put));
                    self.next.closed.push(identity);
                }
            }
            End::Quarantined(n) => {
                self.park(Failed::quarantined(identity, work.row.key.clone(), n), Some(&work), at);
            }
            End::NotSent => self.next.closed.push(identity),
            End::Open => {}
        }
        None
    }

    /// A record failed.
    pub(crate) fn park(&mut self, failed: Failed, work: Option<&Work>, at: Timestamp) {
        let conflict = failed.code == "conflict";
        let stream = work.and_then(|w| self.stream_name(w));
        for counts in [Some(&mut self.counts), stream.map(|s| self.by_stream.entry(s).or_default())]
            .into_iter()
            .flatten()
        {
            if conflict {
                counts.conflicted += 1;
            } else {
                counts.parked += 1;
            }
        }
        self.unmet.remove(&failed.identity);
        let (attempts, first_at) = self.parked.get(&failed.identity).copied().unwrap_or((0, at));
        let attempts = attempts + 1;
        self.parked.insert(failed.identity, (attempts, first_at));
        self.next.unparked.retain(|identity| *identity != failed.identity);
        self.next.parked.push(Parked {
            sync: self.bound.sync.name.clone(),
            identity: failed.identity,
            label: failed.key.as_ref().map_or_else(|| "(no key)".to_owned(), |key| label(key)),
            key: failed.key,
            kind: failed.kind,
            code: failed.code,
            message: failed.message,
            attempts,
            first_at,
            last_at: at,
            retry_at: at
                .checked_add(jiff::SignedDuration::try_from(parked_for(attempts)).unwrap_or_default())
                .unwrap_or(at),
            run: self.run,
        });
    }

    /// Nothing is wrong with a record any more.
    fn done(&mut self, identity: Identity) {
        self.unmet.remove(&identity);
        if self.parked.remove(&identity).is_some() {
            self.next.unparked.push(identity);
        }
    }

    fn count(&mut self, work: &Work, outcome: Outcome) {
        let stream = self.stream_name(work);
        for counts in [Some(&mut self.counts), stream.map(|s| self.by_stream.entry(s).or_default())]
            .into_iter()
            .flatten()
        {
            match outcome {
                Outcome::Created => counts.created += 1,
                Outcome::Updated => counts.updated += 1,
                Outcome::Moved => counts.moved += 1,
                Outcome::Deleted => counts.deleted += 1,
            }
        }
    }

    fn stream_name(&self, work: &Work) -> Option<String> {
        let index = work.stream.or_else(|| self.bound.mapping.stream_of(&work.row.stream))?;
        Some(self.bound.mapping.streams[index].name.clone())
    }
}

/// What is remembered of a write.
pub(crate) fn written(kind: WriteKind, row: &LedgerRow) -> Written {
    Written { identity: row.identity, kind, stream: row.stream.clone(), record_id: row.record_id.clone() }
}

/// `adopts`: the record was somebody's, and got our stamp with the write.
fn kind_of(outcome: Outcome, adopts: bool) -> WriteKind {
    match outcome {
        Outcome::Created => WriteKind::Create,
        Outcome::Updated | Outcome::Moved if adopts => WriteKind::Adopt,
        Outcome::Updated => WriteKind::Update,
        Outcome::Moved => WriteKind::Move,
        Outcome::Deleted => WriteKind::Delete,
    }
}

/// The ledger row of a record whose write failed, where that leaves something behind: without a hash, so that the next plan
/// writes it, whatever the source says then.
fn left_over(work: Work, left: Left) -> Option<LedgerRow> {
    match left {
        Left::Nothing => None,
        Left::Record(Applied { id, version }) => {
            Some(unsettled(LedgerRow { record_id: id, version, ..work.row }))
        }
        // What was to be adopted is not ours yet; of what is to be created or moved there is no row.
        Left::Late if work.stamp => None,
        Left::Late => {
            matches!(work.kind, IntentKind::Update | IntentKind::Delete).then(|| unsettled(work.row))
        }
    }
}

fn work_failed(work: &Work, code: String, message: String) -> Failed {
    Failed {
        identity: work.row.identity,
        key: Some(work.row.key.clone()),
        kind: Some(work.kind),
        code,
        message,
    }
}
