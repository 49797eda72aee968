//! Dry run: what a run would do, found out the same way and with nothing written anywhere.

use std::collections::BTreeSet;

use syncline_connect::source::FETCH_MAX;
use syncline_core::{
    guard::Verdict,
    identity::Identity,
    plan::{FieldChange, Fields, Planned, PlannedAction, diff},
    run::Phase,
    seen::Seen,
    sync::{DeletePolicy, Mode},
};
use syncline_store::{DriftKind, Entry, IntentKind, KeyValues, LedgerChange, LedgerRow, Parked};

use crate::{
    Bound, Engine, Error, contact,
    deletes::{self, Judgement},
    planner::{BatchPlan, Outcome, Planner, Step, Work, label},
    progress::{Event, Observer},
    read::{End, ReadAhead},
    reading::{self, Reading},
    recover,
    run::{Options, PARKED_MAX, is_due},
    writer::Writer,
};

/// What a run would do.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Summary {
    /// `full` or `incremental`.
    pub mode: String,
    /// Why this mode, where it is not the configured one.
    pub reason: Option<String>,
    /// Records read, absences included.
    pub read: u64,
    /// Records that would be made.
    pub create: u64,
    /// Records that would be taken over from what the destination holds.
    pub adopt: u64,
    /// Records that would be changed.
    pub update: u64,
    /// Records that would change place.
    pub moves: u64,
    /// Records that would be deleted or marked as gone.
    pub delete: u64,
    /// Deletes that would wait for approval.
    pub hold: u64,
    /// Records that would be parked.
    pub park: u64,
    /// Records that cannot be paired for certain.
    pub ambiguous: u64,
    /// Records that are already equal.
    pub unchanged: u64,
    /// Records that are not wanted.
    pub skipped: u64,
    /// Destination records that are not ours; left alone.
    pub strangers: u64,
    /// Sentences an operator should read.
    pub notes: Vec<String>,
}

impl Summary {
    /// Its numbers, for [`Digest::word`](syncline_core::plan::Digest::word).
    pub fn totals(&self) -> [u64; 11] {
        [
            self.read,
            self.create,
            self.adopt,
            self.update,
            self.moves,
            self.delete,
            self.hold,
            self.park,
            self.ambiguous,
            self.unchanged,
            self.skipped,
        ]
    }

    /// Whether a run would send nothing and record nothing new.
    pub fn is_empty(&self) -> bool {
        self.create
            + self.adopt
            + self.update
            + self.moves
            + self.delete
            + self.hold
            + self.park
            + self.ambiguous
            == 0
    }
}

/// Plans a run of `options`: every change goes to `each`, the totals come back.
///
/// Writes nothing: not to the source, not to the destination, not to the store.
///
/// # Errors
/// A system or the store failed; nothing is left behind.
pub async fn plan(
    engine: &Engine,
    bound: &Bound,
    options: &Options,
    observer: &dyn Observer,
    each: &mut (dyn FnMut(Planned) + Send),
) -> Result<Summary, Error> {
    let name = &bound.sync.name;
    let cursor = engine.store.cursor(name).await?;
    let reading = reading::decide(&bound.sync, options.mode, cursor.as_ref());
    let mode = if reading.mode == Mode::Full { "full" } else { "incremental" };
    observer.event(&Event::Phase { phase: Phase::Fetch });
    let mut drafting = Drafting {
        engine,
        bound,
        planner: Planner::new(engine, bound),
        summary: Summary { mode: mode.into(), reason: reading.reason.clone(), ..Summary::default() },
        recovered: Vec::new(),
        last_seq: 0,
        deleted: BTreeSet::new(),
        each,
    };
    drafting.summary.notes.clone_from(&bound.notes);
    drafting.resolve().await?;
    let parked = engine.store.parked(Some(name), None, PARKED_MAX).await?;
    if contact::wanted(&reading, &parked, engine.clock.now()) {
        let (found, turn) = contact::first(engine, bound).await?;
        (drafting.planner.contact, drafting.planner.turn) = (found, Some(turn));
    } else {
        drafting.planner.unsure = contact::unsure(&parked);
    }
    drafting.planner.full = reading.mode == Mode::Full;
    drafting.parked(parked).await?;
    if options.only_parked {
        return Ok(drafting.summary);
    }
    drafting.planner.made = (!bound.mapping.key_is_total).then(BTreeSet::new);
    drafting.planner.seen = (reading.mode == Mode::Full).then(Seen::default);
    observer.event(&Event::Phase { phase: Phase::Plan });
    let (listed, end) = match drafting.read(&reading).await {
        Err(error) if error.position_lost() && reading.mode == Mode::Incremental => {
            let whole = reading::lost();
            (drafting.summary.mode, drafting.summary.reason) = ("full".into(), whole.reason.clone());
            drafting.planner.full = true;
            drafting.planner.seen = Some(Seen::default());
            drafting.read(&whole).await?
        }
        read => read?,
    };
    match end.shortfall {
        Some(why) => drafting.summary.notes.push(format!("nothing is said to be gone: {why}")),
        None => drafting.absent(listed).await?,
    }
    if drafting.planner.contact {
        drafting.strangers().await?;
    }
    Ok(drafting.summary)
}

struct Drafting<'a> {
    engine: &'a Engine,
    bound: &'a Bound,
    planner: Planner<'a>,
    summary: Summary,
    /// Records that recovery found and the ledger does not know yet, with the numbers they would get.
    recovered: Vec<(u64, LedgerRow)>,
    /// The last number given to a row that the ledger does not have.
    last_seq: u64,
    /// Records whose delete was told.
    deleted: BTreeSet<Identity>,
    each: &'a mut (dyn FnMut(Planned) + Send),
}

impl Drafting<'_> {
    /// Plans every record of the listing. Returns how many it showed, and what it told at its end.
    async fn read(&mut self, reading: &Reading) -> Result<(u64, End), Error> {
        let doing = format!("reading {:?}", self.bound.sync.from.stream);
        let request = self.bound.read(reading.mode, reading.from.clone());
        let listing = self.bound.source.read(request).await.map_err(Error::connect(doing.clone()))?;
        let mut listing = ReadAhead::start(listing);
        let mut listed = 0;
        while let Some(batch) = listing.next().await.map_err(Error::connect(doing.clone()))? {
            listed += batch.len() as u64;
            self.summary.read += batch.len() as u64;
            let planned = self.planner.batch(&batch).await?;
            self.tell(planned);
        }
        Ok((listed, listing.finish().await))
    }

    /// What recovery would find, kept on top of the ledger instead of in it.
    async fn resolve(&mut self) -> Result<(), Error> {
        let mut writer = Writer::new(self.engine, self.bound, None);
        let resolution = recover::resolve(self.engine, self.bound, &mut writer).await?;
        // A run would give these rows the next numbers.
        self.last_seq = self.engine.store.last_seq().await?;
        let mut live = deletes::known(self.engine, self.bound).await?;
        for change in resolution.ledger {
            let (identity, lives) = match &change {
                LedgerChange::Remove(identity) => (*identity, false),
                LedgerChange::Put(row) => (row.identity, !row.gone),
            };
            let known = self.engine.store.find(&self.bound.sync.name, &[identity]).await?.pop().flatten();
            live = (live + u64::from(lives)).saturating_sub(known.as_ref().is_some_and(|k| !k.gone).into());
            match change {
                LedgerChange::Remove(identity) => drop(self.planner.overlay.insert(identity, None)),
                LedgerChange::Put(row) => self.keep(row, known.map(|k| k.seq)),
            };
        }
        (self.planner.last_seq, self.planner.known) = (self.last_seq, live);
        self.planner.quarantined =
            resolution.quarantined.into_iter().map(|(i, n)| (i.row.identity, n)).collect();
        if !resolution.moved.is_empty() {
            let text =
                format!("{} old records of interrupted moves would be removed first", resolution.moved.len());
            self.summary.notes.push(text);
        }
        Ok(())
    }

    /// Keeps a row on top of the ledger. One that the ledger does not have gets the next number; where that happens before the
    /// source is listed, the row counts as gone unless the listing shows it.
    fn keep(&mut self, row: LedgerRow, known: Option<u64>) {
        let seq = known.unwrap_or_else(|| {
            self.last_seq += 1;
            if self.planner.seen.is_none() {
                self.planner.last_seq = self.last_seq;
                self.recovered.push((self.last_seq, row.clone()));
            }
            self.last_seq
        });
        let entry = Entry {
            seq,
            stream: row.stream.into(),
            record_id: row.record_id,
            version: row.version,
            hash: row.hash,
            gone: row.gone,
        };
        self.planner.overlay.insert(row.identity, Some(entry));
    }

    async fn parked(&mut self, parked: Vec<Parked>) -> Result<(), Error> {
        let now = self.engine.clock.now();
        let due: Vec<_> = parked.into_iter().filter(|p| is_due(p, now)).collect();
        for group in due.chunks(FETCH_MAX) {
            let keys = group.iter().filter_map(|p| p.key.clone()).collect();
            let fetch = self.bound.source.fetch(self.bound.fetch(keys)).await;
            let batch = fetch.map_err(Error::connect("fetching parked records"))?;
            self.summary.read += batch.len() as u64;
            let planned = self.planner.batch(&batch).await?;
            let found: BTreeSet<Identity> =
                (0..batch.len()).filter_map(|row| self.bound.mapping.identity(&batch, row).ok()).collect();
            // The listing will show these records again: a plan names each of them once.
            self.tell(planned);
            for parked in group.iter().filter(|p| !found.contains(&p.identity)) {
                self.gone(parked).await?;
            }
            self.planner.planned.extend(found);
        }
        Ok(())
    }

    /// A parked record whose source record is gone: a parked delete would be tried again, anything else is settled.
    async fn gone(&mut self, parked: &Parked) -> Result<(), Error> {
        self.summary.read += 1;
        match deletes::of_parked(self.engine, self.bound, parked).await? {
            Some(work) => self.work(&work),
            None => self.summary.skipped += 1,
        }
        Ok(())
    }

    fn tell(&mut self, planned: BatchPlan) {
        self.summary.unchanged += planned.unchanged;
        self.summary.skipped += planned.skipped;
        planned.found.into_iter().for_each(|row| self.keep(row, None));
        if let Some(made) = &mut self.planner.made {
            made.extend(planned.steps.iter().filter_map(|(_, step)| match step {
                Step::Write(work) if work.outcome == Outcome::Created => Some(work.row.identity),
                Step::Adopt(row) => Some(row.identity),
                _ => None,
            }));
        }
        for (_, step) in planned.steps {
            match step {
                Step::Write(work) => self.work(&work),
                Step::Adopt(row) => {
                    self.summary.adopt += 1;
                    let stream = self.name(&row.stream);
                    self.say(
                        label(&row.key),
                        PlannedAction::Adopt,
                        stream,
                        Vec::new(),
                        Some("by its stamp; equal already".into()),
                    );
                }
                Step::Hold(gone) => {
                    self.summary.hold += 1;
                    let stream = self.name(&gone.entry.stream);
                    self.say(gone.label, PlannedAction::Hold, stream, Vec::new(), Some(gone.reason));
                }
                Step::Park(failed) => {
                    let action = if failed.code == "ambiguous" {
                        PlannedAction::Ambiguous
                    } else {
                        PlannedAction::Park
                    };
                    let count = if failed.code == "ambiguous" {
                        &mut self.summary.ambiguous
                    } else {
                        &mut self.summary.park
                    };
                    *count += 1;
                    let key = failed.key.as_deref().map_or_else(|| "(no key)".to_owned(), label);
                    self.say(
                        key,
                        action,
                        String::new(),
                        Vec::new(),
                        Some(format!("{}: {}", failed.code, failed.message)),
                    );
                }
            }
        }
    }

    fn work(&mut self, work: &Work) {
        let (action, count) = match work.outcome {
            Outcome::Created => (PlannedAction::Create, &mut self.summary.create),
            Outcome::Updated if work.note.is_some() => (PlannedAction::Adopt, &mut self.summary.adopt),
            Outcome::Updated => (PlannedAction::Update, &mut self.summary.update),
            Outcome::Moved => (PlannedAction::Move, &mut self.summary.moves),
            Outcome::Deleted => (PlannedAction::Delete, &mut self.summary.delete),
        };
        *count += 1;
        if work.outcome == Outcome::Deleted {
            self.deleted.insert(work.row.identity);
        }
        let fields =
            if work.kind == IntentKind::Delete { Vec::new() } else { changes(&work.old, &work.row.fields) };
        let planned = Planned {
            key: label(&work.row.key),
            action,
            stream: self.name(&work.row.stream),
            from: work.from.as_ref().map(|(stream, ..)| self.name(stream)),
            fields,
            note: work.note.clone(),
        };
        (self.each)(planned);
    }

    async fn absent(&mut self, listed: u64) -> Result<(), Error> {
        let ignore = self.bound.sync.deletes.policy == DeletePolicy::Ignore;
        let Some(seen) = self.planner.seen.take().filter(|_| !ignore) else { return Ok(()) };
        // What recovery found to be missing or marked in the destination is not live any more when the run begins.
        let overlay = std::mem::take(&mut self.planner.overlay);
        let live = |found: &Option<Entry>| found.as_ref().is_some_and(|entry| !entry.gone);
        let is_live = |identity: &Identity, _: &Entry| overlay.get(identity).is_none_or(live);
        let told = std::mem::take(&mut self.deleted);
        let recovered = std::mem::take(&mut self.recovered);
        let recovered_gone = |(seq, row): &&(u64, LedgerRow)| {
            !row.gone && !seen.contains(*seq) && !told.contains(&row.identity)
        };
        let is_gone =
            |identity: &Identity, entry: &Entry| is_live(identity, entry) && !told.contains(identity);
        let gone = deletes::count(self.engine, self.bound, &seen, is_gone).await?
            + recovered.iter().filter(recovered_gone).count() as u64;
        let known = self.planner.known;
        let judgement = deletes::judge(self.engine, self.bound, gone, known, listed).await?;
        self.summary.read += judgement.gone;
        for (_, row) in recovered.iter().filter(recovered_gone) {
            let entry = Entry {
                seq: 0,
                stream: row.stream.as_str().into(),
                record_id: row.record_id.clone(),
                version: row.version.clone(),
                hash: row.hash,
                gone: false,
            };
            self.one_absent(&judgement, row.identity, &entry, row.key.clone(), row.fields.clone());
        }
        let mut after = 0;
        loop {
            let (page, next) =
                self.engine.store.unseen(&self.bound.sync.name, &seen, after, deletes::PAGE).await?;
            let page: Vec<_> =
                page.into_iter().filter(|(identity, entry)| is_gone(identity, entry)).collect();
            let identities: Vec<_> = page.iter().map(|(identity, _)| *identity).collect();
            let details = self.engine.store.details(&self.bound.sync.name, &identities).await?;
            for ((identity, entry), details) in page.into_iter().zip(details) {
                let (key, fields) = details.map(|d| (d.key, d.fields)).unwrap_or_default();
                self.one_absent(&judgement, identity, &entry, key, fields);
            }
            match next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    fn one_absent(
        &mut self,
        judgement: &Judgement,
        identity: Identity,
        entry: &Entry,
        key: KeyValues,
        fields: Fields,
    ) {
        if let Verdict::Hold(reason) = &judgement.verdict {
            self.summary.hold += 1;
            let stream = self.name(&entry.stream);
            self.say(label(&key), PlannedAction::Hold, stream, Vec::new(), Some(reason.clone()));
            return;
        }
        match deletes::work(self.bound, identity, entry, key, fields, self.engine.clock.now()) {
            Some(work) => self.work(&work),
            None => self.summary.skipped += 1,
        }
    }

    /// Destination records that nothing was paired with.
    async fn strangers(&mut self) -> Result<(), Error> {
        const SHOWN: usize = 1_000;
        let streams: Vec<String> = self.bound.mapping.streams.iter().map(|s| s.stream.id.clone()).collect();
        let comparison = self.engine.store.compare(&self.bound.sync.name, &streams, SHOWN).await?;
        let strange = |kind: &DriftKind| matches!(kind, DriftKind::Stranger | DriftKind::Orphan);
        self.summary.strangers =
            comparison.totals.iter().filter(|(kind, _)| strange(kind)).map(|(_, n)| n).sum();
        for found in comparison.drift.into_iter().filter(|d| strange(&d.kind)) {
            let stream = self.name(&found.stream);
            let note = match found.kind {
                DriftKind::Orphan => "carries a stamp of no source record; left alone",
                _ => "is not ours; left alone",
            };
            self.say(
                format!("item {}", found.record_id),
                PlannedAction::Stranger,
                stream,
                Vec::new(),
                Some(note.into()),
            );
        }
        self.engine.store.scratch_clear().await?;
        Ok(())
    }

    fn say(
        &mut self,
        key: String,
        action: PlannedAction,
        stream: String,
        fields: Vec<FieldChange>,
        note: Option<String>,
    ) {
        (self.each)(Planned { key, action, stream, from: None, fields, note });
    }

    fn name(&self, stream: &str) -> String {
        let index = self.bound.mapping.stream_of(stream);
        index.map_or_else(|| stream.to_owned(), |i| self.bound.mapping.streams[i].name.clone())
    }
}

/// What changes for people: without fields that are null before and after.
fn changes(old: &Fields, new: &Fields) -> Vec<FieldChange> {
    diff(old, new).into_iter().filter(|c| !(c.old.is_null() && c.new.is_null())).collect()
}
