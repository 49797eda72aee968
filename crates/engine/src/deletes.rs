//! Records that are gone from the source: held, marked or deleted.

use jiff::Timestamp;
use syncline_core::{
    canonical::canonical,
    failpoint,
    guard::{self, Verdict},
    identity::Identity,
    plan::Fields,
    seen::Seen,
    sync::DeletePolicy,
    value::Value,
};
use syncline_store::{Entry, Held, IntentKind, KeyValues, LedgerRow, Parked};

use crate::{
    Bound, Engine, Error,
    planner::{Outcome, Work, label},
    run::Session,
};

/// Most held deletes that are kept of earlier runs.
const HELD_MAX: usize = 100_000;

/// Ledger rows looked at in one go.
pub(crate) const PAGE: usize = 1_000;

/// What a complete listing says about the records it did not show.
#[derive(Debug)]
pub(crate) struct Judgement {
    /// How many are gone.
    pub gone: u64,
    /// Allowed, or held with the reason.
    pub verdict: Verdict,
    /// The standing approval, if any.
    pub approval: Option<u64>,
}

/// Counts the ledger's live records that a complete listing did not show. `is_gone` may say of one that it does not count.
pub(crate) async fn count(
    engine: &Engine,
    bound: &Bound,
    seen: &Seen,
    is_gone: impl Fn(&Identity, &Entry) -> bool,
) -> Result<u64, Error> {
    let mut gone = 0;
    let mut after = 0;
    loop {
        let (page, next) = engine.store.unseen(&bound.sync.name, seen, after, PAGE).await?;
        gone += page.iter().filter(|(identity, entry)| is_gone(identity, entry)).count() as u64;
        match next {
            Some(next) => after = next,
            None => return Ok(gone),
        }
    }
}

/// Asks the guard about `gone` out of `known` live records. `listed`: records the source showed.
pub(crate) async fn judge(
    engine: &Engine,
    bound: &Bound,
    gone: u64,
    known: u64,
    listed: u64,
) -> Result<Judgement, Error> {
    let approval = engine.store.approval(&bound.sync.name).await?;
    let verdict = guard::judge(&bound.sync.deletes, gone, known, listed, approval);
    Ok(Judgement { gone, verdict, approval })
}

/// The work of one record that is gone; `None` when the policy says to leave it.
pub(crate) fn work(
    bound: &Bound,
    identity: Identity,
    entry: &Entry,
    key: KeyValues,
    fields: Fields,
    now: Timestamp,
) -> Option<Work> {
    let stream = bound.mapping.stream_of(&entry.stream);
    let mut row = LedgerRow {
        identity,
        stream: entry.stream.to_string(),
        record_id: entry.record_id.clone(),
        version: entry.version.clone(),
        hash: entry.hash,
        gone: false,
        key,
        fields: fields.clone(),
    };
    let (kind, values, changed) = match bound.sync.deletes.policy {
        DeletePolicy::Ignore => return None,
        DeletePolicy::Delete => (IntentKind::Delete, Vec::new(), Vec::new()),
        DeletePolicy::Soft { .. } => {
            // A stream that the sync does not name any more has the fields it had; they are the same in all its streams.
            let like = stream.unwrap_or_default();
            let (index, value) = bound.mapping.gone_value(like, now.as_microsecond())?;
            let mapped = &bound.mapping.streams[like].fields;
            let mut values = vec![Value::Null; mapped.len()];
            let written = canonical(value.clone(), &mapped[index]).to_json();
            row.fields.insert(mapped[index].name.clone(), written);
            values[index] = value;
            row.gone = true;
            (IntentKind::Update, values, vec![index])
        }
    };
    Some(Work {
        kind,
        outcome: Outcome::Deleted,
        row,
        stream,
        from: None,
        values,
        changed,
        written: fields.clone(),
        old: fields,
        stamp: false,
        note: None,
    })
}

/// The delete that is parked for a record which is still gone; `None` when something else was parked, or nothing is left of it.
pub(crate) async fn of_parked(
    engine: &Engine,
    bound: &Bound,
    parked: &Parked,
) -> Result<Option<Work>, Error> {
    if parked.kind != Some(IntentKind::Delete) {
        return Ok(None);
    }
    let entry = engine.store.find(&parked.sync, &[parked.identity]).await?.pop().flatten();
    let details = engine.store.details(&parked.sync, &[parked.identity]).await?.pop().flatten();
    let (key, now) = (parked.key.clone().unwrap_or_default(), engine.clock.now());
    let fields = details.map(|d| d.fields).unwrap_or_default();
    Ok(entry.and_then(|entry| work(bound, parked.identity, &entry, key, fields, now)))
}

/// A record that is gone and whose delete waits for approval.
#[derive(Debug)]
pub(crate) struct Gone {
    pub identity: Identity,
    pub entry: Entry,
    pub label: String,
    pub reason: String,
}

/// Live records in the ledger.
pub(crate) async fn known(engine: &Engine, bound: &Bound) -> Result<u64, Error> {
    Ok(engine.store.known(&bound.sync.name).await?.iter().map(|(_, n)| n).sum())
}

impl Session<'_> {
    /// Records that a complete listing did not show.
    pub(crate) async fn delete_absent(&mut self, listed: u64) -> Result<(), Error> {
        let ignore = self.bound.sync.deletes.policy == DeletePolicy::Ignore;
        let Some(seen) = self.planner.seen.take().filter(|_| !ignore) else { return Ok(()) };
        let last_seq = self.planner.last_seq;
        let is_gone = |_: &Identity, entry: &Entry| entry.seq <= last_seq;
        let gone = count(self.engine, self.bound, &seen, is_gone).await?;
        // The share is one of what was known before this run made anything: as a plan sees it, and never less careful.
        let known = self.planner.known;
        let judgement = judge(self.engine, self.bound, gone, known, listed).await?;
        self.read += judgement.gone;
        let hold = match &judgement.verdict {
            Verdict::Hold(reason) => Some(reason.clone()),
            Verdict::Allow => None,
        };
        if let Some(reason) = &hold {
            self.note(format!("deletes are held: {reason}; see `syncline held`"));
        }
        failpoint!("engine.deletes.before", Error::failpoint);
        let mut after = 0;
        loop {
            let (page, next) = self.engine.store.unseen(&self.bound.sync.name, &seen, after, PAGE).await?;
            let page: Vec<_> = page.into_iter().filter(|(identity, e)| is_gone(identity, e)).collect();
            let identities: Vec<Identity> = page.iter().map(|(identity, _)| *identity).collect();
            let details = self.engine.store.details(&self.bound.sync.name, &identities).await?;
            for ((identity, entry), details) in page.into_iter().zip(details) {
                let (key, fields) = details.map(|d| (d.key, d.fields)).unwrap_or_default();
                if let Some(reason) = &hold {
                    self.hold(Gone { identity, entry, label: label(&key), reason: reason.clone() });
                    continue;
                }
                match work(self.bound, identity, &entry, key, fields, self.engine.clock.now()) {
                    Some(work) => self.write(work, None).await?,
                    None => self.account.counts.skipped += 1,
                }
            }
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        self.flush(None).await?;
        let held = std::mem::take(&mut self.held);
        let sheet = self.account.sheet();
        sheet.held = Some(held);
        sheet.approval_used = hold.is_none() && judgement.approval.is_some() && judgement.gone > 0;
        Ok(())
    }

    /// A delete waits for approval.
    pub(crate) fn hold(&mut self, gone: Gone) {
        self.account.counts.held += 1;
        self.account.unmet.remove(&gone.identity);
        self.held.push(Held {
            sync: self.bound.sync.name.clone(),
            identity: gone.identity,
            label: gone.label,
            stream: gone.entry.stream.to_string(),
            record_id: gone.entry.record_id,
            reason: gone.reason,
            since: self.engine.clock.now(),
            run: self.run,
        });
    }

    /// Deletes that an incremental run holds join those that are held already; a complete listing judges them all anew.
    pub(crate) async fn keep_held(&mut self) -> Result<(), Error> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.note(format!(
            "{} deletes are held: too many tombstones at once; see `syncline held`",
            self.held.len()
        ));
        let mut held = std::mem::take(&mut self.held);
        let before = self.engine.store.held(Some(&self.bound.sync.name), HELD_MAX).await?;
        held.extend(
            before.into_iter().filter(|b| held.iter().all(|h| h.identity != b.identity)).collect::<Vec<_>>(),
        );
        self.account.sheet().held = Some(held);
        Ok(())
    }
}
