//! The ledger of one sync, with the orders in which it is read.

use std::{collections::BTreeMap, sync::Arc};

use syncline_core::{identity::Identity, seen::Seen};

use super::refused;
use crate::{Details, Entry, Error, LedgerChange, LedgerRow, RunId, rules};

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) entry: Entry,
    /// Wide and never changed in part: shared with snapshots.
    pub(super) details: Arc<Details>,
}

/// The ledger of one sync. The indexes follow from the rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Ledger {
    rows: BTreeMap<Identity, Row>,
    by_seq: BTreeMap<u64, Identity>,
    /// By stream id, then record id: a destination record belongs to at most one identity.
    places: BTreeMap<Arc<str>, BTreeMap<String, Identity>>,
}

impl Ledger {
    pub(super) fn get(&self, identity: &Identity) -> Option<&Row> {
        self.rows.get(identity)
    }

    /// The rows of a stream, by record id.
    pub(super) fn of_stream(&self, stream: &str) -> impl Iterator<Item = (&Identity, &Row)> {
        let places = self.places.get(stream).into_iter().flat_map(BTreeMap::values);
        places.filter_map(|identity| self.rows.get_key_value(identity))
    }

    /// Whose a destination record is.
    pub(super) fn owner(&self, stream: &str, record_id: &str) -> Option<&Identity> {
        self.places.get(stream)?.get(record_id)
    }

    /// Stream and record id of every record.
    pub(super) fn owned(&self) -> Vec<(String, String)> {
        let of = |(stream, records): (&Arc<str>, &BTreeMap<String, Identity>)| {
            records.keys().map(|record| (stream.as_ref().to_owned(), record.clone())).collect::<Vec<_>>()
        };
        self.places.iter().flat_map(of).collect()
    }

    /// Live records by stream.
    pub(super) fn known(&self) -> Vec<(String, u64)> {
        let live = |stream: &str| self.of_stream(stream).filter(|(_, row)| !row.entry.gone).count() as u64;
        let counts = self.places.keys().map(|stream| (stream.as_ref().to_owned(), live(stream)));
        counts.filter(|(_, live)| *live > 0).collect()
    }

    /// How many records live.
    pub(super) fn living(&self) -> u64 {
        self.rows.values().filter(|row| !row.entry.gone).count() as u64
    }

    /// A page of the living that are not in `seen`, and where to go on.
    pub(super) fn unseen(
        &self,
        seen: &Seen,
        after: u64,
        limit: usize,
    ) -> (Vec<(Identity, Entry)>, Option<u64>) {
        let mut found = Vec::new();
        if limit == 0 {
            return (found, Some(after));
        }
        for (seq, identity) in self.by_seq.range(after.saturating_add(1)..) {
            let Some(row) = self.rows.get(identity).filter(|row| !row.entry.gone) else { continue };
            if seen.contains(*seq) {
                continue;
            }
            found.push((*identity, row.entry.clone()));
            if found.len() == limit {
                return (found, Some(*seq));
            }
        }
        (found, None)
    }

    /// Makes all changes in their order, or none. `last_seq` is the last number given out; returns the new one.
    pub(super) fn apply(
        &mut self,
        changes: Vec<LedgerChange>,
        run: RunId,
        mut last_seq: u64,
    ) -> Result<u64, Error> {
        let mut before = Vec::with_capacity(changes.len());
        let mut outcome = Ok(());
        for change in changes {
            let (identity, row) = match change {
                LedgerChange::Put(row) => {
                    outcome = self.fits(&row);
                    if outcome.is_err() {
                        break;
                    }
                    let identity = row.identity;
                    // A record that is known keeps its number.
                    let seq = self.rows.get(&identity).map_or(last_seq + 1, |known| known.entry.seq);
                    last_seq = last_seq.max(seq);
                    (identity, Some(self.row(row, seq, run)))
                }
                LedgerChange::Remove(identity) => (identity, None),
            };
            before.push((identity, self.replace(identity, row)));
        }
        if outcome.is_err() {
            for (identity, row) in before.into_iter().rev() {
                self.replace(identity, row);
            }
        }
        outcome.map(|()| last_seq)
    }

    fn fits(&self, row: &LedgerRow) -> Result<(), Error> {
        rules::storable_key(&row.key).map_err(refused)?;
        if row.record_id.is_empty() {
            return Err(refused("a ledger row without a record id"));
        }
        match self.owner(&row.stream, &row.record_id) {
            Some(owner) if *owner != row.identity => Err(refused("a destination record has one owner")),
            _ => Ok(()),
        }
    }

    fn row(&self, row: LedgerRow, seq: u64, run: RunId) -> Row {
        let LedgerRow { identity: _, stream, record_id, version, hash, gone, key, fields } = row;
        let known = self.places.get_key_value(stream.as_str()).map(|(stream, _)| Arc::clone(stream));
        let stream = known.unwrap_or_else(|| stream.into());
        Row {
            entry: Entry { seq, stream, record_id, version, hash, gone },
            details: Arc::new(Details { key, fields, run }),
        }
    }

    pub(super) fn remove(&mut self, identity: &Identity) {
        self.replace(*identity, None);
    }

    /// Forgets what was written to a record and whether it is gone, and takes over the version that was seen, if one was.
    pub(super) fn forget_hash(&mut self, identity: &Identity, version: Option<&String>) {
        if let Some(row) = self.rows.get_mut(identity) {
            row.entry.hash = None;
            row.entry.gone = false;
            if let Some(version) = version {
                row.entry.version = Some(version.clone());
            }
        }
    }

    /// Puts a row in the place of the one there was, in all orders; returns that one.
    fn replace(&mut self, identity: Identity, row: Option<Row>) -> Option<Row> {
        let before = self.rows.remove(&identity);
        if let Some(Row { entry, .. }) = &before {
            self.by_seq.remove(&entry.seq);
            if let Some(places) = self.places.get_mut(&entry.stream) {
                places.remove(&entry.record_id);
                if places.is_empty() {
                    self.places.remove(&entry.stream);
                }
            }
        }
        if let Some(row) = row {
            self.by_seq.insert(row.entry.seq, identity);
            let places = self.places.entry(Arc::clone(&row.entry.stream)).or_default();
            places.insert(row.entry.record_id.clone(), identity);
            self.rows.insert(identity, row);
        }
        before
    }
}
