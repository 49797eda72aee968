//! Drift: the ledger beside the scratch listing of the destination.

use std::{cmp::Ordering, collections::BTreeMap};

use syncline_core::{identity::Identity, value::Value};

use super::{
    ledger::{Ledger, Row},
    listing::Listing,
};
use crate::{Comparison, Drift, DriftKind, Scratch, rules};

pub(super) fn compare(ledger: &Ledger, listing: &Listing, streams: &[String], limit: usize) -> Comparison {
    let mut streams: Vec<&String> = streams.iter().collect();
    streams.sort_unstable();
    streams.dedup();
    let mut comparison = Comparison::default();
    let mut found: BTreeMap<DriftKind, Vec<Pair<'_>>> = BTreeMap::new();
    for stream in streams {
        let stamped = listing.of_stream(stream).any(|scratch| scratch.stamp.is_some());
        for (identity, row) in ledger.of_stream(stream) {
            let scratch = listing.get(stream, &row.entry.record_id);
            let pair = Pair { ledger: Some((identity, row)), scratch };
            match ledger_kind(identity, row, scratch, stamped) {
                Some(kind) => found.entry(kind).or_default().push(pair),
                None => comparison.equal += 1,
            }
        }
        let not_ours = |scratch: &&Scratch| ledger.owner(stream, &scratch.record_id).is_none();
        for scratch in listing.of_stream(stream).filter(not_ours) {
            let own = scratch.stamp.as_ref().and_then(|stamp| Some((stamp, ledger.get(stamp)?)));
            let kind = match (&scratch.stamp, own) {
                (None, _) => DriftKind::Stranger,
                (Some(_), None) => DriftKind::Orphan,
                (Some(_), Some(_)) => DriftKind::Duplicate,
            };
            found.entry(kind).or_default().push(Pair { ledger: own, scratch: Some(scratch) });
        }
    }
    for (kind, mut pairs) in found {
        comparison.totals.insert(kind, pairs.len() as u64);
        pairs.sort_by_cached_key(Pair::order);
        comparison.drift.extend(pairs.into_iter().take(limit).map(|pair| pair.told(kind)));
    }
    comparison
}

/// What became of a ledger row; `None`: it is as it should be.
fn ledger_kind(
    identity: &Identity,
    row: &Row,
    scratch: Option<&Scratch>,
    stamped: bool,
) -> Option<DriftKind> {
    match scratch {
        // Gone and away is as it should be: somebody emptied the bin.
        None => (!row.entry.gone).then_some(DriftKind::Missing),
        Some(scratch) if row.entry.gone != scratch.gone => Some(DriftKind::Edited),
        Some(_) if row.entry.gone && row.entry.hash.is_none() => None,
        Some(scratch) => {
            let is_edited = row.entry.hash != Some(scratch.hash);
            // A missing stamp says that somebody cleared it, unless the destination has no field for it.
            let is_foreign = stamped && scratch.stamp.as_ref() != Some(identity);
            (is_edited || is_foreign).then_some(DriftKind::Edited)
        }
    }
}

/// A record of the ledger and one of the destination, of which one may be absent.
struct Pair<'a> {
    ledger: Option<(&'a Identity, &'a Row)>,
    scratch: Option<&'a Scratch>,
}

impl Pair<'_> {
    fn record_id(&self) -> &str {
        let in_ledger = self.ledger.map(|(_, row)| row.entry.record_id.as_str());
        self.scratch.map(|scratch| scratch.record_id.as_str()).or(in_ledger).unwrap_or_default()
    }

    fn stream(&self) -> &str {
        let in_ledger = self.ledger.map(|(_, row)| row.entry.stream.as_ref());
        self.scratch.map(|scratch| scratch.stream.as_str()).or(in_ledger).unwrap_or_default()
    }

    /// By key: its first value as it sorts by itself, then the whole. Then by record id, the shorter first, which sorts
    /// numbers. Made of drifted records only.
    fn order(&self) -> (First, String, usize, String, String) {
        let key = self.ledger.map(|(_, row)| row.details.key.as_slice());
        let whole = key.and_then(|key| serde_json::to_string(key).ok()).unwrap_or_default();
        let record_id = self.record_id().to_owned();
        let length = record_id.chars().count();
        (First::of(key.and_then(<[_]>::first)), whole, length, record_id, self.stream().to_owned())
    }

    fn told(&self, kind: DriftKind) -> Drift {
        let (identity, details) = match self.ledger {
            Some((identity, row)) => (Some(*identity), Some(&row.details)),
            None => (self.scratch.and_then(|scratch| scratch.stamp), None),
        };
        Drift {
            kind,
            identity,
            label: details.map_or_else(|| self.record_id().to_owned(), |details| rules::label(&details.key)),
            stream: self.stream().to_owned(),
            record_id: self.record_id().to_owned(),
            version: self.scratch.and_then(|scratch| scratch.version.clone()),
            expected: details.map(|details| details.fields.clone()).unwrap_or_default(),
            found: self.scratch.map(|scratch| scratch.fields.clone()).unwrap_or_default(),
        }
    }
}

/// The first value of a key, as it sorts by itself: nothing, then numbers, then text.
#[derive(Debug, Clone)]
enum First {
    Nothing,
    /// A double, and the whole number it stands for, which tells apart what a double does not.
    Number(f64, i64),
    Text(String),
}

impl First {
    fn of(value: Option<&Value<'static>>) -> Self {
        let whole = |number: i64| Self::Number(number as f64, number);
        match value {
            None | Some(Value::Null) => Self::Nothing,
            Some(Value::Boolean(value)) => whole(i64::from(*value)),
            Some(Value::Int64(number) | Value::Time(number)) => whole(*number),
            Some(Value::Timestamp { micros, .. }) => whole(*micros),
            Some(Value::Date(day)) => whole(i64::from(*day)),
            // Zero has a sign that does not count.
            Some(Value::Float64(number)) => Self::Number(number + 0.0, *number as i64),
            Some(Value::Decimal(text) | Value::Text(text) | Value::Json(text)) => {
                Self::Text(text.to_string())
            }
            // As the stored key has them: these have no order that means anything to people.
            Some(value @ (Value::Binary(_) | Value::Uuid(_) | Value::List(_))) => {
                let stored = serde_json::to_value(value).unwrap_or_default();
                Self::Text(stored.get("v").map(ToString::to_string).unwrap_or_default())
            }
        }
    }
}

impl Ord for First {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Nothing, Self::Nothing) => Ordering::Equal,
            (Self::Nothing, _) | (Self::Number(..), Self::Text(_)) => Ordering::Less,
            (_, Self::Nothing) | (Self::Text(_), Self::Number(..)) => Ordering::Greater,
            (Self::Number(a, x), Self::Number(b, y)) => a.total_cmp(b).then(x.cmp(y)),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
        }
    }
}

impl PartialOrd for First {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for First {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for First {}
