//! The scratch listing: what a destination holds, for matching and comparing.

use std::collections::{BTreeMap, BTreeSet};

use syncline_core::identity::Identity;

use crate::{Scratch, rules::SAME_SHOWN};

/// Records in the order in which they were listed; one that is listed again goes to the end. The indexes follow from the
/// records.
#[derive(Default)]
pub(super) struct Listing {
    records: BTreeMap<u64, Scratch>,
    last: u64,
    /// By stream id, then record id.
    places: BTreeMap<String, BTreeMap<String, u64>>,
    stamps: BTreeMap<Identity, BTreeSet<u64>>,
    /// Of records without a stamp.
    natural: BTreeMap<[u8; 32], BTreeSet<u64>>,
}

impl Listing {
    pub(super) fn put(&mut self, record: &Scratch) {
        self.remove(&record.stream, &record.record_id);
        self.last += 1;
        let place = self.places.entry(record.stream.clone()).or_default();
        place.insert(record.record_id.clone(), self.last);
        match (record.stamp, record.natural) {
            (Some(stamp), _) => drop(self.stamps.entry(stamp).or_default().insert(self.last)),
            (None, Some(natural)) => drop(self.natural.entry(natural).or_default().insert(self.last)),
            (None, None) => {}
        }
        self.records.insert(self.last, record.clone());
    }

    pub(super) fn remove(&mut self, stream: &str, record_id: &str) {
        let number = self.places.get_mut(stream).and_then(|records| records.remove(record_id));
        let Some(number) = number else { return };
        let Some(record) = self.records.remove(&number) else { return };
        // Empty sets stay: the listing is forgotten as a whole, soon.
        if let Some(same) = record.stamp.and_then(|stamp| self.stamps.get_mut(&stamp)) {
            same.remove(&number);
        }
        if let Some(same) = record.natural.and_then(|natural| self.natural.get_mut(&natural)) {
            same.remove(&number);
        }
    }

    pub(super) fn by_stamp(&self, stamp: &Identity) -> Vec<Scratch> {
        self.first(self.stamps.get(stamp))
    }

    pub(super) fn by_natural(&self, natural: &[u8; 32]) -> Vec<Scratch> {
        self.first(self.natural.get(natural))
    }

    fn first(&self, same: Option<&BTreeSet<u64>>) -> Vec<Scratch> {
        let numbers = same.into_iter().flatten().take(SAME_SHOWN);
        numbers.filter_map(|number| self.records.get(number)).cloned().collect()
    }

    /// How many records each stream has.
    pub(super) fn count(&self) -> Vec<(String, u64)> {
        let counts = self.places.iter().map(|(stream, records)| (stream.clone(), records.len() as u64));
        counts.filter(|(_, records)| *records > 0).collect()
    }

    pub(super) fn get(&self, stream: &str, record_id: &str) -> Option<&Scratch> {
        self.records.get(self.places.get(stream)?.get(record_id)?)
    }

    /// The records of a stream, by their id.
    pub(super) fn of_stream(&self, stream: &str) -> impl Iterator<Item = &Scratch> {
        let numbers = self.places.get(stream).into_iter().flat_map(BTreeMap::values);
        numbers.filter_map(|number| self.records.get(number))
    }
}
