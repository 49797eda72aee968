//! The service's memory in PostgreSQL: one method each, the work is in the files beside.

mod access;
mod alerts;
mod backfills;
mod chains;
mod claims;
mod definitions;
mod events;
mod filter;
mod occurrences;
mod schedules;
mod summaries;
mod upkeep;
mod words;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    PostgresStore, codec,
    connection::{self, failpoints},
    fault::{self, Fault},
};
use crate::{Error, Run, RunId, service::*};

/// Runs an expression in a transaction that writes. Durable once this is `Ok`.
macro_rules! put {
    ($store:ident, $work:ident => $done:expr) => {{
        let outcome = async {
            let mut session = $store.connections.session().await?;
            let $work = session.write().await?;
            let done = $done.await?;
            $work.commit(failpoints!("service")).await?;
            Ok::<_, Fault>(done)
        };
        $store.connections.told(outcome.await)
    }};
}

impl PostgresStore {
    /// How long a claim holds, for SQL.
    fn lease_ms(&self) -> i64 {
        i64::try_from(self.options.lease.as_millis()).unwrap_or(i64::MAX)
    }
}

#[async_trait]
impl ServiceStore for PostgresStore {
    async fn schedule_states(&self) -> Result<Vec<ScheduleState>, Error> {
        reading!(self, work => schedules::states(&work))
    }

    async fn decide(&self, decisions: &[Decision], now: Timestamp) -> Result<Decided, Error> {
        put!(self, work => schedules::decide(&work, decisions, now))
    }

    async fn pause(&self, subject: &Subject, schedule: Option<&str>, now: Timestamp) -> Result<bool, Error> {
        put!(self, work => schedules::pause(&work, subject, schedule, now))
    }

    async fn resume(&self, subject: &Subject, schedule: Option<&str>, now: Timestamp) -> Result<bool, Error> {
        put!(self, work => schedules::resume(&work, subject, schedule, now))
    }

    async fn enqueue(&self, occurrence: NewOccurrence, now: Timestamp) -> Result<Enqueued, Error> {
        put!(self, work => occurrences::enqueue(&work, &occurrence, now))
    }

    async fn claim_due(
        &self,
        node: &str,
        limits: &Limits,
        max: usize,
        now: Timestamp,
    ) -> Result<Vec<Claim>, Error> {
        put!(self, work => claims::claim_due(&work, node, limits, max, self.lease_ms(), now))
    }

    async fn renew(&self, claims: &[ClaimId], _now: Timestamp) -> Result<Vec<Renewed>, Error> {
        put!(self, work => claims::renew(&work, claims, self.lease_ms()))
    }

    async fn release(&self, claims: &[ClaimId], now: Timestamp) -> Result<(), Error> {
        put!(self, work => claims::release(&work, claims, now))
    }

    async fn link(&self, claim: &ClaimId, run: RunId) -> Result<(), Error> {
        put!(self, work => claims::link(&work, claim, run))
    }

    async fn finish(&self, claim: &ClaimId, end: OccurrenceEnd) -> Result<(), Error> {
        put!(self, work => claims::finish(&work, claim, &end))
    }

    async fn cancel(
        &self,
        occurrence: OccurrenceId,
        now: Timestamp,
    ) -> Result<Option<OccurrenceState>, Error> {
        put!(self, work => claims::cancel(&work, occurrence, now))
    }

    async fn occurrence(&self, occurrence: OccurrenceId) -> Result<Option<Occurrence>, Error> {
        reading!(self, work => occurrences::get(&work, occurrence))
    }

    async fn occurrences(&self, filter: &OccurrenceFilter, limit: usize) -> Result<Vec<Occurrence>, Error> {
        reading!(self, work => occurrences::list(&work, filter, limit))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        reading!(self, work => occurrences::next_due(&work))
    }

    async fn page_runs(&self, filter: &RunFilter, limit: usize) -> Result<Vec<Run>, Error> {
        reading!(self, work => summaries::page(&work, filter, limit))
    }

    async fn summaries(&self) -> Result<Vec<Summary>, Error> {
        reading!(self, work => summaries::all(&work))
    }

    async fn start_chain(&self, claim: &ClaimId, chain: NewChainRun) -> Result<ChainRunId, Error> {
        put!(self, work => chains::start(&work, claim, &chain))
    }

    async fn record_step(&self, claim: &ClaimId, run: ChainRunId, step: &StepRecord) -> Result<(), Error> {
        put!(self, work => chains::record_step(&work, claim, run, step))
    }

    async fn reopen_chain(
        &self,
        claim: &ClaimId,
        run: ChainRunId,
        steps: &[String],
        now: Timestamp,
    ) -> Result<(), Error> {
        put!(self, work => chains::reopen(&work, claim, run, steps, now))
    }

    async fn finish_chain(&self, claim: &ClaimId, run: ChainRunId, end: ChainEnd) -> Result<(), Error> {
        put!(self, work => chains::finish(&work, claim, run, &end))
    }

    async fn chain_run(&self, run: ChainRunId) -> Result<Option<ChainRun>, Error> {
        reading!(self, work => chains::get(&work, run))
    }

    async fn chain_runs(&self, filter: &ChainFilter, limit: usize) -> Result<Vec<ChainRun>, Error> {
        reading!(self, work => chains::list(&work, filter, limit))
    }

    async fn create_backfill(&self, backfill: NewBackfill, now: Timestamp) -> Result<BackfillId, Error> {
        put!(self, work => backfills::create(&work, &backfill, now))
    }

    async fn record_backfill(
        &self,
        claim: &ClaimId,
        id: BackfillId,
        progress: &BackfillProgress,
    ) -> Result<(), Error> {
        put!(self, work => backfills::record(&work, claim, id, progress))
    }

    async fn backfills(
        &self,
        sync: Option<&str>,
        before: Option<BackfillId>,
        limit: usize,
    ) -> Result<Vec<Backfill>, Error> {
        reading!(self, work => backfills::list(&work, sync, before, limit))
    }

    async fn backfill(&self, id: BackfillId) -> Result<Option<Backfill>, Error> {
        reading!(self, work => backfills::get(&work, id))
    }

    async fn put_definition(
        &self,
        definition: NewDefinition,
        expected: Option<u64>,
    ) -> Result<Option<u64>, Error> {
        put!(self, work => definitions::put(&work, &definition, expected))
    }

    async fn definitions(&self) -> Result<Vec<Definition>, Error> {
        reading!(self, work => definitions::newest(&work))
    }

    async fn definition_versions(
        &self,
        kind: DefinitionKind,
        name: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Definition>, Error> {
        reading!(self, work => definitions::versions(&work, kind, name, before, limit))
    }

    async fn definitions_revision(&self) -> Result<u64, Error> {
        reading!(self, work => definitions::revision(&work))
    }

    async fn append_events(&self, events: &[NewEvent]) -> Result<u64, Error> {
        put!(self, work => events::append(&work, events))
    }

    async fn events(&self, filter: &EventFilter, after: u64, limit: usize) -> Result<Vec<Event>, Error> {
        reading!(self, work => events::list(&work, filter, after, limit))
    }

    async fn search_events(
        &self,
        search: &EventSearch,
        limit: usize,
    ) -> Result<(Vec<Event>, Option<u64>), Error> {
        reading!(self, work => events::search(&work, search, limit))
    }

    async fn event_range(&self) -> Result<(u64, u64), Error> {
        reading!(self, work => events::range(&work))
    }

    async fn add_token(&self, token: NewToken) -> Result<TokenId, Error> {
        put!(self, work => access::add_token(&work, &token))
    }

    async fn tokens(&self) -> Result<Vec<Token>, Error> {
        reading!(self, work => access::tokens(&work))
    }

    async fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<Token>, Error> {
        reading!(self, work => access::token_by_hash(&work, hash))
    }

    async fn revoke_token(&self, token: TokenId, now: Timestamp) -> Result<bool, Error> {
        put!(self, work => access::revoke_token(&work, token, now))
    }

    async fn touch_token(&self, token: TokenId, now: Timestamp) -> Result<(), Error> {
        put!(self, work => access::touch_token(&work, token, now))
    }

    async fn alert_states(&self) -> Result<Vec<AlertState>, Error> {
        reading!(self, work => alerts::states(&work))
    }

    async fn swap_alert(&self, previous: Option<&AlertState>, next: &AlertState) -> Result<bool, Error> {
        put!(self, work => alerts::swap(&work, previous, next))
    }

    async fn setting(&self, name: &str) -> Result<Option<serde_json::Value>, Error> {
        reading!(self, work => access::setting(&work, name))
    }

    async fn set_setting(
        &self,
        name: &str,
        value: Option<&serde_json::Value>,
        by: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        put!(self, work => access::set_setting(&work, name, value, by, now))
    }

    async fn settings(&self) -> Result<Vec<(String, serde_json::Value)>, Error> {
        reading!(self, work => access::settings(&work))
    }

    async fn beat(&self, node: &NodeBeat, now: Timestamp) -> Result<(), Error> {
        put!(self, work => access::beat(&work, node, now))
    }

    async fn nodes(&self) -> Result<Vec<(NodeBeat, Timestamp)>, Error> {
        reading!(self, work => access::nodes(&work))
    }

    async fn close_interrupted(&self, now: Timestamp) -> Result<u64, Error> {
        put!(self, work => upkeep::close_interrupted(&work, now))
    }

    async fn forget(&self, limits: &Retention, now: Timestamp) -> Result<u64, Error> {
        put!(self, work => upkeep::forget(&work, limits, now))
    }

    async fn ping(&self) -> Result<(), Error> {
        reading!(self, work => async { work.one("SELECT 1", &[]).await.map(drop) })
    }
}
