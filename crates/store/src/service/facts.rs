//! The facts of a service, as plain data.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
pub use syncline_core::project::Retention;
use syncline_core::{
    alert::AlertKind,
    chain::{ChainStatus, StepStatus},
    cursor::Cursor,
    run::Status,
    schedule::Overlap,
};

use crate::{Run, RunId};

/// Number of an occurrence.
pub type OccurrenceId = u64;
/// Number of a chain's run.
pub type ChainRunId = u64;
/// Number of a backfill.
pub type BackfillId = u64;
/// Number of a token.
pub type TokenId = u64;

/// What something is about: a sync, a chain, a backfill.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// What kind.
    pub kind: SubjectKind,
    /// Its name.
    pub name: String,
}

impl Subject {
    /// A sync.
    pub fn sync(name: impl Into<String>) -> Self {
        Self { kind: SubjectKind::Sync, name: name.into() }
    }

    /// A chain.
    pub fn chain(name: impl Into<String>) -> Self {
        Self { kind: SubjectKind::Chain, name: name.into() }
    }

    /// A backfill, by its number.
    pub fn backfill(id: BackfillId) -> Self {
        Self { kind: SubjectKind::Backfill, name: id.to_string() }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.kind.as_str(), self.name)
    }
}

/// Kinds of subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// A sync.
    Sync,
    /// A chain.
    Chain,
    /// A backfill of a sync.
    Backfill,
}

impl SubjectKind {
    /// The word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Chain => "chain",
            Self::Backfill => "backfill",
        }
    }

    /// Reads [`SubjectKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Sync, Self::Chain, Self::Backfill].into_iter().find(|k| k.as_str() == text)
    }
}

/// How far a schedule has been decided about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleState {
    /// Whose.
    pub subject: Subject,
    /// Its label.
    pub schedule: String,
    /// Instants up to this one, itself included, have been decided about.
    pub considered: Timestamp,
    /// Since when it is paused.
    pub paused_at: Option<Timestamp>,
}

/// A decision of the scheduler about one schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Whose.
    pub subject: Subject,
    /// Its label.
    pub schedule: String,
    /// Up to where instants are decided about now.
    pub considered: Timestamp,
    /// What is to run.
    pub occurrences: Vec<NewOccurrence>,
}

/// What [`ServiceStore::decide`](super::ServiceStore::decide) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Decided {
    /// Occurrences that now wait.
    pub added: u64,
    /// Occurrences that were stored as skipped.
    pub skipped: u64,
}

/// Something to be done once.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOccurrence {
    /// What it is about.
    pub subject: Subject,
    /// Label of its schedule; none: somebody asked for it.
    pub schedule: Option<String>,
    /// The instant of the schedule, or when it was asked for. Unique with subject and schedule.
    pub instant: Timestamp,
    /// When it may start: the instant and its jitter.
    pub due_at: Timestamp,
    /// What happens when the subject is busy.
    pub overlap: Overlap,
    /// Heavier ones are claimed first.
    pub weight: i32,
    /// Whether it retries one that failed; becomes skipped when another one succeeds first.
    pub retry: bool,
    /// What the engine needs to carry it out; the store does not look inside.
    pub options: serde_json::Value,
    /// Connections it uses, for the limits.
    pub connections: Vec<String>,
    /// Who asked: `schedule`, `retry`, `cli`, the name of a token.
    pub requested_by: String,
    /// Given by who asked, so that asking twice starts once.
    pub idempotency_key: Option<String>,
    /// Links log lines, events and runs.
    pub correlation: String,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Enqueued {
    /// It waits.
    New(OccurrenceId),
    /// It was asked for before, with this idempotency key.
    Existing(OccurrenceId),
    /// The idempotency key was used for something else.
    KeyReused,
    /// Too many wait already.
    Full,
}

/// Where an occurrence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OccurrenceState {
    /// Not begun.
    Waiting,
    /// A node works on it.
    Claimed,
    /// It was carried out, however that ended.
    Done,
    /// It was left out; the reason is stored.
    Skipped,
    /// Somebody stopped it before it began.
    Cancelled,
}

impl OccurrenceState {
    /// The word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Claimed => "claimed",
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads [`OccurrenceState::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Waiting, Self::Claimed, Self::Done, Self::Skipped, Self::Cancelled]
            .into_iter()
            .find(|s| s.as_str() == text)
    }
}

/// An occurrence.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    /// Number; rises.
    pub id: OccurrenceId,
    /// What was asked for.
    pub asked: NewOccurrence,
    /// When it was stored.
    pub created_at: Timestamp,
    /// Where it stands.
    pub state: OccurrenceState,
    /// Why it was skipped.
    pub reason: Option<String>,
    /// Rises at each claim.
    pub epoch: u64,
    /// Claims so far.
    pub attempts: u32,
    /// Node that claimed it last.
    pub node: Option<String>,
    /// When it was claimed last.
    pub claimed_at: Option<Timestamp>,
    /// Until when the claim holds.
    pub lease_until: Option<Timestamp>,
    /// Whether somebody asked to stop it.
    pub cancel_requested: bool,
    /// The run of the sync, or of the chain, that carries it out.
    pub run: Option<RunId>,
    /// How it ended.
    pub status: Option<Status>,
    /// Code and message of what stopped it.
    pub error: Option<(String, String)>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// The right to carry out an occurrence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId {
    /// The occurrence.
    pub occurrence: OccurrenceId,
    /// The epoch of the claim.
    pub epoch: u64,
}

/// A claimed occurrence.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Occurrence and epoch.
    pub id: ClaimId,
    /// What is to be done.
    pub asked: NewOccurrence,
    /// Claims so far, this one included: above 1, an earlier one was cut off.
    pub attempts: u32,
    /// The run that an earlier claim began.
    pub run: Option<RunId>,
}

/// What became of a claim at its renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// It holds for another [`LEASE`](super::LEASE).
    Held,
    /// It holds, and somebody asked to stop.
    CancelRequested,
    /// Another node has it, or it is over.
    Lost,
}

/// How many may be claimed at once, over all nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// In all; `None`: any number.
    pub total: Option<usize>,
    /// Per connection; one that is not named has no limit.
    pub connections: BTreeMap<String, usize>,
}

/// How an occurrence ended.
#[derive(Debug, Clone, PartialEq)]
pub struct OccurrenceEnd {
    /// A final status.
    pub status: Status,
    /// Code and message of what stopped it.
    pub error: Option<(String, String)>,
    /// Whether waiting retries of the subject have nothing left to do.
    pub satisfied: bool,
    /// What is to follow (a retry).
    pub follow: Vec<NewOccurrence>,
    /// When.
    pub at: Timestamp,
}

/// Which occurrences.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OccurrenceFilter {
    /// Of this subject.
    pub subject: Option<Subject>,
    /// In this state.
    pub state: Option<OccurrenceState>,
    /// With a lower number.
    pub before: Option<OccurrenceId>,
}

/// Which runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunFilter {
    /// Of this sync.
    pub sync: Option<String>,
    /// With this status.
    pub status: Option<Status>,
    /// With a lower number.
    pub before: Option<RunId>,
}

/// Where a sync stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Its name.
    pub sync: String,
    /// Its newest run.
    pub last: Option<Run>,
    /// Start of the newest run that succeeded or was partial.
    pub last_success_started_at: Option<Timestamp>,
    /// End of that run.
    pub last_success_at: Option<Timestamp>,
    /// The same, per label of the schedule it ran by (start, end).
    pub by_schedule: BTreeMap<String, (Timestamp, Timestamp)>,
    /// Runs that failed since the last success.
    pub failures: u64,
    /// Stored cursor. Of loads into tables, the destination keeps it.
    pub cursor: Option<Cursor>,
    /// Parked records, conflicts not among them.
    pub parked: u64,
    /// Records edited on both sides.
    pub conflicted: u64,
    /// Held deletes.
    pub held: u64,
}

/// A run of a chain about to start.
#[derive(Debug, Clone, PartialEq)]
pub struct NewChainRun {
    /// The chain.
    pub chain: String,
    /// Names of its steps, in the order of the definition, and whether each is required.
    pub steps: Vec<(String, bool)>,
    /// Label of the schedule.
    pub schedule: Option<String>,
    /// Links log lines, events and runs.
    pub correlation: String,
    /// When.
    pub at: Timestamp,
}

/// A step of a chain's run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepRecord {
    /// Its name.
    pub step: String,
    /// Whether the chain fails with it.
    pub required: bool,
    /// Where it stands.
    pub status: StepStatus,
    /// Run of the sync, where it is one.
    pub run: Option<RunId>,
    /// Times it was begun.
    pub attempts: u32,
    /// When it began last.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Code and message of its failure, or of why it was skipped.
    pub error: Option<(String, String)>,
    /// One line for people: rows, receivers, status of the answer.
    pub detail: Option<String>,
}

/// How a chain's run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainEnd {
    /// A status that is not running.
    pub status: ChainStatus,
    /// Code and message of the first required step that failed.
    pub error: Option<(String, String)>,
    /// When.
    pub at: Timestamp,
}

/// A run of a chain. Its current steps are those that are running; its duration the sum of its stretches, so that the
/// time before it was resumed does not count.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChainRun {
    /// Number; rises.
    pub id: ChainRunId,
    /// The chain.
    pub chain: String,
    /// Where it stands.
    pub status: ChainStatus,
    /// Label of the schedule.
    pub schedule: Option<String>,
    /// Links log lines, events and runs.
    pub correlation: String,
    /// When it began first.
    pub started_at: Timestamp,
    /// When it began last.
    pub resumed_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Milliseconds of the stretches that ended.
    pub worked_ms: u64,
    /// Code and message of what failed it.
    pub error: Option<(String, String)>,
    /// Its steps.
    pub steps: Vec<StepRecord>,
}

/// Which runs of chains.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChainFilter {
    /// Of this chain.
    pub chain: Option<String>,
    /// With this status.
    pub status: Option<ChainStatus>,
    /// With a lower number.
    pub before: Option<ChainRunId>,
}

/// Reading a part of the past again, beside the live cursor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NewBackfill {
    /// The sync.
    pub sync: String,
    /// Cursor value it starts at, inclusive, as text of the cursor's type.
    pub from: String,
    /// Cursor value it ends before.
    pub to: String,
    /// Who asked.
    pub requested_by: String,
}

/// How far a backfill is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackfillProgress {
    /// Where it stands.
    pub status: Status,
    /// Everything below this cursor value is done.
    pub done_until: Option<String>,
    /// The newest run made for it.
    pub run: Option<RunId>,
    /// Code and message of what stopped it.
    pub error: Option<(String, String)>,
    /// When.
    pub at: Timestamp,
}

/// A backfill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Backfill {
    /// Number; rises.
    pub id: BackfillId,
    /// What was asked for.
    pub asked: NewBackfill,
    /// When.
    pub created_at: Timestamp,
    /// How far it is; `at` is the last change.
    pub progress: BackfillProgress,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NewEvent {
    /// When.
    pub at: Timestamp,
    /// Stable word: `run.started`, `run.finished`, `chain.step`, `definition.changed`, `alert.sent` …
    pub kind: String,
    /// What it is about.
    pub subject: Option<Subject>,
    /// The run it belongs to.
    pub run: Option<RunId>,
    /// Links log lines, events and runs.
    pub correlation: Option<String>,
    /// One sentence, without values of records.
    pub message: String,
    /// More, as JSON; without values of records.
    pub data: serde_json::Value,
}

/// An event with its number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Number; rises in the order in which events become visible.
    pub id: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: NewEvent,
}

/// Which events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// About this.
    pub subject: Option<Subject>,
    /// Whose kind begins with this.
    pub kind: Option<String>,
    /// Of this run.
    pub run: Option<RunId>,
}

/// Which events, for people who look for something.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventSearch {
    /// About what.
    pub filter: EventFilter,
    /// With this in their kind, message or subject; letters of English count alike in both cases.
    pub text: Option<String>,
    /// Not before this.
    pub since: Option<Timestamp>,
    /// Not after this.
    pub until: Option<Timestamp>,
    /// With a lower number.
    pub before: Option<u64>,
}

/// A token about to be added. The token itself is never stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewToken {
    /// Name for people; unique among those in force.
    pub name: String,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// Number.
    pub id: TokenId,
    /// What was added.
    pub token: NewToken,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was used last, about.
    pub used_at: Option<Timestamp>,
}

/// Where an alert stands: one per rule, subject and kind.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertState {
    /// Name of the rule.
    pub rule: String,
    /// What it is about.
    pub subject: Subject,
    /// What is told.
    pub kind: AlertKind,
    /// Whether it holds now.
    pub active: bool,
    /// Since when it holds, or does not.
    pub since: Timestamp,
    /// When somebody was told last.
    pub told_at: Option<Timestamp>,
    /// A message that is still to be delivered.
    pub message: Option<serde_json::Value>,
    /// Failed deliveries of that message.
    pub attempts: u32,
    /// Not to be delivered before.
    pub try_at: Option<Timestamp>,
}

/// A sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeBeat {
    /// Unique per process.
    pub node: String,
    /// Version of the program.
    pub version: String,
    /// When the process started.
    pub started_at: Timestamp,
    /// Runs at the moment.
    pub running: u64,
}
