//! What a run reads: decided before it begins, and pure.

use syncline_core::{
    cursor::{Cursor, Position},
    sync::{Mode, Sync},
};

/// What a run reads, and why.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    pub mode: Mode,
    pub reason: Option<String>,
    pub from: Option<Position>,
    /// Whether the destination must be matched first.
    pub contact: bool,
}

/// Why a run reads everything when its source forgot where it was.
pub(crate) const POSITION_LOST: &str = "the source does not know the position any more: everything is read";

/// Everything, because the source forgot the position.
pub(crate) fn lost() -> Reading {
    Reading { mode: Mode::Full, reason: Some(POSITION_LOST.to_owned()), from: None, contact: false }
}

/// Decides what a run reads: pure. `fingerprint` is that of the definition as it is now.
///
/// The destination is matched first as long as there is no cursor, that is until a full run has come to its end: a ledger that
/// is not empty may still be half rebuilt. After a change of the definition only what adopts by natural key can find more.
pub(crate) fn decide(sync: &Sync, asked: Option<Mode>, cursor: Option<&Cursor>) -> Reading {
    let full = |reason: Option<&str>, contact| Reading {
        mode: Mode::Full,
        reason: reason.map(str::to_owned),
        from: None,
        contact,
    };
    let Some(cursor) = cursor else {
        return full(
            Some("first complete run: everything is read and the destination is matched first"),
            true,
        );
    };
    if cursor.fingerprint != sync.fingerprint() {
        return full(
            Some("the definition changed (key, mapping, routes or filter): everything is read again"),
            sync.adopt.is_some(),
        );
    }
    match (asked.unwrap_or(sync.mode), &cursor.position) {
        (Mode::Full, _) => full(None, false),
        (Mode::Incremental, None) => full(Some("there is no stored position to go on from"), false),
        (Mode::Incremental, Some(position)) => {
            Reading { mode: Mode::Incremental, reason: None, from: Some(position.clone()), contact: false }
        }
    }
}
