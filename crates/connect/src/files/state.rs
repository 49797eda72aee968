//! What is remembered of loads into a table of files: one small file for each table, replaced as a whole.
//!
//! It is what makes a load happen once. A commit writes it with the new cursor and with what is still to be done to the
//! files (`pending`): from that moment on the load has happened. Then the files are put in place, and `pending` is taken
//! out. Whoever comes next does what is pending first; doing it twice is doing it once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use syncline_core::value::hex;

use crate::{Error, database::State, error::Kind};

/// Directory of everything that is ours; our own source passes it over.
const FOLDER: &str = "_syncline";

/// The file's form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Document {
    version: u32,
    table: String,
    /// Rises with each claim, of whatever sync.
    pub(super) epoch: u64,
    syncs: BTreeMap<String, Remembered>,
    #[serde(default, skip_serializing_if = "Pending::is_empty")]
    pub(super) pending: Pending,
}

/// What is remembered of one sync.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    epoch: u64,
    cursor: Option<String>,
    started_at: Option<i64>,
}

/// What a committed load has still to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// Staged file, and the name it gets; in this order.
    pub(super) moves: Vec<(String, String)>,
    /// Files that go, after that.
    pub(super) removes: Vec<String>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.moves.is_empty() && self.removes.is_empty()
    }
}

/// Names of our files for one table.
#[derive(Debug, Clone)]
pub(super) struct Names {
    stem: String,
}

impl Names {
    pub(super) fn of(table: &str) -> Self {
        Self { stem: format!("{FOLDER}/{}", hex(&Sha256::digest(table.as_bytes())[..8])) }
    }

    /// The file with what is remembered.
    pub(super) fn state(&self) -> String {
        format!("{}.state.json", self.stem)
    }

    /// The file that is locked, where files can be.
    pub(super) fn lock(&self) -> String {
        format!("{}.lock", self.stem)
    }

    /// What all staged files begin with.
    pub(super) fn staged(&self) -> String {
        format!("{}-", self.stem)
    }

    /// A staged file of a load.
    pub(super) fn staging(&self, epoch: u64, ending: &str) -> String {
        format!("{}-{epoch}.{ending}", self.stem)
    }

    /// The directory they lie in.
    pub(super) fn folder(&self) -> &'static str {
        FOLDER
    }
}

impl Document {
    /// Of a table that was never loaded.
    pub(super) fn new(table: &str) -> Self {
        Self { version: 1, table: table.to_owned(), ..Self::default() }
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Kind::Protocol`]: something else, or of a newer version.
    pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Self, Error> {
        let document: Self = serde_json::from_slice(bytes)
            .map_err(|_| Error::new(Kind::Protocol, format!("{name:?} holds something else than a state")))?;
        if document.version != 1 {
            let message = format!("{name:?} is of version {}, and 1 is the latest known", document.version);
            return Err(Error::new(Kind::Protocol, message));
        }
        Ok(document)
    }

    pub(super) fn write(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// What is remembered of a sync.
    pub(super) fn of(&self, sync: &str) -> Option<State> {
        let Remembered { epoch, cursor, started_at } = self.syncs.get(sync)?.clone();
        Some(State { epoch, cursor, started_at })
    }

    /// A load of `sync` begins: every older one can no longer commit.
    pub(super) fn claim(&mut self, sync: &str) {
        self.epoch += 1;
        self.syncs.entry(sync.to_owned()).or_default().epoch = self.epoch;
    }

    /// A load of `sync` has happened, but for what is pending.
    pub(super) fn commit(&mut self, sync: &str, cursor: Option<&String>, started_at: i64, pending: Pending) {
        let remembered = self.syncs.entry(sync.to_owned()).or_default();
        if let Some(cursor) = cursor {
            remembered.cursor = Some(cursor.clone());
        }
        remembered.started_at = Some(started_at);
        self.pending = pending;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back_and_epochs_rise_for_all_syncs() {
        let mut document = Document::new("orders/");
        document.claim("a");
        document.claim("b");
        let moves = vec![("_syncline/x".to_owned(), "orders/1.csv".to_owned())];
        let pending = Pending { moves, removes: Vec::new() };
        document.commit("a", Some(&"{}".to_owned()), 7, pending);
        let read = Document::read("x", &document.write()).unwrap();
        assert_eq!(read, document);
        assert_eq!(read.of("a"), Some(State { epoch: 1, cursor: Some("{}".into()), started_at: Some(7) }));
        assert_eq!((read.of("b").map(|s| s.epoch), read.epoch, read.of("c")), (Some(2), 2, None));
        document.commit("a", None, 8, Pending::default());
        assert_eq!(document.of("a").and_then(|s| s.cursor), Some("{}".into()), "the cursor there is stays");
        assert!(Document::read("x", b"[]").is_err());
    }
}
