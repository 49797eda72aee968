//! What a service remembers beyond a [`Store`]: what is due, who does it, chains, definitions, events, tokens, alerts.
//!
//! Several nodes share one store and agree through it alone. An **occurrence** is one thing that is to be done once; a
//! node **claims** it for [`LEASE`], renews the claim every [`HEARTBEAT`], and writes with the claim's epoch. A claim that
//! was not renewed in time belongs to whoever asks first, under a higher epoch; whatever the earlier node still writes is
//! refused.
//!
//! A store whose database has a clock of its own (PostgreSQL) measures leases by that clock, so that nodes whose clocks
//! differ agree; SQLite, whose nodes share a machine, by the `now` it is given.

mod definition;
mod facts;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

pub use definition::*;
pub use facts::*;

use crate::{Error, Run, RunId, Store};

/// How long a claim holds without being renewed.
pub const LEASE: Duration = Duration::from_secs(30);
/// How often a node renews its claims. A node that could not for [`LEASE`] stops what it does.
pub const HEARTBEAT: Duration = Duration::from_secs(10);
/// Occurrences of one subject that wait at once, at most; further ones that people ask for are refused.
pub const WAITING_MAX: usize = 10;
/// Numbers of events that one search looks at.
pub const SEARCHED_MAX: u64 = 50_000;

/// The numbers that a search looks at, the first and one after the last; `range` is that of all events.
pub(crate) fn searched(search: &EventSearch, (newest, oldest): (u64, u64)) -> std::ops::Range<u64> {
    let end = search.before.unwrap_or(u64::MAX).min(newest.saturating_add(1));
    end.saturating_sub(SEARCHED_MAX).max(oldest).min(end)..end
}

/// Where a search goes on that looked at `searched`, and found `found` of at most `limit`.
pub(crate) fn go_on(
    searched: &std::ops::Range<u64>,
    oldest: u64,
    found: &[Event],
    limit: usize,
) -> Option<u64> {
    let full = found.last().filter(|_| found.len() >= limit).map(|last| last.id);
    Some(full.unwrap_or(searched.start)).filter(|before| *before > oldest)
}

/// Durable memory of a service. The promises of [`Store`] hold here too: every method that writes is one transaction;
/// what is refused wrote nothing. Lists are bounded by their `limit`, newest first unless said otherwise, and are walked
/// with the number of the last item seen.
#[async_trait]
pub trait ServiceStore: Store {
    // ---- schedules

    /// Every schedule that was ever decided about.
    async fn schedule_states(&self) -> Result<Vec<ScheduleState>, Error>;

    /// Records decisions of the scheduler, all or nothing: moves `considered` forward (never back, and not of a paused
    /// schedule) and adds the occurrences that do not exist yet (unique by subject, schedule and instant).
    ///
    /// An occurrence with [`Overlap::Skip`](syncline_core::schedule::Overlap) is stored as skipped when another one of its
    /// subject is claimed or waits and is due; with `Queue` when another one waits and is due. Those of the same decision do
    /// not count: each missed instant may be made up for. A schedule that is unknown or whose `considered` is at or beyond
    /// that of the decision adds nothing: another node decided already.
    async fn decide(&self, decisions: &[Decision], now: Timestamp) -> Result<Decided, Error>;

    /// Pauses a schedule of a subject, or all of it (schedules that it gets later too), and their occurrences that wait become
    /// skipped. Returns whether anything changed.
    async fn pause(&self, subject: &Subject, schedule: Option<&str>, now: Timestamp) -> Result<bool, Error>;

    /// Resumes what [`ServiceStore::pause`] paused: instants up to `now` count as considered, so that none of them fires.
    async fn resume(&self, subject: &Subject, schedule: Option<&str>, now: Timestamp) -> Result<bool, Error>;

    // ---- occurrences

    /// Adds an occurrence that somebody asked for. With an idempotency key that was used before, within a day: the earlier one
    /// ([`Enqueued::Existing`]), or [`Enqueued::KeyReused`] where it was about something else. More than [`WAITING_MAX`]
    /// waiting: [`Enqueued::Full`].
    async fn enqueue(&self, occurrence: NewOccurrence, now: Timestamp) -> Result<Enqueued, Error>;

    /// Claims what is due, up to `max`: waiting occurrences with `due_at` not after `now`, and claimed ones whose lease is
    /// over (their epoch and attempts rise). Heavier ones first, then the longest due.
    ///
    /// Left for later: a subject that is claimed already (one at a time), and what would exceed `limits`. Limits are counted
    /// from claims whose lease holds, in the same transaction. Nothing is claimed twice, whatever other nodes do.
    async fn claim_due(
        &self,
        node: &str,
        limits: &Limits,
        max: usize,
        now: Timestamp,
    ) -> Result<Vec<Claim>, Error>;

    /// Renews the claims of a node; returns for each what became of it, in order. A lease that ran out is lost, also when
    /// nobody has taken the claim over yet: limits count it as free already.
    async fn renew(&self, claims: &[ClaimId], now: Timestamp) -> Result<Vec<Renewed>, Error>;

    /// Gives claims back unfinished (the node stops): they wait again, due at once; one that somebody asked to stop is
    /// cancelled. Old epochs are passed over.
    async fn release(&self, claims: &[ClaimId], now: Timestamp) -> Result<(), Error>;

    /// Names the run of a sync, or of a chain, that carries out a claim.
    ///
    /// # Errors
    /// [`Error::Stale`] under an old epoch, and when the claim is over.
    async fn link(&self, claim: &ClaimId, run: RunId) -> Result<(), Error>;

    /// Closes a claimed occurrence and adds what follows from it (a retry); with [`OccurrenceEnd::satisfied`], waiting
    /// retries of the same subject become skipped.
    ///
    /// # Errors
    /// [`Error::Stale`] under an old epoch, and when the claim is over.
    async fn finish(&self, claim: &ClaimId, end: OccurrenceEnd) -> Result<(), Error>;

    /// Asks for an occurrence to be stopped: a waiting one is cancelled at once, and the run of a chain that an earlier claim
    /// of it left open; of a claimed one the node learns at its next renewal. `None`: there is none, or it is over.
    async fn cancel(
        &self,
        occurrence: OccurrenceId,
        now: Timestamp,
    ) -> Result<Option<OccurrenceState>, Error>;

    /// One occurrence.
    async fn occurrence(&self, occurrence: OccurrenceId) -> Result<Option<Occurrence>, Error>;

    /// Occurrences, newest first.
    async fn occurrences(&self, filter: &OccurrenceFilter, limit: usize) -> Result<Vec<Occurrence>, Error>;

    /// When the next waiting occurrence is due or the next lease ends; in the past also when it waits for its subject or for a
    /// limit.
    async fn next_due(&self) -> Result<Option<Timestamp>, Error>;

    // ---- runs of syncs

    /// Runs, newest first. Ten thousand of a hundred thousand in milliseconds.
    async fn page_runs(&self, filter: &RunFilter, limit: usize) -> Result<Vec<Run>, Error>;

    /// One row per sync that the store knows, by name: for health, metrics and lists. Ten thousand at once.
    async fn summaries(&self) -> Result<Vec<Summary>, Error>;

    // ---- chains

    /// Opens a run of a chain with its steps, all waiting, and names it in the occurrence ([`ServiceStore::link`]), so that a
    /// later claim finds it. The claim must be one of this chain; the same holds for the methods below.
    ///
    /// # Errors
    /// [`Error::Stale`] under an old epoch; the same holds for the methods below that take a claim.
    async fn start_chain(&self, claim: &ClaimId, chain: NewChainRun) -> Result<ChainRunId, Error>;

    /// Records where a step stands. Steps that are not in the run are added (the definition may have grown).
    async fn record_step(&self, claim: &ClaimId, run: ChainRunId, step: &StepRecord) -> Result<(), Error>;

    /// Opens an ended run of a chain again, or goes on with one that was cut off: these steps wait once more and keep their
    /// attempts (which rise when they begin), the others stay as they are. The occurrence names the run.
    async fn reopen_chain(
        &self,
        claim: &ClaimId,
        run: ChainRunId,
        steps: &[String],
        now: Timestamp,
    ) -> Result<(), Error>;

    /// Closes a run of a chain. Steps that still wait or run become cancelled.
    async fn finish_chain(&self, claim: &ClaimId, run: ChainRunId, end: ChainEnd) -> Result<(), Error>;

    /// One run of a chain, with its steps in the order of the definition.
    async fn chain_run(&self, run: ChainRunId) -> Result<Option<ChainRun>, Error>;

    /// Runs of chains, newest first, with their steps.
    async fn chain_runs(&self, filter: &ChainFilter, limit: usize) -> Result<Vec<ChainRun>, Error>;

    // ---- backfills

    /// Adds a backfill; it is carried out through an occurrence of [`SubjectKind::Backfill`] named by its number.
    async fn create_backfill(&self, backfill: NewBackfill, now: Timestamp) -> Result<BackfillId, Error>;

    /// Records how far a backfill is, and its end.
    async fn record_backfill(
        &self,
        claim: &ClaimId,
        id: BackfillId,
        progress: &BackfillProgress,
    ) -> Result<(), Error>;

    /// Backfills, newest first, of one sync or all.
    async fn backfills(
        &self,
        sync: Option<&str>,
        before: Option<BackfillId>,
        limit: usize,
    ) -> Result<Vec<Backfill>, Error>;

    /// One backfill.
    async fn backfill(&self, id: BackfillId) -> Result<Option<Backfill>, Error>;

    // ---- definitions

    /// Stores a new version of a definition; `body: None` removes it. With `expected`, only when that is the version there is
    /// (0: none, or removed); otherwise, and when there is nothing to remove, `None` is returned.
    async fn put_definition(
        &self,
        definition: NewDefinition,
        expected: Option<u64>,
    ) -> Result<Option<u64>, Error>;

    /// The newest version of every definition that was not removed, by kind and name.
    async fn definitions(&self) -> Result<Vec<Definition>, Error>;

    /// Versions of one definition, newest first, removals included.
    async fn definition_versions(
        &self,
        kind: DefinitionKind,
        name: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Definition>, Error>;

    /// Rises with every change of a definition; cheap.
    async fn definitions_revision(&self) -> Result<u64, Error>;

    // ---- events

    /// Appends events; returns the number of the last one. Numbers rise in the order in which events become visible: who has
    /// read up to one misses none.
    async fn append_events(&self, events: &[NewEvent]) -> Result<u64, Error>;

    /// Events after a number, oldest first.
    async fn events(&self, filter: &EventFilter, after: u64, limit: usize) -> Result<Vec<Event>, Error>;

    /// Events that are looked for, newest first, and the number to go on before; `None`: there are no more. Looks at no more
    /// than [`SEARCHED_MAX`] numbers at once, so a page may be short, or empty, with more behind it.
    async fn search_events(
        &self,
        search: &EventSearch,
        limit: usize,
    ) -> Result<(Vec<Event>, Option<u64>), Error>;

    /// The number of the newest event, 0 when there is none, and of the oldest that is kept. The newest is always kept.
    async fn event_range(&self) -> Result<(u64, u64), Error>;

    // ---- tokens

    /// Adds a token. Its hash is unique.
    async fn add_token(&self, token: NewToken) -> Result<TokenId, Error>;

    /// All tokens, by number, revoked ones too.
    async fn tokens(&self) -> Result<Vec<Token>, Error>;

    /// The token with this hash.
    async fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<Token>, Error>;

    /// Revokes a token; returns whether there was one in force.
    async fn revoke_token(&self, token: TokenId, now: Timestamp) -> Result<bool, Error>;

    /// Notes that a token was used; called at most once a minute per token.
    async fn touch_token(&self, token: TokenId, now: Timestamp) -> Result<(), Error>;

    // ---- alerts

    /// Every alert that was ever active.
    async fn alert_states(&self) -> Result<Vec<AlertState>, Error>;

    /// Replaces the state of an alert if it still is `previous` (`None`: there is none); returns whether it was. So of several
    /// nodes one takes a message on.
    async fn swap_alert(&self, previous: Option<&AlertState>, next: &AlertState) -> Result<bool, Error>;

    // ---- settings and upkeep

    /// A setting that was changed while serving, such as a limit.
    async fn setting(&self, name: &str) -> Result<Option<serde_json::Value>, Error>;

    /// Stores a setting; `None` forgets it.
    async fn set_setting(
        &self,
        name: &str,
        value: Option<&serde_json::Value>,
        by: &str,
        now: Timestamp,
    ) -> Result<(), Error>;

    /// All settings, by name.
    async fn settings(&self) -> Result<Vec<(String, serde_json::Value)>, Error>;

    /// Says that a node lives, and what it is.
    async fn beat(&self, node: &NodeBeat, now: Timestamp) -> Result<(), Error>;

    /// Nodes, by id, with the time of their last beat. Nodes that were silent for a day are forgotten.
    async fn nodes(&self) -> Result<Vec<(NodeBeat, Timestamp)>, Error>;

    /// Closes what dead processes left: runs of syncs that are `running` under no live lease of their sync
    /// ([`Store::claim`]) become `interrupted`. Returns how many.
    async fn close_interrupted(&self, now: Timestamp) -> Result<u64, Error>;

    /// Forgets what is older than the limits, a bounded number of rows; returns how many. To be called again while that is
    /// not zero. [`Store::finish_run`] keeps runs as long from then on.
    async fn forget(&self, limits: &Retention, now: Timestamp) -> Result<u64, Error>;

    /// Asks the database the smallest question, for `/readyz` and the latency metric.
    async fn ping(&self) -> Result<(), Error>;
}
