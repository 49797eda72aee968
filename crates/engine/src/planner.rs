//! Planning a batch: what is to be done about each of its records. Reads the ledger, writes nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use syncline_connect::source::FETCH_MAX;
use syncline_core::{
    batch::{Batch, RecordOp},
    guard::{self, Verdict},
    identity::Identity,
    mapping::{Mapped, RecordProblem},
    mutant,
    plan::{self, Change, Fields, Known},
    seen::Seen,
    value::Value,
};
use syncline_store::{Entry, IntentKind, KeyValues, LedgerRow, Turn};

use crate::{
    Bound, Engine, Error,
    contact::{self, Match},
    deletes::Gone,
};

/// What is to be done about one record.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send something.
    Write(Box<Work>),
    /// Nothing to send, but the ledger does not know it yet: an adopted record that is already right.
    Adopt(Box<LedgerRow>),
    /// It is gone, and too many are gone at once.
    Hold(Box<Gone>),
    /// It cannot be written as it is.
    Park(Failed),
}

/// A write to be done.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    /// Kind of the intent.
    pub kind: IntentKind,
    /// How it counts.
    pub outcome: Outcome,
    /// The row the ledger will hold; its `record_id` and `version` are those to write to (empty for creates and moves).
    pub row: LedgerRow,
    /// Index of the destination stream; `None` for a record in a stream the sync does not name any more.
    pub stream: Option<usize>,
    /// Moves: stream id, record id and version of where it is.
    pub from: Option<(String, String, Option<String>)>,
    /// One value per mapped field; empty for deletes.
    pub values: Vec<Value<'static>>,
    /// Indexes of the values that change; updates send only these.
    pub changed: Vec<usize>,
    /// What was there before, as far as is known.
    pub old: Fields,
    /// What the ledger says was last written, be it there or not.
    pub written: Fields,
    /// Adopted by natural key: the stamp must be written too.
    pub stamp: bool,
    /// For the plan.
    pub note: Option<String>,
}

/// How a write counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Created,
    Updated,
    Moved,
    Deleted,
}

/// A record that cannot be written as it is.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    /// Whose.
    pub identity: Identity,
    /// Its key; `None` when it has no usable one.
    pub key: Option<KeyValues>,
    /// What was to be done.
    pub kind: Option<IntentKind>,
    /// Stable code.
    pub code: String,
    /// What is wrong, without values.
    pub message: String,
}

impl Failed {
    /// A record that is left alone because several destination records carry its stamp.
    pub(crate) fn quarantined(identity: Identity, key: KeyValues, n: usize) -> Self {
        Self {
            identity,
            key: Some(key),
            kind: Some(IntentKind::Create),
            code: "quarantined".into(),
            message: format!("{n} destination records carry its stamp; keep one, delete the others by hand"),
        }
    }
}

/// What is to be done about a batch.
#[derive(Debug, Default)]
pub(crate) struct BatchPlan {
    /// Steps by row, in order.
    pub steps: Vec<(usize, Step)>,
    /// Records that are already equal.
    pub unchanged: u64,
    /// Records that are not wanted.
    pub skipped: u64,
    /// Parked records that turned out to be equal or not wanted.
    pub cleared: Vec<Identity>,
    /// Records that are not to be written now and that first contact found in the destination: the ledger keeps their place.
    pub found: Vec<LedgerRow>,
}

/// Planning state that lasts for a run.
pub(crate) struct Planner<'a> {
    engine: &'a Engine,
    bound: &'a Bound,
    /// Whether the run lists the source completely: then a tombstone counts like an absence.
    pub full: bool,
    /// Ledger rows that a complete listing has shown; `None` when the listing is not a full one.
    pub seen: Option<Seen>,
    /// Ledger rows above this number were made by this run.
    pub last_seq: u64,
    /// Ledger rows as recovery found them, where nothing may be written (a dry run).
    pub overlay: BTreeMap<Identity, Option<Entry>>,
    /// Live records in the ledger when the run began, and tombstones met since.
    pub known: u64,
    tombstones: u64,
    /// Tombstones whose delete is planned or held: a record that is met again (retried, then listed; in several rows) is deleted
    /// or held once.
    buried: BTreeSet<Identity>,
    /// Whether the scratch listing holds the destination, for first contact.
    pub contact: bool,
    /// Keeps the scratch listing for first contact.
    pub turn: Option<Turn>,
    /// Natural-key fields.
    pub adopt_by: Vec<usize>,
    /// Records a dry run has already told about; they are passed over.
    pub planned: BTreeSet<Identity>,
    /// Records a dry run would have made, where the source does not promise that a key comes once.
    pub made: Option<BTreeSet<Identity>>,
    /// Records this run has already handled on their own (retries of parked records, places found by first contact).
    pub retried: BTreeSet<Identity>,
    /// Records that are parked.
    pub parked: BTreeSet<Identity>,
    /// Records that could not be paired for certain, and why: met in this run, or before where it does not look again.
    pub unsure: BTreeMap<Identity, String>,
    /// Records whose stamp several destination records carry: nothing is sent for them.
    pub quarantined: BTreeMap<Identity, usize>,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(engine: &'a Engine, bound: &'a Bound) -> Self {
        let adopt_by = bound.sync.adopt.as_ref().map(|by| bound.mapping.indexes(by)).unwrap_or_default();
        Self {
            engine,
            bound,
            full: false,
            seen: None,
            last_seq: u64::MAX,
            overlay: BTreeMap::new(),
            known: 0,
            tombstones: 0,
            buried: BTreeSet::new(),
            contact: false,
            turn: None,
            adopt_by,
            planned: BTreeSet::new(),
            made: None,
            retried: BTreeSet::new(),
            parked: BTreeSet::new(),
            unsure: BTreeMap::new(),
            quarantined: BTreeMap::new(),
        }
    }

    /// Plans a batch. Records of one identity that come twice in one snapshot, or twice in a full listing, are parked: the
    /// first one counts.
    pub(crate) async fn batch(&mut self, batch: &Batch) -> Result<BatchPlan, Error> {
        let mut plan = BatchPlan::default();
        let identities: Vec<_> =
            (0..batch.len()).map(|row| self.bound.mapping.identity(batch, row)).collect();
        let wanted: Vec<Identity> = identities.iter().filter_map(|i| i.as_ref().ok().copied()).collect();
        // The store looks the records up on a thread of its own; they are mapped meanwhile.
        let bound = self.bound;
        let (entries, mapped) = tokio::join!(self.find(&wanted), async { map_all(bound, batch) });
        let mut entries = entries?.into_iter();
        let revived = self.revived(batch).await?;
        let mut in_batch = HashSet::with_capacity(batch.len());
        let mut unknown: Vec<(usize, Identity, Mapped<'_>)> = Vec::new();
        let mut updates: Vec<(usize, Identity, Entry, Mapped<'_>)> = Vec::new();
        let mut unwritten: Vec<(usize, Identity)> = Vec::new();
        for ((row, identity), mapped) in identities.into_iter().enumerate().zip(mapped) {
            let identity = match identity {
                Ok(identity) => identity,
                Err(problem) => {
                    let identity = self.bound.mapping.keyless_identity(problem.code, batch, row);
                    let code = problem.code.to_owned();
                    let failed = Failed { identity, key: None, kind: None, code, message: problem.message };
                    plan.steps.push((row, Step::Park(failed)));
                    continue;
                }
            };
            let entry = entries.next().flatten();
            if batch.op(row) == RecordOp::Delete {
                if revived.contains(&identity) {
                    // What is parked of it belongs to the row that lives.
                    plan.skipped += 1;
                } else {
                    unwritten.extend(entry.is_none().then_some((row, identity)));
                    self.tombstone(row, identity, entry, batch, &mut plan);
                }
                continue;
            }
            if !in_batch.insert(identity) || self.repeated(identity, entry.as_ref()) {
                plan.steps.push((row, Step::Park(self.duplicate(batch, row))));
                continue;
            }
            if self.planned.contains(&identity) {
                if !(matches!(mapped, Ok(None)) && self.bound.sync.deletes.out_of_filter) {
                    self.show(entry.as_ref());
                }
                plan.unchanged += 1;
                continue;
            }
            if let Some(n) = self.quarantined.get(&identity).copied() {
                self.show(entry.as_ref());
                let key = self.bound.mapping.key_values(batch, row);
                plan.steps.push((row, Step::Park(Failed::quarantined(identity, key, n))));
                continue;
            }
            if entry.is_none() && !matches!(mapped, Ok(Some(_))) {
                unwritten.push((row, identity));
            }
            match mapped {
                Err(problem) => {
                    self.show(entry.as_ref().filter(|_| !mutant!(PoisonCountsAsAbsent)));
                    let kind = entry.as_ref().map_or(IntentKind::Create, |_| IntentKind::Update);
                    let key = Some(self.bound.mapping.key_values(batch, row));
                    let code = problem.code.to_owned();
                    let failed = Failed { identity, key, kind: Some(kind), code, message: problem.message };
                    plan.steps.push((row, Step::Park(failed)));
                }
                Ok(None) => {
                    if !self.bound.sync.deletes.out_of_filter {
                        self.show(entry.as_ref());
                    }
                    plan.skipped += 1;
                    self.clear(identity, &mut plan);
                }
                Ok(Some(mapped)) => {
                    self.show(entry.as_ref());
                    self.buried.remove(&identity);
                    match entry {
                        None => unknown.push((row, identity, mapped)),
                        Some(entry) if self.is_unchanged(&entry, &mapped) => {
                            plan.unchanged += 1;
                            self.clear(identity, &mut plan);
                        }
                        Some(entry) => updates.push((row, identity, entry, mapped)),
                    }
                }
            }
        }
        if self.contact {
            self.find_unwritten(batch, unwritten, &mut plan).await?;
        }
        self.plan_unknown(batch, unknown, &mut plan).await?;
        self.plan_updates(batch, updates, &mut plan).await?;
        plan.steps.sort_by_key(|(row, _)| *row);
        Ok(plan)
    }

    /// Records of the batch that have a tombstone and live on in another row, where the source does not promise that a key comes
    /// once: the source is asked for every row with their keys.
    async fn revived(&self, batch: &Batch) -> Result<BTreeSet<Identity>, Error> {
        let mapping = &self.bound.mapping;
        let mut revived = BTreeSet::new();
        if mapping.key_is_total {
            return Ok(revived);
        }
        let keys: Vec<_> = (0..batch.len())
            .filter(|row| batch.op(*row) == RecordOp::Delete && mapping.identity(batch, *row).is_ok())
            .map(|row| mapping.key_values(batch, row))
            .collect();
        for keys in keys.chunks(FETCH_MAX) {
            let fetch = self.bound.source.fetch(self.bound.fetch(keys.to_vec())).await;
            let rows = fetch.map_err(Error::connect("looking for rows with the keys of deleted ones"))?;
            let live = (0..rows.len()).filter(|row| rows.op(*row) == RecordOp::Upsert);
            revived.extend(live.filter_map(|row| mapping.identity(&rows, row).ok()));
        }
        Ok(revived)
    }

    async fn find(&self, identities: &[Identity]) -> Result<Vec<Option<Entry>>, Error> {
        let mut entries = self.engine.store.find(&self.bound.sync.name, identities).await?;
        if !self.overlay.is_empty() {
            for (identity, entry) in identities.iter().zip(&mut entries) {
                if let Some(known) = self.overlay.get(identity) {
                    entry.clone_from(known);
                }
            }
        }
        Ok(entries)
    }

    /// Whether a full listing has shown this record before.
    fn repeated(&self, identity: Identity, entry: Option<&Entry>) -> bool {
        if self.seen.is_some() && self.made.as_ref().is_some_and(|made| made.contains(&identity)) {
            return true;
        }
        let (Some(seen), Some(entry)) = (&self.seen, entry) else { return false };
        let made_by_this_run = entry.seq > self.last_seq;
        seen.contains(entry.seq) || (made_by_this_run && !self.retried.contains(&identity))
    }

    fn show(&mut self, entry: Option<&Entry>) {
        if let (Some(seen), Some(entry)) = (&mut self.seen, entry) {
            seen.insert(entry.seq);
        }
    }

    fn clear(&self, identity: Identity, plan: &mut BatchPlan) {
        if self.parked.contains(&identity) {
            plan.cleared.push(identity);
        }
    }

    fn is_unchanged(&self, entry: &Entry, mapped: &Mapped<'_>) -> bool {
        self.change(Some(entry), mapped) == Change::Unchanged
    }

    fn change(&self, entry: Option<&Entry>, mapped: &Mapped<'_>) -> Change {
        let known = entry.map(|e| Known { stream: &e.stream, hash: e.hash.as_ref().filter(|_| !e.gone) });
        plan::decide(known, &self.bound.mapping.streams[mapped.stream].stream.id, &mapped.hash)
    }

    fn duplicate(&self, batch: &Batch, row: usize) -> Failed {
        Failed {
            identity: self.bound.mapping.keyless_identity("duplicate_key", batch, row),
            key: None,
            kind: None,
            code: "duplicate_key".into(),
            message: format!("another record has the same key ({})", self.bound.mapping.key.join(", ")),
        }
    }

    /// A tombstone of a known record. In a full listing it counts like an absence; otherwise those that come after the guard is
    /// reached are held until a complete listing judges them.
    fn tombstone(
        &mut self,
        row: usize,
        identity: Identity,
        entry: Option<Entry>,
        batch: &Batch,
        plan: &mut BatchPlan,
    ) {
        if self.buried.contains(&identity) {
            plan.skipped += 1;
            return;
        }
        let live = entry.filter(|entry| !self.full && !entry.gone);
        let key = self.bound.mapping.key_values(batch, row);
        let step = live.and_then(|entry| {
            let now = self.engine.clock.now();
            let work = crate::deletes::work(self.bound, identity, &entry, key.clone(), Fields::new(), now)?;
            self.tombstones += 1;
            self.buried.insert(identity);
            let listed = self.known.saturating_sub(self.tombstones).max(1);
            let counted = if mutant!(TombstonesPassGuard) { 1 } else { self.tombstones };
            Some(match guard::judge(&self.bound.sync.deletes, counted, self.known, listed, None) {
                Verdict::Hold(reason) => {
                    Step::Hold(Box::new(Gone { identity, entry, label: label(&key), reason }))
                }
                Verdict::Allow => Step::Write(Box::new(work)),
            })
        });
        match step {
            Some(step) => plan.steps.push((row, step)),
            None => {
                plan.skipped += 1;
                self.clear(identity, plan);
            }
        }
    }

    /// Records the ledger does not know and that are not to be written as they are: parked, left out by the filter, deleted.
    /// After this run nobody looks for their stamps any more, and a record that is to be written again would be made twice.
    async fn find_unwritten(
        &mut self,
        batch: &Batch,
        unwritten: Vec<(usize, Identity)>,
        plan: &mut BatchPlan,
    ) -> Result<(), Error> {
        let identities: Vec<Identity> = unwritten.iter().map(|(_, identity)| *identity).collect();
        let stamped = self.engine.store.scratch_by_stamp(&identities).await?;
        for ((row, identity), mut found) in unwritten.into_iter().zip(stamped) {
            let (Some(one), true) = (found.pop(), found.is_empty()) else { continue };
            self.engine.store.scratch_remove(&one.stream, &one.record_id).await?;
            self.retried.insert(identity);
            plan.found.push(LedgerRow {
                identity,
                stream: one.stream,
                record_id: one.record_id,
                version: one.version,
                hash: Some(one.hash),
                gone: one.gone,
                key: self.bound.mapping.key_values(batch, row),
                fields: one.fields,
            });
        }
        Ok(())
    }

    /// Records the ledger does not know: created, or paired with what the destination already holds.
    async fn plan_unknown(
        &mut self,
        batch: &Batch,
        unknown: Vec<(usize, Identity, Mapped<'_>)>,
        plan: &mut BatchPlan,
    ) -> Result<(), Error> {
        let mut matches = if self.contact {
            contact::matches(self.engine, self.bound, &self.adopt_by, &unknown).await?
        } else {
            Vec::new()
        }
        .into_iter();
        for (row, identity, mapped) in unknown {
            let matched = matches.next().unwrap_or(Match::None);
            // What was ambiguous among all that were retried stays so, whichever of them a page of the listing shows.
            let found = self.unsure.get(&identity).cloned().map_or(matched, Match::Ambiguous);
            if let Match::Ambiguous(message) = &found {
                self.unsure.insert(identity, message.clone());
            }
            let step = match found {
                Match::None => Step::Write(Box::new(self.create(batch, row, identity, mapped))),
                Match::Ambiguous(message) => Step::Park(Failed {
                    identity,
                    key: Some(self.bound.mapping.key_values(batch, row)),
                    kind: Some(IntentKind::Create),
                    code: contact::AMBIGUOUS.into(),
                    message,
                }),
                Match::Found { entry, fields, stamped } => {
                    if stamped && !self.is_unchanged(&entry, &mapped) {
                        // It is ours and stays known where it is, should it not be written or moved now.
                        let key = self.bound.mapping.key_values(batch, row);
                        plan.found.push(place(identity, &entry, key, fields.clone()));
                    }
                    self.adopt(batch, row, identity, mapped, &entry, fields, stamped)
                }
            };
            plan.steps.push((row, step));
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one record and what was found for it")]
    fn adopt(
        &self,
        batch: &Batch,
        row: usize,
        identity: Identity,
        mapped: Mapped<'_>,
        entry: &Entry,
        fields: Fields,
        stamped: bool,
    ) -> Step {
        if stamped && self.is_unchanged(entry, &mapped) {
            let mut ledger = self.row(batch, row, identity, &mapped);
            ledger.record_id.clone_from(&entry.record_id);
            ledger.version.clone_from(&entry.version);
            return Step::Adopt(Box::new(ledger));
        }
        let mut work = self.update(batch, row, identity, entry, mapped, fields);
        work.stamp = !stamped && !mutant!(AdoptedWithoutStamp);
        work.note = Some(if stamped { "adopted by its stamp" } else { "adopted by its natural key" }.into());
        Step::Write(Box::new(work))
    }

    async fn plan_updates(
        &mut self,
        batch: &Batch,
        updates: Vec<(usize, Identity, Entry, Mapped<'_>)>,
        plan: &mut BatchPlan,
    ) -> Result<(), Error> {
        let identities: Vec<Identity> = updates.iter().map(|(_, identity, ..)| *identity).collect();
        let details = self.engine.store.details(&self.bound.sync.name, &identities).await?;
        for ((row, identity, entry, mapped), details) in updates.into_iter().zip(details) {
            // Of a drifted record nobody knows what is there: everything is written.
            let known = entry.hash.is_some() || entry.gone;
            let written = details.map(|d| d.fields).unwrap_or_default();
            let old = if known { written.clone() } else { Fields::new() };
            let mut work = self.update(batch, row, identity, &entry, mapped, old);
            work.written = written;
            plan.steps.push((row, Step::Write(Box::new(work))));
        }
        Ok(())
    }

    fn create(&self, batch: &Batch, row: usize, identity: Identity, mapped: Mapped<'_>) -> Work {
        let ledger = self.row(batch, row, identity, &mapped);
        Work {
            kind: IntentKind::Create,
            outcome: Outcome::Created,
            row: ledger,
            stream: Some(mapped.stream),
            from: None,
            changed: Vec::new(),
            values: mapped.values.into_iter().map(Value::into_owned).collect(),
            old: Fields::new(),
            written: Fields::new(),
            stamp: false,
            note: None,
        }
    }

    /// An update in place, or a move when the record is routed elsewhere.
    fn update(
        &self,
        batch: &Batch,
        row: usize,
        identity: Identity,
        entry: &Entry,
        mapped: Mapped<'_>,
        old: Fields,
    ) -> Work {
        let moved = self.change(Some(entry), &mapped) == Change::Move;
        let mut work = self.create(batch, row, identity, mapped);
        work.changed = (0..work.values.len())
            .filter(|i| {
                let name = &self.bound.mapping.streams[0].fields[*i].name;
                let kept = mutant!(NullNotWritten) && work.values[*i].is_null();
                old.get(name) != work.row.fields.get(name) && !kept
            })
            .collect();
        if work.changed.is_empty() {
            work.changed = (0..work.values.len()).collect();
        }
        work.old = old;
        if moved {
            (work.kind, work.outcome) = (IntentKind::Move, Outcome::Moved);
            work.from = Some((entry.stream.to_string(), entry.record_id.clone(), entry.version.clone()));
        } else {
            (work.kind, work.outcome) = (IntentKind::Update, Outcome::Updated);
            work.row.record_id.clone_from(&entry.record_id);
            work.row.version.clone_from(&entry.version);
        }
        work
    }

    fn row(&self, batch: &Batch, row: usize, identity: Identity, mapped: &Mapped<'_>) -> LedgerRow {
        let mapping = &self.bound.mapping;
        LedgerRow {
            identity,
            stream: mapping.streams[mapped.stream].stream.id.clone(),
            record_id: String::new(),
            version: None,
            hash: Some(mapped.hash),
            gone: false,
            key: mapping.key_values(batch, row),
            fields: mapping.canonical_fields(mapped.stream, &mapped.values),
        }
    }
}

/// The ledger row of a record that first contact found by its stamp, and that is to be written.
fn place(identity: Identity, entry: &Entry, key: KeyValues, fields: Fields) -> LedgerRow {
    LedgerRow {
        identity,
        stream: entry.stream.to_string(),
        record_id: entry.record_id.clone(),
        version: entry.version.clone(),
        hash: entry.hash,
        gone: entry.gone,
        key,
        fields,
    }
}

/// Maps every record of a batch.
fn map_all<'b>(bound: &Bound, batch: &'b Batch) -> Vec<Result<Option<Mapped<'b>>, RecordProblem>> {
    let mut scratch = Vec::new();
    (0..batch.len()).map(|row| bound.mapping.map(batch, row, &mut scratch)).collect()
}

/// The key for people: values joined by commas.
pub(crate) fn label(key: &[Value<'_>]) -> String {
    key.iter()
        .map(|value| match value.to_json() {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        })
        .collect::<Vec<_>>()
        .join(", ")
}
