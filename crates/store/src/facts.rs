//! The facts the store keeps, as plain data.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_core::{
    canonical::ContentHash, counts::Counts, cursor::Cursor, identity::Identity, run::Status, sync::Mode,
    value::Value,
};

/// Number of a run.
pub type RunId = u64;

pub use syncline_core::plan::Fields;

/// Values of the key columns, as the source gave them.
pub type KeyValues = Vec<Value<'static>>;

/// What planning needs to know of a record in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Dense number of the ledger row within the store; for [`Seen`](syncline_core::seen::Seen).
    pub seq: u64,
    /// Id of the destination stream.
    pub stream: Arc<str>,
    /// Id of the destination record.
    pub record_id: String,
    /// Its version when we last saw it.
    pub version: Option<String>,
    /// Hash of the canonical values we last wrote; `None` when the record is known to have drifted.
    pub hash: Option<ContentHash>,
    /// Whether it is marked as gone (soft delete).
    pub gone: bool,
}

/// What only writes and people need of a record in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Details {
    /// Source key.
    pub key: KeyValues,
    /// What was last written.
    pub fields: Fields,
    /// Run that last wrote it.
    pub run: RunId,
}

/// A change to the ledger.
#[derive(Debug, Clone, PartialEq)]
pub enum LedgerChange {
    /// The record is in the destination with these values.
    Put(LedgerRow),
    /// The record is no longer there, or no longer ours.
    Remove(Identity),
}

/// A ledger row to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerRow {
    /// Whose.
    pub identity: Identity,
    /// Id of the destination stream.
    pub stream: String,
    /// Id of the destination record.
    pub record_id: String,
    /// Its version.
    pub version: Option<String>,
    /// Hash of the canonical values.
    pub hash: Option<ContentHash>,
    /// Whether it is marked as gone.
    pub gone: bool,
    /// Source key.
    pub key: KeyValues,
    /// Canonical values.
    pub fields: Fields,
}

/// What is about to be done, recorded before it is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    /// What kind of write.
    pub kind: IntentKind,
    /// The row the ledger will hold when it is done; `record_id` is empty for a create or move not yet answered. For a
    /// delete: the row as it was.
    pub row: LedgerRow,
    /// Move: where the record was, stream id and record id.
    pub from: Option<(String, String)>,
    /// Move: the new record is recorded in the ledger, only the old one must still be removed.
    pub created: bool,
}

/// Kinds of intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentKind {
    /// A new record.
    Create,
    /// New values.
    Update,
    /// Another stream.
    Move,
    /// Removal.
    Delete,
}

impl IntentKind {
    /// The word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Move => "move",
            Self::Delete => "delete",
        }
    }
}

/// What a run did to a record of the destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Whose.
    pub identity: Identity,
    /// What was done.
    pub kind: WriteKind,
    /// Id of the destination stream: after a move, the new one.
    pub stream: String,
    /// Id of the destination record.
    pub record_id: String,
}

/// A write that is remembered, until its run is forgotten.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// The run that recorded it. Where an earlier one died before it could, the one that found it out.
    pub run: RunId,
    /// What was done.
    pub kind: WriteKind,
    /// Id of the destination stream.
    pub stream: String,
    /// Id of the destination record.
    pub record_id: String,
    /// When it was recorded.
    pub at: Timestamp,
}

/// Kinds of writes that are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteKind {
    /// A new record.
    Create,
    /// New values.
    Update,
    /// Another stream.
    Move,
    /// Removal, or a mark as gone.
    Delete,
    /// A record that was there already became ours.
    Adopt,
}

impl WriteKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Create, Self::Update, Self::Move, Self::Delete, Self::Adopt];

    /// The word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Move => "move",
            Self::Delete => "delete",
            Self::Adopt => "adopt",
        }
    }

    /// Reads [`as_str`](Self::as_str).
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Everything that is recorded after a batch, in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Checkpoint {
    /// Ledger changes, made in this order.
    pub ledger: Vec<LedgerChange>,
    /// What was done to records, to be remembered, in this order.
    pub written: Vec<Written>,
    /// Intents whose outcome is now recorded (also when the outcome is "not applied").
    pub closed: Vec<Identity>,
    /// Move intents whose new record is now in the ledger; they stay open until the old record is removed.
    pub created: Vec<Identity>,
    /// Records that failed.
    pub parked: Vec<Parked>,
    /// Parked records that are done now. One that is in `parked` too has failed again.
    pub unparked: Vec<Identity>,
    /// Held deletes: when `Some`, replaces all held deletes of the sync.
    pub held: Option<Vec<Held>>,
    /// Whether the standing approval of deletes is used up.
    pub approval_used: bool,
    /// The run's totals so far (not a difference).
    pub counts: Counts,
    /// Totals per destination stream (name as the user wrote it). A stream that is not named keeps its totals.
    pub by_stream: BTreeMap<String, Counts>,
    /// The new cursor.
    pub cursor: Option<Cursor>,
    /// Units spent since the last checkpoint, by budget.
    pub spent: Vec<(String, u64)>,
    /// Now.
    pub at: Timestamp,
}

/// A run about to start.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Mode in force.
    pub mode: Mode,
    /// Why this mode, where it is not the configured one ("the mapping changed").
    pub reason: Option<String>,
    /// What it is part of.
    pub about: About,
    /// When.
    pub at: Timestamp,
}

/// What a run is part of, and what it reads, for the people who read its row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct About {
    /// Connection that is read.
    pub source: Option<String>,
    /// Destination stream: the table.
    pub table: Option<String>,
    /// Label of the schedule it runs by; none: somebody asked for it.
    pub schedule: Option<String>,
    /// Links log lines, events and runs.
    pub correlation: Option<String>,
    /// The run that this one retries.
    pub retry_of: Option<RunId>,
    /// Object id of the user for whom it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Values of the sync's parameters.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// Final status.
    pub status: Status,
    /// Totals.
    pub counts: Counts,
    /// Totals per destination stream.
    pub by_stream: BTreeMap<String, Counts>,
    /// Code and message of what stopped it.
    pub error: Option<(String, String)>,
    /// Sentences an operator should read (at-least-once, precision, …).
    pub notes: Vec<String>,
    /// When.
    pub at: Timestamp,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// Number.
    pub id: RunId,
    /// Sync.
    pub sync: String,
    /// `full` or `incremental`.
    pub mode: String,
    /// Why this mode.
    pub reason: Option<String>,
    /// What it is part of.
    pub about: About,
    /// Status.
    pub status: Status,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Totals.
    pub counts: Counts,
    /// Totals per destination stream.
    pub by_stream: BTreeMap<String, Counts>,
    /// Code and message of what stopped it.
    pub error: Option<(String, String)>,
    /// Notes.
    pub notes: Vec<String>,
}

/// A record that failed and waits for its retry.
#[derive(Debug, Clone, PartialEq)]
pub struct Parked {
    /// Sync.
    pub sync: String,
    /// Whose; for a record without a usable key, see [`Identity::of_keyless`].
    pub identity: Identity,
    /// Source key; `None` when the record has no usable one and can only come back by itself.
    pub key: Option<KeyValues>,
    /// The key for people.
    pub label: String,
    /// What was to be done, where that was known.
    pub kind: Option<IntentKind>,
    /// Stable code of the failure; `conflict` for records edited on both sides.
    pub code: String,
    /// What happened, without values.
    pub message: String,
    /// Failed attempts so far, this one included.
    pub attempts: u32,
    /// First failure.
    pub first_at: Timestamp,
    /// Last failure.
    pub last_at: Timestamp,
    /// Not to be retried before.
    pub retry_at: Timestamp,
    /// Run of the last failure.
    pub run: RunId,
}

/// A delete that waits for approval.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Sync.
    pub sync: String,
    /// Whose.
    pub identity: Identity,
    /// The key for people.
    pub label: String,
    /// Destination stream id.
    pub stream: String,
    /// Destination record id.
    pub record_id: String,
    /// Why it is held.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Run that held it.
    pub run: RunId,
}

/// What waits in one sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Sync.
    pub sync: String,
    /// Parked records, conflicts not among them.
    pub parked: u64,
    /// Records edited on both sides.
    pub conflicted: u64,
    /// Held deletes.
    pub held: u64,
    /// Live records in the ledger.
    pub known: u64,
    /// Open intents.
    pub intents: u64,
}

/// A destination record in the scratch listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Scratch {
    /// Destination stream id.
    pub stream: String,
    /// Record id.
    pub record_id: String,
    /// Version.
    pub version: Option<String>,
    /// Identity it is stamped with.
    pub stamp: Option<Identity>,
    /// Hash of its natural key, when the sync adopts.
    pub natural: Option<[u8; 32]>,
    /// Hash of its canonical values, the mark as gone left out.
    pub hash: ContentHash,
    /// Whether it is marked as gone.
    pub gone: bool,
    /// Its canonical values.
    pub fields: Fields,
}

/// A difference between ledger and destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// What kind.
    pub kind: DriftKind,
    /// Whose, where known.
    pub identity: Option<Identity>,
    /// The key for people (of strangers: the record id).
    pub label: String,
    /// Destination stream id.
    pub stream: String,
    /// Record id.
    pub record_id: String,
    /// Version found.
    pub version: Option<String>,
    /// What we last wrote.
    pub expected: Fields,
    /// What is there.
    pub found: Fields,
}

/// Kinds of drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftKind {
    /// In the ledger, not in the destination.
    Missing,
    /// In both, with other values.
    Edited,
    /// A second record with the stamp of one we know.
    Duplicate,
    /// In the destination with a stamp, not in the ledger.
    Orphan,
    /// In the destination without a stamp: not ours.
    Stranger,
}

/// Result of [`Store::compare`](crate::Store::compare).
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    /// Records that agree.
    pub equal: u64,
    /// How many of each kind.
    pub totals: BTreeMap<DriftKind, u64>,
    /// The first of each kind.
    pub drift: Vec<Drift>,
}
