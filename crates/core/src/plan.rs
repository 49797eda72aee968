//! What is to be done about one record, and how that is shown.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{canonical::ContentHash, mutant};

/// Canonical values by destination field, as JSON.
pub type Fields = BTreeMap<String, serde_json::Value>;

/// What the ledger knows of a record, as far as the decision needs it.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Id of the stream it is in.
    pub stream: &'a str,
    /// Hash of what was last written; `None` when it drifted.
    pub hash: Option<&'a ContentHash>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Make it.
    Create,
    /// Change it where it is.
    Update,
    /// Make it in the routed stream, then remove it from where it is.
    Move,
    /// Nothing.
    Unchanged,
}

/// Decides about a record that should be in `stream` with content `hash`.
pub fn decide(known: Option<Known<'_>>, stream: &str, hash: &ContentHash) -> Change {
    match known {
        None => Change::Create,
        Some(known) if known.stream != stream && !mutant!(RouteForgotten) => Change::Move,
        Some(Known { hash: Some(written), .. }) if written == hash => Change::Unchanged,
        Some(_) => Change::Update,
    }
}

/// One field of a record whose value changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldChange {
    /// Destination field.
    pub field: String,
    /// Value now, as far as Syncline knows; null where there is none.
    pub old: serde_json::Value,
    /// Value afterwards.
    pub new: serde_json::Value,
}

/// The fields in which `new` differs from `old`, in the order of their names.
pub fn diff(old: &Fields, new: &Fields) -> Vec<FieldChange> {
    const NULL: serde_json::Value = serde_json::Value::Null;
    new.iter()
        .filter_map(|(field, new)| {
            let old = old.get(field).unwrap_or(&NULL);
            (old != new).then(|| FieldChange { field: field.clone(), old: old.clone(), new: new.clone() })
        })
        .collect()
}

/// What a plan says about one record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Planned {
    /// The key for people.
    pub key: String,
    /// What would be done.
    pub action: PlannedAction,
    /// Destination stream (as the user named it).
    pub stream: String,
    /// Stream it is in now, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Field changes of updates and moves; all values of creates.
    pub fields: Vec<FieldChange>,
    /// Why, where it is not obvious ("adopted by Title", the reason a record would be parked …).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What would be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedAction {
    /// A new record.
    Create,
    /// Taken over from what the destination already holds.
    Adopt,
    /// Changed values.
    Update,
    /// Another stream.
    Move,
    /// Removed or marked as gone.
    Delete,
    /// Waits for approval.
    Hold,
    /// Cannot be written as it is.
    Park,
    /// More than one record on one side carries the natural key; left alone.
    Ambiguous,
    /// A destination record that is not ours; left alone.
    Stranger,
}

impl PlannedAction {
    /// The word that is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Adopt => "adopt",
            Self::Update => "update",
            Self::Move => "move",
            Self::Delete => "delete",
            Self::Hold => "hold",
            Self::Park => "park",
            Self::Ambiguous => "ambiguous",
            Self::Stranger => "stranger",
        }
    }
}

/// What a plan says, in one word: the same for the same records in whatever order they come, and for the same totals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Digest {
    /// Sum of the hashes of its records: order does not matter, number does.
    sum: [u64; 4],
    records: u64,
}

impl Digest {
    /// Takes a record in.
    pub fn add(&mut self, record: &Planned) {
        // what is planned is made of texts and JSON, which can be written as JSON
        let hash = blake3::hash(&serde_json::to_vec(record).unwrap_or_default());
        let (parts, _) = hash.as_bytes().as_chunks::<8>();
        for (sum, part) in self.sum.iter_mut().zip(parts) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*part));
        }
        self.records += 1;
    }

    /// The word: 64 hexadecimal digits.
    pub fn word(&self, totals: &[u64]) -> String {
        let mut hasher = blake3::Hasher::new();
        for number in self.sum.iter().chain([&self.records]).chain(totals) {
            hasher.update(&number.to_le_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn decisions() {
        let (a, b) = ([1; 32], [2; 32]);
        let known = |stream, hash| Some(Known { stream, hash });
        assert_eq!(decide(None, "L1", &a), Change::Create);
        assert_eq!(decide(known("L1", Some(&a)), "L1", &a), Change::Unchanged);
        assert_eq!(decide(known("L1", Some(&b)), "L1", &a), Change::Update);
        assert_eq!(decide(known("L1", None), "L1", &a), Change::Update, "drifted");
        assert_eq!(
            decide(known("L2", Some(&a)), "L1", &a),
            Change::Move,
            "an unchanged record that is routed elsewhere"
        );
    }

    #[test]
    fn a_digest_follows_the_records_and_not_their_order() {
        let record = |key: &str, new: i64| Planned {
            key: key.to_owned(),
            action: PlannedAction::Update,
            stream: "L".to_owned(),
            from: None,
            fields: vec![FieldChange { field: "A".to_owned(), old: json!(1), new: json!(new) }],
            note: None,
        };
        let word = |records: &[Planned], totals: &[u64]| {
            let mut digest = Digest::default();
            records.iter().for_each(|record| digest.add(record));
            digest.word(totals)
        };
        let (one, two) = (record("a", 2), record("b", 2));
        let both = word(&[one.clone(), two.clone()], &[2]);
        assert_eq!(both, word(&[two.clone(), one.clone()], &[2]));
        assert_eq!(both.len(), 64);
        let others = [
            word(&[one.clone(), record("b", 3)], &[2]),
            word(std::slice::from_ref(&one), &[2]),
            word(&[one.clone(), two.clone(), two.clone()], &[2]),
            word(&[one, two], &[3]),
        ];
        assert!(others.iter().all(|other| *other != both), "{others:?}");
    }

    #[test]
    fn diffs_name_what_changes() {
        let fields = |pairs: &[(&str, serde_json::Value)]| -> Fields {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect()
        };
        let old = fields(&[("A", json!("1")), ("B", json!("x"))]);
        let new = fields(&[("A", json!("1")), ("B", json!(null)), ("C", json!("z"))]);
        let changed = diff(&old, &new);
        assert_eq!(changed.len(), 2);
        assert_eq!(
            (changed[0].field.as_str(), &changed[0].old, &changed[0].new),
            ("B", &json!("x"), &json!(null))
        );
        assert_eq!(
            (changed[1].field.as_str(), &changed[1].old, &changed[1].new),
            ("C", &json!(null), &json!("z"))
        );
    }
}
