//! A part of a sync's records that one run is about: those of one owner and one set of parameter values.
//!
//! A sync with parameters is run for one partition at a time. Runs of different partitions may be under way at once; those
//! of one partition follow each other. What is remembered between runs (lease, state in the destination, parked records,
//! held deletes) is remembered per partition, under its [`name`](Partition::name).

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// Parameters that every run has beside those of its sync: who it is made for, when it began, and its number.
pub const BUILT_IN: [&str; 3] = [OWNER, "run_at", "run"];

/// The parameter that holds the object id of the user for whom a run is made.
pub const OWNER: &str = "owner";

/// What separates the name of a sync from its partition's; no name of a sync has it.
const SEPARATOR: char = '#';

/// Which records of a sync a run is about; the empty one: all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// Values of the sync's parameters.
    pub params: BTreeMap<String, String>,
    /// Object id of the user for whom the run is made; `None`: it is made as the application.
    pub owner: Option<String>,
}

impl Partition {
    /// Whether this is all of a sync.
    pub fn is_whole(&self) -> bool {
        self.params.is_empty() && self.owner.is_none()
    }

    /// The value of a parameter, [`OWNER`] among them.
    pub fn get(&self, name: &str) -> Option<&str> {
        match name {
            OWNER => self.owner.as_deref(),
            _ => self.params.get(name).map(String::as_str),
        }
    }

    /// The name under which a partition of `sync` is remembered: that of the sync, and, unless it is all of it, 16 hexadecimal
    /// digits of a SHA-256 over the values. Stored, so the same values give the same name in every version.
    pub fn name(&self, sync: &str) -> String {
        if self.is_whole() {
            return sync.to_owned();
        }
        let mut digest = Sha256::new();
        let mut part = |text: &str| {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text);
        };
        part(self.owner.as_deref().unwrap_or_default());
        for (name, value) in &self.params {
            part(name);
            part(value);
        }
        let hash = digest.finalize();
        format!("{sync}{SEPARATOR}{}", crate::value::hex(&hash[..8]))
    }

    /// The sync of a name that [`name`](Self::name) made.
    pub fn sync_of(name: &str) -> &str {
        name.split_once(SEPARATOR).map_or(name, |(sync, _)| sync)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_the_values_alone() {
        let of = |owner: Option<&str>, params: &[(&str, &str)]| Partition {
            owner: owner.map(str::to_owned),
            params: params.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        };
        assert_eq!(Partition::default().name("people"), "people");
        let one = of(Some("ann"), &[("session", "1")]).name("people");
        assert_eq!((one.len(), Partition::sync_of(&one)), ("people#".len() + 16, "people"));
        assert_eq!(Partition::sync_of("people"), "people");
        let others = [
            of(Some("bob"), &[("session", "1")]),
            of(Some("ann"), &[("session", "2")]),
            of(Some("ann"), &[("sessio", "n1")]),
            of(None, &[("session", "1")]),
            of(Some("ann"), &[]),
        ];
        for other in others {
            assert_ne!(other.name("people"), one, "{other:?}");
        }
    }
}
