//! The service's memory in the file: one method each, the work is in the files beside.

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
    SqliteStore, codec,
    connection::failpoints,
    fault::{self, Fault},
};
use crate::{Error, Run, RunId, service::*};

impl SqliteStore {
    /// Writes in one transaction.
    async fn put<T, F>(&self, write: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&rusqlite::Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    {
        self.connections.write(failpoints!("service"), write).await
    }
}

#[async_trait]
impl ServiceStore for SqliteStore {
    async fn schedule_states(&self) -> Result<Vec<ScheduleState>, Error> {
        self.connections.view(schedules::states).await
    }

    async fn decide(&self, decisions: &[Decision], now: Timestamp) -> Result<Decided, Error> {
        let decisions = decisions.to_vec();
        self.put(move |transaction| schedules::decide(transaction, &decisions, now)).await
    }

    async fn pause(&self, subject: &Subject, schedule: Option<&str>, now: Timestamp) -> Result<bool, Error> {
        let (subject, schedule) = (subject.clone(), schedule.map(str::to_owned));
        self.put(move |transaction| schedules::pause(transaction, &subject, schedule.as_deref(), now)).await
    }

    async fn resume(&self, subject: &Subject, schedule: Option<&str>, now: Timestamp) -> Result<bool, Error> {
        let (subject, schedule) = (subject.clone(), schedule.map(str::to_owned));
        self.put(move |transaction| schedules::resume(transaction, &subject, schedule.as_deref(), now)).await
    }

    async fn enqueue(&self, occurrence: NewOccurrence, now: Timestamp) -> Result<Enqueued, Error> {
        self.put(move |transaction| occurrences::enqueue(transaction, &occurrence, now)).await
    }

    async fn claim_due(
        &self,
        node: &str,
        limits: &Limits,
        max: usize,
        now: Timestamp,
    ) -> Result<Vec<Claim>, Error> {
        let (node, limits) = (node.to_owned(), limits.clone());
        self.put(move |transaction| claims::claim_due(transaction, &node, &limits, max, now)).await
    }

    async fn renew(&self, claims: &[ClaimId], now: Timestamp) -> Result<Vec<Renewed>, Error> {
        let claims = claims.to_vec();
        self.put(move |transaction| claims::renew(transaction, &claims, now)).await
    }

    async fn release(&self, claims: &[ClaimId], now: Timestamp) -> Result<(), Error> {
        let claims = claims.to_vec();
        self.put(move |transaction| claims::release(transaction, &claims, now)).await
    }

    async fn link(&self, claim: &ClaimId, run: RunId) -> Result<(), Error> {
        let claim = *claim;
        self.put(move |transaction| claims::link(transaction, &claim, run)).await
    }

    async fn finish(&self, claim: &ClaimId, end: OccurrenceEnd) -> Result<(), Error> {
        let claim = *claim;
        self.put(move |transaction| claims::finish(transaction, &claim, &end)).await
    }

    async fn cancel(
        &self,
        occurrence: OccurrenceId,
        now: Timestamp,
    ) -> Result<Option<OccurrenceState>, Error> {
        self.put(move |transaction| claims::cancel(transaction, occurrence, now)).await
    }

    async fn occurrence(&self, occurrence: OccurrenceId) -> Result<Option<Occurrence>, Error> {
        self.connections.view(move |connection| occurrences::get(connection, occurrence)).await
    }

    async fn occurrences(&self, filter: &OccurrenceFilter, limit: usize) -> Result<Vec<Occurrence>, Error> {
        let filter = filter.clone();
        self.connections.view(move |connection| occurrences::list(connection, &filter, limit)).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        self.connections.view(occurrences::next_due).await
    }

    async fn page_runs(&self, filter: &RunFilter, limit: usize) -> Result<Vec<Run>, Error> {
        let filter = filter.clone();
        self.connections.view(move |connection| summaries::page(connection, &filter, limit)).await
    }

    async fn summaries(&self) -> Result<Vec<Summary>, Error> {
        self.connections.view(summaries::all).await
    }

    async fn start_chain(&self, claim: &ClaimId, chain: NewChainRun) -> Result<ChainRunId, Error> {
        let claim = *claim;
        self.put(move |transaction| chains::start(transaction, &claim, &chain)).await
    }

    async fn record_step(&self, claim: &ClaimId, run: ChainRunId, step: &StepRecord) -> Result<(), Error> {
        let (claim, step) = (*claim, step.clone());
        self.put(move |transaction| chains::record_step(transaction, &claim, run, &step)).await
    }

    async fn reopen_chain(
        &self,
        claim: &ClaimId,
        run: ChainRunId,
        steps: &[String],
        now: Timestamp,
    ) -> Result<(), Error> {
        let (claim, steps) = (*claim, steps.to_vec());
        self.put(move |transaction| chains::reopen(transaction, &claim, run, &steps, now)).await
    }

    async fn finish_chain(&self, claim: &ClaimId, run: ChainRunId, end: ChainEnd) -> Result<(), Error> {
        let claim = *claim;
        self.put(move |transaction| chains::finish(transaction, &claim, run, &end)).await
    }

    async fn chain_run(&self, run: ChainRunId) -> Result<Option<ChainRun>, Error> {
        self.connections.view(move |connection| chains::get(connection, run)).await
    }

    async fn chain_runs(&self, filter: &ChainFilter, limit: usize) -> Result<Vec<ChainRun>, Error> {
        let filter = filter.clone();
        self.connections.view(move |connection| chains::list(connection, &filter, limit)).await
    }

    async fn create_backfill(&self, backfill: NewBackfill, now: Timestamp) -> Result<BackfillId, Error> {
        self.put(move |transaction| backfills::create(transaction, &backfill, now)).await
    }

    async fn record_backfill(
        &self,
        claim: &ClaimId,
        id: BackfillId,
        progress: &BackfillProgress,
    ) -> Result<(), Error> {
        let (claim, progress) = (*claim, progress.clone());
        self.put(move |transaction| backfills::record(transaction, &claim, id, &progress)).await
    }

    async fn backfills(
        &self,
        sync: Option<&str>,
        before: Option<BackfillId>,
        limit: usize,
    ) -> Result<Vec<Backfill>, Error> {
        let sync = sync.map(str::to_owned);
        self.connections
            .view(move |connection| backfills::list(connection, sync.as_deref(), before, limit))
            .await
    }

    async fn backfill(&self, id: BackfillId) -> Result<Option<Backfill>, Error> {
        self.connections.view(move |connection| backfills::get(connection, id)).await
    }

    async fn put_definition(
        &self,
        definition: NewDefinition,
        expected: Option<u64>,
    ) -> Result<Option<u64>, Error> {
        self.put(move |transaction| definitions::put(transaction, &definition, expected)).await
    }

    async fn definitions(&self) -> Result<Vec<Definition>, Error> {
        self.connections.view(definitions::newest).await
    }

    async fn definition_versions(
        &self,
        kind: DefinitionKind,
        name: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Definition>, Error> {
        let name = name.to_owned();
        self.connections
            .view(move |connection| definitions::versions(connection, kind, &name, before, limit))
            .await
    }

    async fn definitions_revision(&self) -> Result<u64, Error> {
        self.connections.view(definitions::revision).await
    }

    async fn append_events(&self, events: &[NewEvent]) -> Result<u64, Error> {
        let events = events.to_vec();
        self.put(move |transaction| events::append(transaction, &events)).await
    }

    async fn events(&self, filter: &EventFilter, after: u64, limit: usize) -> Result<Vec<Event>, Error> {
        let filter = filter.clone();
        self.connections.view(move |connection| events::list(connection, &filter, after, limit)).await
    }

    async fn search_events(
        &self,
        search: &EventSearch,
        limit: usize,
    ) -> Result<(Vec<Event>, Option<u64>), Error> {
        let search = search.clone();
        self.connections.view(move |connection| events::search(connection, &search, limit)).await
    }

    async fn event_range(&self) -> Result<(u64, u64), Error> {
        self.connections.view(events::range).await
    }

    async fn add_token(&self, token: NewToken) -> Result<TokenId, Error> {
        self.put(move |transaction| access::add_token(transaction, &token)).await
    }

    async fn tokens(&self) -> Result<Vec<Token>, Error> {
        self.connections.view(access::tokens).await
    }

    async fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<Token>, Error> {
        let hash = *hash;
        self.connections.view(move |connection| access::token_by_hash(connection, &hash)).await
    }

    async fn revoke_token(&self, token: TokenId, now: Timestamp) -> Result<bool, Error> {
        self.put(move |transaction| access::revoke_token(transaction, token, now)).await
    }

    async fn touch_token(&self, token: TokenId, now: Timestamp) -> Result<(), Error> {
        self.put(move |transaction| access::touch_token(transaction, token, now)).await
    }

    async fn alert_states(&self) -> Result<Vec<AlertState>, Error> {
        self.connections.view(alerts::states).await
    }

    async fn swap_alert(&self, previous: Option<&AlertState>, next: &AlertState) -> Result<bool, Error> {
        let (previous, next) = (previous.cloned(), next.clone());
        self.put(move |transaction| alerts::swap(transaction, previous.as_ref(), &next)).await
    }

    async fn setting(&self, name: &str) -> Result<Option<serde_json::Value>, Error> {
        let name = name.to_owned();
        self.connections.view(move |connection| access::setting(connection, &name)).await
    }

    async fn set_setting(
        &self,
        name: &str,
        value: Option<&serde_json::Value>,
        by: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (name, value, by) = (name.to_owned(), value.cloned(), by.to_owned());
        self.put(move |transaction| access::set_setting(transaction, &name, value.as_ref(), &by, now)).await
    }

    async fn settings(&self) -> Result<Vec<(String, serde_json::Value)>, Error> {
        self.connections.view(access::settings).await
    }

    async fn beat(&self, node: &NodeBeat, now: Timestamp) -> Result<(), Error> {
        let node = node.clone();
        self.put(move |transaction| access::beat(transaction, &node, now)).await
    }

    async fn nodes(&self) -> Result<Vec<(NodeBeat, Timestamp)>, Error> {
        self.connections.view(access::nodes).await
    }

    async fn close_interrupted(&self, now: Timestamp) -> Result<u64, Error> {
        let store = self.connections.path().to_owned();
        self.put(move |transaction| upkeep::close_interrupted(transaction, &store, now)).await
    }

    async fn forget(&self, limits: &Retention, now: Timestamp) -> Result<u64, Error> {
        let limits = *limits;
        self.put(move |transaction| upkeep::forget(transaction, &limits, now)).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.connections.view(|connection| Ok(connection.query_row("SELECT 1", [], |_| Ok(()))?)).await
    }
}
